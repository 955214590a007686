/* Panels with the dot product instructions: sdot takes four products of signed bytes into a lane,
 * and its activations from a lane of their register, so that nothing is broadcast. */
#define SIGNED_CODES  1
#define TILE_OF(code) 4
#define VECTORS_OF(m) 4

#include "kernels/arm/panel_128.h"
#include "kernels/parts.h"

/* Four k of 4 weight rows by those of one activation row: `lane` of 16 k. */
INLINE int32x4_t dot(int32x4_t sum, uint8x16_t codes, int8x16_t q, int lane)
{
    int8x16_t w = vreinterpretq_s8_u8(codes);
    switch (lane) {
    case 0: return vdotq_laneq_s32(sum, w, q, 0);
    case 1: return vdotq_laneq_s32(sum, w, q, 1);
    case 2: return vdotq_laneq_s32(sum, w, q, 2);
    default: return vdotq_laneq_s32(sum, w, q, 3);
    }
}

INLINE void dots(PanelCode code, int group, Entries table, const uint8_t *strip, int part,
                 const int8_t *q, size_t q_stride, int m, Dots *out)
{
    for (int i = 0; i < 4; i++)
        for (int c = 0; c < m; c++) out->v[i][c] = vdupq_n_s32(0);
    UNROLL
    for (int k = 0; k < group; k += 16) {
        int8x16_t x[4];
        q = later(q);
        for (int c = 0; c < m; c++) x[c] = vld1q_s8(q + (size_t)c * q_stride + k);
        UNROLL
        for (int i = 0; i < 4; i++) {
            Codes w = unpack(code, table, strip + 16 * i, part + k / 16);
            UNROLL
            for (int j = 0; j < 4; j++) {
                UNROLL
                for (int c = 0; c < m; c++) out->v[i][c] = dot(out->v[i][c], w.v[j], x[c], j);
            }
            for (int c = 0; c < m; c++) DONE(out->v[i][c]);
            strip = later(strip);
        }
    }
}

void kernels_dotprod_quant(Kernels *table)
{
    register_panel(table);
}
