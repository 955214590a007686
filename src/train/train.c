/* bt_train: a model, data and a folder become a run (see bantam.h, run.h), in five parts: what is
 * trained, what it reads, how long and fast, the loop, and the file at the end. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "tensor/dtype.h"
#include "train/batch.h"
#include "train/distill.h"

#define CONTEXT     1024
#define STEP_TOKENS 16384
#define RATE_NEW    1e-3
#define RATE_MODEL  1e-4

typedef struct Run {
    const bt_train_options *o;
    TrainHooks hooks;
    char *folder;
    int lock; /* descriptor, or -1 */
    uint32_t type;
    Params *params;
    Optim *optim;
    Trainer *trainer;
    Packs *data, *eval;
    LoopFeed feeds[2];
    LoopOptions loop;
    RunState state;
    bt_error *err;
} Run;

/* ---- what was asked ---- */

static bt_status read_type(Run *r)
{
    static const struct {
        const char *name;
        uint32_t type;
    } all[] = {{"bf16", DT_BF16}, {"f32", DT_F32}, {"f16", DT_F16}, {"q8_0", DT_Q8_0}};
    const char *name = r->o->type ? r->o->type : "bf16";
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strcmp(name, all[i].name) == 0) {
            r->type = all[i].type;
            return BT_OK;
        }
    return bt_fail(r->err, BT_E_ARGUMENT,
                   "type '%s' is not written by training (f32, bf16, f16 and q8_0 are)", name);
}

static bt_status check_options(Run *r)
{
    const bt_train_options *o = r->o;
    if (!o->out || !*o->out)
        return bt_fail(r->err, BT_E_ARGUMENT, "the file to write is not named");
    if (!r->hooks.open && (o->model != NULL) == (o->config != NULL))
        return bt_fail(r->err, BT_E_ARGUMENT,
                       "either a model that goes on learning or the config.json of a new one must "
                       "be named");
    if (!r->hooks.open && o->config && !o->tokenizer)
        return bt_fail(r->err, BT_E_ARGUMENT,
                       "a new model needs a vocabulary: a GGUF file, as 'bantam vocab' makes one");
    if (o->model && strcmp(o->model, o->out) == 0)
        return bt_fail(r->err, BT_E_ARGUMENT, "%s: is read and written; name another file", o->out);
    if (!o->n_data) return bt_fail(r->err, BT_E_ARGUMENT, "no data is named");
    if (o->resume && o->restart)
        return bt_fail(r->err, BT_E_ARGUMENT, "a run goes on or begins anew, not both");
    if (o->hold_out > 0 && o->n_eval)
        return bt_fail(r->err, BT_E_ARGUMENT,
                       "held-out data is named, or a share of the data is kept apart, not both");
    if (!(o->hold_out >= 0 && o->hold_out < 1) || o->steps < 0 || o->epochs < 0 || o->n_ctx < 0 ||
        o->batch < 0 || o->rate < 0 || !isfinite(o->epochs) || !isfinite(o->rate) ||
        o->epochs > 1e6 || o->steps > 1000000000)
        return bt_fail(r->err, BT_E_ARGUMENT, "steps, epochs, sizes or rate are out of range");
    return read_type(r);
}

/* ---- the folder ---- */

/* One run at a time writes to it: the lock goes with the process, however it ends. */
static bt_status lock_folder(Run *r)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char *path = run_path(r->folder, "lock");
    if (!path) return bt_fail_memory(r->err, "a path", strlen(r->folder));
    r->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int why = errno;
    mem_free(path);
    if (r->lock < 0)
        return bt_fail(r->err, BT_E_IO, "%s: cannot be written: %s", r->folder, os_why(why));
    if (fcntl(r->lock, F_SETLK, &whole) != 0 && (errno == EACCES || errno == EAGAIN))
        return bt_fail(r->err, BT_E_ARGUMENT, "%s: another run is at work in it", r->folder);
    return BT_OK;
}

static void remove_checkpoints(const Run *r)
{
    static const char *const names[] = {"a.checkpoint", "b.checkpoint"};
    for (int i = 0; i < 2; i++) {
        char *path = run_path(r->folder, names[i]);
        if (path) unlink(path);
        mem_free(path);
    }
}

static bt_status open_folder(Run *r)
{
    const bt_train_options *o = r->o;
    RunState state;
    bool found = false;
    size_t n = strlen(o->out) + 16;
    r->folder = o->folder ? mem_strdup(o->folder) : mem_alloc(n);
    if (!r->folder) return bt_fail_memory(r->err, "a path", n);
    if (!o->folder) snprintf(r->folder, n, "%s.training", o->out);
    bt_status status = os_make_dirs(r->folder, r->err);
    if (!status) status = lock_folder(r);
    if (status) return status;
    checkpoint_sweep(r->folder);
    if (!o->resume) status = checkpoint_peek(r->folder, &state, &found, r->err);
    if (!status && found && !o->restart)
        return bt_fail(r->err, BT_E_ARGUMENT,
                       "%s: a run is there, at step %lld; --resume goes on with it, --restart "
                       "begins anew",
                       r->folder, (long long)state.step);
    if (!status && o->restart) remove_checkpoints(r);
    return status;
}

