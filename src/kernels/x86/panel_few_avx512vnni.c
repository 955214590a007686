/* Few activation rows (at most four at a time) over a panel, straight from the packed codes: the
 * kernel of decoding, bound by memory. panel_few decodes scales on the way, so that a panel is read
 * once, front to back in two streams, each prefetched some way ahead and on into the next panel.
 *
 * spills nibble_k_min: of four rows, what a unit's groups share, stored once a unit
 * spills table_k: the same
 * spills five_k_min: sums of three and four rows; the scales of packed numbers need eight registers
 */
#include <string.h>

#include "kernels/panel_type.h"
#include "kernels/x86/panel_avx512vnni.h"
#include "tensor/dtype.h"

#define INLINE static inline __attribute__((always_inline))
/* How far codes are fetched ahead, into L1 and (beyond that) L2. A line at a time between the
 * products: in bursts the same fetches reach a fifth less of what memory gives. */
enum {
    AHEAD = 2048,
    FARTHER = 3072,
    AHEAD_SCALES = 1280, /* or two units */
};

/* Where scale and min come from: arrays decoded before, of centred types without mins, or the
 * panel's own stream. */
enum { DECODED = -1, DECODED_CENTRED = -2 };

typedef struct Source {
    const uint8_t *unit;      /* of the scale stream */
    const float *scale, *min; /* DECODED */
    int offset;               /* of centred codes */
    float factor;             /* of SCALE_K_ODD */
    __m512 d[2], dmin[2];     /* of a unit of several groups */
    __m512 less[2], low[2];   /* what products with d and dmin have too much: packed kinds */
} Source;

INLINE __m512 halves(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)p));
}

INLINE __m512 unsigned_bytes(const uint8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p)));
}

INLINE __m512 signed_bytes(const uint8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)p)));
}

/* 2^(e-128) from bytes e, subnormal for 0 and 1. */
INLINE __m512 powers(const uint8_t *p)
{
    __m512 e = _mm512_sub_ps(unsigned_bytes(p), _mm512_set1_ps(128));
    return _mm512_scalef_ps(_mm512_set1_ps(1), e);
}

/* Half of what UE4M3 bytes stand for: 3 bits of mantissa behind 4 of exponent. */
INLINE __m512 halves_of_ue4m3(const uint8_t *p)
{
    const __m512i one = _mm512_set1_epi32(1);
    __m512i x = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p));
    __m512i e = _mm512_and_si512(_mm512_srli_epi32(x, 3), _mm512_set1_epi32(15));
    __m512i m = _mm512_and_si512(x, _mm512_set1_epi32(7));
    m = _mm512_mask_or_epi32(m, _mm512_test_epi32_mask(e, e), m, _mm512_set1_epi32(8));
    m = _mm512_maskz_mov_epi32(_mm512_cmpneq_epi32_mask(x, _mm512_set1_epi32(127)), m);
    e = _mm512_sub_epi32(_mm512_max_epi32(e, one), _mm512_set1_epi32(11));
    return _mm512_scalef_ps(_mm512_cvtepi32_ps(m), _mm512_cvtepi32_ps(e));
}

INLINE bool centred(int kind)
{
    return kind == DECODED_CENTRED || (kind != DECODED && !scale_has_min((ScaleKind)kind));
}

/* Kinds whose groups share a d with their unit. */
INLINE bool has_steps(int kind)
{
    return kind == SCALE_K_MIN || kind == SCALE_K_NIBBLES || kind == SCALE_K ||
           kind == SCALE_K_SIX || kind == SCALE_K_ODD || kind == SCALE_K_DELTA;
}

/* Kinds whose numbers of six bits lie end to end.
 *
 * A row's come into its lane by one lookup in the bytes up to the end of the strip's. Masked and
 * under an exponent they are the float 2^23 + 2^p times the number, p depending on the row alone.
 * So d of each row is divided by its 2^p before, and one fused product less d 2^(23-p) is the
 * scale, exactly: numbers of 6 and 11 bits are multiplied. Only the sign of a zero and what comes
 * of an infinite d differ: no sum shows the one, no model is opened with the other, and
 * panel_scales takes the longer way. What counts here are loads: one more for each number, or one
 * that touches two lines, took 2 to 5 % in the caches. */
