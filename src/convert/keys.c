/* Hyperparameters: what config.json calls them and what GGUF does. The table holds what all
 * families share; what one family alone has stands with its rules. Key names are those of the GGUF
 * specification. */
#include <stdio.h>

#include "convert/plan.h"

static const KeyRule common[] = {
    {KEY_U32, "context_length",
     "max_position_embeddings|n_positions|n_ctx|max_sequence_length|max_seq_len|model_max_length|"
     "seq_length"},
    {KEY_F32, "attention.layer_norm_rms_epsilon", "rms_norm_eps|norm_eps"},
    {KEY_F32, "attention.layer_norm_epsilon",
     "layer_norm_eps|layer_norm_epsilon|norm_epsilon|layernorm_epsilon"},
    {KEY_U32, "vocab_size", "vocab_size"},
    {KEY_U32, "expert_used_count",
     "num_experts_per_tok|num_experts_per_token|top_k_experts|moe_topk|moe_k|moe_top_k"},
    {KEY_U32, "expert_feed_forward_length", "moe_intermediate_size"},
    {KEY_END, NULL, NULL},
};

static void put_rules(Convert *c, const KeyRule *rules)
{
    for (const KeyRule *r = rules; r && r->kind != KEY_END && !plan_failed(c); r++) {
        if (!conf_has(c, r->from)) continue;
        bool eps = strstr(r->to, "epsilon") != NULL;
        if (eps && (c->own & OWN_EPS)) continue;
        if ((c->own & OWN_CONTEXT) && strcmp(r->to, "context_length") == 0) continue;
        switch (r->kind) {
        case KEY_U32: put_int(c, r->to, conf_int(c, r->from, 0)); break;
        case KEY_F32: put_real(c, r->to, conf_real(c, r->from, 0)); break;
        case KEY_BOOL: put_bool(c, r->to, conf_bool(c, r->from, false)); break;
        case KEY_TEXT: put_text(c, r->to, conf_text(c, r->from)); break;
        default: break;
        }
    }
}

/* One number, or where it differs from layer to layer one each. */
static int32_t number_or_list(Convert *c, const char *from, int32_t fallback, const char *key)
{
    JdocRef v = conf_find(c, from);
    if (jdoc_type(c->config, v) != JDOC_ARRAY) return conf_int(c, from, fallback);
    uint32_t n = jdoc_count(c->config, v);
    int32_t *values = plan_memory(c, n ? n : 1, sizeof *values), most = 0;
    bool same = true;
    v = jdoc_first(c->config, v);
    for (uint32_t i = 0; i < n && values; i++, v = jdoc_next(c->config, v)) {
        int64_t value;
        if (!jdoc_integer(c->config, v, &value) || value < 0 || value > PLAN_MOST_WIDTH) {
            plan_fail(c, BT_E_FORMAT, "config.json: '%s' holds no list of sizes", from);
            return 0;
        }
        values[i] = (int32_t)value;
        if (values[i] > most) most = values[i];
        same = same && values[i] == values[0];
    }
    if (!values || n != (uint32_t)c->size.layers) {
        plan_fail(c, BT_E_FORMAT, "config.json: '%s' has %u sizes for %d layers", from, n,
                  c->size.layers);
        return 0;
    }
    if (same) return values[0];
    put_ints(c, key, values, n);
    return -most;
}

static void check_width(Convert *c, const char *what, int64_t value)
{
    if (!plan_failed(c) && (value < 0 || value > PLAN_MOST_WIDTH))
        plan_fail(c, BT_E_FORMAT, "config.json: %s is %lld; at most %d is read", what,
                  (long long)value, PLAN_MOST_WIDTH);
}

