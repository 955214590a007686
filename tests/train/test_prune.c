/* Models cut smaller: what is left answers as the whole model does where what went is made nothing
 * by zeros, by a reference in double; layers ranked by that reference; what is not cut. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/files.h"
#include "support/make_model.h"
#include "support/reference.h"
#include "support/scratch.h"
#include "support/torture.h"
#include "train/prune.h"

static bt_error err;

enum { LAYERS = 3, FF = 64, KV = 2, N = 24 };

static bt_model *open_model(const char *path)
{
    bt_model_options o = {.no_cache = true, .n_threads = 2};
    bt_model *m;
    if (bt_model_open(path, &o, &m, &err)) fail_msg("%s", err.text);
    return m;
}

static const char *make(const char *arch, DType type)
{
    MakeModel o = {.arch = arch,
                   .tokenizer = MAKE_NO_VOCAB,
                   .layers = LAYERS,
                   .embd = 64,
                   .ff = FF,
                   .heads = 4,
                   .kv_heads = KV,
                   .type = type,
                   .seed = 8};
    const char *path = scratch_path("whole.gguf");
    if (make_model(&o, path, &err)) fail_msg("%s", err.text);
    return path;
}

static void make_ids(bt_token *ids)
{
    for (int i = 0; i < N; i++) ids[i] = (i * 37 + i * i) % 128;
}

/* Odd channels and the first key head matter. */
static const float *importance(void *user, const char *tensor, uint64_t *n)
{
    static float down[FF], output[64];
    (void)user;
    for (int i = 0; i < FF; i++) down[i] = i % 2 ? 1000 : 0.001f;
    for (int i = 0; i < 64; i++) output[i] = i < 32 ? 1000 : 0.001f;
    bool ffn = strstr(tensor, "ffn_down") != NULL;
    *n = ffn ? FF : 64;
    return ffn ? down : output;
}

/* Zeroes columns [from, to) with (column - from) % step == 0 of a float32 matrix in the file. */
static void zero(const char *path, const char *tensor, int from, int to, int step)
{
    size_t size;
    char *bytes = files_read(path, &size);
    Gguf *g;
    if (gguf_open(path, NULL, &g, &err)) fail_msg("%s", err.text);
    const GgufTensor *t = gguf_find_tensor(g, tensor);
    assert_non_null(t);
    float *w = (float *)(void *)(bytes + ((const unsigned char *)t->data - gguf_part(g, 0)->data));
    for (uint64_t r = 0; r < t->ne[1]; r++)
        for (int c = from; c < to; c += step) w[r * t->ne[0] + (uint64_t)c] = 0;
    gguf_close(&g);
    assert_int_equal(files_write(path, bytes, size), 0);
    free(bytes);
}

/* What is left of the whole model in `path`, against the model in `zeroed` by the reference. */
static void same_answers(const char *path, const char *zeroed)
{
    bt_token ids[N];
    int n_vocab;
    make_ids(ids);
    double *want = reference_logits(zeroed, ids, N, &n_vocab);
    assert_non_null(want);
    bt_model *m = open_model(path);
    bt_session *s;
    bt_row rows[N];
    bt_session_options o = {.n_ctx = N, .n_logits = N, .kv = BT_KV_F32};
    if (bt_session_open(m, &o, &s, &err)) fail_msg("%s", err.text);
    for (int i = 0; i < N; i++) rows[i] = (bt_row){.token = ids[i], .want_logits = true};
    if (bt_session_step(s, rows, N, &err)) fail_msg("%s", err.text);
    assert_true(reference_nmse(bt_session_logits(s, 0), want, (long)N * n_vocab) < 1e-8);
    bt_session_close(&s);
    bt_model_close(&m);
    free(want);
}

static void cut(const char *from, const PruneWish *wish, const double *loss, const char *to)
{
    bt_model *m = open_model(from);
    Cut c;
    if (prune_plan(m->gguf, wish, importance, NULL, loss, &c, &err)) fail_msg("%s", err.text);
    if (prune_write(m->gguf, &c, to, &err)) fail_msg("%s", err.text);
    prune_close(&c);
    bt_model_close(&m);
}

