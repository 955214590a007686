/* activation(x gate') * (x up'), a panel of each at a time: the first half of a feed-forward layer,
 * of one matrix or of each expert. From QUANTISE_ROWS rows on, a result that only quantised
 * matrices will read leaves the panel as int8: its 32 columns are one group of k of theirs, and the
 * floats, four times as many bytes, are never written. */
#include <string.h>

#include "backend/cpu/cpu.h"

#define QUANTISE_ROWS 16

void cpu_activate(const Kernels *k, Activation activation, float *gate, float *up, size_t n)
{
    if (!gate) {
        k->activate(activation, up, n, up);
    } else if (activation == ACT_SILU) {
        k->swiglu(gate, up, n, gate);
    } else if (activation == ACT_GATE_CLAMPED) {
        k->swiglu_clamped(gate, up, n, gate);
    } else {
        k->activate(activation, gate, n, gate);
        k->mul(gate, up, n, gate);
    }
}

/* A panel's results as int8, one group a row. */
typedef struct Quantised {
    float *scale, *sum32, *sum16;
    int16_t *q_sum16;
    int8_t *q;
} Quantised;

static Quantised quantised_at(const CpuWork *work, size_t m, int64_t i)
{
    Quantised at = {.scale = (float *)(void *)(work->hidden + (size_t)i * m * CPU_HIDDEN)};
    at.sum32 = at.scale + m;
    at.sum16 = at.sum32 + m;
    at.q_sum16 = (int16_t *)(void *)(at.sum16 + 2 * m);
    at.q = (int8_t *)(at.q_sum16 + 2 * m);
    return at;
}

/* Those of n panels to their places in a twin: for each row n groups beside each other, so that a
 * line of the twin, which is far from that of the next row, is touched once. */
static void spread(const CpuWork *work, size_t m, int64_t n, const Twin *t, size_t row,
                   size_t first)
{
    Quantised from[CPU_PANELS];
    for (int64_t p = 0; p < n; p++) from[p] = quantised_at(work, m, p);
    for (size_t i = 0; i < m; i++) {
        size_t g = (row + i) * t->g_stride + first / ACT_GROUP;
        int8_t *q = t->q + (row + i) * t->q_stride + first;
        for (int64_t p = 0; p < n; p++, g++) {
            memcpy(q + p * PANEL_ROWS, from[p].q + i * PANEL_ROWS, PANEL_ROWS);
            t->scale[g] = from[p].scale[i];
            t->sum32[g] = from[p].sum32[i];
            memcpy(t->sum16 + 2 * g, from[p].sum16 + 2 * i, 2 * sizeof(float));
            memcpy(t->q_sum16 + 2 * g, from[p].q_sum16 + 2 * i, 2 * sizeof(int16_t));
        }
    }
}

bool cpu_gated_quantises(Tensor out)
{
    return out.twin && out.twin->alone && out.rows >= QUANTISE_ROWS &&
           tensor_row(out) % PANEL_ROWS == 0;
}

/* The floats of n panels, (m, 32 n) of work->tile. */
static float *gated_run(const Cpu *c, CpuWork *work, const CpuGated *g, int64_t mat, int64_t panel,
                        int64_t n, CpuInput in, size_t m)
{
    const size_t stride = (size_t)n * PANEL_ROWS, columns = cpu_columns(g->up, panel, n);
    float *up = work->tile + m * stride, *gate = g->gate ? work->tile : NULL;
    if (gate) cpu_panels(c, work, g->gate, mat, panel, n, in, m, gate, stride);
    cpu_panels(c, work, g->up, mat, panel, n, in, m, up, stride);
    if (columns == stride) {
        cpu_activate(c->k, g->activation, gate, up, m * stride);
    } else { /* columns beyond were not written */
        for (size_t t = 0; t < m; t++)
            cpu_activate(c->k, g->activation, gate ? gate + t * stride : NULL, up + t * stride,
                         columns);
    }
    return gate ? gate : up;
}

/* Panels [panel, panel + n) to their places in `out`. */
typedef void GatedRun(const Cpu *c, CpuWork *work, const CpuGated *g, int64_t mat, int64_t panel,
                      int64_t n, CpuInput in, size_t m, int64_t row);

static void as_floats(const Cpu *c, CpuWork *work, const CpuGated *g, int64_t mat, int64_t panel,
                      int64_t n, CpuInput in, size_t m, int64_t row)
{
    const float *from = gated_run(c, work, g, mat, panel, n, in, m);
    for (size_t t = 0; t < m; t++) /* NOLINTNEXTLINE(*NonNullParamChecker): reserved */
        memcpy(tensor_at(g->out, row + (int64_t)t) + panel * PANEL_ROWS,
               from + t * (size_t)n * PANEL_ROWS, cpu_columns(g->up, panel, n) * sizeof *from);
}

static void as_int8(const Cpu *c, CpuWork *work, const CpuGated *g, int64_t mat, int64_t panel,
                    int64_t n, CpuInput in, size_t m, int64_t row)
{
    for (int64_t i = 0; i < n; i++) {
        const float *from = gated_run(c, work, g, mat, panel + i, 1, in, m);
        Quantised to = quantised_at(work, m, i);
        c->k->quantize_act(from, m * PANEL_ROWS, to.q, to.scale, to.sum32, to.sum16, to.q_sum16);
    }
    spread(work, m, n, g->out.twin, (size_t)row, (size_t)panel * PANEL_ROWS);
}

void cpu_gated_panels(const Cpu *c, CpuWork *work, const CpuGated *g, int64_t mat, int64_t panel,
                      int64_t n, CpuInput in, size_t m, int64_t row)
{
    const bool quantises = cpu_gated_quantises(g->out);
    const int64_t most = quantises ? CPU_PANELS : m <= PANEL_FEW ? CPU_RUN : 1;
    GatedRun *const run = quantises ? as_int8 : as_floats;
    for (int64_t p = 0, some; p < n; p += some) {
        some = n - p < most ? n - p : most;
        run(c, work, g, mat, panel + p, some, in, m, row);
    }
}

typedef struct GatedJob {
    const Cpu *c;
    Tensor x;
    CpuGated gated;
} GatedJob;

static void gated_panels(void *arg, int member, int64_t begin, int64_t end)
{
    const GatedJob *job = arg;
    cpu_gated_panels(job->c, &job->c->work[member], &job->gated, 0, begin, end - begin,
                     cpu_input(job->x, 0, 0), (size_t)job->x.rows, 0);
}

void cpu_gated(Backend *b, Tensor x, const Weight *gate, const Weight *up, Activation activation,
               Tensor out)
{
    Cpu *c = (Cpu *)b;
    GatedJob job = {c, x, {gate, up, activation, out}};
    int64_t panels = weight_panels(up);
    if ((gate && gate->paneled) || up->paneled) cpu_quantise(c, x);
    cpu_share(c, panels, cpu_panel_chunk(c, panels, x.rows), up->n * up->k * x.rows / 4,
              gated_panels, &job);
    if (cpu_gated_quantises(out)) out.twin->ready = true;
}