/* ---- what is trained ---- */

static bt_status open_params(Run *r)
{
    const bt_train_options *o = r->o;
    ParamsOptions p = {.model = {.n_threads = o->n_threads, .cpu_mask = o->cpu_mask},
                       .seed = o->seed};
    const char *slash = strrchr(o->out, '/');
    char name[128];
    if (r->hooks.open) return r->hooks.open(r->hooks.user, o, &p, &r->params, r->err);
    snprintf(name, sizeof name, "%s", o->name ? o->name : slash ? slash + 1 : o->out);
    size_t n = strlen(name);
    if (!o->name && n > 5 && strcmp(name + n - 5, ".gguf") == 0) name[n - 5] = '\0';
    return o->config ? params_open_config(o->config, o->tokenizer, name, &p, &r->params, r->err)
                     : params_open_model(o->model, &p, &r->params, r->err);
}

static bt_status open_optim(Run *r)
{
    const bt_train_options *o = r->o;
    OptimOptions p = optim_defaults();
    if (o->optimizer && strcmp(o->optimizer, "muon") == 0)
        p.kind = OPTIM_MUON;
    else if (o->optimizer && strcmp(o->optimizer, "adamw") != 0)
        return bt_fail(r->err, BT_E_ARGUMENT, "optimizer '%s' is not known; adamw and muon are",
                       o->optimizer);
    if (o->beta1 > 0) p.beta1 = o->beta1;
    if (o->beta2 > 0) p.beta2 = o->beta2;
    if (o->eps > 0) p.eps = o->eps;
    if (o->weight_decay != 0) p.decay = o->weight_decay > 0 ? o->weight_decay : 0;
    if (o->clip != 0) p.clip = o->clip > 0 ? o->clip : 0;
    if (!(p.beta1 < 1 && p.beta2 < 1))
        return bt_fail(r->err, BT_E_ARGUMENT, "beta1 and beta2 must be below 1");
    return optim_open(r->params, &p, &r->optim, r->err);
}

static bt_status open_trainer(Run *r)
{
    TrainerOptions t = {.rows = r->loop.context,
                        .bf16 = !r->o->f32,
                        .recompute = r->o->recompute,
                        .loss = r->hooks.loss,
                        .loss_user = r->hooks.user};
    return trainer_open(r->params, &t, &r->trainer, r->err);
}

/* ---- what it reads ---- */

static bt_status feed_next(void *user, Batch *out, bt_error *err)
{
    return packs_next(user, out, err);
}

static void feed_tell(void *user, int64_t at[3])
{
    packs_at(user, at);
}

static bt_status feed_seek(void *user, const int64_t at[3], bt_error *err)
{
    return packs_seek(user, at, err);
}

static void feed_name(void *user, char *out, size_t size)
{
    packs_name(user, out, size);
}

static bt_status open_packs(Run *r, const char *const *paths, size_t n, bool eval, Packs **out,
                            LoopFeed *feed)
{
    const bt_train_options *o = r->o;
    PacksOptions p = {.context = r->loop.context,
                      .seed = o->seed,
                      .in_order = eval,
                      .lenient = o->lenient,
                      .all_counts = o->all_counts,
                      .held_out = eval ? 0 : o->hold_out,
                      .progress = o->progress,
                      .progress_user = o->progress_user};
    bt_status status = eval && !n ? packs_held(r->data, out, r->err)
                                  : packs_open(r->params->model, paths, n, &p, out, r->err);
    if (status) return status;
    *feed = (LoopFeed){.user = *out,
                       .next = feed_next,
                       .tell = feed_tell,
                       .seek = feed_seek,
                       .name = feed_name,
                       .hash = packs_hash(*out)};
    return BT_OK;
}

/* ---- how long and how fast ---- */

static int64_t share(int64_t asked, int64_t steps, int64_t part)
{
    int64_t n = asked < 0 ? 0 : asked > 0 ? asked : steps / part;
    return n < steps ? n : steps;
}

static bt_status plan_schedule(Run *r)
{
    const bt_train_options *o = r->o;
    Schedule *s = &r->loop.schedule;
    static const char *const names[] = {"cosine", "wsd", "constant"};
    const char *name = o->schedule ? o->schedule : names[0];
    double packs = (double)packs_count(r->data).packs * (o->epochs > 0 ? o->epochs : 1);
    int kind = 0;
    while (kind < 3 && strcmp(name, names[kind]) != 0) kind++;
    if (kind == 3)
        return bt_fail(r->err, BT_E_ARGUMENT,
                       "schedule '%s' is not known; cosine, wsd and constant are", name);
    s->kind = (ScheduleKind)kind;
    s->steps = o->steps > 0 ? o->steps : (int64_t)ceil(packs / r->loop.batches);
    s->peak = o->rate > 0 ? o->rate : o->config ? RATE_NEW : RATE_MODEL;
    s->floor = o->final_rate < 0 ? 0 : o->final_rate > 0 ? o->final_rate : 0.1;
    s->warmup = share(o->warmup, s->steps, 50);
    s->decay = share(o->decay, s->steps, 5);
    if (s->decay > s->steps - s->warmup) s->decay = s->steps - s->warmup;
    return BT_OK;
}

