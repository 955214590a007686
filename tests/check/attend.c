/* Row of attend: right within float32 (bf16 where that is what is multiplied), and the bits for a
 * query do not depend on the other queries beside it, nor on keys it does not see. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/cpu.h"
#include "check.h"
#include "tensor/dtype.h"

static const uint32_t types[] = {DT_F32, DT_BF16, DT_F16, DT_Q8_0, DT_Q4_0};
enum { TYPES = sizeof types / sizeof types[0] };

typedef struct State {
    float *m, *l, *acc;
} State;

static size_t unit(uint32_t type)
{
    return type == DT_F32 ? 4 : 2;
}

/* Whole blocks; the rows from n on are NaN. */
static void draw_blocks(Check *c, uint32_t type, size_t n, size_t width, size_t stride,
                        const unsigned char **blocks)
{
    float *plain = check_floats(c, n * width, 1);
    for (size_t i = 0; i < n * width; i++) plain[i] = fminf(fmaxf(plain[i], -4), 4);
    size_t bytes = (ATTEND_BLOCK - 1) * stride + (size_t)dtype_row_bytes(type, width);
    for (size_t b = 0; b * ATTEND_BLOCK < n; b++) {
        unsigned char *rows = check_out(c, bytes, unit(type));
        for (size_t j = 0; j < ATTEND_BLOCK && b * ATTEND_BLOCK + j < n; j++)
            c->ref->from_f32(type, plain + (b * ATTEND_BLOCK + j) * width, rows + j * stride,
                             width);
        blocks[b] = rows;
    }
}

static size_t whole_blocks(uint32_t type, size_t width)
{
    size_t block = (size_t)dtype_info(type)->block;
    return (width + block - 1) / block * block;
}

static void draw_sight(Check *c, AttendRun *a)
{
    int32_t *first = check_in(c, a->nq * 4, 4), *limit = check_in(c, a->nq * 4, 4);
    bool causal = check_below(c, 2);
    for (size_t i = 0; i < a->nq; i++) {
        size_t to = check_below(c, a->n + 1);
        if (causal) to = a->n > a->nq ? a->n - a->nq + i + 1 : a->n;
        limit[i] = (int32_t)to;
        first[i] = causal ? 0 : (int32_t)check_below(c, to + 1);
    }
    a->first = first, a->limit = limit;
}

static AttendRun draw(Check *c)
{
    AttendRun a = {.k_type = types[check_below(c, TYPES)]};
    static const size_t widths[] = {64, 128, 80, 96, 32, 256};
    a.v_type = check_below(c, 3) ? a.k_type : types[check_below(c, TYPES)];
    a.e = widths[check_below(c, 6)], a.e_v = check_below(c, 3) ? a.e : widths[check_below(c, 6)];
    if (check_below(c, 3) == 0) a.e = 1 + check_below(c, 140), a.e_v = 1 + check_below(c, 140);
    a.e = whole_blocks(a.k_type, a.e), a.e_v = whole_blocks(a.v_type, a.e_v);
    a.nq = 1 + check_size(c, 70), a.n = check_size(c, ATTEND_RUN);
    a.k_stride = (size_t)dtype_row_bytes(a.k_type, a.e) + unit(a.k_type) * check_below(c, 3);
    a.v_stride = (size_t)dtype_row_bytes(a.v_type, a.e_v) + unit(a.v_type) * check_below(c, 3);
    a.soft_cap = check_below(c, 3) ? 0 : 5.0f;
    float *q = check_floats(c, a.nq * a.e, 1);
    for (size_t i = 0; i < a.nq * a.e; i++) /* very large scores say only which is the largest */
        q[i] = fminf(fmaxf(q[i], -4), 4) / sqrtf((float)a.e);
    a.q = q;
    draw_blocks(c, a.k_type, a.n, a.e, a.k_stride, a.k);
    draw_blocks(c, a.v_type, a.n, a.e_v, a.v_stride, a.v);
    draw_sight(c, &a);
    if (check_below(c, 2)) { /* what is fetched ahead changes nothing, wherever it lies */
        memcpy(a.next_k, a.v, sizeof a.next_k);
        memcpy(a.next_v, a.k, sizeof a.next_v);
        a.next_n = check_size(c, ATTEND_RUN);
        a.fetched = check_below(c, 2);
    }
    return a;
}

static State run(Check *c, const Kernels *table, AttendRun a)
{
    State s = {check_out(c, a.nq * 4, 4), check_out(c, a.nq * 4, 4),
               check_out(c, a.nq * a.e_v * 4, 4)};
    a.m = s.m, a.l = s.l, a.acc = s.acc;
    a.work = check_out(c, attend_work_floats(a.nq, a.e, a.e_v) * 4, 64);
    table->attend(&a);
    return s;
}

/* ---- what is rounded to bf16 before it is multiplied ---- */

static bool in_tiles(const Check *c, const AttendRun *a)
{
    bool amx =
        cpu_features() & CPU_AMXBF16 && c->fast->attend == kernels_select(cpu_features())->attend;
    uint32_t k = a->k_type, v = a->v_type;
    return amx && k != DT_F32 && k != DT_F16 && v != DT_F32 && v != DT_F16;
}

