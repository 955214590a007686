/* Masters: a model over them answers as the file does, changes with them, is written and read back;
 * new models of every family, from a config, load and are random in the way that was asked. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/make_model.h"
#include "support/scratch.h"
#include "support/torture.h"
#include "tensor/dtype.h"
#include "train/params.h"

static bt_error err;

static const ParamsOptions two_threads = {.model = {.n_threads = 2}, .seed = 7};

/* Logits that follow a few tokens, (V) malloc'd. */
static float *answer(bt_model *m, int *n_vocab)
{
    bt_token ids[] = {72, 101, 108, 108, 111};
    bt_session *s;
    bt_session_options o = {.n_ctx = 64, .kv = BT_KV_F32};
    if (bt_session_open(m, &o, &s, &err)) fail_msg("%s", err.text);
    if (bt_session_feed(s, 0, ids, 5, &err)) fail_msg("%s", err.text);
    *n_vocab = bt_model_describe(m).n_vocab;
    float *out = malloc((size_t)*n_vocab * sizeof *out);
    assert_non_null(out);
    memcpy(out, bt_session_logits(s, -1), (size_t)*n_vocab * sizeof *out);
    bt_session_close(&s);
    return out;
}

static float *answer_of_file(const char *path, int *n_vocab)
{
    bt_model *m;
    bt_model_options o = {.n_threads = 2, .no_cache = true};
    if (bt_model_open(path, &o, &m, &err)) fail_msg("%s", err.text);
    float *out = answer(m, n_vocab);
    bt_model_close(&m);
    return out;
}

static double apart(const float *a, const float *b, int n)
{
    double most = 0;
    for (int i = 0; i < n; i++) {
        double off = fabs((double)a[i] - (double)b[i]);
        if (!(off <= most)) most = off; /* not fmax: GCC 12 for ARM fails on such a loop */
    }
    return most;
}

static void answers_as_the_file(void **state)
{
    static const MakeModel all[] = {
        {.arch = "llama"},    {.arch = "llama", .tied = true, .rope_freqs = true},
        {.arch = "qwen2"},    {.arch = "qwen3", .tied = true},
        {.arch = "qwen3moe"}, {.arch = "llama", .bias = true, .type = DT_BF16}};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const char *path = scratch_path("m.gguf");
        Params *p;
        int n, m;
        if (make_model(&all[i], path, &err)) fail_msg("%s", err.text);
        if (params_open_model(path, &two_threads, &p, &err)) fail_msg("%s", err.text);
        float *a = answer_of_file(path, &n), *b = answer(p->model, &m);
        assert_int_equal(n, m);
        assert_true(apart(a, b, n) < 1e-5);
        /* what is written is read by the next answer: in the last norm, and in the embedding */
        Param *norm = params_find(p, "output_norm.weight");
        assert_non_null(norm);
        for (size_t j = 0; j < norm->n; j++) norm->value[j] *= 2;
        free(b);
        b = answer(p->model, &m);
        for (int j = 0; j < n; j++) assert_true(fabsf(b[j] - 2 * a[j]) < 1e-4f);
        params_close(&p);
        free(a);
        free(b);
    }
}

static void every_weight_has_a_gradient(void **state)
{
    MakeModel o = {.arch = "qwen2", .tied = true};
    const char *path = scratch_path("m.gguf");
    Params *p;
    (void)state;
    if (make_model(&o, path, &err)) fail_msg("%s", err.text);
    if (params_open_model(path, NULL, &p, &err)) fail_msg("%s", err.text);
    const bt_model *m = p->model;
    Tape tape = {.params = p->keys, .n_params = p->n_keys};
    Step s = {.tape = &tape};
    const Param *table = params_find(p, "token_embd.weight");
    assert_ptr_equal(tape_param(&s, m->embedding), table->grad);
    size_t heads = 0, biases = 0;
    for (size_t i = 0; i < m->n_matrices; i++) {
        const Weight *w = m->matrices[i];
        float *grad = tape_param(&s, w);
        assert_non_null(grad);
        heads += grad == table->grad; /* tied: the same memory */
        biases += w->bias != NULL;
        if (w->bias) assert_non_null(tape_param(&s, w->bias));
    }
    assert_int_equal(heads, 1);
    assert_int_equal(biases, 2 * 3);
    assert_non_null(tape_param(&s, params_find(p, "blk.1.attn_norm.weight")->value));
    params_close(&p);
}

