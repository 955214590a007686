/* Scale streams of panels to floats with NEON (layouts: panel_type.h), ref/panel.c to the bit. */
#include <arm_neon.h>
#include <stdbool.h>

#include "kernels/arm/quant_neon.h"
#include "kernels/panel_type.h"

#define INLINE static inline __attribute__((always_inline))

INLINE float32x4_t halves(const uint8_t *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}

/* Four of the eight bytes at p: the caller asks for either half. */
INLINE uint32x4_t bytes_of(const uint8_t *p, size_t half)
{
    uint16x8_t v = vmovl_u8(vld1_u8(p));
    return vmovl_u16(half ? vget_high_u16(v) : vget_low_u16(v));
}

INLINE float32x4_t unsigned_bytes(const uint8_t *p, size_t half)
{
    return vcvtq_f32_u32(bytes_of(p, half));
}

INLINE float32x4_t signed_bytes(const uint8_t *p, size_t half)
{
    int16x8_t v = vmovl_s8(vreinterpret_s8_u8(vld1_u8(p)));
    return vcvtq_f32_s32(vmovl_s16(half ? vget_high_s16(v) : vget_low_s16(v)));
}

/* 2^(e-128) from bytes e, subnormal for 0 and 1. */
INLINE float32x4_t powers(const uint8_t *p, size_t half)
{
    uint32x4_t e = bytes_of(p, half);
    uint32x4_t normal = vshlq_n_u32(vsubq_u32(e, vdupq_n_u32(1)), 23);
    uint32x4_t tiny = vshlq_u32(vdupq_n_u32(0x00200000), vreinterpretq_s32_u32(e));
    return vreinterpretq_f32_u32(vbslq_u32(vcltq_u32(e, vdupq_n_u32(2)), tiny, normal));
}

/* Half of what UE4M3 bytes stand for: 3 bits of mantissa behind 4 of exponent. */
INLINE float32x4_t halves_of_ue4m3(const uint8_t *p, size_t half)
{
    uint32x4_t x = bytes_of(p, half), e = vandq_u32(vshrq_n_u32(x, 3), vdupq_n_u32(15));
    uint32x4_t m = vandq_u32(x, vdupq_n_u32(7));
    m = vorrq_u32(m, vandq_u32(vcgtq_u32(e, vdupq_n_u32(0)), vdupq_n_u32(8)));
    m = vbicq_u32(m, vceqq_u32(x, vdupq_n_u32(127)));
    e = vaddq_u32(vmaxq_u32(e, vdupq_n_u32(1)), vdupq_n_u32(116));
    return vmulq_f32(vcvtq_f32_u32(m), vreinterpretq_f32_u32(vshlq_n_u32(e, 23)));
}

/* Kinds whose numbers of six bits lie end to end: rows i..i+3. In a row's lane they begin at a bit
 * p that depends on the row alone; d is divided by 2^p. */
INLINE void scales_of_packed(ScaleKind kind, const uint8_t *unit, size_t g, size_t i,
                             float32x4_t *s, float32x4_t *low)
{
    static const uint8_t at_12[16] = {10, 11, 255, 255, 11, 12, 255, 255,
                                      13, 14, 255, 255, 14, 15, 255, 255};
    static const uint8_t at_6[16] = {13, 14, 255, 255, 13, 14,  255, 255,
                                     14, 15, 255, 255, 15, 255, 255, 255};
    static const uint32_t mask_12[4] = {0x3f, 0x3f0, 0x3f, 0x3f0};
    static const uint32_t mask_6[4] = {0x3f, 0xfc0, 0x3f0, 0xfc};
    static const int32_t middle[4] = {0x20, 0x800, 0x200, 0x80};
    static const float by_12[4] = {1, 0x1p-4f, 1, 0x1p-4f},
                       by_6[4] = {1, 0x1p-6f, 0x1p-4f, 0x1p-2f};
    const bool two = kind == SCALE_K_MIN;
    const uint8_t *end = unit + (two ? 128 + 48 * g + i / 2 * 3 + 6 : 64 + 24 * g + i / 4 * 3 + 3);
    const uint32x4_t v =
        vreinterpretq_u32_u8(vqtbl1q_u8(vld1q_u8(end - 16), vld1q_u8(two ? at_12 : at_6)));
    const uint32x4_t mask = vld1q_u32(two ? mask_12 : mask_6);
    const float32x4_t by = vld1q_f32(two ? by_12 : by_6), d = halves(unit + 2 * i);
    int32x4_t n = vreinterpretq_s32_u32(vandq_u32(v, mask));
    if (!two) n = vsubq_s32(n, vld1q_s32(middle));
    *s = vmulq_f32(vmulq_f32(d, by), vcvtq_f32_s32(n));
    if (!two) return;
    const float32x4_t dmin = vmulq_n_f32(halves(unit + 64 + 2 * i), -0x1p-6f);
    *low = vmulq_f32(vmulq_f32(dmin, by), vcvtq_f32_u32(vandq_u32(v, vshlq_n_u32(mask, 6))));
}