static bool rounds(const Check *c, const AttendRun *a, uint32_t type)
{
    return in_tiles(c, a) || (type == DT_BF16 && check_rounds_to_bf16(c));
}

/* Blocks of `type` as they are rounded to bf16. */
static size_t round_blocks(Check *c, uint32_t type, size_t n, size_t width, size_t stride,
                           const unsigned char **blocks)
{
    float *row = check_in(c, width * 4, 4);
    for (size_t b = 0; b * ATTEND_BLOCK < n; b++) {
        unsigned char *to = check_in(c, ATTEND_BLOCK * width * 2, 2);
        for (size_t j = 0; j < ATTEND_BLOCK && b * ATTEND_BLOCK + j < n; j++) {
            c->ref->to_f32(type, blocks[b] + j * stride, row, width);
            c->ref->from_f32(DT_BF16, row, to + j * width * 2, width);
        }
        blocks[b] = to;
    }
    return width * 2;
}

/* What the plain version is given: the same, rounded as the fast one does. */
static AttendRun rounded(Check *c, const AttendRun *whole)
{
    AttendRun a = *whole;
    if (rounds(c, &a, a.k_type)) {
        size_t n = a.nq * a.e;
        uint16_t *half = check_in(c, n * 2, 2);
        float *q = check_in(c, n * 4, 4);
        c->ref->from_f32(DT_BF16, a.q, half, n);
        c->ref->to_f32(DT_BF16, half, q, n);
        a.q = q;
    }
    if (!in_tiles(c, &a)) return a;
    a.k_stride = round_blocks(c, a.k_type, a.n, a.e, a.k_stride, a.k);
    a.v_stride = round_blocks(c, a.v_type, a.n, a.e_v, a.v_stride, a.v);
    a.k_type = a.v_type = DT_BF16;
    return a;
}

/* Queries, keys and values have been rounded before: m is exact within float32, and a weight is as
 * far off, relative to itself, as its score is. Weights are rounded within 2^-8, and so are their
 * sums. */
static void compare(Check *c, const AttendRun *a, State want, State got)
{
    size_t nq = a->nq, e_v = a->e_v;
    float more = rounds(c, a, a->v_type) ? 1 + 0x1p-8f / (float)c->row->bound : 1;
    float *size = check_in(c, nq * e_v * 4, 4), *ones = check_in(c, nq * 4, 4);
    for (size_t i = 0; i < nq; i++) ones[i] = 1 + fabsf(want.m[i]);
    for (size_t i = 0; i < nq * e_v; i++) size[i] = 2 * want.l[i / e_v]; /* weights times |v| */
    /* large values now and then: relative to the largest of the row */
    for (size_t i = 0; i < nq; i++) {
        float top = 0;
        for (size_t d = 0; d < e_v; d++) top = fmaxf(top, fabsf(want.acc[i * e_v + d]));
        for (size_t d = 0; d < e_v; d++) size[i * e_v + d] += top;
    }
    float *sums = check_in(c, nq * 4, 4);
    for (size_t i = 0; i < nq; i++) sums[i] = want.l[i] * ones[i] * more;
    for (size_t i = 0; i < nq * e_v; i++) size[i] *= ones[i / e_v] * more;
    const char *k = dtype_name(a->k_type), *v = dtype_name(a->v_type);
    check_equal(c, want.m, got.m, nq, ones, "%s %s m: e=%zu n=%zu nq=%zu", k, v, a->e, a->n, nq);
    check_equal(c, want.l, got.l, nq, sums, "%s %s l: e=%zu n=%zu nq=%zu", k, v, a->e, a->n, nq);
    check_equal(c, want.acc, got.acc, nq * e_v, size, "%s %s acc: e=%zu e_v=%zu n=%zu nq=%zu", k, v,
                a->e, e_v, a->n, nq);
}

/* ---- the same bits ---- */

/* Rows of keys and values that query i does not see become NaN. */
static void hide_unseen(Check *c, AttendRun *a, size_t i)
{
    for (int which = 0; which < 2; which++) {
        const unsigned char **blocks = which ? a->v : a->k;
        size_t stride = which ? a->v_stride : a->k_stride;
        uint32_t type = which ? a->v_type : a->k_type;
        size_t row = (size_t)dtype_row_bytes(type, which ? a->e_v : a->e);
        for (size_t b = 0; b * ATTEND_BLOCK < a->n; b++) {
            unsigned char *copy = check_out(c, (ATTEND_BLOCK - 1) * stride + row, unit(type));
            for (size_t j = 0; j < ATTEND_BLOCK; j++) {
                size_t at = b * ATTEND_BLOCK + j;
                if (at >= (size_t)a->first[i] && at < (size_t)a->limit[i])
                    memcpy(copy + j * stride, blocks[b] + j * stride, row);
            }
            blocks[b] = copy;
        }
    }
}

