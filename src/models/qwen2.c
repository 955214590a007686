/* Qwen 2 and 2.5: the pre-norm decoder, rotating halves; q, k and v have biases. */
#include "models/block_prenorm.h"

static const void *qwen2_load(Loader *ld)
{
    return block_prenorm_load(ld, &(PrenormOptions){0});
}

const Arch arch_qwen2 = {"qwen2", qwen2_load, block_prenorm_forward};
