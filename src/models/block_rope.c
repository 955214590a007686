/* RoPE frequencies (see block_rope.h). Computed in double, stored in float32. */
#include "models/block_rope.h"

#include <float.h>
#include <math.h>

/* YaRN: the pair index at which `turns` full rotations fit into the original context. */
static double yarn_pair(int32_t width, double original, double turns, double base)
{
    return width * log(original / (turns * 2 * 3.14159265358979323846)) / (2 * log(base));
}

typedef struct Yarn {
    double extrapolate; /* weight of the unscaled angles; 0 switches YaRN off */
    double low, high;   /* pairs between which scaled and unscaled are mixed */
} Yarn;

static Yarn read_yarn(Loader *ld, int32_t width, int32_t original, float base)
{
    Yarn y = {.extrapolate = loader_float(ld, "rope.scaling.yarn_ext_factor", -1)};
    double fast = loader_float(ld, "rope.scaling.yarn_beta_fast", 32);
    double slow = loader_float(ld, "rope.scaling.yarn_beta_slow", 1);
    if (y.extrapolate < 0) y.extrapolate = 1; /* "off" in the file means: the default */
    if (loader_failed(ld)) return y;
    if (!(fast > 0) || !(slow > 0) || !(base > 1)) {
        loader_fail(ld, BT_E_FORMAT, "keys of rope.scaling: beta and base must be positive");
        return y;
    }
    y.low = fmax(0, floor(yarn_pair(width, original, fast, base)));
    y.high = fmin(width - 1, ceil(yarn_pair(width, original, slow, base)));
    return y;
}

Rope block_rope(Loader *ld, bool adjacent, float base)
{
    const Hyper *h = &ld->hyper;
    Rope rope = {.adjacent = adjacent, .magnitude = 1};
    int32_t width = loader_int(ld, "rope.dimension_count", 2, h->e_k, h->e_k);
    base = loader_float(ld, "rope.freq_base", base);
    Span scaling = loader_text(ld, "rope.scaling.type");
    float factor =
        loader_float(ld, "rope.scaling.factor", loader_float(ld, "rope.scale_linear", 1));
    float attn = loader_float(ld, "rope.scaling.attn_factor", 1);
    int32_t original =
        loader_int(ld, "rope.scaling.original_context_length", 1, INT32_MAX, h->n_ctx_train);
    if (width % 2 || !(base > 0))
        loader_fail(ld, BT_E_FORMAT, "keys '%s.rope.*': width %d must be even, base %g positive",
                    ld->arch, width, (double)base);
    if (!(factor > 0)) factor = 1; /* 0 in a file means "none" */
    if (!(attn > 0)) attn = 1;
    bool yarn = span_is(scaling, "yarn");
    Yarn y = yarn ? read_yarn(ld, width, original, base) : (Yarn){0};
    rope.half = width / 2;
    const float *factors = loader_vector(ld, -1, "rope_freqs", rope.half, OPTIONAL);
    float *inverse = loader_memory(ld, (size_t)rope.half, sizeof *inverse);
    rope.inverse = inverse;
    if (loader_failed(ld)) return (Rope){0};
    double scale = span_is(scaling, "none") ? 1 : 1 / (double)factor;
    for (int32_t i = 0; i < rope.half; i++) {
        double plain = pow(base, -2.0 * i / width);
        if (factors) plain /= factors[i];
        double mix =
            yarn ? y.extrapolate * (1 - fmin(1, fmax(0, (i - y.low) / fmax(0.001, y.high - y.low))))
                 : 0;
        double value = plain * scale * (1 - mix) + plain * mix;
        if (!(fabs(value) <= FLT_MAX)) {
            loader_fail(ld, BT_E_FORMAT,
                        "tensor 'rope_freqs.weight' or rope keys give angle %d "
                        "no finite frequency",
                        i);
            return (Rope){0};
        }
        inverse[i] = (float)value;
    }
    rope.magnitude = attn;
    if (yarn && y.extrapolate > 0) rope.magnitude *= (float)(1 + 0.1 * log((double)factor));
    if (!isfinite(rope.magnitude))
        loader_fail(ld, BT_E_FORMAT, "keys '%s.rope.scaling.*' give no finite factor", ld->arch);
    return rope;
}
