/* Limit of AVX-VNNI: int8 (see kernels/roofline.h). */
#include <immintrin.h>

#include "kernels/roofline.h"

#define DECLARE(i) __m256i c##i = zero;
#define STEP(i)    __asm__ volatile("%{vex%} vpdpbusd %1, %1, %0" : "+x"(c##i) : "x"(zero));
static void chains_int8(int64_t rounds)
{
    __m256i zero = _mm256_setzero_si256();
    ROOFLINE_TWELVE(DECLARE)
    for (int64_t r = 0; r < rounds; r++) {
        ROOFLINE_TWELVE(STEP)
    }
}

void roofline_avxvnni(RooflineProbes *probes)
{
    probes->int8 = chains_int8;
    probes->int8_ops = 64;
}
