/* What ops record for the way back, and the forms they take under a tape. Inside src/ops only; each
 * record_ function does nothing unless the tape records. */
#ifndef OPS_BACK_H
#define OPS_BACK_H

#include "backend/training.h"
#include "ops/shapes.h"

static inline const BackendTraining *training_of(const Step *s)
{
    return s->backend->ops->training;
}

/* The matrix with where its gradients go. w NULL: nothing. */
TrainWeight train_weight(const Step *s, const Weight *w);
/* Whether products with w go by gemm. False too after a failure: a matrix that is trained and not
 * F32 rows. */
bool train_by_gemm(Step *s, const Weight *w);
/* x with room for its int8 form where one of these (NULL: none) reads that. */
Tensor train_twin(Step *s, Tensor x, const Weight *a, const Weight *b, const Weight *c);

/* Adds d to the gradient of x. */
void back_add(Step *s, Tensor d, Tensor x);

/* ids (T) in the arena; negative ones had no row. */
void record_embed(Step *s, const Weight *table, const int32_t *ids, float alpha, Tensor out);
void record_norm(Step *s, Tensor x, const Norm *norm, Tensor out);
void record_linear(Step *s, Tensor x, const Weight *w, Tensor out);
void record_rope(Step *s, Tensor x, const RopeTable *table);
void record_add(Step *s, Tensor x, Tensor y, Tensor out);
void record_element(Step *s, Tensor x, Tensor y, const ElementOptions *options, Tensor out);
void record_wanted(Step *s, Tensor x, Tensor out);

/* op_attend and op_moe under a tape; shapes are checked. */
Tensor train_attend(Step *s, Tensor q, const KvLayer *kv, const AttendOptions *options);
Tensor train_moe(Step *s, Tensor x, Tensor logits, const Weight *gate, const Weight *up,
                 const Weight *down, const MoeOptions *options);

#endif
