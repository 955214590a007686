/* LFM2's layer of a short convolution: out(c conv(b x)), with b, c and x from one projection and no
 * activation (see block_recurrent.h). T tokens; D model. */
#include "models/block_recurrent.h"

typedef struct ShortConv {
    const Weight *in, *out;
    Conv conv;
} ShortConv;

const void *block_short_conv_load(Loader *ld, int32_t layer)
{
    int32_t d = ld->hyper.n_embd;
    int32_t taps = loader_int(ld, "shortconv.l_cache", 2, CONV_MOST_TAPS, LOADER_REQUIRED);
    ShortConv *w = loader_memory(ld, 1, sizeof *w);
    if (loader_failed(ld)) return NULL;
    w->in = loader_matrix(ld, layer, "shortconv.in_proj", d, 3 * (int64_t)d, REQUIRED);
    w->conv = block_conv_load(ld, layer, "shortconv.conv", taps, d);
    w->out = loader_matrix(ld, layer, "shortconv.out_proj", d, d, REQUIRED);
    return loader_failed(ld) ? NULL : w;
}

Tensor block_short_conv(Step *s, const Decoder *m, int32_t layer, const RopeTable *ropes, Tensor x)
{
    const ShortConv *w = m->layer[layer].mixer_weights;
    int32_t d = x.width;
    (void)ropes;
    Tensor all = op_linear(s, x, w->in); /* (T,3D): b, c, x */
    Tensor bx = op_mul(s, op_part(s, all, 0, d), op_part(s, all, 2 * d, d));
    Tensor y = op_conv(s, layer, bx, w->conv.weight, w->conv.bias, ACT_NONE); /* (T,D) */
    return op_linear(s, op_mul(s, y, op_part(s, all, d, d)), w->out);
}
