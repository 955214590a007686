/* What tables cannot say of a family: defaults that its makers leave out of config.json, sizes that
 * follow from others, lists a layer. */
#include "convert/rules.h"

#include <math.h>

const KeyRule keys_moe[] = {
    {KEY_U32, "leading_dense_block_count", "first_k_dense_replace|num_dense_layers"},
    {KEY_U32, "expert_shared_count", "n_shared_experts|num_shared_experts"},
    {KEY_F32, "expert_weights_scale", "routed_scaling_factor"},
    {KEY_BOOL, "expert_weights_norm", "norm_topk_prob"},
    {KEY_U32, "expert_group_count", "n_group"},
    {KEY_U32, "expert_group_used_count", "topk_group"},
    {KEY_U32, "expert_shared_feed_forward_length",
     "shared_expert_intermediate_size|moe_shared_expert_intermediate_size"},
    {KEY_U32, "attention.q_lora_rank", "q_lora_rank"},
    {KEY_U32, "attention.kv_lora_rank", "kv_lora_rank"},
    {KEY_END, NULL, NULL},
};

const KeyRule keys_granite[] = {
    {KEY_F32, "embedding_scale", "embedding_multiplier"},
    {KEY_F32, "attention.scale", "attention_multiplier"},
    {KEY_F32, "residual_scale", "residual_multiplier"},
    {KEY_F32, "logit_scale", "logits_scaling"},
    {KEY_U32, "expert_shared_feed_forward_length", "shared_intermediate_size"},
    {KEY_END, NULL, NULL},
};

const KeyRule keys_parallel[] = {
    {KEY_BOOL, "use_parallel_residual", "use_parallel_residual"},
    {KEY_END, NULL, NULL},
};

const KeyRule keys_scaled_logits[] = {
    {KEY_F32, "logit_scale", "logit_scale"},
    {KEY_END, NULL, NULL},
};

const KeyRule keys_gemma[] = {
    {KEY_F32, "attn_logit_softcapping", "attn_logit_softcapping"},
    {KEY_F32, "final_logit_softcapping", "final_logit_softcapping"},
    {KEY_F32, "rope.freq_base_swa",
     "rope_local_base_freq|rope_parameters.sliding_attention.rope_theta"},
    {KEY_END, NULL, NULL},
};

/* ---- one function a family ---- */

/* What its makers' code computes and the convention of such files does not. */
static void put_exact_gelu(Convert *c, const char *from)
{
    Span name = conf_text(c, from);
    if (name.size && !span_is(name, "gelu")) return;
    put_text(c, "hidden_activation", SPAN("gelu"));
    plan_note(c, "its GELU is kept exact; other programs compute the tanh form (1e-4 apart)");
}

void setup_gptneox(Convert *c)
{
    put_exact_gelu(c, "hidden_act");
}

void setup_phimoe(Convert *c)
{
    put_real(c, "attention.layer_norm_epsilon", conf_real(c, "rms_norm_eps", 1e-5));
    put_text(c, "expert_routing", SPAN("sparsemixer"));
    put_real(c, "router_jitter_noise", conf_real(c, "router_jitter_noise", 0.01));
    if (conf_int(c, "num_experts_per_tok", 2) != 2)
        plan_fail(c, BT_E_UNSUPPORTED,
                  "config.json: other than 2 experts of a token are not known");
    plan_note(c, "its LayerNorm and routing are kept as its makers have them; other programs read "
                 "the file with RMSNorm and softmax, and answer otherwise");
    setup_window_all(c);
}

/* Its layers without RoPE are every fourth. */
void setup_smollm3(Convert *c)
{
    JdocRef list = conf_find(c, "no_rope_layers");
    for (uint32_t l = 0; l < jdoc_count(c->config, list); l++) {
        int64_t turns = 1;
        jdoc_integer(c->config, jdoc_at(c->config, list, l), &turns);
        if ((turns != 0) != ((l + 1) % 4 != 0)) {
            plan_fail(c, BT_E_UNSUPPORTED,
                      "config.json: 'no_rope_layers' is not every fourth layer: not known");
            return;
        }
    }
}

