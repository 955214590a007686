/* Adapters at work: PEFT's own answers for tiny models of six families (tests/data/adapters, made
 * by make_adapters.py), read, written in both forms and read again; rows with different adapters in
 * one step; quantised weights; other bases refused; what a sequence holds never outlives its
 * adapters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bantam/bantam.h"
#include "base/mem.h"
#include "io/lora.h"
#include "support/adapter_cases.h"
#include "support/compare.h"
#include "support/files.h"
#include "support/make_blocks.h"
#include "support/make_model.h"
#include "support/scratch.h"
#include "support/torture.h"

#define N ADAPTER_TOKENS

static bt_token tokens[N];

static int read_tokens(void **state)
{
    (void)state;
    return adapter_tokens(tokens) && scratch_open() ? 0 : -1;
}

static bt_model *open_model(const char *path)
{
    bt_error err;
    bt_model *m = NULL;
    if (bt_model_open(path, NULL, &m, &err)) fail_msg("%s", err.text);
    return m;
}

static bt_adapter *open_adapter(bt_model *m, const char *path)
{
    bt_error err;
    bt_adapter *a = NULL;
    if (bt_adapter_open(m, path, NULL, &a, &err)) fail_msg("%s", err.text);
    return a;
}

static bt_session *open_session(bt_model *m, int32_t n_sequences)
{
    bt_error err;
    bt_session *s = NULL;
    bt_session_options o = {.n_ctx = 64,
                            .n_sequences = n_sequences,
                            .n_batch = 4 * N,
                            .n_logits = 4 * N,
                            .kv = BT_KV_F32};
    if (bt_session_open(m, &o, &s, &err)) fail_msg("%s", err.text);
    return s;
}

static void adapt(bt_session *s, int32_t sequence, bt_adapter *a, float scale)
{
    bt_error err;
    const bt_adapter_use use = {a, scale};
    if (bt_session_adapt(s, sequence, &use, a ? 1 : 0, &err)) fail_msg("%s", err.text);
}

/* Logits (N, vocabulary) of all tokens, `chunk` a step; malloc'd. */
static float *run(bt_session *s, int chunk, size_t vocab)
{
    bt_row rows[N];
    bt_error err;
    float *out = malloc(N * vocab * sizeof *out);
    assert_non_null(out);
    if (bt_session_truncate(s, 0, 0, &err)) fail_msg("%s", err.text);
    for (int i = 0; i < N; i += chunk) {
        int some = N - i < chunk ? N - i : chunk;
        for (int j = 0; j < some; j++) rows[j] = (bt_row){tokens[i + j], 0, true, NULL};
        if (bt_session_step(s, rows, (size_t)some, &err)) fail_msg("%s", err.text);
        for (int j = 0; j < some; j++)
            memcpy(out + (size_t)(i + j) * vocab, bt_session_logits(s, j), vocab * sizeof *out);
    }
    return out;
}

static double run_apart(bt_session *s, int chunk, const float *want, size_t count)
{
    float *got = run(s, chunk, count / N);
    double nmse = compare_nmse(got, want, count);
    free(got);
    return nmse;
}

static const char *case_path(const char *name, const char *file)
{
    return files_source("tests/data/adapters/%s%s", name, file);
}

static bt_model *open_case(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s", case_path(name, "/model.gguf"));
    return open_model(path);
}

static bt_adapter *open_case_adapter(bt_model *m, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s", case_path(name, ""));
    return open_adapter(m, path);
}

static void peft_agrees(void **state)
{
    (void)state;
    for (int i = 0; i < ADAPTER_CASES; i++) {
        size_t count;
        float *want = compare_read(case_path(adapter_cases[i], "/logits.f32"), &count);
        assert_non_null(want);
        bt_model *m = open_case(adapter_cases[i]);
        bt_adapter *a = open_case_adapter(m, adapter_cases[i]);
        bt_session *s = open_session(m, 1);
        adapt(s, 0, a, 1);
        bt_adapter_close(&a); /* the session keeps it */
        static const int chunks[] = {N, 1, 7};
        for (int c = 0; c < 3; c++) {
            double apart = run_apart(s, chunks[c], want, count);
            if (!(apart <= 1e-8))
                fail_msg("%s by %d: %g apart", adapter_cases[i], chunks[c], apart);
        }
        adapt(s, 0, NULL, 0);
        assert_true(run_apart(s, N, want, count) > 1e-2);
        bt_session_close(&s);
        bt_model_close(&m);
        free(want);
    }
}

