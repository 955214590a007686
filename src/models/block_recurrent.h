/* Layers that remember a state of fixed size instead of keys and values. Each kind is a mixer of
 * block_decoder, in the place of attention, and a function that reads its weights:
 *
 *   short convolution  LFM2
 *   mamba              Mamba (arXiv 2312.00752), Jamba
 *   ssd                Mamba 2 (arXiv 2405.21060), in Granite 4 and Falcon-H1 too
 *   delta              gated delta net (arXiv 2412.06464): Qwen3-Next, Qwen 3.5
 *
 * Refused: a missing or misshapen tensor, sizes that do not divide, states beyond
 * STATE_MOST_FLOATS. */
#ifndef MODELS_BLOCK_RECURRENT_H
#define MODELS_BLOCK_RECURRENT_H

#include "kernels/kernels.h"
#include "models/block_decoder.h"

#define SSM_MOST_STATE    4096
#define STATE_MOST_FLOATS (1 << 23) /* of a layer: 32 MB; models have a tenth of it */

typedef Tensor (*Mixer)(Step *s, const Decoder *m, int32_t layer, const RopeTable *ropes, Tensor x);

/* Whether the file gives layer l KV heads: DecoderOptions.attends of hybrids. */
bool block_has_kv(const Loader *ld, int32_t l);
/* Layer `layer` is this instead of attention, and keeps no keys and values. */
void block_mixer(Loader *ld, Decoder *m, int32_t layer, Mixer mixer, const void *weights);

/* All weights: NULL after a failure. They also say what the layer remembers (ld->layers). */
const void *block_short_conv_load(Loader *ld, int32_t layer);
Tensor block_short_conv(Step *s, const Decoder *m, int32_t layer, const RopeTable *ropes, Tensor x);

/* normed: dt, b and c pass through norms with weights (Jamba). */
const void *block_mamba_load(Loader *ld, int32_t layer, bool normed);
Tensor block_mamba(Step *s, const Decoder *m, int32_t layer, const RopeTable *ropes, Tensor x);

/* norm: whether ssm_norm must be there. */
const void *block_ssd_load(Loader *ld, int32_t layer, LoaderNeed norm);
Tensor block_ssd(Step *s, const Decoder *m, int32_t layer, const RopeTable *ropes, Tensor x);

/* tiled: value head h reads key head h % (key heads), else h / (value heads / key heads). */
const void *block_delta_load(Loader *ld, int32_t layer, bool tiled);
Tensor block_delta(Step *s, const Decoder *m, int32_t layer, const RopeTable *ropes, Tensor x);

/* ---- what they share ---- */

/* The keys ssm.*; not all layers have every one. */
typedef struct SsmSizes {
    int32_t inner;  /* channels */
    int32_t state;  /* numbers of a channel's state */
    int32_t rank;   /* Mamba: of the step's matrix; else heads */
    int32_t groups; /* heads of b and c, of keys; may be 0 */
    int32_t taps;   /* of the convolution */
} SsmSizes;

SsmSizes block_ssm_sizes(Loader *ld);
/* The same, refused unless channels can be cut into heads and heads into groups. */
SsmSizes block_ssm_heads(Loader *ld);

/* A causal depthwise convolution. */
typedef struct Conv {
    const float *weight; /* (taps, channels): the file's, turned */
    const float *bias;   /* (channels) or NULL */
} Conv;

/* Reads `name`.weight (channels, taps) and .bias; the layer remembers taps - 1 rows. */
Conv block_conv_load(Loader *ld, int32_t layer, const char *name, int32_t taps, int64_t channels);
/* The layer remembers a state of `floats` numbers. */
void block_keep_state(Loader *ld, int32_t layer, int64_t floats);

#endif
