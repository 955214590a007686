/* Attention in flash form for any vector width (see wide.h; the meaning is ref/attend.c).
 *
 * Keys are taken in blocks of 64, counted from the start of the run. For each block:
 *   scores   LANES keys at a time are widened and laid side by side on the stack, read once from
 *            memory and then by every query: one accumulator a key, lanes along e, summed across
 *   fold in  running maximum, exponentials, denominator; what a query does not see counts as 0
 *   values   the block of values is widened into `work`; tiles of up to 4 queries by VALUE_VECTORS
 *            vectors of e_v stay in registers over the 64 keys
 * Queries share a tile only where they see the same keys of the block, so that a key one of them
 * must not see is never multiplied in, not even by 0. Each query takes the same additions in the
 * same order in whatever tile, and whether or not the run was cut at a multiple of 64.
 *
 * Whoever includes this defines VALUE_VECTORS, and PAIRS where the vectors multiply bf16 (see
 * wide.h): bf16 keys and values then go the way of attend_pairs.h. Stack: LANES * E_CHUNK floats.
 */
#ifndef KERNELS_WIDE_ATTEND_H
#define KERNELS_WIDE_ATTEND_H

#include <assert.h>

#include "kernels/parts.h"
#include "kernels/wide/widen.h"

enum {
    KEYS = ATTEND_BLOCK,
    E_CHUNK = 512, /* e taken at once; longer heads in several */
};

/* Each with the registers to itself. */
#define APART static __attribute__((noinline))

/* A block of keys as all queries see it. */
typedef struct Block {
    uint32_t k_type, v_type;
    const unsigned char *k, *v;
    size_t k_stride, v_stride;
    size_t n;         /* keys, at most KEYS */
    size_t low, high; /* some query sees [low, high) */
    float *p;         /* (nq, n): scores, then weights */
} Block;

/* Up to 4 queries that see the same keys. */
typedef struct Group {
    const float *p;
    float *acc;
    float fade[4];
    size_t p_stride, from, to;
    int rows;
} Group;

/* How keys of a type are multiplied: q . key for all keys of the block that some query sees, into
 * b->p. */
typedef void (*ScoresFn)(const Block *b, const float *q, size_t nq, size_t e);

/* How values of a type are multiplied. */
typedef struct ValueWay {
    /* Scores [from, to) of one query become weights; returns what its sums so far are scaled by. */
    float (*fold_in)(float *p, size_t n, size_t from, size_t to, float *m, float *l);
    /* The block's values as the tiles read them, made in `dense` or as they lie. */
    const float *(*values)(const Block *b, size_t e_v, float *dense, size_t *stride);
    /* A group of 4, of 1: weights times values added to acc. */
    void (*four)(const Group *g, const float *v, size_t v_stride, size_t e_v);
    void (*one)(const Group *g, const float *v, size_t v_stride, size_t e_v);
} ValueWay;

