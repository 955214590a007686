/* Ways back of element-wise ops, row by row; vectors that all rows share get theirs by columns. */
#include <math.h>
#include <string.h>

#include "backend/cpu/back.h"

#define PIECE 256

/* ---- activations ---- */

static float gelu_slope(float x)
{
    float cumulative = 0.5f * (1 + erff(x * 0.70710678f));
    float density = expf(-0.5f * x * x) * 0.39894228f;
    return cumulative + x * density;
}

/* of 0.5 x (1 + tanh(u)), u = sqrt(2 / pi) (x + 0.044715 x^3); t = tanh(u) */
static float gelu_tanh_slope(float x, float t)
{
    const float a = 0.79788456f, b = 0.044715f;
    return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * a * (1 + 3 * b * x * x);
}

/* slope[j] = activation'(x[j]), n <= PIECE */
static void slopes(const Kernels *k, Activation activation, const float *x, size_t n, float *slope)
{
    const float a = 0.79788456f;
    switch (activation) {
    case ACT_SILU:
        k->activate(ACT_SIGMOID, x, n, slope);
        for (size_t j = 0; j < n; j++) slope[j] *= 1 + x[j] * (1 - slope[j]);
        break;
    case ACT_GELU:
        for (size_t j = 0; j < n; j++) slope[j] = gelu_slope(x[j]);
        break;
    case ACT_GELU_TANH:
        for (size_t j = 0; j < n; j++) slope[j] = a * (x[j] + 0.044715f * x[j] * x[j] * x[j]);
        k->activate(ACT_TANH, slope, n, slope);
        for (size_t j = 0; j < n; j++) slope[j] = gelu_tanh_slope(x[j], slope[j]);
        break;
    case ACT_RELU:
        for (size_t j = 0; j < n; j++) slope[j] = x[j] > 0 ? 1 : 0;
        break;
    case ACT_RELU2:
        for (size_t j = 0; j < n; j++) slope[j] = x[j] > 0 ? 2 * x[j] : 0;
        break;
    case ACT_SIGMOID:
        k->activate(ACT_SIGMOID, x, n, slope);
        for (size_t j = 0; j < n; j++) slope[j] *= 1 - slope[j];
        break;
    case ACT_TANH:
        k->activate(ACT_TANH, x, n, slope);
        for (size_t j = 0; j < n; j++) slope[j] = 1 - slope[j] * slope[j];
        break;
    case ACT_SOFTPLUS: k->activate(ACT_SIGMOID, x, n, slope); break;
    default:
        for (size_t j = 0; j < n; j++) slope[j] = 1;
    }
}

void cpu_activation_back(const Kernels *k, Activation activation, const float *x, const float *y,
                         const float *d, size_t n, float *d_x)
{
    float slope[PIECE];
    for (size_t at = 0; at < n; at += PIECE) {
        size_t some = n - at < PIECE ? n - at : PIECE;
        slopes(k, activation, x + at, some, slope);
        if (y) k->mul(slope, y + at, some, slope);
        for (size_t j = 0; j < some; j++) d_x[at + j] += d[at + j] * slope[j];
    }
}

/* ---- rows ---- */

typedef struct ElementJob {
    const Cpu *c;
    Tensor x, y, d_out, d_x, d_y;
    const ElementOptions *o;
} ElementJob;

/* to += a b */
static void add_product(const Kernels *k, const float *a, const float *b, size_t n, float *to)
{
    float product[PIECE];
    for (size_t at = 0; at < n; at += PIECE) {
        size_t some = n - at < PIECE ? n - at : PIECE;
        k->mul(a + at, b + at, some, product);
        k->add(to + at, product, some, to + at);
    }
}

/* out = x activation(y), y as wide as x. */
static void gate_all(const ElementJob *job, int64_t i)
{
    const Kernels *k = job->c->k;
    const float *x = tensor_at(job->x, i), *y = tensor_at(job->y, i), *d = tensor_at(job->d_out, i);
    size_t n = tensor_row(job->x);
    float act[PIECE];
    for (size_t at = 0; at < n && job->d_x.data; at += PIECE) {
        size_t some = n - at < PIECE ? n - at : PIECE;
        k->activate(job->o->activation, y + at, some, act);
        add_product(k, d + at, act, some, tensor_at(job->d_x, i) + at);
    }
    if (job->d_y.data)
        cpu_activation_back(k, job->o->activation, y, x, d, n, tensor_at(job->d_y, i));
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
            cpu_activation_back(k, job->o->activation, y, NULL, &sum, 1,
                                tensor_at(job->d_y, i) + of);
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
    float *d_x = job->d_x.data ? tensor_at(job->d_x, i) : NULL;
    switch (o->op) {
    case ELEMENT_MUL:
        if (d_x) add_product(k, d, y, n, d_x);
        if (job->d_y.data) add_product(k, d, x, n, tensor_at(job->d_y, i));
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
    case ELEMENT_ACTIVATE: cpu_activation_back(k, o->activation, x, NULL, d, n, d_x); break;
    case ELEMENT_CAP: cap(job, x, d, n, d_x); break;
    case ELEMENT_CLIP:
        for (size_t j = 0; j < n; j++) d_x[j] += fabsf(x[j]) <= o->alpha ? d[j] : 0;
        break;
    case ELEMENT_ADD_VECTOR: k->add(d_x, d, n, d_x); break;
    case ELEMENT_MUL_VECTOR: add_product(k, d, o->vector, n, d_x); break;
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
    ElementJob job = {c, x, y, d_out, d_x, d_y, options};
    cpu_share_rows(c, x.rows, tensor_row(x), back_rows, &job);
    if (!d_vector) return;
    if (options->op == ELEMENT_ADD_VECTOR) cpu_add_columns(c, d_out, d_vector);
    if (options->op == ELEMENT_MUL_VECTOR) cpu_add_products(c, d_out, x, d_vector);
}
