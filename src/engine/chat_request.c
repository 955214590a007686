/* Requests as variables of a chat template. Messages come as the OpenAI API has them and are given
 * as templates expect them: reasoning under the names that they read, arguments of tool calls as
 * objects or as text, text parts joined. Roles are words of small letters: a template writes them
 * next to its markup. */
#include <string.h>

#include "engine/chat.h"

const char *const chat_own_words[] = {"bos_token", "eos_token", "unk_token", "pad_token", NULL};

#define MOST_JSON_DEPTH 64

static bool good_role(const char *role)
{
    size_t n = strlen(role);
    return n > 0 && n <= 32 && strspn(role, "abcdefghijklmnopqrstuvwxyz_- ") == n;
}

/* ---- contents ---- */

static bool only_text(const json_t *parts)
{
    size_t i;
    json_t *part;
    json_array_foreach(parts, i, part)
    {
        const char *type = json_string_value(json_object_get(part, "type"));
        if (!type || strcmp(type, "text") != 0) return false;
        if (!json_is_string(json_object_get(part, "text"))) return false;
    }
    return true;
}

static json_t *joined(const json_t *parts)
{
    Buf text = {0};
    size_t i;
    json_t *part;
    json_array_foreach(parts, i, part)
    {
        const json_t *s = json_object_get(part, "text");
        if (i) buf_char(&text, '\n');
        buf_add(&text, json_string_value(s), json_string_length(s));
    }
    buf_add(&text, "", 0);
    json_t *string = text.failed ? NULL : json_stringn_nocheck(text.data, text.size);
    buf_close(&text);
    return string;
}

static json_t *content(const Chat *chat, const json_t *given, bool calls)
{
    bool none = !given || json_is_null(given) ||
                (calls && json_is_string(given) && !json_string_length(given));
    if (none && (chat->empty_content || !calls)) return json_string("");
    if (none) return json_null();
    if (json_is_array(given) && only_text(given) && !chat->parts_only) return joined(given);
    if (json_is_string(given) && chat->parts_only)
        return json_pack("[{s:s,s:O}]", "type", "text", "text", given);
    return json_deep_copy(given);
}

/* ---- tool calls ---- */

static int add_text(const char *data, size_t n, void *user)
{
    buf_add(user, data, n);
    return ((Buf *)user)->failed ? -1 : 0;
}

static json_t *arguments(const Chat *chat, const json_t *given)
{
    if (json_is_string(given) && !chat->text_arguments) {
        json_t *object = json_loadb(json_string_value(given), json_string_length(given), 0, NULL);
        if (json_is_object(object)) return object;
        json_decref(object);
    } else if (json_is_object(given) && chat->text_arguments) {
        Buf text = {0};
        json_t *string = NULL;
        if (json_dump_callback(given, add_text, &text, 0) == 0)
            string = json_stringn_nocheck(text.data, text.size);
        buf_close(&text);
        return string;
    }
    return json_deep_copy(given);
}

static bool fix_calls(const Chat *chat, json_t *calls)
{
    size_t i;
    json_t *call;
    json_array_foreach(calls, i, call)
    {
        json_t *function = json_object_get(call, "function");
        if (!json_is_object(function)) function = call;
        const json_t *given = json_object_get(function, "arguments");
        if (given && json_object_set_new(function, "arguments", arguments(chat, given)))
            return false;
    }
    return true;
}

/* ---- messages ---- */

/* What a model thought goes by three names. */
static bool name_reasoning(json_t *message)
{
    static const char *const names[] = {"reasoning_content", "thinking", "reasoning"};
    json_t *found = NULL;
    for (size_t i = 0; i < 3 && !found; i++) {
        found = json_object_get(message, names[i]);
        if (json_is_null(found)) found = NULL;
    }
    if (!found) return true;
    bool thinking = json_object_get(message, "thinking") != NULL;
    return json_object_set(message, "reasoning_content", found) == 0 &&
           (thinking || json_object_set(message, "thinking", found) == 0);
}

static json_t *message(const Chat *chat, const json_t *given, size_t i, bt_error *err)
{
    const char *role = json_string_value(json_object_get(given, "role"));
    const json_t *calls = json_object_get(given, "tool_calls");
    if (!role) {
        bt_fail(err, BT_E_ARGUMENT, "message %zu has no role", i);
        return NULL;
    }
    if (!good_role(role)) {
        bt_fail(err, BT_E_ARGUMENT,
                "message %zu has the role '%.40s': it must be system, user, assistant, tool or "
                "another word of small letters",
                i, role);
        return NULL;
    }
    json_t *copy = json_deep_copy(given);
    bool called = json_is_array(calls) && json_array_size(calls);
    bool good =
        copy && json_object_set_new(copy, "content",
                                    content(chat, json_object_get(given, "content"), called)) == 0;
    if (good && called) good = fix_calls(chat, json_object_get(copy, "tool_calls"));
    if (good && calls && !called) json_object_del(copy, "tool_calls");
    if (good && strcmp(role, "developer") == 0 && !chat->developer)
        good = json_object_set_new(copy, "role", json_string("system")) == 0;
    if (good && name_reasoning(copy)) return copy;
    json_decref(copy);
    bt_fail_memory(err, "a conversation", 1);
    return NULL;
}

/* ---- thinking ---- */

typedef struct Switch {
    const char *name;
    json_t *on, *off;
} Switch;

static const char *const switches[] = {"enable_thinking", "thinking", "reasoning", "thinking_mode",
                                       "thinking_budget"};

