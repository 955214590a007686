/* Adapters written into weights: the merged model answers as PEFT says (tests/data/adapters), as
 * the model with the adapter beside it, and as a merged maker's folder; quantised weights within
 * what rounding them costs, which the result tells. */
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
#include "support/adapter_cases.h"
#include "support/compare.h"
#include "support/files.h"
#include "support/run_model.h"
#include "support/scratch.h"
#include "support/torture.h"

#define N ADAPTER_TOKENS

static bt_token tokens[N];

static int read_tokens(void **state)
{
    (void)state;
    return adapter_tokens(tokens) && scratch_open() ? 0 : -1;
}

static bt_merge_result merge(const char *model, const char *adapter, float scale, const char *type,
                             const char *out)
{
    bt_error err;
    bt_merge_result r;
    const bt_merge_adapter one = {adapter, scale};
    const bt_merge_options o = {.type = type, .n_threads = 2};
    if (bt_merge(model, &one, 1, out, &o, &r, &err)) fail_msg("%s: %s", adapter, err.text);
    assert_true(r.n_matrices > 0 && r.change > 0);
    return r;
}

/* How far the model's logits are from `want`. */
static double apart(const char *path, const float *want, size_t count)
{
    int vocab;
    float *got = run_model(path, tokens, N, FEED_AT_ONCE, BT_KV_F32, 0, &vocab);
    if (!got || (size_t)vocab * N != count) fail_msg("%s does not run", path);
    double nmse = compare_nmse(got, want, count);
    free(got);
    return nmse;
}

/* Logits of a model with an adapter beside it; malloc'd. */
static float *unmerged(const char *model, const char *const *adapters, const float *scales,
                       size_t n)
{
    bt_error err;
    bt_model *m;
    bt_session *s;
    bt_adapter_use uses[4];
    bt_row rows[N];
    if (bt_model_open(model, NULL, &m, &err)) fail_msg("%s", err.text);
    for (size_t i = 0; i < n; i++) {
        uses[i].scale = scales[i];
        if (bt_adapter_open(m, adapters[i], NULL, &uses[i].adapter, &err)) fail_msg("%s", err.text);
    }
    const bt_session_options o = {.n_ctx = 64, .n_batch = N, .n_logits = N, .kv = BT_KV_F32};
    if (bt_session_open(m, &o, &s, &err)) fail_msg("%s", err.text);
    if (bt_session_adapt(s, 0, uses, n, &err)) fail_msg("%s", err.text);
    for (int i = 0; i < N; i++) rows[i] = (bt_row){tokens[i], 0, true, NULL};
    if (bt_session_step(s, rows, N, &err)) fail_msg("%s", err.text);
    size_t count = N * (size_t)bt_model_describe(m).n_vocab;
    float *out = malloc(count * sizeof *out);
    assert_non_null(out);
    memcpy(out, bt_session_logits(s, 0), count * sizeof *out);
    for (size_t i = 0; i < n; i++) bt_adapter_close(&uses[i].adapter);
    bt_session_close(&s);
    bt_model_close(&m);
    return out;
}

static void merged_is_unmerged(void **state)
{
    (void)state;
    for (int i = 0; i < ADAPTER_CASES; i++) {
        char model[1024], adapter[1024], out[1024];
        size_t count;
        snprintf(model, sizeof model, "%s",
                 files_source("tests/data/adapters/%s/model.gguf", adapter_cases[i]));
        snprintf(adapter, sizeof adapter, "%s",
                 files_source("tests/data/adapters/%s", adapter_cases[i]));
        snprintf(out, sizeof out, "%s", scratch_path("merged.gguf"));
        float *want = compare_read(
            files_source("tests/data/adapters/%s/logits.f32", adapter_cases[i]), &count);
        assert_non_null(want);
        bt_merge_result r = merge(model, adapter, 1, "F32", out);
        double f32 = apart(out, want, count);
        if (!(f32 <= 1e-8) || r.loss != 0) fail_msg("%s: %g apart in F32", adapter_cases[i], f32);
        r = merge(model, adapter, 1, NULL, out);
        double f16 = apart(out, want, count);
        if (!(f16 <= 1e-4) || !(r.loss > 0 && r.loss < 1e-3))
            fail_msg("%s: %g apart in F16, loss %g", adapter_cases[i], f16, r.loss);
        free(want);
    }
}

static void several_merge_in_turn(void **state)
{
    (void)state;
    static const char *const names[] = {"llama", "llama-dora"};
    bt_error err;
    char model[1024], a[1024], out[1024], gguf[1024];
    for (int i = 0; i < 2; i++) {
        snprintf(model, sizeof model, "%s",
                 files_source("tests/data/adapters/%s/model.gguf", names[i]));
        snprintf(a, sizeof a, "%s", files_source("tests/data/adapters/%s", names[i]));
        snprintf(out, sizeof out, "%s", scratch_path("merged.gguf"));
        snprintf(gguf, sizeof gguf, "%s", scratch_path("again.gguf"));
        const char *const both[] = {a, a};
        const float scales[] = {0.6f, -0.3f};
        float *want = unmerged(model, both, scales, 2);
        const bt_merge_adapter list[] = {{a, 0.6f}, {a, -0.3f}};
        const bt_merge_options o = {.type = "F32"};
        if (bt_merge(model, list, 2, out, &o, NULL, &err)) fail_msg("%s", err.text);
        double nmse = apart(out, want, N * 64);
        if (!(nmse <= 1e-8)) fail_msg("%s: %g", names[i], nmse);
        free(want);
    }
}

