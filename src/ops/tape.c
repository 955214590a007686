/* The tape: records in the arena, blocks that are run again, the head in chunks (see tape.h). */
#include "ops/tape.h"

#include <stdlib.h>
#include <string.h>

#include "ops/back.h"

#define LOGITS_BYTES ((size_t)32 << 20)

/* A record; what the op saved follows it. */
struct TapeNode {
    _Alignas(64) TapeNode *before;
    TapeBackFn back;
    size_t used; /* of the arena: all that the op made lies below */
};

static int by_key(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const TapeParam *)a)->key,
              y = (uintptr_t)((const TapeParam *)b)->key;
    return (x > y) - (x < y);
}

void tape_sort(TapeParam *params, size_t n)
{
    if (n) qsort(params, n, sizeof *params, by_key);
}

float *tape_param(const Step *s, const void *key)
{
    const Tape *t = s->tape;
    if (!t || !t->n_params || !key) return NULL;
    TapeParam wanted = {.key = key};
    const TapeParam *p = bsearch(&wanted, t->params, t->n_params, sizeof wanted, by_key);
    return p ? p->grad : NULL;
}

/* Where the gradient of x lies. */
static Tensor place_of(const Step *s, Tensor x)
{
    const Tape *t = s->tape;
    x.twin = NULL;
    if (!t || !t->grad || !x.data)
        x.data = NULL;
    else
        x.data = (float *)(void *)(t->grad + ((unsigned char *)x.data - s->arena->base));
    return x;
}

static size_t count_of(Tensor x)
{
    return (size_t)x.rows * tensor_row(x);
}

Tensor tape_grad(const Step *s, Tensor x)
{
    Tensor d = place_of(s, x);
    GradState *state = x.state;
    d.state = NULL;
    if (!d.data || !state || !state->fresh) return d;
    state->fresh = false;
    Tensor all = {.data = state->data, .rows = (int64_t)state->n, .heads = 1, .width = 1};
    training_of(s)->clear(s->backend, all);
    return d;
}

Tensor tape_grad_fresh(const Step *s, Tensor x)
{
    const GradState *state = x.state;
    Tensor d = place_of(s, x);
    bool whole = state && state->data == d.data && state->n == count_of(x) &&
                 tensor_stride(x) == tensor_row(x);
    return whole && state->fresh ? d : tape_grad(s, x);
}

GradState *tape_state(Step *s, Tensor x)
{
    GradState *state = step_memory(s, sizeof *state);
    Tensor d = place_of(s, x);
    if (state) *state = (GradState){d.data, count_of(x), true};
    return state;
}

void tape_record(Step *s, TapeBackFn back, const void *saved, size_t size)
{
    if (!tape_records(s)) return;
    TapeNode *n = step_memory(s, sizeof *n + size);
    if (!n) return;
    *n = (TapeNode){.before = s->tape->last, .back = back, .used = arena_mark(s->arena)};
    memcpy(n + 1, saved, size);
    s->tape->last = n;
}

void tape_reserve(Step *s, size_t bytes)
{
    if (!tape_records(s)) return;
    size_t mark = arena_mark(s->arena);
    step_memory(s, bytes);
    if (!step_failed(s)) arena_reset(s->arena, mark);
}

/* Down to `until`, which is not taken. Ops that run on the way do not record. */
static void walk_back(Step *s, const TapeNode *until)
{
    Tape *t = s->tape;
    bool recording = t->recording;
    t->recording = false;
    while (t->last != until && !step_failed(s)) {
        const TapeNode *n = t->last;
        t->last = n->before;
        arena_reset(s->arena, n->used);
        n->back(s, n + 1);
    }
    t->recording = recording;
}

void tape_begin(Step *s)
{
    Tape *t = s->tape;
    t->last = NULL;
    t->floor = 0;
    t->recording = !t->forward_only;
    if (s->backend->ops->computes && !training_of(s))
        step_fail(s, BT_E_UNSUPPORTED, "backend %s cannot train", s->backend->ops->name);
}

void tape_back(Step *s)
{
    walk_back(s, NULL);
    s->tape->recording = false;
    s->tape->last = NULL;
}

