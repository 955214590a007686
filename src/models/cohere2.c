/* Cohere 2 (Command R7B, Command A): one LayerNorm without bias feeds attention and feed-forward,
 * both are added to the stream. Three layers of four have a window and rotate adjacent pairs; the
 * fourth sees all and has no positions. Logits are scaled. */
#include "models/block_window.h"

static const void *cohere2_load(Loader *ld)
{
    DecoderOptions o = {.adjacent = true, .centred = true, .parallel = true};
    Decoder *m = block_decoder_load(ld, &o);
    Windows w = block_windows(ld, 4, false);
    if (!m) return NULL;
    if (!w.span) loader_fail(ld, BT_E_FORMAT, "key 'cohere2.attention.sliding_window' is missing");
    m->logit_scale = loader_float(ld, "logit_scale", 1);
    for (int32_t l = 0; l < m->n_layers; l++) m->layer[l].attention.rope = NO_ROPE;
    block_windows_apply(ld, m, &w, 0);
    return m;
}

const Arch arch_cohere2 = {"cohere2", cohere2_load, block_decoder_forward};
