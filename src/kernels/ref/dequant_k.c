/* Reads rows of the 256-wide block types as float32 (see dequant.c). */
#include "kernels/ref/dequant.h"
#include "tensor/blocks.h"

void dequant_q2_k(const void *src, float *dst, size_t n)
{
    const BlockQ2_K *b = src;
    for (; n; n -= 256, b++) {
        float d = f16_at(b->d), dmin = f16_at(b->dmin);
        for (int g = 0; g < 16; g++, dst += 16) {
            float scale = d * (float)(b->scales[g] & 15), min = dmin * (float)(b->scales[g] >> 4);
            const uint8_t *q = b->qs + 32 * (g / 8) + 16 * (g % 2);
            int shift = 2 * (g % 8 / 2);
            for (int i = 0; i < 16; i++) dst[i] = scale * (float)(q[i] >> shift & 3) - min;
        }
    }
}

void dequant_q3_k(const void *src, float *dst, size_t n)
{
    const BlockQ3_K *b = src;
    for (; n; n -= 256, b++) {
        float d = f16_at(b->d);
        for (int g = 0; g < 16; g++, dst += 16) {
            float scale = d * (float)q3_k_scale(b->scales, g);
            const uint8_t *q = b->qs + 32 * (g / 8) + 16 * (g % 2);
            const uint8_t *high = b->hmask + 16 * (g % 2);
            int shift = 2 * (g % 8 / 2), bit = g / 2;
            for (int i = 0; i < 16; i++) {
                int v = (q[i] >> shift & 3) - (high[i] >> bit & 1 ? 0 : 4);
                dst[i] = scale * (float)v;
            }
        }
    }
}

void dequant_q4_k(const void *src, float *dst, size_t n)
{
    const BlockQ4_K *b = src;
    for (; n; n -= 256, b++) {
        float d = f16_at(b->d), dmin = f16_at(b->dmin);
        for (int g = 0; g < 8; g++, dst += 32) {
            uint8_t s, m;
            k_scale_min(b->scales, g, &s, &m);
            float scale = d * (float)s, min = dmin * (float)m;
            const uint8_t *q = b->qs + 32 * (g / 2);
            int shift = 4 * (g % 2);
            for (int i = 0; i < 32; i++) dst[i] = scale * (float)(q[i] >> shift & 15) - min;
        }
    }
}

void dequant_q5_k(const void *src, float *dst, size_t n)
{
    const BlockQ5_K *b = src;
    for (; n; n -= 256, b++) {
        float d = f16_at(b->d), dmin = f16_at(b->dmin);
        for (int g = 0; g < 8; g++, dst += 32) {
            uint8_t s, m;
            k_scale_min(b->scales, g, &s, &m);
            float scale = d * (float)s, min = dmin * (float)m;
            const uint8_t *q = b->qs + 32 * (g / 2);
            int shift = 4 * (g % 2);
            for (int i = 0; i < 32; i++) {
                int v = (q[i] >> shift & 15) | (b->qh[i] >> g & 1) << 4;
                dst[i] = scale * (float)v - min;
            }
        }
    }
}

void dequant_q6_k(const void *src, float *dst, size_t n)
{
    const BlockQ6_K *b = src;
    for (; n; n -= 256, b++) {
        float d = f16_at(b->d);
        for (int g = 0; g < 16; g++, dst += 16) {
            float scale = d * (float)(int8_t)b->scales[g];
            int part = g % 8 / 2; /* which 32 of the 128 */
            const uint8_t *ql = b->ql + 64 * (g / 8) + 32 * (part % 2) + 16 * (g % 2);
            const uint8_t *qh = b->qh + 32 * (g / 8) + 16 * (g % 2);
            for (int i = 0; i < 16; i++) {
                int v = (ql[i] >> 4 * (part / 2) & 15) | (qh[i] >> 2 * part & 3) << 4;
                dst[i] = scale * (float)(v - 32);
            }
        }
    }
}

void dequant_iq4_xs(const void *src, float *dst, size_t n)
{
    const BlockIQ4_XS *b = src;
    for (; n; n -= 256, b++) {
        float d = f16_at(b->d);
        for (int g = 0; g < 8; g++, dst += 32) {
            float scale = d * (float)iq4_xs_scale(b, g);
            const uint8_t *q = b->qs + 16 * g;
            for (int i = 0; i < 16; i++) {
                dst[i] = scale * (float)iq4_values[q[i] & 15];
                dst[i + 16] = scale * (float)iq4_values[q[i] >> 4];
            }
        }
    }
}

void dequant_tq1_0(const void *src, float *dst, size_t n)
{
    const BlockTQ1_0 *b = src;
    for (; n; n -= 256, b++, dst += 256) {
        float d = f16_at(b->d);
        for (int i = 0; i < 5; i++) {
            for (int l = 0; l < 32; l++) dst[l + 32 * i] = d * (float)(tq1_digit(b->qs[l], i) - 1);
            for (int l = 0; l < 16; l++)
                dst[160 + l + 16 * i] = d * (float)(tq1_digit(b->qs[32 + l], i) - 1);
            for (int l = 0; l < 4 && i < 4; l++)
                dst[240 + l + 4 * i] = d * (float)(tq1_digit(b->qh[l], i) - 1);
        }
    }
}

void dequant_tq2_0(const void *src, float *dst, size_t n)
{
    const BlockTQ2_0 *b = src;
    for (; n; n -= 256, b++, dst += 256) {
        float d = f16_at(b->d);
        for (int k = 0; k < 256; k++)
            dst[k] = d * (float)((b->qs[32 * (k / 128) + k % 32] >> 2 * (k % 128 / 32) & 3) - 1);
    }
}