void tape_run(Step *s, TapeForwardFn forward, const void *model)
{
    tape_begin(s);
    forward(s, model);
    tape_back(s);
}

/* ---- blocks ---- */

typedef struct BlockRecord {
    StepBlockFn fn;
    const void *context;
    int32_t l;
    Tensor x, out;
} BlockRecord;

static void copy_rows(Tensor from, Tensor to)
{
    for (int64_t i = 0; i < from.rows; i++)
        memcpy(tensor_at(to, i), tensor_at(from, i), tensor_row(from) * sizeof(float));
}

/* Runs it again, recording, and walks that back. */
static void block_back(Step *s, const void *saved)
{
    const BlockRecord *b = saved;
    Tape *t = s->tape;
    const TapeNode *until = t->last;
    t->recording = true;
    Tensor y = b->fn(s, b->context, b->l, b->x);
    t->recording = false;
    if (step_failed(s)) return;
    back_add(s, tape_grad(s, b->out), y);
    walk_back(s, until);
}

Tensor step_block(Step *s, StepBlockFn fn, const void *context, size_t size, int32_t l, Tensor x)
{
    Tape *t = s->tape;
    if (!tape_records(s) || (t->keep_blocks && l >= t->keep_from)) return fn(s, context, l, x);
    Tensor out = step_tensor(s, x.rows, x.heads, x.width, false);
    BlockRecord b = {.fn = fn, .l = l, .x = x, .out = out};
    void *copy = step_memory(s, size);
    if (copy) b.context = memcpy(copy, context, size);
    tape_record(s, block_back, &b, sizeof b);
    size_t floor = t->floor, mark = arena_mark(s->arena);
    t->floor = mark;
    t->recording = false;
    Tensor y = fn(s, context, l, x);
    if (same_shape(s, OP_add, x, y) && step_computes(s)) copy_rows(y, out);
    if (!step_failed(s)) arena_reset(s->arena, mark);
    t->recording = true;
    t->floor = floor;
    if (!s->backend->ops->computes) { /* the way back counts too */
        fn(s, context, l, x);
        if (!step_failed(s)) arena_reset(s->arena, mark);
    }
    return out;
}

/* ---- the head ---- */

static Tensor rows_of(Tensor x, int64_t first, int64_t n)
{
    if (x.data) x.data = tensor_at(x, first);
    x.rows = n;
    x.twin = NULL;
    return x;
}

/* One chunk: its logits, its loss, and back to x. */
static void head_chunk(Step *s, TapeHeadFn head, const void *model, int64_t first, Tensor x)
{
    Tape *t = s->tape;
    const TapeNode *until = t->last;
    size_t mark = arena_mark(s->arena);
    Tensor logits = head(s, model, x), d = {0};
    if (step_computes(s)) {
        if (t->recording) d = tape_grad(s, logits);
        if (!t->loss(t->loss_context, s, first, logits, d))
            step_fail(s, BT_E_INTERNAL, "the loss gave up without a reason");
    }
    if (t->recording) walk_back(s, until);
    if (!step_failed(s)) arena_reset(s->arena, mark);
}

Tensor tape_head(Step *s, TapeHeadFn head, const void *model, int64_t n_vocab, Tensor x)
{
    Tape *t = s->tape;
    if (!t || (!t->loss && !t->hold) || s->hidden || step_failed(s)) return head(s, model, x);
    if (t->hold) {
        t->hold(t->loss_context, s, head, model, x);
        return no_tensor;
    }
    size_t bytes = t->logits_bytes ? t->logits_bytes : LOGITS_BYTES;
    int64_t most = n_vocab > 0 ? (int64_t)(bytes / sizeof(float)) / n_vocab : x.rows;
    if (most < 1) most = 1;
    for (int64_t i = 0; i < x.rows && !step_failed(s); i += most) {
        head_chunk(s, head, model, i, rows_of(x, i, x.rows - i < most ? x.rows - i : most));
        if (!s->backend->ops->computes) break; /* the first is the largest */
    }
    return no_tensor;
}
