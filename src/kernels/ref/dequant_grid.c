/* Reads rows of the codebook types (IQ1, IQ2, IQ3) as float32 (see dequant.c). Grids: grids.h; how
 * entries, signs and scales lie in a block: blocks.h. The products are exact in float32 in any
 * order: 11 bits of d, 5 of scale, 6 of number. */
#include <stdbool.h>

#include "kernels/ref/dequant.h"
#include "tensor/blocks.h"
#include "tensor/grids.h"

/* n numbers of an entry, each with its sign. */
static void spread(uint64_t entry, unsigned signs, int n, float scale, float *dst)
{
    for (int i = 0; i < n; i++) {
        float v = scale * (float)(entry >> 8 * i & 255);
        dst[i] = signs >> i & 1 ? -v : v;
    }
}

void dequant_iq2_xxs(const void *src, float *dst, size_t n)
{
    const BlockIQ2_XXS *b = src;
    for (; n; n -= 256, b++) {
        float d = f16_at(b->d);
        for (int g = 0; g < 8; g++) {
            const uint8_t *q = b->qs + 8 * g;
            uint32_t sides = u32_at(q + 4);
            float scale = d * (0.5f + (float)(sides >> 28)) * 0.25f;
            for (int i = 0; i < 4; i++, dst += 8)
                spread(grid_iq2_xxs[q[i]], grid_signs(sides >> 7 * i), 8, scale, dst);
        }
    }
}

void dequant_iq2_xs(const void *src, float *dst, size_t n)
{
    const BlockIQ2_XS *b = src;
    for (; n; n -= 256, b++) {
        float d = f16_at(b->d);
        for (int i = 0; i < 32; i++, dst += 8) {
            unsigned q = u16_at(b->qs + 2 * i), s = b->scales[i / 4] >> 4 * (i / 2 % 2) & 15;
            float scale = d * (0.5f + (float)s) * 0.25f;
            spread(grid_iq2_xs[q & 511], grid_signs(q >> 9), 8, scale, dst);
        }
    }
}

void dequant_iq2_s(const void *src, float *dst, size_t n)
{
    const BlockIQ2_S *b = src;
    for (; n; n -= 256, b++) {
        float d = f16_at(b->d);
        for (int i = 0; i < 32; i++, dst += 8) {
            unsigned high = b->qh[i / 4] >> 2 * (i % 4) & 3;
            unsigned s = b->scales[i / 4] >> 4 * (i / 2 % 2) & 15;
            float scale = d * (0.5f + (float)s) * 0.25f;
            spread(grid_iq2_s[b->qs[i] | high << 8], b->signs[i], 8, scale, dst);
        }
    }
}

void dequant_iq3_xxs(const void *src, float *dst, size_t n)
{
    const BlockIQ3_XXS *b = src;
    for (; n; n -= 256, b++) {
        float d = f16_at(b->d);
        for (int g = 0; g < 8; g++) {
            uint32_t sides = u32_at(b->signs + 4 * g);
            float scale = d * (0.5f + (float)(sides >> 28)) * 0.5f;
            for (int i = 0; i < 8; i++, dst += 4) {
                unsigned signs = grid_signs(sides >> 7 * (i / 2)) >> 4 * (i % 2);
                spread(grid_iq3_xxs[b->qs[8 * g + i]], signs, 4, scale, dst);
            }
        }
    }
}

void dequant_iq3_s(const void *src, float *dst, size_t n)
{
    const BlockIQ3_S *b = src;
    for (; n; n -= 256, b++) {
        float d = f16_at(b->d);
        for (int i = 0; i < 64; i++, dst += 4) {
            unsigned entry = b->qs[i] | (b->qh[i / 8] >> i % 8 & 1u) << 8;
            float scale = d * (float)(1 + 2 * (b->scales[i / 16] >> 4 * (i / 8 % 2) & 15));
            spread(grid_iq3_s[entry], b->signs[i / 2] >> 4 * (i % 2), 4, scale, dst);
        }
    }
}

static void shift(uint64_t entry, bool down, float scale, float *dst)
{
    float delta = down ? -0.125f : 0.125f;
    for (int i = 0; i < 8; i++) dst[i] = scale * ((float)(int)(entry >> 8 * i & 255) - 1 + delta);
}

void dequant_iq1_s(const void *src, float *dst, size_t n)
{
    const BlockIQ1_S *b = src;
    for (; n; n -= 256, b++) {
        float d = f16_at(b->d);
        for (int g = 0; g < 8; g++) {
            unsigned h = u16_at(b->qh + 2 * g);
            float scale = d * (float)(2 * (h >> 12 & 7) + 1);
            for (int i = 0; i < 4; i++, dst += 8) {
                unsigned entry = b->qs[4 * g + i] | (h >> 3 * i & 7) << 8;
                shift(grid_iq1[entry], h >> 15, scale, dst);
            }
        }
    }
}

void dequant_iq1_m(const void *src, float *dst, size_t n)
{
    const BlockIQ1_M *b = src;
    for (; n; n -= 256, b++) {
        float d = f16_to_f32(iq1_m_bits(b));
        for (int i = 0; i < 32; i++, dst += 8) {
            unsigned h = b->qh[i / 2] >> 4 * (i % 2);
            unsigned s = u16_at(b->scales + i / 8 * 2) >> 3 * (i / 2 % 4) & 7;
            float scale = d * (float)(2 * s + 1);
            shift(grid_iq1[b->qs[i] | (h & 7) << 8], h >> 3 & 1, scale, dst);
        }
    }
}
