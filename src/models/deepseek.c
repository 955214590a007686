/* DeepSeek MoE (arXiv 2401.06066): Llama's attention; dense layers first, then many small experts
 * by softmax, their weights as they are, and shared ones. */
#include "models/block_decoder.h"

static const void *deepseek_load(Loader *ld)
{
    DecoderOptions o = {.adjacent = true,
                        .first_expert_layer =
                            loader_int(ld, "leading_dense_block_count", 0, MODEL_MOST_LAYERS, 0),
                        .expert_step = 1,
                        .ffn = {.routing_keys = true}};
    return block_decoder_load(ld, &o);
}

const Arch arch_deepseek = {"deepseek", deepseek_load, block_decoder_forward};
