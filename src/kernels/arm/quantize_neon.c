/* Activations to int8 with NEON: ref/panel.c's quantize_act to the bit, sums as trees of halves
 * included. A group of 32 is eight registers. */
#include "kernels/arm/quant_neon.h"

#include <arm_neon.h>

#include "kernels/panel.h"

/* Largest magnitude; a NaN counts as nothing, as in plain C. */
static inline float largest(const float32x4_t v[8])
{
    float32x4_t most = vdupq_n_f32(0);
    for (int i = 0; i < 8; i++) most = vmaxnmq_f32(most, vabsq_f32(v[i]));
    return vmaxnmvq_f32(most);
}

/* Lane i and lane i + 16, then + 8, + 4, + 2, + 1. */
static inline float fold_sum(const float32x4_t p[8])
{
    float32x4_t even = vaddq_f32(vaddq_f32(p[0], p[4]), vaddq_f32(p[2], p[6]));
    float32x4_t odd = vaddq_f32(vaddq_f32(p[1], p[5]), vaddq_f32(p[3], p[7]));
    float32x4_t v = vaddq_f32(even, odd);
    float32x2_t half = vadd_f32(vget_low_f32(v), vget_high_f32(v));
    return vget_lane_f32(vpadd_f32(half, half), 0);
}

/* Sixteen whole numbers to bytes. */
static inline int8x16_t narrow(const int32x4_t c[4])
{
    int16x8_t low = vcombine_s16(vqmovn_s32(c[0]), vqmovn_s32(c[1]));
    int16x8_t high = vcombine_s16(vqmovn_s32(c[2]), vqmovn_s32(c[3]));
    return vcombine_s8(vqmovn_s16(low), vqmovn_s16(high));
}

/* Two squares of at most 127 fit in 16 bits. */
static inline int32x4_t add_squares(int32x4_t sum, int8x16_t q)
{
    int16x8_t pairs = vmull_s8(vget_low_s8(q), vget_low_s8(q));
    return vpadalq_s16(sum, vmlal_high_s8(pairs, q, q));
}

void quantize_act_neon(const float *x, size_t k, int8_t *q, float *scale, float *sum32,
                       float *sum16, int16_t *q_sum16)
{
    for (size_t g = 0; g < k / ACT_GROUP; g++, x += ACT_GROUP, q += ACT_GROUP) {
        float32x4_t v[8], p[8];
        int32x4_t c[8];
        for (int i = 0; i < 8; i++) v[i] = vld1q_f32(x + 4 * i);
        float most = largest(v);
        float32x4_t inverse = vdupq_n_f32(most < 0x1p-100f ? 0 : 127 / most);
        for (int i = 0; i < 8; i++) {
            v[i] = vmulq_f32(v[i], inverse);
            c[i] = vcvtnq_s32_f32(v[i]);
            p[i] = vmulq_f32(v[i], vcvtq_f32_s32(c[i]));
        }
        float fit = fold_sum(p);
        int8x16_t low = narrow(c), high = narrow(c + 4);
        vst1q_s8(q, low);
        vst1q_s8(q + 16, high);
        int first = vaddlvq_s8(low), second = vaddlvq_s8(high);
        int square = vaddvq_s32(add_squares(add_squares(vdupq_n_s32(0), low), high));
        float unit = square ? fit / (float)square * (most * (1 / 127.0f)) : 0;
        scale[g] = unit;
        sum32[g] = unit * (float)(first + second);
        sum16[2 * g] = unit * (float)first;
        sum16[2 * g + 1] = unit * (float)second;
        q_sum16[2 * g] = (int16_t)first;
        q_sum16[2 * g + 1] = (int16_t)second;
    }
}
