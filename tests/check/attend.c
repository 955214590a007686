/* Row of attend: right within float32 (bf16 where that is what keys are multiplied in), and the
 * bits for a query do not depend on the other queries of its tile, on cuts of the key run at
 * multiples of 64, nor on keys it does not see. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "tensor/dtype.h"

static const uint32_t types[] = {DT_F32, DT_BF16, DT_F16, DT_Q8_0};

typedef struct Attend {
    uint32_t type;
    size_t nq, e, e_v, n, q_stride, k_stride, v_stride;
    float *q, cap;
    unsigned char *k, *v;
    int32_t *first, *limit;
} Attend;

typedef struct State {
    float *m, *l, *acc;
} State;

static unsigned char *draw_rows(Check *c, uint32_t type, size_t n, size_t width, size_t stride)
{
    size_t bytes = n ? (n - 1) * stride + (size_t)dtype_row_bytes(type, width) : 0;
    unsigned char *rows = check_in(c, bytes, type == DT_F32 ? 4 : 2);
    float *plain = check_floats(c, n * width, 1);
    for (size_t i = 0; i < n * width; i++) plain[i] = fminf(fmaxf(plain[i], -4), 4);
    for (size_t j = 0; j < n; j++)
        c->ref->from_f32(type, plain + j * width, rows + j * stride, width);
    return rows;
}

static Attend draw(Check *c)
{
    Attend a = {.type = types[check_below(c, 4)]};
    static const size_t widths[] = {64, 128, 80, 96, 32, 256};
    a.e = widths[check_below(c, 6)], a.e_v = check_below(c, 3) ? a.e : widths[check_below(c, 6)];
    if (check_below(c, 3) == 0) a.e = 1 + check_below(c, 140), a.e_v = 1 + check_below(c, 140);
    if (a.type == DT_Q8_0) a.e = (a.e + 31) / 32 * 32, a.e_v = (a.e_v + 31) / 32 * 32;
    a.nq = 1 + check_size(c, 40), a.n = check_size(c, 270);
    a.q_stride = a.e + check_below(c, 3);
    size_t unit = a.type == DT_F32 ? 4 : 2;
    a.k_stride = (size_t)dtype_row_bytes(a.type, a.e) + unit * check_below(c, 3);
    a.v_stride = (size_t)dtype_row_bytes(a.type, a.e_v) + unit * check_below(c, 3);
    a.cap = check_below(c, 3) ? 0 : 5.0f;
    a.q = check_floats(c, a.nq * a.q_stride - (a.q_stride - a.e), 1);
    for (size_t i = 0; i < a.nq * a.q_stride - (a.q_stride - a.e); i++)
        a.q[i] = fminf(fmaxf(a.q[i], -4), 4) /
                 sqrtf((float)a.e); /* very large scores say only which is the largest */
    a.k = draw_rows(c, a.type, a.n, a.e, a.k_stride);
    a.v = draw_rows(c, a.type, a.n, a.e_v, a.v_stride);
    a.first = check_in(c, a.nq * 4, 4), a.limit = check_in(c, a.nq * 4, 4);
    bool causal = check_below(c, 2);
    for (size_t i = 0; i < a.nq; i++) {
        size_t limit = check_below(c, a.n + 1);
        if (causal) limit = a.n > a.nq ? a.n - a.nq + i + 1 : a.n;
        a.limit[i] = (int32_t)limit;
        a.first[i] = causal ? 0 : (int32_t)check_below(c, limit + 1);
    }
    return a;
}

static State start(Check *c, size_t nq, size_t e_v)
{
    State s = {check_in(c, nq * 4, 4), check_in(c, nq * 4, 4), check_in(c, nq * e_v * 4, 4)};
    for (size_t i = 0; i < nq; i++) s.m[i] = -INFINITY;
    return s;
}

static void round_queries(Check *c, Attend *a)
{
    size_t n = a->nq * a->q_stride - (a->q_stride - a->e);
    uint16_t *half = check_in(c, n * 2, 2);
    float *q = check_in(c, n * 4, 4);
    c->ref->from_f32(DT_BF16, a->q, half, n);
    c->ref->to_f32(DT_BF16, half, q, n);
    a->q = q;
}

/* Rows of keys and values that query i does not see become NaN. */
static void hide_unseen(Check *c, Attend *a, size_t i)
{
    size_t strides[] = {a->k_stride, a->v_stride}, widths[] = {a->e, a->e_v};
    unsigned char **rows[] = {&a->k, &a->v};
    for (int which = 0; which < 2; which++) {
        size_t row = (size_t)dtype_row_bytes(a->type, widths[which]);
        size_t bytes = a->n ? (a->n - 1) * strides[which] + row : 0;
        unsigned char *copy = check_out(c, bytes, a->type == DT_F32 ? 4 : 2);
        for (size_t j = (size_t)a->first[i]; j < (size_t)a->limit[i]; j++)
            memcpy(copy + j * strides[which], *rows[which] + j * strides[which], row);
        *rows[which] = copy;
    }
}

/* Queries [i0, i0 + nq), keys [from, from + n) of a. */
static void run(Check *c, const Kernels *table, const Attend *a, size_t i0, size_t nq, size_t from,
                size_t n, State s)
{
    int32_t *first = check_in(c, nq * 4, 4), *limit = check_in(c, nq * 4, 4);
    for (size_t i = 0; i < nq; i++) {
        int64_t lo = a->first[i0 + i] - (int64_t)from, hi = a->limit[i0 + i] - (int64_t)from;
        hi = hi < 0 ? 0 : hi > (int64_t)n ? (int64_t)n : hi;
        limit[i] = (int32_t)hi;
        first[i] = (int32_t)(lo < 0 ? 0 : lo > hi ? hi : lo);
    }
    float *work = check_out(c, (nq * n + n * (a->e + a->e_v)) * 4, 4);
    table->attend(a->type, a->q + i0 * a->q_stride, a->q_stride, nq, a->e, a->e_v,
                  a->k + from * a->k_stride, a->k_stride, a->v + from * a->v_stride, a->v_stride, n,
                  first, limit, a->cap, s.m, s.l, s.acc, work);
}

