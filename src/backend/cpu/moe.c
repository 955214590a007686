/* Mixture of experts: choose, sort the (row, expert) pairs by expert, run each active expert over
 * its rows in one job of panels, and add the results up in the order of choice. */
#include "backend/cpu/cpu.h"

#include <math.h>
#include <string.h>

/* The n largest of `count` scores by falling size, ties to the lower number. NaN scores give some
 * choice: always n different ones. */
static void best_of(const float *score, int32_t count, int32_t n, int32_t *best)
{
    int32_t have = 0;
    for (int32_t e = 0; e < count; e++) {
        int32_t at = have < n ? have++ : n;
        for (; at > 0 && score[e] > score[best[at - 1]]; at--)
            if (at < n) best[at] = best[at - 1];
        if (at < n) best[at] = e;
    }
}

/* What the choice goes by: the scores, moved by the bias. */
static void selection_scores(const float *logits, const MoeOptions *o, float *score)
{
    float most = -INFINITY;
    double total = 0;
    for (int32_t e = 0; e < o->n_experts; e++) {
        score[e] = logits[e];
        if (logits[e] > most) most = logits[e];
    }
    if (o->scores == MOE_SIGMOID)
        for (int32_t e = 0; e < o->n_experts; e++)
            score[e] = (float)(1 / (1 + exp(-(double)logits[e])));
    if (!o->bias) return; /* softmax keeps the order */
    if (o->scores == MOE_SOFTMAX) {
        for (int32_t e = 0; e < o->n_experts; e++) total += exp((double)logits[e] - (double)most);
        for (int32_t e = 0; e < o->n_experts; e++)
            score[e] = (float)(exp((double)logits[e] - (double)most) / total);
    }
    for (int32_t e = 0; e < o->n_experts; e++) score[e] += o->bias[e];
}

#define MOST_GROUPS 256

/* Puts the experts of all but the best groups out of the running (DeepSeek-V3,
 * arXiv 2412.19437). */
static void keep_groups(const MoeOptions *o, float *score)
{
    float of[MOST_GROUPS];
    int32_t best[MOST_GROUPS], per = o->n_experts / o->n_groups;
    for (int32_t g = 0; g < o->n_groups; g++) {
        const float *s = score + g * per;
        float first = -INFINITY, second = -INFINITY;
        for (int32_t e = 0; e < per; e++) {
            if (s[e] > first) {
                second = first;
                first = s[e];
            } else if (s[e] > second) {
                second = s[e];
            }
        }
        of[g] = o->group_top1 || per < 2 ? first : first + second;
    }
    best_of(of, o->n_groups, o->groups_used, best);
    for (int32_t g = 0; g < o->n_groups; g++) {
        bool kept = false;
        for (int32_t i = 0; i < o->groups_used; i++) kept = kept || best[i] == g;
        for (int32_t e = 0; e < per && !kept; e++) score[g * per + e] = -INFINITY;
    }
}

/* SparseMixer (arXiv 2310.00811; as GRIN, arXiv 2409.12136, uses it when it does not train): the
 * best expert of those left, weighed by a softmax over those left that are near it. Near is a
 * distance of at most `nearness` of max(|score|, best). */
static void choose_near(const float *logits, const MoeOptions *o, float *left, int32_t *expert,
                        float *share)
{
    memcpy(left, logits, (size_t)o->n_experts * sizeof *left);
    for (int32_t u = 0; u < o->n_used; u++) {
        double total = 0;
        best_of(left, o->n_experts, 1, &expert[u]);
        float best = left[expert[u]];
        for (int32_t e = 0; e < o->n_experts; e++) {
            float size = fabsf(logits[e]) > best ? fabsf(logits[e]) : best;
            bool far = (best - logits[e]) / size > o->nearness;
            if (!far) total += exp((double)left[e] - (double)best);
        }
        share[u] = (float)(1 / total);
        left[expert[u]] = -INFINITY;
    }
}

