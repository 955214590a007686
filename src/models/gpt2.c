/* GPT-2: learned positions, LayerNorm, q/k/v in one matrix, two matrices with GELU. */
#include "models/block_decoder.h"

static const void *gpt2_load(Loader *ld)
{
    DecoderOptions o = {
        .centred = true, .no_rope = true, .ffn = {.ungated = true, .activation = ACT_GELU_TANH}};
    Decoder *m = block_decoder_load(ld, &o);
    if (!m) return NULL;
    m->positions = loader_table(ld, "position_embd", ld->hyper.n_embd, REQUIRED);
    return m;
}

const Arch arch_gpt2 = {"gpt2", gpt2_load, block_decoder_forward};
