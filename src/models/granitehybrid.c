/* Granite 4 hybrid: Granite's four factors; attention where the file gives a layer KV heads,
 * elsewhere Mamba 2; experts where a layer has a router. Attention has positions unless the file
 * says rope.scaling.finetuned = false. */
#include "models/block_recurrent.h"

static const void *granitehybrid_load(Loader *ld)
{
    DecoderOptions o = {.adjacent = true,
                        .no_rope = !loader_bool(ld, "rope.scaling.finetuned", true),
                        .attends = block_has_kv,
                        .routed = true,
                        .ffn = {.renormalise = true}};
    Decoder *m = block_decoder_load(ld, &o);
    if (!m) return NULL;
    m->embedding_scale = loader_float(ld, "embedding_scale", 1);
    m->residual_scale = loader_float(ld, "residual_scale", 1);
    m->logit_scale = 1 / loader_float(ld, "logit_scale", 1);
    for (int32_t l = 0; l < m->n_layers; l++)
        if (!block_has_kv(ld, l)) block_mixer(ld, m, l, block_ssd, block_ssd_load(ld, l, REQUIRED));
    return loader_failed(ld) ? NULL : m;
}

const Arch arch_granitehybrid = {"granitehybrid", granitehybrid_load, block_decoder_forward};
