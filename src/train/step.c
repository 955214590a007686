/* A batch forward and back (see trainer.h). */
#include "base/checked.h"
#include "base/mem.h"
#include "train/trainer.h"

/* ---- cross entropy ---- */

typedef struct CrossJob {
    const LossRows *rows;
    TeamQueue queue;
} CrossJob;

/* -log softmax(x)[target] = log(sum exp x) - x[target]; its gradient is softmax(x), less 1 at the
 * target. */
static void cross_row(const LossRows *r, int64_t i)
{
    size_t n = (size_t)r->n_vocab;
    int32_t target = r->batch->target[r->row[i]];
    float weight = r->batch->weight[r->row[i]];
    const float *x = r->logits + (size_t)i * n;
    float *d = r->d ? r->d + (size_t)i * n : NULL, own = x[target];
    r->each[i] = weight * (r->kernels->softmax_times(x, 1, weight, n, d) - own);
    if (d) d[target] -= weight;
}

static void cross_member(void *arg, int member, int n_members)
{
    CrossJob *job = arg;
    int64_t begin, end;
    (void)member;
    (void)n_members;
    while (queue_take(&job->queue, &begin, &end))
        for (int64_t i = begin; i < end; i++) cross_row(job->rows, i);
}

bt_status loss_next_token(void *user, const LossRows *rows, double *loss, bt_error *err)
{
    CrossJob job = {.rows = rows};
    (void)user;
    (void)err;
    queue_start(&job.queue, rows->n, 4);
    team_run(rows->team, cross_member, &job);
    for (int64_t i = 0; i < rows->n; i++) *loss += (double)rows->each[i];
    return BT_OK;
}

/* ---- the step ---- */

static bool give_loss(void *context, Step *s, int64_t first, Tensor logits, Tensor d)
{
    Trainer *t = context;
    if (!logits.data) return true; /* planning */
    LossRows rows = {.batch = t->batch,
                     .row = t->wanted + first,
                     .n = logits.rows,
                     .n_vocab = t->params->model->hyper.n_vocab,
                     .logits = logits.data,
                     .d = d.data,
                     .team = t->params->model->team,
                     .kernels = kernels_select(t->params->model->features),
                     .each = t->each};
    bt_error err = {0};
    bt_status status = t->options.loss(t->options.loss_user, &rows, &t->loss, &err);
    if (status) step_fail(s, status, "%s", err.text);
    return status == BT_OK;
}

static Tape new_tape(Trainer *t, bool forward_only)
{
    return (Tape){.params = t->params->keys,
                  .n_params = t->params->n_keys,
                  .grad = t->grads,
                  .precision = t->options.bf16 ? GEMM_BF16 : GEMM_F32,
                  .keep_blocks = true,
                  .keep_from = t->keep_from,
                  .forward_only = forward_only,
                  .loss = give_loss,
                  .loss_context = t,
                  .logits_bytes = t->options.logits_bytes};
}

static bt_status run(Trainer *t, Backend *backend, Arena *arena, int32_t n_rows, int32_t n_wanted,
                     bool forward_only, bt_error *err)
{
    const bt_model *m = t->params->model;
    t->tape = new_tape(t, forward_only);
    Step step = {.backend = backend,
                 .arena = arena,
                 .layers = m->layers,
                 .rows = t->rows,
                 .n_rows = n_rows,
                 .sets = &t->params->adapters,
                 .n_sets = t->params->adapters ? 1 : 0,
                 .n_wanted = n_wanted,
                 .n_ctx = t->options.rows,
                 .tape = &t->tape,
                 .err = err};
    arena_reset(arena, 0);
    tape_run(&step, m->arch->forward, m->weights);
    return step.status;
}

/* All rows wanted, and all but one: then they must be gathered first. */
static bt_status plan(Trainer *t, size_t *bytes, bt_error *err)
{
    Arena arena;
    int32_t n = t->options.rows;
    arena_open(&arena, 0);
    bt_status status = run(t, backend_plan(), &arena, n, n, false, err);
    if (!status && n > 1) status = run(t, backend_plan(), &arena, n, n - 1, false, err);
    *bytes = arena.peak;
    return status;
}

/* As many layers keep what they make as there is memory for; the arena is as large as its
 * gradients. */
static bt_status fit(Trainer *t, size_t *bytes, bt_error *err)
{
    uint64_t have = os_memory_available(), most = t->options.memory;
    int32_t low = 0, high = t->params->model->hyper.n_layers;
    if (!most) most = have ? have / 4 * 3 : UINT64_MAX;
    bt_status status = BT_OK;
    while (low < high && !t->options.recompute && !status) {
        t->keep_from = low + (high - low) / 2;
        status = plan(t, bytes, err);
        if (2 * (uint64_t)*bytes <= most)
            high = t->keep_from;
        else
            low = t->keep_from + 1;
    }
    t->keep_from = high;
    if (!status) status = plan(t, bytes, err);
    if (!status && have && 2 * (uint64_t)*bytes > have)
        return bt_fail(err, BT_E_MEMORY,
                       "a batch of %d tokens needs %llu MiB and %llu MiB are available; take a "
                       "smaller context",
                       t->options.rows, (unsigned long long)(2 * (uint64_t)*bytes >> 20),
                       (unsigned long long)(have >> 20));
    return status;
}

