/* An activation: rows of float32, row-major, in the arena of a step. Passed by value; a view
 * shares data and twin. `data` is NULL under the plan backend, which only counts. */
#ifndef TENSOR_TENSOR_H
#define TENSOR_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The int8 form of a tensor, made once however many matrices read it: signed codes, a scale for
 * each 32 of a row, and sums of the codes, scaled and plain (see kernels/panel.h). */
typedef struct Twin {
    int8_t *q;
    float *scale, *sum32, *sum16;
    int16_t *q_sum16;
    size_t q_stride, g_stride; /* elements from row to row of q; of scale and sum32 */
    bool ready;
    bool alone; /* nobody reads the floats: whoever makes the tensor may leave them out */
} Twin;

/* In training: of a tensor that an op made, what became of its gradient. */
typedef struct GradState {
    float *data; /* all of the gradient */
    size_t n;
    bool
        fresh; /* nothing was written to it: the first may write instead of add, if it writes all */
} GradState;

typedef struct Tensor {
    float *data;      /* (rows, heads, width) */
    int64_t rows;     /* T: rows of the step, or fewer */
    int32_t heads;    /* 1 unless the row is cut into heads */
    int32_t width;    /* elements a head; the row has heads * width */
    Twin *twin;       /* NULL: never read by a quantised matrix */
    size_t stride;    /* floats from row to row of a part of another tensor; 0: rows are adjacent */
    GradState *state; /* NULL but in training */
} Tensor;

static inline size_t tensor_row(Tensor t)
{
    return (size_t)t.heads * (size_t)t.width;
}

static inline size_t tensor_stride(Tensor t)
{
    return t.stride ? t.stride : tensor_row(t);
}

static inline float *tensor_at(Tensor t, int64_t row)
{
    return t.data + (size_t)row * tensor_stride(t);
}

/* Whether what is a gradient, whole, may be written over: then it counts as written. */
static inline bool tensor_take_fresh(Tensor d)
{
    if (!d.state || !d.state->fresh) return false;
    d.state->fresh = false;
    return true;
}

#endif
