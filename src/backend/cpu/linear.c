/* Matrix products: one job of panels over all matrices that read the same input.
 *
 * A weight takes one of three roads: panels of int8 dot products, float rows straight from the
 * file, or, for block types without a panel class, rows dequantised a few at a time. */
#include "backend/cpu/cpu.h"

#include <string.h>

#include "tensor/dtype.h"

CpuInput cpu_input(Tensor x, int64_t row, int32_t head)
{
    const Twin *t = x.twin;
    size_t r = (size_t)row, column = (size_t)head * (size_t)x.width, g = column / ACT_GROUP;
    CpuInput in = {.data = x.data ? tensor_at(x, row) + column : NULL, .stride = tensor_stride(x)};
    if (t)
        in.act = (PanelAct){
            .q = t->q + r * t->q_stride + column,
            .scale = t->scale + r * t->g_stride + g,
            .sum32 = t->sum32 + r * t->g_stride + g,
            .sum16 = t->sum16 + 2 * (r * t->g_stride + g),
            .q_sum16 = t->q_sum16 + 2 * (r * t->g_stride + g),
            .q_stride = t->q_stride,
            .g_stride = t->g_stride,
        };
    return in;
}

typedef struct QuantiseJob {
    const Cpu *c;
    Tensor x;
} QuantiseJob;

void cpu_quantise_row(const Cpu *c, Tensor x, int64_t row)
{
    const Twin *t = x.twin;
    size_t r = (size_t)row, g = r * t->g_stride;
    c->k->quantize_act(tensor_at(x, row), tensor_row(x), t->q + r * t->q_stride, t->scale + g,
                       t->sum32 + g, t->sum16 + 2 * g, t->q_sum16 + 2 * g);
}

static void quantise_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const QuantiseJob *job = arg;
    (void)member;
    for (int64_t i = begin; i < end; i++) cpu_quantise_row(job->c, job->x, i);
}

void cpu_quantise(Cpu *c, Tensor x)
{
    if (!x.twin || x.twin->ready) return;
    c->quantises = true;
    QuantiseJob job = {c, x};
    int64_t chunk = x.rows > PANEL_FEW ? 4 : 1; /* few rows: all threads */
    cpu_share(c, x.rows, chunk, x.rows * (int64_t)tensor_row(x) / 2, quantise_rows, &job);
    x.twin->ready = true;
}

static bool float_rows(uint32_t type)
{
    return type == DT_F32 || type == DT_F16 || type == DT_BF16;
}

/* The product of a matrix with factors and a bias of its own. */
static void finish(const Weight *w, int64_t mat, int64_t first, size_t n, size_t m, float *out,
                   size_t out_stride)
{
    const float *bias = w->bias ? w->bias + mat * w->n + first : NULL;
    float scale = w->scale ? w->scale[mat] : 1;
    if (!bias && !w->scale) return;
    for (size_t t = 0; t < m; t++)
        for (size_t r = 0; r < n; r++)
            out[t * out_stride + r] = out[t * out_stride + r] * scale + (bias ? bias[r] : 0);
}

/* Bytes of a panel that are fetched while the one before is multiplied. */
#define FIRST_CODES 4096

static void paneled(const Cpu *c, CpuWork *work, const Weight *w, int64_t index, int64_t n,
                    const PanelAct *act, size_t m, float *out, size_t out_stride)
{
    const PanelLayout *l = &w->layout;
    size_t k = (size_t)w->k;
    const unsigned char *p = (const unsigned char *)w->panels + (size_t)index * l->bytes;
    if (m <= PANEL_FEW) {
        c->k->panel_few(w->type, p, k, (size_t)n, act, m, out, out_stride);
        return;
    }
    for (int64_t i = 0; i < n; i++, p += l->bytes, out += PANEL_ROWS) {
        /* What the next panel begins with: kernels fetch codes ahead, but not across panels. */
        for (size_t at = 0; at < l->scales_bytes; at += 64)
            __builtin_prefetch(p + l->bytes + l->codes_bytes + at, 0, 2);
        for (size_t at = 0; at < l->codes_bytes && at < FIRST_CODES; at += 64)
            __builtin_prefetch(p + l->bytes + at, 0, 2);
        c->k->panel_scales(w->type, p + l->codes_bytes, k, work->scale, work->min);
        c->k->panel_matmul(l->code, l->group, p, work->scale, l->centred ? NULL : work->min,
                           l->offset, l->table, k, act, m, out, out_stride);
    }
}

