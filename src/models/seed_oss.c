/* Seed-OSS: as Qwen 2; the norm before the feed-forward is named post_attention_norm. */
#include "models/block_decoder.h"

static const void *seed_oss_load(Loader *ld)
{
    DecoderOptions o = {.ffn_norm = "post_attention_norm"};
    return block_decoder_load(ld, &o);
}

const Arch arch_seed_oss = {"seed_oss", seed_oss_load, block_decoder_forward};
