/* EXAONE 4: norms after attention and feed-forward only; per-head norms of q and k before the
 * rotation. The small models rotate everywhere; the large one has a window, with rotation, on three
 * layers of four, and no positions on the fourth. */
#include "models/block_window.h"

static const void *exaone4_load(Loader *ld)
{
    DecoderOptions o = {.order = NORM_AFTER, .qk_norm = QK_NORM_HEADS};
    Decoder *m = block_decoder_load(ld, &o);
    Windows w = block_windows(ld, 4, false);
    if (!m || !w.span) return m;
    for (int32_t l = 0; l < m->n_layers; l++) m->layer[l].attention.rope = NO_ROPE;
    block_windows_apply(ld, m, &w, 0);
    return m;
}

const Arch arch_exaone4 = {"exaone4", exaone4_load, block_decoder_forward};