static bool in_bf16(const Check *c, const Attend *a)
{
    return a->type == DT_BF16 && check_rounds_to_bf16(c);
}

/* Queries have been rounded before: m is exact within float32. Weights are rounded within 2^-8,
 * and so are their sums. */
static void compare(Check *c, const Attend *a, State want, State got)
{
    size_t nq = a->nq, e_v = a->e_v;
    float more = in_bf16(c, a) ? 1 + 0x1p-8f / (float)c->row->bound : 1;
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
    for (size_t i = 0; i < nq; i++) sums[i] = want.l[i] * more;
    for (size_t i = 0; i < nq * e_v; i++) size[i] *= more;
    const char *name = dtype_name(a->type);
    check_equal(c, want.m, got.m, nq, ones, "%s m: e=%zu n=%zu nq=%zu", name, a->e, a->n, nq);
    check_equal(c, want.l, got.l, nq, sums, "%s l: e=%zu n=%zu nq=%zu", name, a->e, a->n, nq);
    check_equal(c, want.acc, got.acc, nq * e_v, size, "%s acc: e=%zu e_v=%zu n=%zu nq=%zu", name,
                a->e, e_v, a->n, nq);
}

static void same(Check *c, const Attend *a, const char *what, const float *whole, const float *part,
                 size_t n, size_t cut)
{
    check_bytes(c, whole, part, n * 4,
                "%s e=%zu e_v=%zu n=%zu: bits of %s change with the cut at %zu or the tile",
                dtype_name(a->type), a->e, a->e_v, a->n, what, cut);
}

/* Some of the queries, keys in two runs; a query alone, and nothing but NaN where it may not look.
 */
static void test_part(Check *c, const Attend *whole, State got)
{
    Attend a = *whole;
    bool alone = check_below(c, 2);
    size_t i0 = check_below(c, a.nq), nq = alone ? 1 : 1 + check_below(c, a.nq - i0);
    size_t cut = 64 * check_below(c, a.n / 64 + 1);
    State part = start(c, nq, a.e_v);
    if (alone) hide_unseen(c, &a, i0);
    run(c, c->fast, &a, i0, nq, 0, cut, part);
    run(c, c->fast, &a, i0, nq, cut, a.n - cut, part);
    same(c, &a, "m", got.m + i0, part.m, nq, cut);
    same(c, &a, "l", got.l + i0, part.l, nq, cut);
    same(c, &a, "acc", got.acc + i0 * a.e_v, part.acc, nq * a.e_v, cut);
}

static void test(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        Attend a = draw(c), rounded = a;
        if (in_bf16(c, &a)) round_queries(c, &rounded);
        State want = start(c, a.nq, a.e_v), got = start(c, a.nq, a.e_v);
        run(c, c->ref, &rounded, 0, a.nq, 0, a.n, want);
        run(c, c->fast, &a, 0, a.nq, 0, a.n, got);
        compare(c, &a, want, got);
        if (c->fast->attend != c->ref->attend) test_part(c, &a, got);
        check_done(c);
    }
}

typedef struct Case {
    Attend a;
    State s;
    float *work;
} Case;

static void run_case(Check *c, void *arg)
{
    Case *t = arg;
    const Attend *a = &t->a;
    for (size_t i = 0; i < a->nq; i++) t->s.m[i] = -INFINITY, t->s.l[i] = 0;
    memset(t->s.acc, 0, a->nq * a->e_v * 4);
    for (size_t j = 0; j < a->n; j += 512) /* runs as a backend makes them */
        c->fast->attend(a->type, a->q, a->q_stride, a->nq, a->e, a->e_v, a->k + j * a->k_stride,
                        a->k_stride, a->v + j * a->v_stride, a->v_stride, 512, a->first, a->limit,
                        0, t->s.m, t->s.l, t->s.acc, t->work);
}

static void bench(Check *c)
{
    for (int t = 0; t < 4; t++)
        for (int many = 0; many < 2; many++) { /* 4 heads of one token; 4 heads of 16 tokens */
            size_t e = 128, n = many ? 2048 : 65536, nq = many ? 64 : 4;
            if (c->fast == c->ref) n = 512;
            size_t row = (size_t)dtype_row_bytes(types[t], e);
            Case s = {.a = {types[t], nq, e, e, n, e, row, row}};
            s.a.q = check_memory(c, nq * e * 4);
            s.a.k = check_memory(c, n * row), s.a.v = check_memory(c, n * row);
            s.a.first = check_memory(c, nq * 4), s.a.limit = check_memory(c, nq * 4);
            s.s = (State){check_memory(c, nq * 4), check_memory(c, nq * 4),
                          check_memory(c, nq * e * 4)};
            s.work = check_memory(c, (nq * 512 + 512 * 2 * e) * 4);
            for (size_t i = 0; i < nq; i++) s.a.limit[i] = 512;
            char label[32];
            snprintf(label, sizeof label, "%s E=128 n=%zu nq=%zu", dtype_name(types[t]), n, nq);
            check_time(c, label, 2.0 * (double)(n * row), 2.0 * (double)(n * nq * e),
                       many ? LIMIT_F32 : LIMIT_MEMORY, run_case, &s);
            check_memory_free();
        }
}

CHECK_ROW(attend, CHECK_EPSILON, 2e-6, test, bench);