static void put_scale(Convert *c, const char *from)
{
    double scalar = conf_real(c, from, 0);
    if (scalar > 0 && scalar != c->size.head_dim) put_real(c, "attention.scale", 1 / sqrt(scalar));
}

void setup_gemma(Convert *c)
{
    if (!conf_has(c, "head_dim")) { /* what its makers' code takes then */
        c->size.head_dim = 256;
        c->own |= OWN_WIDTH;
        put_int(c, "attention.key_length", 256);
        put_int(c, "attention.value_length", 256);
    }
    put_scale(c, "query_pre_attn_scalar");
    setup_window(c);
    if (conf_bool(c, "use_bidirectional_attention", false)) {
        put_bool(c, "attention.causal", false);
    }
}

/* M-RoPE: how many pairs turn by time, height and width. */
void setup_sections(Convert *c)
{
    int32_t sections[4] = {0};
    JdocRef list = conf_find(c, "rope_parameters.mrope_section|rope_scaling.mrope_section");
    uint32_t n = jdoc_count(c->config, list);
    if (n < 1 || n > 4) return;
    for (uint32_t i = 0; i < n; i++) {
        int64_t value = 0;
        if (jdoc_integer(c->config, jdoc_at(c->config, list, i), &value) && value >= 0 &&
            value < PLAN_MOST_WIDTH)
            sections[i] = (int32_t)value;
    }
    put_ints(c, "rope.dimension_sections", sections, 4);
}

void setup_qwen_vl(Convert *c)
{
    setup_sections(c);
    setup_qwen(c);
}

/* Attention temperature and YaRN's mscale: Mistral 3 and 4. */
void setup_mistral(Convert *c)
{
    double beta = conf_real(c, "rope_parameters.llama_4_scaling_beta", 0);
    if (beta != 0) put_real(c, "attention.temperature_scale", beta);
    if (conf_int(c, "n_group", 1) > 1) /* its makers rank groups otherwise than DeepSeek 2's do */
        plan_fail(c, BT_E_UNSUPPORTED, "config.json: experts in groups are not known for %s",
                  c->family->arch);
    if (conf_has(c, "kv_lora_rank")) {
        setup_deepseek2(c);
    } else {
        double all = conf_real(c, "rope_parameters.mscale_all_dim", 0);
        if (all != 0) put_real(c, "rope.scaling.yarn_log_multiplier", all);
    }
}

void setup_llama4(Convert *c)
{
    int32_t step = conf_int(c, "interleave_moe_layer_step", 1);
    put_int(c, "interleave_moe_layer_step", step);
    put_int(c, "expert_feed_forward_length", c->size.ff);
    c->size.ff = conf_int(c, "intermediate_size_mlp", c->size.ff);
    if (conf_int(c, "attention_chunk_size", 8192) != 8192)
        put_int(c, "attention.sliding_window", conf_int(c, "attention_chunk_size", 8192));
    if (conf_has(c, "attn_scale") && conf_real(c, "attn_scale", 0.1) != 0.1)
        put_real(c, "attention.temperature_scale", conf_real(c, "attn_scale", 0.1));
}

/* Scores of experts: 1 softmax, 2 sigmoid. */
static void put_scores(Convert *c, const char *fallback)
{
    Span name = conf_text(c, "scoring_func|score_function|scoring_function");
    if (!name.size) name = span_of(fallback);
    if (span_is(name, "softmax"))
        put_int(c, "expert_gating_func", 1);
    else if (span_is(name, "sigmoid"))
        put_int(c, "expert_gating_func", 2);
    else
        plan_fail(c, BT_E_UNSUPPORTED, "config.json: scores of experts by '%.*s' are not known",
                  (int)(name.size < 40 ? name.size : 40), name.data);
}

void setup_deepseek(Convert *c)
{
    if (conf_int(c, "moe_layer_freq", 1) != 1)
        plan_fail(c, BT_E_UNSUPPORTED, "config.json: 'moe_layer_freq' other than 1 is not known");
    put_scores(c, "softmax");
}

void setup_sigmoid(Convert *c)
{
    put_scores(c, "sigmoid");
}

