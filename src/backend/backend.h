/* What a backend computes. Ops (floor 3) check shapes and reserve memory; a backend only fills it.
 * Backends: cpu/ runs at once on a team of threads, plan/ does nothing, so that the same forward
 * counts bytes. Shapes: T rows of the step. No call here fails: all memory is there. */
#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H

#include "backend/adapter.h"
#include "kernels/activation.h"
#include "tensor/tensor.h"

#define KV_BLOCK  64 /* tokens of a state block; attention runs over whole blocks */
#define ROPE_AXES 4  /* of a position: time, height, width, spare (M-RoPE) */

/* One row of a step: a token of a sequence at a position. */
typedef struct StepRow {
    int32_t token;
    int32_t sequence;
    int32_t position;         /* in the sequence: where its state goes */
    bool want;                /* its logits are asked for */
    int32_t axis[ROPE_AXES];  /* what RoPE turns by: `position` on every axis, but for images */
    const float *embedding;   /* (D) instead of the token's; NULL: the token's */
    const Adapters *adapters; /* NULL: none */
} StepRow;

/* The keys and values of one layer, in blocks of KV_BLOCK tokens. In a block each kv head has its
 * keys (KV_BLOCK rows of k_row bytes), then its values (KV_BLOCK rows of v_row bytes); with v_in_k
 * (MLA) a value is the beginning of its key's row and takes no bytes of its own. */
typedef struct KvLayer {
    uint32_t k_type, v_type; /* DT_F32, DT_BF16, DT_F16, DT_Q8_0, DT_Q4_0 */
    int32_t kv_heads, e_k, e_v;
    bool v_in_k;
    size_t k_row, v_row, v_offset, head_bytes, block_bytes; /* v_offset: of the values in a head */
    unsigned char *base;
    /* (sequences, table_stride): block numbers in order of position. Of a layer that forgets, only
     * the entries that a row of this step can see. */
    const int32_t *tables;
    int32_t table_stride;
    Tensor k, v; /* in training there is no state: the keys and values of the step's own rows */
} KvLayer;

/* The recurrent state of one layer: of each sequence `conv` floats, the tail of a convolution, then
 * `recurrent` floats, whose shape is the op's. Zero where a sequence begins. */
typedef struct RecurrentLayer {
    float *base;
    size_t stride; /* floats from block to block */
    size_t conv, recurrent;
    const int32_t *blocks; /* (sequences, table_stride): the first entry of each is its block */
    int32_t table_stride;
} RecurrentLayer;

/* Which keys a row at position p sees; plain: all up to itself. */
typedef enum AttendSpan {
    ATTEND_PAST,   /* 0 .. p */
    ATTEND_WINDOW, /* p - span + 1 .. p */
    ATTEND_CHUNK,  /* span * (p / span) .. p */
    ATTEND_BOTH,   /* encoders: all rows of its sequence; these must all be in this step */
    ATTEND_AROUND  /* encoders: p - span / 2 .. p + span / 2 */
} AttendSpan;

typedef struct AttendOptions {
    float scale;    /* of q.k; usually 1/sqrt(e_k) */
    float soft_cap; /* 0: none */
    AttendSpan see;
    int32_t span;
    const float *sinks; /* (H) logits that join each head's softmax and carry no value; or NULL */
} AttendOptions;

/* cos and sin of every row's angles, (T, half). */
typedef struct RopeTable {
    float *cos, *sin;
    int32_t half;  /* pairs rotated; a head may be wider (partial rotary) */
    int32_t first; /* element of the head where the rotated part begins */
    bool adjacent; /* pairs (2i, 2i+1), else (i, i + half) */
} RopeTable;

/* A norm of each head of each row: x / rms(x), or (x - mean) / deviation, times weight, plus bias.
 * weight and bias NULL: 1 and 0. */
typedef struct Norm {
    const float *weight, *bias; /* (width), or (heads, width) */
    float eps;
    bool centred;   /* LayerNorm, else RMSNorm */
    bool each_head; /* every head has its own weights */
} Norm;