/* The head of a tied model stays as it is when its embedding changes. */
static void tied_heads_part(void **state)
{
    (void)state;
    char model[1024], adapter[1024], out[1024];
    bt_error err;
    Gguf *before = NULL, *after = NULL;
    snprintf(model, sizeof model, "%s", files_source("tests/data/adapters/llama-tied/model.gguf"));
    snprintf(adapter, sizeof adapter, "%s", files_source("tests/data/adapters/llama-tied"));
    snprintf(out, sizeof out, "%s", scratch_path("tied.gguf"));
    merge(model, adapter, 1, NULL, out);
    if (gguf_open(model, NULL, &before, &err) || gguf_open(out, NULL, &after, &err))
        fail_msg("%s", err.text);
    const GgufTensor *table = gguf_find_tensor(before, "token_embd.weight");
    const GgufTensor *head = gguf_find_tensor(after, "output.weight");
    assert_null(gguf_find_tensor(before, "output.weight"));
    assert_non_null(head);
    assert_int_equal(head->bytes, table->bytes);
    assert_memory_equal(head->data, table->data, table->bytes);
    assert_memory_not_equal(gguf_find_tensor(after, "token_embd.weight")->data, table->data,
                            table->bytes);
    gguf_close(&before);
    gguf_close(&after);
}

/* Against the same adapter beside the same quantised weights. */
static void quantised_weights_say_what_it_cost(void **state)
{
    (void)state;
    char model[1024], base[1024], adapter[1024], out[1024];
    bt_error err;
    snprintf(base, sizeof base, "%s", files_source("tests/data/adapters/qwen3/model.gguf"));
    snprintf(adapter, sizeof adapter, "%s", files_source("tests/data/adapters/qwen3"));
    snprintf(model, sizeof model, "%s", scratch_path("q8.gguf"));
    snprintf(out, sizeof out, "%s", scratch_path("merged.gguf"));
    const bt_quantize_options o = {.type = "Q8_0"};
    if (bt_quantize(base, model, &o, NULL, &err)) fail_msg("%s", err.text);
    const char *const one[] = {adapter};
    const float scale = 0.5f;
    float *want = unmerged(model, one, &scale, 1);
    bt_merge_result q8 = merge(model, adapter, scale, NULL, out);
    double q8_apart = apart(out, want, N * 64);
    bt_merge_result q4 = merge(model, adapter, scale, "Q4_0", out);
    if (!(q8_apart < 1e-2) || !(q8.loss > 1e-4 && q8.loss < 1e-2) || !(q4.loss > 4 * q8.loss))
        fail_msg("%g apart; losses %g and %g", q8_apart, q8.loss, q4.loss);
    free(want);
}

static void refusals(void **state)
{
    (void)state;
    char model[1024], adapter[1024], other[1024], text[1024];
    bt_error err;
    snprintf(model, sizeof model, "%s", files_source("tests/data/adapters/qwen2/model.gguf"));
    snprintf(adapter, sizeof adapter, "%s", files_source("tests/data/adapters/qwen2"));
    snprintf(other, sizeof other, "%s", files_source("tests/data/adapters/qwen3"));
    snprintf(text, sizeof text, "%s", scratch_write("notes.txt", "mine", 4));
    const bt_merge_adapter good = {adapter, 1}, bad = {other, 1};
    const bt_merge_options type = {.type = "Q99"};
    const char *out = scratch_path("out.gguf");
    assert_int_equal(bt_merge(model, &good, 1, model, NULL, NULL, &err), BT_E_ARGUMENT);
    assert_int_equal(bt_merge(model, &good, 1, text, NULL, NULL, &err), BT_E_ARGUMENT);
    assert_int_equal(bt_merge(model, &good, 0, out, NULL, NULL, &err), BT_E_ARGUMENT);
    assert_int_equal(bt_merge(model, &good, 1, out, &type, NULL, &err), BT_E_ARGUMENT);
    assert_int_equal(bt_merge(model, &bad, 1, out, NULL, NULL, &err), BT_E_ARGUMENT);
    assert_non_null(strstr(err.text, "another base"));
}

typedef struct Life {
    char model[1024], adapter[1024], out[1024];
} Life;

static bt_status life(void *user, bt_error *err)
{
    const Life *l = user;
    const bt_merge_adapter one = {l->adapter, 1};
    const bt_merge_options o = {.n_threads = 2};
    return bt_merge(l->model, &one, 1, l->out, &o, NULL, err);
}

static void every_allocation_may_fail(void **state)
{
    Life l;
    (void)state;
    snprintf(l.model, sizeof l.model, "%s",
             files_source("tests/data/adapters/llama-tied/model.gguf"));
    snprintf(l.adapter, sizeof l.adapter, "%s", files_source("tests/data/adapters/llama-tied"));
    snprintf(l.out, sizeof l.out, "%s", scratch_path("torture.gguf"));
    torture("a merge", life, &l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merged_is_unmerged), cmocka_unit_test(several_merge_in_turn),
        cmocka_unit_test(tied_heads_part),    cmocka_unit_test(quantised_weights_say_what_it_cost),
        cmocka_unit_test(refusals),           cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, read_tokens, scratch_teardown);
}
