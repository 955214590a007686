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
#include <stdbool.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/panel_type.h"

#define INLINE static inline __attribute__((always_inline))

/* How far codes are fetched ahead, into L1 and (beyond that) L2, a line at a time between the
 * products of one row or two: in bursts the same fetches reach a tenth to a third less of what
 * memory gives. With more rows the products take longer than memory; two are also the tiles of
 * prompts where TILE_OF is 2, and of CODE_OCTET's take all registers. */
enum { SPREAD_BY = 2048, FARTHER = 3072 };
#define SPREAD(code, m)                                                                            \
    ((m) == 1 || ((m) == 2 && TILE_OF(code) > 2 && (code) != CODE_OCTET) ? SPREAD_BY : 0)

/* Integer products: [8 rows of the strip][activation row]. */
typedef struct Dots {
    __m256i v[2][4];
} Dots;

/* Lines to fetch into L1 while a group is multiplied, and as many farther on into L2. */
typedef struct Lines {
    const uint8_t *from;
    size_t count;
} Lines;

/* strip: the codes of 16 rows in the 32 k that the group lies in; part: 1 for the second 16 of
 * them. q: the group in the first activation row. */
INLINE void dots(PanelCode code, int group, __m256i table, const uint8_t *strip, const Lines *lines,
                 int part, const int8_t *q, size_t q_stride, int m, Dots *out);

/* Share n of `of` equal ones, at a place in the chain of products that `sum` comes from: GCC would
 * gather all fetches of a group in a burst. */
INLINE void fetch(const Lines *lines, size_t n, size_t of, __m256i *sum)
{
#pragma GCC unroll 8
    for (size_t line = n * lines->count / of; line < (n + 1) * lines->count / of; line++) {
        const uint8_t *at = lines->from + 64 * line, *farther = at + FARTHER;
        __asm__("prefetcht0 %1\n\tprefetcht1 %2" : "+x"(*sum) : "m"(*at), "m"(*farther));
    }
}

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

/* Codes of half a strip (8 rows) for the k of one step: v[j] holds k 4j..4j+3. */
typedef struct Codes {
    __m256i v[4];
} Codes;

INLINE int step_of(PanelCode code)
{
    return code == CODE_BYTE ? 4 : code == CODE_SIX ? 16 : 8;
}

/* Bits moved down by n, up by -n; what comes from a neighbour is masked off after. */
INLINE __m256i down(__m256i v, int n)
{
    return n < 0 ? _mm256_slli_epi16(v, -n) : n ? _mm256_srli_epi16(v, n) : v;
}

INLINE Codes unpack_six(const uint8_t *src)
{
    const __m256i low = _mm256_set1_epi8(15), high = _mm256_set1_epi8(48);
    __m256i a = _mm256_loadu_si256((const void *)src);
    __m256i b = _mm256_loadu_si256((const void *)(src + 64));
    __m256i h = _mm256_loadu_si256((const void *)(src + 128));
    Codes c;
#define JOIN(nibble, bits)                                                                         \
    _mm256_or_si256(_mm256_and_si256(nibble, low), _mm256_and_si256(bits, high))
    c.v[0] = JOIN(a, _mm256_slli_epi16(h, 4));
    c.v[1] = JOIN(_mm256_srli_epi16(a, 4), _mm256_slli_epi16(h, 2));
    c.v[2] = JOIN(b, h);
    c.v[3] = JOIN(_mm256_srli_epi16(b, 4), _mm256_srli_epi16(h, 2));
#undef JOIN
    return c;
}

