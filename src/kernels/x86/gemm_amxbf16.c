/* Products of packed matrices rounded to bf16, by tiles (AMX; see kernels/gemm.h, tiles.h).
 *
 * The right operand lies as kernels/wide/gemm.h packs pairs: 32 pairs a row, which are two tiles
 * side by side. The left operand is packed in strips of 32 rows: for each step of 32 k two tiles of
 * 16 rows. Four tiles hold 32 by 32 sums while k passes: for four loads four products. (TDPBF16PS
 * sums the even and the odd products of a step apart, then adds both to the tile; Intel SDM volume
 * 2.) Float32 goes the way of vectors. */
#include "kernels/x86/wide_avx512bf16.h"

#include <string.h>

#include "kernels/x86/flush.h"
#include "kernels/x86/tiles.h"

#define SIDE    14
#define VECTORS 2
#include "kernels/wide/gemm.h"

enum {
    TILE_SIDE = 16,
    TILE = TILE_SIDE * GEMM_STEP, /* bf16 */
    STRIP = 2 * TILE_SIDE,
    TILE_BLOCK = 512, /* k a pass: 32 KB of the right operand stay in the first cache */
};

/* What has been written by name is in memory for tiles to read. */
#define WRITTEN __asm__ volatile("" ::: "memory")

/* Rows of the tiles of strip i: row r of step s is at ((2 s + r / 16) 16 + r % 16) 32. */
static void pack_lines(GemmMatrix a, size_t count, size_t k, uint16_t *to)
{
    size_t steps = gemm_up(k, GEMM_STEP) / GEMM_STEP;
    for (size_t r = 0; r < STRIP; r++) {
        uint16_t *at = to + r / TILE_SIDE * TILE + r % TILE_SIDE * GEMM_STEP;
        const float *from = r < count ? gemm_at(a, r, 0) : NULL;
        for (size_t s = 0; s < steps; s++, at += 2 * TILE) {
            vf x = vf_set(0);
            size_t left = k - s * GEMM_STEP;
            if (from && left >= GEMM_STEP)
                x = vf_pairs_of(from + s * GEMM_STEP);
            else if (from)
                x = vf_pairs_of_part(from + s * GEMM_STEP, left);
            vf_store((float *)(void *)at, x);
        }
    }
}

