/* Ling 2, Ring 2: q and k normed by head, a part of each head rotated; dense layers first, then
 * experts in groups, by sigmoid with a bias for the choice, and a shared one. */
#include "models/block_decoder.h"

static const void *bailingmoe2_load(Loader *ld)
{
    DecoderOptions o = {.qk_norm = QK_NORM_HEADS,
                        .first_expert_layer =
                            loader_int(ld, "leading_dense_block_count", 0, MODEL_MOST_LAYERS, 0),
                        .expert_step = 1,
                        .ffn = {.scores = MOE_SIGMOID, .renormalise = true, .routing_keys = true}};
    return block_decoder_load(ld, &o);
}

const Arch arch_bailingmoe2 = {"bailingmoe2", bailingmoe2_load, block_decoder_forward};
