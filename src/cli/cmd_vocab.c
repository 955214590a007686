/* `bantam vocab`: a vocabulary learned from data (see train/vocab_learn.h). */
#include <string.h>

#include "agent/agent.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/json.h"
#include "cli/model.h"
#include "cli/prompt.h"
#include "train/vocab_learn.h"

static void tell(void *user, bt_log_level level, const char *line)
{
    cli_say(user, "%s", line);
}

static int print_result(Cli *cli, const char *path, const VocabResult *r)
{
    char size[32];
    if (opts_flag(&cli->opts, OPT_JSON))
        return json_print(json_pack(
            "{s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "vocab", json_text(path), "tokens",
            (json_int_t)r->n_tokens, "merges", (json_int_t)r->n_merges, "special",
            (json_int_t)r->n_own, "documents", (json_int_t)r->data.documents, "refused",
            (json_int_t)r->data.refused, "bytes", (json_int_t)r->bytes, "words",
            (json_int_t)r->words, "different_words", (json_int_t)r->different, "text_tokens",
            (json_int_t)r->tokens, "forgotten_up_to", (json_int_t)r->forgot));
    printf("%s: %u tokens (256 bytes, %u merges, %u special) from %s in %llu documents\n", path,
           r->n_tokens, r->n_merges, r->n_own, bytes_text(r->bytes, size),
           (unsigned long long)r->data.documents);
    printf("%llu words, %llu different; the text has %llu tokens, %.2f bytes each\n",
           (unsigned long long)r->words, (unsigned long long)r->different,
           (unsigned long long)r->tokens, r->tokens ? (double)r->bytes / (double)r->tokens : 0.0);
    return cli_flush();
}

static int learn(Cli *cli, const char *path, const Buf *jinja, const char *const *markers, size_t n)
{
    const Opts *o = &cli->opts;
    const OptValue *special = &o->value[OPT_VOCAB_SPECIAL];
    Progress progress;
    bt_error err = {0};
    VocabResult result;
    const VocabOptions options = {
        .size = (uint32_t)opts_int(o, OPT_VOCAB_SIZE),
        .least = (uint64_t)opts_int(o, OPT_VOCAB_LEAST),
        .pre = opts_text(o, OPT_VOCAB_PRE),
        .chat_template = {jinja->data, jinja->size},
        .assistant = opts_text(o, OPT_VOCAB_ASSISTANT),
        .special = special->n ? special->list : NULL,
        .n_special = special->n,
        .markers = markers,
        .n_markers = n,
        .data = {opts_flag(o, OPT_LENIENT), progress_update, &progress},
    };
    progress_start(&progress, cli);
    bt_log_set(tell, cli, BT_LOG_WARN);
    bt_status status = vocab_learn(o->args, o->n_args, &options, path, &result, &err);
    progress_end(&progress);
    if (status == BT_E_CANCELLED) return cli_fail("stopped; nothing was written");
    if (status != BT_OK) return cli_fail("%s", err.text);
    if (result.data.refused)
        cli_say(cli, "left out: %llu documents; the first: %s",
                (unsigned long long)result.data.refused, result.data.first_refused);
    if (result.forgot)
        cli_say(cli, "more different words than fit: those seen %llu times or less were forgotten",
                (unsigned long long)result.forgot);
    if (result.n_tokens < options.size)
        cli_say(cli, "%u tokens and not %u: there is no more to merge; give more text",
                result.n_tokens, options.size);
    return print_result(cli, path, &result);
}

int cmd_vocab(Cli *cli)
{
    const Opts *o = &cli->opts;
    const OptValue *given = &o->value[OPT_VOCAB_MARKER];
    const char *path = opts_text(o, OPT_VOCAB_OUT), *jinja = opts_text(o, OPT_VOCAB_TEMPLATE);
    if (!o->n_args) return cli_usage(cli, "no data is named: give files or folders");
    const char *assistant = opts_text(o, OPT_VOCAB_ASSISTANT);
    if (!path) return cli_usage(cli, "-o FILE is missing");
    if (assistant && strcmp(assistant, AGENT_NAME) != 0)
        return cli_usage(cli, "--assistant: '%s' is not known; there is %s", assistant, AGENT_NAME);
    CliModel m = {0};
    Buf text = {0};
    size_t n = 0;
    char *folder = folder_of(path);
    const char **markers = mem_zalloc(given->n + 2, sizeof *markers);
    bool room = folder && markers;
    int code = room ? folder_needed(folder) : cli_fail("not enough memory");
    if (room && strcmp(opts_text(o, OPT_VOCAB_CALLS), "on") == 0) {
        markers[n++] = "<tool_call>";
        markers[n++] = "</tool_call>";
    }
    for (size_t i = 0; i < given->n && room; i++) markers[n++] = given->list[i];
    if (code == CLI_GOOD && jinja) code = read_text(jinja, true, &text);
    interrupt_install();
    if (code == CLI_GOOD) {
        const ModelWish wish = {.writes = {folder}, .data = o->args, .n_data = o->n_args};
        code = sandbox_as_run(cli, &wish, NULL, &m);
    }
    if (code == CLI_GOOD) code = learn(cli, path, &text, markers, n);
    buf_close(&text);
    mem_free(markers);
    mem_free(folder);
    return code;
}
