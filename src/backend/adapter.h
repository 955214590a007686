/* What adapters add to the products of a model's weights (LoRA, arXiv 2106.09685). A row of a step
 * has the adapters of its sequence: rows with different ones share a step. */
#ifndef BACKEND_ADAPTER_H
#define BACKEND_ADAPTER_H

#include "backend/weight.h"

/* y = factor (W x) + bias + scale B (A x), for each matrix of a weight. */
typedef struct LowRank {
    const float *a; /* (n_mats, rank, k), matrices a_stride floats apart */
    const float *b; /* (n_mats, n, rank), b_stride */
    /* (n_mats, n), factor_stride: of the weight's own product without its bias (DoRA); NULL: 1 */
    const float *factor;
    size_t a_stride, b_stride, factor_stride;
    int32_t rank; /* 0: nothing is added */
    float scale;
    /* In training the factor holds for the sum: y = factor (W x + scale B (A x)) + bias, and is
     * magnitude times `inverse`, that of the rows' lengths, which counts as constant. */
    bool whole;
    const float *magnitude, *inverse; /* (n); NULL: none is trained */
} LowRank;

typedef struct Adapters {
    const LowRank *of; /* (n): by the weight's id */
    int32_t n;
    /* Of the table that tokens are looked up in: its rows plus rows of b times a. */
    LowRank embedding;
} Adapters;

/* NULL: none. Either may be NULL. */
static inline const LowRank *adapters_find(const Adapters *adapters, const Weight *w)
{
    if (!adapters || !w || w->id <= 0 || w->id >= adapters->n) return NULL;
    const LowRank *d = &adapters->of[w->id];
    return d->rank > 0 ? d : NULL;
}

/* Rows that read matrix `mat` of w with one delta. */
typedef struct AdaptRun {
    const LowRank *delta;
    const Weight *w;
    int64_t mat;
    const float *x; /* (rows, k) */
    size_t x_stride;
    float *h;   /* (rows, rank): scale A x, left there */
    float *sum; /* (rows, n): what `factor` multiplies, left there in training; else NULL */
    float *out; /* (rows, n): holds the weight's product; what is added is */
    size_t out_stride;
    int64_t rows;
} AdaptRun;

/* Gradients of a run's parts, in the shape of those; NULL: frozen, or not wanted. */
typedef struct AdaptGrads {
    float *out; /* becomes that of the weight's own product */
    float *x, *a, *b, *magnitude;
    float *h; /* (rows, rank), work */
} AdaptGrads;

#endif
