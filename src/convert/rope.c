/* Rotary embedding: base, partial width, and the scalings makers know, as GGUF writes them: Llama
 * 3's becomes a tensor of factors, LongRoPE's two tensors, YaRN and linear scaling become keys. A
 * scaling that is not known is refused by name: a guess would answer, and answer nonsense. */
#include <math.h>
#include <stdio.h>

#include "convert/plan.h"

/* rope_parameters (transformers 5), rope_scaling (before). A family with a base a layer kind nests
 * them: then the one of full attention. */
static JdocRef parameters(const Convert *c)
{
    return conf_find(c, "rope_parameters.full_attention|rope_parameters|rope_scaling");
}

static double number_of(Convert *c, JdocRef p, const char *key, double fallback)
{
    double value = fallback;
    JdocRef v = jdoc_get(c->config, p, key);
    if (jdoc_type(c->config, v) <= JDOC_NULL) return fallback;
    if (!jdoc_number(c->config, v, &value) || !isfinite(value))
        plan_fail(c, BT_E_FORMAT, "config.json: rope scaling's '%s' is no finite number", key);
    return value;
}

static double positive(Convert *c, JdocRef p, const char *key)
{
    double value = number_of(c, p, key, 0);
    if (!plan_failed(c) && !(value > 0))
        plan_fail(c, BT_E_FORMAT, "config.json: rope scaling's '%s' is missing or not positive",
                  key);
    return value;
}

/* Low frequencies are divided by `factor`, high ones left, between them a ramp. As published with
 * Llama 3.1. */
static void llama3(Convert *c, JdocRef p, double base)
{
    int32_t half = c->size.rotary / 2;
    double factor = positive(c, p, "factor"), low = positive(c, p, "low_freq_factor");
    double high = positive(c, p, "high_freq_factor");
    double original = positive(c, p, "original_max_position_embeddings");
    float *factors = plan_memory(c, (size_t)half + 1, sizeof *factors);
    if (!plan_failed(c) && !(high > low))
        plan_fail(c, BT_E_FORMAT, "config.json: high_freq_factor is not above low_freq_factor");
    if (plan_failed(c)) return;
    for (int32_t i = 0; i < half; i++) {
        double wave = 2 * 3.14159265358979323846 * pow(base, 2.0 * i / c->size.rotary);
        double smooth = (original / wave - low) / (high - low);
        factors[i] = (float)(wave < original / high  ? 1
                             : wave > original / low ? factor
                                                     : 1 / ((1 - smooth) / factor + smooth));
    }
    plan_made(c, "rope_freqs.weight", factors, (uint64_t)half);
}

static float *factor_list(Convert *c, JdocRef p, const char *key)
{
    JdocRef list = jdoc_get(c->config, p, key);
    uint32_t half = (uint32_t)c->size.rotary / 2;
    if (jdoc_count(c->config, list) != half) {
        plan_fail(c, BT_E_FORMAT,
                  "config.json: rope scaling's '%s' has %u factors; %u are expected", key,
                  jdoc_count(c->config, list), half);
        return NULL;
    }
    float *out = plan_memory(c, half + 1, sizeof *out);
    JdocRef v = jdoc_first(c->config, list);
    for (uint32_t i = 0; out && i < half; i++, v = jdoc_next(c->config, v)) {
        double value = 0;
        if (!jdoc_number(c->config, v, &value) || !(value > 0) || !isfinite(value)) {
            plan_fail(c, BT_E_FORMAT, "config.json: rope scaling's '%s' holds no positive numbers",
                      key);
            return NULL;
        }
        out[i] = (float)value;
    }
    return out;
}

static void longrope(Convert *c, JdocRef p)
{
    uint64_t half = (uint64_t)c->size.rotary / 2;
    double context = conf_int(c, "max_position_embeddings", CONF_REQUIRED);
    double original = conf_int(c,
                               "original_max_position_embeddings|"
                               "rope_parameters.original_max_position_embeddings|"
                               "rope_scaling.original_max_position_embeddings",
                               CONF_REQUIRED);
    float *longer = factor_list(c, p, "long_factor"), *shorter = factor_list(c, p, "short_factor");
    if (plan_failed(c)) return;
    double scale = original > 0 ? context / original : 1;
    double usual = scale > 1 ? sqrt(1 + log(scale) / log(original)) : 1;
    usual = number_of(c, p, "long_mscale", usual); /* Phi 3.5 MoE says it instead */
    if (!plan_failed(c) && fabs(number_of(c, p, "short_mscale", usual) - usual) > 1e-6)
        plan_fail(c, BT_E_UNSUPPORTED,
                  "config.json: rope scaling's short_mscale and long_mscale differ: not known");
    put_int(c, "rope.scaling.original_context_length", (int64_t)original);
    put_real(c, "rope.scaling.attn_factor", number_of(c, p, "attention_factor", usual));
    plan_made(c, "rope_factors_long.weight", longer, half);
    plan_made(c, "rope_factors_short.weight", shorter, half);
}

static double stretch(double factor, double mscale)
{
    return factor > 1 ? 1 + 0.1 * mscale * log(factor) : 1;
}

/* What cos and sin are multiplied by, where it is not YaRN's usual 1 + 0.1 ln factor: readers apply
 * that, so the key holds the rest. MLA and Mistral 3 have a key of their own for it. */
