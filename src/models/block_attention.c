/* Grouped-query attention (see block_attention.h).
 * T tokens this step; D model, H heads, K kv heads, E head dim. */
#include "models/block_attention.h"

#include <math.h>

Attention block_attention_load(Loader *ld, int32_t layer, bool head_norms)
{
    const Hyper *h = &ld->hyper;
    int64_t d = h->n_embd, q = (int64_t)h->n_heads * h->e_k;
    int64_t k = (int64_t)h->n_kv_heads * h->e_k, v = (int64_t)h->n_kv_heads * h->e_v;
    Attention a = {.e_k = h->e_k, .e_v = h->e_v, .eps = h->eps};
    a.options.scale = 1 / sqrtf((float)h->e_k);
    a.wq = loader_matrix(ld, layer, "attn_q", d, q, REQUIRED);
    a.wk = loader_matrix(ld, layer, "attn_k", d, k, REQUIRED);
    a.wv = loader_matrix(ld, layer, "attn_v", d, v, REQUIRED);
    a.wo = loader_matrix(ld, layer, "attn_output", (int64_t)h->n_heads * h->e_v, d, REQUIRED);
    if (head_norms) {
        a.q_norm = loader_vector(ld, layer, "attn_q_norm", h->e_k, REQUIRED);
        a.k_norm = loader_vector(ld, layer, "attn_k_norm", h->e_k, REQUIRED);
    }
    return a;
}

Tensor block_attention(Step *s, const Attention *a, const RopeTable *rope, int32_t layer, Tensor x)
{
    Qkv p = op_qkv(s, x, a->wq, a->wk, a->wv, a->e_k, a->e_v); /* (T,H|K|K,E) */
    p.q = op_norm_rope(s, p.q, a->q_norm, a->eps, rope);
    p.k = op_norm_rope(s, p.k, a->k_norm, a->eps, rope);
    Tensor o = op_attend(s, p.q, op_remember(s, layer, p.k, p.v), &a->options); /* (T,H,E) */
    return op_linear(s, op_merge(s, o), a->wo);                                 /* (T,D)       */
}
