/* What a backend computes. Ops (floor 3) check shapes and reserve memory; a backend only fills it.
 * Backends: cpu/ runs at once on a team of threads, plan/ does nothing, so that the same forward
 * counts bytes. Shapes: T rows of the step. No call here fails: all memory is there. */
#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H

#include "backend/weight.h"
#include "tensor/tensor.h"

#define KV_BLOCK 64 /* tokens of a state block; attention runs over whole blocks */

/* One row of a step: a token of a sequence at a position. */
typedef struct StepRow {
    int32_t token;
    int32_t sequence;
    int32_t position;
    bool want; /* its logits are asked for */
} StepRow;

/* The keys and values of one layer, in blocks of KV_BLOCK tokens. In a block each kv head has its
 * keys (KV_BLOCK rows of k_row bytes), then its values (KV_BLOCK rows of v_row bytes). */
typedef struct KvLayer {
    uint32_t type; /* DT_F32, DT_BF16, DT_F16, DT_Q8_0 */
    int32_t kv_heads, e_k, e_v;
    size_t k_row, v_row, head_bytes, block_bytes;
    unsigned char *base;
    const int32_t *tables; /* (sequences, table_stride): block numbers in order of position */
    int32_t table_stride;
} KvLayer;

typedef struct AttendOptions {
    float scale;    /* of q.k; usually 1/sqrt(e_k) */
    float soft_cap; /* 0: none */
} AttendOptions;

/* cos and sin of every row's angles, (T, half). */
typedef struct RopeTable {
    float *cos, *sin;
    int32_t half;  /* pairs rotated; a head may be wider (partial rotary) */
    bool adjacent; /* pairs (2i, 2i+1), else (i, i + half) */
} RopeTable;

/* Routing of a mixture of experts. */
typedef struct MoeOptions {
    int32_t n_experts, n_used;
    bool renormalise; /* chosen softmax weights are scaled to sum 1 */
} MoeOptions;

/* Scratch of op_moe, reserved by the op: P = T * n_used pairs of (row, expert). */
typedef struct MoeWork {
    int32_t *expert; /* (T, n_used) chosen */
    float *share;    /* (T, n_used) weights */
    int32_t *begin;  /* (n_experts + 1) first pair of each expert, pairs sorted by expert */
    int32_t *source; /* (P) the row of each pair */
    int32_t *slot;   /* (T, n_used) the pair of each choice */
    Tensor in;     /* (P, D) rows gathered in pair order; only its twin when weights are paneled */
    Tensor hidden; /* (P, F) */
    Tensor result; /* (P, D) */
} MoeWork;

typedef struct Backend Backend;

typedef struct BackendOps {
    const char *name;
    bool computes; /* false: plan, data pointers are NULL */
    void (*close)(Backend *b);
    /* out[i] (T, n of w[i]) = x (T, K) times w[i] transposed, plus its bias. All share x. */
    void (*linear)(Backend *b, Tensor x, const Weight *const *w, const Tensor *out, int count);
    /* out (T, F) = silu(x gate') * (x up'). */
    void (*swiglu)(Backend *b, Tensor x, const Weight *gate, const Weight *up, Tensor out);
    void (*embed)(Backend *b, const Weight *table, const StepRow *rows, Tensor out);
    /* Each head of each row normalised on its own; weight has `width` elements. out may be x. */
    void (*rmsnorm)(Backend *b, Tensor x, const float *weight, float eps, Tensor out);
    void (*rope)(Backend *b, Tensor x, const RopeTable *table); /* in place */
    void (*norm_rope)(Backend *b, Tensor x, const float *weight, float eps,
                      const RopeTable *table);               /* in place */
    void (*add)(Backend *b, Tensor x, Tensor y, Tensor out); /* out may be x or y */
    /* Stores k (T, kv heads, e_k) and v (T, kv heads, e_v) at the rows' positions. */
    void (*remember)(Backend *b, const KvLayer *kv, const StepRow *rows, Tensor k, Tensor v);
    /* out (T, H, e_v): each row of q (T, H, e_k) sees its sequence up to its own position. */
    void (*attend)(Backend *b, const KvLayer *kv, const StepRow *rows, Tensor q,
                   const AttendOptions *options, Tensor out);
    /* out (T, D) = sum over chosen experts of share * down(silu(gate x) * up x);
     * logits (T, n_experts). */
    void (*moe)(Backend *b, Tensor x, Tensor logits, const Weight *gate, const Weight *up,
                const Weight *down, const MoeOptions *options, const MoeWork *work, Tensor out);
    /* out (wanted rows, D) = the rows of x whose logits are wanted. */
    void (*wanted)(Backend *b, Tensor x, const StepRow *rows, Tensor out);
} BackendOps;

struct Backend {
    const BackendOps *ops;
};

/* Does nothing; a static object. */
Backend *backend_plan(void);

#endif
