/* Attention of a tile of queries over a run of keys, in plain C: what it means.
 * The running form (maximum, denominator and unnormalised sum carried from run to run) is that of
 * Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018), as FlashAttention
 * uses it. A query that sees no key of this run, or only keys of score -inf, is left as it was. */
#include <math.h>
#include <stddef.h>

#include "kernels/parts.h"
#include "tensor/dtype.h"
#include "tensor/half.h"

/* One query against keys [first, limit): scores into s, then the state is moved on. */
static void one_query(const float *q, const float *keys, size_t e, const float *values, size_t e_v,
                      size_t first, size_t limit, float soft_cap, float *s, float *m, float *l,
                      float *acc)
{
    float top = *m;
    for (size_t j = first; j < limit; j++) {
        double sum = 0;
        for (size_t i = 0; i < e; i++) sum += (double)q[i] * keys[j * e + i];
        if (soft_cap != 0) sum = soft_cap * tanh(sum / soft_cap);
        s[j] = (float)sum;
        if (s[j] > top) top = s[j];
    }
    if (top == -INFINITY || first >= limit) return;
    double fade = exp((double)*m - top), sum = *l * fade;
    for (size_t j = first; j < limit; j++) {
        s[j] = (float)exp((double)s[j] - top);
        sum += s[j];
    }
    for (size_t i = 0; i < e_v; i++) {
        double a = acc[i] * fade;
        for (size_t j = first; j < limit; j++) a += (double)s[j] * values[j * e_v + i];
        acc[i] = (float)a;
    }
    *m = top;
    *l = (float)sum;
}

static void attend(uint32_t type, const float *q, size_t q_stride, size_t nq, size_t e, size_t e_v,
                   const void *k, size_t k_stride, const void *v, size_t v_stride, size_t n,
                   const int32_t *first, const int32_t *limit, float soft_cap, float *m, float *l,
                   float *acc, float *work)
{
    Kernels convert;
    kernels_ref_convert(&convert);
    float *s = work, *keys = s + nq * n, *values = keys + n * e;
    for (size_t j = 0; j < n; j++) {
        convert.to_f32(type, (const char *)k + j * k_stride, keys + j * e, e);
        convert.to_f32(type, (const char *)v + j * v_stride, values + j * e_v, e_v);
    }
    for (size_t i = 0; i < nq; i++)
        one_query(q + i * q_stride, keys, e, values, e_v, (size_t)first[i], (size_t)limit[i],
                  soft_cap, s + i * n, m + i, l + i, acc + i * e_v);
}

void kernels_ref_attend(Kernels *table)
{
    table->attend = attend;
}
