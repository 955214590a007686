/* The table of mixes, read (see mixes.h). Tensors are told by their names alone, as all files of
 * the ecosystem have them: a family's own code is not asked, so files of families that do not run
 * here can be written too. */
#include "quant/mixes.h"

#include <stdio.h>
#include <strings.h>

#include "tensor/dtype.h"

const MixInfo mixes[MIX_COUNT] = {
#define MIX(name, number, base, text) {#name, number, base, text},
#include "quant/mixes.def"
#undef MIX
};

typedef enum Where { ALL, FIRST_2, FIRST_4, SIXTEENTH, EIGHTH, MIDDLE, MORE } Where;

enum {
    NEED_GQA4 = 1 << 0,     /* four query heads or more share one of keys and values */
    NEED_EXPERTS4 = 1 << 1, /* four experts or more */
    NEED_EXPERTS8 = 1 << 2, /* just eight */
    NEED_IMATRIX = 1 << 3,
    NEED_NO_IMATRIX = 1 << 4,
    NEED_FALCON = 1 << 5,
    NEED_NO_FALCON = 1 << 6,
    NEED_70B = 1 << 7,   /* 80 layers with shared heads: values are a small part of them */
    NEED_STACK = 1 << 8, /* several matrices in one tensor */
    NEED_ODD = 1 << 9,   /* rows are no whole blocks of the mix's base type */
};

typedef struct Rule {
    TensorKind kind;
    uint64_t mixes;
    Where where;
    unsigned needs;
    int type; /* DType, or BASE */
} Rule;

#define BASE       (-1)
#define DT_BASE    BASE
#define M(name)    ((uint64_t)1 << MIX_##name)
#define ANY_BLOCKS (~(M(F32) | M(F16) | M(BF16)))
#define TWO_BITS   (M(IQ2_XXS) | M(IQ2_XS) | M(IQ2_S) | M(IQ2_M) | M(IQ1_S) | M(IQ1_M))
#define EIGHT_OUT                                                                                  \
    (M(Q2_K) | M(IQ3_XS) | M(IQ3_XXS) | M(Q3_K_S) | M(Q3_K_M) | M(IQ4_NL) | M(Q4_K_S) |            \
     M(Q4_K_M) | M(IQ3_S) | M(IQ3_M) | M(IQ4_XS))

static const Rule rules[] = {
#define RULE(kind, mixes, where, needs, type) {KIND_##kind, mixes, where, needs, (int)DT_##type},
#include "quant/mixes.def"
#undef RULE
};

/* Types for rows that are no whole blocks; what does not fit these either becomes F16. */
static const struct {
    DType from, to;
} fallbacks[] = {
    {DT_IQ1_S, DT_IQ4_NL}, {DT_IQ1_M, DT_IQ4_NL},   {DT_IQ2_XXS, DT_IQ4_NL}, {DT_IQ2_XS, DT_IQ4_NL},
    {DT_IQ2_S, DT_IQ4_NL}, {DT_IQ3_XXS, DT_IQ4_NL}, {DT_IQ3_S, DT_IQ4_NL},   {DT_IQ4_XS, DT_IQ4_NL},
    {DT_Q2_K, DT_Q4_0},    {DT_Q3_K, DT_Q4_0},      {DT_TQ1_0, DT_Q4_0},     {DT_TQ2_0, DT_Q4_0},
    {DT_Q1_0, DT_Q4_0},    {DT_Q2_0, DT_Q4_0},      {DT_NVFP4, DT_Q4_0},     {DT_Q4_K, DT_Q5_0},
    {DT_Q5_K, DT_Q5_1},    {DT_Q6_K, DT_Q8_0},
};

int mix_find(const char *name)
{
    static const struct {
        const char *name;
        MixId mix;
    } aliases[] = {
        {"Q3_K", MIX_Q3_K_M}, {"Q4_K", MIX_Q4_K_M}, {"Q5_K", MIX_Q5_K_M}, {"MXFP4", MIX_MXFP4_MOE}};
    for (int i = 0; i < MIX_COUNT; i++)
        if (strcasecmp(mixes[i].name, name) == 0) return i;
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (strcasecmp(aliases[i].name, name) == 0) return aliases[i].mix;
    return -1;
}

/* ---- names ---- */

static bool has(Span name, const char *part)
{
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= name.size; i++)
        if (memcmp(name.data + i, part, n) == 0) return true;
    return false;
}

int32_t tensor_layer(Span name)
{
    size_t rest;
    int32_t layer = gguf_layer(name, &rest);
    return layer < TENSOR_MOST_LAYERS ? layer : -1;
}

TensorKind tensor_kind(Span name, bool tied)
{
    static const struct {
        const char *part;
        TensorKind kind;
    } parts[] = {{"attn_qkv.weight", KIND_V}, {"attn_kv_b.weight", KIND_V},
                 {"attn_v.weight", KIND_V},   {"attn_k.weight", KIND_K},
                 {"attn_q.weight", KIND_Q},   {"attn_output.weight", KIND_ATTENTION},
                 {"ffn_up", KIND_UP},         {"ffn_gate", KIND_GATE},
                 {"ffn_down", KIND_DOWN}};
    if (span_is(name, "output.weight")) return KIND_OUTPUT;
    if (span_is(name, "token_embd.weight") || span_is(name, "per_layer_token_embd.weight"))
        return tied ? KIND_OUTPUT : KIND_EMBEDDING;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (has(name, parts[i].part)) return parts[i].kind;
    return KIND_OTHER;
}