/* GGUF and PEFT, each written from what the other form was read from. */
static void saved_adapters_agree(void **state)
{
    (void)state;
    for (int i = 0; i < ADAPTER_CASES; i++) {
        bt_error err;
        char gguf[1024], folder[1024];
        size_t count;
        float *want = compare_read(case_path(adapter_cases[i], "/logits.f32"), &count);
        bt_model *m = open_case(adapter_cases[i]);
        bt_adapter *a = open_case_adapter(m, adapter_cases[i]), *b, *c;
        bt_session *s = open_session(m, 1);
        snprintf(gguf, sizeof gguf, "%s", scratch_path("a.gguf"));
        snprintf(folder, sizeof folder, "%s", scratch_path(adapter_cases[i]));
        if (bt_adapter_save(a, gguf, &err)) fail_msg("%s: %s", adapter_cases[i], err.text);
        b = open_adapter(m, gguf);
        if (bt_adapter_save(b, folder, &err)) fail_msg("%s: %s", adapter_cases[i], err.text);
        c = open_adapter(m, folder);
        bt_adapter *all[] = {b, c};
        for (int k = 0; k < 2; k++) {
            adapt(s, 0, all[k], 1);
            double apart = run_apart(s, N, want, count);
            if (!(apart <= 1e-8)) fail_msg("%s, form %d: %g apart", adapter_cases[i], k, apart);
        }
        assert_int_equal(bt_adapter_describe(a).n_params, bt_adapter_describe(b).n_params);
        bt_session_close(&s);
        bt_adapter_close(&a);
        bt_adapter_close(&b);
        bt_adapter_close(&c);
        bt_model_close(&m);
        free(want);
    }
}

/* Three sequences in one step, each as if alone: to the bit. */
static void rows_have_their_own(void **state)
{
    (void)state;
    static const char *const some[] = {"llama", "llama-dora", "qwen3moe", "gemma3"};
    for (int c = 0; c < 4; c++) {
        bt_error err;
        bt_row rows[4 * N];
        static const float scales[] = {0, 1, 0.5f};
        bt_model *m = open_case(some[c]);
        bt_adapter *a = open_case_adapter(m, some[c]);
        size_t vocab = (size_t)bt_model_describe(m).n_vocab, n = 0;
        bt_session *one = open_session(m, 1), *all = open_session(m, 3);
        float *alone[3];
        for (int q = 0; q < 3; q++) {
            adapt(one, 0, scales[q] > 0 ? a : NULL, scales[q]);
            alone[q] = run(one, N, vocab);
            adapt(all, q, scales[q] > 0 ? a : NULL, scales[q]);
        }
        for (int i = 0; i < N; i++) /* in turns, and some rows without logits */
            for (int q = 0; q < 3; q++) rows[n++] = (bt_row){tokens[i], q, (i + q) % 2 == 0, NULL};
        if (bt_session_step(all, rows, n, &err)) fail_msg("%s", err.text);
        int32_t at = 0;
        for (int i = 0; i < N; i++)
            for (int q = 0; q < 3; q++) {
                if ((i + q) % 2) continue;
                const float *got = bt_session_logits(all, at++);
                if (memcmp(got, alone[q] + (size_t)i * vocab, vocab * sizeof *got) != 0)
                    fail_msg("%s: token %d of sequence %d differs from alone", some[c], i, q);
            }
        for (int q = 0; q < 3; q++) free(alone[q]);
        bt_session_close(&one);
        bt_session_close(&all);
        bt_adapter_close(&a);
        bt_model_close(&m);
    }
}

