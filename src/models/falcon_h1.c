/* Falcon-H1: in every layer attention and Mamba 2 read the same normed stream and are added.
 * Rotating halves, plainly: a tensor rope_freqs does not count. The family's many multipliers lie
 * in the weights of its files. */
#include "models/block_recurrent.h"
#include "models/block_rope.h"

static Tensor both(Step *s, const Decoder *m, int32_t layer, const RopeTable *ropes, Tensor x)
{
    Tensor a = block_attention(s, &m->layer[layer].attention, ropes, layer, x);
    return op_add(s, a, block_ssd(s, m, layer, ropes, x)); /* (T,D) */
}

static const void *falcon_h1_load(Loader *ld)
{
    Decoder *m = block_decoder_load(ld, &(DecoderOptions){0});
    float base = loader_float(ld, "rope.freq_base", 10000);
    if (m) m->rope[0] = block_rope_plain(ld, false, base, 2 * m->rope[0].half);
    for (int32_t l = 0; m && l < m->n_layers; l++) {
        m->layer[l].mixer = both;
        m->layer[l].mixer_weights = block_ssd_load(ld, l, OPTIONAL);
    }
    return loader_failed(ld) ? NULL : m;
}

const Arch arch_falcon_h1 = {"falcon-h1", falcon_h1_load, block_decoder_forward};
