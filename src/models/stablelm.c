/* StableLM 2: LayerNorm, a quarter of each head rotated; in the larger ones q and k normed with
 * weights of each head, and attention and feed-forward side by side behind one norm. */
#include "models/block_decoder.h"

static const void *stablelm_load(Loader *ld)
{
    QkNorm qk_norm = loader_has(ld, 0, "attn_q_norm") ? QK_NORM_HEADS : QK_NORM_NONE;
    DecoderOptions o = {
        .centred = true, .parallel = !loader_has(ld, 0, "ffn_norm"), .qk_norm = qk_norm};
    return block_decoder_load(ld, &o);
}

const Arch arch_stablelm = {"stablelm", stablelm_load, block_decoder_forward};
