/* Qwen 2 and 2.5: rotating halves; q, k and v have biases. */
#include "models/block_decoder.h"

static const void *qwen2_load(Loader *ld)
{
    return block_decoder_load(ld, &(DecoderOptions){0});
}

const Arch arch_qwen2 = {"qwen2", qwen2_load, block_decoder_forward};
