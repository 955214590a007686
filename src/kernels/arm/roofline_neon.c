/* Limits of NEON: reading and float32 (see kernels/roofline.h). */
#include <arm_neon.h>

#include "kernels/roofline.h"

static uint64_t read_neon(const void *data, size_t bytes)
{
    const uint64_t *p = data;
    uint64x2_t a = vdupq_n_u64(0), b = a, c = a, d = a;
    for (size_t i = 0; i < bytes / 8; i += 8) {
        __builtin_prefetch(p + i + 512);
        a = vaddq_u64(a, vld1q_u64(p + i));
        b = vaddq_u64(b, vld1q_u64(p + i + 2));
        c = vaddq_u64(c, vld1q_u64(p + i + 4));
        d = vaddq_u64(d, vld1q_u64(p + i + 6));
    }
    return vaddvq_u64(vaddq_u64(vaddq_u64(a, b), vaddq_u64(c, d)));
}

/* Assembly, so that the twelve chains stay as they are. */
#define DECLARE(i) float32x4_t c##i = zero;
#define STEP(i)    __asm__ volatile("fmla %0.4s, %1.4s, %1.4s" : "+w"(c##i) : "w"(zero));
static void chains_f32(int64_t rounds)
{
    float32x4_t zero = vdupq_n_f32(0);
    ROOFLINE_TWELVE(DECLARE)
    for (int64_t r = 0; r < rounds; r++) {
        ROOFLINE_TWELVE(STEP)
    }
}

void roofline_neon(RooflineProbes *probes)
{
    probes->read = read_neon;
    probes->f32 = chains_f32;
    probes->f32_ops = 8;
}
