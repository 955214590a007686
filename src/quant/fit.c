/* Scales and offsets of least weighted squared error (see fit.h).
 *
 * For given codes the best scale is a division of two sums, and for a given scale the best codes
 * are the nearest ones; alternating never gets worse but stops in the next valley. So a number of
 * trial scales is compared first, each by the error after one exact step, and the surroundings of
 * the best are searched more closely. */
#include "quant/fit.h"

#include <math.h>

#include "tensor/half.h"

enum { LINE_ROUNDS = 2 };

float fit_half(float a, int exponent, uint8_t out[2])
{
    double v = ldexp((double)a, exponent);
    v = v > 65504 ? 65504 : v < -65504 ? -65504 : v;
    uint16_t h = f32_to_f16((float)v);
    out[0] = (uint8_t)h;
    out[1] = (uint8_t)(h >> 8);
    return (float)ldexp((double)f16_to_f32(h), -exponent);
}

FitSums fit_range(const void *codes, FitPart p, Lanes d, int n)
{
    (void)n;
    const FitRange *range = codes;
    Lanes lo = lanes_set(range->lo), hi = lanes_set(range->hi), inverse = 1 / d;
    FitSums s = {lanes_set(0), lanes_set(0), lanes_set(0)};
    for (int i = 0; i < p.n; i++) {
        Lanes x = lanes_set(p.x[i]), w = lanes_set(p.w[i]);
        Lanes q = lanes_round(lanes_min(lanes_max(x * inverse, lo), hi));
        Lanes r = x - d * q, wr = w * r;
        s.rr += wr * r;
        s.rv += wr * q;
        s.vv += w * q * q;
    }
    return s;
}

/* The number of largest magnitude, with its sign; n a multiple of 4. */
static float largest(const float *x, int n)
{
    Lanes high = lanes_set(0), low = high;
    for (int i = 0; i < n; i += 4) {
        high = lanes_max(high, lanes_load(x + i));
        low = lanes_min(low, lanes_load(x + i));
    }
    float top = 0, bottom = 0;
    for (int i = 0; i < 4; i++) {
        top = high[i] > top ? high[i] : top;
        bottom = low[i] < bottom ? low[i] : bottom;
    }
    return top >= -bottom ? top : bottom;
}

static void try_scales(FitPart p, FitFn *sums, const void *codes, Lanes d, int n, FitScale *best)
{
    FitSums s = sums(codes, p, d, n);
    LaneMask some = s.vv > lanes_set(0);
    Lanes step = s.rv / lanes_pick(some, s.vv, lanes_set(1));
    float scale[4], error[4], vv[4];
    lanes_store(scale, d + step);
    lanes_store(error, lanes_pick(some, s.rr - s.rv * step, lanes_set(INFINITY)));
    lanes_store(vv, s.vv);
    for (int i = 0; i < n; i++)
        if (error[i] < best->error)
            *best = (FitScale){scale[i], error[i] > 0 ? error[i] : 0, vv[i]};
}

FitScale fit_scale(FitPart p, FitTrials t, FitFn *sums, const void *codes)
{
    float m = largest(p.x, p.n);
    FitScale best = {0, INFINITY, 0};
    if (fabsf(m) < FIT_VANISHING) return (FitScale){0, 0, 0};
    Lanes place = t.both ? (Lanes){0, 0, 1, 1} : (Lanes){0, 1, 2, 3};
    Lanes side = t.both ? (Lanes){m, -m, m, -m} : lanes_set(fabsf(m));
    int trials = t.both ? 2 * t.count : t.count;
    for (int i = 0; i < trials; i += 4) {
        float done = (float)(t.both ? i / 2 : i);
        int n = trials - i < 4 ? trials - i : 4;
        try_scales(p, sums, codes, side / (t.first + t.step * (done + place)), n, &best);
    }
    float apart = t.step / (t.first + t.step * (float)t.count); /* of trials, about */
    if (best.error > 0)
        try_scales(p, sums, codes, best.scale * (1 + apart * (Lanes){0, 0.5f, -0.5f, 0.25f}), 4,
                   &best);
    return best;
}

FitLineSums fit_line_sums(FitPart p, float hi, Lanes scale, Lanes offset)
{
    Lanes zero = lanes_set(0), top = lanes_set(hi);
    LaneMask some = scale > lanes_set(FIT_VANISHING);
    Lanes inverse = lanes_pick(some, 1 / lanes_pick(some, scale, lanes_set(1)), zero);
    FitLineSums s = {zero, zero, zero, zero, zero, zero};
    for (int i = 0; i < p.n; i++) {
        Lanes y = lanes_set(p.x[i]) - offset, w = lanes_set(p.w[i]);
        Lanes q = lanes_round(lanes_min(lanes_max(y * inverse, zero), top));
        Lanes r = y - scale * q, wr = w * r, wq = w * q;
        s.rr += wr * r;
        s.r += wr;
        s.rq += wr * q;
        s.q += wq;
        s.qq += wq * q;
        s.w += w;
    }
    return s;
}

