/* Vectors of 8 floats for the kernels of kernels/wide/ (contract: kernels/wide/wide.h). */
#ifndef KERNELS_X86_WIDE_AVX2_H
#define KERNELS_X86_WIDE_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/wide/unroll.h"
#include <string.h>

#define WIDE static inline __attribute__((always_inline))

enum { LANES = 8 };
typedef __m256 vf;
typedef __m128 v4;

WIDE __m256i first_lanes(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

WIDE vf vf_set(float x)
{
    return _mm256_set1_ps(x);
}

WIDE vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

WIDE vf vf_load_part(const float *p, size_t n)
{
    return _mm256_maskload_ps(p, first_lanes(n));
}

WIDE void vf_store(float *p, vf v)
{
    _mm256_storeu_ps(p, v);
}

WIDE void vf_store_part(float *p, vf v, size_t n)
{
    _mm256_maskstore_ps(p, first_lanes(n), v);
}

WIDE vf vf_add(vf a, vf b)
{
    return _mm256_add_ps(a, b);
}

WIDE vf vf_sub(vf a, vf b)
{
    return _mm256_sub_ps(a, b);
}

WIDE vf vf_mul(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}

WIDE vf vf_div(vf a, vf b)
{
    return _mm256_div_ps(a, b);
}

WIDE vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}

WIDE vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}

WIDE vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}

WIDE vf vf_abs(vf a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}

WIDE vf vf_sqrt(vf a)
{
    return _mm256_sqrt_ps(a);
}

WIDE vf vf_round(vf a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

WIDE vf power2(__m256i n)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

/* In two factors, so that results outside the range of one come out right: |n| <= 252. */
WIDE vf vf_scale2(vf a, vf n)
{
    __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    return vf_mul(vf_mul(a, power2(half)), power2(_mm256_sub_epi32(whole, half)));
}

/* Lanes [from, to) of a, the rest of b. */
WIDE vf vf_within(vf a, vf b, size_t from, size_t to)
{
    __m256i mask = _mm256_andnot_si256(first_lanes(from), first_lanes(to));
    return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(mask));
}

WIDE v4 halves_sum(vf v)
{
    return _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
}

WIDE float vf_first(vf v)
{
    return _mm256_cvtss_f32(v);
}

WIDE float vf_sum(vf v)
{
    v4 t = halves_sum(v);
    t = _mm_add_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_add_ss(t, _mm_shuffle_ps(t, t, 1)));
}

WIDE float vf_top(vf v)
{
    v4 t = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    t = _mm_max_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_max_ss(t, _mm_shuffle_ps(t, t, 1)));
}

/* In each 128-bit part: the sums over that part of a, b, c, d. */
WIDE vf fold4(vf a, vf b, vf c, vf d)
{
    vf ab = vf_add(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    vf cd = vf_add(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    __m256d x = _mm256_castps_pd(ab), y = _mm256_castps_pd(cd);
    return vf_add(_mm256_castpd_ps(_mm256_unpacklo_pd(x, y)),
                  _mm256_castpd_ps(_mm256_unpackhi_pd(x, y)));
}

WIDE v4 vf_sum4(vf a, vf b, vf c, vf d)
{
    return halves_sum(fold4(a, b, c, d));
}

WIDE void vf_turn(vf *x)
{
    vf y[8];
    UNROLL
    for (int i = 0; i < 8; i += 4) {
        __m256d a = _mm256_castps_pd(_mm256_unpacklo_ps(x[i], x[i + 1]));
        __m256d b = _mm256_castps_pd(_mm256_unpackhi_ps(x[i], x[i + 1]));
        __m256d c = _mm256_castps_pd(_mm256_unpacklo_ps(x[i + 2], x[i + 3]));
        __m256d d = _mm256_castps_pd(_mm256_unpackhi_ps(x[i + 2], x[i + 3]));
        y[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, c));
        y[i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, c));
        y[i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(b, d));
        y[i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(b, d));
    }
    UNROLL
    for (int i = 0; i < 4; i++) { /* 128-bit parts */
        x[i] = _mm256_permute2f128_ps(y[i], y[i + 4], 0x20);
        x[i + 4] = _mm256_permute2f128_ps(y[i], y[i + 4], 0x31);
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

/* ---- 8 numbers of a narrower type; n < 8: the first n, the rest zero ---- */
WIDE __m128i load_part16(const void *p, size_t n)
{
    uint16_t h[8] = {0};
    memcpy(h, p, 2 * n);
    return _mm_loadu_si128((const __m128i *)h);
}

WIDE vf bf16_widen(__m128i h)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

WIDE vf vf_from_bf16(const void *p)
{
    return bf16_widen(_mm_loadu_si128(p));
}

WIDE vf vf_from_bf16_part(const void *p, size_t n)
{
    return bf16_widen(load_part16(p, n));
}

WIDE vf vf_from_f16(const void *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128(p));
}

WIDE vf vf_from_f16_part(const void *p, size_t n)
{
    return _mm256_cvtph_ps(load_part16(p, n));
}

WIDE vf vf_from_i8(const void *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p)));
}