INLINE bool packed(int kind)
{
    return kind == SCALE_K_MIN || kind == SCALE_K_SIX;
}

#define ROWS_16(X)                                                                                 \
    {                                                                                              \
        X(0), X(1), X(2), X(3), X(4), X(5), X(6), X(7), X(8), X(9), X(10), X(11), X(12), X(13),    \
            X(14), X(15)                                                                           \
    }
#define BYTES_12(r) (8 + 3 * (r) / 2) | (9 + 3 * (r) / 2) << 8
#define BYTES_6(r)  (4 + 3 * (r) / 4) << 8 | (5 + 3 * (r) / 4) % 16 << 16
static const _Alignas(64) uint32_t bytes_12[16] = ROWS_16(BYTES_12);
static const _Alignas(64) uint32_t bytes_6[16] = ROWS_16(BYTES_6);

/* 2^-p of s, and of SCALE_K_MIN's m. */
INLINE __m512 places(int kind)
{
    return kind == SCALE_K_MIN ? _mm512_set4_ps(0x1p-4f, 1, 0x1p-4f, 1)
                               : _mm512_set4_ps(0x1p-10f, 0x1p-12f, 0x1p-14f, 0x1p-8f);
}

INLINE __m512 places_of_mins(void)
{
    return _mm512_set4_ps(0x1p-10f, 0x1p-6f, 0x1p-10f, 0x1p-6f);
}

/* What the floats are too much: 2^23, of SCALE_K_SIX also 32 times 2^p. */
INLINE __m512 excess(int kind)
{
    return kind == SCALE_K_MIN ? _mm512_set1_ps(0x1p23f)
                               : _mm512_set4_ps(0x1p23f + 0x1p15f, 0x1p23f + 0x1p17f,
                                                0x1p23f + 0x1p19f, 0x1p23f + 0x1p13f);
}

/* The lanes' numbers where the mask is, as such floats. */
INLINE __m512 numbers(__m512i bytes, __m512i mask)
{
    const __m512i exponent = _mm512_set1_epi32(0x4b000000);
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(bytes, mask, exponent, 0xea));
}

/* Scale and min of strip i. exact: to the sign of a zero. */
INLINE void scales_of_packed(int kind, bool exact, const Source *s, size_t g, int i, __m512 *scale,
                             __m512 *min)
{
    const bool two = kind == SCALE_K_MIN;
    const size_t first = two ? 128 : 64, bytes = two ? 24 : 12;
    const uint8_t *end = s->unit + first + bytes * (2 * g + (size_t)i + 1);
    const __m512i all = two ? _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)(end - 32)))
                            : _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)(end - 16)));
    const __m512i v = _mm512_permutexvar_epi8(_mm512_load_si512(two ? bytes_12 : bytes_6), all);
    __m512 n = numbers(v, two ? _mm512_set4_epi32(0x3f0, 0x3f, 0x3f0, 0x3f)
                              : _mm512_set4_epi32(0xfc00, 0x3f000, 0xfc000, 0x3f00));
    *scale = exact ? _mm512_mul_ps(s->d[i], _mm512_sub_ps(n, excess(kind)))
                   : _mm512_fmadd_ps(s->d[i], n, s->less[i]);
    if (!two) return;
    n = numbers(v, _mm512_set4_epi32(0xfc00, 0xfc0, 0xfc00, 0xfc0));
    *min = exact ? _mm512_mul_ps(s->dmin[i], _mm512_sub_ps(n, excess(kind)))
                 : _mm512_fmadd_ps(s->dmin[i], n, s->low[i]);
}