static bt_status plan_sizes(Run *r)
{
    const bt_train_options *o = r->o;
    int32_t most = r->params->model->hyper.n_ctx_train, n = o->n_ctx;
    if (!n) n = most < CONTEXT ? most : CONTEXT;
    if (n > most)
        return bt_fail(r->err, BT_E_ARGUMENT, "context %d: the model is made for at most %d", n,
                       most);
    int32_t batch = o->batch > 0 ? o->batch : STEP_TOKENS;
    r->loop.context = n;
    r->loop.batches = (batch - 1) / n + 1;
    return BT_OK;
}

static bt_status open_run(Run *r)
{
    const bt_train_options *o = r->o;
    bt_status status = check_options(r);
    if (!status) status = open_folder(r);
    if (!status) status = open_params(r);
    if (!status) status = plan_sizes(r);
    if (!status) status = open_packs(r, o->data, o->n_data, false, &r->data, &r->feeds[0]);
    if (!status && (o->n_eval || o->hold_out > 0))
        status = open_packs(r, o->eval, o->n_eval, true, &r->eval, &r->feeds[1]);
    if (!status) status = plan_schedule(r);
    if (!status) status = open_optim(r);
    if (!status) status = open_trainer(r);
    if (!status && r->hooks.feed) status = r->hooks.feed(r->hooks.user, &r->feeds[0], r->err);
    if (!status && r->hooks.ready)
        status = r->hooks.ready(r->hooks.user, r->params, r->loop.context, r->err);
    r->loop.folder = r->folder;
    r->loop.seed = o->seed;
    r->loop.data = &r->feeds[0];
    r->loop.eval = r->eval ? &r->feeds[1] : NULL;
    r->loop.eval_every = o->eval_every;
    r->loop.save_every = o->save_every;
    r->loop.stop_loss = o->stop_loss;
    r->loop.resume = o->resume;
    r->loop.report = o->report;
    r->loop.report_user = o->report_user;
    return status;
}

static void tell_result(const Run *r, bt_train_result *out)
{
    const RunState *s = &r->state;
    *out = (bt_train_result){.step = s->step,
                             .steps = r->loop.schedule.steps,
                             .n_params = r->params ? r->params->n_trained : 0,
                             .tokens = s->tokens,
                             .rows = s->rows,
                             .first_loss = s->first_loss,
                             .last_loss = s->last_loss,
                             .smooth_loss = s->smooth_loss,
                             .eval_loss = s->best_eval,
                             .seconds = s->seconds};
    if (r->params) out->memory = 16 * (uint64_t)r->params->n_values;
    if (r->trainer) out->memory += trainer_bytes(r->trainer);
}

/* Where it cannot be written, what was trained is not lost. */
static bt_status save_model(Run *r)
{
    RunState kept;
    bool found = false;
    bt_status status = r->hooks.save
                           ? r->hooks.save(r->hooks.user, r->params, r->type, r->o->out, r->err)
                           : params_save(r->params, r->type, r->o->out, r->err);
    if (status != BT_E_IO || checkpoint_peek(r->folder, &kept, &found, NULL) || !found)
        return status;
    bt_error why = *r->err;
    return bt_fail(r->err, status, "%s; step %lld is kept in %s, and --resume writes it", why.text,
                   (long long)kept.step, r->folder);
}

bt_status train_run(const bt_train_options *options, const TrainHooks *hooks,
                    bt_train_result *result, bt_error *err)
{
    bt_error ignored;
    bt_error_clear(err);
    if (!options) return bt_fail(err, BT_E_ARGUMENT, "no options");
    Run r = {.o = options, .lock = -1, .err = err ? err : &ignored};
    if (hooks) r.hooks = *hooks;
    bt_status status = open_run(&r);
    if (!status) status = loop_run(r.trainer, r.optim, &r.loop, &r.state, r.err);
    if (!status) status = save_model(&r);
    if (result) tell_result(&r, result);
    if (r.hooks.close) r.hooks.close(r.hooks.user);
    trainer_close(&r.trainer);
    optim_close(&r.optim);
    packs_close(&r.eval); /* what was held out borrows from the data */
    packs_close(&r.data);
    params_close(&r.params);
    if (r.lock >= 0) close(r.lock);
    mem_free(r.folder);
    return status;
}

bt_status bt_train(const bt_train_options *options, bt_train_result *result, bt_error *err)
{
    Distill *distill = NULL;
    TrainHooks hooks;
    bt_error_clear(err);
    if (!options || !options->distill) return train_run(options, NULL, result, err);
    bt_status status = distill_open(options, &distill, &hooks, err);
    if (!status) status = train_run(options, &hooks, result, err);
    distill_close(&distill);
    return status;
}
