/* Vectors of 4 floats for the kernels of kernels/wide/ (contract: kernels/wide/wide.h). NEON has no
 * masks: parts of a vector are read and written as a pair and a single number, never as a copy of n
 * bytes, which compilers make a call of, around which every vector of a loop is spilled. */
#ifndef KERNELS_ARM_WIDE_NEON_H
#define KERNELS_ARM_WIDE_NEON_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WIDE static inline __attribute__((always_inline))

enum { LANES = 4 };
typedef float32x4_t vf;
typedef float32x4_t v4;

WIDE vf vf_set(float x)
{
    return vdupq_n_f32(x);
}

WIDE vf vf_load(const float *p)
{
    return vld1q_f32(p);
}

WIDE vf vf_load_part(const float *p, size_t n)
{
    float32x2_t pair = vdup_n_f32(0), single = pair;
    if (n & 1) single = vld1_lane_f32(p + (n & 2), single, 0);
    if (!(n & 2)) return vcombine_f32(single, pair);
    pair = vld1_f32(p);
    return vcombine_f32(pair, single);
}

WIDE void vf_store(float *p, vf v)
{
    vst1q_f32(p, v);
}

WIDE void vf_store_part(float *p, vf v, size_t n)
{
    if (n & 2) vst1_f32(p, vget_low_f32(v));
    if (n & 1) vst1_lane_f32(p + (n & 2), n & 2 ? vget_high_f32(v) : vget_low_f32(v), 0);
}

WIDE vf vf_add(vf a, vf b)
{
    return vaddq_f32(a, b);
}

WIDE vf vf_sub(vf a, vf b)
{
    return vsubq_f32(a, b);
}

WIDE vf vf_mul(vf a, vf b)
{
    return vmulq_f32(a, b);
}

WIDE vf vf_div(vf a, vf b)
{
    return vdivq_f32(a, b);
}

WIDE vf vf_fma(vf a, vf b, vf c)
{
    return vfmaq_f32(c, a, b);
}

/* As on x86: the second where the comparison fails, so a NaN there stays. */
WIDE vf vf_max(vf a, vf b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

WIDE vf vf_min(vf a, vf b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}

WIDE vf vf_abs(vf a)
{
    return vabsq_f32(a);
}

WIDE vf vf_sqrt(vf a)
{
    return vsqrtq_f32(a);
}

WIDE vf vf_round(vf a)
{
    return vrndnq_f32(a);
}

WIDE vf power2(int32x4_t n)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}

/* In two factors, so that results outside the range of one come out right: |n| <= 252. */
WIDE vf vf_scale2(vf a, vf n)
{
    int32x4_t whole = vcvtq_s32_f32(n), half = vshrq_n_s32(whole, 1);
    return vf_mul(vf_mul(a, power2(half)), power2(vsubq_s32(whole, half)));
}

/* Lanes [from, to) of a, the rest of b. */
WIDE vf vf_within(vf a, vf b, size_t from, size_t to)
{
    const uint32_t numbers[4] = {0, 1, 2, 3};
    uint32x4_t lane = vld1q_u32(numbers);
    uint32x4_t in = vandq_u32(vcgeq_u32(lane, vdupq_n_u32((uint32_t)from)),
                              vcltq_u32(lane, vdupq_n_u32((uint32_t)to)));
    return vbslq_f32(in, a, b);
}

WIDE float vf_first(vf v)
{
    return vgetq_lane_f32(v, 0);
}

/* In the order of x86, here and below: the halves, then what is left. */
WIDE float vf_sum(vf v)
{
    float32x2_t t = vadd_f32(vget_low_f32(v), vget_high_f32(v));
    return vget_lane_f32(t, 0) + vget_lane_f32(t, 1);
}

WIDE float vf_top(vf v)
{
    return vmaxvq_f32(v);
}

WIDE v4 vf_sum4(vf a, vf b, vf c, vf d)
{
    vf ab = vaddq_f32(vzip1q_f32(a, b), vzip2q_f32(a, b));
    vf cd = vaddq_f32(vzip1q_f32(c, d), vzip2q_f32(c, d));
    float64x2_t x = vreinterpretq_f64_f32(ab), y = vreinterpretq_f64_f32(cd);
    return vaddq_f32(vreinterpretq_f32_f64(vzip1q_f64(x, y)),
                     vreinterpretq_f32_f64(vzip2q_f64(x, y)));
}

WIDE void vf_turn(vf *x)
{
    float32x4x2_t a = vtrnq_f32(x[0], x[1]), b = vtrnq_f32(x[2], x[3]);
    x[0] = vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
    x[1] = vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
    x[2] = vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
    x[3] = vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
}

