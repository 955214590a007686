/* OLMo 1: LayerNorm without weights; q, k and v clipped. */
#include "models/block_decoder.h"

static const void *olmo_load(Loader *ld)
{
    DecoderOptions o = {.adjacent = true, .centred = true, .weightless = true};
    return block_decoder_load(ld, &o);
}

const Arch arch_olmo = {"olmo", olmo_load, block_decoder_forward};
