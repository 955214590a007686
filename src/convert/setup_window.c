/* Sliding windows of config.json: how wide, and in which layers. Makers say it in several ways, and
 * some name a window that their code does not use. */
#include "convert/rules.h"

bool layer_is(Convert *c, int32_t layer, const char *kind)
{
    JdocRef list = conf_find(c, "layer_types");
    return jdoc_is(c->config, jdoc_at(c->config, list, (uint32_t)layer), kind);
}

/* The window, and which layers have it where config.json lists them. */
void setup_window(Convert *c)
{
    int32_t window = conf_int(c, "sliding_window", 0), n = c->size.layers;
    JdocRef list = conf_find(c, "layer_types");
    if (!window || !conf_bool(c, "use_sliding_window", true)) return;
    bool *flags = plan_memory(c, (size_t)n, sizeof *flags), any = false;
    c->windowed = true;
    if (jdoc_type(c->config, list) == JDOC_ARRAY && jdoc_count(c->config, list) != (uint32_t)n)
        plan_fail(c, BT_E_FORMAT, "config.json: 'layer_types' has %u kinds for %d layers",
                  jdoc_count(c->config, list), n);
    for (int32_t l = 0; flags && l < n; l++) {
        flags[l] = layer_is(c, l, "sliding_attention");
        any = any || flags[l];
    }
    if (plan_failed(c)) return;
    if (jdoc_type(c->config, list) == JDOC_ARRAY && !any) return; /* all layers see everything */
    put_int(c, "attention.sliding_window", window);
    if (any) put_bools(c, "attention.sliding_window_pattern", flags, (uint64_t)n);
}

/* Windows of families that seldom have any: other programs read files of theirs without. */
static void put_window(Convert *c, int32_t window, bool (*inside)(Convert *c, int32_t layer))
{
    int32_t n = c->size.layers;
    c->windowed = true;
    if (!window || window >= conf_int(c, "max_position_embeddings", 0)) return;
    bool *flags = plan_memory(c, (size_t)n, sizeof *flags), any = false;
    for (int32_t l = 0; flags && l < n; l++) {
        flags[l] = !inside || inside(c, l);
        any = any || flags[l];
    }
    if (plan_failed(c) || !any) return;
    put_int(c, "attention.sliding_window", window);
    if (inside) put_bools(c, "attention.sliding_window_pattern", flags, (uint64_t)n);
    plan_note(c, "its window of %d tokens is kept; other programs may see beyond it", window);
}

/* Mistral, Mixtral, StarCoder 2, Phi 3.5 MoE: all layers. MistralConfig has 4,096 where the key is
 * not there at all. */
void setup_window_all(Convert *c)
{
    Span type = conf_text(c, "model_type");
    JdocRef key = jdoc_get(c->config, c->text, "sliding_window");
    bool unsaid = jdoc_type(c->config, key) == JDOC_NONE && span_is(type, "mistral");
    c->windowed = true;
    if (!span_is(type, "llama")) /* whose code has no windows, whatever a config says */
        put_window(c, unsaid ? 4096 : conf_int(c, "sliding_window", 0), NULL);
}

static bool late_layer(Convert *c, int32_t layer)
{
    if (conf_has(c, "layer_types")) return layer_is(c, layer, "sliding_attention");
    return layer >= conf_int(c, "max_window_layers", 28);
}

static bool even_layer(Convert *c, int32_t layer)
{
    if (conf_has(c, "layer_types")) return layer_is(c, layer, "sliding_attention");
    return layer % 2 == 0 && layer < conf_int(c, "max_window_layers", 28);
}

static bool any_layer(Convert *c, int32_t layer)
{
    return true;
}

/* Qwen's is off unless use_sliding_window says on, whatever sliding_window is. */
static int32_t qwen_window(Convert *c)
{
    return conf_bool(c, "use_sliding_window", false) ? conf_int(c, "sliding_window", 4096) : 0;
}

void setup_qwen(Convert *c)
{
    put_window(c, qwen_window(c), late_layer);
}

void setup_qwen2_moe(Convert *c)
{
    put_window(c, qwen_window(c), even_layer);
}

void setup_qwen3_moe(Convert *c)
{
    put_window(c, qwen_window(c), any_layer);
}
