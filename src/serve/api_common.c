/* What the APIs share: the model's name, sampling, stop strings, biases, adapters, how long a model
 * stays, prompts. From ApiRaw, where the table put it, to ApiCall. */
#include <math.h>
#include <string.h>

#include "serve/api_read.h"

bool api_read_model(ApiRead *r)
{
    uint32_t node = r->raw.model ? r->raw.model : r->raw.source;
    if (r->route->kind == API_COPY) node = 0;
    if (node && !api_copy(r, node, "model", API_MAX_NAME - 1, &r->call->model)) return false;
    if (r->route->needs_model && !r->call->model[0])
        return api_refuse(r, API_E_INVALID, "model", "model is missing");
    return true;
}

static void set(float *to, double value)
{
    if (!isnan(value)) *to = (float)value;
}

/* In bt_sampler_options 0 means the default; what "off" is there is said in each row. */
static void set_off(float *to, double value, float off)
{
    if (!isnan(value)) *to = value == 0 ? off : (float)value;
}

static int32_t whole(double value)
{
    return value > INT32_MAX ? INT32_MAX : (int32_t)value;
}

static void read_penalties(const ApiRaw *raw, bt_sampler_options *s)
{
    set(&s->repeat_penalty, raw->repeat_penalty);
    set(&s->presence_penalty, raw->presence_penalty);
    set(&s->frequency_penalty, raw->frequency_penalty);
    if (!isnan(raw->repeat_last_n)) s->penalty_last_n = whole(raw->repeat_last_n);
    if (raw->repeat_last_n == 0) { /* a window of nothing */
        s->penalty_last_n = 0;
        s->repeat_penalty = 1;
        s->presence_penalty = s->frequency_penalty = 0;
    }
    set(&s->dry_multiplier, raw->dry_multiplier);
    set(&s->dry_base, raw->dry_base);
    if (!isnan(raw->dry_allowed_length)) s->dry_allowed_length = whole(raw->dry_allowed_length);
    if (!isnan(raw->dry_last_n)) s->dry_last_n = whole(raw->dry_last_n);
    if (raw->dry_last_n == 0) s->dry_multiplier = 0;
}

bool api_read_sampling(ApiRead *r)
{
    const ApiRaw *raw = &r->raw;
    bt_sampler_options *s = &r->call->sampling;
    if (!isnan(raw->temperature)) {
        s->greedy = raw->temperature <= 0;
        s->temperature = s->greedy ? 0 : (float)raw->temperature;
        if (!s->greedy && s->temperature <= 0) s->temperature = 1e-6f;
    }
    if (!isnan(raw->top_k)) s->top_k = raw->top_k <= 0 ? -1 : whole(raw->top_k);
    set_off(&s->top_p, raw->top_p, 1e-9f); /* 0: the likeliest alone */
    set_off(&s->min_p, raw->min_p, -1);
    set_off(&s->typical_p, raw->typical_p, 1e-9f);
    read_penalties(raw, s);
    if (raw->mirostat == 1)
        return api_refuse(r, API_E_UNSUPPORTED, "mirostat", "mirostat 1 is not supported; 2 is");
    if (!isnan(raw->mirostat)) s->mirostat = whole(raw->mirostat);
    set(&s->mirostat_tau, raw->mirostat_tau);
    set(&s->mirostat_eta, raw->mirostat_eta);
    bool random =
        raw->seed == -1 && (r->route->flavour == API_LLAMA || r->route->flavour == API_OLLAMA);
    if (raw->has_seed && !random) {
        r->call->seeded = true;
        /* 0 would mean "take one from the system" below */
        s->seed = raw->seed ? (uint64_t)raw->seed : 0x9e3779b97f4a7c15u;
    }
    if (!isnan(raw->n)) r->call->n = whole(raw->n);
    if (!isnan(raw->best_of) && raw->best_of != r->call->n)
        return api_refuse(r, API_E_UNSUPPORTED, "best_of", "best_of other than n is not supported");
    if (!isnan(raw->priority)) r->call->priority = whole(raw->priority);
    r->call->ignore_eos = raw->ignore_eos == 1;
    r->call->no_cache = raw->cache_prompt == 0;
    return api_read_bias(r);
}

