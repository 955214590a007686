/* Texts held against a schema, byte by byte, as the mask of a grammar would. */
#ifndef TESTS_TAKER_H
#define TESTS_TAKER_H

#include "base/span.h"
#include "base/status.h"
#include "text/grammar.h"
#include "text/grammar_run.h"

typedef struct Taker {
    Grammar *g;
    GrammarRun *run;
} Taker;

/* NULL: `err` says why. The caller closes it. */
Grammar *taker_compile(Span schema, bt_error *err);
/* Fails the test where the schema is refused. */
Taker taker_open(Span schema);
void taker_close(Taker *t);
/* Whether `text` is a whole answer under the schema. */
bool takes(Taker *t, Span text);

#endif
