/* Gemma 3n and 4: layers that differ in heads, width and window, layers that read what others
 * remembered, embeddings of each layer's own. */
#include <math.h>
#include <stdio.h>

#include "convert/rules.h"

static void put_pattern(Convert *c)
{
    int32_t n = c->size.layers;
    bool *flags = plan_memory(c, (size_t)n, sizeof *flags);
    for (int32_t l = 0; flags && l < n; l++) flags[l] = layer_is(c, l, "sliding_attention");
    if (!flags) return;
    c->windowed = true;
    put_int(c, "attention.sliding_window", conf_int(c, "sliding_window", CONF_REQUIRED));
    put_bools(c, "attention.sliding_window_pattern", flags, (uint64_t)n);
    put_int(c, "attention.shared_kv_layers", conf_int(c, "num_kv_shared_layers", 0));
    put_int(c, "embedding_length_per_layer_input", conf_int(c, "hidden_size_per_layer_input", 0));
}

/* x with P(normal < x) = p. */
static double normal_quantile(double p)
{
    double low = -40, high = 40;
    if (p <= 0) return -INFINITY;
    if (p >= 1) return INFINITY;
    for (int i = 0; i < 200; i++) {
        double mid = (low + high) / 2;
        *(0.5 * erfc(-mid / sqrt(2)) < p ? &low : &high) = mid;
    }
    return (low + high) / 2;
}

/* How many standard deviations above the mean a gate must lie to be kept. */
static void put_sparsity(Convert *c)
{
    int32_t n = c->size.layers;
    JdocRef list = conf_find(c, "activation_sparsity_pattern");
    float *scale = plan_memory(c, (size_t)n, sizeof *scale);
    for (int32_t l = 0; scale && l < n; l++) {
        double p = 0;
        JdocRef v =
            jdoc_type(c->config, list) == JDOC_ARRAY ? jdoc_at(c->config, list, (uint32_t)l) : list;
        jdoc_number(c->config, v, &p);
        scale[l] = (float)normal_quantile(p);
    }
    if (scale) put_reals(c, "activation_sparsity_scale", scale, (uint64_t)n);
}

void setup_gemma3n(Convert *c)
{
    put_pattern(c);
    put_sparsity(c);
    put_int(c, "altup.active_idx", conf_int(c, "altup_active_idx", 0));
    put_int(c, "altup.num_inputs", conf_int(c, "altup_num_inputs", 4));
}

/* A number of layer l, where it has one of its own. */
static int32_t of_layer(Convert *c, int32_t l, const char *name, int32_t fallback)
{
    char path[80];
    snprintf(path, sizeof path, "per_layer_config.%d.%s", (int)l, name);
    return conf_int(c, path, fallback);
}

/* Full layers turn the first pairs of a head only: the others' frequencies are divided by so much
 * that they stand. */
static void put_turning(Convert *c, int32_t width)
{
    int32_t half = width / 2;
    double part = conf_real(c, "rope_parameters.full_attention.partial_rotary_factor", 1);
    float *factors = plan_memory(c, (size_t)half + 1, sizeof *factors);
    for (int32_t i = 0; factors && i < half; i++)
        factors[i] = i < (int32_t)(part * width) / 2 ? 1.0f : 1e30f;
    if (factors) plan_made(c, "rope_freqs.weight", factors, (uint64_t)half);
}

void setup_gemma4(Convert *c)
{
    ConvSize *s = &c->size;
    int32_t n = s->layers, near = s->head_dim, wide = conf_int(c, "global_head_dim", near);
    int32_t *kv = plan_memory(c, (size_t)n, sizeof *kv),
            *ff = plan_memory(c, (size_t)n, sizeof *ff);
    int32_t shared = conf_int(c, "num_kv_shared_layers", 0), few = s->kv_heads;
    if (!kv || !ff) return;
    if (conf_bool(c, "attention_k_eq_v", false))
        few = conf_int(c, "num_global_key_value_heads", s->kv_heads);
    for (int32_t l = 0; l < n; l++) {
        bool full = layer_is(c, l, "full_attention");
        if (full) wide = of_layer(c, l, "head_dim", wide);
        kv[l] = of_layer(c, l, "num_key_value_heads", full ? few : s->kv_heads);
        ff[l] = s->ff;
        if (conf_bool(c, "use_double_wide_mlp", false) && l >= n - shared) ff[l] = 2 * s->ff;
    }
    put_ints(c, "attention.head_count_kv", kv, (uint64_t)n);
    put_ints(c, "feed_forward_length", ff, (uint64_t)n);
    c->own |= OWN_KV | OWN_FF | OWN_WIDTH;
    put_int(c, "attention.key_length", wide);
    put_int(c, "attention.value_length", wide);
    put_int(c, "attention.key_length_swa", near);
    put_int(c, "attention.value_length_swa", near);
    put_int(c, "rope.dimension_count_swa", near);
    s->rotary = wide;
    put_pattern(c);
    put_turning(c, wide);
}
