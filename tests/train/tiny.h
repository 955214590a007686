/* A tiny model to train, and batches of made-up text, for tests of training. */
#ifndef TESTS_TRAIN_TINY_H
#define TESTS_TRAIN_TINY_H

#include "support/make_model.h"
#include "support/scratch.h"
#include "train/params.h"
#include "train/random.h"

/* `arch` with `threads`, from a file in the scratch folder; NULL on failure. */
static inline Params *tiny_params(const char *arch, bool tied, int threads, bt_error *err)
{
    MakeModel o = {.arch = arch, .tied = tied, .embd = 32, .ff = 48, .heads = 2, .kv_heads = 1};
    ParamsOptions p = {.model = {.n_threads = threads}};
    Params *out = NULL;
    const char *path = scratch_path("tiny.gguf");
    if (make_model(&o, path, err) || params_open_model(path, &p, &out, err)) return NULL;
    return out;
}

/* Gradients of about this size, the same for the same key. */
static inline void tiny_grads(Params *p, uint64_t key, float size)
{
    for (size_t i = 0; i < p->n; i++)
        random_normals(key + i, size, p->items[i].grad, p->items[i].n);
}

#endif