/* Strip i of the others with a d. */
INLINE void scales_of_steps(int kind, const Source *s, size_t g, int i, __m512 *scale, __m512 *min)
{
    const bool pairs = scale_pairs((ScaleKind)kind);
    const uint8_t *at = s->unit + (kind == SCALE_K_NIBBLES ? 128 : 64);
    at += 32 * (pairs ? g / 2 : g) + 16 * (size_t)i;
    if (kind == SCALE_K) {
        *scale = _mm512_mul_ps(s->d[i], signed_bytes(at));
    } else if (kind == SCALE_K_NIBBLES) {
        __m512i b = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)at));
        __m512i low = _mm512_and_si512(b, _mm512_set1_epi32(15));
        *scale = _mm512_mul_ps(s->d[i], _mm512_cvtepi32_ps(low));
        *min = _mm512_mul_ps(s->dmin[i], _mm512_cvtepi32_ps(_mm512_srli_epi32(b, 4)));
    } else { /* (2 s + 1) d as s (2 d) + d */
        const int most = kind == SCALE_K_ODD ? 15 : 7;
        __m512i b = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)at));
        b = _mm512_srl_epi32(b, _mm_cvtsi32_si128((int)(g % 2 * 4)));
        __m512 steps = _mm512_cvtepi32_ps(_mm512_and_si512(b, _mm512_set1_epi32(most)));
        *scale = _mm512_fmadd_ps(steps, _mm512_add_ps(s->d[i], s->d[i]), s->d[i]);
        if (kind == SCALE_K_ODD) return;
        __mmask16 top = _mm512_test_epi32_mask(b, _mm512_set1_epi32(8));
        *min = _mm512_mul_ps(
            *scale, _mm512_mask_blend_ps(top, _mm512_set1_ps(-0.875f), _mm512_set1_ps(-1.125f)));
    }
}

/* Scale and, unless centred, min of both strips for group g of a unit. */
INLINE void scales_of_any(int kind, bool exact, Source *s, size_t g, __m512 scale[2], __m512 min[2])
{
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        const uint8_t *u = s->unit;
        min[i] = _mm512_setzero_ps();
        if (kind < 0) {
            scale[i] = _mm512_loadu_ps(s->scale + 16 * i);
            if (kind == DECODED) min[i] = _mm512_loadu_ps(s->min + 16 * i);
        } else if (packed(kind)) {
            scales_of_packed(kind, exact, s, g, i, &scale[i], &min[i]);
        } else if (has_steps(kind)) {
            scales_of_steps(kind, s, g, i, &scale[i], &min[i]);
        } else {
            scale[i] = kind == SCALE_E8M0    ? powers(u + 16 * i)
                       : kind == SCALE_UE4M3 ? halves_of_ue4m3(u + 32 * g + 16 * (size_t)i)
                                             : halves(u + 32 * i);
            if (kind == SCALE_F16_MIN) min[i] = halves(u + 64 + 32 * i);
        }
    }
    if (kind < 0) s->scale += PANEL_ROWS;
    if (kind == DECODED) s->min += PANEL_ROWS;
}

INLINE void scales_of(int kind, Source *s, size_t g, __m512 scale[2], __m512 min[2])
{
    scales_of_any(kind, false, s, g, scale, min);
}

INLINE void start_unit(int kind, Source *s)
{
    for (int i = 0; i < 2 && has_steps(kind); i++) {
        s->d[i] = halves(s->unit + 32 * i);
        if (kind == SCALE_K_ODD) s->d[i] = _mm512_mul_ps(s->d[i], _mm512_set1_ps(s->factor));
        if (kind == SCALE_K_MIN || kind == SCALE_K_NIBBLES) /* the sign costs nothing here */
            s->dmin[i] = _mm512_sub_ps(_mm512_set1_ps(-0.0f), halves(s->unit + 64 + 32 * i));
        if (!packed(kind)) continue;
        s->d[i] = _mm512_mul_ps(s->d[i], places(kind));
        s->less[i] = _mm512_sub_ps(_mm512_setzero_ps(), _mm512_mul_ps(s->d[i], excess(kind)));
        if (kind == SCALE_K_SIX) continue;
        s->dmin[i] = _mm512_mul_ps(s->dmin[i], places_of_mins());
        s->low[i] = _mm512_sub_ps(_mm512_setzero_ps(), _mm512_mul_ps(s->dmin[i], excess(kind)));
    }
}

INLINE __m512i four(const int8_t *q)
{
    int32_t bits;
    memcpy(&bits, q, 4);
    return _mm512_set1_epi32(bits);
}

/* Sums of a strip, one for each activation row. Named, not an array: GCC would keep that in memory
 * in the longer loops. */
typedef struct Integers {
    __m512i c0, c1, c2, c3;
} Integers;

