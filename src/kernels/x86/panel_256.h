/* Panels times quantised activations in 256-bit registers, for AVX2 and for AVX-VNNI: both include
 * this after defining
 *
 *   TILE_OF(code)  activation rows at once, at most 4
 *   dots           the integer products of one group: 16 rows of a panel by m activation rows
 *
 * and hand the functions at the end to the table. Means what ref/panel.c says, with its last two
 * products fused into their sums, to the bit as the wider versions do. Sums live in `out` (see
 * kernels/wide/panel.h): 16 registers hold the integers of one tile and no more. */
#ifndef KERNELS_X86_PANEL_256_H
#define KERNELS_X86_PANEL_256_H

#include <immintrin.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/panel_type.h"

#define INLINE static inline __attribute__((always_inline))

/* Integer products: [8 rows of the strip][activation row]. */
typedef struct Dots {
    __m256i v[2][4];
} Dots;

INLINE void dots(PanelCode code, int group, __m256i table, const uint8_t *strip, const int8_t *q,
                 size_t q_stride, int m, Dots *out);

INLINE __m256i four(const int8_t *q)
{
    int32_t bits;
    memcpy(&bits, q, 4);
    return _mm256_set1_epi32(bits);
}

/* Loads from q stay behind this: GCC would gather those of several steps and spill. */
INLINE void keep_order(const int8_t **q)
{
    __asm__ volatile("" : "+r"(*q));
}

/* A sum is done here: GCC would turn a chain of integer additions into a tree, and spill. */
INLINE void keep_sum(__m256i *v)
{
    __asm__ volatile("" : "+x"(*v));
}

/* Codes of half a strip (8 rows): NIBBLE and TABLE v[2] for 8 k, SIX v[4] for 16 k, BYTE v[1]. */
typedef struct Codes {
    __m256i v[4];
} Codes;

INLINE Codes unpack(PanelCode code, __m256i table, const uint8_t *src)
{
    const __m256i low = _mm256_set1_epi8(15);
    Codes c;
    __m256i a = _mm256_loadu_si256((const void *)src);
    if (code == CODE_BYTE) {
        c.v[0] = a;
    } else if (code == CODE_SIX) {
        const __m256i high = _mm256_set1_epi8(48);
        __m256i b = _mm256_loadu_si256((const void *)(src + 64));
        __m256i h = _mm256_loadu_si256((const void *)(src + 128));
#define JOIN(nibble, bits)                                                                         \
    _mm256_or_si256(_mm256_and_si256(nibble, low), _mm256_and_si256(bits, high))
        c.v[0] = JOIN(a, _mm256_slli_epi16(h, 4));
        c.v[1] = JOIN(_mm256_srli_epi16(a, 4), _mm256_slli_epi16(h, 2));
        c.v[2] = JOIN(b, h);
        c.v[3] = JOIN(_mm256_srli_epi16(b, 4), _mm256_srli_epi16(h, 2));
#undef JOIN
    } else {
        c.v[0] = _mm256_and_si256(a, low);
        c.v[1] = _mm256_and_si256(_mm256_srli_epi16(a, 4), low);
        if (code == CODE_TABLE) {
            c.v[0] = _mm256_shuffle_epi8(table, c.v[0]);
            c.v[1] = _mm256_shuffle_epi8(table, c.v[1]);
        }
    }
    return c;
}

/* k of one unpack, and bytes of a strip for them. */
INLINE int step_of(PanelCode code)
{
    return code == CODE_BYTE ? 4 : code == CODE_SIX ? 16 : 8;
}

INLINE size_t strip_of(PanelCode code)
{
    return code == CODE_SIX ? 192 : 64;
}

/* ---- scales ---- */

INLINE __m256 halves(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const void *)p));
}

INLINE __m256 unsigned_bytes(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)p)));
}

INLINE __m256 signed_bytes(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)p)));
}

/* 2^(e-128) from bytes e, subnormal for 0 and 1. */
INLINE __m256 powers(const uint8_t *p)
{
    __m256i e = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)p));
    __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    __m256i tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    __m256i small = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(normal, tiny, small));
}

