/* From bytes to an ApiCall (see api.h): a scan that costs a few milliseconds whatever comes, the
 * tree, the fields of the table, then the reader of the API. */
#include <string.h>

#include "base/mem.h"
#include "serve/api_read.h"
#include "text/json_bytes.h"

enum { MOST_KEYS = 200000 };

/* Looks at brackets, commas and colons outside of strings: nothing deep or crowded reaches the
 * reader, whose cost is in values, not bytes. Not a check of JSON. */
static bool scan(ApiRead *r, const char *p, size_t n)
{
    size_t depth = 0, values = 1, keys = 0;
    for (size_t i = 0; i < n; i++) {
        switch (p[i]) {
        case '"':
            for (i++; i < n && p[i] != '"';)
                i += p[i] == '\\' ? 2 : json_run_of_string(p + i, n - i);
            break;
        case ' ': {
            size_t run = json_run_of_spaces(p + i, n - i);
            i += run ? run - 1 : 0;
            break;
        }
        case '[':
        case '{':
            if (++depth > API_MAX_DEPTH)
                return api_refuse(r, API_E_INVALID, NULL,
                                  "the body nests deeper than %d levels (at byte %zu)",
                                  API_MAX_DEPTH, i);
            values++;
            break;
        case ']':
        case '}': depth -= depth > 0; break;
        case ',': values++; break;
        case ':': keys++; break;
        default: break;
        }
    }
    if (values > API_MAX_VALUES)
        return api_refuse(r, API_E_TOO_LARGE, NULL, "the body has %zu values; %d are the most",
                          values, API_MAX_VALUES);
    if (keys > MOST_KEYS)
        return api_refuse(r, API_E_TOO_LARGE, NULL, "the body has %zu keys; %d are the most", keys,
                          MOST_KEYS);
    return true;
}

static bool read_tree(ApiRead *r, const ApiHttp *http)
{
    bt_error err = {0};
    if (http->body_size > r->route->body_limit)
        return api_refuse(r, API_E_TOO_LARGE, NULL, "the body has %zu bytes; %u are the most here",
                          http->body_size, r->route->body_limit);
    if (!http->body_size)
        return api_refuse(r, API_E_INVALID, NULL, "the body is empty; a JSON object is expected");
    if (!scan(r, http->body, http->body_size)) return false;
    bt_status status =
        json_tree_open((Span){http->body, http->body_size}, API_MAX_DEPTH, NULL, &r->tree, &err);
    if (status == BT_E_MEMORY) return api_no_memory(r);
    if (status != BT_OK) return api_refuse(r, API_E_INVALID, NULL, "%s", err.text);
    if (api_kind(r, 0) != JSON_KIND_OBJECT)
        return api_refuse(r, API_E_INVALID, NULL, "the body must be a JSON object, not %s",
                          api_kind_name(api_kind(r, 0)));
    return true;
}

/* Which rows of the table, and which reader, by the route's name. */
static const struct {
    const char *name;
    uint32_t in;
    bool (*read)(ApiRead *);
} readers[] = {
    {"chat.completions", IN_CHAT, api_read_chat},
    {"completions", IN_TEXT, api_read_text},
    {"embeddings", IN_EMBED, api_read_embed},
    {"rerank", IN_RERANK, api_read_rerank},
    {"responses", IN_RESPONSES, api_read_responses},
    {"messages", IN_MESSAGES, api_read_anthropic},
    {"count_tokens", IN_MESSAGES, api_read_anthropic},
    {"chat", IN_OCHAT, api_read_ollama},
    {"generate", IN_OGENERATE, api_read_ollama},
    {"embed", IN_OEMBED, api_read_ollama_embed},
    {"embeddings.old", IN_OOLD, api_read_ollama_embed},
    {"show", IN_SHOW, api_read_show},
    {"delete", IN_SHOW, api_read_show},
    {"create", IN_CREATE, api_read_create},
    {"copy", IN_COPY, api_read_copy},
    {"completion", IN_LLAMA, api_read_llama},
    {"infill", IN_INFILL, api_read_llama},
    {"tokenize", IN_TOKENIZE, api_read_tokens},
    {"detokenize", IN_DETOKENIZE, api_read_tokens},
    {"apply-template", IN_TEMPLATE, api_read_template},
};

