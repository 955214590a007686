/* The feed-forward part of a layer: a gated one, or a mixture of gated experts. */
#ifndef MODELS_BLOCK_FFN_H
#define MODELS_BLOCK_FFN_H

#include "models/loader.h"

/* A dense layer has gate, up, down; a layer of experts has router and the three of all experts. */
typedef struct Ffn {
    const Weight *router; /* NULL: dense */
    const Weight *gate, *up, *down;
    MoeOptions moe;
} Ffn;

/* Reads ffn_gate/up/down, or with `experts` ffn_gate_inp and ffn_*_exps. */
Ffn block_ffn_load(Loader *ld, int32_t layer, bool experts, bool renormalise);
/* x (T,D), normalised; returns (T,D). */
Tensor block_ffn(Step *s, const Ffn *f, Tensor x);

#endif
