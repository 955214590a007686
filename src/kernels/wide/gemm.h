/* Products of packed matrices for any vector width (see wide.h, kernels/gemm.h).
 *
 * The left operand is packed in strips of SIDE rows, k by k; the right one in groups of
 * GEMM_COLUMNS columns, cut into strips of WIDTH = VECTORS * LANES columns, k by k. A tile of the
 * result, SIDE by WIDTH, stays in registers while one vector of columns after the other meets the
 * rows, broadcast from memory. k is taken in blocks, so that a strip of the right operand stays in
 * the first cache while all rows pass.
 *
 * What is rounded to bf16 is kept as float32. With PAIRS it is kept in pairs of k, two bf16 in
 * place of a float, which vf_dot_pairs multiplies at once.
 *
 * What is too small for a normal float counts as zero, where the CPU can be told so: gradients
 * vanish all the time, and x86 takes a hundred cycles for each.
 *
 * Whoever includes this defines SIDE (at most LANES) and VECTORS, and on x86 includes
 * x86/flush.h. */
#ifndef KERNELS_WIDE_GEMM_H
#define KERNELS_WIDE_GEMM_H

#include "kernels/gemm.h"
#include "kernels/parts.h"
#include "kernels/wide/wide.h"

enum {
    WIDTH = VECTORS * LANES,
    GEMM_BLOCK = 256 /* k a pass; 4 GEMM_BLOCK WIDTH bytes stay in the first cache */
};

#ifdef PAIRS
enum { GEMM_PAIRS = 1 };
#else
enum { GEMM_PAIRS = 0 };
#define vf_pairs_of(p)                vf_load(p) /* never called */
#define vf_pairs_of_part(p, n)        vf_load_part(p, n)
#define vf_zip_pairs(a, b, low, high) (*(low) = (a), *(high) = (b))
#define vf_dot_pairs(a, b, c)         vf_fma(a, b, c)
#endif

/* Rounded to bf16 and widened again. */
WIDE vf gemm_round(vf x)
{
    uint16_t near[LANES];
    vf_to_bf16(near, x);
    return vf_from_bf16(near);
}

/* LANES units along k (or fewer, of `left` elements): floats, or pairs. */
WIDE vf gemm_along(GemmPrecision p, const float *from, size_t left)
{
    if (p == GEMM_BF16 && GEMM_PAIRS)
        return left >= 2 * LANES ? vf_pairs_of(from) : vf_pairs_of_part(from, left);
    vf x = left >= LANES ? vf_load(from) : vf_load_part(from, left);
    return p == GEMM_BF16 ? gemm_round(x) : x;
}

/* Unit k of LANES rows or columns that lie side by side; `second`: k + 1 is there too. */
WIDE vf gemm_across(GemmPrecision p, const float *from, size_t stride, size_t n, bool second)
{
    if (p == GEMM_BF16 && GEMM_PAIRS) {
        vf low, high;
        vf a = vf_pairs_of_part(from, n < LANES ? n : LANES);
        vf b = second ? vf_pairs_of_part(from + stride, n < LANES ? n : LANES) : vf_set(0);
        vf_zip_pairs(a, b, &low, &high);
        (void)high;
        return low;
    }
    vf x = n >= LANES ? vf_load(from) : vf_load_part(from, n);
    return p == GEMM_BF16 ? gemm_round(x) : x;
}

WIDE size_t gemm_unit(GemmPrecision p) /* elements of k in one */
{
    return p == GEMM_BF16 && GEMM_PAIRS ? 2 : 1;
}

/* `count` lines of k that lie `stride` apart become strips of `side` lines, unit by unit of k:
 * to[unit][side]. Lines may be LANES at most; those that are missing are zero. */
WIDE void gemm_turn(GemmPrecision p, const float *from, size_t stride, size_t count, size_t k,
                    size_t side, size_t pitch, float *to)
{
    size_t unit = gemm_unit(p), units = gemm_up(k, GEMM_STEP) / unit;
    for (size_t u = 0; u < units; u += LANES) {
        vf x[LANES];
        UNROLL
        for (size_t i = 0; i < LANES; i++) {
            x[i] = vf_set(0);
            if (i < count && u * unit < k)
                x[i] = gemm_along(p, from + i * stride + u * unit, k - u * unit);
        }
        vf_turn(x);
        UNROLL
        for (size_t i = 0; i < LANES; i++) {
            float *at = to + (u + i) * pitch;
            if (side >= LANES)
                vf_store(at, x[i]);
            else
                vf_store_part(at, x[i], side);
        }
    }
}

