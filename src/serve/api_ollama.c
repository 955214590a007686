/* Ollama's chat, generate and embeddings. A prompt of generate becomes a conversation (with its
 * system text), unless it is raw. Unlike there, streams are the default only where the request does
 * not say otherwise, as in their reference, and nothing is cut without being asked: see
 * docs/api.md. Source: Ollama's published API reference. */
#include <math.h>
#include <string.h>

#include "serve/api_talk.h"

static bool read_format(ApiRead *r)
{
    ApiCall *call = r->call;
    uint32_t node = r->raw.format;
    if (!node) return true;
    if (api_kind(r, node) == JSON_KIND_OBJECT) {
        call->hold = API_HOLD_SCHEMA;
        return api_json(r, node, &call->hold_text);
    }
    if (api_kind(r, node) == JSON_KIND_STRING && !api_span(r, node).size) return true;
    if (!api_is(r, node, "json"))
        return api_refuse(r, API_E_INVALID, "format", "format must be \"json\" or a JSON Schema");
    call->hold = API_HOLD_JSON;
    return true;
}

static bool read_think(ApiRead *r)
{
    uint32_t node = r->raw.think;
    if (!node) return true;
    JsonKind kind = api_kind(r, node);
    if (kind == JSON_KIND_TRUE || kind == JSON_KIND_FALSE) {
        r->call->think = kind == JSON_KIND_TRUE ? BT_THINK_ON : BT_THINK_OFF;
        return true;
    }
    if (kind != JSON_KIND_STRING)
        return api_refuse(r, API_E_INVALID, "think",
                          "think must be true, false, or an effort (low, medium, high)");
    return api_read_variables(r, node, 0, "think");
}

/* options and what else both kinds of answers have */
static bool read_common(ApiRead *r)
{
    ApiCall *call = r->call;
    const ApiRaw *raw = &r->raw;
    if (raw->options && !api_fields_read(r, raw->options, "options", IN_OPTIONS)) return false;
    call->stream = raw->stream == 0 ? API_STREAM_NOT : API_STREAM_NDJSON;
    if (!isnan(raw->max_tokens))
        call->max_tokens = raw->max_tokens < 0 ? -1 : (int32_t)raw->max_tokens;
    if (raw->logprobs == 1) call->n_top = isnan(raw->top_logprobs) ? 0 : (int32_t)raw->top_logprobs;
    if (raw->logprobs != 1 && raw->top_logprobs > 0)
        return api_refuse(r, API_E_INVALID, "top_logprobs",
                          "top_logprobs needs logprobs to be true");
    return api_read_sampling(r) && api_read_stops(r, raw->stop, "options.stop") && read_format(r) &&
           read_think(r) && api_read_adapters(r) && api_read_keep_alive(r);
}

static void nothing_to_say(ApiCall *call)
{
    call->kind = call->keep_alive_ms == 0 ? API_UNLOAD : API_LOAD;
}

/* ---- generate ------------------------------------------------------------------------- */

static bool raw_prompt(ApiRead *r)
{
    ApiCall *call = r->call;
    call->kind = API_COMPLETION;
    if (!api_read_prompts(r, r->raw.prompt, "prompt", false)) return false;
    if (!r->raw.suffix || !api_span(r, r->raw.suffix).size) return true;
    return api_copy(r, r->raw.suffix, "suffix", API_MAX_BODY, &call->suffix);
}

static bool read_generate(ApiRead *r)
{
    const ApiRaw *raw = &r->raw;
    Talk t;
    bool suffix = raw->suffix && api_span(r, raw->suffix).size;
    if (raw->images && r->tree.nodes[raw->images].n)
        return api_refuse(r, API_E_UNSUPPORTED, "images",
                          "images has an image; this model reads text only");
    if (raw->template_text && api_span(r, raw->template_text).size)
        return api_refuse(r, API_E_UNSUPPORTED, "template",
                          "template: requests cannot bring templates; use raw");
    if (raw->context && r->tree.nodes[raw->context].n)
        return api_refuse(r, API_E_UNSUPPORTED, "context",
                          "context is not supported; send the conversation to /api/chat");
    if (!raw->prompt || !api_span(r, raw->prompt).size) {
        nothing_to_say(r->call);
        return true;
    }
    if (raw->raw == 1 || suffix) return raw_prompt(r);
    talk_begin(&t, r);
    Span system = raw->system ? api_span(r, raw->system) : (Span){NULL, 0};
    if (!system.size) system = span_of(r->defaults.system); /* clients send empty ones */
    if (system.size) talk_say(&t, "system", system, (Span){0});
    talk_say(&t, "user", api_span(r, raw->prompt), (Span){0});
    return talk_end(&t, true, false);
}

/* ---- chat ------------------------------------------------------------------------------- */

/* Ids for calls, which Ollama's messages lack: results come in the order of the calls. */
static Span call_id(char out[24], size_t n)
{
    static const char head[] = "call_";
    memcpy(out, head, sizeof head - 1);
    size_t at = sizeof head - 1, digits = 1;
    for (size_t v = n; v >= 10; v /= 10) digits++;
    for (size_t i = digits; i-- > 0; n /= 10) out[at + i] = (char)('0' + n % 10);
    return (Span){out, at + digits};
}

