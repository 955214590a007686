/* OpenAI's responses: items in, turned into messages; what is remembered between calls. Tools that
 * the server itself would run (search, code, computer) are refused, as are stored prompts and
 * references to items: previous_response_id is how a conversation goes on. */
#include <math.h>
#include <string.h>

#include "serve/api_talk.h"

static const char *const text_kinds[] = {"input_text",   "output_text",    "text", "refusal",
                                         "summary_text", "reasoning_text", NULL};

/* A content as one text, in a buffer that the caller closes. */
static bool gather(ApiRead *r, uint32_t node, const char *path, Buf *out)
{
    return !node || api_content(r, node, path, text_kinds, "\n", out);
}

static Span text_of(const Buf *b)
{
    return (Span){b->data ? b->data : "", b->size};
}

static bool message_item(ApiRead *r, Talk *t, uint32_t item, const char *path)
{
    Span role;
    Buf text = {0};
    uint32_t content = api_member(r, item, "content");
    ApiPath inner = api_path("%s.content", path), of_role = api_path("%s.role", path);
    if (!api_member_text(r, item, path, "role", true, &role)) return false;
    const char *name = span_is(role, "user")        ? "user"
                       : span_is(role, "assistant") ? "assistant"
                       : span_is(role, "system")    ? "system"
                       : span_is(role, "developer") ? "developer"
                                                    : NULL;
    if (!name)
        return api_refuse(r, API_E_INVALID, of_role.text,
                          "%s must be user, assistant, system or developer", of_role.text);
    if (!content) return api_refuse(r, API_E_INVALID, inner.text, "%s is missing", inner.text);
    bool good = gather(r, content, inner.text, &text);
    if (good && *name == 'a') {
        if (t->said || t->calls.size) talk_flush(t);
        talk_text(t, text_of(&text), "\n");
    } else if (good) {
        talk_say(t, name, text_of(&text), (Span){0});
    }
    if (text.failed) t->out.failed = true;
    buf_close(&text);
    return good;
}

static bool reasoning_item(ApiRead *r, Talk *t, uint32_t item, const char *path)
{
    Buf text = {0};
    uint32_t content = api_member(r, item, "content");
    const char *name = "content";
    if (!content || !r->tree.nodes[content].n) {
        content = api_member(r, item, "summary");
        name = "summary";
    }
    ApiPath inner = api_path("%s.%s", path, name);
    bool good = gather(r, content, inner.text, &text);
    if (good && text.size) talk_think(t, text_of(&text));
    if (text.failed) t->out.failed = true;
    buf_close(&text);
    return good;
}

static bool output_item(ApiRead *r, Talk *t, uint32_t item, const char *path)
{
    Span id;
    Buf text = {0};
    uint32_t output = api_member(r, item, "output");
    ApiPath inner = api_path("%s.output", path);
    if (!api_member_text(r, item, path, "call_id", true, &id)) return false;
    if (!output) return api_refuse(r, API_E_INVALID, inner.text, "%s is missing", inner.text);
    bool good = gather(r, output, inner.text, &text);
    if (good) talk_say(t, "tool", text_of(&text), id);
    if (text.failed) t->out.failed = true;
    buf_close(&text);
    return good;
}

static bool read_item(ApiRead *r, Talk *t, uint32_t item, const char *path)
{
    Span type, id, name;
    if (api_kind(r, item) != JSON_KIND_OBJECT)
        return api_refuse(r, API_E_INVALID, path, "%s must be an object, not %s", path,
                          api_kind_name(api_kind(r, item)));
    if (!api_member_text(r, item, path, "type", false, &type)) return false;
    if (!type.data || span_is(type, "message")) return message_item(r, t, item, path);
    if (span_is(type, "reasoning")) return reasoning_item(r, t, item, path);
    if (span_is(type, "function_call_output")) return output_item(r, t, item, path);
    if (!span_is(type, "function_call"))
        return api_refuse(r, API_E_UNSUPPORTED, path,
                          "%s: items of type \"%.*s\" are not supported here", path,
                          (int)(type.size < 40 ? type.size : 40), type.data);
    uint32_t arguments = api_member(r, item, "arguments");
    ApiPath inner = api_path("%s.arguments", path);
    if (!api_member_text(r, item, path, "call_id", true, &id) ||
        !api_member_text(r, item, path, "name", true, &name))
        return false;
    if (arguments && api_kind(r, arguments) != JSON_KIND_STRING)
        return api_refuse(r, API_E_INVALID, inner.text, "%s must be JSON in a string", inner.text);
    talk_call(t, id, name, arguments);
    return true;
}

static bool read_input(ApiRead *r)
{
    uint32_t node = r->raw.input;
    Talk t;
    size_t i = 0;
    bool good = true;
    if (!node && !r->call->previous_response_id)
        return api_refuse(r, API_E_INVALID, "input", "input is missing");
    if (node && api_kind(r, node) != JSON_KIND_STRING && api_kind(r, node) != JSON_KIND_ARRAY)
        return api_refuse(r, API_E_INVALID, "input", "input must be a string or an array, not %s",
                          api_kind_name(api_kind(r, node)));
    if (node && api_kind(r, node) == JSON_KIND_ARRAY && !r->tree.nodes[node].n)
        return api_refuse(r, API_E_INVALID, "input", "input must not be empty");
    talk_begin(&t, r);
    if (node && api_kind(r, node) == JSON_KIND_STRING)
        talk_say(&t, "user", api_span(r, node), (Span){0});
    else if (node)
        API_EACH(r, node, item)
        {
            ApiPath path = api_path("input[%zu]", i++);
            good = read_item(r, &t, item, path.text);
            if (!good) break;
        }
    return talk_end(&t, good, false);
}

