/* Mamba (arXiv 2312.00752; see block_recurrent.h): convolution, then a scan whose step, input and
 * output vectors follow from the token itself. Jamba norms these three, Falcon Mamba too, without
 * weights. T tokens; D model, C inner channels, N state of a channel, R rank of the step. */
#include "kernels/kernels.h"
#include "models/block_recurrent.h"

typedef struct Mamba {
    const Weight *in, *x, *dt, *out;
    const float *a, *d;                    /* (C,N) in panels, below 0 in a sound file; (C) */
    const Norm *dt_norm, *b_norm, *c_norm; /* NULL: none */
    Conv conv;
    SsmSizes n;
} Mamba;

static void load_norms(Loader *ld, int32_t layer, bool normed, Mamba *w)
{
    if (normed) {
        w->dt_norm = loader_norm(ld, layer, "ssm_dt_norm", w->n.rank, false, REQUIRED);
        w->b_norm = loader_norm(ld, layer, "ssm_b_norm", w->n.state, false, REQUIRED);
        w->c_norm = loader_norm(ld, layer, "ssm_c_norm", w->n.state, false, REQUIRED);
    } else if (loader_bool(ld, "ssm.dt_b_c_rms", false)) {
        Norm *plain = loader_memory(ld, 1, sizeof *plain);
        if (plain) plain->eps = loader_float(ld, "ssm.dt_b_c_rms_epsilon", ld->hyper.eps);
        w->dt_norm = w->b_norm = w->c_norm = plain;
    }
}

/* Rows (C,N) as the kernel has them, side by side with the state (state_at). */
static const float *in_panels(Loader *ld, const float *rows, int64_t channels, int64_t width)
{
    size_t c = (size_t)channels, n = (size_t)width;
    if (loader_failed(ld)) return NULL;
    float *out = loader_memory(ld, c * n, sizeof *out);
    for (size_t j = 0; j < c && out; j++)
        for (size_t i = 0; i < n; i++) out[state_at(c, n, j, i)] = rows[j * n + i];
    return out;
}

const void *block_mamba_load(Loader *ld, int32_t layer, bool normed)
{
    Mamba *w = loader_memory(ld, 1, sizeof *w);
    SsmSizes n = block_ssm_sizes(ld);
    if (loader_failed(ld)) return NULL;
    int64_t d = ld->hyper.n_embd, c = n.inner;
    w->n = n;
    block_keep_state(ld, layer, c * n.state);
    w->in = loader_matrix(ld, layer, "ssm_in", d, 2 * c, REQUIRED);
    w->conv = block_conv_load(ld, layer, "ssm_conv1d", n.taps, c);
    w->x = loader_matrix(ld, layer, "ssm_x", c, n.rank + 2 * (int64_t)n.state, REQUIRED);
    w->dt = loader_matrix(ld, layer, "ssm_dt", n.rank, c, REQUIRED);
    loader_floats(ld, layer, "ssm_dt.bias", c, 1, REQUIRED); /* it came with the matrix */
    w->a = in_panels(ld, loader_floats(ld, layer, "ssm_a", n.state, c, REQUIRED), c, n.state);
    w->d = loader_floats(ld, layer, "ssm_d", c, 1, REQUIRED);
    w->out = loader_matrix(ld, layer, "ssm_out", c, d, REQUIRED);
    load_norms(ld, layer, normed, w);
    return loader_failed(ld) ? NULL : w;
}

/* Elements [first, first + width) of each row, normed. */
static Tensor piece(Step *s, Tensor x, int32_t first, int32_t width, const Norm *norm)
{
    Tensor y = op_part(s, x, first, width);
    return norm ? op_norm(s, y, norm) : y;
}

Tensor block_mamba(Step *s, const Decoder *m, int32_t layer, const RopeTable *ropes, Tensor x)
{
    const Mamba *w = m->layer[layer].mixer_weights;
    int32_t c = w->n.inner, n = w->n.state, r = w->n.rank;
    (void)ropes;
    Tensor all = op_linear(s, x, w->in); /* (T,2C): what goes in, and the gate */
    Tensor y = op_conv(s, layer, op_part(s, all, 0, c), w->conv.weight, w->conv.bias, ACT_SILU);
    Tensor of_token = op_linear(s, y, w->x); /* (T,R+2N) */
    Tensor dt = op_linear(s, piece(s, of_token, 0, r, w->dt_norm), w->dt);
    dt = op_activate(s, dt, ACT_SOFTPLUS); /* (T,C) */
    y = op_scan(s, layer, y, dt, piece(s, of_token, r, n, w->b_norm),
                piece(s, of_token, r + n, n, w->c_norm), w->a, w->d);
    return op_linear(s, op_gate(s, y, op_part(s, all, c, c), ACT_SILU), w->out);
}
