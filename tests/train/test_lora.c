/* Adapters in training: gradients of A, B and rows' lengths against autograd's
 * (tests/data/adapters, made with PEFT), the same on any number of threads and with blocks run
 * again; a quantised model that learns a line through one; the file that comes of it answers as the
 * run did. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "convert/peft.h"
#include "engine/adapter.h"
#include "support/compare.h"
#include "support/files.h"
#include "support/make_model.h"
#include "support/scratch.h"
#include "train/lora.h"
#include "train/optim.h"
#include "train/trainer.h"

#define N 24

static int32_t tokens[N];
static StepRow rows[N];
static int32_t target[N];
static float weight[N];

static int read_tokens(void **state)
{
    size_t size;
    char *text = files_read(files_source("tests/data/adapters/tokens.txt"), &size), *at = text;
    (void)state;
    if (!text) return -1;
    for (int i = 0; i < N; i++) tokens[i] = (int32_t)strtol(at + (i > 0), &at, 10);
    free(text);
    for (int i = 0; i < N; i++) {
        rows[i] = (StepRow){.token = tokens[i], .position = i, .axis = {i, i, i, 0}};
        target[i] = i + 1 < N ? tokens[i + 1] : -1;
        weight[i] = i + 1 < N;
    }
    return scratch_open() ? 0 : -1;
}

static Params *open_params(const char *model, const LoraOptions *lora, int threads)
{
    bt_error err;
    Params *p;
    const ParamsOptions o = {.model = {.n_threads = threads}};
    if (lora_params_open(model, lora, &o, &p, &err)) fail_msg("%s", err.text);
    return p;
}

static Trainer *open_trainer(Params *p, bool keep_blocks)
{
    bt_error err;
    Trainer *t;
    const TrainerOptions o = {.rows = N, .recompute = !keep_blocks};
    if (trainer_open(p, &o, &t, &err)) fail_msg("%s", err.text);
    return t;
}

/* Mean loss of the batch; gradients of its sum are added. */
static double step(Trainer *t)
{
    bt_error err;
    double loss = 0, sum = 0;
    const Batch batch = {.n_rows = N, .rows = rows, .target = target, .weight = weight};
    if (trainer_batch(t, &batch, &loss, &sum, &err)) fail_msg("%s", err.text);
    assert_true(sum == N - 1);
    return loss / sum;
}

static void check_gradient(const Params *p, const char *name, const char *end, const float *want,
                           const char *which)
{
    char full[LORA_NAME + 24];
    snprintf(full, sizeof full, "%s%s", name, end);
    const Param *at = params_find(p, full);
    assert_non_null(at);
    float *mean = malloc(at->n * sizeof *mean);
    assert_non_null(mean);
    for (size_t i = 0; i < at->n; i++) mean[i] = at->grad[i] / (N - 1);
    double nmse = compare_nmse(mean, want, at->n);
    if (!(nmse <= 1e-8)) fail_msg("%s: gradient of %s is %g apart", which, full, nmse);
    free(mean);
}

static void gradients_are_autograds(void **state)
{
    (void)state;
    static const char *const cases[] = {"llama-dora", "qwen2", "qwen3", "phi3"};
    for (int c = 0; c < 4; c++) {
        bt_error err;
        char model[1024], from[1024], grads[1024];
        Lora *want;
        snprintf(model, sizeof model, "%s",
                 files_source("tests/data/adapters/%s/model.gguf", cases[c]));
        snprintf(from, sizeof from, "%s", files_source("tests/data/adapters/%s", cases[c]));
        snprintf(grads, sizeof grads, "%s",
                 files_source("tests/data/adapters/%s/gradients", cases[c]));
        const LoraOptions lora = {.from = from};
        Params *p = open_params(model, &lora, 1);
        if (peft_read(grads, p->model->gguf, &want, &err)) fail_msg("%s", err.text);
        Trainer *t = open_trainer(p, true);
        step(t);
        assert_int_equal(want->n, lora_find(want, want->items[0].name) ? want->n : 0);
        for (size_t i = 0; i < want->n; i++) {
            const LoraMatrix *m = &want->items[i];
            check_gradient(p, m->name, ".lora_a", m->a, cases[c]);
            check_gradient(p, m->name, ".lora_b", m->b, cases[c]);
            if (m->magnitude) check_gradient(p, m->name, ".lora_magnitude", m->magnitude, cases[c]);
        }
        trainer_close(&t);
        params_close(&p);
        lora_close(&want);
    }
}

static void threads_and_blocks_change_no_bit(void **state)
{
    (void)state;
    char model[1024], from[1024];
    float *first = NULL;
    snprintf(model, sizeof model, "%s", files_source("tests/data/adapters/phi3/model.gguf"));
    snprintf(from, sizeof from, "%s", files_source("tests/data/adapters/phi3"));
    const LoraOptions lora = {.from = from};
    for (int i = 0; i < 4; i++) {
        Params *p = open_params(model, &lora, 1 + 2 * (i & 1));
        Trainer *t = open_trainer(p, i >= 2);
        step(t);
        if (!first) {
            first = malloc(p->n_values * sizeof *first);
            assert_non_null(first);
            memcpy(first, p->grads, p->n_values * sizeof *first);
        }
        assert_memory_equal(first, p->grads, p->n_values * sizeof *first);
        trainer_close(&t);
        params_close(&p);
    }
    free(first);
}

