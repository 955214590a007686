/* Cohere 2 (Command R7B, Command A): one LayerNorm without bias feeds attention and feed-forward,
 * both are added to the stream. Three layers of four have a window and rotate adjacent pairs; the
 * fourth sees all and has no positions. Logits are scaled. */
#include "models/block_decoder.h"

static const void *cohere2_load(Loader *ld)
{
    DecoderOptions o = {.adjacent = true, .centred = true, .parallel = true};
    Decoder *m = block_decoder_load(ld, &o);
    int32_t span = loader_int(ld, "attention.sliding_window", 1, INT32_MAX, LOADER_REQUIRED);
    if (!m) return NULL;
    m->logit_scale = loader_float(ld, "logit_scale", 1);
    for (int32_t l = 0; l < m->n_layers; l++)
        if (block_windowed(ld, l, 4))
            block_attention_span(ld, &m->layer[l].attention, l, STATE_KV_WINDOW, span);
        else
            m->layer[l].attention.rope = NO_ROPE;
    return m;
}

const Arch arch_cohere2 = {"cohere2", cohere2_load, block_decoder_forward};