static void several_add_up(void **state)
{
    (void)state;
    bt_error err;
    size_t count;
    float *want = compare_read(case_path("llama", "/logits.f32"), &count);
    bt_model *m = open_case("llama");
    bt_adapter *a = open_case_adapter(m, "llama"), *b = open_case_adapter(m, "llama");
    bt_session *s = open_session(m, 1);
    const bt_adapter_use uses[] = {{a, 0.25f}, {b, 1}, {a, -0.25f}};
    if (bt_session_adapt(s, 0, uses, 3, &err)) fail_msg("%s", err.text);
    assert_true(run_apart(s, N, want, count) < 1e-8);
    if (bt_session_adapt(s, 0, uses, 2, &err)) fail_msg("%s", err.text);
    assert_true(run_apart(s, N, want, count) > 1e-4);
    bt_session_close(&s);
    bt_adapter_close(&a);
    bt_adapter_close(&b);
    bt_model_close(&m);
    free(want);
}

/* ---- quantised weights ---- */

/* An adapter of every matrix of a made model. */
static void make_adapter(const char *base, const char *path, bool magnitudes)
{
    bt_error err;
    Gguf *g;
    uint64_t seed = 7;
    Lora *l = lora_new();
    char name[LORA_NAME];
    if (gguf_open(base, NULL, &g, &err)) fail_msg("%s", err.text);
    Span arch;
    gguf_get_span(g, "general.architecture", true, &arch, NULL);
    l->arch = mem_strndup(arch.data, arch.size);
    l->fingerprint = lora_fingerprint(g);
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const GgufTensor *t = gguf_tensor(g, i);
        snprintf(name, sizeof name, "%.*s", (int)t->name.size, t->name.data);
        if (t->n_dims < 2 || strstr(name, "_norm") || strcmp(name, LORA_EMBEDDING) == 0) continue;
        LoraMatrix *m = lora_add(l, name, (int64_t)t->ne[0], (int64_t)t->ne[1], (int64_t)t->ne[2],
                                 3, magnitudes && t->ne[2] == 1);
        assert_non_null(m);
        m->scale = 0.5f;
        float spread = 1.0f / (float)m->k;
        for (int64_t j = 0; j < m->n_mats * m->rank * m->k; j++) m->a[j] = make_normal(&seed);
        for (int64_t j = 0; j < m->n_mats * m->n * m->rank; j++)
            m->b[j] = spread * make_normal(&seed);
        for (int64_t j = 0; m->magnitude && j < m->n; j++) m->magnitude[j] = 0.9f;
    }
    if (lora_write(l, path, DT_F32, &err)) fail_msg("%s", err.text);
    lora_close(&l);
    gguf_close(&g);
}

static float *run_type(const char *arch, DType type, bool adapted, bool magnitudes, size_t *vocab)
{
    char path[1024], adapter[1024];
    bt_error err;
    MakeModel spec = {.arch = arch, .type = type, .tokenizer = MAKE_NO_VOCAB, .ff = 128};
    snprintf(path, sizeof path, "%s", scratch_path("made.gguf"));
    snprintf(adapter, sizeof adapter, "%s", scratch_path("made-adapter.gguf"));
    if (make_model(&spec, path, &err)) fail_msg("%s", err.text);
    make_adapter(path, adapter, magnitudes);
    bt_model *m = open_model(path);
    bt_adapter *a = open_adapter(m, adapter);
    bt_session *s = open_session(m, 1);
    if (adapted) adapt(s, 0, a, 1);
    *vocab = (size_t)bt_model_describe(m).n_vocab;
    float *out = run(s, N, *vocab);
    bt_session_close(&s);
    bt_adapter_close(&a);
    bt_model_close(&m);
    return out;
}

