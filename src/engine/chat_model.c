/* The chat functions of bantam.h: a model's tokenizer and template, asked (see chat.h). */
#include <string.h>

#include "base/mem.h"
#include "engine/chat.h"
#include "engine/model.h"

struct bt_chat {
    Chat chat;
};

bt_status bt_chat_open(const bt_model *model, const bt_chat_options *options, bt_chat **out,
                       bt_error *err)
{
    static const bt_chat_options none;
    const bt_chat_options *o = options ? options : &none;
    ChatSource source = {model_tokenizer(model), bt_model_describe(model).chat_template};
    *out = NULL;
    if (o->jinja) source.jinja = o->jinja;
    bt_chat *chat = mem_zalloc(1, sizeof *chat);
    if (!chat) return bt_fail_memory(err, "a chat template", sizeof *chat);
    bt_status status = chat_open(&source, o->name, &chat->chat, err);
    if (status)
        mem_free(chat);
    else
        *out = chat;
    return status;
}

void bt_chat_close(bt_chat **chat)
{
    if (!chat || !*chat) return;
    chat_close(&(*chat)->chat);
    mem_free(*chat);
    *chat = NULL;
}

const char *bt_chat_name(const bt_chat *chat)
{
    return chat_name(&chat->chat);
}

bool bt_chat_can_think(const bt_chat *chat)
{
    return chat_can_think(&chat->chat);
}

bool bt_chat_takes_tools(const bt_chat *chat)
{
    return chat_takes_tools(&chat->chat);
}

/* ---- requests ---- */

/* *out is NULL where the text is. */
static bt_status parse(const char *text, const char *what, bool array, json_t **out, bt_error *err)
{
    json_error_t at;
    *out = NULL;
    if (!text) return BT_OK;
    *out = json_loads(text, JSON_ALLOW_NUL, &at); /* a character as any other */
    if (!*out)
        return bt_fail(err, BT_E_ARGUMENT, "%s: no JSON: line %d, column %d: %s", what, at.line,
                       at.column, at.text);
    if (array ? json_is_array(*out) : json_is_object(*out)) return BT_OK;
    return bt_fail(err, BT_E_ARGUMENT, "%s: a JSON %s is needed", what, array ? "array" : "object");
}

/* `text` may be NULL. */
static bt_status apply(const Chat *chat, const ChatAsk *ask, bt_token **ids, size_t *n_ids,
                       Buf *text, bt_error *err)
{
    Buf unwanted = {0}, *out = text ? text : &unwanted;
    ChatParts parts = {0};
    bt_status status = chat_apply(chat, ask, out, &parts, err);
    if (!status && ids) status = chat_encode(chat, &parts, ids, n_ids, err);
    if (!status && out->failed) status = bt_fail_memory(err, "the rendered conversation", 1);
    if (status && ids) {
        mem_free(*ids);
        *ids = NULL;
    }
    if (status && n_ids) *n_ids = 0;
    chat_parts_close(&parts);
    buf_close(&unwanted);
    return status;
}

static bt_status take(Buf *text, bt_status status, char **out, bt_error *err)
{
    buf_add(text, "", 0); /* there is a NUL */
    *out = status ? NULL : buf_take(text);
    buf_close(text);
    return status || *out ? status : bt_fail_memory(err, "the rendered conversation", 1);
}

bt_status chat_write(const bt_chat *chat, const bt_chat_request *request, bt_token **ids,
                     size_t *n_ids, Buf *text, bt_error *err)
{
    json_t *messages = NULL, *tools = NULL, *variables = NULL;
    if (ids) *ids = NULL;
    if (n_ids) *n_ids = 0;
    bt_status status = request->list && !request->messages
                           ? chat_messages(request->list, request->n_list, &messages, err)
                           : parse(request->messages, "messages", true, &messages, err);
    if (!status) status = parse(request->tools, "tools", true, &tools, err);
    if (!status) status = parse(request->variables, "variables", false, &variables, err);
    const ChatAsk ask = {.messages = messages,
                         .tools = tools,
                         .variables = variables,
                         .think = request->think,
                         .generation = request->generation};
    if (!status) status = apply(&chat->chat, &ask, ids, n_ids, text, err);
    json_decref(messages);
    json_decref(tools);
    json_decref(variables);
    return status;
}

bt_status bt_chat_apply(const bt_chat *chat, const bt_chat_request *request, bt_token **ids,
                        size_t *n_ids, char **text, bt_error *err)
{
    Buf out = {0};
    bt_status status = chat_write(chat, request, ids, n_ids, text ? &out : NULL, err);
    if (!text) return status;
    status = take(&out, status, text, err);
    if (status && ids) {
        mem_free(*ids);
        *ids = NULL;
        *n_ids = 0;
    }
    return status;
}

/* ---- plain messages ---- */

static bt_status once(const bt_model *model, const char *name, const bt_message *messages, size_t n,
                      bool generation, bt_token **ids, size_t *n_ids, Buf *text, bt_error *err)
{
    const ChatSource source = {model_tokenizer(model), bt_model_describe(model).chat_template};
    Chat chat;
    json_t *list;
    bt_status status = chat_open(&source, name, &chat, err);
    if (status) return status;
    status = chat_messages(messages, n, &list, err);
    const ChatAsk ask = {.messages = list, .generation = generation};
    if (!status) status = apply(&chat, &ask, ids, n_ids, text, err);
    json_decref(list);
    chat_close(&chat);
    return status;
}

bt_status bt_chat_render(const bt_model *model, const char *template_name,
                         const bt_message *messages, size_t n, bool generation, char **out,
                         bt_error *err)
{
    Buf text = {0};
    bt_status status = once(model, template_name, messages, n, generation, NULL, NULL, &text, err);
    return take(&text, status, out, err);
}

int64_t bt_chat_tokenize(const bt_model *model, const char *template_name,
                         const bt_message *messages, size_t n, bool generation, bt_token *ids,
                         size_t capacity, bt_error *err)
{
    bt_token *all = NULL;
    size_t n_all = 0;
    bt_status status = once(model, template_name, messages, n, generation, &all, &n_all, NULL, err);
    if (!status && ids && capacity)
        memcpy(ids, all, (n_all < capacity ? n_all : capacity) * sizeof *ids);
    mem_free(all);
    return status ? status : (int64_t)n_all;
}

const char *bt_chat_template(const bt_model *model)
{
    const ChatSource source = {model_tokenizer(model), bt_model_describe(model).chat_template};
    ChatFormat known;
    Chat chat;
    if (source.jinja && chat_detect(span_of(source.jinja), &known, NULL) == BT_OK)
        return chat_kind_name(known.kind);
    if (chat_open(&source, NULL, &chat, NULL)) return NULL;
    const char *name = chat_name(&chat);
    chat_close(&chat);
    return name;
}
