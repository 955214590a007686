/* Trials of a chat template before it is used (see chat.h): small conversations, tight bounds. What
 * a template refuses here it may still take in earnest; only running out of bounds is fatal. */
#include <string.h>

#include "engine/chat.h"

#define PROBE "bantamprobe"

static bt_status attempt(const Chat *chat, json_t *messages, const json_t *tools, Buf *out,
                         bt_error *err)
{
    static const JinjaLimits limits = {
        .steps = 1000000, .memory = 64u << 20, .output = 4000000, .seconds = 0.5};
    ChatParts parts = {0};
    const ChatAsk ask = {.messages = messages, .tools = tools, .generation = true};
    buf_clear(out);
    json_t *context = messages ? chat_context(chat, &ask, err) : NULL;
    bt_status status =
        context ? chat_run(chat, context, 0, &limits, out, &parts, err) : BT_E_MEMORY;
    chat_parts_close(&parts);
    json_decref(context);
    json_decref(messages);
    return status;
}

static bool holds(const Buf *text, const char *what)
{
    return text->data && strstr(text->data, what);
}

/* Whether a question is seen in the result, as plain text or else as a part; and whether having no
 * tools must be an empty list. */
static bt_status try_content(Chat *chat, bt_error *err)
{
    Buf out = {0};
    bt_status status = BT_OK;
    for (int how = 0; how < 4; how++) {
        chat->empty_tools = how % 2;
        chat->parts_only = how / 2;
        json_t *question = json_pack("[{s:s,s:s}]", "role", "user", "content", PROBE);
        status = attempt(chat, question, NULL, &out, err);
        if (status == BT_E_LIMIT || status == BT_E_MEMORY) break;
        if (!status && holds(&out, PROBE)) break;
        chat->parts_only = chat->empty_tools = false;
    }
    buf_close(&out);
    return status == BT_E_LIMIT || status == BT_E_MEMORY ? status : BT_OK;
}

/* How often None was printed: that of Python, if it is more often than without any. */
static size_t nones(const Buf *text)
{
    size_t n = 0;
    for (const char *p = text->data; p && (p = strstr(p, "None")); p += 4) n++;
    return n;
}

static bool good_calls(const Buf *out)
{
    return holds(out, PROBE) && !holds(out, "'" PROBE "'") && !holds(out, "\\\"" PROBE);
}

static bt_status try_call(Chat *chat, bool text_arguments, bool empty_content, Buf *out,
                          bt_error *err)
{
    json_t *tools = json_pack("[{s:s,s:{s:s,s:s,s:{s:s,s:{s:{s:s}}}}}]", "type", "function",
                              "function", "name", "try", "description", "A trial.", "parameters",
                              "type", "object", "properties", "x", "type", "string");
    json_t *talk = json_pack(
        "[{s:s,s:s},{s:s,s:n,s:[{s:s,s:s,s:{s:s,s:{s:s}}}]},{s:s,s:s,s:s,s:s}]", "role", "user",
        "content", "Try.", "role", "assistant", "content", "tool_calls", "id", "abcdefghi", "type",
        "function", "function", "name", "try", "arguments", PROBE, "x", "role", "tool",
        "tool_call_id", "abcdefghi", "name", "try", "content", "Tried.");
    chat->text_arguments = text_arguments;
    chat->empty_content = empty_content;
    bt_status status = attempt(chat, talk, tools, out, err);
    json_decref(tools);
    return status;
}

/* How calls are wanted: as objects rather than as text, without content rather than with "". */
static bt_status try_calls(Chat *chat, bt_error *err)
{
    Buf out[2] = {{0}, {0}}; /* without content, with "" */
    bt_status status = BT_OK, fatal = BT_OK;
    bool found = false;
    for (int text = 0; text < 2 && !found && !fatal; text++) {
        bool good[2] = {false, false};
        for (int empty = 0; empty < 2; empty++) {
            status = try_call(chat, text, empty, &out[empty], err);
            if (status == BT_E_LIMIT || status == BT_E_MEMORY) fatal = status;
            good[empty] = !status && good_calls(&out[empty]);
        }
        if (good[0] && good[1] && nones(&out[0]) > nones(&out[1])) good[0] = false;
        found = good[0] || good[1];
        chat->text_arguments = text;
        chat->empty_content = !good[0];
    }
    if (!found) chat->text_arguments = false; /* it has no calls: what is safest */
    buf_close(&out[0]);
    buf_close(&out[1]);
    return fatal;
}

bt_status chat_try(Chat *chat, bt_error *err)
{
    chat->developer = jinja_says(chat->jinja, "developer");
    bt_status status = try_content(chat, err);
    /* Tools may be what a template runs out of bounds with: then it has none. */
    if (!status && try_calls(chat, NULL) == BT_E_MEMORY)
        status = bt_fail_memory(err, "a chat template", 1);
    return status;
}