/* Group g of a unit to 32 scales and 32 mins (see panel_type.h). */
INLINE void scales_of(int kind, const uint8_t *unit, size_t g, float offset, float *scale,
                      float *min)
{
    for (size_t i = 0; i < PANEL_ROWS; i += 8) {
        __m256 s, low;
        if (kind == SCALE_K_MIN) {
            const uint8_t *at = unit + 128 + 64 * g + i;
            __m256 dmin = _mm256_xor_ps(halves(unit + 64 + 2 * i), _mm256_set1_ps(-0.0f));
            s = _mm256_mul_ps(halves(unit + 2 * i), unsigned_bytes(at));
            low = _mm256_mul_ps(dmin, unsigned_bytes(at + 32));
        } else {
            s = kind == SCALE_E8M0 ? powers(unit + i) : halves(unit + 2 * i);
            if (kind == SCALE_K) s = _mm256_mul_ps(s, signed_bytes(unit + 64 + 32 * g + i));
            low = kind == SCALE_F16_MIN ? halves(unit + 64 + 2 * i)
                                        : _mm256_mul_ps(s, _mm256_set1_ps(offset));
        }
        _mm256_storeu_ps(scale + i, s);
        _mm256_storeu_ps(min + i, low);
    }
}

INLINE size_t groups_of(int kind, int group)
{
    return kind == SCALE_K_MIN || kind == SCALE_K ? 256 / (size_t)group : 1;
}

INLINE size_t unit_bytes_of(int kind, int group)
{
    switch (kind) {
    case SCALE_K_MIN: return 640;
    case SCALE_K: return 64 + 32 * groups_of(kind, group);
    case SCALE_F16_MIN: return 128;
    default: return kind == SCALE_E8M0 ? 32 : 64;
    }
}

INLINE void decode(int kind, int group, const uint8_t *unit, float offset, size_t k, float *scale,
                   float *min)
{
    const size_t groups = groups_of(kind, group);
    for (size_t g = 0; g < k / (size_t)group; g += groups, unit += unit_bytes_of(kind, group))
        for (size_t u = 0; u < groups; u++, scale += PANEL_ROWS, min += PANEL_ROWS)
            scales_of(kind, unit, u, offset, scale, min);
}

static void panel_scales(uint32_t type, const void *scales, size_t k, float *scale, float *min)
{
    const PanelType *t = panel_type(type);
    if (!t) return;
    float offset = (float)-t->offset;
    switch (t->scales) {
    case SCALE_F16: decode(SCALE_F16, 32, scales, offset, k, scale, min); break;
    case SCALE_F16_MIN: decode(SCALE_F16_MIN, 32, scales, offset, k, scale, min); break;
    case SCALE_E8M0: decode(SCALE_E8M0, 32, scales, offset, k, scale, min); break;
    case SCALE_K_MIN: decode(SCALE_K_MIN, 32, scales, offset, k, scale, min); break;
    case SCALE_K:
        if (t->group == 16)
            decode(SCALE_K, 16, scales, offset, k, scale, min);
        else
            decode(SCALE_K, 32, scales, offset, k, scale, min);
        break;
    }
}

/* ---- the product ---- */

typedef __m256i Entries;

INLINE Entries entries(const uint8_t *table)
{
    return table ? _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)table))
                 : _mm256_setzero_si256();
}

#define decode_scales panel_scales
#include "kernels/wide/panel.h"

INLINE void add_group(PanelCode code, int group, const Run *s, const uint8_t *src, size_t g,
                      const PanelAct *act, int m, float *out, size_t out_stride)
{
    const size_t per = ACT_GROUP / (size_t)group;
    const float *scale = s->scale + g * PANEL_ROWS, *min = s->min + g * PANEL_ROWS;
    for (size_t half = 0; half < 2; half++, scale += 16, min += 16) {
        Dots d;
        dots(code, group, s->table, src + half * strip_of(code), act->q + g * (size_t)group,
             act->q_stride, m, &d);
#pragma GCC unroll 4
        for (int c = 0; c < m; c++) {
            size_t row = (size_t)c * act->g_stride;
            __m256 a = _mm256_set1_ps(act->scale[row + g / per]);
            __m256 sum = _mm256_set1_ps(per == 2 ? act->sum16[2 * row + g] : act->sum32[row + g]);
#pragma GCC unroll 2
            for (int i = 0; i < 2; i++) {
                float *o = out + (size_t)c * out_stride + 16 * half + 8 * i;
                __m256 acc = _mm256_loadu_ps(o);
                __m256 t =
                    _mm256_mul_ps(_mm256_loadu_ps(scale + 8 * i), _mm256_cvtepi32_ps(d.v[i][c]));
                acc = _mm256_fmadd_ps(t, a, acc);
                acc = _mm256_fmadd_ps(_mm256_loadu_ps(min + 8 * i), sum, acc);
                _mm256_storeu_ps(o, acc);
            }
        }
    }
}

#endif
