/* Anthropic's messages and count_tokens: system prompt, content blocks, tools and thinking, turned
 * into OpenAI's form. Beta headers are not looked at. Source: the published API reference.
 *
 * A known coding client puts a line "x-anthropic-billing-header: ..." at the head of its system
 * prompt, with a number that changes in each request. It is no instruction, and it would spoil the
 * shared beginning of all its prompts: it is left out. */
#include <math.h>
#include <string.h>

#include "serve/api_talk.h"

static const char *const text_kinds[] = {"text", NULL};

/* ---- system ------------------------------------------------------------------------ */

static Span without_billing(Span text)
{
    static const char head[] = "x-anthropic-billing-header:";
    while (text.size >= sizeof head - 1 && memcmp(text.data, head, sizeof head - 1) == 0) {
        const char *end = memchr(text.data, '\n', text.size);
        size_t line = end ? (size_t)(end - text.data) + 1 : text.size;
        text.data += line;
        text.size -= line;
    }
    return text;
}

static bool read_system(ApiRead *r, Talk *t)
{
    uint32_t node = r->raw.system;
    Buf text = {0};
    size_t i = 0;
    bool good = true;
    if (node && api_kind(r, node) == JSON_KIND_STRING) {
        Span s = without_billing(api_span(r, node));
        buf_add(&text, s.data, s.size);
    } else if (node && api_kind(r, node) == JSON_KIND_ARRAY) {
        API_EACH(r, node, block)
        {
            ApiPath path = api_path("system[%zu]", i++);
            good = api_kind(r, block) == JSON_KIND_OBJECT;
            if (!good) {
                api_refuse(r, API_E_INVALID, path.text, "%s must be an object", path.text);
                break;
            }
            Span type, own;
            good = api_member_text(r, block, path.text, "type", true, &type) &&
                   (span_is(type, "text") || api_refuse(r, API_E_INVALID, path.text,
                                                        "%s must be of type text", path.text)) &&
                   api_member_text(r, block, path.text, "text", true, &own);
            if (!good) break;
            own = without_billing(own);
            if (own.size && text.size) buf_text(&text, "\n\n");
            buf_add(&text, own.data, own.size);
        }
    } else if (node) {
        good = api_refuse(r, API_E_INVALID, "system", "system must be a string or an array, not %s",
                          api_kind_name(api_kind(r, node)));
    }
    Span all = {text.data, text.size};
    if (good && !node && r->defaults.system) all = span_of(r->defaults.system);
    if (good && all.size) talk_say(t, "system", all, (Span){0});
    if (text.failed) good = api_no_memory(r);
    buf_close(&text);
    return good;
}

/* ---- blocks ------------------------------------------------------------------------- */

/* Text that a user's message has so far goes out before what comes next. */
static void flush_user(Talk *t, Buf *text, bool *any, const char *role)
{
    if (*any) talk_say(t, role, (Span){text->data ? text->data : "", text->size}, (Span){0});
    if (text->failed) t->out.failed = true;
    buf_clear(text);
    *any = false;
}

static bool tool_result(ApiRead *r, Talk *t, uint32_t block, const char *path)
{
    Span id;
    Buf text = {0};
    uint32_t content = api_member(r, block, "content");
    ApiPath inner = api_path("%s.content", path);
    if (!api_member_text(r, block, path, "tool_use_id", true, &id)) return false;
    bool good = !content || api_content(r, content, inner.text, text_kinds, "\n", &text);
    if (good) talk_say(t, "tool", (Span){text.data ? text.data : "", text.size}, id);
    if (text.failed) t->out.failed = true;
    buf_close(&text);
    return good;
}

/* A document whose source is plain text. */
static bool document(ApiRead *r, uint32_t block, const char *path, Span *out)
{
    uint32_t source = api_member(r, block, "source");
    ApiPath inner = api_path("%s.source", path);
    bool object = source && api_kind(r, source) == JSON_KIND_OBJECT;
    if (object && api_is(r, api_member(r, source, "type"), "text"))
        return api_member_text(r, source, inner.text, "data", true, out);
    return api_refuse(r, API_E_UNSUPPORTED, inner.text,
                      "%s: only documents of plain text are supported", inner.text);
}

