/* What attention in tiles works on (attend_amxbf16.c): queries, keys and values packed as tiles of
 * bf16 read them. */
#ifndef KERNELS_X86_ATTEND_TILES_H
#define KERNELS_X86_ATTEND_TILES_H

#include "kernels/x86/wide_avx512bf16.h"

#include <string.h>

#include "kernels/parts.h"
#include "kernels/wide/widen.h"
#include "kernels/x86/tiles.h"

#define APART static __attribute__((noinline))

enum {
    SIDE = 16,        /* rows of a tile; columns of float32, or pairs of bf16 */
    STEP = 2 * SIDE,  /* bf16 in a row of a tile: what one product sums over */
    TILE = 512,       /* bf16 of a tile, dense */
    GROUP = 2 * SIDE, /* queries taken together */
    FAR = 4 * STEP,   /* keys that are fetched ahead */
    RING = 4,         /* steps of keys or values that are made and read in turn */
};

/* What is fetched ahead of the next run: its blocks one after the other, some lines at a time. */
typedef struct Ahead {
    const unsigned char *at, *end; /* of the block at hand */
    const unsigned char *from[2 * ATTEND_BLOCKS], *to[2 * ATTEND_BLOCKS];
    size_t next, n; /* blocks */
    size_t share;   /* lines at a time */
} Ahead;

typedef struct Tiles {
    const AttendRun *run;
    Ahead *ahead;
    size_t steps;      /* of e */
    size_t depth;      /* pairs of tiles of e_v */
    uint16_t *queries; /* (groups of SIDE, steps) tiles: pairs of e down, queries across */
    bool keys_lie;     /* as tiles read them */
    size_t key_stride; /* bytes */
    const unsigned char *keys[ATTEND_BLOCKS];
    uint16_t *widened;   /* keys that do not lie so: (ATTEND_RUN, STEP steps) */
    uint16_t *values;    /* (2 depth, ATTEND_RUN / STEP) tiles: e_v down, keys across */
    uint16_t *rows;      /* (STEP, STEP depth) values as bf16 */
    unsigned char *none; /* a row of zeros of any type */
    size_t row;    /* queries side by side: GROUP, or SIDE where there are few: half the cache */
    float *scores; /* (ATTEND_RUN, row) */
    uint16_t *weights; /* (ATTEND_RUN / STEP, row / SIDE) tiles: pairs of keys down, queries
                        * across */
} Tiles;

/* Queries [at, at + count) and what they see. */
typedef struct Bunch {
    size_t at, count, wide; /* wide: tiles of queries, 1 or 2 */
    size_t first, limit;    /* some of them sees [first, limit) */
    size_t low, high;       /* the same in whole steps */
    size_t sure, until;     /* all of them see [sure, until) */
} Bunch;

static void tiles_on(void)
{
    TileShapes shapes = {.palette = 1};
    for (int i = 0; i < 8; i++) tile_shape(&shapes, i, SIDE, 2 * STEP);
    _tile_loadconfig(&shapes);
}

/* What has been written by name is in memory for tiles to read. */
#define WRITTEN __asm__ volatile("" ::: "memory")

/* ---- packing ---- */

APART void pack_queries(const Tiles *t)
{
    const AttendRun *run = t->run;
    uint16_t *to = t->queries;
    for (size_t i = 0; i < run->nq; i += SIDE)
        for (size_t d = 0; d < run->e; d += STEP, to += TILE) {
            vf x[SIDE];
            UNROLL
            for (size_t j = 0; j < SIDE; j++) {
                const float *q = run->q + (i + j) * run->e + d;
                size_t left = run->e - d;
                if (i + j >= run->nq)
                    x[j] = vf_set(0);
                else
                    x[j] = left >= STEP ? vf_pairs_of(q) : vf_pairs_of_part(q, left);
            }
            vf_turn(x);
            UNROLL
            for (size_t j = 0; j < SIDE; j++) vf_store((float *)(void *)(to + j * STEP), x[j]);
        }
}

/* The float16 that a block begins with, in all lanes. */
WIDE vf block_scale(const unsigned char *block)
{
    int16_t d;
    memcpy(&d, block, sizeof d);
    return _mm512_cvtph_ps(_mm256_set1_epi16(d));
}

/* Elements [d, d + STEP) of a row of n as bf16; zeros behind its end. d is a multiple of STEP. */
WIDE vf narrow(uint32_t type, const unsigned char *row, size_t d, size_t n)
{
    if (type == DT_Q8_0) {
        const unsigned char *block = row + d / Q8_BLOCK * Q8_BYTES;
        vf scale = block_scale(block);
        return round_pairs(vf_mul(scale, vf_from_i8(block + 2)),
                           vf_mul(scale, vf_from_i8(block + 2 + LANES)));
    }
    if (type == DT_Q4_0) {
        const unsigned char *block = row + d / Q4_BLOCK * Q4_BYTES;
        const vf steps = _mm512_set_ps(7, 6, 5, 4, 3, 2, 1, 0, -1, -2, -3, -4, -5, -6, -7, -8);
        vf levels = vf_mul(block_scale(block), steps);
        __m512i codes = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)(block + 2)));
        return round_pairs(_mm512_permutexvar_ps(codes, levels), /* by the lower four bits */
                           _mm512_permutexvar_ps(_mm512_srli_epi32(codes, 4), levels));
    }
    if (d + STEP <= n) return vf_load_pairs(row + 2 * d);
    return vf_load_pairs_part(row + 2 * d, n - d);
}

