/* The tape: what a step must remember so that it can be walked back, which is training. Model code
 * is the same; Step.tape makes its ops record.
 *
 * Memory. The step's arena is one block, and the gradients lie in another of the same size, each at
 * the place of its tensor: tape_grad(s, x). So views share their gradient as they share their data,
 * and an op in place (a rotation) turns its gradient in place. Every way back adds to the gradients
 * of its inputs; who comes first finds zeros, or writes all of it (GradState). Records lie in the
 * arena too: whoever plans a step with a tape (backend_plan, a counting arena) counts them, and
 * nothing is allocated after.
 *
 * Blocks. Of a block (step_block) only x and the result are kept; walking back runs it again from
 * x, this time recording. So the arena holds one stream tensor a layer, and what one block makes.
 *
 * Attention has no state: rows of one sequence stand together in the step, in order of position,
 * and see their own sequence only. Documents packed into a step are sequences 0, 1, 2 ...
 *
 * The loss is a callback that gets the logits in chunks of rows, so that rows times vocabulary
 * never lie in memory at once. Gradients of parameters are the owner's, found by key. An op without
 * a way back (NO_GRAD in ops.def) fails the step and says so. */
#ifndef OPS_TAPE_H
#define OPS_TAPE_H

#include "backend/cpu/gemm.h"
#include "ops/step.h"

/* Where the gradient of a parameter is added up. `key`: the Weight that ops are given, or the
 * vector (weights of a norm, a bias). A matrix has n_mats * n * k numbers in order of its rows,
 * whatever the rows' stride. What is in no table is frozen. */
typedef struct TapeParam {
    const void *key;
    float *grad;
    size_t n;
} TapeParam;

/* Rows [first, first + logits.rows) of those whose logits the step wants, in order. Adds to its own
 * sum of the loss and fills d (of the shape of logits, zero before; data NULL when only the loss is
 * wanted) with its gradient. Called on the thread that runs the step. False fails the step, with
 * the reason from step_fail. */
typedef bool (*TapeLossFn)(void *context, Step *s, int64_t first, Tensor logits, Tensor d);

/* logits (rows of x, vocabulary) from the stream's rows x */
typedef Tensor (*TapeHeadFn)(Step *s, const void *model, Tensor x);
/* In place of the head: rows of the stream whose logits the step wants, and what makes them. `head`
 * may be called until the arena is reset below where it stands now; under the plan backend it is
 * called at once, as large as it will be. Only where nothing is recorded (forward_only). */
typedef void (*TapeHoldFn)(void *context, Step *s, TapeHeadFn head, const void *model, Tensor x);

typedef struct TapeNode TapeNode;

typedef struct Tape {
    const TapeParam *params; /* (n_params), sorted by tape_sort; outlive the tape */
    size_t n_params;
    unsigned char *grad;     /* as large as the step's arena, 64-byte aligned; NULL when planning */
    GemmPrecision precision; /* of products with matrices that are trained */
    bool keep_blocks;        /* blocks keep all they make: faster, memory of all layers; */
    int32_t keep_from;       /* but those of layers below this one run again as ever */
    bool forward_only;       /* the loss is wanted, no gradient */
    TapeLossFn loss;         /* NULL: the forward gives all logits, as ever */
    TapeHoldFn hold;         /* in place of the loss, or NULL */
    void *loss_context;      /* of either */
    size_t logits_bytes;     /* of a chunk of logits; 0: 32 MiB */
    /* the tape's own */
    TapeNode *last;
    bool recording;
    size_t floor; /* of the arena: what lies below outlives the block that runs */
} Tape;

/* Sorts the table by key, as the tape looks for them. */
void tape_sort(TapeParam *params, size_t n);

/* Runs the forward and walks it back; `grad`s of the parameters are added to, not cleared. With the
 * plan backend counts the arena that this takes (arena->peak). s->tape is set, s->state NULL; look
 * at s->status. */
typedef Tensor (*TapeForwardFn)(Step *s, const void *model);
void tape_run(Step *s, TapeForwardFn forward, const void *model);

/* The same in parts, where the caller has no loss callback: begin, forward, fill
 * tape_grad(s, result), back. */
void tape_begin(Step *s);
void tape_back(Step *s);

/* The gradient of a parameter, or NULL: frozen. s->tape may be NULL. */
float *tape_param(const Step *s, const void *key);

/* The gradient of a tensor of the arena, of its shape; data NULL when planning or not training. It
 * holds numbers: zeros where nothing was added yet. */
Tensor tape_grad(const Step *s, Tensor x);
/* The same for those who add: where nothing was, and x is all of its tensor, its state stays with
 * it, and what was there is not defined until tensor_take_fresh was asked and all was written. */
Tensor tape_grad_fresh(const Step *s, Tensor x);

/* ---- the end of a model ---- */

/* Calls `head`: once without a tape or loss callback, for its result; else for chunks of rows, each
 * of which goes to the callback and is walked back at once; then returns an empty tensor. `n_vocab`
 * sizes the chunks. */
Tensor tape_head(Step *s, TapeHeadFn head, const void *model, int64_t n_vocab, Tensor x);

/* ---- for ops ---- */

static inline bool tape_records(const Step *s)
{
    return s->tape && s->tape->recording && !step_failed(s);
}

/* The state of a new tensor's gradient, in the arena. */
GradState *tape_state(Step *s, Tensor x);
/* Remembers to call back(s, saved) on the way back; `saved` (size bytes) is copied. Call it after
 * the op has its result. */
typedef void (*TapeBackFn)(Step *s, const void *saved);
void tape_record(Step *s, TapeBackFn back, const void *saved, size_t size);
/* Counts memory that `back` will take by step_memory; it is given back when it returns. */
void tape_reserve(Step *s, size_t bytes);

#endif