/* The others that share d with their unit: rows i..i+3. */
INLINE void scales_of_steps(ScaleKind kind, const PanelType *t, const uint8_t *unit, size_t g,
                            size_t i, float32x4_t *s, float32x4_t *low)
{
    const size_t eight = i & ~(size_t)7, half = i & 4;
    const float32x4_t d = halves(unit + 2 * i);
    const bool pairs = scale_pairs((ScaleKind)kind);
    const uint8_t *at = unit + (kind == SCALE_K_NIBBLES ? 128 : 64);
    at += 32 * (pairs ? g / 2 : g) + eight;
    if (kind == SCALE_K) {
        *s = vmulq_f32(d, signed_bytes(at, half));
        return;
    }
    uint32x4_t bytes = bytes_of(at, half);
    if (pairs) { /* (2 s + 1) d as s (2 d) + d */
        const uint32_t most = kind == SCALE_K_ODD ? 15 : 7;
        const float32x4_t by = kind == SCALE_K_ODD ? vmulq_n_f32(d, t->factor) : d;
        bytes = vshlq_u32(bytes, vdupq_n_s32(g % 2 ? -4 : 0));
        float32x4_t step = vcvtq_f32_u32(vandq_u32(bytes, vdupq_n_u32(most)));
        *s = vfmaq_f32(by, step, vaddq_f32(by, by));
        if (kind == SCALE_K_ODD) return;
        float32x4_t top = vcvtq_f32_u32(vandq_u32(vshrq_n_u32(bytes, 3), vdupq_n_u32(1)));
        *low = vmulq_f32(*s, vfmaq_n_f32(vdupq_n_f32(-0.875f), top, -0.25f));
        return;
    }
    float32x4_t dmin = vnegq_f32(halves(unit + 64 + 2 * i));
    *s = vmulq_f32(d, vcvtq_f32_u32(vandq_u32(bytes, vdupq_n_u32(15))));
    *low = vmulq_f32(dmin, vcvtq_f32_u32(vshrq_n_u32(bytes, 4)));
}

/* Group g of a unit to 32 scales and, where the kind has them, 32 mins (see panel_type.h). */
INLINE void scales_of(ScaleKind kind, const PanelType *t, const uint8_t *unit, size_t g,
                      float *scale, float *min)
{
    for (size_t i = 0; i < PANEL_ROWS; i += 4) {
        const size_t eight = i & ~(size_t)7, half = i & 4;
        float32x4_t s, low = vdupq_n_f32(0);
        if (kind == SCALE_K_MIN || kind == SCALE_K_SIX) {
            scales_of_packed(kind, unit, g, i, &s, &low);
        } else if (kind >= SCALE_K_MIN) {
            scales_of_steps(kind, t, unit, g, i, &s, &low);
        } else {
            s = kind == SCALE_E8M0    ? powers(unit + eight, half)
                : kind == SCALE_UE4M3 ? halves_of_ue4m3(unit + 32 * g + eight, half)
                                      : halves(unit + 2 * i);
            if (kind == SCALE_F16_MIN) low = halves(unit + 64 + 2 * i);
        }
        vst1q_f32(scale + i, s);
        if (scale_has_min(kind)) vst1q_f32(min + i, low);
    }
}

INLINE void decode(ScaleKind kind, const PanelType *t, const uint8_t *unit, size_t k, float *scale,
                   float *min)
{
    const size_t groups = panel_groups(t), bytes = panel_unit_bytes(kind, groups);
    for (; k; k -= (size_t)t->unit, unit += bytes)
        for (size_t g = 0; g < groups; g++, scale += PANEL_ROWS, min += PANEL_ROWS)
            scales_of(kind, t, unit, g, scale, min);
}

void panel_scales_neon(uint32_t type, const void *scales, size_t k, float *scale, float *min)
{
    const PanelType *t = panel_type(type);
    if (!t) return;
    switch (t->scales) {
#define DECODE(kind)                                                                               \
    case kind: decode(kind, t, scales, k, scale, min); break;
        SCALE_KINDS(DECODE)
#undef DECODE
    }
}
