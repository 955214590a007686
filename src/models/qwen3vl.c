/* Qwen 3 VL, the language part, dense and with experts: Qwen 3 whose pairs turn by time, height and
 * width in turns. What the image encoder adds to the first layers comes with images. */
#include "models/block_decoder.h"

static const void *load(Loader *ld, bool experts)
{
    DecoderOptions o = {.qk_norm = QK_NORM_HEADS, .ffn = {.experts = experts, .renormalise = true}};
    Decoder *m = block_decoder_load(ld, &o);
    if (m) m->rope[0].interleaved = true;
    return m;
}

static const void *qwen3vl_load(Loader *ld)
{
    return load(ld, false);
}

static const void *qwen3vlmoe_load(Loader *ld)
{
    return load(ld, true);
}

const Arch arch_qwen3vl = {"qwen3vl", qwen3vl_load, block_decoder_forward};
const Arch arch_qwen3vlmoe = {"qwen3vlmoe", qwen3vlmoe_load, block_decoder_forward};
