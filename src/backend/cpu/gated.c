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

/* The floats of a panel, (m, 32) of work->tile. */
static float *gated_panel(const Cpu *c, CpuWork *work, const CpuGated *g, int64_t mat,
                          int64_t panel, size_t width, CpuInput in, size_t m)
{
    float *half[2] = {work->tile, work->tile + m * PANEL_ROWS};
    float *gate = g->gate ? half[0] : NULL, *up = half[1];
    if (gate) cpu_panel(c, work, g->gate, mat, panel, in, m, gate, PANEL_ROWS);
    cpu_panel(c, work, g->up, mat, panel, in, m, up, PANEL_ROWS);
    if (width == PANEL_ROWS) {
        cpu_activate(c->k, g->activation, gate, up, m * PANEL_ROWS);
    } else { /* columns beyond were not written */
        for (size_t t = 0; t < m; t++)
            cpu_activate(c->k, g->activation, gate ? gate + t * PANEL_ROWS : NULL,
                         up + t * PANEL_ROWS, width);
    }
    return gate ? gate : up;
}

void cpu_gated_panels(const Cpu *c, CpuWork *work, const CpuGated *g, int64_t mat, int64_t panel,
                      int64_t n, CpuInput in, size_t m, int64_t row)
{
    const bool quantises = cpu_gated_quantises(g->out);
    for (int64_t p = 0; p < n; p++) {
        int64_t first = (panel + p) * PANEL_ROWS, left = g->up->n - first;
        size_t width = left < PANEL_ROWS ? (size_t)left : PANEL_ROWS;
        const float *result = gated_panel(c, work, g, mat, panel + p, width, in, m);
        if (quantises) {
            Quantised to = quantised_at(work, m, p);
            c->k->quantize_act(result, m * PANEL_ROWS, to.q, to.scale, to.sum32, to.sum16,
                               to.q_sum16);
            continue;
        }
        for (size_t t = 0; t < m; t++) /* NOLINTNEXTLINE(*NonNullParamChecker): reserved */
            memcpy(tensor_at(g->out, row + (int64_t)t) + first, result + t * PANEL_ROWS,
                   width * sizeof *result);
    }
    if (quantises) spread(work, m, n, g->out.twin, (size_t)row, (size_t)panel * PANEL_ROWS);
}

typedef struct GatedJob {
    const Cpu *c;
    Tensor x;
    CpuGated gated;
} GatedJob;

static void gated_panels(void *arg, int member, int64_t begin, int64_t end)
{
    const GatedJob *job = arg;
    for (int64_t p = begin, n; p < end; p += n) {
        n = end - p < CPU_PANELS ? end - p : CPU_PANELS;
        cpu_gated_panels(job->c, &job->c->work[member], &job->gated, 0, p, n,
                         cpu_input(job->x, 0, 0), (size_t)job->x.rows, 0);
    }
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
