/* Answers in the shape each API's clients expect: whole, as server-sent events, or as lines of
 * JSON. A reply is fed with what happens (events of the answer, ends of choices, the end) and
 * appends bytes that are ready to send. It keeps what a whole answer needs, and nothing of the
 * request but the ApiCall, which must outlive it. No clock: times come from the caller.
 *
 * Order for API_CHAT, API_COMPLETION, API_INFILL:
 *   api_reply_open, api_reply_head (send status and headers), api_reply_start,
 *   then for each choice any number of api_reply_event and one api_reply_choice_end,
 *   then api_reply_end. Choices may be mixed; choice = prompt * n + i.
 * While it does not stream, all but api_reply_end append nothing. A failure before api_reply_head
 * was sent: api_reply_error instead; after it: api_reply_error with in_stream, then the end. */
#ifndef SERVE_REPLY_H
#define SERVE_REPLY_H

#include "serve/api.h"

/* The version of Ollama's API that is spoken here: what GET /api/version answers, because editors
 * refuse to talk to lower ones. */
#define API_OLLAMA_VERSION "0.12.0"

typedef struct ApiReply ApiReply;

typedef struct ApiInfo {
    const char *model;  /* as it is to be called in the answer (Ollama: with its tag) */
    uint64_t unique;    /* random: ids of the answer are made from it */
    int64_t created;    /* Unix time, seconds */
    int32_t created_ns; /* and the nanoseconds after it, for Ollama's dates */
    int32_t slot;       /* of the worker: stands in Responses' ids (api_response_slot) */
    int32_t n_ctx;
    int32_t n_prompt; /* tokens of the prompt(s), where already known: Anthropic's message_start */
    int32_t n_cached; /* of these, where known */
} ApiInfo;

typedef struct ApiTokenProb {
    bt_token id;
    float logprob;
    const char *bytes; /* of the token's text */
    size_t n_bytes;
    const struct ApiTokenProb *top; /* the likeliest, best first; their own top is NULL */
    size_t n_top;
} ApiTokenProb;

typedef struct ApiLogprobs { /* of the tokens that an event's text was made of */
    const ApiTokenProb *tokens;
    size_t n;
} ApiLogprobs;

typedef enum ApiFinish {
    API_FINISH_STOP,   /* the model ended its answer (with calls: "tool_calls") */
    API_FINISH_WORD,   /* a stop string came: `word` */
    API_FINISH_LENGTH, /* max_tokens, or the context is full */
    API_FINISH_CANCEL, /* cancelled (shutting down) */
} ApiFinish;

typedef struct ApiUsage {
    int32_t prompt, cached, completion; /* tokens, of all choices; cached: part of prompt */
    int32_t reasoning;                  /* part of completion */
    uint64_t queued_us, load_us, prefill_us, decode_us, total_us;
} ApiUsage;

bt_status api_reply_open(const ApiCall *call, const ApiInfo *info, ApiReply **out, ApiError *err);
void api_reply_close(ApiReply **reply);

/* HTTP status and content type; extra headers as "name: value\n" lines appended to `headers`. */
void api_reply_head(const ApiReply *reply, int *status, const char **content_type, Buf *headers);
/* The stream's beginning (role chunks, message_start, response.created ...). Once. */
void api_reply_start(ApiReply *reply, Buf *out);
/* API_COMPLETION with echo: the prompt's text, before the choice's first event. */
void api_reply_prompt(ApiReply *reply, int choice, const char *text, size_t size, Buf *out);
/* A piece of the answer. For API_COMPLETION and API_INFILL only BT_ANSWER_TEXT. `lp` may be NULL;
 * `e` may be NULL for tokens that show nothing yet. */
void api_reply_event(ApiReply *reply, int choice, const bt_answer_event *e, const ApiLogprobs *lp,
                     Buf *out);
/* llama.cpp: ids of the tokens that the next event is made of (want_tokens). */
void api_reply_ids(ApiReply *reply, int choice, const bt_token *ids, size_t n);
/* `word`: the stop string, or NULL. `n_tokens`: tokens of this choice. */
void api_reply_choice_end(ApiReply *reply, int choice, ApiFinish why, const char *word,
                          int32_t n_tokens, Buf *out);
