/* Small blocks with one scale, or a scale and a smallest value, of 16 bits: the types of 32, the
 * ternary and binary ones. Codes are chosen for the scale as it was rounded to float16. */
#include <math.h>
#include <string.h>

#include "quant/types.h"
#include "tensor/blocks.h"

/* Codes of n numbers with one scale. */
static void encode(const QuantBlock *b, int n, FitRange range, FitTrials trials, uint8_t half[2],
                   int8_t *q)
{
    float d = fit_scale((FitPart){b->x, b->w, n}, trials, fit_range, &range).scale;
    d = fit_half(d, b->exponent, half);
    fit_codes(b->x, n, d, 0, range, q);
}

/* Codes of 32 numbers with a scale and a smallest value. Where not all codes are used they can be
 * moved by one: the smallest value that float16 holds best is taken. */
static void encode_line(const QuantBlock *b, float hi, uint8_t half_d[2], uint8_t half_m[2],
                        int8_t *q)
{
    FitPart p = {b->x, b->w, 32};
    FitLine line = fit_line(p, hi, false);
    float d = fit_half(line.scale, b->exponent, half_d), m[4], best = INFINITY, chosen = 0;
    Lanes scale = lanes_set(d), offset = fit_offset(p, hi, scale, lanes_set(line.offset));
    for (int i = 0; i < 4; i++)
        m[i] = fit_half(offset[0] + (float)(i % 3 - 1) * d, b->exponent, half_m);
    Lanes error = fit_line_error(p, hi, scale, lanes_load(m));
    for (int i = 0; i < 3; i++)
        if (error[i] < best) {
            best = error[i];
            chosen = m[i];
        }
    fit_half(chosen, b->exponent, half_m);
    fit_codes(b->x, 32, d, chosen, (FitRange){0, hi}, q);
}

/* Low four bits of the codes, as Q4 and Q5 share them. */
static void put_nibbles(const int8_t *q, int add, uint8_t *qs)
{
    for (int i = 0; i < 16; i++)
        qs[i] = (uint8_t)(((q[i] + add) & 15) | ((q[i + 16] + add) & 15) << 4);
}

static void put_fifth_bits(const int8_t *q, int add, uint8_t *qh)
{
    memset(qh, 0, 4);
    for (int k = 0; k < 32; k++) qh[k / 8] |= (uint8_t)((((q[k] + add) >> 4) & 1) << k % 8);
}

void quant_q8_0(const QuantBlock *b, uint8_t *out)
{
    BlockQ8_0 *o = (void *)out;
    FitTrials trials = {125.5f, 0.5f, 4, false};
    encode(b, 32, (FitRange){-127, 127}, trials, o->d, (int8_t *)o->qs);
}

void quant_q4_0(const QuantBlock *b, uint8_t *out)
{
    BlockQ4_0 *o = (void *)out;
    int8_t q[32];
    encode(b, 32, (FitRange){-8, 7}, (FitTrials){5, 0.25f, 20, true}, o->d, q);
    put_nibbles(q, 8, o->qs);
}

void quant_q5_0(const QuantBlock *b, uint8_t *out)
{
    BlockQ5_0 *o = (void *)out;
    int8_t q[32];
    encode(b, 32, (FitRange){-16, 15}, (FitTrials){11, 0.5f, 14, true}, o->d, q);
    put_nibbles(q, 16, o->qs);
    put_fifth_bits(q, 16, o->qh);
}

void quant_q4_1(const QuantBlock *b, uint8_t *out)
{
    BlockQ4_1 *o = (void *)out;
    int8_t q[32];
    encode_line(b, 15, o->d, o->m, q);
    put_nibbles(q, 0, o->qs);
}

void quant_q5_1(const QuantBlock *b, uint8_t *out)
{
    BlockQ5_1 *o = (void *)out;
    int8_t q[32];
    encode_line(b, 31, o->d, o->m, q);
    put_nibbles(q, 0, o->qs);
    put_fifth_bits(q, 0, o->qh);
}

static const FitTrials ternary = {0.75f, 0.25f, 20, false};

void quant_tq1_0(const QuantBlock *b, uint8_t *out)
{
    BlockTQ1_0 *o = (void *)out;
    int8_t q[256];
    encode(b, 256, (FitRange){-1, 1}, ternary, o->d, q);
    /* A byte is the digits as a fraction of 3^5, in 256ths, rounded up so that multiplying by three
     * pushes them out again. */
    for (int l = 0; l < 52; l++) {
        int digits = l < 48 ? 5 : 4, number = 0;
        for (int i = 0; i < 5; i++) {
            int k = l < 32 ? l + 32 * i : l < 48 ? 128 + l + 16 * i : 192 + l + 4 * i;
            number = 3 * number + (i < digits ? q[k] + 1 : 0);
        }
        uint8_t byte = (uint8_t)((number * 256 + 242) / 243);
        if (l < 48)
            o->qs[l] = byte;
        else
            o->qh[l - 48] = byte;
    }
}

void quant_tq2_0(const QuantBlock *b, uint8_t *out)
{
    BlockTQ2_0 *o = (void *)out;
    int8_t q[256];
    encode(b, 256, (FitRange){-1, 1}, ternary, o->d, q);
    memset(o->qs, 0, sizeof o->qs);
    for (int k = 0; k < 256; k++)
        o->qs[32 * (k / 128) + k % 32] |= (uint8_t)((q[k] + 1) << 2 * (k % 128 / 32));
}

void quant_q2_0(const QuantBlock *b, uint8_t *out)
{
    BlockQ2_0 *o = (void *)out;
    int8_t q[64];
    encode(b, 64, (FitRange){-1, 2}, (FitTrials){0.75f, 0.25f, 18, true}, o->d, q);
    memset(o->qs, 0, sizeof o->qs);
    for (int k = 0; k < 64; k++) o->qs[k / 4] |= (uint8_t)((q[k] + 1) << 2 * (k % 4));
}

/* The best of two values is the mean magnitude. */
void quant_q1_0(const QuantBlock *b, uint8_t *out)
{
    BlockQ1_0 *o = (void *)out;
    float sum = 0, w = 0;
    memset(o->qs, 0, sizeof o->qs);
    for (int k = 0; k < 128; k++) {
        sum += b->w[k] * fabsf(b->x[k]);
        w += b->w[k];
        o->qs[k / 8] |= (uint8_t)((b->x[k] >= 0) << k % 8);
    }
    fit_half(w > 0 ? sum / w : 0, b->exponent, o->d);
}
