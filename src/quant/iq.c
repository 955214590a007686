/* The codebook types (see grid.h): parts with a scale of few bits, each eight (IQ3: four) numbers
 * an entry of a grid. IQ2 and IQ3 keep signs apart: the search goes over magnitudes, and where a
 * type has only seven bits for eight signs (their product is plus), the number that matters least
 * of those eight is given the wrong one. IQ1 moves its -1, 0, 1 by an eighth up or down. */
#include <math.h>
#include <string.h>

#include "quant/grid.h"
#include "quant/parts.h"
#include "quant/types.h"
#include "tensor/blocks.h"

/* How many of a point's nearest entries are looked at: for trial scales, for the multiples of a
 * block's number, and for what is written. */
enum { QUICK = 8, MANY = 16, ALL = GRID_NEAR };

/* FitFn of a grid: entries of each four or eight numbers. */
typedef struct GridCodes {
    const Grid *grid;
    int limit;
    float delta;   /* IQ1: added to the grid's numbers, either way */
    int delta_run; /* of so many numbers together */
} GridCodes;

/* As FitSums, of one scale. */
typedef struct Sums {
    float rr, rv, vv;
} Sums;

/* x in units of d, less delta. */
static void to_grid(const float *x, int n, float d, float delta, float *y)
{
    Lanes inverse = lanes_set(1 / d), shift = lanes_set(delta);
    for (int i = 0; i < n; i += 4) lanes_store(y + i, lanes_load(x + i) * inverse - shift);
}

static Sums entry_sums(const Grid *g, int entry, const float *x, const float *w, float d,
                       float delta)
{
    Lanes rr = lanes_set(0), rv = rr, vv = rr, scale = lanes_set(d), shift = lanes_set(delta);
    for (int i = 0; i < g->numbers; i += 4) {
        Lanes v = lanes_load(g->entry + entry * g->numbers + i) + shift;
        Lanes r = lanes_load(x + i) - scale * v, weight = lanes_load(w + i), wr = weight * r;
        rr += wr * r;
        rv += wr * v;
        vv += weight * v * v;
    }
    return (Sums){lanes_sum(rr), lanes_sum(rv), lanes_sum(vv)};
}

static Sums run_sums(const GridCodes *c, FitPart p, float d, float delta)
{
    Sums all = {0, 0, 0};
    float y[8];
    for (int i = 0; i < p.n; i += c->grid->numbers) {
        to_grid(p.x + i, c->grid->numbers, d, delta, y);
        int entry = grid_nearest(c->grid, y, p.w + i, c->limit);
        Sums s = entry_sums(c->grid, entry, p.x + i, p.w + i, d, delta);
        all.rr += s.rr;
        all.rv += s.rv;
        all.vv += s.vv;
    }
    return all;
}

static void put_lane(FitSums *s, int i, Sums of)
{
    s->rr[i] = of.rr;
    s->rv[i] = of.rv;
    s->vv[i] = of.vv;
}

static FitSums fit_grid(const void *codes, FitPart p, Lanes d, int n)
{
    FitSums s = {lanes_set(0), lanes_set(0), lanes_set(0)};
    for (int i = 0; i < n; i++) put_lane(&s, i, run_sums(codes, p, d[i], 0));
    return s;
}

/* Either delta, whichever is better, for each run. */
static Sums shifted_sums(const GridCodes *c, FitPart p, float d)
{
    Sums all = {0, 0, 0};
    for (int i = 0; i < p.n; i += c->delta_run) {
        FitPart run = {p.x + i, p.w + i, c->delta_run};
        Sums up = run_sums(c, run, d, c->delta), down = run_sums(c, run, d, -c->delta);
        Sums s = up.rr <= down.rr ? up : down;
        all.rr += s.rr;
        all.rv += s.rv;
        all.vv += s.vv;
    }
    return all;
}

