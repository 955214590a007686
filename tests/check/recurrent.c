/* Rows of the recurrences: outputs, and the state after the step. The size of a number is the sum
 * of the products it is made of. */
#include <math.h>
#include <string.h>

#include "check.h"

enum { STEPS = 3 };

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

static void test_conv_step(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        size_t n = check_size(c, 300), taps = 1 + check_below(c, 5), stride = n + check_below(c, 9);
        float *weight = check_floats(c, taps * stride, 1);
        float *bias = round & 1 ? check_floats(c, n, 1) : NULL;
        Pair tail = pair(c, (taps - 1) * stride, check_floats(c, (taps - 1) * stride, 2));
        float *size = check_in(c, n * 4, 4);
        for (int step = 0; step < STEPS; step++) {
            float *x = check_floats(c, n, 2);
            Pair out = pair(c, n, NULL);
            for (size_t i = 0; i < n; i++) {
                size[i] = (bias ? fabsf(bias[i]) : 0) +
                          fabsf(weight[(taps - 1) * stride + i] * x[i]) + 0x1p-100f;
                for (size_t t = 0; t + 1 < taps; t++)
                    size[i] += fabsf(weight[t * stride + i] * tail.want[t * stride + i]);
            }
            c->ref->conv_step(x, weight, bias, stride, taps, n, tail.want, out.want);
            c->fast->conv_step(x, weight, bias, stride, taps, n, tail.got, out.got);
            check_equal(c, out.want, out.got, n, size, "n=%zu taps=%zu", n, taps);
            check_bytes(c, tail.want, tail.got, (taps - 1) * stride * 4, "tail of n=%zu taps=%zu",
                        n, taps);
        }
        check_done(c);
    }
}

/* What a step of one of the three recurrences over a state (n, width) is held against. */
typedef struct Step {
    size_t n, width;
    Pair state, out;
    float *state_size, *out_size;
} Step;

static Step step_of(Check *c)
{
    Step s = {.n = check_size(c, 40), .width = check_size(c, 150)};
    size_t all = s.n * s.width;
    s.state = pair(c, all, check_floats(c, all, 1));
    s.out = pair(c, s.n, NULL);
    s.state_size = check_in(c, all * 4, 4);
    s.out_size = check_in(c, s.n * 4, 4);
    return s;
}

/* The part of h[j][i], which decays and gains add b, in the sizes. */
static void size_row(Step *s, size_t j, size_t i, float decay, float add, float b, float c)
{
    size_t at = j * s->width + i;
    s->state_size[at] = fabsf(decay * s->state.want[at]) + fabsf(add * b) + 0x1p-100f;
    s->out_size[j] += s->state_size[at] * fabsf(c);
}

static void judge(Check *c, const Step *s, const char *what)
{
    check_equal(c, s->state.want, s->state.got, s->n * s->width, s->state_size, "%s %zu x %zu",
                what, s->n, s->width);
    check_equal(c, s->out.want, s->out.got, s->n, s->out_size, "output of %s %zu x %zu", what, s->n,
                s->width);
    check_done(c);
}

static void test_scan_step(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        Step s = step_of(c);
        float *x = check_floats(c, s.n, 1), *dt = check_floats(c, s.n, 1);
        float *a = check_floats(c, s.n * s.width, 2), *d = check_floats(c, s.n, 1);
        float *b = check_floats(c, s.width, 1), *read = check_floats(c, s.width, 1);
        for (size_t j = 0; j < s.n; j++) {
            s.out_size[j] = fabsf(d[j] * x[j]) + 0x1p-100f;
            dt[j] = fminf(fabsf(dt[j]), 4);
            for (size_t i = 0; i < s.width; i++) {
                float *down = &a[j * s.width + i];
                *down = -fminf(fabsf(*down), 20);
                /* an exponential is off by its argument's rounding */
                size_row(&s, j, i, expf(dt[j] * *down) * (1 + dt[j] * -*down), dt[j] * x[j], b[i],
                         read[i]);
            }
        }
        c->ref->scan_step(x, dt, a, d, b, read, s.n, s.width, s.state.want, s.out.want);
        c->fast->scan_step(x, dt, a, d, b, read, s.n, s.width, s.state.got, s.out.got);
        judge(c, &s, "scan");
    }
}

