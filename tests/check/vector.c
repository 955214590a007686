/* Rows of the element-wise and row kernels. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "check.h"

static const float alphas[] = {1, -0.75f, 3e-3f, 0, 1e20f};

static void test_binary(Check *c, void (*ref)(const float *, const float *, size_t, float *),
                        void (*fast)(const float *, const float *, size_t, float *))
{
    for (int round = 0; round < c->rounds; round++) {
        size_t n = check_size(c, 700);
        float *a = check_floats(c, n, 2), *b = check_floats(c, n, 3);
        float *want = check_out(c, n * 4, 4), *got = check_out(c, n * 4, 4);
        ref(a, b, n, want);
        fast(a, b, n, got);
        check_equal(c, want, got, n, NULL, "n=%zu", n);
        float *same = round & 1 ? a : b; /* in place */
        fast(a, b, n, same);
        check_equal(c, want, same, n, NULL, "n=%zu, out is %c", n, round & 1 ? 'a' : 'b');
        check_done(c);
    }
}

static void test_add(Check *c)
{
    test_binary(c, c->ref->add, c->fast->add);
}

static void test_mul(Check *c)
{
    test_binary(c, c->ref->mul, c->fast->mul);
}

static void test_swiglu(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        size_t n = check_size(c, 700);
        float *gate = check_floats(c, n, round & 1 ? 100 : 4), *up = check_floats(c, n, 2);
        float *want = check_out(c, n * 4, 4), *got = check_out(c, n * 4, 4);
        c->ref->swiglu(gate, up, n, want);
        c->fast->swiglu(gate, up, n, got);
        float *size = check_in(c, n * 4, 4); /* a silu below 2^-100 is as good as none */
        for (size_t i = 0; i < n; i++) size[i] = fabsf(want[i]) + 0x1p-100f * (1 + fabsf(up[i]));
        check_equal(c, want, got, n, size, "n=%zu", n);
        check_done(c);
    }
}

static void test_swiglu_clamped(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        size_t n = check_size(c, 700);
        float *gate = check_floats(c, n, round & 1 ? 60 : 4), *up = check_floats(c, n, 5);
        float *want = check_out(c, n * 4, 4), *got = check_out(c, n * 4, 4);
        c->ref->swiglu_clamped(gate, up, n, want);
        c->fast->swiglu_clamped(gate, up, n, got);
        float *size = check_in(c, n * 4, 4);
        for (size_t i = 0; i < n; i++) size[i] = fabsf(want[i]) * (1 + fabsf(gate[i])) + 0x1p-60f;
        check_equal(c, want, got, n, size, "n=%zu", n);
        check_done(c);
    }
}

/* An exponential is off by its argument's rounding: a share of |x|, more for the cube of gelu. */
static void test_activate(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        size_t n = check_size(c, 700);
        Activation activation = (Activation)(round % (ACT_NONE + 1));
        float *x = check_floats(c, n, round % 3 ? 4 : 30);
        float *want = check_out(c, n * 4, 4), *got = check_out(c, n * 4, 4);
        c->ref->activate(activation, x, n, want);
        c->fast->activate(activation, x, n, got);
        float *size = check_in(c, n * 4, 4);
        for (size_t i = 0; i < n; i++) {
            float steep = 1 + fabsf(x[i]);
            if (activation == ACT_GELU_TANH) steep += fabsf(x[i] * x[i] * x[i]) / 8;
            size[i] = fabsf(want[i]) * steep + 0x1p-100f * (1 + fabsf(x[i]));
        }
        check_equal(c, want, got, n, size, "n=%zu activation=%d", n, (int)activation);
        c->fast->activate(activation, x, n, x);
        check_equal(c, want, x, n, size, "n=%zu activation=%d in place", n, (int)activation);
        check_done(c);
    }
}

static void test_layernorm(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        size_t n = check_size(c, 700);
        float *x = check_floats(c, n, 2), *w = round & 1 ? check_floats(c, n, 1) : NULL;
        float *b = round & 2 ? check_floats(c, n, 1) : NULL, *want = check_out(c, n * 4, 4);
        float *got = check_out(c, n * 4, 4), *size = check_in(c, n * 4, 4);
        for (size_t i = 0; i < n && round % 5 == 0; i++) x[i] += 20; /* mean far from 0 */
        c->ref->layernorm(x, w, b, 1e-5f, n, want);
        c->fast->layernorm(x, w, b, 1e-5f, n, got);
        for (size_t i = 0; i < n; i++) size[i] = 40 * (w ? fabsf(w[i]) : 1) + fabsf(b ? b[i] : 0);
        check_equal(c, want, got, n, n > 1 ? size : NULL, "n=%zu", n);
        check_done(c);
    }
}

