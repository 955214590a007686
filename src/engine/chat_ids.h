/* The chat functions of bantam.h on a tokenizer and a template's text; chat_model.c asks a model
 * for both. */
#ifndef ENGINE_CHAT_IDS_H
#define ENGINE_CHAT_IDS_H

#include "text/chat.h"

typedef struct ChatSource {
    const Tokenizer *tok;
    const char *jinja; /* the file's template, or NULL */
} ChatSource;

/* The format by `name`, or if NULL by the file's template, or if there is none by the vocabulary.
 * BT_E_ARGUMENT for an unknown name, BT_E_UNSUPPORTED for an unknown template. */
bt_status chat_choose(const ChatSource *source, const char *name, ChatFormat *out, bt_error *err);
/* chat_choose and chat_render, with the vocabulary's BOS and, where wanted, today's date (UTC). */
bt_status chat_text(const ChatSource *source, const char *name, const bt_message *messages,
                    size_t n, bool generation, Buf *out, ChatParts *parts, bt_error *err);
/* As bt_chat_tokenize: the number of ids, or a negative status. */
int64_t chat_ids(const ChatSource *source, const char *name, const bt_message *messages, size_t n,
                 bool generation, bt_token *ids, size_t capacity, bt_error *err);

#endif
