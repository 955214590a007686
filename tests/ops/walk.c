/* What cases make their inputs of (see walk.h). */
#include "ops/walk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/make_blocks.h"
#include "tensor/dtype.h"

#define ARENA_BYTES ((size_t)8 << 20)

void back_begin(Back *b, Backend *backend, uint64_t seed)
{
    *b = (Back){.seed = seed};
    assert_true(arena_open(&b->arena, ARENA_BYTES));
    b->tape.grad = aligned_alloc(64, ARENA_BYTES);
    assert_non_null(b->tape.grad);
    memset(b->tape.grad, 0xff, ARENA_BYTES); /* NaN where nobody cleared */
    b->step = (Step){.backend = backend,
                     .arena = &b->arena,
                     .tape = &b->tape,
                     .rows = b->rows,
                     .layers = &b->layer,
                     .n_ctx = 64,
                     .err = &b->err};
    tape_begin(&b->step);
}

void back_end(Back *b)
{
    for (int i = 0; i < b->n_memory; i++) free(b->memory[i]);
    free(b->tape.grad);
    arena_close(&b->arena);
}

static float *memory(Back *b, size_t n, float mean, float spread)
{
    float *at = calloc(n ? n : 1, sizeof *at);
    assert_non_null(at);
    for (size_t i = 0; i < n; i++) at[i] = mean + spread * make_normal(&b->seed);
    b->memory[b->n_memory++] = at;
    return at;
}

static void add_arg(Back *b, const float *data, float *grad, float before, size_t n)
{
    assert_true(b->n_args < BACK_MOST_ARGS);
    float *copy = memory(b, n, 0, 0);
    memcpy(copy, data, n * sizeof *copy);
    b->arg[b->n_args++] = (Arg){copy, grad, before, n};
}

Tensor back_input(Back *b, int64_t rows, int32_t heads, int32_t width)
{
    Tensor t = step_tensor(&b->step, rows, heads, width, false);
    assert_non_null(t.data);
    size_t n = (size_t)rows * tensor_row(t);
    for (size_t i = 0; i < n; i++) t.data[i] = make_normal(&b->seed);
    add_arg(b, t.data, tape_grad(&b->step, t).data, 0, n);
    return t;
}

/* Gradients begin with numbers of their own: ways back add. */
static void trained(Back *b, const void *key, const float *data, size_t n)
{
    float *grad = memory(b, n, BACK_BEFORE, 0);
    add_arg(b, data, grad, BACK_BEFORE, n);
    b->params[b->tape.n_params++] = (TapeParam){key, grad, n};
    tape_sort(b->params, b->tape.n_params);
    b->tape.params = b->params;
}

Weight *back_weight(Back *b, int64_t n, int64_t k, int64_t n_mats)
{
    Weight *w = &b->weight[b->n_weights++];
    size_t count = (size_t)(n * k * n_mats);
    float *rows = memory(b, count, 0, 0.5f);
    *w = (Weight){.name = "w",
                  .type = DT_F32,
                  .k = k,
                  .n = n,
                  .n_mats = n_mats,
                  .rows = rows,
                  .row_bytes = (size_t)k * sizeof(float),
                  .mat_bytes = (size_t)(n * k) * sizeof(float)};
    trained(b, w, rows, count);
    return w;
}

void back_bias(Back *b, Weight *w)
{
    w->bias = back_vector(b, (size_t)(w->n * w->n_mats), 0, 1);
}

float *back_vector(Back *b, size_t n, float mean, float spread)
{
    float *data = memory(b, n, mean, spread);
    trained(b, data, data, n);
    return data;
}

void back_rows(Back *b, int32_t n, int32_t documents)
{
    int32_t length = n / documents;
    assert_true(n <= BACK_MOST_ROWS);
    for (int32_t i = 0; i < n; i++) {
        int32_t at = i % length;
        b->rows[i] = (StepRow){.token = (i * 7 + 3) % 5,
                               .sequence = i / length,
                               .position = at,
                               .axis = {at, at, at, at}};
    }
    b->step.n_rows = n;
}
