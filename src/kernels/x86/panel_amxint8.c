/* Panels times quantised activations with AMX (tdpbsud: 16 x 16 x 64 int8 products an instruction).
 * Means what ref/panel.c says, to the bit as panel_avx512vnni.c: the integers are exact, and what
 * follows is the same.
 *
 * A tile of activations (16 rows by one group of k) meets the two strips of a panel, codes unpacked
 * to [k/4][32 rows][4] in L1. A group may be half as wide as a tile: scales differ from group to
 * group, so each gives a tile of sums of its own. These wait in L1 until eight groups are done;
 * then their way to floats begins, 8 activation rows by 32 weight rows in registers.
 *
 * The two halves of the work do not overlap, on purpose: while tiles are multiplied the core starts
 * one 512-bit operation a cycle instead of two (measured on Sapphire Rapids: 70 cycles a tile of
 * sums when they alternate, 60 in turns of eight groups). Groups of 16 bring twice the floats a
 * product and are left to VNNI, and so are less than 16 rows. */
#include "kernels/parts.h"
#include "kernels/x86/panel_avx512vnni.h"
#include "kernels/x86/tiles.h"

#define INLINE static inline __attribute__((always_inline))
enum { ROWS = 16, HALF = 8, GROUP = 32, GROUPS = 8, BLOCK = GROUP * GROUPS };

/* Sums of a block: [group][strip][activation row][weight row]. */
typedef int32_t Sums[GROUPS][2][ROWS][16];

/* Tiles: activations 0 and 1, codes 2 and 3, sums 4 to 7. A tile of sums is stored just before its
 * register is needed again: stored at once, it would wait for its product (32 cycles a tile against
 * 24). */
static void multiply(const uint8_t *w, size_t groups, const int8_t *q, size_t q_stride, Sums sums)
{
    enum { BYTES = GROUP * PANEL_ROWS };
    size_t g = 0;
    for (; g + 2 <= groups; g += 2, w += 2 * BYTES, q += 2 * GROUP) {
        _tile_loadd(0, q, q_stride);
        _tile_loadd(2, w, 128);
        if (g) _tile_stored(4, sums[g - 2][0], 64);
        _tile_zero(4);
        _tile_dpbsud(4, 0, 2);
        _tile_loadd(3, w + 64, 128);
        if (g) _tile_stored(5, sums[g - 2][1], 64);
        _tile_zero(5);
        _tile_dpbsud(5, 0, 3);
        _tile_loadd(1, q + GROUP, q_stride);
        _tile_loadd(2, w + BYTES, 128);
        if (g) _tile_stored(6, sums[g - 1][0], 64);
        _tile_zero(6);
        _tile_dpbsud(6, 1, 2);
        _tile_loadd(3, w + BYTES + 64, 128);
        if (g) _tile_stored(7, sums[g - 1][1], 64);
        _tile_zero(7);
        _tile_dpbsud(7, 1, 3);
    }
    if (g) {
        _tile_stored(4, sums[g - 2][0], 64);
        _tile_stored(5, sums[g - 2][1], 64);
        _tile_stored(6, sums[g - 1][0], 64);
        _tile_stored(7, sums[g - 1][1], 64);
    }
    if (g < groups) {
        _tile_loadd(0, q, q_stride);
        _tile_loadd(2, w, 128);
        _tile_zero(4);
        _tile_dpbsud(4, 0, 2);
        _tile_loadd(3, w + 64, 128);
        _tile_zero(5);
        _tile_dpbsud(5, 0, 3);
        _tile_stored(4, sums[g][0], 64);
        _tile_stored(5, sums[g][1], 64);
    }
}

/* Of a block: from group 0 on. */
typedef struct Scales {
    const float *scale, *min; /* (groups, 32) of the panel */
    const float *act, *sum;   /* (rows, stride) of the activations */
    size_t act_stride, groups;
    bool first; /* nothing was added before */
} Scales;

/* Adds the sums of 8 rows to out; the first `skip` of them were added before. Fetches what the same
 * rows of the next tile will read and write. */
