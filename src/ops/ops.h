/* The ops that model code calls. Shapes: T rows of the step, D model, H heads, K kv heads, E head
 * dim, F ffn. A failed step makes every op return an empty tensor and do nothing. A tensor that
 * matrices read has room for its int8 form; op_linear makes that room where it is missing. */
#ifndef OPS_OPS_H
#define OPS_OPS_H

#include "ops/step.h"

/* One number an op, from the table in ops.def; messages name the op by it. */
typedef enum Op {
#define X(name, inputs, backward, check) OP_##name,
#include "ops/ops.def"
#undef X
} Op;

const char *op_name(Op op);
/* Whether the tape can walk back through it (column `backward`). */
bool op_has_grad(Op op);

typedef struct Qkv {
    Tensor q, k, v; /* (T,H,E) (T,K,E) (T,K,E_v) */
} Qkv;

/* Rotary embedding of a model: angle of pair i at position p = p * inverse[i], cos and sin times
 * `magnitude`. */
typedef struct Rope {
    const float *inverse; /* (half) */
    int32_t half;
    int32_t first; /* element of the head where the rotated part begins */
    bool adjacent;
    float magnitude;             /* 1 but for YaRN and LongRoPE */
    const struct Rope *longer;   /* LongRoPE: what serves contexts above `original`; or NULL */
    int32_t original;            /* tokens */
    int32_t sections[ROPE_AXES]; /* M-RoPE: pairs that turn by each axis; all 0: by the first */
    bool interleaved;            /* M-RoPE: axes take turns, pair by pair (Qwen3-VL) */
} Rope;

/* ---- rows in ---- */
/* Rows of the embedding table for the step's tokens, times alpha; rows that bring their embedding
 * are that, as it is: (T,D). */
Tensor op_embed(Step *s, const Weight *table, float alpha);
/* Rows of another table for the step's tokens, times alpha; rows that bring their embedding count
 * as token 0 (Gemma's per-layer inputs). */
Tensor op_embed_tokens(Step *s, const Weight *table, float alpha);
/* Rows of a table of positions for the step's positions: (T,D). */
Tensor op_embed_positions(Step *s, const Weight *table);

/* ---- norms ---- */
/* Each head of x divided by its root mean square, times weight (width). */
Tensor op_rmsnorm(Step *s, Tensor x, const float *weight, float eps);
Tensor op_norm(Step *s, Tensor x, const Norm *norm);

/* ---- matrices ---- */
/* x (T,K) times w transposed, plus its bias: (T,N). */
Tensor op_linear(Step *s, Tensor x, const Weight *w);
/* Head h of x (T,H,K) times matrix h of w (H,N,K) transposed: (T,H,N). */
Tensor op_linear_heads(Step *s, Tensor x, const Weight *w);
/* The three projections of one input, quantised once. Head dims say how the outputs are cut. */
Qkv op_qkv(Step *s, Tensor x, const Weight *wq, const Weight *wk, const Weight *wv, int32_t e_q,
           int32_t e_k, int32_t e_v);
/* down(activation(gate x) * (up x)), or with gate NULL down(activation(up x)): (T,D). */
Tensor op_gated(Step *s, Tensor x, const Weight *gate, const Weight *up, const Weight *down,
                Activation activation);
/* Mixture of experts: weights gate, up (n_experts, F, D) and down (n_experts, D, F). gate may be
 * NULL. `chooser`: what the router reads when it is not x; pass x otherwise. */
Tensor op_moe(Step *s, Tensor x, Tensor chooser, const Weight *router, const Weight *gate,
              const Weight *up, const Weight *down, const MoeOptions *options);

/* ---- positions ---- */
/* cos and sin for the rows of this step; make it before the first layer. */
RopeTable op_rope_table(Step *s, const Rope *rope);
/* Rotates x in place; the result is x. */
Tensor op_rope(Step *s, Tensor x, const RopeTable *table);
/* Per-head norm, then rotation, in one pass, in place. norm NULL: rotation alone. */
Tensor op_norm_rope(Step *s, Tensor x, const Norm *norm, const RopeTable *table);

/* ---- state and attention ---- */
/* Stores k and v as the newest of their sequences in layer l; what is returned is what attention
 * over this layer reads. Of a layer whose values lie in its keys (MLA) v is not read. */
KvLayer op_remember(Step *s, int32_t l, Tensor k, Tensor v);
/* op_norm_rope of k, then op_remember, in one pass over the rows; k is changed in place. */
KvLayer op_rope_remember(Step *s, int32_t l, Tensor k, Tensor v, const Norm *norm,
                         const RopeTable *table);