typedef struct Floats {
    __m512 c0, c1, c2, c3;
} Floats;

#define COLUMNS(X)                                                                                 \
    X(0)                                                                                           \
    X(1)                                                                                           \
    X(2)                                                                                           \
    X(3)

/* The lines `ahead` of a step of strip i, from number `at` of its 32 k: its share of the strip's.
 */
typedef struct Lines {
    const uint8_t *from;
    size_t count;
} Lines;

INLINE Lines lines_of(PanelCode code, const uint8_t *src, size_t i, int at, size_t ahead)
{
    const size_t lines = panel_codes_bytes(code, 32) / 128, step = (size_t)step_512(code);
    const size_t n = (size_t)at / step, first = n * lines * step / 32;
    const size_t more = (n + 1) * lines * step / 32 - first;
    const size_t at_line = panel_turn(code) == 32 ? i * lines + first : 2 * first + i * more;
    return (Lines){src + ahead + 64 * at_line, more};
}

/* Fetches lines [begin, end), of two strips in turn, between two products that `sum` takes part in:
 * GCC would gather the fetches of a group in one place, and decoding Q4_K from memory was 5 %
 * slower for it. */
INLINE void fetch(const Lines *a, const Lines *b, size_t begin, size_t end, __m512i *sum)
{
    if (PANEL_ANY_M) return; /* these asm would take a sanitizer's compiler a quarter of an hour */
#pragma GCC unroll 4
    for (size_t line = begin; line < end; line++) {
        const uint8_t *at = a == b ? a->from + 64 * line : (line % 2 ? b : a)->from + line / 2 * 64;
        const uint8_t *farther = at + FARTHER;
        __asm__("prefetcht0 %1\n\tprefetcht1 %2" : "+v"(*sum) : "m"(*at), "m"(*farther));
    }
}

/* A step of strip i, from number `at` of its 32 k; fetches what lies `ahead`. */
INLINE void dots_of_step(PanelCode code, __m512i table, const uint8_t *src, size_t i, int at,
                         size_t ahead, const int8_t *q, size_t q_stride, int m, Integers *dot)
{
    const Lines lines = lines_of(code, src, i, at, ahead);
    const size_t fours = (size_t)step_512(code) / 4;
    size_t line = (lines.count + fours - 1) / fours;
    if (code != CODE_SIX) fetch(&lines, &lines, 0, line, &dot->c0);
    const Codes512 v = unpack_512(code, table, src + i * panel_strip(code), at);
    if (code == CODE_SIX) fetch(&lines, &lines, 0, line, &dot->c0); /* 6 % faster; others slower */
#pragma GCC unroll 4
    for (size_t j = 0; j < fours; j++, q += 4) {
        const size_t next = ((j + 2) * lines.count + fours - 1) / fours;
#define COLUMN(n)                                                                                  \
    if (n < m) dot->c##n = _mm512_dpbusd_epi32(dot->c##n, v.v[j], four(q + n * q_stride));
        COLUMNS(COLUMN)
#undef COLUMN
        if (j + 1 < fours) fetch(&lines, &lines, line, next, &dot->c0);
        line = next;
    }
}

