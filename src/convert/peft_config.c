/* adapter_config.json: what multiplies B A, and what is refused (see peft.h). */
#include <math.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "convert/peft_parts.h"

#define MOST_PATTERNS 4096

static bool is_set(const Jdoc *d, const char *key)
{
    JdocRef v = jdoc_get(d, 0, key);
    JdocType type = jdoc_type(d, v);
    if (type == JDOC_ARRAY || type == JDOC_OBJECT) return jdoc_count(d, v) > 0;
    return type != JDOC_NONE && type != JDOC_NULL && type != JDOC_FALSE;
}

/* What these settings change is more than W + scale B A. */
static bt_status check_settings(const Jdoc *d, const char *folder, bt_error *err)
{
    static const char *const refused[] = {"use_qalora",
                                          "use_bdlora",
                                          "alora_invocation_tokens",
                                          "layer_replication",
                                          "kasa_config",
                                          "monteclora_config",
                                          "trainable_token_indices",
                                          "modules_to_save",
                                          "velora_config",
                                          "arrow_config",
                                          NULL};
    static const char *const changed[] = {"pissa", "olora", "corda", "loftq", "lora_ga", NULL};
    if (!jdoc_is(d, jdoc_get(d, 0, "peft_type"), "LORA")) {
        Span type = jdoc_text(d, jdoc_get(d, 0, "peft_type"));
        return bt_fail(err, BT_E_UNSUPPORTED,
                       "%s: adapter_config.json: a PEFT method '%.*s'; only LORA is read", folder,
                       (int)(type.size < 40 ? type.size : 40), type.data);
    }
    for (const char *const *key = refused; *key; key++)
        if (is_set(d, *key))
            return bt_fail(err, BT_E_UNSUPPORTED,
                           "%s: adapter_config.json: '%s' is set, which is not known here; merge "
                           "the adapter with PEFT and convert the result",
                           folder, *key);
    Span init = jdoc_text(d, jdoc_get(d, 0, "init_lora_weights"));
    for (const char *const *name = changed; *name; name++)
        if (init.size >= strlen(*name) && memcmp(init.data, *name, strlen(*name)) == 0)
            return bt_fail(err, BT_E_UNSUPPORTED,
                           "%s: adapter_config.json: it was begun by '%s', which changes the base "
                           "too; save it with PEFT's path_initial_model_for_weight_conversion",
                           folder, *name);
    return BT_OK;
}

static bt_status read_patterns(PeftConfig *c, const char *folder, bt_error *err)
{
    const Jdoc *d = c->doc;
    JdocRef all = jdoc_get(d, 0, "alpha_pattern");
    uint32_t n = jdoc_type(d, all) == JDOC_OBJECT ? jdoc_count(d, all) : 0;
    if (n > MOST_PATTERNS)
        return bt_fail(err, BT_E_LIMIT, "%s: adapter_config.json: %u patterns; at most %d are read",
                       folder, n, MOST_PATTERNS);
    if (!n) return BT_OK;
    c->patterns = mem_zalloc(n, sizeof *c->patterns);
    c->alphas = mem_zalloc(n, sizeof *c->alphas);
    if (!c->patterns || !c->alphas) return bt_fail_memory(err, folder, n * sizeof *c->alphas);
    bt_status status = regex_open(&c->regex, err);
    JdocRef key = n ? jdoc_first(d, all) : JDOC_NO;
    for (uint32_t i = 0; i < n && !status; i++) {
        JdocRef value = jdoc_next(d, key);
        Span text = jdoc_text(d, key);
        Buf whole = {0};
        buf_printf(&whole, "^(.*\\.)?(%.*s)$", (int)(text.size < 4096 ? text.size : 4096),
                   text.data);
        if (whole.failed) status = bt_fail_memory(err, folder, text.size);
        if (!status) c->patterns[i] = regex_pattern(c->regex, (Span){whole.data, whole.size});
        if (!status) status = regex_status(c->regex, err);
        if (!status && !jdoc_number(d, value, &c->alphas[i]))
            status = bt_fail(err, BT_E_FORMAT, "a value of 'alpha_pattern' is no number");
        buf_close(&whole);
        key = jdoc_next(d, value);
        c->n_patterns = i + 1;
    }
    if (status && err) {
        bt_error_prefix(err, "adapter_config.json");
        bt_error_prefix(err, folder);
    }
    return status;
}

bt_status peft_config_read(Jdoc *doc, const char *folder, PeftConfig *out, bt_error *err)
{
    *out = (PeftConfig){.doc = doc, .alpha = 8};
    if (jdoc_type(doc, 0) != JDOC_OBJECT)
        return bt_fail(err, BT_E_FORMAT, "%s: adapter_config.json holds no object", folder);
    bt_status status = check_settings(doc, folder, err);
    if (status) return status;
    jdoc_number(doc, jdoc_get(doc, 0, "lora_alpha"), &out->alpha);
    out->rslora = jdoc_type(doc, jdoc_get(doc, 0, "use_rslora")) == JDOC_TRUE;
    out->dora = jdoc_type(doc, jdoc_get(doc, 0, "use_dora")) == JDOC_TRUE;
    out->base = jdoc_text(doc, jdoc_get(doc, 0, "base_model_name_or_path"));
    if (!isfinite(out->alpha))
        return bt_fail(err, BT_E_FORMAT, "%s: adapter_config.json: 'lora_alpha' is no number",
                       folder);
    return read_patterns(out, folder, err);
}

void peft_config_close(PeftConfig *c)
{
    regex_close(&c->regex);
    mem_free(c->patterns);
    mem_free(c->alphas);
    jdoc_close(&c->doc);
    *c = (PeftConfig){0};
}

float peft_scale(const PeftConfig *c, const char *path, int32_t rank)
{
    double alpha = c->alpha;
    for (uint32_t i = 0; i < c->n_patterns; i++)
        if (regex_matches(c->regex, c->patterns[i], span_of(path))) {
            alpha = c->alphas[i];
            break;
        }
    return (float)(alpha / (c->rslora ? sqrt((double)rank) : (double)rank));
}