static void test_cut(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        size_t n = check_size(c, 700);
        float *x = check_floats(c, n, 2), *size = check_in(c, n * 4, 4);
        float *want = check_out(c, n * 4, 4), *got = check_out(c, n * 4, 4), most = 0x1p-100f;
        for (size_t i = 0; i < n && round % 5 == 0; i++) x[i] += 20; /* mean far from 0 */
        for (size_t i = 0; i < n; i++) most = fmaxf(most, fabsf(x[i]));
        for (size_t i = 0; i < n; i++) size[i] = most;
        c->ref->cut(x, (float)(round % 7) / 2 - 1, n, want);
        c->fast->cut(x, (float)(round % 7) / 2 - 1, n, got);
        check_equal(c, want, got, n, size, "n=%zu", n);
        check_done(c);
    }
}

/* What is said of peaks in kernels.h, one number at a time. */
static void want_peaks(float *x, const uint64_t *bits, size_t n, float *peak)
{
    for (size_t i = 0; i < n; i++) {
        if (i % 64 == 0) peak[i / 64] = -INFINITY;
        uint64_t keep = bits ? bits[i / 64] : UINT64_MAX;
        size_t end = n - i / 64 * 64;
        if (end < 64) keep &= ((uint64_t)1 << end) - 1;
        if (!keep) continue;
        if (!(keep >> (i % 64) & 1) || isnan(x[i])) x[i] = -INFINITY;
        if (x[i] > FLT_MAX) x[i] = FLT_MAX;
        if (x[i] > peak[i / 64]) peak[i / 64] = x[i];
    }
}

static void test_peaks(Check *c)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, FLT_MAX, -0.0f, 0};
    for (int round = 0; round < c->rounds; round++) {
        size_t n = check_size(c, 700), words = (n + 63) / 64;
        float *x = check_floats(c, n, 100), *want = check_out(c, n * 4, 4);
        float *got = check_out(c, n * 4, 4), *want_peak = check_out(c, words * 4, 4);
        float *got_peak = check_out(c, words * 4, 4), *fast_peak = check_out(c, words * 4, 4);
        uint64_t *bits = check_in(c, words * 8, 8);
        for (size_t i = 0; i < words; i++) {
            size_t kind = check_below(c, 4); /* none, all, few, any */
            uint64_t any = check_random(c);
            bits[i] = kind == 0 ? 0 : kind == 1 ? UINT64_MAX : kind == 2 ? any & any >> 7 : any;
        }
        for (size_t i = 0; i < n && round % 3 == 0; i++)
            if (check_below(c, 20) == 0) x[i] = odd[check_below(c, 6)];
        const uint64_t *by = round % 5 ? bits : NULL;
        memcpy(want, x, n * 4);
        memcpy(got, x, n * 4);
        want_peaks(want, by, n, want_peak);
        c->ref->peaks(got, by, n, got_peak);
        check_bytes(c, want, got, n * 4, "plain C, n=%zu", n);
        for (size_t i = 0; i < words; i++) want_peak[i] += 0, got_peak[i] += 0;
        check_bytes(c, want_peak, got_peak, words * 4, "peaks, plain C, n=%zu", n);
        c->fast->peaks(x, by, n, fast_peak);
        check_bytes(c, want, x, n * 4, "n=%zu", n);
        for (size_t i = 0; i < words; i++) fast_peak[i] += 0; /* -0 is 0 */
        check_bytes(c, want_peak, fast_peak, words * 4, "peaks, n=%zu", n);
        check_done(c);
    }
}

static void test_axpy(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        size_t n = check_size(c, 700);
        float alpha = alphas[round % 5], *x = check_floats(c, n, 2), *y = check_floats(c, n, 2);
        float *want = check_out(c, n * 4, 4), *got = check_out(c, n * 4, 4);
        memcpy(want, y, n * 4);
        memcpy(got, y, n * 4);
        c->ref->axpy(alpha, x, n, want);
        c->fast->axpy(alpha, x, n, got);
        check_equal(c, want, got, n, NULL, "n=%zu alpha=%g", n, (double)alpha);
        check_done(c);
    }
}

