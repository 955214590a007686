/* Keys and tensors of small random models, named as GGUF files name them (see make_model.h). */
#include "make_model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "io/gguf_write.h"
#include "make_blocks.h"
#include "make_vocab.h"

enum { MAX_MADE = 2048 };

typedef struct Maker {
    MakeModel o;
    GgufWriter *w;
    uint64_t state; /* of the random numbers */
    void *data[MAX_MADE];
    int n_data;
    bt_status status;
    bt_error *err;
} Maker;

static int default_to(int value, int otherwise)
{
    return value ? value : otherwise;
}

static bool is_moe(const MakeModel *o)
{
    size_t n = strlen(o->arch);
    return n > 3 && strcmp(o->arch + n - 3, "moe") == 0;
}

static bool has_qk_norm(const MakeModel *o)
{
    return strncmp(o->arch, "qwen3", 5) == 0;
}

/* The architecture as the file names it. */
static const char *file_arch(const MakeModel *o)
{
    return strcmp(o->arch, "llama-moe") == 0 ? "llama" : o->arch;
}

static void tensor(Maker *m, const char *name, DType type, uint32_t n_dims, const uint64_t *ne,
                   float mean, float spread)
{
    uint64_t n = 1;
    if (m->status) return;
    for (uint32_t i = 0; i < n_dims; i++) n *= ne[i];
    if (ne[0] % (uint64_t)dtype_info(type)->block || m->n_data == MAX_MADE) {
        m->status = bt_fail(m->err, BT_E_ARGUMENT, "%s: rows of %llu are no blocks of %s", name,
                            (unsigned long long)ne[0], dtype_name(type));
        return;
    }
    void *data = mem_alloc(dtype_row_bytes(type, n));
    if (!data || !make_blocks(type, n, mean, spread, &m->state, data)) {
        m->status = bt_fail(m->err, BT_E_ARGUMENT, "%s: cannot make %s", name, dtype_name(type));
        mem_free(data);
        return;
    }
    m->data[m->n_data++] = data;
    gguf_put_tensor(m->w, name, type, n_dims, ne, data);
}

/* A matrix that takes n_in numbers to n_out (times n_experts when that is not 0). */
static void matrix(Maker *m, int layer, const char *name, bool high, int n_in, int n_out,
                   int n_experts)
{
    char full[64];
    uint64_t ne[3] = {(uint64_t)n_in, (uint64_t)n_out, (uint64_t)n_experts};
    if (layer >= 0)
        snprintf(full, sizeof full, "blk.%d.%s.weight", layer, name);
    else
        snprintf(full, sizeof full, "%s.weight", name);
    DType type = high && m->o.high ? m->o.high : m->o.type;
    tensor(m, full, type, n_experts ? 3 : 2, ne, 0, 1 / sqrtf((float)n_in));
}

static void vector(Maker *m, int layer, const char *name, int n, float mean, float spread)
{
    char full[64];
    uint64_t ne[1] = {(uint64_t)n};
    if (layer >= 0)
        snprintf(full, sizeof full, "blk.%d.%s", layer, name);
    else
        snprintf(full, sizeof full, "%s", name);
    tensor(m, full, DT_F32, 1, ne, mean, spread);
}

static void make_attention(Maker *m, int l)
{
    const MakeModel *o = &m->o;
    int q = o->heads * o->head_dim, kv = o->kv_heads * o->head_dim;
    vector(m, l, "attn_norm.weight", o->embd, 1, 0.05f);
    matrix(m, l, "attn_q", false, o->embd, q, 0);
    matrix(m, l, "attn_k", false, o->embd, kv, 0);
    matrix(m, l, "attn_v", true, o->embd, kv, 0);
    if (o->bias || strcmp(o->arch, "qwen2") == 0) {
        vector(m, l, "attn_q.bias", q, 0, 0.3f);
        vector(m, l, "attn_k.bias", kv, 0, 0.3f);
        vector(m, l, "attn_v.bias", kv, 0, 0.3f);
    }
    if (has_qk_norm(o)) {
        vector(m, l, "attn_q_norm.weight", o->head_dim, 1, 0.05f);
        vector(m, l, "attn_k_norm.weight", o->head_dim, 1, 0.05f);
    }
    matrix(m, l, "attn_output", false, q, o->embd, 0);
    if (o->bias) vector(m, l, "attn_output.bias", o->embd, 0, 0.3f);
}

