/* Hunyuan: rotating halves, then a norm of each query and key head; with experts chosen by softmax,
 * renormalised, and a shared one. */
#include "models/block_decoder.h"

static const void *hunyuan_load(Loader *ld)
{
    DecoderOptions o = {.qk_norm = QK_NORM_AFTER_ROPE,
                        .ffn = {.experts = block_has_experts(ld), .renormalise = true}};
    return block_decoder_load(ld, &o);
}

const Arch arch_hunyuan_dense = {"hunyuan-dense", hunyuan_load, block_decoder_forward};
const Arch arch_hunyuan_moe = {"hunyuan-moe", hunyuan_load, block_decoder_forward};