/* ---- tools -------------------------------------------------------------------------------- */

static bool tool_parts(ApiRead *r, uint32_t tool, ApiToolParts *parts)
{
    ApiPath of_type = api_path("%s.type", parts->path.text);
    if (!api_is(r, api_member(r, tool, "type"), "function"))
        return api_refuse(r, API_E_UNSUPPORTED, of_type.text,
                          "%s: only tools of type \"function\" are supported", of_type.text);
    uint32_t function = api_member(r, tool, "function"); /* the form of chat is taken too */
    bool inside = function && api_kind(r, function) == JSON_KIND_OBJECT;
    api_function_parts(r, inside ? function : tool, parts);
    return true;
}

/* ---- what the answer repeats ---------------------------------------------------------------- */

static void echo(ApiRead *r, JsonOut *j, const char *key, const char *none)
{
    uint32_t node = api_member(r, 0, key);
    jout_key(j, key);
    if (node)
        api_write_node(r, j, node);
    else
        jout_raw(j, none, strlen(none));
}

static bool read_echo(ApiRead *r)
{
    static const struct {
        const char *key, *none;
    } members[] = {{"instructions", "null"},
                   {"max_output_tokens", "null"},
                   {"metadata", "{}"},
                   {"parallel_tool_calls", "true"},
                   {"previous_response_id", "null"},
                   {"reasoning", "{\"effort\":null,\"summary\":null}"},
                   {"store", "true"},
                   {"temperature", "1"},
                   {"text", "{\"format\":{\"type\":\"text\"}}"},
                   {"tool_choice", "\"auto\""},
                   {"tools", "[]"},
                   {"top_p", "1"},
                   {"truncation", "\"disabled\""},
                   {"user", "null"}};
    Buf out = {0};
    JsonOut j = {&out};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        echo(r, &j, members[i].key, members[i].none);
    return api_keep(r, &out, &r->call->echoed);
}

bool api_read_responses(ApiRead *r)
{
    ApiCall *call = r->call;
    const ApiRaw *raw = &r->raw;
    if (raw->background == 1)
        return api_refuse(r, API_E_UNSUPPORTED, "background", "background is not supported");
    if (raw->stream == 1) call->stream = API_STREAM_SSE;
    if (!isnan(raw->max_tokens)) call->max_tokens = (int32_t)raw->max_tokens;
    call->store = raw->store != 0;
    if (raw->previous &&
        !api_copy(r, raw->previous, "previous_response_id", 64, &call->previous_response_id))
        return false;
    if (raw->instructions && api_span(r, raw->instructions).size &&
        !api_copy(r, raw->instructions, "instructions", API_MAX_BODY, &call->instructions))
        return false;
    if (!raw->instructions && r->defaults.system) {
        Span s = span_of(r->defaults.system);
        call->instructions = api_pool_text(call->pool, s.data, s.size);
        if (!call->instructions) return api_no_memory(r);
    }
    if (!isnan(raw->top_logprobs)) call->n_top = (int32_t)raw->top_logprobs;
    if (raw->include) API_EACH(r, raw->include, each)
    if (api_is(r, each, "message.output_text.logprobs") && call->n_top < 0) call->n_top = 0;
    if (raw->reasoning) {
        if (api_kind(r, raw->reasoning) != JSON_KIND_OBJECT)
            return api_refuse(r, API_E_INVALID, "reasoning", "reasoning must be an object");
        if (!api_fields_read(r, raw->reasoning, "reasoning", IN_REASONING)) return false;
    }
    uint32_t format = raw->text ? api_member(r, raw->text, "format") : 0;
    return api_read_sampling(r) && api_read_adapters(r) &&
           api_read_variables(r, raw->reasoning_effort, 0, "reasoning.effort") &&
           api_read_format(r, format, "text.format", NULL) && api_read_tools(r, tool_parts) &&
           read_input(r) && read_echo(r);
}

/* ---- between calls ----------------------------------------------------------------------------
 */

/* The inside of a JSON array that we wrote ourselves. */
static void append(Buf *out, const char *array, bool *comma)
{
    size_t n = array ? strlen(array) : 0;
    if (n <= 2) return;
    if (*comma) buf_char(out, ',');
    buf_add(out, array + 1, n - 2);
    *comma = true;
}

void api_responses_messages(const ApiCall *call, const char *before, Buf *out)
{
    bool comma = false;
    buf_char(out, '[');
    if (call->instructions) {
        JsonOut j = {out};
        jout_open(&j, '{');
        jout_put(&j, "role", "system");
        jout_put(&j, "content", call->instructions);
        jout_close(&j, '}');
        comma = true;
    }
    append(out, before, &comma);
    append(out, call->messages, &comma);
    buf_char(out, ']');
}

void api_responses_remember(const ApiCall *call, const char *before, const char *answer, Buf *out)
{
    bool comma = false;
    buf_char(out, '[');
    append(out, before, &comma);
    append(out, call->messages, &comma);
    if (answer) {
        if (comma) buf_char(out, ',');
        buf_text(out, answer);
    }
    buf_char(out, ']');
}