/* The adapter moves a model of 8-bit blocks as it moves the same in float32. */
static void quantised_weights_adapt(void **state)
{
    (void)state;
    static const char *const archs[] = {"llama", "qwen2", "qwen3", "llama-moe"};
    for (int i = 0; i < 4; i++)
        for (int magnitudes = 0; magnitudes < 2; magnitudes++) {
            size_t vocab;
            bool moe = strstr(archs[i], "moe") != NULL;
            float *plain = run_type(archs[i], DT_F32, false, magnitudes, &vocab);
            float *want = run_type(archs[i], DT_F32, true, magnitudes, &vocab);
            float *half = run_type(archs[i], DT_BF16, true, magnitudes, &vocab);
            float *got = run_type(archs[i], DT_Q8_0, true, magnitudes, &vocab);
            size_t count = N * vocab;
            double moved = compare_nmse(plain, want, count);
            if (!(moved > 1e-2)) fail_msg("%s: only %g moved", archs[i], moved);
            double bound = moe ? moved / 2 : 1e-3; /* near ties of experts fall either way */
            if (!(compare_nmse(got, want, count) < bound) ||
                !(compare_nmse(half, want, count) < bound))
                fail_msg("%s: %g (Q8_0), %g (BF16) apart", archs[i], compare_nmse(got, want, count),
                         compare_nmse(half, want, count));
            free(plain);
            free(want);
            free(half);
            free(got);
        }
}

/* ---- refusals ---- */

static void refused(bt_model *m, const char *path, bt_status status, const char *word)
{
    bt_error err = {0};
    bt_adapter *a = NULL;
    bt_status got = bt_adapter_open(m, path, NULL, &a, &err);
    if (got != status || a || !strstr(err.text, word))
        fail_msg("%s: %d '%s', not %d with '%s'", path, got, err.text, status, word);
}

static void other_bases_are_refused(void **state)
{
    (void)state;
    char path[1024], adapter[1024];
    bt_error err;
    bt_model *m = open_case("qwen2");
    snprintf(path, sizeof path, "%s", case_path("qwen2", "/model.gguf"));
    refused(m, path, BT_E_ARGUMENT, "is no adapter");
    snprintf(path, sizeof path, "%s", case_path("qwen3", ""));
    refused(m, path, BT_E_ARGUMENT, "another base"); /* heads of another width */
    snprintf(path, sizeof path, "%s", case_path("phi3", ""));
    refused(m, path, BT_E_UNSUPPORTED, "no place");
    refused(m, "/nowhere/at/all.gguf", BT_E_IO, "nowhere");
    bt_model_close(&m);

    MakeModel spec = {.type = DT_F32, .tokenizer = MAKE_NO_VOCAB, .seed = 1};
    snprintf(path, sizeof path, "%s", scratch_path("one.gguf"));
    snprintf(adapter, sizeof adapter, "%s", scratch_path("one-adapter.gguf"));
    if (make_model(&spec, path, &err)) fail_msg("%s", err.text);
    make_adapter(path, adapter, false);
    m = open_case("llama");
    refused(m, adapter, BT_E_ARGUMENT, "another base");
    bt_model_close(&m);
    m = open_case("qwen2");
    refused(m, adapter, BT_E_ARGUMENT, "architecture llama");
    bt_model_close(&m);
}

/* Norms that differ make another base of the same shape, types of weights do not. */
static void fingerprints_tell_bases_apart(void **state)
{
    (void)state;
    char a[1024], b[1024];
    bt_error err;
    Gguf *g;
    uint64_t print[4];
    MakeModel specs[] = {{.type = DT_F32, .tokenizer = MAKE_NO_VOCAB, .seed = 1},
                         {.type = DT_Q8_0, .tokenizer = MAKE_NO_VOCAB, .seed = 1},
                         {.type = DT_F32, .tokenizer = MAKE_NO_VOCAB, .seed = 2}};
    snprintf(a, sizeof a, "%s", scratch_path("base.gguf"));
    snprintf(b, sizeof b, "%s", scratch_path("adapter.gguf"));
    for (int i = 0; i < 3; i++) {
        if (make_model(&specs[i], a, &err)) fail_msg("%s", err.text);
        if (gguf_open(a, NULL, &g, &err)) fail_msg("%s", err.text);
        print[i] = lora_fingerprint(g);
        gguf_close(&g);
    }
    assert_true(print[0] == print[1] && print[0] != print[2]);
    make_adapter(a, b, false); /* of the last */
    if (make_model(&specs[1], a, &err)) fail_msg("%s", err.text);
    bt_model *m = open_model(a);
    refused(m, b, BT_E_ARGUMENT, "--any-base");
    const bt_adapter_options any = {.any_base = true};
    bt_adapter *adapter;
    if (bt_adapter_open(m, b, &any, &adapter, &err)) fail_msg("%s", err.text);
    bt_adapter_close(&adapter);
    bt_model_close(&m);
}