static void is_written_and_read_back(void **state)
{
    static const uint32_t types[] = {DT_F32, DT_BF16, DT_F16, DT_Q8_0};
    static const double most[] = {1e-6, 0.05, 0.01, 0.2};
    MakeModel o = {.arch = "llama", .rope_freqs = true};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const char *path = scratch_path("m.gguf"), *out = scratch_path("out.gguf");
        Params *p;
        int n, m;
        if (make_model(&o, path, &err)) fail_msg("%s", err.text);
        if (params_open_model(path, NULL, &p, &err)) fail_msg("%s", err.text);
        if (params_save(p, types[i], out, &err)) fail_msg("%s", err.text);
        float *a = answer_of_file(path, &n), *b = answer_of_file(out, &m);
        assert_int_equal(n, m);
        assert_true(apart(a, b, n) < most[i]);
        params_close(&p);
        free(a);
        free(b);
    }
    Params *p;
    if (params_open_model(scratch_path("m.gguf"), NULL, &p, &err)) fail_msg("%s", err.text);
    assert_int_equal(params_save(p, DT_Q4_K, scratch_path("x.gguf"), &err), BT_E_ARGUMENT);
    params_close(&p);
}

/* ---- from a config ---- */

static const struct {
    const char *arch, *config;
    bool tied;
} configs[] = {
    {"llama",
     "{\"model_type\":\"llama\",\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":"
     "2,"
     "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"max_position_embeddings\":256,"
     "\"rms_norm_eps\":1e-5,\"attention_bias\":true,\"mlp_bias\":false}",
     false},
    {"qwen2",
     "{\"model_type\":\"qwen2\",\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":"
     "2,"
     "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"max_position_embeddings\":256,"
     "\"rms_norm_eps\":1e-6,\"tie_word_embeddings\":true}",
     true},
    {"qwen3",
     "{\"model_type\":\"qwen3\",\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":"
     "2,"
     "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":32,"
     "\"max_position_embeddings\":256,\"rms_norm_eps\":1e-6,\"tie_word_embeddings\":true,"
     "\"vocab_size\":512,\"rope_theta\":10000}",
     true},
    {"gemma3",
     "{\"model_type\":\"gemma3_text\",\"hidden_size\":64,\"intermediate_size\":96,"
     "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":16,"
     "\"max_position_embeddings\":256,\"rms_norm_eps\":1e-6,\"sliding_window\":32,"
     "\"query_pre_attn_scalar\":16,\"hidden_activation\":\"gelu_pytorch_tanh\"}",
     true},
    {"phi3",
     "{\"model_type\":\"phi3\",\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":2,"
     "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"max_position_embeddings\":256,"
     "\"rms_norm_eps\":1e-5}",
     false},
    {"qwen3moe",
     "{\"model_type\":\"qwen3_moe\",\"hidden_size\":64,\"intermediate_size\":96,"
     "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":16,"
     "\"max_position_embeddings\":256,\"rms_norm_eps\":1e-6,\"num_experts\":4,"
     "\"num_experts_per_tok\":2,\"moe_intermediate_size\":32,\"norm_topk_prob\":true,"
     "\"tie_word_embeddings\":false}",
     false},
};

/* A vocabulary to give them; its weights are not looked at. */
static const char *tokenizer(void)
{
    MakeModel o = {.arch = "qwen3", .chat_template = "chatml"};
    static char path[400];
    snprintf(path, sizeof path, "%s", scratch_path("tok.gguf"));
    if (make_model(&o, path, &err)) fail_msg("%s", err.text);
    return path;
}

static bt_status open_config(const char *config, uint64_t seed, Params **out)
{
    ParamsOptions o = {.seed = seed};
    const char *path = scratch_write("config.json", config, strlen(config));
    return params_open_config(path, tokenizer(), "tiny", &o, out, &err);
}

static void new_models_of_every_family(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        Params *p;
        int n, m;
        if (open_config(configs[i].config, 1, &p)) fail_msg("%s: %s", configs[i].arch, err.text);
        assert_string_equal(p->model->architecture, configs[i].arch);
        assert_string_equal(p->model->name, "tiny");
        assert_non_null(p->model->chat_template);
        assert_true((params_find(p, "output.weight") == NULL) == configs[i].tied);
        float *a = answer(p->model, &n);
        for (int j = 0; j < n; j++) assert_true(isfinite(a[j]));
        if (params_save(p, DT_F32, scratch_path("out.gguf"), &err)) fail_msg("%s", err.text);
        float *b = answer_of_file(scratch_path("out.gguf"), &m);
        assert_int_equal(n, m);
        assert_true(apart(a, b, n) < 1e-5);
        free(a);
        free(b);
        params_close(&p);
    }
}

