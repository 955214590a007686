/* Grammars at work in samplers: what a bt_sampler holds of a bt_grammar. A grammar's automaton and
 * its sets of tokens are shared by all samplers that use it, under its lock; each sampler has a
 * small state of its own.
 *
 * Which tokens may come next is known as soon as a token was picked, and needed when the model has
 * computed what follows: in between, the set is made by another thread (aside.h). It is the same
 * set, made by the same steps, whoever makes it. */
#ifndef ENGINE_GRAMMAR_H
#define ENGINE_GRAMMAR_H

#include "base/status.h"
#include "engine/aside.h"
#include "text/grammar_mask.h"

/* What is asked for at the next place: that is not known, grammar_wide first, or grammar_restrict.
 */
typedef enum GrammarAhead { AHEAD_NOTHING, AHEAD_WIDE, AHEAD_SET } GrammarAhead;

typedef struct GrammarHold {
    bt_grammar *grammar; /* NULL: none */
    RunState at;
    bool lost; /* no token went on, or one that is not allowed was taken */
    GrammarAhead ahead;
} GrammarHold;

/* A grammar over a set of tokens (borrowed), without a model. Takes *g over, also on failure. */
bt_status grammar_of(Grammar **g, const TokenSet *set, bt_grammar **out, bt_error *err);
/* The rule of a text of this kind. */
bt_status grammar_build(GrammarBuilder *b, bt_grammar_kind kind, Span text, uint32_t *rule,
                        bt_error *err);
/* Compiles text as bt_grammar_open does. */
bt_status grammar_compile(bt_grammar_kind kind, Span text, const bt_grammar_options *options,
                          Grammar **out, bt_error *err);
/* The same over the tokens of a model (grammar_model.c). */
bt_status grammar_of_model(bt_model *model, Grammar **g, bt_grammar **out, bt_error *err);
uint32_t grammar_n_tokens(const bt_grammar *grammar);
/* Has sets made ahead there (borrowed; NULL: they are made when they are asked for). */
void grammar_use_aside(bt_grammar *grammar, Aside *aside);
/* Another hold by a caller, given up with bt_grammar_close. */
bt_grammar *grammar_share(bt_grammar *grammar);

/* Starts at the beginning; the old hold, if any, is released. `grammar` may be NULL. */
void grammar_hold(GrammarHold *hold, bt_grammar *grammar);
/* From here on, the next call is foreseen at each place that is come to, and this one. */
void grammar_foresee(GrammarHold *hold, GrammarAhead ahead);
/* Another hold at the same place, for text that may be taken back. */
void grammar_hold_copy(GrammarHold *to, const GrammarHold *from);
void grammar_release(GrammarHold *hold);

/* True where it is better to ask of the likeliest tokens first whether they are allowed: most are,
 * or to learn which takes long. */
bool grammar_wide(GrammarHold *hold);
/* Whether grammar_restrict would leave this token: 1 or 0; -1: only grammar_restrict can tell. */
int grammar_allows(GrammarHold *hold, bt_token token);
/* Looks at logits as Kernels.peaks does, with the tokens that are allowed: of 64 tokens of which
 * none is, peak is -inf and nothing else written. */
void grammar_restrict(GrammarHold *hold, float *logits, size_t n, float *peak);
/* Moves over a token. */
void grammar_advance(GrammarHold *hold, bt_token token);
/* A token that ends an answer, or -1: what is picked when nothing else is left. */
bt_token grammar_end_token(const GrammarHold *hold);
bool grammar_complete(const GrammarHold *hold);

#endif
