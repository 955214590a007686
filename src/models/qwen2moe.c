/* Qwen 1.5 and 2 with experts: softmax over all of them, weights as they are, and a shared expert
 * behind a sigmoid gate. */
#include "models/block_decoder.h"

static const void *qwen2moe_load(Loader *ld)
{
    DecoderOptions o = {.ffn = {.experts = true, .shared = true, .shared_router = true}};
    Decoder *m = block_decoder_load(ld, &o);
    block_decoder_windows(ld, m, false);
    return m;
}

const Arch arch_qwen2moe = {"qwen2moe", qwen2moe_load, block_decoder_forward};
