/* SmolLM 3: Llama whose every fourth layer has no rotary positions (NoPE, arXiv 2501.18795). */
#include "models/block_decoder.h"

static const void *smollm3_load(Loader *ld)
{
    DecoderOptions o = {.adjacent = true};
    Decoder *m = block_decoder_load(ld, &o);
    if (!m) return NULL;
    for (int32_t l = 3; l < m->n_layers; l += 4) m->layer[l].attention.rope = NO_ROPE;
    return m;
}

const Arch arch_smollm3 = {"smollm3", smollm3_load, block_decoder_forward};
