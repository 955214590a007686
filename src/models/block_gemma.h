/* What Gemma 3n and Gemma 4 share: inputs of each layer's own, and layers that read what an earlier
 * layer remembered. */
#ifndef MODELS_BLOCK_GEMMA_H
#define MODELS_BLOCK_GEMMA_H

#include "models/block_decoder.h"

/* P numbers a layer and token, from the token and from its embedding. */
typedef struct PerLayer {
    const Weight *table, *project; /* (V, L P), (L P, D); NULL: the model has none */
    const Norm *norm;              /* (P) */
    int32_t width;                 /* P */
} PerLayer;

/* One layer's use of its part. */
typedef struct PerLayerUse {
    const Weight *gate, *project; /* (P, D), (D, P) */
    const Norm *norm;             /* (D) */
} PerLayerUse;

PerLayer block_per_layer_load(Loader *ld);
PerLayerUse block_per_layer_use(Loader *ld, const PerLayer *p, int32_t layer);
/* x (T,D), the scaled embedding, to (T, L P). */
Tensor block_per_layer(Step *s, const PerLayer *p, int32_t n_layers, Tensor x);
/* norm(project (gelu(gate x) * the layer's part of `all`)): (T,D). */
Tensor block_per_layer_add(Step *s, const PerLayer *p, const PerLayerUse *use, int32_t layer,
                           Tensor x, Tensor all);

/* The last `attention.shared_kv_layers` layers read what the last layer of their kind (window or
 * not) below them keeps. Call it before attention is loaded. */
void block_share_kv(Loader *ld, int32_t period);
/* Norm of n numbers without weights. */
const Norm *block_plain_norm(Loader *ld);

/* Attention of Gemma 3n and 4: scores as they are, values normed without weights; a layer with a
 * window (span > 0) uses rope table 1. */
Attention block_gemma_attention(Loader *ld, int32_t layer, const AttentionOptions *options,
                                int32_t span);

#endif
