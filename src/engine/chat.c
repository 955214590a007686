/* Chat templates made ready, and conversations to text and ids (see chat.h): what the template
 * writes may hold special tokens, what people and models said never does. */
#include "engine/chat.h"

#include <string.h>
#include <time.h>

#include "base/mem.h"

/* ---- opening ---- */

static void by_vocabulary(Chat *chat)
{
    bool im = tok_find(chat->tok, SPAN("<|im_start|>")) >= 0;
    bool header = tok_find(chat->tok, SPAN("<|start_header_id|>")) >= 0;
    chat_named(im ? "chatml" : header ? "llama3" : "plain", &chat->format);
    chat->vocabulary_bos = true;
}

static bt_status by_template(Chat *chat, const char *jinja, bt_error *err)
{
    bt_error why = {0};
    bt_status status = jinja_compile(span_of(jinja), &chat->jinja, &why);
    if (!status) status = chat_try(chat, &why);
    if (!status) return BT_OK;
    jinja_close(&chat->jinja);
    if (status == BT_E_MEMORY) return bt_fail(err, status, "%s", why.text);
    if (chat_detect(span_of(jinja), &chat->format, NULL) == BT_OK) return BT_OK;
    return bt_fail(err, BT_E_UNSUPPORTED,
                   "the chat template cannot be used (%.500s): choose another with --template "
                   "chatml, llama3, plain or a file, or use --raw",
                   why.text);
}

bt_status chat_open(const ChatSource *source, const char *name, Chat *out, bt_error *err)
{
    *out = (Chat){.tok = source->tok};
    if (name) {
        out->vocabulary_bos = true;
        if (chat_named(name, &out->format)) return BT_OK;
        return bt_fail(err, BT_E_ARGUMENT,
                       "there is no chat template '%.40s': it must be chatml, llama3 or plain",
                       name);
    }
    if (source->jinja && *source->jinja) return by_template(out, source->jinja, err);
    by_vocabulary(out);
    return BT_OK;
}

void chat_close(Chat *chat)
{
    jinja_close(&chat->jinja);
}

const char *chat_name(const Chat *chat)
{
    return chat->jinja ? "jinja" : chat_kind_name(chat->format.kind);
}

bool chat_takes_tools(const Chat *chat)
{
    return chat->jinja && jinja_reads(chat->jinja, "tools");
}

/* ---- rendering ---- */

bt_status chat_run(const Chat *chat, const json_t *context, int64_t now, const JinjaLimits *limits,
                   Buf *out, ChatParts *parts, bt_error *err)
{
    JinjaParts runs = {0};
    JinjaInput input = {
        .context = context, .own = chat_own_words, .now = now ? now : (int64_t)time(NULL)};
    if (limits) input.limits = *limits;
    bt_status status = jinja_render(chat->jinja, &input, out, &runs, err);
    chat_parts_close(parts);
    *parts = (ChatParts){runs.items, runs.n, runs.n};
    return status;
}

/* "21 Nov 2026", whatever the locale. */
static Span today(int64_t at, char *out, size_t size)
{
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = at ? (time_t)at : time(NULL);
    struct tm tm;
    if (!gmtime_r(&now, &tm)) return (Span){NULL, 0};
    snprintf(out, size, "%02d %s %d", tm.tm_mday, months[tm.tm_mon % 12], tm.tm_year + 1900);
    return span_of(out);
}

/* The simple formats know text of three roles and no tools. */
static bt_status by_format(const Chat *chat, const json_t *context, int64_t now, Buf *out,
                           ChatParts *parts, bt_error *err)
{
    char date[32], bos[256];
    const json_t *list = json_object_get(context, "messages");
    size_t n = json_array_size(list);
    bt_message *messages = mem_zalloc(n, sizeof *messages);
    if (!messages) return bt_fail_memory(err, "a conversation", n * sizeof *messages);
    bt_status status = BT_OK;
    const char *name = chat_name(chat);
    if (json_array_size(json_object_get(context, "tools")))
        status = bt_fail(err, BT_E_UNSUPPORTED, "the chat template %s has no tools", name);
    for (size_t i = 0; i < n && !status; i++) {
        const json_t *m = json_array_get(list, i);
        messages[i].role = json_string_value(json_object_get(m, "role"));
        const json_t *content = json_object_get(m, "content");
        messages[i].content = json_string_value(content);
        if (!messages[i].content || json_object_get(m, "tool_calls"))
            status = bt_fail(err, BT_E_UNSUPPORTED,
                             "message %zu has more than text: the chat template %s knows no more",
                             i, name);
        else if (strlen(messages[i].content) != json_string_length(content))
            status = bt_fail(err, BT_E_UNSUPPORTED,
                             "message %zu has a NUL character: the chat template %s takes none", i,
                             name);
    }
    ChatRequest request = {.messages = messages,
                           .n = n,
                           .generation =
                               json_is_true(json_object_get(context, "add_generation_prompt"))};
    if (chat->format.clock) request.date = today(now, date, sizeof date);
    int64_t size = tok_text(chat->tok, tok_bos(chat->tok), true, false, bos, sizeof bos);
    if (size > 0 && size <= (int64_t)sizeof bos) request.bos = (Span){bos, (size_t)size};
    if (!status) status = chat_render(&chat->format, &request, out, parts, err);
    mem_free(messages);
    return status;
}

bt_status chat_apply(const Chat *chat, const ChatAsk *ask, Buf *out, ChatParts *parts,
                     bt_error *err)
{
    bt_error why = {0};
    if (!json_is_array(ask->messages) || !json_array_size(ask->messages))
        return bt_fail(err, BT_E_ARGUMENT, "a conversation needs at least one message");
    json_t *context = chat_context(chat, ask, &why);
    bt_status status = context ? BT_OK : why.status;
    if (!status && chat->jinja)
        status = chat_run(chat, context, ask->now, NULL, out, parts, &why);
    else if (!status)
        status = by_format(chat, context, ask->now, out, parts, &why);
    json_decref(context);
    if (!status) return BT_OK;
    bool template = context && chat->jinja && status != BT_E_MEMORY;
    return bt_fail(err, status, "%s%s",
                   !template                 ? ""
                   : status == BT_E_ARGUMENT ? "the chat template refuses this: "
                                             : "the chat template fails: ",
                   why.text);
}

bt_status chat_encode(const Chat *chat, const ChatParts *parts, bt_token **ids, size_t *n,
                      bt_error *err)
{
    bool bos = chat->vocabulary_bos && tok_adds_bos(chat->tok);
    return tok_encode(chat->tok, parts->items, parts->n, bos, ids, n, err);
}
