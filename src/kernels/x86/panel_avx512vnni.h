/* Shared by the AVX-512 files of panels. */
#ifndef KERNELS_X86_PANEL_AVX512VNNI_H
#define KERNELS_X86_PANEL_AVX512VNNI_H

#include <immintrin.h>

#include "kernels/kernels.h"

void quantize_act_avx512(const float *x, size_t k, int8_t *q, float *scale, float *sum32,
                         float *sum16);
void panel_scales_avx512(uint32_t type, const void *scales, size_t k, float *scale, float *min);
/* panel_matmul and panel_few for m <= PANEL_FEW (panel_few takes any m). */
void panel_few_decoded_avx512vnni(PanelCode code, const void *codes, const float *scale,
                                  const float *min, const uint8_t *table, size_t k,
                                  const PanelAct *act, size_t m, float *out, size_t out_stride);
void panel_matmul_avx512vnni(PanelCode code, int group, const void *codes, const float *scale,
                             const float *min, const uint8_t *table, size_t k, const PanelAct *act,
                             size_t m, float *out, size_t out_stride);
void panel_few_avx512vnni(uint32_t type, const void *panel, size_t k, const PanelAct *act, size_t m,
                          float *out, size_t out_stride);

/* Sixteen k of a strip of CODE_SIX: v[j] holds k 4j..4j+3 of each row. */
typedef struct Six {
    __m512i v[4];
} Six;

static inline __attribute__((always_inline)) Six unpack_six(const uint8_t *src)
{
    const __m512i low = _mm512_set1_epi8(15), six = _mm512_set1_epi8(63);
    __m512i a = _mm512_loadu_si512(src), b = _mm512_loadu_si512(src + 64);
    __m512i h = _mm512_loadu_si512(src + 128);
    /* Bits 0..3 of the first, 4 and 5 of the second, then nothing above. 0xca: a ? b : c. */
#define JOIN(nibble, high) _mm512_and_si512(_mm512_ternarylogic_epi32(low, nibble, high, 0xca), six)
    return (Six){{JOIN(a, _mm512_slli_epi16(h, 4)),
                  JOIN(_mm512_srli_epi16(a, 4), _mm512_slli_epi16(h, 2)), JOIN(b, h),
                  JOIN(_mm512_srli_epi16(b, 4), _mm512_srli_epi16(h, 2))}};
#undef JOIN
}

/* The table of CODE_TABLE as vpshufb reads it; of NULL: anything. */
static inline __m512i table_entries(const uint8_t *table)
{
    return table ? _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)table))
                 : _mm512_setzero_si512();
}

/* Codes of one group (32 or 16 k) of both strips to [k/4][32 rows][4]. */
static inline __attribute__((always_inline)) const uint8_t *
unpack_group(PanelCode code, int group, __m512i table, const uint8_t *src, uint8_t *to)
{
    const __m512i low = _mm512_set1_epi8(15);
    if (code == CODE_BYTE) {
        for (int i = 0; i < group * 32; i += 64)
            _mm512_store_si512((void *)(to + (size_t)i), _mm512_loadu_si512(src + i));
        return src + group * 32;
    }
    if (code == CODE_SIX) {
        for (int i = 0; i < group / 16 * 2; i++, src += 192) {
            Six c = unpack_six(src);
            uint8_t *at = to + i / 2 * 512 + i % 2 * 64;
            for (size_t j = 0; j < 4; j++) _mm512_store_si512((void *)(at + j * 128), c.v[j]);
        }
        return src;
    }
    for (int i = 0; i < group / 8 * 2; i++, src += 64) {
        __m512i v = _mm512_loadu_si512(src);
        __m512i a = _mm512_and_si512(v, low);
        __m512i b = _mm512_and_si512(_mm512_srli_epi16(v, 4), low);
        if (code == CODE_TABLE) {
            a = _mm512_shuffle_epi8(table, a);
            b = _mm512_shuffle_epi8(table, b);
        }
        uint8_t *at = to + i / 2 * 256 + i % 2 * 64;
        _mm512_store_si512((void *)(at + 0), a);
        _mm512_store_si512((void *)(at + 128), b);
    }
    return src;
}

#endif
