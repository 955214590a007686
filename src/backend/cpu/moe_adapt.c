/* Experts that adapters touch: gate, up and down are made apart, and after each comes what the
 * adapters of its rows add. Slower than the fused way of moe.c by the floats that are written in
 * between; nothing of it runs where no row has such adapters. */
#include <string.h>

#include "backend/cpu/cpu.h"

static const Adapters *adapters_of(const MoeWork *w, int32_t n_used, int64_t pair)
{
    return w->rows[w->choice[pair] / n_used].adapters;
}

/* Pairs of an expert whose rows have the same adapters, run by run. */
static void add_deltas(Cpu *c, const MoeWork *work, int32_t n_used, int64_t e, Tensor in,
                       const Weight *w, Tensor out)
{
    for (int64_t p = work->begin[e], end = p; p < work->begin[e + 1]; p = end) {
        const Adapters *own = adapters_of(work, n_used, p);
        const LowRank *d = adapters_find(own, w);
        while (end < work->begin[e + 1] && adapters_of(work, n_used, end) == own) end++;
        if (!d) continue;
        cpu_adapt(&c->base, &(AdaptRun){.delta = d,
                                        .w = w,
                                        .mat = e,
                                        .x = tensor_at(in, p),
                                        .x_stride = tensor_row(in),
                                        .h = work->room,
                                        .out = tensor_at(out, p),
                                        .out_stride = tensor_row(out),
                                        .rows = end - p});
    }
}

static void products(Cpu *c, const MoeOptions *o, const MoeWork *work, int64_t active, Tensor in,
                     const Weight *w, Tensor out)
{
    cpu_moe_product(c, work, active, in, w, out);
    for (int64_t a = 0; a < active; a++)
        add_deltas(c, work, o->n_used, work->active[a], in, w, out);
}

typedef struct ActivateJob {
    Cpu *c;
    Activation activation;
    Tensor gate, hidden; /* gate: (P, F), or of no rows */
} ActivateJob;

static void activate_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const ActivateJob *job = arg;
    size_t n = tensor_row(job->hidden);
    (void)member;
    for (int64_t i = begin; i < end; i++) {
        float *up = tensor_at(job->hidden, i),
              *gate = job->gate.rows ? tensor_at(job->gate, i) : NULL;
        cpu_activate(job->c->k, job->activation, gate, up, n);
        if (gate) memcpy(up, gate, n * sizeof *up);
    }
}

void cpu_moe_adapted(Cpu *c, const Weight *gate, const Weight *up, const Weight *down,
                     const MoeOptions *options, const MoeWork *work, int64_t active)
{
    ActivateJob job = {c, options->activation, work->gate, work->hidden};
    if (gate) products(c, options, work, active, work->in, gate, work->gate);
    products(c, options, work, active, work->in, up, work->hidden);
    cpu_share_rows(c, work->hidden.rows, tensor_row(work->hidden), activate_rows, &job);
    products(c, options, work, active, work->hidden, down, work->result);
}
