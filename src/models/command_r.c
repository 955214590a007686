/* Command R: LayerNorm without biases, attention and feed-forward side by side behind one norm,
 * adjacent pairs, tied head, logits scaled; in R+ q and k normed with weights of each head. */
#include "models/block_decoder.h"

static const void *command_r_load(Loader *ld)
{
    bool normed = loader_has(ld, 0, "attn_q_norm") || loader_has(ld, 0, "attn_k_norm");
    QkNorm qk_norm = normed ? QK_NORM_HEADS : QK_NORM_NONE;
    DecoderOptions o = {.adjacent = true, .centred = true, .parallel = true, .qk_norm = qk_norm};
    Decoder *m = block_decoder_load(ld, &o);
    if (!m) return NULL;
    m->logit_scale = loader_float(ld, "logit_scale", 1);
    return m;
}

const Arch arch_command_r = {"command-r", command_r_load, block_decoder_forward};
