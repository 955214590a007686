/* Rows of the kernels of training: losses, optimiser, ways back of activations and norms, weights
 * of attention. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "check.h"

static float *copy_of(Check *c, const float *x, size_t n)
{
    float *to = check_in(c, n * 4, 4);
    memcpy(to, x, n * 4);
    return to;
}

static float *sizes_of(Check *c, size_t n)
{
    return check_in(c, n * 4, 4);
}

static const float inverses[] = {1, 0.5f, 1 / 3.0f, 2}, factors[] = {1, 0.25f, -3};

/* x within +-`most`: an exponent that is off by |x| 2^-24 makes its power off by as much. */
static float *logits(Check *c, size_t n, float most)
{
    float *x = check_floats(c, n, most);
    for (size_t i = 0; i < n; i++) x[i] = fmaxf(-4 * most, fminf(4 * most, x[i]));
    return x;
}

static void test_softmax_times(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        size_t n = 1 + check_size(c, 700);
        float inverse = inverses[round % 4], factor = factors[round % 3];
        float *x = logits(c, n, 6), *size = sizes_of(c, n);
        float *want = check_out(c, n * 4, 4), *got = check_out(c, n * 4, 4);
        float w = c->ref->softmax_times(x, inverse, factor, n, want);
        float g = c->fast->softmax_times(x, inverse, factor, n, got), big = fabsf(w) + 1;
        check_equal(c, &w, &g, 1, &big, "n=%zu: sum", n);
        for (size_t i = 0; i < n; i++) size[i] = 10 * fabsf(want[i]) + 0x1p-100f;
        check_equal(c, want, got, n, size, "n=%zu inverse=%g", n, (double)inverse);
        g = c->fast->softmax_times(x, inverse, factor, n, NULL);
        check_equal(c, &w, &g, 1, &big, "n=%zu: sum alone", n);
        c->fast->softmax_times(x, inverse, factor, n, x);
        check_equal(c, want, x, n, size, "n=%zu in place", n);
        check_done(c);
    }
}

static void test_divergence(Check *c)
{
    static const float mixes[] = {0, 1, 0.5f, 0.1f, 0.9f};
    for (int round = 0; round < c->rounds; round++) {
        size_t n = 1 + check_size(c, 700);
        float inverse = inverses[round % 4], mix = mixes[round % 5], most = 1;
        float *x = logits(c, n, 6), *t = logits(c, n, 6), *size = sizes_of(c, n);
        if (round % 7 == 0) t[check_below(c, n)] = -INFINITY;
        float *want = check_out(c, n * 4, 4), *got = check_out(c, n * 4, 4);
        float w = c->ref->divergence(x, t, inverse, mix, 2, n, want);
        float g = c->fast->divergence(x, t, inverse, mix, 2, n, got);
        most = 100 + fabsf(w);
        check_equal(c, &w, &g, 1, &most, "n=%zu mix=%g: loss", n, (double)mix);
        for (size_t i = 0; i < n; i++) size[i] = 100 + fabsf(w);
        check_equal(c, want, got, n, size, "n=%zu mix=%g", n, (double)mix);
        g = c->fast->divergence(x, t, inverse, mix, 2, n, NULL);
        check_equal(c, &w, &g, 1, &most, "n=%zu mix=%g: loss alone", n, (double)mix);
        check_done(c);
    }
}

static void test_adamw(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        size_t n = check_size(c, 700);
        AdamStep a = {factors[round % 3], 0.9f, 0.95f, 1e-8f, 1e-3f, round & 1 ? 1 : 4.5f, 0.999f};
        float *g = check_floats(c, n, 1), *w = check_floats(c, n, 1), *m = check_floats(c, n, 1);
        float *v = check_floats(c, n, 1), *size = sizes_of(c, n);
        for (size_t i = 0; i < n; i++) v[i] = v[i] * v[i] + 1e-6f;
        float *w2 = copy_of(c, w, n), *m2 = copy_of(c, m, n), *v2 = copy_of(c, v, n);
        c->ref->adamw(&a, g, n, w, m, v);
        c->fast->adamw(&a, g, n, w2, m2, v2);
        check_equal(c, v, v2, n, NULL, "n=%zu: second moment", n);
        for (size_t i = 0; i < n; i++) size[i] = fabsf(m[i]) + fabsf(g[i]) + 0x1p-100f;
        check_equal(c, m, m2, n, size, "n=%zu: first moment", n);
        for (size_t i = 0; i < n; i++)
            size[i] = fabsf(w[i]) + 1e-3f * (fabsf(m[i]) + fabsf(g[i])) / (sqrtf(v[i]) + 1e-8f) +
                      0x1p-100f;
        check_equal(c, w, w2, n, size, "n=%zu: weights", n);
        check_done(c);
    }
}

