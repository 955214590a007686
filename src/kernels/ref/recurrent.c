/* Recurrences in plain C: what they mean. Each step computes in float64 and rounds the state to
 * float32 once, so that a faster version is judged against the right answer. Products of a row's
 * own numbers that serve its whole state (dt x, and dt a in an exponential) are float32's in every
 * version: what a state adds up to can hang on them (see tests/engine/test_golden_models.c). */
#include <math.h>
#include <string.h>

#include "kernels/parts.h"

static void conv_rows(const float *x, size_t stride, const float *weight, const float *bias,
                      size_t w_stride, size_t taps, size_t rows, size_t n, float *tail, float *out,
                      size_t out_stride)
{
    for (size_t r = 0; r < rows; r++, x += stride, out += out_stride) {
        for (size_t c = 0; c < n; c++) {
            double sum = bias ? (double)bias[c] : 0;
            for (size_t t = 0; t + 1 < taps; t++)
                sum += (double)weight[t * w_stride + c] * tail[t * w_stride + c];
            out[c] = (float)(sum + (double)weight[(taps - 1) * w_stride + c] * x[c]);
        }
        for (size_t t = 0; t + 1 < taps; t++)
            memcpy(tail + t * w_stride, t + 2 < taps ? tail + (t + 1) * w_stride : x,
                   n * sizeof *tail);
    }
}

/* h = decay h + add b; returns h c */
static double advance(float *h, double decay, double add, float b, float c)
{
    *h = (float)(decay * *h + add * b);
    return (double)*h * c;
}

static void scan_rows(const float *x, const float *dt, size_t stride, const float *a,
                      const float *d, const float *b, const float *c, size_t bc_stride, size_t rows,
                      size_t n, size_t width, float *h, float *out)
{
    for (size_t t = 0; t < rows; t++) {
        for (size_t j = 0; j < n; j++) {
            float add = dt[j] * x[j];
            double sum = (double)d[j] * x[j];
            for (size_t i = 0; i < width; i++) {
                size_t at = state_at(n, width, j, i);
                float power = dt[j] * a[at];
                sum += advance(h + at, exp((double)power), add, b[i], c[i]);
            }
            out[j] = (float)sum;
        }
        x += stride, dt += stride, out += stride, b += bc_stride, c += bc_stride;
    }
}

static void ssd_rows(const float *x, size_t stride, const float *decay, const float *dt, float d,
                     const float *b, const float *c, size_t bc_stride, size_t rows, size_t n,
                     size_t width, float *h, float *out, size_t out_stride)
{
    for (size_t t = 0; t < rows;
         t++, x += stride, out += out_stride, b += bc_stride, c += bc_stride)
        for (size_t j = 0; j < n; j++) {
            float add = dt[t] * x[j];
            double sum = (double)d * x[j];
            for (size_t i = 0; i < width; i++)
                sum += advance(h + state_at(n, width, j, i), decay[t], add, b[i], c[i]);
            out[j] = (float)sum;
        }
}

static void delta_rows(const float *q, const float *k, size_t qk_stride, const float *v,
                       size_t stride, const float *decay, const float *beta, size_t rows, size_t n,
                       size_t width, float *s, float *out, size_t out_stride)
{
    for (size_t t = 0; t < rows;
         t++, v += stride, out += out_stride, q += qk_stride, k += qk_stride)
        for (size_t j = 0; j < n; j++) {
            double known = 0, sum = 0;
            for (size_t i = 0; i < width; i++) known += (double)s[state_at(n, width, j, i)] * k[i];
            double change = beta[t] * ((double)v[j] - decay[t] * known);
            for (size_t i = 0; i < width; i++)
                sum += advance(s + state_at(n, width, j, i), decay[t], change, k[i], q[i]);
            out[j] = (float)sum;
        }
}

void kernels_ref_recurrent(Kernels *table)
{
    table->conv_rows = conv_rows;
    table->scan_rows = scan_rows;
    table->ssd_rows = ssd_rows;
    table->delta_rows = delta_rows;
}
