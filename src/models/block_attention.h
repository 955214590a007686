/* Grouped-query attention with rotary positions: projections (biases if the file has them), an
 * optional norm of each query and key head before the rotation, attention, output projection. */
#ifndef MODELS_BLOCK_ATTENTION_H
#define MODELS_BLOCK_ATTENTION_H

#include "models/loader.h"

typedef struct Attention {
    const Weight *wq, *wk, *wv, *wo;
    const float *q_norm, *k_norm; /* (E), or NULL */
    int32_t e_k, e_v;
    float eps;
    AttendOptions options;
} Attention;

/* Reads attn_q, attn_k, attn_v, attn_output and, with `head_norms`, attn_q_norm and attn_k_norm. */
Attention block_attention_load(Loader *ld, int32_t layer, bool head_norms);
/* x (T,D), normalised; returns (T,D). */
Tensor block_attention(Step *s, const Attention *a, const RopeTable *rope, int32_t layer, Tensor x);

#endif