/* Step j (0 or 1) of 8 k from number k of the strip's 32, in codes made of planes of bits. */
INLINE __m256i unpack_planes(PanelCode code, const uint8_t *src, int k, int j)
{
    const int i = k / 4 + j; /* which four of the 32 */
    const size_t bits_at = code == CODE_FIVE ? 256 : code == CODE_ONE ? 0 : 128;
    const int place = code == CODE_FIVE ? 4 : code == CODE_ONE ? 1 : 2;
    __m256i v = _mm256_setzero_si256();
    if (code == CODE_FIVE) {
        v = _mm256_loadu_si256((const void *)(src + k / 8 * 64));
        v = _mm256_and_si256(down(v, 4 * j), _mm256_set1_epi8(15));
    } else if (code != CODE_ONE) {
        v = _mm256_loadu_si256((const void *)(src + k / 16 * 64));
        v = _mm256_and_si256(down(v, 2 * (i % 4)), _mm256_set1_epi8(3));
    }
    if (code == CODE_TWO) return v;
    __m256i bits = down(_mm256_loadu_si256((const void *)(src + bits_at)), i - place);
    return _mm256_or_si256(v, _mm256_and_si256(bits, _mm256_set1_epi8((char)(1 << place))));
}

/* src: the strip in its 32 k, at these rows; k: the step's first of them. */
INLINE Codes unpack(PanelCode code, __m256i table, const uint8_t *src, int k)
{
    const __m256i low = _mm256_set1_epi8(15);
    Codes c;
    if (code == CODE_SIX) return unpack_six(src + k / 16 * 384);
    if (code == CODE_BYTE) {
        c.v[0] = _mm256_loadu_si256((const void *)(src + k / 4 * 128));
        return c;
    }
    if (code == CODE_NIBBLE || code == CODE_TABLE) {
        __m256i a = _mm256_loadu_si256((const void *)(src + k / 8 * 128));
        c.v[0] = _mm256_and_si256(a, low);
        c.v[1] = _mm256_and_si256(_mm256_srli_epi16(a, 4), low);
    } else {
        c.v[0] = unpack_planes(code, src, k, 0);
        c.v[1] = unpack_planes(code, src, k, 1);
    }
    if (code == CODE_TABLE || code == CODE_OCTET) {
        c.v[0] = _mm256_shuffle_epi8(table, c.v[0]);
        c.v[1] = _mm256_shuffle_epi8(table, c.v[1]);
    }
    return c;
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

/* Half of what UE4M3 bytes stand for: 3 bits of mantissa behind 4 of exponent. */
INLINE __m256 halves_of_ue4m3(const uint8_t *p)
{
    __m256i x = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)p));
    __m256i e = _mm256_and_si256(_mm256_srli_epi32(x, 3), _mm256_set1_epi32(15));
    __m256i normal = _mm256_cmpgt_epi32(e, _mm256_setzero_si256());
    __m256i m = _mm256_and_si256(x, _mm256_set1_epi32(7));
    m = _mm256_or_si256(m, _mm256_and_si256(normal, _mm256_set1_epi32(8)));
    m = _mm256_andnot_si256(_mm256_cmpeq_epi32(x, _mm256_set1_epi32(127)), m);
    e = _mm256_add_epi32(_mm256_max_epi32(e, _mm256_set1_epi32(1)), _mm256_set1_epi32(116));
    return _mm256_mul_ps(_mm256_cvtepi32_ps(m), _mm256_castsi256_ps(_mm256_slli_epi32(e, 23)));
}

/* Of each row, what the groups of a unit share. */
typedef struct Shared {
    float d[PANEL_ROWS], dmin[PANEL_ROWS];
} Shared;

/* Kinds whose numbers of six bits lie end to end: in a row's lane they begin at a bit p that
 * depends on the row alone. d is divided by 2^p. */
INLINE bool packed(int kind)
{
    return kind == SCALE_K_MIN || kind == SCALE_K_SIX;
}

