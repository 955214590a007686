/* Matrix products: one queue of panels over all matrices that read the same input.
 *
 * A weight takes one of three roads: panels of int8 dot products, float rows straight from the
 * file, or, for block types without a panel class, rows dequantised a few at a time. */
#include "backend/cpu/cpu.h"

#include <string.h>

#include "tensor/dtype.h"

PanelAct cpu_act(Tensor x, int64_t first_row)
{
    const Twin *t = x.twin;
    size_t r = (size_t)first_row;
    if (!t) return (PanelAct){0};
    return (PanelAct){
        .q = t->q + r * t->q_stride,
        .scale = t->scale + r * t->g_stride,
        .sum32 = t->sum32 + r * t->g_stride,
        .sum16 = t->sum16 + 2 * r * t->g_stride,
        .q_stride = t->q_stride,
        .g_stride = t->g_stride,
    };
}

typedef struct QuantiseJob {
    const Cpu *c;
    Tensor x;
} QuantiseJob;

static void quantise_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const QuantiseJob *job = arg;
    const Twin *t = job->x.twin;
    (void)member;
    for (int64_t i = begin; i < end; i++) {
        size_t r = (size_t)i;
        job->c->k->quantize_act(tensor_at(job->x, i), tensor_row(job->x), t->q + r * t->q_stride,
                                t->scale + r * t->g_stride, t->sum32 + r * t->g_stride,
                                t->sum16 + 2 * r * t->g_stride);
    }
}

void cpu_quantise(Cpu *c, Tensor x)
{
    if (!x.twin || x.twin->ready) return;
    QuantiseJob job = {c, x};
    cpu_share(c, x.rows, 4, x.rows * (int64_t)tensor_row(x) / 2, quantise_rows, &job);
    x.twin->ready = true;
}

static bool float_rows(uint32_t type)
{
    return type == DT_F32 || type == DT_F16 || type == DT_BF16;
}

void cpu_panel(const Cpu *c, CpuWork *work, const Weight *w, int64_t mat, int64_t panel, Tensor x,
               int64_t row, size_t m, float *out, size_t out_stride)
{
    size_t k = (size_t)w->k;
    if (w->paneled) {
        const PanelLayout *l = &w->layout;
        PanelAct act = cpu_act(x, row);
        const unsigned char *p =
            (const unsigned char *)w->panels + (size_t)(mat * weight_panels(w) + panel) * l->bytes;
        if (m <= PANEL_FEW) {
            c->k->panel_few(w->type, p, k, &act, m, out, out_stride);
            return;
        }
        c->k->panel_scales(w->type, p + l->codes_bytes, k, work->scale, work->min);
        c->k->panel_matmul(l->code, l->group, p, work->scale, work->min, l->table, k, &act, m, out,
                           out_stride);
        return;
    }
    int64_t first = panel * PANEL_ROWS;
    size_t n = (size_t)(w->n - first < PANEL_ROWS ? w->n - first : PANEL_ROWS);
    const float *in = tensor_at(x, row);
    const unsigned char *rows =
        (const unsigned char *)w->rows + (size_t)(mat * w->n + first) * w->row_bytes;
    if (float_rows(w->type)) {
        c->k->matmul_rows(w->type, rows, w->row_bytes, n, k, in, k, m, out, out_stride);
        return;
    }
    for (size_t r = 0; r < n; r += CPU_RAW_ROWS) {
        size_t some = n - r < CPU_RAW_ROWS ? n - r : CPU_RAW_ROWS;
        for (size_t i = 0; i < some; i++)
            dequant_row(w->type, rows + (r + i) * w->row_bytes, work->raw + i * k, k);
        c->k->matmul_rows(DT_F32, work->raw, k * sizeof(float), some, k, in, k, m, out + r,
                          out_stride);
    }
}

int64_t cpu_panel_chunk(const Cpu *c, int64_t panels, int64_t rows)
{
    int64_t chunk = rows > 4 ? 1 : panels / (c->n_threads * 4);
    return chunk < 1 ? 1 : chunk > 32 ? 32 : chunk;
}

#define MOST_TOGETHER 4 /* matrices in one queue */

typedef struct LinearJob {
    Cpu *c;
    Tensor x;
    const Weight *w[MOST_TOGETHER];
    Tensor out[MOST_TOGETHER];
    int64_t begin[MOST_TOGETHER + 1]; /* first panel of each in the queue */
} LinearJob;

