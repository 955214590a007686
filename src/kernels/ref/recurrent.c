/* Recurrences in plain C: what they mean. Each step computes in float64 and rounds the state to
 * float32 once, so that a faster version is judged against the right answer. */
#include <math.h>
#include <string.h>

#include "kernels/parts.h"

static void conv_step(const float *x, const float *weight, const float *bias, size_t stride,
                      size_t taps, size_t n, float *tail, float *out)
{
    for (size_t c = 0; c < n; c++) {
        double sum = bias ? (double)bias[c] : 0;
        for (size_t t = 0; t + 1 < taps; t++)
            sum += (double)weight[t * stride + c] * tail[t * stride + c];
        out[c] = (float)(sum + (double)weight[(taps - 1) * stride + c] * x[c]);
    }
    for (size_t t = 0; t + 1 < taps; t++)
        memcpy(tail + t * stride, t + 2 < taps ? tail + (t + 1) * stride : x, n * sizeof *tail);
}

/* h = decay h + add b; returns h c */
static double advance(float *h, double decay, double add, const float *b, const float *c, size_t i)
{
    h[i] = (float)(decay * h[i] + add * b[i]);
    return (double)h[i] * c[i];
}

static void scan_step(const float *x, const float *dt, const float *a, const float *d,
                      const float *b, const float *c, size_t n, size_t width, float *h, float *out)
{
    for (size_t j = 0; j < n; j++) {
        double sum = (double)d[j] * x[j], add = (double)dt[j] * x[j];
        for (size_t i = 0; i < width; i++)
            sum += advance(h + j * width, exp((double)dt[j] * a[j * width + i]), add, b, c, i);
        out[j] = (float)sum;
    }
}

static void ssd_step(const float *x, float decay, float dt, float d, const float *b, const float *c,
                     size_t n, size_t width, float *h, float *out)
{
    for (size_t j = 0; j < n; j++) {
        double sum = (double)d * x[j], add = (double)dt * x[j];
        for (size_t i = 0; i < width; i++) sum += advance(h + j * width, decay, add, b, c, i);
        out[j] = (float)sum;
    }
}

static void delta_step(const float *q, const float *k, const float *v, float decay, float beta,
                       size_t n, size_t width, float *s, float *out)
{
    for (size_t j = 0; j < n; j++) {
        float *row = s + j * width;
        double known = 0, sum = 0;
        for (size_t i = 0; i < width; i++) known += (double)row[i] * k[i];
        double change = beta * ((double)v[j] - decay * known);
        for (size_t i = 0; i < width; i++) sum += advance(row, decay, change, k, q, i);
        out[j] = (float)sum;
    }
}

void kernels_ref_recurrent(Kernels *table)
{
    table->conv_step = conv_step;
    table->scan_step = scan_step;
    table->ssd_step = ssd_step;
    table->delta_step = delta_step;
}
