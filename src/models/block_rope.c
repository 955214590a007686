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

static Yarn read_yarn(Loader *ld, int32_t width, int32_t original, float base, bool rounded)
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
    y.low = yarn_pair(width, original, fast, base);
    y.high = yarn_pair(width, original, slow, base);
    y.low = fmax(0, rounded ? floor(y.low) : y.low);
    y.high = fmin(width - 1, rounded ? ceil(y.high) : y.high);
    return y;
}

typedef struct RopeKeys {
    int32_t width, original;
    float base, factor, attn; /* attn < 0: the file does not say */
    float all;                /* YaRN's mscale_all_dim; with MLA it acts elsewhere */
    bool yarn, longrope, scaled;
    Yarn mix;
} RopeKeys;

static RopeKeys read_keys(Loader *ld, float base, bool rounded)
{
    const Hyper *h = &ld->hyper;
    RopeKeys k = {.width = loader_int(ld, "rope.dimension_count", 2, h->e_k, h->e_k)};
    Span scaling = loader_text(ld, "rope.scaling.type");
    k.base = loader_float(ld, "rope.freq_base", base);
    k.factor = loader_float(ld, "rope.scaling.factor", loader_float(ld, "rope.scale_linear", 1));
    k.attn = loader_float(ld, "rope.scaling.attn_factor", -1);
    k.all = loader_float(ld, "rope.scaling.yarn_log_multiplier", 0);
    k.original =
        loader_int(ld, "rope.scaling.original_context_length", 1, INT32_MAX, h->n_ctx_train);
    k.yarn = span_is(scaling, "yarn");
    k.longrope = span_is(scaling, "longrope");
    k.scaled = !span_is(scaling, "none");
    if (k.scaled && !k.yarn && !k.longrope && !span_is(scaling, "linear") && scaling.size)
        loader_fail(ld, BT_E_UNSUPPORTED,
                    "key '%s.rope.scaling.type' is '%.*s'; none, linear, yarn and longrope are "
                    "known",
                    ld->arch, (int)(scaling.size < 40 ? scaling.size : 40), scaling.data);
    if (!loader_failed(ld) && (k.width % 2 || !(k.base > 0)))
        loader_fail(ld, BT_E_FORMAT, "keys '%s.rope.*': width %d must be even, base %g positive",
                    ld->arch, k.width, (double)k.base);
    if (!(k.factor > 0)) k.factor = 1; /* 0 in a file means "none" */
    if (k.yarn) k.mix = read_yarn(ld, k.width, k.original, k.base, rounded);
    return k;
}

/* Fills r->inverse; factors (half) divide, NULL: 1. */
static void frequencies(Loader *ld, const RopeKeys *k, const float *factors, Rope *r)
{
    float *inverse = loader_memory(ld, (size_t)(k->width / 2), sizeof *inverse);
    const Yarn *y = &k->mix;
    double scale = k->scaled && !k->longrope ? 1 / (double)k->factor : 1;
    r->inverse = inverse;
    r->half = k->width / 2;
    for (int32_t i = 0; i < r->half && inverse; i++) {
        double plain = pow(k->base, -2.0 * i / k->width), mix = 0;
        if (factors) plain /= factors[i];
        if (k->yarn)
            mix = y->extrapolate *
                  (1 - fmin(1, fmax(0, (i - y->low) / fmax(0.001, y->high - y->low))));
        double value = plain * scale * (1 - mix) + plain * mix;
        if (!(fabs(value) <= FLT_MAX)) {
            loader_fail(ld, BT_E_FORMAT,
                        "tensor 'rope_freqs.weight' or rope keys give angle %d no finite frequency",
                        i);
            return;
        }
        inverse[i] = (float)value;
    }
}

/* LongRoPE has two sets of factors: one for contexts up to the original, one for longer ones. */
static void long_and_short(Loader *ld, const RopeKeys *k, Rope *r)
{
    int32_t half = k->width / 2;
    const float *near = loader_vector(ld, -1, "rope_factors_short", half, REQUIRED);
    const float *far = loader_vector(ld, -1, "rope_factors_long", half, REQUIRED);
    Rope *longer = loader_memory(ld, 1, sizeof *longer);
    if (!longer) return;
    frequencies(ld, k, near, r);
    *longer = *r;
    frequencies(ld, k, far, longer);
    r->longer = longer;
    r->original = k->original;
}

static float magnitude(const Loader *ld, const RopeKeys *k)
{
    double attn = k->attn > 0 ? (double)k->attn : 1;
    double stretch = (double)ld->hyper.n_ctx_train / k->original;
    if (k->yarn && k->mix.extrapolate > 0)
        attn *= (1 + 0.1 * log((double)k->factor)) / (1 + 0.1 * k->all * log((double)k->factor));
    if (k->longrope && k->attn < 0 && stretch > 1)
        attn = sqrt(1 + log(stretch) / log((double)k->original));
    return (float)attn;
}

static Rope read_rope(Loader *ld, bool adjacent, float base, bool rounded)
{
    RopeKeys k = read_keys(ld, base, rounded);
    Rope rope = {.adjacent = adjacent, .magnitude = magnitude(ld, &k)};
    if (loader_failed(ld)) return (Rope){0};
    if (!isfinite(rope.magnitude))
        loader_fail(ld, BT_E_FORMAT, "keys '%s.rope.scaling.*' give no finite factor", ld->arch);
    loader_array(ld, "rope.dimension_sections", 0, k.width, rope.sections, ROPE_AXES);
    if (rope.sections[1] + rope.sections[2] + rope.sections[3] > 0) ld->hyper.axes = true;
    if (k.longrope || loader_has(ld, -1, "rope_factors_long") ||
        loader_has(ld, -1, "rope_factors_short"))
        long_and_short(ld, &k, &rope);
    else
        frequencies(ld, &k, loader_vector(ld, -1, "rope_freqs", k.width / 2, OPTIONAL), &rope);
    return loader_failed(ld) ? (Rope){0} : rope;
}

Rope block_rope(Loader *ld, bool adjacent, float base)
{
    return read_rope(ld, adjacent, base, true);
}

Rope block_rope_unrounded(Loader *ld, bool adjacent, float base)
{
    return read_rope(ld, adjacent, base, false);
}

Rope block_rope_plain(Loader *ld, bool adjacent, float base, int32_t width)
{
    RopeKeys k = {.width = width, .base = base, .factor = 1};
    Rope rope = {.adjacent = adjacent, .magnitude = 1};
    frequencies(ld, &k, NULL, &rope);
    return loader_failed(ld) ? (Rope){0} : rope;
}
