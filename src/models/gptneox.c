/* GPT-NeoX, Pythia: LayerNorm, a part of each head rotated, q/k/v in one matrix; attention and
 * feed-forward side by side, each behind its own norm, or one after the other. */
#include "models/block_decoder.h"

static const void *gptneox_load(Loader *ld)
{
    DecoderOptions o = {.centred = true,
                        .parallel = loader_bool(ld, "use_parallel_residual", true),
                        .ffn = {.ungated = true, .activation = block_gelu(ld)}};
    return block_decoder_load(ld, &o);
}

const Arch arch_gptneox = {"gptneox", gptneox_load, block_decoder_forward};