static FitSums fit_shifted(const void *codes, FitPart p, Lanes d, int n)
{
    FitSums s = {lanes_set(0), lanes_set(0), lanes_set(0)};
    for (int i = 0; i < n; i++) put_lane(&s, i, shifted_sums(codes, p, d[i]));
    return s;
}

/* Magnitudes, and a bit for each minus; with `even`, an even number of minus in each eight: a
 * magnitude then counts as negative. */
static void split_signs(const QuantBlock *b, bool even, float *x, uint8_t *signs)
{
    for (int i = 0; i < 32; i++) {
        int odd = 0, least = 0;
        float cost = INFINITY;
        signs[i] = 0;
        for (int k = 0; k < 8; k++) {
            float v = b->x[8 * i + k], price = b->w[8 * i + k] * fabsf(v);
            x[8 * i + k] = fabsf(v);
            signs[i] |= (uint8_t)((v < 0) << k);
            odd ^= v < 0;
            if (price < cost) {
                cost = price;
                least = k;
            }
        }
        if (even && odd) {
            signs[i] ^= (uint8_t)(1 << least);
            x[8 * i + least] = -x[8 * i + least];
        }
    }
}

/* The entries of all numbers at their parts' final scales. */
static void entries_of(const QuantBlock *b, const PartShape *s, const PartFit *f, int *entry)
{
    const GridCodes *c = s->codes;
    int n = c->grid->numbers;
    float y[8];
    for (int i = 0; i < 256 / n; i++) {
        float d = part_scale(s, f, i * n / s->size);
        to_grid(b->x + i * n, n, d != 0 ? d : 1, 0, y);
        entry[i] = grid_nearest(c->grid, y, b->w + i * n, ALL);
    }
}

/* Scales of least squares make a block shorter than what it stands for, by the error's share of the
 * squares, and all matrices of a model together its answers weaker: the divergence of a whole model
 * is less where each block has its projection on the numbers back, though its own error grows a
 * little. Where that would be more than little, three quarters of it (2.1 bits), or five eighths
 * (below). */
typedef enum Share { WHOLE, THREE_QUARTERS, FIVE_EIGHTHS } Share;
static void lengthen(const QuantBlock *b, const PartShape *s, PartFit *f, Share share,
                     uint8_t half[2])
{
    double xx = 0, yy = 0;
    for (int g = 0; g < s->parts; g++) {
        FitPart p = {b->x + g * s->size, b->w + g * s->size, s->size};
        float d = part_scale(s, f, g);
        for (int i = 0; i < p.n; i++) xx += (double)(p.w[i] * p.x[i] * p.x[i]);
        if (d != 0) yy += (double)(d * d * s->sums(s->codes, p, lanes_set(d), 1).vv[0]);
    }
    if (!(yy > 0 && xx > yy)) return;
    double r = xx / yy;
    if (r > 1.5) return; /* of a block that is nearly lost a longer one is only more noise */
    if (share == THREE_QUARTERS) r = sqrt(r) * sqrt(sqrt(r));
    if (share == FIVE_EIGHTHS) r = sqrt(r) * sqrt(sqrt(sqrt(r)));
    fit_half(f->d * (float)r, b->exponent, half);
}

/* Fits magnitudes x. */
static PartFit fit_magnitudes(const QuantBlock *b, PartShape s, GridName name, Share share,
                              uint8_t half[2], int *entry)
{
    GridCodes quick = {grid_open(name), QUICK, 0, 0}, many = {grid_open(name), MANY, 0, 0};
    s.sums = fit_grid;
    s.quick = &quick;
    s.codes = &many;
    PartFit f = fit_parts(b, &s, half);
    entries_of(b, &s, &f, entry);
    lengthen(b, &s, &f, share, half);
    return f;
}

static void put_u16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static void put_u32(uint8_t *p, uint32_t v)
{
    put_u16(p, v & 0xffff);
    put_u16(p + 2, v >> 16);
}

/* Four times seven signs and a scale. */
static uint32_t sides_of(const uint8_t *signs, int scale)
{
    uint32_t v = (uint32_t)scale << 28;
    for (int i = 0; i < 4; i++) v |= (uint32_t)(signs[i] & 127) << 7 * i;
    return v;
}

