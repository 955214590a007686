/* Scales and offsets of least weighted squared error (see fit.h).
 *
 * For given codes the best scale is a division of two sums, and for a given scale the best codes
 * are the nearest ones; alternating never gets worse but stops in the next valley. So a number of
 * trial scales is compared first, each by the error after one exact step, and the best is followed
 * down. */
#include "quant/fit.h"

#include <math.h>

#include "quant/lanes.h"
#include "tensor/half.h"

enum { DESCENTS = 6 };

/* Parts so small beside their block are zero. */
#define VANISHING 0x1p-60f

float fit_half(float a, int exponent, uint8_t out[2])
{
    double v = ldexp((double)a, exponent);
    v = v > 65504 ? 65504 : v < -65504 ? -65504 : v;
    uint16_t h = f32_to_f16((float)v);
    out[0] = (uint8_t)h;
    out[1] = (uint8_t)(h >> 8);
    return (float)ldexp((double)f16_to_f32(h), -exponent);
}

FitSums fit_range(const void *codes, FitPart p, float d)
{
    const FitRange *range = codes;
    Lanes rr = lanes_set(0), rv = rr, vv = rr, lo = lanes_set(range->lo), hi = lanes_set(range->hi);
    Lanes scale = lanes_set(d), inverse = lanes_set(1 / d);
    for (int i = 0; i < p.n; i += 4) {
        Lanes x = lanes_load(p.x + i), w = lanes_load(p.w + i);
        Lanes q = lanes_round(lanes_min(lanes_max(x * inverse, lo), hi));
        Lanes r = x - scale * q, wr = w * r;
        rr += wr * r;
        rv += wr * q;
        vv += w * q * q;
    }
    return (FitSums){lanes_sum(rr), lanes_sum(rv), lanes_sum(vv)};
}

/* The number of largest magnitude, with its sign. */
static float largest(const float *x, int n)
{
    float m = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(m)) m = x[i];
    return m;
}

static void try_scale(FitPart p, FitFn *sums, const void *codes, float d, FitScale *best)
{
    if (!(fabsf(d) > VANISHING)) return;
    FitSums s = sums(codes, p, d);
    if (s.vv <= 0) return;
    float error = s.rr - s.rv * (s.rv / s.vv);
    if (error < best->error) *best = (FitScale){d + s.rv / s.vv, error > 0 ? error : 0, s.vv};
}

FitScale fit_scale(FitPart p, FitTrials t, FitFn *sums, const void *codes)
{
    float m = largest(p.x, p.n);
    FitScale best = {0, INFINITY, 0};
    if (fabsf(m) < VANISHING) return (FitScale){0, 0, 0};
    if (!t.both) m = fabsf(m);
    for (int i = 0; i < t.count; i++) {
        float k = t.first + (float)i * t.step;
        try_scale(p, sums, codes, m / k, &best);
        if (t.both) try_scale(p, sums, codes, -m / k, &best);
    }
    for (int i = 0; i < DESCENTS; i++) {
        float before = best.error;
        try_scale(p, sums, codes, best.scale, &best);
        if (!(best.error < before)) break;
    }
    return best;
}

FitLineSums fit_line_sums(FitPart p, float hi, float d, float m)
{
    Lanes zero = lanes_set(0), rr = zero, r1 = zero, rq = zero, q1 = zero, qq = zero, w1 = zero;
    Lanes scale = lanes_set(d), offset = lanes_set(m),
          inverse = lanes_set(d > VANISHING ? 1 / d : 0);
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
    return (FitLineSums){lanes_sum(rr), lanes_sum(r1), lanes_sum(rq),
                         lanes_sum(q1), lanes_sum(qq), lanes_sum(w1)};
}

FitLine fit_line_step(FitPart p, float hi, bool below, float d, float m)
{
    FitLineSums s = fit_line_sums(p, hi, d, m);
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
    return (FitLine){d + dd, m + dm, error > 0 ? error : 0, s.qq, s.q, s.w};
}

static void try_line(FitPart p, float hi, bool below, float d, float m, FitLine *best)
{
    if (!(d > VANISHING)) return;
    FitLine line = fit_line_step(p, hi, below, d, m);
    if (line.error < best->error && line.scale > 0) *best = line;
}

FitLine fit_line(FitPart p, float hi, bool below)
{
    float low = p.x[0], high = p.x[0], w = 0;
    for (int i = 0; i < p.n; i++) {
        low = p.x[i] < low ? p.x[i] : low;
        high = p.x[i] > high ? p.x[i] : high;
        w += p.w[i];
    }
    if (below && low > 0) low = 0;
    if (high - low < VANISHING) return (FitLine){0, low, 0, 0, 0, w};
    FitLine best = {0, low, INFINITY, 0, 0, w};
    /* How far beyond the end codes the outermost numbers come to lie: there they are clipped. The
     * last three are for numbers read from blocks that do not take both end codes. */
    static const float cut[] = {-0.2f, 0, 0.25f, 0.5f, 0.75f, 1.0f};
    static const float inner[3][2] = {{-1, 0}, {0, -1}, {-1, -1}};
    enum { CUTS = sizeof cut / sizeof cut[0] };
    for (int i = 0; i < CUTS * CUTS + 3; i++) {
        float a = i < 3 ? inner[i][0] : cut[(i - 3) / CUTS];
        float z = i < 3 ? inner[i][1] : cut[(i - 3) % CUTS];
        float d = (high - low) / (hi + a + z), m = low + a * d;
        try_line(p, hi, below, d, below && m > 0 ? 0 : m, &best);
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
    for (int i = 0; i < 2; i++) {
        FitLineSums s = fit_line_sums(p, hi, scale, offset);
        offset += s.w > 0 ? s.r / s.w : 0;
    }
    return offset;
}

float fit_line_error(FitPart p, float hi, float d, float m)
{
    Lanes rr = lanes_set(0), zero = rr, top = lanes_set(hi);
    Lanes scale = lanes_set(d), offset = lanes_set(m),
          inverse = lanes_set(d > VANISHING ? 1 / d : 0);
    for (int i = 0; i < p.n; i += 4) {
        Lanes y = lanes_load(p.x + i) - offset;
        Lanes r = y - scale * lanes_round(lanes_min(lanes_max(y * inverse, zero), top));
        rr += lanes_load(p.w + i) * r * r;
    }
    return lanes_sum(rr);
}

void fit_codes(const float *x, int n, float scale, float offset, FitRange range, int8_t *q)
{
    float inverse = fabsf(scale) > VANISHING ? 1 / scale : 0;
    for (int i = 0; i < n; i++) {
        float t = (x[i] - offset) * inverse;
        t = t < range.lo ? range.lo : t;
        t = t > range.hi ? range.hi : t;
        q[i] = (int8_t)((t + 0x1.8p23f) - 0x1.8p23f);
    }
}
