/* Reading the server's configuration file. See config.h. */
#include "serve/config.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/sha256.h"

typedef struct Reader {
    const char *file;
    bt_error *err;
    ServeResolve resolve;
    void *user;
    ServeConfig *config;
    Catalogue *catalogue;
} Reader;

static bt_status wrong(Reader *r, const char *where, const char *key, const char *what)
{
    return bt_fail(r->err, BT_E_ARGUMENT, "%s: %s%s%s %s", r->file, where,
                   *where && *key ? "." : "", key, what);
}

/* ---- values ---- */

static bt_status text_to(Reader *r, const char *where, const char *key, const json_t *v, char **out)
{
    if (!json_is_string(v)) return wrong(r, where, key, "must be a text");
    mem_free(*out);
    *out = mem_strdup(json_string_value(v));
    return *out ? BT_OK : bt_fail_memory(r->err, "the configuration", 0);
}

static bt_status number_to(Reader *r, const char *where, const char *key, const json_t *v,
                           double low, double high, double *out)
{
    char what[96];
    *out = json_number_value(v);
    if (json_is_number(v) && *out >= low && *out <= high) return BT_OK;
    snprintf(what, sizeof what, "must be a number from %g to %g", low, high);
    return wrong(r, where, key, what);
}

bool config_duration(const char *text, int64_t *ms)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end;
    const double n = strtod(text, &end);
    if (end == text || !(n == -1 || (n >= 0 && n < 1e9))) return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(end, units[i].unit) != 0) continue;
        *ms = n == -1 ? -1 : (int64_t)(n * units[i].ms);
        return true;
    }
    return false;
}

static bt_status duration_to(Reader *r, const char *where, const json_t *v, int64_t *out)
{
    char number[32];
    snprintf(number, sizeof number, "%.3f", json_number_value(v));
    if ((json_is_number(v) && config_duration(number, out)) ||
        (json_is_string(v) && config_duration(json_string_value(v), out)))
        return BT_OK;
    return wrong(r, where, "keep_alive", "must be seconds, or a text as \"10m\"; -1: for ever");
}

static bt_status names_to(Reader *r, const char *where, const char *key, const json_t *list,
                          char **out, size_t most, size_t *n)
{
    if (!json_is_array(list)) return wrong(r, where, key, "must be a list of texts");
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (*n == most) return wrong(r, where, key, "has too many entries");
        bt_status status = text_to(r, where, key, json_array_get(list, i), &out[*n]);
        if (status) return status;
        ++*n;
    }
    return BT_OK;
}

/* ---- models ---- */

static bt_status defaults_to(Reader *r, const char *where, const json_t *o, ServeModel *m)
{
    bt_sampler_options *s = &m->sampling;
    const struct {
        const char *name;
        double low, high;
        float *real;
        int32_t *whole;
    } rows[] = {
        {"temperature", 0, 100, &s->temperature, NULL},
        {"top_k", -1, 1000000, NULL, &s->top_k},
        {"top_p", 0, 1, &s->top_p, NULL},
        {"min_p", -1, 1, &s->min_p, NULL},
        {"typical_p", 0, 1, &s->typical_p, NULL},
        {"repeat_penalty", 0, 100, &s->repeat_penalty, NULL},
        {"presence_penalty", -100, 100, &s->presence_penalty, NULL},
        {"frequency_penalty", -100, 100, &s->frequency_penalty, NULL},
        {"penalty_last_n", -1, 1000000, NULL, &s->penalty_last_n},
        {"max_tokens", 1, 100000000, NULL, &m->max_tokens},
    };
    const char *key;
    json_t *value;
    if (!json_is_object(o)) return wrong(r, where, "defaults", "must be an object");
    json_object_foreach((json_t *)(uintptr_t)o, key, value)
    {
        size_t i = 0;
        double n;
        while (i < sizeof rows / sizeof *rows && strcmp(rows[i].name, key) != 0) i++;
        if (i == sizeof rows / sizeof *rows)
            return wrong(r, where, key, "is not among the defaults");
        bt_status status = number_to(r, where, key, value, rows[i].low, rows[i].high, &n);
        if (status) return status;
        if (rows[i].whole)
            *rows[i].whole = (int32_t)n;
        else
            *rows[i].real = (float)n;
        if (rows[i].real == &s->temperature && n == 0) s->greedy = true;
    }
    return BT_OK;
}

