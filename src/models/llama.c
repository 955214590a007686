/* Llama (2, 3, 3.1, 3.2 ...), Mistral, Mixtral: rotating adjacent pairs with Llama 3's per-pair
 * factors (tensor rope_freqs); dense, or experts chosen by softmax with their weights
 * renormalised; a window in all layers where the file has one (Mistral 7B v0.1). */
#include "models/block_decoder.h"

static const void *llama_load(Loader *ld)
{
    bool experts = loader_int(ld, "expert_count", 0, MODEL_MOST_EXPERTS, 0) > 0;
    DecoderOptions o = {.adjacent = true, .ffn = {.experts = experts, .renormalise = true}};
    Decoder *m = block_decoder_load(ld, &o);
    block_decoder_windows(ld, m, true);
    return m;
}

const Arch arch_llama = {"llama", llama_load, block_decoder_forward};
