/* Attention in flash form for any vector width (see wide.h; the meaning is ref/attend.c).
 *
 * Keys are taken in blocks of 64, counted from the start of the run. For each block:
 *   scores   keys are widened and turned, so that they lie across the registers: a tile of queries
 *            by keys stays there over e, each score one sum in the order of e
 *   fold in  running maximum, exponentials, denominator; what a query does not see counts as 0
 *   values   the block of values is widened; tiles of up to 4 queries by VALUE_VECTORS vectors of
 *            e_v stay in registers over the 64 keys
 * Queries share a tile of values only where they see the same keys of the block, so that a key one
 * of them must not see is never multiplied in, not even by 0. Each query takes the same additions
 * in the same order in whatever tile.
 *
 * Whoever includes this defines VALUE_VECTORS (2 or more; twice as many queries are in a tile of
 * scores), and PAIRS where the vectors multiply bf16 (see wide.h): bf16 keys and values then go the
 * way of attend_pairs.h. */
#ifndef KERNELS_WIDE_ATTEND_H
#define KERNELS_WIDE_ATTEND_H

#include <assert.h>

#include "kernels/parts.h"
#include "kernels/wide/widen.h"

enum {
    KEYS = ATTEND_BLOCK,
    SPAN_VECTORS = 2, /* of keys, in a tile of scores */
    SPAN = SPAN_VECTORS * LANES,
    SCORE_ROWS = 2 * VALUE_VECTORS, /* queries in one */
    BLOCK = Q8_BLOCK,               /* of both types that have blocks */
};

/* Each with the registers to itself. */
#define APART static __attribute__((noinline))

/* A block of keys as all queries see it. */
typedef struct Block {
    uint32_t k_type, v_type;
    const unsigned char *k, *v;
    size_t k_stride, v_stride;
    size_t low, high; /* some query sees [low, high) */
    float *p;         /* (nq, KEYS): scores, then weights */
    float *room;      /* what keys are laid in */
} Block;

/* Up to 4 queries that see the same keys. */
typedef struct Group {
    const float *p;
    float *acc;
    float fade[4];
    size_t from, to;
    int rows;
} Group;

/* How keys of a type are multiplied: q . key for all keys of the block that some query sees, into
 * b->p. */
typedef void (*ScoresFn)(const Block *b, const float *q, size_t nq, size_t e);

/* How values of a type are multiplied. */
typedef struct ValueWay {
    /* Scores [from, to) of one query become weights; returns what its sums so far are scaled by. */
    float (*fold_in)(float *p, size_t from, size_t to, float *m, float *l);
    /* The block's values as the tiles read them, made in `dense` or as they lie. */
    const float *(*values)(const Block *b, size_t e_v, float *dense, size_t *stride);
    /* A group of 4, of 1: weights times values added to acc. */
    void (*four)(const Group *g, const float *v, size_t v_stride, size_t e_v);
    void (*one)(const Group *g, const float *v, size_t v_stride, size_t e_v);
} ValueWay;

/* What one query sees of the block at j0: *to is 0 when that is nothing. */
WIDE void visible(int32_t first, int32_t limit, size_t j0, size_t *from, size_t *to)
{
    size_t a = (size_t)first, b = (size_t)limit;
    *from = a > j0 ? a - j0 : 0;
    *to = b <= j0 ? 0 : b - j0 < KEYS ? b - j0 : KEYS;
    if (*from >= *to) *from = *to = 0;
}

WIDE void widen_any(uint32_t type, const unsigned char *src, float *dst, size_t step, size_t n)
{
    if (type == DT_F32)
        widen_row(DT_F32, src, dst, step, n);
    else if (type == DT_F16)
        widen_row(DT_F16, src, dst, step, n);
    else if (type == DT_BF16)
        widen_row(DT_BF16, src, dst, step, n);
    else if (type == DT_Q8_0)
        widen_row(DT_Q8_0, src, dst, step, n);
    else
        widen_row(DT_Q4_0, src, dst, step, n);
}

/* ---- scores: tiles of up to SCORE_ROWS queries by SPAN keys, keys across ---- */

/* `rows` queries of e numbers against SPAN keys laid as (e, SPAN), into rows of p. */
typedef vf (*ProductFn)(vf key, vf query, vf sum);