/* One exact step from four lines: codes nearest for each, then the best line for those codes. */
static void try_lines(FitPart p, float hi, bool below, Lanes d, Lanes m, FitLine *best)
{
    Lanes zero = lanes_set(0), one = lanes_set(1);
    LaneMask valid = d > lanes_set(FIT_VANISHING);
    FitLineSums s = fit_line_sums(p, hi, d, m);
    Lanes det = s.w * s.qq - s.q * s.q;
    LaneMask two = det > 1e-6f * s.w * s.qq;
    Lanes by = lanes_pick(two, det, one);
    Lanes dd = lanes_pick(two, (s.w * s.rq - s.q * s.r) / by, zero);
    Lanes dm = lanes_pick(two, (s.qq * s.r - s.q * s.rq) / by, s.r / s.w);
    if (below) { /* where the offset would be above zero: the best line without one */
        LaneMask above = m + dm > zero;
        Lanes through = (s.rq + m * s.q) / lanes_pick(s.qq > zero, s.qq, one);
        dd = lanes_pick(above, through, dd);
        dm = lanes_pick(above, -m, dm);
    }
    Lanes error =
        s.rr - 2 * (dd * s.rq + dm * s.r) + dd * dd * s.qq + 2 * dd * dm * s.q + dm * dm * s.w;
    float scale[4], offset[4], errors[4], qq[4], w[4];
    lanes_store(scale, d + dd);
    lanes_store(offset, m + dm);
    lanes_store(errors, lanes_pick(valid & (d + dd > zero), error, lanes_set(INFINITY)));
    lanes_store(qq, s.qq);
    lanes_store(w, s.w);
    for (int i = 0; i < 4; i++)
        if (errors[i] < best->error)
            *best = (FitLine){scale[i], offset[i], errors[i] > 0 ? errors[i] : 0, qq[i], w[i]};
}

/* The lines that put the smallest and the largest number so far beyond the end codes. */
typedef struct Ends {
    float low, high, hi;
    bool below;
} Ends;
static void try_ends(FitPart p, const Ends *e, Lanes a, Lanes z, FitLine *best)
{
    Lanes d = (e->high - e->low) / (e->hi + a + z), m = e->low + a * d;
    if (e->below) m = lanes_min(m, lanes_set(0));
    try_lines(p, e->hi, e->below, d, m, best);
}

/* Lines from one whose ends are moved by a and z codes. */
static void try_near(FitPart p, const Ends *e, FitLine from, Lanes a, Lanes z, FitLine *best)
{
    Lanes d = from.scale * (1 + (a + z) / e->hi), m = from.offset - a * from.scale;
    if (e->below) m = lanes_min(m, lanes_set(0));
    try_lines(p, e->hi, e->below, d, m, best);
}

FitLine fit_line(FitPart p, float hi, bool below)
{
    Ends e = {p.x[0], p.x[0], hi, below};
    float w = 0;
    for (int i = 0; i < p.n; i++) {
        e.low = p.x[i] < e.low ? p.x[i] : e.low;
        e.high = p.x[i] > e.high ? p.x[i] : e.high;
        w += p.w[i];
    }
    if (below && e.low > 0) e.low = 0;
    if (e.high - e.low < FIT_VANISHING) return (FitLine){0, e.low, 0, 0, w};
    FitLine best = {0, e.low, INFINITY, 0, w};
    /* Beyond the ends numbers are clipped; inside them lie those that were read from blocks that do
     * not take both end codes. */
    for (int i = 0; i < 3; i++) {
        float a = -0.1f + 0.4f * (float)i;
        try_ends(p, &e, lanes_set(a), (Lanes){-0.1f, 0.2f, 0.5f, 0.8f}, &best);
    }
    try_ends(p, &e, (Lanes){0, -1, -1, 0}, (Lanes){-1, 0, -1, 0}, &best);
    static const float nearer[] = {0.2f, 0.1f, 0.05f};
    for (int i = 0; i < LINE_ROUNDS && best.error > 0; i++) {
        FitLine from = best;
        try_near(p, &e, from, nearer[i] * (Lanes){0, 1, -1, 0}, nearer[i] * (Lanes){0, 0, 0, 1},
                 &best);
        try_near(p, &e, from, nearer[i] * (Lanes){0, 1, -1, 1}, nearer[i] * (Lanes){-1, 1, -1, -1},
                 &best);
    }
    return best;
}

Lanes fit_offset(FitPart p, float hi, Lanes scale, Lanes offset)
{
    FitLineSums s = fit_line_sums(p, hi, scale, offset);
    return offset + s.r / s.w;
}

Lanes fit_line_error(FitPart p, float hi, Lanes scale, Lanes offset)
{
    Lanes zero = lanes_set(0), top = lanes_set(hi), rr = zero;
    LaneMask some = scale > lanes_set(FIT_VANISHING);
    Lanes inverse = lanes_pick(some, 1 / lanes_pick(some, scale, lanes_set(1)), zero);
    for (int i = 0; i < p.n; i++) {
        Lanes y = lanes_set(p.x[i]) - offset;
        Lanes r = y - scale * lanes_round(lanes_min(lanes_max(y * inverse, zero), top));
        rr += lanes_set(p.w[i]) * r * r;
    }
    return rr;
}

void fit_codes(const float *x, int n, float scale, float offset, FitRange range, int8_t *q)
{
    float inverse = fabsf(scale) > FIT_VANISHING ? 1 / scale : 0;
    for (int i = 0; i < n; i++) {
        float t = (x[i] - offset) * inverse;
        t = t < range.lo ? range.lo : t;
        t = t > range.hi ? range.hi : t;
        q[i] = (int8_t)((t + 0x1.8p23f) - 0x1.8p23f);
    }
}
