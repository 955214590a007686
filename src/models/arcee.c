/* Arcee AFM: Llama with two matrices and squared ReLU. */
#include "models/block_decoder.h"

static const void *arcee_load(Loader *ld)
{
    DecoderOptions o = {.adjacent = true, .ffn = {.ungated = true, .activation = ACT_RELU2}};
    return block_decoder_load(ld, &o);
}

const Arch arch_arcee = {"arcee", arcee_load, block_decoder_forward};
