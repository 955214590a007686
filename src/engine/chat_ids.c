/* Conversations to ids: markup may hold special tokens, contents never do (see text/chat.h). */
#include "engine/chat_ids.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"

bt_status chat_choose(const ChatSource *source, const char *name, ChatFormat *out, bt_error *err)
{
    if (name) {
        if (chat_named(name, out)) return BT_OK;
        return bt_fail(err, BT_E_ARGUMENT,
                       "there is no chat template '%.40s': it must be chatml, llama3 or plain",
                       name);
    }
    if (source->jinja && *source->jinja) return chat_detect(span_of(source->jinja), out, err);
    if (tok_find(source->tok, SPAN("<|im_start|>")) >= 0)
        chat_named("chatml", out);
    else if (tok_find(source->tok, SPAN("<|start_header_id|>")) >= 0)
        chat_named("llama3", out);
    else
        chat_named("plain", out);
    return BT_OK;
}

/* "21 Nov 2026", whatever the locale. */
static Span today(char *out, size_t size)
{
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = time(NULL);
    struct tm tm;
    if (!gmtime_r(&now, &tm)) return (Span){NULL, 0};
    snprintf(out, size, "%02d %s %d", tm.tm_mday, months[tm.tm_mon % 12], tm.tm_year + 1900);
    return span_of(out);
}

bt_status chat_text(const ChatSource *source, const char *name, const bt_message *messages,
                    size_t n, bool generation, Buf *out, ChatParts *parts, bt_error *err)
{
    ChatFormat format;
    char date[32], bos[256];
    ChatRequest request = {.messages = messages, .n = n, .generation = generation};
    bt_status status = chat_choose(source, name, &format, err);
    if (status) return status;
    if (format.clock) request.date = today(date, sizeof date);
    int64_t size = tok_text(source->tok, tok_bos(source->tok), true, false, bos, sizeof bos);
    if (size > 0 && size <= (int64_t)sizeof bos) request.bos = (Span){bos, (size_t)size};
    return chat_render(&format, &request, out, parts, err);
}

int64_t chat_ids(const ChatSource *source, const char *name, const bt_message *messages, size_t n,
                 bool generation, bt_token *ids, size_t capacity, bt_error *err)
{
    Buf text = {0};
    ChatParts parts = {0};
    int32_t *all = NULL;
    size_t n_all = 0;
    bt_status status = chat_text(source, name, messages, n, generation, &text, &parts, err);
    /* A template says itself whether BOS comes first; without one the vocabulary does. */
    bool bos = (name || !source->jinja || !*source->jinja) && tok_adds_bos(source->tok);
    if (!status) status = tok_encode(source->tok, parts.items, parts.n, bos, &all, &n_all, err);
    if (!status && ids && capacity)
        memcpy(ids, all, (n_all < capacity ? n_all : capacity) * sizeof *ids);
    mem_free(all);
    buf_close(&text);
    chat_parts_close(&parts);
    return status ? status : (int64_t)n_all;
}
