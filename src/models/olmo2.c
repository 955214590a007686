/* Olmo 2 and 3: norms after attention and feed-forward only, inside the residual branch; q and k
 * normed over the whole projection before the heads are cut and rotated. Olmo 3 comes under the
 * same name with a window on three layers of four; these turn by plain angles, the full ones by
 * YaRN. */
#include "models/block_decoder.h"
#include "models/block_rope.h"

static const void *olmo2_load(Loader *ld)
{
    DecoderOptions o = {.order = NORM_AFTER, .qk_norm = QK_NORM_WHOLE};
    Decoder *m = block_decoder_load(ld, &o);
    int32_t span = loader_int(ld, "attention.sliding_window", 0, INT32_MAX, 0);
    if (!m || !span) return m;
    float base = loader_float(ld, "rope.freq_base", 10000);
    base = loader_float(ld, "rope.freq_base_swa", base);
    m->rope[1] = block_rope_plain(ld, false, base, 2 * m->rope[0].half);
    m->n_ropes = 2;
    for (int32_t l = 0; l < m->n_layers; l++) {
        if (!block_windowed(ld, l, 4)) continue;
        block_attention_span(ld, &m->layer[l].attention, l, STATE_KV_WINDOW, span);
        m->layer[l].attention.rope = 1;
    }
    return m;
}

const Arch arch_olmo2 = {"olmo2", olmo2_load, block_decoder_forward};
