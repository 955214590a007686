/* Gemma 2 (arXiv 2408.00118): norms before and after each part, a window in every second layer from
 * the first, scores and logits capped by tanh. */
#include <math.h>

#include "models/block_decoder.h"

/* The 27B model scales by D / H, not by the width of a head; its files do not say so. */
#define GEMMA2_27B 46

static const void *gemma2_load(Loader *ld)
{
    DecoderOptions o = {.order = NORM_AROUND, .ffn = {.activation = ACT_GELU_TANH}};
    Decoder *m = block_decoder_load(ld, &o);
    if (!m) return NULL;
    const Hyper *h = &ld->hyper;
    int32_t window = loader_int(ld, "attention.sliding_window", 1, INT32_MAX, 4096);
    float cap = loader_float(ld, "attn_logit_softcapping", 50);
    m->embedding_scale = sqrtf((float)h->n_embd);
    m->logit_cap = loader_float(ld, "final_logit_softcapping", 30);
    int32_t width = h->n_embd / h->n_heads;
    for (int32_t l = 0; l < m->n_layers; l++) {
        Attention *a = &m->layer[l].attention;
        a->options.soft_cap = cap;
        if (h->n_layers == GEMMA2_27B) a->options.scale = 1 / sqrtf((float)width);
        if (l % 2 == 0) block_attention_span(ld, a, l, STATE_KV_WINDOW, window);
    }
    return m;
}

const Arch arch_gemma2 = {"gemma2", gemma2_load, block_decoder_forward};
