/* Fits the parts of a block each on its own, then finds the block's number that their scales are
 * best multiples of, then, in turns: the multiple of each part by its real error (codes follow),
 * and the block's number by one exact step over all codes. */
#include "quant/parts.h"

#include <math.h>

enum { ROUNDS = 2, TRIALS = 16 };

static FitPart part_of(const QuantBlock *b, int size, int g)
{
    return (FitPart){b->x + size * g, b->w + size * g, size};
}

static float square_sum(FitPart p)
{
    float sum = 0;
    for (int i = 0; i < p.n; i++) sum += p.w[i] * p.x[i] * p.x[i];
    return sum;
}

static float multiple(const PartShape *s, int a)
{
    return s->base + s->pitch * (float)a;
}

static int nearest_multiple(const PartShape *s, float ratio)
{
    float a = rintf((ratio - s->base) / s->pitch);
    return a < (float)s->lo ? s->lo : a > (float)s->hi ? s->hi : (int)a;
}

/* The squared error of the parts' scales as multiples of each of four d, weighed by what it does to
 * the numbers, after d has moved to the best for these multiples. */
static Lanes multiples_error(const PartShape *s, const FitScale *part, Lanes *d)
{
    Lanes rr = lanes_set(0), rv = rr, vv = rr, inverse = 1 / *d;
    Lanes lo = lanes_set((float)s->lo), hi = lanes_set((float)s->hi);
    for (int g = 0; g < s->parts; g++) {
        Lanes a = (part[g].scale * inverse - s->base) * (1 / s->pitch);
        Lanes m = s->base + s->pitch * lanes_round(lanes_min(lanes_max(a, lo), hi));
        Lanes r = part[g].scale - *d * m, wr = part[g].vv * r;
        rr += wr * r;
        rv += wr * m;
        vv += part[g].vv * m * m;
    }
    Lanes step = rv / lanes_pick(vv > lanes_set(0), vv, lanes_set(1));
    *d += step;
    return rr - rv * step;
}

static float start_of(const PartShape *s, const FitScale *part)
{
    float top = 0, best = 0, error = INFINITY;
    for (int g = 0; g < s->parts; g++)
        if (fabsf(part[g].scale) > fabsf(top)) top = part[g].scale;
    if (top == 0) return 0;
    for (int i = 0; i < TRIALS; i += 2) {
        float m[4] = {multiple(s, s->hi - i), multiple(s, s->lo + i), multiple(s, s->hi - i - 1),
                      multiple(s, s->lo + i + 1)};
        for (int k = 0; k < 4; k++) m[k] = m[k] != 0 ? m[k] : multiple(s, s->hi);
        Lanes d = top / lanes_load(m), e = multiples_error(s, part, &d);
        float scale[4], errors[4];
        lanes_store(scale, d);
        lanes_store(errors, e);
        for (int k = 0; k < 4; k++)
            if (errors[k] < error && scale[k] != 0) {
                error = errors[k];
                best = scale[k];
            }
    }
    return best;
}

/* Sums over all numbers, v being the multiple times the value. */
typedef struct BlockSums {
    float rr, rv, vv;
} BlockSums;

/* Moves each part to the best of its multiple and the two beside it. */
static BlockSums settle(const QuantBlock *b, const PartShape *s, PartFit *f)
{
    BlockSums all = {0, 0, 0};
    for (int g = 0; g < s->parts; g++) {
        FitPart p = part_of(b, s->size, g);
        int tried[3], n = 0, chosen = f->code[g];
        float d[4] = {1, 1, 1, 1}, rr = INFINITY, rv = 0, vv = 0;
        for (int a = f->code[g] - 1; a <= f->code[g] + 1; a++) {
            float scale = f->d * multiple(s, a);
            if (a < s->lo || a > s->hi) continue;
            if (fabsf(scale) < FIT_VANISHING) { /* all zero */
                chosen = a;
                rr = square_sum(p);
                continue;
            }
            d[n] = scale;
            tried[n++] = a;
        }
        FitSums t = s->sums(s->codes, p, lanes_load(d), n);
        for (int i = 0; i < n; i++)
            if (t.rr[i] < rr) {
                chosen = tried[i];
                rr = t.rr[i];
                rv = t.rv[i];
                vv = t.vv[i];
            }
        float m = multiple(s, chosen);
        f->code[g] = chosen;
        all.rr += rr;
        all.rv += rv * m;
        all.vv += vv * m * m;
    }
    return all;
}