static __attribute__((noinline)) void add_up(const Scales *s, const int32_t *sums,
                                             const int8_t *next, size_t q_stride, size_t skip,
                                             float *out, size_t out_stride)
{
    __m512 acc[2][HALF];
#pragma GCC unroll 8
    for (size_t t = 0; t < HALF; t++)
#pragma GCC unroll 2
        for (size_t i = 0; i < 2; i++)
            acc[i][t] =
                s->first ? _mm512_setzero_ps() : _mm512_loadu_ps(out + t * out_stride + 16 * i);
    const float *scale = s->scale, *min = s->min;
    for (size_t g = 0; g < s->groups; g++, sums += 2 * 16 * ROWS, scale += 32, min += 32) {
        const char *q = (const char *)next + g * q_stride;
        const char *o = (const char *)(out + (ROWS + g) * out_stride);
        for (size_t i = 0; i < BLOCK; i += 64) _mm_prefetch(q + i, _MM_HINT_T0);
        for (size_t i = 0; i < 128; i += 64) _mm_prefetch(o + i, _MM_HINT_T0);
        const __m512 s0 = _mm512_loadu_ps(scale), s1 = _mm512_loadu_ps(scale + 16);
        const __m512 m0 = _mm512_loadu_ps(min), m1 = _mm512_loadu_ps(min + 16);
#pragma GCC unroll 8
        for (size_t t = 0; t < HALF; t++) {
            __m512 x0 = _mm512_cvtepi32_ps(_mm512_load_si512(sums + 16 * t));
            __m512 x1 = _mm512_cvtepi32_ps(_mm512_load_si512(sums + 16 * (ROWS + t)));
            __m512 a = _mm512_set1_ps(s->act[t * s->act_stride + g]);
            acc[0][t] = _mm512_fmadd_ps(_mm512_mul_ps(x0, s0), a, acc[0][t]);
            acc[1][t] = _mm512_fmadd_ps(_mm512_mul_ps(x1, s1), a, acc[1][t]);
            __m512 sum = _mm512_set1_ps(s->sum[t * s->act_stride + g]);
            acc[0][t] = _mm512_fmadd_ps(m0, sum, acc[0][t]);
            acc[1][t] = _mm512_fmadd_ps(m1, sum, acc[1][t]);
        }
    }
#pragma GCC unroll 8
    for (size_t t = 0; t < HALF; t++)
        if (t >= skip)
#pragma GCC unroll 2
            for (size_t i = 0; i < 2; i++)
                _mm512_storeu_ps(out + t * out_stride + 16 * i, acc[i][t]);
}

/* All activation rows (16 at least) over one block of k. The last tile reaches back over rows that
 * are done: they are computed again from sums that are complete, and dropped. */
static void run_block(const uint8_t *codes, Scales s, const PanelAct *act, size_t k, size_t m,
                      float *out, size_t out_stride)
{
    _Alignas(64) Sums sums;
    const float *scale = act->scale + k / GROUP, *sum = act->sum32 + k / GROUP;
    for (size_t done = 0, row; done < m; done = row + ROWS) {
        row = done + ROWS <= m ? done : m - ROWS;
        const int8_t *q = act->q + row * act->q_stride + k;
        multiply(codes, s.groups, q, act->q_stride, sums);
        for (size_t r = row; r < row + ROWS; r += HALF) {
            if (done >= r + HALF) continue;
            s.act = scale + r * s.act_stride;
            s.sum = sum + r * s.act_stride;
            add_up(&s, sums[0][0][r - row], q + (r - row + ROWS) * act->q_stride, act->q_stride,
                   done > r ? done - r : 0, out + r * out_stride, out_stride);
        }
    }
}

static const uint8_t *unpack(PanelCode code, __m512i table, const uint8_t *src, size_t groups,
                             uint8_t *to)
{
    for (size_t g = 0; g < groups; g++, to += GROUP * PANEL_ROWS)
        src = code == CODE_NIBBLE ? unpack_group(CODE_NIBBLE, GROUP, table, src, to)
                                  : unpack_group(CODE_TABLE, GROUP, table, src, to);
    return src;
}

static void panel_matmul(PanelCode code, int group, const void *codes, const float *scale,
                         const float *min, const uint8_t *table, size_t k, const PanelAct *act,
                         size_t m, float *out, size_t out_stride)
{
    if (m < ROWS || group != GROUP) {
        panel_matmul_avx512vnni(code, group, codes, scale, min, table, k, act, m, out, out_stride);
        return;
    }
    _Alignas(64) uint8_t work[BLOCK * PANEL_ROWS];
    TileShapes shapes = {.palette = 1};
    for (int i = 0; i < 8; i++) tile_shape(&shapes, i, ROWS, 64);
    for (int i = 0; i < 2; i++) tile_shape(&shapes, i, ROWS, GROUP);
    for (int i = 2; i < 4; i++) tile_shape(&shapes, i, GROUP / 4, 64);
    _tile_loadconfig(&shapes);
    __m512i entries = table_entries(table);
    const uint8_t *src = codes;
    for (size_t at = 0; at < k; at += BLOCK) {
        Scales s = {.scale = scale + at,
                    .min = min + at,
                    .act_stride = act->g_stride,
                    .groups = (k - at < BLOCK ? k - at : BLOCK) / GROUP,
                    .first = at == 0};
        const uint8_t *bytes = code == CODE_BYTE ? src : work; /* those lie as tiles want them */
        if (code == CODE_BYTE)
            src += s.groups * GROUP * PANEL_ROWS;
        else
            src = unpack(code, entries, src, s.groups, work);
        run_block(bytes, s, act, at, m, out, out_stride);
    }
    _tile_release();
}

void kernels_amxint8_quant(Kernels *table)
{
    table->panel_matmul = panel_matmul;
}