WIDE vf less_eight(__m256i codes)
{
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(codes, _mm256_set1_epi32(8)));
}

WIDE vf vf_from_low4(const void *p)
{
    __m256i bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(p));
    return less_eight(_mm256_and_si256(bytes, _mm256_set1_epi32(15)));
}

WIDE vf vf_from_high4(const void *p)
{
    return less_eight(_mm256_srli_epi32(_mm256_cvtepu8_epi32(_mm_loadl_epi64(p)), 4));
}

WIDE void vf_to_bf16(void *p, vf v)
{
    __m256i u = _mm256_castps_si256(v), high = _mm256_srli_epi32(u, 16);
    __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    __m256i half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
    __m256i near = _mm256_srli_epi32(_mm256_add_epi32(u, half), 16);
    __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    near = _mm256_blendv_epi8(near, quiet, nan);
    _mm_storeu_si128(
        p, _mm_packus_epi32(_mm256_castsi256_si128(near), _mm256_extracti128_si256(near, 1)));
}

WIDE void vf_to_f16(void *p, vf v)
{
    _mm_storeu_si128(p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

/* Rounded to nearest even; the caller has brought it into range. */
WIDE void vf_to_i8(void *p, vf v)
{
    __m256i codes = _mm256_cvtps_epi32(v);
    __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(codes), _mm256_extracti128_si256(codes, 1));
    _mm_storel_epi64(p, _mm_packs_epi16(words, words));
}

/* ---- 16 numbers: those of even and of odd index ---- */
WIDE vf vf_even_bf16(const void *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256(p), 16));
}

WIDE vf vf_odd_bf16(const void *p)
{
    return _mm256_castsi256_ps(
        _mm256_and_si256(_mm256_loadu_si256(p), _mm256_set1_epi32((int)0xffff0000)));
}

/* 0xd8: the quarters in the order 0, 2, 1, 3 undo the shuffle's order by halves. */
WIDE vf vf_even(const float *p)
{
    vf both = _mm256_shuffle_ps(vf_load(p), vf_load(p + 8), 0x88);
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(both), 0xd8));
}

WIDE vf vf_odd(const float *p)
{
    vf both = _mm256_shuffle_ps(vf_load(p), vf_load(p + 8), 0xdd);
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(both), 0xd8));
}

/* The first 8 and the last 8 of 16 numbers: even[0], odd[0], even[1] ... */
WIDE void vf_zip_store(float *p, vf even, vf odd)
{
    vf low = _mm256_unpacklo_ps(even, odd), high = _mm256_unpackhi_ps(even, odd);
    vf_store(p, _mm256_permute2f128_ps(low, high, 0x20));
    vf_store(p + 8, _mm256_permute2f128_ps(low, high, 0x31));
}

#endif