WIDE void score_tile(ProductFn product, int rows, const float *q, size_t e, const float *keys,
                     float *p)
{
    vf a[SCORE_ROWS][SPAN_VECTORS];
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int c = 0; c < SPAN_VECTORS; c++) a[r][c] = vf_set(0);
    }
    for (size_t d = 0; d < e; d++, keys += SPAN) {
        vf k[SPAN_VECTORS];
        UNROLL
        for (int c = 0; c < SPAN_VECTORS; c++) k[c] = vf_load(keys + c * LANES);
        UNROLL
        for (int r = 0; r < rows; r++) {
            vf x = vf_set(q[(size_t)r * e + d]);
            UNROLL
            for (int c = 0; c < SPAN_VECTORS; c++) a[r][c] = product(k[c], x, a[r][c]);
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int c = 0; c < SPAN_VECTORS; c++) vf_store(p + r * KEYS + c * LANES, a[r][c]);
    }
}

WIDE vf product_floats(vf key, vf query, vf sum)
{
    return vf_fma(key, query, sum);
}

APART void score_floats_most(const float *q, size_t e, const float *keys, float *p)
{
    score_tile(product_floats, SCORE_ROWS, q, e, keys, p);
}

APART void score_floats_4(const float *q, size_t e, const float *keys, float *p)
{
    score_tile(product_floats, 4, q, e, keys, p);
}

APART void score_floats_1(const float *q, size_t e, const float *keys, float *p)
{
    score_tile(product_floats, 1, q, e, keys, p);
}

/* n <= LANES elements of LANES keys become n rows of LANES, SPAN apart. */
WIDE void turn_out(vf *x, size_t n, float *to)
{
    vf_turn(x);
    UNROLL
    for (size_t i = 0; i < LANES; i++)
        if (i < n) vf_store(to + i * SPAN, x[i]);
}

/* e elements of LANES keys, k_stride bytes apart, become rows of `to`. */
WIDE void turn_keys(uint32_t type, const unsigned char *rows, size_t k_stride, size_t e, float *to)
{
    for (size_t d = 0; d < e; d += LANES) {
        const unsigned char *row = rows + d * element_bytes(type);
        size_t n = e - d;
        vf x[LANES];
        UNROLL
        for (int i = 0; i < LANES; i++, row += k_stride)
            x[i] = n >= LANES ? widen(type, row) : widen_part(type, row, n);
        turn_out(x, n, to + d * SPAN);
    }
}

/* The same of types in blocks of BLOCK. */
WIDE void turn_blocks(uint32_t type, const unsigned char *rows, size_t k_stride, size_t e,
                      float *to)
{
    for (size_t d = 0; d < e; d += BLOCK) {
        _Alignas(64) float wide[LANES][BLOCK];
        for (size_t i = 0; i < LANES; i++)
            widen_row(type, rows + i * k_stride + row_bytes(type, d), wide[i], LANES, BLOCK);
        for (size_t c = 0; c < BLOCK; c += LANES) {
            vf x[LANES];
            UNROLL
            for (int i = 0; i < LANES; i++) x[i] = vf_load(wide[i] + c);
            turn_out(x, LANES, to + (d + c) * SPAN);
        }
    }
}

/* SPAN keys of the block from j on, as (e, SPAN). */
APART void lay_keys(const Block *b, size_t j, size_t e, float *keys)
{
    for (size_t i = 0; i < SPAN; i += LANES) {
        const unsigned char *rows = b->k + (j + i) * b->k_stride;
        if (b->k_type == DT_F32)
            turn_keys(DT_F32, rows, b->k_stride, e, keys + i);
        else if (b->k_type == DT_F16)
            turn_keys(DT_F16, rows, b->k_stride, e, keys + i);
        else if (b->k_type == DT_BF16)
            turn_keys(DT_BF16, rows, b->k_stride, e, keys + i);
        else if (b->k_type == DT_Q8_0)
            turn_blocks(DT_Q8_0, rows, b->k_stride, e, keys + i);
        else
            turn_blocks(DT_Q4_0, rows, b->k_stride, e, keys + i);
    }
}

static void scores_floats(const Block *b, const float *q, size_t nq, size_t e)
{
    for (size_t j = b->low / SPAN * SPAN; j < b->high; j += SPAN) {
        size_t i = 0;
        lay_keys(b, j, e, b->room);
        for (; i + SCORE_ROWS <= nq; i += SCORE_ROWS)
            score_floats_most(q + i * e, e, b->room, b->p + i * KEYS + j);
        for (; i + 4 <= nq; i += 4) score_floats_4(q + i * e, e, b->room, b->p + i * KEYS + j);
        for (; i < nq; i++) score_floats_1(q + i * e, e, b->room, b->p + i * KEYS + j);
    }
}

/* ---- weights ---- */

