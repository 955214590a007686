/* The functions between two matrices of a feed-forward layer, and other functions of one number. */
#ifndef KERNELS_ACTIVATION_H
#define KERNELS_ACTIVATION_H

typedef enum Activation {
    ACT_SILU,      /* x sigmoid(x) */
    ACT_GELU,      /* x Phi(x), by erf */
    ACT_GELU_TANH, /* its tanh form (arXiv 1606.08415) */
    ACT_RELU,
    ACT_RELU2, /* max(x, 0) squared */
    ACT_SIGMOID,
    ACT_TANH,
    ACT_SOFTPLUS, /* log(1 + exp x) */
    ACT_NONE,
    ACT_GATE_CLAMPED /* kernel swiglu_clamped: of a gate and its partner only */
} Activation;

#endif