static const FitTrials iq2_trials = {32, 6, 6, false}, iq3_xxs_trials = {44, 4, 9, false};
static const FitTrials iq3_s_trials = {12, 1.5f, 5, false}, iq1_trials = {1, 0.3f, 6, false};

void quant_iq2_xxs(const QuantBlock *b, uint8_t *out)
{
    BlockIQ2_XXS *o = (void *)out;
    float x[256];
    uint8_t signs[32];
    int entry[32] = {0};
    split_signs(b, true, x, signs);
    QuantBlock magnitudes = {x, b->w, b->exponent};
    PartShape shape = {8, 32, 0.125f, 0.25f, 0, 15, iq2_trials};
    PartFit f = fit_magnitudes(&magnitudes, shape, GRID_IQ2_XXS, THREE_QUARTERS, o->d, entry);
    for (int g = 0; g < 8; g++) {
        for (int i = 0; i < 4; i++) o->qs[8 * g + i] = (uint8_t)entry[4 * g + i];
        put_u32(o->qs + 8 * g + 4, sides_of(signs + 4 * g, f.code[g]));
    }
}

/* Sixteen scales of four bits. */
static void put_small_scales(const PartFit *f, uint8_t *s)
{
    for (int i = 0; i < 8; i++) s[i] = (uint8_t)(f->code[2 * i] | f->code[2 * i + 1] << 4);
}

void quant_iq2_xs(const QuantBlock *b, uint8_t *out)
{
    BlockIQ2_XS *o = (void *)out;
    float x[256];
    uint8_t signs[32];
    int entry[32] = {0};
    split_signs(b, true, x, signs);
    QuantBlock magnitudes = {x, b->w, b->exponent};
    PartShape shape = {16, 16, 0.125f, 0.25f, 0, 15, iq2_trials};
    PartFit f = fit_magnitudes(&magnitudes, shape, GRID_IQ2_XS, WHOLE, o->d, entry);
    for (int i = 0; i < 32; i++)
        put_u16(o->qs + 2 * i, (unsigned)entry[i] | (signs[i] & 127u) << 9);
    put_small_scales(&f, o->scales);
}

void quant_iq2_s(const QuantBlock *b, uint8_t *out)
{
    BlockIQ2_S *o = (void *)out;
    float x[256];
    int entry[32] = {0};
    split_signs(b, false, x, o->signs);
    QuantBlock magnitudes = {x, b->w, b->exponent};
    PartShape shape = {16, 16, 0.125f, 0.25f, 0, 15, iq2_trials};
    PartFit f = fit_magnitudes(&magnitudes, shape, GRID_IQ2_S, WHOLE, o->d, entry);
    memset(o->qh, 0, sizeof o->qh);
    for (int i = 0; i < 32; i++) {
        o->qs[i] = (uint8_t)entry[i];
        o->qh[i / 4] |= (uint8_t)((entry[i] >> 8) << 2 * (i % 4));
    }
    put_small_scales(&f, o->scales);
}

void quant_iq3_xxs(const QuantBlock *b, uint8_t *out)
{
    BlockIQ3_XXS *o = (void *)out;
    float x[256];
    uint8_t signs[32];
    int entry[64] = {0};
    split_signs(b, true, x, signs);
    QuantBlock magnitudes = {x, b->w, b->exponent};
    PartShape shape = {8, 32, 0.25f, 0.5f, 0, 15, iq3_xxs_trials};
    PartFit f = fit_magnitudes(&magnitudes, shape, GRID_IQ3_XXS, WHOLE, o->d, entry);
    for (int i = 0; i < 64; i++) o->qs[i] = (uint8_t)entry[i];
    for (int g = 0; g < 8; g++) put_u32(o->signs + 4 * g, sides_of(signs + 4 * g, f.code[g]));
}

