/* DeepSeek V2, V2-Lite, V3, R1: compressed attention, leading dense layers, then routed experts
 * (softmax; or sigmoid with a bias for the choice, in groups) beside shared ones. */
#include "models/block_mla.h"

static const void *deepseek2_load(Loader *ld)
{
    return block_mla_decoder(ld);
}

const Arch arch_deepseek2 = {"deepseek2", deepseek2_load, block_decoder_forward};
