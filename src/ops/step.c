/* Memory and failure of a step (see step.h). */
#include "ops/step.h"

#include <stdarg.h>
#include <string.h>

#include "base/checked.h"
#include "ops/tape.h"

void step_fail(Step *s, bt_status status, const char *format, ...)
{
    va_list args;
    if (step_failed(s)) return;
    va_start(args, format);
    s->status = bt_failv(s->err, status, format, args);
    va_end(args);
}

void *step_memory(Step *s, size_t bytes)
{
    void *memory = arena_alloc(s->arena, bytes);
    if (s->arena->overflowed)
        step_fail(s, BT_E_INTERNAL, "a step needs more memory than was planned for it (%zu of %zu)",
                  s->arena->used + bytes, s->arena->size);
    return memory;
}

/* Row strides of the int8 codes are kept off powers of two, so that the rows of a tile do not fall
 * into the same cache sets. */
static Twin *new_twin(Step *s, int64_t rows, size_t width)
{
    size_t groups = (width + ACT_GROUP - 1) / ACT_GROUP, r = (size_t)rows;
    Twin *t = step_memory(s, sizeof *t);
    Twin twin = {.q_stride = align_up(width, 64) + 64, .g_stride = groups};
    twin.q = step_memory(s, r * twin.q_stride);
    twin.scale = step_memory(s, r * groups * sizeof(float));
    twin.sum32 = step_memory(s, r * groups * sizeof(float));
    twin.sum16 = step_memory(s, 2 * r * groups * sizeof(float));
    twin.q_sum16 = step_memory(s, 2 * r * groups * sizeof(int16_t));
    if (t) *t = twin;
    return t;
}

Tensor step_tensor(Step *s, int64_t rows, int32_t heads, int32_t width, bool twin)
{
    Tensor t = {.rows = rows, .heads = heads, .width = width};
    if (step_failed(s)) return t;
    t.data = step_memory(s, (size_t)rows * tensor_row(t) * sizeof(float));
    if (twin && !s->tape) t.twin = new_twin(s, rows, tensor_row(t)); /* ops ask when they train */
    if (tape_records(s)) t.state = tape_state(s, t);
    return t;
}

Tensor step_twin(Step *s, Tensor x)
{
    if (!step_failed(s) && !x.twin) x.twin = new_twin(s, x.rows, tensor_row(x));
    return x;
}

size_t step_mark(Step *s)
{
    return arena_mark(s->arena);
}

Tensor step_keep(Step *s, size_t mark, Tensor x)
{
    if (s->cancel && atomic_load_explicit(s->cancel, memory_order_relaxed))
        step_fail(s, BT_E_CANCELLED, "cancelled");
    if (step_failed(s) || tape_records(s)) return x;
    if (s->tape && mark < s->tape->floor) mark = s->tape->floor;
    arena_reset(s->arena, mark);
    Tensor kept = step_tensor(s, x.rows, x.heads, x.width, false);
    if (!kept.data || (kept.data == x.data && !x.stride)) return kept;
    if (x.stride) { /* rows move down: none is overwritten before it was moved */
        for (int64_t i = 0; i < x.rows; i++)
            memmove(tensor_at(kept, i), tensor_at(x, i), tensor_row(x) * sizeof(float));
        return kept;
    }
    memmove(kept.data, x.data, (size_t)x.rows * tensor_row(x) * sizeof(float));
    return kept;
}
