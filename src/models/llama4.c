/* Llama 4: three layers that see their own chunk of 8,192 tokens, rotate, and norm q and k
 * afterwards, to one that sees everything without positions, its queries growing with the logarithm
 * of theirs. Every second layer (Maverick; Scout: every one) has experts: one is chosen, the
 * sigmoid of its logit multiplies what it reads, and a shared one adds to it. */
#include "models/block_decoder.h"

#define LLAMA4_CHUNK 8192
/* Experts of the model that has no norm of q and k; its files do not say so. */
#define LLAMA4_MAVERICK 128

static const void *llama4_load(Loader *ld)
{
    DecoderOptions o = {.adjacent = true,
                        .expert_step =
                            loader_int(ld, "interleave_moe_layer_step", 1, MODEL_MOST_LAYERS, 1),
                        .ffn = {.scores = MOE_SIGMOID, .weigh_input = true, .shared = true}};
    Decoder *m = block_decoder_load(ld, &o);
    if (!m) return NULL;
    int32_t chunk = loader_int(ld, "attention.sliding_window", 1, INT32_MAX, LLAMA4_CHUNK);
    Norm *plain = loader_memory(ld, 1, sizeof *plain);
    if (!plain) return NULL;
    plain->eps = ld->hyper.eps;
    for (int32_t l = 0; l < m->n_layers; l++) {
        Attention *a = &m->layer[l].attention;
        if ((l + 1) % 4 == 0) {
            a->rope = NO_ROPE;
            a->temperature = loader_float(ld, "attention.temperature_scale", 0.1f);
            a->temperature_floor = LLAMA4_CHUNK;
            a->temperature_shift = 1;
            continue;
        }
        if (ld->hyper.n_experts != LLAMA4_MAVERICK) {
            a->qk_norm = QK_NORM_AFTER_ROPE;
            a->q_norm = a->k_norm = plain;
        }
        block_attention_span(ld, a, l, STATE_KV_CHUNK, chunk);
    }
    return m;
}

const Arch arch_llama4 = {"llama4", llama4_load, block_decoder_forward};
