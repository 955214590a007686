/* Element-wise and row kernels, AVX512 (see kernels/wide/rows.h). */
#include "kernels/x86/wide_avx512.h"

#include <math.h>

#include "kernels/wide/rows.h"

/* -inf to n floats, at least 16: aligned, since stores across lines take twice as long. */
static void strike(float *x, size_t n)
{
    const __m512 none = _mm512_set1_ps(-INFINITY);
    float *end = x + n, *p = x + (64 - ((uintptr_t)x & 63)) / sizeof *x;
    _mm512_storeu_ps(x, none);
    for (; end - p >= 16; p += 16) _mm512_storeu_ps(p, none);
    _mm512_storeu_ps(end - 16, none);
}

/* Most words of a large vocabulary are all ones, which are passed over, or zeros, struck together.
 */
static void keep_bits(float *x, const uint64_t *bits, size_t n)
{
    const __m512 none = _mm512_set1_ps(-INFINITY);
    size_t i = 0;
    while (i < n) {
        size_t first = i;
        while (n - i >= 64 && !bits[i / 64]) i += 64;
        if (i > first) strike(x + first, i - first);
        if (i == n) return;
        uint64_t out = ~bits[i / 64];
        if (n - i < 64) out &= ((uint64_t)1 << (n - i)) - 1;
        for (float *p = x + i; out; p += 16, out >>= 16)
            _mm512_mask_storeu_ps(p, (__mmask16)out, none);
        i += 64;
    }
}

void kernels_avx512_rows(Kernels *table)
{
    register_rows(table);
    table->keep_bits = keep_bits;
}
