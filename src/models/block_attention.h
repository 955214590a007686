/* Grouped-query attention: projections (apart or fused, biases if the file has them), norms of
 * queries and keys, rotary positions, attention over what the layer sees, output projection. What a
 * family does differently it sets in the Attention it gets from the load. */
#ifndef MODELS_BLOCK_ATTENTION_H
#define MODELS_BLOCK_ATTENTION_H

#include "models/loader.h"

typedef enum QkNorm {
    QK_NORM_NONE,
    QK_NORM_HEADS,      /* each head, before the rotation; (E), or (heads, E): the file says */
    QK_NORM_AFTER_ROPE, /* each head, after it */
    QK_NORM_WHOLE       /* the whole projection at once, before it */
} QkNorm;

typedef struct AttentionOptions {
    QkNorm qk_norm;
    bool centred;        /* these norms are LayerNorms */
    bool gated;          /* see Attention */
    bool keys_as_values; /* a layer without attn_v takes attn_k for it, before k's norm (Gemma 4) */
} AttentionOptions;

#define NO_ROPE (-1)

typedef struct Attention {
    const Weight *wq, *wk, *wv, *wo; /* wk, wv NULL: reads another layer's state */
    QkNorm qk_norm;
    const Norm *q_norm, *k_norm; /* NULL: none */
    int32_t heads, e_k, e_v;
    int rope;   /* which of the step's tables, or NO_ROPE */
    bool gated; /* each head of wq gives query, then gate (2 E): the result times sigmoid(gate) */
    float clip; /* of q, k and v after the projections; 0: none */
    const Norm *v_norm; /* gemma4: of each value head; NULL: none */
    /* q times 1 + temperature * log(floor((position + shift) / floor) + 1); temperature 0: none */
    float temperature;
    float temperature_floor, temperature_shift;
    AttendOptions options;
} Attention;

/* Reads attn_q, attn_k, attn_v (or attn_qkv), attn_output and the norms; scale 1/sqrt(e_k) unless
 * attention.scale is there. All layers see all the past, or with attention.causal false the whole
 * sequence, and use rope table 0. */
Attention block_attention_load(Loader *ld, int32_t layer, const AttentionOptions *options);
/* Layer `layer` sees a window, or its chunk, of `span` tokens and keeps no more. With
 * attention.causal false it sees span / 2 tokens to either side. */
void block_attention_span(Loader *ld, Attention *a, int32_t layer, StateKind kind, int32_t span);
/* x (T,D), normed; returns (T,D). */
Tensor block_attention(Step *s, const Attention *a, const RopeTable *ropes, int32_t layer,
                       Tensor x);

/* q times 1 + temperature * log(floor((position + shift) / floor_of) + 1). */
Tensor block_attention_warm(Step *s, Tensor q, float temperature, float floor_of, float shift);

#endif
