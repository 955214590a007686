/* Nemotron 3 and 4, Minitron: LayerNorm (weights are stored with their 1 added), a part of each
 * head rotated, two matrices with squared ReLU. */
#include "models/block_decoder.h"

static const void *nemotron_load(Loader *ld)
{
    DecoderOptions o = {.centred = true, .ffn = {.ungated = true, .activation = ACT_RELU2}};
    return block_decoder_load(ld, &o);
}

const Arch arch_nemotron = {"nemotron", nemotron_load, block_decoder_forward};
