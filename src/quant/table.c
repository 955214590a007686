/* Types whose 4-bit codes stand for values of a table: IQ4_NL, IQ4_XS, MXFP4, NVFP4. */
#include <math.h>
#include <string.h>

#include "quant/lanes.h"
#include "quant/parts.h"
#include "quant/types.h"
#include "tensor/blocks.h"

/* Values in rising order; of a symmetric table those from 0. The nearest is found by counting the
 * midpoints below: no look-ups, so it goes by lanes. */
typedef struct Levels {
    int n;
    bool symmetric; /* bit 3 of the code is the sign */
    float value[16];
} Levels;

static const Levels iq4 = {
    16, false, {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}};
static const Levels fp4 = {8, true, {0, 1, 2, 3, 4, 6, 8, 12}};

static FitSums fit_levels(const void *codes, FitPart p, Lanes d, int n)
{
    (void)n;
    const Levels *levels = codes;
    Lanes inverse = 1 / d, zero = lanes_set(0), step[16], middle[16];
    FitSums s = {zero, zero, zero};
    int steps = levels->n - 1;
    for (int k = 0; k < steps; k++) {
        step[k] = lanes_set(levels->value[k + 1] - levels->value[k]);
        middle[k] = lanes_set((levels->value[k + 1] + levels->value[k]) / 2);
    }
    for (int i = 0; i < p.n; i++) {
        float magnitude = levels->symmetric ? fabsf(p.x[i]) : p.x[i];
        Lanes x = lanes_set(magnitude), w = lanes_set(p.w[i]), y = x * inverse;
        Lanes v = lanes_set(levels->value[0]);
        for (int k = 0; k < steps; k++) v += (Lanes)((y > middle[k]) & (LaneMask)step[k]);
        Lanes r = x - d * v, wr = w * r;
        s.rr += wr * r;
        s.rv += wr * v;
        s.vv += w * v * v;
    }
    return s;
}

static uint8_t nearest_code(const Levels *levels, float y)
{
    int n = 0, sign = levels->symmetric && y < 0 ? 8 : 0;
    float v = sign ? -y : y;
    while (n < levels->n - 1 && v > (levels->value[n] + levels->value[n + 1]) / 2) n++;
    return (uint8_t)(n ? n | sign : 0);
}

/* n codes: nibble i and i + n/2 share byte i. */
static void put_levels(const Levels *levels, const float *x, int n, float d, uint8_t *qs)
{
    float inverse = fabsf(d) > 0x1p-120f ? 1 / d : 0;
    for (int i = 0; i < n / 2; i++)
        qs[i] = (uint8_t)(nearest_code(levels, x[i] * inverse) |
                          nearest_code(levels, x[i + n / 2] * inverse) << 4);
}

/* Both ends of the table, 113 and -127, are among the trials. */
static const FitTrials iq4_trials = {106, 7, 5, true};

void quant_iq4_nl(const QuantBlock *b, uint8_t *out)
{
    BlockIQ4_NL *o = (void *)out;
    float d = fit_scale((FitPart){b->x, b->w, 32}, iq4_trials, fit_levels, &iq4).scale;
    put_levels(&iq4, b->x, 32, fit_half(d, b->exponent, o->d), o->qs);
}

void quant_iq4_xs(const QuantBlock *b, uint8_t *out)
{
    static const PartShape shape = {
        8, 32, 0, 1, -32, 31, {106, 7, 5, true}, fit_levels, &iq4,
    };
    BlockIQ4_XS *o = (void *)out;
    PartFit f = fit_parts(b, &shape, o->d);
    memset(o->scales_h, 0, sizeof o->scales_h);
    memset(o->scales_l, 0, sizeof o->scales_l);
    for (int g = 0; g < 8; g++) {
        int a = f.code[g] + 32;
        o->scales_l[g / 2] |= (uint8_t)((a & 15) << 4 * (g % 2));
        o->scales_h[g / 4] |= (uint8_t)((a >> 4) << 2 * (g % 4));
        put_levels(&iq4, b->x + 32 * g, 32, part_scale(&shape, &f, g), o->qs + 16 * g);
    }
}

/* The scale is a power of two: the few that are near are tried. Stops short of 2^96, from where
 * products with activations leave float32. */
void quant_mxfp4(const QuantBlock *b, uint8_t *out)
{
    enum { HIGHEST = 223, TRIALS = 4 };
    BlockMXFP4 *o = (void *)out;
    float d[TRIALS], best = INFINITY, scale = 0;
    int e[TRIALS];
    for (int i = 0; i < TRIALS; i++) {
        e[i] = 128 + b->exponent - 5 + i;
        e[i] = e[i] < 0 ? 0 : e[i] > HIGHEST ? HIGHEST : e[i];
        d[i] = ldexpf(1, e[i] - 128 - b->exponent);
    }
    FitSums s = fit_levels(&fp4, (FitPart){b->x, b->w, 32}, lanes_load(d), TRIALS);
    for (int i = 0; i < TRIALS; i++)
        if (s.rr[i] < best) {
            best = s.rr[i];
            scale = d[i];
            o->e = (uint8_t)e[i];
        }
    put_levels(&fp4, b->x, 32, scale, o->qs);
}

enum { NVFP4_HIGHEST = 126 };

/* The first scale byte, from 1, whose number is at least this, or the highest. */
static int nvfp4_from(float least)
{
    int from = 1, to = NVFP4_HIGHEST;
    while (from < to) {
        int middle = (from + to) / 2;
        if (ue4m3_half((uint8_t)middle) < least)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* The scale of one part of 16, of the 126 numbers a UE4M3 byte can be: those that put the largest
 * number between 4 and 33, in units of the table. `unit`: 1 in the block's units. */
static uint8_t nvfp4_scale(FitPart p, float unit)
{
    float top = 0, best = 0, d[4] = {1, 1, 1, 1};
    for (int i = 0; i < p.n; i++) {
        top = fabsf(p.x[i]) > top ? fabsf(p.x[i]) : top;
        best += p.w[i] * p.x[i] * p.x[i];
    }
    if (top < FIT_VANISHING) return 0;
    int chosen = 0, n = 0, from = nvfp4_from(top / 33 / unit), to = nvfp4_from(top / 4 / unit);
    for (int e = from; e <= to; e++) {
        d[n++] = ue4m3_half((uint8_t)e) * unit;
        if (n < 4 && e < to) continue;
        FitSums s = fit_levels(&fp4, p, lanes_load(d), n);
        for (int i = 0; i < n; i++)
            if (s.rr[i] < best) {
                best = s.rr[i];
                chosen = e - n + 1 + i;
            }
        n = 0;
    }
    return (uint8_t)chosen;
}

void quant_nvfp4(const QuantBlock *b, uint8_t *out)
{
    BlockNVFP4 *o = (void *)out;
    float unit = ldexpf(1, -b->exponent);
    for (int g = 0; g < 4; g++) {
        FitPart p = {b->x + 16 * g, b->w + 16 * g, 16};
        o->e[g] = nvfp4_scale(p, unit);
        put_levels(&fp4, p.x, 16, ue4m3_half(o->e[g]) * unit, o->qs + 8 * g);
    }
}
