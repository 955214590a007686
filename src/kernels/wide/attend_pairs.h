/* Attention over bf16 keys and values by products of bf16 pairs (see attend.h, and PAIRS in
 * wide.h). Queries and weights are rounded to bf16; sums, scores, maxima, exponentials and
 * denominators are float32, and the denominator sums the weights as rounded.
 *
 *   scores   keys are laid side by side as they are, pairs along e
 *   values   two keys are zipped together: a pair is an element of an even key and of the next,
 *            counted from the start of the block, met by the pair of their weights
 *
 * A query that sees only one key of a pair takes the other as 0, value and weight. */
#ifndef KERNELS_WIDE_ATTEND_PAIRS_H
#define KERNELS_WIDE_ATTEND_PAIRS_H

enum { PAIR_LANES = 2 * LANES }; /* bf16 a vector */

/* Elements [e0, e0 + e) of LANES keys from j on, as vectors (e / PAIR_LANES, LANES keys), zeros
 * behind the end. Keys beyond the block are left as they are. */
APART void lay_key_pairs(const Block *b, size_t j, size_t e0, size_t e, float *keys)
{
    for (size_t i = 0; i < LANES && j + i < b->n; i++) {
        const unsigned char *row = b->k + (j + i) * b->k_stride + 2 * e0;
        float *to = keys + i * LANES;
        size_t d = 0;
        for (; d + PAIR_LANES <= e; d += PAIR_LANES, to += LANES * LANES)
            vf_store(to, vf_load_pairs(row + 2 * d));
        if (d < e) vf_store(to, vf_load_pairs_part(row + 2 * d, e - d));
    }
}

/* q . key for LANES keys, `e` elements; added to what `s` holds unless `start`. */
APART void score_pairs(const float *q, const float *keys, size_t e, bool start, float *s, size_t n)
{
    vf acc[LANES];
    UNROLL
    for (int i = 0; i < LANES; i++) acc[i] = vf_set(0);
    for (size_t d = 0; d < e; d += PAIR_LANES, keys += LANES * LANES) {
        vf x = d + PAIR_LANES <= e ? vf_pairs_of(q + d) : vf_pairs_of_part(q + d, e - d);
        UNROLL
        for (int i = 0; i < LANES; i++)
            acc[i] = vf_dot_pairs(vf_load_pairs(keys + i * LANES), x, acc[i]);
    }
    vf sums = vf_sum_each(acc);
    if (n >= LANES)
        vf_store(s, start ? sums : vf_add(vf_load(s), sums));
    else
        vf_store_part(s, start ? sums : vf_add(vf_load_part(s, n), sums), n);
}

static void scores_pairs(const Block *b, const float *q, size_t nq, size_t e)
{
    _Alignas(64) float keys[LANES * E_CHUNK / 2];
    for (size_t j = b->low / LANES * LANES; j < b->high; j += LANES)
        for (size_t e0 = 0; e0 < e; e0 += E_CHUNK) {
            size_t part = e - e0 < E_CHUNK ? e - e0 : E_CHUNK;
            lay_key_pairs(b, j, e0, part, keys);
            for (size_t i = 0; i < nq; i++)
                score_pairs(q + i * e + e0, keys, part, e0 == 0, b->p + i * b->n + j, b->n - j);
        }
}

/* Weights go to the start of their row as bf16, behind the scores that are still to be read; the
 * last one gets a 0 beside it where n is odd. */
WIDE vf store_weight_pairs(float *p, size_t n, size_t j, vf w)
{
    size_t count = n - j < LANES ? (n - j + 1) / 2 * 2 : LANES;
    return vf_round_pairs((unsigned char *)p + 2 * j, w, count);
}

APART float fold_in_pairs(float *p, size_t n, size_t from, size_t to, float *m, float *l)
{
    return fold(store_weight_pairs, p, n, from, to, m, l);
}

/* Values of the pairs that some query sees, as (pairs, e_v); beside an odd last key are zeros. */
APART const float *zip_values(const Block *b, size_t e_v, float *dense, size_t *stride)
{
    *stride = e_v;
    for (size_t j = b->low / 2 * 2; j < b->high; j += 2) {
        const unsigned char *row = b->v + j * b->v_stride, *next = row + b->v_stride;
        float *to = dense + j / 2 * e_v;
        vf low, high, none = vf_set(0);
        size_t d = 0;
        for (; d + PAIR_LANES <= e_v; d += PAIR_LANES, to += PAIR_LANES) {
            vf beside = j + 1 < b->n ? vf_load_pairs(next + 2 * d) : none;
            vf_zip_pairs(vf_load_pairs(row + 2 * d), beside, &low, &high);
            vf_store(to, low);
            vf_store(to + LANES, high);
        }
        if (d == e_v) continue;
        size_t left = e_v - d;
        vf beside = j + 1 < b->n ? vf_load_pairs_part(next + 2 * d, left) : none;
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
                a[r][c] = vf_dot_pairs(vf_set(g->p[(size_t)r * g->p_stride + j]), x, a[r][c]);
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
