/* Adapters: what they add to products, for rows of one delta at a time. A x of all rows first, then
 * B of that by panels of outputs; a row's sums are the same whatever rows stand beside it. */
#include "backend/cpu/back.h"
#include "tensor/dtype.h"

#define ADAPT_ROWS 64 /* of x in a piece */
#define ADAPT_RANK 16 /* of A in a piece */

typedef struct AdaptJob {
    Cpu *c;
    AdaptRun run;
    int64_t pieces; /* in a row of pieces */
} AdaptJob;

static void down_pieces(void *arg, int member, int64_t begin, int64_t end)
{
    const AdaptJob *job = arg;
    const AdaptRun *r = &job->run;
    const LowRank *d = r->delta;
    size_t k = (size_t)r->w->k, rank = (size_t)d->rank;
    const float *a = d->a + (size_t)r->mat * d->a_stride;
    (void)member;
    for (int64_t p = begin; p < end; p++) {
        size_t t = (size_t)(p / job->pieces) * ADAPT_ROWS,
               j = (size_t)(p % job->pieces) * ADAPT_RANK;
        size_t m = (size_t)r->rows - t, n = rank - j;
        if (m > ADAPT_ROWS) m = ADAPT_ROWS;
        if (n > ADAPT_RANK) n = ADAPT_RANK;
        job->c->k->matmul_rows(DT_F32, a + j * k, k * sizeof *a, n, k, r->x + t * r->x_stride,
                               r->x_stride, m, r->h + t * rank + j, rank);
        for (size_t i = t; d->scale != 1 && i < t + m; i++)
            for (size_t q = j; q < j + n; q++) r->h[i * rank + q] *= d->scale;
    }
}

/* Outputs [first, first + n) of a row take what is added. */
static void add_row(const AdaptRun *r, size_t row, size_t first, size_t n, const float *add)
{
    const LowRank *d = r->delta;
    const Weight *w = r->w;
    float *out = r->out + row * r->out_stride + first;
    const float *factor = d->factor ? d->factor + (size_t)r->mat * d->factor_stride + first : NULL;
    const float *bias = w->bias ? w->bias + (size_t)(r->mat * w->n) + first : NULL;
    if (!factor) {
        for (size_t j = 0; j < n; j++) out[j] += add[j];
        return;
    }
    for (size_t j = 0; j < n; j++) {
        float own = bias ? bias[j] : 0;
        out[j] = (out[j] - own) * factor[j] + own + add[j];
    }
}

static void up_pieces(void *arg, int member, int64_t begin, int64_t end)
{
    const AdaptJob *job = arg;
    const AdaptRun *r = &job->run;
    const LowRank *d = r->delta;
    const Weight *w = r->w;
    size_t rank = (size_t)d->rank, mat = (size_t)r->mat;
    float tile[ADAPT_ROWS * PANEL_ROWS];
    for (int64_t p = begin; p < end; p++) {
        size_t t = (size_t)(p / job->pieces) * ADAPT_ROWS;
        size_t first = (size_t)(p % job->pieces) * PANEL_ROWS;
        size_t m = (size_t)r->rows - t, n = (size_t)w->n - first;
        if (m > ADAPT_ROWS) m = ADAPT_ROWS;
        if (n > PANEL_ROWS) n = PANEL_ROWS;
        job->c->k->matmul_rows(DT_F32, d->b + mat * d->b_stride + first * rank,
                               rank * sizeof(float), n, rank, r->h + t * rank, rank, m, tile,
                               PANEL_ROWS);
        for (size_t i = 0; i < m; i++) add_row(r, t + i, first, n, tile + i * PANEL_ROWS);
    }
    (void)member;
}

void cpu_adapt(Backend *b, const AdaptRun *run)
{
    Cpu *c = (Cpu *)b;
    AdaptJob job = {.c = c, .run = *run};
    int64_t rank = run->delta->rank, blocks = (run->rows + ADAPT_ROWS - 1) / ADAPT_ROWS;
    job.pieces = (rank + ADAPT_RANK - 1) / ADAPT_RANK;
    cpu_share(c, blocks * job.pieces, 1, run->rows * rank * run->w->k / 2, down_pieces, &job);
    job.pieces = (run->w->n + PANEL_ROWS - 1) / PANEL_ROWS;
    int64_t pieces = blocks * job.pieces;
    cpu_share(c, pieces, pieces > 64 ? 4 : 1, run->rows * rank * run->w->n / 2, up_pieces, &job);
}

