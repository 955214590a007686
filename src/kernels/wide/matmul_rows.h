/* Float weights in row order times activations, for any vector width (see wide.h).
 *
 * The lanes run along k: weights come as they lie in the file, nothing is repacked. A tile is 4
 * weight rows by up to TILE_COLUMNS activation rows with SIDES accumulators each; at the end of a
 * block of K_BLOCK k the accumulators are summed across, four at a time, and added to `out`. Every
 * output takes the same additions in the same order in whatever tile it is computed, so its bits do
 * not depend on the shape of the call.
 *
 * Activations are first packed (a block at a time, on the stack) in the order the tile reads them:
 * vectors of all columns side by side, zeros behind the end. bf16 weights are widened two at a time
 * by a shift and a mask, which gives those of even and of odd index; activations are packed alike.
 * Where bf16 can be multiplied (PAIRS, see wide.h) each activation is split in two bf16 instead,
 * which keeps it within 2^-17, and the same weights meet first the one, then the other.
 *
 * Whoever includes this defines TILE_COLUMNS (4 x SIDES x TILE_COLUMNS accumulators fit) and
 * lists TILE_ROWS_OF(type, columns) functions in EACH_TILE. Stack: PACKED floats, 24 KB. */
#ifndef KERNELS_WIDE_MATMUL_ROWS_H
#define KERNELS_WIDE_MATMUL_ROWS_H

#include <assert.h>
#include <string.h>

#include "kernels/parts.h"
#include "kernels/wide/widen.h"

enum {
    STEP = 2 * LANES,
    K_BLOCK = 1024,           /* fixed: it is part of what the sums are */
    PACKED = 6 * K_BLOCK,     /* floats: half of a first-level cache */
    AHEAD = 512,              /* bytes: prefetch, from the second level or from memory */
    WEIGHT_BLOCK = 512 << 10, /* bytes of weights that stay in the second level meanwhile */
};

/* The last k of each row, fewer than STEP, copied with zeros behind: nothing past a row is read. */
typedef struct Tail {
    _Alignas(64) unsigned char bytes[4][STEP * 4];
} Tail;

typedef struct Strip {
    const unsigned char *w; /* n rows, at the first k of the span */
    size_t w_stride, n;
    const float *packed; /* (span / LANES, columns, LANES) */
    size_t span;         /* k */
    float *out;          /* (columns, n) */
    size_t out_stride;
    bool start; /* set `out`; else add to it */
    Tail *tail; /* scratch, zeroed */
} Strip;

#ifdef PAIRS
#define IN_PAIRS(type) ((type) == DT_BF16)
#define ADD_PRODUCT(type, w, x, sum)                                                               \
    (IN_PAIRS(type) ? vf_dot_pairs((w), (x), (sum)) : vf_fma((w), (x), (sum)))
#else
#define ADD_PRODUCT(type, w, x, sum)        vf_fma((w), (x), (sum))
#define IN_PAIRS(type)                      false
#define vf_load_pairs                       vf_load /* never called */
#define vf_dot_pairs                        vf_fma
#define vf_split_pairs(from, first, second) (void)(from)
#endif

/* LANES weights of the two halves of a step; pairs: all of it. */
WIDE vf weights(uint32_t type, const unsigned char *p, int half)
{
    if (IN_PAIRS(type)) return vf_load_pairs((const void *)p);
    if (type == DT_BF16) return half ? vf_odd_bf16(p) : vf_even_bf16(p);
    return widen(type, p + (size_t)half * LANES * element_bytes(type));
}

WIDE void half_step(uint32_t type, int columns, const unsigned char *w, size_t w_stride, int half,
                    const float *x, vf sums[SIDES][TILE_COLUMNS][4])
{
    vf(*acc)[4] = sums[half % SIDES];
    vf wv[4];
    UNROLL
    for (int r = 0; r < 4; r++) wv[r] = weights(type, w + (size_t)r * w_stride, half);
    UNROLL
    for (int c = 0; c < columns; c++) {
        vf xv = vf_load(x + c * LANES);
        UNROLL
        for (int r = 0; r < 4; r++) acc[c][r] = ADD_PRODUCT(type, wv[r], xv, acc[c][r]);
    }
}

