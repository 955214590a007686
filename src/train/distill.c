/* Distillation put together (see distill.h), and bt_targets. */
#include "train/distill.h"

#include <math.h>

#include "base/hash.h"
#include "base/mem.h"
#include "engine/model.h"

struct Distill {
    const bt_distill_options *options;
    uint64_t seed;
    bool bf16;
    SoftLoss loss;
    Packs *data;           /* of the run */
    const Params *student; /* likewise */
    bt_model *model;       /* the teacher's */
    Teacher *teacher;      /* one of these three */
    TextTeacher *text;
    Targets *targets;
    OnPolicy *policy; /* NULL: all batches are the data's */
};

static bt_status check(const bt_distill_options *o, SoftLoss *loss, bt_error *err)
{
    *loss = (SoftLoss){.soft = o->soft > 0 ? (float)o->soft : 0.5f,
                       .temperature = o->temperature > 0 ? (float)o->temperature : 1,
                       .mix = (float)o->mix};
    if (!o->teacher == !o->targets)
        return bt_fail(err, BT_E_ARGUMENT, "a teacher is named, or a file of what one said");
    if (!(loss->soft <= 1) || !isfinite(loss->temperature) || loss->temperature > 100 ||
        !(o->mix >= 0 && o->mix <= 1) || !(o->on_policy >= 0 && o->on_policy <= 1))
        return bt_fail(err, BT_E_ARGUMENT,
                       "the teacher's share, the mix of divergences and the student's share of the "
                       "batches are 0 to 1, the temperature is at most 100");
    if (o->on_policy > 0 && !o->teacher)
        return bt_fail(err, BT_E_ARGUMENT,
                       "what the student writes must be judged: that needs a teacher at hand");
    if (o->match_text && !o->teacher)
        return bt_fail(err, BT_E_ARGUMENT,
                       "what was stored of a teacher is compared by tokens; matching by text needs "
                       "the teacher itself");
    return BT_OK;
}

static bt_status open_teacher(Distill *d, bt_error *err)
{
    const bt_distill_options *o = d->options;
    const bt_model *s = d->student->model;
    int32_t context = packs_context(d->data);
    const bt_model_options model = {
        .n_threads = s->n_threads, .cpu_mask = s->features, .no_cache = true};
    const TeacherOptions teacher = {
        .context = context, .loss = d->loss, .team = s->team, .bf16 = d->bf16};
    bt_status status = bt_model_open(o->teacher, &model, &d->model, err);
    if (!status && o->match_text)
        return text_teacher_open(d->model, s, context, &d->loss, &d->text, err);
    if (!status) status = teacher_check(d->model, s, err);
    if (!status && d->model->hyper.n_ctx_train < context)
        status = bt_fail(err, BT_E_ARGUMENT,
                         "%s: the teacher was trained for %d tokens and packs have %d; take a "
                         "smaller --ctx",
                         o->teacher, d->model->hyper.n_ctx_train, context);
    return status ? status : teacher_open(d->model, s->hyper.n_vocab, &teacher, &d->teacher, err);
}

/* ---- hooks ---- */

static bt_status ready(void *user, const Params *params, int32_t context, bt_error *err)
{
    Distill *d = user;
    const bt_distill_options *o = d->options;
    const OnPolicyOptions own = {.context = context, .share = (float)o->on_policy, .seed = d->seed};
    d->student = params;
    bt_status status =
        o->teacher ? open_teacher(d, err)
                   : targets_open(o->targets, params->model, d->data, &d->loss, &d->targets, err);
    if (!status && o->on_policy > 0)
        status = on_policy_open(params, d->data, &own, &d->policy, err);
    return status;
}

static bt_status next(void *user, Batch *out, bt_error *err)
{
    Distill *d = user;
    bt_status status =
        d->policy ? on_policy_next(d->policy, out, err) : packs_next(d->data, out, err);
    /* What the student wrote itself is no example to follow. */
    bool own = d->policy && on_policy_was_own(d->policy);
    if (d->policy && d->text) text_teacher_judge(d->text, own);
    if (d->policy && d->teacher) teacher_set_soft(d->teacher, own ? 1 : d->loss.soft);
    return status;
}

static void tell(void *user, int64_t at[3])
{
    packs_at(((const Distill *)user)->data, at);
}

