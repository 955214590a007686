/* Gradients of whole models against PyTorch's autograd: tiny random models of the families that
 * train, and what their reference implementations say of a step of four documents
 * (tests/data/gradients, made by tests/support/make_gradients.py). Then what must not change them:
 * blocks kept or run again, threads, chunks of logits; and what must end a step cleanly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "support/files.h"
#include "support/make_model.h"
#include "support/scratch.h"
#include "support/torture.h"
#include "support/train_model.h"
#include "tensor/dtype.h"

static const char *const names[] = {"llama",  "qwen2",  "qwen3", "qwen3moe",
                                    "gemma2", "gemma3", "phi3"};
#define MODELS (sizeof names / sizeof *names)
#define BOUND                                                                                      \
    2e-5 /* of the size of a tensor's gradient; references fall back to float32 in part            \
          */

static TrainModel t;
static double worst;

static void open_model(const char *name)
{
    int32_t tokens[TRAIN_MOST_ROWS], lengths[16];
    float weights[TRAIN_MOST_ROWS];
    uint64_t n, documents, n_weights;
    Gguf *g;
    char path[512];
    snprintf(path, sizeof path, "%s", files_source("tests/data/gradients/%s.grad.gguf", name));
    assert_int_equal(gguf_open(path, NULL, &g, NULL), BT_OK);
    assert_int_equal(gguf_get_i32s(g, "gradients.tokens", true, tokens, TRAIN_MOST_ROWS, &n, NULL),
                     BT_OK);
    assert_int_equal(gguf_get_i32s(g, "gradients.lengths", true, lengths, 16, &documents, NULL),
                     BT_OK);
    assert_int_equal(
        gguf_get_f32s(g, "gradients.weights", true, weights, TRAIN_MOST_ROWS, &n_weights, NULL),
        BT_OK);
    assert_int_equal(n, n_weights);
    gguf_close(&g);
    train_open(&t, files_source("tests/data/gradients/%s.gguf", name), false);
    train_rows(&t, tokens, weights, lengths, (int32_t)documents);
    assert_int_equal(t.n_rows, n);
}

static void step(const TrainOptions *options)
{
    bt_error err = {0};
    train_clear(&t);
    if (train_step(&t, options, &err)) fail_msg("%s", err.text);
}

static void compare(const Gguf *g)
{
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const GgufTensor *want = gguf_tensor(g, i);
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)want->name.size, want->name.data);
        const TrainTensor *got = train_tensor(&t, name);
        const float *w = (const float *)want->data;
        double wrong = 0, all = 0;
        if (!got) fail_msg("%s has no gradient here", name);
        assert_int_equal(got->n, want->ne[0] * want->ne[1] * want->ne[2]);
        for (size_t j = 0; j < got->n; j++) {
            wrong += pow((double)got->grad[j] - (double)w[j], 2);
            all += pow((double)w[j], 2);
        }
        double off = sqrt(wrong / all);
        if (!(off <= BOUND)) fail_msg("%s: off by %g of its size", name, off);
        worst = fmax(worst, off);
    }
}

static void agrees_with_autograd(void **state)
{
    const char *name = *state;
    Gguf *g;
    float loss = 0;
    open_model(name);
    assert_int_equal(
        gguf_open(files_source("tests/data/gradients/%s.grad.gguf", name), NULL, &g, NULL), BT_OK);
    assert_int_equal(gguf_get_f32(g, "gradients.loss", true, &loss, NULL), BT_OK);
    assert_int_equal(gguf_n_tensors(g), t.n_tensors);
    step(&(TrainOptions){0});
    assert_true(fabs(t.loss - (double)loss) < 2e-6 * (double)loss);
    compare(g);
    double trained = t.loss;
    step(&(TrainOptions){.forward_only = true}); /* the loss alone is the same */
    assert_true(t.loss == trained);
    for (size_t i = 0; i < t.n_tensors; i++)
        for (size_t j = 0; j < t.tensor[i].n; j++) assert_true(t.tensor[i].grad[j] == 0);
    gguf_close(&g);
    train_close(&t);
}

static float *copy_gradients(size_t *n)
{
    *n = 0;
    for (size_t i = 0; i < t.n_tensors; i++) *n += t.tensor[i].n;
    float *out = malloc(*n * sizeof *out), *at = out;
    assert_non_null(out);
    for (size_t i = 0; i < t.n_tensors; at += t.tensor[i].n, i++)
        memcpy(at, t.tensor[i].grad, t.tensor[i].n * sizeof *at);
    return out;
}

/* How far `other` is from `first` times `times`, of its size. */
static double apart(const float *first, double times, const float *other, size_t n)
{
    double wrong = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        wrong += pow((double)other[i] - times * (double)first[i], 2);
        all += pow(times * (double)first[i], 2);
    }
    return sqrt(wrong / all);
}

static void the_way_does_not_matter(void **state)
{
    static const TrainOptions ways[] = {{.keep_blocks = true},
                                        {.n_threads = 2},
                                        {.keep_blocks = true, .keep_from = 1, .n_threads = 2},
                                        {.n_threads = 3, .keep_blocks = true}};
    (void)state;
    for (size_t m = 0; m < MODELS; m++) {
        size_t n;
        open_model(names[m]);
        step(&(TrainOptions){0});
        float *first = copy_gradients(&n);
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
            step(&ways[i]);
            float *other = copy_gradients(&n);
            assert_memory_equal(first, other, n * sizeof *first);
            free(other);
        }
        step(&(TrainOptions){.logits_bytes = 1}); /* a row at a time: other sums, nearly the same */
        float *other = copy_gradients(&n);
        assert_true(apart(first, 1, other, n) < 1e-6);
        free(first), free(other);
        train_close(&t);
    }
}

