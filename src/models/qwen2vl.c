/* Qwen 2 VL and 2.5 VL, the language part: Qwen 2 whose pairs turn by time, height and width of an
 * image's patches, in three blocks (rope.dimension_sections). Text has one number on all axes. */
#include "models/block_decoder.h"

static const void *qwen2vl_load(Loader *ld)
{
    Decoder *m = block_decoder_load(ld, &(DecoderOptions){0});
    block_decoder_windows(ld, m, false);
    return m;
}

const Arch arch_qwen2vl = {"qwen2vl", qwen2vl_load, block_decoder_forward};
