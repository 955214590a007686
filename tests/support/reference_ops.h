/* Ops in double precision, from their papers' formulas: no state, no tiles, no fusion. Arrays are
 * row-major; nothing here includes anything of the engine. */
#ifndef TESTS_REFERENCE_OPS_H
#define TESTS_REFERENCE_OPS_H

#include <stdbool.h>

typedef enum RefActivation {
    REF_SILU,
    REF_GELU,
    REF_GELU_TANH,
    REF_RELU,
    REF_RELU2,
    REF_SIGMOID,
    REF_TANH,
    REF_SOFTPLUS,
    REF_NONE
} RefActivation;

double ref_activate(RefActivation a, double x);
/* out (n) of x (n); weight, bias NULL: 1, 0 */
void ref_norm(const double *x, const double *weight, const double *bias, int n, double eps,
              bool centred, double *out);
/* out (rows, n) = x (rows, k) w' (n, k) + bias */
void ref_linear(const double *x, const double *w, const double *bias, int rows, int n, int k,
                double *out);
/* One head of 2 half numbers from `first` on, turned in place. */
void ref_rope(double *x, const double *angle, double magnitude, int half, int first, bool adjacent);

typedef struct RefAttention {
    int rows, heads, kv_heads, e, e_v;
    double scale, cap;
    const double *sinks;              /* (heads) or NULL */
    bool (*sees)(int query, int key); /* rows */
} RefAttention;
void ref_attend(const RefAttention *a, const double *q, const double *k, const double *v,
                double *out);

typedef struct RefExperts {
    int rows, width, hidden, experts, used;
    int scores; /* 0 softmax over all, 1 sigmoid, 2 softmax over the chosen */
    bool renormalise, weigh_input;
    double scale;
    const double *choice_bias; /* (experts) or NULL */
    RefActivation activation;
} RefExperts;
/* gate NULL: none; biases (experts, ...) may be NULL */
void ref_experts(const RefExperts *o, const double *x, const double *router, const double *gate,
                 const double *up, const double *down, double *out);

#endif