/* `single`: the four rows are one and the same. */
WIDE void finish(int columns, vf acc[SIDES][TILE_COLUMNS][4], float *out, size_t out_stride,
                 bool start, bool single)
{
    UNROLL
    for (int c = 0; c < columns; c++) {
        float *to = out + (size_t)c * out_stride;
        v4 sum = vf_sum4(acc[0][c][0], acc[0][c][1], acc[0][c][2], acc[0][c][3]);
        if (SIDES == 2) {
            vf *more = acc[SIDES - 1][c];
            sum = v4_add(sum, vf_sum4(more[0], more[1], more[2], more[3]));
        }
        if (single)
            *to = start ? v4_first(sum) : *to + v4_first(sum);
        else
            v4_store(to, start ? sum : v4_add(v4_load(to), sum));
    }
}

/* Weights and activations of one step. The fence makes the second half load its weights anew: kept
 * from the first half they would cost registers that are not there. */
WIDE void whole_step(uint32_t type, int columns, const unsigned char *w, size_t w_stride,
                     const float *x, vf acc[SIDES][TILE_COLUMNS][4])
{
    half_step(type, columns, w, w_stride, 0, x, acc);
    __asm__ volatile("" ::: "memory");
    half_step(type, columns, w, w_stride, 1, x + columns * LANES, acc);
}

/* 4 weight rows by `columns` over one block of k. A row that is left over is computed as four
 * that are the same one (w_stride 0): less code, the same bits. */
WIDE void tile(uint32_t type, int columns, const unsigned char *w, size_t w_stride,
               const Tail *tail, const float *x, size_t k, float *out, size_t out_stride,
               bool start, bool single)
{
    vf acc[SIDES][TILE_COLUMNS][4];
    UNROLL
    for (int side = 0; side < SIDES; side++) {
        UNROLL
        for (int r = 0; r < 4; r++) {
            UNROLL
            for (int c = 0; c < columns; c++) acc[side][c][r] = vf_set(0);
        }
    }
    size_t bytes = element_bytes(type), i = 0;
    const unsigned char *next = w + AHEAD;
    for (; i + STEP <= k; i += STEP) {
        UNROLL
        for (int r = 0; r < 4; r++) {
            __builtin_prefetch(next + (size_t)r * w_stride, 0, 3);
            if (bytes * STEP > 64) __builtin_prefetch(next + (size_t)r * w_stride + 64, 0, 3);
        }
        whole_step(type, columns, w, w_stride, x, acc);
        w += STEP * bytes, next += STEP * bytes, x += 2 * columns * LANES;
    }
    if (i < k) whole_step(type, columns, tail->bytes[0], sizeof tail->bytes[0], x, acc);
    finish(columns, acc, out, out_stride, start, single);
}

/* Not inlined: its copies are no business of the registers of the tile. */
static __attribute__((noinline)) void copy_tail(const Strip *s, const unsigned char *w,
                                                size_t w_stride, size_t bytes)
{
    size_t left = s->span % STEP;
    w += (s->span - left) * bytes;
    for (size_t r = 0; r < 4; r++) memcpy(s->tail->bytes[r], w + r * w_stride, left * bytes);
}

WIDE void strip(uint32_t type, int columns, const Strip *s)
{
    size_t bytes = element_bytes(type);
    for (size_t i = 0; i < s->n;) {
        bool single = i + 4 > s->n;
        const unsigned char *w = s->w + i * s->w_stride;
        size_t w_stride = single ? 0 : s->w_stride;
        if (s->span % STEP) copy_tail(s, w, w_stride, bytes);
        for (size_t k0 = 0; k0 < s->span; k0 += K_BLOCK) {
            size_t k = s->span - k0 < K_BLOCK ? s->span - k0 : K_BLOCK;
            tile(type, columns, w + k0 * bytes, w_stride, s->tail, s->packed + k0 * (size_t)columns,
                 k, s->out + i, s->out_stride, s->start && k0 == 0, single);
        }
        i += single ? 1 : 4;
    }
}

