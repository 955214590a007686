/* Shared by the AVX-512 files of panels. */
#ifndef KERNELS_X86_PANEL_AVX512VNNI_H
#define KERNELS_X86_PANEL_AVX512VNNI_H

#include <immintrin.h>

#include "kernels/kernels.h"
#include "kernels/panel_type.h"

void quantize_act_avx512(const float *x, size_t k, int8_t *q, float *scale, float *sum32,
                         float *sum16, int16_t *q_sum16);
void panel_scales_avx512(uint32_t type, const void *scales, size_t k, float *scale, float *min);
/* panel_matmul and panel_few for up to four rows. */
enum { PANEL_FOUR = 4 };
void panel_few_decoded_avx512vnni(PanelCode code, int group, const void *codes, const float *scale,
                                  const float *min, int offset, const uint8_t *table, size_t k,
                                  const PanelAct *act, size_t m, float *out, size_t out_stride);
/* panel_few for any m. */
void panel_any_avx512vnni(uint32_t type, const void *panels, size_t k, size_t n,
                          const PanelAct *act, size_t m, float *out, size_t out_stride);
void panel_matmul_avx512vnni(PanelCode code, int group, const void *codes, const float *scale,
                             const float *min, int offset, const uint8_t *table, size_t k,
                             const PanelAct *act, size_t m, float *out, size_t out_stride);
void panel_few_avx512vnni(uint32_t type, const void *panels, size_t k, size_t n,
                          const PanelAct *act, size_t m, float *out, size_t out_stride);

/* ---- codes of a strip, one a byte ---- */

#define INLINE_512 static inline __attribute__((always_inline))

/* v[j] holds k 4j..4j+3 of each of the 16 rows. */
typedef struct Codes512 {
    __m512i v[4];
} Codes512;

/* k of one unpack. */
INLINE_512 int step_512(PanelCode code)
{
    return code == CODE_BYTE ? 4 : code == CODE_SIX ? 16 : 8;
}

INLINE_512 Codes512 unpack_six_512(const uint8_t *src)
{
    const __m512i low = _mm512_set1_epi8(15), six = _mm512_set1_epi8(63);
    __m512i a = _mm512_loadu_si512(src), b = _mm512_loadu_si512(src + 64);
    __m512i h = _mm512_loadu_si512(src + 128);
    /* Bits 0..3 of the first, 4 and 5 of the second, then nothing above. 0xca: a ? b : c. */
#define JOIN(nibble, high) _mm512_and_si512(_mm512_ternarylogic_epi32(low, nibble, high, 0xca), six)
    return (Codes512){{JOIN(a, _mm512_slli_epi16(h, 4)),
                       JOIN(_mm512_srli_epi16(a, 4), _mm512_slli_epi16(h, 2)), JOIN(b, h),
                       JOIN(_mm512_srli_epi16(b, 4), _mm512_srli_epi16(h, 2))}};
#undef JOIN
}

/* Bits moved down by n, up by -n; what comes from a neighbour is masked off after. */
INLINE_512 __m512i down_512(__m512i v, int n)
{
    switch (n) {
    case -4: return _mm512_slli_epi16(v, 4);
    case -3: return _mm512_slli_epi16(v, 3);
    case -2: return _mm512_slli_epi16(v, 2);
    case -1: return _mm512_slli_epi16(v, 1);
    case 1: return _mm512_srli_epi16(v, 1);
    case 2: return _mm512_srli_epi16(v, 2);
    case 3: return _mm512_srli_epi16(v, 3);
    case 4: return _mm512_srli_epi16(v, 4);
    case 5: return _mm512_srli_epi16(v, 5);
    case 6: return _mm512_srli_epi16(v, 6);
    default: return v;
    }
}

/* Number j of a step that begins at k, in codes made of planes of bits. */
INLINE_512 __m512i unpack_planes_512(PanelCode code, const uint8_t *src, int k, int j)
{
    const int i = k / 4 + j; /* which four of the 32 */
    const int place = code == CODE_FIVE ? 4 : code == CODE_ONE ? 1 : 2;
    const __m512i one = _mm512_set1_epi8((char)(1 << place));
    const uint8_t *bits = src + (code == CODE_FIVE ? 256 : code == CODE_ONE ? 0 : 128);
    __m512i v;
    if (code == CODE_ONE) return _mm512_and_si512(down_512(_mm512_loadu_si512(bits), i - 1), one);
    if (code == CODE_FIVE)
        v = _mm512_and_si512(down_512(_mm512_loadu_si512(src + i / 2 * 64), i % 2 * 4),
                             _mm512_set1_epi8(15));
    else
        v = _mm512_and_si512(down_512(_mm512_loadu_si512(src + i / 4 * 64), i % 4 * 2),
                             _mm512_set1_epi8(3));
    if (code == CODE_TWO) return v;
    /* 0xf8: a | (b & c) */
    return _mm512_ternarylogic_epi32(v, down_512(_mm512_loadu_si512(bits), i - place), one, 0xf8);
}

/* src: the strip in its 32 k (panel_strip apart from the other); k: the step's first of them.
 * Constant code and k. */
INLINE_512 Codes512 unpack_512(PanelCode code, __m512i table, const uint8_t *src, int k)
{
    const __m512i low = _mm512_set1_epi8(15);
    Codes512 c;
    if (code == CODE_SIX) return unpack_six_512(src + k / 16 * 384);
    if (code == CODE_BYTE) {
        c.v[0] = _mm512_loadu_si512(src + k / 4 * 128);
        return c;
    }
    if (code == CODE_NIBBLE || code == CODE_TABLE) {
        __m512i b = _mm512_loadu_si512(src + k / 8 * 128);
        c.v[0] = _mm512_and_si512(b, low);
        c.v[1] = _mm512_and_si512(_mm512_srli_epi16(b, 4), low);
    } else {
#pragma GCC unroll 4
        for (int j = 0; j < step_512(code) / 4; j++) c.v[j] = unpack_planes_512(code, src, k, j);
    }
#pragma GCC unroll 4
    for (int j = 0; j < step_512(code) / 4; j++)
        if (code == CODE_TABLE || code == CODE_OCTET) c.v[j] = _mm512_shuffle_epi8(table, c.v[j]);
    return c;
}

/* Codes of 32 k of both strips to [k/4][32 rows][4], groups of them `gap` bytes apart; `lower`:
 * less `offset`, as signed bytes. */
INLINE_512 void unpack_32(PanelCode code, int group, __m512i table, const uint8_t *src, size_t gap,
                          bool lower, __m512i offset, uint8_t *to)
{
#pragma GCC unroll 8
    for (int k = 0; k < 32; k += step_512(code)) {
        uint8_t *at = to + k * 32 + k / group * gap;
        for (size_t i = 0; i < 2; i++) {
            Codes512 c = unpack_512(code, table, src + i * panel_strip(code), k);
#pragma GCC unroll 4
            for (size_t j = 0; j < (size_t)step_512(code) / 4; j++) {
                if (lower) c.v[j] = _mm512_sub_epi8(c.v[j], offset);
                _mm512_store_si512((void *)(at + i * 64 + j * 128), c.v[j]);
            }
        }
    }
}

/* A table of codes as vpshufb reads it; of NULL: anything. */
static inline __m512i table_entries(const uint8_t *table)
{
    return table ? _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)table))
                 : _mm512_setzero_si512();
}

#endif
