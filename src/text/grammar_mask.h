/* Which tokens a grammar allows next, as a set of ids, with the sets kept by config. One thread at
 * a time; all memory is taken at open. */
#ifndef TEXT_GRAMMAR_MASK_H
#define TEXT_GRAMMAR_MASK_H

#include "text/grammar_region.h"
#include "text/grammar_run.h"
#include "text/token_set.h"

typedef struct GrammarMask {
    GrammarRun *run;     /* owned */
    const TokenSet *set; /* borrowed */
    uint64_t *slots;     /* n_slots sets */
    uint32_t *owner;     /* config of a slot; 0: free */
    uint8_t *recent;
    uint32_t n_slots, hand;
    Regions regions;
    uint64_t kind_bytes[64][2]; /* the bytes of a kind as in TokenTail */
    uint64_t generation;
    uint64_t n_made, n_cut; /* sets computed; of them cut short by the bound on work */
} GrammarMask;

bt_status grammar_mask_open(const Grammar *g, const TokenSet *set, GrammarMask **out,
                            bt_error *err);
void grammar_mask_close(GrammarMask **mask);

/* True where so many tokens are allowed at `state`, or to find out which ones takes so long, that
 * it is better to ask of single ones. Takes little time itself. False once the set was made. */
bool grammar_mask_wide(GrammarMask *mask, RunState *state);
/* Whether there is nothing for grammar_mask_ahead to do. */
bool grammar_mask_known(const GrammarMask *mask, const RunState *state, bool asks);
/* Makes the set that will be asked for, by the same steps, so that what is picked does not depend
 * on whether this was called in time. `asks`: grammar_mask_wide will be called first, and the set
 * then mostly not be needed: it is not made where that takes very long. */
void grammar_mask_ahead(GrammarMask *mask, RunState *state, bool asks);
/* Whether the set of `state` has this token, without making it: 1 or 0; -1: that is not known
 * without the set (there is too little room, or it takes too long). */
int grammar_mask_allows(GrammarMask *mask, RunState *state, uint32_t id);
/* Tokens allowed at `state` (set->words words); with the end of an answer where the text may end.
 * Valid until the next call on this mask. */
const uint64_t *grammar_mask_of(GrammarMask *mask, RunState *state);
/* Moves over a token. False when the grammar does not allow it; the state then stays. An end token
 * where the text may end is allowed and moves nothing. */
bool grammar_mask_accept(GrammarMask *mask, RunState *state, uint32_t id);
/* The same over bytes. */
bool grammar_mask_accept_bytes(GrammarMask *mask, RunState *state, Span bytes);

#endif