static void test_scale(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        size_t n = check_size(c, 700);
        float alpha = alphas[round % 5], *x = check_floats(c, n, 2);
        float *want = check_out(c, n * 4, 4), *got = check_out(c, n * 4, 4);
        c->ref->scale(alpha, x, n, want);
        c->fast->scale(alpha, x, n, got);
        check_equal(c, want, got, n, NULL, "n=%zu alpha=%g", n, (double)alpha);
        c->fast->scale(alpha, x, n, x);
        check_equal(c, want, x, n, NULL, "n=%zu alpha=%g in place", n, (double)alpha);
        check_done(c);
    }
}

static void test_rmsnorm(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        size_t n = check_size(c, 700);
        float *x = check_floats(c, n, 2), *w = check_floats(c, n, 1);
        float *want = check_out(c, n * 4, 4), *got = check_out(c, n * 4, 4);
        c->ref->rmsnorm(x, w, 1e-6f, n, want);
        c->fast->rmsnorm(x, w, 1e-6f, n, got);
        float *size = check_in(c, n * 4, 4);
        for (size_t i = 0; i < n; i++) size[i] = fabsf(want[i]) + 0x1p-100f;
        check_equal(c, want, got, n, size, "n=%zu", n);
        check_done(c);
    }
}

static void test_softmax(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        size_t n = check_size(c, 700);
        float *x = check_floats(c, n, round & 1 ? 5 : 40);
        for (size_t i = 0; i < n; i++)
            if (check_below(c, 8) == 0 || round == 7) x[i] = -INFINITY;
        float *want = check_out(c, n * 4, 4), *got = check_out(c, n * 4, 4);
        memcpy(want, x, n * 4);
        memcpy(got, x, n * 4);
        c->ref->softmax(want, n);
        c->fast->softmax(got, n);
        /* x - max, rounded to float32, is off by |x - max| 2^-24, and so is its exponential */
        float *size = check_in(c, n * 4, 4), top = -INFINITY;
        for (size_t i = 0; i < n; i++) top = fmaxf(top, x[i]);
        for (size_t i = 0; i < n; i++)
            size[i] = want[i] > 0 ? want[i] * (1 + (top - x[i]) / 8) + 0x1p-100f : 0;
        check_equal(c, want, got, n, size, "n=%zu", n);
        check_done(c);
    }
}

static void test_dot(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        size_t n = check_size(c, 700);
        float *a = check_floats(c, n, 2), *b = check_floats(c, n, 2), size = 0;
        for (size_t i = 0; i < n; i++) size += fabsf(a[i] * b[i]);
        float want = c->ref->dot(a, b, n), got = c->fast->dot(a, b, n);
        check_equal(c, &want, &got, 1, &size, "n=%zu", n);
        check_done(c);
    }
}

static void test_rope(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        size_t half = check_size(c, 160), n = 2 * half;
        float *x = check_floats(c, n, 2), *cos = check_floats(c, half, 1);
        float *sin = check_floats(c, half, 1);
        float *want = check_out(c, n * 4, 4), *got = check_out(c, n * 4, 4);
        memcpy(want, x, n * 4);
        memcpy(got, x, n * 4);
        c->ref->rope(want, cos, sin, half, round & 1);
        c->fast->rope(got, cos, sin, half, round & 1);
        check_equal(c, want, got, n, NULL, "half=%zu adjacent=%d", half, round & 1);
        check_done(c);
    }
}

/* ---- timing: a row of 4096, in the first caches ---- */
enum { N = 4096 };
typedef struct Rows {
    float *a, *b, *out;
} Rows;

static Rows rows(Check *c)
{
    Rows r = {check_memory(c, N * 4), check_memory(c, N * 4), check_memory(c, N * 4)};
    for (int i = 0; i < N; i++) r.a[i] = (float)(i % 37) / 8 - 2, r.b[i] = (float)(i % 19) / 8 - 1;
    return r;
}

static void run_add(Check *c, void *arg)
{
    Rows *r = arg;
    c->fast->add(r->a, r->b, N, r->out);
}

