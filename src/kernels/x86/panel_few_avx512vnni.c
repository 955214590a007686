/* Few activation rows (at most four at a time) over a panel, straight from the packed codes: the
 * kernel of decoding, bound by memory. panel_few decodes scales on the way, so that a panel is read
 * once, front to back in two streams, each prefetched some way ahead and on into the next panel. */
#include <string.h>

#include "kernels/panel_type.h"
#include "kernels/x86/panel_avx512vnni.h"
#include "tensor/dtype.h"

#define INLINE static inline __attribute__((always_inline))
/* How far codes are fetched ahead, into L1 and (beyond that) L2. A line at a time between the
 * products: in bursts the same fetches reach a fifth less of what memory gives. */
enum { AHEAD = 1536, FARTHER = 6144, AHEAD_SCALES = 640 };

/* Where scale and min come from: arrays decoded before, or the panel's own stream. */
enum { DECODED = -1 };

typedef struct Source {
    const uint8_t *unit;      /* of the scale stream */
    const float *scale, *min; /* DECODED */
    float offset;             /* minus the offset of codes */
    __m512 d[2], dmin[2];     /* of a 256-wide unit */
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

/* Scale and min of both strips for group g (counted inside a 256-wide unit for those kinds). */
INLINE void scales_of(int kind, Source *s, size_t g, __m512 scale[2], __m512 min[2])
{
    for (int i = 0; i < 2; i++) {
        const uint8_t *u = s->unit;
        if (kind == DECODED) {
            scale[i] = _mm512_loadu_ps(s->scale + 16 * i);
            min[i] = _mm512_loadu_ps(s->min + 16 * i);
        } else if (kind == SCALE_K_MIN) {
            const uint8_t *at = u + 128 + 64 * g + 16 * (size_t)i;
            scale[i] = _mm512_mul_ps(s->d[i], unsigned_bytes(at));
            min[i] = _mm512_mul_ps(s->dmin[i], unsigned_bytes(at + 32));
        } else {
            if (kind == SCALE_K)
                scale[i] = _mm512_mul_ps(s->d[i], signed_bytes(u + 64 + 32 * g + 16 * (size_t)i));
            else
                scale[i] = kind == SCALE_E8M0 ? powers(u + 16 * i) : halves(u + 32 * i);
            min[i] = kind == SCALE_F16_MIN ? halves(u + 64 + 32 * i)
                                           : _mm512_mul_ps(scale[i], _mm512_set1_ps(s->offset));
        }
    }
    if (kind == DECODED) {
        s->scale += PANEL_ROWS;
        s->min += PANEL_ROWS;
    } else if (kind == SCALE_F16 || kind == SCALE_F16_MIN || kind == SCALE_E8M0) {
        s->unit += kind == SCALE_F16 ? 64 : kind == SCALE_F16_MIN ? 128 : 32;
    }
}

INLINE void start_unit(int kind, Source *s)
{
    for (int i = 0; i < 2 && (kind == SCALE_K_MIN || kind == SCALE_K); i++) {
        s->d[i] = halves(s->unit + 32 * i);
        if (kind == SCALE_K_MIN) /* -0 + x * -1: the sign costs nothing here */
            s->dmin[i] = _mm512_sub_ps(_mm512_set1_ps(-0.0f), halves(s->unit + 64 + 32 * i));
    }
}

INLINE __m512i four(const int8_t *q)
{
    int32_t bits;
    memcpy(&bits, q, 4);
    return _mm512_set1_epi32(bits);
}

/* One group of both strips: dot[strip][column]; fetches `ahead`. Returns the codes that follow. */
INLINE const uint8_t *dots(PanelCode code, int group, __m512i table, const uint8_t *src,
                           size_t ahead, const int8_t *q, size_t q_stride, int m,
                           __m512i dot[2][PANEL_FEW])
{
    const __m512i low = _mm512_set1_epi8(15);
    for (int i = 0; i < 2; i++)
        for (int c = 0; c < m; c++) dot[i][c] = _mm512_setzero_si512();
    int step = code == CODE_BYTE ? 4 : code == CODE_SIX ? 16 : 8;
#pragma GCC unroll 8
    for (int k = 0; k < group; k += step) {
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            Six v;
            for (size_t line = 0; line < (code == CODE_SIX ? 192 : 64); line += 64) {
                _mm_prefetch((const char *)src + ahead + line, _MM_HINT_T0);
                _mm_prefetch((const char *)src + ahead + line + FARTHER, _MM_HINT_T1);
            }
            if (code == CODE_BYTE) {
                v.v[0] = _mm512_loadu_si512(src);
                src += 64;
            } else if (code == CODE_SIX) {
                v = unpack_six(src);
                src += 192;
            } else {
                __m512i b = _mm512_loadu_si512(src);
                v.v[0] = _mm512_and_si512(b, low);
                v.v[1] = _mm512_and_si512(_mm512_srli_epi16(b, 4), low);
                if (code == CODE_TABLE) {
                    v.v[0] = _mm512_shuffle_epi8(table, v.v[0]);
                    v.v[1] = _mm512_shuffle_epi8(table, v.v[1]);
                }
                src += 64;
            }
#pragma GCC unroll 4
            for (int c = 0; c < m; c++)
#pragma GCC unroll 4
                for (int j = 0; j < step / 4; j++)
                    dot[i][c] = _mm512_dpbusd_epi32(dot[i][c], v.v[j],
                                                    four(q + (size_t)c * q_stride + k + 4 * j));
            /* GCC would gather the loads of both strips first and run out of registers. */
            if (m > 2) __asm__ volatile("" : "+r"(q));
        }
    }
    return src;
}

