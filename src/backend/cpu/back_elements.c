/* Ways back of element-wise ops, row by row; vectors that all rows share get theirs by columns. */
#include <math.h>
#include <string.h>

#include "backend/cpu/back.h"

#define PIECE 256

typedef struct ElementJob {
    const Cpu *c;
    Tensor x, y, d_out, d_x, d_y;
    const ElementOptions *o;
    bool fresh_x, fresh_y;
} ElementJob;

/* out = x activation(y), y as wide as x. */
static void gate_all(const ElementJob *job, int64_t i)
{
    job->c->k->activate_back(job->o->activation, tensor_at(job->y, i), tensor_at(job->x, i),
                             tensor_at(job->d_out, i), tensor_row(job->x),
                             job->d_y.data ? tensor_at(job->d_y, i) : NULL,
                             job->d_x.data ? tensor_at(job->d_x, i) : NULL);
}

/* y of one number a head, or of one for the row. */
static void gate_heads(const ElementJob *job, int64_t i)
{
    const Kernels *k = job->c->k;
    size_t width = (size_t)job->x.width;
    for (size_t h = 0; h < (size_t)job->x.heads; h++) {
        size_t of = job->y.heads == 1 ? 0 : h, at = h * width;
        const float *y = tensor_at(job->y, i) + of, *d = tensor_at(job->d_out, i) + at;
        float factor;
        k->activate(job->o->activation, y, 1, &factor);
        if (job->d_x.data) k->axpy(factor, d, width, tensor_at(job->d_x, i) + at);
        float sum = k->dot(d, tensor_at(job->x, i) + at, width);
        if (job->d_y.data)
            k->activate_back(job->o->activation, y, NULL, &sum, 1, tensor_at(job->d_y, i) + of,
                             NULL);
    }
}

/* out = a tanh(x / a) */
static void cap(const ElementJob *job, const float *x, const float *d, size_t n, float *d_x)
{
    const Kernels *k = job->c->k;
    float t[PIECE];
    for (size_t at = 0; at < n; at += PIECE) {
        size_t some = n - at < PIECE ? n - at : PIECE;
        k->scale(1 / job->o->alpha, x + at, some, t);
        k->activate(ACT_TANH, t, some, t);
        for (size_t j = 0; j < some; j++) d_x[at + j] += d[at + j] * (1 - t[j] * t[j]);
    }
}

/* Heads of d_out cut into those of x and of y. */
static void join(const ElementJob *job, int64_t i)
{
    const Kernels *k = job->c->k;
    size_t a = (size_t)job->x.width, b = (size_t)job->y.width;
    for (size_t h = 0; h < (size_t)job->x.heads; h++) {
        const float *d = tensor_at(job->d_out, i) + h * (a + b);
        if (job->d_x.data) {
            float *to = tensor_at(job->d_x, i) + h * a;
            k->add(to, d, a, to);
        }
        if (job->d_y.data) {
            float *to = tensor_at(job->d_y, i) + (job->y.heads == 1 ? 0 : h * b);
            k->add(to, d + a, b, to);
        }
    }
}

static void part(const ElementJob *job, int64_t i)
{
    size_t width = (size_t)job->d_out.width, from = (size_t)job->x.width;
    for (size_t h = 0; h < (size_t)job->x.heads; h++) {
        float *to = tensor_at(job->d_x, i) + h * from + (size_t)job->o->first;
        job->c->k->add(to, tensor_at(job->d_out, i) + h * width, width, to);
    }
}

static void row_back(const ElementJob *job, int64_t i)
{
    const Kernels *k = job->c->k;
    const ElementOptions *o = job->o;
    size_t n = tensor_row(job->x);
    const float *x = tensor_at(job->x, i), *y = tensor_at(job->y, i), *d = tensor_at(job->d_out, i);
    float *d_x = job->d_x.data ? cpu_row_to_add(job->d_x, job->fresh_x, i) : NULL;
    if (job->d_y.data) cpu_row_to_add(job->d_y, job->fresh_y, i);
    switch (o->op) {
    case ELEMENT_MUL:
        if (d_x) k->add_product(d, y, n, d_x);
        if (job->d_y.data) k->add_product(d, x, n, tensor_at(job->d_y, i));
        return;
    case ELEMENT_GATE:
        if (tensor_row(job->y) == n)
            gate_all(job, i);
        else
            gate_heads(job, i);
        return;
    case ELEMENT_JOIN: join(job, i); return;
    default: break;
    }
    if (!d_x) return;
    switch (o->op) {
    case ELEMENT_SCALE: k->axpy(o->alpha, d, n, d_x); break;
    case ELEMENT_ACTIVATE: k->activate_back(o->activation, x, NULL, d, n, d_x, NULL); break;
    case ELEMENT_CAP: cap(job, x, d, n, d_x); break;
    case ELEMENT_CLIP:
        for (size_t j = 0; j < n; j++) d_x[j] += fabsf(x[j]) <= o->alpha ? d[j] : 0;
        break;
    case ELEMENT_ADD_VECTOR: k->add(d_x, d, n, d_x); break;
    case ELEMENT_MUL_VECTOR: k->add_product(d, o->vector, n, d_x); break;
    case ELEMENT_MUL_ROWS: k->axpy(o->vector[i], d, n, d_x); break;
    case ELEMENT_PART: part(job, i); break;
    default: break; /* no other op asks */
    }
}

static void back_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const ElementJob *job = arg;
    (void)member;
    for (int64_t i = begin; i < end; i++) row_back(job, i);
}

void cpu_element_back(Backend *b, Tensor x, Tensor y, const ElementOptions *options, Tensor d_out,
                      Tensor d_x, Tensor d_y, float *d_vector)
{
    Cpu *c = (Cpu *)b;
    ElementJob job = {c, x, y, d_out, d_x, d_y, options, tensor_take_fresh(d_x), false};
    job.fresh_y = tensor_take_fresh(d_y); /* of one tensor twice: once */
    cpu_share_rows(c, x.rows, tensor_row(x), back_rows, &job);
    if (!d_vector) return;
    if (options->op == ELEMENT_ADD_VECTOR) cpu_add_columns(c, d_out, d_vector);
    if (options->op == ELEMENT_MUL_VECTOR) cpu_add_products(c, d_out, x, d_vector);
}