bool chat_can_think(const Chat *chat)
{
    for (size_t i = 0; chat->jinja && i < sizeof switches / sizeof *switches; i++)
        if (jinja_reads(chat->jinja, switches[i])) return true;
    return chat->jinja && jinja_reads(chat->jinja, "reasoning_effort");
}

/* An effort is a last resort: the words differ, so one that the template names is taken. */
static const char *effort(const Chat *chat, bool on)
{
    static const char *const more[] = {"medium", "high", NULL};
    static const char *const less[] = {"none", "no_think", "minimal", "low", NULL};
    for (const char *const *word = on ? more : less; *word; word++)
        if (jinja_says(chat->jinja, *word)) return *word;
    return on ? NULL : "low";
}

static void set_think(const Chat *chat, bool on, json_t *context)
{
    bool told = false;
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++) {
        bool budget = strcmp(switches[i], "thinking_budget") == 0;
        bool mode = strcmp(switches[i], "thinking_mode") == 0;
        if (!jinja_reads(chat->jinja, switches[i])) continue;
        told = true;
        if (budget && on) continue; /* without one there is no end to it */
        json_object_set_new(context, switches[i],
                            budget ? json_integer(0)
                            : mode ? json_string(on ? "enabled" : "disabled")
                                   : json_boolean(on));
    }
    const char *word = told ? NULL : effort(chat, on);
    if (word) json_object_set_new(context, "reasoning_effort", json_string(word));
}

/* ---- all of it ---- */

static bool set_token(const Chat *chat, json_t *context, const char *name, int32_t id)
{
    char text[256];
    int64_t n = tok_text(chat->tok, id, true, false, text, sizeof text);
    if (n <= 0 || n > (int64_t)sizeof text) return true;
    return json_object_set_new(context, name, json_stringn_nocheck(text, (size_t)n)) == 0;
}

json_t *chat_context(const Chat *chat, const ChatAsk *ask, bt_error *err)
{
    json_t *context = json_object(), *list = json_array(), *value;
    size_t i;
    const char *name;
    if (ask->think && chat->jinja) set_think(chat, ask->think == BT_THINK_ON, context);
    json_object_set_new(context, "documents", json_null());
    json_t *variables = (json_t *)(uintptr_t)ask->variables;
    json_object_foreach(variables, name, value) json_object_set(context, name, value);
    for (const char *const *own = chat_own_words; *own; own++) json_object_del(context, *own);
    json_array_foreach(ask->messages, i, value)
    {
        json_t *copy = message(chat, value, i, err);
        if (!copy || json_array_append_new(list, copy)) {
            json_decref(list);
            json_decref(context);
            return NULL;
        }
    }
    bool tools = json_is_array(ask->tools) && json_array_size(ask->tools);
    bool good =
        json_object_set_new(context, "messages", list) == 0 &&
        json_object_set_new(context, "tools",
                            tools               ? json_deep_copy(ask->tools)
                            : chat->empty_tools ? json_array()
                                                : json_null()) == 0 &&
        json_object_set_new(context, "add_generation_prompt", json_boolean(ask->generation)) == 0 &&
        set_token(chat, context, "bos_token", tok_bos(chat->tok)) &&
        set_token(chat, context, "eos_token", tok_eos(chat->tok));
    if (good) return context;
    json_decref(context);
    bt_fail_memory(err, "a conversation", 1);
    return NULL;
}

/* ---- messages of the library ---- */

static bool put(json_t *object, const char *key, const char *text)
{
    return !text || json_object_set_new(object, key, json_stringn_nocheck(text, strlen(text))) == 0;
}

static json_t *call_object(const bt_tool_call *call)
{
    json_t *function = json_object(), *object = json_object();
    bool good = put(function, "name", call->name) &&
                put(function, "arguments", call->arguments ? call->arguments : "{}") &&
                put(object, "id", call->id) && put(object, "type", "function");
    if (good && json_object_set(object, "function", function) != 0) good = false;
    json_decref(function);
    if (good) return object;
    json_decref(object);
    return NULL;
}

static json_t *message_object(const bt_message *m)
{
    json_t *object = json_object(), *calls = json_array();
    bool good = calls && put(object, "role", m->role) && put(object, "content", m->content) &&
                put(object, "reasoning_content", m->reasoning) &&
                put(object, "tool_call_id", m->tool_call_id) && put(object, "name", m->name);
    for (size_t i = 0; good && i < m->n_tool_calls; i++)
        good = json_array_append_new(calls, call_object(&m->tool_calls[i])) == 0;
    if (good && m->n_tool_calls) good = json_object_set(object, "tool_calls", calls) == 0;
    json_decref(calls);
    if (good) return object;
    json_decref(object);
    return NULL;
}

bt_status chat_messages(const bt_message *messages, size_t n, json_t **out, bt_error *err)
{
    *out = NULL;
    if (!n) return bt_fail(err, BT_E_ARGUMENT, "a conversation needs at least one message");
    json_t *list = json_array();
    bt_status status = BT_OK;
    for (size_t i = 0; i < n && !status; i++) {
        const bt_message *m = &messages[i];
        if (!m->role || (!m->content && !m->n_tool_calls))
            status = bt_fail(err, BT_E_ARGUMENT, "message %zu has no role or no content", i);
        for (size_t k = 0; k < m->n_tool_calls && !status; k++)
            if (!m->tool_calls[k].name)
                status = bt_fail(err, BT_E_ARGUMENT, "call %zu of message %zu has no name", k, i);
        if (!status && json_array_append_new(list, message_object(m)) != 0)
            status = bt_fail_memory(err, "a conversation", 1);
    }
    if (status)
        json_decref(list);
    else
        *out = list;
    return status;
}
