/* `bantam tokenize` and `bantam detokenize`: text to ids and back, by the vocabulary alone. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/prompt.h"
#include "cli/run.h"

static int print_ids(const Ids *ids)
{
    for (size_t i = 0; i < ids->n; i++) printf("%s%d", i ? " " : "", ids->ids[i]);
    putchar('\n');
    return cli_flush();
}

static json_t *piece_of(const CliModel *m, bt_token id)
{
    char piece[1024];
    int64_t n = bt_model_token_text(m->model, id, true, piece, sizeof piece);
    if (n < 0) return json_null();
    return json_bytes(piece, (size_t)n < sizeof piece ? (size_t)n : sizeof piece);
}

static int print_json(const CliModel *m, const Ids *ids)
{
    json_t *list = json_array(), *pieces = json_array();
    for (size_t i = 0; i < ids->n; i++) {
        json_array_append_new(list, json_integer(ids->ids[i]));
        json_array_append_new(pieces, piece_of(m, ids->ids[i]));
    }
    return json_print(
        json_pack("{s:I,s:o,s:o}", "count", (json_int_t)ids->n, "ids", list, "pieces", pieces));
}

int cmd_tokenize(Cli *cli)
{
    const Opts *o = &cli->opts;
    if (o->n_args) return cli_usage(cli, "the text is read from standard input or --file");
    const char *file = opts_text(o, OPT_TEXT_FILE);
    unsigned flags = (opts_flag(o, OPT_NO_SPECIAL) ? BT_TOKENIZE_NO_SPECIAL : 0) |
                     (opts_flag(o, OPT_ADD_BOS) ? BT_TOKENIZE_ADD_BOS : 0);
    CliModel m = {0};
    Buf text = {0};
    Ids ids = {0};
    int code = read_text(file ? file : "-", false, &text);
    if (code == CLI_GOOD) code = model_open(cli, &(ModelWish){.vocab_only = true}, &m);
    if (code == CLI_GOOD && !ids_of_text(&m, text.data ? text.data : "", text.size, flags, &ids))
        code = CLI_FAILED;
    if (code == CLI_GOOD) code = opts_flag(o, OPT_JSON) ? print_json(&m, &ids) : print_ids(&ids);
    ids_close(&ids);
    buf_close(&text);
    model_close(&m);
    return code;
}

/* ---- detokenize ---- */

static bool text_of(const CliModel *m, const Ids *ids, bool special, Buf *out)
{
    const char *piece;
    size_t n;
    bt_text *text = NULL;
    bt_error err = {0};
    bt_status status = bt_text_open(m->model, special, &text, &err);
    for (size_t i = 0; status == BT_OK && i < ids->n; i++) {
        status = bt_text_next(text, ids->ids[i], &piece, &n);
        if (status == BT_OK) buf_add(out, piece, n);
    }
    if (status == BT_OK && (status = bt_text_end(text, &piece, &n)) == BT_OK)
        buf_add(out, piece, n);
    bt_text_close(&text);
    if (status == BT_OK && !out->failed) return true;
    cli_fail("%s", err.text[0] ? err.text : bt_status_text(status));
    return false;
}

int cmd_detokenize(Cli *cli)
{
    const Opts *o = &cli->opts;
    CliModel m = {0};
    Ids ids = {0};
    Buf text = {0}, input = {0};
    int code = CLI_GOOD;
    for (size_t i = 0; i < o->n_args && code == CLI_GOOD; i++)
        if (!ids_parse(o->args[i], &ids)) code = CLI_USAGE;
    if (code == CLI_GOOD && !o->n_args) {
        code = read_text("-", true, &input);
        if (code == CLI_GOOD && input.data && !ids_parse(input.data, &ids)) code = CLI_FAILED;
    }
    if (code == CLI_GOOD) code = model_open(cli, &(ModelWish){.vocab_only = true}, &m);
    if (code == CLI_GOOD &&
        !(ids_check(&m, &ids) && text_of(&m, &ids, opts_flag(o, OPT_SHOW_SPECIAL), &text)))
        code = CLI_FAILED;
    if (code == CLI_GOOD && opts_flag(o, OPT_JSON)) {
        code = json_print(
            json_pack("{s:o}", "text", json_bytes(text.data ? text.data : "", text.size)));
    } else if (code == CLI_GOOD) {
        fwrite(text.data ? text.data : "", 1, text.size, stdout);
        putchar('\n');
        code = cli_flush();
    }
    ids_close(&ids);
    buf_close(&text);
    buf_close(&input);
    model_close(&m);
    return code;
}
