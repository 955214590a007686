/* Optimisers against the papers' formulas in double precision, Muon against what orthogonal means,
 * sums against any number of threads; learning rates against hand-computed points. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/cpu/cpu.h"
#include "base/mem.h"
#include "tiny.h"
#include "train/optim.h"
#include "train/schedule.h"

static bt_error err;

static Backend *backend_of(Params *p)
{
    Backend *b = NULL;
    CpuSizes sizes = model_cpu_sizes(p->model, 8);
    if (model_prepare(p->model, &err)) fail_msg("%s", err.text);
    if (cpu_open(&sizes, p->model->team, p->model->features, &b, &err)) fail_msg("%s", err.text);
    return b;
}

static Optim *open_optim(Params *p, OptimKind kind)
{
    Optim *o;
    OptimOptions options = optim_defaults();
    options.kind = kind;
    if (optim_open(p, &options, &o, &err)) fail_msg("%s", err.text);
    return o;
}

static void adamw_is_the_papers(void **state)
{
    Params *p = tiny_params("llama", true, 2, &err);
    (void)state;
    assert_non_null(p);
    Backend *b = backend_of(p);
    Optim *o = open_optim(p, OPTIM_ADAMW);
    for (size_t i = 0; i < p->n; i++) {
        Param *at = &p->items[i];
        double w = (double)at->value[at->n - 1], m = 0, v = 0;
        bool decays = at->kind != PARAM_VECTOR;
        float before = at->value[at->n - 1];
        memset(o->first, 0, o->bytes);
        memset(o->second, 0, o->bytes);
        for (int t = 1; t <= 5; t++) {
            tiny_grads(p, (uint64_t)t, 0.3f);
            double g = (double)at->grad[at->n - 1] * 0.5, rate = 0.01 * t;
            m = 0.9 * m + 0.1 * g;
            v = 0.95 * v + 0.05 * g * g;
            double mh = m / (1 - pow(0.9, t)), vh = v / (1 - pow(0.95, t));
            w -= rate * (mh / (sqrt(vh) + 1e-8) + (decays ? 0.1 * w : 0));
            optim_step(o, b, t, rate, 0.5);
        }
        float after = at->value[at->n - 1];
        if (at->kind == PARAM_FROZEN)
            assert_true(after == before);
        else
            assert_true(fabs((double)after - w) < 2e-6 * fmax(1, fabs(w)));
    }
    optim_close(&o);
    b->ops->close(b);
    params_close(&p);
}

static void norms_and_clipping(void **state)
{
    Params *p = tiny_params("qwen2", false, 2, &err);
    double sum = 0;
    (void)state;
    Backend *b = backend_of(p);
    Optim *o = open_optim(p, OPTIM_ADAMW);
    tiny_grads(p, 3, 2);
    for (size_t i = 0; i < p->n; i++)
        for (size_t j = 0; j < p->items[i].n; j++) sum += pow((double)p->items[i].grad[j], 2);
    double norm = optim_norm(o, 0.25);
    assert_true(fabs(norm / (0.25 * sqrt(sum)) - 1) < 1e-6);
    assert_true(fabs(optim_clip(o, norm) * norm - 1) < 1e-12);
    assert_true(optim_clip(o, 0.5) == 1);
    p->items[1].grad[5] = NAN;
    assert_true(isnan(optim_norm(o, 1)));
    p->items[1].grad[5] = INFINITY;
    assert_true(isinf(optim_norm(o, 1)));
    optim_close(&o);
    b->ops->close(b);
    params_close(&p);
}

static void the_same_on_any_number_of_threads(void **state)
{
    static float *values[3];
    static double norms[3];
    size_t bytes = 0;
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        for (int i = 0; i < 3; i++) {
            Params *p = tiny_params("qwen3moe", false, i + 1, &err);
            Backend *b = backend_of(p);
            Optim *o = open_optim(p, (OptimKind)kind);
            for (int t = 1; t < 4; t++) {
                tiny_grads(p, (uint64_t)t, 1);
                norms[i] = optim_norm(o, 1);
                optim_step(o, b, t, 0.01, optim_clip(o, norms[i]));
            }
            bytes = p->n_values * sizeof(float);
            values[i] = malloc(bytes);
            memcpy(values[i], p->values, bytes);
            optim_close(&o);
            b->ops->close(b);
            params_close(&p);
        }
        for (int i = 1; i < 3; i++) {
            assert_memory_equal(values[0], values[i], bytes);
            assert_true(norms[0] == norms[i]);
        }
        for (int i = 0; i < 3; i++) free(values[i]);
    }
}

/* After one step from zero momentum the change of a matrix is a multiple of an orthogonal one, as
 * far as five iterations reach: the products of its rows (or columns) are near 0, their squares
 * near one number (the coefficients let singular values fall in about 0.7 to 1.2). */
