/* Limit of the dot product instructions: int8 (see kernels/roofline.h). */
#include <arm_neon.h>

#include "kernels/roofline.h"

#define DECLARE(i) int32x4_t c##i = zero;
#define STEP(i)    __asm__ volatile("sdot %0.4s, %1.16b, %1.16b" : "+w"(c##i) : "w"(zero));
static void chains_int8(int64_t rounds)
{
    int32x4_t zero = vdupq_n_s32(0);
    ROOFLINE_TWELVE(DECLARE)
    for (int64_t r = 0; r < rounds; r++) {
        ROOFLINE_TWELVE(STEP)
    }
}

void roofline_dotprod(RooflineProbes *probes)
{
    probes->int8 = chains_int8;
    probes->int8_ops = 32;
}
