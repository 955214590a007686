/* Ways back of norms and rotations. Of a norm the statistics of every head are computed again, and
 * kept for its weights' gradient, which is summed by columns. */
#include "backend/cpu/back.h"

#define STRIP 64

typedef struct NormJob {
    Cpu *c;
    Tensor x, d_out, d_x;
    const Norm *norm;
    float *d_weight, *d_bias;
    float *work; /* (T, heads, 2): mean, 1 / deviation */
    bool fresh;  /* d_x */
} NormJob;

static void norm_back_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const NormJob *job = arg;
    size_t width = (size_t)job->x.width, heads = (size_t)job->x.heads;
    (void)member;
    for (int64_t i = begin; i < end; i++) {
        float *d_x = job->d_x.data ? cpu_row_to_add(job->d_x, job->fresh, i) : NULL;
        for (size_t h = 0; h < heads; h++) {
            const float *x = tensor_at(job->x, i) + h * width;
            const float *weight = job->norm->weight;
            if (weight && job->norm->each_head) weight += h * width;
            job->c->k->norm_back(
                x, weight, job->norm->eps, job->norm->centred, tensor_at(job->d_out, i) + h * width,
                width, job->work + 2 * ((size_t)i * heads + h), d_x ? d_x + h * width : NULL);
        }
    }
}

/* Columns of the norm's weights: heads that share them are added one after the other. */
static void weight_strips(void *arg, int member, int64_t begin, int64_t end)
{
    const NormJob *job = arg;
    size_t width = (size_t)job->x.width, heads = (size_t)job->x.heads;
    size_t strips = (width + STRIP - 1) / STRIP;
    (void)member;
    for (int64_t p = begin; p < end; p++) {
        size_t own = (size_t)p / strips, at = (size_t)p % strips * STRIP;
        size_t n = width - at < STRIP ? width - at : STRIP, to = own * width + at;
        for (size_t h = own; h < (job->norm->each_head ? own + 1 : heads); h++)
            job->c->k->norm_columns(job->d_out.data + h * width + at, tensor_stride(job->d_out),
                                    job->x.data + h * width + at, tensor_stride(job->x),
                                    job->work + 2 * h, 2 * heads, (size_t)job->x.rows, n,
                                    job->d_weight ? job->d_weight + to : NULL,
                                    job->d_bias ? job->d_bias + to : NULL);
    }
}

void cpu_norm_back(Backend *b, Tensor x, const Norm *norm, Tensor d_out, Tensor d_x,
                   float *d_weight, float *d_bias, float *work)
{
    NormJob job = {(Cpu *)b, x, d_out, d_x, norm, d_weight, d_bias, work, tensor_take_fresh(d_x)};
    cpu_share_rows(job.c, x.rows, 2 * tensor_row(x), norm_back_rows, &job);
    if (!d_weight && !d_bias) return;
    int64_t strips = (x.width + STRIP - 1) / STRIP;
    cpu_share(job.c, norm->each_head ? x.heads * strips : strips, 1,
              x.rows * (int64_t)tensor_row(x), weight_strips, &job);
}

/* ---- rotations ---- */

typedef struct RopeJob {
    const Kernels *k;
    Tensor d;
    const RopeTable *table;
} RopeJob;

#define TURNED 256 /* pairs that the kernel of the forward turns; more go one by one */

/* The transpose of a rotation turns the other way, by the same magnitude. */
static void turn_back(const Kernels *k, float *d, const float *cos, const float *sin, size_t half,
                      bool adjacent)
{
    float back[TURNED];
    if (half <= TURNED) {
        k->scale(-1, sin, half, back);
        k->rope(d, cos, back, half, adjacent);
        return;
    }
    for (size_t i = 0; i < half; i++) {
        size_t a = adjacent ? 2 * i : i, b = adjacent ? 2 * i + 1 : i + half;
        float x = d[a], y = d[b];
        d[a] = x * cos[i] + y * sin[i];
        d[b] = y * cos[i] - x * sin[i];
    }
}

static void rope_back_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const RopeJob *job = arg;
    const RopeTable *t = job->table;
    size_t half = (size_t)t->half, width = (size_t)job->d.width;
    (void)member;
    for (int64_t i = begin; i < end; i++)
        for (size_t h = 0; h < (size_t)job->d.heads; h++)
            turn_back(job->k, tensor_at(job->d, i) + h * width + t->first,
                      t->cos + (size_t)i * half, t->sin + (size_t)i * half, half, t->adjacent);
}

void cpu_rope_back(Backend *b, Tensor d, const RopeTable *table)
{
    RopeJob job = {((Cpu *)b)->k, d, table};
    cpu_share_rows((Cpu *)b, d.rows, tensor_row(d), rope_back_rows, &job);
}
