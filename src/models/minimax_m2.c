/* MiniMax M2: q and k normed whole, a part of each head rotated, experts by sigmoid with a bias for
 * the choice, renormalised. */
#include "models/block_decoder.h"

static const void *minimax_m2_load(Loader *ld)
{
    DecoderOptions o = {.qk_norm = QK_NORM_WHOLE,
                        .ffn = {.experts = true, .scores = MOE_SIGMOID, .renormalise = true}};
    return block_decoder_load(ld, &o);
}

const Arch arch_minimax_m2 = {"minimax-m2", minimax_m2_load, block_decoder_forward};
