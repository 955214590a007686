/* What kernels of training are given. */
#ifndef KERNELS_TRAIN_H
#define KERNELS_TRAIN_H

#include <stddef.h>

/* One step of AdamW (Loshchilov and Hutter, arXiv 1711.05101) for numbers w with gradients g and
 * moments m, v:  g *= scale;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
 * w = keep w - rate m / (root sqrt(v) + eps). */
typedef struct AdamStep {
    float scale, beta1, beta2, eps;
    float rate; /* learning rate / (1 - beta1^t) */
    float root; /* 1 / sqrt(1 - beta2^t) */
    float keep; /* 1 - learning rate * decay */
} AdamStep;

/* Scores of one query, q.k, become what they are compared by: capped where cap is not 0. */
typedef struct ScoreRow {
    size_t n, from, to; /* n scores, of which [from, to) are seen: from <= to <= n */
    float scale, cap;
} ScoreRow;

#endif
