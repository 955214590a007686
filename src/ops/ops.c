/* Ops: shape checks, memory for results, the call into the backend (see ops.h). */
#include "ops/ops.h"

#include <math.h>

static const Tensor nothing;

const char *op_name(Op op)
{
    static const char *const names[] = {
#define X(name, inputs, backward, check) #name,
#include "ops/ops.def"
#undef X
    };
    return names[op];
}

/* A matrix that reads x must be as wide as x. */
static bool fits(Step *s, Op op, Tensor x, const Weight *w)
{
    if (step_failed(s)) return false;
    if (w->k == (int64_t)tensor_row(x)) return true;
    step_fail(s, BT_E_INTERNAL, "%s: weight %s reads %lld values, its input has %zu", op_name(op),
              w->name, (long long)w->k, tensor_row(x));
    return false;
}

static bool same_shape(Step *s, Op op, Tensor x, Tensor y)
{
    if (step_failed(s)) return false;
    if (x.rows == y.rows && tensor_row(x) == tensor_row(y)) return true;
    step_fail(s, BT_E_INTERNAL, "%s: (%lld,%zu) against (%lld,%zu)", op_name(op), (long long)x.rows,
              tensor_row(x), (long long)y.rows, tensor_row(y));
    return false;
}

Tensor op_embed(Step *s, const Weight *table)
{
    if (step_failed(s)) return nothing;
    for (int32_t i = 0; i < s->n_rows; i++)
        if (s->rows[i].token < 0 || s->rows[i].token >= table->n) {
            step_fail(s, BT_E_ARGUMENT, "token %d is outside the vocabulary of %lld",
                      s->rows[i].token, (long long)table->n);
            return nothing;
        }
    Tensor out = step_tensor(s, s->n_rows, 1, (int32_t)table->k, false);
    if (!step_failed(s)) s->backend->ops->embed(s->backend, table, s->rows, out);
    return out;
}

/* The result feeds matrices, so it gets room for its int8 form. */
Tensor op_rmsnorm(Step *s, Tensor x, const float *weight, float eps)
{
    Tensor out = step_tensor(s, x.rows, x.heads, x.width, true);
    if (!step_failed(s)) s->backend->ops->rmsnorm(s->backend, x, weight, eps, out);
    return out;
}

Tensor op_linear(Step *s, Tensor x, const Weight *w)
{
    if (!fits(s, OP_linear, x, w)) return nothing;
    Tensor out = step_tensor(s, x.rows, 1, (int32_t)w->n, false);
    if (!step_failed(s)) s->backend->ops->linear(s->backend, x, &w, &out, 1);
    return out;
}

Qkv op_qkv(Step *s, Tensor x, const Weight *wq, const Weight *wk, const Weight *wv, int32_t e_k,
           int32_t e_v)
{
    Qkv p = {nothing, nothing, nothing};
    if (!fits(s, OP_qkv, x, wq) || !fits(s, OP_qkv, x, wk) || !fits(s, OP_qkv, x, wv)) return p;
    p.q = step_tensor(s, x.rows, (int32_t)(wq->n / e_k), e_k, false);
    p.k = step_tensor(s, x.rows, (int32_t)(wk->n / e_k), e_k, false);
    p.v = step_tensor(s, x.rows, (int32_t)(wv->n / e_v), e_v, false);
    if (step_failed(s)) return p;
    const Weight *w[] = {wq, wk, wv};
    Tensor out[] = {p.q, p.k, p.v};
    s->backend->ops->linear(s->backend, x, w, out, 3);
    return p;
}

Tensor op_swiglu(Step *s, Tensor x, const Weight *gate, const Weight *up, const Weight *down)
{
    if (!fits(s, OP_swiglu, x, gate) || !fits(s, OP_swiglu, x, up)) return nothing;
    if (gate->n != up->n) {
        step_fail(s, BT_E_INTERNAL, "swiglu: %s gives %lld values, %s %lld", gate->name,
                  (long long)gate->n, up->name, (long long)up->n);
        return nothing;
    }
    Tensor hidden = step_tensor(s, x.rows, 1, (int32_t)gate->n, true);
    if (step_failed(s)) return nothing;
    s->backend->ops->swiglu(s->backend, x, gate, up, hidden);
    return op_linear(s, hidden, down);
}

