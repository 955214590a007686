/* The inside of replies: what is kept of an answer while it comes, and the table of functions that
 * each shape fills (reply_openai.c, reply_anthropic.c ...). */
#ifndef SERVE_REPLY_PARTS_H
#define SERVE_REPLY_PARTS_H

#include "base/span.h"
#include "serve/json_out.h"
#include "serve/reply.h"

typedef struct ReplyCall { /* a tool call of the answer */
    int32_t event;         /* its index among the events */
    Buf id, name, arguments;
    bool ended, broken; /* broken: taken back; it came as text */
} ReplyCall;

enum { PART_NONE, PART_TEXT, PART_THOUGHT, PART_CALL };

typedef struct ReplyChoice {
    Buf text, thoughts; /* all of it */
    Buf probs[4];       /* JSON values of log-probabilities that wait for a chunk, or for the end */
    Buf ids;            /* of tokens, likewise (llama.cpp) */
    ReplyCall *calls;
    size_t n_calls, n_open; /* n_open: those that were not broken */
    size_t n_chars;         /* of the text, in code points */
    int part;               /* blocks and items: what is open, and where its text begins */
    size_t part_from;
    ApiFinish why;
    Buf word;
    int32_t n_tokens;
    bool ended;
} ReplyChoice;

typedef struct ReplyShape ReplyShape;

struct ApiReply {
    const ApiCall *call;
    ApiInfo info;
    const ReplyShape *shape;
    ReplyChoice *choices;
    size_t n_choices;
    char id[40];
    Buf model;
    Buf items;       /* finished blocks or items, as elements of a JSON array */
    Buf object;      /* Responses: the final object */
    int32_t n_items; /* blocks or items that have begun */
    int64_t sequence;
    ApiUsage usage;
    bool shows; /* the shape is told of pieces: it streams, or makes its answer of blocks */
    bool stream, keeps, failed, ended;
};

/* Any member may be NULL. `piece`: new bytes, also added to the choice where reply->keeps. */
struct ReplyShape {
    void (*start)(ApiReply *r, Buf *out);
    void (*text)(ApiReply *r, ReplyChoice *c, Span piece, Buf *out);
    void (*thought)(ApiReply *r, ReplyChoice *c, Span piece, Buf *out);
    void (*call)(ApiReply *r, ReplyChoice *c, ReplyCall *call, Buf *out);
    void (*arguments)(ApiReply *r, ReplyChoice *c, ReplyCall *call, Span piece, Buf *out);
    void (*call_end)(ApiReply *r, ReplyChoice *c, ReplyCall *call, Buf *out);
    void (*call_void)(ApiReply *r, ReplyChoice *c, ReplyCall *call, Buf *out);
    void (*choice_end)(ApiReply *r, ReplyChoice *c, Buf *out);
    void (*end)(ApiReply *r, Buf *out);   /* of a stream */
    void (*whole)(ApiReply *r, Buf *out); /* the answer in one piece */
    void (*probs)(ApiReply *r, ReplyChoice *c, const ApiTokenProb *token);
    const char *id_head;
};

extern const ReplyShape reply_chat, reply_completions, reply_responses, reply_anthropic,
    reply_ollama, reply_llama;

/* A call that was broken, for shapes whose answers are a list of parts: not shown where the answer
 * is whole; a stream has shown it already, and `close` ends it. */
void reply_void_part(ApiReply *r, ReplyChoice *c, void (*close)(ApiReply *, ReplyChoice *, Buf *),
                     Buf *out);

static inline int reply_index(const ApiReply *r, const ReplyChoice *c)
{
    return (int)(c - r->choices);
}

/* "data: " (with an event's name: "event: NAME\n" before it), and the empty line at the end */
JsonOut sse_begin(Buf *out, const char *event);
void sse_end(JsonOut *j);

Span buf_span(const Buf *b);
/* [{"token", "logprob", "bytes", "top_logprobs"}, ...]: the elements that wait; clears them */
void reply_put_probs(ReplyChoice *c, JsonOut *j, const char *key);
void reply_prob(ApiReply *r, ReplyChoice *c, const ApiTokenProb *token);
/* OpenAI's usage; llama.cpp's timings */
void reply_usage(const ApiUsage *u, JsonOut *j);
void reply_timings(const ApiUsage *u, JsonOut *j);
/* "stop", "length", "tool_calls" */
const char *reply_finish(const ReplyChoice *c);
void reply_embedding(const float *row, int32_t n, bool base64, JsonOut *j);
/* Responses: a response that failed, with its event */
void reply_responses_failed(ApiReply *r, const ApiError *error, Buf *out);

#endif