static bt_status adapter_to(Reader *r, const char *where, const json_t *o, ServeAdapter *a)
{
    const char *key;
    json_t *value;
    double scale = 1;
    bt_status status = BT_OK;
    if (!json_is_object(o)) return wrong(r, where, "adapters", "must be a list of objects");
    json_object_foreach((json_t *)(uintptr_t)o, key, value)
    {
        if (strcmp(key, "name") == 0)
            status = text_to(r, where, key, value, &a->name);
        else if (strcmp(key, "path") == 0)
            status = text_to(r, where, key, value, &a->path);
        else if (strcmp(key, "scale") == 0)
            status = number_to(r, where, key, value, -1000, 1000, &scale);
        else if (strcmp(key, "always") == 0)
            a->always = json_is_true(value);
        else
            status = wrong(r, where, key, "is not known in an adapter");
        if (status) return status;
    }
    a->scale = (float)scale;
    return a->name && a->path ? BT_OK : wrong(r, where, "adapters", "need name and path");
}

static bt_status adapters_to(Reader *r, const char *where, const json_t *list, ServeModel *m)
{
    const size_t n = json_array_size(list);
    if (!json_is_array(list) || n > API_MAX_ADAPTERS)
        return wrong(r, where, "adapters", "must be a list of at most 8 objects");
    m->adapters = mem_zalloc(n + 1, sizeof *m->adapters);
    if (!m->adapters) return bt_fail_memory(r->err, "adapters", 0);
    for (size_t i = 0; i < n; i++) {
        m->n_adapters = i + 1;
        bt_status status = adapter_to(r, where, json_array_get(list, i), &m->adapters[i]);
        if (status) return status;
    }
    return BT_OK;
}

static bt_status think_to(Reader *r, const char *where, const json_t *v, ServeModel *m)
{
    const char *text = json_string_value(v);
    m->think = json_is_true(v) || (text && strcmp(text, "on") == 0)     ? BT_THINK_ON
               : json_is_false(v) || (text && strcmp(text, "off") == 0) ? BT_THINK_OFF
                                                                        : BT_THINK_DEFAULT;
    return m->think ? BT_OK : wrong(r, where, "think", "must be on or off");
}

static bt_status setting_to(Reader *r, const char *where, const char *key, const json_t *v,
                            ServeModel *m)
{
    double n = 0;
    bt_status status = BT_OK;
    if (strcmp(key, "name") == 0 || strcmp(key, "model") == 0) return BT_OK; /* read before */
    if (strcmp(key, "aliases") == 0)
        return names_to(r, where, key, v, m->aliases, SERVE_MOST_ALIASES, &m->n_aliases);
    if (strcmp(key, "keep_alive") == 0) return duration_to(r, where, v, &m->keep_alive_ms);
    if (strcmp(key, "context") == 0) {
        status = number_to(r, where, key, v, 0, 100000000, &n);
        m->n_ctx = (int32_t)n;
        return status;
    }
    if (strcmp(key, "parallel") == 0) {
        status = number_to(r, where, key, v, 0, 4096, &n);
        m->n_parallel = (int32_t)n;
        return status;
    }
    if (strcmp(key, "system") == 0) return text_to(r, where, key, v, &m->system);
    if (strcmp(key, "template") == 0) return text_to(r, where, key, v, &m->template_name);
    if (strcmp(key, "jinja") == 0) return text_to(r, where, key, v, &m->jinja);
    if (strcmp(key, "think") == 0) return think_to(r, where, v, m);
    if (strcmp(key, "defaults") == 0) return defaults_to(r, where, v, m);
    if (strcmp(key, "adapters") == 0) return adapters_to(r, where, v, m);
    return wrong(r, where, key, "is not known");
}

static bt_status model_to(Reader *r, size_t i, json_t *o)
{
    char where[64];
    const char *name = json_string_value(json_object_get(o, "name")), *key;
    const char *model = json_string_value(json_object_get(o, "model"));
    json_t *value;
    snprintf(where, sizeof where, "models[%zu]", i);
    if (!name || !*name || strlen(name) > API_MAX_NAME)
        return wrong(r, where, "name", "must be a text of 1 to 256 bytes");
    if (!model) return wrong(r, where, "model", "must be a file, or a name of 'bantam list'");
    if (catalogue_find(r->catalogue, name) >= 0) return wrong(r, where, "name", "is there twice");
    char *path = r->resolve(r->user, model, r->err);
    if (!path) return r->err && r->err->status ? r->err->status : BT_E_ARGUMENT;
    const int at = catalogue_add(r->catalogue, name, path);
    mem_free(path);
    if (at < 0) return wrong(r, where, "", "is more than there is room for");
    json_object_foreach(o, key, value)
    {
        bt_status status = setting_to(r, where, key, value, &r->catalogue->models[at]);
        if (status) return status;
    }
    return BT_OK;
}

/* ---- keys ---- */