/* Logits (N, vocabulary) with the adapter of a file; malloc'd. */
static double loss_with(const char *model, const char *adapter)
{
    bt_error err;
    bt_model *m;
    bt_session *s;
    bt_adapter_use use = {NULL, 1};
    bt_row list[N];
    double loss = 0;
    if (bt_model_open(model, NULL, &m, &err) ||
        bt_adapter_open(m, adapter, NULL, &use.adapter, &err))
        fail_msg("%s", err.text);
    const bt_session_options o = {.n_ctx = 64, .n_batch = N, .n_logits = N, .kv = BT_KV_F32};
    if (bt_session_open(m, &o, &s, &err) || bt_session_adapt(s, 0, &use, 1, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < N; i++) list[i] = (bt_row){tokens[i], 0, true, NULL};
    if (bt_session_step(s, list, N, &err)) fail_msg("%s", err.text);
    size_t vocab = (size_t)bt_model_describe(m).n_vocab;
    for (int i = 0; i + 1 < N; i++) {
        const float *x = bt_session_logits(s, i);
        double sum = 0;
        for (size_t j = 0; j < vocab; j++) sum += exp((double)x[j] - (double)x[tokens[i + 1]]);
        loss += log(sum) / (N - 1);
    }
    bt_adapter_close(&use.adapter);
    bt_session_close(&s);
    bt_model_close(&m);
    return loss;
}

static void a_quantised_model_learns(void **state)
{
    (void)state;
    for (int dora = 0; dora < 2; dora++) {
        bt_error err;
        char model[1024], out[1024];
        Optim *optim;
        MakeModel spec = {.type = DT_Q8_0, .tokenizer = MAKE_NO_VOCAB, .ff = 128};
        snprintf(model, sizeof model, "%s", scratch_path("q8.gguf"));
        snprintf(out, sizeof out, "%s", scratch_path(dora ? "peft" : "learnt.gguf"));
        if (make_model(&spec, model, &err)) fail_msg("%s", err.text);
        const LoraOptions lora = {.rank = 4, .dora = dora};
        Params *p = open_params(model, &lora, 2);
        Trainer *t = open_trainer(p, false);
        OptimOptions o = optim_defaults();
        o.decay = 0;
        if (optim_open(p, &o, &optim, &err)) fail_msg("%s", err.text);
        double first = 0, last = 0;
        for (int i = 1; i <= 60; i++) {
            params_zero_grads(p);
            if (p->refresh) p->refresh(p);
            last = step(t);
            if (i == 1) first = last;
            optim_step(optim, t->backend, i, 1e-2, 1.0 / (N - 1));
        }
        if (!(last < 0.2 * first)) fail_msg("from %g to %g", first, last);
        if (lora_params_save(p, out, &err)) fail_msg("%s", err.text);
        params_zero_grads(p);
        if (p->refresh) p->refresh(p);
        double now = step(t), saved = loss_with(model, out);
        if (!(fabs(now - saved) < 0.02 * first))
            fail_msg("the run ended at %g, its file gives %g", now, saved);
        optim_close(&optim);
        trainer_close(&t);
        params_close(&p);
    }
}

static void targets_are_named(void **state)
{
    (void)state;
    bt_error err = {0};
    char model[1024];
    Params *p;
    MakeModel spec = {.tokenizer = MAKE_NO_VOCAB, .tied = true};
    snprintf(model, sizeof model, "%s", scratch_path("tied.gguf"));
    if (make_model(&spec, model, &err)) fail_msg("%s", err.text);
    p = open_params(model, &(LoraOptions){.targets = "q_proj,ffn_down,lm_head"}, 1);
    assert_int_equal(p->n, 2 * 5);
    assert_non_null(params_find(p, "output.weight.lora_a"));
    assert_null(params_find(p, "blk.0.attn_k.weight.lora_a"));
    params_close(&p);
    p = open_params(model, &(LoraOptions){.rank = 3}, 1);
    assert_int_equal(p->n, 2 * 14);
    params_close(&p);
    const LoraOptions bad = {.targets = "q_proj,nose"};
    assert_int_equal(lora_params_open(model, &bad, &(ParamsOptions){0}, &p, &err), BT_E_ARGUMENT);
    assert_non_null(strstr(err.text, "nose"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_autograds),
        cmocka_unit_test(threads_and_blocks_change_no_bit),
        cmocka_unit_test(a_quantised_model_learns),
        cmocka_unit_test(targets_are_named),
    };
    return cmocka_run_group_tests(tests, read_tokens, scratch_teardown);
}