/* The same of both strips: four activations are broadcast once for two products. */
INLINE void dots_of_both(PanelCode code, __m512i table, const uint8_t *src, int at, size_t ahead,
                         const int8_t *q, size_t q_stride, int m, Integers *x, Integers *y)
{
    const Lines one = lines_of(code, src, 0, at, ahead), other = lines_of(code, src, 1, at, ahead);
    const Codes512 v = unpack_512(code, table, src, at);
    const Codes512 w = unpack_512(code, table, src + panel_strip(code), at);
    const size_t products = (size_t)step_512(code) / 4 * (size_t)m;
    size_t product = 0;
#pragma GCC unroll 4
    for (int j = 0; j < step_512(code) / 4; j++, q += 4) {
#define COLUMN(n)                                                                                  \
    if (n < m) {                                                                                   \
        __m512i f = four(q + n * q_stride);                                                        \
        __asm__("" : "+v"(f)); /* in a register, not twice an operand in memory */                 \
        x->c##n = _mm512_dpbusd_epi32(x->c##n, v.v[j], f);                                         \
        y->c##n = _mm512_dpbusd_epi32(y->c##n, w.v[j], f);                                         \
        fetch(&one, &other, product * 2 * one.count / products,                                    \
              (product + 1) * 2 * one.count / products, &x->c##n);                                 \
        product++;                                                                                 \
    }
        COLUMNS(COLUMN)
#undef COLUMN
        /* GCC would gather the loads first and run out of registers. */
        __asm__ volatile("" : "+r"(q));
    }
}

/* Where the integers of a group begin: at `from`, less the offset times the sum of its activations.
 * Those of 32 k lie at `sums` as two halves; a group of 16 takes the one that `part` says. */
INLINE __m512i start(int kind, int group, int part, const int16_t *sums, const Source *s,
                     __m512i from)
{
    const int less = -s->offset & 0xffff;
    const int by = group == 32 ? (int)((unsigned)less * 0x10001u)
                   : part      ? (int)((unsigned)less << 16)
                               : less;
    int32_t two;
    if (!centred(kind)) return from;
    memcpy(&two, sums, 4);
    return _mm512_dpwssd_epi32(from, _mm512_set1_epi32(two), _mm512_set1_epi32(by));
}

/* One group of both strips, added to x and y. src: the codes of the 32 k that the group lies in;
 * part: 1 for the second 16 of them. */
INLINE void dots(PanelCode code, int group, __m512i table, const uint8_t *src, int part,
                 size_t ahead, const int8_t *q, size_t q_stride, int m, Integers *x, Integers *y)
{
#pragma GCC unroll 8
    for (int k = 0; k < group; k += step_512(code)) {
        if (m > 2) {
            dots_of_both(code, table, src, 16 * part + k, ahead, q + k, q_stride, m, x, y);
        } else {
            dots_of_step(code, table, src, 0, 16 * part + k, ahead, q + k, q_stride, m, x);
            dots_of_step(code, table, src, 1, 16 * part + k, ahead, q + k, q_stride, m, y);
        }
    }
}

/* Integers times scale, rounded once; less: scale times what biased ones begin at, negative. */
INLINE __m512 scaled(bool biased, __m512i dot, __m512 scale, __m512 less)
{
    return biased ? _mm512_fmadd_ps(_mm512_castsi512_ps(dot), scale, less)
                  : _mm512_mul_ps(scale, _mm512_cvtepi32_ps(dot));
}

/* Group g, number u of its unit, to the sums. */
INLINE void add_group(PanelCode code, int group, int kind, __m512i table, const uint8_t *src,
                      int part, size_t ahead, Source *s, size_t u, size_t g, const PanelAct *act,
                      int m, Floats *a, Floats *b)
{
    const size_t per = ACT_GROUP / (size_t)group, stride = act->g_stride;
    const int16_t *begin = act->q_sum16 + 2 * (g / per);
    /* Of several rows integers begin at the bits of 1.5 * 2^23 and read as floats: see
     * panel_avx512vnni.c. */
    const bool biased = m > 2;
    const __m512 bias = _mm512_set1_ps(biased ? 12582912.0f : 0);
    const __m512i from = _mm512_castps_si512(bias);
    Integers x = {from, from, from, from}, y;
    __m512 scale[2], min[2], less[2];
#define COLUMN(n)                                                                                  \
    if (n < m) x.c##n = start(kind, group, part, begin + 2 * n * stride, s, from);
    COLUMNS(COLUMN)
#undef COLUMN
    y = x;
    dots(code, group, table, src, part, ahead, act->q + g * (size_t)group, act->q_stride, m, &x,
         &y);
    scales_of(kind, s, u, scale, min);
    for (int i = 0; i < 2; i++)
        less[i] = _mm512_mul_ps(scale[i], _mm512_sub_ps(_mm512_setzero_ps(), bias));
    const float *by = act->scale + g / per, *sums = per == 2 ? act->sum16 + g : act->sum32 + g;
#define COLUMN(n)                                                                                  \
    if (n < m) {                                                                                   \
        __m512 d = _mm512_set1_ps(by[n * stride]);                                                 \
        __m512 t = scaled(biased, x.c##n, scale[0], less[0]);                                      \
        __m512 v = scaled(biased, y.c##n, scale[1], less[1]);                                      \
        a->c##n = _mm512_fmadd_ps(t, d, a->c##n);                                                  \
        b->c##n = _mm512_fmadd_ps(v, d, b->c##n);                                                  \
        if (!centred(kind)) {                                                                      \
            __m512 sum = _mm512_set1_ps(sums[n * per * stride]);                                   \
            a->c##n = _mm512_fmadd_ps(min[0], sum, a->c##n);                                       \
            b->c##n = _mm512_fmadd_ps(min[1], sum, b->c##n);                                       \
        }                                                                                          \
    }
    COLUMNS(COLUMN)
#undef COLUMN
}

/* One or two lines of scales; with bytes, whose lines are most, where GCC likes them. */
INLINE void fetch_scales(PanelCode code, const uint8_t *from, bool two, int m, __m512 *sum)
{
    if (code == CODE_BYTE || m > 2) {
        _mm_prefetch((const char *)from, _MM_HINT_T0);
        if (two) _mm_prefetch((const char *)from + 64, _MM_HINT_T0);
        return;
    }
    __asm__("prefetcht0 %1" : "+v"(*sum) : "m"(from[0]));
    if (two) __asm__("prefetcht0 %1" : "+v"(*sum) : "m"(from[64]));
}

/* What one panel of a run adds up; `unit`: groups of a unit of the scale stream; scales_bytes: from
 * the end of its codes to the next panel. */
INLINE void few(PanelCode code, int group, int kind, size_t unit, __m512i table, const uint8_t *src,
                Source s, size_t k, size_t scales_bytes, const PanelAct *act, int m, float *out,
                size_t out_stride)
{
    const __m512 zero = _mm512_setzero_ps();
    Floats a = {zero, zero, zero, zero}, b = a;
    const uint8_t *end = src + panel_codes_bytes(code, k);
    const size_t codes_bytes = (size_t)(end - src), per = 32 / (size_t)group;
    const size_t unit_bytes = kind < 0 ? 0 : panel_unit_bytes((ScaleKind)kind, unit);
    const size_t more = unit > per ? unit : per; /* groups at once */
    for (size_t g = 0; g < k / (size_t)group;) {
        start_unit(kind, &s);
        for (size_t u = 0; u < more; src += panel_codes_bytes(code, 32)) {
            size_t ahead = AHEAD;
            if (src + ahead >= end) ahead += scales_bytes;
            if (kind >= 0) {
                /* This group's share of the scales two units ahead. */
                size_t share = unit > 1 ? unit_bytes / unit * u : 0;
                const uint8_t *next =
                    s.unit + (unit_bytes > 256 ? 2 * unit_bytes : AHEAD_SCALES) + share;
                if (next >= end + scales_bytes) next += codes_bytes;
                fetch_scales(code, next, unit_bytes * per / unit > 64, m, &a.c0);
            }
            add_group(code, group, kind, table, src, 0, ahead, &s, u++, g++, act, m, &a, &b);
            if (per == 2)
                add_group(code, group, kind, table, src, 1, ahead, &s, u++, g++, act, m, &a, &b);
        }
        if (unit_bytes) s.unit += unit_bytes;
    }
#define COLUMN(n)                                                                                  \
    if (n < m) {                                                                                   \
        _mm512_storeu_ps(out + n * out_stride, a.c##n);                                            \
        _mm512_storeu_ps(out + n * out_stride + 16, b.c##n);                                       \
    }
    COLUMNS(COLUMN)
#undef COLUMN
}

/* A run of n panels: all in one function, so that nothing but the panels comes from memory when one
 * follows the other. Between two a call, its arguments and tables, which the stream has pushed out
 * of the first cache, would leave memory idle for a tenth of a panel's time (2,048 inputs). */
INLINE void few_run(PanelCode code, int group, int kind, size_t unit, __m512i table,
                    const uint8_t *src, Source s, size_t k, size_t n, size_t scales_bytes,
                    const PanelAct *act, int m, float *out, size_t out_stride)
{
    const size_t codes_bytes = panel_codes_bytes(code, k);
    for (size_t p = 0; p < n; p++, src += codes_bytes + scales_bytes, out += PANEL_ROWS) {
        if (kind >= 0) s.unit = src + codes_bytes;
        few(code, group, kind, unit, table, src, s, k, scales_bytes, act, m, out, out_stride);
    }
}

/* ---- instances: m is 0 to 4 ---- */

#define INSTANCE(name, code, group, kind, unit)                                                    \
    static void name(__m512i table, const uint8_t *src, const Source *s, size_t k, size_t n,       \
                     size_t scales_bytes, const PanelAct *act, size_t m, float *out,               \
                     size_t out_stride)                                                            \
    {                                                                                              \
        if (PANEL_ANY_M) {                                                                         \
            few_run(code, group, kind, unit, table, src, *s, k, n, scales_bytes, act, (int)m, out, \
                    out_stride);                                                                   \
            return;                                                                                \
        }                                                                                          \
        switch (m) {                                                                               \
        case 0: break;                                                                             \
        case 1:                                                                                    \
            few_run(code, group, kind, unit, table, src, *s, k, n, scales_bytes, act, 1, out,      \
                    out_stride);                                                                   \
            break;                                                                                 \
        case 2:                                                                                    \
            few_run(code, group, kind, unit, table, src, *s, k, n, scales_bytes, act, 2, out,      \
                    out_stride);                                                                   \
            break;                                                                                 \
        case 3:                                                                                    \
            few_run(code, group, kind, unit, table, src, *s, k, n, scales_bytes, act, 3, out,      \
                    out_stride);                                                                   \
            break;                                                                                 \
        default:                                                                                   \
            few_run(code, group, kind, unit, table, src, *s, k, n, scales_bytes, act, 4, out,      \
                    out_stride);                                                                   \
        }                                                                                          \
    }
typedef void Few(__m512i table, const uint8_t *src, const Source *s, size_t k, size_t n,
                 size_t scales_bytes, const PanelAct *act, size_t m, float *out, size_t out_stride);

/* X(name, code, group, scales, groups of a unit): every pair of code and scales that a type has. */
#define PAIRS(X)                                                                                   \
    X(nibble_f16, CODE_NIBBLE, 32, SCALE_F16, 1)                                                   \
    X(nibble_f16_min, CODE_NIBBLE, 32, SCALE_F16_MIN, 1)                                           \
    X(nibble_k_min, CODE_NIBBLE, 32, SCALE_K_MIN, 8)                                               \
    X(table_f16, CODE_TABLE, 32, SCALE_F16, 1)                                                     \
    X(table_e8m0, CODE_TABLE, 32, SCALE_E8M0, 1)                                                   \
    X(table_ue4m3, CODE_TABLE, 16, SCALE_UE4M3, 4)                                                 \
    X(table_k, CODE_TABLE, 32, SCALE_K_SIX, 8)                                                     \
    X(six_k, CODE_SIX, 16, SCALE_K, 16)                                                            \
    X(byte_f16, CODE_BYTE, 32, SCALE_F16, 1)                                                       \
    X(one_f16, CODE_ONE, 32, SCALE_F16, 4)                                                         \
    X(two_f16, CODE_TWO, 32, SCALE_F16, 2)                                                         \
    X(two_f16_wide, CODE_TWO, 32, SCALE_F16, 8)                                                    \
    X(two_delta, CODE_TWO, 32, SCALE_K_DELTA, 8)                                                   \
    X(two_nibbles, CODE_TWO, 16, SCALE_K_NIBBLES, 16)                                              \
    X(three_k, CODE_THREE, 16, SCALE_K_SIX, 16)                                                    \
    X(table_odd, CODE_TABLE, 32, SCALE_K_ODD, 8)                                                   \
    X(octet_odd, CODE_OCTET, 32, SCALE_K_ODD, 8)                                                   \
    X(octet_odd_16, CODE_OCTET, 16, SCALE_K_ODD, 16)                                               \
    X(five_f16, CODE_FIVE, 32, SCALE_F16, 1)                                                       \
    X(five_f16_min, CODE_FIVE, 32, SCALE_F16_MIN, 1)                                               \
    X(five_k_min, CODE_FIVE, 32, SCALE_K_MIN, 8)

/* X(name, code, group, kind): with scales decoded before. */
#define PLAIN(X)                                                                                   \
    X(nibble_32, CODE_NIBBLE, 32, DECODED_CENTRED)                                                 \
    X(nibble_32_min, CODE_NIBBLE, 32, DECODED)                                                     \
    X(table_32, CODE_TABLE, 32, DECODED_CENTRED)                                                   \
    X(table_16, CODE_TABLE, 16, DECODED_CENTRED)                                                   \
    X(six_16, CODE_SIX, 16, DECODED_CENTRED)                                                       \
    X(byte_32, CODE_BYTE, 32, DECODED_CENTRED)                                                     \
    X(one_32, CODE_ONE, 32, DECODED_CENTRED)                                                       \
    X(two_32, CODE_TWO, 32, DECODED_CENTRED)                                                       \
    X(two_32_min, CODE_TWO, 32, DECODED)                                                           \
    X(two_16_min, CODE_TWO, 16, DECODED)                                                           \
    X(three_16, CODE_THREE, 16, DECODED_CENTRED)                                                   \
    X(octet_32, CODE_OCTET, 32, DECODED_CENTRED)                                                   \
    X(octet_16, CODE_OCTET, 16, DECODED_CENTRED)                                                   \
    X(five_32, CODE_FIVE, 32, DECODED_CENTRED)                                                     \
    X(five_32_min, CODE_FIVE, 32, DECODED)

#define PLAIN_INSTANCE(name, code, group, kind) INSTANCE(name, code, group, kind, 1)
PAIRS(INSTANCE)
PLAIN(PLAIN_INSTANCE)

void panel_few_decoded_avx512vnni(PanelCode code, int group, const void *codes, const float *scale,
                                  const float *min, int offset, const uint8_t *table, size_t k,
                                  const PanelAct *act, size_t m, float *out, size_t out_stride)
{
#define ROW(name, code, group, kind) [(kind) == DECODED][group / 16 - 1][code] = name,
    static Few *const plain[2][2][N_PANEL_CODES] = {PLAIN(ROW)};
#undef ROW
    Source s = {.scale = scale, .min = min, .offset = offset};
    plain[min != NULL][group / 16 - 1][code](table_entries(table), codes, &s, k, 1, 0, act, m, out,
                                             out_stride);
}

static Few *few_of(const PanelType *t)
{
    static const struct {
        Few *fn;
        PanelCode code;
        ScaleKind scales;
        int group;
        size_t unit;
    } rows[] = {
#define ROW(name, code, group, scales, unit) {name, code, scales, group, unit},
        PAIRS(ROW)
#undef ROW
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].code == t->code && rows[i].scales == t->scales && rows[i].group == t->group &&
            rows[i].unit == panel_groups(t))
            return rows[i].fn;
    return NULL;
}

void panel_few_avx512vnni(uint32_t type, const void *panels, size_t k, size_t n,
                          const PanelAct *act, size_t m, float *out, size_t out_stride)
{
    const PanelType *t = panel_type(type);
    PanelLayout layout;
    if (!t || !panel_layout(type, k, &layout)) return;
    const Source s = {.offset = t->offset, .factor = t->factor};
    few_of(t)(table_entries(layout.table), panels, &s, k, n, layout.bytes - layout.codes_bytes, act,
              m, out, out_stride);
}

/* ---- panel_scales ---- */

INLINE void decode(ScaleKind kind, const PanelType *t, const uint8_t *unit, size_t k, float *scale,
                   float *min)
{
    const size_t groups = panel_groups(t), bytes = panel_unit_bytes(kind, groups);
    Source s = {.unit = unit, .factor = t->factor};
    for (; k; k -= (size_t)t->unit, s.unit += bytes) {
        start_unit((int)kind, &s);
        for (size_t g = 0; g < groups; g++, scale += PANEL_ROWS, min += PANEL_ROWS) {
            __m512 a[2], b[2];
            scales_of_any((int)kind, true, &s, g, a, b);
            for (int i = 0; i < 2; i++) {
                _mm512_storeu_ps(scale + 16 * i, a[i]);
                if (scale_has_min(kind)) _mm512_storeu_ps(min + 16 * i, b[i]);
            }
        }
    }
}

void panel_scales_avx512(uint32_t type, const void *scales, size_t k, float *scale, float *min)
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
