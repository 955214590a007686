/* Recurrences for any vector width (see wide.h). Lanes run along channels in the convolution, along
 * a state's row elsewhere; four rows of a state go together, so that their sums across are taken at
 * once and what serves all rows is read once. A row's bits do not depend on the others. */
#ifndef KERNELS_WIDE_RECURRENT_H
#define KERNELS_WIDE_RECURRENT_H

#include <string.h>

#include "kernels/parts.h"
#include "kernels/wide/unroll.h"
#include "kernels/wide/wide.h"

WIDE vf load_some(const float *p, size_t some)
{
    return some == LANES ? vf_load(p) : vf_load_part(p, some);
}

/* Channels [i, i + some) */
WIDE void convolve(const float *x, const float *weight, const float *bias, size_t stride,
                   size_t taps, const float *tail, size_t i, size_t some, float *out)
{
    vf sum = bias ? load_some(bias + i, some) : vf_set(0);
    for (size_t t = 0; t + 1 < taps; t++)
        sum = vf_fma(load_some(weight + t * stride + i, some),
                     load_some(tail + t * stride + i, some), sum);
    sum = vf_fma(load_some(weight + (taps - 1) * stride + i, some), load_some(x + i, some), sum);
    if (some == LANES)
        vf_store(out + i, sum);
    else
        vf_store_part(out + i, sum, some);
}

static void conv_step(const float *x, const float *weight, const float *bias, size_t stride,
                      size_t taps, size_t n, float *tail, float *out)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) convolve(x, weight, bias, stride, taps, tail, i, LANES, out);
    if (i < n) convolve(x, weight, bias, stride, taps, tail, i, n - i, out);
    for (size_t t = 0; t + 1 < taps; t++)
        memcpy(tail + t * stride, t + 2 < taps ? tail + (t + 1) * stride : x, n * sizeof *tail);
}

/* ---- Mamba: every channel decays by its own row of a ---- */

static void scan_step(const float *x, const float *dt, const float *a, const float *d,
                      const float *b, const float *c, size_t n, size_t width, float *h, float *out)
{
    for (size_t j = 0; j < n; j++, a += width, h += width) {
        vf step = vf_set(dt[j]), add = vf_set(dt[j] * x[j]), sum = vf_set(0);
        size_t i = 0;
        for (; i + LANES <= width; i += LANES) {
            vf decay = vf_exp(vf_mul(step, vf_load(a + i)));
            vf s = vf_fma(decay, vf_load(h + i), vf_mul(add, vf_load(b + i)));
            vf_store(h + i, s);
            sum = vf_fma(s, vf_load(c + i), sum);
        }
        if (i < width) {
            vf decay = vf_exp(vf_mul(step, vf_load_part(a + i, width - i)));
            vf s = vf_fma(decay, vf_load_part(h + i, width - i),
                          vf_mul(add, vf_load_part(b + i, width - i)));
            vf_store_part(h + i, s, width - i);
            sum = vf_fma(s, vf_load_part(c + i, width - i), sum);
        }
        out[j] = d[j] * x[j] + vf_sum(sum);
    }
}

/* ---- Mamba 2 and the delta rule: a head decays as one ---- */

/* h[r] = decay h[r] + add[r] b; out[r] = h[r] c, for `rows` (1 or 4) rows. */
WIDE void advance(int rows, float decay, const float *add, const float *b, const float *c,
                  size_t width, float *h, float *out)
{
    vf by = vf_set(decay), sum[4], more[4];
    UNROLL
    for (int r = 0; r < rows; r++) sum[r] = vf_set(0), more[r] = vf_set(add[r]);
    size_t i = 0;
    for (; i + LANES <= width; i += LANES) {
        vf left = vf_load(b + i), right = vf_load(c + i);
        UNROLL
        for (int r = 0; r < rows; r++) {
            float *at = h + (size_t)r * width + i;
            vf s = vf_fma(more[r], left, vf_mul(by, vf_load(at)));
            vf_store(at, s);
            sum[r] = vf_fma(s, right, sum[r]);
        }
    }
    if (i < width) {
        vf left = vf_load_part(b + i, width - i), right = vf_load_part(c + i, width - i);
        UNROLL
        for (int r = 0; r < rows; r++) {
            float *at = h + (size_t)r * width + i;
            vf s = vf_fma(more[r], left, vf_mul(by, vf_load_part(at, width - i)));
            vf_store_part(at, s, width - i);
            sum[r] = vf_fma(s, right, sum[r]);
        }
    }
    if (rows == 4)
        v4_store(out, vf_sum4(sum[0], sum[1], sum[2], sum[3]));
    else
        out[0] = v4_first(vf_sum4(sum[0], vf_set(0), vf_set(0), vf_set(0)));
}

/* out[r] = h[r] k */
WIDE void ask(int rows, const float *k, size_t width, const float *h, float *out)
{
    vf sum[4];
    UNROLL
    for (int r = 0; r < rows; r++) sum[r] = vf_set(0);
    size_t i = 0;
    for (; i + LANES <= width; i += LANES) {
        vf key = vf_load(k + i);
        UNROLL
        for (int r = 0; r < rows; r++)
            sum[r] = vf_fma(vf_load(h + (size_t)r * width + i), key, sum[r]);
    }
    if (i < width) {
        vf key = vf_load_part(k + i, width - i);
        UNROLL
        for (int r = 0; r < rows; r++)
            sum[r] = vf_fma(vf_load_part(h + (size_t)r * width + i, width - i), key, sum[r]);
    }
    if (rows == 4)
        v4_store(out, vf_sum4(sum[0], sum[1], sum[2], sum[3]));
    else
        out[0] = v4_first(vf_sum4(sum[0], vf_set(0), vf_set(0), vf_set(0)));
}

WIDE void ssd_rows(int rows, const float *x, float decay, float dt, float d, const float *b,
                   const float *c, size_t width, float *h, float *out)
{
    float add[4], sum[4];
    for (int r = 0; r < rows; r++) add[r] = dt * x[r];
    advance(rows, decay, add, b, c, width, h, sum);
    for (int r = 0; r < rows; r++) out[r] = d * x[r] + sum[r];
}

static void ssd_step(const float *x, float decay, float dt, float d, const float *b, const float *c,
                     size_t n, size_t width, float *h, float *out)
{
    size_t j = 0;
    for (; j + 4 <= n; j += 4)
        ssd_rows(4, x + j, decay, dt, d, b, c, width, h + j * width, out + j);
    for (; j < n; j++) ssd_rows(1, x + j, decay, dt, d, b, c, width, h + j * width, out + j);
}

WIDE void delta_rows(int rows, const float *q, const float *k, const float *v, float decay,
                     float beta, size_t width, float *s, float *out)
{
    float change[4];
    ask(rows, k, width, s, change);
    for (int r = 0; r < rows; r++) change[r] = beta * (v[r] - decay * change[r]);
    advance(rows, decay, change, k, q, width, s, out);
}

static void delta_step(const float *q, const float *k, const float *v, float decay, float beta,
                       size_t n, size_t width, float *s, float *out)
{
    size_t j = 0;
    for (; j + 4 <= n; j += 4)
        delta_rows(4, q, k, v + j, decay, beta, width, s + j * width, out + j);
    for (; j < n; j++) delta_rows(1, q, k, v + j, decay, beta, width, s + j * width, out + j);
}

static void register_recurrent(Kernels *table)
{
    table->conv_step = conv_step;
    table->scan_step = scan_step;
    table->ssd_step = ssd_step;
    table->delta_step = delta_step;
}

#endif
