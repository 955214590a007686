/* A model that nobody made yet, from its config.json: the list of tensors that its makers' files
 * would hold, as the header of a safetensors file without data, led through the same rules as a
 * real folder. So keys, names, orders and shapes of a new model are those of a converted one, and
 * what convert/ refuses of a config is refused here too. The numbers are the caller's to fill in.
 * Families: those of `rows` below. Refuses others, a vocabulary larger than config.json says, and
 * sizes that the loader refuses. */
#include <stdio.h>

#include "base/checked.h"
#include "convert/vocab.h"

#define MOST_BYTES (1ull << 42) /* of float32 weights */

/* What a dimension counts. */
typedef enum Dim {
    NONE, /* of a vector: no second dimension */
    EMBD,
    WORDS,
    QUERIES, /* heads x width */
    KEYS,    /* kv heads x width */
    FUSED,   /* queries, keys and values */
    HEAD,
    INNER,
    INNER_TWO, /* gate and up */
    EXPERTS,
    EXPERT_INNER
} Dim;

typedef enum When { ALWAYS, UNTIED, ATTENTION_BIAS, MLP_BIAS, EACH_EXPERT } When;

#define LLAMA  1u
#define QWEN2  2u
#define QWEN3  4u
#define GEMMA3 8u
#define PHI3   16u
#define MOE    32u /* qwen3moe */
#define ALL    (LLAMA | QWEN2 | QWEN3 | GEMMA3 | PHI3 | MOE)
#define SPLIT  (ALL & ~PHI3)          /* q, k and v stand apart */
#define DENSE  (SPLIT & ~MOE)         /* and so do gate and up, once a layer */
#define NORMED (QWEN3 | GEMMA3 | MOE) /* q and k have norms */
#define BIASED (LLAMA | QWEN3 | MOE)

static const struct {
    const char *arch;
    unsigned bit;
} families[] = {{"llama", LLAMA},   {"qwen2", QWEN2}, {"qwen3", QWEN3},
                {"gemma3", GEMMA3}, {"phi3", PHI3},   {"qwen3moe", MOE}};

/* Names as the makers have them; '#' is the layer, '*' the expert. */
static const struct ScratchRow {
    unsigned of;
    When when;
    const char *name;
    Dim rows, cols;
} rows[] = {
    {ALL, ALWAYS, "model.embed_tokens.weight", WORDS, EMBD},
    {ALL, ALWAYS, "model.norm.weight", EMBD, NONE},
    {ALL, UNTIED, "lm_head.weight", WORDS, EMBD},
    {ALL, ALWAYS, "model.layers.#.input_layernorm.weight", EMBD, NONE},
    {SPLIT, ALWAYS, "model.layers.#.self_attn.q_proj.weight", QUERIES, EMBD},
    {SPLIT, ALWAYS, "model.layers.#.self_attn.k_proj.weight", KEYS, EMBD},
    {SPLIT, ALWAYS, "model.layers.#.self_attn.v_proj.weight", KEYS, EMBD},
    {PHI3, ALWAYS, "model.layers.#.self_attn.qkv_proj.weight", FUSED, EMBD},
    {ALL, ALWAYS, "model.layers.#.self_attn.o_proj.weight", EMBD, QUERIES},
    {QWEN2, ALWAYS, "model.layers.#.self_attn.q_proj.bias", QUERIES, NONE},
    {QWEN2, ALWAYS, "model.layers.#.self_attn.k_proj.bias", KEYS, NONE},
    {QWEN2, ALWAYS, "model.layers.#.self_attn.v_proj.bias", KEYS, NONE},
    {BIASED, ATTENTION_BIAS, "model.layers.#.self_attn.q_proj.bias", QUERIES, NONE},
    {BIASED, ATTENTION_BIAS, "model.layers.#.self_attn.k_proj.bias", KEYS, NONE},
    {BIASED, ATTENTION_BIAS, "model.layers.#.self_attn.v_proj.bias", KEYS, NONE},
    {BIASED, ATTENTION_BIAS, "model.layers.#.self_attn.o_proj.bias", EMBD, NONE},
    {NORMED, ALWAYS, "model.layers.#.self_attn.q_norm.weight", HEAD, NONE},
    {NORMED, ALWAYS, "model.layers.#.self_attn.k_norm.weight", HEAD, NONE},
    {ALL, ALWAYS, "model.layers.#.post_attention_layernorm.weight", EMBD, NONE},
    {GEMMA3, ALWAYS, "model.layers.#.pre_feedforward_layernorm.weight", EMBD, NONE},
    {GEMMA3, ALWAYS, "model.layers.#.post_feedforward_layernorm.weight", EMBD, NONE},
    {DENSE, ALWAYS, "model.layers.#.mlp.gate_proj.weight", INNER, EMBD},
    {DENSE, ALWAYS, "model.layers.#.mlp.up_proj.weight", INNER, EMBD},
    {DENSE, ALWAYS, "model.layers.#.mlp.down_proj.weight", EMBD, INNER},
    {PHI3, ALWAYS, "model.layers.#.mlp.gate_up_proj.weight", INNER_TWO, EMBD},
    {PHI3, ALWAYS, "model.layers.#.mlp.down_proj.weight", EMBD, INNER},
    {LLAMA, MLP_BIAS, "model.layers.#.mlp.gate_proj.bias", INNER, NONE},
    {LLAMA, MLP_BIAS, "model.layers.#.mlp.up_proj.bias", INNER, NONE},
    {LLAMA, MLP_BIAS, "model.layers.#.mlp.down_proj.bias", EMBD, NONE},
    {MOE, ALWAYS, "model.layers.#.mlp.gate.weight", EXPERTS, EMBD},
    {MOE, EACH_EXPERT, "model.layers.#.mlp.experts.*.gate_proj.weight", EXPERT_INNER, EMBD},
    {MOE, EACH_EXPERT, "model.layers.#.mlp.experts.*.up_proj.weight", EXPERT_INNER, EMBD},
    {MOE, EACH_EXPERT, "model.layers.#.mlp.experts.*.down_proj.weight", EMBD, EXPERT_INNER},
};

