/* OpenAI's messages, checked and written anew for the chat template. Kept are the members that
 * templates read, and others as they came; `reasoning` goes by its other name. Parts that are no
 * text (images, sound, files) are refused: to drop them would answer another question. */
#include <string.h>

#include "serve/api_read.h"
#include "text/json_bytes.h"

static bool part_refused(ApiRead *r, Span type, const char *path)
{
    static const char *const pictures[] = {"image_url", "input_image", "image"};
    for (size_t i = 0; i < sizeof pictures / sizeof *pictures; i++)
        if (span_is(type, pictures[i]))
            return api_refuse(r, API_E_UNSUPPORTED, path,
                              "%s is an image; this model reads text only", path);
    return api_refuse(r, API_E_UNSUPPORTED, path, "%s: parts of type \"%.*s\" are not supported",
                      path, (int)(type.size < 40 ? type.size : 40), type.data);
}

/* The text of one part, from its member "text" ("refusal" for that type). */
static bool part_text(ApiRead *r, uint32_t part, const char *path, const char *const *kinds,
                      Span *out)
{
    Span type;
    if (api_kind(r, part) == JSON_KIND_STRING) {
        *out = api_span(r, part);
        return true;
    }
    if (api_kind(r, part) != JSON_KIND_OBJECT)
        return api_refuse(r, API_E_INVALID, path, "%s must be an object, not %s", path,
                          api_kind_name(api_kind(r, part)));
    if (!api_member_text(r, part, path, "type", true, &type)) return false;
    for (; *kinds; kinds++)
        if (span_is(type, *kinds))
            return api_member_text(r, part, path, span_is(type, "refusal") ? "refusal" : "text",
                                   true, out);
    return part_refused(r, type, path);
}

bool api_content(ApiRead *r, uint32_t node, const char *path, const char *const *kinds,
                 const char *glue, Buf *out)
{
    JsonKind kind = api_kind(r, node);
    size_t i = 0;
    if (kind == JSON_KIND_STRING) {
        buf_add(out, api_span(r, node).data, api_span(r, node).size);
        return true;
    }
    if (kind != JSON_KIND_ARRAY)
        return api_refuse(r, API_E_INVALID, path,
                          "%s must be a string or an array of parts, not %s", path,
                          api_kind_name(kind));
    API_EACH(r, node, part)
    {
        ApiPath full = api_path("%s[%zu]", path, i);
        Span text;
        if (!part_text(r, part, full.text, kinds, &text)) return false;
        if (i++) buf_text(out, glue);
        buf_add(out, text.data, text.size);
    }
    return true;
}

static bool write_content(ApiRead *r, uint32_t node, const char *path, JsonOut *j)
{
    static const char *const kinds[] = {"text", "input_text", "output_text", "refusal", NULL};
    Buf text = {0};
    jout_key(j, "content");
    if (!node) {
        jout_null(j);
        return true;
    }
    bool good = api_content(r, node, path, kinds, "\n", &text);
    if (good) jout_text(j, text.data ? text.data : "", text.size);
    if (text.failed) j->buf->failed = true;
    buf_close(&text);
    return good;
}

/* [{"id", "type": "function", "function": {"name", "arguments"}}], whose members are checked */
static bool check_calls(ApiRead *r, uint32_t calls, const char *path)
{
    size_t i = 0;
    if (api_kind(r, calls) != JSON_KIND_ARRAY)
        return api_refuse(r, API_E_INVALID, path, "%s must be an array, not %s", path,
                          api_kind_name(api_kind(r, calls)));
    API_EACH(r, calls, call)
    {
        ApiPath at = api_path("%s[%zu]", path, i++);
        ApiPath inner = api_path("%s.function", at.text);
        ApiPath given = api_path("%s.arguments", inner.text);
        Span unused;
        uint32_t function =
            api_kind(r, call) == JSON_KIND_OBJECT ? api_member(r, call, "function") : 0;
        if (!function || api_kind(r, function) != JSON_KIND_OBJECT)
            return api_refuse(r, API_E_INVALID, inner.text, "%s must be an object", inner.text);
        if (!api_member_text(r, call, at.text, "id", false, &unused) ||
            !api_member_text(r, function, inner.text, "name", true, &unused))
            return false;
        uint32_t arguments = api_member(r, function, "arguments");
        if (arguments && api_kind(r, arguments) != JSON_KIND_STRING &&
            api_kind(r, arguments) != JSON_KIND_OBJECT)
            return api_refuse(r, API_E_INVALID, given.text, "%s must be JSON in a string",
                              given.text);
    }
    return true;
}

static bool is_role(Span role)
{
    static const char *const roles[] = {"system", "developer", "user", "assistant", "tool"};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (span_is(role, roles[i])) return true;
    return false;
}

/* The members that have no meaning of their own here. */
static void write_others(ApiRead *r, uint32_t message, JsonOut *j)
{
    static const char *const own[] = {"role",      "content",           "tool_calls",  "refusal",
                                      "reasoning", "reasoning_content", "annotations", "thinking",
                                      "audio",     "function_call",     "images",      "tool_name"};
    API_EACH(r, message, member)
    {
        const JsonNode *n = &r->tree.nodes[member];
        size_t i = 0;
        while (i < sizeof own / sizeof *own && !span_is(n->key, own[i])) i++;
        if (i < sizeof own / sizeof *own || n->kind == JSON_KIND_NULL) continue;
        jout_text(j, n->key.data, n->key.size);
        buf_char(j->buf, ':');
        j->comma = false;
        api_write_node(r, j, member);
    }
}

