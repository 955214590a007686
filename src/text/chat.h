/* Chat templates that `run` knows without a Jinja engine: ChatML, Llama 3 and a plain transcript.
 * A template is read, not run: chat_detect follows its tags and takes it only if every literal and
 * operation that can take part (without tools) is one that the renderer reproduces; any other
 * template is refused with the reason. docs/chat.md says what is known. */
#ifndef TEXT_CHAT_H
#define TEXT_CHAT_H

#include "base/buf.h"
#include "base/span.h"
#include "text/tokenizer.h"

typedef enum ChatKind { CHAT_PLAIN, CHAT_CHATML, CHAT_LLAMA3 } ChatKind;

typedef struct ChatFormat {
    ChatKind kind;
    bool bos;               /* the text begins with the BOS token */
    bool skip_empty_system; /* an empty system message is left out */
    bool drop_thoughts;     /* ChatML of Qwen3: see chat_render */
    bool open_end;          /* without generation the last message stays open (Qwen 1.5) */
    bool trim;              /* contents lose white space at both ends */
    bool dates;             /* Llama 3.1 on: the system header names two dates */
    bool clock;             /* the template asks for today's date (else `date` is its own) */
    char date[32];          /* "26 Jul 2024" */
    char system[1024];      /* said where the conversation begins without a system message, or "" */
} ChatFormat;

const char *chat_kind_name(ChatKind kind); /* "plain", "chatml", "llama3" */
/* The format by a name of the above, as its makers published it first. False: no such name. */
bool chat_named(const char *name, ChatFormat *out);
/* By a file's Jinja text. BT_E_UNSUPPORTED says what it holds that is not known. */
bt_status chat_detect(Span jinja, ChatFormat *out, bt_error *err);

/* Runs of the rendered text: markup (special) and what people and models said (not special). */
typedef struct ChatParts {
    TokPart *items; /* mem_free; spans point into the Buf they were rendered to */
    size_t n, capacity;
} ChatParts;

typedef struct ChatRequest {
    const bt_message *messages; /* roles: system, user, assistant; at least one message */
    size_t n;
    bool generation; /* end where the assistant speaks */
    Span bos;        /* text of the BOS token, may be empty */
    Span date;       /* "21 Nov 2026"; empty: the template's own */
} ChatRequest;

/* Appends the text to `out` and sets `parts` (both may hold something from before: parts are
 * replaced, and describe what was appended). As Qwen3's template does, with drop_thoughts earlier
 * assistant messages lose what stands before "</think>", and one after the last user message gets
 * its thoughts (or none) between <think> lines. BT_E_ARGUMENT, BT_E_MEMORY. */
bt_status chat_render(const ChatFormat *format, const ChatRequest *request, Buf *out,
                      ChatParts *parts, bt_error *err);
void chat_parts_close(ChatParts *parts);

#endif
