/* op_moe: memory of the routing and of the gathered rows; the backend does the rest. */
#include "ops/adapt.h"
#include "ops/back.h"

static bool shapes_fit(Tensor x, Tensor logits, const Weight *gate, const Weight *up,
                       const Weight *down, const MoeOptions *o)
{
    return up->k == (int64_t)tensor_row(x) && down->k == up->n && up->n_mats == o->n_experts &&
           down->n_mats == up->n_mats && (int64_t)tensor_row(logits) == up->n_mats &&
           o->n_used <= o->n_experts &&
           (!gate || (gate->k == up->k && gate->n == up->n && gate->n_mats == up->n_mats));
}

Tensor op_moe(Step *s, Tensor x, Tensor chooser, const Weight *router, const Weight *gate,
              const Weight *up, const Weight *down, const MoeOptions *options)
{
    Tensor out = {0};
    if (!op_may(s, OP_moe)) return out;
    Tensor logits = op_linear(s, chooser, router);
    if (step_failed(s)) return out;
    if (!shapes_fit(x, logits, gate, up, down, options)) {
        step_fail(s, BT_E_INTERNAL, "moe: shapes of %s and %s do not fit", up->name, down->name);
        return out;
    }
    if (s->tape && (step_adapts(s, gate) || step_adapts(s, up) || step_adapts(s, down))) {
        step_fail(s, BT_E_UNSUPPORTED, "adapters of experts (%s) cannot be trained", up->name);
        return out;
    }
    if (s->tape) return train_moe(s, x, logits, gate, up, down, options);
    x = step_twin(s, x);
    size_t pairs = (size_t)x.rows * (size_t)options->n_used;
    out = step_tensor(s, x.rows, 1, (int32_t)down->n, false);
    size_t mark = arena_mark(s->arena);
    MoeWork work = {
        .expert = step_memory(s, pairs * sizeof *work.expert),
        .share = step_memory(s, pairs * sizeof *work.share),
        .begin = step_memory(s, ((size_t)options->n_experts + 1) * sizeof *work.begin),
        .choice = step_memory(s, pairs * sizeof *work.choice),
        .slot = step_memory(s, pairs * sizeof *work.slot),
        .active = step_memory(s, (size_t)options->n_experts * sizeof *work.active),
        .score = step_memory(s, (size_t)x.rows * (size_t)options->n_experts * sizeof *work.score),
    };
    work.in = step_tensor(s, (int64_t)pairs, 1, (int32_t)up->k, true);
    const Weight *const experts[] = {up, down, gate};
    for (int i = 0; i < 3; i++) work.adapted = work.adapted || step_adapts(s, experts[i]);
    if (work.adapted) {
        work.rows = s->rows;
        if (gate) work.gate = step_tensor(s, (int64_t)pairs, 1, (int32_t)up->n, false);
        work.room = step_adapt_room(s, experts, 3, x.rows);
    }
    work.hidden = step_tensor(s, (int64_t)pairs, 1, (int32_t)up->n, true);
    work.result = step_tensor(s, (int64_t)pairs, 1, (int32_t)down->n, false);
    if (step_failed(s)) return out;
    if (work.hidden.twin) work.hidden.twin->alone = down->paneled && !work.adapted;
    if (step_computes(s))
        s->backend->ops->moe(s->backend, x, logits, gate, up, down, options, &work, out);
    arena_reset(s->arena, mark);
    return out;
}
