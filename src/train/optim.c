/* AdamW and Muon (see optim.h). */
#include "train/optim.h"

#include <math.h>

#include "backend/cpu/gemm.h"
#include "base/checked.h"
#include "base/mem.h"

#define PIECE (1u << 16) /* numbers a member takes at a time */

OptimOptions optim_defaults(void)
{
    return (OptimOptions){.kind = OPTIM_ADAMW,
                          .beta1 = 0.9,
                          .beta2 = 0.95,
                          .eps = 1e-8,
                          .decay = 0.1,
                          .momentum = 0.95,
                          .clip = 1};
}

/* ---- opening ---- */

static bool takes_muon(const Optim *o, const Param *p)
{
    return o->options.kind == OPTIM_MUON && p->kind == PARAM_MATRIX && p->rows > 1 && p->k > 1;
}

static void cut(Optim *o, OptimPiece *out)
{
    o->n_pieces = 0;
    for (size_t i = 0; i < o->params->n; i++) {
        const Param *p = &o->params->items[i];
        size_t first = (size_t)(p->value - o->params->values);
        if (p->kind == PARAM_FROZEN) continue;
        for (size_t at = 0; at < p->n; at += PIECE) {
            if (out)
                out[o->n_pieces] = (OptimPiece){.at = first + at,
                                                .n = p->n - at < PIECE ? p->n - at : PIECE,
                                                .decays = p->kind != PARAM_VECTOR,
                                                .muon = takes_muon(o, p)};
            o->n_pieces++;
        }
    }
}

static size_t muon_floats(const Optim *o)
{
    size_t most = 0, side = 0;
    for (size_t i = 0; i < o->params->n; i++) {
        const Param *p = &o->params->items[i];
        if (!takes_muon(o, p)) continue;
        size_t n = (size_t)(p->k * p->rows), s = (size_t)(p->k < p->rows ? p->k : p->rows);
        if (n > most) most = n;
        if (s > side) side = s;
    }
    return 2 * most + 2 * side * side;
}

bt_status optim_open(Params *params, const OptimOptions *options, Optim **out, bt_error *err)
{
    *out = NULL;
    Optim *o = mem_zalloc(1, sizeof *o);
    if (!o) return bt_fail_memory(err, "the optimiser", sizeof *o);
    o->params = params;
    o->options = *options;
    o->bytes = align_up(params->n_values * sizeof(float), 4096);
    o->first = os_pages_alloc(o->bytes);
    o->second = os_pages_alloc(o->bytes);
    cut(o, NULL);
    o->pieces = mem_zalloc(o->n_pieces + 1, sizeof *o->pieces);
    o->sums = mem_zalloc(o->n_pieces + 1, sizeof *o->sums);
    o->work_bytes = align_up(muon_floats(o) * sizeof(float), 4096);
    if (o->work_bytes) o->work = os_pages_alloc(o->work_bytes);
    if (!o->first || !o->second || !o->pieces || !o->sums || (o->work_bytes && !o->work)) {
        optim_close(&o);
        return bt_fail_memory(err, "the optimiser's moments", 2 * params->n_values * sizeof(float));
    }
    cut(o, o->pieces);
    *out = o;
    return BT_OK;
}

void optim_close(Optim **optim)
{
    Optim *o = *optim;
    if (!o) return;
    if (o->first) os_pages_free(o->first, o->bytes);
    if (o->second) os_pages_free(o->second, o->bytes);
    if (o->work) os_pages_free(o->work, o->work_bytes);
    mem_free(o->pieces);
    mem_free(o->sums);
    mem_free(o);
    *optim = NULL;
}

/* ---- over pieces ---- */

typedef struct Job {
    Optim *o;
    const Kernels *kernels;
    TeamQueue queue;
    void (*fn)(struct Job *job, size_t piece);
    double rate, scale, correct1, correct2;
} Job;

static void job_member(void *arg, int member, int n_members)
{
    Job *job = arg;
    int64_t begin, end;
    (void)member;
    (void)n_members;
    while (queue_take(&job->queue, &begin, &end))
        for (int64_t i = begin; i < end; i++) job->fn(job, (size_t)i);
}

static void run(Job *job)
{
    job->kernels = kernels_select(job->o->params->model->features);
    queue_start(&job->queue, (int64_t)job->o->n_pieces, 1);
    team_run(job->o->params->model->team, job_member, job);
}

/* Sums of SQUARES numbers are float32's, the sum of those is not. */
static void norm_piece(Job *job, size_t piece)
{
    enum { SQUARES = 1024 };
    const OptimPiece *p = &job->o->pieces[piece];
    const float *g = job->o->params->grads + p->at;
    double sum = 0;
    for (size_t i = 0; i < p->n; i += SQUARES) {
        size_t n = p->n - i < SQUARES ? p->n - i : SQUARES;
        sum += (double)job->kernels->dot(g + i, g + i, n);
    }
    job->o->sums[piece] = sum;
}

