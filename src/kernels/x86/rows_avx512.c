/* Element-wise and row kernels, AVX512 (see kernels/wide/rows.h). */
#include "kernels/x86/wide_avx512.h"

#include <float.h>
#include <math.h>

#include "kernels/wide/rows.h"

/* Sixteen of which those in `keep` count, cleaned; what is not is added to *odd. */
static inline __m512 look(const float *p, __mmask16 keep, __mmask16 *odd)
{
    const __m512 none = _mm512_set1_ps(-INFINITY), most = _mm512_set1_ps(FLT_MAX);
    __m512 x = _mm512_mask_loadu_ps(none, keep, p);
    __m512 v = _mm512_min_ps(_mm512_max_ps(x, none), most); /* max gives its second for NaN */
    *odd |= _mm512_cmp_ps_mask(x, v, _CMP_NEQ_UQ);
    return v;
}

/* The largest of 64 of which some are struck, or not there at the end. Stores without asking: where
 * a set is mixed, branches would go wrong half the time. */
static float peak_of_some(float *x, uint64_t keep, uint64_t range)
{
    __m512 best = _mm512_set1_ps(-INFINITY);
    for (; range; x += 16, keep >>= 16, range >>= 16) {
        __mmask16 out = (__mmask16)(range & ~keep);
        __m512 v = look(x, (__mmask16)keep, &out);
        _mm512_mask_storeu_ps(x, out, v);
        best = _mm512_max_ps(best, v);
    }
    return _mm512_reduce_max_ps(best);
}

static void peaks(float *x, const uint64_t *bits, size_t n, float *peak)
{
    for (size_t i = 0; i < n; i += 64, x += 64) {
        uint64_t range = n - i < 64 ? ((uint64_t)1 << (n - i)) - 1 : UINT64_MAX;
        uint64_t keep = bits ? bits[i / 64] & range : range;
        __mmask16 odd = 0;
        peak[i / 64] = -INFINITY;
        if (!keep) continue;
        if (~keep) {
            peak[i / 64] = peak_of_some(x, keep, range);
            continue;
        }
        __m512 a = look(x, 0xFFFF, &odd), b = look(x + 16, 0xFFFF, &odd);
        __m512 c = look(x + 32, 0xFFFF, &odd), d = look(x + 48, 0xFFFF, &odd);
        peak[i / 64] =
            odd ? peak_of_some(x, keep, range)
                : _mm512_reduce_max_ps(_mm512_max_ps(_mm512_max_ps(a, b), _mm512_max_ps(c, d)));
    }
}

void kernels_avx512_rows(Kernels *table)
{
    register_rows(table);
    table->peaks = peaks;
}
