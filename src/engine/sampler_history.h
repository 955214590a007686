/* What the sampler remembers of the text, and the penalties that follow from it. */
#ifndef ENGINE_SAMPLER_HISTORY_H
#define ENGINE_SAMPLER_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#include "bantam/bantam.h"
#include "base/arena.h"

typedef struct SamplerHistory {
    int32_t n_vocab;
    size_t window;     /* tokens that repetition, presence and frequency look at; 0: off */
    size_t dry_window; /* tokens that DRY looks at; 0: off */
    float repeat, presence, frequency;
    float dry_multiplier, dry_base;
    size_t dry_allowed;

    /* The last tokens, in order. Twice as many places as are ever needed: when they are full the
     * needed half moves to the front, so a window is always one run. */
    int32_t *tokens;
    size_t used, keep;
    /* Of the tokens in `window`: how often each occurs (n_vocab), and the list of those that do
     * (place[id] is where in it), so that a pick touches only them. */
    int32_t *count, *place, *present;
    size_t n_present;
    int32_t *match;         /* DRY: a number per place of dry_window */
    int32_t *longest;       /* DRY: n_vocab, zero between picks */
    unsigned char *breaker; /* n_vocab: the token ends a sequence */
} SamplerHistory;

/* Takes the arrays from the arena (counting or real) by the fields before them. */
void sampler_history_place(SamplerHistory *history, Arena *arena);
void sampler_history_add(SamplerHistory *history, int32_t token); /* 0 <= token < n_vocab */
void sampler_history_penalise(SamplerHistory *history, float *logits);

#endif
