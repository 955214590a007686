/* Mixture of experts: choose, sort the (row, expert) pairs by expert, run each active expert over
 * its rows with one queue of panels, and add the results up in the order of choice. */
#include "backend/cpu/cpu.h"

#include <math.h>
#include <string.h>

/* The n_used largest logits of a row by falling size, ties to the lower number; softmax over all
 * experts. NaN logits give some choice: always n_used different experts. */
static void choose(const float *logits, const MoeOptions *o, int32_t *expert, float *share)
{
    float most = -INFINITY;
    double total = 0, kept = 0;
    int32_t n = 0;
    for (int32_t e = 0; e < o->n_experts; e++) {
        int32_t at = n < o->n_used ? n++ : o->n_used;
        for (; at > 0 && logits[e] > logits[expert[at - 1]]; at--)
            if (at < o->n_used) expert[at] = expert[at - 1];
        if (at < o->n_used) expert[at] = e;
        if (logits[e] > most) most = logits[e];
    }
    for (int32_t e = 0; e < o->n_experts; e++) total += exp((double)logits[e] - (double)most);
    for (int32_t u = 0; u < o->n_used; u++) {
        double p = exp((double)logits[expert[u]] - (double)most) / total;
        share[u] = (float)p;
        kept += p;
    }
    if (o->renormalise && kept > 0)
        for (int32_t u = 0; u < o->n_used; u++) share[u] = (float)(share[u] / kept);
}

/* Fills begin, source and slot: pairs in order of expert, then of row. */
static void sort_pairs(const MoeOptions *o, const MoeWork *w, int64_t rows)
{
    int64_t pairs = rows * o->n_used;
    memset(w->begin, 0, ((size_t)o->n_experts + 1) * sizeof *w->begin);
    for (int64_t p = 0; p < pairs; p++) w->begin[w->expert[p] + 1]++;
    for (int32_t e = 0; e < o->n_experts; e++) w->begin[e + 1] += w->begin[e];
    for (int64_t p = 0; p < pairs; p++) {
        int32_t at = w->begin[w->expert[p]]++;
        w->source[at] = (int32_t)(p / o->n_used);
        w->slot[p] = at;
    }
    for (int32_t e = o->n_experts; e > 0; e--) w->begin[e] = w->begin[e - 1];
    w->begin[0] = 0;
}

typedef struct MoeJob {
    Cpu *c;
    Tensor x, out;
    const Weight *gate, *up, *down;
    const MoeOptions *options;
    const MoeWork *work;
} MoeJob;

static void gather_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const MoeJob *job = arg;
    const MoeWork *w = job->work;
    (void)member;
    for (int64_t p = begin; p < end; p++) {
        size_t from = (size_t)w->source[p], to = (size_t)p;
        const Twin *a = job->x.twin, *b = w->in.twin;
        if (w->in.data)
            memcpy(tensor_at(w->in, p), tensor_at(job->x, (int64_t)from),
                   tensor_row(job->x) * sizeof(float));
        if (!a || !b || !a->ready) continue;
        size_t g = a->g_stride;
        memcpy(b->q + to * b->q_stride, a->q + from * a->q_stride, tensor_row(job->x));
        memcpy(b->scale + to * g, a->scale + from * g, g * sizeof(float));
        memcpy(b->sum32 + to * g, a->sum32 + from * g, g * sizeof(float));
        memcpy(b->sum16 + to * 2 * g, a->sum16 + from * 2 * g, 2 * g * sizeof(float));
    }
}