/* Element-wise work. y has the shape of x, unless said; ops that read none are given x again. */
typedef enum ElementOp {
    ELEMENT_SCALE,      /* alpha x */
    ELEMENT_ACTIVATE,   /* activation(x) */
    ELEMENT_MUL,        /* x y */
    ELEMENT_GATE,       /* x activation(y); y of one number a head, or of one a row, serves all */
    ELEMENT_CAP,        /* alpha tanh(x / alpha) */
    ELEMENT_CLIP,       /* x within [-alpha, alpha] */
    ELEMENT_ADD_VECTOR, /* x + vector, (heads * width) */
    ELEMENT_MUL_VECTOR, /* x vector */
    ELEMENT_MUL_ROWS,   /* x vector[row] */
    ELEMENT_PART,       /* elements [first, first + width of out) of each head */
    ELEMENT_JOIN,       /* each head of x followed by that of y, or by y's only one */
    ELEMENT_MIX,        /* head h of x + sum over heads j of y[h heads + j] x[j] */
    ELEMENT_LEVEL,      /* each head of x scaled to the root mean square of y's row */
    ELEMENT_CUT,        /* max(x - (mean + alpha deviation), 0), both over the row */
    ELEMENT_SPREAD /* x, heads from `first` on plus (alpha + the head's factor) y; y (T, width);
                    * out is x */
} ElementOp;

typedef struct ElementOptions {
    ElementOp op;
    Activation activation;
    float alpha;
    const float *vector;
    int32_t first;
    Tensor factors; /* spread: (T, heads); none: 0 */
} ElementOptions;

typedef enum MoeScores {
    MOE_SOFTMAX,      /* over all experts */
    MOE_SIGMOID,      /* each on its own */
    MOE_SOFTMAX_USED, /* over the chosen ones, after the choice */
    MOE_SPARSE_MIXER, /* one after another, each by a softmax over those near the best left */
} MoeScores;

/* Routing of a mixture of experts. */
typedef struct MoeOptions {
    int32_t n_experts, n_used;
    bool renormalise; /* chosen weights are scaled to sum 1 */
    float nearness;   /* MOE_SPARSE_MIXER: how far below the best counts as near, of their size */
    MoeScores scores;
    const float *bias; /* (n_experts) added to the scores for the choice only; or NULL */
    int32_t n_groups, groups_used; /* experts of other groups are out; groups_used 0: no groups */
    bool group_top1;               /* a group counts by its best score, else by its two best */
    float scale;                   /* of the chosen weights; 0: 1 */
    bool weigh_input;              /* the weight multiplies the expert's input, not its output */
    Activation activation;
} MoeOptions;

/* Scratch of op_moe, reserved by the op: P = T * n_used pairs of (row, expert). */
typedef struct MoeWork {
    int32_t *expert; /* (T, n_used) chosen */
    float *share;    /* (T, n_used) weights */
    int32_t *begin;  /* (n_experts + 1) first pair of each expert, pairs sorted by expert */
    int32_t *choice; /* (P) which choice (row * n_used + u) each pair is */
    int32_t *slot;   /* (T, n_used) the pair of each choice */
    int32_t *active; /* (n_experts) those that have pairs */
    float *score;    /* (T, n_experts) what the choice goes by */
    Tensor in;     /* (P, D) rows gathered in pair order; only its twin when weights are paneled */
    Tensor hidden; /* (P, F) */
    Tensor result; /* (P, D) */
    /* Where adapters touch gate, up or down: */
    bool adapted;
    const StepRow *rows;
    Tensor gate; /* (P, F) */
    float *room; /* A x of the rows of an expert */
} MoeWork;

/* Rows of a step by sequence, in order of position: sequences may take turns in a step. */
typedef struct RowChains {
    int32_t n;      /* sequences */
    int32_t *first; /* (n) the first row of each */
    int32_t *next;  /* (T) the next row of the same sequence; -1: none */
} RowChains;

/* Causal depthwise convolution. Row t of weight is that of the input taps - 1 - t rows ago. */
typedef struct ConvOptions {
    int32_t taps;
    const float *weight; /* (taps, C) */
    const float *bias;   /* (C) or NULL */
    Activation activation;
} ConvOptions;

typedef enum RecurrenceKind {
    RECUR_SCAN, /* Mamba: kernel scan_rows; state (C, N) in panels */
    RECUR_SSD,  /* Mamba 2: kernel ssd_rows; state H times (P, N) in panels */
    RECUR_DELTA /* gated delta rule: kernel delta_rows; state H times (P, N) in panels */
} RecurrenceKind;

