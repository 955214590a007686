/* Scale streams of panels to floats with NEON (layouts: panel_type.h), ref/panel.c to the bit. */
#include <arm_neon.h>

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

/* Group g of a unit to 32 scales and 32 mins (see panel_type.h). */
INLINE void scales_of(ScaleKind kind, const uint8_t *unit, size_t g, float offset, float *scale,
                      float *min)
{
    for (size_t i = 0; i < PANEL_ROWS; i += 4) {
        const size_t eight = i & ~(size_t)7, half = i & 4;
        float32x4_t s, low;
        if (kind == SCALE_K_MIN) {
            const uint8_t *at = unit + 128 + 64 * g + eight;
            s = vmulq_f32(halves(unit + 2 * i), unsigned_bytes(at, half));
            low = vmulq_f32(vnegq_f32(halves(unit + 64 + 2 * i)), unsigned_bytes(at + 32, half));
        } else {
            s = kind == SCALE_E8M0 ? powers(unit + eight, half) : halves(unit + 2 * i);
            if (kind == SCALE_K) s = vmulq_f32(s, signed_bytes(unit + 64 + 32 * g + eight, half));
            low = kind == SCALE_F16_MIN ? halves(unit + 64 + 2 * i) : vmulq_n_f32(s, offset);
        }
        vst1q_f32(scale + i, s);
        vst1q_f32(min + i, low);
    }
}

INLINE void decode(ScaleKind kind, const PanelType *t, const uint8_t *unit, size_t k, float *scale,
                   float *min)
{
    const size_t groups = (size_t)(t->unit / t->group);
    const float offset = (float)-t->offset;
    for (; k; k -= (size_t)t->unit, unit += t->unit_bytes)
        for (size_t g = 0; g < groups; g++, scale += PANEL_ROWS, min += PANEL_ROWS)
            scales_of(kind, unit, g, offset, scale, min);
}

void panel_scales_neon(uint32_t type, const void *scales, size_t k, float *scale, float *min)
{
    const PanelType *t = panel_type(type);
    if (!t) return;
    switch (t->scales) {
    case SCALE_F16: decode(SCALE_F16, t, scales, k, scale, min); break;
    case SCALE_F16_MIN: decode(SCALE_F16_MIN, t, scales, k, scale, min); break;
    case SCALE_E8M0: decode(SCALE_E8M0, t, scales, k, scale, min); break;
    case SCALE_K_MIN: decode(SCALE_K_MIN, t, scales, k, scale, min); break;
    case SCALE_K: decode(SCALE_K, t, scales, k, scale, min); break;
    }
}
