/* Recurrences: a piece of work is a head (or some channels) of one sequence, which takes the
 * sequence's rows of this step in order; pieces do not touch each other's state. */
#include "backend/cpu/cpu.h"

#include <math.h>

#define CONV_PIECE 256 /* channels: weights and the last rows stay in the first cache */
#define CONV_ROWS  8   /* a call: the activation finds them there */
#define SCAN_PIECE 64  /* a multiple of STATE_PANEL: pieces of a state lie one after the other */
#define RECUR_ROWS 32  /* a call: their inputs and a strip of the state share the first cache */

typedef struct RecurJob {
    const Cpu *c;
    const RecurrentLayer *layer;
    const StepRow *rows;
    const RowChains *chains;
    const Recurrence *r;
    const ConvOptions *conv;
    Tensor x, out;
    int64_t pieces; /* of one sequence */
} RecurJob;

/* The state of the sequence that chain p / pieces is of: its convolution's tail first. */
static float *state_of(const RecurJob *job, int32_t row)
{
    const RecurrentLayer *l = job->layer;
    size_t sequence = (size_t)job->rows[row].sequence;
    return l->base + (size_t)l->blocks[sequence * (size_t)l->table_stride] * l->stride;
}

static size_t piece_of(size_t all, size_t most, size_t first)
{
    return all - first < most ? all - first : most;
}

/* Rows of a chain that lie next to each other, from row i on, `most` at most. */
static size_t neighbours(const RecurJob *job, int32_t i, size_t most)
{
    size_t n = 1;
    while (n < most && job->chains->next[i + (int32_t)n - 1] == i + (int32_t)n) n++;
    return n;
}

static void conv_pieces(void *arg, int member, int64_t begin, int64_t end)
{
    const RecurJob *job = arg;
    const ConvOptions *o = job->conv;
    const Kernels *k = job->c->k;
    size_t channels = tensor_row(job->x), in = tensor_stride(job->x);
    (void)member;
    for (int64_t p = begin; p < end; p++) {
        int32_t i = job->chains->first[p / job->pieces];
        size_t at = (size_t)(p % job->pieces) * CONV_PIECE, n = piece_of(channels, CONV_PIECE, at);
        size_t rows;
        float *tail = state_of(job, i) + at;
        for (; i >= 0; i = job->chains->next[i + (int32_t)rows - 1]) {
            float *out = tensor_at(job->out, i) + at;
            rows = neighbours(job, i, CONV_ROWS);
            k->conv_rows(tensor_at(job->x, i) + at, in, o->weight + at,
                         o->bias ? o->bias + at : NULL, channels, (size_t)o->taps, rows, n, tail,
                         out, tensor_stride(job->out));
            for (size_t r = 0; r < rows && o->activation != ACT_NONE; r++)
                k->activate(o->activation, tensor_at(job->out, i + (int64_t)r) + at, n,
                            tensor_at(job->out, i + (int64_t)r) + at);
        }
    }
}

void cpu_conv(Backend *b, const RecurrentLayer *layer, const StepRow *rows, const RowChains *chains,
              Tensor x, const ConvOptions *options, Tensor out)
{
    Cpu *c = (Cpu *)b;
    RecurJob job = {c, layer, rows, chains, NULL, options, x, out, 0};
    job.pieces = ((int64_t)tensor_row(x) + CONV_PIECE - 1) / CONV_PIECE;
    cpu_share(c, chains->n * job.pieces, 1, x.rows * (int64_t)tensor_row(x) * options->taps,
              conv_pieces, &job);
}

/* Some channels of Mamba. */
static void scan_piece(const RecurJob *job, int32_t i, int64_t piece)
{
    const Recurrence *r = job->r;
    size_t at = (size_t)piece * SCAN_PIECE, width = tensor_row(r->b), rows;
    size_t n = piece_of(tensor_row(r->x), SCAN_PIECE, at);
    float *h = state_of(job, i) + job->layer->conv + at * width;
    for (; i >= 0; i = job->chains->next[i + (int32_t)rows - 1]) {
        rows = neighbours(job, i, RECUR_ROWS);
        job->c->k->scan_rows(tensor_at(r->x, i) + at, tensor_at(r->step, i) + at,
                             tensor_stride(r->x), r->a + at * width, r->d + at, tensor_at(r->b, i),
                             tensor_at(r->c, i), tensor_stride(r->b), rows, n, width, h,
                             tensor_at(job->out, i) + at);
    }
}

static void head_piece(const RecurJob *job, int32_t i, int64_t head)
{
    const Recurrence *r = job->r;
    const Kernels *k = job->c->k;
    size_t n = (size_t)r->x.width, width = (size_t)r->b.width, rows;
    size_t x_row = tensor_stride(r->x), b_row = tensor_stride(r->b);
    int64_t groups = r->b.heads, group = r->tiled ? head % groups : head * groups / r->x.heads;
    size_t at = (size_t)head * n, of_group = (size_t)group * width;
    float *h = state_of(job, i) + job->layer->conv + at * width;
    for (; i >= 0; i = job->chains->next[i + (int32_t)rows - 1]) {
        const float *x = tensor_at(r->x, i) + at, *b = tensor_at(r->b, i) + of_group;
        const float *c = tensor_at(r->c, i) + of_group;
        float decay[RECUR_ROWS], gain[RECUR_ROWS], *out = tensor_at(job->out, i) + at;
        rows = neighbours(job, i, RECUR_ROWS);
        for (size_t t = 0; t < rows; t++) {
            float step = tensor_at(r->step, i + (int64_t)t)[head];
            decay[t] = expf(r->kind == RECUR_SSD ? step * r->a[head] : step);
            gain[t] = r->kind == RECUR_SSD ? step : tensor_at(r->beta, i + (int64_t)t)[head];
        }
        if (r->kind == RECUR_SSD)
            k->ssd_rows(x, x_row, decay, gain, r->d[head], b, c, b_row, rows, n, width, h, out,
                        tensor_stride(job->out));
        else
            k->delta_rows(c, b, b_row, x, x_row, decay, gain, rows, n, width, h, out,
                          tensor_stride(job->out));
    }
}

static void recur_pieces(void *arg, int member, int64_t begin, int64_t end)
{
    const RecurJob *job = arg;
    (void)member;
    for (int64_t p = begin; p < end; p++) {
        int32_t i = job->chains->first[p / job->pieces];
        if (job->r->kind == RECUR_SCAN)
            scan_piece(job, i, p % job->pieces);
        else
            head_piece(job, i, p % job->pieces);
    }
}

void cpu_recur(Backend *b, const RecurrentLayer *layer, const StepRow *rows,
               const RowChains *chains, const Recurrence *r, Tensor out)
{
    Cpu *c = (Cpu *)b;
    RecurJob job = {c, layer, rows, chains, r, NULL, r->x, out, r->x.heads};
    if (r->kind == RECUR_SCAN)
        job.pieces = ((int64_t)tensor_row(r->x) + SCAN_PIECE - 1) / SCAN_PIECE;
    cpu_share(c, chains->n * job.pieces, 1, r->x.rows * (int64_t)layer->recurrent, recur_pieces,
              &job);
}