static void test_activate_back(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        size_t n = check_size(c, 700);
        Activation f = (Activation)(round % (ACT_NONE + 1));
        float *x = check_floats(c, n, round & 16 ? 30 : 3), *y = check_floats(c, n, 2);
        float *d = check_floats(c, n, 1), *dx = check_floats(c, n, 1), *dy = check_floats(c, n, 1);
        float *dx2 = copy_of(c, dx, n), *dy2 = copy_of(c, dy, n), *size = sizes_of(c, n);
        bool alone = round & 1;
        float *old = copy_of(c, dx, n), *old_y = copy_of(c, dy, n);
        c->ref->activate_back(f, x, alone ? NULL : y, d, n, dx, alone ? NULL : dy);
        c->fast->activate_back(f, x, alone ? NULL : y, d, n, dx2, alone ? NULL : dy2);
        for (size_t i = 0; i < n; i++)
            size[i] = fabsf(old[i]) +
                      fabsf(d[i]) * (alone ? 1 : fabsf(y[i])) *
                          (2 + (f == ACT_RELU2 ? 2 * fabsf(x[i]) : 0)) +
                      0x1p-100f;
        check_equal(c, dx, dx2, n, size, "n=%zu activation %d", n, (int)f);
        for (size_t i = 0; i < n; i++) {
            float most = 1 + fabsf(x[i]) * (f == ACT_RELU2 ? fabsf(x[i]) : 1);
            size[i] = fabsf(old_y[i]) + fabsf(d[i]) * most + 0x1p-100f;
        }
        check_equal(c, dy, dy2, n, size, "n=%zu activation %d: partner", n, (int)f);
        check_done(c);
    }
}

static void test_norm_back(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        size_t n = 1 + check_size(c, 700);
        bool centred = round & 2;
        float *x = check_floats(c, n, 2), *w = round & 1 ? check_floats(c, n, 1) : NULL;
        float *d = check_floats(c, n, 1), *dx = check_floats(c, n, 1), *size = sizes_of(c, n);
        for (size_t i = 0; i < n && round % 5 == 0; i++) x[i] += 20; /* mean far from 0 */
        float *dx2 = copy_of(c, dx, n), *old = copy_of(c, dx, n), of[2], of2[2], top = 0, big = 0;
        c->ref->norm_back(x, w, 1e-5f, centred, d, n, of, dx);
        c->fast->norm_back(x, w, 1e-5f, centred, d, n, of2, dx2);
        for (size_t i = 0; i < n; i++) {
            top = fmaxf(top, fabsf(x[i]));
            big += fabsf(d[i] * (w ? w[i] : 1));
        }
        float likely[2] = {top + 0x1p-100f, of[1] * (1 + of[1] * top)};
        check_equal(c, of, of2, 2, likely, "n=%zu centred=%d: statistics", n, centred);
        for (size_t i = 0; i < n; i++)
            size[i] = fabsf(old[i]) + of[1] * (1 + of[1] * top) * (1 + of[1] * top) * big;
        check_equal(c, dx, dx2, n, size, "n=%zu centred=%d", n, centred);
        c->fast->norm_back(x, w, 1e-5f, centred, d, n, of2, NULL);
        check_done(c);
    }
}

