/* Rotary positions: angles of a step's rows, and the rotation (see ops.h).
 * Sources: RoFormer (arXiv 2104.09864); M-RoPE: Qwen2-VL (arXiv 2409.12191). */
#include <math.h>
#include <string.h>

#include "ops/back.h"

/* The axis that pair j turns by. */
static int axis_of(const Rope *rope, int32_t j)
{
    const int32_t *n = rope->sections;
    if (n[0] + n[1] + n[2] + n[3] == 0) return 0;
    if (rope->interleaved) { /* t h w t h w ... while h and w last, then t */
        if (j % 3 == 1 && j < 3 * n[1]) return 1;
        if (j % 3 == 2 && j < 3 * n[2]) return 2;
        return 0;
    }
    int32_t total = n[0] + n[1] + n[2] + n[3], at = j % total;
    for (int a = 0; a < ROPE_AXES - 1; a++) {
        if (at < n[a]) return a;
        at -= n[a];
    }
    return ROPE_AXES - 1;
}

RopeTable op_rope_table(Step *s, const Rope *rope)
{
    if (rope->longer && s->n_ctx > rope->original) rope = rope->longer;
    RopeTable t = {.half = rope->half, .first = rope->first, .adjacent = rope->adjacent};
    size_t half = (size_t)rope->half, bytes = (size_t)s->n_rows * half * sizeof(float);
    if (step_failed(s)) return t;
    t.cos = step_memory(s, bytes);
    t.sin = step_memory(s, bytes);
    if (!step_computes(s)) return t;
    for (int32_t i = 0; i < s->n_rows; i++) {
        float *c = t.cos + (size_t)i * half, *n = t.sin + (size_t)i * half;
        if (i && !memcmp(s->rows[i].axis, s->rows[i - 1].axis, sizeof s->rows[i].axis)) {
            memcpy(c, c - half, half * sizeof *c); /* decoding side by side */
            memcpy(n, n - half, half * sizeof *n);
            continue;
        }
        for (int32_t j = 0; j < rope->half; j++) {
            double angle = (double)s->rows[i].axis[axis_of(rope, j)] * (double)rope->inverse[j];
            c[j] = (float)(cos(angle) * (double)rope->magnitude);
            n[j] = (float)(sin(angle) * (double)rope->magnitude);
        }
    }
    return t;
}

bool rope_fits(Step *s, Op op, Tensor x, const RopeTable *table)
{
    if (table->first + 2 * table->half <= x.width) return true;
    step_fail(s, BT_E_INTERNAL, "%s: %d pairs from %d in a head of %d", op_name(op), table->half,
              table->first, x.width);
    return false;
}

Tensor op_norm_rope(Step *s, Tensor x, const Norm *norm, const RopeTable *table)
{
    if (!op_may(s, OP_norm_rope) || !rope_fits(s, OP_norm_rope, x, table)) return no_tensor;
    if (s->tape && norm) { /* the norm's way back needs what it read */
        x = op_norm(s, x, norm);
        norm = NULL;
    }
    if (step_computes(s)) s->backend->ops->norm_rope(s->backend, x, norm, table);
    record_rope(s, x, table);
    return x;
}

Tensor op_rope(Step *s, Tensor x, const RopeTable *table)
{
    return op_norm_rope(s, x, NULL, table);
}