/* ---- in training ---- */

/* Rows of run->sum hold B (A x): they take the weight's product, and the outputs the factor. */
static void factor_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const AdaptRun *r = arg;
    const float *factor = r->delta->factor + (size_t)r->mat * r->delta->factor_stride;
    const float *bias = r->w->bias ? r->w->bias + r->mat * r->w->n : NULL;
    (void)member;
    for (int64_t i = begin; i < end; i++) {
        float *out = r->out + (size_t)i * r->out_stride, *sum = r->sum + i * r->w->n;
        for (int64_t j = 0; j < r->w->n; j++) {
            float own = bias ? bias[j] : 0;
            sum[j] += out[j] - own;
            out[j] = sum[j] * factor[j] + own;
        }
    }
}

void cpu_adapt_forth(Backend *b, const AdaptRun *run, GemmPrecision p)
{
    Cpu *c = (Cpu *)b;
    AdaptRun r = *run;
    const LowRank *d = r.delta;
    size_t m = (size_t)r.rows, n = (size_t)r.w->n, k = (size_t)r.w->k, rank = (size_t)d->rank;
    const GemmMatrix a = {d->a + (size_t)r.mat * d->a_stride, k, true};
    const GemmMatrix wide = {d->b + (size_t)r.mat * d->b_stride, rank, true};
    cpu_gemm(b, m, rank, k, (GemmMatrix){r.x, r.x_stride, false}, a, r.h, rank, false, p);
    c->k->scale(d->scale, r.h, m * rank, r.h);
    const GemmMatrix h = {r.h, rank, false};
    if (!d->factor) {
        cpu_gemm(b, m, n, rank, h, wide, r.out, r.out_stride, true, p);
        return;
    }
    cpu_gemm(b, m, n, rank, h, wide, r.sum, n, false, p);
    cpu_share_rows(c, r.rows, n, factor_rows, &r);
}

typedef struct TurnJob {
    const AdaptRun *run;
    float *d_out, *d_magnitude;
} TurnJob;

/* A column belongs to one thread, which adds it up in order of rows. */
static void turn_columns(void *arg, int member, int64_t begin, int64_t end)
{
    const TurnJob *job = arg;
    const AdaptRun *r = job->run;
    const LowRank *d = r->delta;
    const float *factor = d->factor + (size_t)r->mat * d->factor_stride;
    (void)member;
    for (int64_t j = begin; j < end; j++) {
        double sum = 0;
        for (int64_t i = 0; i < r->rows; i++) {
            float *dy = job->d_out + (size_t)i * r->out_stride + j;
            if (r->sum) sum += (double)*dy * (double)r->sum[i * r->w->n + j];
            *dy *= factor[j];
        }
        if (job->d_magnitude && d->inverse)
            job->d_magnitude[j] += (float)(sum * (double)d->inverse[j]);
    }
}

void cpu_adapt_back(Backend *b, const AdaptRun *run, const AdaptGrads *g, GemmPrecision p)
{
    Cpu *c = (Cpu *)b;
    const LowRank *d = run->delta;
    size_t m = (size_t)run->rows, n = (size_t)run->w->n, k = (size_t)run->w->k;
    size_t rank = (size_t)d->rank, mat = (size_t)run->mat;
    const GemmMatrix d_out = {g->out, run->out_stride, false};
    const GemmMatrix d_out_turned = {g->out, run->out_stride, true};
    TurnJob turn = {run, g->out, g->magnitude};
    if (d->factor) cpu_share(c, (int64_t)n, 16, (int64_t)(m * n), turn_columns, &turn);
    cpu_gemm(b, m, rank, n, d_out, (GemmMatrix){d->b + mat * d->b_stride, rank, false}, g->h, rank,
             false, p);
    if (g->b)
        cpu_gemm(b, n, rank, m, d_out_turned, (GemmMatrix){run->h, rank, false}, g->b, rank, true,
                 p);
    c->k->scale(d->scale, g->h, m * rank, g->h);
    if (g->a)
        cpu_gemm(b, rank, k, m, (GemmMatrix){g->h, rank, true},
                 (GemmMatrix){run->x, run->x_stride, false}, g->a, k, true, p);
    if (g->x)
        cpu_gemm(b, m, k, rank, (GemmMatrix){g->h, rank, false},
                 (GemmMatrix){d->a + mat * d->a_stride, k, false}, g->x, run->x_stride, true, p);
}