/* ---- logit_bias ---------------------------------------------------------------- */

static bool bias_value(ApiRead *r, uint32_t node, const char *path, float *out)
{
    double value = 0;
    bool ban = api_kind(r, node) == JSON_KIND_FALSE; /* llama.cpp's way */
    bool number = api_kind(r, node) == JSON_KIND_NUMBER && api_number(api_span(r, node), &value);
    if (!ban && (!number || value < -100 || value > 100))
        return api_refuse(r, API_E_INVALID, path, "%s must be a number from -100 to 100", path);
    *out = ban || value <= -100 ? -INFINITY : (float)value;
    return true;
}

/* The key of an object: digits. */
static bool bias_key(ApiRead *r, Span key, const char *path, bt_token *out)
{
    double value = 0;
    bool good = key.size > 0 && key.size < 10;
    for (size_t i = 0; good && i < key.size; i++) {
        good = key.data[i] >= '0' && key.data[i] <= '9';
        value = value * 10 + (key.data[i] - '0');
    }
    if (!good)
        return api_refuse(r, API_E_INVALID, path,
                          "%s: a key must be a token's id in digits (see /tokenize)", path);
    if (r->defaults.n_vocab && value >= r->defaults.n_vocab)
        return api_refuse(r, API_E_INVALID, path, "%s: %.0f is no token; the vocabulary has %d",
                          path, value, r->defaults.n_vocab);
    *out = (bt_token)value;
    return true;
}

bool api_read_bias(ApiRead *r)
{
    static const char path[] = "logit_bias";
    uint32_t node = r->raw.logit_bias;
    if (!node) return true;
    JsonKind kind = api_kind(r, node);
    size_t n = r->tree.nodes[node].n, i = 0;
    if (kind != JSON_KIND_OBJECT && kind != JSON_KIND_ARRAY)
        return api_refuse(r, API_E_INVALID, path, "%s must be an object, not %s", path,
                          api_kind_name(kind));
    if (n > API_MAX_BIAS)
        return api_refuse(r, API_E_INVALID, path, "%s has %zu tokens; %d are the most", path, n,
                          API_MAX_BIAS);
    bt_logit_bias *bias = api_pool_take(r->call->pool, n + 1, sizeof *bias);
    if (!bias) return api_no_memory(r);
    API_EACH(r, node, each)
    {
        if (kind == JSON_KIND_OBJECT) {
            if (!bias_key(r, r->tree.nodes[each].key, path, &bias[i].token) ||
                !bias_value(r, each, path, &bias[i].bias))
                return false;
        } else { /* [[id, bias], ...] */
            uint32_t id = r->tree.nodes[each].child;
            if (api_kind(r, each) != JSON_KIND_ARRAY || r->tree.nodes[each].n != 2)
                return api_refuse(r, API_E_INVALID, path, "%s must hold pairs [id, bias]", path);
            if (!api_token(r, id, path, &bias[i].token) ||
                !bias_value(r, r->tree.nodes[id].next, path, &bias[i].bias))
                return false;
        }
        i++;
    }
    r->call->sampling.bias = bias;
    r->call->sampling.n_bias = n;
    return true;
}

/* ---- stop strings, adapters, keep_alive ------------------------------------------ */

bool api_read_stops(ApiRead *r, uint32_t node, const char *path)
{
    if (!node) return true;
    bool one = api_kind(r, node) == JSON_KIND_STRING;
    size_t n = one ? 1 : r->tree.nodes[node].n, kept = 0;
    if (!one && api_kind(r, node) != JSON_KIND_ARRAY)
        return api_refuse(r, API_E_INVALID, path, "%s must be a string or an array, not %s", path,
                          api_kind_name(api_kind(r, node)));
    if (n > API_MAX_STOPS)
        return api_refuse(r, API_E_INVALID, path, "%s has %zu strings; %d are the most", path, n,
                          API_MAX_STOPS);
    ApiText *stops = api_pool_take(r->call->pool, n + 1, sizeof *stops);
    if (!stops) return api_no_memory(r);
    uint32_t at = one ? node : r->tree.nodes[node].child;
    for (size_t i = 0; i < n; i++, at = r->tree.nodes[at].next) {
        ApiPath full = one ? api_path("%s", path) : api_path("%s[%zu]", path, i);
        const char *text;
        if (!api_copy(r, at, full.text, API_MAX_STOP, &text)) return false;
        if (*text) stops[kept++] = (ApiText){text, strlen(text)};
    }
    r->call->stops = stops;
    r->call->n_stops = kept;
    return true;
}