static void test_ssd_step(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        Step s = step_of(c);
        float *x = check_floats(c, s.n, 1), decay = (float)(round % 5) / 4, dt = 0.3f, d = -1.5f;
        float *b = check_floats(c, s.width, 1), *read = check_floats(c, s.width, 1);
        for (size_t j = 0; j < s.n; j++) {
            s.out_size[j] = fabsf(d * x[j]) + 0x1p-100f;
            for (size_t i = 0; i < s.width; i++)
                size_row(&s, j, i, decay, dt * x[j], b[i], read[i]);
        }
        c->ref->ssd_step(x, decay, dt, d, b, read, s.n, s.width, s.state.want, s.out.want);
        c->fast->ssd_step(x, decay, dt, d, b, read, s.n, s.width, s.state.got, s.out.got);
        judge(c, &s, "ssd");
    }
}

static void test_delta_step(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        Step s = step_of(c);
        float decay = (float)(round % 5) / 4, beta = (float)(round % 4) / 3;
        float *v = check_floats(c, s.n, 1);
        float *k = check_floats(c, s.width, 1), *q = check_floats(c, s.width, 1);
        for (size_t j = 0; j < s.n; j++) {
            float known = fabsf(v[j]); /* all that the change is made of */
            for (size_t i = 0; i < s.width; i++)
                known += fabsf(decay * s.state.want[j * s.width + i] * k[i]);
            s.out_size[j] = 0x1p-100f;
            for (size_t i = 0; i < s.width; i++)
                size_row(&s, j, i, decay, beta * known, k[i], q[i]);
        }
        c->ref->delta_step(q, k, v, decay, beta, s.n, s.width, s.state.want, s.out.want);
        c->fast->delta_step(q, k, v, decay, beta, s.n, s.width, s.state.got, s.out.got);
        judge(c, &s, "delta");
    }
}

/* ---- timing: heads of 64 and 128 as models have them, the state in the first caches ---- */
enum { N = 64, WIDTH = 128, CHANNELS = 2048 };
typedef struct Bench {
    float *x, *y, *w, *state, *out;
} Bench;

static Bench memory(Check *c)
{
    Bench b = {check_memory(c, CHANNELS * 4), check_memory(c, CHANNELS * 4),
               check_memory(c, CHANNELS * 16), check_memory(c, CHANNELS * 16),
               check_memory(c, CHANNELS * 4)};
    for (int i = 0; i < CHANNELS; i++)
        b.x[i] = (float)(i % 37) / 8 - 2, b.y[i] = (float)(i % 19) / 190;
    for (int i = 0; i < CHANNELS * 4; i++) b.w[i] = -(float)(i % 13) / 8;
    return b;
}

static void run_conv_step(Check *c, void *arg)
{
    Bench *b = arg;
    c->fast->conv_step(b->x, b->w, NULL, CHANNELS, 4, CHANNELS, b->state, b->out);
}

static void run_scan_step(Check *c, void *arg)
{
    Bench *b = arg;
    c->fast->scan_step(b->x, b->y, b->w, b->x, b->y, b->y, CHANNELS * 4 / 16, 16, b->state, b->out);
}

static void run_ssd_step(Check *c, void *arg)
{
    Bench *b = arg;
    c->fast->ssd_step(b->x, 0.9f, 0.1f, 1, b->y, b->y, N, WIDTH, b->state, b->out);
}

static void run_delta_step(Check *c, void *arg)
{
    Bench *b = arg;
    c->fast->delta_step(b->y, b->y, b->x, 0.9f, 0.1f, N, WIDTH, b->state, b->out);
}

#define BENCH(name, label, bytes, macs)                                                            \
    static void bench_##name(Check *c)                                                             \
    {                                                                                              \
        Bench b = memory(c);                                                                       \
        check_time(c, label, bytes, macs, LIMIT_MEMORY, run_##name, &b);                           \
    }
BENCH(conv_step, "2048 x 4", 11 * 4.0 * CHANNELS, 4.0 * CHANNELS)
BENCH(scan_step, "512 x 16", 3 * 4.0 * CHANNELS * 4, 3.0 * CHANNELS * 4)
BENCH(ssd_step, "64 x 128", 2 * 4.0 * N * WIDTH, 3.0 * N * WIDTH)
BENCH(delta_step, "64 x 128", 3 * 4.0 * N * WIDTH, 4.0 * N * WIDTH)

CHECK_ROW(conv_step, CHECK_EPSILON, 5e-7, test_conv_step, bench_conv_step);
CHECK_ROW(scan_step, CHECK_EPSILON, 5e-7, test_scan_step, bench_scan_step);
CHECK_ROW(ssd_step, CHECK_EPSILON, 5e-7, test_ssd_step, bench_ssd_step);
CHECK_ROW(delta_step, CHECK_EPSILON, 1e-6, test_delta_step, bench_delta_step);
