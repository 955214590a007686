/* Panels times quantised activations in 128-bit registers, for every ARM set: each includes this
 * after defining
 *
 *   SIGNED_CODES   1: whole bytes and entries of tables are taken 128 lower, as signed numbers
 *   TILE_OF(code)  activation rows at once, at most 4
 *   VECTORS_OF(m)  vectors of 4 weight rows at once, for m activation rows: 4 or 2
 *   dots           the integer products of one group: so many weight rows by m activation rows
 *
 * and calls register_panel. Means what ref/panel.c says, with its last two products fused into
 * their sums, to the bit as other machines do. All types with whole bytes or tables are centred:
 * what signed codes are taken lower counts towards their offset. */
#ifndef KERNELS_ARM_PANEL_128_H
#define KERNELS_ARM_PANEL_128_H

#include <arm_neon.h>

#include "kernels/arm/quant_neon.h"
#include "kernels/kernels.h"
#include "kernels/panel_type.h"

#define INLINE          static inline __attribute__((always_inline))
#define SPREAD(code, m) 0
#define decode_scales   panel_scales_neon

typedef uint8x16_t Entries;

INLINE Entries entries(const uint8_t *table)
{
    Entries e = table ? vld1q_u8(table) : vdupq_n_u8(0);
    return SIGNED_CODES ? veorq_u8(e, vdupq_n_u8(128)) : e;
}

typedef int Lower;

INLINE Lower lower_by(int offset, int group)
{
    (void)group;
    return offset;
}

#include "kernels/wide/panel.h"
#include "kernels/wide/unroll.h"

/* Integer products: [4 weight rows][activation row]. */
typedef struct Dots {
    int32x4_t v[4][4];
} Dots;

/* Compilers would gather the loads and lookups of several steps and run out of registers. After
 * these, what is read through a pointer is read later, and what was added is added. */
INLINE const void *later(const void *p)
{
    __asm__ volatile("" : "+r"(p));
    return p;
}

#define DONE(v) __asm__ volatile("" : "+w"(v))

/* strip: the first of the weight rows in the codes of the 32 k that the group lies in; part: 1 for
 * the second 16 of them. q: the group in the first activation row. */
INLINE void dots(PanelCode code, int group, Entries table, const uint8_t *strip, int part,
                 const int8_t *q, size_t q_stride, int m, Dots *out);

/* Sixteen k of 4 weight rows: v[j] holds k 4j..4j+3 of each. */
typedef struct Codes {
    uint8x16_t v[4];
} Codes;

INLINE Codes unpack_six(const uint8_t *src)
{
    const uint8x16_t low = vdupq_n_u8(15), six = vdupq_n_u8(63);
    uint8x16_t a = vld1q_u8(src), b = vld1q_u8(src + 64), h = vld1q_u8(src + 128);
    Codes c;
    c.v[0] = vandq_u8(vsliq_n_u8(a, h, 4), six);
    c.v[1] = vandq_u8(vsriq_n_u8(vshlq_n_u8(h, 2), a, 4), six);
    c.v[2] = vandq_u8(vbslq_u8(low, b, h), six);
    c.v[3] = vsriq_n_u8(vshrq_n_u8(h, 2), b, 4);
    return c;
}

INLINE uint8x16_t bits_down(uint8x16_t v, int n)
{
    switch (n) {
    case -4: return vshlq_n_u8(v, 4);
    case -3: return vshlq_n_u8(v, 3);
    case -2: return vshlq_n_u8(v, 2);
    case -1: return vshlq_n_u8(v, 1);
    case 1: return vshrq_n_u8(v, 1);
    case 2: return vshrq_n_u8(v, 2);
    case 3: return vshrq_n_u8(v, 3);
    case 4: return vshrq_n_u8(v, 4);
    case 5: return vshrq_n_u8(v, 5);
    case 6: return vshrq_n_u8(v, 6);
    default: return v;
    }
}

/* Codes made of planes of bits: the `half` of their 32 k. */
INLINE Codes unpack_planes(PanelCode code, const uint8_t *src, int half)
{
    const int place = code == CODE_FIVE ? 4 : code == CODE_ONE ? 1 : 2;
    const uint8x16_t one = vdupq_n_u8((uint8_t)(1 << place)), two = vdupq_n_u8(3);
    const uint8x16_t bits = vld1q_u8(src + (code == CODE_FIVE  ? 256
                                            : code == CODE_ONE ? 0
                                            : code == CODE_TWO ? 64 * half
                                                               : 128));
    uint8x16_t v = bits;
    Codes c;
    if (code == CODE_THREE || code == CODE_OCTET) v = vld1q_u8(src + 64 * half);
    UNROLL
    for (int j = 0; j < 4; j++) {
        if (code == CODE_FIVE) {
            if (j % 2 == 0) v = vld1q_u8(src + 128 * half + 32 * j);
            c.v[j] = j % 2 ? vshrq_n_u8(v, 4) : vandq_u8(v, vdupq_n_u8(15));
        } else if (code == CODE_ONE) {
            c.v[j] = vdupq_n_u8(0);
        } else {
            c.v[j] = vandq_u8(bits_down(v, 2 * j), two);
        }
        if (code == CODE_TWO) continue;
        c.v[j] = vorrq_u8(c.v[j], vandq_u8(bits_down(bits, 4 * half + j - place), one));
    }
    return c;
}

