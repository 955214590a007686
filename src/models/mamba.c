/* Mamba and Falcon Mamba: layers of Mamba alone, no attention, no positions, no feed-forward. */
#include "models/block_recurrent.h"

static bool never(const Loader *ld, int32_t l)
{
    (void)ld, (void)l;
    return false;
}

static const void *mamba_load(Loader *ld)
{
    DecoderOptions o = {.no_rope = true, .no_ffn = true, .attends = never};
    Decoder *m = block_decoder_load(ld, &o);
    for (int32_t l = 0; m && l < m->n_layers; l++)
        block_mixer(ld, m, l, block_mamba, block_mamba_load(ld, l, false));
    return loader_failed(ld) ? NULL : m;
}

static const void *mamba2_load(Loader *ld)
{
    DecoderOptions o = {.no_rope = true, .no_ffn = true, .attends = never};
    Decoder *m = block_decoder_load(ld, &o);
    for (int32_t l = 0; m && l < m->n_layers; l++)
        block_mixer(ld, m, l, block_ssd, block_ssd_load(ld, l, REQUIRED));
    return loader_failed(ld) ? NULL : m;
}

const Arch arch_mamba = {"mamba", mamba_load, block_decoder_forward};
const Arch arch_mamba2 = {"mamba2", mamba2_load, block_decoder_forward};
