/* Attention by tiles of bf16 (AMX): keys and values of bf16, or of types that hold less and are
 * widened to bf16 block by block. (Semantics of TDPBF16PS: Intel SDM volume 2. An element of a tile
 * takes its products in the order of k, whatever else is in the tile; denormals count as zero.)
 *
 *   scores   transposed, keys down and queries across: K as it lies in the state is the left
 * factor, queries, packed once a run, the right one. 32 keys x 32 queries at a time weights  maxima
 * and exponentials go down the columns, so that no sum crosses a register; two rows of weights side
 * by side are a row of the right factor of the next product values   transposed too: V is packed as
 * (e_v, keys) once a run for all queries
 *
 * Queries and weights are rounded to bf16; sums are float32, the denominator sums the weights as
 * rounded. What a query does not see has weight 0. 0 times infinity or NaN is not 0: where a sum
 * has come out as no number, its queries are answered once more, one at a time, over values of
 * which nothing unseen is left. So a query alone gets the same bits. Other types go the way of
 * float32 (attend_avx512.c). */
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
};

typedef struct Tiles {
    const AttendRun *run;
    size_t steps;      /* of e */
    size_t depth;      /* pairs of tiles of e_v */
    uint16_t *queries; /* (groups of SIDE, steps) tiles: pairs of e down, queries across */
    const unsigned char *keys[ATTEND_BLOCKS];
    size_t key_stride; /* bytes */
    uint16_t *values;  /* (2 depth, ATTEND_RUN / STEP) tiles: e_v down, keys across */
    uint16_t *rows;    /* (ATTEND_BLOCK, STEP depth) a block of values as bf16 */
    uint16_t *none;    /* (STEP depth) zeros */
    float *scores;     /* (ATTEND_RUN, GROUP) */
    uint16_t *weights; /* (ATTEND_RUN / STEP, 2) tiles: pairs of keys down, queries across */
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

/* 16 rows of 16 numbers of 32 bits become columns. */
WIDE void transpose(__m512i *x)
{
    __m512i y[16];
    UNROLL
    for (int i = 0; i < 16; i += 2) {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    UNROLL
    for (int i = 0; i < 16; i += 4) {
        x[i] = _mm512_unpacklo_epi64(y[i], y[i + 2]);
        x[i + 1] = _mm512_unpackhi_epi64(y[i], y[i + 2]);
        x[i + 2] = _mm512_unpacklo_epi64(y[i + 1], y[i + 3]);
        x[i + 3] = _mm512_unpackhi_epi64(y[i + 1], y[i + 3]);
    }
    UNROLL
    for (int i = 0; i < 4; i++) {
        y[i] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0x88);
        y[i + 4] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0xdd);
        y[i + 8] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0x88);
        y[i + 12] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0xdd);
    }
    UNROLL
    for (int i = 0; i < 4; i++) {
        x[i] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0x88);
        x[i + 8] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0xdd);
        x[i + 4] = _mm512_shuffle_i32x4(y[i + 4], y[i + 12], 0x88);
        x[i + 12] = _mm512_shuffle_i32x4(y[i + 4], y[i + 12], 0xdd);
    }
}

APART void pack_queries(const Tiles *t)
{
    const AttendRun *run = t->run;
    uint16_t *to = t->queries;
    for (size_t i = 0; i < run->nq; i += SIDE)
        for (size_t d = 0; d < run->e; d += STEP, to += TILE) {
            __m512i x[SIDE];
            for (size_t j = 0; j < SIDE; j++) {
                const float *q = run->q + (i + j) * run->e + d;
                size_t left = run->e - d;
                if (i + j >= run->nq)
                    x[j] = _mm512_setzero_si512();
                else
                    x[j] = _mm512_castps_si512(left >= STEP ? vf_pairs_of(q)
                                                            : vf_pairs_of_part(q, left));
            }
            transpose(x);
            for (size_t j = 0; j < SIDE; j++) _mm512_store_si512(to + j * STEP, x[j]);
        }
}

/* n elements of a row as bf16, then zeros up to a multiple of STEP. */
WIDE void narrow_row(uint32_t type, const unsigned char *src, uint16_t *to, size_t n)
{
    if (type == DT_Q8_0) {
        for (size_t i = 0; i < n; i += Q8_BLOCK, src += Q8_BYTES) {
            float x[Q8_BLOCK];
            widen_q8_block(src, x, LANES);
            vf_store((float *)(void *)(to + i), vf_pairs_of(x));
        }
        return;
    }
    size_t i = 0;
    for (; i + STEP <= n; i += STEP)
        vf_store((float *)(void *)(to + i), vf_load_pairs(src + 2 * i));
    if (i < n) vf_store((float *)(void *)(to + i), vf_load_pairs_part(src + 2 * i, n - i));
}

