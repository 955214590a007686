/* Jamba: attention without positions where the file gives a layer KV heads, elsewhere Mamba with
 * norms inside; experts, where a layer has a router, by softmax over all of them as it is. */
#include "models/block_recurrent.h"

static const void *jamba_load(Loader *ld)
{
    DecoderOptions o = {.no_rope = true, .attends = block_has_kv, .routed = true};
    Decoder *m = block_decoder_load(ld, &o);
    for (int32_t l = 0; m && l < m->n_layers; l++)
        if (!block_has_kv(ld, l)) block_mixer(ld, m, l, block_mamba, block_mamba_load(ld, l, true));
    return loader_failed(ld) ? NULL : m;
}

const Arch arch_jamba = {"jamba", jamba_load, block_decoder_forward};
