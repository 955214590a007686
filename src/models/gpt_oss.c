/* gpt-oss: every second layer, from the first, has a window; each head has a logit that joins its
 * softmax without a value (a sink); everything has biases. Experts are chosen by logits with their
 * bias and weighed by a softmax over the chosen ones; gates are clamped. YaRN as published does not
 * round its ramp to whole pairs, which files have no key for. */
#include "models/block_decoder.h"
#include "models/block_rope.h"

static const void *gpt_oss_load(Loader *ld)
{
    const float base = 150000;
    DecoderOptions o = {
        .ffn_norm = "post_attention_norm",
        .rope_base = base,
        .ffn = {.experts = true, .activation = ACT_GATE_CLAMPED, .scores = MOE_SOFTMAX_USED}};
    Decoder *m = block_decoder_load(ld, &o);
    int32_t span = loader_int(ld, "attention.sliding_window", 1, INT32_MAX, LOADER_REQUIRED);
    if (!m) return NULL;
    m->rope[0] = block_rope_unrounded(ld, false, base);
    for (int32_t l = 0; l < m->n_layers; l++) {
        Attention *a = &m->layer[l].attention;
        a->options.sinks = loader_vector(ld, l, "attn_sinks", a->heads, REQUIRED);
        if (block_windowed(ld, l, 2)) block_attention_span(ld, a, l, STATE_KV_WINDOW, span);
    }
    return m;
}

const Arch arch_gpt_oss = {"gpt-oss", gpt_oss_load, block_decoder_forward};