static void random_as_asked(void **state)
{
    Params *a, *b, *c;
    double sum = 0, square = 0;
    (void)state;
    if (open_config(configs[2].config, 1, &a)) fail_msg("%s", err.text);
    if (open_config(configs[2].config, 1, &b)) fail_msg("%s", err.text);
    if (open_config(configs[2].config, 2, &c)) fail_msg("%s", err.text);
    assert_memory_equal(a->values, b->values, a->n_values * sizeof(float));
    assert_int_equal(a->fingerprint, c->fingerprint);
    const Param *table = params_find(a, "token_embd.weight");
    assert_int_equal(table->rows, 512); /* as the config says, more than the vocabulary has */
    assert_true(memcmp(table->value, params_find(c, "token_embd.weight")->value, 64) != 0);
    for (size_t i = 0; i < table->n; i++) {
        sum += (double)table->value[i];
        square += (double)table->value[i] * (double)table->value[i];
    }
    assert_true(fabs(sum / (double)table->n) < 4e-4);
    assert_true(fabs(sqrt(square / (double)table->n) - 0.02) < 4e-4);
    const Param *down = params_find(a, "blk.1.ffn_down.weight");
    for (square = 0, sum = 0; sum < (double)down->n; sum++)
        square += pow((double)down->value[(size_t)sum], 2);
    assert_true(fabs(sqrt(square / sum) - 0.01) < 4e-4); /* 0.02 / sqrt(2 * 2) */
    params_close(&a);
    params_close(&b);
    params_close(&c);
}

static void refuse(const char *config, bt_status wanted, const char *text)
{
    Params *p;
    assert_int_equal(open_config(config, 1, &p), wanted);
    assert_null(p);
    if (!strstr(err.text, text)) fail_msg("'%s' is not in: %s", text, err.text);
}

static void bad_configs_are_refused(void **state)
{
    (void)state;
    refuse("{\"model_type\":\"mamba\",\"hidden_size\":64,\"num_hidden_layers\":2,"
           "\"state_size\":16,\"intermediate_size\":128,\"conv_kernel\":4,\"time_step_rank\":4}",
           BT_E_UNSUPPORTED, "cannot be made");
    refuse("{\"model_type\":\"nobody\"}", BT_E_UNSUPPORTED, "nobody");
    refuse("[1]", BT_E_FORMAT, "no object");
    refuse("{\"model_type\":\"llama\"", BT_E_FORMAT, "config.json");
    refuse("{\"model_type\":\"llama\",\"hidden_size\":64}", BT_E_FORMAT, "num_hidden_layers");
    refuse("{\"model_type\":\"llama\",\"hidden_size\":64,\"num_hidden_layers\":1,"
           "\"num_attention_heads\":4,\"max_position_embeddings\":64}",
           BT_E_FORMAT, "a size is missing");
    refuse("{\"model_type\":\"llama\",\"hidden_size\":64,\"num_hidden_layers\":1,\"vocab_size\":9,"
           "\"num_attention_heads\":4,\"intermediate_size\":64,\"max_position_embeddings\":64}",
           BT_E_FORMAT, "vocab_size is 9");
    refuse("{\"model_type\":\"llama\",\"hidden_size\":64,\"num_hidden_layers\":1,"
           "\"num_attention_heads\":4,\"num_key_value_heads\":3,\"intermediate_size\":64,"
           "\"max_position_embeddings\":64}",
           BT_E_FORMAT, "heads");
    refuse("{\"model_type\":\"llama\",\"hidden_size\":1048576,\"num_hidden_layers\":1024,"
           "\"num_attention_heads\":4,\"intermediate_size\":2147483647,"
           "\"max_position_embeddings\":64}",
           BT_E_LIMIT, "too large");
    refuse("{\"model_type\":\"qwen3_moe\",\"hidden_size\":8,\"num_hidden_layers\":1024,"
           "\"num_attention_heads\":4,\"intermediate_size\":8,\"moe_intermediate_size\":8,"
           "\"num_experts\":4096,\"num_experts_per_tok\":2,\"max_position_embeddings\":64}",
           BT_E_LIMIT, "too large");
}

/* Every allocation of opening and of writing fails in turn: an error, and nothing is left behind.
 */
typedef struct Life {
    char config[400], out[400];
    const char *tok;
} Life;

static bt_status life(void *user, bt_error *told)
{
    const Life *l = user;
    Params *p = NULL;
    bt_status status = params_open_config(l->config, l->tok, "tiny", NULL, &p, told);
    if (!status) status = params_save(p, DT_BF16, l->out, told);
    params_close(&p);
    return status == BT_E_SYSTEM ? BT_E_MEMORY : status;
}

/* Every allocation of opening and of writing fails in turn: an error, and nothing is left behind.
 */
static void memory_that_runs_out(void **state)
{
    Life l;
    (void)state;
    snprintf(l.config, sizeof l.config, "%s",
             scratch_write("config.json", configs[5].config, strlen(configs[5].config)));
    l.tok = tokenizer();
    snprintf(l.out, sizeof l.out, "%s", scratch_path("torture.gguf"));
    torture_some("parameters", life, &l, 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_as_the_file, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(every_weight_has_a_gradient, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(is_written_and_read_back, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(new_models_of_every_family, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(random_as_asked, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(bad_configs_are_refused, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(memory_that_runs_out, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
