/* Gemma 3 (arXiv 2503.19786): norms around each part, q and k normed by head, five layers of a
 * window with plain angles to one that sees everything with scaled ones. */
#include <math.h>

#include "models/block_decoder.h"
#include "models/block_rope.h"

/* The 27B model scales by D / H, not by the width of a head; its files do not say so. */
#define GEMMA3_27B 62

static const void *gemma3_load(Loader *ld)
{
    DecoderOptions o = {.order = NORM_AROUND,
                        .qk_norm = QK_NORM_HEADS,
                        .rope_base = 1e6f,
                        .ffn = {.activation = ACT_GELU_TANH}};
    Decoder *m = block_decoder_load(ld, &o);
    if (!m) return NULL;
    const Hyper *h = &ld->hyper;
    int32_t window = loader_int(ld, "attention.sliding_window", 0, INT32_MAX, 0);
    m->embedding_scale = sqrtf((float)h->n_embd);
    m->logit_cap = loader_float(ld, "final_logit_softcapping", 0);
    m->rope[1] = block_rope_plain(ld, false, loader_float(ld, "rope.freq_base_swa", 10000),
                                  2 * m->rope[0].half);
    m->n_ropes = 2;
    int32_t width = h->n_embd / h->n_heads;
    for (int32_t l = 0; l < m->n_layers; l++) {
        Attention *a = &m->layer[l].attention;
        if (h->n_layers == GEMMA3_27B) a->options.scale = 1 / sqrtf((float)width);
        if (!block_windowed(ld, l, 6)) continue;
        a->rope = 1;
        block_attention_span(ld, a, l, STATE_KV_WINDOW, window);
    }
    return m;
}

const Arch arch_gemma3 = {"gemma3", gemma3_load, block_decoder_forward};
