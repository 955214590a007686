/* Tools, which of them is to be called, and the form that an answer is held to: from each API's way
 * of saying it to OpenAI's, which the chat templates know. */
#include <string.h>

#include "serve/api_read.h"

enum { MOST_NAME = 128, MOST_DESCRIPTION = 64 << 10 };

/* A name that a model can write and a form of calls can hold. */
static bool check_name(ApiRead *r, uint32_t node, const char *path)
{
    if (!node || api_kind(r, node) != JSON_KIND_STRING)
        return api_refuse(r, API_E_INVALID, path, "%s must be a string", path);
    Span s = api_span(r, node);
    bool good = s.size > 0 && s.size <= MOST_NAME;
    for (size_t i = 0; good && i < s.size; i++) {
        char c = s.data[i];
        good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c && strchr("_-.:/", c));
    }
    return good || api_refuse(r, API_E_INVALID, path,
                              "%s must be 1 to %d letters, digits or _ - . : /", path, MOST_NAME);
}

static bool write_tool(ApiRead *r, JsonOut *j, const ApiToolParts *tool)
{
    const char *path = tool->path.text;
    ApiPath of_name = api_path("%s.name", path), of_text = api_path("%s.description", path);
    ApiPath of_schema = api_path("%s.%s", path, tool->schema);
    if (!check_name(r, tool->name, of_name.text)) return false;
    jout_open(j, '{');
    jout_put(j, "type", "function");
    jout_put_open(j, "function", '{');
    jout_key(j, "name");
    api_write_node(r, j, tool->name);
    if (tool->description) {
        Span text = api_span(r, tool->description);
        if (api_kind(r, tool->description) != JSON_KIND_STRING || text.size > MOST_DESCRIPTION)
            return api_refuse(r, API_E_INVALID, of_text.text,
                              "%s must be a string of at most %d bytes", of_text.text,
                              MOST_DESCRIPTION);
        jout_put_text(j, "description", text.data, text.size);
    }
    if (tool->parameters && api_kind(r, tool->parameters) != JSON_KIND_OBJECT)
        return api_refuse(r, API_E_INVALID, of_schema.text, "%s must be a JSON Schema, not %s",
                          of_schema.text, api_kind_name(api_kind(r, tool->parameters)));
    jout_key(j, "parameters");
    if (tool->parameters) {
        api_write_node(r, j, tool->parameters);
    } else {
        static const char none[] = "{\"type\":\"object\",\"properties\":{}}";
        jout_raw(j, none, sizeof none - 1);
    }
    if (tool->strict && api_kind(r, tool->strict) == JSON_KIND_TRUE)
        jout_put_bool(j, "strict", true);
    jout_close(j, '}');
    jout_close(j, '}');
    return true;
}

void api_function_parts(ApiRead *r, uint32_t function, ApiToolParts *parts)
{
    parts->name = api_member(r, function, "name");
    parts->description = api_member(r, function, "description");
    parts->parameters = api_member(r, function, "parameters");
    parts->strict = api_member(r, function, "strict");
    parts->schema = "parameters";
}

static bool chat_parts(ApiRead *r, uint32_t tool, ApiToolParts *parts)
{
    ApiPath of_type = api_path("%s.type", parts->path.text);
    uint32_t type = api_member(r, tool, "type"), function = api_member(r, tool, "function");
    if (type && !api_is(r, type, "function"))
        return api_refuse(r, API_E_UNSUPPORTED, of_type.text,
                          "%s: only tools of type \"function\" are supported", of_type.text);
    parts->path = api_path("%s.function", parts->path.text);
    if (!function || api_kind(r, function) != JSON_KIND_OBJECT)
        return api_refuse(r, API_E_INVALID, parts->path.text, "%s must be an object",
                          parts->path.text);
    api_function_parts(r, function, parts);
    return true;
}

static bool write_tools(ApiRead *r, ApiToolFn parts_of, JsonOut *j)
{
    size_t i = 0;
    jout_open(j, '[');
    API_EACH(r, r->raw.tools, tool)
    {
        ApiToolParts parts = {.path = api_path("tools[%zu]", i++)};
        const char *path = parts.path.text;
        if (api_kind(r, tool) != JSON_KIND_OBJECT)
            return api_refuse(r, API_E_INVALID, path, "%s must be an object, not %s", path,
                              api_kind_name(api_kind(r, tool)));
        if (!parts_of(r, tool, &parts) || !write_tool(r, j, &parts)) return false;
    }
    jout_close(j, ']');
    return true;
}