/* In turns from start d; keeps what is better than *error. */
static void descend(const QuantBlock *b, const PartShape *s, const FitScale *part, float d,
                    PartFit *best, float *error)
{
    uint8_t half[2];
    PartFit f = {fit_half(d, b->exponent, half), {0}};
    if (f.d == 0) return;
    for (int g = 0; g < s->parts; g++) f.code[g] = nearest_multiple(s, part[g].scale / f.d);
    for (int round = 0; round < ROUNDS && f.d != 0; round++) {
        BlockSums all = settle(b, s, &f);
        if (!(all.rr < *error)) break;
        *error = all.rr;
        *best = f;
        if (all.vv > 0) f.d = fit_half(f.d + all.rv / all.vv, b->exponent, half);
    }
}

/* Where float16 is so coarse that rounding to it matters: its step there, else 0. */
static float coarse_step(float d, int exponent)
{
    float step = ldexpf(1, -24 - exponent);
    return fabsf(d) < 64 * step ? step : 0;
}

PartFit fit_parts(const QuantBlock *b, const PartShape *s, uint8_t half[2])
{
    FitScale part[MOST_PARTS];
    float error = 0;
    for (int g = 0; g < s->parts; g++) {
        FitPart p = part_of(b, s->size, g);
        part[g] = fit_scale(p, s->trials, s->sums, s->quick ? s->quick : s->codes);
        error += square_sum(p);
    }
    PartFit best = {0};
    float d = start_of(s, part), step = coarse_step(d, b->exponent);
    if (d != 0) descend(b, s, part, d, &best, &error);
    if (d != 0 && step > 0) {
        descend(b, s, part, d + step, &best, &error);
        descend(b, s, part, d - step, &best, &error);
    }
    fit_half(best.d, b->exponent, half);
    return best;
}

/* ---- scale and minimum ---- */

/* The number that `of` are best whole multiples 0..top of. */
static float unit_of(const float *of, const float *w, int n, int top)
{
    FitRange range = {(float)-top, (float)top};
    int half = top / 2;
    FitTrials trials = {(float)(top - half), 1, half + 1, false};
    return fit_scale((FitPart){of, w, n}, trials, fit_range, &range).scale;
}

static uint8_t clip(float a, int top)
{
    return (uint8_t)(a < 0 ? 0 : a > (float)top ? (float)top : a);
}

/* The best scale and minimum of a part near those it has: multiples below, at and above, and the
 * same scale with all codes one higher. */
static float settle_line(FitPart p, const LineShape *s, const LineFit *f, uint8_t *a, uint8_t *b)
{
    float best = INFINITY, inverse = f->m != 0 ? 1 / f->m : 0, at = (float)*a;
    Lanes multiple = lanes_max(lanes_set(0), at + (Lanes){-1, 0, 1, 0});
    multiple = lanes_min(multiple, lanes_set((float)s->top));
    Lanes scale = f->d * multiple, offset = -f->m * (float)*b - f->d * at * (Lanes){0, 0, 0, 1};
    Lanes low = -fit_offset(p, s->hi, scale, offset) * inverse;
    for (int up = 0; up < 2; up++) {
        float min[4];
        for (int i = 0; i < 4; i++) min[i] = clip(floorf(low[i]) + (float)up, s->top);
        Lanes error = fit_line_error(p, s->hi, scale, -f->m * lanes_load(min));
        for (int i = 0; i < 4; i++) {
            if (!(error[i] < best)) continue;
            best = error[i];
            *a = (uint8_t)multiple[i];
            *b = (uint8_t)min[i];
        }
    }
    return best;
}

