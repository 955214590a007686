/* Adapters: what they add to products, for rows of one delta at a time. A x of all rows first, then
 * B of that by panels of outputs; a row's sums are the same whatever rows stand beside it. */
#include "backend/cpu/cpu.h"
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
        const float *factor = d->factor ? d->factor + mat * d->factor_stride + first : NULL;
        const float *bias = w->bias ? w->bias + mat * (size_t)w->n + first : NULL;
        job->c->k->matmul_rows(DT_F32, d->b + mat * d->b_stride + first * rank,
                               rank * sizeof(float), n, rank, r->h + t * rank, rank, m, tile,
                               PANEL_ROWS);
        for (size_t i = 0; i < m; i++) {
            float *out = r->out + (t + i) * r->out_stride + first;
            for (size_t j = 0; j < n; j++) {
                float own = bias ? bias[j] : 0;
                if (factor) out[j] = (out[j] - own) * factor[j] + own;
                out[j] += tile[i * PANEL_ROWS + j];
            }
        }
    }
    (void)member;
}

void cpu_adapt(Backend *b, const AdaptRun *run)
{
    Cpu *c = (Cpu *)b;
    AdaptJob job = {.c = c, .run = *run};
    int64_t rank = run->delta->rank, blocks = (run->rows + ADAPT_ROWS - 1) / ADAPT_ROWS;
    job.pieces = (rank + ADAPT_RANK - 1) / ADAPT_RANK;
    if (!run->given)
        cpu_share(c, blocks * job.pieces, 1, run->rows * rank * run->w->k / 2, down_pieces, &job);
    job.pieces = (run->w->n + PANEL_ROWS - 1) / PANEL_ROWS;
    int64_t pieces = blocks * job.pieces;
    cpu_share(c, pieces, pieces > 64 ? 4 : 1, run->rows * rank * run->w->n / 2, up_pieces, &job);
}