static bool user_block(ApiRead *r, Talk *t, uint32_t block, const char *path, Buf *text, bool *any,
                       const char *role)
{
    Span type, own;
    if (!api_member_text(r, block, path, "type", true, &type)) return false;
    if (span_is(type, "tool_result")) {
        flush_user(t, text, any, role);
        return tool_result(r, t, block, path);
    }
    if (span_is(type, "text")) {
        if (!api_member_text(r, block, path, "text", true, &own)) return false;
    } else if (span_is(type, "document")) {
        if (!document(r, block, path, &own)) return false;
    } else if (span_is(type, "image")) {
        return api_refuse(r, API_E_UNSUPPORTED, path, "%s is an image; this model reads text only",
                          path);
    } else {
        return api_refuse(r, API_E_UNSUPPORTED, path,
                          "%s: blocks of type \"%.*s\" are not supported here", path,
                          (int)(type.size < 40 ? type.size : 40), type.data);
    }
    if (*any) buf_char(text, '\n');
    buf_add(text, own.data, own.size);
    *any = true;
    return true;
}

static bool assistant_block(ApiRead *r, Talk *t, uint32_t block, const char *path)
{
    Span type, own, name;
    if (!api_member_text(r, block, path, "type", true, &type)) return false;
    if (span_is(type, "text")) {
        if (!api_member_text(r, block, path, "text", true, &own)) return false;
        talk_text(t, own, "\n");
        return true;
    }
    if (span_is(type, "thinking")) {
        if (!api_member_text(r, block, path, "thinking", true, &own)) return false;
        talk_think(t, own);
        return true;
    }
    if (span_is(type, "redacted_thinking")) return true; /* of another server; not to be read */
    if (!span_is(type, "tool_use"))
        return api_refuse(r, API_E_UNSUPPORTED, path,
                          "%s: blocks of type \"%.*s\" are not supported here", path,
                          (int)(type.size < 40 ? type.size : 40), type.data);
    ApiPath of_input = api_path("%s.input", path);
    uint32_t input = api_member(r, block, "input");
    if (!api_member_text(r, block, path, "id", true, &own) ||
        !api_member_text(r, block, path, "name", true, &name))
        return false;
    if (input && api_kind(r, input) != JSON_KIND_OBJECT)
        return api_refuse(r, API_E_INVALID, of_input.text, "%s must be an object", of_input.text);
    talk_call(t, own, name, input);
    return true;
}

static bool read_blocks(ApiRead *r, Talk *t, uint32_t content, const char *path, const char *role)
{
    bool assistant = strcmp(role, "assistant") == 0, any = false, good = true;
    Buf text = {0};
    size_t i = 0;
    API_EACH(r, content, block)
    {
        ApiPath at = api_path("%s.content[%zu]", path, i++);
        if (api_kind(r, block) != JSON_KIND_OBJECT)
            good = api_refuse(r, API_E_INVALID, at.text, "%s must be an object", at.text);
        else
            good = assistant ? assistant_block(r, t, block, at.text)
                             : user_block(r, t, block, at.text, &text, &any, role);
        if (!good) break;
    }
    if (good) flush_user(t, &text, &any, role);
    buf_close(&text);
    return good;
}

static bool read_message(ApiRead *r, Talk *t, uint32_t message, const char *path)
{
    Span role;
    if (api_kind(r, message) != JSON_KIND_OBJECT)
        return api_refuse(r, API_E_INVALID, path, "%s must be an object, not %s", path,
                          api_kind_name(api_kind(r, message)));
    ApiPath of_role = api_path("%s.role", path), of_content = api_path("%s.content", path);
    if (!api_member_text(r, message, path, "role", true, &role)) return false;
    const char *name = span_is(role, "assistant") ? "assistant"
                       : span_is(role, "user")    ? "user"
                       : span_is(role, "system")  ? "system"
                                                  : NULL;
    if (!name)
        return api_refuse(r, API_E_INVALID, of_role.text, "%s must be user or assistant",
                          of_role.text);
    uint32_t content = api_member(r, message, "content");
    talk_flush(t);
    if (content && api_kind(r, content) == JSON_KIND_ARRAY)
        return read_blocks(r, t, content, path, name);
    if (!content || api_kind(r, content) != JSON_KIND_STRING)
        return api_refuse(r, API_E_INVALID, of_content.text,
                          "%s must be a string or an array of blocks", of_content.text);
    if (*name == 'a')
        talk_text(t, api_span(r, content), "");
    else
        talk_say(t, name, api_span(r, content), (Span){0});
    return true;
}

