/* Attention by tiles of bf16 (AMX): keys and values of bf16, or of types that hold less and are
 * widened to bf16 on the way. (TDPBF16PS: Intel SDM volume 2. An element of a tile takes its
 * products in the order of k, whatever else is in the tile; denormals count as zero.)
 *
 * Scores are made transposed, keys down and queries across: keys as they lie in the state are the
 * left factor, queries, packed once a run, the right one. So maxima and exponentials go down the
 * columns and no sum crosses a register, and two rows of weights side by side are a row of a right
 * factor. For many queries values are transposed once a run, as left factors, and give (e_v,
 * queries); for few, pairs of keys are the right factor, and the weights are turned.
 *
 * Queries and weights are rounded to bf16; sums are float32, the denominator sums the weights as
 * rounded. What a query does not see has weight 0. 0 times infinity or NaN is not 0: where a sum
 * has come out as no number, its queries are answered once more, one at a time, over values of
 * which nothing unseen is left. So a query alone gets the same bits. Other types go the way of
 * float32 (attend_avx512.c). */
#include "kernels/x86/attend_tiles.h"

/* ---- scores ---- */

APART void scores_of_two(const Tiles *t, const Bunch *b)
{
    const uint16_t *q0 = t->queries + b->at / SIDE * t->steps * TILE, *q1 = q0 + t->steps * TILE;
    WRITTEN;
    for (size_t j = b->low; j < b->high; j += STEP) {
        size_t stride = t->key_stride;
        const unsigned char *k = t->keys[j / ATTEND_BLOCK] + j % ATTEND_BLOCK * stride;
        float *to = t->scores + j * GROUP;
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (size_t i = 0; i < t->steps; i++) {
            _tile_loadd(4, k + i * 2 * STEP, stride);
            _tile_loadd(6, q0 + i * TILE, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(7, q1 + i * TILE, 64);
            _tile_dpbf16ps(1, 4, 7);
            _tile_loadd(5, k + SIDE * stride + i * 2 * STEP, stride);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
        _tile_stored(0, to, 4 * GROUP);
        _tile_stored(1, to + SIDE, 4 * GROUP);
        _tile_stored(2, to + SIDE * GROUP, 4 * GROUP);
        _tile_stored(3, to + SIDE * GROUP + SIDE, 4 * GROUP);
    }
}

/* ---- fetching ---- */

/* The state has the blocks of a head megabytes apart: the CPU does not see them coming. While one
 * run is computed the next is fetched, evenly all the way, or memory would rest whenever nothing is
 * read; a run that nobody fetched so is fetched a little ahead of its use. */

enum { MOST_LINES = 8 /* at a time */ };

static void blocks_ahead(Ahead *a, const unsigned char *const *blocks, size_t n, size_t stride)
{
    for (size_t b = 0; b * ATTEND_BLOCK < n; b++) {
        size_t rows = n - b * ATTEND_BLOCK < ATTEND_BLOCK ? n - b * ATTEND_BLOCK : ATTEND_BLOCK;
        if (!blocks[b]) continue;
        a->from[a->n] = blocks[b];
        a->to[a->n++] = blocks[b] + rows * stride;
    }
}

/* Of the next run, in so many turns. */
static Ahead run_ahead(const AttendRun *run, size_t turns)
{
    Ahead a = {.next = 0};
    size_t bytes = 0;
    blocks_ahead(&a, run->next_k, run->next_n, run->k_stride);
    blocks_ahead(&a, run->next_v, run->next_n, run->v_stride);
    for (size_t i = 0; i < a.n; i++) bytes += (size_t)(a.to[i] - a.from[i]);
    a.share = (bytes / 64 + turns - 1) / turns;
    if (a.share > MOST_LINES) a.share = MOST_LINES;
    return a;
}

WIDE void fetch_next(Ahead *a)
{
    for (size_t n = a->share; n; n--, a->at += 64) {
        if (a->at >= a->end) {
            if (a->next == a->n) return;
            a->at = a->from[a->next];
            a->end = a->to[a->next++];
        }
        __builtin_prefetch(a->at, 0, 2);
    }
}

/* STEP rows from j on of these blocks, or of those that are read after them. */
APART void fetch_own(const unsigned char *const *now, const unsigned char *const *then, size_t j,
                     size_t stride)
{
    const unsigned char *const *blocks = j < ATTEND_RUN ? now : then;
    const unsigned char *at = blocks ? blocks[j % ATTEND_RUN / ATTEND_BLOCK] : NULL;
    if (!at) return;
    at += j % ATTEND_BLOCK * stride;
    for (size_t i = 0; i < STEP * stride; i += 64) __builtin_prefetch(at + i, 0, 2);
}

/* STEP keys from j on, for tiles. */
WIDE const unsigned char *step_of_keys(const Tiles *t, size_t j)
{
    const AttendRun *run = t->run;
    const unsigned char *k = run->k[j / ATTEND_BLOCK] + j % ATTEND_BLOCK * run->k_stride;
    if (t->keys_lie) return k;
    uint16_t *near = t->widened + j / STEP % RING * STEP * t->steps * STEP;
    narrow_any(run->k_type, k, run->k_stride, STEP, run->e, near);
    return (const unsigned char *)near;
}

/* For few queries: keys are widened on the way, a step ahead of the tiles that read them. */
APART void scores_of_one(const Tiles *t, const Bunch *b)
{
    const uint16_t *q0 = t->queries + b->at / SIDE * t->steps * TILE;
    const unsigned char *k = step_of_keys(t, b->low), *next = k;
    size_t stride = t->key_stride;
    for (size_t j = b->low; j < b->high; j += STEP, k = next) {
        float *to = t->scores + j * SIDE;
        if (!t->run->fetched) fetch_own(t->run->k, t->run->v, j + FAR, t->run->k_stride);
        if (j + STEP < b->high) next = step_of_keys(t, j + STEP);
        WRITTEN;
        _tile_zero(0);
        _tile_zero(2);
        for (size_t i = 0; i < t->steps; i++) {
            fetch_next(t->ahead);
            fetch_next(t->ahead);
            _tile_loadd(4, k + i * 2 * STEP, stride);
            _tile_loadd(5, k + SIDE * stride + i * 2 * STEP, stride);
            fetch_next(t->ahead);
            fetch_next(t->ahead);
            _tile_loadd(6, q0 + i * TILE, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(2, 5, 6);
        }
        _tile_stored(0, to, 4 * SIDE);
        _tile_stored(2, to + SIDE * SIDE, 4 * SIDE);
    }
}

/* ---- weights ---- */

APART void cap_scores(const Tiles *t, const Bunch *b)
{
    vf cap = vf_set(t->run->soft_cap);
    size_t row = t->row;
    for (float *s = t->scores + b->low * row; s < t->scores + b->high * row; s += row)
        for (size_t i = 0; i < b->wide * SIDE; i += SIDE)
            vf_store(s + i, vf_mul(cap, vf_tanh(vf_div(vf_load(s + i), cap))));
}

/* Scores of keys that a query does not see become -inf. Columns without a query are like the last
 * query's. */
APART void hide_unseen(const Tiles *t, const Bunch *b)
{
    _Alignas(64) int32_t first[GROUP], limit[GROUP];
    for (size_t i = 0; i < GROUP; i++) {
        size_t at = b->at + (i < b->count ? i : b->count - 1);
        first[i] = t->run->first[at];
        limit[i] = t->run->limit[at];
    }
    for (size_t i = 0; i < b->wide * SIDE; i += SIDE) {
        __m512i from = _mm512_load_si512(first + i), to = _mm512_load_si512(limit + i);
        for (size_t j = b->low; j < b->high; j++) {
            if (j == b->sure && b->until > j) j = b->until;
            if (j == b->high) break;
            float *s = t->scores + j * t->row + i;
            __m512i at = _mm512_set1_epi32((int)j);
            __mmask16 seen = _mm512_cmple_epi32_mask(from, at) & _mm512_cmplt_epi32_mask(at, to);
            vf_store(s, _mm512_mask_blend_ps(seen, vf_set(-INFINITY), vf_load(s)));
        }
    }
}

/* 2^x for x <= 0, within 2^-13 of it: it is rounded to 2^-9 next. 2^r over [0, 1) by a polynomial
 * of least largest relative error, that is 1 at 0. */
WIDE vf power_of_two(vf x)
{
    vf r = _mm512_reduce_ps(x, 0x09); /* x - floor(x) */
    vf p = vf_fma(vf_set(0.0770672f), r, vf_set(0.22764482f));
    p = vf_fma(p, r, vf_set(0.69511682f));
    p = vf_fma(p, r, vf_set(1.0f));
    return _mm512_scalef_ps(p, x);
}

/* Maxima, weights and denominators of one tile of queries; `row` of them lie side by side. */
WIDE void weigh(const Tiles *t, const Bunch *b, size_t tile, const size_t row)
{
    const float *s = t->scores + tile * SIDE;
    uint16_t *to = t->weights + b->low * row + tile * TILE;
    size_t n = b->count - tile * SIDE < SIDE ? b->count - tile * SIDE : SIDE;
    vf top = vf_set(-INFINITY), other = top, log2e = vf_set(1.44269504f);
    for (size_t j = b->low; j < b->high; j += 4) {
        const float *at = s + j * row;
        top = vf_max(vf_max(vf_load(at), vf_load(at + row)), top);
        other = vf_max(vf_max(vf_load(at + 2 * row), vf_load(at + 3 * row)), other);
    }
    top = vf_max(top, other);
    vf_store_part(t->run->m + b->at + tile * SIDE, top, n);
    /* a query that sees nothing: its scores are -inf and must not be taken from -inf */
    __mmask16 none = _mm512_cmp_ps_mask(top, vf_set(-INFINITY), _CMP_EQ_OQ);
    vf less = _mm512_mask_blend_ps(none, vf_mul(top, vf_set(-1.44269504f)), vf_set(0));
    vf sum = vf_set(0), ones = _mm512_castsi512_ps(_mm512_set1_epi16(0x3f80));
    __m512i half = _mm512_set1_epi32(0x8000), upper = _mm512_set1_epi32((int)0xffff0000);
    for (size_t j = b->low; j < b->high; j += STEP, to += STEP * row) {
        const float *at = s + j * row;
        UNROLL
        for (size_t i = 0; i < SIDE; i++) {
            fetch_next(t->ahead);
            vf even = power_of_two(vf_fma(vf_load(at + 2 * i * row), log2e, less));
            vf odd = power_of_two(vf_fma(vf_load(at + (2 * i + 1) * row), log2e, less));
            __m512i x = _mm512_srli_epi32(_mm512_add_epi32(_mm512_castps_si512(even), half), 16);
            __m512i y = _mm512_add_epi32(_mm512_castps_si512(odd), half);
            x = _mm512_ternarylogic_epi32(x, y, upper, 0xf8); /* x | (y & upper) */
            _mm512_store_si512(to + i * STEP, x);
            sum = vf_dot_pairs(_mm512_castsi512_ps(x), ones, sum);
        }
    }
    vf_store_part(t->run->l + b->at + tile * SIDE, sum, n);
}

APART void weigh_many(const Tiles *t, const Bunch *b, size_t tile)
{
    weigh(t, b, tile, GROUP);
}

APART void weigh_few(const Tiles *t, const Bunch *b)
{
    weigh(t, b, 0, SIDE);
}

/* ---- values ---- */

/* A tile (e_v, queries) from d0 on becomes rows of acc. Returns zeros, NaN where a number is not
 * finite. */
WIDE vf put(const float *tile, float *acc, size_t e_v, size_t d0, size_t n)
{
    vf x[SIDE], odd = vf_set(0);
    UNROLL
    for (size_t i = 0; i < SIDE; i++) x[i] = vf_load(tile + i * SIDE);
    vf_turn(x);
    UNROLL
    for (size_t i = 0; i < SIDE; i++) {
        if (i >= n) break;
        odd = vf_fma(x[i], vf_set(0), odd);
        if (d0 + SIDE <= e_v)
            vf_store(acc + i * e_v + d0, x[i]);
        else
            vf_store_part(acc + i * e_v + d0, x[i], e_v - d0);
    }
    return odd;
}

APART bool put_four(const Tiles *t, const Bunch *b, const float *tiles, size_t d0)
{
    float *acc = t->run->acc + b->at * t->run->e_v;
    size_t e_v = t->run->e_v;
    vf odd = vf_set(0);
    for (size_t tile = 0; tile < b->wide; tile++)
        for (size_t d = 0; d < 2 && d0 + d * SIDE < e_v; d++) {
            size_t left = b->count - tile * SIDE;
            odd = vf_add(odd, put(tiles + (2 * d + tile) * SIDE * SIDE, acc + tile * SIDE * e_v,
                                  e_v, d0 + d * SIDE, left < SIDE ? left : SIDE));
        }
    return _mm512_cmp_ps_mask(odd, odd, _CMP_UNORD_Q) == 0;
}

/* Weights times values; whether all came out finite. */
APART bool values_of(const Tiles *t, const Bunch *b)
{
    _Alignas(64) float out[4 * SIDE * SIDE];
    size_t begin = b->low / STEP, end = b->high / STEP, row = ATTEND_RUN / STEP * TILE;
    bool finite = true;
    WRITTEN;
    for (size_t d = 0; d < t->depth; d++) {
        const uint16_t *v = t->values + 2 * d * row + begin * TILE;
        const uint16_t *w = t->weights + begin * 2 * TILE;
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (size_t j = begin; j < end; j++, v += TILE, w += 2 * TILE) {
            _tile_loadd(4, v, 64);
            _tile_loadd(6, w, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(5, v + row, 64);
            _tile_dpbf16ps(2, 5, 6);
            if (b->wide == 1) continue;
            _tile_loadd(7, w + TILE, 64);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(3, 5, 7);
        }
        _tile_stored(0, out, 64);
        _tile_stored(1, out + SIDE * SIDE, 64);
        _tile_stored(2, out + 2 * SIDE * SIDE, 64);
        _tile_stored(3, out + 3 * SIDE * SIDE, 64);
        WRITTEN;
        finite &= put_four(t, b, out, d * STEP);
    }
    return finite;
}

/* The weights of up to SIDE queries become rows: left factors. */
APART void turn_weights(const Tiles *t, const Bunch *b)
{
    for (size_t j = b->low / STEP; j < b->high / STEP; j++) {
        float *tile = (float *)(void *)(t->weights + j * TILE);
        vf x[SIDE];
        UNROLL
        for (size_t i = 0; i < SIDE; i++) x[i] = vf_load(tile + i * SIDE);
        vf_turn(x);
        UNROLL
        for (size_t i = 0; i < SIDE; i++) vf_store(tile + i * SIDE, x[i]);
    }
}

/* Two tiles (queries, e_v) as pair_up mixed them become rows of acc, from d0 on. */
APART bool put_rows(const Tiles *t, const Bunch *b, const float *tiles, size_t d0)
{
    const __m512i low = _mm512_set_epi32(23, 22, 21, 20, 7, 6, 5, 4, 19, 18, 17, 16, 3, 2, 1, 0);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    size_t e_v = t->run->e_v, left = e_v - d0;
    float *acc = t->run->acc + b->at * e_v + d0;
    vf odd = vf_set(0);
    for (size_t i = 0; i < b->count; i++, acc += e_v) {
        vf x = vf_load(tiles + i * SIDE), y = vf_load(tiles + SIDE * SIDE + i * SIDE);
        odd = vf_fma(vf_add(x, y), vf_set(0), odd);
        vf first = _mm512_permutex2var_ps(x, low, y), second = _mm512_permutex2var_ps(x, high, y);
        if (left < SIDE)
            vf_store_part(acc, first, left);
        else
            vf_store(acc, first);
        if (left >= STEP)
            vf_store(acc + SIDE, second);
        else if (left > SIDE)
            vf_store_part(acc + SIDE, second, left - SIDE);
    }
    return _mm512_cmp_ps_mask(odd, odd, _CMP_UNORD_Q) == 0;
}

/* Elements [d, d + STEP) of STEP keys, pairs of keys down: elements 0-3, 8-11, 16-19, 24-27 in one
 * tile, the rest in the next. */
WIDE void pair_up(uint32_t type, const unsigned char *const *row, size_t d, size_t n, uint16_t *to,
                  Ahead *ahead)
{
    for (size_t j = 0; j < SIDE; j++) {
        fetch_next(ahead);
        __m512i x = _mm512_castps_si512(narrow(type, row[2 * j], d, n));
        __m512i y = _mm512_castps_si512(narrow(type, row[2 * j + 1], d, n));
        _mm512_store_si512(to + j * STEP, _mm512_unpacklo_epi16(x, y));
        _mm512_store_si512(to + TILE + j * STEP, _mm512_unpackhi_epi16(x, y));
    }
}

APART void pair_up_any(uint32_t type, const unsigned char *const *row, size_t d, size_t n,
                       uint16_t *to, Ahead *ahead)
{
    if (type == DT_Q8_0)
        pair_up(DT_Q8_0, row, d, n, to, ahead);
    else if (type == DT_Q4_0)
        pair_up(DT_Q4_0, row, d, n, to, ahead);
    else
        pair_up(DT_BF16, row, d, n, to, ahead);
}

/* Columns [d, d + 2 STEP) of STEP values from j on, for tiles. */
WIDE const uint16_t *step_of_values(const Tiles *t, const Bunch *b, size_t d, size_t j)
{
    const AttendRun *run = t->run;
    const unsigned char *row[STEP];
    uint16_t *v = t->values + j / STEP % RING * 4 * TILE;
    value_rows(run, t->none, j, b->first, b->limit, row);
    pair_up_any(run->v_type, row, d, run->e_v, v, t->ahead);
    if (d + STEP < run->e_v)
        pair_up_any(run->v_type, row, d + STEP, run->e_v, v + 2 * TILE, t->ahead);
    return v;
}

/* values_of, where queries are few: values are the right factor, pairs of keys down, made a step
 * ahead. Products and their order are the same, and so are the bits. */
APART bool values_of_few(const Tiles *t, const Bunch *b)
{
    _Alignas(64) float out[4 * SIDE * SIDE];
    bool finite = true;
    turn_weights(t, b);
    for (size_t d = 0; d < t->run->e_v; d += 2 * STEP) {
        const uint16_t *w = t->weights + b->low / STEP * TILE;
        const uint16_t *v = step_of_values(t, b, d, b->low), *next = v;
        bool two = d + STEP < t->run->e_v;
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (size_t j = b->low; j < b->high; j += STEP, w += TILE, v = next) {
            if (d == 0 && !t->run->fetched) fetch_own(t->run->v, NULL, j + FAR, t->run->v_stride);
            if (j + STEP < b->high) next = step_of_values(t, b, d, j + STEP);
            WRITTEN;
            _tile_loadd(4, w, 64);
            _tile_loadd(5, v, 64);
            _tile_dpbf16ps(0, 4, 5);
            _tile_loadd(6, v + TILE, 64);
            _tile_dpbf16ps(1, 4, 6);
            if (!two) continue;
            _tile_loadd(7, v + 2 * TILE, 64);
            _tile_dpbf16ps(2, 4, 7);
            _tile_loadd(5, v + 3 * TILE, 64);
            _tile_dpbf16ps(3, 4, 5);
        }
        _tile_stored(0, out, 64);
        _tile_stored(1, out + SIDE * SIDE, 64);
        _tile_stored(2, out + 2 * SIDE * SIDE, 64);
        _tile_stored(3, out + 3 * SIDE * SIDE, 64);
        WRITTEN;
        finite &= put_rows(t, b, out, d);
        if (two) finite &= put_rows(t, b, out + 2 * SIDE * SIDE, d + STEP);
    }
    return finite;
}

/* ---- all of it ---- */

static Bunch bunch_of(const AttendRun *run, size_t at, size_t count)
{
    Bunch b = {.at = at, .count = count, .first = run->n, .until = run->n};
    b.wide = (count + SIDE - 1) / SIDE;
    for (size_t i = at; i < at + count; i++) {
        size_t first = (size_t)run->first[i], limit = (size_t)run->limit[i];
        if (first < limit && first < b.first) b.first = first;
        if (first < limit && limit > b.limit) b.limit = limit;
        if (first > b.sure) b.sure = first;
        if (limit < b.until) b.until = limit;
    }
    b.low = b.first / STEP * STEP;
    b.high = attend_up(b.limit, STEP);
    return b;
}

static void nothing_seen(const AttendRun *run, const Bunch *b)
{
    for (size_t i = b->at; i < b->at + b->count; i++) run->m[i] = -INFINITY, run->l[i] = 0;
    memset(run->acc + b->at * run->e_v, 0, b->count * run->e_v * sizeof *run->acc);
}

/* One query, or as many as stand in a tile; or more, their keys and values laid out before. */
static bool answer(const Tiles *t, const Bunch *b, bool few)
{
    if (few)
        scores_of_one(t, b);
    else
        scores_of_two(t, b);
    WRITTEN;
    if (t->run->soft_cap != 0) cap_scores(t, b);
    hide_unseen(t, b);
    if (few) {
        weigh_few(t, b);
        return values_of_few(t, b);
    }
    for (size_t tile = 0; tile < b->wide; tile++) weigh_many(t, b, tile);
    return values_of(t, b);
}

/* Each query over nothing but the values that it sees. What was packed is lost. */
static void answer_apart(const Tiles *t, const Bunch *bunch)
{
    const AttendRun *run = t->run;
    for (size_t i = bunch->at; i < bunch->at + bunch->count; i++) {
        Tiles one = *t;
        AttendRun alone = *run;
        Bunch b = bunch_of(run, i, 1);
        nothing_seen(run, &b);
        if (b.first >= b.limit) continue;
        alone.q += i * run->e, alone.nq = 1;
        alone.first += i, alone.limit += i;
        alone.m += i, alone.l += i, alone.acc += i * run->e_v;
        one.run = &alone;
        one.row = SIDE;
        b.at = 0;
        pack_queries(&one);
        answer(&one, &b, true);
    }
}

static Tiles cut_work(const AttendRun *run)
{
    Tiles t = {.run = run,
               .steps = (run->e + STEP - 1) / STEP,
               .depth = (run->e_v + STEP - 1) / STEP,
               .keys_lie = run->k_type == DT_BF16 && run->e % STEP == 0,
               .scores = run->work};
    size_t wide = t.steps * STEP, deep = t.depth * STEP;
    t.key_stride = t.keys_lie ? run->k_stride : wide * sizeof *t.widened;
    t.weights = (uint16_t *)(void *)(t.scores + ATTEND_RUN * GROUP);
    t.queries = t.weights + ATTEND_RUN * GROUP;
    t.widened = t.queries + attend_up(run->nq, GROUP) * wide;
    t.values = t.widened + ATTEND_RUN * wide;
    t.rows = t.values + ATTEND_RUN * deep;
    t.none = (unsigned char *)(t.rows + STEP * deep);
    memset(t.none, 0, deep * sizeof *t.rows);
    return t;
}

static void attend_tiles(const AttendRun *run)
{
    Tiles t = cut_work(run);
    Bunch all = bunch_of(run, 0, run->nq);
    bool finite = true, few = run->nq <= SIDE;
    t.row = few ? SIDE : GROUP;
    if (all.first >= all.limit) {
        nothing_seen(run, &all);
        return;
    }
    /* What is too small to count is zero, as it is in tiles; else it would be slow. */
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | _MM_FLUSH_ZERO_ON | _MM_DENORMALS_ZERO_ON);
    tiles_on();
    pack_queries(&t);
    Ahead ahead = {.next = 0};
    t.ahead = &ahead;
    if (few)
        ahead = run_ahead(run, (all.high - all.low) / STEP * (4 * t.steps + SIDE + SIDE * t.depth));
    if (!few) {
        lay_keys(&t, all.first, all.limit);
        pack_values(&t, all.first, all.limit);
    }
    for (size_t i = 0; i < run->nq; i += GROUP) {
        Bunch b = bunch_of(run, i, run->nq - i < GROUP ? run->nq - i : GROUP);
        if (b.first >= b.limit)
            nothing_seen(run, &b);
        else
            finite &= answer(&t, &b, few);
    }
    if (!finite) answer_apart(&t, &all);
    _tile_release();
    _mm_setcsr(before);
}

static bool in_bf16(uint32_t type)
{
    return type == DT_BF16 || type == DT_Q8_0 || type == DT_Q4_0;
}

static void attend(const AttendRun *run)
{
    if (in_bf16(run->k_type) && in_bf16(run->v_type)) {
        attend_tiles(run);
    } else {
        Kernels floats;
        kernels_avx512_attend(&floats);
        floats.attend(run);
    }
}

void kernels_amxbf16_attend(Kernels *table)
{
    table->attend = attend;
}