static void same(Check *c, const AttendRun *a, const char *what, const float *whole,
                 const float *part, size_t n)
{
    check_bytes(c, whole, part, n * 4,
                "%s %s e=%zu e_v=%zu n=%zu nq=%zu: bits of %s change with the company",
                dtype_name(a->k_type), dtype_name(a->v_type), a->e, a->e_v, a->n, a->nq, what);
}

/* Some of the queries; or one alone, and nothing but NaN where it may not look. */
static void test_part(Check *c, const AttendRun *whole, State got)
{
    AttendRun a = *whole;
    bool alone = check_below(c, 2);
    size_t i0 = check_below(c, a.nq);
    a.nq = alone ? 1 : 1 + check_below(c, a.nq - i0);
    if (alone) hide_unseen(c, &a, i0);
    a.q += i0 * a.e, a.first += i0, a.limit += i0;
    State part = run(c, c->fast, a);
    same(c, &a, "m", got.m + i0, part.m, a.nq);
    same(c, &a, "l", got.l + i0, part.l, a.nq);
    same(c, &a, "acc", got.acc + i0 * a.e_v, part.acc, a.nq * a.e_v);
}

/* A value that is not seen by all becomes infinite: the rest keep their bits. */
static void test_infinite(Check *c, const AttendRun *whole, State got)
{
    AttendRun a = *whole;
    size_t j = check_below(c, a.n), row = (size_t)dtype_row_bytes(a.v_type, a.e_v);
    size_t bytes = (ATTEND_BLOCK - 1) * a.v_stride + row, b = j / ATTEND_BLOCK;
    if (dtype_info(a.v_type)->block > 1) return;
    unsigned char *copy = check_in(c, bytes, unit(a.v_type));
    float *wild = check_in(c, a.e_v * 4, 4);
    memcpy(copy, a.v[b], bytes);
    for (size_t d = 0; d < a.e_v; d++) wild[d] = INFINITY;
    c->ref->from_f32(a.v_type, wild, copy + j % ATTEND_BLOCK * a.v_stride, a.e_v);
    a.v[b] = copy;
    State other = run(c, c->fast, a);
    for (size_t i = 0; i < a.nq; i++)
        if (j < (size_t)a.first[i] || j >= (size_t)a.limit[i])
            same(c, &a, "acc beside infinity", got.acc + i * a.e_v, other.acc + i * a.e_v, a.e_v);
}

static void test(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        AttendRun a = draw(c), plain = rounded(c, &a);
        State want = run(c, c->ref, plain), got = run(c, c->fast, a);
        compare(c, &a, want, got);
        if (c->fast->attend != c->ref->attend) {
            test_part(c, &a, got);
            if (a.n && check_below(c, 4) == 0) test_infinite(c, &a, got);
        }
        check_done(c);
    }
}

/* ---- timing ---- */

typedef struct Case {
    AttendRun a;
    unsigned char *k, *v;
    size_t n;
} Case;

static void run_case(Check *c, void *arg)
{
    Case *t = arg;
    AttendRun *a = &t->a;
    for (size_t j = 0; j < t->n; j += ATTEND_RUN) {
        for (size_t b = 0; b < ATTEND_BLOCKS; b++) {
            a->k[b] = t->k + (j + b * ATTEND_BLOCK) * a->k_stride;
            a->v[b] = t->v + (j + b * ATTEND_BLOCK) * a->v_stride;
        }
        c->fast->attend(a);
    }
}

static void time_case(Check *c, uint32_t type, size_t n, size_t nq, CheckLimit limit)
{
    size_t e = 128, row = (size_t)dtype_row_bytes(type, e);
    if (c->fast == c->ref) n = ATTEND_RUN;
    int32_t *first = check_memory(c, nq * 4), *to = check_memory(c, nq * 4);
    Case t = {.a = {.k_type = type,
                    .v_type = type,
                    .e = e,
                    .e_v = e,
                    .nq = nq,
                    .q = check_memory(c, nq * e * 4),
                    .k_stride = row,
                    .v_stride = row,
                    .n = ATTEND_RUN,
                    .first = first,
                    .limit = to,
                    .m = check_memory(c, nq * 4),
                    .l = check_memory(c, nq * 4),
                    .acc = check_memory(c, nq * e * 4),
                    .work = check_memory(c, attend_work_floats(nq, e, e) * 4)},
              .k = check_memory(c, n * row),
              .v = check_memory(c, n * row),
              .n = n};
    for (size_t i = 0; i < nq; i++) to[i] = ATTEND_RUN;
    char label[32];
    snprintf(label, sizeof label, "%s E=128 n=%zu nq=%zu", dtype_name(type), n, nq);
    check_time(c, label, 2.0 * (double)(n * row), 2.0 * (double)(n * nq * e), limit, run_case, &t);
    check_memory_free();
}

static void bench(Check *c)
{
    for (int t = 0; t < TYPES; t++) { /* 4 heads of one token; of 16 tokens; of 64 */
        time_case(c, types[t], 65536, 4, LIMIT_MEMORY);
        time_case(c, types[t], 2048, 64, LIMIT_F32);
        time_case(c, types[t], 2048, 256, LIMIT_F32);
    }
}

CHECK_ROW(attend, CHECK_EPSILON, 2e-6, test, bench);
