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
    KEYS = 64,     /* a block */
    E_CHUNK = 512, /* e taken at once; longer heads in several */
};

/* Each with the registers to itself. */
#define APART static __attribute__((noinline))

/* A block of keys as all queries see it. */
typedef struct Block {
    uint32_t type;
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

/* How numbers of a type are multiplied. */
typedef struct Way {
    /* q . key for all keys of the block that some query sees, into b->p */
    void (*scores)(const Block *b, const float *q, size_t q_stride, size_t nq, size_t e);
    /* Scores [from, to) of one query become weights; returns what its sums so far are scaled by. */
    float (*fold_in)(float *p, size_t n, size_t from, size_t to, float *m, float *l);
    /* The block's values as the tiles read them, made in `dense` or as they lie. */
    const float *(*values)(const Block *b, size_t e_v, float *dense, size_t *stride);
    /* A group of 4, of 1: weights times values added to acc. */
    void (*four)(const Group *g, const float *v, size_t v_stride, size_t e_v);
    void (*one)(const Group *g, const float *v, size_t v_stride, size_t e_v);
} Way;

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
    else
        widen_row(DT_Q8_0, src, dst, step, n);
}

/* Elements [e0, e0 + e) of LANES keys from j on, as vectors (e / LANES, LANES keys). Keys beyond
 * the block are left as they are: their scores are not looked at. */
