/* Training steps of tests (see train_model.h). */
#include "support/train_model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "models/block_decoder.h"
#include "tensor/dtype.h"

static TrainTensor *tensor_of(TrainModel *t, const char *name, size_t n)
{
    TrainTensor *x = train_tensor(t, name);
    if (x) return x;
    assert_true(t->n_tensors < TRAIN_MOST_TENSORS);
    x = &t->tensor[t->n_tensors++];
    snprintf(x->name, sizeof x->name, "%s", name);
    x->n = n;
    x->grad = calloc(n, sizeof *x->grad);
    assert_non_null(x->grad);
    return x;
}

static void add_param(TrainModel *t, const void *key, float *grad, size_t n)
{
    for (size_t i = 0; i < t->n_params; i++)
        if (t->param[i].key == key) return; /* the head that is the embedding */
    assert_true(t->n_params < TRAIN_MOST_TENSORS);
    t->param[t->n_params++] = (TapeParam){key, grad, n};
}

/* The weight's rows as floats of its tensor, and gradients at their place. A bias goes with it. */
static void add_matrix(TrainModel *t, Weight *w)
{
    const GgufTensor *of = gguf_find_tensor(t->model->gguf, w->name);
    char bias[64];
    assert_non_null(of);
    size_t total = (size_t)(of->ne[1] * of->ne[2]), k = (size_t)w->k;
    size_t first = (size_t)((const unsigned char *)w->rows - (const unsigned char *)of->data);
    first /= w->row_bytes;
    TrainTensor *x = tensor_of(t, w->name, total * k);
    if (!x->value) {
        x->value = malloc(total * k * sizeof *x->value);
        assert_non_null(x->value);
        assert_true(dequant_row(of->type, of->data, x->value, total * k));
    }
    w->mat_bytes = w->mat_bytes / w->row_bytes * k * sizeof(float);
    w->row_bytes = k * sizeof(float);
    w->type = DT_F32;
    w->paneled = false;
    w->panels = NULL;
    w->rows = x->value + first * k;
    add_param(t, w, x->grad + first * k, (size_t)(w->n * w->n_mats) * k);
    if (!w->bias) return;
    snprintf(bias, sizeof bias, "%.*sbias", (int)strlen(w->name) - 6, w->name);
    TrainTensor *b = tensor_of(t, bias, total);
    add_param(t, w->bias, b->grad + first, (size_t)(w->n * w->n_mats));
}

static void add_norm(TrainModel *t, int32_t layer, const char *name, const Norm *norm)
{
    char full[64];
    if (!norm) return;
    if (layer < 0)
        snprintf(full, sizeof full, "%s.weight", name);
    else
        snprintf(full, sizeof full, "blk.%d.%s.weight", layer, name);
    const GgufTensor *of = gguf_find_tensor(t->model->gguf, full);
    assert_non_null(of);
    size_t n = (size_t)(of->ne[0] * of->ne[1]);
    add_param(t, norm->weight, tensor_of(t, full, n)->grad, n);
}

void train_open(TrainModel *t, const char *path, bool frozen)
{
    bt_error err = {0};
    bt_model_options options = {.n_threads = 1, .no_cache = true};
    *t = (TrainModel){0};
    if (bt_model_open(path, &options, &t->model, &err)) fail_msg("%s: %s", path, err.text);
    if (model_prepare(t->model, &err)) fail_msg("%s: %s", path, err.text);
    const Decoder *d = t->model->weights;
    for (size_t i = 0; i < t->model->n_matrices && !frozen; i++)
        if (t->model->matrices[i] != d->embedding) add_matrix(t, t->model->matrices[i]);
    if (!frozen) add_matrix(t, (Weight *)(uintptr_t)d->embedding);
    add_norm(t, -1, "output_norm", d->norm);
    for (int32_t l = 0; l < d->n_layers; l++) {
        const DecoderLayer *w = &d->layer[l];
        add_norm(t, l, "attn_norm", w->attn_norm);
        add_norm(t, l, "post_attention_norm", w->attn_post_norm);
        add_norm(t, l, "ffn_norm", w->ffn_norm);
        add_norm(t, l, "post_ffw_norm", w->ffn_post_norm);
        add_norm(t, l, "attn_q_norm", w->attention.q_norm);
        add_norm(t, l, "attn_k_norm", w->attention.k_norm);
    }
    tape_sort(t->param, t->n_params);
}

void train_close(TrainModel *t)
{
    for (size_t i = 0; i < t->n_tensors; i++) {
        free(t->tensor[i].value);
        free(t->tensor[i].grad);
    }
    bt_model_close(&t->model);
}

