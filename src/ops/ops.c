/* Ops of rows, norms and matrices: shape checks, memory for results, the call into the backend (see
 * ops.h). */
#include <string.h>

#include "ops/adapt.h"
#include "ops/back.h"

const char *op_name(Op op)
{
    static const char *const names[] = {
#define X(name, inputs, backward, check) #name,
#include "ops/ops.def"
#undef X
    };
    return names[op];
}

bool op_has_grad(Op op)
{
    enum { NO_GRAD, GRAD };
    static const bool has[] = {
#define X(name, inputs, backward, check) backward,
#include "ops/ops.def"
#undef X
    };
    return has[op];
}

/* A matrix that reads x must be as wide as x. */
static bool fits(Step *s, Op op, Tensor x, const Weight *w)
{
    if (!op_may(s, op)) return false;
    if (!w) { /* a head that models which embed do not have */
        step_fail(s, BT_E_UNSUPPORTED, "%s: the model has no such matrix", op_name(op));
        return false;
    }
    if (w->k == (int64_t)tensor_row(x)) return true;
    step_fail(s, BT_E_INTERNAL, "%s: weight %s reads %lld values, its input has %zu", op_name(op),
              w->name, (long long)w->k, tensor_row(x));
    return false;
}

/* ---- rows in ---- */

/* Rows that bring their embedding take row 0 for the while. */
static Tensor look_up(Step *s, Op op, const Weight *table, float alpha)
{
    if (!op_may(s, op)) return no_tensor;
    int32_t *ids = step_memory(s, (size_t)s->n_rows * sizeof *ids);
    if (step_failed(s)) return no_tensor;
    Tensor out = step_tensor(s, s->n_rows, 1, (int32_t)table->k, false);
    train_by_gemm(s, table); /* refuses what cannot change */
    record_embed(s, table, ids, alpha, out);
    if (!step_computes(s)) return out;
    for (int32_t i = 0; i < s->n_rows; i++) {
        ids[i] = s->rows[i].embedding ? 0 : s->rows[i].token;
        if (ids[i] < 0 || ids[i] >= table->n) {
            step_fail(s, BT_E_ARGUMENT, "token %d is outside the vocabulary of %lld", ids[i],
                      (long long)table->n);
            return no_tensor;
        }
    }
    s->backend->ops->embed(s->backend, table, ids, out);
    if (op == OP_embed) step_adapt_embedding(s, table, ids, out);
    if (alpha != 1)
        s->backend->ops->element(s->backend, out, out,
                                 &(ElementOptions){.op = ELEMENT_SCALE, .alpha = alpha}, out);
    for (int32_t i = 0; op == OP_embed && i < s->n_rows; i++)
        if (s->rows[i].embedding) ids[i] = -1; /* the table has no part in it */
    return out;
}

Tensor op_embed(Step *s, const Weight *table, float alpha)
{
    Tensor out = look_up(s, OP_embed, table, alpha);
    for (int32_t i = 0; step_computes(s) && i < s->n_rows; i++)
        if (s->rows[i].embedding)
            memcpy(tensor_at(out, i), s->rows[i].embedding, tensor_row(out) * sizeof(float));
    return out;
}

Tensor op_embed_tokens(Step *s, const Weight *table, float alpha)
{
    return look_up(s, OP_embed_tokens, table, alpha);
}

Tensor op_embed_positions(Step *s, const Weight *table)
{
    if (!op_may(s, OP_embed_positions)) return no_tensor;
    int32_t *ids = step_memory(s, (size_t)s->n_rows * sizeof *ids);
    if (step_failed(s)) return no_tensor;
    Tensor out = step_tensor(s, s->n_rows, 1, (int32_t)table->k, false);
    train_by_gemm(s, table);
    record_embed(s, table, ids, 1, out);
    if (!step_computes(s)) return out;
    for (int32_t i = 0; i < s->n_rows; i++) {
        ids[i] = s->rows[i].position;
        if (ids[i] >= table->n) {
            step_fail(s, BT_E_CONTEXT, "position %d: the model knows %lld positions", ids[i],
                      (long long)table->n);
            return no_tensor;
        }
    }
    s->backend->ops->embed(s->backend, table, ids, out);
    return out;
}

/* ---- norms ---- */

/* The result feeds matrices, so it gets room for its int8 form. */
Tensor op_norm(Step *s, Tensor x, const Norm *norm)
{
    if (!op_may(s, OP_norm)) return no_tensor;
    Tensor out = step_tensor(s, x.rows, x.heads, x.width, true);
    if (step_computes(s)) s->backend->ops->norm(s->backend, x, norm, out);
    record_norm(s, x, norm, out);
    return out;
}

