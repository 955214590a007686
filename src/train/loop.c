/* The course of a run (see loop.h). */
#include "train/loop.h"

#include <math.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "train/metrics.h"

#define SAVE_SECONDS 300
#define SMOOTH       0.05 /* share of a step in the running mean of the loss */

typedef struct Loop {
    Trainer *trainer;
    Optim *optim;
    const LoopOptions *o;
    RunState *s;
    Metrics *metrics;
    double started, saved_at; /* clock */
    int64_t first_step;       /* of this session */
    int64_t saved_step;       /* of the last good checkpoint; -1: none */
    MetricsLine line;
    bt_error *err;
} Loop;

/* ---- checkpoints ---- */

/* A full disk does not end the run: what was kept stays, and the next attempt may find room. */
static bt_status save(Loop *l, bool must)
{
    bt_error why = {0};
    l->s->metrics_bytes = metrics_bytes(l->metrics);
    bt_status status = checkpoint_save(l->o->folder, l->trainer->params, l->optim, l->s, &why);
    l->saved_at = os_seconds();
    metrics_plot(l->metrics);
    if (!status) {
        l->saved_step = l->s->step;
        return BT_OK;
    }
    if (must) {
        if (l->err) *l->err = why;
        return status;
    }
    log_line(BT_LOG_WARN, "no checkpoint at step %lld: %s", (long long)l->s->step, why.text);
    return BT_OK;
}

static bool time_to_save(const Loop *l)
{
    double every = l->o->save_seconds > 0 ? l->o->save_seconds : SAVE_SECONDS;
    if (l->o->save_every > 0) return l->s->step % l->o->save_every == 0;
    return os_seconds() - l->saved_at >= every;
}

static bt_status differs(Loop *l, const char *what)
{
    return bt_fail(l->err, BT_E_ARGUMENT,
                   "%s: the run was started with another %s; give the same, or start anew with "
                   "--restart",
                   l->o->folder, what);
}

/* Where the run stands: at its checkpoint, or at its beginning. */
static bt_status begin(Loop *l)
{
    const LoopOptions *o = l->o;
    RunState fresh = {.best_eval = INFINITY,
                      .seed = o->seed,
                      .data_hash = o->data->hash,
                      .context = o->context,
                      .batch = o->batches,
                      .optimiser = (int64_t)l->optim->options.kind};
    bool found = false;
    bt_status status = BT_OK;
    l->saved_step = -1;
    *l->s = fresh;
    if (o->resume)
        status = checkpoint_load(o->folder, l->trainer->params, l->optim, l->s, &found, l->err);
    if (status) return status;
    if (found) {
        if (l->s->seed != fresh.seed) return differs(l, "--seed");
        if (l->s->data_hash != fresh.data_hash) return differs(l, "text or other data");
        if (l->s->context != fresh.context) return differs(l, "--ctx");
        if (l->s->batch != fresh.batch) return differs(l, "--batch");
        if (l->s->optimiser != fresh.optimiser) return differs(l, "--optimizer");
        l->saved_step = l->s->step;
        status = o->data->seek(o->data->user, l->s->at, l->err);
    }
    l->first_step = l->s->step;
    if (!status) status = metrics_open(o->folder, l->s->metrics_bytes, &l->metrics, l->err);
    return status;
}

/* ---- a step ---- */

/* Numbers that are none, or a loss above `limit` (0: none of that). */
static bt_status stop(Loop *l, const char *what, double value, double limit)
{
    char where[256] = "", kept[96] = "no checkpoint was written yet", above[64] = "";
    bool own = limit > 0 && l->o->stop_loss > 0;
    if (l->o->data->name) l->o->data->name(l->o->data->user, where, sizeof where);
    if (l->saved_step >= 0)
        snprintf(kept, sizeof kept, "the last good checkpoint is of step %lld",
                 (long long)l->saved_step);
    if (limit > 0)
        snprintf(above, sizeof above, ", above %.4g%s", limit, own ? " (--stop-loss)" : "");
    return bt_fail(l->err, BT_E_LIMIT, "stopped at step %lld: %s is %g%s%s%s; %s (%s); try %s",
                   (long long)(l->s->step + 1), what, value, above, *where ? ", batch of " : "",
                   where, kept, l->o->folder,
                   own && l->s->step == 0 ? "a higher --stop-loss: nothing is learned yet"
                                          : "a lower --lr or more --warmup");
}

static double loss_limit(const Loop *l)
{
    double even = log((double)l->trainer->params->model->hyper.n_vocab);
    if (l->o->stop_loss > 0) return l->o->stop_loss;
    return 2 * (l->s->first_loss > even ? l->s->first_loss : even);
}

