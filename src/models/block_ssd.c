/* Mamba 2 (arXiv 2405.21060; see block_recurrent.h): one projection gives gate, input, the vectors
 * of the state and the steps; after the scan the gate, then a norm of each group. T tokens; D
 * model, H heads of P channels (C in all), G groups with a state of N. */
#include "models/block_recurrent.h"

typedef struct Ssd {
    const Weight *in, *out;
    const float *dt_bias, *a, *d; /* (H) each */
    const Norm *norm;             /* (G, C / G), or NULL */
    Conv conv;
    SsmSizes n; /* rank: H */
} Ssd;

const void *block_ssd_load(Loader *ld, int32_t layer, LoaderNeed norm)
{
    Ssd *w = loader_memory(ld, 1, sizeof *w);
    SsmSizes n = block_ssm_heads(ld);
    if (loader_failed(ld)) return NULL;
    int64_t d = ld->hyper.n_embd, c = n.inner, h = n.rank, mixed = c + 2LL * n.groups * n.state;
    w->n = n;
    block_keep_state(ld, layer, c * n.state);
    w->in = loader_matrix(ld, layer, "ssm_in", d, c + mixed + h, REQUIRED);
    w->conv = block_conv_load(ld, layer, "ssm_conv1d", n.taps, mixed);
    w->dt_bias = loader_floats(ld, layer, "ssm_dt.bias", h, 1, REQUIRED);
    w->a = loader_floats(ld, layer, "ssm_a", 1, h, REQUIRED);
    w->d = loader_floats(ld, layer, "ssm_d", 1, h, REQUIRED);
    if (norm == REQUIRED || loader_has(ld, layer, "ssm_norm"))
        w->norm = loader_norm_heads(ld, layer, "ssm_norm", c / n.groups, n.groups, false);
    w->out = loader_matrix(ld, layer, "ssm_out", c, d, REQUIRED);
    return loader_failed(ld) ? NULL : w;
}

Tensor block_ssd(Step *s, const Decoder *m, int32_t layer, const RopeTable *ropes, Tensor x)
{
    const Ssd *w = m->layer[layer].mixer_weights;
    int32_t c = w->n.inner, h = w->n.rank, g = w->n.groups, gn = g * w->n.state;
    (void)ropes;
    Tensor all = op_linear(s, x, w->in); /* (T, C + C+2GN + H): gate; x, b, c; dt */
    Tensor xbc =
        op_conv(s, layer, op_part(s, all, c, c + 2 * gn), w->conv.weight, w->conv.bias, ACT_SILU);
    Tensor dt = op_add_vector(s, op_part(s, all, 2 * c + 2 * gn, h), w->dt_bias);
    dt = op_activate(s, dt, ACT_SOFTPLUS); /* (T,H) */
    Tensor y = op_ssd(s, layer, op_split(s, op_part(s, xbc, 0, c), h), dt,
                      op_split(s, op_part(s, xbc, c, gn), g),
                      op_split(s, op_part(s, xbc, c + gn, gn), g), w->a, w->d);
    y = op_gate(s, op_merge(s, y), op_part(s, all, 0, c), ACT_SILU); /* (T,C) */
    if (w->norm) y = op_merge(s, op_norm(s, op_split(s, y, g), w->norm));
    return op_linear(s, y, w->out);
}
