/* EmbeddingGemma (arXiv 2509.20354): Gemma 3 whose rows see each other both ways; five layers of a
 * window to one that sees everything. Two matrices stand after the pooling. */
#include <math.h>

#include "models/block_decoder.h"
#include "models/block_rope.h"

static const void *gemma_embedding_load(Loader *ld)
{
    DecoderOptions o = {.order = NORM_AROUND,
                        .qk_norm = QK_NORM_HEADS,
                        .rope_base = 1e6f,
                        .ffn = {.activation = ACT_GELU_TANH}};
    ld->encoder = true;
    Decoder *m = block_decoder_load(ld, &o);
    if (!m) return NULL;
    m->embedding_scale = sqrtf((float)ld->hyper.n_embd);
    m->rope[1] = block_rope_plain(ld, false, loader_float(ld, "rope.freq_base_swa", 10000),
                                  2 * m->rope[0].half);
    m->n_ropes = 2;
    int32_t span = loader_int(ld, "attention.sliding_window", 1, INT32_MAX, LOADER_REQUIRED);
    for (int32_t l = 0; l < m->n_layers; l++) {
        if (!block_windowed(ld, l, 6)) continue;
        block_attention_span(ld, &m->layer[l].attention, l, STATE_KV_WINDOW, span);
        m->layer[l].attention.rope = 1;
    }
    loader_dense(ld);
    return loader_failed(ld) ? NULL : m;
}

const Arch arch_gemma_embedding = {"gemma-embedding", gemma_embedding_load, block_decoder_forward};
