/* Rows of the recurrences: outputs, and the state after the step. The size of a number is the sum
 * of the products it is made of. */
#include <math.h>
#include <string.h>

#include "check.h"

/* Two copies of one state. */
typedef struct Pair {
    float *want, *got;
} Pair;

static Pair pair(Check *c, size_t n, const float *from)
{
    Pair p = {check_out(c, n * 4, 4), check_out(c, n * 4, 4)};
    if (!from) return p;
    memcpy(p.want, from, n * 4);
    memcpy(p.got, from, n * 4);
    return p;
}

static void test_conv_rows(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        size_t n = check_size(c, 300), taps = 1 + check_below(c, 6), w = n + check_below(c, 9);
        size_t rows = check_size(c, 9), stride = n + check_below(c, 9), before = taps - 1;
        float *weight = check_floats(c, taps * w, 1), *x = check_floats(c, rows * stride, 2);
        float *bias = round & 1 ? check_floats(c, n, 1) : NULL;
        float *from = check_floats(c, before * w, 2), *size = check_in(c, rows * n * 4, 4);
        Pair tail = pair(c, before * w, from), out = pair(c, rows * n, NULL);
        float *again_tail = pair(c, before * w, from).want, *again = check_out(c, rows * n * 4, 4);
        for (size_t r = 0; r < rows; r++)
            for (size_t i = 0; i < n; i++) {
                float sum = (bias ? fabsf(bias[i]) : 0) + 0x1p-100f;
                for (size_t t = 0; t < taps; t++)
                    sum += fabsf(weight[t * w + i] * (r + t < before
                                                          ? from[(r + t) * w + i]
                                                          : x[(r + t - before) * stride + i]));
                size[r * n + i] = sum;
            }
        c->ref->conv_rows(x, stride, weight, bias, w, taps, rows, n, tail.want, out.want, n);
        c->fast->conv_rows(x, stride, weight, bias, w, taps, rows, n, tail.got, out.got, n);
        for (size_t r = 0; r < rows; r++)
            c->fast->conv_rows(x + r * stride, stride, weight, bias, w, taps, 1, n, again_tail,
                               again + r * n, n);
        check_equal(c, out.want, out.got, rows * n, size, "n=%zu taps=%zu rows=%zu", n, taps, rows);
        check_bytes(c, tail.want, tail.got, before * w * 4, "tail of n=%zu taps=%zu", n, taps);
        check_bytes(c, out.got, again, rows * n * 4, "n=%zu taps=%zu row by row", n, taps);
        check_bytes(c, tail.got, again_tail, before * w * 4, "tail of n=%zu row by row", n);
        check_done(c);
    }
}

/* What rows of one of the three recurrences over a state of n by width are held against. */
typedef struct Rows {
    size_t n, width, rows;
    Pair state, out;
    float *before;                  /* the state */
    float *state_size, *out_size;   /* as the state, as the output */
    float *again_state, *again_out; /* one row a call */
} Rows;

static Rows rows_of(Check *c)
{
    Rows r = {.n = check_size(c, 70), .width = check_size(c, 150), .rows = check_size(c, 5)};
    size_t all = r.n * r.width;
    r.before = check_floats(c, all, 1);
    r.state = pair(c, all, r.before);
    r.out = pair(c, r.rows * r.n, NULL);
    r.state_size = check_in(c, all * 4, 4);
    r.out_size = check_in(c, r.rows * r.n * 4, 4);
    r.again_state = check_out(c, all * 4, 4);
    r.again_out = check_out(c, r.rows * r.n * 4, 4);
    memcpy(r.again_state, r.before, all * 4);
    for (size_t i = 0; i < all; i++) r.state_size[i] = fabsf(r.before[i]);
    return r;
}

/* The part of h[j][i], which decays and gains add b at row t, in the sizes. */
static void size_part(Rows *r, size_t t, size_t j, size_t i, float decay, float add, float b,
                      float c)
{
    size_t at = state_at(r->n, r->width, j, i);
    r->state_size[at] = fabsf(decay * r->state_size[at]) + fabsf(add * b) + 0x1p-100f;
    r->out_size[t * r->n + j] += r->state_size[at] * fabsf(c);
}

static void judge(Check *c, const Rows *r, const char *what)
{
    size_t all = r->n * r->width, out = r->rows * r->n;
    check_equal(c, r->state.want, r->state.got, all, r->state_size, "%s %zu x %zu, %zu rows", what,
                r->n, r->width, r->rows);
    check_equal(c, r->out.want, r->out.got, out, r->out_size, "output of %s %zu x %zu, %zu rows",
                what, r->n, r->width, r->rows);
    check_bytes(c, r->state.got, r->again_state, all * 4, "state of %s %zu x %zu row by row", what,
                r->n, r->width);
    check_bytes(c, r->out.got, r->again_out, out * 4, "%s %zu x %zu row by row", what, r->n,
                r->width);
    check_done(c);
}

