/* Limit of AVX-512 BF16: products of bf16 (see kernels/roofline.h). */
#include <immintrin.h>

#include "kernels/roofline.h"

#define DECLARE(i) __m512i c##i = zero;
#define STEP(i)    __asm__ volatile("vdpbf16ps %1, %1, %0" : "+v"(c##i) : "v"(zero));
static void chains_bf16(int64_t rounds)
{
    __m512i zero = _mm512_setzero_si512();
    ROOFLINE_TWELVE(DECLARE)
    for (int64_t r = 0; r < rounds; r++) {
        ROOFLINE_TWELVE(STEP)
    }
}

void roofline_avx512bf16(RooflineProbes *probes)
{
    probes->bf16 = chains_bf16;
    probes->bf16_ops = 64;
}