/* The best d and m for the codes that come of f. */
static void move_line(const QuantBlock *block, const LineShape *s, const LineFit *f, float *d,
                      float *m)
{
    double dd = 0, dm = 0, mm = 0, rd = 0, rm = 0;
    for (int g = 0; g < s->parts; g++) {
        double a = f->scale[g], b = f->min[g];
        Lanes scale = lanes_set(f->d * f->scale[g]), offset = lanes_set(-f->m * f->min[g]);
        FitLineSums t = fit_line_sums(part_of(block, s->size, g), s->hi, scale, offset);
        dd += a * a * (double)t.qq[0];
        dm -= a * b * (double)t.q[0];
        mm += b * b * (double)t.w[0];
        rd += a * (double)t.rq[0];
        rm -= b * (double)t.r[0];
    }
    double det = dd * mm - dm * dm;
    *d = f->d;
    *m = f->m;
    if (det > 1e-9 * dd * mm) {
        *d += (float)((mm * rd - dm * rm) / det);
        *m += (float)((dd * rm - dm * rd) / det);
    } else if (dd > 0) {
        *d += (float)(rd / dd);
    }
}

typedef struct LineParts {
    float scale[MOST_PARTS], low[MOST_PARTS];
} LineParts;

/* In turns from start (d, m); keeps what is better than *error. */
static void descend_lines(const QuantBlock *b, const LineShape *s, const LineParts *part, float d,
                          float m, LineFit *best, float *error)
{
    LineFit f = {0};
    uint8_t half[2];
    for (int round = 0; round < ROUNDS && d >= 0 && m >= 0; round++) {
        float e = 0;
        f.d = fit_half(d, b->exponent, half);
        f.m = fit_half(m, b->exponent, half);
        for (int g = 0; g < s->parts; g++) {
            if (round == 0) {
                f.scale[g] = clip(f.d != 0 ? rintf(part->scale[g] / f.d) : 0, s->top);
                f.min[g] = clip(f.m != 0 ? rintf(part->low[g] / f.m) : 0, s->top);
            }
            e += settle_line(part_of(b, s->size, g), s, &f, &f.scale[g], &f.min[g]);
        }
        if (!(e < *error)) break;
        *error = e;
        *best = f;
        move_line(b, s, &f, &d, &m);
    }
}

LineFit fit_lines(const QuantBlock *b, const LineShape *s, uint8_t half_d[2], uint8_t half_m[2])
{
    LineParts part;
    float by_scale[MOST_PARTS], by_low[MOST_PARTS], error = 0;
    for (int g = 0; g < s->parts; g++) {
        FitPart p = part_of(b, s->size, g);
        FitLine line = fit_line(p, s->hi, true);
        part.scale[g] = line.scale;
        part.low[g] = -line.offset;
        by_scale[g] = line.qq + 1e-6f;
        by_low[g] = line.w + 1e-6f;
        error += square_sum(p);
    }
    LineFit best = {0};
    float d = unit_of(part.scale, by_scale, s->parts, s->top);
    float m = unit_of(part.low, by_low, s->parts, s->top);
    float step_d = coarse_step(d, b->exponent), step_m = coarse_step(m, b->exponent);
    m = m > 0 ? m : 0;
    descend_lines(b, s, &part, d, m, &best, &error);
    for (int i = -1; i <= 1 && (step_d > 0 || step_m > 0); i++)
        for (int k = -1; k <= 1; k++)
            if (i || k)
                descend_lines(b, s, &part, d + step_d * (float)i, m + step_m * (float)k, &best,
                              &error);
    fit_half(best.d, b->exponent, half_d);
    fit_half(best.m, b->exponent, half_m);
    return best;
}
