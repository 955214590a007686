/* Compiled grammars kept for requests that hold their answers to the same schema, grammar or tools
 * again, as programs do all day. Known again by their whole text (a hash only finds the place), by
 * where the prompt left the answer, and by principal, so that no one can learn from the time what
 * another asked for. Bounded by count and by bytes of text; the least recently used go first.
 * Any thread; a compile does not keep others waiting. */
#ifndef SERVE_GRAMMAR_CACHE_H
#define SERVE_GRAMMAR_CACHE_H

#include "bantam/bantam.h"
#include "base/span.h"

typedef struct GrammarCache GrammarCache;

typedef enum HoldKind {
    HOLD_TEXT,  /* the whole answer: bt_grammar_open */
    HOLD_SAYS,  /* what the answer says: bt_answer_constrain */
    HOLD_CALLS, /* tool calls where they come: bt_answer_grammar */
    HOLD_MUST_CALL
} HoldKind;

typedef struct HoldWish {
    HoldKind kind;
    bt_grammar_kind language;        /* of `text` */
    Span text;                       /* of the first two kinds */
    const bt_answer_options *answer; /* of the last three; `prompt` is cut to its end here */
    uint64_t principal;
} HoldWish;

/* `entries`, `bytes`: 0: 16 (each may come to hold 32 MB of sets), 8 MiB. */
bt_status grammar_cache_open(bt_model *model, size_t entries, size_t bytes, GrammarCache **out,
                             bt_error *err);
void grammar_cache_close(GrammarCache **cache);
/* *out is the caller's hold: give it up with bt_grammar_close. Fails as the functions above. */
bt_status grammar_cache_get(GrammarCache *cache, const HoldWish *wish, bt_grammar **out,
                            bt_error *err);
size_t grammar_cache_count(GrammarCache *cache);

#endif