#define TILE_ROWS_OF(type, columns)                                                                \
    static void strip_##type##_##columns(const Strip *s)                                           \
    {                                                                                              \
        strip(DT_##type, columns, s);                                                              \
    }
EACH_TILE(TILE_ROWS_OF, F32)
EACH_TILE(TILE_ROWS_OF, F16)
EACH_TILE(TILE_ROWS_OF, BF16)
#undef TILE_ROWS_OF

typedef void (*StripFn)(const Strip *s);
#define TILE_NAME(type, columns) strip_##type##_##columns,
static const StripFn strips[3][TILE_COLUMNS] = {
    {EACH_TILE(TILE_NAME, F32)}, {EACH_TILE(TILE_NAME, F16)}, {EACH_TILE(TILE_NAME, BF16)}};
#undef TILE_NAME

/* k activations of `columns` rows in the order the tile reads them. */
static void pack(uint32_t type, const float *x, size_t x_stride, size_t k, size_t columns,
                 float *packed)
{
    for (size_t i = 0; i < k; i += STEP, packed += 2 * columns * LANES)
        for (size_t c = 0; c < columns; c++) {
            const float *from = x + c * x_stride + i;
            float copy[STEP] = {0}, *to = packed + c * LANES;
            if (k - i < STEP) from = memcpy(copy, from, (k - i) * sizeof *from);
            vf first = type == DT_BF16 ? vf_even(from) : vf_load(from);
            vf second = type == DT_BF16 ? vf_odd(from) : vf_load(from + LANES);
            if (IN_PAIRS(type)) vf_split_pairs(from, &first, &second);
            vf_store(to, first);
            vf_store(to + columns * LANES, second);
        }
}

static void matmul_rows(uint32_t type, const void *weights_, size_t w_stride, size_t n, size_t k,
                        const float *x, size_t x_stride, size_t m, float *out, size_t out_stride)
{
    assert(type == DT_F32 || type == DT_F16 || type == DT_BF16);
    _Alignas(64) float packed[PACKED];
    Tail tail;
    memset(&tail, 0, sizeof tail);
    const unsigned char *w = weights_;
    const StripFn *fn = strips[type == DT_F32 ? 0 : type == DT_F16 ? 1 : 2];
    size_t bytes = element_bytes(type), groups = (m + TILE_COLUMNS - 1) / TILE_COLUMNS;
    if (k == 0)
        for (size_t j = 0; j < m; j++) memset(out + j * out_stride, 0, n * sizeof *out);
    if (m == 0 || n == 0 || k == 0) return;
    size_t widest = (m + groups - 1) / groups; /* columns, evenly dealt */
    size_t most_span = PACKED / widest / K_BLOCK * K_BLOCK;
    size_t most_rows = groups == 1 ? n : WEIGHT_BLOCK / (most_span * bytes);
    for (size_t i = 0; i < n; i += most_rows)
        for (size_t k0 = 0; k0 < k; k0 += most_span)
            for (size_t j = 0, g = 0; g < groups; g++) {
                size_t columns = (m - j + groups - g - 1) / (groups - g);
                Strip s = {.w = w + i * w_stride + k0 * bytes, .w_stride = w_stride, .tail = &tail};
                s.n = n - i < most_rows ? n - i : most_rows;
                s.span = k - k0 < most_span ? k - k0 : most_span;
                s.packed = packed, s.start = k0 == 0;
                s.out = out + j * out_stride + i, s.out_stride = out_stride;
                pack(type, x + j * x_stride + k0, x_stride, s.span, columns, packed);
                fn[columns - 1](&s);
                j += columns;
            }
}

static void register_matmul_rows(Kernels *table)
{
    table->matmul_rows = matmul_rows;
}

#endif