/* src: a vector of rows in a strip's 32 k; half: which 16 of them. */
INLINE Codes unpack(PanelCode code, Entries table, const uint8_t *src, int half)
{
    const uint8x16_t low = vdupq_n_u8(15), middle = vdupq_n_u8(128);
    Codes c;
    src += (size_t)half * panel_half(code);
    if (code == CODE_SIX) return unpack_six(src);
    if (code == CODE_BYTE) {
        for (int j = 0; j < 4; j++) {
            c.v[j] = vld1q_u8(src + 128 * j);
            if (SIGNED_CODES) c.v[j] = veorq_u8(c.v[j], middle);
        }
        return c;
    }
    if (code == CODE_NIBBLE || code == CODE_TABLE) {
        for (int j = 0; j < 4; j += 2) {
            uint8x16_t a = vld1q_u8(src + 64 * j);
            c.v[j] = vandq_u8(a, low);
            c.v[j + 1] = vshrq_n_u8(a, 4);
        }
    } else {
        c = unpack_planes(code, src, half);
    }
    for (int j = 0; j < 4 && (code == CODE_TABLE || code == CODE_OCTET); j++)
        c.v[j] = vqtbl1q_u8(table, c.v[j]);
    return c;
}

/* By how much codes are taken lower than they are. */
INLINE int taken_lower(PanelCode code)
{
    const bool bytes = code == CODE_TABLE || code == CODE_OCTET || code == CODE_BYTE;
    return SIGNED_CODES && bytes ? 128 : 0;
}

/* The sum of the activations of group g, of 32 in two halves. */
INLINE int act_sum(const PanelAct *act, int group, size_t row, size_t g)
{
    const int16_t *sum = act->q_sum16 + 2 * row * act->g_stride;
    return group == 16 ? sum[g] : sum[2 * g] + sum[2 * g + 1];
}

INLINE void add_group(PanelCode code, int group, bool centred, const Run *s, const uint8_t *src,
                      const uint8_t *ahead, int part, size_t g, const PanelAct *act, int m,
                      float *out, size_t out_stride)
{
    (void)ahead;
    const size_t per = ACT_GROUP / (size_t)group, rows = 4 * VECTORS_OF(m);
    const size_t strip = panel_strip(code);
    for (size_t r = 0; r < PANEL_ROWS; r += rows) {
        const size_t at = g * PANEL_ROWS + r;
        Dots d;
        dots(code, group, s->table, src + r / 16 * strip + r % 16 * 4, part,
             act->q + g * (size_t)group, act->q_stride, m, &d);
        UNROLL
        for (int c = 0; c < m; c++) {
            size_t row = (size_t)c * act->g_stride;
            float a = act->scale[row + g / per], sum = 0;
            int32x4_t less = vdupq_n_s32(0);
            if (centred)
                less =
                    vdupq_n_s32((s->lower - taken_lower(code)) * act_sum(act, group, (size_t)c, g));
            else
                sum = per == 2 ? act->sum16[2 * row + g] : act->sum32[row + g];
            UNROLL
            for (size_t i = 0; i < rows / 4; i++) {
                float *o = out + (size_t)c * out_stride + r + 4 * i;
                int32x4_t dot = centred ? vsubq_s32(d.v[i][c], less) : d.v[i][c];
                float32x4_t t = vmulq_f32(vld1q_f32(s->scale + at + 4 * i), vcvtq_f32_s32(dot));
                float32x4_t acc = vfmaq_n_f32(vld1q_f32(o), t, a);
                if (!centred) acc = vfmaq_n_f32(acc, vld1q_f32(s->min + at + 4 * i), sum);
                vst1q_f32(o, acc);
            }
        }
    }
}

static void register_panel(Kernels *table)
{
    table->quantize_act = quantize_act_neon;
    table->panel_scales = panel_scales_neon;
    table->panel_matmul = panel_matmul;
    table->panel_few = panel_few;
}

#endif