static bt_status reserve(Trainer *t, bt_error *err)
{
    bt_model *m = t->params->model;
    size_t n = (size_t)t->options.rows, bytes = 0;
    bt_status status = model_prepare(m, err);
    t->rows = mem_zalloc(n, sizeof *t->rows);
    t->wanted = mem_zalloc(n, sizeof *t->wanted);
    t->each = mem_zalloc(n, sizeof *t->each);
    if (!status && (!t->rows || !t->wanted || !t->each))
        status = bt_fail_memory(err, "a batch", n * sizeof *t->rows);
    if (!status) status = fit(t, &bytes, err);
    if (status) return status;
    t->grads_bytes = align_up(bytes, 4096);
    t->grads = os_pages_alloc(t->grads_bytes);
    if (!t->grads || !arena_open(&t->arena, bytes))
        return bt_fail_memory(err, "a batch", 2 * (uint64_t)bytes);
    CpuSizes sizes = model_cpu_sizes(m, t->options.rows);
    return cpu_open(&sizes, m->team, m->features, &t->backend, err);
}

bt_status trainer_open(Params *params, const TrainerOptions *options, Trainer **out, bt_error *err)
{
    *out = NULL;
    if (options->rows < 2 || options->rows > MODEL_MOST_ROWS)
        return bt_fail(err, BT_E_ARGUMENT, "a batch has 2 to %d tokens, not %d", MODEL_MOST_ROWS,
                       options->rows);
    if (!params->model->hyper.causal || params->model->hyper.embeds)
        return bt_fail(err, BT_E_UNSUPPORTED,
                       "a model that turns text into vectors is not trained");
    Trainer *t = mem_zalloc(1, sizeof *t);
    if (!t) return bt_fail_memory(err, "a trainer", sizeof *t);
    t->params = params;
    t->options = *options;
    if (!t->options.loss) t->options.loss = loss_next_token;
    bt_status status = reserve(t, err);
    if (status) trainer_close(&t);
    *out = t;
    return status;
}

void trainer_close(Trainer **trainer)
{
    Trainer *t = *trainer;
    if (!t) return;
    if (t->backend) t->backend->ops->close(t->backend);
    if (t->grads) os_pages_free(t->grads, t->grads_bytes);
    arena_close(&t->arena);
    mem_free(t->rows);
    mem_free(t->wanted);
    mem_free(t->each);
    mem_free(t);
    *trainer = NULL;
}

uint64_t trainer_bytes(const Trainer *t)
{
    CpuSizes sizes = model_cpu_sizes(t->params->model, t->options.rows);
    return t->arena.size + t->grads_bytes +
           cpu_work_bytes(&sizes, team_size(t->params->model->team));
}

/* Rows that count are those whose logits are wanted. */
static bt_status take(Trainer *t, const Batch *batch, int32_t *n_wanted, double *weight,
                      bt_error *err)
{
    int32_t n_vocab = t->params->model->hyper.n_vocab;
    if (batch->n_rows < 1 || batch->n_rows > t->options.rows)
        return bt_fail(err, BT_E_ARGUMENT, "a batch of %d tokens; it has 1 to %d", batch->n_rows,
                       t->options.rows);
    *n_wanted = 0;
    for (int32_t i = 0; i < batch->n_rows; i++) {
        t->rows[i] = batch->rows[i];
        bool counts = batch->weight[i] != 0 && batch->target[i] >= 0;
        if (batch->rows[i].token < 0 || batch->rows[i].token >= n_vocab ||
            batch->target[i] >= n_vocab)
            return bt_fail(err, BT_E_ARGUMENT, "token %d is outside the vocabulary of %d",
                           counts ? batch->target[i] : batch->rows[i].token, n_vocab);
        t->rows[i].want = counts;
        t->rows[i].adapters = t->params->adapters;
        if (!counts) continue;
        t->wanted[(*n_wanted)++] = i;
        *weight += (double)batch->weight[i];
    }
    return BT_OK;
}

static bt_status go(Trainer *t, const Batch *batch, bool forward_only, double *loss, double *weight,
                    bt_error *err)
{
    int32_t n_wanted = 0;
    bt_status status = take(t, batch, &n_wanted, weight, err);
    if (status || !n_wanted) return status;
    t->batch = batch;
    t->loss = 0;
    pthread_mutex_lock(&t->params->model->lock);
    status = run(t, t->backend, &t->arena, batch->n_rows, n_wanted, forward_only, err);
    pthread_mutex_unlock(&t->params->model->lock);
    t->batch = NULL;
    if (!status) *loss += t->loss;
    return status;
}

bt_status trainer_batch(Trainer *t, const Batch *batch, double *loss, double *weight, bt_error *err)
{
    return go(t, batch, false, loss, weight, err);
}

bt_status trainer_evaluate(Trainer *t, const Batch *batch, double *loss, double *weight,
                           bt_error *err)
{
    return go(t, batch, true, loss, weight, err);
}