typedef struct Scratch {
    Convert *c;
    unsigned family;
    int32_t words;
    Buf header;
    uint64_t bytes; /* of the data that the header speaks of */
} Scratch;

static uint64_t size_of(const Scratch *s, Dim dim)
{
    const ConvSize *z = &s->c->size;
    uint64_t head = (uint64_t)z->head_dim, heads = (uint64_t)z->heads, kv = (uint64_t)z->kv_heads;
    switch (dim) {
    case NONE: return 1;
    case EMBD: return (uint64_t)z->embd;
    case WORDS: return (uint64_t)s->words;
    case QUERIES: return heads * head;
    case KEYS: return kv * head;
    case FUSED: return (heads + 2 * kv) * head;
    case HEAD: return head;
    case INNER: return (uint64_t)z->ff;
    case INNER_TWO: return 2 * (uint64_t)z->ff;
    case EXPERTS: return (uint64_t)z->experts;
    case EXPERT_INNER: return (uint64_t)conf_int(s->c, "moe_intermediate_size", 0);
    }
    return 0;
}

static bool tied(const Scratch *s)
{
    if (conf_has(s->c, "tie_word_embeddings")) return conf_bool(s->c, "tie_word_embeddings", false);
    return s->family == GEMMA3; /* its makers' default */
}

static bool is_there(const Scratch *s, When when)
{
    switch (when) {
    case ALWAYS:
    case EACH_EXPERT: return true;
    case UNTIED: return !tied(s);
    case ATTENTION_BIAS: return conf_bool(s->c, "attention_bias", false);
    case MLP_BIAS: return conf_bool(s->c, "mlp_bias", false);
    }
    return false;
}

