/* What clients of four APIs ask for, in one form: requests of the OpenAI, Anthropic, Ollama and
 * llama.cpp servers are routed, read and checked here; serve/reply.h shapes what they are told.
 * Pure functions over bytes: no sockets, no model, no clock. docs/api.md tells, field by field,
 * what is supported, ignored and refused.
 *
 * Everything in a body is hostile. A linear scan refuses nesting deeper than API_MAX_DEPTH and more
 * values than API_MAX_VALUES before a tree is built; strict JSON (RFC 8259) in UTF-8, no key twice;
 * types and ranges of fields come from one table (api_fields.c). Errors name the field. */
#ifndef SERVE_API_H
#define SERVE_API_H

#include "bantam/bantam.h"
#include "base/buf.h"

#define API_MAX_DEPTH    64
#define API_MAX_VALUES   1000000
#define API_MAX_BODY     (32u << 20) /* the largest body_limit of any route */
#define API_MAX_NAME     256         /* bytes of a model's or adapter's name */
#define API_MAX_STOPS    64
#define API_MAX_STOP     1024 /* bytes of one */
#define API_MAX_CHOICES  16
#define API_MAX_INPUTS   2048 /* prompts, texts to embed, documents to rank */
#define API_MAX_BIAS     1024
#define API_MAX_TOP      20 /* log-probabilities beside each token */
#define API_MAX_TOOLS    512
#define API_MAX_ADAPTERS 8

/* ---- routes -------------------------------------------------------------- */

/* Whose shapes: of errors, streams and answers. */
typedef enum ApiFlavour {
    API_OPENAI, /* chat, completions, embeddings, models, rerank */
    API_RESPONSES,
    API_ANTHROPIC,
    API_OLLAMA,
    API_LLAMA, /* llama.cpp's own endpoints */
} ApiFlavour;

/* What is wanted. The worker answers those up to API_APPLY_TEMPLATE. */
typedef enum ApiKind {
    API_CHAT,       /* messages in, an answer out (chat, responses, messages, Ollama's generate) */
    API_COMPLETION, /* prompts go on as they stand */
    API_INFILL,     /* what stands between a prefix and a suffix */
    API_EMBED,
    API_RERANK,
    API_COUNT_TOKENS, /* of a chat */
    API_TOKENIZE,
    API_DETOKENIZE,
    API_APPLY_TEMPLATE,
    API_LOAD,            /* Ollama: no prompt; loads the model, answers done_reason "load" */
    API_UNLOAD,          /* the same with keep_alive 0: the front tells the supervisor */
    API_RESPONSE_GET,    /* GET /v1/responses/ID; the worker's store holds it */
    API_RESPONSE_DELETE, /* DELETE of the same */
    API_RESPONSE_ITEMS,  /* GET /v1/responses/ID/input_items */
    API_SLOTS,           /* the worker's counters */
    /* from the catalogue, by the front: reply_catalogue.c */
    API_MODELS, /* all: /v1/models, /api/tags */
    API_MODEL,  /* one: /v1/models/ID, /api/show */
    API_RUNNING,
    API_PROPS,
    API_VERSION,
    API_HEALTH,
    API_METRICS,
    /* for the supervisor, by the front, as pairs */
    API_CREATE,
    API_COPY,
    API_DELETE,
    /* answered by api_reply_simple alone */
    API_ROOT,    /* GET / : a line of text */
    API_REFUSED, /* known elsewhere, not here (pull, push, images ...): always an error */
} ApiKind;

typedef enum ApiWhere { API_BY_WORKER, API_BY_FRONT, API_BY_SUPERVISOR } ApiWhere;

typedef struct ApiRoute {
    ApiKind kind;
    ApiFlavour flavour;
    ApiWhere where;
    bool has_body;       /* else a body is read and dropped */
    bool needs_model;    /* the body (or `tail`) must name one; else the default is meant */
    bool open;           /* needs no API key (/health, /) */
    uint32_t body_limit; /* bytes */
    const char *name;    /* "chat.completions": for logs, metrics and api_parse; static */
    const char *tail;    /* what stands for {id} or {model} in the path, within `path`; or NULL */
    size_t tail_size;
} ApiRoute;

/* `path`: percent-decoded, without the query; one slash at the end is ignored. True when there is
 * such an endpoint. Else *out has kind API_REFUSED, the flavour that the path looks like, and
 * `name` "method" where another method would do (405), "unknown" else (404). HEAD goes as GET,
 * OPTIONS is the front's own (CORS). */
bool api_routes(const char *method, const char *path, ApiRoute *out);

/* The top-level "model" (else "name") of a JSON object, found by a linear scan without a tree,
 * memory or recursion; what is not JSON gives false, or something that api_parse will refuse.
 * False: none, no string, empty, or longer than cap - 1. `out` is NUL-terminated either way. */