static void test_scan_rows(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        Rows r = rows_of(c);
        size_t n = r.n, w = r.width, stride = n + check_below(c, 9), bc = w + check_below(c, 9);
        float *x = check_floats(c, r.rows * stride, 1), *dt = check_floats(c, r.rows * stride, 1);
        float *a = check_floats(c, n * w, 2), *d = check_floats(c, n, 1);
        float *b = check_floats(c, r.rows * bc, 1), *read = check_floats(c, r.rows * bc, 1);
        float *out[2] = {check_out(c, r.rows * stride * 4, 4),
                         check_out(c, r.rows * stride * 4, 4)};
        for (size_t i = 0; i < n * w; i++) a[i] = -fminf(fabsf(a[i]), 20);
        for (size_t i = 0; i < r.rows * stride; i++) dt[i] = fminf(fabsf(dt[i]), 4);
        for (size_t t = 0; t < r.rows; t++)
            for (size_t j = 0; j < n; j++) {
                float step = dt[t * stride + j], add = step * x[t * stride + j];
                r.out_size[t * n + j] = fabsf(d[j] * x[t * stride + j]) + 0x1p-100f;
                for (size_t i = 0; i < w; i++)
                    size_part(&r, t, j, i, expf(step * a[state_at(n, w, j, i)]), add, b[t * bc + i],
                              read[t * bc + i]);
            }
        c->ref->scan_rows(x, dt, stride, a, d, b, read, bc, r.rows, n, w, r.state.want, out[0]);
        c->fast->scan_rows(x, dt, stride, a, d, b, read, bc, r.rows, n, w, r.state.got, out[1]);
        for (size_t t = 0; t < r.rows; t++) {
            memcpy(r.out.want + t * n, out[0] + t * stride, n * 4);
            memcpy(r.out.got + t * n, out[1] + t * stride, n * 4);
            c->fast->scan_rows(x + t * stride, dt + t * stride, stride, a, d, b + t * bc,
                               read + t * bc, bc, 1, n, w, r.again_state, r.again_out + t * n);
        }
        judge(c, &r, "scan");
    }
}

static void test_ssd_rows(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        Rows r = rows_of(c);
        size_t n = r.n, w = r.width, bc = w + check_below(c, 9);
        float *x = check_floats(c, r.rows * n, 1), d = -1.5f;
        float decay[5], dt[5] = {0.3f, 1.2f, 0, 0.01f, 2};
        float *b = check_floats(c, r.rows * bc, 1), *read = check_floats(c, r.rows * bc, 1);
        for (size_t t = 0; t < r.rows; t++) {
            decay[t] = (float)((round + (int)t) % 5) / 4;
            for (size_t j = 0; j < n; j++) {
                r.out_size[t * n + j] = fabsf(d * x[t * n + j]) + 0x1p-100f;
                for (size_t i = 0; i < w; i++)
                    size_part(&r, t, j, i, decay[t], dt[t] * x[t * n + j], b[t * bc + i],
                              read[t * bc + i]);
            }
        }
        c->ref->ssd_rows(x, n, decay, dt, d, b, read, bc, r.rows, n, w, r.state.want, r.out.want,
                         n);
        c->fast->ssd_rows(x, n, decay, dt, d, b, read, bc, r.rows, n, w, r.state.got, r.out.got, n);
        for (size_t t = 0; t < r.rows; t++)
            c->fast->ssd_rows(x + t * n, n, decay + t, dt + t, d, b + t * bc, read + t * bc, bc, 1,
                              n, w, r.again_state, r.again_out + t * n, n);
        judge(c, &r, "ssd");
    }
}

/* Keys as models have them, of length about 1: else what is known grows from row to row. */
static float *keys(Check *c, size_t rows, size_t stride, size_t width)
{
    float *k = check_floats(c, rows * stride, 1);
    for (size_t i = 0; i < rows * stride; i++)
        k[i] = fmaxf(-2, fminf(k[i], 2)) / sqrtf((float)width);
    return k;
}

static void test_delta_rows(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        Rows r = rows_of(c);
        size_t n = r.n, w = r.width, qk = w + check_below(c, 9), stride = n + check_below(c, 9);
        float *v = check_floats(c, r.rows * stride, 1), decay[5], beta[5];
        float *k = keys(c, r.rows, qk, w), *q = keys(c, r.rows, qk, w);
        float *out[2] = {check_out(c, r.rows * stride * 4, 4),
                         check_out(c, r.rows * stride * 4, 4)};
        for (size_t t = 0; t < r.rows; t++) {
            decay[t] = (float)((round + (int)t) % 5) / 4;
            beta[t] = (float)((round + (int)t) % 4) / 3;
            for (size_t j = 0; j < n; j++) {
                float known = fabsf(v[t * stride + j]); /* all that the change is made of */
                for (size_t i = 0; i < w; i++)
                    known += fabsf(decay[t] * r.state_size[state_at(n, w, j, i)] * k[t * qk + i]);
                r.out_size[t * n + j] = 0x1p-100f;
                for (size_t i = 0; i < w; i++)
                    size_part(&r, t, j, i, decay[t], beta[t] * known, k[t * qk + i], q[t * qk + i]);
            }
        }
        c->ref->delta_rows(q, k, qk, v, stride, decay, beta, r.rows, n, w, r.state.want, out[0],
                           stride);
        c->fast->delta_rows(q, k, qk, v, stride, decay, beta, r.rows, n, w, r.state.got, out[1],
                            stride);
        for (size_t t = 0; t < r.rows; t++) {
            memcpy(r.out.want + t * n, out[0] + t * stride, n * 4);
            memcpy(r.out.got + t * n, out[1] + t * stride, n * 4);
            c->fast->delta_rows(q + t * qk, k + t * qk, qk, v + t * stride, stride, decay + t,
                                beta + t, 1, n, w, r.again_state, r.again_out + t * n, n);
        }
        judge(c, &r, "delta");
    }
}