static bool write_thoughts(ApiRead *r, uint32_t message, const char *path, JsonOut *j)
{
    static const char *const names[] = {"reasoning_content", "reasoning", "thinking"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        Span text;
        if (!api_member_text(r, message, path, names[i], false, &text)) return false;
        if (!text.size) continue;
        jout_put_text(j, "reasoning_content", text.data, text.size);
        break;
    }
    return true;
}

static bool write_message(ApiRead *r, uint32_t message, const char *path, JsonOut *j)
{
    Span role, id;
    if (api_kind(r, message) != JSON_KIND_OBJECT)
        return api_refuse(r, API_E_INVALID, path, "%s must be an object, not %s", path,
                          api_kind_name(api_kind(r, message)));
    ApiPath of_role = api_path("%s.role", path), of_calls = api_path("%s.tool_calls", path);
    ApiPath of_content = api_path("%s.content", path);
    if (!api_member_text(r, message, path, "role", true, &role)) return false;
    if (!is_role(role))
        return api_refuse(r, API_E_INVALID, of_role.text,
                          "%s must be system, developer, user, assistant or tool", of_role.text);
    uint32_t content = api_member(r, message, "content");
    uint32_t calls = api_member(r, message, "tool_calls");
    bool assistant = span_is(role, "assistant");
    if (!content && !assistant)
        return api_refuse(r, API_E_INVALID, of_content.text, "%s is missing", of_content.text);
    if (span_is(role, "tool") && !api_member_text(r, message, path, "tool_call_id", true, &id))
        return false;
    if (!content && assistant && api_member(r, message, "refusal"))
        content = api_member(r, message, "refusal");
    jout_open(j, '{');
    jout_put_text(j, "role", role.data, role.size);
    if (!write_content(r, content, of_content.text, j)) return false;
    if (!write_thoughts(r, message, path, j)) return false;
    if (calls && assistant && r->tree.nodes[calls].n) {
        if (!check_calls(r, calls, of_calls.text)) return false;
        jout_key(j, "tool_calls");
        api_write_node(r, j, calls);
    }
    write_others(r, message, j);
    jout_close(j, '}');
    return true;
}

/* The last message's text, where the answer is to go on from it. */
static bool read_prefill(ApiRead *r, uint32_t last, const char *path)
{
    static const char *const kinds[] = {"text", NULL};
    uint32_t content = api_member(r, last, "content");
    Buf text = {0};
    if (!api_is(r, api_member(r, last, "role"), "assistant"))
        return api_refuse(r, API_E_INVALID, "continue_final_message",
                          "continue_final_message: the last message is not the assistant's");
    if (content && !api_content(r, content, path, kinds, "", &text)) {
        buf_close(&text);
        return false;
    }
    return api_keep_prefill(r, &text);
}

static bool write_messages(ApiRead *r, uint32_t node, JsonOut *j)
{
    size_t i = 0, n = r->tree.nodes[node].n;
    bool system = false;
    jout_open(j, '[');
    API_EACH(r, node, message)
    {
        bool object = api_kind(r, message) == JSON_KIND_OBJECT;
        uint32_t role = object ? api_member(r, message, "role") : 0;
        system |= i == 0 && (api_is(r, role, "system") || api_is(r, role, "developer"));
        if (i == 0 && !system && r->defaults.system) {
            jout_open(j, '{');
            jout_put(j, "role", "system");
            jout_put(j, "content", r->defaults.system);
            jout_close(j, '}');
            r->call->n_messages++;
        }
        ApiPath path = api_path("messages[%zu]", i);
        if (++i == n && r->raw.continue_final_message == 1 && object) {
            if (!read_prefill(r, message, path.text)) return false;
            continue;
        }
        if (!write_message(r, message, path.text, j)) return false;
        r->call->n_messages++;
    }
    jout_close(j, ']');
    return true;
}

/* Behind the first object of a list that we have written, if that is the system's. */
static size_t behind_system(const char *messages)
{
    static const char head[] = "[{\"role\":\"system\"";
    size_t n = strlen(messages), depth = 0;
    if (strncmp(messages, head, sizeof head - 1) != 0) return 1;
    for (size_t i = 1; i < n; i++) {
        if (messages[i] == '"') {
            for (i++; i < n && messages[i] != '"';)
                i += messages[i] == '\\' ? 2 : json_run_of_string(messages + i, n - i);
        } else if (messages[i] == '{') {
            depth++;
        } else if (messages[i] == '}' && --depth == 0) {
            return i + 1;
        }
    }
    return 1;
}

bool api_add_messages(ApiRead *r)
{
    ApiCall *call = r->call;
    Buf out = {0};
    bool talks = call->kind == API_CHAT || call->kind == API_COUNT_TOKENS ||
                 call->kind == API_APPLY_TEMPLATE;
    if (!talks || !call->messages || !r->defaults.messages || call->previous_response_id)
        return true;
    size_t at = behind_system(call->messages);
    buf_add(&out, call->messages, at);
    if (at > 1) buf_char(&out, ',');
    buf_text(&out, r->defaults.messages);
    const char *rest = call->messages + at;
    if (*rest != ',' && *rest != ']') buf_char(&out, ',');
    buf_text(&out, rest);
    call->n_messages += r->defaults.n_messages;
    return api_keep(r, &out, &call->messages);
}

bool api_read_messages(ApiRead *r, uint32_t node)
{
    Buf out = {0};
    JsonOut j = {&out};
    if (write_messages(r, node, &j)) return api_keep(r, &out, &r->call->messages);
    buf_close(&out);
    return false;
}
