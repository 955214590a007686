/* What recurrent layers share (see block_recurrent.h). C channels. */
#include "models/block_recurrent.h"

#include <stdio.h>

bool block_has_kv(const Loader *ld, int32_t l)
{
    return ld->hyper.kv_heads_of[l] > 0;
}

void block_mixer(Loader *ld, Decoder *m, int32_t layer, Mixer mixer, const void *weights)
{
    ld->layers[layer].kv_heads = 0;
    m->layer[layer].mixer = mixer;
    m->layer[layer].mixer_weights = weights;
}

Conv block_conv_load(Loader *ld, int32_t layer, const char *name, int32_t taps, int64_t channels)
{
    char full[64];
    Conv conv = {0};
    snprintf(full, sizeof full, "%s.weight", name);
    const float *rows = loader_floats(ld, layer, full, taps, channels, REQUIRED);
    snprintf(full, sizeof full, "%s.bias", name);
    conv.bias = loader_floats(ld, layer, full, channels, 1, OPTIONAL);
    if (loader_failed(ld)) return conv;
    float *turned = loader_memory(ld, (size_t)(taps * channels), sizeof *turned);
    for (int64_t c = 0; c < channels && turned; c++)
        for (int32_t t = 0; t < taps; t++) turned[t * channels + c] = rows[c * taps + t];
    conv.weight = turned;
    ld->layers[layer].conv = (int32_t)((taps - 1) * channels);
    return conv;
}

void block_keep_state(Loader *ld, int32_t layer, int64_t floats)
{
    if (floats < 1 || floats > STATE_MOST_FLOATS)
        loader_fail(ld, BT_E_FORMAT,
                    "keys '%s.ssm.*' give layer %d a state of %lld numbers; at most %d are kept; "
                    "the file is damaged, fetch or convert it again",
                    ld->arch, layer, (long long)floats, STATE_MOST_FLOATS);
    if (!loader_failed(ld)) ld->layers[layer].recurrent = (int32_t)floats;
}
