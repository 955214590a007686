/* Falcon 7B and 40B: LayerNorm, attention and feed-forward side by side. The larger ones have two
 * norms: attn_norm_2 is of what attention reads, attn_norm then of what the feed-forward reads. */
#include "models/block_decoder.h"

static const void *falcon_load(Loader *ld)
{
    DecoderOptions o = {
        .centred = true, .parallel = true, .ffn = {.ungated = true, .activation = block_gelu(ld)}};
    Decoder *m = block_decoder_load(ld, &o);
    if (!m) return NULL;
    for (int32_t l = 0; l < m->n_layers; l++) {
        DecoderLayer *w = &m->layer[l];
        const Norm *second = loader_norm(ld, l, "attn_norm_2", ld->hyper.n_embd, true, OPTIONAL);
        if (!second) continue;
        w->ffn_norm = w->attn_norm;
        w->attn_norm = second;
    }
    return m;
}

const Arch arch_falcon = {"falcon", falcon_load, block_decoder_forward};