static bool read_calls(ApiRead *r, Talk *t, uint32_t calls, const char *path, size_t *n_calls)
{
    size_t i = 0;
    if (api_kind(r, calls) != JSON_KIND_ARRAY)
        return api_refuse(r, API_E_INVALID, path, "%s must be an array", path);
    API_EACH(r, calls, call)
    {
        ApiPath inner = api_path("%s[%zu].function", path, i++);
        char made[24];
        Span name, id = {0};
        bool object = api_kind(r, call) == JSON_KIND_OBJECT;
        uint32_t function = object ? api_member(r, call, "function") : 0;
        if (!function || api_kind(r, function) != JSON_KIND_OBJECT)
            return api_refuse(r, API_E_INVALID, inner.text, "%s must be an object", inner.text);
        if (!api_member_text(r, function, inner.text, "name", true, &name) ||
            !api_member_text(r, call, path, "id", false, &id))
            return false;
        uint32_t arguments = api_member(r, function, "arguments");
        if (arguments && api_kind(r, arguments) != JSON_KIND_OBJECT &&
            api_kind(r, arguments) != JSON_KIND_STRING)
            return api_refuse(r, API_E_INVALID, inner.text, "%s.arguments must be an object",
                              inner.text);
        Span own = call_id(made, (*n_calls)++);
        talk_call(t, id.size ? id : own, name, arguments);
    }
    return true;
}

static bool read_message(ApiRead *r, Talk *t, uint32_t message, const char *path, size_t *n_calls,
                         size_t *n_results)
{
    Span role, content, thoughts, id;
    char made[24];
    if (api_kind(r, message) != JSON_KIND_OBJECT)
        return api_refuse(r, API_E_INVALID, path, "%s must be an object, not %s", path,
                          api_kind_name(api_kind(r, message)));
    ApiPath of_role = api_path("%s.role", path), of_images = api_path("%s.images", path);
    ApiPath of_calls = api_path("%s.tool_calls", path);
    uint32_t images = api_member(r, message, "images"),
             calls = api_member(r, message, "tool_calls");
    if (!api_member_text(r, message, path, "role", true, &role) ||
        !api_member_text(r, message, path, "content", false, &content) ||
        !api_member_text(r, message, path, "thinking", false, &thoughts) ||
        !api_member_text(r, message, path, "tool_call_id", false, &id))
        return false;
    if (images && (api_kind(r, images) != JSON_KIND_ARRAY || r->tree.nodes[images].n))
        return api_refuse(r, API_E_UNSUPPORTED, of_images.text,
                          "%s has an image; this model reads text only", of_images.text);
    if (span_is(role, "assistant")) {
        talk_flush(t);
        if (thoughts.size) talk_think(t, thoughts);
        if (content.size || !calls) talk_text(t, content.data ? content : SPAN(""), "");
        return !calls || read_calls(r, t, calls, of_calls.text, n_calls);
    }
    if (span_is(role, "tool")) {
        Span own = call_id(made, *n_results < *n_calls ? (*n_results)++ : *n_results);
        talk_say(t, "tool", content, id.size ? id : own);
        return true;
    }
    const char *name = span_is(role, "user") ? "user" : span_is(role, "system") ? "system" : NULL;
    if (!name)
        return api_refuse(r, API_E_INVALID, of_role.text,
                          "%s must be system, user, assistant or tool", of_role.text);
    talk_say(t, name, content, (Span){0});
    return true;
}

static bool read_chat(ApiRead *r)
{
    uint32_t node = r->raw.messages;
    Talk t;
    size_t i = 0, n_calls = 0, n_results = 0;
    bool good = true;
    if (!node || !r->tree.nodes[node].n) {
        nothing_to_say(r->call);
        return true;
    }
    if (!api_read_tools(r, NULL)) return false;
    talk_begin(&t, r);
    uint32_t first = r->tree.nodes[node].child;
    bool object = api_kind(r, first) == JSON_KIND_OBJECT;
    if (r->defaults.system && object && !api_is(r, api_member(r, first, "role"), "system"))
        talk_say(&t, "system", span_of(r->defaults.system), (Span){0});
    API_EACH(r, node, message)
    {
        ApiPath path = api_path("messages[%zu]", i++);
        good = read_message(r, &t, message, path.text, &n_calls, &n_results);
        if (!good) break;
    }
    return talk_end(&t, good, true);
}

bool api_read_ollama(ApiRead *r)
{
    if (!read_common(r)) return false;
    return strcmp(r->route->name, "generate") == 0 ? read_generate(r) : read_chat(r);
}

/* ---- embed, embeddings -------------------------------------------------------------------- */

bool api_read_ollama_embed(ApiRead *r)
{
    ApiCall *call = r->call;
    const ApiRaw *raw = &r->raw;
    bool old = call->route[5] == 'd'; /* embeddings.old */
    uint32_t input = old ? raw->prompt : raw->input;
    if (raw->options && !api_fields_read(r, raw->options, "options", IN_OPTIONS)) return false;
    if (!api_read_keep_alive(r)) return false;
    call->cut_inputs = raw->truncate == 1;
    if (!isnan(raw->dimensions)) call->dimensions = (int32_t)raw->dimensions;
    bool list = input && api_kind(r, input) == JSON_KIND_ARRAY;
    bool empty = !input || (list ? !r->tree.nodes[input].n : !api_span(r, input).size);
    if (empty && (!input || api_kind(r, input) >= JSON_KIND_STRING)) {
        nothing_to_say(call);
        return true;
    }
    if (!api_read_prompts(r, input, old ? "prompt" : "input", false)) return false;
    call->single = old;
    return true;
}
