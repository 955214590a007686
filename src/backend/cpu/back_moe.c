/* Experts for training: the same routing, with everything kept as floats that the way back reads,
 * and the way back through experts, shares and the router's logits. Rows of an expert are
 * neighbours, so its matrices see plain products. */
#include <math.h>
#include <string.h>

#include "backend/cpu/back.h"

typedef struct MoeJob {
    Cpu *c;
    const MoeTraining *m;
    const MoeGrads *d;
} MoeJob;

static Tensor rows_of(Tensor t, const MoeWork *w, int64_t expert)
{
    if (t.data) t.data = tensor_at(t, w->begin[expert]);
    t.rows = w->begin[expert + 1] - w->begin[expert];
    t.twin = NULL;
    return t;
}

static int64_t row_of(const MoeTraining *m, int64_t pair)
{
    return m->work.choice[pair] / m->options.n_used;
}

/* ---- forth ---- */

static void gather_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const MoeJob *job = arg;
    const MoeTraining *m = job->m;
    size_t n = tensor_row(m->x);
    (void)member;
    for (int64_t p = begin; p < end; p++) {
        const float *x = tensor_at(m->x, row_of(m, p));
        if (m->options.weigh_input)
            job->c->k->scale(m->work.share[m->work.choice[p]], x, n, tensor_at(m->work.in, p));
        else
            memcpy(tensor_at(m->work.in, p), x, n * sizeof *x);
    }
}

static void activate_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const MoeJob *job = arg;
    const MoeTraining *m = job->m;
    const Kernels *k = job->c->k;
    size_t n = tensor_row(m->up);
    (void)member;
    for (int64_t p = begin; p < end; p++) {
        float *hidden = tensor_at(m->work.hidden, p);
        if (!m->gate.data) {
            k->activate(m->options.activation, tensor_at(m->up, p), n, hidden);
            continue;
        }
        k->activate(m->options.activation, tensor_at(m->gate, p), n, hidden);
        k->mul(hidden, tensor_at(m->up, p), n, hidden);
    }
}

static void add_up(void *arg, int member, int64_t begin, int64_t end)
{
    const MoeJob *job = arg;
    const MoeTraining *m = job->m;
    size_t n = tensor_row(m->out), used = (size_t)m->options.n_used;
    (void)member;
    for (int64_t i = begin; i < end; i++) {
        float *out = tensor_at(m->out, i);
        memset(out, 0, n * sizeof *out);
        for (size_t u = (size_t)i * used; u < ((size_t)i + 1) * used; u++)
            job->c->k->axpy(m->options.weigh_input ? 1 : m->work.share[u],
                            tensor_at(m->work.result, m->work.slot[u]), n, out);
    }
}

static void products(const MoeJob *job, int64_t active, Tensor in, TrainWeight w, Tensor out,
                     GemmPrecision precision)
{
    const MoeWork *work = &job->m->work;
    if (!w.w) return;
    if (!w.grad) {
        cpu_moe_product(job->c, work, active, in, w.w, out);
        return;
    }
    for (int64_t a = 0; a < active; a++) {
        int64_t e = work->active[a];
        cpu_train_linear(job->c, rows_of(in, work, e), w.w, e, rows_of(out, work, e), precision);
    }
}

void cpu_moe_forth(Backend *b, const MoeTraining *m, const MoeGrads *d, GemmPrecision p)
{
    MoeJob job = {(Cpu *)b, m, d};
    const MoeWork *w = &m->work;
    int64_t pairs = m->x.rows * m->options.n_used;
    if (pairs <= 0) return;
    int64_t active = cpu_moe_route(job.c, m->logits, &m->options, w);
    cpu_share_rows(job.c, pairs, tensor_row(m->x) / 4, gather_rows, &job);
    products(&job, active, w->in, d->w_gate, m->gate, p);
    products(&job, active, w->in, d->w_up, m->up, p);
    cpu_share_rows(job.c, pairs, tensor_row(m->up), activate_rows, &job);
    products(&job, active, w->hidden, d->w_down, w->result, p);
    cpu_share_rows(job.c, m->x.rows, tensor_row(m->out), add_up, &job);
}

/* ---- back ---- */

/* d of the shares of row i lie where its scores lay: n_used <= n_experts. */
static float *share_grads(const MoeTraining *m, int64_t row)
{
    return m->work.score + row * m->options.n_experts;
}

/* From d of the sum to d of each result, and of the shares that weigh results. */
static void spread_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const MoeJob *job = arg;
    const MoeTraining *m = job->m;
    const Kernels *k = job->c->k;
    size_t n = tensor_row(m->out);
    int32_t used = m->options.n_used;
    (void)member;
    for (int64_t i = begin; i < end; i++)
        for (int32_t u = 0; u < used; u++) {
            int64_t pair = m->work.slot[i * used + u];
            const float *d = tensor_at(job->d->out, i);
            float share = m->options.weigh_input ? 1 : m->work.share[i * used + u];
            k->axpy(share, d, n, tensor_at(job->d->result, pair));
            if (!m->options.weigh_input)
                share_grads(m, i)[u] = k->dot(d, tensor_at(m->work.result, pair), n);
        }
}

