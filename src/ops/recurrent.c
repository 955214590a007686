/* Ops of layers with a recurrent state: shape checks, the rows of each sequence (see ops.h). */
#include "ops/shapes.h"

/* A row follows the one of its sequence before it; most often that is its neighbour. */
static RowChains chains_of(Step *s)
{
    size_t bytes = (size_t)s->n_rows * sizeof(int32_t);
    RowChains chains = {0, step_memory(s, bytes), step_memory(s, bytes)};
    int32_t *last = step_memory(s, bytes), at = 0;
    if (!step_computes(s)) return chains;
    for (int32_t i = 0; i < s->n_rows; i++) {
        int32_t sequence = s->rows[i].sequence;
        if (at >= chains.n || s->rows[last[at]].sequence != sequence)
            for (at = 0; at < chains.n && s->rows[last[at]].sequence != sequence;) at++;
        if (at == chains.n)
            chains.first[chains.n++] = i;
        else
            chains.next[last[at]] = i;
        last[at] = i;
        chains.next[i] = -1;
    }
    return chains;
}

static bool shapes_fail(Step *s, Op op, int32_t l)
{
    step_fail(s, BT_E_INTERNAL, "%s: shapes do not fit what layer %d keeps (%d and %d)",
              op_name(op), l, s->layers[l].conv, s->layers[l].recurrent);
    return false;
}

static bool holds(Tensor t, int64_t rows, size_t row)
{
    return t.rows == rows && tensor_row(t) == row;
}

Tensor op_conv(Step *s, int32_t l, Tensor x, const float *weight, const float *bias,
               Activation activation)
{
    if (!op_may(s, OP_conv)) return no_tensor;
    size_t channels = tensor_row(x), conv = (size_t)s->layers[l].conv;
    if (x.rows != s->n_rows || channels < 1 || conv % channels) {
        shapes_fail(s, OP_conv, l);
        return no_tensor;
    }
    Tensor out = step_tensor(s, x.rows, x.heads, x.width, false);
    RowChains chains = chains_of(s);
    if (!step_computes(s)) return out;
    RecurrentLayer layer = state_recurrent(s->state, l);
    ConvOptions options = {(int32_t)(conv / channels) + 1, weight, bias, activation};
    s->backend->ops->conv(s->backend, &layer, s->rows, &chains, x, &options, out);
    return out;
}

static Tensor recur(Step *s, int32_t l, const Recurrence *r)
{
    Tensor out = step_tensor(s, r->x.rows, r->x.heads, r->x.width, false);
    RowChains chains = chains_of(s);
    if (!step_computes(s)) return out;
    RecurrentLayer layer = state_recurrent(s->state, l);
    s->backend->ops->recur(s->backend, &layer, s->rows, &chains, r, out);
    return out;
}

Tensor op_scan(Step *s, int32_t l, Tensor x, Tensor dt, Tensor b, Tensor c, const float *a,
               const float *d)
{
    if (!op_may(s, OP_scan)) return no_tensor;
    size_t n = tensor_row(b);
    bool fit = x.rows == s->n_rows && holds(dt, x.rows, tensor_row(x)) && holds(b, x.rows, n) &&
               holds(c, x.rows, n) && tensor_stride(b) == tensor_stride(c) && !x.stride &&
               !dt.stride && (size_t)s->layers[l].recurrent == tensor_row(x) * n;
    if (!fit) return shapes_fail(s, OP_scan, l), no_tensor;
    return recur(
        s, l,
        &(Recurrence){.kind = RECUR_SCAN, .x = x, .step = dt, .b = b, .c = c, .a = a, .d = d});
}

/* x (T,H,P), step (T,H), b and c (T,G,N), and a state of H P N floats. */
static bool heads_fit(const Step *s, int32_t l, const Recurrence *r)
{
    int64_t rows = s->n_rows;
    size_t heads = (size_t)r->x.heads, n = tensor_row(r->b);
    return r->x.rows == rows && holds(r->step, rows, heads) && holds(r->b, rows, n) &&
           holds(r->c, rows, n) && tensor_stride(r->b) == tensor_stride(r->c) &&
           r->b.heads == r->c.heads && r->x.heads % r->b.heads == 0 &&
           (size_t)s->layers[l].recurrent == tensor_row(r->x) * (size_t)r->b.width;
}

Tensor op_ssd(Step *s, int32_t l, Tensor x, Tensor dt, Tensor b, Tensor c, const float *a,
              const float *d)
{
    Recurrence r = {.kind = RECUR_SSD, .x = x, .step = dt, .b = b, .c = c, .a = a, .d = d};
    if (!op_may(s, OP_ssd)) return no_tensor;
    if (!heads_fit(s, l, &r)) return shapes_fail(s, OP_ssd, l), no_tensor;
    return recur(s, l, &r);
}

Tensor op_delta(Step *s, int32_t l, Tensor q, Tensor k, Tensor v, Tensor log_decay, Tensor beta,
                bool tiled)
{
    Recurrence r = {.kind = RECUR_DELTA,
                    .x = v,
                    .step = log_decay,
                    .b = k,
                    .c = q,
                    .beta = beta,
                    .tiled = tiled};
    if (!op_may(s, OP_delta)) return no_tensor;
    if (!heads_fit(s, l, &r) || !holds(beta, v.rows, (size_t)v.heads))
        return shapes_fail(s, OP_delta, l), no_tensor;
    return recur(s, l, &r);
}