static void add_tensor(Scratch *s, const struct ScratchRow *row, int32_t layer, int32_t expert)
{
    uint64_t r = size_of(s, row->rows), k = size_of(s, row->cols);
    if (plan_failed(s->c)) return;
    if (!r || !k) {
        plan_fail(s->c, BT_E_FORMAT,
                  "config.json: tensor '%s' would be %llu x %llu; a size is missing", row->name,
                  (unsigned long long)r, (unsigned long long)k);
        return;
    }
    uint64_t bytes, end;
    if (!ck_mul(r, k, &bytes) || !ck_mul(bytes, sizeof(float), &bytes) ||
        !ck_add(s->bytes, bytes, &end) || end > MOST_BYTES || s->header.size > ST_MAX_HEADER) {
        plan_fail(s->c, BT_E_LIMIT,
                  "config.json: a model of these sizes is too large to be trained from nothing");
        return;
    }
    buf_text(&s->header, s->bytes ? ",\"" : "{\"");
    for (const char *p = row->name; *p; p++) {
        if (*p == '#')
            buf_printf(&s->header, "%d", (int)layer);
        else if (*p == '*')
            buf_printf(&s->header, "%d", (int)expert);
        else
            buf_char(&s->header, *p);
    }
    buf_printf(&s->header, "\":{\"dtype\":\"F32\",\"shape\":[%llu", (unsigned long long)r);
    if (row->cols != NONE) buf_printf(&s->header, ",%llu", (unsigned long long)k);
    buf_printf(&s->header, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)s->bytes,
               (unsigned long long)end);
    s->bytes = end;
}

static void add_row(Scratch *s, const struct ScratchRow *row)
{
    bool layered = strchr(row->name, '#') != NULL;
    int32_t layers = layered ? s->c->size.layers : 1;
    int32_t experts = row->when == EACH_EXPERT ? s->c->size.experts : 1;
    if (!(row->of & s->family) || !is_there(s, row->when)) return;
    for (int32_t l = 0; l < layers && !plan_failed(s->c); l++)
        for (int32_t e = 0; e < experts && !plan_failed(s->c); e++) add_tensor(s, row, l, e);
}

static void find_family(Scratch *s)
{
    Convert *c = s->c;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (strcmp(families[i].arch, c->arch) == 0) s->family = families[i].bit;
    if (!s->family || (s->family == LLAMA && c->size.experts))
        plan_fail(
            c, BT_E_UNSUPPORTED,
            "config.json: a new model of the family %s%s cannot be made; llama, qwen2, qwen3, "
            "gemma3, phi3 and qwen3moe can",
            c->arch, c->size.experts ? " with experts" : "");
}

static void find_words(Scratch *s)
{
    const Gguf *tok = s->c->scratch->tokenizer;
    int64_t key = gguf_find_key(tok, "tokenizer.ggml.tokens");
    uint64_t n = key < 0 ? 0 : gguf_array_count(tok, (size_t)key);
    if (n < 1 || n > VOCAB_MOST_TOKENS)
        plan_fail(s->c, BT_E_FORMAT, "%s: it has no vocabulary; 'bantam vocab' makes one",
                  gguf_path(tok));
    else if (s->c->size.vocab && (uint64_t)s->c->size.vocab < n)
        plan_fail(s->c, BT_E_FORMAT,
                  "config.json: vocab_size is %d, and the vocabulary of %s has %llu tokens",
                  s->c->size.vocab, gguf_path(tok), (unsigned long long)n);
    s->words = s->c->size.vocab > PLAN_MOST_WIDTH * 16 ? 0 : s->c->size.vocab;
    if (!s->words) s->words = (int32_t)n;
}

void plan_scratch(Convert *c)
{
    Scratch s = {.c = c};
    if (!plan_failed(c)) find_family(&s);
    if (!plan_failed(c)) find_words(&s);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0] && !plan_failed(c); i++)
        add_row(&s, &rows[i]);
    buf_char(&s.header, '}');
    char *file = plan_memory(c, s.header.size + 8, 1);
    if (!plan_failed(c) && s.header.failed)
        plan_fail(c, BT_E_MEMORY, "not enough memory for the list of tensors");
    if (!plan_failed(c)) {
        uint64_t n = s.header.size;
        for (int i = 0; i < 8; i++) file[i] = (char)(n >> 8 * i & 255);
        memcpy(file + 8, s.header.data, n);
        c->status = st_open_memory(file, 8 + n + s.bytes, c->folder, &c->st, c->err);
    }
    buf_close(&s.header);
}

void plan_vocab_copy(Convert *c)
{
    const Gguf *tok = c->scratch->tokenizer;
    for (size_t i = 0; i < gguf_n_keys(tok) && !plan_failed(c); i++) {
        Span key = gguf_key_name(tok, i);
        bool words = key.size > 10 && memcmp(key.data, "tokenizer.", 10) == 0;
        if (words || span_is(key, "bantam.assistant")) /* the tools that its markers call */
            gguf_put_copy(c->writer, tok, i);
    }
}