/* p[j..] with -inf for what lies outside [from, to). */
WIDE vf seen(const float *p, size_t j, size_t from, size_t to)
{
    vf x = vf_load(p + j);
    size_t a = from > j ? from - j : 0, z = to - j;
    return a == 0 && z >= LANES ? x : vf_within(x, vf_set(-INFINITY), a, z < LANES ? z : LANES);
}

APART void cap_scores(float *p, size_t n, float soft_cap)
{
    vf cap = vf_set(soft_cap);
    size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        vf_store(p + j, vf_mul(cap, vf_tanh(vf_div(vf_load(p + j), cap))));
    if (j == n) return;
    vf_store_part(p + j, vf_mul(cap, vf_tanh(vf_div(vf_load_part(p + j, n - j), cap))), n - j);
}

/* `store` keeps LANES weights from j on and returns them as they were kept. */
WIDE float fold(vf (*store)(float *p, size_t j, vf w), float *p, size_t from, size_t to, float *m,
                float *l)
{
    size_t start = from / LANES * LANES;
    vf top = vf_set(*m), sum = vf_set(0);
    for (size_t j = start; j < to; j += LANES) top = vf_max(top, seen(p, j, from, to));
    float most = vf_top(top);
    if (most == -INFINITY) { /* nothing to weigh */
        memset(p, 0, KEYS * sizeof *p);
        return 1;
    }
    vf mosts = vf_set(most);
    for (size_t j = start; j < to; j += LANES) {
        vf w = vf_exp(vf_sub(seen(p, j, from, to), mosts));
        sum = vf_add(sum, store(p, j, w));
    }
    float by = vf_first(vf_exp(vf_sub(vf_set(*m), mosts)));
    *m = most;
    *l = *l * by + vf_sum(sum);
    return by;
}

WIDE vf store_weights(float *p, size_t j, vf w)
{
    vf_store(p + j, w);
    return w;
}

APART float fold_in(float *p, size_t from, size_t to, float *m, float *l)
{
    return fold(store_weights, p, from, to, m, l);
}

/* ---- values: tiles of up to 4 queries by VALUE_VECTORS vectors ---- */

/* `part`: one vector of which `n` lanes count. */
typedef struct ValueTile {
    bool part;
    int rows, width;
    size_t n;
} ValueTile;

/* Adds the weighted values of a group to the sums `a`, from column d on. */
typedef void (*AddFn)(ValueTile t, const Group *g, const float *v, size_t v_stride,
                      vf a[4][VALUE_VECTORS]);

/* acc = acc * fade + weights * values, columns [d, ...) of the group. */
WIDE void value_tile(AddFn add, ValueTile t, const Group *g, const float *v, size_t v_stride,
                     size_t e_v, size_t d)
{
    vf a[4][VALUE_VECTORS];
    UNROLL
    for (int r = 0; r < t.rows; r++) {
        UNROLL
        for (int c = 0; c < t.width; c++) {
            const float *at = g->acc + (size_t)r * e_v + d + c * LANES;
            a[r][c] = vf_mul(t.part ? vf_load_part(at, t.n) : vf_load(at), vf_set(g->fade[r]));
        }
    }
    add(t, g, v + d, v_stride, a);
    UNROLL
    for (int r = 0; r < t.rows; r++) {
        UNROLL
        for (int c = 0; c < t.width; c++) {
            float *at = g->acc + (size_t)r * e_v + d + c * LANES;
            if (t.part)
                vf_store_part(at, a[r][c], t.n);
            else
                vf_store(at, a[r][c]);
        }
    }
}

WIDE void group_values(AddFn add, int rows, const Group *g, const float *v, size_t v_stride,
                       size_t e_v)
{
    size_t d = 0;
    for (; d + VALUE_VECTORS * LANES <= e_v; d += VALUE_VECTORS * LANES)
        value_tile(add, (ValueTile){false, rows, VALUE_VECTORS, 0}, g, v, v_stride, e_v, d);
    for (; d + LANES <= e_v; d += LANES)
        value_tile(add, (ValueTile){false, rows, 1, 0}, g, v, v_stride, e_v, d);
    if (d < e_v) value_tile(add, (ValueTile){true, rows, 1, e_v - d}, g, v, v_stride, e_v, d);
}