/* Piece p is panel p % panels of expert p / panels. */
static void hidden_panels(void *arg, int member, int64_t begin, int64_t end)
{
    const MoeJob *job = arg;
    const MoeWork *w = job->work;
    CpuWork *mine = &job->c->work[member];
    int64_t panels = weight_panels(job->gate);
    for (int64_t p = begin; p < end; p++) {
        int64_t e = p / panels, first = p % panels * PANEL_ROWS, row = w->begin[e];
        size_t m = (size_t)(w->begin[e + 1] - row);
        if (!m) continue;
        size_t left = (size_t)(job->gate->n - first), width = left < PANEL_ROWS ? left : PANEL_ROWS;
        float *gate = mine->tile, *up = mine->tile + m * PANEL_ROWS;
        cpu_panel(job->c, mine, job->gate, e, p % panels, w->in, row, m, gate, PANEL_ROWS);
        cpu_panel(job->c, mine, job->up, e, p % panels, w->in, row, m, up, PANEL_ROWS);
        for (size_t t = 0; t < m; t++)
            job->c->k->swiglu(gate + t * PANEL_ROWS, up + t * PANEL_ROWS, width,
                              tensor_at(w->hidden, row + (int64_t)t) + first);
    }
}

static void result_panels(void *arg, int member, int64_t begin, int64_t end)
{
    const MoeJob *job = arg;
    const MoeWork *w = job->work;
    CpuWork *mine = &job->c->work[member];
    int64_t panels = weight_panels(job->down);
    for (int64_t p = begin; p < end; p++) {
        int64_t e = p / panels, first = p % panels * PANEL_ROWS, row = w->begin[e];
        size_t m = (size_t)(w->begin[e + 1] - row);
        if (!m) continue;
        size_t left = (size_t)(job->down->n - first), width = left < PANEL_ROWS ? left : PANEL_ROWS;
        cpu_panel(job->c, mine, job->down, e, p % panels, w->hidden, row, m, mine->tile,
                  PANEL_ROWS);
        for (size_t t = 0; t < m; t++)
            memcpy(tensor_at(w->result, row + (int64_t)t) + first, mine->tile + t * PANEL_ROWS,
                   width * sizeof(float));
    }
}

static void add_up(void *arg, int member, int64_t begin, int64_t end)
{
    const MoeJob *job = arg;
    const MoeWork *w = job->work;
    size_t row = tensor_row(job->out), used = (size_t)job->options->n_used;
    (void)member;
    for (int64_t i = begin; i < end; i++) {
        memset(tensor_at(job->out, i), 0, row * sizeof(float));
        for (size_t u = 0; u < used; u++)
            job->c->k->axpy(w->share[(size_t)i * used + u],
                            tensor_at(w->result, w->slot[(size_t)i * used + u]), row,
                            tensor_at(job->out, i));
    }
}

void cpu_moe(Backend *b, Tensor x, Tensor logits, const Weight *gate, const Weight *up,
             const Weight *down, const MoeOptions *options, const MoeWork *work, Tensor out)
{
    Cpu *c = (Cpu *)b;
    MoeJob job = {c, x, out, gate, up, down, options, work};
    int64_t pairs = x.rows * options->n_used, experts = options->n_experts;
    for (int64_t i = 0; i < x.rows; i++)
        choose(tensor_at(logits, i), options, work->expert + i * options->n_used,
               work->share + i * options->n_used);
    sort_pairs(options, work, x.rows);
    if (gate->paneled || up->paneled) cpu_quantise(c, x);
    cpu_share(c, pairs, 8, pairs * (int64_t)tensor_row(x) / 4, gather_rows, &job);
    if (work->in.twin && x.twin) work->in.twin->ready = x.twin->ready;
    cpu_share(c, experts * weight_panels(gate), cpu_panel_chunk(c, pairs * weight_panels(gate), 1),
              pairs * gate->n * gate->k / 4, hidden_panels, &job);
    if (down->paneled) cpu_quantise(c, work->hidden);
    cpu_share(c, experts * weight_panels(down), cpu_panel_chunk(c, pairs * weight_panels(down), 1),
              pairs * down->n * down->k / 8, result_panels, &job);
    cpu_share(c, x.rows, 4, pairs * (int64_t)tensor_row(out), add_up, &job);
}
