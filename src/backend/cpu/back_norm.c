/* Ways back of norms and rotations. Of a norm the statistics of every head are computed again, and
 * kept for its weights' gradient, which is summed by columns. */
#include <math.h>

#include "backend/cpu/back.h"

#define STRIP 64

typedef struct NormJob {
    Cpu *c;
    Tensor x, d_out, d_x;
    const Norm *norm;
    float *d_weight, *d_bias;
    float *work; /* (T, heads, 2): mean, 1 / deviation */
} NormJob;

/* Mean (0 unless centred) and the inverse of the deviation of one head. */
static void statistics(const Norm *norm, const float *x, size_t n, float *out)
{
    double sum = 0, squares = 0;
    for (size_t j = 0; norm->centred && j < n; j++) sum += (double)x[j];
    double mean = sum / (double)n;
    for (size_t j = 0; j < n; j++) squares += ((double)x[j] - mean) * ((double)x[j] - mean);
    out[0] = (float)mean;
    out[1] = (float)(1 / sqrt(squares / (double)n + (double)norm->eps));
}

/* With h = (x - mean) / deviation and g = d weight: d_x += (g - mean(g) - h mean(g h)) / deviation,
 * mean(g) only where the norm is centred. */
static void head_back(const NormJob *job, const float *x, const float *d, const float *weight,
                      const float *of, float *d_x)
{
    size_t n = (size_t)job->x.width;
    float mean = of[0], inverse = of[1];
    double sum = 0, along = 0;
    for (size_t j = 0; j < n; j++) {
        float h = (x[j] - mean) * inverse, g = weight ? d[j] * weight[j] : d[j];
        sum += (double)g;
        along += (double)g * (double)h;
    }
    float a = job->norm->centred ? (float)(sum / (double)n) : 0, b = (float)(along / (double)n);
    for (size_t j = 0; j < n; j++) {
        float h = (x[j] - mean) * inverse, g = weight ? d[j] * weight[j] : d[j];
        d_x[j] += (g - a - h * b) * inverse;
    }
}

static void norm_back_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const NormJob *job = arg;
    size_t width = (size_t)job->x.width, heads = (size_t)job->x.heads;
    (void)member;
    for (int64_t i = begin; i < end; i++)
        for (size_t h = 0; h < heads; h++) {
            const float *x = tensor_at(job->x, i) + h * width;
            const float *weight = job->norm->weight;
            float *of = job->work + 2 * ((size_t)i * heads + h);
            if (weight && job->norm->each_head) weight += h * width;
            statistics(job->norm, x, width, of);
            if (job->d_x.data)
                head_back(job, x, tensor_at(job->d_out, i) + h * width, weight, of,
                          tensor_at(job->d_x, i) + h * width);
        }
}

/* Columns of the norm's weights: heads that share them are summed too, row by row. */
static void weight_strips(void *arg, int member, int64_t begin, int64_t end)
{
    const NormJob *job = arg;
    size_t width = (size_t)job->x.width, heads = (size_t)job->x.heads;
    size_t all = job->norm->each_head ? width * heads : width;
    (void)member;
    for (int64_t p = begin; p < end; p++) {
        size_t at = (size_t)p * STRIP, n = all - at < STRIP ? all - at : STRIP;
        double weight[STRIP] = {0}, bias[STRIP] = {0};
        for (int64_t i = 0; i < job->x.rows; i++)
            for (size_t c = 0; c < (job->norm->each_head ? 1 : heads); c++) {
                const float *x = tensor_at(job->x, i) + c * width + at;
                const float *d = tensor_at(job->d_out, i) + c * width + at;
                const float *work = job->work + 2 * (size_t)i * heads;
                for (size_t j = 0; j < n; j++) {
                    const float *of = work + 2 * (job->norm->each_head ? (at + j) / width : c);
                    weight[j] += (double)d[j] * (double)((x[j] - of[0]) * of[1]);
                    bias[j] += (double)d[j];
                }
            }
        for (size_t j = 0; j < n; j++) {
            if (job->d_weight) job->d_weight[at + j] += (float)weight[j];
            if (job->d_bias) job->d_bias[at + j] += (float)bias[j];
        }
    }
}

void cpu_norm_back(Backend *b, Tensor x, const Norm *norm, Tensor d_out, Tensor d_x,
                   float *d_weight, float *d_bias, float *work)
{
    NormJob job = {(Cpu *)b, x, d_out, d_x, norm, d_weight, d_bias, work};
    cpu_share_rows(job.c, x.rows, 2 * tensor_row(x), norm_back_rows, &job);
    if (!d_weight && !d_bias) return;
    size_t all = norm->each_head ? tensor_row(x) : (size_t)x.width;
    cpu_share(job.c, (int64_t)((all + STRIP - 1) / STRIP), 1, x.rows * (int64_t)tensor_row(x),
              weight_strips, &job);
}

/* ---- rotations ---- */

typedef struct RopeJob {
    Tensor d;
    const RopeTable *table;
} RopeJob;

/* The transpose of a rotation turns the other way, by the same magnitude. */
static void turn_back(float *d, const float *cos, const float *sin, size_t half, bool adjacent)
{
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
            turn_back(tensor_at(job->d, i) + h * width + t->first, t->cos + (size_t)i * half,
                      t->sin + (size_t)i * half, half, t->adjacent);
}

void cpu_rope_back(Backend *b, Tensor d, const RopeTable *table)
{
    RopeJob job = {d, table};
    cpu_share_rows((Cpu *)b, d.rows, tensor_row(d), rope_back_rows, &job);
}