bool api_read_adapters(ApiRead *r)
{
    uint32_t node = r->raw.adapters;
    if (!node) return true;
    size_t n = r->tree.nodes[node].n, i = 0;
    ApiAdapter *adapters = api_pool_take(r->call->pool, n + 1, sizeof *adapters);
    if (!adapters) return api_no_memory(r);
    API_EACH(r, node, each)
    {
        ApiPath path = api_path("adapters[%zu]", i), of_scale = api_path("adapters[%zu].scale", i);
        uint32_t name = each, scale = 0;
        double value = 1;
        if (api_kind(r, each) == JSON_KIND_OBJECT) {
            name = api_member(r, each, "name");
            scale = api_member(r, each, "scale");
            if (!name)
                return api_refuse(r, API_E_INVALID, path.text, "%s.name is missing", path.text);
        }
        if (!api_copy(r, name, path.text, API_MAX_NAME - 1, &adapters[i].name)) return false;
        if (scale && (api_kind(r, scale) != JSON_KIND_NUMBER ||
                      !api_number(api_span(r, scale), &value) || fabs(value) > 100))
            return api_refuse(r, API_E_INVALID, of_scale.text,
                              "%s must be a number from -100 to 100", of_scale.text);
        adapters[i++].scale = (float)value;
    }
    r->call->adapters = adapters;
    r->call->n_adapters = n;
    return true;
}

/* Durations as Go writes them: "5m", "1h30m", "300ms", "-1"; a bare number is in seconds. */
static bool duration(Span s, double *seconds)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"ms", 1e-3}, {"us", 1e-6}, {"ns", 1e-9}, {"h", 3600}, {"m", 60}, {"s", 1}};
    size_t at = s.size && *s.data == '-';
    double sum = 0;
    bool bare = false;
    if (at == s.size) return false;
    while (at < s.size) {
        size_t from = at;
        double value;
        while (at < s.size && ((s.data[at] >= '0' && s.data[at] <= '9') || s.data[at] == '.')) at++;
        if (at == from || !api_number((Span){s.data + from, at - from}, &value)) return false;
        size_t u = 0, length = 0;
        for (; u < sizeof units / sizeof *units; u++) {
            length = strlen(units[u].unit);
            if (s.size - at >= length && memcmp(s.data + at, units[u].unit, length) == 0) break;
        }
        bare = u == sizeof units / sizeof *units;
        if (bare && (at < s.size || sum > 0)) return false;
        sum += value * (bare ? 1 : units[u].seconds);
        at += bare ? 0 : length;
    }
    *seconds = *s.data == '-' ? -sum : sum;
    return true;
}

bool api_read_keep_alive(ApiRead *r)
{
    static const char path[] = "keep_alive";
    uint32_t node = r->raw.keep_alive;
    double seconds;
    if (!node) return true;
    JsonKind kind = api_kind(r, node);
    bool good = kind == JSON_KIND_NUMBER   ? api_number(api_span(r, node), &seconds)
                : kind == JSON_KIND_STRING ? duration(api_span(r, node), &seconds)
                                           : false;
    if (!good)
        return api_refuse(r, API_E_INVALID, path,
                          "%s must be seconds or a duration like \"5m\"; -1 is for ever", path);
    r->call->keep_alive_ms = seconds < 0 ? -1 : seconds > 1e9 ? -1 : (int64_t)(seconds * 1000);
    return true;
}

/* ---- prompts ----------------------------------------------------------------------- */

static bool text_part(ApiRead *r, uint32_t node, ApiPart *out)
{
    ApiText text;
    if (!api_copy_text(r, node, &text)) return false;
    *out = (ApiPart){.text = text.text, .size = text.size};
    return true;
}