Tensor op_rmsnorm(Step *s, Tensor x, const float *weight, float eps)
{
    return op_norm(s, x, &(Norm){.weight = weight, .eps = eps});
}

/* ---- matrices ---- */

static Tensor train_linear(Step *s, Tensor x, const Weight *w)
{
    bool gemm = train_by_gemm(s, w) || (step_computes(s) && training_of(s)->packed(s->backend, w));
    x = train_twin(s, x, w, NULL, NULL);
    Tensor out = step_tensor(s, x.rows, 1, (int32_t)w->n, false);
    if (step_computes(s) && gemm)
        training_of(s)->linear(s->backend, x, w, out, s->tape->precision);
    else if (step_computes(s))
        s->backend->ops->linear(s->backend, x, &w, &out, 1);
    record_linear(s, x, w, out);
    step_adapt(s, x, w, out);
    return out;
}

Tensor op_linear(Step *s, Tensor x, const Weight *w)
{
    if (!fits(s, OP_linear, x, w)) return no_tensor;
    if (s->tape) return train_linear(s, x, w);
    x = step_twin(s, x);
    Tensor out = step_tensor(s, x.rows, 1, (int32_t)w->n, false);
    if (step_computes(s)) s->backend->ops->linear(s->backend, x, &w, &out, 1);
    step_adapt(s, x, w, out);
    return out;
}

Tensor op_linear_heads(Step *s, Tensor x, const Weight *w)
{
    if (!op_may(s, OP_linear_heads)) return no_tensor;
    if (w->k != x.width || w->n_mats != x.heads) {
        step_fail(s, BT_E_INTERNAL, "linear_heads: %lld matrices of %s against (%d,%d)",
                  (long long)w->n_mats, w->name, x.heads, x.width);
        return no_tensor;
    }
    x = step_twin(s, x);
    Tensor out = step_tensor(s, x.rows, x.heads, (int32_t)w->n, true);
    if (step_computes(s)) s->backend->ops->linear_heads(s->backend, x, w, out);
    step_adapt(s, x, w, out);
    return out;
}

Qkv op_qkv(Step *s, Tensor x, const Weight *wq, const Weight *wk, const Weight *wv, int32_t e_q,
           int32_t e_k, int32_t e_v)
{
    Qkv p = {no_tensor, no_tensor, no_tensor};
    if (!fits(s, OP_qkv, x, wq) || !fits(s, OP_qkv, x, wk) || !fits(s, OP_qkv, x, wv)) return p;
    if (s->tape) {
        x = train_twin(s, x, wq, wk, wv);
        p.q = op_split(s, train_linear(s, x, wq), (int32_t)(wq->n / e_q));
        p.k = op_split(s, train_linear(s, x, wk), (int32_t)(wk->n / e_k));
        p.v = op_split(s, train_linear(s, x, wv), (int32_t)(wv->n / e_v));
        return p;
    }
    x = step_twin(s, x);
    p.q = step_tensor(s, x.rows, (int32_t)(wq->n / e_q), e_q, false);
    p.k = step_tensor(s, x.rows, (int32_t)(wk->n / e_k), e_k, false);
    p.v = step_tensor(s, x.rows, (int32_t)(wv->n / e_v), e_v, false);
    const Weight *w[] = {wq, wk, wv};
    Tensor out[] = {p.q, p.k, p.v};
    if (step_computes(s)) s->backend->ops->linear(s->backend, x, w, out, 3);
    for (int i = 0; i < 3; i++) step_adapt(s, x, w[i], out[i]);
    return p;
}

/* The same in parts: the way back reads what each gave. */
static Tensor train_gated(Step *s, Tensor x, const Weight *gate, const Weight *up,
                          const Weight *down, Activation activation)
{
    if (activation == ACT_GATE_CLAMPED) {
        step_fail(s, BT_E_UNSUPPORTED, "op gated cannot be trained through with clamped gates");
        return no_tensor;
    }
    x = train_twin(s, x, gate, up, NULL);
    Tensor g = gate ? op_linear(s, x, gate) : no_tensor, u = op_linear(s, x, up);
    Tensor hidden = gate ? op_gate(s, u, g, activation) : op_activate(s, u, activation);
    return op_linear(s, hidden, down);
}

