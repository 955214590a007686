/* MLA (see block_mla.h). T tokens this step; D model, H heads, R rank; a query head is N numbers
 * without position, then P rotated ones; a value head V numbers. */
#include "models/block_mla.h"

#include <math.h>

typedef struct Mla {
    const Weight *q, *q_a;            /* D -> H (N + P); or D -> its rank, then q from there */
    const Weight *kv_a, *k_b, *v_b;   /* D -> R + P; H of N -> R; H of R -> V */
    const Weight *wo;                 /* H V -> D */
    const Norm *q_a_norm, *kv_a_norm; /* NULL without q_a; (R) */
    int32_t heads, nope, rope, rank;
    float temperature, temperature_floor; /* as in Attention */
    AttendOptions options;
} Mla;

static void up_projections(Loader *ld, int32_t layer, int32_t value, Mla *m)
{
    if (!loader_has(ld, layer, "attn_kv_b")) {
        m->k_b = loader_matrices(ld, layer, "attn_k_b", m->nope, m->rank, m->heads, REQUIRED);
        m->v_b = loader_matrices(ld, layer, "attn_v_b", m->rank, value, m->heads, REQUIRED);
        return;
    }
    int64_t total = m->nope + value;
    m->k_b = loader_turned(ld, layer, "attn_kv_b", m->rank, total, 0, m->nope, m->heads);
    m->v_b = loader_part(ld, layer, "attn_kv_b", m->rank, total, m->nope, value, m->heads);
}

/* The scale of YaRN's scores: (1 + multiplier ln factor) squared. */
static float yarn_scale(Loader *ld, float multiplier)
{
    float factor = loader_float(ld, "rope.scaling.factor", 1);
    float m = factor > 1 ? 1 + multiplier * logf(factor) : 1;
    return m * m;
}

static const Mla *load(Loader *ld, int32_t layer, float yarn)
{
    const Hyper *h = &ld->hyper;
    const int32_t wide = MODEL_MOST_WIDTH, must = LOADER_REQUIRED;
    Mla *m = loader_memory(ld, 1, sizeof *m);
    if (!m) return NULL;
    int32_t d = h->n_embd, q_rank = loader_int(ld, "attention.q_lora_rank", 0, wide, 0);
    int32_t full = loader_int(ld, "attention.key_length_mla", 2, 4096, h->e_k);
    int32_t value = loader_int(ld, "attention.value_length_mla", 1, 4096, h->e_v);
    m->heads = h->heads_of[layer];
    m->rank = loader_int(ld, "attention.kv_lora_rank", 1, 4096, must);
    m->rope = loader_int(ld, "rope.dimension_count", 2, full, must);
    m->nope = full - m->rope;
    if (loader_failed(ld)) return NULL;
    if (m->heads < 1 || m->nope < 1) {
        loader_fail(ld, BT_E_FORMAT,
                    "keys '%s.attention.*': %d heads of %d with %d rotated cannot be", ld->arch,
                    m->heads, full, m->rope);
        return NULL;
    }
    bool direct = loader_has(ld, layer, "attn_q");
    if (!direct) {
        m->q_a = loader_matrix(ld, layer, "attn_q_a", d, q_rank, REQUIRED);
        m->q_a_norm = loader_norm(ld, layer, "attn_q_a_norm", q_rank, false, REQUIRED);
    }
    m->q = loader_matrix(ld, layer, direct ? "attn_q" : "attn_q_b", direct ? d : q_rank,
                         (int64_t)m->heads * full, REQUIRED);
    m->kv_a = loader_matrix(ld, layer, "attn_kv_a_mqa", d, m->rank + m->rope, REQUIRED);
    m->kv_a_norm = loader_norm(ld, layer, "attn_kv_a_norm", m->rank, false, REQUIRED);
    up_projections(ld, layer, value, m);
    m->wo = loader_matrix(ld, layer, "attn_output", (int64_t)m->heads * value, d, REQUIRED);
    m->options.scale = yarn / sqrtf((float)full);
    m->temperature = loader_float(ld, "attention.temperature_scale", 0);
    m->temperature_floor =
        (float)loader_int(ld, "rope.scaling.original_context_length", 1, INT32_MAX, h->n_ctx_train);
    ld->layers[layer] = (LayerSpec){.kind = STATE_KV_FULL,
                                    .kv_heads = 1,
                                    .e_k = m->rank + m->rope,
                                    .e_v = m->rank,
                                    .v_in_k = true};
    return m;
}

static Tensor mla(Step *s, const Decoder *decoder, int32_t layer, const RopeTable *rope, Tensor x)
{
    const Mla *m = decoder->layer[layer].mixer_weights;
    Tensor h = m->q_a ? op_norm(s, op_linear(s, x, m->q_a), m->q_a_norm) : x;
    Tensor q = op_split(s, op_linear(s, h, m->q), m->heads); /* (T,H,N+P) */
    if (m->temperature != 0)
        q = block_attention_warm(s, q, m->temperature, m->temperature_floor, 0);
    Tensor turned = op_rope(s, op_part(s, q, m->nope, m->rope), rope);            /* (T,H,P) */
    Tensor near = op_linear_heads(s, op_part(s, q, 0, m->nope), m->k_b);          /* (T,H,R) */
    Tensor kv = op_linear(s, x, m->kv_a);                                         /* (T,R+P) */
    Tensor c = op_norm(s, op_part(s, kv, 0, m->rank), m->kv_a_norm);              /* (T,1,R) */
    Tensor k = op_join(s, c, op_rope(s, op_part(s, kv, m->rank, m->rope), rope)); /* (T,1,R+P) */
    KvLayer seen = op_remember(s, layer, k, c);
    Tensor o = op_attend(s, op_join(s, near, turned), seen, &m->options); /* (T,H,R) */
    o = op_merge(s, op_linear_heads(s, o, m->v_b));                       /* (T,H V) */
    return op_linear(s, o, m->wo);
}

static bool never(const Loader *ld, int32_t layer)
{
    (void)ld;
    (void)layer;
    return false;
}

Decoder *block_mla_decoder(Loader *ld)
{
    int32_t experts = loader_int(ld, "expert_count", 0, MODEL_MOST_EXPERTS, 0);
    int32_t dense = loader_int(ld, "leading_dense_block_count", 0, MODEL_MOST_LAYERS, 0);
    DecoderOptions o = {.adjacent = true,
                        .attends = never,
                        .first_expert_layer = dense,
                        .expert_step = experts > 0 ? 1 : 0,
                        .ffn = {.routing_keys = true}};
    Decoder *m = block_decoder_load(ld, &o);
    float multiplier = loader_float(ld, "rope.scaling.yarn_log_multiplier", 0);
    bool yarn = span_is(loader_text(ld, "rope.scaling.type"), "yarn");
    if (!m) return NULL;
    if (yarn && multiplier != 0) m->rope[0].magnitude = 1; /* it is in the scores instead */
    for (int32_t l = 0; l < m->n_layers; l++) {
        MoeOptions *moe = &m->layer[l].ffn.moe;
        m->layer[l].mixer = mla;
        m->layer[l].mixer_weights = load(ld, l, yarn ? yarn_scale(ld, multiplier) : 1);
        moe->group_top1 = moe->scores == MOE_SOFTMAX;
    }
    return loader_failed(ld) ? NULL : m;
}