/* n ids from `node` and its next ones. */
static bool ids_part(ApiRead *r, uint32_t node, size_t n, const char *path, ApiPart *out)
{
    bt_token *ids = api_pool_take(r->call->pool, n + 1, sizeof *ids);
    if (!ids) return api_no_memory(r);
    for (size_t i = 0; i < n; i++, node = r->tree.nodes[node].next)
        if (!api_token(r, node, path, &ids[i])) return false;
    *out = (ApiPart){.ids = ids, .n_ids = n};
    return true;
}

/* Runs of ids, and strings: one prompt. */
static bool list_prompt(ApiRead *r, uint32_t list, const char *path, ApiPrompt *out)
{
    const JsonNode *nodes = r->tree.nodes;
    size_t n = 0;
    ApiPart *parts = api_pool_take(r->call->pool, nodes[list].n + 1, sizeof *parts);
    if (!parts) return api_no_memory(r);
    for (uint32_t at = nodes[list].child; at;) {
        if (nodes[at].kind == JSON_KIND_STRING) {
            if (!text_part(r, at, &parts[n++])) return false;
            at = nodes[at].next;
            continue;
        }
        uint32_t first = at;
        size_t run = 0;
        for (; at && nodes[at].kind != JSON_KIND_STRING; at = nodes[at].next) run++;
        if (!ids_part(r, first, run, path, &parts[n++])) return false;
    }
    *out = (ApiPrompt){parts, n};
    return true;
}

static bool one_prompt(ApiRead *r, uint32_t node, const char *path, ApiPrompt *out)
{
    if (api_kind(r, node) == JSON_KIND_ARRAY) return list_prompt(r, node, path, out);
    if (api_kind(r, node) != JSON_KIND_STRING)
        return api_refuse(r, API_E_INVALID, path, "%s must be a string or token ids, not %s", path,
                          api_kind_name(api_kind(r, node)));
    ApiPart *part = api_pool_take(r->call->pool, 1, sizeof *part);
    if (!part) return api_no_memory(r);
    *out = (ApiPrompt){part, 1};
    return text_part(r, node, part);
}

/* An array is one prompt where it holds ids (with `mixed`, where it holds any id beside texts). */
static bool is_list(const ApiRead *r, uint32_t node, bool mixed)
{
    const JsonNode *nodes = r->tree.nodes;
    if (nodes[node].kind != JSON_KIND_ARRAY) return false;
    bool ids = false, others = false;
    API_EACH(r, node, each)
    {
        ids |= nodes[each].kind == JSON_KIND_NUMBER;
        others |= nodes[each].kind != JSON_KIND_NUMBER && nodes[each].kind != JSON_KIND_STRING;
        if (!mixed) others |= nodes[each].kind == JSON_KIND_STRING;
    }
    return !(ids && !others);
}

bool api_read_prompts(ApiRead *r, uint32_t node, const char *path, bool mixed)
{
    bool list = is_list(r, node, mixed);
    size_t n = list ? r->tree.nodes[node].n : 1;
    if (n == 0) return api_refuse(r, API_E_INVALID, path, "%s must not be empty", path);
    if (n > API_MAX_INPUTS)
        return api_refuse(r, API_E_INVALID, path, "%s has %zu texts; %d are the most", path, n,
                          API_MAX_INPUTS);
    ApiPrompt *prompts = api_pool_take(r->call->pool, n, sizeof *prompts);
    if (!prompts) return api_no_memory(r);
    uint32_t at = list ? r->tree.nodes[node].child : node;
    for (size_t i = 0; i < n; i++, at = r->tree.nodes[at].next) {
        ApiPath full = list ? api_path("%s[%zu]", path, i) : api_path("%s", path);
        if (!one_prompt(r, at, full.text, &prompts[i])) return false;
        if (prompts[i].n_parts == 0)
            return api_refuse(r, API_E_INVALID, full.text, "%s must not be empty", full.text);
    }
    r->call->prompts = prompts;
    r->call->n_prompts = n;
    r->call->single = !list;
    return true;
}
