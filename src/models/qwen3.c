/* Qwen 3: rotating halves after a norm of each query and key head; YaRN where the file asks for
 * it. */
#include "models/block_decoder.h"

static const void *qwen3_load(Loader *ld)
{
    Decoder *m = block_decoder_load(ld, &(DecoderOptions){.qk_norm = QK_NORM_HEADS});
    block_decoder_windows(ld, m, false);
    return m;
}

const Arch arch_qwen3 = {"qwen3", qwen3_load, block_decoder_forward};