/* What one query sees of the block at j0: *to is 0 when that is nothing. */
WIDE void visible(int32_t first, int32_t limit, size_t j0, size_t n, size_t *from, size_t *to)
{
    size_t a = (size_t)first, b = (size_t)limit;
    *from = a > j0 ? a - j0 : 0;
    *to = b <= j0 ? 0 : b - j0 < n ? b - j0 : n;
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

/* Elements [e0, e0 + e) of LANES keys from j on, as vectors (e / LANES, LANES keys). Keys beyond
 * the block are left as they are: their scores are not looked at. */
APART void lay_keys(const Block *b, size_t j, size_t e0, size_t e, float *keys)
{
    size_t skip = row_bytes(b->k_type, e0);
    for (size_t i = 0; i < LANES && j + i < b->n; i++) {
        const unsigned char *row = b->k + (j + i) * b->k_stride + skip;
        widen_any(b->k_type, row, keys + i * LANES, LANES * LANES, e);
    }
}

/* q . key for LANES keys, `e` elements; added to what `s` holds unless `start`. */
APART void score(const float *q, const float *keys, size_t e, bool start, float *s, size_t n)
{
    vf acc[LANES];
    UNROLL
    for (int i = 0; i < LANES; i++) acc[i] = vf_set(0);
    for (size_t d = 0; d < e; d += LANES, keys += LANES * LANES) {
        vf x = d + LANES <= e ? vf_load(q + d) : vf_load_part(q + d, e - d);
        UNROLL
        for (int i = 0; i < LANES; i++) acc[i] = vf_fma(x, vf_load(keys + i * LANES), acc[i]);
    }
    vf sums = vf_sum_each(acc);
    if (n >= LANES)
        vf_store(s, start ? sums : vf_add(vf_load(s), sums));
    else
        vf_store_part(s, start ? sums : vf_add(vf_load_part(s, n), sums), n);
}

static void scores_floats(const Block *b, const float *q, size_t nq, size_t e)
{
    _Alignas(64) float keys[LANES * E_CHUNK];
    for (size_t j = b->low / LANES * LANES; j < b->high; j += LANES)
        for (size_t e0 = 0; e0 < e; e0 += E_CHUNK) {
            size_t part = e - e0 < E_CHUNK ? e - e0 : E_CHUNK;
            lay_keys(b, j, e0, part, keys);
            for (size_t i = 0; i < nq; i++)
                score(q + i * e + e0, keys, part, e0 == 0, b->p + i * b->n + j, b->n - j);
        }
}

/* p[j..] with -inf for what lies outside [from, to). */
WIDE vf seen(const float *p, size_t n, size_t j, size_t from, size_t to)
{
    vf x = j + LANES <= n ? vf_load(p + j) : vf_load_part(p + j, n - j);
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
WIDE float fold(vf (*store)(float *p, size_t n, size_t j, vf w), float *p, size_t n, size_t from,
                size_t to, float *m, float *l)
{
    size_t start = from / LANES * LANES;
    vf top = vf_set(*m), sum = vf_set(0);
    for (size_t j = start; j < to; j += LANES) top = vf_max(top, seen(p, n, j, from, to));
    float most = vf_top(top);
    if (most == -INFINITY) { /* nothing to weigh */
        memset(p, 0, n * sizeof *p);
        return 1;
    }
    vf mosts = vf_set(most);
    for (size_t j = start; j < to; j += LANES) {
        vf w = vf_exp(vf_sub(seen(p, n, j, from, to), mosts));
        sum = vf_add(sum, store(p, n, j, w));
    }
    float by = vf_first(vf_exp(vf_sub(vf_set(*m), mosts)));
    *m = most;
    *l = *l * by + vf_sum(sum);
    return by;
}

WIDE vf store_weights(float *p, size_t n, size_t j, vf w)
{
    if (j + LANES <= n)
        vf_store(p + j, w);
    else
        vf_store_part(p + j, w, n - j);
    return w;
}

APART float fold_in(float *p, size_t n, size_t from, size_t to, float *m, float *l)
{
    return fold(store_weights, p, n, from, to, m, l);
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
            vf w = vf_set(g->p[(size_t)r * g->p_stride + j]);
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
    Group g = {.p = b->p + i * b->n, .p_stride = b->n, .acc = run->acc + i * run->e_v};
    visible(run->first[i], run->limit[i], j0, b->n, &g.from, &g.to);
    for (; g.rows < 4 && i < run->nq; i++, g.rows++) {
        size_t from, to;
        float *p = b->p + i * b->n;
        visible(run->first[i], run->limit[i], j0, b->n, &from, &to);
        if (from != g.from || to != g.to) break;
        if (to && run->soft_cap != 0) cap_scores(p + from, to - from, run->soft_cap);
        if (to) g.fade[g.rows] = way->fold_in(p, b->n, from, to, run->m + i, run->l + i);
    }
    return g;
}

static void attend_block(const AttendRun *run, Block *b, size_t j0)
{
    const ValueWay *way = VALUES_OF(run->v_type);
    size_t stride;
    b->low = b->n;
    for (size_t i = 0; i < run->nq; i++) {
        size_t from, to;
        visible(run->first[i], run->limit[i], j0, b->n, &from, &to);
        if (to && from < b->low) b->low = from;
        if (to > b->high) b->high = to;
    }
    if (b->high == 0) return;
    SCORES_OF(run->k_type)(b, run->q, run->nq, run->e);
    const float *values = way->values(b, run->e_v, run->work + run->nq * b->n, &stride);
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
            one.p += (size_t)r * b->n;
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
                   .n = run->n - j0 < KEYS ? run->n - j0 : KEYS,
                   .p = run->work};
        attend_block(run, &b, j0);
    }
}

static void register_attend(Kernels *table)
{
    table->attend = attend;
}

#endif