APART void lay_keys(const Block *b, size_t j, size_t e0, size_t e, float *keys)
{
    size_t skip = b->type == DT_Q8_0 ? e0 / Q8_BLOCK * Q8_BYTES : e0 * element_bytes(b->type);
    for (size_t i = 0; i < LANES && j + i < b->n; i++) {
        const unsigned char *row = b->k + (j + i) * b->k_stride + skip;
        __builtin_prefetch(row + KEYS * b->k_stride, 0, 2);
        widen_any(b->type, row, keys + i * LANES, LANES * LANES, e);
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

static void all_scores(const Block *b, const float *q, size_t q_stride, size_t nq, size_t e)
{
    _Alignas(64) float keys[LANES * E_CHUNK];
    for (size_t j = b->low / LANES * LANES; j < b->high; j += LANES)
        for (size_t e0 = 0; e0 < e; e0 += E_CHUNK) {
            size_t part = e - e0 < E_CHUNK ? e - e0 : E_CHUNK;
            lay_keys(b, j, e0, part, keys);
            for (size_t i = 0; i < nq; i++)
                score(q + i * q_stride + e0, keys, part, e0 == 0, b->p + i * b->n + j, b->n - j);
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

/* acc = acc * fade + sum over keys [from, to) of p * v for `rows` queries, `width` vectors of e_v;
 * `part`: one vector of which `n` lanes count. */
WIDE void value_tile(bool part, int rows, int width, const float *p, size_t p_stride,
                     const float *v, size_t v_stride, size_t from, size_t to, const float *fade,
                     float *acc, size_t acc_stride, size_t n)
{
    vf a[4][VALUE_VECTORS];
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int c = 0; c < width; c++) {
            const float *at = acc + (size_t)r * acc_stride + c * LANES;
            a[r][c] = vf_mul(part ? vf_load_part(at, n) : vf_load(at), vf_set(fade[r]));
        }
    }
    const float *vj = v + from * v_stride;
    for (size_t j = from; j < to; j++, vj += v_stride) {
        UNROLL
        for (int r = 0; r < rows; r++) {
            vf w = vf_set(p[(size_t)r * p_stride + j]);
            UNROLL
            for (int c = 0; c < width; c++) {
                vf x = part ? vf_load_part(vj, n) : vf_load(vj + c * LANES);
                a[r][c] = vf_fma(w, x, a[r][c]);
            }
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int c = 0; c < width; c++) {
            float *at = acc + (size_t)r * acc_stride + c * LANES;
            if (part)
                vf_store_part(at, a[r][c], n);
            else
                vf_store(at, a[r][c]);
        }
    }
}

#define VALUE_TILE(rows, width)                                                                    \
    value_tile(false, rows, width, g->p, g->p_stride, v + d, v_stride, g->from, g->to, g->fade,    \
               g->acc + d, e_v, 0)
#define VALUE_PART(rows)                                                                           \
    value_tile(true, rows, 1, g->p, g->p_stride, v + d, v_stride, g->from, g->to, g->fade,         \
               g->acc + d, e_v, e_v - d)

APART void group_values_4(const Group *g, const float *v, size_t v_stride, size_t e_v)
{
    size_t d = 0;
    for (; d + VALUE_VECTORS * LANES <= e_v; d += VALUE_VECTORS * LANES)
        VALUE_TILE(4, VALUE_VECTORS);
    for (; d + LANES <= e_v; d += LANES) VALUE_TILE(4, 1);
    if (d < e_v) VALUE_PART(4);
}

APART void group_values_1(const Group *g, const float *v, size_t v_stride, size_t e_v)
{
    size_t d = 0;
    for (; d + VALUE_VECTORS * LANES <= e_v; d += VALUE_VECTORS * LANES)
        VALUE_TILE(1, VALUE_VECTORS);
    for (; d + LANES <= e_v; d += LANES) VALUE_TILE(1, 1);
    if (d < e_v) VALUE_PART(1);
}
#undef VALUE_TILE
#undef VALUE_PART

/* Values [low, high) of the block as floats: where they lie, or widened into `dense`. */
static const float *widen_values(const Block *b, size_t e_v, float *dense, size_t *stride)
{
    if (b->type == DT_F32 && b->v_stride % sizeof(float) == 0) {
        *stride = b->v_stride / sizeof(float);
        return (const float *)(const void *)b->v;
    }
    for (size_t j = b->low; j < b->high; j++) {
        const unsigned char *row = b->v + j * b->v_stride;
        __builtin_prefetch(row + KEYS * b->v_stride, 0, 2);
        widen_any(b->type, row, dense + j * e_v, LANES, e_v);
    }
    *stride = e_v;
    return dense;
}

static const Way as_floats = {all_scores, fold_in, widen_values, group_values_4, group_values_1};

#ifdef PAIRS
#include "kernels/wide/attend_pairs.h"
#define WAY_OF(type) ((type) == DT_BF16 ? &as_pairs : &as_floats)
#else
#define WAY_OF(type) (&as_floats)
#endif

static void attend(uint32_t type, const float *q, size_t q_stride, size_t nq, size_t e, size_t e_v,
                   const void *k, size_t k_stride, const void *v, size_t v_stride, size_t n,
                   const int32_t *first, const int32_t *limit, float soft_cap, float *m, float *l,
                   float *acc, float *work)
{
    assert(type == DT_F32 || type == DT_F16 || type == DT_BF16 || type == DT_Q8_0);
    const Way *way = WAY_OF(type);
    for (size_t j0 = 0; j0 < n; j0 += KEYS) {
        Block b = {.type = type, .k_stride = k_stride, .v_stride = v_stride, .p = work};
        b.k = (const unsigned char *)k + j0 * k_stride;
        b.v = (const unsigned char *)v + j0 * v_stride;
        b.n = n - j0 < KEYS ? n - j0 : KEYS;
        b.low = b.n;
        for (size_t i = 0; i < nq; i++) {
            size_t from, to;
            visible(first[i], limit[i], j0, b.n, &from, &to);
            if (to && from < b.low) b.low = from;
            if (to > b.high) b.high = to;
        }
        if (b.high == 0) continue;
        way->scores(&b, q, q_stride, nq, e);
        size_t stride;
        const float *values = way->values(&b, e_v, work + nq * b.n, &stride);
        for (size_t i = 0; i < nq;) {
            Group g = {.p = b.p + i * b.n, .p_stride = b.n, .acc = acc + i * e_v};
            visible(first[i], limit[i], j0, b.n, &g.from, &g.to);
            while (g.rows < 4 && i < nq) {
                size_t from, to;
                visible(first[i], limit[i], j0, b.n, &from, &to);
                if (from != g.from || to != g.to) break;
                if (to && soft_cap != 0) cap_scores(b.p + i * b.n + from, to - from, soft_cap);
                if (to) g.fade[g.rows] = way->fold_in(b.p + i * b.n, b.n, from, to, m + i, l + i);
                g.rows++, i++;
            }
            if (g.to == 0) continue;
            if (g.rows == 4) {
                way->four(&g, values, stride, e_v);
                continue;
            }
            for (int r = 0; r < g.rows; r++) {
                Group one = {.p = g.p + (size_t)r * b.n,
                             .p_stride = b.n,
                             .from = g.from,
                             .to = g.to,
                             .acc = g.acc + (size_t)r * e_v,
                             .fade = {g.fade[r]}};
                way->one(&one, values, stride, e_v);
            }
        }
    }
}

static void register_attend(Kernels *table)
{
    table->attend = attend;
}

#endif