void train_rows(TrainModel *t, const int32_t *tokens, const float *weights, const int32_t *lengths,
                int32_t n)
{
    t->n_rows = 0;
    for (int32_t d = 0; d < n; d++)
        for (int32_t i = 0; i < lengths[d]; i++) {
            int32_t at = t->n_rows++;
            bool last = i + 1 == lengths[d];
            assert_true(at < TRAIN_MOST_ROWS);
            t->rows[at] = (StepRow){.token = tokens[at],
                                    .sequence = d,
                                    .position = i,
                                    .want = !last,
                                    .axis = {i, i, i, i}};
            t->target[at] = last ? -1 : tokens[at + 1];
            t->weight[at] = weights ? weights[at] : 1;
        }
}

TrainTensor *train_tensor(TrainModel *t, const char *name)
{
    for (size_t i = 0; i < t->n_tensors; i++)
        if (strcmp(t->tensor[i].name, name) == 0) return &t->tensor[i];
    return NULL;
}

void train_clear(TrainModel *t)
{
    for (size_t i = 0; i < t->n_tensors; i++)
        memset(t->tensor[i].grad, 0, t->tensor[i].n * sizeof(float));
}

/* ---- the loss ---- */

static double total_weight(const TrainModel *t)
{
    double sum = 0;
    for (int32_t i = 0; i < t->n_rows; i++)
        if (t->target[i] >= 0) sum += (double)t->weight[i];
    return sum;
}

/* The step's row that is the n-th wanted. */
static int32_t row_of(const TrainModel *t, int64_t n)
{
    int32_t i = 0;
    while (!t->rows[i].want || n-- > 0) i++;
    return i;
}

static bool cross_entropy(void *context, Step *s, int64_t first, Tensor logits, Tensor d)
{
    TrainModel *t = context;
    double all = total_weight(t);
    (void)s;
    for (int64_t i = 0; i < logits.rows; i++) {
        const float *x = tensor_at(logits, i);
        int32_t row = row_of(t, first + i);
        double most = -INFINITY, sum = 0, w = (double)t->weight[row] / all;
        for (int32_t v = 0; v < logits.width; v++)
            if ((double)x[v] > most) most = (double)x[v]; /* not fmax: GCC 12 for ARM fails */
        for (int32_t v = 0; v < logits.width; v++) sum += exp((double)x[v] - most);
        t->loss += w * (most + log(sum) - (double)x[t->target[row]]);
        for (int32_t v = 0; d.data && v < logits.width; v++)
            tensor_at(d, i)[v] =
                (float)(w * (exp((double)x[v] - most) / sum - (v == t->target[row] ? 1 : 0)));
    }
    return true;
}

/* ---- a step ---- */

static int32_t wanted(const TrainModel *t)
{
    int32_t n = 0;
    for (int32_t i = 0; i < t->n_rows; i++) n += t->rows[i].want;
    return n;
}

static bt_status run(TrainModel *t, const TrainOptions *o, Tape *tape, Team *team, Arena *arena,
                     bt_error *err)
{
    CpuSizes sizes = model_cpu_sizes(t->model, t->n_rows);
    Step s = {.backend = backend_plan(),
              .arena = arena,
              .tape = tape,
              .layers = t->model->layers,
              .rows = t->rows,
              .n_rows = t->n_rows,
              .n_wanted = wanted(t),
              .n_ctx = 64,
              .cancel = o->cancel,
              .err = err};
    arena_open(arena, 0);
    tape_run(&s, t->model->arch->forward, t->model->weights);
    if (step_failed(&s)) return s.status;
    size_t bytes = t->bytes = arena->peak - o->less;
    bt_status status = cpu_open(&sizes, team, t->model->features, &s.backend, err);
    if (status) return status;
    tape->grad = mem_aligned(bytes, 64);
    if (tape->grad && arena_open(arena, bytes)) {
        memset(tape->grad, 0xff, bytes); /* NaN where nobody cleared */
        memset(arena->base, 0xff, bytes);
        t->loss = 0;
        tape_run(&s, t->model->arch->forward, t->model->weights);
        status = s.status;
    } else {
        status = bt_fail_memory(err, "a training step", bytes);
    }
    s.backend->ops->close(s.backend);
    return status;
}

bt_status train_step(TrainModel *t, const TrainOptions *o, bt_error *err)
{
    Tape tape = {.params = t->param,
                 .n_params = t->n_params,
                 .precision = o->precision,
                 .keep_blocks = o->keep_blocks,
                 .keep_from = o->keep_from,
                 .forward_only = o->forward_only,
                 .loss = cross_entropy,
                 .loss_context = t,
                 .logits_bytes = o->logits_bytes};
    Arena arena = {0};
    Team *team = team_open(o->n_threads ? o->n_threads : 1);
    if (!team) return bt_fail_memory(err, "threads", 0);
    bt_status status = run(t, o, &tape, team, &arena, err);
    mem_free(tape.grad);
    arena_close(&arena);
    team_close(team);
    return status;
}
