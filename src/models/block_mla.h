/* Attention over compressed keys and values (MLA): a token is remembered as one vector of `rank`
 * numbers and one rotated part that all heads share. The up-projection of keys is taken into the
 * query and that of values into the output, so the state is never expanded ("absorbed").
 * Source: DeepSeek-V2 (arXiv 2405.04434), section 2.1.
 *
 * Files carry the up-projections apart, keys turned (attn_k_b, attn_v_b), or in one (attn_kv_b);
 * the second costs memory: its keys are turned when the model is loaded, to F32. */
#ifndef MODELS_BLOCK_MLA_H
#define MODELS_BLOCK_MLA_H

#include "models/block_decoder.h"

/* A decoder whose layers all attend so; the first `leading_dense_block_count` are dense, the others
 * mixtures with shared experts. NULL after a failure. */
Decoder *block_mla_decoder(Loader *ld);

#endif
