/* Panels with plain NEON: products of signed bytes are 16 bits wide, and so are their sums for as
 * long as they fit. Codes of quantize_act reach 127, so that a lane holds
 *
 *   nibbles        eight products, a group of 32    8 * 15 * 127 < 2^15
 *   six bits       four products, a group of 16     4 * 63 * 127 < 2^15
 *   up to three bits, as nibbles; five bits, entries of tables, as
 *   signed bytes   two products                     2 * 128 * 127 < 2^15
 *
 * and what is more would wrap, not crash. A register of sums is two weight rows, four lanes each.
 * Tiles are as large as 32 registers allow with GCC 12 and no spill. */
#define SIGNED_CODES 1
#define TILE_OF(code)                                                                              \
    ((code) == CODE_OCTET                                                 ? 2                      \
     : (code) == CODE_TABLE || (code) == CODE_BYTE || (code) == CODE_FIVE ? 3                      \
                                                                          : 4)
#define VECTORS_OF(m) ((m) > 1 ? 2 : 4)

#include "kernels/arm/panel_128.h"
#include "kernels/parts.h"

/* Four k of one activation row, once a weight row: `lane` of 16 k. */
INLINE int8x16_t repeat(int8x16_t q, int lane)
{
    int32x4_t v = vreinterpretq_s32_s8(q);
    switch (lane) {
    case 0: return vreinterpretq_s8_s32(vdupq_laneq_s32(v, 0));
    case 1: return vreinterpretq_s8_s32(vdupq_laneq_s32(v, 1));
    case 2: return vreinterpretq_s8_s32(vdupq_laneq_s32(v, 2));
    default: return vreinterpretq_s8_s32(vdupq_laneq_s32(v, 3));
    }
}

/* Adds the products of the first two weight rows, or of the last two. */
INLINE int16x8_t add(int16x8_t sum, uint8x16_t codes, int8x16_t q, int half)
{
    int8x16_t w = vreinterpretq_s8_u8(codes);
    return half ? vmlal_high_s8(sum, w, q) : vmlal_s8(sum, vget_low_s8(w), vget_low_s8(q));
}

INLINE int16x8_t multiply(uint8x16_t codes, int8x16_t q, int half)
{
    int8x16_t w = vreinterpretq_s8_u8(codes);
    return half ? vmull_high_s8(w, q) : vmull_s8(vget_low_s8(w), vget_low_s8(q));
}

/* Nibbles and six bits: sums of 16 bits over the whole group. */
INLINE void dots_16(PanelCode code, int group, const uint8_t *strip, int part, const int8_t *q,
                    size_t q_stride, int m, Dots *out)
{
    const int vectors = VECTORS_OF(m);
    int16x8_t sum[4][4][2];
    for (int i = 0; i < vectors; i++)
        for (int c = 0; c < m; c++) sum[i][c][0] = sum[i][c][1] = vdupq_n_s16(0);
    UNROLL
    for (int k = 0; k < group; k += 16) {
        int8x16_t x[4];
        q = later(q);
        for (int c = 0; c < m; c++) x[c] = vld1q_s8(q + (size_t)c * q_stride + k);
        UNROLL
        for (int i = 0; i < vectors; i++) {
            Codes w = unpack(code, vdupq_n_u8(0), strip + 16 * i, part + k / 16);
            UNROLL
            for (int j = 0; j < 4; j++) {
                UNROLL
                for (int c = 0; c < m; c++) {
                    int8x16_t y = repeat(x[c], j);
                    for (int h = 0; h < 2; h++) sum[i][c][h] = add(sum[i][c][h], w.v[j], y, h);
                }
            }
            for (int c = 0; c < m; c++) {
                DONE(sum[i][c][0]);
                DONE(sum[i][c][1]);
                if (m > 1) DONE(x[c]); /* repeated anew */
            }
            strip = later(strip);
        }
    }
    for (int i = 0; i < vectors; i++)
        for (int c = 0; c < m; c++)
            out->v[i][c] = vpaddq_s32(vpaddlq_s16(sum[i][c][0]), vpaddlq_s16(sum[i][c][1]));
}

/* Signed bytes: two products in 16 bits, their sums in 32. */
INLINE void dots_32(PanelCode code, int group, Entries table, const uint8_t *strip, int part,
                    const int8_t *q, size_t q_stride, int m, Dots *out)
{
    const int vectors = VECTORS_OF(m);
    int32x4_t sum[4][4][2];
    for (int i = 0; i < vectors; i++)
        for (int c = 0; c < m; c++) sum[i][c][0] = sum[i][c][1] = vdupq_n_s32(0);
    UNROLL
    for (int k = 0; k < group; k += 16) {
        int8x16_t x[4];
        q = later(q);
        for (int c = 0; c < m; c++) x[c] = vld1q_s8(q + (size_t)c * q_stride + k);
        UNROLL
        for (int i = 0; i < vectors; i++) {
            Codes w = unpack(code, table, strip + 16 * i, part + k / 16);
            UNROLL
            for (int j = 0; j < 4; j += 2) {
                UNROLL
                for (int c = 0; c < m; c++) {
                    int8x16_t y = repeat(x[c], j), z = repeat(x[c], j + 1);
                    for (int h = 0; h < 2; h++) {
                        int16x8_t two = add(multiply(w.v[j], y, h), w.v[j + 1], z, h);
                        sum[i][c][h] = vpadalq_s16(sum[i][c][h], two);
                    }
                }
            }
            for (int c = 0; c < m; c++) {
                DONE(sum[i][c][0]);
                DONE(sum[i][c][1]);
                if (m > 1) DONE(x[c]); /* repeated anew */
            }
            strip = later(strip);
        }
    }
    for (int i = 0; i < vectors; i++)
        for (int c = 0; c < m; c++) out->v[i][c] = vpaddq_s32(sum[i][c][0], sum[i][c][1]);
}

INLINE void dots(PanelCode code, int group, Entries table, const uint8_t *strip, int part,
                 const int8_t *q, size_t q_stride, int m, Dots *out)
{
    if (code == CODE_BYTE || code == CODE_TABLE || code == CODE_OCTET || code == CODE_FIVE)
        dots_32(code, group, table, strip, part, q, q_stride, m, out);
    else
        dots_16(code, group, strip, part, q, q_stride, m, out);
}

void kernels_neon_quant(Kernels *table)
{
    register_panel(table);
}
