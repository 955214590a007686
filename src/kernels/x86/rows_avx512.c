/* Element-wise and row kernels, AVX512 (see kernels/wide/rows.h). */
#include "kernels/x86/wide_avx512.h"

#include <float.h>
#include <math.h>

#include "kernels/wide/rows.h"

/* Sixteen of those in `range`; stores only where something changes, which is rare but for tokens
 * that are not allowed. */
static inline __m512 look(float *p, __mmask16 keep, __mmask16 range)
{
    const __m512 none = _mm512_set1_ps(-INFINITY), most = _mm512_set1_ps(FLT_MAX);
    __m512 x = _mm512_mask_loadu_ps(none, keep, p);
    __m512 v = _mm512_min_ps(_mm512_max_ps(x, none), most); /* max gives its second for NaN */
    __mmask16 out = (__mmask16)((range & ~keep) | _mm512_cmp_ps_mask(x, v, _CMP_NEQ_UQ));
    if (out) _mm512_mask_storeu_ps(p, out, v);
    return v;
}

static void peaks(float *x, const uint64_t *bits, size_t n, float *peak)
{
    for (size_t i = 0; i < n; i += 64) {
        uint64_t range = n - i < 64 ? ((uint64_t)1 << (n - i)) - 1 : UINT64_MAX;
        uint64_t keep = bits ? bits[i / 64] & range : range;
        peak[i / 64] = -INFINITY;
        if (!keep) continue;
        __m512 a = look(x + i, (__mmask16)keep, (__mmask16)range), b = a;
        if (range >> 16) b = look(x + i + 16, (__mmask16)(keep >> 16), (__mmask16)(range >> 16));
        a = _mm512_max_ps(a, b);
        if (range >> 32) b = look(x + i + 32, (__mmask16)(keep >> 32), (__mmask16)(range >> 32));
        a = _mm512_max_ps(a, b);
        if (range >> 48) b = look(x + i + 48, (__mmask16)(keep >> 48), (__mmask16)(range >> 48));
        peak[i / 64] = _mm512_reduce_max_ps(_mm512_max_ps(a, b));
    }
}

void kernels_avx512_rows(Kernels *table)
{
    register_rows(table);
    table->peaks = peaks;
}
