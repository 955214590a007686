/* ModernBERT (arXiv 2412.13663): an encoder in the shape of a pre-norm decoder. LayerNorms, also of
 * the embeddings; the first layer's attention reads these as they are. The gate passes exact GELU.
 * Every third layer from the first sees all, the others a window to both sides, and turn by angles
 * of another base. */
#include "models/block_decoder.h"
#include "models/block_rope.h"

static const void *modern_bert_load(Loader *ld)
{
    DecoderOptions o = {.rope_base = 160000,
                        .centred = true,
                        .first_bare = true,
                        .ffn = {.activation = ACT_GELU, .fused = true}};
    ld->encoder = true;
    Decoder *m = block_decoder_load(ld, &o);
    if (!m) return NULL;
    m->embedding_norm = loader_norm(ld, -1, "token_embd_norm", ld->hyper.n_embd, true, REQUIRED);
    m->rope[1] = block_rope_plain(ld, false, loader_float(ld, "rope.freq_base_swa", 10000),
                                  2 * m->rope[0].half);
    m->n_ropes = 2;
    int32_t span = loader_int(ld, "attention.sliding_window", 1, INT32_MAX, LOADER_REQUIRED);
    for (int32_t l = 0; l < m->n_layers; l++) {
        if (!block_windowed_after(ld, l, 3)) continue;
        block_attention_span(ld, &m->layer[l].attention, l, STATE_KV_WINDOW, span);
        m->layer[l].attention.rope = 1;
    }
    return loader_failed(ld) ? NULL : m;
}

const Arch arch_modern_bert = {"modern-bert", modern_bert_load, block_decoder_forward};