static void read_sizes(Convert *c)
{
    ConvSize *s = &c->size;
    s->layers = conf_int(c, "num_hidden_layers|n_layer|num_layers|n_layers", CONF_REQUIRED);
    s->embd = conf_int(c, "hidden_size|n_embd|d_model|model_dim", CONF_REQUIRED);
    s->vocab = conf_int(c, "vocab_size", 0);
    s->experts = conf_int(c, "num_local_experts|num_experts|n_routed_experts|moe_num_experts", 0);
    if (!plan_failed(c) && (s->layers < 1 || s->layers > PLAN_MOST_LAYERS))
        plan_fail(c, BT_E_FORMAT, "config.json: %d layers; 1 to %d are read", s->layers,
                  PLAN_MOST_LAYERS);
    if (!plan_failed(c) && s->experts > PLAN_MOST_EXPERTS)
        plan_fail(c, BT_E_FORMAT, "config.json: %d experts; at most %d are read", s->experts,
                  PLAN_MOST_EXPERTS);
    check_width(c, "hidden_size", s->embd);
    put_int(c, "block_count", s->layers);
    put_int(c, "embedding_length", s->embd);
    if (s->experts) put_int(c, "expert_count", s->experts);
}

/* A size, or a list of them that was written: then the largest. */
static int32_t size_of(Convert *c, const char *from, int32_t fallback, const char *key,
                       unsigned own)
{
    int32_t value = number_or_list(c, from, fallback, key);
    if (value < 0) c->own |= own;
    return value < 0 ? -value : value;
}

static void read_heads(Convert *c)
{
    ConvSize *s = &c->size;
    s->ff = size_of(c, "intermediate_size|ffn_dim|n_inner|ffn_hidden_size", 0,
                    "feed_forward_length", OWN_FF);
    s->heads =
        size_of(c, "num_attention_heads|n_head|num_heads", 0, "attention.head_count", OWN_HEADS);
    s->kv_heads = size_of(c, "num_key_value_heads|n_head_kv|num_kv_heads", s->heads,
                          "attention.head_count_kv", OWN_KV);
    check_width(c, "the number of heads", s->heads);
    s->head_dim = conf_int(c, "head_dim", s->heads ? s->embd / s->heads : 0);
    check_width(c, "head_dim", s->head_dim);
}

/* After the family's own setup, which may know better. */
static void put_heads(Convert *c)
{
    const ConvSize *s = &c->size;
    bool mla = conf_has(c, "kv_lora_rank"); /* one head that all share, compressed */
    int32_t rank = mla ? conf_int(c, "kv_lora_rank", 0) : 0;
    if (s->ff && !(c->own & OWN_FF)) put_int(c, "feed_forward_length", s->ff);
    if (s->heads && !(c->own & OWN_HEADS)) put_int(c, "attention.head_count", s->heads);
    if (s->heads && !(c->own & OWN_KV))
        put_int(c, "attention.head_count_kv", mla ? 1 : s->kv_heads);
    if (mla) {
        put_int(c, "attention.key_length", rank + (int64_t)conf_int(c, "qk_rope_head_dim", 0));
        put_int(c, "attention.value_length", rank);
    } else if (conf_has(c, "head_dim") && s->heads && !(c->own & OWN_WIDTH)) {
        put_int(c, "attention.key_length", s->head_dim);
        put_int(c, "attention.value_length", s->head_dim);
    }
}

/* Settings that a forward takes for granted: another value is another model. */
static void check_fixed(Convert *c)
{
    static const struct {
        const char *arch, *from;
        bool value;
    } fixed[] = {
        {"qwen3moe", "norm_topk_prob", true},
        {"qwen3vlmoe", "norm_topk_prob", true},
        {"qwen3next", "norm_topk_prob", true},
        {"qwen35moe", "norm_topk_prob", true},
        {"lfm2moe", "norm_topk_prob", true},
        {"qwen2moe", "norm_topk_prob", false},
        {"olmoe", "norm_topk_prob", false},
        {"gpt2", "scale_attn_by_inverse_layer_idx", false},
        {"deepseek2", "attention_bias", false},
        {"deepseek2", "rope_interleave", true},
        {"mistral4", "rope_interleave", true},
        {"bert", "is_decoder", false},
        {"nomic-bert", "prenorm", false},
        {"nomic-bert", "use_rms_norm", false},
        {"nomic-bert", "causal", false},
        {"nomic-bert", "rotary_emb_interleaved", false},
        {"falcon", "bias", false},
    };
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        if (strcmp(c->family->arch, fixed[i].arch) == 0 && conf_has(c, fixed[i].from) &&
            conf_bool(c, fixed[i].from, fixed[i].value) != fixed[i].value)
            plan_fail(c, BT_E_UNSUPPORTED, "config.json: '%s' is %s, which is not known for %s",
                      fixed[i].from, fixed[i].value ? "false" : "true", fixed[i].arch);
    if (strcmp(c->family->arch, "falcon-h1") == 0 && conf_bool(c, "mamba_rms_norm", false) &&
        conf_bool(c, "mamba_norm_before_gate", true))
        plan_fail(c, BT_E_UNSUPPORTED, "config.json: 'mamba_norm_before_gate' is not known");
}

