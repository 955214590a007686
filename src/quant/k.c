/* The K types: blocks of 256 in parts of 16 or 32 (see parts.h), and how their bits lie. */
#include <string.h>

#include "quant/parts.h"
#include "quant/types.h"
#include "tensor/blocks.h"

/* Codes 0..hi of all parts of a fit of lines. */
static void line_codes(const QuantBlock *b, const LineShape *s, const LineFit *f, int8_t *q)
{
    for (int g = 0; g < s->parts; g++) {
        float scale = f->d * f->scale[g], offset = -f->m * f->min[g];
        FitRange range = {0, s->hi};
        fit_codes(b->x + g * s->size, s->size, scale, offset, range, q + g * s->size);
    }
}

/* 2 bits of 256 codes, as Q2_K and Q3_K keep them. */
static void put_pairs(const int8_t *q, int add, uint8_t *qs)
{
    memset(qs, 0, 64);
    for (int k = 0; k < 256; k++)
        qs[32 * (k / 128) + k % 32] |= (uint8_t)(((q[k] + add) & 3) << 2 * (k % 128 / 32));
}

/* The twelve bytes of scales and mins of Q4_K and Q5_K. */
static void put_scales(const LineFit *f, uint8_t *s)
{
    for (int g = 0; g < 4; g++) {
        uint8_t a = f->scale[g + 4], b = f->min[g + 4];
        s[g] = (uint8_t)(f->scale[g] | (a >> 4) << 6);
        s[g + 4] = (uint8_t)(f->min[g] | (b >> 4) << 6);
        s[g + 8] = (uint8_t)((a & 15) | (b & 15) << 4);
    }
}

static void put_low_nibbles(const int8_t *q, uint8_t *qs)
{
    for (int i = 0; i < 4; i++)
        for (int l = 0; l < 32; l++)
            qs[32 * i + l] = (uint8_t)((q[64 * i + l] & 15) | (q[64 * i + 32 + l] & 15) << 4);
}

void quant_q2_k(const QuantBlock *b, uint8_t *out)
{
    static const LineShape shape = {16, 16, 3, 15};
    BlockQ2_K *o = (void *)out;
    int8_t q[256];
    LineFit f = fit_lines(b, &shape, o->d, o->dmin);
    line_codes(b, &shape, &f, q);
    for (int g = 0; g < 16; g++) o->scales[g] = (uint8_t)(f.scale[g] | f.min[g] << 4);
    put_pairs(q, 0, o->qs);
}

void quant_q4_k(const QuantBlock *b, uint8_t *out)
{
    static const LineShape shape = {8, 32, 15, 63};
    BlockQ4_K *o = (void *)out;
    int8_t q[256];
    LineFit f = fit_lines(b, &shape, o->d, o->dmin);
    line_codes(b, &shape, &f, q);
    put_scales(&f, o->scales);
    put_low_nibbles(q, o->qs);
}

void quant_q5_k(const QuantBlock *b, uint8_t *out)
{
    static const LineShape shape = {8, 32, 31, 63};
    BlockQ5_K *o = (void *)out;
    int8_t q[256];
    LineFit f = fit_lines(b, &shape, o->d, o->dmin);
    line_codes(b, &shape, &f, q);
    put_scales(&f, o->scales);
    put_low_nibbles(q, o->qs);
    memset(o->qh, 0, sizeof o->qh);
    for (int k = 0; k < 256; k++) o->qh[k % 32] |= (uint8_t)((q[k] >> 4) << k / 32);
}

/* Codes of all parts of a fit of scales. */
static void part_codes(const QuantBlock *b, const PartShape *s, const PartFit *f, int8_t *q)
{
    const FitRange *range = s->codes;
    for (int g = 0; g < s->parts; g++)
        fit_codes(b->x + g * s->size, s->size, part_scale(s, f, g), 0, *range, q + g * s->size);
}

void quant_q3_k(const QuantBlock *b, uint8_t *out)
{
    static const FitRange range = {-4, 3};
    static const PartShape shape = {16, 16, 0, 1, -32, 31, {2, 0.5f, 6, true}, fit_range, &range};
    BlockQ3_K *o = (void *)out;
    int8_t q[256];
    PartFit f = fit_parts(b, &shape, o->d);
    part_codes(b, &shape, &f, q);
    put_pairs(q, 4, o->qs);
    memset(o->hmask, 0, sizeof o->hmask);
    for (int k = 0; k < 256; k++) o->hmask[k % 32] |= (uint8_t)((q[k] >= 0) << k / 32);
    memset(o->scales, 0, sizeof o->scales);
    for (int g = 0; g < 16; g++) {
        int a = f.code[g] + 32;
        o->scales[g % 8] |= (uint8_t)((a & 15) << 4 * (g / 8));
        o->scales[8 + g % 4] |= (uint8_t)((a >> 4) << 2 * (g / 4));
    }
}

void quant_q6_k(const QuantBlock *b, uint8_t *out)
{
    static const FitRange range = {-32, 31};
    static const PartShape shape = {16, 16, 0, 1, -128, 127, {26, 1, 8, true}, fit_range, &range};
    BlockQ6_K *o = (void *)out;
    int8_t q[256];
    PartFit f = fit_parts(b, &shape, o->d);
    part_codes(b, &shape, &f, q);
    for (int g = 0; g < 16; g++) o->scales[g] = (uint8_t)f.code[g];
    memset(o->ql, 0, sizeof o->ql);
    memset(o->qh, 0, sizeof o->qh);
    for (int k = 0; k < 256; k++) {
        int u = q[k] + 32, quarter = k % 128 / 32;
        o->ql[64 * (k / 128) + 32 * (quarter % 2) + k % 32] |=
            (uint8_t)((u & 15) << 4 * (quarter / 2));
        o->qh[32 * (k / 128) + k % 32] |= (uint8_t)((u >> 4) << 2 * quarter);
    }
}
