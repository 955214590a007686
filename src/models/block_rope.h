/* Rotary position embedding as files configure it: base, partial width, per-pair factors (Llama 3),
 * linear, YaRN and LongRoPE scaling. Sources: RoFormer (arXiv 2104.09864), YaRN (arXiv
 * 2309.00071), LongRoPE (arXiv 2402.13753). */
#ifndef MODELS_BLOCK_ROPE_H
#define MODELS_BLOCK_ROPE_H

#include "models/loader.h"

/* Reads the rope.* keys and the tensors rope_freqs, rope_factors_long and rope_factors_short (if
 * the file has them). `base` is the default of rope.freq_base. An unknown scaling is refused. */
Rope block_rope(Loader *ld, bool adjacent, float base);
/* The same, but YaRN's mixing of scaled and unscaled angles begins and ends between pairs. */
Rope block_rope_unrounded(Loader *ld, bool adjacent, float base);
/* Plain angles of this base over the first `width` elements of a head, whatever the keys say:
 * window layers of several families. */
Rope block_rope_plain(Loader *ld, bool adjacent, float base, int32_t width);

#endif