/* ---- timing: heads as models have them, 16 rows a call as the CPU backend makes them ---- */
enum { ROWS = 16, N = 128, WIDTH = 128, CHANNELS = 2048 };
typedef struct Bench {
    float *x, *y, *w, *state, *out;
} Bench;

static Bench memory(Check *c)
{
    Bench b = {check_memory(c, ROWS * CHANNELS * 4), check_memory(c, ROWS * CHANNELS * 4),
               check_memory(c, CHANNELS * 16 * 4), check_memory(c, CHANNELS * 16 * 4),
               check_memory(c, ROWS * CHANNELS * 4)};
    for (int i = 0; i < ROWS * CHANNELS; i++)
        b.x[i] = (float)(i % 37) / 8 - 2, b.y[i] = (float)(i % 19) / 190;
    for (int i = 0; i < CHANNELS * 16; i++) b.w[i] = -(float)(i % 13) / 8;
    return b;
}

static void run_conv_rows(Check *c, void *arg)
{
    Bench *b = arg;
    c->fast->conv_rows(b->x, CHANNELS, b->w, NULL, 256, 4, 8, 256, b->state, b->out, CHANNELS);
}

static void run_scan_rows(Check *c, void *arg)
{
    Bench *b = arg;
    c->fast->scan_rows(b->x, b->y, CHANNELS, b->w, b->x, b->y, b->y, WIDTH, ROWS, 64, 16, b->state,
                       b->out);
}

static void run_heads(Check *c, const Bench *b, size_t rows, bool delta)
{
    float decay[ROWS], dt[ROWS];
    for (size_t t = 0; t < rows; t++) decay[t] = 0.9f, dt[t] = 0.1f;
    if (delta)
        c->fast->delta_rows(b->y, b->y, CHANNELS, b->x, CHANNELS, decay, dt, rows, N, WIDTH,
                            b->state, b->out, CHANNELS);
    else
        c->fast->ssd_rows(b->x, CHANNELS, decay, dt, 1, b->y, b->y, WIDTH, rows, N / 2, WIDTH,
                          b->state, b->out, CHANNELS);
}

static void run_ssd_rows(Check *c, void *arg)
{
    run_heads(c, arg, ROWS, false);
}

static void run_ssd_one(Check *c, void *arg)
{
    run_heads(c, arg, 1, false);
}

static void run_delta_rows(Check *c, void *arg)
{
    run_heads(c, arg, ROWS, true);
}

static void run_delta_one(Check *c, void *arg)
{
    run_heads(c, arg, 1, true);
}

static void bench_conv_rows(Check *c)
{
    Bench b = memory(c);
    check_time(c, "256 x 4, 8 rows", 2 * 4.0 * 8 * 256, 4.0 * 8 * 256, LIMIT_MEMORY, run_conv_rows,
               &b);
}

static void bench_scan_rows(Check *c)
{
    Bench b = memory(c);
    double all = 64.0 * 16;
    check_time(c, "64 x 16, 16 rows", 4 * all, 3 * ROWS * all, LIMIT_F32, run_scan_rows, &b);
}

static void bench_ssd_rows(Check *c)
{
    Bench b = memory(c);
    double all = N / 2 * WIDTH;
    check_time(c, "64 x 128, 16 rows", 8 * all, 3 * ROWS * all, LIMIT_F32, run_ssd_rows, &b);
    check_time(c, "64 x 128, 1 row", 8 * all, 3 * all, LIMIT_MEMORY, run_ssd_one, &b);
}

static void bench_delta_rows(Check *c)
{
    Bench b = memory(c);
    double all = N * WIDTH;
    check_time(c, "128 x 128, 16 rows", 8 * all, 4 * ROWS * all, LIMIT_F32, run_delta_rows, &b);
    check_time(c, "128 x 128, 1 row", 8 * all, 4 * all, LIMIT_MEMORY, run_delta_one, &b);
}

CHECK_ROW(conv_rows, CHECK_EPSILON, 5e-7, test_conv_rows, bench_conv_rows);
CHECK_ROW(scan_rows, CHECK_EPSILON, 2e-6, test_scan_rows, bench_scan_rows);
CHECK_ROW(ssd_rows, CHECK_EPSILON, 2e-6, test_ssd_rows, bench_ssd_rows);
CHECK_ROW(delta_rows, CHECK_EPSILON, 2e-6, test_delta_rows, bench_delta_rows);
