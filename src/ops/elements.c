/* Ops on elements and shapes (see ops.h). */
#include "ops/back.h"

static Tensor element(Step *s, Op op, Tensor x, Tensor y, const ElementOptions *options)
{
    if (!op_may(s, op)) return no_tensor;
    Tensor out = step_tensor(s, x.rows, x.heads, x.width, false);
    if (step_computes(s)) s->backend->ops->element(s->backend, x, y, options, out);
    record_element(s, x, y, options, out);
    return out;
}

Tensor op_add(Step *s, Tensor x, Tensor y)
{
    if (!same_shape(s, OP_add, x, y)) return no_tensor;
    Tensor out = step_tensor(s, x.rows, x.heads, x.width, false);
    if (step_computes(s)) s->backend->ops->add(s->backend, x, y, out);
    record_add(s, x, y, out);
    return out;
}

Tensor op_mul(Step *s, Tensor x, Tensor y)
{
    if (!same_shape(s, OP_mul, x, y)) return no_tensor;
    return element(s, OP_mul, x, y, &(ElementOptions){.op = ELEMENT_MUL});
}

Tensor op_scale(Step *s, Tensor x, float alpha)
{
    return element(s, OP_scale, x, x, &(ElementOptions){.op = ELEMENT_SCALE, .alpha = alpha});
}

Tensor op_activate(Step *s, Tensor x, Activation activation)
{
    return element(s, OP_activate, x, x,
                   &(ElementOptions){.op = ELEMENT_ACTIVATE, .activation = activation});
}

Tensor op_gate(Step *s, Tensor x, Tensor y, Activation activation)
{
    bool each = y.heads == x.heads && y.width == 1, all = tensor_row(y) == 1;
    if (!op_may(s, OP_gate)) return no_tensor;
    if (x.rows != y.rows || !(each || all)) {
        if (!same_shape(s, OP_gate, x, y)) return no_tensor;
    }
    return element(s, OP_gate, x, y,
                   &(ElementOptions){.op = ELEMENT_GATE, .activation = activation});
}

Tensor op_cap(Step *s, Tensor x, float cap)
{
    if (cap == 0) return x;
    return element(s, OP_cap, x, x, &(ElementOptions){.op = ELEMENT_CAP, .alpha = cap});
}

Tensor op_clip(Step *s, Tensor x, float most)
{
    if (most == 0) return x;
    return element(s, OP_clip, x, x, &(ElementOptions){.op = ELEMENT_CLIP, .alpha = most});
}

Tensor op_add_vector(Step *s, Tensor x, const float *vector)
{
    return element(s, OP_add_vector, x, x,
                   &(ElementOptions){.op = ELEMENT_ADD_VECTOR, .vector = vector});
}

Tensor op_mul_vector(Step *s, Tensor x, const float *vector)
{
    return element(s, OP_mul_vector, x, x,
                   &(ElementOptions){.op = ELEMENT_MUL_VECTOR, .vector = vector});
}

Tensor op_mul_rows(Step *s, Tensor x, const float *of_row)
{
    return element(s, OP_mul_rows, x, x,
                   &(ElementOptions){.op = ELEMENT_MUL_ROWS, .vector = of_row});
}

Tensor op_mix(Step *s, Tensor x, Tensor y)
{
    if (!op_may(s, OP_mix)) return no_tensor;
    if (x.rows != y.rows || tensor_row(y) != (size_t)x.heads * (size_t)x.heads) {
        step_fail(s, BT_E_INTERNAL, "mix: %zu factors for %d heads", tensor_row(y), x.heads);
        return no_tensor;
    }
    return element(s, OP_mix, x, y, &(ElementOptions){.op = ELEMENT_MIX});
}

Tensor op_level(Step *s, Tensor x, Tensor y)
{
    if (!op_may(s, OP_level)) return no_tensor;
    if (x.rows != y.rows) {
        step_fail(s, BT_E_INTERNAL, "level: %lld rows and %lld", (long long)x.rows,
                  (long long)y.rows);
        return no_tensor;
    }
    return element(s, OP_level, x, y, &(ElementOptions){.op = ELEMENT_LEVEL});
}

Tensor op_cut(Step *s, Tensor x, float deviations)
{
    return element(s, OP_cut, x, x, &(ElementOptions){.op = ELEMENT_CUT, .alpha = deviations});
}

Tensor op_spread(Step *s, Tensor x, Tensor y, Tensor factors, float alpha, int32_t first)
{
    if (!op_may(s, OP_spread)) return no_tensor;
    bool fit = x.rows == y.rows && tensor_row(y) == (size_t)x.width;
    if (factors.rows) fit = fit && factors.rows == x.rows && tensor_row(factors) == (size_t)x.heads;
    if (!fit) {
        step_fail(s, BT_E_INTERNAL, "spread: %zu values and %zu factors for %d heads of %d",
                  tensor_row(y), tensor_row(factors), x.heads, x.width);
        return no_tensor;
    }
    ElementOptions o = {.op = ELEMENT_SPREAD, .alpha = alpha, .first = first, .factors = factors};
    if (step_computes(s)) s->backend->ops->element(s->backend, x, y, &o, x);
    return x;
}

/* ---- shapes ---- */

Tensor op_merge(Step *s, Tensor x)
{
    if (!op_may(s, OP_merge)) return no_tensor;
    x.width *= x.heads;
    x.heads = 1;
    return x;
}

Tensor op_split(Step *s, Tensor x, int32_t heads)
{
    if (!op_may(s, OP_split)) return no_tensor;
    if (heads < 1 || tensor_row(x) % (size_t)heads) {
        step_fail(s, BT_E_INTERNAL, "split: %zu values in %d heads", tensor_row(x), heads);
        return no_tensor;
    }
    x.width = (int32_t)(tensor_row(x) / (size_t)heads);
    x.heads = heads;
    return x;
}

Tensor op_part(Step *s, Tensor x, int32_t first, int32_t width)
{
    if (!op_may(s, OP_part)) return no_tensor;
    if (first < 0 || width < 1 || first > x.width - width) {
        step_fail(s, BT_E_INTERNAL, "part: [%d, %d) of a head of %d", first, first + width,
                  x.width);
        return no_tensor;
    }
    if (x.heads == 1) {
        x.stride = tensor_stride(x);
        x.data = x.data ? x.data + first : NULL;
        x.width = width;
        x.twin = NULL;
        return x;
    }
    ElementOptions o = {.op = ELEMENT_PART, .first = first};
    Tensor out = step_tensor(s, x.rows, x.heads, width, false);
    if (step_computes(s)) s->backend->ops->element(s->backend, x, x, &o, out);
    record_element(s, x, x, &o, out);
    return out;
}

Tensor op_join(Step *s, Tensor x, Tensor y)
{
    if (!op_may(s, OP_join)) return no_tensor;
    if (x.rows != y.rows || (y.heads != x.heads && y.heads != 1)) {
        step_fail(s, BT_E_INTERNAL, "join: %d heads and %d heads", x.heads, y.heads);
        return no_tensor;
    }
    ElementOptions o = {.op = ELEMENT_JOIN};
    Tensor out = step_tensor(s, x.rows, x.heads, x.width + y.width, false);
    if (step_computes(s)) s->backend->ops->element(s->backend, x, y, &o, out);
    record_element(s, x, y, &o, out);
    return out;
}
