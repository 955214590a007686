/* Models, data and students for tests of distillation. */
#ifndef TESTS_TRAIN_SCHOOL_H
#define TESTS_TRAIN_SCHOOL_H

#include "support/make_model.h"
#include "support/scratch.h"
#include "train/optim.h"
#include "train/teacher.h"

static bt_error err;

enum { CONTEXT = 64 };

static const char school_data[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"one\"}, {\"role\": \"assistant\", "
    "\"content\": \"two\"}]}\n{\"text\": \"a text that is a little longer than the others are\"}\n"
    "{\"prompt\": \"ab\", \"completion\": \"cd\"}\n{\"text\": \"x\"}\n{\"text\": \"yz\"}\n";

static inline const char *model_file(const char *name, uint64_t seed, int embd)
{
    MakeModel o = {.tokenizer = MAKE_BPE,
                   .chat_template = "chatml",
                   .seed = seed,
                   .embd = embd,
                   .ff = 48,
                   .heads = 2,
                   .kv_heads = 1};
    const char *path = scratch_path(name);
    if (make_model(&o, path, &err)) fail_msg("%s", err.text);
    return path;
}

static inline bt_model *open_model(const char *path)
{
    bt_model_options o = {.no_cache = true, .n_threads = 2};
    bt_model *m;
    if (bt_model_open(path, &o, &m, &err)) fail_msg("%s", err.text);
    return m;
}

static inline Packs *open_packs(const bt_model *m)
{
    const char *path = scratch_write("d.jsonl", school_data, sizeof school_data - 1);
    PacksOptions o = {.context = CONTEXT, .seed = 1};
    Packs *p;
    if (packs_open(m, &path, 1, &o, &p, &err)) fail_msg("%s", err.text);
    return p;
}

static inline Teacher *open_teacher(bt_model *m, SoftLoss loss, size_t logits_bytes)
{
    TeacherOptions o = {.context = CONTEXT, .loss = loss, .logits_bytes = logits_bytes};
    Teacher *t;
    if (teacher_open(m, bt_model_describe(m).n_vocab, &o, &t, &err)) fail_msg("%s", err.text);
    return t;
}

typedef struct Student {
    Params *params;
    Trainer *trainer;
    Optim *optim;
} Student;

static inline Student open_student(const char *path, TrainLossFn loss, void *user)
{
    Student s;
    ParamsOptions p = {.model = {.n_threads = 2}};
    OptimOptions o = optim_defaults();
    if (params_open_model(path, &p, &s.params, &err)) fail_msg("%s", err.text);
    TrainerOptions t = {.rows = CONTEXT,
                        .logits_bytes = 5 * (size_t)s.params->model->hyper.n_vocab * sizeof(float),
                        .loss = loss,
                        .loss_user = user};
    if (trainer_open(s.params, &t, &s.trainer, &err)) fail_msg("%s", err.text);
    o.decay = 0;
    if (optim_open(s.params, &o, &s.optim, &err)) fail_msg("%s", err.text);
    return s;
}

static inline void close_student(Student *s)
{
    optim_close(&s->optim);
    trainer_close(&s->trainer);
    params_close(&s->params);
}

/* The mean loss and the norm of its gradient over an epoch. */
static inline double epoch(Student *s, Packs *p, double *norm)
{
    double loss = 0, weight = 0;
    params_zero_grads(s->params);
    for (uint64_t i = 0, n = packs_count(p).packs; i < n; i++) {
        Batch b;
        if (packs_next(p, &b, &err)) fail_msg("%s", err.text);
        if (trainer_batch(s->trainer, &b, &loss, &weight, &err)) fail_msg("%s", err.text);
    }
    *norm = optim_norm(s->optim, 1 / weight);
    return loss / weight;
}

#endif
