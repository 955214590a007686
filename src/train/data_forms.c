/* The forms that documents take in JSON, found by their keys (see data.h, docs/training.md). All
 * conversations become lists of messages as of the OpenAI API; what a list holds is checked here,
 * so that later parts may rely on it. Facts: the forms are those that data sets are published in
 * (chat fine-tuning files, Alpaca, ShareGPT, prompt and completion). */
#include <string.h>

#include "base/buf.h"
#include "train/data.h"

enum { MOST_MESSAGES = 4096 };

static bt_status no_memory(bt_error *err)
{
    return bt_fail_memory(err, "a conversation", 1);
}

static Span string_of(const json_t *value)
{
    return (Span){json_string_value(value), json_string_length(value)};
}

/* ---- messages ---- */

static bt_status check_calls(const json_t *calls, size_t i, bt_error *err)
{
    size_t j;
    const json_t *call;
    if (!json_is_array(calls))
        return bt_fail(err, BT_E_FORMAT, "messages[%zu].tool_calls is no array", i);
    json_array_foreach(calls, j, call)
    {
        const json_t *function = json_object_get(call, "function");
        if (!json_is_object(function)) function = call;
        if (!json_is_string(json_object_get(function, "name")))
            return bt_fail(err, BT_E_FORMAT, "messages[%zu].tool_calls[%zu] has no name", i, j);
        const json_t *arguments = json_object_get(function, "arguments");
        if (!json_is_object(arguments) && !json_is_string(arguments))
            return bt_fail(err, BT_E_FORMAT,
                           "messages[%zu].tool_calls[%zu].arguments is no object and no text", i,
                           j);
    }
    return BT_OK;
}

static bt_status check_messages(const json_t *messages, bt_error *err)
{
    size_t i;
    const json_t *m;
    bt_status status = BT_OK;
    if (!json_is_array(messages) || !json_array_size(messages))
        return bt_fail(err, BT_E_FORMAT, "messages is no array with messages in it");
    if (json_array_size(messages) > MOST_MESSAGES)
        return bt_fail(err, BT_E_FORMAT, "over %d messages in one conversation", MOST_MESSAGES);
    json_array_foreach(messages, i, m)
    {
        const json_t *content = json_object_get(m, "content");
        const json_t *calls = json_object_get(m, "tool_calls");
        bool called = calls && !json_is_null(calls);
        if (!json_is_string(json_object_get(m, "role")))
            return bt_fail(err, BT_E_FORMAT, "messages[%zu] has no role", i);
        if (!json_is_string(content) && !json_is_array(content) && !called)
            return bt_fail(err, BT_E_FORMAT, "messages[%zu] has no content", i);
        if (called && (status = check_calls(calls, i, err))) return status;
    }
    return BT_OK;
}

/* Tools as an array, or as text that holds one; they stay in the object. */
static bt_status read_tools(json_t *object, DataDoc *doc, bt_error *err)
{
    json_t *tools = json_object_get(object, "tools");
    if (!tools || json_is_null(tools)) return BT_OK;
    if (json_is_string(tools) && !json_string_length(tools)) return BT_OK;
    if (json_is_string(tools)) {
        tools = json_loadb(json_string_value(tools), json_string_length(tools), 0, NULL);
        if (!tools) return bt_fail(err, BT_E_FORMAT, "tools is a text that is no JSON");
        if (json_object_set_new(object, "tools", tools)) return no_memory(err);
    }
    if (!json_is_array(tools)) return bt_fail(err, BT_E_FORMAT, "tools is no array");
    if (json_array_size(tools)) doc->tools = tools;
    return BT_OK;
}

static bt_status chat(json_t *object, json_t *messages, DataDoc *doc, bt_error *err)
{
    bt_status status = check_messages(messages, err);
    if (status) return status;
    doc->kind = DATA_CHAT;
    doc->messages = messages;
    json_t *variables = json_object_get(object, "chat_template_kwargs");
    if (variables && !json_is_null(variables)) {
        if (!json_is_object(variables))
            return bt_fail(err, BT_E_FORMAT, "chat_template_kwargs is no object");
        doc->variables = variables;
    }
    return read_tools(object, doc, err);
}

/* ---- ShareGPT ---- */

static const struct {
    const char *from, *role;
} speakers[] = {
    {"human", "user"},
    {"user", "user"},
    {"gpt", "assistant"},
    {"assistant", "assistant"},
    {"model", "assistant"},
    {"bot", "assistant"},
    {"chatgpt", "assistant"},
    {"system", "system"},
    {"tool", "tool"},
    {"observation", "tool"},
    {"function_response", "tool"},
    {"function_call", "function_call"},
};

/* {"name", "arguments"} as text, in place of what the assistant says. */
static json_t *called(const json_t *value)
{
    json_t *call = json_loadb(json_string_value(value), json_string_length(value), 0, NULL);
    json_t *list = json_is_array(call) ? json_incref(call) : json_pack("[O]", call);
    json_decref(call);
    return list ? json_pack("{s:s,s:n,s:o}", "role", "assistant", "content", "tool_calls", list)
                : NULL;
}

static json_t *turn(const json_t *said, size_t i, bt_error *err)
{
    const char *from = json_string_value(json_object_get(said, "from")), *role = NULL;
    const json_t *value = json_object_get(said, "value");
    if (!from && json_is_string(json_object_get(said, "role"))) return json_deep_copy(said);
    for (size_t j = 0; from && j < sizeof speakers / sizeof *speakers; j++)
        if (strcmp(speakers[j].from, from) == 0) role = speakers[j].role;
    if (!role) {
        bt_fail(err, BT_E_FORMAT,
                "conversations[%zu] is from '%.40s': human, gpt, system, tool, "
                "function_call and observation are known",
                i, from ? from : "nobody");
        return NULL;
    }
    if (!json_is_string(value)) {
        bt_fail(err, BT_E_FORMAT, "conversations[%zu] has no value", i);
        return NULL;
    }
    json_t *made = strcmp(role, "function_call") == 0
                       ? called(value)
                       : json_pack("{s:s,s:O}", "role", role, "content", value);
    if (!made) bt_fail(err, BT_E_FORMAT, "conversations[%zu].value is no call in JSON", i);
    return made;
}

