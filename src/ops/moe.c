/* op_moe: memory of the routing and of the gathered rows; the backend does the rest. */
#include "ops/ops.h"

Tensor op_moe(Step *s, Tensor x, const Weight *router, const Weight *gate, const Weight *up,
              const Weight *down, const MoeOptions *options)
{
    Tensor logits = op_linear(s, x, router), out = {0};
    if (step_failed(s)) return out;
    if (gate->k != (int64_t)tensor_row(x) || up->k != gate->k || up->n != gate->n ||
        down->k != gate->n || gate->n_mats != options->n_experts || up->n_mats != gate->n_mats ||
        down->n_mats != gate->n_mats || (int64_t)tensor_row(logits) != gate->n_mats ||
        options->n_used > options->n_experts) {
        step_fail(s, BT_E_INTERNAL, "moe: shapes of %s, %s, %s do not fit", gate->name, up->name,
                  down->name);
        return out;
    }
    size_t pairs = (size_t)x.rows * (size_t)options->n_used;
    out = step_tensor(s, x.rows, 1, (int32_t)down->n, false);
    size_t mark = arena_mark(s->arena);
    MoeWork work = {
        .expert = step_memory(s, pairs * sizeof *work.expert),
        .share = step_memory(s, pairs * sizeof *work.share),
        .begin = step_memory(s, ((size_t)options->n_experts + 1) * sizeof *work.begin),
        .source = step_memory(s, pairs * sizeof *work.source),
        .slot = step_memory(s, pairs * sizeof *work.slot),
    };
    work.in = step_tensor(s, (int64_t)pairs, 1, (int32_t)gate->k, true);
    work.hidden = step_tensor(s, (int64_t)pairs, 1, (int32_t)gate->n, true);
    work.result = step_tensor(s, (int64_t)pairs, 1, (int32_t)down->n, false);
    if (step_failed(s)) return out;
    s->backend->ops->moe(s->backend, x, logits, gate, up, down, options, &work, out);
    arena_reset(s->arena, mark);
    return out;
}
