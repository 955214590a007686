/* Mistral 4: DeepSeek's compressed attention and experts, with a temperature on queries beyond the
 * original context. */
#include "models/block_mla.h"

static const void *mistral4_load(Loader *ld)
{
    return block_mla_decoder(ld);
}

const Arch arch_mistral4 = {"mistral4", mistral4_load, block_decoder_forward};