Tensor op_gated(Step *s, Tensor x, const Weight *gate, const Weight *up, const Weight *down,
                Activation activation)
{
    if ((gate && !fits(s, OP_gated, x, gate)) || !fits(s, OP_gated, x, up)) return no_tensor;
    if (gate && gate->n != up->n) {
        step_fail(s, BT_E_INTERNAL, "gated: %s gives %lld values, %s %lld", gate->name,
                  (long long)gate->n, up->name, (long long)up->n);
        return no_tensor;
    }
    if (s->tape) return train_gated(s, x, gate, up, down, activation);
    if (step_adapts(s, gate) || step_adapts(s, up)) { /* what they add comes before the product */
        Tensor y = op_linear(s, x, up);
        y = gate ? op_gate(s, y, op_linear(s, x, gate), activation) : op_activate(s, y, activation);
        return op_linear(s, y, down);
    }
    x = step_twin(s, x);
    Tensor hidden = step_tensor(s, x.rows, 1, (int32_t)up->n, true);
    if (step_failed(s)) return no_tensor;
    if (hidden.twin) hidden.twin->alone = down->paneled && !step_adapts(s, down);
    if (step_computes(s)) s->backend->ops->gated(s->backend, x, gate, up, activation, hidden);
    return op_linear(s, hidden, down);
}

/* ---- state and attention ---- */

static KvLayer layer_of(const Step *s, int32_t l)
{
    const LayerSpec *spec = &s->layers[l];
    if (spec->kind == STATE_KV_SHARED) spec = &s->layers[spec->from];
    if (s->state) return state_layer(s->state, l);
    return (KvLayer){
        .kv_heads = spec->kv_heads, .e_k = spec->e_k, .e_v = spec->e_v, .v_in_k = spec->v_in_k};
}

/* table NULL: as they are. */
static KvLayer remember(Step *s, int32_t l, Tensor k, Tensor v, const Norm *norm,
                        const RopeTable *table)
{
    KvLayer kv = {0};
    const LayerSpec *spec = &s->layers[l];
    bool fit = k.heads == spec->kv_heads && k.width == spec->e_k &&
               (spec->v_in_k || (v.heads == spec->kv_heads && v.width == spec->e_v));
    if (!fit || spec->kind == STATE_KV_SHARED) {
        step_fail(s, BT_E_INTERNAL, "remember: layer %d keeps (%d,%d) and (%d,%d)", l,
                  spec->kv_heads, spec->e_k, spec->kv_heads, spec->e_v);
        return kv;
    }
    if (s->tape && spec->v_in_k) {
        step_fail(s, BT_E_UNSUPPORTED, "op remember cannot be trained through with values in keys");
        return kv;
    }
    if (s->tape)
        return (KvLayer){.kv_heads = k.heads, .e_k = k.width, .e_v = v.width, .k = k, .v = v};
    kv = layer_of(s, l);
    if (step_computes(s)) s->backend->ops->remember(s->backend, &kv, s->rows, k, v, norm, table);
    return kv;
}

KvLayer op_remember(Step *s, int32_t l, Tensor k, Tensor v)
{
    return op_may(s, OP_remember) ? remember(s, l, k, v, NULL, NULL) : (KvLayer){0};
}

KvLayer op_rope_remember(Step *s, int32_t l, Tensor k, Tensor v, const Norm *norm,
                         const RopeTable *table)
{
    if (!op_may(s, OP_rope_remember) || !rope_fits(s, OP_rope_remember, k, table))
        return (KvLayer){0};
    if (s->tape) return op_remember(s, l, op_norm_rope(s, k, norm, table), v);
    return remember(s, l, k, v, norm, table);
}

KvLayer op_recall(Step *s, int32_t l)
{
    return op_may(s, OP_recall) ? layer_of(s, l) : (KvLayer){0};
}

Tensor op_attend(Step *s, Tensor q, KvLayer kv, const AttendOptions *options)
{
    if (!op_may(s, OP_attend)) return no_tensor;
    if (q.width != kv.e_k || kv.kv_heads < 1 || q.heads % kv.kv_heads) {
        step_fail(s, BT_E_INTERNAL, "attend: queries (%d,%d) against keys (%d,%d)", q.heads,
                  q.width, kv.kv_heads, kv.e_k);
        return no_tensor;
    }
    if (s->tape) return train_attend(s, q, &kv, options);
    Tensor out = step_tensor(s, q.rows, q.heads, kv.e_v, true);
    if (step_computes(s)) s->backend->ops->attend(s->backend, &kv, s->rows, q, options, out);
    return out;
}

Tensor op_wanted(Step *s, Tensor x)
{
    if (!op_may(s, OP_wanted) || s->n_wanted == x.rows) return x;
    Tensor out = step_tensor(s, s->n_wanted, x.heads, x.width, false);
    if (step_computes(s)) s->backend->ops->wanted(s->backend, x, s->rows, out);
    record_wanted(s, x, out);
    return out;
}