static void what_is_left_answers_alike(void **state)
{
    (void)state;
    static const char *const families[] = {"llama", "qwen2", "qwen3"};
    static const double loss[LAYERS] = {3, 1, 2};
    char path[4096], name[64];
    for (int f = 0; f < 3; f++) {
        snprintf(path, sizeof path, "%s", make(families[f], DT_F32));
        const PruneWish wish = {LAYERS - 1, FF / 2, 1};
        cut(path, &wish, loss, scratch_path("less.gguf"));
        bt_model *m = open_model(scratch_path("less.gguf"));
        bt_model_info info = bt_model_describe(m);
        assert_int_equal(info.n_layers, LAYERS - 1);
        assert_int_equal(info.n_ff, FF / 2);
        assert_int_equal(info.n_heads, 2);
        assert_int_equal(info.n_kv_heads, 1);
        bt_model_close(&m);
        for (int l = 0; l < LAYERS; l++) {
            bool goes = l == 1; /* its loss is the least */
            snprintf(name, sizeof name, "blk.%d.ffn_down.weight", l);
            zero(path, name, 0, FF, goes ? 1 : 2);
            snprintf(name, sizeof name, "blk.%d.attn_output.weight", l);
            zero(path, name, goes ? 0 : 32, 64, 1);
        }
        same_answers(scratch_path("less.gguf"), path);
    }
}

static void types_with_blocks(void **state)
{
    (void)state;
    const char *path = make("llama", DT_Q8_0);
    const PruneWish wish = {0, 32, 0};
    cut(path, &wish, NULL, scratch_path("less.gguf"));
    bt_model *m = open_model(scratch_path("less.gguf"));
    assert_int_equal(gguf_find_tensor(m->gguf, "blk.0.ffn_down.weight")->type, DT_BF16);
    assert_int_equal(gguf_find_tensor(m->gguf, "blk.0.ffn_up.weight")->type, DT_Q8_0);
    assert_int_equal(gguf_find_tensor(m->gguf, "blk.0.ffn_up.weight")->ne[1], 32);
    bt_model_close(&m);
}

static void layers_by_their_loss(void **state)
{
    (void)state;
    char path[4096], name[64];
    bt_token ids[N];
    double loss[LAYERS];
    int n_vocab;
    make_ids(ids);
    snprintf(path, sizeof path, "%s", make("llama", DT_F32));
    bt_model *m = open_model(path);
    if (prune_layer_losses(m, ids, N, N, loss, NULL, NULL, &err)) fail_msg("%s", err.text);
    bt_model_close(&m);
    for (int l = 0; l < LAYERS; l++) {
        make("llama", DT_F32);
        snprintf(name, sizeof name, "blk.%d.ffn_down.weight", l);
        zero(path, name, 0, FF, 1);
        snprintf(name, sizeof name, "blk.%d.attn_output.weight", l);
        zero(path, name, 0, 64, 1);
        double *logits = reference_logits(path, ids, N, &n_vocab), sum = 0;
        for (int i = 0; i + 1 < N; i++) {
            double all = 0;
            for (int v = 0; v < n_vocab; v++) all += exp(logits[i * n_vocab + v]);
            sum += log(all) - logits[i * n_vocab + ids[i + 1]];
        }
        free(logits);
        assert_true(fabs(loss[l] - sum / (N - 1)) < 1e-4);
    }
}

static bt_status life(void *user, bt_error *told)
{
    const bt_model *m = user;
    const PruneWish wish = {0, 4, 0};
    Cut c;
    bt_status status = prune_plan(m->gguf, &wish, importance, NULL, NULL, &c, told);
    if (!status) status = prune_write(m->gguf, &c, scratch_path("less.gguf"), told);
    prune_close(&c);
    return status;
}

static void what_is_not_cut(void **state)
{
    (void)state;
    static const PruneWish wishes[] = {
        {LAYERS + 1, 0, 0}, {0, FF + 1, 0}, {0, 0, KV + 1}, {LAYERS - 1, 0, 0}, {-1, 0, 0}};
    bt_model *m = open_model(make("llama", DT_F32));
    Cut c;
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++)
        assert_int_equal(prune_plan(m->gguf, &wishes[i], importance, NULL, NULL, &c, &err),
                         BT_E_ARGUMENT);
    const PruneWish wish = {0, 4, 0};
    assert_int_equal(prune_plan(m->gguf, &wish, NULL, NULL, NULL, &c, &err), BT_E_ARGUMENT);
    torture("a cut", life, m);
    bt_model_close(&m);
    m = open_model(make("qwen3moe", DT_F32));
    assert_int_equal(prune_plan(m->gguf, &wish, importance, NULL, NULL, &c, &err),
                     BT_E_UNSUPPORTED);
    bt_model_close(&m);
    m = open_model(make("llama-moe", DT_F32));
    assert_int_equal(prune_plan(m->gguf, &wish, importance, NULL, NULL, &c, &err),
                     BT_E_UNSUPPORTED);
    bt_model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_answers_alike),
        cmocka_unit_test(types_with_blocks),
        cmocka_unit_test(layers_by_their_loss),
        cmocka_unit_test(what_is_not_cut),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
