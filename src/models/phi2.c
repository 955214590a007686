/* Phi 1.5 and 2: LayerNorm, attention and feed-forward side by side behind one norm, two matrices
 * with GELU, biases everywhere, half of each head rotated. */
#include "models/block_decoder.h"

static const void *phi2_load(Loader *ld)
{
    DecoderOptions o = {
        .centred = true, .parallel = true, .ffn = {.ungated = true, .activation = ACT_GELU_TANH}};
    return block_decoder_load(ld, &o);
}

const Arch arch_phi2 = {"phi2", phi2_load, block_decoder_forward};
