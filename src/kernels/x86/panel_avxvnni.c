/* Panels with AVX-VNNI: 256-bit vpdpbusd, for CPUs that have it without AVX-512.
 *
 * spills run_octet: of four rows a constant, stored and read back once a strip. */
#define TILE_OF(code) ((code) == CODE_SIX || (code) == CODE_FIVE ? 3 : 4)

#include "kernels/parts.h"
#include "kernels/x86/panel_256.h"

INLINE void dots(PanelCode code, int group, __m256i table, const uint8_t *strip, const Lines *lines,
                 int part, const int8_t *q, size_t q_stride, int m, Dots *out)
{
    const int step = step_of(code);
    for (int i = 0; i < 2; i++)
        for (int c = 0; c < m; c++) out->v[i][c] = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int k = 0; k < group; k += step) {
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            Codes w = unpack(code, table, strip + 32 * i, 16 * part + k);
            keep_order(&q);
#pragma GCC unroll 4
            for (int c = 0; c < m; c++)
#pragma GCC unroll 4
                for (int j = 0; j < step / 4; j++) {
                    if (c == 0)
                        fetch(lines, (size_t)(k / step * 2 + i) * (size_t)(step / 4) + (size_t)j,
                              (size_t)(group / 2), &out->v[i][c]);
                    out->v[i][c] = _mm256_dpbusd_avx_epi32(
                        out->v[i][c], w.v[j], four(q + (size_t)c * q_stride + k + 4 * j));
                }
        }
    }
}

void kernels_avxvnni_quant(Kernels *table)
{
    table->panel_matmul = panel_matmul;
    table->panel_few = panel_few;
    table->panel_scales = panel_scales;
}
