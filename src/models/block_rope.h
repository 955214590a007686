/* Rotary position embedding as files configure it: base, partial width, per-pair factors (Llama 3),
 * linear and YaRN scaling. Sources: RoFormer (arXiv 2104.09864), YaRN (arXiv 2309.00071). */
#ifndef MODELS_BLOCK_ROPE_H
#define MODELS_BLOCK_ROPE_H

#include "models/loader.h"

/* Reads the rope.* keys and the tensor rope_freqs (if the file has it). `base` is the default of
 * rope.freq_base. */
Rope block_rope(Loader *ld, bool adjacent, float base);

#endif