/* Six layers: of those that run again only the stream is held. */
static void what_is_kept_is_what_takes_memory(void **state)
{
    size_t bytes[3];
    (void)state;
    open_model("gemma3");
    for (int32_t i = 0; i < 3; i++) {
        step(&(TrainOptions){.keep_blocks = i > 0, .keep_from = i == 1 ? 3 : 0});
        bytes[i] = t.bytes;
    }
    size_t stream = (size_t)t.n_rows * 24 * sizeof(float), layer = (bytes[2] - bytes[1]) / 3;
    assert_true(layer > 10 * stream);
    assert_true(bytes[0] + 2 * layer <= bytes[1] && bytes[1] + 2 * layer <= bytes[2]);
    train_close(&t);
}

/* A second step adds to what the first left. */
static void gradients_add_up(void **state)
{
    size_t n;
    (void)state;
    open_model("qwen3");
    step(&(TrainOptions){0});
    float *once = copy_gradients(&n);
    assert_int_equal(train_step(&t, &(TrainOptions){0}, NULL), BT_OK);
    float *twice = copy_gradients(&n);
    assert_true(apart(once, 2, twice, n) < 1e-6);
    free(once), free(twice);
    train_close(&t);
}

/* bf16 keeps 8 bits of each factor: near, and not the same. */
static void bf16_is_near(void **state)
{
    size_t n;
    (void)state;
    open_model("llama");
    step(&(TrainOptions){0});
    float *exact = copy_gradients(&n);
    step(&(TrainOptions){.precision = GEMM_BF16});
    float *rounded = copy_gradients(&n);
    assert_true(apart(exact, 1, rounded, n) < 0.03);
    free(exact), free(rounded);
    train_close(&t);
}

/* A quantised model that stays as it is: gradients of its norms are those of the same numbers as
 * floats, to what activations lose in int8. */
static void frozen_models_are_walked_through(void **state)
{
    static const DType types[] = {DT_Q8_0, DT_Q4_0, DT_BF16};
    int32_t tokens[40];
    const int32_t lengths[] = {25, 15};
    (void)state;
    for (int i = 0; i < 40; i++) tokens[i] = i * 37 % 128;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        MakeModel m = {.arch = "qwen3", .tokenizer = MAKE_NO_VOCAB, .type = types[i], .seed = i};
        double wrong = 0, all = 0;
        TrainModel frozen;
        assert_int_equal(make_model(&m, scratch_path("frozen.gguf"), NULL), BT_OK);
        train_open(&t, scratch_path("frozen.gguf"), true);
        train_rows(&t, tokens, NULL, lengths, 2);
        step(&(TrainOptions){.n_threads = 2});
        frozen = t;
        train_open(&t, scratch_path("frozen.gguf"), false);
        train_rows(&t, tokens, NULL, lengths, 2);
        step(&(TrainOptions){0});
        for (size_t j = 0; j < frozen.n_tensors; j++) {
            const TrainTensor *a = &frozen.tensor[j], *b = train_tensor(&t, a->name);
            assert_non_null(b);
            for (size_t e = 0; e < a->n; e++) {
                wrong += pow((double)a->grad[e] - (double)b->grad[e], 2);
                all += pow((double)b->grad[e], 2);
            }
        }
        if (!(sqrt(wrong / all) < (types[i] == DT_BF16 ? 1e-5 : 0.03)))
            fail_msg("%s: off by %g", dtype_name(types[i]), sqrt(wrong / all));
        train_close(&t);
        train_close(&frozen);
    }
}

static bt_status life(void *user, bt_error *err)
{
    (void)user;
    return train_step(&t, &(TrainOptions){.n_threads = 2}, err);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    open_model("qwen3moe");
    torture("a step", life, NULL);
    step(&(TrainOptions){0});
    train_close(&t);
}

static void what_cannot_be_ends_the_step(void **state)
{
    bt_error err = {0};
    atomic_bool cancel = true;
    (void)state;
    open_model("gemma3");
    for (size_t less = 64; less < 40000; less = less * 3 + 64) { /* memory that was not planned */
        assert_int_equal(train_step(&t, &(TrainOptions){.less = less}, &err), BT_E_INTERNAL);
        assert_non_null(strstr(err.text, "planned"));
    }
    assert_int_equal(train_step(&t, &(TrainOptions){.cancel = &cancel}, &err), BT_E_CANCELLED);
    t.rows[3].position++;
    assert_int_equal(train_step(&t, &(TrainOptions){0}, &err), BT_E_ARGUMENT);
    assert_non_null(strstr(err.text, "row 3 "));
    t.rows[3].position--;
    t.rows[2].token = 64;
    assert_int_equal(train_step(&t, &(TrainOptions){0}, &err), BT_E_ARGUMENT);
    t.rows[2].token = 1;
    step(&(TrainOptions){0});
    train_close(&t);
}

static void say_the_worst(void **state)
{
    (void)state;
    print_message("# worst error of a tensor's gradient, of its size: %.2g\n", worst);
}

int main(void)
{
    struct CMUnitTest tests[MODELS + 8];
    size_t n = 0;
    for (; n < MODELS; n++)
        tests[n] = (struct CMUnitTest){names[n], agrees_with_autograd, NULL, NULL,
                                       (void *)(uintptr_t)names[n]};
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(say_the_worst);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(the_way_does_not_matter);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(what_is_kept_is_what_takes_memory);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(gradients_add_up);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(bf16_is_near);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(frozen_models_are_walked_through);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(every_allocation_may_fail);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(what_cannot_be_ends_the_step);
    if (!scratch_open()) return 1;
    int failed = _cmocka_run_group_tests("gradients", tests, n, NULL, NULL);
    scratch_close();
    return failed;
}