static bt_status share_gpt(json_t *object, DataDoc *doc, bt_error *err)
{
    size_t i;
    const json_t *said, *list = json_object_get(object, "conversations");
    const json_t *system = json_object_get(object, "system");
    json_t *messages = json_array();
    if (!messages || json_object_set_new(object, "messages", messages)) return no_memory(err);
    if (json_string_length(system) &&
        json_array_append_new(messages,
                              json_pack("{s:s,s:O}", "role", "system", "content", system)))
        return no_memory(err);
    json_array_foreach(list, i, said)
    {
        json_t *made = turn(said, i, err);
        if (!made) return BT_E_FORMAT;
        if (json_array_append_new(messages, made)) return no_memory(err);
    }
    return chat(object, messages, doc, err);
}

/* ---- Alpaca ---- */

static bool say(json_t *messages, const char *role, Span text)
{
    return json_array_append_new(messages, json_pack("{s:s,s:s%}", "role", role, "content",
                                                     text.data, text.size)) == 0;
}

static bt_status history(json_t *messages, const json_t *list, bt_error *err)
{
    size_t i;
    const json_t *pair;
    json_array_foreach(list, i, pair)
    {
        const json_t *asked = json_array_get(pair, 0), *answer = json_array_get(pair, 1);
        if (!json_is_string(asked) || !json_is_string(answer))
            return bt_fail(err, BT_E_FORMAT, "history[%zu] is no pair of texts", i);
        if (!say(messages, "user", string_of(asked)) ||
            !say(messages, "assistant", string_of(answer)))
            return no_memory(err);
    }
    return BT_OK;
}

static bt_status alpaca(json_t *object, DataDoc *doc, bt_error *err)
{
    Span instruction = string_of(json_object_get(object, "instruction"));
    Span input = string_of(json_object_get(object, "input"));
    Span output = string_of(json_object_get(object, "output"));
    Span system = string_of(json_object_get(object, "system"));
    json_t *messages = json_array();
    Buf text = {0};
    if (!instruction.data || !output.data) {
        json_decref(messages);
        return bt_fail(err, BT_E_FORMAT, "instruction or output is no text");
    }
    if (!messages || json_object_set_new(object, "messages", messages)) return no_memory(err);
    if (system.size && !say(messages, "system", system)) return no_memory(err);
    bt_status status = history(messages, json_object_get(object, "history"), err);
    if (status) return status;
    doc->first_counted = json_array_size(messages);
    buf_add(&text, instruction.data, instruction.size);
    if (input.size) {
        buf_text(&text, "\n\n");
        buf_add(&text, input.data, input.size);
    }
    bool good = !text.failed &&
                say(messages, "user", (Span){text.data ? text.data : "", text.size}) &&
                say(messages, "assistant", output);
    buf_close(&text);
    return good ? chat(object, messages, doc, err) : no_memory(err);
}

/* ---- prompt and completion ---- */

static bt_status pair(json_t *object, DataDoc *doc, bt_error *err)
{
    json_t *prompt = json_object_get(object, "prompt");
    json_t *completion = json_object_get(object, "completion");
    if (json_is_string(prompt) && json_is_string(completion)) {
        doc->kind = DATA_PAIR;
        doc->prompt = string_of(prompt);
        doc->text = string_of(completion);
        return BT_OK;
    }
    if (!json_is_array(prompt) || !json_is_array(completion))
        return bt_fail(err, BT_E_FORMAT,
                       "prompt and completion are neither two texts nor two lists of messages");
    json_t *messages = json_copy(prompt);
    if (!messages || json_array_extend(messages, completion) ||
        json_object_set_new(object, "messages", messages))
        return no_memory(err);
    doc->first_counted = json_array_size(prompt);
    return chat(object, messages, doc, err);
}

/* ---- which of them ---- */

static bt_status unknown(json_t *object, bt_error *err)
{
    Buf keys = {0};
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        if (keys.size > 100) break;
        buf_printf(&keys, "%s%.40s", keys.size ? ", " : "", key);
    }
    bt_fail(err, BT_E_FORMAT,
            "no known form: there must be messages, prompt and completion, text, instruction and "
            "output, or conversations; its keys are: %s",
            keys.size ? keys.data : "none");
    buf_close(&keys);
    return BT_E_FORMAT;
}

bt_status data_form(json_t *object, DataDoc *doc, bt_error *err)
{
    json_t *value;
    if (!json_is_object(object))
        return bt_fail(err, BT_E_FORMAT, "a JSON object is needed, one a line");
    if ((value = json_object_get(object, "messages"))) return chat(object, value, doc, err);
    if (json_object_get(object, "conversations")) return share_gpt(object, doc, err);
    if (json_object_get(object, "prompt") && json_object_get(object, "completion"))
        return pair(object, doc, err);
    if (json_object_get(object, "instruction") && json_object_get(object, "output"))
        return alpaca(object, doc, err);
    if ((value = json_object_get(object, "text"))) {
        if (!json_is_string(value)) return bt_fail(err, BT_E_FORMAT, "text is no text");
        doc->kind = DATA_TEXT;
        doc->text = string_of(value);
        return BT_OK;
    }
    return unknown(object, err);
}