INLINE void start_unit(int kind, const uint8_t *unit, float factor, Shared *out)
{
    const __m256 twelve = _mm256_setr_ps(1, 0x1p-4f, 1, 0x1p-4f, 1, 0x1p-4f, 1, 0x1p-4f);
    const __m256 six = _mm256_setr_ps(1, 0x1p-6f, 0x1p-4f, 0x1p-2f, 1, 0x1p-6f, 0x1p-4f, 0x1p-2f);
    for (size_t i = 0; i < PANEL_ROWS; i += 8) {
        __m256 d = halves(unit + 2 * i);
        if (kind == SCALE_K_ODD) d = _mm256_mul_ps(d, _mm256_set1_ps(factor));
        if (packed(kind)) d = _mm256_mul_ps(d, kind == SCALE_K_MIN ? twelve : six);
        _mm256_storeu_ps(out->d + i, d);
        if (kind != SCALE_K_MIN && kind != SCALE_K_NIBBLES) continue;
        d = _mm256_xor_ps(halves(unit + 64 + 2 * i), _mm256_set1_ps(-0.0f));
        if (packed(kind)) d = _mm256_mul_ps(d, _mm256_mul_ps(twelve, _mm256_set1_ps(0x1p-6f)));
        _mm256_storeu_ps(out->dmin + i, d);
    }
}

/* Eight rows' numbers of six bits that end at `end`, each in its lane's 16 low bits. */
INLINE __m256i bytes_of(int kind, const uint8_t *end)
{
    const __m256i twelve =
        _mm256_setr_epi8(4, 5, -1, -1, 5, 6, -1, -1, 7, 8, -1, -1, 8, 9, -1, -1, 10, 11, -1, -1, 11,
                         12, -1, -1, 13, 14, -1, -1, 14, 15, -1, -1);
    const __m256i six =
        _mm256_setr_epi8(10, 11, -1, -1, 10, 11, -1, -1, 11, 12, -1, -1, 12, -1, -1, -1, 13, 14, -1,
                         -1, 13, 14, -1, -1, 14, 15, -1, -1, 15, -1, -1, -1);
    const __m128i all = _mm_loadu_si128((const void *)(end - 16));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(all),
                               kind == SCALE_K_MIN ? twelve : six);
}

INLINE void scales_of_packed(int kind, const uint8_t *unit, const Shared *shared, size_t g,
                             size_t i, __m256 *s, __m256 *low)
{
    const __m256 d = _mm256_loadu_ps(shared->d + i), dmin = _mm256_loadu_ps(shared->dmin + i);
    if (kind == SCALE_K_SIX) {
        const __m256i mask = _mm256_setr_epi32(0x3f, 0xfc0, 0x3f0, 0xfc, 0x3f, 0xfc0, 0x3f0, 0xfc);
        const __m256i less = _mm256_setr_epi32(0x20, 0x800, 0x200, 0x80, 0x20, 0x800, 0x200, 0x80);
        __m256i v = bytes_of(kind, unit + 64 + 24 * g + 3 * i / 4 + 6);
        v = _mm256_sub_epi32(_mm256_and_si256(v, mask), less);
        *s = _mm256_mul_ps(d, _mm256_cvtepi32_ps(v));
        return;
    }
    const __m256i v = bytes_of(kind, unit + 128 + 48 * g + 3 * i / 2 + 12);
    const __m256i mask = _mm256_set1_epi64x(0x3f00000003f), up = _mm256_slli_epi32(mask, 6);
    *s = _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_and_si256(v, mask)));
    *low = _mm256_mul_ps(dmin, _mm256_cvtepi32_ps(_mm256_and_si256(v, up)));
}

