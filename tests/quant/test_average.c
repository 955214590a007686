/* The mean of models: number for number what reading both and halving their sum gives, whatever
 * types they are stored in; other models are refused, and every allocation may fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bantam/bantam.h"
#include "io/gguf.h"
#include "kernels/kernels.h"
#include "support/files.h"
#include "support/scratch.h"
#include "support/torture.h"

static char model[1024], changed[1024], out[1024];

/* A model, and the same with an adapter in its weights, both in float32. */
static int make_two(void **state)
{
    (void)state;
    char adapter[1024];
    bt_error err;
    if (!scratch_open()) return -1;
    snprintf(model, sizeof model, "%s", scratch_path("a.gguf"));
    snprintf(changed, sizeof changed, "%s", scratch_path("b.gguf"));
    snprintf(out, sizeof out, "%s", scratch_path("mean.gguf"));
    snprintf(adapter, sizeof adapter, "%s", files_source("tests/data/adapters/qwen3"));
    const char *base = files_source("tests/data/adapters/qwen3/model.gguf");
    const bt_merge_adapter none = {adapter, 0}, one = {adapter, 1};
    const bt_merge_options o = {.type = "F32"};
    return bt_merge(base, &none, 1, model, &o, NULL, &err) ||
           bt_merge(base, &one, 1, changed, &o, NULL, &err);
}

static int close_scratch(void **state)
{
    (void)state;
    scratch_close();
    return 0;
}

static Gguf *opened(const char *path)
{
    Gguf *g;
    bt_error err;
    if (gguf_open(path, NULL, &g, &err)) fail_msg("%s", err.text);
    return g;
}

static float *numbers(const Gguf *g, const char *name, size_t *n)
{
    const GgufTensor *t = gguf_find_tensor(g, name);
    assert_non_null(t);
    *n = (size_t)(t->ne[0] * t->ne[1] * t->ne[2]);
    float *x = malloc(*n * sizeof *x);
    assert_non_null(x);
    assert_true(dequant_row(t->type, t->data, x, *n));
    return x;
}

static void check_mean(const char *const *paths, size_t n_paths)
{
    Gguf *mean = opened(out);
    Gguf *first = opened(paths[0]);
    assert_int_equal(gguf_n_tensors(mean), gguf_n_tensors(first));
    assert_int_equal(gguf_n_keys(mean), gguf_n_keys(first));
    for (size_t t = 0; t < gguf_n_tensors(first); t++) {
        char name[256];
        size_t n, same;
        Span s = gguf_tensor(first, t)->name;
        snprintf(name, sizeof name, "%.*s", (int)s.size, s.data);
        float *got = numbers(mean, name, &n);
        double *want = calloc(n, sizeof *want);
        assert_non_null(want);
        for (size_t i = 0; i < n_paths; i++) {
            Gguf *g = opened(paths[i]);
            float *x = numbers(g, name, &same);
            assert_int_equal(same, n);
            for (size_t j = 0; j < n; j++) want[j] += x[j] / (double)n_paths;
            free(x);
            gguf_close(&g);
        }
        for (size_t j = 0; j < n; j++)
            if (!(got[j] - want[j] < 1e-6 && want[j] - got[j] < 1e-6))
                fail_msg("%s, number %zu: %g is not %g", name, j, (double)got[j], want[j]);
        free(got);
        free(want);
    }
    gguf_close(&first);
    gguf_close(&mean);
}

static void is_the_mean(void **state)
{
    (void)state;
    bt_error err;
    const char *const two[] = {model, changed}, *const three[] = {changed, model, changed};
    const bt_merge_options o = {.n_threads = 2};
    if (bt_average(two, 2, out, &o, &err)) fail_msg("%s", err.text);
    check_mean(two, 2);
    if (bt_average(three, 3, out, NULL, &err)) fail_msg("%s", err.text);
    check_mean(three, 3);
}

static void types_may_differ(void **state)
{
    (void)state;
    char q8[1024];
    bt_error err;
    snprintf(q8, sizeof q8, "%s", scratch_path("q8.gguf"));
    const bt_quantize_options o = {.type = "Q8_0"};
    if (bt_quantize(changed, q8, &o, NULL, &err)) fail_msg("%s", err.text);
    const char *const mixed[] = {model, q8}, *const turned[] = {q8, model};
    if (bt_average(mixed, 2, out, NULL, &err)) fail_msg("%s", err.text);
    check_mean(mixed, 2);
    const bt_merge_options f32 = {.type = "F32"};
    if (bt_average(turned, 2, out, &f32, &err)) fail_msg("%s", err.text);
    check_mean(turned, 2);
    if (bt_average(turned, 2, out, NULL, &err)) fail_msg("%s", err.text);
    Gguf *g = opened(out), *first = opened(q8);
    for (size_t t = 0; t < gguf_n_tensors(g); t++)
        assert_int_equal(gguf_tensor(g, t)->type, gguf_tensor(first, t)->type);
    gguf_close(&g);
    gguf_close(&first);
}

static void refusals(void **state)
{
    (void)state;
    bt_error err;
    char other[1024];
    snprintf(other, sizeof other, "%s", files_source("tests/data/adapters/llama/model.gguf"));
    const char *const good[] = {model, changed}, *const bad[] = {model, other};
    const char *const missing[] = {model, scratch_path("none.gguf")};
    const bt_merge_options type = {.type = "Q99"};
    assert_int_equal(bt_average(good, 1, out, NULL, &err), BT_E_ARGUMENT);
    assert_int_equal(bt_average(good, 17, out, NULL, &err), BT_E_ARGUMENT);
    assert_int_equal(bt_average(good, 2, out, &type, &err), BT_E_ARGUMENT);
    assert_int_equal(bt_average(good, 2, changed, NULL, &err), BT_E_ARGUMENT);
    assert_int_equal(bt_average(bad, 2, out, NULL, &err), BT_E_ARGUMENT);
    assert_non_null(strstr(err.text, "tensor"));
    assert_int_not_equal(bt_average(missing, 2, out, NULL, &err), BT_OK);
    assert_non_null(strstr(err.text, "none.gguf"));
}

static bt_status life(void *user, bt_error *err)
{
    const char *const two[] = {model, changed};
    const bt_merge_options o = {.n_threads = 2};
    (void)user;
    return bt_average(two, 2, out, &o, err);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    torture("a mean", life, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_the_mean),
        cmocka_unit_test(types_may_differ),
        cmocka_unit_test(refusals),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, make_two, close_scratch);
}