bool api_find_model(const char *body, size_t n, char *out, size_t cap);

/* ---- errors -------------------------------------------------------------- */

typedef enum ApiErrorKind {
    API_E_INVALID,     /* 400 */
    API_E_KEY,         /* 401: no API key, or a wrong one */
    API_E_FORBIDDEN,   /* 403 */
    API_E_NOT_FOUND,   /* 404: endpoint, response */
    API_E_MODEL,       /* 404: model */
    API_E_METHOD,      /* 405 */
    API_E_TOO_LARGE,   /* 413 */
    API_E_CONTEXT,     /* 400: more tokens than the context has; the text has both counts */
    API_E_UNSUPPORTED, /* 400: understood, and not done here */
    API_E_BUSY,        /* 429: with retry_after */
    API_E_INTERNAL,    /* 500 */
    API_E_UNAVAILABLE, /* 503: loading, worker lost, shutting down */
    API_E_TIMEOUT,     /* 504 */
} ApiErrorKind;

typedef struct ApiError {
    ApiErrorKind kind;
    int retry_after; /* seconds; 0: none */
    char field[128]; /* "messages[2].content", or "" */
    char text[1024]; /* UTF-8, one line */
} ApiError;

/* Fills *err and gives BT_E_ARGUMENT (BT_E_MEMORY for API_E_INTERNAL). `field` may be NULL. */
bt_status api_fail(ApiError *err, ApiErrorKind kind, const char *field, const char *format, ...)
    BT_PRINTF(4, 5);
/* What the library said, as an error of the API: BT_E_CONTEXT, BT_E_MEMORY, BT_E_LIMIT,
 * BT_E_ARGUMENT and BT_E_UNSUPPORTED (of the request) ... */
void api_error_from(ApiError *err, const bt_error *from);
int api_error_http(ApiErrorKind kind); /* 400 ... */

/* ---- a request ------------------------------------------------------------ */

typedef struct ApiHttp {
    const char *method, *path; /* as for api_routes */
    const char *body;
    size_t body_size;
    const char *headers; /* "name: value\n" lines, names in lower case; or NULL */
} ApiHttp;

typedef enum ApiReasoning { API_REASONING_CONTENT, API_REASONING, API_REASONING_OFF } ApiReasoning;

typedef struct ApiText {
    const char *text; /* NUL-terminated */
    size_t size;
} ApiText;

/* Of the model that is asked; zeroed is valid. */
typedef struct ApiDefaults {
    bt_sampler_options sampling; /* as bt_sampler_options: 0 is its default */
    int32_t max_tokens;          /* 0: as far as the context goes */
    int32_t n_vocab;             /* ids must be below; 0: not checked here */
    bool images;                 /* for later: requests with images are refused whatever it says */
    ApiReasoning reasoning;      /* the name under which OpenAI's clients are shown thoughts */
    bt_think think;
    const char *system; /* stands first where the request has no system message; NULL: none */
    /* Messages in OpenAI's form, JSON objects with commas between: they come before the request's
     * own, behind the system message; NULL: none. */
    const char *messages;
    size_t n_messages;
    const ApiText *stops; /* where the request names none; must outlive its call */
    size_t n_stops;
} ApiDefaults;

typedef struct ApiPart { /* of a prompt: text (NUL-terminated, may hold others), or ids */
    const char *text;
    size_t size;
    const bt_token *ids; /* NULL for text */
    size_t n_ids;
} ApiPart;

typedef struct ApiPrompt {
    const ApiPart *parts;
    size_t n_parts;
} ApiPrompt;

typedef struct ApiAdapter {
    const char *name;
    float scale;
} ApiAdapter;

typedef struct ApiPair {
    const char *key, *value;
} ApiPair;

typedef enum ApiToolChoice {
    API_TOOLS_AUTO,
    API_TOOLS_NONE,     /* no calls; `tools` is NULL then */
    API_TOOLS_REQUIRED, /* at least one */
    API_TOOLS_NAMED,    /* one of `tools`, which holds only that one; required */
} ApiToolChoice;

typedef enum ApiHold {
    API_HOLD_NONE,
    API_HOLD_JSON /* any object */,
    API_HOLD_SCHEMA,
    API_HOLD_GBNF
} ApiHold;

typedef enum ApiStreamAs { API_STREAM_NOT, API_STREAM_SSE, API_STREAM_NDJSON } ApiStreamAs;

#define API_KEEP_DEFAULT INT64_MIN

