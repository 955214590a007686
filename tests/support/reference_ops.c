/* Ops in double precision (see reference_ops.h). */
#include "support/reference_ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double ref_activate(RefActivation a, double x)
{
    const double pi = 3.14159265358979323846;
    switch (a) {
    case REF_SILU: return x / (1 + exp(-x));
    case REF_GELU: return 0.5 * x * (1 + erf(x / sqrt(2)));
    case REF_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x)));
    case REF_RELU: return x > 0 ? x : 0;
    case REF_RELU2: return x > 0 ? x * x : 0;
    case REF_SIGMOID: return 1 / (1 + exp(-x));
    case REF_TANH: return tanh(x);
    case REF_SOFTPLUS: return log(1 + exp(x));
    default: return x;
    }
}

void ref_norm(const double *x, const double *weight, const double *bias, int n, double eps,
              bool centred, double *out)
{
    double mean = 0, squares = 0;
    for (int i = 0; i < n && centred; i++) mean += x[i] / n;
    for (int i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean) / n;
    for (int i = 0; i < n; i++)
        out[i] =
            (x[i] - mean) / sqrt(squares + eps) * (weight ? weight[i] : 1) + (bias ? bias[i] : 0);
}

void ref_linear(const double *x, const double *w, const double *bias, int rows, int n, int k,
                double *out)
{
    for (int t = 0; t < rows; t++)
        for (int i = 0; i < n; i++) {
            double sum = bias ? bias[i] : 0;
            for (int j = 0; j < k; j++) sum += x[t * k + j] * w[i * k + j];
            out[t * n + i] = sum;
        }
}

void ref_rope(double *x, const double *angle, double magnitude, int half, int first, bool adjacent)
{
    for (int i = 0; i < half; i++) {
        double *a = x + first + (adjacent ? 2 * i : i);
        double *b = x + first + (adjacent ? 2 * i + 1 : i + half);
        double c = cos(angle[i]) * magnitude, s = sin(angle[i]) * magnitude, p = *a, q = *b;
        *a = p * c - q * s;
        *b = p * s + q * c;
    }
}

void ref_attend(const RefAttention *a, const double *q, const double *k, const double *v,
                double *out)
{
    double *p = calloc((size_t)a->rows, sizeof *p);
    for (int t = 0; t < a->rows; t++)
        for (int h = 0; h < a->heads; h++) {
            int kv = h / (a->heads / a->kv_heads);
            double *o = out + (t * a->heads + h) * a->e_v, total = a->sinks ? exp(a->sinks[h]) : 0;
            memset(o, 0, (size_t)a->e_v * sizeof *o);
            for (int j = 0; j < a->rows; j++) {
                double s = 0;
                for (int d = 0; d < a->e; d++)
                    s += q[(t * a->heads + h) * a->e + d] * k[(j * a->kv_heads + kv) * a->e + d];
                s *= a->scale;
                if (a->cap > 0) s = a->cap * tanh(s / a->cap);
                p[j] = a->sees(t, j) ? exp(s) : 0;
                total += p[j];
            }
            for (int j = 0; j < a->rows; j++)
                for (int d = 0; d < a->e_v; d++)
                    o[d] += p[j] / total * v[(j * a->kv_heads + kv) * a->e_v + d];
        }
    free(p);
}

/* The chosen experts of one row and their shares. */
static void route(const RefExperts *o, const double *x, const double *router, int *chosen,
                  double *share)
{
    double logits[64], total = 0, kept = 0;
    ref_linear(x, router, NULL, 1, o->experts, o->width, logits);
    for (int e = 0; e < o->experts; e++) total += exp(logits[e]);
    for (int u = 0; u < o->used; u++) {
        double best = -INFINITY;
        for (int e = 0; e < o->experts; e++) {
            bool taken = false;
            double score = o->scores == 1 ? 1 / (1 + exp(-logits[e])) : exp(logits[e]) / total;
            if (o->choice_bias) score += o->choice_bias[e];
            for (int i = 0; i < u; i++) taken = taken || chosen[i] == e;
            if (taken || score <= best) continue;
            best = score;
            chosen[u] = e;
        }
    }
    if (o->scores == 2) {
        total = 0;
        for (int u = 0; u < o->used; u++) total += exp(logits[chosen[u]]);
    }
    for (int u = 0; u < o->used; u++) {
        double logit = logits[chosen[u]];
        share[u] = o->scores == 1 ? 1 / (1 + exp(-logit)) : exp(logit) / total;
        kept += share[u];
    }
    for (int u = 0; u < o->used; u++)
        share[u] *= (o->renormalise ? 1 / kept : 1) * (o->scale != 0 ? o->scale : 1);
}

void ref_experts(const RefExperts *o, const double *x, const double *router, const double *gate,
                 const double *up, const double *down, double *out)
{
    int d = o->width, f = o->hidden, chosen[16];
    double share[16], *in = calloc((size_t)d, 8), *y = calloc((size_t)d, 8);
    double *g = calloc((size_t)f, 8), *h = calloc((size_t)f, 8);
    memset(out, 0, (size_t)(o->rows * d) * sizeof *out);
    for (int t = 0; t < o->rows; t++) {
        route(o, x + t * d, router, chosen, share);
        for (int u = 0; u < o->used; u++) {
            int e = chosen[u];
            for (int i = 0; i < d; i++) in[i] = x[t * d + i] * (o->weigh_input ? share[u] : 1);
            ref_linear(in, up + e * f * d, NULL, 1, f, d, h);
            if (gate) ref_linear(in, gate + e * f * d, NULL, 1, f, d, g);
            for (int i = 0; i < f; i++)
                h[i] = gate ? ref_activate(o->activation, g[i]) * h[i]
                            : ref_activate(o->activation, h[i]);
            ref_linear(h, down + e * d * f, NULL, 1, d, f, y);
            for (int i = 0; i < d; i++) out[t * d + i] += y[i] * (o->weigh_input ? 1 : share[u]);
        }
    }
    free(in), free(y), free(g), free(h);
}