void quant_iq3_s(const QuantBlock *b, uint8_t *out)
{
    BlockIQ3_S *o = (void *)out;
    float x[256];
    int entry[64] = {0};
    split_signs(b, false, x, o->signs);
    QuantBlock magnitudes = {x, b->w, b->exponent};
    PartShape shape = {8, 32, 1, 2, 0, 15, iq3_s_trials};
    PartFit f = fit_magnitudes(&magnitudes, shape, GRID_IQ3_S, WHOLE, o->d, entry);
    memset(o->qh, 0, sizeof o->qh);
    for (int i = 0; i < 64; i++) {
        o->qs[i] = (uint8_t)entry[i];
        o->qh[i / 8] |= (uint8_t)((entry[i] >> 8) << i % 8);
    }
    for (int i = 0; i < 4; i++) o->scales[i] = (uint8_t)(f.code[2 * i] | f.code[2 * i + 1] << 4);
}

/* Fits numbers of -1, 0, 1 and delta; down[i]: the delta of eight numbers i is negative. */
static PartFit fit_ternary(const QuantBlock *b, PartShape s, int delta_run, uint8_t half[2],
                           int *entry, bool *down)
{
    const Grid *grid = grid_open(GRID_IQ1);
    GridCodes quick = {grid, QUICK, 0.125f, delta_run}, many = {grid, MANY, 0.125f, delta_run};
    s.sums = fit_shifted;
    s.quick = &quick;
    s.codes = &many;
    PartFit f = fit_parts(b, &s, half);
    for (int i = 0; i < 256; i += delta_run) {
        FitPart run = {b->x + i, b->w + i, delta_run};
        float d = part_scale(&s, &f, i / s.size);
        if (d == 0) d = 1;
        Sums up = run_sums(&many, run, d, 0.125f), low = run_sums(&many, run, d, -0.125f);
        for (int k = i; k < i + delta_run; k += 8) {
            float y[8];
            down[k / 8] = low.rr < up.rr;
            to_grid(b->x + k, 8, d, down[k / 8] ? -0.125f : 0.125f, y);
            entry[k / 8] = grid_nearest(grid, y, b->w + k, ALL);
        }
    }
    lengthen(b, &s, &f, FIVE_EIGHTHS, half);
    return f;
}

void quant_iq1_s(const QuantBlock *b, uint8_t *out)
{
    BlockIQ1_S *o = (void *)out;
    int entry[32] = {0};
    bool down[32];
    PartShape shape = {8, 32, 1, 2, 0, 7, iq1_trials};
    PartFit f = fit_ternary(b, shape, 32, o->d, entry, down);
    for (int g = 0; g < 8; g++) {
        unsigned h = (unsigned)f.code[g] << 12 | (unsigned)down[4 * g] << 15;
        for (int i = 0; i < 4; i++) {
            o->qs[4 * g + i] = (uint8_t)entry[4 * g + i];
            h |= (unsigned)(entry[4 * g + i] >> 8) << 3 * i;
        }
        put_u16(o->qh + 2 * g, h);
    }
}

void quant_iq1_m(const QuantBlock *b, uint8_t *out)
{
    BlockIQ1_M *o = (void *)out;
    int entry[32] = {0};
    bool down[32];
    uint8_t half[2];
    PartShape shape = {16, 16, 1, 2, 0, 7, iq1_trials};
    PartFit f = fit_ternary(b, shape, 8, half, entry, down);
    memset(o->qh, 0, sizeof o->qh);
    for (int i = 0; i < 32; i++) {
        o->qs[i] = (uint8_t)entry[i];
        o->qh[i / 2] |= (uint8_t)((entry[i] >> 8 | down[i] << 3) << 4 * (i % 2));
    }
    for (int i = 0; i < 4; i++) {
        unsigned word = (unsigned)(u16_at(half) >> 4 * i & 15) << 12;
        for (int k = 0; k < 4; k++) word |= (unsigned)f.code[4 * i + k] << 3 * k;
        put_u16(o->scales + 2 * i, word);
    }
}
