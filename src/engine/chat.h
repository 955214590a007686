/* A model's chat template made ready: what bt_chat of bantam.h is, on a tokenizer and a template's
 * text (chat_model.c asks a model for both).
 *
 * The template is run by the interpreter (text/jinja.h). Where it cannot be, or a name is given,
 * one of the formats of text/chat.h renders. Before it is used it is tried on small conversations
 * within tight bounds: that finds hostile templates at once, and how it wants what conversations
 * hold (plain text or parts, arguments of tool calls as objects or as JSON text). */
#ifndef ENGINE_CHAT_H
#define ENGINE_CHAT_H

#include <jansson.h>

#include "text/chat.h"
#include "text/jinja.h"

typedef struct ChatSource {
    const Tokenizer *tok;
    const char *jinja; /* the file's template, or NULL */
} ChatSource;

typedef struct Chat {
    const Tokenizer *tok;
    JinjaTemplate *jinja; /* NULL: `format` */
    ChatFormat format;
    bool vocabulary_bos; /* BOS comes first if the vocabulary says so; else the template's affair */
    /* What the trials found. */
    bool parts_only;     /* contents must be lists of parts */
    bool text_arguments; /* of tool calls: JSON text, not objects */
    bool empty_content;  /* a message without content has "", not none */
    bool empty_tools;    /* without tools there is an empty list, not none */
    bool developer;      /* it knows that role */
} Chat;

/* `name`: "chatml", "llama3" or "plain", or NULL: by source->jinja, or without one by the
 * vocabulary. BT_E_ARGUMENT for another name; BT_E_UNSUPPORTED, saying why, for a template that
 * cannot be used. */
bt_status chat_open(const ChatSource *source, const char *name, Chat *out, bt_error *err);
void chat_close(Chat *chat);
/* "jinja", or the format's name. */
const char *chat_name(const Chat *chat);
/* Whether the template can be told to think, or not to. */
bool chat_can_think(const Chat *chat);
bool chat_takes_tools(const Chat *chat);

typedef struct ChatAsk {
    const json_t *messages;  /* array, as of the OpenAI API */
    const json_t *tools;     /* array, or NULL */
    const json_t *variables; /* object, or NULL */
    bt_think think;
    bool generation;
    int64_t now; /* seconds since 1970, for templates that ask for the date; 0: the clock's */
} ChatAsk;

/* Appends the text; `parts` are set to its runs. BT_E_ARGUMENT (what is asked, or the template's
 * own refusal), BT_E_FORMAT (an error inside the template), BT_E_LIMIT, BT_E_UNSUPPORTED. */
bt_status chat_apply(const Chat *chat, const ChatAsk *ask, Buf *out, ChatParts *parts,
                     bt_error *err);
/* Ids of rendered parts; *ids is mem_alloc'd. */
bt_status chat_encode(const Chat *chat, const ChatParts *parts, bt_token **ids, size_t *n,
                      bt_error *err);

/* As bt_chat_apply, with the text appended to a Buf, for it may hold NUL characters; `text` may be
 * NULL. */
bt_status chat_write(const bt_chat *chat, const bt_chat_request *request, bt_token **ids,
                     size_t *n_ids, Buf *text, bt_error *err);

/* Of an answer that may hold no calls: what looks like one is text. Before anything is added. */
void answer_without_calls(bt_answer *answer);

/* ---- inside (chat_request.c, chat_trial.c) ---- */

/* The template's variables for a request; json_decref it. NULL after an error. */
json_t *chat_context(const Chat *chat, const ChatAsk *ask, bt_error *err);
/* Names of variables that are the template's own words. */
extern const char *const chat_own_words[];
bt_status chat_run(const Chat *chat, const json_t *context, int64_t now, const JinjaLimits *limits,
                   Buf *out, ChatParts *parts, bt_error *err);
/* Fills in what trials find. Fails with BT_E_LIMIT if the template is out of bounds. */
bt_status chat_try(Chat *chat, bt_error *err);
/* Messages as a JSON array. BT_E_ARGUMENT, BT_E_MEMORY. */
bt_status chat_messages(const bt_message *messages, size_t n, json_t **out, bt_error *err);

#endif
