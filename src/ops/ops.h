/* The ops that model code calls. Shapes: T rows of the step, D model, H heads, K kv heads, E head
 * dim, F ffn. A failed step makes every op return an empty tensor and do nothing. */
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

typedef struct Qkv {
    Tensor q, k, v; /* (T,H,E) (T,K,E) (T,K,E_v) */
} Qkv;

/* Rotary embedding of a model: angle of pair i at position p = p * inverse[i], cos and sin times
 * `magnitude`. */
typedef struct Rope {
    const float *inverse; /* (half) */
    int32_t half;
    bool adjacent;
    float magnitude; /* 1 but for YaRN and LongRoPE */
} Rope;

/* Rows of the embedding table for the step's tokens: (T,D). */
Tensor op_embed(Step *s, const Weight *table);
/* Each head of x divided by its root mean square, times weight (width). */
Tensor op_rmsnorm(Step *s, Tensor x, const float *weight, float eps);
/* x (T,K) times w transposed, plus its bias: (T,N). */
Tensor op_linear(Step *s, Tensor x, const Weight *w);
/* The three projections of one input, quantised once. head dims say how the outputs are cut. */
Qkv op_qkv(Step *s, Tensor x, const Weight *wq, const Weight *wk, const Weight *wv, int32_t e_k,
           int32_t e_v);
/* down(silu(gate x) * (up x)): (T,D). */
Tensor op_swiglu(Step *s, Tensor x, const Weight *gate, const Weight *up, const Weight *down);
/* cos and sin for the rows of this step; make it before the first layer. */
RopeTable op_rope_table(Step *s, const Rope *rope);
Tensor op_rope(Step *s, Tensor x, const RopeTable *table);
/* Per-head norm, then rotation, in one pass. weight NULL: rotation alone. */
Tensor op_norm_rope(Step *s, Tensor x, const float *weight, float eps, const RopeTable *table);
/* Stores k and v as the newest of their sequences in layer l; what is returned is what attention
 * over this layer reads. */
KvLayer op_remember(Step *s, int32_t l, Tensor k, Tensor v);
/* softmax(scale q k') v over each row's own past: (T,H,E_v). */
Tensor op_attend(Step *s, Tensor q, KvLayer kv, const AttendOptions *options);
/* (T,H,E) seen as (T, H*E). */
Tensor op_merge(Step *s, Tensor x);
Tensor op_add(Step *s, Tensor x, Tensor y);
/* Mixture of experts: weights gate, up (n_experts, F, D) and down (n_experts, D, F). */
Tensor op_moe(Step *s, Tensor x, const Weight *router, const Weight *gate, const Weight *up,
              const Weight *down, const MoeOptions *options);
/* Only the rows whose logits are wanted. */
Tensor op_wanted(Step *s, Tensor x);

#endif
