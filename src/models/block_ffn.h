/* The feed-forward part of a layer: two or three matrices, or a mixture of experts with experts
 * that every token sees beside it. */
#ifndef MODELS_BLOCK_FFN_H
#define MODELS_BLOCK_FFN_H

#include "models/loader.h"

typedef struct FfnOptions {
    bool experts;          /* a mixture; else dense */
    Activation activation; /* ACT_SILU when zero */
    bool ungated;          /* down(activation(up x)): there is no gate */
    bool fused;            /* ffn_up may hold gate, then up, when there is no ffn_gate */
    /* routing, for a mixture */
    MoeScores scores;
    bool renormalise;
    float nearness;    /* of MOE_SPARSE_MIXER */
    bool routing_keys; /* expert_gating_func, _weights_norm, _weights_scale and _group_* count;
                        * other families' files carry them without a meaning */
    bool weigh_input;
    bool shared;        /* ffn_*_shexp must be there */
    bool shared_router; /* and ffn_gate_inp_shexp, the gate of their result */
} FfnOptions;

/* A dense layer has gate (or none), up, down; a layer of experts has router and the three of all
 * experts, and where the file has them shared ones. */
typedef struct Ffn {
    const Weight *router; /* NULL: dense */
    const Weight *gate, *up, *down;
    const Weight *shared_gate, *shared_up, *shared_down; /* NULL: none */
    const Weight *shared_router; /* (1,D): the shared part times sigmoid of this; or NULL */
    Activation activation;
    MoeOptions moe;
} Ffn;

/* Key hidden_activation, which our converter writes where a maker's GELU is not what files of the
 * family mean by convention: "gelu" is the exact one. Without the key: its tanh form. */
Activation block_gelu(Loader *ld);
/* Reads ffn_gate/up/down (or ffn_up that holds gate, then up), or ffn_gate_inp, ffn_*_exps,
 * ffn_*_shexp, ffn_gate_inp_shexp and exp_probs_b.bias. */
Ffn block_ffn_load(Loader *ld, int32_t layer, const FfnOptions *options);
/* x (T,D), normed; returns (T,D). */
Tensor block_ffn(Step *s, const Ffn *f, Tensor x);

#endif
