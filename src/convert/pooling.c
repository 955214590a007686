/* What sentence-transformers says beside a model that turns texts into vectors: how rows become one
 * (modules.json and the pooling's own config.json), matrices after that, prefixes of queries and
 * documents (config_sentence_transformers.json). */
#include <stdio.h>

#include "convert/rules.h"
#include "convert/values.h"

enum { POOL_MEAN = 1, POOL_CLS = 2, POOL_LAST = 3 };

static void put_pooling(Convert *c, const char *path)
{
    static const struct {
        const char *key;
        int type;
    } modes[] = {{"pooling_mode_mean_tokens", POOL_MEAN},
                 {"pooling_mode_cls_token", POOL_CLS},
                 {"pooling_mode_lasttoken", POOL_LAST}};
    char name[160];
    Jdoc *d = NULL;
    int type = 0, n = 0;
    snprintf(name, sizeof name, "%.100s/config.json", path);
    plan_json(c, name, &d);
    for (int i = 0; d && i < 3; i++)
        if (jdoc_type(d, jdoc_get(d, 0, modes[i].key)) == JDOC_TRUE) {
            type = modes[i].type;
            n++;
        }
    jdoc_close(&d);
    if (plan_failed(c)) return;
    if (n != 1)
        plan_fail(c, BT_E_UNSUPPORTED, "%s: a pooling that is not known (mean, cls and last are)",
                  name);
    else
        put_int(c, "pooling_type", type);
}

/* A matrix without bias and activation, applied to the pooled vector. */
static void put_dense(Convert *c, const char *path, int index)
{
    char name[160], key[40];
    Jdoc *d = NULL;
    Safetensors *st = NULL;
    snprintf(name, sizeof name, "%.100s/config.json", path);
    plan_json(c, name, &d);
    Span act = d ? jdoc_text(d, jdoc_get(d, 0, "activation_function")) : SPAN("");
    bool bias = d && jdoc_type(d, jdoc_get(d, 0, "bias")) == JDOC_TRUE;
    bool known = act.size >= 8 && memcmp(act.data + act.size - 8, "Identity", 8) == 0 && !bias;
    jdoc_close(&d);
    if (!plan_failed(c) && !known)
        plan_fail(c, BT_E_UNSUPPORTED, "%s: an activation or a bias, which are not known", name);
    if (plan_failed(c) || c->options.vocab_only) return;
    snprintf(name, sizeof name, "%.100s/model.safetensors", path);
    const char *file = plan_path(c, name);
    if (file) c->status = st_open(file, &st, c->err);
    const StTensor *t = st ? st_find(st, SPAN("linear.weight")) : NULL;
    bool float_type = t && (t->type == ST_F32 || t->type == ST_F16 || t->type == ST_BF16);
    if (!plan_failed(c) && (!float_type || t->n_dims != 2))
        plan_fail(c, BT_E_FORMAT, "%s: it holds no matrix 'linear.weight'", name);
    uint64_t n = t ? t->bytes / st_type_bytes(t->type) : 0;
    float *values = n ? plan_memory(c, n, sizeof *values) : NULL;
    if (values && !plan_failed(c)) {
        value_load(t, 0, 1, n, values);
        snprintf(key, sizeof key, "dense_%d.weight", index);
        plan_made_matrix(c, key, values, t->shape[1], t->shape[0]);
        snprintf(key, sizeof key, "dense_%d_feat_in", index);
        put_int(c, key, (int64_t)t->shape[1]);
        snprintf(key, sizeof key, "dense_%d_feat_out", index);
        put_int(c, key, (int64_t)t->shape[0]);
    }
    st_close(&st);
}

static void put_prompts(Convert *c)
{
    static const char *const names[] = {"query", "document"};
    static const char *const more[][2] = {{"retrieval.query", "search_query"},
                                          {"passage", "retrieval.passage"}}; /* also seen */
    Jdoc *d = NULL;
    plan_json(c, "config_sentence_transformers.json", &d);
    JdocRef prompts = d ? jdoc_get(d, 0, "prompts") : JDOC_NO;
    for (int i = 0; d && i < 2; i++) {
        char key[60];
        JdocRef v = jdoc_get(d, prompts, names[i]);
        for (int k = 0; k < 2 && jdoc_type(d, v) != JDOC_STRING; k++)
            v = jdoc_get(d, prompts, more[i][k]);
        Span text = jdoc_text(d, v);
        snprintf(key, sizeof key, "sentence_transformers.prompts.%s", names[i]);
        if (text.size) gguf_put_span(c->writer, key, text);
    }
    jdoc_close(&d);
}

void plan_pooling(Convert *c)
{
    Jdoc *d = NULL;
    plan_json(c, "modules.json", &d);
    uint32_t n = d && jdoc_type(d, 0) == JDOC_ARRAY ? jdoc_count(d, 0) : 0;
    for (uint32_t i = 0; i < n && !plan_failed(c); i++) {
        char path[101];
        JdocRef m = jdoc_at(d, 0, i);
        Span type = jdoc_text(d, jdoc_get(d, m, "type")), at = jdoc_text(d, jdoc_get(d, m, "path"));
        bool inside = at.size < sizeof path && !memchr(at.data, '/', at.size) &&
                      !(at.size && at.data[0] == '.');
        if (!inside || !at.size) continue; /* the model itself has "" */
        snprintf(path, sizeof path, "%.*s", (int)at.size, at.data);
        if (span_ends(type, "Pooling")) put_pooling(c, path);
        if (span_ends(type, "Dense")) put_dense(c, path, (int)i);
    }
    jdoc_close(&d);
    if (!plan_failed(c)) put_prompts(c);
}