/* Experts chosen in groups, or not, whatever n_group says. */
static void check_choice(Convert *c)
{
    Span how = conf_text(c, "topk_method");
    bool groups = span_is(how, "group_limited_greedy") || span_is(how, "noaux_tc");
    if (!how.size || groups || plan_failed(c)) return;
    if (span_is(how, "greedy") && conf_int(c, "n_group", 1) <= 1) return;
    plan_fail(c, BT_E_UNSUPPORTED,
              "config.json: the topk_method '%.*s' with %d groups is not known",
              (int)(how.size < 60 ? how.size : 60), how.data, conf_int(c, "n_group", 1));
}

void setup_deepseek2(Convert *c)
{
    check_choice(c);
    if (conf_int(c, "moe_layer_freq", 1) != 1)
        plan_fail(c, BT_E_UNSUPPORTED, "config.json: 'moe_layer_freq' other than 1 is not known");
    int32_t rope = conf_int(c, "qk_rope_head_dim", CONF_REQUIRED);
    int32_t nope = conf_int(c, "qk_nope_head_dim", CONF_REQUIRED);
    bool third = span_is(conf_text(c, "model_type"), "deepseek_v3");
    c->size.rotary = rope;
    put_int(c, "attention.key_length_mla", nope + rope);
    put_int(c, "attention.value_length_mla", conf_int(c, "v_head_dim", CONF_REQUIRED));
    put_scores(c, third ? "sigmoid" : "softmax");
    double all = conf_real(c, "rope_parameters.mscale_all_dim|rope_scaling.mscale_all_dim", 0);
    if (all != 0) put_real(c, "rope.scaling.yarn_log_multiplier", 0.1 * all);
}

void setup_gpt_oss(Convert *c)
{
    put_int(c, "expert_feed_forward_length", c->size.ff);
    setup_window(c);
}

void setup_olmo(Convert *c)
{
    put_real(c, "attention.layer_norm_epsilon", 1e-5); /* its makers' code has no other */
    if (conf_has(c, "clip_qkv")) put_real(c, "attention.clamp_kqv", conf_real(c, "clip_qkv", 0));
}

void setup_ernie_moe(Convert *c)
{
    int32_t shared = conf_int(c, "moe_num_shared_experts", 0);
    int32_t wide = conf_int(c, "moe_intermediate_size", CONF_REQUIRED);
    put_int(c, "leading_dense_block_count", conf_int(c, "moe_layer_start_index", 0));
    put_int(c, "interleave_moe_layer_step", conf_int(c, "moe_layer_interval", 1));
    if (shared) {
        put_int(c, "expert_shared_count", shared);
        put_int(c, "expert_shared_feed_forward_length", (int64_t)shared * wide);
    }
}

void setup_falcon(Convert *c)
{
    ConvSize *s = &c->size;
    bool newer = conf_bool(c, "new_decoder_architecture", false);
    if (!newer) s->kv_heads = conf_bool(c, "multi_query", true) ? 1 : s->heads;
    if (conf_bool(c, "alibi", false))
        plan_fail(c, BT_E_UNSUPPORTED, "config.json: Falcon with alibi is not known");
    if (!s->ff) s->ff = (int32_t)(4 * (int64_t)s->embd);
    put_exact_gelu(c, "activation");
    if (!conf_has(c, "max_position_embeddings")) put_int(c, "context_length", 2048);
}

void setup_gpt2(Convert *c)
{
    if (!c->size.ff) c->size.ff = (int32_t)(4 * (int64_t)c->size.embd);
    c->size.rotary = 1; /* none */
}

/* ---- state spaces ---- */

static void no_attention(Convert *c)
{
    c->own |= OWN_HEADS | OWN_KV | OWN_FF | OWN_CONTEXT | OWN_WIDTH;
    put_int(c, "attention.head_count", 0);
    put_int(c, "feed_forward_length", 0);
    put_int(c, "context_length", 1 << 20); /* arbitrary: they have no limit */
    if (!conf_has(c, "rms_norm_eps"))
        put_real(c, "attention.layer_norm_rms_epsilon", conf_real(c, "layer_norm_epsilon", 1e-5));
}

