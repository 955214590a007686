/* Element-wise and row kernels, AVX2 (see kernels/wide/rows.h). */
#include "kernels/x86/wide_avx2.h"

#include <float.h>
#include <math.h>

#include "kernels/wide/rows.h"

static inline float largest(__m256 v)
{
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}

/* The largest of 64 of which some are struck, or not there at the end. Bits move to the sign, by
 * which vectors are loaded, blended and stored; without asking, since where a set is mixed branches
 * would go wrong half the time. */
static float peak_of_some(float *x, uint64_t keep, uint64_t range)
{
    const __m256i up = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
    const __m256 none = _mm256_set1_ps(-INFINITY), most = _mm256_set1_ps(FLT_MAX);
    __m256 best = none;
    for (; range; x += 8, keep >>= 8, range >>= 8) {
        __m256i there = _mm256_sllv_epi32(_mm256_set1_epi32((int)(range & 255)), up);
        __m256i kept = _mm256_sllv_epi32(_mm256_set1_epi32((int)(keep & 255)), up);
        __m256 v = _mm256_max_ps(_mm256_maskload_ps(x, there), none); /* its second for NaN */
        v = _mm256_blendv_ps(none, _mm256_min_ps(v, most), _mm256_castsi256_ps(kept));
        _mm256_maskstore_ps(x, there, v);
        best = _mm256_max_ps(best, v);
    }
    return largest(best);
}

/* The same of eight of which none is struck; what is not clean is added to *odd. */
static inline __m256 look(const float *p, __m256 *odd)
{
    const __m256 none = _mm256_set1_ps(-INFINITY), most = _mm256_set1_ps(FLT_MAX);
    __m256 x = _mm256_loadu_ps(p), v = _mm256_min_ps(_mm256_max_ps(x, none), most);
    *odd = _mm256_or_ps(*odd, _mm256_cmp_ps(x, v, _CMP_NEQ_UQ));
    return v;
}

static void peaks(float *x, const uint64_t *bits, size_t n, float *peak)
{
    for (size_t i = 0; i < n; i += 64, x += 64) {
        uint64_t range = n - i < 64 ? ((uint64_t)1 << (n - i)) - 1 : UINT64_MAX;
        uint64_t keep = bits ? bits[i / 64] & range : range;
        __m256 best = _mm256_set1_ps(-INFINITY), odd = _mm256_setzero_ps();
        peak[i / 64] = -INFINITY;
        if (!keep) continue;
        if (~keep) {
            peak[i / 64] = peak_of_some(x, keep, range);
            continue;
        }
        for (int k = 0; k < 64; k += 8) best = _mm256_max_ps(best, look(x + k, &odd));
        peak[i / 64] = _mm256_movemask_ps(odd) ? peak_of_some(x, keep, range) : largest(best);
    }
}

void kernels_avx2_rows(Kernels *table)
{
    register_rows(table);
    table->peaks = peaks;
}