/* An encoder's layer: norms of the sums, biases everywhere, no gate. */
static void make_bert_layer(Maker *m, int l)
{
    const MakeModel *o = &m->o;
    static const char *const parts[] = {"attn_q", "attn_k", "attn_v", "attn_output"};
    char name[64];
    int q = o->heads * o->head_dim;
    for (int i = 0; i < 4; i++) {
        matrix(m, l, parts[i], i == 2, i < 3 ? o->embd : q, i < 3 ? q : o->embd, 0);
        snprintf(name, sizeof name, "%s.bias", parts[i]);
        vector(m, l, name, i < 3 ? q : o->embd, 0, 0.3f);
    }
    vector(m, l, "attn_output_norm.weight", o->embd, 1, 0.05f);
    vector(m, l, "attn_output_norm.bias", o->embd, 0, 0.05f);
    matrix(m, l, "ffn_up", false, o->embd, o->ff, 0);
    vector(m, l, "ffn_up.bias", o->ff, 0, 0.3f);
    matrix(m, l, "ffn_down", true, o->ff, o->embd, 0);
    vector(m, l, "ffn_down.bias", o->embd, 0, 0.3f);
    vector(m, l, "layer_output_norm.weight", o->embd, 1, 0.05f);
    vector(m, l, "layer_output_norm.bias", o->embd, 0, 0.05f);
}

static void make_layer(Maker *m, int l)
{
    const MakeModel *o = &m->o;
    char name[64];
    make_attention(m, l);
    vector(m, l, "ffn_norm.weight", o->embd, 1, 0.05f);
    if (is_moe(o)) {
        uint64_t router[2] = {(uint64_t)o->embd, (uint64_t)o->experts};
        snprintf(name, sizeof name, "blk.%d.ffn_gate_inp.weight", l);
        tensor(m, name, DT_F32, 2, router, 0, 1 / sqrtf((float)o->embd));
        matrix(m, l, "ffn_gate_exps", false, o->embd, o->ff, o->experts);
        matrix(m, l, "ffn_up_exps", false, o->embd, o->ff, o->experts);
        matrix(m, l, "ffn_down_exps", true, o->ff, o->embd, o->experts);
    } else {
        matrix(m, l, "ffn_gate", false, o->embd, o->ff, 0);
        matrix(m, l, "ffn_up", false, o->embd, o->ff, 0);
        matrix(m, l, "ffn_down", true, o->ff, o->embd, 0);
    }
}

static void put_u32(Maker *m, const char *key, int value)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", file_arch(&m->o), key);
    gguf_put_u32(m->w, full, (uint32_t)value);
}

static void put_f32(Maker *m, const char *key, float value)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", file_arch(&m->o), key);
    gguf_put_f32(m->w, full, value);
}

static bool is_bert(const MakeModel *o)
{
    return strcmp(o->arch, "bert") == 0;
}

static void make_keys(Maker *m)
{
    const MakeModel *o = &m->o;
    gguf_put_string(m->w, "general.architecture", file_arch(o));
    gguf_put_string(m->w, "general.name", o->name);
    put_u32(m, "context_length", o->ctx);
    put_u32(m, "embedding_length", o->embd);
    put_u32(m, "block_count", o->layers);
    put_u32(m, "feed_forward_length", o->ff);
    put_u32(m, "attention.head_count", o->heads);
    put_u32(m, "attention.head_count_kv", o->kv_heads);
    put_u32(m, "attention.key_length", o->head_dim);
    put_u32(m, "attention.value_length", o->head_dim);
    put_u32(m, "rope.dimension_count", o->head_dim);
    put_f32(m, "rope.freq_base", 10000.0f);
    put_f32(m, is_bert(o) ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon",
            has_qk_norm(o) ? 1e-6f : 1e-5f);
    if (is_bert(o)) gguf_put_bool(m->w, "bert.attention.causal", false);
    if (o->query_prefix)
        gguf_put_string(m->w, "sentence_transformers.prompts.query", o->query_prefix);
    if (o->pooling || is_bert(o)) put_u32(m, "pooling_type", o->pooling ? o->pooling : 1);
    if (is_moe(o)) {
        put_u32(m, "expert_count", o->experts);
        put_u32(m, "expert_used_count", o->experts_used);
        if (has_qk_norm(o)) put_u32(m, "expert_feed_forward_length", o->ff);
    }
}