static void test_norm_columns(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        size_t n = check_size(c, 100), rows = check_size(c, 150);
        size_t ds = n + check_below(c, 3), xs = n + check_below(c, 3), os = 2 + check_below(c, 2);
        float *d = check_floats(c, rows ? (rows - 1) * ds + n : 0, 1);
        float *x = check_floats(c, rows ? (rows - 1) * xs + n : 0, 1);
        float *of = round & 1 ? check_floats(c, rows * os, 1) : NULL;
        float *w = check_floats(c, n, 1), *b = check_floats(c, n, 1);
        float *w2 = copy_of(c, w, n), *b2 = copy_of(c, b, n);
        float *sw = sizes_of(c, n), *sb = sizes_of(c, n);
        for (size_t j = 0; j < n; j++) {
            sw[j] = fabsf(w[j]), sb[j] = fabsf(b[j]);
            for (size_t i = 0; i < rows; i++) {
                float f = of ? (fabsf(x[i * xs + j]) + fabsf(of[i * os])) * fabsf(of[i * os + 1])
                             : fabsf(x[i * xs + j]);
                sw[j] += fabsf(d[i * ds + j]) * f;
                sb[j] += fabsf(d[i * ds + j]);
            }
        }
        bool alone = round % 3 == 0;
        c->ref->norm_columns(d, ds, alone ? NULL : x, xs, of, os, rows, n, alone ? NULL : w, b);
        c->fast->norm_columns(d, ds, alone ? NULL : x, xs, of, os, rows, n, alone ? NULL : w2, b2);
        check_equal(c, w, w2, n, sw, "n=%zu rows=%zu: weights", n, rows);
        check_equal(c, b, b2, n, sb, "n=%zu rows=%zu: biases", n, rows);
        check_done(c);
    }
}

static void test_add_product(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        size_t n = check_size(c, 700);
        float *a = check_floats(c, n, 1), *b = check_floats(c, n, 1), *y = check_floats(c, n, 1);
        float *y2 = copy_of(c, y, n), *size = sizes_of(c, n);
        for (size_t i = 0; i < n; i++) size[i] = fabsf(y[i]) + fabsf(a[i] * b[i]) + 0x1p-100f;
        c->ref->add_product(a, b, n, y);
        c->fast->add_product(a, b, n, y2);
        check_equal(c, y, y2, n, size, "n=%zu", n);
        check_done(c);
    }
}

static ScoreRow draw_row(Check *c, int round)
{
    ScoreRow r = {.n = check_size(c, 520), .scale = 0.125f, .cap = round % 3 == 0 ? 5 : 0};
    r.from = check_below(c, 2) ? 0 : check_below(c, r.n + 1);
    r.to = check_below(c, 2) ? r.n : r.from + check_below(c, r.n - r.from + 1);
    return r;
}

static void test_weigh(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        ScoreRow r = draw_row(c, round);
        float *s = logits(c, r.n, 20), *size = sizes_of(c, r.n);
        for (size_t i = 0; i < r.n; i++)
            if (i < r.from || i >= r.to) s[i] = check_below(c, 2) ? NAN : 1e30f;
        float *s2 = copy_of(c, s, r.n), top = round & 1 ? -INFINITY : 1.5f, top2 = top;
        float sum = round & 1 ? 0 : 2, sum2 = sum;
        float fade = c->ref->weigh(&r, s, &top, &sum);
        float fade2 = c->fast->weigh(&r, s2, &top2, &sum2);
        float want[3] = {top, sum, fade}, got[3] = {top2, sum2, fade2};
        float big[3] = {fabsf(top) + 0x1p-100f, 30 * sum, 30};
        check_equal(c, want, got, 3, big, "n=%zu [%zu, %zu): statistics", r.n, r.from, r.to);
        for (size_t i = 0; i < r.n; i++) size[i] = s[i] == 0 ? 0 : 30 * s[i] + 0x1p-100f;
        check_equal(c, s, s2, r.n, size, "n=%zu [%zu, %zu)", r.n, r.from, r.to);
        check_done(c);
    }
}

static void test_weigh_back(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        ScoreRow r = draw_row(c, round);
        float *s = logits(c, r.n, 20), *d = check_floats(c, r.n, 1), *size = sizes_of(c, r.n);
        for (size_t i = 0; i < r.n; i++)
            if (i < r.from || i >= r.to) s[i] = NAN, d[i] = NAN;
        float *s2 = copy_of(c, s, r.n), *d2 = copy_of(c, d, r.n), *was = copy_of(c, d, r.n);
        c->ref->weigh_back(&r, s, d, 7.25f, 0.5f);
        c->fast->weigh_back(&r, s2, d2, 7.25f, 0.5f);
        for (size_t i = 0; i < r.n; i++) size[i] = s[i] == 0 ? 0 : 40 * s[i] + 0x1p-100f;
        check_equal(c, s, s2, r.n, size, "n=%zu [%zu, %zu)", r.n, r.from, r.to);
        for (size_t i = 0; i < r.n; i++)
            size[i] = s[i] == 0 ? 0 : 40 * s[i] * (fabsf(was[i]) + 1) + 0x1p-100f;
        check_equal(c, d, d2, r.n, size, "n=%zu [%zu, %zu): gradient", r.n, r.from, r.to);
        check_done(c);
    }
}

