/* Grouped-query attention (see block_attention.h).
 * T tokens this step; D model, H heads, K kv heads, E head dim. */
#include "models/block_attention.h"

#include <math.h>

/* Weights of one head that serve all, or of each head: as the tensor has rows. */
static const Norm *load_qk_norm(Loader *ld, int32_t layer, const char *name, int32_t heads,
                                int32_t e, const AttentionOptions *o)
{
    int64_t ne[3];
    if (o->qk_norm == QK_NORM_NONE || loader_failed(ld)) return NULL;
    if (o->qk_norm == QK_NORM_WHOLE)
        return loader_norm(ld, layer, name, (int64_t)heads * e, o->centred, REQUIRED);
    if (heads > 1 && loader_shape(ld, layer, name, ne) && ne[1] == heads)
        return loader_norm_heads(ld, layer, name, e, heads, o->centred);
    return loader_norm(ld, layer, name, e, o->centred, REQUIRED);
}

static void projections(Loader *ld, Attention *a, int32_t layer, const AttentionOptions *o,
                        int64_t q, int64_t k, int64_t v)
{
    int64_t d = ld->hyper.n_embd;
    if (loader_has(ld, layer, "attn_qkv")) {
        a->wq = loader_part(ld, layer, "attn_qkv", d, q + k + v, 0, q, 1);
        a->wk = loader_part(ld, layer, "attn_qkv", d, q + k + v, q, k, 1);
        a->wv = loader_part(ld, layer, "attn_qkv", d, q + k + v, q + k, v, 1);
        return;
    }
    a->wq = loader_matrix(ld, layer, "attn_q", d, a->gated ? 2 * q : q, REQUIRED);
    if (ld->layers[layer].kind == STATE_KV_SHARED) return;
    a->wk = loader_matrix(ld, layer, "attn_k", d, k, REQUIRED);
    if (o->keys_as_values && k == v && !loader_has(ld, layer, "attn_v"))
        a->wv = a->wk;
    else
        a->wv = loader_matrix(ld, layer, "attn_v", d, v, REQUIRED);
}

Attention block_attention_load(Loader *ld, int32_t layer, const AttentionOptions *o)
{
    const Hyper *h = &ld->hyper;
    if (loader_failed(ld)) return (Attention){0};
    const LayerSpec *spec = &ld->layers[layer];
    int32_t heads = h->heads_of[layer], kv = h->kv_heads_of[layer];
    Attention a = {.heads = heads,
                   .e_k = spec->e_k,
                   .e_v = spec->e_v,
                   .qk_norm = o->qk_norm,
                   .gated = o->gated};
    if (heads < 1 || kv < 1) {
        loader_fail(ld, BT_E_FORMAT,
                    "key '%s.attention.head_count%s' is 0 in layer %d, which attends; the file is "
                    "damaged, fetch or convert it again",
                    ld->arch, heads < 1 ? "" : "_kv", layer);
        return a;
    }
    a.options.scale = loader_float(ld, "attention.scale", 0);
    if (!(a.options.scale > 0)) a.options.scale = 1 / sqrtf((float)a.e_k);
    a.options.see = h->causal ? ATTEND_PAST : ATTEND_BOTH;
    a.clip = loader_float(ld, "attention.clamp_kqv", 0);
    projections(ld, &a, layer, o, (int64_t)heads * a.e_k, (int64_t)kv * a.e_k, (int64_t)kv * a.e_v);
    a.wo = loader_matrix(ld, layer, "attn_output", (int64_t)heads * a.e_v, h->n_embd, REQUIRED);
    a.q_norm = load_qk_norm(ld, layer, "attn_q_norm", heads, a.e_k, o);
    if (spec->kind != STATE_KV_SHARED)
        a.k_norm = load_qk_norm(ld, layer, "attn_k_norm", kv, a.e_k, o);
    return a;
}