static void muon_steps_are_orthogonal(void **state)
{
    Params *p = tiny_params("llama", false, 2, &err);
    (void)state;
    Backend *b = backend_of(p);
    Optim *o = open_optim(p, OPTIM_MUON);
    o->options.decay = 0;
    float *before = malloc(p->n_values * sizeof *before);
    memcpy(before, p->values, p->n_values * sizeof *before);
    tiny_grads(p, 9, 1);
    optim_step(o, b, 1, 0.5, 1);
    size_t seen = 0;
    for (size_t i = 0; i < p->n; i++) {
        Param *at = &p->items[i];
        if (at->kind != PARAM_MATRIX) continue;
        size_t r = (size_t)at->rows, k = (size_t)at->k, side = r < k ? r : k;
        const float *old = before + (at->value - p->values);
        double unit = 0.5 * 0.2 * sqrt((double)(r > k ? r : k)), off = 0, on = 0;
        for (size_t x = 0; x < side; x++)
            for (size_t y = 0; y < side; y++) {
                double dot = 0;
                for (size_t j = 0; j < r * k / side; j++) {
                    size_t u = r <= k ? x * k + j : j * k + x, v = r <= k ? y * k + j : j * k + y;
                    dot += ((double)at->value[u] - (double)old[u]) *
                           ((double)at->value[v] - (double)old[v]) / (unit * unit);
                }
                *(x == y ? &on : &off) += x == y ? dot : dot * dot;
            }
        on /= (double)side;
        assert_true(on > 0.45 && on < 1.4);
        assert_true(sqrt(off / (double)(side * side)) < 0.15);
        seen++;
    }
    assert_int_equal(seen, 2 * 7);
    free(before);
    optim_close(&o);
    b->ops->close(b);
    params_close(&p);
}

static void learning_rates(void **state)
{
    Schedule s = {SCHEDULE_COSINE, 2, 0.1, 10, 0, 110};
    (void)state;
    assert_true(schedule_rate(&s, 1) == 0.2);
    assert_true(schedule_rate(&s, 10) == 2);
    assert_true(fabs(schedule_rate(&s, 60) - 2 * 0.55) < 1e-12);
    assert_true(fabs(schedule_rate(&s, 110) - 0.2) < 1e-12);
    assert_true(schedule_rate(&s, 500) == schedule_rate(&s, 110));
    s = (Schedule){SCHEDULE_WSD, 2, 0, 0, 16, 100};
    assert_true(schedule_rate(&s, 1) == 2 && schedule_rate(&s, 84) == 2);
    assert_true(fabs(schedule_rate(&s, 88) - 1) < 1e-12); /* 1 - sqrt(4 / 16) */
    assert_true(schedule_rate(&s, 100) == 0);
    s = (Schedule){SCHEDULE_CONSTANT, 2, 0, 4, 0, 100};
    assert_true(schedule_rate(&s, 1) == 0.5 && schedule_rate(&s, 100) == 2);
    s = (Schedule){SCHEDULE_COSINE, 2, 0, 0, 0, 1};
    assert_true(schedule_rate(&s, 1) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learning_rates),
        cmocka_unit_test_setup_teardown(adamw_is_the_papers, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(norms_and_clipping, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(the_same_on_any_number_of_threads, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(muon_steps_are_orthogonal, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