static bt_status seek(void *user, const int64_t at[3], bt_error *err)
{
    return packs_seek(((const Distill *)user)->data, at, err);
}

static void name(void *user, char *out, size_t size)
{
    packs_name(((const Distill *)user)->data, out, size);
}

/* A run goes on with the same loss only: it counts as part of the data. */
static bt_status feed(void *user, LoopFeed *feed, bt_error *err)
{
    Distill *d = user;
    const bt_distill_options *o = d->options;
    const float settings[] = {d->loss.soft,        d->loss.temperature,   d->loss.mix,
                              (float)o->on_policy, o->match_text ? 1 : 0, o->targets ? 1 : 0};
    (void)err;
    d->data = feed->user;
    *feed = (LoopFeed){.user = d,
                       .next = next,
                       .tell = tell,
                       .seek = seek,
                       .name = name,
                       .hash = hash_bytes(settings, sizeof settings, feed->hash)};
    return BT_OK;
}

static bt_status loss(void *user, const LossRows *rows, double *sum, bt_error *err)
{
    Distill *d = user;
    return d->teacher ? teacher_loss(d->teacher, rows, sum, err)
           : d->text  ? text_teacher_loss(d->text, rows, sum, err)
                      : targets_loss(d->targets, rows, sum, err);
}

/* All that borrows from the run. */
static void end(void *user)
{
    Distill *d = user;
    on_policy_close(&d->policy);
    targets_close(&d->targets);
    text_teacher_close(&d->text);
    teacher_close(&d->teacher);
    bt_model_close(&d->model);
}

bt_status distill_open(const bt_train_options *options, Distill **out, TrainHooks *hooks,
                       bt_error *err)
{
    Distill *d = *out = mem_zalloc(1, sizeof *d);
    if (!d) return bt_fail_memory(err, "a teacher", sizeof *d);
    d->options = options->distill;
    d->seed = options->seed;
    d->bf16 = !options->f32;
    *hooks = (TrainHooks){.feed = feed, .ready = ready, .loss = loss, .close = end, .user = d};
    bt_status status = check(options->distill, &d->loss, err);
    if (status) distill_close(out);
    return status;
}

void distill_close(Distill **distill)
{
    mem_free(*distill);
    *distill = NULL;
}

/* ---- storing ---- */

#define CONTEXT 1024 /* as bt_train's */

static bt_status store(bt_model *m, const char *const *data, size_t n_data, const char *path,
                       const bt_targets_options *o, bt_error *err)
{
    int32_t most = m->hyper.n_ctx_train, context = o->n_ctx;
    if (!context) context = most < CONTEXT ? most : CONTEXT;
    if (context > most)
        return bt_fail(err, BT_E_ARGUMENT, "context %d: the model is made for at most %d", context,
                       most);
    const PacksOptions p = {.context = context,
                            .seed = o->seed,
                            .in_order = true,
                            .lenient = o->lenient,
                            .all_counts = o->all_counts,
                            .progress = o->progress,
                            .progress_user = o->progress_user};
    const TeacherOptions t = {.context = context};
    const TargetsOptions w = {.samples = o->samples,
                              .temperature = (float)o->temperature,
                              .seed = o->seed,
                              .progress = o->progress,
                              .progress_user = o->progress_user};
    Packs *packs;
    Teacher *teacher = NULL;
    bt_status status = packs_open(m, data, n_data, &p, &packs, err);
    if (!status) status = teacher_open(m, m->hyper.n_vocab, &t, &teacher, err);
    if (!status) status = targets_write(teacher, m, packs, path, &w, err);
    teacher_close(&teacher);
    packs_close(&packs);
    return status;
}

bt_status bt_targets(const char *teacher, const char *const *data, size_t n_data, const char *path,
                     const bt_targets_options *options, bt_error *err)
{
    static const bt_targets_options none;
    const bt_targets_options *o = options ? options : &none;
    const bt_model_options model = {
        .n_threads = o->n_threads, .cpu_mask = o->cpu_mask, .no_cache = true};
    bt_model *m;
    bt_error_clear(err);
    if (!teacher || !path || !n_data)
        return bt_fail(err, BT_E_ARGUMENT, "a teacher, data and a file to write are needed");
    bt_status status = bt_model_open(teacher, &model, &m, err);
    if (!status) status = store(m, data, n_data, path, o, err);
    bt_model_close(&m);
    return status;
}
