/* What the kernels of training mean (see kernels/kernels.h), in float64. */
#include <math.h>

#include "kernels/parts.h"

static double lse_of(const float *x, float inverse, size_t n)
{
    double top = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++) {
        double one = (double)x[i] * (double)inverse;
        if (one > top) top = one; /* not fmax: GCC 12 for ARM fails on such a loop */
    }
    for (size_t i = 0; i < n; i++) sum += exp((double)x[i] * (double)inverse - top);
    return top + log(sum);
}

static float softmax_times(const float *x, float inverse, float factor, size_t n, float *out)
{
    double lse = lse_of(x, inverse, n);
    for (size_t i = 0; i < n && out; i++)
        out[i] = (float)((double)factor * exp((double)x[i] * (double)inverse - lse));
    return (float)lse;
}

static float divergence(const float *x, const float *teacher, float inverse, float mix,
                        float factor, size_t n, float *d)
{
    double lse_s = lse_of(x, inverse, n), lse_t = lse_of(teacher, inverse, n);
    double loss = 0, along = 0, b = (double)mix;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < n; i++) {
            double s = fmax((double)x[i] * (double)inverse - lse_s, -100);
            double t = fmax((double)teacher[i] * (double)inverse - lse_t, -100);
            double ps = exp(s), pt = exp(t), g;
            double m = log(b * pt + (1 - b) * ps);
            if (mix <= 0)
                g = 0;
            else if (mix >= 1)
                g = s - t;
            else
                g = (1 - b) * (s - m);
            if (pass == 0) {
                loss += mix <= 0   ? pt * (t - s)
                        : mix >= 1 ? ps * (s - t)
                                   : b * pt * (t - m) + (1 - b) * ps * (s - m);
                along += ps * g;
            } else if (d) {
                d[i] = (float)((double)factor * (double)inverse *
                               (mix <= 0 ? ps - pt : ps * (g - along)));
            }
        }
    return (float)loss;
}