void block_attention_span(Loader *ld, Attention *a, int32_t layer, StateKind kind, int32_t span)
{
    if (loader_failed(ld)) return;
    a->options.see = kind == STATE_KV_CHUNK ? ATTEND_CHUNK : ATTEND_WINDOW;
    a->options.span = span;
    if (!ld->hyper.causal) { /* what lies ahead is seen too: nothing can be forgotten */
        if (kind == STATE_KV_CHUNK)
            loader_fail(ld, BT_E_UNSUPPORTED, "chunked attention both ways (key '%s.%s' is false)",
                        ld->arch, "attention.causal");
        a->options.see = ATTEND_AROUND;
        return;
    }
    if (ld->layers[layer].kind == STATE_KV_SHARED) return;
    ld->layers[layer].kind = kind;
    ld->layers[layer].span = span;
}

static Tensor norm_whole(Step *s, const Attention *a, Tensor x, const Norm *norm)
{
    if (a->qk_norm != QK_NORM_WHOLE || !norm) return x;
    return op_split(s, op_norm(s, op_merge(s, x), norm), x.heads);
}

/* Norm and rotation of q or k, in the family's order. */
static Tensor place(Step *s, const Attention *a, Tensor x, const Norm *norm, const RopeTable *rope)
{
    x = norm_whole(s, a, x, norm);
    if (a->qk_norm == QK_NORM_HEADS && norm && rope) return op_norm_rope(s, x, norm, rope);
    if (a->qk_norm == QK_NORM_HEADS && norm) return op_norm(s, x, norm);
    if (rope) x = op_rope(s, x, rope);
    return a->qk_norm == QK_NORM_AFTER_ROPE && norm ? op_norm(s, x, norm) : x;
}

/* The same of k, on its way to the state: in one pass where the rotation comes last. */
static KvLayer keep(Step *s, const Attention *a, int32_t layer, Tensor k, Tensor v,
                    const RopeTable *rope)
{
    if (!rope || a->qk_norm == QK_NORM_AFTER_ROPE)
        return op_remember(s, layer, place(s, a, k, a->k_norm, rope), v);
    const Norm *norm = a->qk_norm == QK_NORM_HEADS ? a->k_norm : NULL;
    return op_rope_remember(s, layer, norm_whole(s, a, k, a->k_norm), v, norm, rope);
}

Tensor block_attention_warm(Step *s, Tensor q, float temperature, float floor_of, float shift)
{
    float *of_row = step_memory(s, (size_t)s->n_rows * sizeof *of_row);
    if (step_failed(s)) return q;
    for (int32_t i = 0; i < s->n_rows && of_row; i++)
        of_row[i] =
            1 + temperature * logf(floorf(((float)s->rows[i].position + shift) / floor_of) + 1);
    return op_mul_rows(s, q, of_row);
}

Tensor block_attention(Step *s, const Attention *a, const RopeTable *ropes, int32_t layer, Tensor x)
{
    const RopeTable *rope = a->rope == NO_ROPE ? NULL : &ropes[a->rope];
    int32_t e_q = a->gated ? 2 * a->e_k : a->e_k;
    Tensor gate = {0};
    Qkv p = {0};
    KvLayer kv;
    if (a->wk)
        p = op_qkv(s, x, a->wq, a->wk, a->wv, e_q, a->e_k, a->e_v); /* (T,H|K|K,E) */
    else
        p.q = op_split(s, op_linear(s, x, a->wq), a->heads);
    if (a->gated) {
        gate = op_merge(s, op_part(s, p.q, a->e_k, a->e_k));
        p.q = op_part(s, p.q, 0, a->e_k);
    }
    p.q = place(s, a, op_clip(s, p.q, a->clip), a->q_norm, rope);
    if (a->temperature != 0)
        p.q = block_attention_warm(s, p.q, a->temperature, a->temperature_floor,
                                   a->temperature_shift);
    if (a->wk) {
        p.k = op_clip(s, p.k, a->clip);
        p.v = op_clip(s, p.v, a->clip);
        if (a->v_norm) p.v = op_norm(s, p.v, a->v_norm);
        kv = keep(s, a, layer, p.k, p.v, rope);
    } else {
        kv = op_recall(s, layer);
    }
    Tensor o = op_merge(s, op_attend(s, p.q, kv, &a->options)); /* (T,H E) */
    if (a->gated) o = op_gate(s, o, gate, ACT_SIGMOID);
    return op_linear(s, o, a->wo); /* (T,D) */
}
