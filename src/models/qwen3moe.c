/* Qwen 3 with experts: Qwen 3's attention; every layer routes by softmax over all experts, the
 * weights of the chosen ones renormalised. */
#include "models/block_decoder.h"

static const void *qwen3moe_load(Loader *ld)
{
    DecoderOptions o = {.qk_norm = QK_NORM_HEADS, .ffn = {.experts = true, .renormalise = true}};
    Decoder *m = block_decoder_load(ld, &o);
    block_decoder_windows(ld, m, false);
    return m;
}

const Arch arch_qwen3moe = {"qwen3moe", qwen3moe_load, block_decoder_forward};
