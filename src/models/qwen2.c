/* Qwen 2 and 2.5: rotating halves; q, k and v have biases; a window in some layers where the file
 * flags them. */
#include "models/block_decoder.h"

static const void *qwen2_load(Loader *ld)
{
    Decoder *m = block_decoder_load(ld, &(DecoderOptions){0});
    block_decoder_windows(ld, m, false);
    return m;
}

const Arch arch_qwen2 = {"qwen2", qwen2_load, block_decoder_forward};
