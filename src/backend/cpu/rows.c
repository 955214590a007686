/* Work that goes row by row: embeddings, norms, RoPE, addition, picking the wanted rows. */
#include "backend/cpu/cpu.h"

#include <string.h>

typedef struct RowsJob {
    Cpu *c;
    Tensor x, y, out;
    bool quantise; /* each row once it is normed, while it is in the first cache */
    const Norm *norm;
    const RopeTable *table;
    const Weight *embedding;
    const int32_t *ids;
} RowsJob;

static void embed_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const RowsJob *job = arg;
    const Weight *w = job->embedding;
    (void)member;
    for (int64_t i = begin; i < end; i++) {
        size_t row = (size_t)job->ids[i];
        if (w->panels) /* tied to the head: the file's rows need not be resident too */
            panel_row(w->type,
                      (const unsigned char *)w->panels + row / PANEL_ROWS * w->layout.bytes,
                      (size_t)w->k, row % PANEL_ROWS, tensor_at(job->out, i));
        else
            dequant_row(w->type, weight_rows(w, 0, (int64_t)row), tensor_at(job->out, i),
                        (size_t)w->k);
    }
}

void cpu_embed(Backend *b, const Weight *table, const int32_t *ids, Tensor out)
{
    RowsJob job = {.c = (Cpu *)b, .out = out, .embedding = table, .ids = ids};
    cpu_share_rows(job.c, out.rows, tensor_row(out), embed_rows, &job);
}

static void norm_head(const Kernels *k, const Norm *norm, int32_t head, const float *x,
                      size_t width, float *out)
{
    size_t at = norm->each_head ? (size_t)head * width : 0;
    const float *weight = norm->weight ? norm->weight + at : NULL;
    const float *bias = norm->bias ? norm->bias + at : NULL;
    if (norm->centred)
        k->layernorm(x, weight, bias, norm->eps, width, out);
    else
        k->rmsnorm(x, weight, norm->eps, width, out);
    if (!norm->centred && bias) k->add(out, bias, width, out);
}

static void norm_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const RowsJob *job = arg;
    size_t width = (size_t)job->x.width;
    (void)member;
    for (int64_t i = begin; i < end; i++) {
        for (int32_t h = 0; h < job->x.heads; h++)
            norm_head(job->c->k, job->norm, h, tensor_at(job->x, i) + (size_t)h * width, width,
                      tensor_at(job->out, i) + (size_t)h * width);
        if (job->quantise) cpu_quantise_row(job->c, job->out, i);
    }
}

/* Of heads, as queries have them, matrices read nothing. */

void cpu_norm(Backend *b, Tensor x, const Norm *norm, Tensor out)
{
    Cpu *c = (Cpu *)b;
    RowsJob job = {.c = c, .x = x, .out = out, .norm = norm};
    job.quantise = c->quantises && out.twin && out.heads == 1 && out.width % ACT_GROUP == 0;
    cpu_share_rows(c, x.rows, tensor_row(x), norm_rows, &job);
    if (out.twin) out.twin->ready = job.quantise;
}

void cpu_rope_head(const Cpu *c, Tensor x, int64_t row, int32_t h, const Norm *norm,
                   const RopeTable *table)
{
    size_t width = (size_t)x.width, half = (size_t)table->half;
    float *head = tensor_at(x, row) + (size_t)h * width;
    if (norm) norm_head(c->k, norm, h, head, width, head);
    c->k->rope(head + table->first, table->cos + (size_t)row * half,
               table->sin + (size_t)row * half, half, table->adjacent);
}

static void rope_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const RowsJob *job = arg;
    (void)member;
    for (int64_t i = begin; i < end; i++)
        for (int32_t h = 0; h < job->x.heads; h++)
            cpu_rope_head(job->c, job->x, i, h, job->norm, job->table);
}

void cpu_norm_rope(Backend *b, Tensor x, const Norm *norm, const RopeTable *table)
{
    RowsJob job = {.c = (Cpu *)b, .x = x, .norm = norm, .table = table};
    cpu_share_rows(job.c, x.rows, 2 * tensor_row(x), rope_rows, &job);
    cpu_changed(x);
}

static void add_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const RowsJob *job = arg;
    (void)member;
    if (!job->x.stride && !job->y.stride && !job->out.stride) {
        job->c->k->add(tensor_at(job->x, begin), tensor_at(job->y, begin),
                       (size_t)(end - begin) * tensor_row(job->x), tensor_at(job->out, begin));
        return;
    }
    for (int64_t i = begin; i < end; i++)
        job->c->k->add(tensor_at(job->x, i), tensor_at(job->y, i), tensor_row(job->x),
                       tensor_at(job->out, i));
}

void cpu_add(Backend *b, Tensor x, Tensor y, Tensor out)
{
    RowsJob job = {.c = (Cpu *)b, .x = x, .y = y, .out = out};
    cpu_share_rows(job.c, x.rows, tensor_row(x) / 2, add_rows, &job);
    cpu_changed(out);
}

void cpu_wanted(Backend *b, Tensor x, const StepRow *rows, Tensor out)
{
    int64_t n = 0;
    (void)b;
    for (int64_t i = 0; i < x.rows; i++)
        if (rows[i].want)
            memcpy(tensor_at(out, n++), tensor_at(x, i), tensor_row(x) * sizeof(float));
}