/* ---- tools, thinking ------------------------------------------------------------------ */

static bool tool_parts(ApiRead *r, uint32_t tool, ApiToolParts *parts)
{
    const char *path = parts->path.text;
    ApiPath of_type = api_path("%s.type", path);
    uint32_t type = api_member(r, tool, "type");
    if (type && !api_is(r, type, "custom"))
        return api_refuse(r, API_E_UNSUPPORTED, of_type.text,
                          "%s: only tools with an input_schema of their own are supported",
                          of_type.text);
    parts->name = api_member(r, tool, "name");
    parts->description = api_member(r, tool, "description");
    parts->parameters = api_member(r, tool, "input_schema");
    parts->strict = api_member(r, tool, "strict");
    parts->schema = "input_schema";
    return parts->parameters ||
           api_refuse(r, API_E_INVALID, path, "%s.input_schema is missing", path);
}

static bool read_choice(ApiRead *r)
{
    uint32_t node = r->raw.tool_choice;
    if (!node) return true;
    uint32_t type = api_member(r, node, "type");
    uint32_t alone = api_member(r, node, "disable_parallel_tool_use");
    if (alone && api_kind(r, alone) == JSON_KIND_TRUE) r->call->one_call = true;
    if (api_is(r, type, "auto")) return true;
    if (api_is(r, type, "any")) return api_choose_tool(r, API_TOOLS_REQUIRED, 0, "tool_choice");
    if (api_is(r, type, "none")) return api_choose_tool(r, API_TOOLS_NONE, 0, "tool_choice");
    if (api_is(r, type, "tool"))
        return api_choose_tool(r, API_TOOLS_NAMED, api_member(r, node, "name"), "tool_choice");
    return api_refuse(r, API_E_INVALID, "tool_choice.type",
                      "tool_choice.type must be auto, any, tool or none");
}

static bool read_thinking(ApiRead *r)
{
    ApiCall *call = r->call;
    uint32_t config = r->raw.output_config, effort = config ? api_member(r, config, "effort") : 0;
    if (!api_read_variables(r, effort, 0, "output_config.effort")) return false;
    call->think = BT_THINK_OFF; /* thoughts come only where they are asked for */
    call->show_thoughts = false;
    if (r->raw.thinking) {
        if (!api_fields_read(r, r->raw.thinking, "thinking", IN_THINKING)) return false;
        uint32_t type = r->raw.type;
        bool on = api_is(r, type, "enabled") || api_is(r, type, "adaptive");
        if (!on && !api_is(r, type, "disabled"))
            return api_refuse(r, API_E_INVALID, "thinking.type",
                              "thinking.type must be enabled, adaptive or disabled");
        call->think = on ? BT_THINK_ON : BT_THINK_OFF;
        call->show_thoughts = on;
        if (api_is(r, type, "enabled") && !isnan(r->raw.budget_tokens))
            call->think_most = (int32_t)r->raw.budget_tokens;
    }
    uint32_t format = config ? api_member(r, config, "format") : 0;
    return api_read_format(r, format, "output_config.format", NULL) &&
           api_read_format(r, r->raw.output_format, "output_format", NULL);
}

bool api_read_anthropic(ApiRead *r)
{
    ApiCall *call = r->call;
    Talk t;
    size_t i = 0;
    if (call->kind == API_CHAT && isnan(r->raw.max_tokens))
        return api_refuse(r, API_E_INVALID, "max_tokens", "max_tokens is missing");
    if (!isnan(r->raw.max_tokens)) call->max_tokens = (int32_t)r->raw.max_tokens;
    if (r->raw.stream == 1) call->stream = API_STREAM_SSE;
    if (!api_read_sampling(r) || !api_read_stops(r, r->raw.stop, "stop_sequences") ||
        !api_read_adapters(r) || !read_thinking(r) || !api_take_tools(r, tool_parts) ||
        !read_choice(r))
        return false;
    talk_begin(&t, r);
    bool good = read_system(r, &t);
    if (good) API_EACH(r, r->raw.messages, message)
        {
            ApiPath path = api_path("messages[%zu]", i++);
            good = read_message(r, &t, message, path.text);
            if (!good) break;
        }
    return talk_end(&t, good, call->kind == API_CHAT);
}
