/* Work that goes row by row: embeddings, norms, RoPE, addition, picking the wanted rows. */
#include "backend/cpu/cpu.h"

#include <string.h>

typedef struct RowsJob {
    Cpu *c;
    Tensor x, y, out;
    const float *weight;
    float eps;
    const RopeTable *table;
    const Weight *embedding;
    const StepRow *rows;
} RowsJob;

static void share_rows(Cpu *c, RowsJob *job, int64_t rows, size_t row, CpuPieceFn fn)
{
    cpu_share(c, rows, rows > 64 ? 8 : 1, rows * (int64_t)row, fn, job);
}

static void embed_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const RowsJob *job = arg;
    const Weight *w = job->embedding;
    (void)member;
    for (int64_t i = begin; i < end; i++) {
        size_t token = (size_t)job->rows[i].token;
        if (w->panels) /* tied to the head: the file's rows need not be resident too */
            panel_row(w->type,
                      (const unsigned char *)w->panels + token / PANEL_ROWS * w->layout.bytes,
                      (size_t)w->k, token % PANEL_ROWS, tensor_at(job->out, i));
        else
            dequant_row(w->type, (const unsigned char *)w->rows + token * w->row_bytes,
                        tensor_at(job->out, i), (size_t)w->k);
    }
}

void cpu_embed(Backend *b, const Weight *table, const StepRow *rows, Tensor out)
{
    RowsJob job = {.c = (Cpu *)b, .out = out, .embedding = table, .rows = rows};
    share_rows(job.c, &job, out.rows, tensor_row(out), embed_rows);
}

static void norm_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const RowsJob *job = arg;
    size_t width = (size_t)job->x.width;
    (void)member;
    for (int64_t i = begin; i < end; i++)
        for (int32_t h = 0; h < job->x.heads; h++)
            job->c->k->rmsnorm(tensor_at(job->x, i) + (size_t)h * width, job->weight, job->eps,
                               width, tensor_at(job->out, i) + (size_t)h * width);
}

void cpu_rmsnorm(Backend *b, Tensor x, const float *weight, float eps, Tensor out)
{
    RowsJob job = {.c = (Cpu *)b, .x = x, .out = out, .weight = weight, .eps = eps};
    share_rows(job.c, &job, x.rows, tensor_row(x), norm_rows);
}

/* One pass over a row's heads: the norm (if asked for), then the rotation while it is in cache. */
static void rope_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const RowsJob *job = arg;
    const Kernels *k = job->c->k;
    size_t width = (size_t)job->x.width, half = (size_t)job->table->half;
    (void)member;
    for (int64_t i = begin; i < end; i++)
        for (int32_t h = 0; h < job->x.heads; h++) {
            float *head = tensor_at(job->x, i) + (size_t)h * width;
            if (job->weight) k->rmsnorm(head, job->weight, job->eps, width, head);
            k->rope(head, job->table->cos + (size_t)i * half, job->table->sin + (size_t)i * half,
                    half, job->table->adjacent);
        }
}

void cpu_norm_rope(Backend *b, Tensor x, const float *weight, float eps, const RopeTable *table)
{
    RowsJob job = {.c = (Cpu *)b, .x = x, .weight = weight, .eps = eps, .table = table};
    share_rows(job.c, &job, x.rows, 2 * tensor_row(x), rope_rows);
}

void cpu_rope(Backend *b, Tensor x, const RopeTable *table)
{
    cpu_norm_rope(b, x, NULL, 0, table);
}

static void add_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const RowsJob *job = arg;
    (void)member;
    job->c->k->add(tensor_at(job->x, begin), tensor_at(job->y, begin),
                   (size_t)(end - begin) * tensor_row(job->x), tensor_at(job->out, begin));
}

void cpu_add(Backend *b, Tensor x, Tensor y, Tensor out)
{
    RowsJob job = {.c = (Cpu *)b, .x = x, .y = y, .out = out};
    share_rows(job.c, &job, x.rows, tensor_row(x) / 2, add_rows);
}

void cpu_wanted(Backend *b, Tensor x, const StepRow *rows, Tensor out)
{
    int64_t n = 0;
    (void)b;
    for (int64_t i = 0; i < x.rows; i++)
        if (rows[i].want)
            memcpy(tensor_at(out, n++), tensor_at(x, i), tensor_row(x) * sizeof(float));
}
