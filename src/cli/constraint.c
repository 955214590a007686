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

/* How a prompt ends where the assistant speaks: inside "<think>", after "</think>", or neither.
 * Only templates that know thinking are asked. */
static bt_grammar_options thinking(const char *template, const char *prompt)
{
    static const char open[] = "<think>", close[] = "</think>";
    bt_grammar_options options = {0};
    size_t n = prompt ? strlen(prompt) : 0;
    if (!template || !strstr(template, close)) return options;
    options.after = close;
    options.opens = open;
    while (n && strchr(" \r\n\t", prompt[n - 1])) n--;
    if (n >= strlen(open) && memcmp(prompt + n - strlen(open), open, strlen(open)) == 0)
        options.opens = NULL;
    if (n >= strlen(close) && memcmp(prompt + n - strlen(close), close, strlen(close)) == 0)
        options.after = NULL;
    return options;
}

int constraint_open(const CliModel *m, const char *template, const char *prompt, Constraint *c)
{
    bt_error err = {0};
    const bt_grammar_options options = thinking(template, prompt);
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
