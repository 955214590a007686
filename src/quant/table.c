/* Types whose 4-bit codes stand for values of a table: IQ4_NL, IQ4_XS, MXFP4, NVFP4. */
#include <math.h>
#include <string.h>

#include "quant/lanes.h"
#include "quant/parts.h"
#include "quant/types.h"
#include "tensor/blocks.h"

/* Values in rising order. The nearest is found by counting the midpoints below: no look-ups, so it
 * goes by vectors. */
typedef struct Levels {
    int n;
    float value[16];
    uint8_t code[16]; /* how a block names them */
} Levels;

static const Levels iq4 = {
    16,
    {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
static const Levels fp4 = {15,
                           {-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12},
                           {15, 14, 13, 12, 11, 10, 9, 0, 1, 2, 3, 4, 5, 6, 7}};

typedef int32_t IntLanes __attribute__((vector_size(16)));

static FitSums fit_levels(const void *codes, FitPart p, float d)
{
    const Levels *levels = codes;
    Lanes zero = lanes_set(0), rr = zero, rv = zero, vv = zero, scale = lanes_set(d);
    Lanes inverse = lanes_set(1 / d), step[16], middle[16];
    int steps = levels->n - 1;
    for (int k = 0; k < steps; k++) {
        step[k] = lanes_set(levels->value[k + 1] - levels->value[k]);
        middle[k] = lanes_set((levels->value[k + 1] + levels->value[k]) / 2);
    }
    for (int i = 0; i < p.n; i += 4) {
        Lanes x = lanes_load(p.x + i), w = lanes_load(p.w + i), y = x * inverse;
        Lanes v = lanes_set(levels->value[0]);
        for (int k = 0; k < steps; k++) v += (Lanes)((y > middle[k]) & (IntLanes)step[k]);
        Lanes r = x - scale * v, wr = w * r;
        rr += wr * r;
        rv += wr * v;
        vv += w * v * v;
    }
    return (FitSums){lanes_sum(rr), lanes_sum(rv), lanes_sum(vv)};
}

static uint8_t nearest_code(const Levels *levels, float y)
{
    int n = 0;
    while (n < levels->n - 1 && y > (levels->value[n] + levels->value[n + 1]) / 2) n++;
    return levels->code[n];
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
static const FitTrials iq4_trials = {99, 3.5f, 12, true};

void quant_iq4_nl(const QuantBlock *b, uint8_t *out)
{
    BlockIQ4_NL *o = (void *)out;
    float d = fit_scale((FitPart){b->x, b->w, 32}, iq4_trials, fit_levels, &iq4).scale;
    put_levels(&iq4, b->x, 32, fit_half(d, b->exponent, o->d), o->qs);
}

void quant_iq4_xs(const QuantBlock *b, uint8_t *out)
{
    static const PartShape shape = {
        8, 32, 0, 1, -32, 31, {99, 3.5f, 12, true}, fit_levels, &iq4,
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
    enum { HIGHEST = 223 };
    BlockMXFP4 *o = (void *)out;
    float best = INFINITY, scale = 0;
    o->e = 0;
    for (int power = -6; power <= -1; power++) {
        int e = 128 + b->exponent + power;
        e = e < 0 ? 0 : e > HIGHEST ? HIGHEST : e;
        float d = ldexpf(1, e - 128 - b->exponent);
        FitSums s = fit_levels(&fp4, (FitPart){b->x, b->w, 32}, d);
        if (s.rr >= best) continue;
        best = s.rr;
        scale = d;
        o->e = (uint8_t)e;
    }
    put_levels(&fp4, b->x, 32, scale, o->qs);
}

/* The scale of one part of 16, of the 126 numbers a UE4M3 byte can be: those that put the largest
 * number between 4 and 33, in units of the table. */
static uint8_t nvfp4_scale(FitPart p, int exponent)
{
    enum { HIGHEST = 126 };
    float top = 0, best = 0;
    for (int i = 0; i < p.n; i++) {
        top = fabsf(p.x[i]) > top ? fabsf(p.x[i]) : top;
        best += p.w[i] * p.x[i] * p.x[i];
    }
    int chosen = 0;
    for (int e = 1; e <= HIGHEST; e++) {
        double d = ldexp((double)ue4m3_half((uint8_t)e), -exponent);
        if ((e < HIGHEST && d * 33 < (double)top) || d > 0x1p60) continue;
        if (d * 4 > (double)top && e > 1 && chosen) break;
        FitSums s = fit_levels(&fp4, p, (float)d);
        if (s.rr < best) {
            best = s.rr;
            chosen = e;
        }
    }
    return (uint8_t)chosen;
}

void quant_nvfp4(const QuantBlock *b, uint8_t *out)
{
    BlockNVFP4 *o = (void *)out;
    for (int g = 0; g < 4; g++) {
        FitPart p = {b->x + 16 * g, b->w + 16 * g, 16};
        o->e[g] = nvfp4_scale(p, b->exponent);
        double d = o->e[g] ? ldexp((double)ue4m3_half(o->e[g]), -b->exponent) : 0;
        put_levels(&fp4, p.x, 16, (float)d, o->qs + 8 * g);
    }
}
