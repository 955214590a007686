/* Attention of a tile of queries over a run of keys, in plain C: what it means. Maxima and
 * denominators are given out with the sums, so that runs can be added up afterwards: Milakov and
 * Gimelshein, "Online normalizer calculation for softmax" (2018). */
#include <math.h>
#include <stddef.h>

#include "kernels/parts.h"
#include "tensor/dtype.h"
#include "tensor/half.h"

/* Query i: scores into s, then its sums. */
static void one_query(const AttendRun *run, size_t i, const float *keys, const float *values,
                      float *s)
{
    size_t first = (size_t)run->first[i], limit = (size_t)run->limit[i], e = run->e;
    float top = -INFINITY, *acc = run->acc + i * run->e_v;
    for (size_t j = first; j < limit; j++) {
        double sum = 0;
        for (size_t d = 0; d < e; d++) sum += (double)run->q[i * e + d] * keys[j * e + d];
        if (run->soft_cap != 0) sum = run->soft_cap * tanh(sum / run->soft_cap);
        s[j] = (float)sum;
        if (s[j] > top) top = s[j];
    }
    run->m[i] = top;
    if (top == -INFINITY) limit = first; /* nothing to weigh */
    double sum = 0;
    for (size_t j = first; j < limit; j++) {
        s[j] = (float)exp((double)s[j] - top);
        sum += s[j];
    }
    run->l[i] = (float)sum;
    for (size_t d = 0; d < run->e_v; d++) {
        double a = 0;
        for (size_t j = first; j < limit; j++) a += (double)s[j] * values[j * run->e_v + d];
        acc[d] = (float)a;
    }
}

static void attend(const AttendRun *run)
{
    Kernels convert;
    kernels_ref_convert(&convert);
    float *keys = run->work, *values = keys + run->n * run->e, s[ATTEND_RUN];
    size_t low = run->n, high = 0;
    for (size_t i = 0; i < run->nq; i++) {
        if (run->first[i] >= run->limit[i]) continue;
        if ((size_t)run->first[i] < low) low = (size_t)run->first[i];
        if ((size_t)run->limit[i] > high) high = (size_t)run->limit[i];
    }
    for (size_t j = low; j < high; j++) {
        size_t b = j / ATTEND_BLOCK, at = j % ATTEND_BLOCK;
        convert.to_f32(run->k_type, run->k[b] + at * run->k_stride, keys + j * run->e, run->e);
        convert.to_f32(run->v_type, run->v[b] + at * run->v_stride, values + j * run->e_v,
                       run->e_v);
    }
    for (size_t i = 0; i < run->nq; i++) one_query(run, i, keys, values, s);
}

void kernels_ref_attend(Kernels *table)
{
    table->attend = attend;
}