static bool read_body(ApiRead *r, const ApiHttp *http)
{
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        if (strcmp(readers[i].name, r->route->name) != 0) continue;
        if (!read_tree(r, http)) return false;
        if (!api_fields_read(r, 0, "", readers[i].in)) return false;
        return api_read_model(r) && readers[i].read(r) && api_add_messages(r);
    }
    return true;
}

static bool refused(ApiRead *r, const ApiHttp *http)
{
    static const struct {
        const char *name, *text;
    } why[] = {
        {"pull", "nothing is downloaded by this server; put the file where it looks for models"},
        {"push", "nothing is sent anywhere by this server"},
        {"blobs", "files are not uploaded to this server; \"create\" takes names of local ones"},
        {"props.set", "properties cannot be changed here"},
        {"images", "images are not supported"},
        {"audio", "audio is not supported"},
    };
    const char *text = "this is not supported here";
    for (size_t i = 0; i < sizeof why / sizeof *why; i++)
        if (strcmp(why[i].name, r->route->name) == 0) text = why[i].text;
    return api_refuse(r, API_E_UNSUPPORTED, NULL, "%s %s: %s", http->method, http->path, text);
}

static bool read_call(ApiRead *r, const ApiHttp *http)
{
    ApiCall *call = r->call;
    call->kind = r->route->kind;
    call->flavour = r->route->flavour;
    call->route = r->route->name;
    call->model = call->echoed = "";
    call->n = 1;
    call->max_tokens = r->defaults.max_tokens > 0 ? r->defaults.max_tokens : -1;
    call->n_top = -1;
    call->keep_alive_ms = API_KEEP_DEFAULT;
    call->think = r->defaults.think;
    call->reasoning = r->defaults.reasoning;
    call->show_thoughts = true;
    call->sampling = r->defaults.sampling;
    call->stops = r->defaults.stops;
    call->n_stops = r->defaults.n_stops;
    if (call->kind == API_REFUSED) return refused(r, http);
    if (r->route->tail) {
        size_t n = r->route->tail_size;
        if (n >= API_MAX_NAME) return api_refuse(r, API_E_NOT_FOUND, NULL, "the path is too long");
        char *tail = api_pool_text(call->pool, r->route->tail, n);
        if (!tail) return api_no_memory(r);
        call->response_id = tail;
        if (call->kind == API_MODEL) call->model = tail;
    }
    return !r->route->has_body || read_body(r, http);
}

bt_status api_parse(const ApiHttp *http, const ApiDefaults *defaults, ApiCall **out, ApiError *err)
{
    ApiRoute route;
    ApiError unused;
    ApiRead r = {.route = &route, .headers = http->headers, .err = err ? err : &unused};
    *out = NULL;
    *r.err = (ApiError){0};
    if (!api_routes(http->method, http->path, &route)) {
        bool method = strcmp(route.name, "method") == 0;
        return api_fail(r.err, method ? API_E_METHOD : API_E_NOT_FOUND, NULL,
                        method ? "%s is not a method of %s" : "there is no %s %s", http->method,
                        http->path);
    }
    if (defaults) r.defaults = *defaults;
    api_raw_clear(&r.raw);
    ApiPool *pool = api_pool_open();
    ApiCall *call = r.call = pool ? api_pool_take(pool, 1, sizeof *call) : NULL;
    if (!call) {
        api_pool_close(&pool);
        api_no_memory(&r);
        return BT_E_MEMORY;
    }
    call->pool = pool;
    bool good = read_call(&r, http);
    json_tree_close(&r.tree);
    if (good)
        *out = call;
    else
        api_pool_close(&pool);
    if (good) return BT_OK;
    return r.err->kind == API_E_INTERNAL ? BT_E_MEMORY : BT_E_ARGUMENT;
}

void api_call_close(ApiCall **call)
{
    ApiPool *pool = *call ? (*call)->pool : NULL;
    api_pool_close(&pool);
    *call = NULL;
}