/* G heads of b and c serve the H heads of x: head h reads h / (H / G), or h % G when tiled. */
typedef struct Recurrence {
    RecurrenceKind kind;
    Tensor x;           /* scan (T,C); else (T,H,P): delta's values */
    Tensor step;        /* dt: scan (T,C), ssd (T,H); delta: the decay's logarithm (T,H) */
    Tensor b, c;        /* scan (T,N); else (T,G,N): delta's keys and queries */
    Tensor beta;        /* delta (T,H) */
    const float *a, *d; /* scan (C,N), in panels as the state (state_at), and (C); ssd (H) each */
    bool tiled;
} Recurrence;

typedef struct Backend Backend;

struct BackendTraining;

typedef struct BackendOps {
    const char *name;
    bool computes; /* false: plan; the calls below are not made and data pointers are NULL */
    void (*close)(Backend *b);
    /* out[i] (T, n of w[i]) = x (T, K) times w[i] transposed, plus its bias. All share x. */
    void (*linear)(Backend *b, Tensor x, const Weight *const *w, const Tensor *out, int count);
    /* out (T, n_mats, n): head h of x (T, n_mats, K) times matrix h of w transposed. */
    void (*linear_heads)(Backend *b, Tensor x, const Weight *w, Tensor out);
    /* out (T, F) = activation(x gate') * (x up'); gate NULL: activation(x up'). Where out's twin is
     * `alone` only the twin need be filled. */
    void (*gated)(Backend *b, Tensor x, const Weight *gate, const Weight *up, Activation activation,
                  Tensor out);
    void (*embed)(Backend *b, const Weight *table, const int32_t *ids, Tensor out);
    void (*norm)(Backend *b, Tensor x, const Norm *norm, Tensor out); /* out may be x */
    /* In place: the norm (NULL: none), then the rotation. */
    void (*norm_rope)(Backend *b, Tensor x, const Norm *norm, const RopeTable *table);
    void (*add)(Backend *b, Tensor x, Tensor y, Tensor out); /* out may be x or y */
    void (*element)(Backend *b, Tensor x, Tensor y, const ElementOptions *options, Tensor out);
    /* Stores k (T, kv heads, e_k) and v (T, kv heads, e_v) at the rows' positions. With a table k
     * goes through norm_rope on its way, and is changed. */
    void (*remember)(Backend *b, const KvLayer *kv, const StepRow *rows, Tensor k, Tensor v,
                     const Norm *norm, const RopeTable *table);
    /* out (T, H, e_v): each row of q (T, H, e_k) sees its sequence as the options say. */
    void (*attend)(Backend *b, const KvLayer *kv, const StepRow *rows, Tensor q,
                   const AttendOptions *options, Tensor out);
    /* out (T, D) = sum over chosen experts of share * down(activation(gate x) * up x);
     * logits (T, n_experts). gate NULL: down(activation(up x)). */
    void (*moe)(Backend *b, Tensor x, Tensor logits, const Weight *gate, const Weight *up,
                const Weight *down, const MoeOptions *options, const MoeWork *work, Tensor out);
    /* out (T, C): x (T, C) of each sequence convolved with the inputs before; its tail moves on. */
    void (*conv)(Backend *b, const RecurrentLayer *layer, const StepRow *rows,
                 const RowChains *chains, Tensor x, const ConvOptions *options, Tensor out);
    /* out (T, H, P), or (T, C): each sequence's state takes its rows one after the other. */
    void (*recur)(Backend *b, const RecurrentLayer *layer, const StepRow *rows,
                  const RowChains *chains, const Recurrence *r, Tensor out);
    /* Adds what an adapter makes of some rows to the product that run->out holds. */
    void (*adapt)(Backend *b, const AdaptRun *run);
    /* out (wanted rows, D) = the rows of x whose logits are wanted. */
    void (*wanted)(Backend *b, Tensor x, const StepRow *rows, Tensor out);
    const struct BackendTraining *training; /* see training.h; NULL: it cannot train */
} BackendOps;

struct Backend {
    const BackendOps *ops;
};

/* Computes nothing, so that the same forward counts bytes; a static object. */
Backend *backend_plan(void);

#endif
