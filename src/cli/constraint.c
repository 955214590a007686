/* Grammars and schemas of the command line (see constraint.h). */
#include "cli/constraint.h"

#include <string.h>

#include "cli/prompt.h"

int constraint_read(Cli *cli, Constraint *out)
{
    const char *schema = opts_text(&cli->opts, OPT_SCHEMA);
    const char *grammar = opts_text(&cli->opts, OPT_GRAMMAR);
    if (schema && grammar) return cli_usage(cli, "--schema and --grammar are one or the other");
    if (!schema && !grammar) return CLI_GOOD;
    out->kind = schema ? BT_GRAMMAR_SCHEMA : BT_GRAMMAR_GBNF;
    out->name = schema ? schema : grammar;
    if (schema && schema[strspn(schema, " \t\r\n")] == '{') {
        out->name = "--schema";
        buf_text(&out->text, schema);
        return out->text.failed ? cli_fail("not enough memory for --schema") : CLI_GOOD;
    }
    return read_text(out->name, true, &out->text);
}

/* How a prompt of this model ends where the assistant speaks: inside "<think>", after "</think>",
 * or neither. Only templates that know thinking are asked. */
static bt_grammar_options thinking(Cli *cli, const CliModel *m)
{
    static const char open[] = "<think>", close[] = "</think>";
    bt_grammar_options options = {0};
    const bt_message message = {.role = "user", .content = "?"};
    char *text = NULL;
    if (opts_flag(&cli->opts, OPT_RAW) || !m->info.chat_template ||
        !strstr(m->info.chat_template, close))
        return options;
    options.after = close;
    options.opens = open;
    if (bt_chat_render(m->model, opts_text(&cli->opts, OPT_TEMPLATE), &message, 1, true, &text,
                       NULL) != BT_OK)
        return options;
    size_t n = strlen(text);
    while (n && strchr(" \r\n\t", text[n - 1])) n--;
    if (n >= strlen(open) && memcmp(text + n - strlen(open), open, strlen(open)) == 0)
        options.opens = NULL;
    if (n >= strlen(close) && memcmp(text + n - strlen(close), close, strlen(close)) == 0)
        options.after = NULL;
    bt_free(text);
    return options;
}

int constraint_open(Cli *cli, const CliModel *m, Constraint *c)
{
    bt_error err = {0};
    if (!c->name) return CLI_GOOD;
    const bt_grammar_options options = thinking(cli, m);
    const char *text = c->text.data ? c->text.data : "";
    if (bt_grammar_open(m->model, c->kind, text, c->text.size, &options, &c->grammar, &err) !=
        BT_OK)
        return cli_fail("%s: %s", c->name, err.text);
    return CLI_GOOD;
}

void constraint_close(Constraint *c)
{
    bt_grammar_close(&c->grammar);
    buf_close(&c->text);
}
