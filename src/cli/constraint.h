/* --schema and --grammar: what the answers of `bantam run` are held to. */
#ifndef CLI_CONSTRAINT_H
#define CLI_CONSTRAINT_H

#include "base/buf.h"
#include "cli/model.h"

typedef struct Constraint {
    Buf text;
    bt_grammar_kind kind;
    const char *name; /* the file, or the option; NULL: no constraint was asked for */
    bt_grammar *grammar;
} Constraint;

/* Reads the file, before the rights are given up. CLI_GOOD, or an exit code after a message. */
int constraint_read(Cli *cli, Constraint *out);
/* Compiles it for the model. Where the template (its text; NULL: none) knows thinking, and the
 * prompt, of which the end counts, does not rule it out, the constraint begins after the thoughts.
 */
int constraint_open(const CliModel *m, const char *template, const char *prompt, Constraint *c);
void constraint_close(Constraint *c);

#endif