/* The chosen experts of a row and their weights. */
static void choose(const float *logits, const MoeOptions *o, float *score, int32_t *expert,
                   float *share)
{
    float most = -INFINITY;
    double total = 0, kept = 0;
    if (o->scores == MOE_SPARSE_MIXER) {
        choose_near(logits, o, score, expert, share);
        return;
    }
    selection_scores(logits, o, score);
    if (o->groups_used > 0 && o->groups_used < o->n_groups) keep_groups(o, score);
    best_of(score, o->n_experts, o->n_used, expert);
    int32_t n = o->scores == MOE_SOFTMAX_USED ? o->n_used : o->n_experts;
    for (int32_t i = 0; i < n; i++) {
        float logit = logits[n == o->n_experts ? i : expert[i]];
        if (logit > most) most = logit;
    }
    for (int32_t i = 0; i < n; i++)
        total += exp((double)logits[n == o->n_experts ? i : expert[i]] - (double)most);
    for (int32_t u = 0; u < o->n_used; u++) {
        double logit = (double)logits[expert[u]];
        double p =
            o->scores == MOE_SIGMOID ? 1 / (1 + exp(-logit)) : exp(logit - (double)most) / total;
        share[u] = (float)p;
        kept += p;
    }
    double factor = o->renormalise && kept > 0 ? 1 / kept : 1;
    if (o->scale != 0) factor *= (double)o->scale;
    if (factor != 1)
        for (int32_t u = 0; u < o->n_used; u++) share[u] = (float)(share[u] * factor);
}

/* Fills begin, choice and slot: pairs in order of expert, then of row. */
static void sort_pairs(const MoeOptions *o, const MoeWork *w, int64_t rows)
{
    int64_t pairs = rows * o->n_used;
    memset(w->begin, 0, ((size_t)o->n_experts + 1) * sizeof *w->begin);
    for (int64_t p = 0; p < pairs; p++) w->begin[w->expert[p] + 1]++;
    for (int32_t e = 0; e < o->n_experts; e++) w->begin[e + 1] += w->begin[e];
    for (int64_t p = 0; p < pairs; p++) {
        int32_t at = w->begin[w->expert[p]]++;
        w->choice[at] = (int32_t)p;
        w->slot[p] = at;
    }
    for (int32_t e = o->n_experts; e > 0; e--) w->begin[e] = w->begin[e - 1];
    w->begin[0] = 0;
}

/* Experts that have rows; how many. */
static int32_t list_active(const MoeOptions *o, const MoeWork *w)
{
    int32_t n = 0;
    for (int32_t e = 0; e < o->n_experts; e++)
        if (w->begin[e + 1] > w->begin[e]) w->active[n++] = e;
    return n;
}

typedef struct MoeJob {
    Cpu *c;
    Tensor x, out;
    const Weight *gate, *up;
    const MoeOptions *options;
    const MoeWork *work;
    bool floats; /* some matrix reads the rows as they are */
} MoeJob;

typedef struct RouteJob {
    Tensor logits;
    const MoeOptions *options;
    const MoeWork *work;
} RouteJob;

static void choose_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const RouteJob *job = arg;
    const MoeWork *w = job->work;
    const MoeOptions *o = job->options;
    (void)member;
    for (int64_t i = begin; i < end; i++)
        choose(tensor_at(job->logits, i), o, w->score + i * o->n_experts, w->expert + i * o->n_used,
               w->share + i * o->n_used);
}

int64_t cpu_moe_route(Cpu *c, Tensor logits, const MoeOptions *options, const MoeWork *work)
{
    RouteJob job = {logits, options, work};
    cpu_share(c, logits.rows, 8, logits.rows * options->n_experts * 16, choose_rows, &job);
    sort_pairs(options, work, logits.rows);
    return list_active(options, work);
}

static void gather_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const MoeJob *job = arg;
    const MoeWork *w = job->work;
    (void)member;
    for (int64_t p = begin; p < end; p++) {
        size_t from = (size_t)(w->choice[p] / job->options->n_used), to = (size_t)p;
        const Twin *a = job->x.twin, *b = w->in.twin;
        const float *x = tensor_at(job->x, (int64_t)from);
        if (job->options->weigh_input) {
            job->c->k->scale(w->share[w->choice[p]], x, tensor_row(job->x), tensor_at(w->in, p));
            continue;
        }
        if (job->floats) memcpy(tensor_at(w->in, p), x, tensor_row(job->x) * sizeof(float));
        if (!a || !b || !a->ready) continue;
        size_t g = a->g_stride;
        memcpy(b->q + to * b->q_stride, a->q + from * a->q_stride, tensor_row(job->x));
        memcpy(b->scale + to * g, a->scale + from * g, g * sizeof(float));
        memcpy(b->sum32 + to * g, a->sum32 + from * g, g * sizeof(float));
        memcpy(b->sum16 + to * 2 * g, a->sum16 + from * 2 * g, 2 * g * sizeof(float));
        memcpy(b->q_sum16 + to * 2 * g, a->q_sum16 + from * 2 * g, 2 * g * sizeof(int16_t));
    }
}