/* `rows` rows of n elements as bf16, each to a multiple of STEP. */
WIDE void narrow_rows(uint32_t type, const unsigned char *src, size_t stride, size_t rows, size_t n,
                      uint16_t *to)
{
    for (size_t j = 0; j < rows; j++, src += stride)
        for (size_t d = 0; d < n; d += STEP, to += STEP)
            vf_store((float *)(void *)to, narrow(type, src, d, n));
}

APART void narrow_any(uint32_t type, const unsigned char *src, size_t stride, size_t rows, size_t n,
                      uint16_t *to)
{
    if (type == DT_Q8_0)
        narrow_rows(DT_Q8_0, src, stride, rows, n, to);
    else if (type == DT_Q4_0)
        narrow_rows(DT_Q4_0, src, stride, rows, n, to);
    else
        narrow_rows(DT_BF16, src, stride, rows, n, to);
}

/* Keys [low, high) as tiles read them: where they lie, or widened into `keys`. */
APART void lay_keys(Tiles *t, size_t low, size_t high)
{
    const AttendRun *run = t->run;
    size_t wide = t->steps * STEP;
    for (size_t b = low / ATTEND_BLOCK; b * ATTEND_BLOCK < high; b++) {
        t->keys[b] = run->k[b];
        if (t->keys_lie) continue;
        uint16_t *to = t->widened + b * ATTEND_BLOCK * wide;
        narrow_any(run->k_type, run->k[b], run->k_stride, ATTEND_BLOCK, run->e, to);
        t->keys[b] = (const unsigned char *)to;
    }
}

/* 8 elements of STEP keys from row[i] + d: rows d .. d + 8 of a tile. */
WIDE void pack_eight(const unsigned char *const *row, size_t d, uint16_t *to)
{
    __m512i low[4], high[4], a, b;
    UNROLL
    for (int j = 0; j < 4; j++) {
#define AT(i) _mm_loadu_si128((const void *)(row[i] + 2 * d))
#define FOUR(i)                                                                                    \
    _mm512_inserti32x4(                                                                            \
        _mm512_inserti32x4(_mm512_inserti32x4(_mm512_castsi128_si512(AT(i)), AT((i) + 8), 1),      \
                           AT((i) + 16), 2),                                                       \
        AT((i) + 24), 3)
        a = FOUR(2 * j);
        b = FOUR(2 * j + 1);
#undef FOUR
#undef AT
        low[j] = _mm512_unpacklo_epi16(a, b);
        high[j] = _mm512_unpackhi_epi16(a, b);
    }
    UNROLL
    for (int half = 0; half < 2; half++) {
        const __m512i *x = half ? high : low;
        __m512i p = _mm512_unpacklo_epi32(x[0], x[1]), q = _mm512_unpacklo_epi32(x[2], x[3]);
        __m512i r = _mm512_unpackhi_epi32(x[0], x[1]), s = _mm512_unpackhi_epi32(x[2], x[3]);
        uint16_t *at = to + half * 4 * STEP;
        _mm512_store_si512(at, _mm512_unpacklo_epi64(p, q));
        _mm512_store_si512(at + STEP, _mm512_unpackhi_epi64(p, q));
        _mm512_store_si512(at + 2 * STEP, _mm512_unpacklo_epi64(r, s));
        _mm512_store_si512(at + 3 * STEP, _mm512_unpackhi_epi64(r, s));
    }
}

/* Where the STEP keys from `start` on lie; a row of zeros for those outside [low, high). */
WIDE void value_rows(const AttendRun *run, const unsigned char *none, size_t start, size_t low,
                     size_t high, const unsigned char **row)
{
    const unsigned char *at = run->v[start / ATTEND_BLOCK] + start % ATTEND_BLOCK * run->v_stride;
    for (size_t j = 0; j < STEP; j++, at += run->v_stride)
        row[j] = start + j >= low && start + j < high ? at : none;
}

/* Values of keys [low, high); those of the rest of their steps are zero. */
APART void pack_values(const Tiles *t, size_t low, size_t high)
{
    const AttendRun *run = t->run;
    size_t deep = t->depth * STEP;
    bool as_is = run->v_type == DT_BF16 && run->e_v % STEP == 0;
    for (size_t start = low / STEP * STEP; start < high; start += STEP) {
        const unsigned char *row[STEP];
        uint16_t *to = t->values + start / STEP * TILE;
        value_rows(run, t->none, start, low, high, row);
        for (size_t j = 0; j < STEP && !as_is; j++) {
            narrow_any(run->v_type, row[j], 0, 1, run->e_v, t->rows + j * deep);
            row[j] = (const unsigned char *)(t->rows + j * deep);
        }
        for (size_t d = 0; d < deep; d += SIDE, to += ATTEND_RUN / STEP * TILE) {
            pack_eight(row, d, to);
            pack_eight(row, d + 8, to + TILE / 2);
        }
    }
}

#endif
