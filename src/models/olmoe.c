/* OLMoE: q and k normed whole; experts by softmax, their weights as they are. */
#include "models/block_decoder.h"

static const void *olmoe_load(Loader *ld)
{
    DecoderOptions o = {.qk_norm = QK_NORM_WHOLE, .ffn = {.experts = true}};
    return block_decoder_load(ld, &o);
}

const Arch arch_olmoe = {"olmoe", olmoe_load, block_decoder_forward};