void setup_mamba(Convert *c)
{
    int32_t d = c->size.embd;
    int32_t inner = conf_int(c, "intermediate_size|d_inner", 2 * d);
    no_attention(c);
    put_int(c, "ssm.conv_kernel", conf_int(c, "conv_kernel|d_conv", 4));
    put_int(c, "ssm.inner_size", inner);
    put_int(c, "ssm.state_size", conf_int(c, "state_size|d_state", 16));
    put_int(c, "ssm.time_step_rank", conf_int(c, "time_step_rank|dt_rank", (d + 15) / 16));
    bool falcon = span_is(conf_text(c, "model_type"), "falcon_mamba");
    put_bool(c, "ssm.dt_b_c_rms", falcon);
    if (falcon) put_real(c, "ssm.dt_b_c_rms_epsilon", conf_real(c, "mixer_rms_eps", 1e-6));
}

static void put_mamba2(Convert *c, int32_t heads, int32_t inner, const char *groups,
                       const char *state, const char *kernel)
{
    c->size.ssm_groups = conf_int(c, groups, 1);
    put_int(c, "ssm.conv_kernel", conf_int(c, kernel, 4));
    put_int(c, "ssm.inner_size", inner);
    put_int(c, "ssm.state_size", conf_int(c, state, 128));
    put_int(c, "ssm.time_step_rank", heads);
    put_int(c, "ssm.group_count", c->size.ssm_groups);
}

void setup_mamba2(Convert *c)
{
    int32_t heads = conf_int(c, "num_heads", CONF_REQUIRED), e = conf_int(c, "head_dim", 64);
    if (plan_failed(c) || heads > PLAN_MOST_WIDTH || e > PLAN_MOST_WIDTH) return;
    no_attention(c);
    c->size.rotary = 1;
    put_mamba2(c, heads, (int32_t)((int64_t)heads * e & INT32_MAX), "n_groups", "state_size",
               "conv_kernel");
}

void setup_falcon_h1(Convert *c)
{
    int32_t heads = conf_int(c, "mamba_n_heads", CONF_REQUIRED);
    int32_t inner = conf_int(c, "mamba_d_ssm", 0);
    if (!inner)
        inner = (int32_t)(conf_int(c, "mamba_expand", 2) * (int64_t)c->size.embd & INT32_MAX);
    put_mamba2(c, heads, inner, "mamba_n_groups", "mamba_d_state", "mamba_d_conv");
    c->size.ssm_inner = inner;
    c->size.ssm_state = conf_int(c, "mamba_d_state", 256);
    c->size.ssm_heads = heads;
}

/* Gated delta net: key heads are groups, value heads time steps, in the words of state spaces. */
void setup_delta(Convert *c)
{
    ConvSize *s = &c->size;
    int32_t n = s->layers, keys = conf_int(c, "linear_num_key_heads", CONF_REQUIRED);
    int32_t values = conf_int(c, "linear_num_value_heads", CONF_REQUIRED);
    int32_t wide = conf_int(c, "linear_value_head_dim", CONF_REQUIRED);
    int32_t every = conf_int(c, "full_attention_interval", 4);
    if (plan_failed(c)) return;
    if (keys < 1 || values < 1 || values % keys || wide > PLAN_MOST_WIDTH || every < 1) {
        plan_fail(c, BT_E_FORMAT, "config.json: %d value heads cannot share %d key heads", values,
                  keys);
        return;
    }
    for (int32_t l = 0; l < n && conf_has(c, "layer_types"); l++)
        if (layer_is(c, l, "full_attention") != ((l + 1) % every == 0))
            plan_fail(c, BT_E_UNSUPPORTED,
                      "config.json: 'layer_types' is not one full layer in %d: not known", every);
    s->ssm_groups = keys;
    s->ssm_heads = values;
    s->ssm_inner = (int32_t)((int64_t)values * wide & INT32_MAX);
    s->ssm_state = conf_int(c, "linear_key_head_dim", CONF_REQUIRED);
    put_int(c, "ssm.conv_kernel", conf_int(c, "linear_conv_kernel_dim", 4));
    put_int(c, "ssm.inner_size", s->ssm_inner);
    put_int(c, "ssm.state_size", s->ssm_state);
    put_int(c, "ssm.time_step_rank", values);
    put_int(c, "ssm.group_count", keys);
    put_int(c, "full_attention_interval", every);
    setup_sections(c);
}

