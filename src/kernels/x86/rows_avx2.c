/* Element-wise and row kernels, AVX2 (see kernels/wide/rows.h). */
#include "kernels/x86/wide_avx2.h"

#include <math.h>

#include "kernels/wide/rows.h"

/* Eight at a time; bits move to the sign, by which vectors are blended and stored. */
static void keep_bits(float *x, const uint64_t *bits, size_t n)
{
    const __m256i up = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
    const __m256 none = _mm256_set1_ps(-INFINITY);
    for (size_t i = 0; i < n; i += 64) {
        uint64_t out = ~bits[i / 64];
        if (n - i < 64) out &= ((uint64_t)1 << (n - i)) - 1;
        for (float *p = x + i; out; p += 8, out >>= 8)
            _mm256_maskstore_ps(p, _mm256_sllv_epi32(_mm256_set1_epi32((int)(out & 255)), up),
                                none);
    }
}

void kernels_avx2_rows(Kernels *table)
{
    register_rows(table);
    table->keep_bits = keep_bits;
}