/* Units [u, end) of `count` rows that lie across: to[unit][SIDE]. */
WIDE void gemm_pack_strip(GemmPrecision p, GemmMatrix a, size_t i, size_t count, size_t k, size_t u,
                          size_t end, float *to)
{
    size_t unit = gemm_unit(p);
    for (; u < end; u++, to += SIDE) {
        vf x = vf_set(0);
        if (u * unit < k)
            x = gemm_across(p, gemm_at(a, i, u * unit), a.stride, count, u * unit + 1 < k);
        if (SIDE == LANES)
            vf_store(to, x);
        else
            vf_store_part(to, x, SIDE);
    }
}

/* Floats from strip to strip: not a multiple of a page, which all would share one set of the cache
 * while they are written side by side. */
WIDE size_t gemm_pitch(size_t units)
{
    return units * SIDE + GEMM_SPARE;
}

/* Rows that lie across are taken a few k at a time, so that what lies side by side is read
 * together. */
WIDE void gemm_pack_rows(GemmPrecision p, GemmMatrix a, size_t m, size_t k, float *to)
{
    size_t unit = gemm_unit(p), units = gemm_up(k, GEMM_STEP) / unit;
    size_t step = a.turned ? 8 / unit : units;
    for (size_t u = 0; u < units; u += step)
        for (size_t i = 0; i < m; i += SIDE) {
            size_t count = m - i < SIDE ? m - i : SIDE;
            if (a.turned)
                gemm_pack_strip(p, a, i, count, k, u, u + step,
                                to + i / SIDE * gemm_pitch(units) + u * SIDE);
            else
                gemm_turn(p, gemm_at(a, i, 0), a.stride, count, k, SIDE, SIDE,
                          to + i / SIDE * gemm_pitch(units));
        }
}

static size_t gemm_group(GemmPrecision p, size_t k)
{
    return GEMM_COLUMNS * gemm_up(k, GEMM_STEP) / gemm_unit(p) * sizeof(float);
}

static void gemm_pack_a(GemmPrecision p, GemmMatrix a, size_t m, size_t k, void *packed)
{
    if (p == GEMM_BF16)
        gemm_pack_rows(GEMM_BF16, a, m, k, packed);
    else
        gemm_pack_rows(GEMM_F32, a, m, k, packed);
}

/* One group of columns, of `n` that are left; k [from, from + k). */
WIDE void gemm_pack_group(GemmPrecision p, GemmMatrix x, size_t n, size_t from, size_t k,
                          size_t total, float *to)
{
    size_t unit = gemm_unit(p), units = gemm_up(k, GEMM_STEP) / unit;
    size_t strip = gemm_up(total, GEMM_STEP) / unit * WIDTH;
    for (size_t j = 0; j < GEMM_COLUMNS; j += LANES) {
        float *at = to + j / WIDTH * strip + from / unit * WIDTH + j % WIDTH;
        size_t count = n > j ? n - j : 0;
        if (count > LANES) count = LANES;
        if (x.turned && count) {
            gemm_turn(p, gemm_at(x, 0, j), x.stride, count, k, LANES, WIDTH, at);
            continue;
        }
        for (size_t u = 0; u < units; u++) {
            vf v = vf_set(0);
            if (u * unit < k && n > GEMM_COLUMNS) /* of the next group */
                __builtin_prefetch(gemm_at(x, u * unit, j + GEMM_COLUMNS), 0, 3);
            if (u * unit < k && count)
                v = gemm_across(p, gemm_at(x, u * unit, j), x.stride, count, u * unit + 1 < k);
            vf_store(at + u * WIDTH, v);
        }
    }
}

static void gemm_pack_x(GemmPrecision p, GemmMatrix x, size_t n, size_t from, size_t k,
                        size_t total, void *packed)
{
    unsigned char *to = packed;
    for (size_t j = 0; j < n; j += GEMM_COLUMNS, to += gemm_group(p, total)) {
        if (p == GEMM_BF16)
            gemm_pack_group(GEMM_BF16, gemm_from(x, 0, j), n - j, from, k, total, (void *)to);
        else
            gemm_pack_group(GEMM_F32, gemm_from(x, 0, j), n - j, from, k, total, (void *)to);
    }
}