/* KV heads of each layer, none where it has a state. */
static void put_attending(Convert *c, const bool *attends)
{
    int32_t n = c->size.layers;
    int32_t *kv = plan_memory(c, (size_t)n, sizeof *kv);
    for (int32_t l = 0; kv && l < n; l++) kv[l] = attends[l] ? c->size.kv_heads : 0;
    if (kv) put_ints(c, "attention.head_count_kv", kv, (uint64_t)n);
    c->own |= OWN_KV;
}

void setup_granite_hybrid(Convert *c)
{
    int32_t n = c->size.layers, heads = conf_int(c, "mamba_n_heads", 128);
    if (!c->size.experts) {
        c->tensors = rules_granite_hybrid_dense;
        c->size.ff = conf_int(c, "shared_intermediate_size", CONF_REQUIRED);
    }
    bool *attends = plan_memory(c, (size_t)n, sizeof *attends);
    for (int32_t l = 0; attends && l < n; l++)
        attends[l] = layer_is(c, l, "attention") || layer_is(c, l, "full_attention");
    if (!attends) return;
    put_attending(c, attends);
    put_mamba2(c, heads,
               (int32_t)(conf_int(c, "mamba_expand", 2) * (int64_t)c->size.embd & INT32_MAX),
               "mamba_n_groups", "mamba_d_state", "mamba_d_conv");
    if (!span_is(conf_text(c, "position_embedding_type"), "rope")) {
        put_bool(c, "rope.scaling.finetuned", false); /* the other engines' word for no RoPE */
        c->size.rotary = 0;
    } else {
        put_bool(c, "rope.scaling.finetuned", true);
    }
}

void setup_jamba(Convert *c)
{
    int32_t n = c->size.layers, period = conf_int(c, "attn_layer_period", 8);
    int32_t offset = conf_int(c, "attn_layer_offset", 4);
    bool *attends = plan_memory(c, (size_t)n, sizeof *attends);
    for (int32_t l = 0; attends && period > 0 && l < n; l++)
        attends[l] = (l - offset) % period == 0 && l >= offset;
    if (!attends) return;
    put_attending(c, attends);
    put_int(c, "ssm.conv_kernel", conf_int(c, "mamba_d_conv", 4));
    put_int(c, "ssm.inner_size", conf_int(c, "mamba_expand", 2) * (int64_t)c->size.embd);
    put_int(c, "ssm.state_size", conf_int(c, "mamba_d_state", 16));
    put_int(c, "ssm.time_step_rank", conf_int(c, "mamba_dt_rank", (c->size.embd + 15) / 16));
    c->size.rotary = 1; /* no RoPE */
}

/* The width of the feed-forward is rounded; layers without attention have a short convolution. */
void setup_lfm2(Convert *c)
{
    int32_t n = c->size.layers;
    bool *attends = plan_memory(c, (size_t)n, sizeof *attends);
    for (int32_t l = 0; attends && l < n; l++) attends[l] = layer_is(c, l, "full_attention");
    if (!attends) return;
    put_attending(c, attends);
    put_int(c, "shortconv.l_cache", conf_int(c, "conv_L_cache", 3));
    if (c->size.experts) put_int(c, "expert_gating_func", 2);
    if (!c->size.experts && conf_bool(c, "block_auto_adjust_ff_dim", true)) {
        int64_t block = conf_int(c, "block_multiple_of", 256);
        double ff = floor(2.0 * conf_int(c, "block_ff_dim|intermediate_size", 0) / 3);
        ff = floor(ff * conf_real(c, "block_ffn_dim_multiplier", 1));
        if (block > 0 && ff < PLAN_MOST_WIDTH)
            c->size.ff = (int32_t)(((int64_t)ff + block - 1) / block * block);
    }
}