double optim_norm(Optim *o, double scale)
{
    Job job = {.o = o, .fn = norm_piece};
    double sum = 0;
    run(&job);
    for (size_t i = 0; i < o->n_pieces; i++) sum += o->sums[i];
    return sqrt(sum) * fabs(scale);
}

double optim_clip(const Optim *o, double norm)
{
    return o->options.clip > 0 && norm > o->options.clip ? o->options.clip / norm : 1;
}

/* ---- AdamW ---- */

static void adam_piece(Job *job, size_t piece)
{
    const Optim *o = job->o;
    const OptimPiece *p = &o->pieces[piece];
    const OptimOptions *a = &o->options;
    if (p->muon) return;
    AdamStep step = {.scale = (float)job->scale,
                     .beta1 = (float)a->beta1,
                     .beta2 = (float)a->beta2,
                     .eps = (float)a->eps,
                     .rate = (float)(job->rate / job->correct1),
                     .root = (float)(1 / sqrt(job->correct2)),
                     .keep = p->decays ? (float)(1 - job->rate * a->decay) : 1};
    job->kernels->adamw(&step, o->params->grads + p->at, p->n, o->params->values + p->at,
                        o->first + p->at, o->second + p->at);
}

/* ---- Muon ---- */

/* Momentum, and Nesterov's look ahead into x; the sum of its squares. */
static double look_ahead(const Optim *o, size_t at, size_t n, float scale, float *x)
{
    const float *g = o->params->grads + at;
    float *m = o->first + at, mu = (float)o->options.momentum;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        float s = g[i] * scale;
        m[i] = mu * m[i] + s;
        x[i] = s + mu * m[i];
        sum += (double)x[i] * (double)x[i];
    }
    return sum;
}

/* x (r,k) becomes about U V' of its singular value decomposition: x <- a x + (b A + c A A) x with
 * A = x x', the smaller of the two sides. */
static void orthogonalise(Backend *b, float *x, float *next, float *square, float *poly, size_t r,
                          size_t k)
{
    static const float c0 = 3.4445f, c1 = -4.7750f, c2 = 2.0315f;
    bool wide = k >= r;
    size_t side = wide ? r : k, other = wide ? k : r;
    for (int round = 0; round < 5; round++) {
        GemmMatrix left = {x, k, !wide}, right = {x, k, wide};
        cpu_gemm(b, side, side, other, left, right, square, side, false, GEMM_F32);
        for (size_t i = 0; i < side * side; i++) poly[i] = c1 * square[i];
        GemmMatrix a = {square, side, false}, a2 = {square, side, false};
        /* c2 A A + c1 A: A is scaled on one side, in place of a factor that products do not have */
        for (size_t i = 0; i < side * side; i++) next[i] = c2 * square[i];
        a2.data = next;
        cpu_gemm(b, side, side, side, a, a2, poly, side, true, GEMM_F32);
        for (size_t i = 0; i < r * k; i++) next[i] = c0 * x[i];
        GemmMatrix p = {poly, side, false}, whole = {x, k, false};
        if (wide)
            cpu_gemm(b, r, k, r, p, whole, next, k, true, GEMM_F32);
        else
            cpu_gemm(b, r, k, k, whole, p, next, k, true, GEMM_F32);
        memcpy(x, next, r * k * sizeof *x);
    }
}

static void muon_matrix(Optim *o, Backend *b, size_t at, size_t r, size_t k, double rate,
                        double scale)
{
    size_t n = r * k, side = r < k ? r : k;
    float *x = o->work, *next = x + n, *square = next + n, *poly = square + side * side;
    double norm = sqrt(look_ahead(o, at, n, (float)scale, x));
    float *w = o->params->values + at, unit = (float)(1 / (norm + 1e-7));
    for (size_t i = 0; i < n; i++) x[i] *= unit;
    orthogonalise(b, x, next, square, poly, r, k);
    float keep = (float)(1 - rate * o->options.decay);
    float step = (float)(rate * 0.2 * sqrt((double)(r > k ? r : k)));
    for (size_t i = 0; i < n; i++) w[i] = w[i] * keep - step * x[i];
}

void optim_step(Optim *o, Backend *b, int64_t step, double rate, double scale)
{
    Job job = {.o = o,
               .fn = adam_piece,
               .rate = rate,
               .scale = scale,
               .correct1 = 1 - pow(o->options.beta1, (double)step),
               .correct2 = 1 - pow(o->options.beta2, (double)step)};
    run(&job);
    for (size_t i = 0; i < o->params->n && o->options.kind == OPTIM_MUON; i++) {
        const Param *p = &o->params->items[i];
        if (!takes_muon(o, p)) continue;
        size_t first = (size_t)(p->value - o->params->values), each = (size_t)(p->k * p->rows);
        for (size_t m = 0; m < (size_t)p->mats; m++)
            muon_matrix(o, b, first + m * each, (size_t)p->rows, (size_t)p->k, rate, scale);
    }
}