static void magnitude(Convert *c, JdocRef p, double factor)
{
    double one = number_of(c, p, "mscale", 0), all = number_of(c, p, "mscale_all_dim", 0);
    double usual = stretch(factor, 1);
    double wanted = one > 0 && all > 0 ? stretch(factor, one) / stretch(factor, all) : usual;
    wanted = number_of(c, p, "attention_factor", wanted);
    if (conf_has(c, "kv_lora_rank") || strcmp(c->family->arch, "mistral3") == 0) return;
    if (fabs(wanted / usual - 1) > 1e-7) put_real(c, "rope.scaling.attn_factor", wanted / usual);
}

static void yarn(Convert *c, JdocRef p)
{
    static const struct {
        const char *from, *to;
    } more[] = {{"beta_fast", "rope.scaling.yarn_beta_fast"},
                {"beta_slow", "rope.scaling.yarn_beta_slow"}};
    double original =
        number_of(c, p, "original_max_position_embeddings",
                  conf_int(c, "original_max_position_embeddings|max_position_embeddings", 0));
    put_text(c, "rope.scaling.type", SPAN("yarn"));
    put_real(c, "rope.scaling.factor", positive(c, p, "factor"));
    put_int(c, "rope.scaling.original_context_length", (int64_t)original);
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++)
        if (jdoc_type(c->config, jdoc_get(c->config, p, more[i].from)) == JDOC_NUMBER)
            put_real(c, more[i].to, number_of(c, p, more[i].from, 0));
    if (!plan_failed(c)) magnitude(c, p, positive(c, p, "factor"));
}

static Span type_of(const Convert *c, JdocRef p)
{
    JdocRef t = jdoc_get(c->config, p, "rope_type");
    if (jdoc_type(c->config, t) != JDOC_STRING) t = jdoc_get(c->config, p, "type");
    return jdoc_text(c->config, t);
}

static bool is_type(const Convert *c, JdocRef p, const char *type)
{
    return span_is(type_of(c, p), type);
}

/* Dynamic NTK scaling raises the base when a text grows longer than the context the model was made
 * for; up to there it is no scaling at all. Hunyuan's, with alpha, is raised_base(). */
static void dynamic(Convert *c, JdocRef p)
{
    if (number_of(c, p, "alpha", 0) > 0) return;
    plan_note(c, "its RoPE changes beyond %d tokens ('dynamic'): exact up to so many",
              conf_int(c, "max_position_embeddings", CONF_REQUIRED));
}

static void scaling(Convert *c, JdocRef p, double base)
{
    Span type = type_of(c, p);
    bool done = span_is(type, "default") || span_is(type, "mrope") ||
                (span_is(type, "proportional") && strcmp(c->family->arch, "gemma4") == 0);
    if (plan_failed(c) || !type.size || done) return;
    if (span_is(type, "linear")) {
        put_text(c, "rope.scaling.type", SPAN("linear"));
        put_real(c, "rope.scaling.factor", positive(c, p, "factor"));
    } else if (span_is(type, "llama3")) {
        llama3(c, p, base);
    } else if (span_is(type, "longrope") || span_is(type, "su")) {
        longrope(c, p);
    } else if (span_is(type, "dynamic")) {
        dynamic(c, p);
    } else if (span_is(type, "yarn")) {
        yarn(c, p);
    } else {
        plan_fail(
            c, BT_E_UNSUPPORTED,
            "config.json: the rope scaling '%.*s' is not known (linear, dynamic, llama3, longrope "
            "and yarn are)",
            (int)(type.size < 60 ? type.size : 60), type.data);
    }
}

static bool scales(Span type)
{
    return type.size && !span_is(type, "default") && !span_is(type, "mrope");
}

/* Some folders say it twice, in the old place and the new. */
static void check_old_place(Convert *c, JdocRef p)
{
    JdocRef old = conf_find(c, "rope_scaling");
    if (old == JDOC_NO || old == p) return;
    Span type = type_of(c, p), before = type_of(c, old);
    bool same = type.size == before.size && memcmp(type.data, before.data, type.size) == 0;
    if (!before.size || same || (!scales(type) && !scales(before))) return;
    plan_fail(c, BT_E_UNSUPPORTED,
              "config.json: rope_parameters and rope_scaling disagree ('%.*s', '%.*s')",
              (int)(type.size < 60 ? type.size : 60), type.size ? type.data : "",
              (int)(before.size < 60 ? before.size : 60), before.data);
}

/* Hunyuan's "dynamic" scaling with alpha raises the base, once for all lengths. */
static double raised_base(Convert *c, JdocRef p, double base)
{
    double alpha = number_of(c, p, "alpha", 0), wide = c->size.rotary;
    if (!(alpha > 0) || !is_type(c, p, "dynamic") || wide < 4) return base;
    return (base > 0 ? base : 10000) * pow(alpha, wide / (wide - 2));
}

void plan_rope(Convert *c)
{
    JdocRef p = parameters(c);
    double base = conf_real(c,
                            "rope_theta|rope_parameters.full_attention.rope_theta|"
                            "rope_parameters.rope_theta|rotary_emb_base|rope_embedding_base",
                            0);
    double part = conf_real(c,
                            "partial_rotary_factor|rope_parameters.partial_rotary_factor|"
                            "rope_pct|rotary_pct",
                            1);
    if (!c->size.rotary)
        c->size.rotary = conf_int(c, "rotary_dim", (int32_t)(c->size.head_dim * part));
    base = raised_base(c, p, base);
    if (plan_failed(c) || c->size.rotary < 2) return;
    check_old_place(c, p);
    put_int(c, "rope.dimension_count", c->size.rotary);
    if (base > 0 && !(c->own & OWN_ROPE)) put_real(c, "rope.freq_base", base);
    scaling(c, p, base > 0 ? base : 10000);
}
