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

SsmSizes block_ssm_sizes(Loader *ld)
{
    SsmSizes n = {.inner = loader_int(ld, "ssm.inner_size", 1, MODEL_MOST_WIDTH, LOADER_REQUIRED),
                  .state = loader_int(ld, "ssm.state_size", 1, SSM_MOST_STATE, LOADER_REQUIRED),
                  .rank =
                      loader_int(ld, "ssm.time_step_rank", 1, MODEL_MOST_WIDTH, LOADER_REQUIRED),
                  .groups = loader_int(ld, "ssm.group_count", 0, MODEL_MOST_WIDTH, 1),
                  .taps = loader_int(ld, "ssm.conv_kernel", 2, CONV_MOST_TAPS, LOADER_REQUIRED)};
    if (!loader_failed(ld) && n.groups * (int64_t)n.state > MODEL_MOST_WIDTH)
        loader_fail(ld, BT_E_FORMAT,
                    "key '%s.ssm.group_count': %d groups with a state of %d are too wide; the file "
                    "is damaged, fetch or convert it again",
                    ld->arch, n.groups, n.state);
    return n;
}

SsmSizes block_ssm_heads(Loader *ld)
{
    SsmSizes n = block_ssm_sizes(ld);
    if (loader_failed(ld)) return n;
    if (n.groups < 1 || n.inner % n.rank || n.rank % n.groups)
        loader_fail(ld, BT_E_FORMAT,
                    "keys '%s.ssm.*': %d channels cannot be cut into %d heads of %d groups; the "
                    "file is damaged, fetch or convert it again",
                    ld->arch, n.inner, n.rank, n.groups);
    return n;
}