static bool hex_to(const char *text, unsigned char out[SHA256_BYTES])
{
    if (!text || strlen(text) != 2 * SHA256_BYTES) return false;
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        const int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        out[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

static FrontKey *room_for_key(ServeConfig *config)
{
    FrontKey *grown = config->n_keys < SERVE_MOST_KEYS
                          ? mem_realloc(config->keys, (config->n_keys + 1) * sizeof *grown)
                          : NULL;
    if (!grown) return NULL;
    config->keys = grown;
    grown[config->n_keys] = (FrontKey){0};
    return &grown[config->n_keys];
}

static bt_status key_to(Reader *r, size_t i, json_t *o)
{
    char where[64];
    FrontKey *k = room_for_key(r->config);
    const char *key;
    json_t *value;
    double n = 0;
    snprintf(where, sizeof where, "keys[%zu]", i);
    if (!k) return wrong(r, where, "", "is more than there is room for");
    if (!hex_to(json_string_value(json_object_get(o, "sha256")), k->hash))
        return wrong(r, where, "sha256", "must be 64 digits, as 'bantam serve --new-key' prints");
    json_object_foreach(o, key, value)
    {
        bt_status status = BT_OK;
        if (strcmp(key, "sha256") == 0) continue;
        if (strcmp(key, "label") == 0) {
            if (!json_is_string(value)) return wrong(r, where, key, "must be a text");
            snprintf(k->label, sizeof k->label, "%s", json_string_value(value));
            continue;
        }
        status = number_to(r, where, key, value, 0, 1e12, &n);
        if (strcmp(key, "concurrent") == 0)
            k->concurrent = (int)n;
        else if (strcmp(key, "per_minute") == 0)
            k->per_minute = (int)n;
        else if (strcmp(key, "tokens_per_minute") == 0)
            k->tokens_per_minute = (int64_t)n;
        else
            return wrong(r, where, key, "is not known");
        if (status) return status;
    }
    r->config->n_keys++;
    return BT_OK;
}

bt_status config_add_key(ServeConfig *config, const char *key, const char *label, bt_error *err)
{
    if (strlen(key) < 16)
        return bt_fail(err, BT_E_ARGUMENT,
                       "an API key must have 16 characters or more; 'bantam serve --new-key' makes "
                       "one");
    FrontKey *k = room_for_key(config);
    if (!k) return bt_fail(err, BT_E_LIMIT, "more than %d API keys", SERVE_MOST_KEYS);
    sha256(key, strlen(key), k->hash);
    snprintf(k->label, sizeof k->label, "%s", label);
    config->n_keys++;
    return BT_OK;
}

static void hex_of(const unsigned char *bytes, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++) snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

bool config_new_key(char key[64], char hash[65])
{
    unsigned char random[24], digest[SHA256_BYTES];
    if (!os_random(random, sizeof random)) return false;
    memcpy(key, "bantam-", 8);
    hex_of(random, sizeof random, key + 7);
    sha256(key, strlen(key), digest);
    hex_of(digest, sizeof digest, hash);
    return true;
}

/* ---- the file ---- */

static bt_status read_all(Reader *r, json_t *root)
{
    const char *key;
    json_t *value;
    bt_status status = BT_OK;
    if (!json_is_object(root)) return wrong(r, "the file", "", "must hold an object");
    json_object_foreach(root, key, value)
    {
        if (strcmp(key, "models") == 0 || strcmp(key, "keys") == 0) {
            if (!json_is_array(value)) return wrong(r, "", key, "must be a list");
            for (size_t i = 0; i < json_array_size(value) && !status; i++)
                status = *key == 'm' ? model_to(r, i, json_array_get(value, i))
                                     : key_to(r, i, json_array_get(value, i));
        } else if (strcmp(key, "cors") == 0) {
            status = names_to(r, "", key, value, r->config->origins, SERVE_MOST_NAMES,
                              &r->config->n_origins);
        } else if (strcmp(key, "hosts") == 0) {
            status = names_to(r, "", key, value, r->config->hosts, SERVE_MOST_NAMES,
                              &r->config->n_hosts);
        } else {
            status = wrong(r, "", key, "is not known (models, keys, cors, hosts are)");
        }
        if (status) return status;
    }
    return BT_OK;
}

bt_status config_read(const char *name, const char *text, size_t size, ServeResolve resolve,
                      void *user, ServeConfig *config, Catalogue *catalogue, bt_error *err)
{
    json_error_t why;
    Reader r = {name, err, resolve, user, config, catalogue};
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        return bt_fail(err, BT_E_FORMAT, "%s: line %d column %d: %s", name, why.line, why.column,
                       why.text);
    bt_status status = read_all(&r, root);
    json_decref(root);
    return status;
}

void config_close(ServeConfig *config)
{
    for (size_t i = 0; i < config->n_origins; i++) mem_free(config->origins[i]);
    for (size_t i = 0; i < config->n_hosts; i++) mem_free(config->hosts[i]);
    mem_free(config->keys);
    *config = (ServeConfig){0};
}