/* 16 floats at k and at k + 1 as pairs. */
WIDE vf pairs_across(const float *from, size_t stride, size_t n, bool second)
{
    static const uint16_t pick[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                      8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    __mmask16 some = n < LANES ? first_lanes(n) : 0xffff;
    vf a = _mm512_maskz_loadu_ps(some, from);
    vf b = _mm512_maskz_loadu_ps(second ? some : 0, from + stride);
    __m512i both = _mm512_castps_si512(round_pairs(a, b));
    return _mm512_castsi512_ps(_mm512_permutexvar_epi16(_mm512_loadu_si512(pick), both));
}

/* One tile from 32 k of up to 16 rows that lie across. */
static void pack_turned(const float *from, size_t stride, size_t count, size_t k, uint16_t *to)
{
    vf x[LANES];
    if (k > 2 * GEMM_STEP && count) /* of the next step: rows may lie pages apart */
        for (size_t i = GEMM_STEP; i < 2 * GEMM_STEP; i++)
            __builtin_prefetch(from + i * stride, 0, 2);
    UNROLL
    for (size_t i = 0; i < LANES; i++)
        x[i] = 2 * i < k && count
                   ? pairs_across(from + 2 * i * stride, stride, count, 2 * i + 1 < k)
                   : vf_set(0);
    vf_turn(x);
    UNROLL
    for (size_t i = 0; i < LANES; i++) vf_store((float *)(void *)(to + i * GEMM_STEP), x[i]);
}

static void pack_left(GemmPrecision p, GemmMatrix a, size_t m, size_t k, void *packed)
{
    uint16_t *to = packed;
    size_t steps = gemm_up(k, GEMM_STEP) / GEMM_STEP;
    if (p != GEMM_BF16) {
        gemm_pack_a(p, a, m, k, packed);
        return;
    }
    if (!a.turned) {
        for (size_t i = 0; i < m; i += STRIP, to += steps * 2 * TILE)
            pack_lines(gemm_from(a, i, 0), m - i < STRIP ? m - i : STRIP, k, to);
        return;
    }
    for (size_t s = 0; s < steps; s++) /* so that what lies side by side is read together */
        for (size_t i = 0; i < gemm_up(m, STRIP); i += TILE_SIDE) {
            size_t count = i < m ? m - i : 0;
            pack_turned(gemm_at(a, i, s * GEMM_STEP), a.stride, count, k - s * GEMM_STEP,
                        to + i / STRIP * steps * 2 * TILE + 2 * s * TILE + i % STRIP * GEMM_STEP);
        }
}

/* 32 by 32 sums over `steps` steps of k. */
WIDE void tile(const uint16_t *a, const uint16_t *x, size_t steps, float *c, size_t stride,
               bool add)
{
    size_t pitch = stride * sizeof *c;
    if (add) {
        _tile_loadd(0, c, pitch);
        _tile_loadd(1, c + TILE_SIDE, pitch);
        _tile_loadd(2, c + TILE_SIDE * stride, pitch);
        _tile_loadd(3, c + TILE_SIDE * stride + TILE_SIDE, pitch);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (; steps; steps--, a += 2 * TILE, x += 2 * TILE) {
        _tile_loadd(6, x, 128);
        _tile_loadd(4, a, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, x + GEMM_STEP, 128);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, a + TILE, 64);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, pitch);
    _tile_stored(1, c + TILE_SIDE, pitch);
    _tile_stored(2, c + TILE_SIDE * stride, pitch);
    _tile_stored(3, c + TILE_SIDE * stride + TILE_SIDE, pitch);
}

static void tile_edge(const uint16_t *a, const uint16_t *x, size_t steps, size_t m, size_t n,
                      float *c, size_t stride, bool add)
{
    _Alignas(64) float whole[STRIP * STRIP];
    if (add) memset(whole, 0, sizeof whole);
    for (size_t i = 0; i < m && add; i++) memcpy(whole + i * STRIP, c + i * stride, n * sizeof *c);
    WRITTEN;
    tile(a, x, steps, whole, STRIP, add);
    WRITTEN;
    for (size_t i = 0; i < m; i++) memcpy(c + i * stride, whole + i * STRIP, n * sizeof *c);
}

static void gemm_tiles(GemmPrecision p, size_t m, size_t n, size_t k, size_t total, const void *a,
                       const void *x, float *c, size_t c_stride, bool add)
{
    size_t all = gemm_up(k, GEMM_STEP) / GEMM_STEP, block = TILE_BLOCK / GEMM_STEP;
    size_t packed = gemm_up(total, GEMM_STEP) / GEMM_STEP;
    if (p != GEMM_BF16 || all == 0) {
        gemm(p, m, n, k, total, a, x, c, c_stride, add);
        return;
    }
    TileShapes shapes = {.palette = 1};
    for (int i = 0; i < 8; i++) tile_shape(&shapes, i, TILE_SIDE, 4 * TILE_SIDE);
    _tile_loadconfig(&shapes);
    WRITTEN;
    for (size_t s = 0; s < all; s += block) {
        size_t steps = all - s < block ? all - s : block;
        for (size_t j = 0; j < n; j += GEMM_COLUMNS) {
            const uint16_t *right =
                (const uint16_t *)x + (j / GEMM_COLUMNS * packed + s) * 2 * TILE;
            for (size_t i = 0; i < m; i += STRIP) {
                const uint16_t *left = (const uint16_t *)a + (i / STRIP * all + s) * 2 * TILE;
                size_t rows = m - i < STRIP ? m - i : STRIP;
                size_t columns = n - j < GEMM_COLUMNS ? n - j : GEMM_COLUMNS;
                float *to = c + i * c_stride + j;
                if (rows < STRIP || columns < GEMM_COLUMNS)
                    tile_edge(left, right, steps, rows, columns, to, c_stride, add || s);
                else
                    tile(left, right, steps, to, c_stride, add || s);
            }
        }
    }
    WRITTEN;
    _tile_release();
}

void kernels_amxbf16_gemm(Kernels *table)
{
    register_gemm(table);
    table->gemm_pack_a = pack_left;
    table->gemm = gemm_tiles;
}
