/* Gemma 1: embeddings times sqrt(D), GELU in its tanh form, rotating halves. */
#include <math.h>

#include "models/block_decoder.h"

static const void *gemma_load(Loader *ld)
{
    DecoderOptions o = {.ffn = {.activation = ACT_GELU_TANH}};
    Decoder *m = block_decoder_load(ld, &o);
    if (!m) return NULL;
    m->embedding_scale = sqrtf((float)ld->hyper.n_embd);
    return m;
}

const Arch arch_gemma = {"gemma", gemma_load, block_decoder_forward};
