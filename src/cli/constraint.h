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
/* Compiles it for what the model's answers say after their thoughts (bt_answer_constrain), or with
 * NULL for all of their text. */
int constraint_open(const CliModel *m, const bt_answer_options *answer, Constraint *c);
void constraint_close(Constraint *c);

#endif