WIDE void add_floats(ValueTile t, const Group *g, const float *v, size_t v_stride,
                     vf a[4][VALUE_VECTORS])
{
    const float *vj = v + g->from * v_stride;
    for (size_t j = g->from; j < g->to; j++, vj += v_stride) {
        UNROLL
        for (int r = 0; r < t.rows; r++) {
            vf w = vf_set(g->p[(size_t)r * KEYS + j]);
            UNROLL
            for (int c = 0; c < t.width; c++) {
                vf x = t.part ? vf_load_part(vj, t.n) : vf_load(vj + c * LANES);
                a[r][c] = vf_fma(w, x, a[r][c]);
            }
        }
    }
}

APART void group_floats_4(const Group *g, const float *v, size_t v_stride, size_t e_v)
{
    group_values(add_floats, 4, g, v, v_stride, e_v);
}

APART void group_floats_1(const Group *g, const float *v, size_t v_stride, size_t e_v)
{
    group_values(add_floats, 1, g, v, v_stride, e_v);
}

/* Values [low, high) of the block as floats: where they lie, or widened into `dense`. */
static const float *widen_values(const Block *b, size_t e_v, float *dense, size_t *stride)
{
    if (b->v_type == DT_F32 && b->v_stride % sizeof(float) == 0) {
        *stride = b->v_stride / sizeof(float);
        return (const float *)(const void *)b->v;
    }
    for (size_t j = b->low; j < b->high; j++)
        widen_any(b->v_type, b->v + j * b->v_stride, dense + j * e_v, LANES, e_v);
    *stride = e_v;
    return dense;
}

static const ValueWay values_floats = {fold_in, widen_values, group_floats_4, group_floats_1};

#ifdef PAIRS
#include "kernels/wide/attend_pairs.h"
#define SCORES_OF(type) ((type) == DT_BF16 ? scores_pairs : scores_floats)
#define VALUES_OF(type) ((type) == DT_BF16 ? &values_pairs : &values_floats)
#else
#define SCORES_OF(type) (scores_floats)
#define VALUES_OF(type) (&values_floats)
#endif

/* Queries from i on that see the same of the block, at most 4, with their weights made. */
static Group next_group(const AttendRun *run, const Block *b, const ValueWay *way, size_t j0,
                        size_t i)
{
    Group g = {.p = b->p + i * KEYS, .acc = run->acc + i * run->e_v};
    visible(run->first[i], run->limit[i], j0, &g.from, &g.to);
    for (; g.rows < 4 && i < run->nq; i++, g.rows++) {
        size_t from, to;
        float *p = b->p + i * KEYS;
        visible(run->first[i], run->limit[i], j0, &from, &to);
        if (from != g.from || to != g.to) break;
        if (to && run->soft_cap != 0) cap_scores(p + from, to - from, run->soft_cap);
        if (to) g.fade[g.rows] = way->fold_in(p, from, to, run->m + i, run->l + i);
    }
    return g;
}

static void attend_block(const AttendRun *run, Block *b, size_t j0)
{
    const ValueWay *way = VALUES_OF(run->v_type);
    size_t stride;
    b->low = KEYS;
    for (size_t i = 0; i < run->nq; i++) {
        size_t from, to;
        visible(run->first[i], run->limit[i], j0, &from, &to);
        if (to && from < b->low) b->low = from;
        if (to > b->high) b->high = to;
    }
    if (b->high == 0) return;
    SCORES_OF(run->k_type)(b, run->q, run->nq, run->e);
    const float *values = way->values(b, run->e_v, b->room, &stride);
    for (size_t i = 0; i < run->nq;) {
        Group g = next_group(run, b, way, j0, i);
        i += (size_t)g.rows;
        if (g.to == 0) continue;
        if (g.rows == 4) {
            way->four(&g, values, stride, run->e_v);
            continue;
        }
        for (int r = 0; r < g.rows; r++) {
            Group one = g;
            one.p += (size_t)r * KEYS;
            one.acc += (size_t)r * run->e_v;
            one.fade[0] = g.fade[r];
            way->one(&one, values, stride, run->e_v);
        }
    }
}

static void attend(const AttendRun *run)
{
    for (size_t i = 0; i < run->nq; i++) run->m[i] = -INFINITY, run->l[i] = 0;
    memset(run->acc, 0, run->nq * run->e_v * sizeof *run->acc);
    for (size_t i = 0, j0 = 0; j0 < run->n; i++, j0 += KEYS) {
        Block b = {.k_type = run->k_type,
                   .v_type = run->v_type,
                   .k = run->k[i],
                   .v = run->v[i],
                   .k_stride = run->k_stride,
                   .v_stride = run->v_stride,
                   .p = run->work,
                   .room = run->work + run->nq * KEYS};
        attend_block(run, &b, j0);
    }
}

static void register_attend(Kernels *table)
{
    table->attend = attend;
}

#endif
