/* Checks that ops share. Inside src/ops only. */
#ifndef OPS_SHAPES_H
#define OPS_SHAPES_H

#include "ops/ops.h"
#include "ops/tape.h"

static const Tensor no_tensor;

/* Whether the backend is to be called: the step is good, and it computes. */
static inline bool step_computes(const Step *s)
{
    return !step_failed(s) && s->backend->ops->computes;
}

/* The step is good, and where there is a tape the op can be walked back. */
static inline bool op_may(Step *s, Op op)
{
    if (step_failed(s)) return false;
    if (!s->tape || op_has_grad(op)) return true;
    step_fail(s, BT_E_UNSUPPORTED, "op %s cannot be trained through", op_name(op));
    return false;
}

/* The pairs that the table turns lie within a head of x. */
bool rope_fits(Step *s, Op op, Tensor x, const RopeTable *table);

static inline bool same_shape(Step *s, Op op, Tensor x, Tensor y)
{
    if (!op_may(s, op)) return false;
    if (x.rows == y.rows && tensor_row(x) == tensor_row(y)) return true;
    step_fail(s, BT_E_INTERNAL, "%s: (%lld,%zu) against (%lld,%zu)", op_name(op), (long long)x.rows,
              tensor_row(x), (long long)y.rows, tensor_row(y));
    return false;
}

#endif