/* Other programs drop these windows too: within them answers are the same. */
static void note_window(Convert *c)
{
    int32_t window = conf_int(c, "sliding_window", 0);
    if (c->windowed || !window || !conf_bool(c, "use_sliding_window", true)) return;
    if (window < conf_int(c, "max_position_embeddings", 0))
        plan_note(c, "its window of %d tokens is not kept: exact up to so many", window);
}

static void check_activation(Convert *c)
{
    char wanted[80];
    Span name =
        conf_text(c, "hidden_activation|hidden_act|activation_function|ff_activation|activation");
    if (plan_failed(c) || !name.size) return;
    snprintf(wanted, sizeof wanted, " %.*s ", (int)(name.size < 60 ? name.size : 60), name.data);
    if (!strstr(c->family->activations, wanted))
        plan_fail(c, BT_E_UNSUPPORTED,
                  "config.json: the activation '%.*s' is not known for %s (known:%s)",
                  (int)(name.size < 60 ? name.size : 60), name.data, c->family->arch,
                  c->family->activations);
}

/* "Qwen3-0.6B" of /models/Qwen3-0.6B/ . */
static Span base_name(const char *folder)
{
    size_t n = strlen(folder);
    while (n > 1 && folder[n - 1] == '/') n--;
    size_t at = n;
    while (at > 0 && folder[at - 1] != '/') at--;
    return (Span){folder + at, n - at};
}

static void put_general(Convert *c)
{
    Span path = jdoc_text(c->config, jdoc_get(c->config, 0, "_name_or_path"));
    Span name = c->scratch ? span_of(c->scratch->name) : base_name(c->folder);
    if (!c->scratch && path.size > 1 && path.size < 200 && path.data[0] != '/' &&
        path.data[0] != '.') {
        name = path;
        for (size_t i = path.size; i > 0; i--)
            if (path.data[i - 1] == '/') {
                name = (Span){path.data + i, path.size - i};
                break;
            }
    }
    gguf_put_string(c->writer, "general.architecture", c->arch);
    gguf_put_string(c->writer, "general.type", "model");
    gguf_put_span(c->writer, "general.name", name);
}

/* EmbeddingGemma calls itself Gemma 3. */
static bool is_two_way_gemma(Convert *c)
{
    return strcmp(c->family->arch, "gemma3") == 0 &&
           conf_bool(c, "use_bidirectional_attention", false);
}

void plan_keys(Convert *c)
{
    if (plan_failed(c)) return;
    c->tensors = c->family->tensors;
    c->arch = c->family->arch;
    if (is_two_way_gemma(c)) c->arch = "gemma-embedding";
    if (strcmp(c->arch, "nomic-bert") == 0 && conf_int(c, "num_experts", 0) > 0)
        c->arch = "nomic-bert-moe";
    put_general(c);
    read_sizes(c);
    read_heads(c);
    check_activation(c);
    if (!plan_failed(c) && c->family->setup) c->family->setup(c);
    put_heads(c);
    put_rules(c, common);
    put_rules(c, c->family->keys);
    if (!plan_failed(c)) check_fixed(c);
    if (!plan_failed(c)) note_window(c);
    if (!plan_failed(c)) plan_rope(c);
}