bool tensor_mutable(const GgufTensor *t)
{
    /* Small, or read element by element. */
    static const char *const kept[] = {"_norm.weight",
                                       "ffn_gate_inp.weight",
                                       "ffn_gate_tid2eid.weight",
                                       "altup",
                                       "laurel",
                                       "per_layer_model_proj",
                                       "ssm_conv1d",
                                       "shortconv.conv.weight",
                                       "indexer.k_proj.weight",
                                       "attn_rel_b.weight",
                                       "indexer.q_proj.weight",
                                       "time_mix_first.weight",
                                       "time_mix_w",
                                       "time_mix_v",
                                       "time_mix_a",
                                       "time_mix_g",
                                       "time_mix_decay",
                                       "time_mix_lerp_fused.weight",
                                       ".position_embd",
                                       ".rel_pos",
                                       ".patch_embd",
                                       ".patch_merger",
                                       "sam.",
                                       "a.rvq.codebook",
                                       "mm.a.code_embd",
                                       "position_embd.weight",
                                       "token_types.weight"};
    static const DType plain[] = {DT_F32, DT_F16, DT_BF16};
    bool known = dtype_info(t->type)->block > 1;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) known = known || t->type == plain[i];
    if (!known || t->n_dims < 2 || t->ne[1] * t->ne[2] * t->ne[3] < 2) return false;
    if (!span_ends(t->name, "weight")) return false;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (has(t->name, kept[i])) return false;
    return true;
}

/* ---- what the rules ask ---- */

/* The most of a number that files give once or once a layer. */
static bt_status most_of(const Gguf *g, Span arch, const char *key, int32_t *out, bt_error *err)
{
    char name[128];
    int32_t values[1024];
    uint64_t n = 0;
    snprintf(name, sizeof name, "%.*s.%s", (int)arch.size, arch.data, key);
    bt_status status = gguf_get_i32s(g, name, false, values, 1024, &n, err);
    for (uint64_t i = 0; i < n && !status; i++)
        if (values[i] > *out) *out = values[i];
    return status;
}

bt_status mix_model(const Gguf *g, bool imatrix, MixModel *m, bt_error *err)
{
    *m = (MixModel){.imatrix = imatrix, .tied = !gguf_find_tensor(g, "output.weight")};
    bt_status status = gguf_get_span(g, "general.architecture", true, &m->architecture, err);
    if (status) return status;
    if (m->architecture.size > 64)
        return bt_fail(err, BT_E_FORMAT, "%s: general.architecture is no name", gguf_path(g));
    status = most_of(g, m->architecture, "block_count", &m->n_layers, err);
    if (!status) status = most_of(g, m->architecture, "attention.head_count", &m->n_heads, err);
    m->n_kv_heads = m->n_heads;
    int32_t shared = 0;
    if (!status) status = most_of(g, m->architecture, "attention.head_count_kv", &shared, err);
    if (shared > 0) m->n_kv_heads = shared;
    if (!status) status = most_of(g, m->architecture, "expert_count", &m->n_experts, err);
    for (size_t i = 0; i < gguf_n_tensors(g); i++)
        m->n_v += tensor_kind(gguf_tensor(g, i)->name, m->tied) == KIND_V;
    return status;
}

static bool meets(unsigned needs, const MixModel *m, const GgufTensor *t, uint32_t base)
{
    bool falcon = span_is(m->architecture, "falcon");
    int32_t shared = m->n_kv_heads > 0 ? m->n_heads / m->n_kv_heads : 1;
    unsigned have = 0;
    if (shared >= 4) have |= NEED_GQA4;
    if (m->n_experts >= 4) have |= NEED_EXPERTS4;
    if (m->n_experts == 8) have |= NEED_EXPERTS8;
    have |= m->imatrix ? NEED_IMATRIX : NEED_NO_IMATRIX;
    have |= falcon ? NEED_FALCON : NEED_NO_FALCON;
    if (m->n_layers == 80 && shared > 1) have |= NEED_70B;
    if (t->ne[2] > 1) have |= NEED_STACK;
    if (t->ne[0] % (uint64_t)dtype_info(base)->block) have |= NEED_ODD;
    return (needs & ~have) == 0;
}

/* Layer i of n, counted from 0. */
static bool lies(Where where, int32_t i, int32_t n)
{
    switch (where) {
    case ALL: return true;
    case FIRST_2: return i < 2;
    case FIRST_4: return i < 4;
    case SIXTEENTH: return i < n / 16;
    case EIGHTH: return i < n / 8;
    case MIDDLE: return i >= n / 8 && i < 7 * n / 8;
    case MORE: return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
    }
    return false;
}

uint32_t type_that_fits(uint32_t type, uint64_t k)
{
    if (k % (uint64_t)dtype_info(type)->block == 0) return type;
    for (size_t i = 0; i < sizeof fallbacks / sizeof *fallbacks; i++)
        if (fallbacks[i].from == (DType)type)
            return k % (uint64_t)dtype_info(fallbacks[i].to)->block ? DT_F16 : fallbacks[i].to;
    return DT_F16;
}

uint32_t mix_type(int mix, const MixModel *m, const GgufTensor *t, int32_t v, bool *fallback)
{
    TensorKind kind = tensor_kind(t->name, m->tied);
    uint32_t base = mixes[mix].base, type = base;
    int32_t layer = kind == KIND_V ? v : tensor_layer(t->name);
    int32_t n = kind == KIND_V ? m->n_v : m->n_layers;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const Rule *r = &rules[i];
        if (r->kind != kind && r->kind != KIND_ANY) continue;
        if (!(r->mixes >> mix & 1) || !meets(r->needs, m, t, base)) continue;
        if (r->where != ALL && (layer < 0 || !lies(r->where, layer, n))) continue;
        if (r->type != BASE) type = (uint32_t)r->type;
        break;
    }
    uint32_t fits = type_that_fits(type, t->ne[0]);
    *fallback = fits != type;
    return fits;
}