/* The last bytes of a stream; the whole body else. */
void api_reply_end(ApiReply *reply, const ApiUsage *usage, Buf *out);
/* A stream that waits: a comment or ping that keeps proxies from closing; may append nothing. */
void api_reply_ping(ApiReply *reply, Buf *out);
/* True once memory ran out in the reply: say so with api_reply_error and end. */
bool api_reply_failed(const ApiReply *reply);

/* The choice's answer as one JSON message in OpenAI's form (api_responses_remember), without calls
 * that were cut off. */
void api_reply_message(const ApiReply *reply, int choice, Buf *out);
/* Responses: the id, and (after api_reply_end) the object as JSON, for GET /v1/responses/ID. */
const char *api_reply_id(const ApiReply *reply);
void api_reply_object(const ApiReply *reply, Buf *out);
/* The slot in a response's id; -1: none such. */
int api_response_slot(const char *id);

/* The API's own error shape. in_stream 0: *status and a JSON body; else bytes that end the stream
 * (an error event; *status may be NULL). */
void api_reply_error(ApiFlavour flavour, const ApiError *error, ApiStreamAs in_stream, int *status,
                     Buf *out);
/* The same within a reply that has begun. */
void api_reply_fail(ApiReply *reply, const ApiError *error, Buf *out);

/* ---- answers in one piece ---------------------------------------------------- */

/* rows (n, dims) */
void api_reply_embeddings(const ApiCall *call, const ApiInfo *info, const float *rows, size_t n,
                          int32_t dims, const ApiUsage *usage, Buf *out);
/* scores of all documents, in their order; sorted and cut (top_n) here */
bt_status api_reply_rerank(const ApiCall *call, const ApiInfo *info, const float *scores,
                           const ApiUsage *usage, Buf *out);
/* API_TOKENIZE. `pieces`: one for each id, or NULL. */
void api_reply_tokens(const ApiCall *call, const bt_token *ids, const ApiText *pieces, size_t n,
                      Buf *out);
/* API_DETOKENIZE ("content") and API_APPLY_TEMPLATE ("prompt"). */
void api_reply_text(const ApiCall *call, const char *text, size_t size, Buf *out);
void api_reply_count(const ApiCall *call, int32_t n_tokens, Buf *out); /* API_COUNT_TOKENS */
/* API_LOAD, API_UNLOAD (Ollama's done_reason), API_RESPONSE_DELETE, API_ROOT, API_VERSION,
 * API_CREATE, API_COPY, API_DELETE (success). */
void api_reply_simple(const ApiCall *call, const ApiInfo *info, Buf *out);
/* Content type of all answers in one piece of this kind. */
const char *api_reply_type(const ApiCall *call);
/* Responses: input_items of a stored conversation (the call's messages), as a list. */
void api_reply_items(const char *messages, Buf *out);

/* ---- from the catalogue ------------------------------------------------------- */

typedef struct ApiModel {
    const char *name; /* "qwen3:0.6b" */
    const char *const *aliases;
    size_t n_aliases;
    const char *architecture, *quantization;                   /* "qwen3", "Q4_K" */
    const char *digest;                                        /* hex of SHA-256, or "" */
    const char *template_text, *license, *system, *parameters; /* or NULL */
    const char *messages;  /* that a Modelfile brought: JSON objects with commas; or NULL */
    const char *metadata;  /* JSON object: the file's keys, big arrays left out; NULL: none */
    uint64_t size, memory; /* bytes: the file's, what the worker holds */
    uint64_t n_params;
    int64_t modified; /* Unix time */
    int64_t expires;  /* when it will be unloaded; 0: not loaded, INT64_MAX: never */
    int32_t n_ctx_train, n_ctx, n_embd, n_layers, n_vocab;
    int32_t n_slots; /* requests that run side by side */
    bool chat, tools, thinking, embeds, reranks, insert, vision; /* capabilities */
    bool loaded;
    const char *error; /* it cannot be loaded; NULL: it can */
} ApiModel;

/* API_MODELS, API_RUNNING. `anthropic`: the client sent anthropic-version (/v1/models only). */
void api_reply_models(const ApiRoute *route, const ApiModel *models, size_t n, bool anthropic,
                      Buf *out);
/* API_MODEL, API_PROPS. `verbose`: Ollama's; arrays of the metadata too. */
void api_reply_model(const ApiRoute *route, const ApiModel *model, bool anthropic, Buf *out);

#endif
