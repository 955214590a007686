/* What tables cannot say of encoders: types of tokens, positions, mixtures. */
#include "convert/rules.h"

#include <stdio.h>
#include <string.h>

#include "convert/values.h"

void setup_encoder(Convert *c)
{
    Span positions = conf_text(c, "position_embedding_type");
    if (positions.size && !span_is(positions, "absolute"))
        plan_fail(c, BT_E_UNSUPPORTED, "config.json: 'position_embedding_type' is not absolute");
    if (conf_real(c, "rotary_emb_fraction", 1) != 1)
        plan_fail(c, BT_E_UNSUPPORTED, "config.json: 'rotary_emb_fraction' is not 1");
    int32_t types = conf_int(c, "type_vocab_size", 0);
    put_bool(c, "attention.causal", false);
    c->own |= OWN_KV;
    if (types && !plan_failed(c))
        gguf_put_u32(c->writer, "tokenizer.ggml.token_type_count", (uint32_t)types);
    if (strcmp(c->family->arch, "bert") == 0) c->size.rotary = 1; /* learned positions */
}

/* Positions are counted from the padding token's id on, so the first rows are never used. */
void setup_roberta(Convert *c)
{
    int32_t most = conf_int(c, "max_position_embeddings", CONF_REQUIRED);
    c->skipped = conf_int(c, "pad_token_id", 1) + 1;
    setup_encoder(c);
    c->own |= OWN_CONTEXT;
    if (!plan_failed(c) && most <= c->skipped)
        plan_fail(c, BT_E_FORMAT, "config.json: max_position_embeddings %d leaves no position",
                  most);
    put_int(c, "context_length", most - c->skipped);
}

/* What is added to the result of each layer's experts: a key of ours, where it is not 0. */
static void put_expert_biases(Convert *c)
{
    uint64_t d = (uint64_t)c->size.embd;
    float *all = plan_memory(c, (uint64_t)c->size.layers * d, sizeof *all);
    bool any = false;
    for (int32_t l = 0; all && c->st && l < c->size.layers; l++) {
        char name[80];
        snprintf(name, sizeof name, "encoder.layers.%d.mlp.experts.bias", l);
        const StTensor *t = st_find(c->st, span_of(name));
        if (!t || t->n_dims != 1 || t->shape[0] != d || st_type_bytes(t->type) < 2) continue;
        value_load(t, 0, 1, d, all + (uint64_t)l * d);
        for (uint64_t i = 0; i < d; i++) any = any || all[(uint64_t)l * d + i] != 0;
    }
    if (any) put_reals(c, "expert_output_bias", all, (uint64_t)c->size.layers * d);
    if (any) plan_note(c, "the biases of its experts' results are kept; other programs drop them");
}

void setup_nomic(Convert *c)
{
    int32_t every = conf_int(c, "moe_every_n_layers", 2);
    bool gelu = span_is(conf_text(c, "activation_function"), "gelu");
    setup_encoder(c);
    if (!c->size.experts) {
        if (gelu)
            plan_fail(c, BT_E_UNSUPPORTED,
                      "config.json: the activation 'gelu' is not known for nomic-bert");
        return;
    }
    if (!gelu || conf_bool(c, "moe_normalize_expert_weights", false) ||
        conf_int(c, "num_shared_experts", 0) || conf_bool(c, "expert_choice_router", false)) {
        plan_fail(c, BT_E_UNSUPPORTED,
                  "config.json: experts that are not plain GELU by softmax, weights as they are, "
                  "are not known for nomic-bert");
        return;
    }
    c->tensors = rules_nomic_moe;
    put_int(c, "moe_every_n_layers", every);
    put_expert_biases(c);
}

void setup_modern(Convert *c)
{
    int32_t every = conf_int(c, "global_attn_every_n_layers", 3), n = c->size.layers;
    setup_encoder(c);
    for (int32_t l = 0; l < n && every > 0 && conf_has(c, "layer_types"); l++)
        if (layer_is(c, l, "full_attention") != (l % every == 0))
            plan_fail(c, BT_E_UNSUPPORTED, "config.json: 'layer_types' has an order not known");
    put_int(c, "attention.sliding_window", conf_int(c, "local_attention", 128));
    put_int(c, "attention.sliding_window_pattern", every);
    put_real(c, "attention.layer_norm_epsilon", conf_real(c, "norm_eps", 1e-5));
    put_real(c, "rope.freq_base",
             conf_real(c, "global_rope_theta|rope_parameters.full_attention.rope_theta", 160000));
    put_real(c, "rope.freq_base_swa",
             conf_real(c, "local_rope_theta|rope_parameters.sliding_attention.rope_theta", 10000));
    c->own |= OWN_ROPE | OWN_EPS;
}
