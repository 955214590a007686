/* How far the answers of one model are from those of another: at each position both give a
 * distribution over the next token, P of the one taken as the truth and Q of the other. */
#ifndef QUANT_DIVERGENCE_H
#define QUANT_DIVERGENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bantam/bantam.h"

typedef struct Score {   /* of one model against the text */
    double sum, squares; /* of -log p(token that came) */
} Score;

typedef struct Divergence {
    double *kl;                 /* (n) sum of p log(p / q) at each position */
    size_t n, capacity, n_same; /* n_same: both find the same token the likeliest */
    Score p, q;
} Divergence;

/* False: no memory. NaN logits give a KL of infinity. */
bool divergence_add(Divergence *d, const float *p, const float *q, int32_t n_vocab, bt_token next);
void divergence_close(Divergence *d);
double divergence_mean(const Divergence *d);
/* Standard error of the mean. */
double divergence_error(const Divergence *d);
/* The value below which `share` of all lie, between neighbours by linear interpolation. Sorts. */
double divergence_quantile(Divergence *d, double share);
/* exp of the mean of -log p, and its standard error. */
double score_perplexity(const Score *s, size_t n, double *error);

#endif
