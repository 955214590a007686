/* Element-wise work and the cutting and joining of heads (see ElementOp). */
#include "backend/cpu/cpu.h"

#include <math.h>
#include <string.h>

typedef struct ElementJob {
    const Cpu *c;
    Tensor x, y, out;
    const ElementOptions *o;
} ElementJob;

/* alpha tanh(x / alpha) */
static void cap(const Kernels *k, float alpha, const float *x, size_t n, float *out)
{
    k->scale(1 / alpha, x, n, out);
    k->activate(ACT_TANH, out, n, out);
    k->scale(alpha, out, n, out);
}

/* y as wide as x, or one number a head, or one for the row. `out` holds activation(y) for a while:
 * it is not x. */
static void gate(const ElementJob *job, const float *x, const float *y, float *out)
{
    const Kernels *k = job->c->k;
    size_t n = tensor_row(job->x), width = (size_t)job->x.width;
    if (tensor_row(job->y) == n && job->o->activation == ACT_SILU) {
        k->swiglu(y, x, n, out);
        return;
    }
    if (tensor_row(job->y) == n) {
        k->activate(job->o->activation, y, n, out);
        k->mul(x, out, n, out);
        return;
    }
    for (int32_t h = 0; h < job->x.heads; h++) {
        float factor;
        k->activate(job->o->activation, y + (job->y.heads == 1 ? 0 : h), 1, &factor);
        k->scale(factor, x + (size_t)h * width, width, out + (size_t)h * width);
    }
}

static void part(const ElementJob *job, const float *x, float *out)
{
    size_t width = (size_t)job->out.width, from = (size_t)job->x.width;
    for (int32_t h = 0; h < job->x.heads; h++)
        memcpy(out + (size_t)h * width, x + (size_t)h * from + job->o->first, width * sizeof *out);
}

static void join(const ElementJob *job, const float *x, const float *y, float *out)
{
    size_t a = (size_t)job->x.width, b = (size_t)job->y.width;
    for (size_t h = 0; h < (size_t)job->x.heads; h++) {
        memcpy(out + h * (a + b), x + h * a, a * sizeof *out);
        memcpy(out + h * (a + b) + a, y + (job->y.heads == 1 ? 0 : h * b), b * sizeof *out);
    }
}

#define MIX_PIECE 512

static void mix(const ElementJob *job, const float *x, const float *y, float *out)
{
    size_t n = (size_t)job->x.heads, width = (size_t)job->x.width;
    memcpy(out, x, n * width * sizeof *out);
    for (size_t at = 0; at < width; at += MIX_PIECE) { /* of all heads: in the first cache */
        size_t some = width - at < MIX_PIECE ? width - at : MIX_PIECE;
        for (size_t h = 0; h < n; h++)
            for (size_t j = 0; j < n; j++)
                job->c->k->axpy(y[h * n + j], x + j * width + at, some, out + h * width + at);
    }
}

static double mean_square(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sum / (double)n;
}

#define LEAST_SQUARE 1e-5 /* of a head that is scaled up */

static void level(const ElementJob *job, const float *x, const float *y, float *out)
{
    size_t width = (size_t)job->x.width;
    double like = mean_square(y, tensor_row(job->y));
    for (size_t h = 0; h < (size_t)job->x.heads; h++) {
        double own = mean_square(x + h * width, width);
        double factor = sqrt(like / (own > LEAST_SQUARE ? own : LEAST_SQUARE));
        job->c->k->scale((float)factor, x + h * width, width, out + h * width);
    }
}

static void spread(const ElementJob *job, int64_t i, const float *x, const float *y, float *out)
{
    const ElementOptions *o = job->o;
    const float *factors = o->factors.data ? tensor_at(o->factors, i) : NULL;
    size_t width = (size_t)job->x.width;
    for (int32_t h = o->first; h < job->x.heads; h++) {
        float *head = out + (size_t)h * width;
        if (out != x) memcpy(head, x + (size_t)h * width, width * sizeof *out);
        job->c->k->axpy(o->alpha + (factors ? factors[h] : 0), y, width, head);
    }
}

static void element_row(const ElementJob *job, int64_t i)
{
    const Kernels *k = job->c->k;
    const ElementOptions *o = job->o;
    const float *x = tensor_at(job->x, i), *y = tensor_at(job->y, i);
    float *out = tensor_at(job->out, i);
    size_t n = tensor_row(job->x);
    switch (o->op) {
    case ELEMENT_SCALE: k->scale(o->alpha, x, n, out); break;
    case ELEMENT_ACTIVATE: k->activate(o->activation, x, n, out); break;
    case ELEMENT_MUL: k->mul(x, y, n, out); break;
    case ELEMENT_GATE: gate(job, x, y, out); break;
    case ELEMENT_CAP: cap(k, o->alpha, x, n, out); break;
    case ELEMENT_CLIP:
        for (size_t j = 0; j < n; j++) out[j] = fmaxf(-o->alpha, fminf(x[j], o->alpha));
        break;
    case ELEMENT_ADD_VECTOR: k->add(x, o->vector, n, out); break;
    case ELEMENT_MUL_VECTOR: k->mul(x, o->vector, n, out); break;
    case ELEMENT_MUL_ROWS: k->scale(o->vector[i], x, n, out); break;
    case ELEMENT_PART: part(job, x, out); break;
    case ELEMENT_JOIN: join(job, x, y, out); break;
    case ELEMENT_MIX: mix(job, x, y, out); break;
    case ELEMENT_LEVEL: level(job, x, y, out); break;
    case ELEMENT_CUT: k->cut(x, o->alpha, n, out); break;
    case ELEMENT_SPREAD: spread(job, i, x, y, out); break;
    }
}

static void element_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const ElementJob *job = arg;
    (void)member;
    for (int64_t i = begin; i < end; i++) element_row(job, i);
}

void cpu_element(Backend *b, Tensor x, Tensor y, const ElementOptions *options, Tensor out)
{
    ElementJob job = {(Cpu *)b, x, y, out, options};
    cpu_share_rows((Cpu *)b, x.rows, tensor_row(x), element_rows, &job);
    cpu_changed(out);
}