/* Scales that share d with their unit: rows i..i+7. */
INLINE void scales_of_steps(int kind, const uint8_t *unit, const Shared *shared, size_t g, size_t i,
                            __m256 *s, __m256 *low)
{
    const __m256 d = _mm256_loadu_ps(shared->d + i);
    const bool pairs = scale_pairs((ScaleKind)kind);
    const uint8_t *at = unit + (kind == SCALE_K_NIBBLES ? 128 : 64) + 32 * (pairs ? g / 2 : g) + i;
    if (kind == SCALE_K) {
        *s = _mm256_mul_ps(d, signed_bytes(at));
        return;
    }
    __m256i bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)at));
    if (pairs) { /* (2 s + 1) d as s (2 d) + d */
        const int most = kind == SCALE_K_ODD ? 15 : 7;
        bytes = _mm256_srl_epi32(bytes, _mm_cvtsi32_si128((int)(g % 2 * 4)));
        __m256 step = _mm256_cvtepi32_ps(_mm256_and_si256(bytes, _mm256_set1_epi32(most)));
        *s = _mm256_fmadd_ps(step, _mm256_add_ps(d, d), d);
        if (kind == SCALE_K_ODD) return;
        __m256i top = _mm256_and_si256(_mm256_srli_epi32(bytes, 3), _mm256_set1_epi32(1));
        *low = _mm256_mul_ps(*s, _mm256_fmadd_ps(_mm256_cvtepi32_ps(top), _mm256_set1_ps(-0.25f),
                                                 _mm256_set1_ps(-0.875f)));
        return;
    }
    const __m256 dmin = _mm256_loadu_ps(shared->dmin + i);
    *s = _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_and_si256(bytes, _mm256_set1_epi32(15))));
    *low = _mm256_mul_ps(dmin, _mm256_cvtepi32_ps(_mm256_srli_epi32(bytes, 4)));
}

/* Group g of a unit to 32 scales and, where the kind has them, 32 mins (see panel_type.h). */
INLINE void scales_of(int kind, const uint8_t *unit, const Shared *shared, size_t g, float *scale,
                      float *min)
{
#pragma GCC unroll 4
    for (size_t i = 0; i < PANEL_ROWS; i += 8) {
        __m256 s, low = _mm256_setzero_ps();
        if (packed(kind)) {
            scales_of_packed(kind, unit, shared, g, i, &s, &low);
        } else if (kind >= SCALE_K_MIN) {
            scales_of_steps(kind, unit, shared, g, i, &s, &low);
        } else {
            s = kind == SCALE_E8M0    ? powers(unit + i)
                : kind == SCALE_UE4M3 ? halves_of_ue4m3(unit + 32 * g + i)
                                      : halves(unit + 2 * i);
            if (kind == SCALE_F16_MIN) low = halves(unit + 64 + 2 * i);
        }
        _mm256_storeu_ps(scale + i, s);
        if (scale_has_min((ScaleKind)kind)) _mm256_storeu_ps(min + i, low);
    }
}

/* groups: of a unit. */
INLINE void decode(ScaleKind kind, size_t groups, const PanelType *t, const uint8_t *unit, size_t k,
                   float *scale, float *min)
{
    const size_t bytes = panel_unit_bytes(kind, groups), step = groups * (size_t)t->group;
    const float factor = t->factor;
    Shared shared;
    for (; k; k -= step, unit += bytes) {
        if (kind >= SCALE_K_MIN) start_unit((int)kind, unit, factor, &shared);
        for (size_t g = 0; g < groups; g++, scale += PANEL_ROWS, min += PANEL_ROWS)
            scales_of((int)kind, unit, &shared, g, scale, min);
    }
}

static void panel_scales(uint32_t type, const void *scales, size_t k, float *scale, float *min)
{
    const PanelType *t = panel_type(type);
    if (!t) return;
    const size_t n = panel_groups(t);
    switch (t->scales) {
    case SCALE_F16:
        if (n == 1)
            decode(SCALE_F16, 1, t, scales, k, scale, min);
        else
            decode(SCALE_F16, n, t, scales, k, scale, min);
        break;
    case SCALE_F16_MIN: decode(SCALE_F16_MIN, 1, t, scales, k, scale, min); break;
    case SCALE_E8M0: decode(SCALE_E8M0, 1, t, scales, k, scale, min); break;
    case SCALE_UE4M3: decode(SCALE_UE4M3, n, t, scales, k, scale, min); break;
    case SCALE_K_MIN: decode(SCALE_K_MIN, n, t, scales, k, scale, min); break;
    case SCALE_K_NIBBLES: decode(SCALE_K_NIBBLES, n, t, scales, k, scale, min); break;
    case SCALE_K: decode(SCALE_K, n, t, scales, k, scale, min); break;
    case SCALE_K_SIX: decode(SCALE_K_SIX, n, t, scales, k, scale, min); break;
    case SCALE_K_ODD: decode(SCALE_K_ODD, n, t, scales, k, scale, min); break;
    case SCALE_K_DELTA: decode(SCALE_K_DELTA, n, t, scales, k, scale, min); break;
    }
}

