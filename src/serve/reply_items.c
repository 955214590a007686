/* A remembered conversation as the items of Responses: input_items. */
#include <string.h>

#include "serve/reply_parts.h"
#include "text/json_tree.h"

static Span member(const JsonTree *t, uint32_t object, const char *key)
{
    uint32_t node = json_tree_get(t, object, span_of(key));
    if (!node || t->nodes[node].kind != JSON_KIND_STRING) return (Span){NULL, 0};
    return t->nodes[node].text;
}

static void begin(JsonOut *j, const char *head, int32_t *n, const char *type)
{
    jout_open(j, '{');
    jout_key(j, "id");
    buf_printf(j->buf, "\"%s_%d\"", head, (int)(*n)++);
    j->comma = true;
    jout_put(j, "type", type);
}

static void part(JsonOut *j, const char *type, Span text)
{
    jout_put_open(j, "content", '[');
    jout_open(j, '{');
    jout_put(j, "type", type);
    jout_put_text(j, "text", text.data, text.size);
    jout_close(j, '}');
    jout_close(j, ']');
    jout_close(j, '}');
}

static void calls(const JsonTree *t, uint32_t message, JsonOut *j, int32_t *n)
{
    uint32_t list = json_tree_get(t, message, SPAN("tool_calls"));
    for (uint32_t call = list ? t->nodes[list].child : 0; call; call = t->nodes[call].next) {
        uint32_t function = json_tree_get(t, call, SPAN("function"));
        Span id = member(t, call, "id"), name = member(t, function, "name");
        Span arguments = member(t, function, "arguments");
        begin(j, "fc", n, "function_call");
        jout_put_text(j, "call_id", id.data, id.size);
        jout_put_text(j, "name", name.data, name.size);
        jout_put_text(j, "arguments", arguments.data, arguments.size);
        jout_close(j, '}');
    }
}

static void items(const JsonTree *t, uint32_t message, JsonOut *j, int32_t *n)
{
    Span role = member(t, message, "role"), content = member(t, message, "content");
    Span thoughts = member(t, message, "reasoning_content");
    if (span_is(role, "tool")) {
        Span id = member(t, message, "tool_call_id");
        begin(j, "fco", n, "function_call_output");
        jout_put_text(j, "call_id", id.data, id.size);
        jout_put_text(j, "output", content.data, content.size);
        jout_close(j, '}');
        return;
    }
    if (thoughts.size) {
        begin(j, "rs", n, "reasoning");
        jout_put_open(j, "summary", '[');
        jout_close(j, ']');
        part(j, "reasoning_text", thoughts);
    }
    if (content.data) {
        begin(j, "msg", n, "message");
        jout_put(j, "status", "completed");
        jout_put_text(j, "role", role.data, role.size);
        part(j, span_is(role, "assistant") ? "output_text" : "input_text", content);
    }
    calls(t, message, j, n);
}

void api_reply_items(const char *messages, Buf *out)
{
    JsonTree tree;
    JsonOut j = {out};
    int32_t n = 0;
    Span text = messages ? span_of(messages) : SPAN("[]");
    if (json_tree_open(text, API_MAX_DEPTH + 8, NULL, &tree, NULL) != BT_OK) {
        out->failed = true; /* our own text: only memory can be missing */
        return;
    }
    jout_open(&j, '{');
    jout_put(&j, "object", "list");
    jout_put_open(&j, "data", '[');
    for (uint32_t m = tree.nodes[0].child; m; m = tree.nodes[m].next) items(&tree, m, &j, &n);
    jout_close(&j, ']');
    jout_put_bool(&j, "has_more", false);
    jout_close(&j, '}');
    json_tree_close(&tree);
}
