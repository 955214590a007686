/* Attention over bf16 keys and values by products of bf16 pairs (see attend.h, and PAIRS in
 * wide.h). Queries and weights are rounded to bf16; sums, scores, maxima, exponentials and
 * denominators are float32, and the denominator sums the weights as rounded.
 *
 *   scores   keys are turned as they are, pairs along e
 *   values   two keys are zipped together: a pair is an element of an even key and of the next,
 *            counted from the start of the block, met by the pair of their weights
 *
 * A query that sees only one key of a pair takes the other as 0, value and weight. */
#ifndef KERNELS_WIDE_ATTEND_PAIRS_H
#define KERNELS_WIDE_ATTEND_PAIRS_H

enum { PAIR_LANES = 2 * LANES }; /* bf16 a vector */

WIDE vf product_pairs(vf key, vf query, vf sum)
{
    return vf_dot_pairs(key, query, sum);
}

APART void score_pairs_most(const float *q, size_t e, const float *keys, float *p)
{
    score_tile(product_pairs, SCORE_ROWS, q, e, keys, p);
}

APART void score_pairs_4(const float *q, size_t e, const float *keys, float *p)
{
    score_tile(product_pairs, 4, q, e, keys, p);
}

APART void score_pairs_1(const float *q, size_t e, const float *keys, float *p)
{
    score_tile(product_pairs, 1, q, e, keys, p);
}

/* SPAN keys of the block from j on as (pairs, SPAN), zeros behind the end of an odd e. */
APART void lay_key_pairs(const Block *b, size_t j, size_t e, float *keys)
{
    size_t pairs = (e + 1) / 2;
    for (size_t i = 0; i < SPAN; i += LANES)
        for (size_t d = 0; d < e; d += PAIR_LANES) {
            const unsigned char *row = b->k + (j + i) * b->k_stride + 2 * d;
            vf x[LANES];
            UNROLL
            for (int r = 0; r < LANES; r++, row += b->k_stride)
                x[r] = d + PAIR_LANES <= e ? vf_load_pairs(row) : vf_load_pairs_part(row, e - d);
            vf_turn(x);
            UNROLL
            for (size_t r = 0; r < LANES; r++)
                if (d / 2 + r < pairs) vf_store(keys + (d / 2 + r) * SPAN + i, x[r]);
        }
}

/* Queries rounded, (nq, pairs). */
APART void pair_queries(const float *q, size_t nq, size_t e, float *to)
{
    for (size_t i = 0; i < nq; i++, q += e)
        for (size_t d = 0; d < e; d += PAIR_LANES) {
            size_t left = e - d, n = left < PAIR_LANES ? (left + 1) / 2 : LANES;
            vf x = left >= PAIR_LANES ? vf_pairs_of(q + d) : vf_pairs_of_part(q + d, left);
            vf_store_part(to, x, n);
            to += n;
        }
}

static void scores_pairs(const Block *b, const float *q, size_t nq, size_t e)
{
    size_t pairs = (e + 1) / 2;
    float *x = b->room + pairs * SPAN;
    pair_queries(q, nq, e, x);
    for (size_t j = b->low / SPAN * SPAN; j < b->high; j += SPAN) {
        size_t i = 0;
        lay_key_pairs(b, j, e, b->room);
        for (; i + SCORE_ROWS <= nq; i += SCORE_ROWS)
            score_pairs_most(x + i * pairs, pairs, b->room, b->p + i * KEYS + j);
        for (; i + 4 <= nq; i += 4)
            score_pairs_4(x + i * pairs, pairs, b->room, b->p + i * KEYS + j);
        for (; i < nq; i++) score_pairs_1(x + i * pairs, pairs, b->room, b->p + i * KEYS + j);
    }
}

/* Weights go to the start of their row as bf16, behind the scores that are still to be read. */
WIDE vf store_weight_pairs(float *p, size_t j, vf w)
{
    return vf_round_pairs((unsigned char *)p + 2 * j, w, LANES);
}

APART float fold_in_pairs(float *p, size_t from, size_t to, float *m, float *l)
{
    return fold(store_weight_pairs, p, from, to, m, l);
}

/* Values of the pairs that some query sees, as (pairs, e_v). */
APART const float *zip_values(const Block *b, size_t e_v, float *dense, size_t *stride)
{
    *stride = e_v;
    for (size_t j = b->low / 2 * 2; j < b->high; j += 2) {
        const unsigned char *row = b->v + j * b->v_stride, *next = row + b->v_stride;
        float *to = dense + j / 2 * e_v;
        vf low, high;
        size_t d = 0;
        for (; d + PAIR_LANES <= e_v; d += PAIR_LANES, to += PAIR_LANES) {
            vf beside = vf_load_pairs(next + 2 * d);
            vf_zip_pairs(vf_load_pairs(row + 2 * d), beside, &low, &high);
            vf_store(to, low);
            vf_store(to + LANES, high);
        }
        if (d == e_v) continue;
        size_t left = e_v - d;
        vf beside = vf_load_pairs_part(next + 2 * d, left);
        vf_zip_pairs(vf_load_pairs_part(row + 2 * d, left), beside, &low, &high);
        if (left >= LANES) {
            vf_store(to, low);
            low = high, to += LANES, left -= LANES;
        }
        if (left) vf_store_part(to, low, left);
    }
    return dense;
}

typedef enum Seen { BOTH, FIRST, SECOND } Seen;

/* Pairs [j, end) times their weights. */
WIDE void pairs_between(Seen seen, ValueTile t, const Group *g, const float *v, size_t v_stride,
                        size_t j, size_t end, vf a[4][VALUE_VECTORS])
{
    const float *vj = v + j * v_stride;
    for (; j < end; j++, vj += v_stride) {
        UNROLL
        for (int c = 0; c < t.width; c++) {
            vf x = t.part ? vf_load_part(vj, t.n) : vf_load(vj + c * LANES);
            if (seen == FIRST) x = vf_first_of_pairs(x);
            if (seen == SECOND) x = vf_second_of_pairs(x);
            UNROLL
            for (int r = 0; r < t.rows; r++)
                a[r][c] = vf_dot_pairs(vf_set(g->p[(size_t)r * KEYS + j]), x, a[r][c]);
        }
    }
}

WIDE void add_pairs(ValueTile t, const Group *g, const float *v, size_t v_stride,
                    vf a[4][VALUE_VECTORS])
{
    size_t j = g->from / 2, end = g->to / 2;
    if (g->from & 1) {
        pairs_between(SECOND, t, g, v, v_stride, j, j + 1, a);
        j++;
    }
    pairs_between(BOTH, t, g, v, v_stride, j, end, a);
    if (g->to & 1) pairs_between(FIRST, t, g, v, v_stride, end, end + 1, a);
}

APART void group_pairs_4(const Group *g, const float *v, size_t v_stride, size_t e_v)
{
    group_values(add_pairs, 4, g, v, v_stride, e_v);
}

APART void group_pairs_1(const Group *g, const float *v, size_t v_stride, size_t e_v)
{
    group_values(add_pairs, 1, g, v, v_stride, e_v);
}

static const ValueWay values_pairs = {fold_in_pairs, zip_values, group_pairs_4, group_pairs_1};

#endif