/* All batches of the step: gradients, and the mean loss of the tokens that count. */
static bt_status gather(Loop *l, double *loss, double *weight)
{
    const LoopFeed *feed = l->o->data;
    double sum = 0;
    *weight = 0;
    params_zero_grads(l->trainer->params);
    if (l->trainer->params->refresh) l->trainer->params->refresh(l->trainer->params);
    for (int32_t i = 0; i < l->o->batches; i++) {
        Batch batch;
        bt_status status = feed->next(feed->user, &batch, l->err);
        if (!status) status = trainer_batch(l->trainer, &batch, &sum, weight, l->err);
        if (status) return status;
        l->s->rows += (uint64_t)batch.n_rows;
        for (int32_t r = 0; r < batch.n_rows; r++)
            l->s->tokens += batch.weight[r] != 0 && batch.target[r] >= 0;
        if (!isfinite(sum)) return stop(l, "the loss", sum, 0);
    }
    if (!(*weight > 0))
        return bt_fail(l->err, BT_E_FORMAT,
                       "step %lld: none of its tokens counts; the data has prompts without answers",
                       (long long)(l->s->step + 1));
    *loss = sum / *weight;
    return BT_OK;
}

static bt_status one_step(Loop *l)
{
    RunState *s = l->s;
    double loss = 0, weight = 0, start = os_seconds();
    uint64_t rows = s->rows;
    bt_status status = gather(l, &loss, &weight);
    if (status) return status;
    double norm = optim_norm(l->optim, 1 / weight);
    if (!isfinite(norm)) return stop(l, "the gradient's norm", norm, 0);
    if (s->step == 0) s->first_loss = s->smooth_loss = loss;
    if (loss > loss_limit(l)) return stop(l, "the loss", loss, loss_limit(l));
    double rate = schedule_rate(&l->o->schedule, s->step + 1);
    optim_step(l->optim, l->trainer->backend, s->step + 1, rate,
               optim_clip(l->optim, norm) / weight);
    s->step++;
    s->last_loss = loss;
    double part = 1 / (double)s->step; /* a plain mean at first */
    if (part < SMOOTH) part = SMOOTH;
    s->smooth_loss += part * (loss - s->smooth_loss);
    double spent = os_seconds() - start;
    s->seconds += spent;
    l->o->data->tell(l->o->data->user, s->at);
    l->line = (MetricsLine){.step = s->step,
                            .loss = loss,
                            .rate = rate,
                            .grad_norm = norm,
                            .tokens = s->tokens,
                            .tokens_per_s = spent > 0 ? (double)(s->rows - rows) / spent : 0,
                            .eval_loss = NAN};
    return BT_OK;
}

/* ---- held-out data ---- */

static bt_status evaluate(Loop *l)
{
    const LoopFeed *feed = l->o->eval;
    int64_t at[3] = {0};
    double loss = 0, weight = 0;
    bt_status status = feed->seek(feed->user, at, l->err);
    if (l->trainer->params->refresh) l->trainer->params->refresh(l->trainer->params);
    while (!status) {
        Batch batch;
        feed->tell(feed->user, at);
        if (at[0] > 0) break;
        status = feed->next(feed->user, &batch, l->err);
        if (!status) status = trainer_evaluate(l->trainer, &batch, &loss, &weight, l->err);
    }
    if (status) return status;
    l->line.eval_loss = weight > 0 ? loss / weight : NAN;
    l->line.eval_tokens = (uint64_t)weight;
    if (l->line.eval_loss < l->s->best_eval) l->s->best_eval = l->line.eval_loss;
    return BT_OK;
}

static bool time_to_evaluate(const Loop *l)
{
    if (!l->o->eval) return false;
    if (l->s->step >= l->o->schedule.steps) return true;
    return l->o->eval_every > 0 && l->s->step % l->o->eval_every == 0;
}

static bool report(Loop *l)
{
    const LoopOptions *o = l->o;
    int64_t done = l->s->step - l->first_step, left = o->schedule.steps - l->s->step;
    if (!o->report) return true;
    bt_train_report r = {.step = l->s->step,
                         .steps = o->schedule.steps,
                         .loss = l->line.loss,
                         .smooth_loss = l->s->smooth_loss,
                         .rate = l->line.rate,
                         .grad_norm = l->line.grad_norm,
                         .eval_loss = l->line.eval_loss,
                         .tokens = l->s->tokens,
                         .tokens_per_s = l->line.tokens_per_s,
                         .seconds_left = (os_seconds() - l->started) / (double)done * (double)left};
    return o->report(o->report_user, &r);
}

static bt_status go_on(Loop *l)
{
    bt_status status = BT_OK;
    while (!status && l->s->step < l->o->schedule.steps) {
        status = one_step(l);
        if (!status && time_to_evaluate(l)) status = evaluate(l);
        if (status) break;
        metrics_add(l->metrics, &l->line);
        bool last = l->s->step >= l->o->schedule.steps, more = report(l);
        if (last || !more || time_to_save(l)) status = save(l, !more && !last);
        if (!status && !more && !last)
            status = bt_fail(l->err, BT_E_CANCELLED,
                             "stopped after step %lld of %lld; a checkpoint is in %s",
                             (long long)l->s->step, (long long)l->o->schedule.steps, l->o->folder);
    }
    return status;
}

bt_status loop_run(Trainer *trainer, Optim *optim, const LoopOptions *options, RunState *state,
                   bt_error *err)
{
    Loop l = {.trainer = trainer,
              .optim = optim,
              .o = options,
              .s = state,
              .started = os_seconds(),
              .saved_at = os_seconds(),
              .err = err};
    bt_status status = begin(&l);
    if (!status) status = go_on(&l);
    metrics_close(&l.metrics);
    return status;
}