INLINE void few(PanelCode code, int group, int kind, __m512i table, const uint8_t *src, Source s,
                size_t k, size_t scales_bytes, const PanelAct *act, int m, float *out,
                size_t out_stride)
{
    __m512 acc[2][PANEL_FEW];
    for (int i = 0; i < 2; i++)
        for (int c = 0; c < m; c++) acc[i][c] = _mm512_setzero_ps();
    const size_t group_bytes = (size_t)group * (code == CODE_BYTE  ? 32
                                                : code == CODE_SIX ? 24
                                                                   : 16);
    const uint8_t *end = src + k / (size_t)group * group_bytes;
    const size_t codes_bytes = (size_t)(end - src), per = ACT_GROUP / (size_t)group;
    const size_t unit = kind == SCALE_K_MIN || kind == SCALE_K ? 256 / (size_t)group : 1;
    const size_t unit_bytes = unit > 1                ? kind == SCALE_K_MIN ? 640 : 64 + 32 * unit
                              : kind == SCALE_F16_MIN ? 128
                                                      : 64;
    for (size_t g = 0; g < k / (size_t)group;) {
        start_unit(kind, &s);
        for (size_t u = 0; u < unit; u++, g++) {
            size_t ahead = src + AHEAD < end ? AHEAD : AHEAD + scales_bytes;
            if (kind != DECODED) {
                /* This group's share of the scales one unit (or 640 bytes) ahead. */
                size_t share = unit > 1 ? unit_bytes / unit * u : 0;
                const uint8_t *next = s.unit + (unit > 1 ? unit_bytes : AHEAD_SCALES) + share;
                if (next >= end + scales_bytes) next += codes_bytes;
                _mm_prefetch((const char *)next, _MM_HINT_T0);
                if (unit_bytes / unit > 64) _mm_prefetch((const char *)next + 64, _MM_HINT_T0);
            }
            __m512i dot[2][PANEL_FEW];
            __m512 scale[2], min[2];
            src = dots(code, group, table, src, ahead, act->q + g * (size_t)group, act->q_stride, m,
                       dot);
            scales_of(kind, &s, u, scale, min);
#pragma GCC unroll 4
            for (int c = 0; c < m; c++) {
                size_t row = (size_t)c * act->g_stride;
                __m512 a = _mm512_set1_ps(act->scale[row + g / per]);
                __m512 sum =
                    _mm512_set1_ps(per == 2 ? act->sum16[2 * row + g] : act->sum32[row + g]);
#pragma GCC unroll 2
                for (int i = 0; i < 2; i++) {
                    __m512 t = _mm512_mul_ps(scale[i], _mm512_cvtepi32_ps(dot[i][c]));
                    acc[i][c] = _mm512_fmadd_ps(t, a, acc[i][c]);
                    acc[i][c] = _mm512_fmadd_ps(min[i], sum, acc[i][c]);
                }
            }
        }
        if (unit > 1) s.unit += unit_bytes;
    }
    for (int c = 0; c < m; c++)
        for (int i = 0; i < 2; i++)
            _mm512_storeu_ps(out + (size_t)c * out_stride + 16 * i, acc[i][c]);
}

/* ---- instances: m is 1 to 4 ---- */

#define INSTANCE(name, code, group, kind)                                                          \
    static void name(__m512i table, const uint8_t *src, const Source *s, size_t k,                 \
                     size_t scales_bytes, const PanelAct *act, size_t m, float *out,               \
                     size_t out_stride)                                                            \
    {                                                                                              \
        switch (m) {                                                                               \
        case 1:                                                                                    \
            few(code, group, kind, table, src, *s, k, scales_bytes, act, 1, out, out_stride);      \
            break;                                                                                 \
        case 2:                                                                                    \
            few(code, group, kind, table, src, *s, k, scales_bytes, act, 2, out, out_stride);      \
            break;                                                                                 \
        case 3:                                                                                    \
            few(code, group, kind, table, src, *s, k, scales_bytes, act, 3, out, out_stride);      \
            break;                                                                                 \
        default: few(code, group, kind, table, src, *s, k, scales_bytes, act, 4, out, out_stride); \
        }                                                                                          \
    }
typedef void Few(__m512i table, const uint8_t *src, const Source *s, size_t k, size_t scales_bytes,
                 const PanelAct *act, size_t m, float *out, size_t out_stride);

