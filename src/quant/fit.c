/* Scales and offsets of least weighted squared error (see fit.h).
 *
 * For given codes the best scale is a division of two sums, and for a given scale the best codes
 * are the nearest ones; alternating never gets worse but stops in the next valley. So a number of
 * trial scales is compared first, each by the error after one exact step, and the best is followed
 * down. Errors are computed from residuals, not as a difference of large sums: with 8-bit codes
 * the error is a 1e-5th of the sum of squares and float32 would round the differences away. */
#include "quant/fit.h"

#include <math.h>

#include "quant/lanes.h"

enum { DESCENTS = 8 };

float fit_half(float a, int exponent, uint8_t out[2])
{
    double v = ldexp((double)a, exponent);
    v = v > 65504 ? 65504 : v < -65504 ? -65504 : v;
    uint16_t h = f32_to_f16((float)v);
    out[0] = (uint8_t)h;
    out[1] = (uint8_t)(h >> 8);
    return (float)ldexp((double)f16_to_f32(h), -exponent);
}

/* One exact step from scale d: codes nearest for d, then the best scale for those codes. Returns
 * the error after the step and moves *d there. */
static float scale_step(FitPart p, FitCodes c, float *d)
{
    Lanes rr = lanes_set(0), rq = rr, qq = rr, lo = lanes_set(c.lo), hi = lanes_set(c.hi);
    Lanes scale = lanes_set(*d), inverse = lanes_set(1 / *d);
    for (int i = 0; i < p.n; i += 4) {
        Lanes x = lanes_load(p.x + i), w = lanes_load(p.w + i);
        Lanes q = lanes_round(lanes_min(lanes_max(x * inverse, lo), hi));
        Lanes r = x - scale * q, wr = w * r;
        rr += wr * r;
        rq += wr * q;
        qq += w * q * q;
    }
    float s_rr = lanes_sum(rr), s_rq = lanes_sum(rq), s_qq = lanes_sum(qq);
    if (s_qq <= 0) return s_rr;
    *d += s_rq / s_qq;
    float error = s_rr - s_rq * (s_rq / s_qq);
    return error > 0 ? error : 0;
}

/* The number of largest magnitude, with its sign. */
static float largest(const float *x, int n)
{
    float m = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(m)) m = x[i];
    return m;
}

static void try_scale(FitPart p, FitCodes c, float d, float *best, float *error)
{
    float e = scale_step(p, c, &d);
    if (e < *error && d != 0) {
        *error = e;
        *best = d;
    }
}

float fit_scale(FitPart p, FitCodes c)
{
    float m = largest(p.x, p.n), best = 0, error = INFINITY;
    if (fabsf(m) < 0x1p-60f) return 0;
    for (float k = c.first; k <= c.last; k += c.step) {
        try_scale(p, c, m / k, &best, &error);
        if (c.lo != -c.hi) try_scale(p, c, -m / k, &best, &error);
    }
    for (int i = 0; i < DESCENTS; i++) {
        float before = error;
        try_scale(p, c, best, &best, &error);
        if (!(error < before)) break;
    }
    return best;
}

typedef struct LineSums {
    float rr, r, rq, q, qq, w;
} LineSums;

static LineSums line_sums(FitPart p, float hi, float d, float m)
{
    Lanes zero = lanes_set(0), rr = zero, r1 = zero, rq = zero, q1 = zero, qq = zero, w1 = zero;
    Lanes scale = lanes_set(d), offset = lanes_set(m), inverse = lanes_set(d > 0 ? 1 / d : 0);
    Lanes top = lanes_set(hi);
    for (int i = 0; i < p.n; i += 4) {
        Lanes y = lanes_load(p.x + i) - offset, w = lanes_load(p.w + i);
        Lanes q = lanes_round(lanes_min(lanes_max(y * inverse, zero), top));
        Lanes r = y - scale * q, wr = w * r, wq = w * q;
        rr += wr * r;
        r1 += wr;
        rq += wr * q;
        q1 += wq;
        qq += wq * q;
        w1 += w;
    }
    return (LineSums){lanes_sum(rr), lanes_sum(r1), lanes_sum(rq),
                      lanes_sum(q1), lanes_sum(qq), lanes_sum(w1)};
}

/* One exact step from line (d, m), as scale_step. */
static FitLine line_step(FitPart p, float hi, int below, float d, float m)
{
    LineSums s = line_sums(p, hi, d, m);
    float det = s.w * s.qq - s.q * s.q, dd = 0, dm = 0;
    if (det > 1e-6f * s.w * s.qq) {
        dd = (s.w * s.rq - s.q * s.r) / det;
        dm = (s.qq * s.r - s.q * s.rq) / det;
    } else if (s.w > 0) {
        dm = s.r / s.w;
    }
    if (below && m + dm > 0) { /* the best line without an offset */
        dm = -m;
        dd = s.qq > 0 ? (s.rq + m * s.q) / s.qq : 0;
    }
    float error =
        s.rr - 2 * (dd * s.rq + dm * s.r) + dd * dd * s.qq + 2 * dd * dm * s.q + dm * dm * s.w;
    return (FitLine){d + dd, m + dm, error > 0 ? error : 0};
}

static void try_line(FitPart p, float hi, int below, float d, float m, FitLine *best)
{
    if (!(d > 0)) return;
    FitLine line = line_step(p, hi, below, d, m);
    if (line.error < best->error && line.scale > 0) *best = line;
}

FitLine fit_line(FitPart p, float hi, int below)
{
    float low = p.x[0], high = p.x[0];
    for (int i = 1; i < p.n; i++) {
        low = p.x[i] < low ? p.x[i] : low;
        high = p.x[i] > high ? p.x[i] : high;
    }
    if (below && low > 0) low = 0;
    if (high - low < 0x1p-60f) return (FitLine){0, low, 0};
    FitLine best = {0, low, INFINITY};
    /* How far the ends are moved in, in units of a code: the outermost numbers may be clipped. */
    static const float cut[] = {0, -0.25f, 0.25f, 0.5f, 0.75f, 1.0f};
    enum { CUTS = sizeof cut / sizeof cut[0] };
    float unit = (high - low) / hi;
    for (int a = 0; a < CUTS; a++)
        for (int b = 0; b < CUTS; b++) {
            float from = low + cut[a] * unit, to = high - cut[b] * unit;
            if (below && from > 0) from = 0;
            FitLine line = line_step(p, hi, below, (to - from) / hi, from);
            try_line(p, hi, below, line.scale, line.offset, &best);
        }
    for (int i = 0; i < DESCENTS; i++) {
        float before = best.error;
        try_line(p, hi, below, best.scale, best.offset, &best);
        if (!(best.error < before)) break;
    }
    return best;
}

float fit_offset(FitPart p, float hi, float scale, float offset)
{
    for (int i = 0; i < 3; i++) {
        LineSums s = line_sums(p, hi, scale, offset);
        offset += s.w > 0 ? s.r / s.w : 0;
    }
    return offset;
}

void fit_codes(const float *x, int n, float scale, float offset, float lo, float hi, int8_t *q)
{
    float inverse = fabsf(scale) > 0x1p-120f ? 1 / scale : 0;
    for (int i = 0; i < n; i++) {
        float t = (x[i] - offset) * inverse;
        t = t < lo ? lo : t;
        t = t > hi ? hi : t;
        q[i] = (int8_t)((t + 0x1.8p23f) - 0x1.8p23f);
    }
}
