/* StarCoder 2: LayerNorm, two matrices with GELU, biases everywhere, rotating halves. */
#include "models/block_decoder.h"

static const void *starcoder2_load(Loader *ld)
{
    DecoderOptions o = {.centred = true, .ffn = {.ungated = true, .activation = ACT_GELU_TANH}};
    return block_decoder_load(ld, &o);
}

const Arch arch_starcoder2 = {"starcoder2", starcoder2_load, block_decoder_forward};
