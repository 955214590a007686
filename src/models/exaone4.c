/* EXAONE 4: norms after attention and feed-forward only; per-head norms of q and k before the
 * rotation. The small models rotate everywhere; the large one has a window, with rotation, on three
 * layers of four, and no positions on the fourth. */
#include "models/block_decoder.h"

static const void *exaone4_load(Loader *ld)
{
    DecoderOptions o = {.order = NORM_AFTER, .qk_norm = QK_NORM_HEADS};
    Decoder *m = block_decoder_load(ld, &o);
    int32_t span = loader_int(ld, "attention.sliding_window", 0, INT32_MAX, 0);
    if (!m || !span) return m;
    for (int32_t l = 0; l < m->n_layers; l++)
        if (block_windowed(ld, l, 4))
            block_attention_span(ld, &m->layer[l].attention, l, STATE_KV_WINDOW, span);
        else
            m->layer[l].attention.rope = NO_ROPE;
    return m;
}

const Arch arch_exaone4 = {"exaone4", exaone4_load, block_decoder_forward};
