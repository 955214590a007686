/* StarCoder 2: LayerNorm, two matrices with GELU, biases everywhere, rotating halves; a window in
 * all layers where the file has one. */
#include "models/block_decoder.h"

static const void *starcoder2_load(Loader *ld)
{
    DecoderOptions o = {.centred = true, .ffn = {.ungated = true, .activation = ACT_GELU_TANH}};
    Decoder *m = block_decoder_load(ld, &o);
    block_decoder_windows(ld, m, true);
    return m;
}

const Arch arch_starcoder2 = {"starcoder2", starcoder2_load, block_decoder_forward};