INSTANCE(nibble_f16, CODE_NIBBLE, 32, SCALE_F16)
INSTANCE(nibble_f16_min, CODE_NIBBLE, 32, SCALE_F16_MIN)
INSTANCE(nibble_k_min, CODE_NIBBLE, 32, SCALE_K_MIN)
INSTANCE(table_f16, CODE_TABLE, 32, SCALE_F16)
INSTANCE(table_e8m0, CODE_TABLE, 32, SCALE_E8M0)
INSTANCE(table_k, CODE_TABLE, 32, SCALE_K)
INSTANCE(six_k, CODE_SIX, 16, SCALE_K)
INSTANCE(byte_f16, CODE_BYTE, 32, SCALE_F16)

INSTANCE(nibble_32, CODE_NIBBLE, 32, DECODED)
INSTANCE(table_32, CODE_TABLE, 32, DECODED)
INSTANCE(six_16, CODE_SIX, 16, DECODED)
INSTANCE(byte_32, CODE_BYTE, 32, DECODED)

void panel_few_decoded_avx512vnni(PanelCode code, const void *codes, const float *scale,
                                  const float *min, const uint8_t *table, size_t k,
                                  const PanelAct *act, size_t m, float *out, size_t out_stride)
{
    static Few *const by_code[4] = {[CODE_NIBBLE] = nibble_32,
                                    [CODE_TABLE] = table_32,
                                    [CODE_SIX] = six_16,
                                    [CODE_BYTE] = byte_32};
    Source s = {.scale = scale, .min = min};
    by_code[code](table_entries(table), codes, &s, k, 0, act, m, out, out_stride);
}

static Few *few_of(const PanelType *t)
{
    switch (t->code) {
    case CODE_NIBBLE:
        return t->scales == SCALE_K_MIN     ? nibble_k_min
               : t->scales == SCALE_F16_MIN ? nibble_f16_min
                                            : nibble_f16;
    case CODE_TABLE:
        return t->scales == SCALE_K ? table_k : t->scales == SCALE_E8M0 ? table_e8m0 : table_f16;
    case CODE_SIX: return six_k;
    default: return byte_f16;
    }
}

void panel_few_avx512vnni(uint32_t type, const void *panel, size_t k, const PanelAct *act, size_t m,
                          float *out, size_t out_stride)
{
    const PanelType *t = panel_type(type);
    PanelLayout layout;
    if (!t || !panel_layout(type, k, &layout)) return;
    const uint8_t *codes = panel;
    Source s = {.unit = codes + layout.codes_bytes, .offset = (float)-t->offset};
    Few *fn = few_of(t);
    PanelAct a = *act;
    for (size_t n; m; m -= n) {
        n = m < PANEL_FEW ? m : PANEL_FEW;
        fn(table_entries(layout.table), codes, &s, k, layout.bytes - layout.codes_bytes, &a, n, out,
           out_stride);
        a.q += n * a.q_stride;
        a.scale += n * a.g_stride;
        a.sum32 += n * a.g_stride;
        a.sum16 += 2 * n * a.g_stride;
        out += n * out_stride;
    }
}

/* ---- panel_scales ---- */

INLINE void decode(int kind, Source s, int group, size_t k, float *scale, float *min)
{
    const size_t unit = kind == SCALE_K_MIN || kind == SCALE_K ? 256 / (size_t)group : 1;
    const size_t unit_bytes = kind == SCALE_K_MIN ? 640 : 64 + 32 * unit;
    for (size_t g = 0; g < k / (size_t)group;) {
        start_unit(kind, &s);
        for (size_t u = 0; u < unit; u++, g++, scale += PANEL_ROWS, min += PANEL_ROWS) {
            __m512 a[2], b[2];
            scales_of(kind, &s, u, a, b);
            for (int i = 0; i < 2; i++) {
                _mm512_storeu_ps(scale + 16 * i, a[i]);
                _mm512_storeu_ps(min + 16 * i, b[i]);
            }
        }
        if (unit > 1) s.unit += unit_bytes;
    }
}

void panel_scales_avx512(uint32_t type, const void *scales, size_t k, float *scale, float *min)
{
    const PanelType *t = panel_type(type);
    if (!t) return;
    Source s = {.unit = scales, .offset = (float)-t->offset};
    switch (t->scales) {
    case SCALE_F16: decode(SCALE_F16, s, 32, k, scale, min); break;
    case SCALE_F16_MIN: decode(SCALE_F16_MIN, s, 32, k, scale, min); break;
    case SCALE_E8M0: decode(SCALE_E8M0, s, 32, k, scale, min); break;
    case SCALE_K_MIN: decode(SCALE_K_MIN, s, 32, k, scale, min); break;
    case SCALE_K:
        if (t->group == 16)
            decode(SCALE_K, s, 16, k, scale, min);
        else
            decode(SCALE_K, s, 32, k, scale, min);
        break;
    }
}
