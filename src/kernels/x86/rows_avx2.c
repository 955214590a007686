/* Element-wise and row kernels, AVX2 (see kernels/wide/rows.h). */
#include "kernels/x86/wide_avx2.h"

#include <float.h>
#include <math.h>

#include "kernels/wide/rows.h"

/* Eight, of which bits 0 to 7 of `range` are there and those of `keep` count; stores only where
 * something changes. Bits move to the sign, by which vectors are blended and stored. */
static inline __m256 look(float *p, uint64_t keep, uint64_t range)
{
    const __m256i up = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
    const __m256 none = _mm256_set1_ps(-INFINITY), most = _mm256_set1_ps(FLT_MAX);
    __m256i there = _mm256_sllv_epi32(_mm256_set1_epi32((int)(range & 255)), up);
    __m256 kept = _mm256_castsi256_ps(_mm256_sllv_epi32(_mm256_set1_epi32((int)(keep & 255)), up));
    __m256 x = (range & 255) == 255 ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, there);
    __m256 v = _mm256_min_ps(_mm256_max_ps(x, none), most); /* max gives its second for NaN */
    v = _mm256_blendv_ps(none, v, kept);
    __m256i other = _mm256_castps_si256(_mm256_cmp_ps(x, v, _CMP_NEQ_UQ));
    other = _mm256_and_si256(other, there);
    if (_mm256_movemask_ps(_mm256_castsi256_ps(other))) _mm256_maskstore_ps(p, other, v);
    return v;
}

static void peaks(float *x, const uint64_t *bits, size_t n, float *peak)
{
    for (size_t i = 0; i < n; i += 64) {
        uint64_t range = n - i < 64 ? ((uint64_t)1 << (n - i)) - 1 : UINT64_MAX;
        uint64_t keep = bits ? bits[i / 64] & range : range;
        __m256 best = _mm256_set1_ps(-INFINITY);
        for (float *p = keep ? x + i : NULL; p && range; p += 8, keep >>= 8, range >>= 8)
            best = _mm256_max_ps(best, look(p, keep, range));
        __m128 four = _mm_max_ps(_mm256_castps256_ps128(best), _mm256_extractf128_ps(best, 1));
        four = _mm_max_ps(four, _mm_movehl_ps(four, four));
        peak[i / 64] = _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
    }
}

void kernels_avx2_rows(Kernels *table)
{
    register_rows(table);
    table->peaks = peaks;
}
