/* Activations to int8 with AVX2: ref/panel.c's quantize_act to the bit, sums as trees of halves
 * included. A group of 32 is four registers. */
#include <immintrin.h>

#include "kernels/kernels.h"
#include "kernels/x86/quantize_avx2.h"

static inline float fold_sum(__m256 v)
{
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

static inline float fold_max(__m256 v)
{
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

static inline int fold_int(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

void quantize_act_avx2(const float *x, size_t k, int8_t *q, float *scale, float *sum32,
                       float *sum16, int16_t *q_sum16)
{
    const __m256 no_sign = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    for (size_t g = 0; g < k / ACT_GROUP; g++, x += ACT_GROUP, q += ACT_GROUP) {
        __m256 v[4], most_of = _mm256_setzero_ps(), p[4];
        __m256i c[4];
        for (int i = 0; i < 4; i++) {
            v[i] = _mm256_loadu_ps(x + 8 * i);
            most_of = _mm256_max_ps(most_of, _mm256_and_ps(v[i], no_sign));
        }
        float most = fold_max(most_of);
        __m256 inverse = _mm256_set1_ps(most < 0x1p-100f ? 0 : 127 / most);
        for (int i = 0; i < 4; i++) {
            v[i] = _mm256_mul_ps(v[i], inverse);
            c[i] = _mm256_cvtps_epi32(v[i]);
            p[i] = _mm256_mul_ps(v[i], _mm256_cvtepi32_ps(c[i]));
        }
        float fit = fold_sum(_mm256_add_ps(_mm256_add_ps(p[0], p[2]), _mm256_add_ps(p[1], p[3])));
        /* Packing works by 128-bit lanes: dwords come out 0 2 4 6 1 3 5 7. */
        __m256i low = _mm256_packs_epi32(c[0], c[1]), high = _mm256_packs_epi32(c[2], c[3]);
        __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high),
                                                    _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        _mm256_storeu_si256((void *)q, bytes);
        const __m256i ones = _mm256_set1_epi16(1);
        int first = fold_int(_mm256_madd_epi16(low, ones));
        int second = fold_int(_mm256_madd_epi16(high, ones));
        int square =
            fold_int(_mm256_add_epi32(_mm256_madd_epi16(low, low), _mm256_madd_epi16(high, high)));
        float unit = square ? fit / (float)square * (most * (1 / 127.0f)) : 0;
        scale[g] = unit;
        sum32[g] = unit * (float)(first + second);
        sum16[2 * g] = unit * (float)first;
        sum16[2 * g + 1] = unit * (float)second;
        q_sum16[2 * g] = (int16_t)first;
        q_sum16[2 * g + 1] = (int16_t)second;
    }
}