static void run_mul(Check *c, void *arg)
{
    Rows *r = arg;
    c->fast->mul(r->a, r->b, N, r->out);
}

static void run_axpy(Check *c, void *arg)
{
    Rows *r = arg;
    c->fast->axpy(1e-9f, r->a, N, r->out);
}

static void run_scale(Check *c, void *arg)
{
    Rows *r = arg;
    c->fast->scale(0.5f, r->a, N, r->out);
}

static void run_swiglu_clamped(Check *c, void *arg)
{
    Rows *r = arg;
    c->fast->swiglu_clamped(r->a, r->b, N, r->out);
}

static void run_activate(Check *c, void *arg)
{
    Rows *r = arg;
    c->fast->activate(ACT_GELU_TANH, r->a, N, r->out);
}

static void run_layernorm(Check *c, void *arg)
{
    Rows *r = arg;
    c->fast->layernorm(r->a, r->b, r->b, 1e-5f, N, r->out);
}

static void run_cut(Check *c, void *arg)
{
    Rows *r = arg;
    c->fast->cut(r->a, 1.6f, N, r->out);
}

static void run_swiglu(Check *c, void *arg)
{
    Rows *r = arg;
    c->fast->swiglu(r->a, r->b, N, r->out);
}

static void run_rmsnorm(Check *c, void *arg)
{
    Rows *r = arg;
    c->fast->rmsnorm(r->a, r->b, 1e-6f, N, r->out);
}

static void run_softmax(Check *c, void *arg)
{
    Rows *r = arg;
    c->fast->softmax(r->out, N);
}

static void run_dot(Check *c, void *arg)
{
    Rows *r = arg;
    r->out[0] = c->fast->dot(r->a, r->b, N);
}

static void run_rope(Check *c, void *arg)
{
    Rows *r = arg;
    for (int head = 0; head < 32; head++) c->fast->rope(r->out + head * 128, r->a, r->b, 64, false);
}

static void run_peaks(Check *c, void *arg)
{
    Rows *r = arg;
    c->fast->peaks(r->a, NULL, N, r->out);
}

#define BENCH(name, arrays)                                                                        \
    static void bench_##name(Check *c)                                                             \
    {                                                                                              \
        Rows r = rows(c);                                                                          \
        check_time(c, "4096", (arrays)*4.0 * N, N, LIMIT_MEMORY, run_##name, &r);                  \
    }
BENCH(add, 3)
BENCH(mul, 3)
BENCH(axpy, 3)
BENCH(scale, 2)
BENCH(swiglu, 3)
BENCH(swiglu_clamped, 3)
BENCH(activate, 2)
BENCH(layernorm, 3)
BENCH(cut, 2)
BENCH(rmsnorm, 3)
BENCH(softmax, 2)
BENCH(dot, 2)
BENCH(rope, 3)
BENCH(peaks, 1)

CHECK_ROW(rmsnorm, CHECK_EPSILON, 1e-6, test_rmsnorm, bench_rmsnorm);
CHECK_ROW(add, CHECK_EXACT, 0, test_add, bench_add);
CHECK_ROW(mul, CHECK_EXACT, 0, test_mul, bench_mul);
CHECK_ROW(axpy, CHECK_EXACT, 0, test_axpy, bench_axpy);
CHECK_ROW(scale, CHECK_EXACT, 0, test_scale, bench_scale);
CHECK_ROW(swiglu, CHECK_EPSILON, 5e-7, test_swiglu, bench_swiglu);
CHECK_ROW(swiglu_clamped, CHECK_EPSILON, 5e-7, test_swiglu_clamped, bench_swiglu_clamped);
CHECK_ROW(activate, CHECK_EPSILON, 5e-7, test_activate, bench_activate);
CHECK_ROW(layernorm, CHECK_EPSILON, 5e-7, test_layernorm, bench_layernorm);
CHECK_ROW(cut, CHECK_EPSILON, 1e-6, test_cut, bench_cut);
CHECK_ROW(softmax, CHECK_EPSILON, 1e-6, test_softmax, bench_softmax);
CHECK_ROW(dot, CHECK_EPSILON, 5e-7, test_dot, bench_dot);
CHECK_ROW(rope, CHECK_EXACT, 0, test_rope, bench_rope);
CHECK_ROW(peaks, CHECK_EXACT, 0, test_peaks, bench_peaks);