static void adamw(const AdamStep *a, const float *g, size_t n, float *w, float *m, float *v)
{
    double b1 = (double)a->beta1, b2 = (double)a->beta2;
    for (size_t i = 0; i < n; i++) {
        double x = (double)g[i] * (double)a->scale;
        m[i] = (float)(b1 * (double)m[i] + (1 - b1) * x);
        v[i] = (float)(b2 * (double)v[i] + (1 - b2) * (x * x));
        double by = sqrt((double)v[i]) * (double)a->root + (double)a->eps;
        w[i] = (float)((double)w[i] * (double)a->keep - (double)a->rate * (double)m[i] / by);
    }
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* f(x) and f'(x) */
static double value_of(Activation activation, double x, double *slope)
{
    const double a = 0.7978845608028654, b = 0.044715, s = sigmoid(x);
    double t;
    switch (activation) {
    case ACT_SILU: *slope = s * (1 + x * (1 - s)); return x * s;
    case ACT_GELU:
        t = 0.5 * (1 + erf(x * 0.7071067811865476));
        *slope = t + x * exp(-0.5 * x * x) * 0.3989422804014327;
        return x * t;
    case ACT_GELU_TANH:
        t = tanh(a * (x + b * x * x * x));
        *slope = 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * a * (1 + 3 * b * x * x);
        return 0.5 * x * (1 + t);
    case ACT_RELU: *slope = x > 0; return x > 0 ? x : 0;
    case ACT_RELU2: *slope = x > 0 ? 2 * x : 0; return x > 0 ? x * x : 0;
    case ACT_SIGMOID: *slope = s * (1 - s); return s;
    case ACT_TANH:
        t = tanh(x);
        *slope = 1 - t * t;
        return t;
    case ACT_SOFTPLUS: *slope = s; return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
    case ACT_GATE_CLAMPED:
    case ACT_NONE: break;
    }
    *slope = 1;
    return x;
}

static void activate_back(Activation activation, const float *x, const float *y, const float *d,
                          size_t n, float *d_x, float *d_y)
{
    for (size_t i = 0; i < n; i++) {
        double slope, value = value_of(activation, (double)x[i], &slope), by = (double)d[i];
        if (d_x) d_x[i] = (float)((double)d_x[i] + by * (y ? (double)y[i] : 1) * slope);
        if (d_y) d_y[i] = (float)((double)d_y[i] + by * value);
    }
}

static void norm_back(const float *x, const float *weight, float eps, bool centred, const float *d,
                      size_t n, float *of, float *d_x)
{
    double sum = 0, squares = 0, along = 0, gs = 0;
    for (size_t i = 0; centred && i < n; i++) sum += (double)x[i];
    double mean = n ? sum / (double)n : 0;
    for (size_t i = 0; i < n; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    double inverse = 1 / sqrt(squares / (double)(n ? n : 1) + (double)eps);
    of[0] = (float)mean, of[1] = (float)inverse;
    for (size_t i = 0; i < n; i++) {
        double g = (double)d[i] * (weight ? (double)weight[i] : 1);
        gs += g;
        along += g * ((double)x[i] - mean) * inverse;
    }
    gs = centred ? gs / (double)n : 0;
    for (size_t i = 0; i < n && d_x; i++) {
        double g = (double)d[i] * (weight ? (double)weight[i] : 1);
        double h = ((double)x[i] - mean) * inverse;
        d_x[i] = (float)((double)d_x[i] + (g - gs - h * along / (double)n) * inverse);
    }
}

static void norm_columns(const float *d, size_t d_stride, const float *x, size_t x_stride,
                         const float *of, size_t of_stride, size_t rows, size_t n, float *weight,
                         float *bias)
{
    for (size_t j = 0; j < n; j++) {
        double w = 0, b = 0;
        for (size_t i = 0; i < rows; i++) {
            double by = (double)d[i * d_stride + j];
            b += by;
            if (!weight) continue;
            double at = (double)x[i * x_stride + j];
            if (of) at = (at - (double)of[i * of_stride]) * (double)of[i * of_stride + 1];
            w += by * at;
        }
        if (weight) weight[j] = (float)((double)weight[j] + w);
        if (bias) bias[j] = (float)((double)bias[j] + b);
    }
}

static void add_product(const float *a, const float *b, size_t n, float *y)
{
    for (size_t i = 0; i < n; i++) y[i] = (float)((double)y[i] + (double)a[i] * (double)b[i]);
}

static double score_of(const ScoreRow *r, float x)
{
    double s = (double)x * (double)r->scale;
    return r->cap != 0 ? (double)r->cap * tanh(s / (double)r->cap) : s;
}

static float weigh(const ScoreRow *r, float *s, float *top, float *sum)
{
    double most = (double)*top, all = 0;
    for (size_t i = r->from; i < r->to; i++) {
        double score = score_of(r, s[i]);
        if (score > most) most = score; /* not fmax: GCC 12 for ARM fails on such a loop */
    }
    double fade = (double)*top > -INFINITY ? exp((double)*top - most) : 0;
    for (size_t i = 0; i < r->n; i++) {
        s[i] = i >= r->from && i < r->to ? (float)exp(score_of(r, s[i]) - most) : 0;
        all += (double)s[i];
    }
    *top = (float)most;
    *sum = (float)((double)*sum * fade + all);
    return (float)fade;
}

static void weigh_back(const ScoreRow *r, float *s, float *d, float lse, float delta)
{
    for (size_t i = 0; i < r->n; i++) {
        if (i < r->from || i >= r->to) {
            s[i] = d[i] = 0;
            continue;
        }
        double score = score_of(r, s[i]), p = exp(score - (double)lse);
        double t = r->cap != 0 ? score / (double)r->cap : 0;
        s[i] = (float)p;
        d[i] = (float)(p * ((double)d[i] - (double)delta) * (1 - t * t) * (double)r->scale);
    }
}

void kernels_ref_train(Kernels *table)
{
    table->softmax_times = softmax_times;
    table->divergence = divergence;
    table->adamw = adamw;
    table->activate_back = activate_back;
    table->norm_back = norm_back;
    table->norm_columns = norm_columns;
    table->add_product = add_product;
    table->weigh = weigh;
    table->weigh_back = weigh_back;
}
