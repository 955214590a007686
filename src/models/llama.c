/* Llama (2, 3, 3.1, 3.2 ...), Mistral, Mixtral: rotating adjacent pairs with Llama 3's per-pair
 * factors (tensor rope_freqs); dense, or experts chosen by softmax with their weights
 * renormalised. */
#include "models/block_decoder.h"

static const void *llama_load(Loader *ld)
{
    bool experts = loader_int(ld, "expert_count", 0, MODEL_MOST_EXPERTS, 0) > 0;
    DecoderOptions o = {.adjacent = true, .ffn = {.experts = experts, .renormalise = true}};
    return block_decoder_load(ld, &o);
}

const Arch arch_llama = {"llama", llama_load, block_decoder_forward};