static void plain_rows(const Cpu *c, CpuWork *work, const Weight *w, const unsigned char *rows,
                       size_t n, CpuInput in, size_t m, float *out, size_t out_stride)
{
    size_t k = (size_t)w->k;
    if (float_rows(w->type)) {
        c->k->matmul_rows(w->type, rows, w->row_bytes, n, k, in.data, in.stride, m, out,
                          out_stride);
        return;
    }
    for (size_t r = 0; r < n; r += CPU_RAW_ROWS) {
        size_t some = n - r < CPU_RAW_ROWS ? n - r : CPU_RAW_ROWS;
        for (size_t i = 0; i < some; i++)
            dequant_row(w->type, rows + (r + i) * w->row_bytes, work->raw + i * k, k);
        c->k->matmul_rows(DT_F32, work->raw, k * sizeof(float), some, k, in.data, in.stride, m,
                          out + r, out_stride);
    }
}

void cpu_panels(const Cpu *c, CpuWork *work, const Weight *w, int64_t mat, int64_t panel, int64_t n,
                CpuInput in, size_t m, float *out, size_t out_stride)
{
    const size_t columns = cpu_columns(w, panel, n);
    const int64_t first = panel * PANEL_ROWS;
    if (w->paneled)
        paneled(c, work, w, mat * weight_panels(w) + panel, n, &in.act, m, out, out_stride);
    else
        plain_rows(c, work, w, weight_rows(w, mat, first), columns, in, m, out, out_stride);
    finish(w, mat, first, columns, m, out, out_stride);
}

void cpu_product(const Cpu *c, CpuWork *work, const Weight *w, int64_t mat, int64_t panel,
                 int64_t n, CpuInput in, size_t m, float *out, size_t out_stride)
{
    const size_t last = cpu_columns(w, panel + n - 1, 1);
    const int64_t whole = last == PANEL_ROWS ? n : n - 1;
    if (whole) cpu_panels(c, work, w, mat, panel, whole, in, m, out, out_stride);
    if (whole == n) return;
    out += whole * PANEL_ROWS;
    cpu_panels(c, work, w, mat, panel + whole, 1, in, m, work->tile, PANEL_ROWS);
    for (size_t t = 0; t < m; t++)
        memcpy(out + t * out_stride, work->tile + t * PANEL_ROWS, last * sizeof *out);
}

int64_t cpu_panel_chunk(const Cpu *c, int64_t panels, int64_t rows)
{
    int64_t chunk = panels / (c->n_threads * 4), most = rows > PANEL_FEW ? 8 : 32;
    return chunk < 1 ? 1 : chunk > most ? most : chunk;
}

#define MOST_TOGETHER 4 /* matrices in one job */

typedef struct LinearJob {
    Cpu *c;
    Tensor x;
    const Weight *w[MOST_TOGETHER];
    Tensor out[MOST_TOGETHER];
    int64_t begin[MOST_TOGETHER + 1]; /* first panel of each in the job */
    Activation activation;
} LinearJob;

static void linear_panels(void *arg, int member, int64_t begin, int64_t end)
{
    const LinearJob *job = arg;
    CpuWork *work = &job->c->work[member];
    for (int64_t p = begin, n; p < end; p += n) {
        int i = 0;
        while (p >= job->begin[i + 1]) i++;
        int64_t panel = p - job->begin[i], last = job->begin[i + 1];
        n = (end < last ? end : last) - p;
        cpu_product(job->c, work, job->w[i], 0, panel, n, cpu_input(job->x, 0, 0),
                    (size_t)job->x.rows, job->out[i].data + panel * PANEL_ROWS,
                    tensor_row(job->out[i]));
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

/* Head h of x against matrix h: piece p is a panel of a head. */
static void heads_panels(void *arg, int member, int64_t begin, int64_t end)
{
    const LinearJob *job = arg;
    const Weight *w = job->w[0];
    CpuWork *work = &job->c->work[member];
    int64_t panels = weight_panels(w);
    for (int64_t p = begin, n; p < end; p += n) {
        int64_t head = p / panels, panel = p % panels;
        n = end - p < panels - panel ? end - p : panels - panel;
        cpu_product(job->c, work, w, head, panel, n, cpu_input(job->x, 0, (int32_t)head),
                    (size_t)job->x.rows, job->out[0].data + head * w->n + panel * PANEL_ROWS,
                    tensor_row(job->out[0]));
    }
}

void cpu_linear_heads(Backend *b, Tensor x, const Weight *w, Tensor out)
{
    Cpu *c = (Cpu *)b;
    LinearJob job = {.c = c, .x = x, .w = {w}, .out = {out}};
    if (w->paneled) cpu_quantise(c, x);
    cpu_share(c, w->n_mats * weight_panels(w), 1, w->n_mats * w->n * w->k * x.rows / 8,
              heads_panels, &job);
}
