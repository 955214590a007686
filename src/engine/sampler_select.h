/* Choosing among candidates: the stages that cut, without sorting a vocabulary. */
#ifndef ENGINE_SAMPLER_SELECT_H
#define ENGINE_SAMPLER_SELECT_H

#include "engine/sampler.h"

/* Logits, and the largest of every 64 of them (Kernels.peaks), by which most are passed over; 64
 * whose largest is -inf are not looked at. */
typedef struct SamplerRow {
    float *x, *peak;
    size_t n;
    float max; /* the largest of all */
} SamplerRow;

#define SAMPLER_PEAKS(n) (((size_t)(n) + 63) / 64)

/* Takes the largest from the peaks. */
void sampler_find_max(SamplerRow *row);
/* The first id whose logit is the largest; 0: all are -inf. */
bt_token sampler_first(const SamplerRow *row);
/* The k most likely (of equals those with the lower id), fewer where logits are -inf; most
 * likely first. `out` holds k. */
size_t sampler_top(const SamplerRow *row, size_t k, SamplerCandidate *out);
/* All whose logit is not -inf and at least `least`, by id. `out` holds n. */
size_t sampler_above(const SamplerRow *row, double least, SamplerCandidate *out);
/* Sum of exp((logit - max) / temperature): at least 1. */
double sampler_sum(const SamplerRow *row, double temperature);

/* `total`, where it is asked, is the sampler_sum that p is a share of; 0: that of the candidates.
 *
 * The cuts give the number kept (at least 1), which come to the front of c[0 .. n), n > 0. */

/* The fewest, taken by falling key (of equals the lower id first), whose p sum to >= mass. */
size_t sampler_keep_mass(SamplerCandidate *c, size_t n, double mass);
size_t sampler_cut_typical(SamplerCandidate *c, size_t n, double typical_p);
size_t sampler_cut_top_p(SamplerCandidate *c, size_t n, double top_p, double total);
size_t sampler_cut_min_p(SamplerCandidate *c, size_t n, double min_p);
/* p becomes the share of exp(logit / temperature). */
void sampler_softmax(SamplerCandidate *c, size_t n, double temperature, double total);
/* Takes those with -log2 p > bound away, most likely one apart, and makes p sum to 1 again.
 * *kept is the share of p that stayed. */
size_t sampler_cut_surprise(SamplerCandidate *c, size_t n, double bound, double *kept);

#endif
