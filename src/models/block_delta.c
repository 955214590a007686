/* Gated delta net (arXiv 2412.06464; see block_recurrent.h): convolution of queries, keys and
 * values; queries and keys of length 1; a state that decays and is corrected towards each value;
 * norm and gate. T tokens; D model, K key heads of N, H value heads of P.
 *
 * Projections come in two forms: q, k and v side by side (attn_qkv) with the gate apart
 * (attn_gate), or, in older files, ssm_in, where each key head has its q, k, the v of its value
 * heads and their gates. Of alpha and beta likewise: ssm_alpha and ssm_beta, or ssm_ba by key
 * heads. */
#include "models/block_recurrent.h"

#include <math.h>

typedef struct Delta {
    const Weight *qkv, *gate;        /* or NULL: */
    const Weight *by_head;           /* ssm_in */
    const Weight *alpha, *beta, *ba; /* two, or one */
    const Weight *out;
    const float *dt_bias, *a; /* (H) each */
    Norm q_norm, k_norm;      /* to length 1; of q also 1 / sqrt(N) */
    const Norm *norm;         /* (P) */
    Conv conv;
    int32_t keys, heads, n, p; /* K, H, N, P */
    bool tiled;
} Delta;

/* x / sqrt(sum of squares + 1e-6) times `scale`, as a norm by the mean of squares. */
static Norm unit_norm(Loader *ld, int32_t n, double scale)
{
    float *weight = loader_memory(ld, (size_t)n, sizeof *weight);
    for (int32_t i = 0; i < n && weight; i++) weight[i] = (float)(scale / sqrt(n));
    return (Norm){.weight = weight, .eps = (float)(1e-6 / n)};
}

static void projections(Loader *ld, int32_t layer, Delta *w)
{
    int64_t d = ld->hyper.n_embd, k = (int64_t)w->keys * w->n, v = (int64_t)w->heads * w->p;
    if (loader_has(ld, layer, "attn_qkv")) {
        w->qkv = loader_matrix(ld, layer, "attn_qkv", d, 2 * k + v, REQUIRED);
        w->gate = loader_matrix(ld, layer, "attn_gate", d, v, REQUIRED);
    } else {
        w->by_head = loader_matrix(ld, layer, "ssm_in", d, 2 * k + 2 * v, REQUIRED);
    }
    if (loader_has(ld, layer, "ssm_ba")) {
        w->ba = loader_matrix(ld, layer, "ssm_ba", d, 2LL * w->heads, REQUIRED);
    } else {
        w->alpha = loader_matrix(ld, layer, "ssm_alpha", d, w->heads, REQUIRED);
        w->beta = loader_matrix(ld, layer, "ssm_beta", d, w->heads, REQUIRED);
    }
}

const void *block_delta_load(Loader *ld, int32_t layer, bool tiled)
{
    Delta *w = loader_memory(ld, 1, sizeof *w);
    SsmSizes n = block_ssm_heads(ld);
    if (loader_failed(ld)) return NULL;
    w->keys = n.groups;
    w->heads = n.rank;
    w->n = n.state;
    w->p = n.inner / n.rank;
    w->tiled = tiled;
    block_keep_state(ld, layer, (int64_t)n.inner * n.state);
    projections(ld, layer, w);
    w->conv = block_conv_load(ld, layer, "ssm_conv1d", n.taps, 2LL * w->keys * w->n + n.inner);
    w->dt_bias = loader_floats(ld, layer, "ssm_dt.bias", w->heads, 1, REQUIRED);
    w->a = loader_floats(ld, layer, "ssm_a", w->heads, 1, REQUIRED);
    w->q_norm = unit_norm(ld, w->n, 1 / sqrt(w->n));
    w->k_norm = unit_norm(ld, w->n, 1);
    w->norm = loader_norm(ld, layer, "ssm_norm", w->p, false, REQUIRED);
    w->out = loader_matrix(ld, layer, "ssm_out", n.inner, ld->hyper.n_embd, REQUIRED);
    return loader_failed(ld) ? NULL : w;
}

/* Elements [first, first + width) of each head, side by side. */
static Tensor piece(Step *s, Tensor x, int32_t first, int32_t width)
{
    return op_merge(s, op_part(s, x, first, width));
}

/* q, k and v side by side (T, 2 K N + H P), and the gate (T, H P). */
static Tensor project(Step *s, const Delta *w, Tensor x, Tensor *gate)
{
    if (w->qkv) {
        *gate = op_linear(s, x, w->gate);
        return op_linear(s, x, w->qkv);
    }
    int32_t v = w->heads / w->keys * w->p;
    Tensor all = op_split(s, op_linear(s, x, w->by_head), w->keys); /* (T,K,2N+2HP/K) */
    *gate = piece(s, all, 2 * w->n + v, v);
    Tensor qk = op_join(s, piece(s, all, 0, w->n), piece(s, all, w->n, w->n));
    return op_join(s, qk, piece(s, all, 2 * w->n, v));
}

/* The logarithm of each head's decay, and beta: (T,H). */
static Tensor rates(Step *s, const Delta *w, Tensor x, Tensor *beta)
{
    Tensor alpha;
    if (w->ba) {
        int32_t each = w->heads / w->keys;
        Tensor ba = op_split(s, op_linear(s, x, w->ba), w->keys);
        *beta = piece(s, ba, 0, each);
        alpha = piece(s, ba, each, each);
    } else {
        *beta = op_linear(s, x, w->beta);
        alpha = op_linear(s, x, w->alpha);
    }
    *beta = op_activate(s, *beta, ACT_SIGMOID);
    alpha = op_activate(s, op_add_vector(s, alpha, w->dt_bias), ACT_SOFTPLUS);
    return op_mul_vector(s, alpha, w->a);
}

Tensor block_delta(Step *s, const Decoder *m, int32_t layer, const RopeTable *ropes, Tensor x)
{
    const Delta *w = m->layer[layer].mixer_weights;
    int32_t kn = w->keys * w->n, hp = w->heads * w->p;
    Tensor gate, beta;
    (void)ropes;
    Tensor qkv = project(s, w, x, &gate);
    Tensor decay = rates(s, w, x, &beta);
    qkv = op_conv(s, layer, qkv, w->conv.weight, w->conv.bias, ACT_SILU);
    Tensor q = op_norm(s, op_split(s, op_part(s, qkv, 0, kn), w->keys), &w->q_norm);
    Tensor k = op_norm(s, op_split(s, op_part(s, qkv, kn, kn), w->keys), &w->k_norm);
    Tensor v = op_split(s, op_part(s, qkv, 2 * kn, hp), w->heads);
    Tensor y = op_delta(s, layer, q, k, v, decay, beta, w->tiled); /* (T,H,P) */
    y = op_gate(s, op_merge(s, op_norm(s, y, w->norm)), gate, ACT_SILU);
    return op_linear(s, y, w->out);
}