static void make_bert_tensors(Maker *m)
{
    const MakeModel *o = &m->o;
    uint64_t types[2] = {(uint64_t)o->embd, 2};
    uint64_t embd[2] = {(uint64_t)o->embd, o->embd_rows ? o->embd_rows : (uint64_t)o->vocab};
    tensor(m, "token_embd.weight", o->high ? o->high : o->type, 2, embd, 0, 1);
    matrix(m, -1, "position_embd", false, o->embd, o->ctx, 0);
    tensor(m, "token_types.weight", DT_F32, 2, types, 0, 0.2f);
    vector(m, -1, "token_embd_norm.weight", o->embd, 1, 0.05f);
    vector(m, -1, "token_embd_norm.bias", o->embd, 0, 0.05f);
    for (int l = 0; l < o->layers; l++) make_bert_layer(m, l);
    if (!o->ranks) return;
    matrix(m, -1, "cls", false, o->embd, o->embd, 0);
    vector(m, -1, "cls.bias", o->embd, 0, 0.05f);
    matrix(m, -1, "cls.output", false, o->embd, 1, 0);
    vector(m, -1, "cls.output.bias", 1, 0, 0.05f);
}

static void make_tensors(Maker *m)
{
    const MakeModel *o = &m->o;
    int rows = o->embd_rows ? (int)o->embd_rows : o->vocab;
    uint64_t embd[2] = {(uint64_t)o->embd, (uint64_t)rows};
    tensor(m, "token_embd.weight", o->high ? o->high : o->type, 2, embd, 0, 1);
    vector(m, -1, "output_norm.weight", o->embd, 1, 0.05f);
    if (!o->tied) matrix(m, -1, "output", true, o->embd, o->vocab, 0);
    if (o->rope_freqs) vector(m, -1, "rope_freqs.weight", o->head_dim / 2, 4, 0.5f);
    for (int l = 0; l < o->layers; l++) make_layer(m, l);
}

static bool arch_known(const char *arch)
{
    static const char *const known[] = {"llama", "llama-moe", "qwen2", "qwen3", "qwen3moe", "bert"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(arch, known[i]) == 0) return true;
    return false;
}

bt_status make_model(const MakeModel *options, const char *path, bt_error *err)
{
    Maker m = {.o = *options, .err = err};
    MakeModel *o = &m.o;
    if (!o->arch) o->arch = "llama";
    if (!o->name) o->name = o->arch;
    o->embd = default_to(o->embd, 64);
    o->ff = default_to(o->ff, 160);
    o->layers = default_to(o->layers, 2);
    o->heads = default_to(o->heads, 4);
    o->kv_heads = is_bert(o) ? o->heads : default_to(o->kv_heads, 2);
    if (is_bert(o) && o->tokenizer != MAKE_NO_VOCAB) o->tokenizer = MAKE_WPM;
    if (o->ranks) o->pooling = 4;
    o->head_dim = default_to(o->head_dim, 16);
    o->experts = default_to(o->experts, 8);
    o->experts_used = default_to(o->experts_used, 2);
    o->ctx = default_to(o->ctx, 512);
    m.state = o->seed ^ 0xba27a3u;
    if (!arch_known(o->arch))
        return bt_fail(err, BT_E_ARGUMENT, "architecture '%s' is none we make", o->arch);
    m.w = gguf_writer_open();
    if (!m.w) return bt_fail_memory(err, "a model", 0);
    make_keys(&m);
    o->vocab = make_vocab(m.w, o, o->vocab);
    if (o->vocab < 0)
        m.status = bt_fail(err, BT_E_ARGUMENT, "the vocabulary does not fit in the size asked");
    if (is_bert(o))
        make_bert_tensors(&m);
    else
        make_tensors(&m);
    if (!m.status) m.status = gguf_writer_save(m.w, path, err);
    gguf_writer_close(&m.w);
    for (int i = 0; i < m.n_data; i++) mem_free(m.data[i]);
    return m.status;
}
