/* bt_sampler_open: a model's vocabulary for the sampler, and a seed where none is given. */
#include "base/os.h"
#include "engine/model.h"
#include "engine/sampler.h"

static int64_t token_text(void *user, bt_token id, char *out, size_t capacity)
{
    const Tokenizer *tok = user;
    return tok_text(tok, id, false, false, out, capacity);
}

bt_status bt_sampler_open(const bt_model *model, const bt_sampler_options *options,
                          bt_sampler **out, bt_error *err)
{
    enum { LEAST_HISTORY = 4096 };
    bt_sampler_options with_seed = options ? *options : (bt_sampler_options){0};
    bt_model_info info = bt_model_describe(model);
    SamplerSetup setup = {
        .n_vocab = info.n_vocab,
        .n_history = info.n_ctx_train < LEAST_HISTORY ? LEAST_HISTORY : info.n_ctx_train,
        .text = token_text,
        .user = (void *)(uintptr_t)model_tokenizer(model),
    };
    *out = NULL;
    while (!with_seed.seed)
        if (!os_random(&with_seed.seed, sizeof with_seed.seed))
            return bt_fail(err, BT_E_SYSTEM, "the system gives no random numbers: set a seed");
    return sampler_core_open(&with_seed, &setup, out, err);
}
