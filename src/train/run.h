/* A whole training run, with parts that another command brings: bt_train is this without hooks.
 * Distillation brings its loss, adapters bring what is trained and how it is written. */
#ifndef TRAIN_RUN_H
#define TRAIN_RUN_H

#include "train/loop.h"

/* Each may be NULL: then it is as in bt_train. */
typedef struct TrainHooks {
    /* What is trained, in place of the options' model or config. */
    bt_status (*open)(void *user, const bt_train_options *options, const ParamsOptions *params,
                      Params **out, bt_error *err);
    /* Parameters, data and memory are there, the loop has not begun. `context`: rows of a batch at
     * most. */
    bt_status (*ready)(void *user, const Params *params, int32_t context, bt_error *err);
    TrainLossFn loss;
    /* May replace functions of the feed that was made of options->data, or wrap them. */
    bt_status (*feed)(void *user, LoopFeed *feed, bt_error *err);
    /* Writes what was trained; `type` is a GGUF type as params_save takes it. */
    bt_status (*save)(void *user, const Params *params, uint32_t type, const char *path,
                      bt_error *err);
    /* Called last, also where the run failed; its parts are closed after it. */
    void (*close)(void *user);
    void *user; /* of all of them, the loss too */
} TrainHooks;

/* See bt_train; hooks may be NULL. */
bt_status train_run(const bt_train_options *options, const TrainHooks *hooks,
                    bt_train_result *result, bt_error *err);

#endif
