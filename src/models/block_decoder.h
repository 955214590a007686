/* The decoder that most families are: embedding; layers of attention and feed-forward with norms
 * around them, added to the stream; norm; head. A family states what it is in DecoderOptions, then
 * adjusts the Decoder it gets (windows, scales, a mixer of its own in some layers). One that is
 * further away writes its own forward with the other blocks. */
#ifndef MODELS_BLOCK_DECODER_H
#define MODELS_BLOCK_DECODER_H

#include "models/block_attention.h"
#include "models/block_ffn.h"
#include "models/model.h"

#define DECODER_MOST_ROPES 2

typedef struct Decoder Decoder;

/* Where the norms of a layer stand. */
typedef enum NormOrder {
    NORM_BEFORE, /* attn_norm, ffn_norm: of what goes into each part */
    NORM_AFTER,  /* post_attention_norm, post_ffw_norm: of what comes out, before it is added */
    NORM_AROUND  /* both */
} NormOrder;

typedef struct DecoderOptions {
    bool adjacent;   /* RoPE rotates pairs (2i, 2i+1), else (i, i + half) */
    bool no_rope;    /* no rotary positions at all */
    float rope_base; /* when the file does not say; 0: 10,000 */
    bool centred;    /* LayerNorm, else RMSNorm */
    bool weightless; /* norms of the stream have no weights and no tensors */
    NormOrder order;
    bool parallel;        /* attention and feed-forward read the same stream and are added together;
                           * without an ffn_norm also the same norm */
    const char *ffn_norm; /* its tensor; NULL: "ffn_norm" */
    const char *norm;     /* the last one's; NULL: "output_norm" */
    bool no_ffn;          /* a layer ends after its first part */
    bool first_bare;      /* the first layer may have no attn_norm */
    QkNorm qk_norm;
    bool gated; /* see Attention */
    FfnOptions ffn;
    /* Layers l of experts: l >= first_expert_layer and (l + 1) % expert_step == 0; the others are
     * dense. Step 0: all layers are alike, `ffn.experts` says how. */
    int32_t first_expert_layer, expert_step;
    bool routed; /* instead: a layer that has a router has experts */
    /* Returns whether layer l attends; NULL: all do. For others the family sets `mixer`. */
    bool (*attends)(const Loader *ld, int32_t l);
} DecoderOptions;

typedef struct DecoderLayer {
    const Norm *attn_norm, *attn_post_norm, *ffn_norm, *ffn_post_norm; /* (D) or NULL: none */
    Attention attention;
    Ffn ffn;
    /* In the place of attention: x (T,D), normed; returns (T,D). NULL: attention. */
    Tensor (*mixer)(Step *s, const Decoder *m, int32_t layer, const RopeTable *ropes, Tensor x);
    const void *mixer_weights;
    float scale; /* of the stream after this layer */
} DecoderLayer;

struct Decoder {
    int32_t n_layers;
    Rope rope[DECODER_MOST_ROPES]; /* layers name theirs: attention.rope */
    int n_ropes;
    bool parallel, no_ffn;
    float embedding_scale, residual_scale, logit_scale, logit_cap; /* 1, 1, 1, 0 */
    const Weight *embedding, *positions, *head; /* positions: NULL but for learned ones */
    const Norm *embedding_norm, *norm;          /* (D) or NULL */
    DecoderLayer *layer;
    const void *extra; /* the family's own */
};

/* NULL after a failure. The memory is the store's; the family may change it while it loads. */
Decoder *block_decoder_load(Loader *ld, const DecoderOptions *options);
Tensor block_decoder_forward(Step *s, const void *model);

/* Whether the file has experts: families whose dense and sparse models share a name. */
bool block_has_experts(Loader *ld);
/* Layers of a window: all but every `period`th, (l + 1) % period == 0; or as the file says in
 * attention.sliding_window_pattern (a period, or a flag a layer). The window is
 * attention.sliding_window; without that key all layers see everything. False when layer l does. */
bool block_windowed(Loader *ld, int32_t layer, int32_t period);
/* The same where the first of each period sees everything: all but l % period == 0. */
bool block_windowed_after(Loader *ld, int32_t layer, int32_t period);

/* Windows of a family whose files seldom have any: attention.sliding_window tokens, in the layers
 * that attention.sliding_window_pattern flags (one a layer); without flags in all of them if `all`,
 * else in none. Other programs ignore the keys in these families and see everything. */
void block_decoder_windows(Loader *ld, Decoder *m, bool all);

/* The end of every decoder: wanted rows, norm, head, scale and cap; or, when the step wants hidden
 * states, the normed rows. */
Tensor block_decoder_head(Step *s, const Decoder *m, Tensor x);

#endif