/* All that it points to is its own. Which members mean something depends on `kind`. */
typedef struct ApiCall {
    ApiKind kind;
    ApiFlavour flavour;
    const char *route; /* ApiRoute.name: tells apart shapes of one flavour; static */
    const char *model; /* as asked, or "" */
    ApiStreamAs stream;

    /* API_CHAT, API_COUNT_TOKENS, API_APPLY_TEMPLATE: for bt_chat_request, always in OpenAI's form.
     * `instructions`: of Responses; a system message that goes before all (and before what
     * previous_response_id brings), but is not remembered. NULL: none. */
    const char *messages, *tools, *variables;
    size_t n_messages;
    const char *instructions;
    const char *prefill; /* the answer begins with this (the last message was the assistant's and
                          * is taken out of `messages`): goes behind the rendered prompt as plain
                          * text; NULL: none. Not part of the answer. */
    bt_think think;
    int32_t think_most; /* tokens of a thought, then it is ended; 0: no bound */
    ApiToolChoice tool_choice;
    bool one_call; /* parallel_tool_calls false: the answer ends after its first call */

    /* API_COMPLETION, API_INFILL (prompts[0]: what comes after the prefix), API_EMBED (inputs),
     * API_TOKENIZE (one), API_DETOKENIZE (one, ids) */
    const ApiPrompt *prompts;
    size_t n_prompts;
    const char *suffix;            /* API_COMPLETION with one: fill in between; NULL: none */
    ApiText prefix, infill_suffix; /* API_INFILL */
    const ApiPair *extra;          /* API_INFILL: more files: name, text */
    size_t n_extra;
    bool echo; /* the prompt goes before the answer: api_reply_prompt */

    /* answers */
    bt_sampler_options sampling; /* complete: defaults are filled in; `bias` is the call's own */
    bool seeded;                 /* the request named a seed; choice i > 0 adds i to it */
    int32_t n;                   /* choices for each prompt, 1 .. API_MAX_CHOICES */
    int32_t max_tokens; /* -1: as far as the context goes. 0 is possible: read the prompt */
    int32_t n_top;      /* for SchedRequest.n_top: -1: no log-probabilities */
    const ApiText *stops;
    size_t n_stops;
    ApiHold hold;
    const char *hold_text; /* the schema or grammar */
    bool ignore_eos, no_cache;
    const ApiAdapter *adapters;
    size_t n_adapters;
    int priority;
    int64_t keep_alive_ms; /* -1: for ever, 0: unload afterwards; API_KEEP_DEFAULT */
    bool include_usage;    /* OpenAI streams: a last chunk with usage */
    bool timings;          /* llama.cpp: per-token timings asked for */
    bool want_tokens;      /* llama.cpp: ids in the answer */
    ApiReasoning reasoning;
    bool show_thoughts; /* Anthropic: thinking is enabled; others: true */

    /* API_EMBED */
    int32_t dimensions; /* 0: all */
    bool base64;
    bool cut_inputs; /* Ollama's truncate, where the request says so: an input longer than the
                      * context is cut. Others are refused */
    bool keep_length;
    bool single; /* the input was one, not a list of one (shapes of /api/embeddings) */
    /* API_RERANK */
    ApiText query;
    const ApiText *documents;
    size_t n_documents;
    int32_t top_n; /* 0: all */
    bool return_documents;
    /* API_TOKENIZE, API_DETOKENIZE */
    bool add_special, no_special /* BT_TOKENIZE_NO_SPECIAL */, with_pieces;

    /* API_RESPONSES */
    const char *previous_response_id; /* NULL: none */
    const char *response_id;          /* API_RESPONSE_*: of the path */
    bool store;
    const char *echoed; /* members of the request that its answer repeats, as JSON members text:
                         * "\"metadata\":{},..."; "" or NULL: none */
    /* API_CREATE, API_COPY, API_DELETE: verb's arguments (docs/api.md) */
    const ApiPair *pairs;
    size_t n_pairs;

    struct ApiPool *pool; /* its memory */
} ApiCall;

/* Reads and checks a request. `defaults` may be NULL. On failure *out is NULL and *err says what
 * to tell: api_reply_error. At most 50 ms whatever the body. */
bt_status api_parse(const ApiHttp *http, const ApiDefaults *defaults, ApiCall **out, ApiError *err);
void api_call_close(ApiCall **call);

/* Responses: the whole conversation for bt_chat_request.messages: the call's instructions, then
 * `before` (what api_responses_remember gave for previous_response_id; NULL: none), then its own
 * messages. */
void api_responses_messages(const ApiCall *call, const char *before, Buf *out);
/* What the next call goes on from: `before`, the call's messages, and `answer` (one JSON message,
 * as api_reply_message writes it); without the instructions. */
void api_responses_remember(const ApiCall *call, const char *before, const char *answer, Buf *out);

#endif