/* A tile: c (SIDE, WIDTH) plus `units` of k. */
#define GEMM_TILE(name, product)                                                                   \
    static __attribute__((noinline)) void name(const float *a, const float *x, size_t units,       \
                                               float *c, size_t stride, bool add)                  \
    {                                                                                              \
        vf sum[SIDE][VECTORS];                                                                     \
        UNROLL                                                                                     \
        for (size_t i = 0; i < SIDE; i++) UNROLL                                                   \
        for (size_t v = 0; v < VECTORS; v++)                                                       \
            sum[i][v] = add ? vf_load(c + i * stride + v * LANES) : vf_set(0);                     \
        for (; units; units--, a += SIDE, x += WIDTH) {                                            \
            vf right[VECTORS];                                                                     \
            UNROLL                                                                                 \
            for (size_t v = 0; v < VECTORS; v++) right[v] = vf_load(x + v * LANES);                \
            UNROLL                                                                                 \
            for (size_t i = 0; i < SIDE; i++) {                                                    \
                vf left = vf_set(a[i]);                                                            \
                UNROLL                                                                             \
                for (size_t v = 0; v < VECTORS; v++)                                               \
                    sum[i][v] = product(left, right[v], sum[i][v]);                                \
            }                                                                                      \
        }                                                                                          \
        UNROLL                                                                                     \
        for (size_t i = 0; i < SIDE; i++) UNROLL                                                   \
        for (size_t v = 0; v < VECTORS; v++) vf_store(c + i * stride + v * LANES, sum[i][v]);      \
    }
GEMM_TILE(gemm_tile, vf_fma)
#ifdef PAIRS
GEMM_TILE(gemm_tile_pairs, vf_dot_pairs)
#else
#define gemm_tile_pairs gemm_tile
#endif
#undef GEMM_TILE

/* A tile at the edge goes by way of a whole one. */
static void gemm_edge(const float *a, const float *x, size_t units, bool pairs, size_t m, size_t n,
                      float *c, size_t stride, bool add)
{
    float whole[SIDE * WIDTH];
    for (size_t i = 0; i < SIDE && add; i++)
        for (size_t j = 0; j < WIDTH; j++)
            whole[i * WIDTH + j] = i < m && j < n ? c[i * stride + j] : 0;
    if (pairs)
        gemm_tile_pairs(a, x, units, whole, WIDTH, add);
    else
        gemm_tile(a, x, units, whole, WIDTH, add);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) c[i * stride + j] = whole[i * WIDTH + j];
}

#ifndef FLUSH_ON
#define FLUSH_ON(before)  (void)(before)
#define FLUSH_OFF(before) (void)(before)
#endif

static void gemm(GemmPrecision p, size_t m, size_t n, size_t k, size_t total, const void *a,
                 const void *x, float *c, size_t c_stride, bool add)
{
    size_t unit = gemm_unit(p), all = gemm_up(k, GEMM_STEP) / unit, block = GEMM_BLOCK / unit;
    size_t packed = gemm_up(total, GEMM_STEP) / unit;
    bool pairs = unit == 2;
    unsigned before = 0;
    FLUSH_ON(before);
    if (all == 0 && !add)
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < n; j++) c[i * c_stride + j] = 0;
    for (size_t u = 0; u < all; u += block) {
        size_t units = all - u < block ? all - u : block;
        for (size_t j = 0; j < n; j += WIDTH) {
            const unsigned char *group = x;
            group += j / GEMM_COLUMNS * gemm_group(p, total);
            const float *strip = (const float *)(const void *)group;
            strip += j % GEMM_COLUMNS / WIDTH * packed * WIDTH + u * WIDTH;
            for (size_t i = 0; i < m; i += SIDE) {
                const float *rows = (const float *)a + i / SIDE * gemm_pitch(all) + u * SIDE;
                float *to = c + i * c_stride + j;
                if (m - i < SIDE || n - j < WIDTH)
                    gemm_edge(rows, strip, units, pairs, m - i < SIDE ? m - i : SIDE,
                              n - j < WIDTH ? n - j : WIDTH, to, c_stride, add || u);
                else if (pairs)
                    gemm_tile_pairs(rows, strip, units, to, c_stride, add || u);
                else
                    gemm_tile(rows, strip, units, to, c_stride, add || u);
            }
        }
    }
    FLUSH_OFF(before);
}

static void register_gemm(Kernels *table)
{
    table->gemm_group = gemm_group;
    table->gemm_pack_a = gemm_pack_a;
    table->gemm_pack_x = gemm_pack_x;
    table->gemm = gemm;
}

#endif
