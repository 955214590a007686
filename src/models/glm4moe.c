/* GLM 4.5, 4.6: the norm before the feed-forward is named post_attention_norm; experts by sigmoid
 * with a bias for the choice, a shared one, dense layers first. */
#include "models/block_decoder.h"

static const void *glm4moe_load(Loader *ld)
{
    DecoderOptions o = {.ffn_norm = "post_attention_norm",
                        .qk_norm = loader_has(ld, 0, "attn_q_norm") ? QK_NORM_HEADS : QK_NORM_NONE,
                        .first_expert_layer =
                            loader_int(ld, "leading_dense_block_count", 0, MODEL_MOST_LAYERS, 0),
                        .expert_step = 1,
                        .ffn = {.scores = MOE_SIGMOID, .renormalise = true, .routing_keys = true}};
    return block_decoder_load(ld, &o);
}

const Arch arch_glm4moe = {"glm4moe", glm4moe_load, block_decoder_forward};