/* ---- the product ---- */

typedef __m256i Entries;

INLINE Entries entries(const uint8_t *table)
{
    return table ? _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)table))
                 : _mm256_setzero_si256();
}

/* Pairs of 16 bits; of groups of 16 the second is 0. */
typedef __m256i Lower;

INLINE Lower lower_by(int offset, int group)
{
    return group == 16 ? _mm256_set1_epi32(-offset & 0xffff) : _mm256_set1_epi16((short)-offset);
}

#define decode_scales panel_scales
#include "kernels/wide/panel.h"

/* What the sum of the activations of group g gives, which of 32 lies in two halves, times minus the
 * offset. */
INLINE __m256i start_of(const PanelAct *act, int group, size_t row, size_t g, const Lower *lower)
{
    const int16_t *sum = act->q_sum16 + 2 * row * act->g_stride;
    if (group == 16) return _mm256_madd_epi16(_mm256_set1_epi16(sum[g]), *lower);
    return _mm256_madd_epi16(four((const int8_t *)(sum + 2 * g)), *lower);
}

INLINE void add_group(PanelCode code, int group, bool centred, const Run *s, const uint8_t *src,
                      const uint8_t *ahead, int part, size_t g, const PanelAct *act, int m,
                      float *out, size_t out_stride)
{
    const size_t per = ACT_GROUP / (size_t)group, lines = panel_codes_bytes(code, 32) / 128;
    const size_t first = (size_t)part * lines / per,
                 count = ((size_t)part + 1) * lines / per - first;
    const float *scale = s->scale + g * PANEL_ROWS,
                *min = centred ? scale : s->min + g * PANEL_ROWS;
    for (size_t half = 0; half < 2; half++, scale += 16, min += 16) {
        Dots d;
        const Lines next = {ahead + 64 * (half * lines + first), SPREAD(code, m) ? count : 0};
        dots(code, group, s->table, src + half * panel_strip(code), &next, part,
             act->q + g * (size_t)group, act->q_stride, m, &d);
#pragma GCC unroll 4
        for (int c = 0; c < m; c++) {
            size_t row = (size_t)c * act->g_stride;
            __m256 a = _mm256_set1_ps(act->scale[row + g / per]), sum = a;
            __m256i start = _mm256_setzero_si256();
            if (centred)
                start = start_of(act, group, (size_t)c, g, &s->lower);
            else
                sum = _mm256_set1_ps(per == 2 ? act->sum16[2 * row + g] : act->sum32[row + g]);
#pragma GCC unroll 2
            for (int i = 0; i < 2; i++) {
                float *o = out + (size_t)c * out_stride + 16 * half + 8 * i;
                __m256i dot = centred ? _mm256_add_epi32(d.v[i][c], start) : d.v[i][c];
                __m256 t = _mm256_mul_ps(_mm256_loadu_ps(scale + 8 * i), _mm256_cvtepi32_ps(dot));
                __m256 acc = _mm256_fmadd_ps(t, a, _mm256_loadu_ps(o));
                if (!centred) acc = _mm256_fmadd_ps(_mm256_loadu_ps(min + 8 * i), sum, acc);
                _mm256_storeu_ps(o, acc);
            }
        }
    }
}

#endif