RopeTable op_rope_table(Step *s, const Rope *rope)
{
    RopeTable t = {.half = rope->half, .adjacent = rope->adjacent};
    size_t bytes = (size_t)s->n_rows * (size_t)rope->half * sizeof(float);
    if (step_failed(s)) return t;
    t.cos = step_memory(s, bytes);
    t.sin = step_memory(s, bytes);
    if (step_failed(s) || !t.cos || !t.sin) return t;
    for (int32_t i = 0; i < s->n_rows; i++) {
        size_t row = (size_t)i * (size_t)rope->half;
        if (i && s->rows[i].position == s->rows[i - 1].position) { /* decoding side by side */
            for (int32_t j = 0; j < rope->half; j++) {
                t.cos[row + (size_t)j] = t.cos[row - (size_t)rope->half + (size_t)j];
                t.sin[row + (size_t)j] = t.sin[row - (size_t)rope->half + (size_t)j];
            }
            continue;
        }
        for (int32_t j = 0; j < rope->half; j++) {
            double angle = (double)s->rows[i].position * (double)rope->inverse[j];
            t.cos[row + (size_t)j] = (float)(cos(angle) * (double)rope->magnitude);
            t.sin[row + (size_t)j] = (float)(sin(angle) * (double)rope->magnitude);
        }
    }
    return t;
}

Tensor op_norm_rope(Step *s, Tensor x, const float *weight, float eps, const RopeTable *table)
{
    if (step_failed(s)) return nothing;
    if (2 * table->half > x.width) {
        step_fail(s, BT_E_INTERNAL, "rope: %d pairs in a head of %d", table->half, x.width);
        return nothing;
    }
    if (weight)
        s->backend->ops->norm_rope(s->backend, x, weight, eps, table);
    else
        s->backend->ops->rope(s->backend, x, table);
    return x;
}

Tensor op_rope(Step *s, Tensor x, const RopeTable *table)
{
    return op_norm_rope(s, x, NULL, 0, table);
}

KvLayer op_remember(Step *s, int32_t l, Tensor k, Tensor v)
{
    KvLayer kv = {0};
    if (step_failed(s)) return kv;
    const LayerSpec *spec = &s->layers[l];
    if (k.heads != spec->kv_heads || k.width != spec->e_k || v.heads != spec->kv_heads ||
        v.width != spec->e_v) {
        step_fail(s, BT_E_INTERNAL, "remember: layer %d keeps (%d,%d) and (%d,%d)", l,
                  spec->kv_heads, spec->e_k, spec->kv_heads, spec->e_v);
        return kv;
    }
    if (s->state)
        kv = state_layer(s->state, l);
    else
        kv = (KvLayer){.kv_heads = spec->kv_heads, .e_k = spec->e_k, .e_v = spec->e_v};
    s->backend->ops->remember(s->backend, &kv, s->rows, k, v);
    return kv;
}

Tensor op_attend(Step *s, Tensor q, KvLayer kv, const AttendOptions *options)
{
    if (step_failed(s)) return nothing;
    if (q.width != kv.e_k || kv.kv_heads < 1 || q.heads % kv.kv_heads) {
        step_fail(s, BT_E_INTERNAL, "attend: queries (%d,%d) against keys (%d,%d)", q.heads,
                  q.width, kv.kv_heads, kv.e_k);
        return nothing;
    }
    Tensor out = step_tensor(s, q.rows, q.heads, kv.e_v, true);
    if (!step_failed(s)) s->backend->ops->attend(s->backend, &kv, s->rows, q, options, out);
    return out;
}

Tensor op_merge(Step *s, Tensor x)
{
    if (step_failed(s)) return nothing;
    x.width *= x.heads;
    x.heads = 1;
    return x;
}

Tensor op_add(Step *s, Tensor x, Tensor y)
{
    if (!same_shape(s, OP_add, x, y)) return nothing;
    Tensor out = step_tensor(s, x.rows, x.heads, x.width, false);
    if (!step_failed(s)) s->backend->ops->add(s->backend, x, y, out);
    return out;
}

Tensor op_wanted(Step *s, Tensor x)
{
    if (step_failed(s) || s->n_wanted == x.rows) return x;
    Tensor out = step_tensor(s, s->n_wanted, x.heads, x.width, false);
    if (!step_failed(s)) s->backend->ops->wanted(s->backend, x, s->rows, out);
    return out;
}