WIDE v4 v4_load(const float *p)
{
    return vld1q_f32(p);
}

WIDE v4 v4_add(v4 a, v4 b)
{
    return vaddq_f32(a, b);
}

WIDE void v4_store(float *p, v4 v)
{
    vst1q_f32(p, v);
}

WIDE float v4_first(v4 v)
{
    return vgetq_lane_f32(v, 0);
}

/* ---- 4 numbers of a narrower type; n < 4: the first n, the rest zero ---- */
WIDE uint16x4_t load16(const void *p, size_t n)
{
    uint64_t four;
    uint32_t pair = 0;
    uint16_t single = 0;
    if (n == 4) {
        memcpy(&four, p, 8);
        return vcreate_u16(four);
    }
    if (n & 1) memcpy(&single, (const char *)p + 2 * (n & 2), 2);
    if (!(n & 2)) return vcreate_u16(single);
    memcpy(&pair, p, 4);
    return vcreate_u16((uint64_t)single << 32 | pair);
}

WIDE vf bf16_widen(uint16x4_t h)
{
    return vreinterpretq_f32_u32(vshll_n_u16(h, 16));
}

WIDE vf vf_from_bf16(const void *p)
{
    return bf16_widen(load16(p, 4));
}

WIDE vf vf_from_bf16_part(const void *p, size_t n)
{
    return bf16_widen(load16(p, n));
}

WIDE vf vf_from_f16(const void *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(load16(p, 4)));
}

WIDE vf vf_from_f16_part(const void *p, size_t n)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(load16(p, n)));
}

WIDE vf vf_from_i8(const void *p)
{
    uint32_t four;
    memcpy(&four, p, 4);
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(four)))));
}

WIDE vf less_eight(uint8x8_t codes)
{
    int16x8_t wide = vsubq_s16(vreinterpretq_s16_u16(vmovl_u8(codes)), vdupq_n_s16(8));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
}

WIDE vf vf_from_low4(const void *p)
{
    uint32_t four;
    memcpy(&four, p, 4);
    return less_eight(vand_u8(vcreate_u8(four), vdup_n_u8(15)));
}

WIDE vf vf_from_high4(const void *p)
{
    uint32_t four;
    memcpy(&four, p, 4);
    return less_eight(vshr_n_u8(vcreate_u8(four), 4));
}

WIDE void vf_to_bf16(void *p, vf v)
{
    uint32x4_t u = vreinterpretq_u32_f32(v), high = vshrq_n_u32(u, 16);
    uint32x4_t half = vaddq_u32(vandq_u32(high, vdupq_n_u32(1)), vdupq_n_u32(0x7fff));
    uint32x4_t near = vshrq_n_u32(vaddq_u32(u, half), 16);
    uint32x4_t quiet = vorrq_u32(high, vdupq_n_u32(0x40));
    uint16x4_t h = vmovn_u32(vbslq_u32(vceqq_f32(v, v), near, quiet));
    memcpy(p, &h, sizeof h);
}

WIDE void vf_to_f16(void *p, vf v)
{
    uint16x4_t h = vreinterpret_u16_f16(vcvt_f16_f32(v));
    memcpy(p, &h, sizeof h);
}

/* Rounded to nearest even; the caller has brought it into range. */
WIDE void vf_to_i8(void *p, vf v)
{
    int16x4_t words = vmovn_s32(vcvtnq_s32_f32(v));
    int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
    memcpy(p, &bytes, 4);
}

/* ---- 8 numbers: those of even and of odd index ---- */
WIDE uint32x4_t load_pairs(const void *p)
{
    uint32x4_t pairs;
    memcpy(&pairs, p, sizeof pairs);
    return pairs;
}

WIDE vf vf_even_bf16(const void *p)
{
    return vreinterpretq_f32_u32(vshlq_n_u32(load_pairs(p), 16));
}

WIDE vf vf_odd_bf16(const void *p)
{
    return vreinterpretq_f32_u32(vandq_u32(load_pairs(p), vdupq_n_u32(0xffff0000u)));
}

WIDE vf vf_even(const float *p)
{
    return vuzp1q_f32(vf_load(p), vf_load(p + 4));
}

WIDE vf vf_odd(const float *p)
{
    return vuzp2q_f32(vf_load(p), vf_load(p + 4));
}

/* The first 4 and the last 4 of 8 numbers: even[0], odd[0], even[1] ... */
WIDE void vf_zip_store(float *p, vf even, vf odd)
{
    vf_store(p, vzip1q_f32(even, odd));
    vf_store(p + 4, vzip2q_f32(even, odd));
}

#endif
