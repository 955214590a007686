/* GLM 4 (0414): norms before and after each part, gate and up in one, a part of each head rotated:
 * adjacent pairs, or halves where the file comes from the vision model and has M-RoPE sections. */
#include "models/block_decoder.h"

static const void *glm4_load(Loader *ld)
{
    int32_t sections[ROPE_AXES] = {0};
    loader_array(ld, "rope.dimension_sections", 0, MODEL_MOST_WIDTH, sections, ROPE_AXES);
    DecoderOptions o = {.adjacent = sections[0] == 0, .order = NORM_AROUND, .ffn = {.fused = true}};
    return block_decoder_load(ld, &o);
}

const Arch arch_glm4 = {"glm4", glm4_load, block_decoder_forward};
