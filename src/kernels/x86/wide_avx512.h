/* Vectors of 16 floats for the kernels of kernels/wide/ (contract: kernels/wide/wide.h). */
#ifndef KERNELS_X86_WIDE_AVX512_H
#define KERNELS_X86_WIDE_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/wide/unroll.h"

#define WIDE static inline __attribute__((always_inline))

enum { LANES = 16 };
typedef __m512 vf;
typedef __m128 v4;

WIDE __mmask16 first_lanes(size_t n)
{
    return (__mmask16)((1u << n) - 1);
}

WIDE vf vf_set(float x)
{
    return _mm512_set1_ps(x);
}

WIDE vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

WIDE vf vf_load_part(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(first_lanes(n), p);
}

WIDE void vf_store(float *p, vf v)
{
    _mm512_storeu_ps(p, v);
}

WIDE void vf_store_part(float *p, vf v, size_t n)
{
    _mm512_mask_storeu_ps(p, first_lanes(n), v);
}

WIDE vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}

WIDE vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}

WIDE vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}

WIDE vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}

WIDE vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}

WIDE vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}

WIDE vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}

WIDE vf vf_abs(vf a)
{
    return _mm512_abs_ps(a);
}

WIDE vf vf_sqrt(vf a)
{
    return _mm512_sqrt_ps(a);
}

WIDE vf vf_round(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

WIDE vf vf_scale2(vf a, vf n)
{
    return _mm512_scalef_ps(a, n);
}

/* Lanes [from, to) of a, the rest of b. */
WIDE vf vf_within(vf a, vf b, size_t from, size_t to)
{
    __mmask16 mask = (__mmask16)((0xffffu << from) & (0xffffu >> (LANES - to)));
    return _mm512_mask_blend_ps(mask, b, a);
}

WIDE float vf_first(vf v)
{
    return _mm512_cvtss_f32(v);
}

WIDE float vf_sum(vf v)
{
    return _mm512_reduce_add_ps(v);
}

WIDE float vf_top(vf v)
{
    return _mm512_reduce_max_ps(v);
}

/* In each 128-bit part: the sums over that part of a, b, c, d. */
WIDE vf fold4(vf a, vf b, vf c, vf d)
{
    vf ab = vf_add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    vf cd = vf_add(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    __m512d x = _mm512_castps_pd(ab), y = _mm512_castps_pd(cd);
    return vf_add(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)),
                  _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
}

WIDE v4 vf_sum4(vf a, vf b, vf c, vf d)
{
    vf t = fold4(a, b, c, d);
    __m256 u = _mm256_add_ps(_mm512_castps512_ps256(t), _mm512_extractf32x8_ps(t, 1));
    return _mm_add_ps(_mm256_castps256_ps128(u), _mm256_extractf128_ps(u, 1));
}

WIDE void vf_turn(vf *x)
{
    vf y[16];
    UNROLL
    for (int i = 0; i < 16; i += 4) {
        __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(x[i], x[i + 1]));
        __m512d b = _mm512_castps_pd(_mm512_unpackhi_ps(x[i], x[i + 1]));
        __m512d c = _mm512_castps_pd(_mm512_unpacklo_ps(x[i + 2], x[i + 3]));
        __m512d d = _mm512_castps_pd(_mm512_unpackhi_ps(x[i + 2], x[i + 3]));
        y[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        y[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        y[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        y[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
    UNROLL
    for (int i = 0; i < 4; i++) { /* 128-bit parts */
        vf a = _mm512_shuffle_f32x4(y[i], y[i + 4], 0x88);
        vf b = _mm512_shuffle_f32x4(y[i], y[i + 4], 0xdd);
        vf c = _mm512_shuffle_f32x4(y[i + 8], y[i + 12], 0x88);
        vf d = _mm512_shuffle_f32x4(y[i + 8], y[i + 12], 0xdd);
        x[i] = _mm512_shuffle_f32x4(a, c, 0x88);
        x[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
        x[i + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
        x[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
}

WIDE v4 v4_load(const float *p)
{
    return _mm_loadu_ps(p);
}

WIDE v4 v4_add(v4 a, v4 b)
{
    return _mm_add_ps(a, b);
}

WIDE void v4_store(float *p, v4 v)
{
    _mm_storeu_ps(p, v);
}

WIDE float v4_first(v4 v)
{
    return _mm_cvtss_f32(v);
}

/* ---- 16 numbers of a narrower type; n < 16: the first n, the rest zero ---- */
WIDE vf bf16_widen(__m256i h)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

WIDE vf vf_from_bf16(const void *p)
{
    return bf16_widen(_mm256_loadu_si256(p));
}

WIDE vf vf_from_bf16_part(const void *p, size_t n)
{
    return bf16_widen(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}

WIDE vf vf_from_f16(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256(p));
}

WIDE vf vf_from_f16_part(const void *p, size_t n)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}

WIDE vf vf_from_i8(const void *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p)));
}

WIDE vf less_eight(__m512i codes)
{
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(codes, _mm512_set1_epi32(8)));
}

WIDE vf vf_from_low4(const void *p)
{
    __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(p));
    return less_eight(_mm512_and_si512(bytes, _mm512_set1_epi32(15)));
}

WIDE vf vf_from_high4(const void *p)
{
    return less_eight(_mm512_srli_epi32(_mm512_cvtepu8_epi32(_mm_loadu_si128(p)), 4));
}

WIDE void vf_to_bf16(void *p, vf v)
{
    __m512i u = _mm512_castps_si512(v), high = _mm512_srli_epi32(u, 16);
    __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    __m512i half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
    __m512i near = _mm512_srli_epi32(_mm512_add_epi32(u, half), 16);
    __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    near = _mm512_mask_or_epi32(near, nan, high, _mm512_set1_epi32(0x40));
    _mm256_storeu_si256(p, _mm512_cvtepi32_epi16(near));
}

WIDE void vf_to_f16(void *p, vf v)
{
    _mm256_storeu_si256(p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

/* Rounded to nearest even; the caller has brought it into range. */
WIDE void vf_to_i8(void *p, vf v)
{
    _mm_storeu_si128(p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}

/* ---- 32 numbers: those of even and of odd index ---- */
WIDE vf bf16_even(__m512i w)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(w, 16));
}

WIDE vf bf16_odd(__m512i w)
{
    return _mm512_castsi512_ps(_mm512_and_si512(w, _mm512_set1_epi32((int)0xffff0000)));
}

WIDE vf vf_even_bf16(const void *p)
{
    return bf16_even(_mm512_loadu_si512(p));
}

WIDE vf vf_odd_bf16(const void *p)
{
    return bf16_odd(_mm512_loadu_si512(p));
}

WIDE vf vf_even(const float *p)
{
    const __m512i pick =
        _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    return _mm512_permutex2var_ps(vf_load(p), pick, vf_load(p + 16));
}

WIDE vf vf_odd(const float *p)
{
    const __m512i pick =
        _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    return _mm512_permutex2var_ps(vf_load(p), pick, vf_load(p + 16));
}

/* The first 16 and the last 16 of 32 numbers: even[0], odd[0], even[1] ... */
WIDE void vf_zip_store(float *p, vf even, vf odd)
{
    const __m512i low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i high =
        _mm512_set_epi32(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8);
    vf_store(p, _mm512_permutex2var_ps(even, low, odd));
    vf_store(p + 16, _mm512_permutex2var_ps(even, high, odd));
}

#endif
