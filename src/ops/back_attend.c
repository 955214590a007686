/* Attention and experts under a tape (see back.h). */
#include "ops/back.h"

/* ---- attention ---- */

static void attend_back(Step *s, const void *saved)
{
    const RowsAttention *a = saved;
    Tensor delta = step_tensor(s, a->q.rows, 1, a->q.heads, false);
    if (step_failed(s)) return;
    training_of(s)->attend_back(s->backend, a, tape_grad(s, a->out), delta, tape_grad(s, a->q),
                                tape_grad(s, a->k), tape_grad(s, a->v),
                                tape_param(s, a->options.sinks));
}

/* Attention finds a row's sequence by its neighbours, and positions by counting. */
static bool rows_in_order(Step *s)
{
    for (int32_t i = 1; i < s->n_rows; i++) {
        const StepRow *row = &s->rows[i], *last = row - 1;
        if (row->sequence > last->sequence) continue;
        if (row->sequence == last->sequence && row->position == last->position + 1) continue;
        step_fail(s, BT_E_ARGUMENT,
                  "row %d (sequence %d, position %d) follows (%d, %d): rows that train stand in "
                  "order of sequence and position, without gaps",
                  i, row->sequence, row->position, last->sequence, last->position);
        return false;
    }
    return true;
}

Tensor train_attend(Step *s, Tensor q, const KvLayer *kv, const AttendOptions *options)
{
    bool computes = s->backend->ops->computes;
    if (q.rows != s->n_rows || (computes && !kv->k.data)) {
        step_fail(s, BT_E_INTERNAL, "attend: there is no state where there is a tape");
        return no_tensor;
    }
    if (computes && !rows_in_order(s)) return no_tensor;
    RowsAttention a = {.rows = s->rows,
                       .q = q,
                       .k = kv->k,
                       .v = kv->v,
                       .options = *options,
                       .precision = s->tape->precision};
    a.out = step_tensor(s, q.rows, q.heads, kv->e_v, false);
    a.lse = step_tensor(s, q.rows, 1, q.heads, false);
    if (step_computes(s)) training_of(s)->attend(s->backend, &a);
    tape_record(s, attend_back, &a, sizeof a);
    tape_reserve(s, (size_t)q.rows * (size_t)q.heads * sizeof(float));
    return a.out;
}

/* ---- experts ---- */

static MoeGrads moe_grads(const Step *s, const MoeTraining *m)
{
    return (MoeGrads){.in = tape_grad(s, m->work.in),
                      .gate = tape_grad(s, m->gate),
                      .up = tape_grad(s, m->up),
                      .hidden = tape_grad(s, m->work.hidden),
                      .result = tape_grad(s, m->work.result),
                      .x = tape_grad(s, m->x),
                      .logits = tape_grad(s, m->logits),
                      .out = tape_grad(s, m->out),
                      .w_gate = train_weight(s, m->w_gate),
                      .w_up = train_weight(s, m->w_up),
                      .w_down = train_weight(s, m->w_down)};
}

static void moe_back(Step *s, const void *saved)
{
    const MoeTraining *m = saved;
    MoeGrads d = moe_grads(s, m);
    training_of(s)->moe_back(s->backend, m, &d, s->tape->precision);
}

static MoeWork routing_memory(Step *s, int64_t rows, const MoeOptions *o)
{
    size_t pairs = (size_t)rows * (size_t)o->n_used, experts = (size_t)o->n_experts;
    MoeWork work = {
        .expert = step_memory(s, pairs * sizeof *work.expert),
        .share = step_memory(s, pairs * sizeof *work.share),
        .begin = step_memory(s, (experts + 1) * sizeof *work.begin),
        .choice = step_memory(s, pairs * sizeof *work.choice),
        .slot = step_memory(s, pairs * sizeof *work.slot),
        .active = step_memory(s, experts * sizeof *work.active),
        .score = step_memory(s, (size_t)rows * experts * sizeof *work.score),
    };
    return work;
}

Tensor train_moe(Step *s, Tensor x, Tensor logits, const Weight *gate, const Weight *up,
                 const Weight *down, const MoeOptions *options)
{
    if (options->scores == MOE_SPARSE_MIXER || options->activation == ACT_GATE_CLAMPED) {
        step_fail(s, BT_E_UNSUPPORTED, "op moe cannot be trained through with %s",
                  options->activation == ACT_GATE_CLAMPED ? "clamped gates" : "SparseMixer");
        return no_tensor;
    }
    int64_t pairs = x.rows * options->n_used;
    MoeTraining m = {.options = *options, .x = x, .logits = logits};
    m.w_gate = gate;
    m.w_up = up;
    m.w_down = down;
    m.out = step_tensor(s, x.rows, 1, (int32_t)down->n, false);
    m.work = routing_memory(s, x.rows, options);
    m.work.in = step_tensor(s, pairs, 1, (int32_t)up->k, false);
    m.work.in = train_twin(s, m.work.in, gate, up, NULL);
    if (gate) m.gate = step_tensor(s, pairs, 1, (int32_t)gate->n, false);
    m.up = step_tensor(s, pairs, 1, (int32_t)up->n, false);
    m.work.hidden = step_tensor(s, pairs, 1, (int32_t)up->n, false);
    m.work.hidden = train_twin(s, m.work.hidden, down, NULL, NULL);
    m.work.result = step_tensor(s, pairs, 1, (int32_t)down->n, false);
    train_by_gemm(s, gate);
    train_by_gemm(s, up);
    train_by_gemm(s, down);
    if (step_computes(s)) {
        MoeGrads d = {.w_gate = train_weight(s, gate),
                      .w_up = train_weight(s, up),
                      .w_down = train_weight(s, down)};
        training_of(s)->moe(s->backend, &m, &d, s->tape->precision);
    }
    tape_record(s, moe_back, &m, sizeof m);
    return m.out;
}
