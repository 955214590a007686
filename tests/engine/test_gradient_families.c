/* Which families can be trained: each of tests/data/families either walks back, and the gradient of
 * its embedding then is the slope of its loss along that gradient, or refuses the op that cannot be
 * by name. What may train is listed here, so that neither side changes unseen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "support/families.h"
#include "support/train_model.h"
#include "tensor/dtype.h"

#define TOKENS 40

static const struct {
    const char *name, *op;
} refused[] = {
    {"deepseek2-lite", "linear_heads"},
    {"deepseek2-lite-absorbed", "linear_heads"},
    {"deepseek2-groups", "linear_heads"},
    {"deepseek3", "linear_heads"},
    {"gemma3n", "linear_heads"},
    {"gemma4", "recall"},
    {"gpt-oss-yarn", "moe"},
    {"lfm2", "conv"},
    {"lfm2moe", "conv"},
    {"falcon-mamba", "conv"},
    {"jamba", "conv"},
    {"mamba2", "conv"},
    {"granitehybrid", "conv"},
    {"falcon-h1", "conv"},
    {"qwen3next-by-head", "conv"},
    {"qwen3next", "conv"},
    {"qwen35moe", "conv"},
};

static FamilyFixture fixtures[FAMILIES_MOST];
static int32_t tokens[TOKENS];
static TrainModel t;

static const char *op_refused(const char *name)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (strcmp(refused[i].name, name) == 0) return refused[i].op;
    return NULL;
}

static double loss_at(const float *from, const float *along, double by)
{
    TrainTensor *e = &t.tensor[0];
    for (size_t i = 0; i < e->n; i++)
        e->value[i] = (float)((double)from[i] + by * (double)along[i]);
    assert_int_equal(train_step(&t, &(TrainOptions){.forward_only = true}, NULL), BT_OK);
    return t.loss;
}

/* A hundredth: the loss is of float32, and curved. */
static void slope_is_the_gradient(const char *name)
{
    TrainTensor *e = &t.tensor[0];
    float *from = malloc(e->n * sizeof *from), *along = malloc(e->n * sizeof *along);
    double size = 0;
    assert_true(from && along);
    memcpy(from, e->value, e->n * sizeof *from);
    for (size_t i = 0; i < e->n; i++) size += (double)e->grad[i] * (double)e->grad[i];
    size = sqrt(size);
    for (size_t i = 0; i < e->n; i++) along[i] = (float)((double)e->grad[i] / size);
    double h = 2e-3, slope = (loss_at(from, along, h) - loss_at(from, along, -h)) / (2 * h);
    if (!(fabs(slope - size) < 0.01 * size))
        fail_msg("%s: slope %g, gradient %g", name, slope, size);
    free(from), free(along);
}

/* The embedding as floats that are trained; all else as the file has it. */
static void open_embedding(const char *path)
{
    bt_error err = {0};
    bt_model_options options = {.n_threads = 1, .no_cache = true};
    TrainTensor *e = &t.tensor[0];
    t = (TrainModel){.n_tensors = 1, .n_params = 1};
    if (bt_model_open(path, &options, &t.model, &err)) fail_msg("%s: %s", path, err.text);
    if (model_prepare(t.model, &err)) fail_msg("%s: %s", path, err.text);
    Weight *w = (Weight *)(uintptr_t)t.model->embedding;
    e->n = (size_t)(w->n * w->k);
    e->value = calloc(e->n, sizeof *e->value);
    e->grad = calloc(e->n, sizeof *e->grad);
    assert_true(e->value && e->grad);
    assert_true(dequant_row(w->type, w->rows, e->value, e->n));
    w->type = DT_F32;
    w->rows = e->value;
    w->row_bytes = (size_t)w->k * sizeof(float);
    w->mat_bytes = (size_t)w->n * w->row_bytes;
    w->paneled = false;
    w->panels = NULL;
    t.param[0] = (TapeParam){w, e->grad, e->n};
}

static void walks_or_refuses(void **state)
{
    const FamilyFixture *x = *state;
    const char *op = op_refused(x->name);
    const int32_t lengths[] = {TOKENS - 9, 9};
    bt_error err = {0};
    open_embedding(families_path(x->name, ".gguf"));
    train_rows(&t, tokens, NULL, lengths, 2);
    bt_status status = train_step(&t, &(TrainOptions){.n_threads = 2}, &err);
    if (op) {
        char said[64];
        snprintf(said, sizeof said, "op %s cannot be trained through", op);
        if (status != BT_E_UNSUPPORTED || !strstr(err.text, said))
            fail_msg("%s: '%s', not '%s'", x->name, err.text, said);
    } else {
        if (status) fail_msg("%s: %s", x->name, err.text);
        slope_is_the_gradient(x->name);
    }
    train_close(&t);
}

int main(void)
{
    static struct CMUnitTest tests[FAMILIES_MOST];
    size_t n = families_read("logits", fixtures);
    if (!n || families_numbers("tokens", tokens, TOKENS) != TOKENS) {
        fprintf(stderr, "tests/data/families cannot be read\n");
        return 1;
    }
    for (size_t i = 0; i < n; i++)
        tests[i] =
            (struct CMUnitTest){fixtures[i].name, walks_or_refuses, NULL, NULL, &fixtures[i]};
    return _cmocka_run_group_tests("gradient families", tests, n, NULL, NULL);
}
