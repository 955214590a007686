/* Products of bf16 pairs for the kernels of kernels/wide/ (contract: kernels/wide/wide.h; what
 * vdpbf16ps does with denormals and rounding: Intel SDM volume 2, VDPBF16PS). */
#ifndef KERNELS_X86_WIDE_AVX512BF16_H
#define KERNELS_X86_WIDE_AVX512BF16_H

#include "kernels/x86/wide_avx512.h"

#define PAIRS

WIDE __mmask32 first_halves(size_t n)
{
    return (__mmask32)(((uint64_t)1 << n) - 1);
}

WIDE vf vf_dot_pairs(vf a, vf b, vf c)
{
    return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b);
}

WIDE vf vf_load_pairs(const void *p)
{
    return vf_load(p);
}

WIDE vf vf_load_pairs_part(const void *p, size_t n)
{
    return _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(first_halves(n), p));
}

WIDE vf round_pairs(vf low, vf high)
{
    return (vf)_mm512_cvtne2ps_pbh(high, low);
}

WIDE vf vf_pairs_of(const float *p)
{
    return round_pairs(vf_load(p), vf_load(p + LANES));
}

WIDE vf vf_pairs_of_part(const float *p, size_t n)
{
    if (n <= LANES) return round_pairs(_mm512_maskz_loadu_ps(first_lanes(n), p), vf_set(0));
    return round_pairs(vf_load(p), vf_load_part(p + LANES, n - LANES));
}

/* x - near, 0 where near is infinite or NaN. */
WIDE vf what_is_left(vf x, vf near)
{
    __mmask16 finite = _mm512_cmp_ps_mask(vf_abs(near), vf_set(__builtin_inff()), _CMP_LT_OQ);
    return _mm512_maskz_sub_ps(finite, x, near);
}

WIDE void vf_split_pairs(const float *p, vf *first, vf *second)
{
    vf low = vf_load(p), high = vf_load(p + LANES), near = round_pairs(low, high);
    __m512i bits = _mm512_castps_si512(near);
    *first = near;
    *second = round_pairs(what_is_left(low, bf16_widen(_mm512_castsi512_si256(bits))),
                          what_is_left(high, bf16_widen(_mm512_extracti64x4_epi64(bits, 1))));
}

WIDE void vf_zip_pairs(vf a, vf b, vf *low, vf *high)
{
    static const uint16_t pick[64] = {
        0,  32, 1,  33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39, 8,  40, 9,  41, 10, 42,
        11, 43, 12, 44, 13, 45, 14, 46, 15, 47, 16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53,
        22, 54, 23, 55, 24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63};
    __m512i x = _mm512_castps_si512(a), y = _mm512_castps_si512(b);
    *low = _mm512_castsi512_ps(_mm512_permutex2var_epi16(x, _mm512_loadu_si512(pick), y));
    *high = _mm512_castsi512_ps(_mm512_permutex2var_epi16(x, _mm512_loadu_si512(pick + 32), y));
}

WIDE vf vf_first_of_pairs(vf v)
{
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(0xffff)));
}

WIDE vf vf_second_of_pairs(vf v)
{
    return bf16_odd(_mm512_castps_si512(v));
}

WIDE vf vf_round_pairs(void *p, vf v, size_t n)
{
    __m256i near = (__m256i)_mm512_cvtneps_pbh(v);
    _mm256_mask_storeu_epi16(p, (__mmask16)first_halves(n), near);
    return bf16_widen(near);
}

#endif
