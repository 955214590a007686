/* Phi 3.5 MoE: LongRoPE, experts. Its makers norm by LayerNorm and route by SparseMixer; the
 * ecosystem's engine, whose files and golden logits the other reading is, norms by RMSNorm with a
 * bias and routes by softmax, renormalised. A file says which: our converter writes the keys
 * attention.layer_norm_epsilon and expert_routing ("sparsemixer", with router_jitter_noise). */
#include "models/block_decoder.h"

static const void *phimoe_load(Loader *ld)
{
    Span routing = loader_text(ld, "expert_routing");
    DecoderOptions o = {.centred = loader_float(ld, "attention.layer_norm_epsilon", 0) > 0,
                        .ffn = {.experts = true, .renormalise = true}};
    if (span_is(routing, "sparsemixer")) {
        o.ffn.scores = MOE_SPARSE_MIXER;
        o.ffn.nearness = 2 * loader_float(ld, "router_jitter_noise", 0.01f);
    } else if (routing.size) {
        loader_fail(ld, BT_E_UNSUPPORTED, "key '%s.expert_routing' is '%.*s'; sparsemixer is known",
                    ld->arch, (int)(routing.size < 40 ? routing.size : 40), routing.data);
    }
    Decoder *m = block_decoder_load(ld, &o);
    block_decoder_windows(ld, m, true);
    return m;
}

const Arch arch_phimoe = {"phimoe", phimoe_load, block_decoder_forward};
