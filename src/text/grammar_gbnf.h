/* GBNF, the grammar language of the llama.cpp family, into an automaton. docs/constraints.md
 * defines the dialect and the four words of our own (%json, %until, %text, %token). */
#ifndef TEXT_GRAMMAR_GBNF_H
#define TEXT_GRAMMAR_GBNF_H

#include "base/buf.h"
#include "text/grammar.h"

#define GBNF_MAX_TEXT  (4u << 20)
#define GBNF_MAX_DEPTH 1000u /* groups within groups */

/* *rule is the one named "root". BT_E_ARGUMENT with line and column, BT_E_LIMIT, BT_E_UNSUPPORTED
 * (a keyword of a schema), BT_E_MEMORY. */
bt_status gbnf_build(GrammarBuilder *b, Span text, uint32_t *rule, bt_error *err);

/* Appends `text` as a GBNF literal, quotes included: for grammars that are put together. */
void gbnf_quote(Buf *out, Span text);

#endif