bool api_take_tools(ApiRead *r, ApiToolFn parts)
{
    Buf out = {0};
    JsonOut j = {&out};
    if (!r->raw.tools || !r->tree.nodes[r->raw.tools].n) return true;
    if (write_tools(r, parts, &j)) return api_keep(r, &out, &r->call->tools);
    buf_close(&out);
    return false;
}

/* Where a tool's name stands, in all APIs' forms. */
static uint32_t tool_name(const ApiRead *r, uint32_t tool)
{
    uint32_t function = api_member(r, tool, "function");
    return api_member(r, function ? function : tool, "name");
}

/* The tools again, but only those that `keep` (an array of such objects) or `name` names. */
static bool keep_tools(ApiRead *r, Span name, uint32_t keep, const char *path)
{
    const ApiCall *call = r->call;
    JsonTree tools;
    Buf out = {0};
    JsonOut j = {&out};
    size_t kept = 0;
    bt_error err = {0};
    if (!call->tools)
        return api_refuse(r, API_E_INVALID, path, "%s names a tool, and there are none", path);
    bt_status status = json_tree_open(span_of(call->tools), API_MAX_DEPTH + 4, NULL, &tools, &err);
    if (status == BT_E_MEMORY) return api_no_memory(r);
    if (status != BT_OK) return api_refuse(r, API_E_INVALID, path, "%s", err.text);
    ApiRead view = {.tree = tools};
    jout_open(&j, '[');
    API_EACH(&view, 0, tool)
    {
        Span own = api_span(&view, tool_name(&view, tool));
        bool wanted = !keep && span_equal(own, name);
        if (keep) API_EACH(r, keep, each)
            {
                uint32_t node = api_kind(r, each) == JSON_KIND_OBJECT ? tool_name(r, each) : 0;
                wanted |= node && api_kind(r, node) == JSON_KIND_STRING &&
                          span_equal(own, api_span(r, node));
            }
        if (!wanted) continue;
        api_write_node(&view, &j, tool);
        kept++;
    }
    jout_close(&j, ']');
    json_tree_close(&tools);
    if (kept) return api_keep(r, &out, &r->call->tools);
    buf_close(&out);
    return api_refuse(r, API_E_INVALID, path, "%s names no tool of this request", path);
}

bool api_choose_tool(ApiRead *r, ApiToolChoice choice, uint32_t name, const char *path)
{
    r->call->tool_choice = choice;
    if (choice == API_TOOLS_NONE) r->call->tools = NULL;
    if (choice == API_TOOLS_REQUIRED && !r->call->tools)
        return api_refuse(r, API_E_INVALID, path, "%s wants a call, and there are no tools", path);
    if (choice != API_TOOLS_NAMED) return true;
    if (!name || api_kind(r, name) != JSON_KIND_STRING)
        return api_refuse(r, API_E_INVALID, path, "%s must name a tool", path);
    return keep_tools(r, api_span(r, name), 0, path);
}

/* {"type": "allowed_tools", "mode", "tools"}, flat or in a member of that name. */
static bool allowed_tools(ApiRead *r, uint32_t choice, const char *path)
{
    uint32_t inner = api_member(r, choice, "allowed_tools");
    if (inner && api_kind(r, inner) == JSON_KIND_OBJECT) choice = inner;
    uint32_t tools = api_member(r, choice, "tools");
    if (!tools || api_kind(r, tools) != JSON_KIND_ARRAY)
        return api_refuse(r, API_E_INVALID, path, "%s.tools must be an array", path);
    bool needed = api_is(r, api_member(r, choice, "mode"), "required");
    r->call->tool_choice = needed ? API_TOOLS_REQUIRED : API_TOOLS_AUTO;
    return keep_tools(r, (Span){0}, tools, path);
}

