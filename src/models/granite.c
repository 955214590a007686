/* Granite 3 and 4: Llama with four factors: of the embeddings, of the scores, of what each part
 * adds, and one that divides the logits. Experts by softmax of the chosen. */
#include "models/block_decoder.h"

static const void *granite_load(Loader *ld)
{
    DecoderOptions o = {.adjacent = true,
                        .ffn = {.experts = block_has_experts(ld), .renormalise = true}};
    Decoder *m = block_decoder_load(ld, &o);
    if (!m) return NULL;
    m->embedding_scale = loader_float(ld, "embedding_scale", 1);
    m->residual_scale = loader_float(ld, "residual_scale", 1);
    m->logit_scale = 1 / loader_float(ld, "logit_scale", 1);
    return m;
}

const Arch arch_granite = {"granite", granite_load, block_decoder_forward};
const Arch arch_granitemoe = {"granitemoe", granite_load, block_decoder_forward};
