/* A step: rows of any mix of sequences going through a model at once. Ops take memory for their
 * results from the step's arena; the first failure sticks and later ops do nothing, so the caller
 * looks once, at the end. */
#ifndef OPS_STEP_H
#define OPS_STEP_H

#include <stdatomic.h>

#include "backend/backend.h"
#include "base/arena.h"
#include "base/status.h"
#include "state/state.h"

struct Tape;

typedef struct Step {
    Backend *backend;
    Arena *arena;
    State *state;      /* NULL under the plan backend, and where there is a tape */
    struct Tape *tape; /* NULL but in training: see ops/tape.h */
    const LayerSpec *layers;
    const StepRow *rows; /* (n_rows) */
    int32_t n_rows;
    const Adapters *const *sets; /* (n_sets) that rows of this step may have */
    int32_t n_sets;              /* 0: no row has any */
    int32_t n_wanted;            /* rows whose logits are asked for */
    int32_t n_ctx;               /* tokens that a sequence may reach */
    bool hidden;                 /* the answer is the final hidden state, not logits */
    atomic_bool *cancel;         /* may be NULL; checked between layers */
    bt_status status;
    bt_error *err;
} Step;

static inline bool step_failed(const Step *s)
{
    return s->status != BT_OK;
}

/* Records the first failure. */
void step_fail(Step *s, bt_status status, const char *format, ...) BT_PRINTF(3, 4);

/* A tensor in the arena; with `twin` there is room for its int8 form. */
Tensor step_tensor(Step *s, int64_t rows, int32_t heads, int32_t width, bool twin);
/* x itself, with room for its int8 form if it had none. */
Tensor step_twin(Step *s, Tensor x);
void *step_memory(Step *s, size_t bytes);

/* The stream that runs through the layers lies at a mark taken before it was made. step_keep gives
 * back all memory taken since the mark but what x holds, and looks whether the step was cancelled:
 *     size_t mark = step_mark(s);  x = op_embed(...);  for each part: x = step_keep(s, mark, x); */
size_t step_mark(Step *s);
Tensor step_keep(Step *s, size_t mark, Tensor x);

/* A part of the forward whose only input is x and whose result has x's shape, called for layer l:
 * what it makes in between may be thrown away and made again (see ops/tape.h). `context` (size
 * bytes) is copied where it must last. */
typedef Tensor (*StepBlockFn)(Step *s, const void *context, int32_t l, Tensor x);
Tensor step_block(Step *s, StepBlockFn fn, const void *context, size_t size, int32_t l, Tensor x);

#endif
