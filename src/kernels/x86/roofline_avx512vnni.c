/* Limit of AVX-512 VNNI: int8 (see kernels/roofline.h). */
#include <immintrin.h>

#include "kernels/roofline.h"

#define DECLARE(i) __m512i c##i = zero;
#define STEP(i)    __asm__ volatile("vpdpbusd %1, %1, %0" : "+v"(c##i) : "v"(zero));
static void chains_int8(int64_t rounds)
{
    __m512i zero = _mm512_setzero_si512();
    ROOFLINE_TWELVE(DECLARE)
    for (int64_t r = 0; r < rounds; r++) {
        ROOFLINE_TWELVE(STEP)
    }
}

void roofline_avx512vnni(RooflineProbes *probes)
{
    probes->int8 = chains_int8;
    probes->int8_ops = 128;
}
