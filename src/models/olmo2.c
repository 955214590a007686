/* Olmo 2 and 3: norms after attention and feed-forward only, inside the residual branch; q and k
 * normed over the whole projection before the heads are cut and rotated. Olmo 3 comes under the
 * same name with a window on three layers of four; these turn by plain angles, the full ones by
 * YaRN. */
#include "models/block_rope.h"
#include "models/block_window.h"

static const void *olmo2_load(Loader *ld)
{
    DecoderOptions o = {.order = NORM_AFTER, .qk_norm = QK_NORM_WHOLE};
    Decoder *m = block_decoder_load(ld, &o);
    Windows w = block_windows(ld, 4, false);
    if (!m || !w.span) return m;
    float base = loader_float(ld, "rope.freq_base", 10000);
    base = loader_float(ld, "rope.freq_base_swa", base);
    m->rope[1] = block_rope_plain(ld, false, base, 2 * m->rope[0].half);
    m->n_ropes = 2;
    block_windows_apply(ld, m, &w, 1);
    return m;
}

const Arch arch_olmo2 = {"olmo2", olmo2_load, block_decoder_forward};
