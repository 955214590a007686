/* Qwen 3 with experts: Qwen 3's attention; every layer routes by softmax over all experts, the
 * weights of the chosen ones renormalised. */
#include "models/block_prenorm.h"

static const void *qwen3moe_load(Loader *ld)
{
    PrenormOptions o = {.head_norms = true, .experts = true, .renormalise = true};
    return block_prenorm_load(ld, &o);
}

const Arch arch_qwen3moe = {"qwen3moe", qwen3moe_load, block_prenorm_forward};