/* ---- what sequences hold ---- */

static void state_belongs_to_adapters(void **state)
{
    (void)state;
    bt_error err;
    char path[1024];
    bt_model *m = open_case("llama");
    bt_adapter *a = open_case_adapter(m, "llama");
    bt_session *s = open_session(m, 2);
    snprintf(path, sizeof path, "%s", scratch_path("sequence"));
    assert_int_equal(bt_session_feed(s, 0, tokens, N, &err), BT_OK);
    assert_int_equal(bt_session_save(s, 0, path, &err), BT_OK);
    adapt(s, 1, a, 1);
    assert_int_equal(bt_session_length(s, 0), N);
    assert_int_equal(bt_session_share(s, 0, 1, N, &err), BT_E_ARGUMENT);
    assert_int_equal(bt_session_load(s, 1, path, &err), BT_E_ARGUMENT);
    assert_non_null(strstr(err.text, "adapters"));
    adapt(s, 0, a, 1); /* the same set: what it holds was made without */
    assert_int_equal(bt_session_length(s, 0), 0);
    assert_int_equal(bt_session_feed(s, 0, tokens, N, &err), BT_OK);
    adapt(s, 0, a, 1); /* nothing changes */
    assert_int_equal(bt_session_length(s, 0), N);
    assert_int_equal(bt_session_share(s, 0, 1, N, &err), BT_OK);
    const bt_adapter_use none = {NULL, 1};
    assert_int_equal(bt_session_adapt(s, 0, &none, 1, &err), BT_E_ARGUMENT);
    assert_int_equal(bt_session_adapt(s, 2, NULL, 0, &err), BT_E_ARGUMENT);
    assert_int_equal(bt_session_length(s, 0), N);
    bt_session_close(&s);
    bt_adapter_close(&a);
    bt_model_close(&m);
}

/* ---- memory ---- */

typedef struct Life {
    bt_model *m;
    char path[1024], out[1024];
} Life;

static bt_status whole_life(void *user, bt_error *err)
{
    const Life *life = user;
    bt_adapter *a = NULL;
    bt_session *s = NULL;
    bt_session_options o = {.n_ctx = 64, .n_sequences = 2, .n_batch = 8};
    bt_status status = bt_adapter_open(life->m, life->path, NULL, &a, err);
    if (!status) status = bt_session_open(life->m, &o, &s, err);
    const bt_adapter_use use = {a, 0.5f};
    if (!status) status = bt_session_adapt(s, 1, &use, 1, err);
    if (!status) status = bt_adapter_save(a, life->out, err);
    const bt_row rows[] = {{1, 0, true, NULL}, {2, 1, true, NULL}};
    uint64_t before = mem_count();
    if (!status) status = bt_session_step(s, rows, 2, err);
    if (!status) assert_int_equal(mem_count(), before); /* a step allocates nothing */
    bt_adapter_close(&a);
    bt_session_close(&s);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    static const char *const some[] = {"llama-dora", "qwen3moe"};
    for (int c = 0; c < 2; c++) {
        Life life;
        bt_error err;
        snprintf(life.path, sizeof life.path, "%s", case_path(some[c], ""));
        snprintf(life.out, sizeof life.out, "%s", scratch_path(c ? "torture" : "torture.gguf"));
        life.m = open_case(some[c]);
        if (whole_life(&life, &err)) fail_msg("%s", err.text);
        torture(some[c], whole_life, &life);
        bt_model_close(&life.m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peft_agrees),
        cmocka_unit_test(saved_adapters_agree),
        cmocka_unit_test(rows_have_their_own),
        cmocka_unit_test(several_add_up),
        cmocka_unit_test(quantised_weights_adapt),
        cmocka_unit_test(other_bases_are_refused),
        cmocka_unit_test(fingerprints_tell_bases_apart),
        cmocka_unit_test(state_belongs_to_adapters),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, read_tokens, scratch_teardown);
}