/* ---- timing: rows of 4096, in the first caches ---- */
enum { N = 4096 };

typedef struct Rows {
    float *a, *b, *c, *d, *e;
    AdamStep step;
    ScoreRow row;
} Rows;

static Rows rows(Check *c)
{
    Rows r = {check_memory(c, N * 4), check_memory(c, N * 4), check_memory(c, N * 4),
              check_memory(c, N * 4), check_memory(c, N * 4), {1, 0.9f, 0.95f, 1e-8f, 0, 1, 1},
              {N, 0, N, 0.125f, 0}};
    for (int i = 0; i < N; i++) r.a[i] = (float)(i % 37) / 8 - 2, r.b[i] = (float)(i % 19) / 8 - 1;
    return r;
}

static void run_softmax_times(Check *c, void *arg)
{
    Rows *r = arg;
    c->fast->softmax_times(r->a, 1, 1, N, r->b);
}

static void run_divergence(Check *c, void *arg)
{
    Rows *r = arg;
    c->fast->divergence(r->a, r->b, 1, 0, 1, N, r->c);
}

static void run_adamw(Check *c, void *arg)
{
    Rows *r = arg;
    c->fast->adamw(&r->step, r->a, N, r->c, r->d, r->e);
}

static void run_activate_back(Check *c, void *arg)
{
    Rows *r = arg;
    c->fast->activate_back(ACT_SILU, r->a, r->b, r->c, N, r->d, r->e);
}

static void run_norm_back(Check *c, void *arg)
{
    Rows *r = arg;
    float of[2];
    c->fast->norm_back(r->a, r->b, 1e-5f, false, r->c, N, of, r->d);
}

static void run_norm_columns(Check *c, void *arg)
{
    Rows *r = arg;
    c->fast->norm_columns(r->a, 256, r->b, 256, r->c, 2, 16, 256, r->d, NULL);
}

static void run_add_product(Check *c, void *arg)
{
    Rows *r = arg;
    c->fast->add_product(r->a, r->c, N, r->d);
}

static void run_weigh(Check *c, void *arg)
{
    Rows *r = arg;
    float top = 3, sum = 1;
    memcpy(r->c, r->a, N * sizeof *r->c);
    c->fast->weigh(&r->row, r->c, &top, &sum);
}

static void run_weigh_back(Check *c, void *arg)
{
    Rows *r = arg;
    memcpy(r->c, r->a, N * sizeof *r->c);
    c->fast->weigh_back(&r->row, r->c, r->d, 3, 0.25f);
}

#define BENCH(name, arrays)                                                                        \
    static void bench_##name(Check *c)                                                             \
    {                                                                                              \
        Rows r = rows(c);                                                                          \
        check_time(c, "4096", (arrays)*4.0 * N, N, LIMIT_MEMORY, run_##name, &r);                  \
    }
BENCH(softmax_times, 2)
BENCH(divergence, 3)
BENCH(adamw, 7)
BENCH(activate_back, 7)
BENCH(norm_back, 4)
BENCH(norm_columns, 2)
BENCH(add_product, 4)
BENCH(weigh, 2)
BENCH(weigh_back, 4)

CHECK_ROW(softmax_times, CHECK_EPSILON, 4e-7, test_softmax_times, bench_softmax_times);
CHECK_ROW(divergence, CHECK_EPSILON, 2e-6, test_divergence, bench_divergence);
CHECK_ROW(adamw, CHECK_EPSILON, 4e-7, test_adamw, bench_adamw);
CHECK_ROW(activate_back, CHECK_EPSILON, 1e-6, test_activate_back, bench_activate_back);
CHECK_ROW(norm_back, CHECK_EPSILON, 1e-6, test_norm_back, bench_norm_back);
CHECK_ROW(norm_columns, CHECK_EPSILON, 1e-6, test_norm_columns, bench_norm_columns);
CHECK_ROW(add_product, CHECK_EPSILON, 2e-7, test_add_product, bench_add_product);
CHECK_ROW(weigh, CHECK_EPSILON, 4e-7, test_weigh, bench_weigh);
CHECK_ROW(weigh_back, CHECK_EPSILON, 4e-7, test_weigh_back, bench_weigh_back);
