/* The sampler of bantam.h on plain arrays: it knows a vocabulary's size and can ask for a token's
 * text, nothing of models. bt_sampler_open (sampler_model.c) is a wrapper around this; the other
 * bt_sampler_* functions live in sampler.c. docs/sampling.md defines every stage. */
#ifndef ENGINE_SAMPLER_H
#define ENGINE_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Most tokens a window (penalty_last_n, dry_last_n) may hold. */
#define SAMPLER_HISTORY_MAX (1 << 20)

typedef struct SamplerSetup {
    int32_t n_vocab;   /* > 0 */
    int32_t n_history; /* what "all" means for windows: 1 .. SAMPLER_HISTORY_MAX */
    /* Bytes of a token; returns the length, which may exceed capacity, or negative. Asked only
     * while opening, and only for DRY's sequence breakers; NULL: no token is a breaker. */
    int64_t (*text)(void *user, bt_token id, char *out, size_t capacity);
    void *user;
} SamplerSetup;

typedef struct SamplerCandidate {
    bt_token id;
    float logit;
    double key; /* what a stage orders by */
    double p;   /* a weight within a stage; at the end the probability, all summing to 1 */
} SamplerCandidate;

/* As bt_sampler_open, but a seed of 0 is taken as it is. BT_E_ARGUMENT names the option. */
bt_status sampler_core_open(const bt_sampler_options *options, const SamplerSetup *setup,
                            bt_sampler **out, bt_error *err);
/* All of bt_sampler_pick but the draw: changes the logits, gives the tokens that may be drawn
 * (at least one; order unspecified but repeatable). Owned by the sampler, valid until its next
 * call. Draws nothing and accepts nothing. */
size_t sampler_candidates(bt_sampler *sampler, float *logits, const SamplerCandidate **out);
/* The token comes next, as if it had been picked: a grammar moves by it too. */
void sampler_take(bt_sampler *sampler, bt_token token);
/* Mirostat's present bound on surprise, in bits. */
double sampler_surprise_bound(const bt_sampler *sampler);

#endif
