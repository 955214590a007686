/* Activations to int8 with AVX-512: ref/panel.c's quantize_act to the bit, sums as trees of halves
 * included. A group of 32 is two registers. */
#include "kernels/x86/panel_avx512vnni.h"

static inline float fold_sum(__m512 v)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

static inline float fold_max(__m512 v)
{
    __m256 a = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

void quantize_act_avx512(const float *x, size_t k, int8_t *q, float *scale, float *sum32,
                         float *sum16)
{
    for (size_t g = 0; g < k / ACT_GROUP; g++, x += ACT_GROUP, q += ACT_GROUP) {
        __m512 a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + 16);
        float most = fold_max(_mm512_max_ps(_mm512_abs_ps(a), _mm512_abs_ps(b)));
        __m512 inverse = _mm512_set1_ps(most < 0x1p-100f ? 0 : 127 / most);
        a = _mm512_mul_ps(a, inverse);
        b = _mm512_mul_ps(b, inverse);
        __m512i ia = _mm512_cvtps_epi32(a), ib = _mm512_cvtps_epi32(b);
        __m128i qa = _mm512_cvtsepi32_epi8(ia), qb = _mm512_cvtsepi32_epi8(ib);
        _mm_storeu_si128((void *)q, qa);
        _mm_storeu_si128((void *)(q + 16), qb);
        float fit = fold_sum(_mm512_add_ps(_mm512_mul_ps(a, _mm512_cvtepi32_ps(ia)),
                                           _mm512_mul_ps(b, _mm512_cvtepi32_ps(ib))));
        /* Sums of 16 codes, as bytes plus 128, less what was added. */
        __m256i bytes = _mm256_xor_si256(_mm256_set_m128i(qb, qa), _mm256_set1_epi8(-128));
        __m256i sums = _mm256_sad_epu8(bytes, _mm256_setzero_si256());
        __m256i words = _mm512_cvtepi32_epi16(ia);
        __m256i more = _mm512_cvtepi32_epi16(ib);
        __m256i squares =
            _mm256_add_epi32(_mm256_madd_epi16(words, words), _mm256_madd_epi16(more, more));
        __m128i s =
            _mm_add_epi32(_mm256_castsi256_si128(squares), _mm256_extracti128_si256(squares, 1));
        s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
        int square = _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
        __m128i sa = _mm256_castsi256_si128(sums), sb = _mm256_extracti128_si256(sums, 1);
        int low = _mm_cvtsi128_si32(_mm_add_epi32(sa, _mm_unpackhi_epi64(sa, sa))) - 2048;
        int high = _mm_cvtsi128_si32(_mm_add_epi32(sb, _mm_unpackhi_epi64(sb, sb))) - 2048;
        float unit = square ? fit / (float)square * (most * (1 / 127.0f)) : 0;
        scale[g] = unit;
        sum32[g] = unit * (float)(low + high);
        sum16[2 * g] = unit * (float)low;
        sum16[2 * g + 1] = unit * (float)high;
    }
}
