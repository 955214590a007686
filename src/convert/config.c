/* Numbers and words of config.json (see plan.h). Makers changed names over the years, and wrap the
 * text model of a multimodal one in text_config: names are tried in turn, there first. */
#include <math.h>
#include <stdio.h>

#include "convert/plan.h"

static JdocRef find_path(const Jdoc *d, JdocRef from, const char *path, size_t n)
{
    char key[96];
    while (n) {
        const char *dot = memchr(path, '.', n);
        size_t length = dot ? (size_t)(dot - path) : n;
        if (length >= sizeof key) return JDOC_NO;
        memcpy(key, path, length);
        key[length] = '\0';
        from = jdoc_get(d, from, key);
        path += length + (dot != NULL);
        n -= length + (dot != NULL);
    }
    return jdoc_type(d, from) == JDOC_NULL ? JDOC_NO : from;
}

JdocRef conf_find(const Convert *c, const char *from)
{
    while (*from) {
        size_t n = strcspn(from, "|");
        JdocRef v = find_path(c->config, c->text, from, n);
        if (v == JDOC_NO && c->text) v = find_path(c->config, 0, from, n);
        if (v != JDOC_NO) return v;
        from += n + (from[n] == '|');
    }
    return JDOC_NO;
}

bool conf_has(const Convert *c, const char *from)
{
    return conf_find(c, from) != JDOC_NO;
}

int32_t conf_int(Convert *c, const char *from, int32_t fallback)
{
    int64_t value;
    double real;
    if (plan_failed(c)) return 0;
    JdocRef v = conf_find(c, from);
    if (v == JDOC_NO) {
        if (fallback == CONF_REQUIRED)
            plan_fail(c, BT_E_FORMAT, "config.json: '%s' is missing", from);
        return fallback == CONF_REQUIRED ? 0 : fallback;
    }
    bool good = jdoc_integer(c->config, v, &value);
    if (!good && jdoc_number(c->config, v, &real) && real == floor(real) && fabs(real) < 1e9) {
        value = (int64_t)real; /* "64.0" */
        good = true;
    }
    if (!good || value < 0 || value > INT32_MAX) {
        plan_fail(c, BT_E_FORMAT, "config.json: '%s' is no number from 0 to %d", from, INT32_MAX);
        return 0;
    }
    return (int32_t)value;
}

double conf_real(Convert *c, const char *from, double fallback)
{
    double value = fallback;
    if (plan_failed(c)) return fallback;
    JdocRef v = conf_find(c, from);
    if (v == JDOC_NO) return fallback;
    if (!jdoc_number(c->config, v, &value) || isnan(value))
        plan_fail(c, BT_E_FORMAT, "config.json: '%s' is no number", from);
    return value;
}

bool conf_bool(Convert *c, const char *from, bool fallback)
{
    if (plan_failed(c)) return fallback;
    JdocRef v = conf_find(c, from);
    JdocType type = jdoc_type(c->config, v);
    if (v == JDOC_NO) return fallback;
    if (type != JDOC_TRUE && type != JDOC_FALSE)
        plan_fail(c, BT_E_FORMAT, "config.json: '%s' is neither true nor false", from);
    return type == JDOC_TRUE;
}

Span conf_text(const Convert *c, const char *from)
{
    return jdoc_text(c->config, conf_find(c, from));
}

/* ---- keys of the result; those without a dot-free owner go under the architecture ---- */

static const char *full_key(const Convert *c, const char *key, char out[160])
{
    snprintf(out, 160, "%s.%s", c->arch, key);
    return out;
}

void put_int(Convert *c, const char *key, int64_t value)
{
    char name[160];
    if (!plan_failed(c)) gguf_put_u32(c->writer, full_key(c, key, name), (uint32_t)value);
}

void put_real(Convert *c, const char *key, double value)
{
    char name[160];
    if (plan_failed(c)) return;
    if (!isfinite((float)value))
        plan_fail(c, BT_E_FORMAT, "config.json: the value of '%s' is not finite", key);
    else
        gguf_put_f32(c->writer, full_key(c, key, name), (float)value);
}

void put_bool(Convert *c, const char *key, bool value)
{
    char name[160];
    if (!plan_failed(c)) gguf_put_bool(c->writer, full_key(c, key, name), value);
}

void put_text(Convert *c, const char *key, Span value)
{
    char name[160];
    if (!plan_failed(c)) gguf_put_span(c->writer, full_key(c, key, name), value);
}

void put_ints(Convert *c, const char *key, const int32_t *values, uint64_t n)
{
    char name[160];
    if (!plan_failed(c)) gguf_put_i32s(c->writer, full_key(c, key, name), values, n);
}

void put_bools(Convert *c, const char *key, const bool *values, uint64_t n)
{
    char name[160];
    if (!plan_failed(c)) gguf_put_bools(c->writer, full_key(c, key, name), values, n);
}

void put_reals(Convert *c, const char *key, const float *values, uint64_t n)
{
    char name[160];
    if (!plan_failed(c)) gguf_put_f32s(c->writer, full_key(c, key, name), values, n);
}
