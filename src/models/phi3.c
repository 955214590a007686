/* Phi 3, 3.5, 4 and 4-mini: rotating halves (of a part of the head in 4-mini), LongRoPE for long
 * contexts, q/k/v and gate/up in one matrix each; a window in all layers where the file has one. */
#include "models/block_decoder.h"

static const void *phi3_load(Loader *ld)
{
    DecoderOptions o = {.ffn = {.fused = true}};
    Decoder *m = block_decoder_load(ld, &o);
    if (!m) return NULL;
    int32_t window = loader_int(ld, "attention.sliding_window", 0, INT32_MAX, 0);
    for (int32_t l = 0; l < m->n_layers && window > 0 && window < ld->hyper.n_ctx_train; l++)
        block_attention_span(ld, &m->layer[l].attention, l, STATE_KV_WINDOW, window);
    return m;
}

const Arch arch_phi3 = {"phi3", phi3_load, block_decoder_forward};
