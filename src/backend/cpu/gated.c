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

/* Rows of 32 floats, each a group, to their places in a twin. `spare`: of the size of x. */
static void quantise(const Kernels *k, const float *x, size_t m, const Twin *t, size_t row,
                     size_t first, float *spare)
{
    float *scale = spare, *sum32 = scale + m, *sum16 = sum32 + m;
    int16_t *q_sum16 = (int16_t *)(sum16 + 2 * m);
    int8_t *q = (int8_t *)(q_sum16 + 2 * m);
    k->quantize_act(x, m * PANEL_ROWS, q, scale, sum32, sum16, q_sum16);
    for (size_t i = 0; i < m; i++) {
        size_t g = (row + i) * t->g_stride + first / ACT_GROUP;
        memcpy(t->q + (row + i) * t->q_stride + first, q + i * PANEL_ROWS, PANEL_ROWS);
        t->scale[g] = scale[i];
        t->sum32[g] = sum32[i];
        memcpy(t->sum16 + 2 * g, sum16 + 2 * i, 2 * sizeof *sum16);
        memcpy(t->q_sum16 + 2 * g, q_sum16 + 2 * i, 2 * sizeof *q_sum16);
    }
}

bool cpu_gated_quantises(Tensor out)
{
    return out.twin && out.twin->alone && out.rows >= QUANTISE_ROWS &&
           tensor_row(out) % PANEL_ROWS == 0;
}

void cpu_gated_panel(const Cpu *c, CpuWork *work, const CpuGated *g, int64_t mat, int64_t panel,
                     CpuInput in, size_t m, int64_t row)
{
    int64_t first = panel * PANEL_ROWS, left = g->up->n - first;
    size_t width = left < PANEL_ROWS ? (size_t)left : PANEL_ROWS;
    float *half[2] = {work->tile, work->tile + m * PANEL_ROWS};
    float *gate = g->gate ? half[0] : NULL, *up = half[1], *result = gate ? gate : up;
    if (gate) cpu_panel(c, work, g->gate, mat, panel, in, m, gate, PANEL_ROWS);
    cpu_panel(c, work, g->up, mat, panel, in, m, up, PANEL_ROWS);
    if (width == PANEL_ROWS) {
        cpu_activate(c->k, g->activation, gate, up, m * PANEL_ROWS);
    } else { /* columns beyond were not written */
        for (size_t t = 0; t < m; t++)
            cpu_activate(c->k, g->activation, gate ? gate + t * PANEL_ROWS : NULL,
                         up + t * PANEL_ROWS, width);
    }
    if (cpu_gated_quantises(g->out)) {
        quantise(c->k, result, m, g->out.twin, (size_t)row, (size_t)first, half[gate != NULL]);
        return;
    }
    for (size_t t = 0; t < m; t++) /* NOLINTNEXTLINE(*NonNullParamChecker): reserved */
        memcpy(tensor_at(g->out, row + (int64_t)t) + first, result + t * PANEL_ROWS,
               width * sizeof *result);
}

typedef struct GatedJob {
    const Cpu *c;
    Tensor x;
    CpuGated gated;
} GatedJob;

static void gated_panels(void *arg, int member, int64_t begin, int64_t end)
{
    const GatedJob *job = arg;
    for (int64_t p = begin; p < end; p++)
        cpu_gated_panel(job->c, &job->c->work[member], &job->gated, 0, p, cpu_input(job->x, 0, 0),
                        (size_t)job->x.rows, 0);
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
