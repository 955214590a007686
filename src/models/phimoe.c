/* Phi 3.5 MoE: LongRoPE, experts by softmax, renormalised. Its makers' code norms by LayerNorm and
 * routes by a softmax that drops experts far from the best; the ecosystem's engine, whose files and
 * golden logits these are, by RMSNorm with a bias and by plain softmax. */
#include "models/block_decoder.h"

static const void *phimoe_load(Loader *ld)
{
    DecoderOptions o = {.ffn = {.experts = true, .renormalise = true}};
    return block_decoder_load(ld, &o);
}

const Arch arch_phimoe = {"phimoe", phimoe_load, block_decoder_forward};