/* Copies a panel's tile into its place, when it was not computed there, and adds the bias. */
static void finish_tile(const LinearJob *job, int i, int64_t first, const float *tile,
                        size_t tile_stride)
{
    const Weight *w = job->w[i];
    size_t n = (size_t)(w->n - first < PANEL_ROWS ? w->n - first : PANEL_ROWS);
    for (int64_t t = 0; t < job->x.rows; t++) {
        float *to = tensor_at(job->out[i], t) + first;
        const float *from = tile + (size_t)t * tile_stride;
        if (to != from) memcpy(to, from, n * sizeof *to);
        if (w->bias)
            for (size_t r = 0; r < n; r++) to[r] += w->bias[(size_t)first + r];
    }
}

static void linear_panels(void *arg, int member, int64_t begin, int64_t end)
{
    const LinearJob *job = arg;
    CpuWork *work = &job->c->work[member];
    for (int64_t p = begin; p < end; p++) {
        int i = 0;
        while (p >= job->begin[i + 1]) i++;
        const Weight *w = job->w[i];
        int64_t panel = p - job->begin[i], first = panel * PANEL_ROWS;
        bool whole = first + PANEL_ROWS <= w->n; /* else a kernel would write past the row */
        float *tile = whole ? job->out[i].data + first : work->tile;
        size_t stride = whole ? tensor_row(job->out[i]) : PANEL_ROWS;
        cpu_panel(job->c, work, w, 0, panel, job->x, 0, (size_t)job->x.rows, tile, stride);
        if (!whole || w->bias) finish_tile(job, i, first, tile, stride);
    }
}

void cpu_linear(Backend *b, Tensor x, const Weight *const *w, const Tensor *out, int count)
{
    Cpu *c = (Cpu *)b;
    LinearJob job = {.c = c, .x = x};
    int64_t work = 0;
    for (int i = 0; i < count; i++) {
        if (w[i]->paneled) cpu_quantise(c, x);
        job.w[i] = w[i];
        job.out[i] = out[i];
        job.begin[i + 1] = job.begin[i] + weight_panels(w[i]);
        work += w[i]->n * w[i]->k * x.rows / 8;
    }
    int64_t panels = job.begin[count];
    cpu_share(c, panels, cpu_panel_chunk(c, panels, x.rows), work, linear_panels, &job);
}

/* ---- silu(x gate') * (x up'), a panel of each at a time ---- */

/* Adds the part of the bias that belongs to a tile of `width` rows from `first` on. */
static void add_bias(const Weight *w, int64_t first, size_t width, size_t m, float *tile)
{
    for (size_t t = 0; w->bias && t < m; t++)
        for (size_t r = 0; r < width; r++) tile[t * PANEL_ROWS + r] += w->bias[(size_t)first + r];
}

static void swiglu_panels(void *arg, int member, int64_t begin, int64_t end)
{
    const LinearJob *job = arg;
    const Cpu *c = job->c;
    CpuWork *work = &job->c->work[member];
    size_t m = (size_t)job->x.rows;
    float *gate = work->tile, *up = work->tile + m * PANEL_ROWS;
    for (int64_t p = begin; p < end; p++) {
        int64_t first = p * PANEL_ROWS, n = job->w[0]->n;
        size_t width = (size_t)(n - first < PANEL_ROWS ? n - first : PANEL_ROWS);
        cpu_panel(c, work, job->w[0], 0, p, job->x, 0, m, gate, PANEL_ROWS);
        cpu_panel(c, work, job->w[1], 0, p, job->x, 0, m, up, PANEL_ROWS);
        add_bias(job->w[0], first, width, m, gate);
        add_bias(job->w[1], first, width, m, up);
        for (size_t t = 0; t < m; t++)
            c->k->swiglu(gate + t * PANEL_ROWS, up + t * PANEL_ROWS, width,
                         tensor_at(job->out[0], (int64_t)t) + first);
    }
}

void cpu_swiglu(Backend *b, Tensor x, const Weight *gate, const Weight *up, Tensor out)
{
    Cpu *c = (Cpu *)b;
    LinearJob job = {.c = c, .x = x, .w = {gate, up}, .out = {out}};
    int64_t panels = weight_panels(gate);
    if (gate->paneled || up->paneled) cpu_quantise(c, x);
    cpu_share(c, panels, cpu_panel_chunk(c, panels, x.rows), gate->n * gate->k * x.rows / 4,
              swiglu_panels, &job);
}
