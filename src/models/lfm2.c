/* LFM2 (Liquid): layers that attend and layers of a short convolution, which the file tells apart
 * by their number of KV heads; rotating halves, q and k normed per head. The last norm goes by the
 * name of the embedding's. lfm2moe: dense layers first, then experts by sigmoid with a bias for the
 * choice, renormalised. */
#include "models/block_recurrent.h"

static const void *load(Loader *ld, DecoderOptions *o)
{
    o->qk_norm = QK_NORM_HEADS;
    o->attends = block_has_kv;
    o->norm = loader_has(ld, -1, "token_embd_norm") ? "token_embd_norm" : NULL;
    Decoder *m = block_decoder_load(ld, o);
    for (int32_t l = 0; m && l < m->n_layers; l++)
        if (!block_has_kv(ld, l))
            block_mixer(ld, m, l, block_short_conv, block_short_conv_load(ld, l));
    return loader_failed(ld) ? NULL : m;
}

static const void *lfm2_load(Loader *ld)
{
    return load(ld, &(DecoderOptions){0});
}

static const void *lfm2moe_load(Loader *ld)
{
    DecoderOptions o = {.first_expert_layer =
                            loader_int(ld, "leading_dense_block_count", 0, MODEL_MOST_LAYERS, 0),
                        .expert_step = 1,
                        .ffn = {.scores = MOE_SIGMOID, .renormalise = true}};
    float scale = loader_float(ld, "expert_weights_scale", 0);
    const Decoder *m = load(ld, &o);
    for (int32_t l = 0; m && l < m->n_layers; l++) m->layer[l].ffn.moe.scale = scale;
    return m;
}

const Arch arch_lfm2 = {"lfm2", lfm2_load, block_decoder_forward};
const Arch arch_lfm2moe = {"lfm2moe", lfm2moe_load, block_decoder_forward};