/* Keys [low, high) as tiles read them: where they lie, or widened into `keys`. */
APART void lay_keys(Tiles *t, uint16_t *keys, size_t low, size_t high)
{
    const AttendRun *run = t->run;
    bool as_is = run->k_type == DT_BF16 && run->e % STEP == 0;
    size_t wide = t->steps * STEP;
    t->key_stride = as_is ? run->k_stride : wide * sizeof *keys;
    for (size_t b = low / ATTEND_BLOCK; b * ATTEND_BLOCK < high; b++) {
        uint16_t *to = keys + b * ATTEND_BLOCK * wide;
        t->keys[b] = as_is ? run->k[b] : (const unsigned char *)to;
        for (size_t j = 0; j < ATTEND_BLOCK && !as_is; j++)
            narrow_row(run->k_type, run->k[b] + j * run->k_stride, to + j * wide, run->e);
    }
}

/* 8 elements of STEP keys from row[i] + d: rows d .. d + 8 of a tile. */
WIDE void pack_eight(const uint16_t *const *row, size_t d, uint16_t *to)
{
    __m512i low[4], high[4], a, b;
    UNROLL
    for (int j = 0; j < 4; j++) {
#define FOUR(i)                                                                                    \
    _mm512_inserti32x4(                                                                            \
        _mm512_inserti32x4(                                                                        \
            _mm512_inserti32x4(                                                                    \
                _mm512_castsi128_si512(_mm_loadu_si128((const void *)(row[i] + d))),               \
                _mm_loadu_si128((const void *)(row[(i) + 8] + d)), 1),                             \
            _mm_loadu_si128((const void *)(row[(i) + 16] + d)), 2),                                \
        _mm_loadu_si128((const void *)(row[(i) + 24] + d)), 3)
        a = FOUR(2 * j);
        b = FOUR(2 * j + 1);
#undef FOUR
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

/* Values of keys [low, high); those of the rest of their steps are zero. */
APART void pack_values(const Tiles *t, size_t low, size_t high)
{
    const AttendRun *run = t->run;
    size_t deep = t->depth * STEP;
    memset(t->none, 0, deep * sizeof *t->none);
    bool as_is = run->v_type == DT_BF16 && run->e_v % STEP == 0;
    for (size_t b = low / ATTEND_BLOCK; b * ATTEND_BLOCK < high; b++) {
        const unsigned char *rows = run->v[b];
        size_t stride = run->v_stride, start = b * ATTEND_BLOCK;
        if (!as_is) {
            for (size_t j = 0; j < ATTEND_BLOCK; j++)
                narrow_row(run->v_type, rows + j * stride, t->rows + j * deep, run->e_v);
            rows = (const unsigned char *)t->rows;
            stride = deep * sizeof *t->rows;
        }
        for (size_t j0 = 0; j0 < ATTEND_BLOCK; j0 += STEP) {
            const uint16_t *row[STEP];
            uint16_t *to = t->values + (start + j0) / STEP * TILE;
            for (size_t j = 0; j < STEP; j++) {
                size_t at = start + j0 + j;
                row[j] =
                    at >= low && at < high ? (const void *)(rows + (j0 + j) * stride) : t->none;
            }
            for (size_t d = 0; d < deep; d += SIDE, to += ATTEND_RUN / STEP * TILE) {
                pack_eight(row, d, to);
                pack_eight(row, d + 8, to + TILE / 2);
            }
        }
    }
}

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

APART void scores_of_one(const Tiles *t, const Bunch *b)
{
    const uint16_t *q0 = t->queries + b->at / SIDE * t->steps * TILE;
    WRITTEN;
    for (size_t j = b->low; j < b->high; j += STEP) {
        size_t stride = t->key_stride;
        const unsigned char *k = t->keys[j / ATTEND_BLOCK] + j % ATTEND_BLOCK * stride;
        float *to = t->scores + j * GROUP;
        _tile_zero(0);
        _tile_zero(2);
        for (size_t i = 0; i < t->steps; i++) {
            _tile_loadd(4, k + i * 2 * STEP, stride);
            _tile_loadd(5, k + SIDE * stride + i * 2 * STEP, stride);
            _tile_loadd(6, q0 + i * TILE, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(2, 5, 6);
        }
        _tile_stored(0, to, 4 * GROUP);
        _tile_stored(2, to + SIDE * GROUP, 4 * GROUP);
    }
}

/* ---- weights ---- */

APART void cap_scores(const Tiles *t, const Bunch *b)
{
    vf cap = vf_set(t->run->soft_cap);
    for (float *s = t->scores + b->low * GROUP; s < t->scores + b->high * GROUP; s += GROUP)
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
            float *s = t->scores + j * GROUP + i;
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

/* Maxima, weights and denominators of one tile of queries. */
APART void weigh(const Tiles *t, const Bunch *b, size_t tile)
{
    const float *s = t->scores + tile * SIDE;
    uint16_t *to = t->weights + b->low / STEP * 2 * TILE + tile * TILE;
    size_t n = b->count - tile * SIDE < SIDE ? b->count - tile * SIDE : SIDE;
    vf top = vf_set(-INFINITY), other = top, log2e = vf_set(1.44269504f);
    for (size_t j = b->low; j < b->high; j += 4) {
        const float *at = s + j * GROUP;
        top = vf_max(vf_max(vf_load(at), vf_load(at + GROUP)), top);
        other = vf_max(vf_max(vf_load(at + 2 * GROUP), vf_load(at + 3 * GROUP)), other);
    }
    top = vf_max(top, other);
    vf_store_part(t->run->m + b->at + tile * SIDE, top, n);
    /* a query that sees nothing: its scores are -inf and must not be taken from -inf */
    __mmask16 none = _mm512_cmp_ps_mask(top, vf_set(-INFINITY), _CMP_EQ_OQ);
    vf less = _mm512_mask_blend_ps(none, vf_mul(top, vf_set(-1.44269504f)), vf_set(0));
    vf sum = vf_set(0), ones = _mm512_castsi512_ps(_mm512_set1_epi16(0x3f80));
    __m512i half = _mm512_set1_epi32(0x8000), upper = _mm512_set1_epi32((int)0xffff0000);
    for (size_t j = b->low; j < b->high; j += STEP, to += 2 * TILE) {
        const float *at = s + j * GROUP;
        UNROLL
        for (size_t i = 0; i < SIDE; i++) {
            vf even = power_of_two(vf_fma(vf_load(at + 2 * i * GROUP), log2e, less));
            vf odd = power_of_two(vf_fma(vf_load(at + (2 * i + 1) * GROUP), log2e, less));
            __m512i x = _mm512_srli_epi32(_mm512_add_epi32(_mm512_castps_si512(even), half), 16);
            __m512i y = _mm512_add_epi32(_mm512_castps_si512(odd), half);
            x = _mm512_ternarylogic_epi32(x, y, upper, 0xf8); /* x | (y & upper) */
            _mm512_store_si512(to + i * STEP, x);
            sum = vf_dot_pairs(_mm512_castsi512_ps(x), ones, sum);
        }
    }
    vf_store_part(t->run->l + b->at + tile * SIDE, sum, n);
}

/* ---- values ---- */

/* A tile (e_v, queries) from d0 on becomes rows of acc. Returns zeros, NaN where a number is not
 * finite. */
WIDE vf put(const float *tile, float *acc, size_t e_v, size_t d0, size_t n)
{
    __m512i x[SIDE];
    vf odd = vf_set(0);
    UNROLL
    for (size_t i = 0; i < SIDE; i++) x[i] = _mm512_load_si512(tile + i * SIDE);
    transpose(x);
    UNROLL
    for (size_t i = 0; i < SIDE; i++) {
        if (i >= n) break;
        vf row = _mm512_castsi512_ps(x[i]);
        odd = vf_fma(row, vf_set(0), odd);
        if (d0 + SIDE <= e_v)
            vf_store(acc + i * e_v + d0, row);
        else
            vf_store_part(acc + i * e_v + d0, row, e_v - d0);
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

static bool answer(const Tiles *t, const Bunch *b)
{
    if (b->wide == 2)
        scores_of_two(t, b);
    else
        scores_of_one(t, b);
    WRITTEN;
    if (t->run->soft_cap != 0) cap_scores(t, b);
    hide_unseen(t, b);
    for (size_t tile = 0; tile < b->wide; tile++) weigh(t, b, tile);
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
        b.at = 0;
        pack_queries(&one);
        pack_values(&one, (size_t)run->first[i], (size_t)run->limit[i]);
        answer(&one, &b);
    }
}

static Tiles cut_work(const AttendRun *run)
{
    Tiles t = {.run = run,
               .steps = (run->e + STEP - 1) / STEP,
               .depth = (run->e_v + STEP - 1) / STEP,
               .scores = run->work};
    t.weights = (uint16_t *)(void *)(t.scores + ATTEND_RUN * GROUP);
    t.queries = t.weights + ATTEND_RUN * GROUP;
    t.values = t.queries + attend_up(run->nq, GROUP) * t.steps * STEP;
    t.rows = t.values + ATTEND_RUN * t.depth * STEP;
    t.none = t.rows + ATTEND_BLOCK * t.depth * STEP;
    return t;
}

static void attend_tiles(const AttendRun *run)
{
    Tiles t = cut_work(run);
    Bunch all = bunch_of(run, 0, run->nq);
    bool finite = true;
    if (all.first >= all.limit) {
        nothing_seen(run, &all);
        return;
    }
    tiles_on();
    pack_queries(&t);
    lay_keys(&t, t.none + t.depth * STEP, all.first, all.limit);
    pack_values(&t, all.first, all.limit);
    for (size_t i = 0; i < run->nq; i += GROUP) {
        Bunch b = bunch_of(run, i, run->nq - i < GROUP ? run->nq - i : GROUP);
        if (b.first >= b.limit)
            nothing_seen(run, &b);
        else
            finite &= answer(&t, &b);
    }
    if (!finite) answer_apart(&t, &all);
    _tile_release();
}

static bool in_bf16(uint32_t type)
{
    return type == DT_BF16 || type == DT_Q8_0;
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
