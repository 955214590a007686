/* bt_adapt: a training run (run.h) whose parameters are an adapter's. */
#include "train/lora.h"
#include "train/run.h"

#define RATE                                                                                       \
    5e-4 /* some ten times that of all weights: Schulman et al. 2025, "LoRA Without Regret" */
#define BATCH 4096

static bt_status open_adapter(void *user, const bt_train_options *options,
                              const ParamsOptions *params, Params **out, bt_error *err)
{
    const bt_adapt_options *o = user;
    ParamsOptions p = *params;
    const LoraOptions lora = {.rank = o->rank,
                              .alpha = o->alpha,
                              .dora = o->dora,
                              .targets = o->targets,
                              .from = o->from,
                              .any_base = o->any_base,
                              .seed = options->seed};
    p.model.cache_dir = o->cache_dir;
    p.model.progress = options->progress;
    p.model.progress_user = options->progress_user;
    return lora_params_open(options->model, &lora, &p, out, err);
}

static bt_status save_adapter(void *user, const Params *params, uint32_t type, const char *path,
                              bt_error *err)
{
    (void)user;
    (void)type;
    return lora_params_save(params, path, err);
}

bt_status bt_adapt(const bt_adapt_options *options, bt_train_result *result, bt_error *err)
{
    bt_error_clear(err);
    if (!options) return bt_fail(err, BT_E_ARGUMENT, "no options");
    bt_train_options o = options->train;
    if (!o.model || o.config || o.tokenizer || o.type)
        return bt_fail(
            err, BT_E_ARGUMENT,
            "an adapter is made for a model; it has no config, vocabulary or type of its "
            "own");
    o.recompute = !options->keep;
    if (!(o.rate > 0)) o.rate = RATE;
    if (o.batch < 1) o.batch = BATCH;
    /* towards zero would be towards the base, whatever was learnt */
    if (o.weight_decay == 0) o.weight_decay = -1;
    const TrainHooks hooks = {
        .open = open_adapter, .save = save_adapter, .user = (void *)(uintptr_t)options};
    return train_run(&o, &hooks, result, err);
}
