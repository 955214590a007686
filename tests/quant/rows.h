/* Made-up rows for the tests of writers, the same on every machine. */
#ifndef TESTS_QUANT_ROWS_H
#define TESTS_QUANT_ROWS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

static inline double row_uniform(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return ((double)(*seed >> 33) + 0.5) / 2147483648.0;
}

static inline double row_gaussian(uint64_t *seed)
{
    double radius = sqrt(-2 * log(row_uniform(seed)));
    return radius * cos(6.283185307179586 * row_uniform(seed));
}

static inline void row_fill(float *x, size_t n, double spread, uint64_t *seed)
{
    for (size_t i = 0; i < n; i++) x[i] = (float)(spread * row_gaussian(seed));
}

/* Importance as activations have it: some columns a hundred times as large as others. */
static inline void row_importance(float *w, size_t n, uint64_t *seed)
{
    for (size_t i = 0; i < n; i++) w[i] = (float)(1e-4 * exp(2 * row_gaussian(seed)));
}

/* Squared error, each weighted by w, or not where w is NULL. */
static inline double row_error(const float *x, const float *y, const float *w, size_t n)
{
    double e = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] - y[i];
        e += d * d * (w ? w[i] : 1);
    }
    return e;
}

#endif
