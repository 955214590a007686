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

int constraint_open(const CliModel *m, const bt_answer_options *answer, Constraint *c)
{
    bt_error err = {0};
    const char *text = c->text.data ? c->text.data : "";
    bt_status status =
        answer
            ? bt_answer_constrain(m->model, answer, c->kind, text, c->text.size, &c->grammar, &err)
            : bt_grammar_open(m->model, c->kind, text, c->text.size, NULL, &c->grammar, &err);
    return status ? cli_fail("%s: %s", c->name, err.text) : CLI_GOOD;
}

void constraint_close(Constraint *c)
{
    bt_grammar_close(&c->grammar);
    buf_close(&c->text);
}
