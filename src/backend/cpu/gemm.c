/* Products for training in plain loops over the kernels that inference has (see gemm.h): a piece of
 * work is a tile of c, and every number of it is summed in the order of k. Both precisions compute
 * in float32. */
#include "backend/cpu/gemm.h"

#include <string.h>

#include "backend/cpu/cpu.h"
#include "tensor/dtype.h"

#define TILE_ROWS    8
#define TILE_COLUMNS 256

typedef struct GemmJob {
    const Cpu *c;
    size_t m, n, k;
    GemmMatrix a, x;
    float *out;
    size_t out_stride;
    bool add;
    int64_t across; /* tiles side by side */
    const Weight *w;
    int64_t mat;
} GemmJob;

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static float a_at(const GemmJob *job, size_t i, size_t p)
{
    return job->a.turned ? job->a.data[p * job->a.stride + i] : job->a.data[i * job->a.stride + p];
}

/* Both sides have k along their rows: dot products. */
static void dots(const GemmJob *job, size_t i, size_t first, size_t n, float *out)
{
    const float *a = job->a.data + i * job->a.stride;
    for (size_t j = 0; j < n; j++) {
        const float *x = job->x.data + (first + j) * job->x.stride;
        out[j] = (job->add ? out[j] : 0) + job->c->k->dot(a, x, job->k);
    }
}

static void strided(const GemmJob *job, size_t i, size_t first, size_t n, float *out)
{
    for (size_t j = 0; j < n; j++) {
        const float *x = job->x.data + (first + j) * job->x.stride;
        float sum = 0;
        for (size_t p = 0; p < job->k; p++) sum += a_at(job, i, p) * x[p];
        out[j] = (job->add ? out[j] : 0) + sum;
    }
}

static void tile(const GemmJob *job, size_t row, size_t column)
{
    size_t rows = least(job->m - row, TILE_ROWS), n = least(job->n - column, TILE_COLUMNS);
    for (size_t i = row; i < row + rows; i++) {
        float *out = job->out + i * job->out_stride + column;
        if (job->x.turned && !job->a.turned) {
            dots(job, i, column, n, out);
        } else if (job->x.turned) {
            strided(job, i, column, n, out);
        } else {
            if (!job->add) memset(out, 0, n * sizeof *out);
            for (size_t p = 0; p < job->k; p++)
                job->c->k->axpy(a_at(job, i, p), job->x.data + p * job->x.stride + column, n, out);
        }
    }
}

static void gemm_tiles(void *arg, int member, int64_t begin, int64_t end)
{
    const GemmJob *job = arg;
    (void)member;
    for (int64_t t = begin; t < end; t++)
        tile(job, (size_t)(t / job->across) * TILE_ROWS, (size_t)(t % job->across) * TILE_COLUMNS);
}

static void share_tiles(Cpu *c, GemmJob *job, CpuPieceFn fn, size_t tile_rows)
{
    job->across = (int64_t)((job->n + TILE_COLUMNS - 1) / TILE_COLUMNS);
    int64_t down = (int64_t)((job->m + tile_rows - 1) / tile_rows);
    int64_t work = (int64_t)(job->m * job->n * (job->k + 7) / 8);
    cpu_share(c, down * job->across, 1, work, fn, job);
}

void cpu_gemm(Backend *b, size_t m, size_t n, size_t k, GemmMatrix a, GemmMatrix x, float *c,
              size_t c_stride, bool add, GemmPrecision precision)
{
    GemmJob job = {.c = (Cpu *)b,
                   .m = m,
                   .n = n,
                   .k = k,
                   .a = a,
                   .x = x,
                   .out = c,
                   .out_stride = c_stride,
                   .add = add};
    (void)precision;
    share_tiles((Cpu *)b, &job, gemm_tiles, TILE_ROWS);
}

/* Row `row` of the weight as floats: where it lies, or dequantised into `to`. */
static const float *weight_row(const Weight *w, int64_t mat, int64_t row, float *to)
{
    if (w->type == DT_F32 && !w->panels)
        return (const float *)(const void *)weight_rows(w, mat, row);
    if (w->panels)
        panel_row(w->type,
                  (const unsigned char *)w->panels +
                      (size_t)(mat * weight_panels(w) + row / PANEL_ROWS) * w->layout.bytes,
                  (size_t)w->k, (size_t)row % PANEL_ROWS, to);
    else
        dequant_row(w->type, weight_rows(w, mat, row), to, (size_t)w->k);
    return to;
}

/* Piece p is rows [from, to) of c: each weight row is dequantised once for all of them. */
static void weight_pieces(void *arg, int member, int64_t begin, int64_t end)
{
    const GemmJob *job = arg;
    const Weight *w = job->w;
    float factor = w->scale ? w->scale[job->mat] : 1, *raw = job->c->work[member].raw;
    for (int64_t p = begin; p < end; p++) {
        size_t from = (size_t)(p * (int64_t)job->m / job->across);
        size_t to = (size_t)((p + 1) * (int64_t)job->m / job->across);
        for (size_t i = from; i < to && !job->add; i++)
            memset(job->out + i * job->out_stride, 0, job->n * sizeof(float));
        for (int64_t r = 0; r < w->n && from < to; r++) {
            const float *row = weight_row(w, job->mat, r, raw);
            for (size_t i = from; i < to; i++)
                job->c->k->axpy(factor * job->a.data[i * job->a.stride + (size_t)r], row, job->n,
                                job->out + i * job->out_stride);
        }
    }
}

void cpu_gemm_weight(Backend *b, size_t m, const float *dy, size_t stride, const Weight *w,
                     int64_t mat, float *c, size_t c_stride, bool add, GemmPrecision precision)
{
    Cpu *cpu = (Cpu *)b;
    GemmJob job = {.c = cpu,
                   .m = m,
                   .n = (size_t)w->k,
                   .a = {.data = dy, .stride = stride},
                   .out = c,
                   .out_stride = c_stride,
                   .add = add,
                   .across = cpu->n_threads,
                   .w = w,
                   .mat = mat};
    (void)precision;
    cpu_share(cpu, job.across, 1, (int64_t)m * w->n * w->k / 8, weight_pieces, &job);
}