static bool read_choice(ApiRead *r, uint32_t node)
{
    static const char path[] = "tool_choice";
    if (!node || api_is(r, node, "auto")) return true;
    if (api_is(r, node, "none")) return api_choose_tool(r, API_TOOLS_NONE, 0, path);
    if (api_is(r, node, "required") || api_is(r, node, "any"))
        return api_choose_tool(r, API_TOOLS_REQUIRED, 0, path);
    if (api_kind(r, node) == JSON_KIND_OBJECT) {
        uint32_t type = api_member(r, node, "type");
        if (api_is(r, type, "allowed_tools")) return allowed_tools(r, node, path);
        if (!type || api_is(r, type, "function"))
            return api_choose_tool(r, API_TOOLS_NAMED, tool_name(r, node), path);
    }
    return api_refuse(r, API_E_INVALID, path, "%s must be auto, none, required, or name a function",
                      path);
}

bool api_read_tools(ApiRead *r, ApiToolFn parts)
{
    r->call->one_call = r->raw.parallel_tool_calls == 0;
    return api_take_tools(r, parts ? parts : chat_parts) && read_choice(r, r->raw.tool_choice);
}

bool api_read_format(ApiRead *r, uint32_t node, const char *path, const char *inner)
{
    ApiCall *call = r->call;
    Span type;
    if (!node) return true;
    if (api_kind(r, node) != JSON_KIND_OBJECT)
        return api_refuse(r, API_E_INVALID, path, "%s must be an object, not %s", path,
                          api_kind_name(api_kind(r, node)));
    if (!api_member_text(r, node, path, "type", true, &type)) return false;
    ApiPath at = api_path("%s%s%s", path, inner ? "." : "", inner ? inner : "");
    ApiPath of_schema = api_path("%s.schema", at.text), of_type = api_path("%s.type", path);
    uint32_t holder = inner ? api_member(r, node, inner) : node;
    uint32_t schema = api_member(r, node, "schema"); /* llama.cpp's way, too */
    if (span_is(type, "text")) return true;
    if (span_is(type, "json_object") && !schema) {
        call->hold = API_HOLD_JSON;
        return true;
    }
    if (!span_is(type, "json_schema") && !span_is(type, "json_object"))
        return api_refuse(r, API_E_INVALID, of_type.text,
                          "%s must be text, json_object or json_schema", of_type.text);
    if (holder && api_kind(r, holder) != JSON_KIND_OBJECT)
        return api_refuse(r, API_E_INVALID, at.text, "%s must be an object", at.text);
    if (!schema && holder) schema = api_member(r, holder, "schema");
    if (!schema)
        return api_refuse(r, API_E_INVALID, of_schema.text, "%s is missing", of_schema.text);
    call->hold = API_HOLD_SCHEMA;
    return api_json(r, schema, &call->hold_text);
}

static bool no_thoughts(Span effort)
{
    return span_is(effort, "none") || span_is(effort, "off") || span_is(effort, "no_think");
}

bool api_read_variables(ApiRead *r, uint32_t effort, uint32_t kwargs, const char *effort_path)
{
    Buf out = {0};
    JsonOut j = {&out};
    if (effort && api_kind(r, effort) != JSON_KIND_STRING)
        return api_refuse(r, API_E_INVALID, effort_path, "%s must be a string, not %s", effort_path,
                          api_kind_name(api_kind(r, effort)));
    Span text = effort ? api_span(r, effort) : (Span){NULL, 0};
    if (effort) r->call->think = no_thoughts(text) ? BT_THINK_OFF : BT_THINK_ON;
    bool own = kwargs && api_member(r, kwargs, "reasoning_effort");
    if (!kwargs && (!effort || no_thoughts(text))) return true;
    jout_open(&j, '{');
    if (effort && !own && !no_thoughts(text))
        jout_put_text(&j, "reasoning_effort", text.data, text.size);
    if (kwargs) API_EACH(r, kwargs, member)
        {
            const JsonNode *n = &r->tree.nodes[member];
            if (span_is(n->key, "enable_thinking") && n->kind != JSON_KIND_NULL)
                r->call->think = n->kind == JSON_KIND_TRUE ? BT_THINK_ON : BT_THINK_OFF;
            jout_text(&j, n->key.data, n->key.size);
            buf_char(&out, ':');
            j.comma = false;
            api_write_node(r, &j, member);
        }
    jout_close(&j, '}');
    return api_keep(r, &out, &r->call->variables);
}
