/* Blocks of 32 with one scale, or a scale and a smallest value, of 16 bits: Q8_0, Q4_0, Q4_1, Q5_0,
 * Q5_1. Codes are chosen for the scale as it was rounded to float16. */
#include "quant/fit.h"
#include "tensor/blocks.h"

enum { N = 32 };

static FitPart whole(const QuantBlock *b)
{
    return (FitPart){b->x, b->w, N};
}

void quant_q8_0(const QuantBlock *b, uint8_t *out)
{
    BlockQ8_0 *o = (void *)out;
    float d = fit_scale(whole(b), (FitCodes){-127, 127, 125.5f, 127.5f, 0.25f});
    d = fit_half(d, b->exponent, o->d);
    fit_codes(b->x, N, d, 0, -127, 127, (int8_t *)o->qs);
}

/* Low four bits of the codes, as Q4 and Q5 share them. */
static void put_nibbles(const int8_t *q, int add, uint8_t *qs)
{
    for (int i = 0; i < 16; i++)
        qs[i] = (uint8_t)(((q[i] + add) & 15) | ((q[i + 16] + add) & 15) << 4);
}

static void put_fifth_bits(const int8_t *q, int add, uint8_t *qh)
{
    for (int i = 0; i < 4; i++) qh[i] = 0;
    for (int k = 0; k < N; k++) qh[k / 8] |= (uint8_t)((((q[k] + add) >> 4) & 1) << k % 8);
}

void quant_q4_0(const QuantBlock *b, uint8_t *out)
{
    BlockQ4_0 *o = (void *)out;
    int8_t q[N];
    float d = fit_scale(whole(b), (FitCodes){-8, 7, 1, 9.5f, 0.25f});
    d = fit_half(d, b->exponent, o->d);
    fit_codes(b->x, N, d, 0, -8, 7, q);
    put_nibbles(q, 8, o->qs);
}

void quant_q5_0(const QuantBlock *b, uint8_t *out)
{
    BlockQ5_0 *o = (void *)out;
    int8_t q[N];
    float d = fit_scale(whole(b), (FitCodes){-16, 15, 8, 17.5f, 0.5f});
    d = fit_half(d, b->exponent, o->d);
    fit_codes(b->x, N, d, 0, -16, 15, q);
    put_nibbles(q, 16, o->qs);
    put_fifth_bits(q, 16, o->qh);
}

void quant_q4_1(const QuantBlock *b, uint8_t *out)
{
    BlockQ4_1 *o = (void *)out;
    int8_t q[N];
    FitLine line = fit_line(whole(b), 15, 0);
    float d = fit_half(line.scale, b->exponent, o->d);
    float m = fit_half(fit_offset(whole(b), 15, d, line.offset), b->exponent, o->m);
    fit_codes(b->x, N, d, m, 0, 15, q);
    put_nibbles(q, 0, o->qs);
}

void quant_q5_1(const QuantBlock *b, uint8_t *out)
{
    BlockQ5_1 *o = (void *)out;
    int8_t q[N];
    FitLine line = fit_line(whole(b), 31, 0);
    float d = fit_half(line.scale, b->exponent, o->d);
    float m = fit_half(fit_offset(whole(b), 31, d, line.offset), b->exponent, o->m);
    fit_codes(b->x, N, d, m, 0, 31, q);
    put_nibbles(q, 0, o->qs);
    put_fifth_bits(q, 0, o->qh);
}
