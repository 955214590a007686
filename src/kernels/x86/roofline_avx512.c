/* Limits of AVX-512: reading and float32 (see kernels/roofline.h). */
#include <immintrin.h>

#include "kernels/roofline.h"

static uint64_t read_avx512(const void *data, size_t bytes)
{
    const char *p = data;
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
    for (size_t i = 0; i + 256 <= bytes; i += 256) {
        _mm_prefetch(p + i + 4096, _MM_HINT_T0);
        a = _mm512_add_epi64(a, _mm512_loadu_si512(p + i));
        b = _mm512_add_epi64(b, _mm512_loadu_si512(p + i + 64));
        c = _mm512_add_epi64(c, _mm512_loadu_si512(p + i + 128));
        d = _mm512_add_epi64(d, _mm512_loadu_si512(p + i + 192));
    }
    a = _mm512_add_epi64(_mm512_add_epi64(a, b), _mm512_add_epi64(c, d));
    return (uint64_t)_mm512_reduce_add_epi64(a);
}

/* Assembly, so that the twelve chains stay as they are. */
#define DECLARE(i) __m512 c##i = zero;
#define STEP(i)    __asm__ volatile("vfmadd231ps %1, %1, %0" : "+v"(c##i) : "v"(zero));
static void chains_f32(int64_t rounds)
{
    __m512 zero = _mm512_setzero_ps();
    ROOFLINE_TWELVE(DECLARE)
    for (int64_t r = 0; r < rounds; r++) {
        ROOFLINE_TWELVE(STEP)
    }
}

void roofline_avx512(RooflineProbes *probes)
{
    probes->read = read_avx512;
    probes->f32 = chains_f32;
    probes->f32_ops = 32;
}
