/* Panels with the matrix instructions: usmmla multiplies two weight rows by two activation rows
 * over eight k, twice the products of a dot product instruction. A single activation row has usdot,
 * which takes unsigned codes as they are. */
#define SIGNED_CODES  0
#define TILE_OF(code) 4
#define VECTORS_OF(m) 4

#include "kernels/arm/panel_128.h"
#include "kernels/parts.h"

/* Four k of 4 weight rows by those of one activation row: `lane` of 16 k. */
INLINE int32x4_t dot(int32x4_t sum, uint8x16_t w, int8x16_t q, int lane)
{
    switch (lane) {
    case 0: return vusdotq_laneq_s32(sum, w, q, 0);
    case 1: return vusdotq_laneq_s32(sum, w, q, 1);
    case 2: return vusdotq_laneq_s32(sum, w, q, 2);
    default: return vusdotq_laneq_s32(sum, w, q, 3);
    }
}

INLINE void dots_of_one(PanelCode code, int group, Entries table, const uint8_t *strip, int part,
                        const int8_t *q, Dots *out)
{
    for (int i = 0; i < 4; i++) out->v[i][0] = vdupq_n_s32(0);
    UNROLL
    for (int k = 0; k < group; k += 16) {
        int8x16_t x = vld1q_s8(q + k);
        UNROLL
        for (int i = 0; i < 4; i++) {
            Codes w = unpack(code, table, strip + 16 * i, part + k / 16);
            UNROLL
            for (int j = 0; j < 4; j++) out->v[i][0] = dot(out->v[i][0], w.v[j], x, j);
        }
    }
}

/* Eight k of two rows from four k of four: rows 0 and 1, then 2 and 3. */
INLINE uint8x16_t pair_rows(uint8x16_t a, uint8x16_t b, int which)
{
    uint32x4_t x = vreinterpretq_u32_u8(a), y = vreinterpretq_u32_u8(b);
    return vreinterpretq_u8_u32(which ? vzip2q_u32(x, y) : vzip1q_u32(x, y));
}

/* Eight of sixteen k of two activation rows. */
INLINE int8x16_t pair_acts(int8x16_t a, int8x16_t b, int which)
{
    int64x2_t x = vreinterpretq_s64_s8(a), y = vreinterpretq_s64_s8(b);
    return vreinterpretq_s8_s64(which ? vzip2q_s64(x, y) : vzip1q_s64(x, y));
}

/* The sums of two rows by two: (row, activation) 00 01 10 11. An odd last activation row is paired
 * with itself. */
INLINE void dots(PanelCode code, int group, Entries table, const uint8_t *strip, int part,
                 const int8_t *q, size_t q_stride, int m, Dots *out)
{
    if (m == 1) {
        dots_of_one(code, group, table, strip, part, q, out);
        return;
    }
    int32x4_t sum[4][2][2]; /* [4 weight rows][first or last two][two activation rows] */
    const int pairs = (m + 1) / 2;
    for (int i = 0; i < 4; i++)
        for (int p = 0; p < pairs; p++) sum[i][0][p] = sum[i][1][p] = vdupq_n_s32(0);
    UNROLL
    for (int k = 0; k < group; k += 16) {
        q = later(q);
        int8x16_t x[2][2]; /* [two activation rows][first or last eight k] */
        UNROLL
        for (int p = 0; p < pairs; p++) {
            size_t last = (size_t)(2 * p + 1 < m ? 2 * p + 1 : 2 * p);
            int8x16_t a = vld1q_s8(q + (size_t)(2 * p) * q_stride + k);
            int8x16_t b = vld1q_s8(q + last * q_stride + k);
            for (int j = 0; j < 2; j++) x[p][j] = pair_acts(a, b, j);
        }
        UNROLL
        for (int i = 0; i < 4; i++) {
            Codes w = unpack(code, table, strip + 16 * i, part + k / 16);
            UNROLL
            for (int j = 0; j < 4; j++) {
                uint8x16_t rows = pair_rows(w.v[j & 2], w.v[(j & 2) + 1], j & 1);
                UNROLL
                for (int p = 0; p < pairs; p++)
                    sum[i][j & 1][p] = vusmmlaq_s32(sum[i][j & 1][p], rows, x[p][j / 2]);
            }
            for (int p = 0; p < pairs; p++) {
                DONE(sum[i][0][p]);
                DONE(sum[i][1][p]);
            }
            strip = later(strip);
        }
    }
    for (int i = 0; i < 4; i++)
        for (int c = 0; c < m; c++) {
            int32x4_t a = sum[i][0][c / 2], b = sum[i][1][c / 2];
            out->v[i][c] = c & 1 ? vuzp2q_s32(a, b) : vuzp1q_s32(a, b);
        }
}

void kernels_i8mm_quant(Kernels *table)
{
    register_panel(table);
}
