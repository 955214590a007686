/* InternLM 2 and 2.5: as Llama. */
#include "models/block_decoder.h"

static const void *internlm2_load(Loader *ld)
{
    DecoderOptions o = {.adjacent = true};
    return block_decoder_load(ld, &o);
}

const Arch arch_internlm2 = {"internlm2", internlm2_load, block_decoder_forward};