/* Rows of the active expert that piece p belongs to; how many. */
static size_t rows_of(const MoeWork *w, int64_t expert, int64_t *row)
{
    *row = w->begin[expert];
    return (size_t)(w->begin[expert + 1] - *row);
}

/* Piece p is panel p % panels of active expert p / panels. */
static void hidden_panels(void *arg, int member, int64_t begin, int64_t end)
{
    const MoeJob *job = arg;
    const MoeWork *w = job->work;
    CpuGated gated = {job->gate, job->up, job->options->activation, w->hidden};
    int64_t panels = weight_panels(job->up), row;
    for (int64_t p = begin, n; p < end; p += n) {
        int64_t e = w->active[p / panels], left = panels - p % panels;
        size_t m = rows_of(w, e, &row);
        n = end - p < left ? end - p : left;
        cpu_gated_panels(job->c, &job->c->work[member], &gated, e, p % panels, n,
                         cpu_input(w->in, row, 0), m, row);
    }
}

typedef struct ProductJob {
    const Cpu *c;
    const MoeWork *work;
    const Weight *w;
    Tensor in, out;
} ProductJob;

static void product_panels(void *arg, int member, int64_t begin, int64_t end)
{
    const ProductJob *job = arg;
    int64_t panels = weight_panels(job->w), row;
    for (int64_t p = begin, n; p < end; p += n) {
        int64_t e = job->work->active[p / panels], left = panels - p % panels;
        size_t m = rows_of(job->work, e, &row);
        n = end - p < left ? end - p : left;
        cpu_product(job->c, &job->c->work[member], job->w, e, p % panels, n,
                    cpu_input(job->in, row, 0), m,
                    tensor_at(job->out, row) + p % panels * PANEL_ROWS, tensor_row(job->out));
    }
}

void cpu_moe_product(Cpu *c, const MoeWork *work, int64_t active, Tensor in, const Weight *w,
                     Tensor out)
{
    ProductJob job = {c, work, w, in, out};
    if (w->paneled) cpu_quantise(c, in);
    int64_t rows = (in.rows + active - 1) / active, panels = active * weight_panels(w);
    cpu_share(c, panels, cpu_panel_chunk(c, panels, rows), in.rows * w->n * w->k / 8,
              product_panels, &job);
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
            job->c->k->axpy(job->options->weigh_input ? 1 : w->share[(size_t)i * used + u],
                            tensor_at(w->result, w->slot[(size_t)i * used + u]), row,
                            tensor_at(job->out, i));
    }
}

/* The feed-forward of all pairs, from work->in to work->result. */
static void run_experts(MoeJob *job, const Weight *down, int64_t active)
{
    const MoeWork *work = job->work;
    int64_t pairs = work->in.rows, panels = active * weight_panels(job->up);
    /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): a pair has an expert, and it is active */
    int64_t chunk = cpu_panel_chunk(job->c, panels, (pairs + active - 1) / active);
    cpu_share(job->c, panels, chunk, pairs * job->up->n * job->up->k / 4, hidden_panels, job);
    if (cpu_gated_quantises(work->hidden)) work->hidden.twin->ready = true;
    cpu_moe_product(job->c, work, active, work->hidden, down, work->result);
}

void cpu_moe(Backend *b, Tensor x, Tensor logits, const Weight *gate, const Weight *up,
             const Weight *down, const MoeOptions *options, const MoeWork *work, Tensor out)
{
    Cpu *c = (Cpu *)b;
    MoeJob job = {.c = c,
                  .x = x,
                  .out = out,
                  .gate = gate,
                  .up = up,
                  .options = options,
                  .work = work,
                  .floats = (gate && !gate->paneled) || !up->paneled || work->adapted};
    int64_t pairs = x.rows * options->n_used;
    if (pairs <= 0) return;
    bool quantised = (gate && gate->paneled) || up->paneled;
    int64_t active = cpu_moe_route(c, logits, options, work);
    if (quantised && !options->weigh_input) cpu_quantise(c, x);
    cpu_share(c, pairs, 8, pairs * (int64_t)tensor_row(x) / 4, gather_rows, &job);
    if (work->in.twin && x.twin) work->in.twin->ready = x.twin->ready && !options->weigh_input;
    if (quantised) cpu_quantise(c, work->in);
    if (work->adapted)
        cpu_moe_adapted(c, gate, up, down, options, work, active);
    else
        run_experts(&job, down, active);
    cpu_share(c, x.rows, 4, pairs * (int64_t)tensor_row(out), add_up, &job);
}
