/* Qwen 3: the pre-norm decoder, rotating halves after a norm of each query and key head; YaRN
 * where the file asks for it. */
#include "models/block_prenorm.h"

static const void *qwen3_load(Loader *ld)
{
    return block_prenorm_load(ld, &(PrenormOptions){.head_norms = true});
}

const Arch arch_qwen3 = {"qwen3", qwen3_load, block_prenorm_forward};
