/* What a backend that trains adds: products with matrices that change, attention of a step's rows
 * over themselves, and the way back of every op. Every way back ADDS to gradients; a gradient whose
 * data is NULL is not wanted. Results have the same bits whatever the number of threads: a number
 * that sums over rows is summed by one thread, in order of rows. No call fails; memory is the op's.
 * A gradient may come fresh (GradState): who takes that (tensor_take_fresh) writes all of it;
 * linear, norms and elements do, others get none that is. Shapes: T rows of the step; d_x is the
 * gradient of x and has its shape. */
#ifndef BACKEND_TRAINING_H
#define BACKEND_TRAINING_H

#include "backend/backend.h"
#include "backend/cpu/gemm.h"

/* A matrix as training sees it. */
typedef struct TrainWeight {
    const Weight *w;
    float *grad;      /* (n_mats, n, k); NULL: frozen */
    float *bias_grad; /* (n_mats, n); NULL: frozen, or none */
} TrainWeight;

/* Attention of rows over the rows of their own sequence: no state. Rows of a sequence are
 * neighbours, in order of position, without gaps. */
typedef struct RowsAttention {
    const StepRow *rows;
    Tensor q, k, v; /* (T,H,E), (T,K,E), (T,K,E_v) */
    AttendOptions options;
    GemmPrecision precision;
    Tensor out; /* (T,H,E_v) */
    Tensor lse; /* (T,H): logarithm of the sum of exp of the scores, the sink among them */
} RowsAttention;

/* Experts in the order of MoeWork's pairs (P of them), as the way back needs them. */
typedef struct MoeTraining {
    MoeOptions options;
    MoeWork work;          /* in (P,D), hidden (P,F), result (P,D): all filled as floats */
    Tensor gate, up;       /* (P,F) before the activation; gate without data: none */
    Tensor x, logits, out; /* (T,D), (T,n_experts), (T,D) */
    const Weight *w_gate, *w_up, *w_down; /* w_gate NULL: none */
} MoeTraining;

typedef struct MoeGrads {
    Tensor in, gate, up, hidden, result; /* of the work, zero before */
    Tensor x, logits, out;
    TrainWeight w_gate, w_up, w_down;
} MoeGrads;

typedef struct BackendTraining {
    void (*clear)(Backend *b, Tensor x); /* zeroes */

    /* Whether `linear` takes this frozen matrix too: it was packed ahead. */
    bool (*packed)(Backend *b, const Weight *w);
    /* out = x w' + bias for a matrix that is trained: F32 rows; or one that is packed, with the
     * precision that it was packed for. */
    void (*linear)(Backend *b, Tensor x, const Weight *w, Tensor out, GemmPrecision precision);
    void (*linear_back)(Backend *b, Tensor x, TrainWeight w, Tensor d_out, Tensor d_x,
                        GemmPrecision precision);

    /* d_table (n,k) gets alpha d_out by row; ids (T), negative ones are left out. */
    void (*embed_back)(Backend *b, const int32_t *ids, Tensor d_out, float alpha, float *d_table);

    /* work: norm_work floats. d_weight, d_bias of the shape of the norm's, or NULL. */
    void (*norm_back)(Backend *b, Tensor x, const Norm *norm, Tensor d_out, Tensor d_x,
                      float *d_weight, float *d_bias, float *work);
    void (*rope_back)(Backend *b, Tensor d, const RopeTable *table); /* in place */

    /* d_vector: of the options' vector, (heads * width). Of ELEMENT_ ops: SCALE, ACTIVATE, MUL,
     * GATE, CAP, CLIP, ADD_VECTOR, MUL_VECTOR, MUL_ROWS (whose factors get none), PART, JOIN. */
    void (*element_back)(Backend *b, Tensor x, Tensor y, const ElementOptions *options,
                         Tensor d_out, Tensor d_x, Tensor d_y, float *d_vector);
    void (*wanted_back)(Backend *b, Tensor d_out, const StepRow *rows, Tensor d_x);

    void (*attend)(Backend *b, const RowsAttention *a);
    /* delta: (T,H), work. d_sinks (H) or NULL. */
    void (*attend_back)(Backend *b, const RowsAttention *a, Tensor d_out, Tensor delta, Tensor d_q,
                        Tensor d_k, Tensor d_v, float *d_sinks);

    /* Routing and experts; `trained` says which matrices go through gemm: of each, grad is not
     * NULL. */
    void (*moe)(Backend *b, const MoeTraining *m, const MoeGrads *trained, GemmPrecision precision);
    void (*moe_back)(Backend *b, const MoeTraining *m, const MoeGrads *d, GemmPrecision precision);
    /* `adapt` by products of tiles; run->sum is filled where there is a factor. */
    void (*adapt)(Backend *b, const AdaptRun *run, GemmPrecision precision);
    /* The way back of `adapt`: first that of the weight's product then finds its own gradient in
     * d->out. */
    void (*adapt_back)(Backend *b, const AdaptRun *run, const AdaptGrads *d,
                       GemmPrecision precision);
} BackendTraining;

/* Floats of work of norm_back. */
static inline size_t norm_back_work(Tensor x)
{
    return 2 * (size_t)x.rows * (size_t)x.heads;
}

#endif