static void activate_back_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const MoeJob *job = arg;
    const MoeTraining *m = job->m;
    const Kernels *k = job->c->k;
    Activation activation = m->options.activation;
    size_t n = tensor_row(m->up);
    (void)member;
    for (int64_t p = begin; p < end; p++) {
        const float *d = tensor_at(job->d->hidden, p), *up = tensor_at(m->up, p);
        float *d_up = tensor_at(job->d->up, p);
        if (!m->gate.data) {
            k->activate_back(activation, up, NULL, d, n, d_up, NULL);
            continue;
        }
        const float *gate = tensor_at(m->gate, p);
        k->activate_back(activation, gate, up, d, n, tensor_at(job->d->gate, p), d_up);
    }
}

/* d of the chosen shares of one row to d of its logits. s: the shares, with their factors. */
static void route_back(const MoeOptions *o, const float *logits, const int32_t *expert,
                       const float *share, const float *d_share, float *d_logits)
{
    double most = -INFINITY, total = 0, kept = 0, along = 0;
    double scale = o->scale != 0 ? (double)o->scale : 1;
    int32_t n = o->scores == MOE_SOFTMAX_USED ? o->n_used : o->n_experts;
    for (int32_t i = 0; i < n; i++) {
        double one = (double)logits[n == o->n_experts ? i : expert[i]];
        if (one > most) most = one; /* not fmax: GCC 12 for ARM fails on such a loop */
    }
    for (int32_t i = 0; i < n; i++)
        total += exp((double)logits[n == o->n_experts ? i : expert[i]] - most);
#define SHARE_OF(u)                                                                                \
    (o->scores == MOE_SIGMOID ? 1 / (1 + exp(-(double)logits[expert[u]]))                          \
                              : exp((double)logits[expert[u]] - most) / total)
    for (int32_t u = 0; u < o->n_used; u++) {
        kept += SHARE_OF(u);
        along += (double)d_share[u] * (double)share[u]; /* with the scale */
    }
    bool norm = o->renormalise && kept > 0;
    double towards = 0; /* sum of d p times p, for the softmax */
    for (int pass = 0; pass < 2; pass++)
        for (int32_t u = 0; u < o->n_used; u++) {
            double p = SHARE_OF(u);
            double d =
                norm ? (scale * (double)d_share[u] - along) / kept : scale * (double)d_share[u];
            if (pass == 0)
                towards += d * p;
            else if (o->scores == MOE_SIGMOID)
                d_logits[expert[u]] += (float)(d * p * (1 - p));
            else
                d_logits[expert[u]] += (float)(d * p);
        }
#undef SHARE_OF
    if (o->scores == MOE_SIGMOID) return;
    for (int32_t i = 0; i < n; i++) {
        int32_t e = n == o->n_experts ? i : expert[i];
        d_logits[e] -= (float)(towards * exp((double)logits[e] - most) / total);
    }
}

static void input_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const MoeJob *job = arg;
    const MoeTraining *m = job->m;
    const Kernels *k = job->c->k;
    size_t n = tensor_row(m->x);
    int32_t used = m->options.n_used;
    (void)member;
    for (int64_t i = begin; i < end; i++) {
        const float *share = m->work.share + i * used;
        for (int32_t u = 0; u < used; u++) {
            const float *d_in = tensor_at(job->d->in, m->work.slot[i * used + u]);
            bool weighed = m->options.weigh_input;
            if (weighed) share_grads(m, i)[u] = k->dot(d_in, tensor_at(m->x, i), n);
            if (job->d->x.data) k->axpy(weighed ? share[u] : 1, d_in, n, tensor_at(job->d->x, i));
        }
        if (job->d->logits.data)
            route_back(&m->options, tensor_at(m->logits, i), m->work.expert + i * used, share,
                       share_grads(m, i), tensor_at(job->d->logits, i));
    }
}

static void products_back(const MoeJob *job, int64_t active, Tensor in, TrainWeight w, Tensor d_out,
                          Tensor d_in, GemmPrecision p)
{
    const MoeWork *work = &job->m->work;
    if (!w.w) return;
    for (int64_t a = 0; a < active; a++) {
        int64_t e = work->active[a];
        cpu_train_linear_back(job->c, rows_of(in, work, e), w, e, rows_of(d_out, work, e),
                              rows_of(d_in, work, e), p);
    }
}

void cpu_moe_back(Backend *b, const MoeTraining *m, const MoeGrads *d, GemmPrecision p)
{
    MoeJob job = {(Cpu *)b, m, d};
    const MoeWork *w = &m->work;
    int64_t pairs = m->x.rows * m->options.n_used, active = 0;
    for (int32_t e = 0; e < m->options.n_experts && pairs > 0; e++)
        if (w->begin[e + 1] > w->begin[e]) active++;
    if (!active) return;
    cpu_share_rows(job.c, m->x.rows, tensor_row(m->out) * 2, spread_rows, &job);
    products_back(&job, active, w->hidden, d->w_down, d->result, d->hidden, p);
    cpu_share_rows(job.c, pairs, tensor_row(m->up), activate_back_rows, &job);
    products_back(&job, active, w->in, d->w_gate, d->gate, d->in, p);
    products_back(&job, active, w->in, d->w_up, d->up, d->in, p);
    cpu_share_rows(job.c, m->x.rows, tensor_row(m->x) * 2, input_rows, &job);
}
