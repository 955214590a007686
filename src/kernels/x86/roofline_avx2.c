/* Limits of AVX2: reading and float32 (see kernels/roofline.h). */
#include <immintrin.h>

#include "kernels/roofline.h"

static uint64_t read_avx2(const void *data, size_t bytes)
{
    const char *p = data;
    __m256i s[8] = {_mm256_setzero_si256()};
    for (size_t i = 0; i + 256 <= bytes; i += 256) {
        _mm_prefetch(p + i + 4096, _MM_HINT_T0);
        _mm_prefetch(p + i + 4096 + 128, _MM_HINT_T0);
        for (int j = 0; j < 8; j++)
            s[j] = _mm256_add_epi64(
                s[j], _mm256_loadu_si256((const __m256i *)(const void *)(p + i + 32 * j)));
    }
    uint64_t lanes[4];
    for (int j = 1; j < 8; j++) s[0] = _mm256_add_epi64(s[0], s[j]);
    _mm256_storeu_si256((__m256i *)lanes, s[0]);
    return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

/* Assembly, so that the twelve chains stay as they are. */
#define DECLARE(i) __m256 c##i = zero;
#define STEP(i)    __asm__ volatile("vfmadd231ps %1, %1, %0" : "+x"(c##i) : "x"(zero));
static void chains_f32(int64_t rounds)
{
    __m256 zero = _mm256_setzero_ps();
    ROOFLINE_TWELVE(DECLARE)
    for (int64_t r = 0; r < rounds; r++) {
        ROOFLINE_TWELVE(STEP)
    }
}

void roofline_avx2(RooflineProbes *probes)
{
    probes->read = read_avx2;
    probes->f32 = chains_f32;
    probes->f32_ops = 16;
}