/* What layer l reads, without storing: of a layer that shares another's state. */
KvLayer op_recall(Step *s, int32_t l);
/* softmax(scale q k') v over what each row sees: (T,H,E_v). */
Tensor op_attend(Step *s, Tensor q, KvLayer kv, const AttendOptions *options);

/* ---- recurrences: rows of a sequence in order, from what layer l remembers of it ---- */
/* activation(bias + causal depthwise convolution of x (T,C)): (T,C). weight (taps, C), the newest
 * input's last; the layer keeps (taps - 1) C floats. bias NULL: 0. */
Tensor op_conv(Step *s, int32_t l, Tensor x, const float *weight, const float *bias,
               Activation activation);
/* Mamba's selective scan of x (T,C) by steps dt (T,C), with b and c (T,N), a (C,N), d (C): (T,C).
 * The layer keeps C N floats. */
Tensor op_scan(Step *s, int32_t l, Tensor x, Tensor dt, Tensor b, Tensor c, const float *a,
               const float *d);
/* Mamba 2 on x (T,H,P) by steps dt (T,H), with b and c (T,G,N), a and d (H): (T,H,P). Head h reads
 * group h / (H / G). The layer keeps H P N floats. */
Tensor op_ssd(Step *s, int32_t l, Tensor x, Tensor dt, Tensor b, Tensor c, const float *a,
              const float *d);
/* The gated delta rule: queries and keys (T,G,N), values (T,H,P), the logarithm of each head's
 * decay and its beta (T,H): (T,H,P). Head h reads group h / (H / G), or h % G when tiled. The layer
 * keeps H P N floats. */
Tensor op_delta(Step *s, int32_t l, Tensor q, Tensor k, Tensor v, Tensor log_decay, Tensor beta,
                bool tiled);

/* ---- elements ---- */
Tensor op_add(Step *s, Tensor x, Tensor y);
Tensor op_mul(Step *s, Tensor x, Tensor y);
Tensor op_scale(Step *s, Tensor x, float alpha);
Tensor op_activate(Step *s, Tensor x, Activation activation);
/* x activation(y): y of x's shape, or of one number a head (T,H,1), or of one a row (T,1). */
Tensor op_gate(Step *s, Tensor x, Tensor y, Activation activation);
/* cap tanh(x / cap); cap 0: x */
Tensor op_cap(Step *s, Tensor x, float cap);
/* x within [-most, most]; most 0: x */
Tensor op_clip(Step *s, Tensor x, float most);
Tensor op_add_vector(Step *s, Tensor x, const float *vector); /* (heads * width of x) */
Tensor op_mul_vector(Step *s, Tensor x, const float *vector);
Tensor op_mul_rows(Step *s, Tensor x, const float *of_row); /* (T), in the arena */

/* Head h of x plus the sum over heads j of y[h H + j] times head j: x (T,H,E), y (T, H H). AltUp
 * (arXiv 2301.13310) predicts its streams so. */
Tensor op_mix(Step *s, Tensor x, Tensor y);
/* Each head of x scaled to the root mean square of the row of y. */
Tensor op_level(Step *s, Tensor x, Tensor y);
/* max(x - (mean + deviations * standard deviation), 0), both over the whole row. */
Tensor op_cut(Step *s, Tensor x, float deviations);
/* In place: heads of x (T,H,E) from `first` on plus alpha + factors[h] times y (T,E); factors (T,H)
 * or a tensor without rows: 0. Returns x. */
Tensor op_spread(Step *s, Tensor x, Tensor y, Tensor factors, float alpha, int32_t first);

/* ---- shapes ---- */
/* (T,H,E) seen as (T, H*E). */
Tensor op_merge(Step *s, Tensor x);
/* (T, H*E) seen as (T,H,E). */
Tensor op_split(Step *s, Tensor x, int32_t heads);
/* Elements [first, first + width) of each head: (T,H,width). Of one head it is no copy: what
 * changes it in place (op_rope, op_norm_rope, op_rope_remember) changes x. */
Tensor op_part(Step *s, Tensor x, int32_t first, int32_t width);
/* Each head of x followed by that of y; y of one head serves all: (T,H,E_x + E_y). */
Tensor op_join(Step *s, Tensor x, Tensor y);
/* Only the rows whose logits (or hidden states) are wanted. */
Tensor op_wanted(Step *s, Tensor x);

#endif
