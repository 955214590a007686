/* ERNIE 4.5: as Llama; with experts from some layer on, chosen by softmax with a bias for the
 * choice, renormalised, and shared ones. */
#include "models/block_decoder.h"

static const void *ernie4_5_load(Loader *ld)
{
    DecoderOptions o = {.adjacent = true};
    return block_decoder_load(ld, &o);
}

static const void *ernie4_5_moe_load(Loader *ld)
{
    DecoderOptions o = {
        .adjacent = true,
        .first_expert_layer = loader_int(ld, "leading_dense_block_count", 0, MODEL_MOST_LAYERS, 0),
        .expert_step = loader_int(ld, "interleave_moe_layer_step", 1, MODEL_MOST_LAYERS, 1),
        .ffn = {.renormalise = true},
    };
    return block_decoder_load(ld, &o);
}

const Arch arch_ernie4_5 = {"ernie4_5", ernie4_5_load, block_decoder_forward};
const Arch arch_ernie4_5_moe = {"ernie4_5-moe", ernie4_5_moe_load, block_decoder_forward};
