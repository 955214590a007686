/* Reads rows of any supported element type as float32: floats and small blocks here, blocks of 256
 * in dequant_k.c, those with a codebook in dequant_grid.c. Exact to the last bit: each weight is
 * computed in the order the formats are published in, in float32, without fused multiply-add. A
 * type without a row in `readers` is refused (false), never guessed. */
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/ref/dequant.h"
#include "tensor/blocks.h"
#include "tensor/dtype.h"

static void f32(const void *src, float *dst, size_t n)
{
    memcpy(dst, src, n * sizeof *dst);
}

static void f16(const void *src, float *dst, size_t n)
{
    const uint8_t *p = src;
    for (size_t i = 0; i < n; i++) dst[i] = f16_at(p + 2 * i);
}

static void bf16(const void *src, float *dst, size_t n)
{
    const uint8_t *p = src;
    for (size_t i = 0; i < n; i++) dst[i] = bf16_to_f32(u16_at(p + 2 * i));
}

static void q4_0(const void *src, float *dst, size_t n)
{
    const BlockQ4_0 *b = src;
    for (; n; n -= 32, b++, dst += 32) {
        float d = f16_at(b->d);
        for (int i = 0; i < 16; i++) {
            dst[i] = (float)((b->qs[i] & 15) - 8) * d;
            dst[i + 16] = (float)((b->qs[i] >> 4) - 8) * d;
        }
    }
}

static void q4_1(const void *src, float *dst, size_t n)
{
    const BlockQ4_1 *b = src;
    for (; n; n -= 32, b++, dst += 32) {
        float d = f16_at(b->d), m = f16_at(b->m);
        for (int i = 0; i < 16; i++) {
            dst[i] = (float)(b->qs[i] & 15) * d + m;
            dst[i + 16] = (float)(b->qs[i] >> 4) * d + m;
        }
    }
}

/* The five-bit number k of a block: a nibble and a bit of qh. */
static int five(const uint8_t *qs, const uint8_t *qh, int k)
{
    int low = k < 16 ? qs[k] & 15 : qs[k - 16] >> 4;
    return low | (qh[k / 8] >> k % 8 & 1) << 4;
}

static void q5_0(const void *src, float *dst, size_t n)
{
    const BlockQ5_0 *b = src;
    for (; n; n -= 32, b++, dst += 32) {
        float d = f16_at(b->d);
        for (int k = 0; k < 32; k++) dst[k] = (float)(five(b->qs, b->qh, k) - 16) * d;
    }
}

static void q5_1(const void *src, float *dst, size_t n)
{
    const BlockQ5_1 *b = src;
    for (; n; n -= 32, b++, dst += 32) {
        float d = f16_at(b->d), m = f16_at(b->m);
        for (int k = 0; k < 32; k++) dst[k] = (float)five(b->qs, b->qh, k) * d + m;
    }
}

static void q8_0(const void *src, float *dst, size_t n)
{
    const BlockQ8_0 *b = src;
    for (; n; n -= 32, b++, dst += 32) {
        float d = f16_at(b->d);
        for (int i = 0; i < 32; i++) dst[i] = (float)(int8_t)b->qs[i] * d;
    }
}

static void iq4_nl(const void *src, float *dst, size_t n)
{
    const BlockIQ4_NL *b = src;
    for (; n; n -= 32, b++, dst += 32) {
        float d = f16_at(b->d);
        for (int i = 0; i < 16; i++) {
            dst[i] = d * (float)iq4_values[b->qs[i] & 15];
            dst[i + 16] = d * (float)iq4_values[b->qs[i] >> 4];
        }
    }
}

static void mxfp4(const void *src, float *dst, size_t n)
{
    const BlockMXFP4 *b = src;
    for (; n; n -= 32, b++, dst += 32) {
        float d = e8m0_half(b->e);
        for (int i = 0; i < 16; i++) {
            dst[i] = d * (float)mxfp4_values[b->qs[i] & 15];
            dst[i + 16] = d * (float)mxfp4_values[b->qs[i] >> 4];
        }
    }
}

static void nvfp4(const void *src, float *dst, size_t n)
{
    const BlockNVFP4 *b = src;
    for (; n; n -= 64, b++)
        for (int g = 0; g < 4; g++, dst += 16) {
            float d = ue4m3_half(b->e[g]);
            for (int i = 0; i < 8; i++) {
                dst[i] = d * (float)mxfp4_values[b->qs[8 * g + i] & 15];
                dst[i + 8] = d * (float)mxfp4_values[b->qs[8 * g + i] >> 4];
            }
        }
}

static void q2_0(const void *src, float *dst, size_t n)
{
    const BlockQ2_0 *b = src;
    for (; n; n -= 64, b++, dst += 64) {
        float d = f16_at(b->d);
        for (int k = 0; k < 64; k++) dst[k] = (float)((b->qs[k / 4] >> 2 * (k % 4) & 3) - 1) * d;
    }
}

static void q1_0(const void *src, float *dst, size_t n)
{
    const BlockQ1_0 *b = src;
    for (; n; n -= 128, b++, dst += 128) {
        float d = f16_at(b->d);
        for (int k = 0; k < 128; k++) dst[k] = b->qs[k / 8] >> k % 8 & 1 ? d : -d;
    }
}

typedef void Reader(const void *src, float *dst, size_t n);

static Reader *const readers[DTYPE_LIMIT] = {
    [DT_F32] = f32,
    [DT_F16] = f16,
    [DT_BF16] = bf16,
    [DT_Q4_0] = q4_0,
    [DT_Q4_1] = q4_1,
    [DT_Q5_0] = q5_0,
    [DT_Q5_1] = q5_1,
    [DT_Q8_0] = q8_0,
    [DT_IQ4_NL] = iq4_nl,
    [DT_MXFP4] = mxfp4,
    [DT_NVFP4] = nvfp4,
    [DT_Q2_0] = q2_0,
    [DT_Q1_0] = q1_0,
    [DT_Q2_K] = dequant_q2_k,
    [DT_Q3_K] = dequant_q3_k,
    [DT_Q4_K] = dequant_q4_k,
    [DT_Q5_K] = dequant_q5_k,
    [DT_Q6_K] = dequant_q6_k,
    [DT_IQ4_XS] = dequant_iq4_xs,
    [DT_TQ1_0] = dequant_tq1_0,
    [DT_TQ2_0] = dequant_tq2_0,
    [DT_IQ1_S] = dequant_iq1_s,
    [DT_IQ1_M] = dequant_iq1_m,
    [DT_IQ2_XXS] = dequant_iq2_xxs,
    [DT_IQ2_XS] = dequant_iq2_xs,
    [DT_IQ2_S] = dequant_iq2_s,
    [DT_IQ3_XXS] = dequant_iq3_xxs,
    [DT_IQ3_S] = dequant_iq3_s,
};

bool dequant_supported(uint32_t type)
{
    return type < DTYPE_LIMIT && readers[type];
}

bool dequant_row(uint32_t type, const void *src, float *dst, size_t n)
{
    if (!dequant_supported(type)) return false;
    readers[type](src, dst, n);
    return true;
}
