/* Mistral 3 (Ministral 3): Llama with YaRN whose cos and sin stay as they are, and queries that
 * grow with the logarithm of their position beyond the original context (the "attention
 * temperature" of Llama 4). */
#include "models/block_decoder.h"

static const void *mistral3_load(Loader *ld)
{
    DecoderOptions o = {.adjacent = true,
                        .ffn = {.experts = block_has_experts(ld), .renormalise = true}};
    Decoder *m = block_decoder_load(ld, &o);
    if (!m) return NULL;
    float temperature = loader_float(ld, "attention.temperature_scale", 0);
    int32_t original =
        loader_int(ld, "rope.scaling.original_context_length", 1, INT32_MAX, ld->hyper.n_ctx_train);
    for (int32_t l = 0; l < m->n_layers; l++) {
        m->layer[l].attention.temperature = temperature;
        m->layer[l].attention.temperature_floor = (float)original;
    }
    return m;
}

const Arch arch_mistral3 = {"mistral3", mistral3_load, block_decoder_forward};
