/* Activations to int8 with AVX-512 and VNNI: ref/panel.c's quantize_act to the bit, sums as trees
 * of halves included. Sixteen groups of 32 at a time: what is folded across a group (maximum, sums)
 * is folded for sixteen groups in one tree, which ends with one group a lane. */
#include <string.h>

#include "kernels/x86/panel_avx512vnni.h"

enum { LANES = 16 };
#define INLINE static inline __attribute__((always_inline))

/* One step of the tree: out[i] holds what is left of in[2i] and in[2i + 1], half as wide. */
#define STEP(out, in, n, low, high, op)                                                            \
    for (int i = 0; i < (n); i++)                                                                  \
        (out)[i] = op(low((in)[2 * i], (in)[2 * i + 1]), high((in)[2 * i], (in)[2 * i + 1]));
#define LOW_8(a, b)  _mm512_shuffle_f32x4(a, b, 0x44)
#define HIGH_8(a, b) _mm512_shuffle_f32x4(a, b, 0xee)
#define LOW_4(a, b)  _mm512_shuffle_f32x4(a, b, 0x88)
#define HIGH_4(a, b) _mm512_shuffle_f32x4(a, b, 0xdd)
#define LOW_2(a, b)  _mm512_shuffle_ps(a, b, 0x44)
#define HIGH_2(a, b) _mm512_shuffle_ps(a, b, 0xee)
#define LOW_1(a, b)  _mm512_shuffle_ps(a, b, 0x88)
#define HIGH_1(a, b) _mm512_shuffle_ps(a, b, 0xdd)
/* The tree over v[16]; lane 4 i + j of the result is that of v[4 j + i]. */
#define FOLD(v, op)                                                                                \
    __m512 v##_8[8], v##_4[4], v##_2[2], v##_1[1];                                                 \
    STEP(v##_8, v, 8, LOW_8, HIGH_8, op)                                                           \
    STEP(v##_4, v##_8, 4, LOW_4, HIGH_4, op)                                                       \
    STEP(v##_2, v##_4, 2, LOW_2, HIGH_2, op)                                                       \
    STEP(v##_1, v##_2, 1, LOW_1, HIGH_1, op)

/* Where group g lies in what is folded, so that it ends in lane g. */
INLINE int slot(int g)
{
    return g % 4 * 4 + g / 4;
}

INLINE __m512i even(__m512i a, __m512i b)
{
    return _mm512_castps_si512(LOW_1(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
}

INLINE __m512i odd(__m512i a, __m512i b)
{
    return _mm512_castps_si512(HIGH_1(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
}

/* Each 128 bits of v[8] hold a number in four parts: out[2] are the 32 numbers in order. */
INLINE void add_parts(const __m512i v[8], __m512i out[2])
{
    const __m512i turn = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    for (int i = 0; i < 2; i++) {
        __m512i a = _mm512_add_epi32(even(v[4 * i], v[4 * i + 1]), odd(v[4 * i], v[4 * i + 1]));
        __m512i b =
            _mm512_add_epi32(even(v[4 * i + 2], v[4 * i + 3]), odd(v[4 * i + 2], v[4 * i + 3]));
        out[i] = _mm512_permutexvar_epi32(turn, _mm512_add_epi32(even(a, b), odd(a, b)));
    }
}

/* The sums of neighbours: 16 of the 32 numbers of v. */
INLINE __m512i add_pairs(const __m512i v[2])
{
    const __m512i first =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(1));
    return _mm512_add_epi32(_mm512_permutex2var_epi32(v[0], first, v[1]),
                            _mm512_permutex2var_epi32(v[0], second, v[1]));
}

/* Sixteen groups. */
static void quantize_groups(const float *x, int8_t *q, float *scale, float *sum32, float *sum16,
                            int16_t *q_sum16)
{
    __m512 most[LANES], fit[LANES];
#pragma GCC unroll 16
    for (int g = 0; g < LANES; g++) {
        const float *from = x + ACT_GROUP * g;
        most[slot(g)] = _mm512_max_ps(_mm512_abs_ps(_mm512_loadu_ps(from)),
                                      _mm512_abs_ps(_mm512_loadu_ps(from + 16)));
    }
    FOLD(most, _mm512_max_ps)
    __mmask16 some = _mm512_cmp_ps_mask(most_1[0], _mm512_set1_ps(0x1p-100f), _CMP_NLT_UQ);
    _Alignas(64) float inverse[LANES];
    _mm512_store_ps(inverse, _mm512_maskz_div_ps(some, _mm512_set1_ps(127), most_1[0]));
#pragma GCC unroll 16
    for (int g = 0; g < LANES; g++) {
        const float *from = x + ACT_GROUP * g;
        __m512 by = _mm512_set1_ps(inverse[g]);
        __m512 a = _mm512_mul_ps(_mm512_loadu_ps(from), by);
        __m512 b = _mm512_mul_ps(_mm512_loadu_ps(from + 16), by);
        __m512i ia = _mm512_cvtps_epi32(a), ib = _mm512_cvtps_epi32(b);
        _mm_storeu_si128((void *)(q + ACT_GROUP * g), _mm512_cvtsepi32_epi8(ia));
        _mm_storeu_si128((void *)(q + ACT_GROUP * g + 16), _mm512_cvtsepi32_epi8(ib));
        fit[slot(g)] = _mm512_add_ps(_mm512_mul_ps(a, _mm512_cvtepi32_ps(ia)),
                                     _mm512_mul_ps(b, _mm512_cvtepi32_ps(ib)));
    }
    FOLD(fit, _mm512_add_ps)
    __m512i sums[8], squares[8], halves[2];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        __m512i v = _mm512_loadu_si512(q + 64 * i), w = _mm512_abs_epi8(v);
        sums[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1), v);
        squares[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w, w);
    }
    add_parts(squares, halves);
    __m512i square = add_pairs(halves);
    __m512 unit = _mm512_maskz_mul_ps(_mm512_test_epi32_mask(square, square),
                                      _mm512_div_ps(fit_1[0], _mm512_cvtepi32_ps(square)),
                                      _mm512_mul_ps(most_1[0], _mm512_set1_ps(1 / 127.0f)));
    add_parts(sums, halves);
    _mm256_storeu_si256((void *)q_sum16, _mm512_cvtepi32_epi16(halves[0]));
    _mm256_storeu_si256((void *)(q_sum16 + LANES), _mm512_cvtepi32_epi16(halves[1]));
    _mm512_storeu_ps(scale, unit);
    _mm512_storeu_ps(sum32, _mm512_mul_ps(unit, _mm512_cvtepi32_ps(add_pairs(halves))));
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    const __m512i upper = _mm512_add_epi32(twice, _mm512_set1_epi32(8));
    _mm512_storeu_ps(
        sum16, _mm512_mul_ps(_mm512_permutexvar_ps(twice, unit), _mm512_cvtepi32_ps(halves[0])));
    _mm512_storeu_ps(sum16 + LANES, _mm512_mul_ps(_mm512_permutexvar_ps(upper, unit),
                                                  _mm512_cvtepi32_ps(halves[1])));
}

/* The last groups of a row, with zeros up to sixteen. */
static void quantize_rest(const float *x, size_t n, int8_t *q, float *scale, float *sum32,
                          float *sum16, int16_t *q_sum16)
{
    int16_t whole[2 * LANES];
    _Alignas(64) float rest[LANES * ACT_GROUP], unit[LANES], sum[LANES], half[2 * LANES];
    _Alignas(64) int8_t codes[LANES * ACT_GROUP];
    memcpy(rest, x, n * ACT_GROUP * sizeof *x);
    memset(rest + n * ACT_GROUP, 0, (LANES - n) * ACT_GROUP * sizeof *x);
    quantize_groups(rest, codes, unit, sum, half, whole);
    memcpy(q, codes, n * ACT_GROUP);
    memcpy(scale, unit, n * sizeof *unit);
    memcpy(sum32, sum, n * sizeof *sum);
    memcpy(sum16, half, 2 * n * sizeof *half);
    memcpy(q_sum16, whole, 2 * n * sizeof *whole);
}

void quantize_act_avx512(const float *x, size_t k, int8_t *q, float *scale, float *sum32,
                         float *sum16, int16_t *q_sum16)
{
    size_t groups = k / ACT_GROUP;
    for (; groups >= LANES; groups -= LANES) {
        quantize_groups(x, q, scale, sum32, sum16, q_sum16);
        x += LANES * ACT_GROUP;
        q += LANES * ACT_GROUP;
        scale += LANES;
        sum32 += LANES;
        sum16 += 2 * LANES;
        q_sum16 += 2 * LANES;
    }
    if (groups) quantize_rest(x, groups, q, scale, sum32, sum16, q_sum16);
}
