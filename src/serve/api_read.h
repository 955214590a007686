/* How a body becomes an ApiCall, inside: the tree, the fields of the table, and the helpers that
 * the readers of the APIs share (api_openai.c, api_anthropic.c ...). A function that returns bool
 * has filled *err when it returns false. Paths of fields are built as they are needed, for errors.
 */
#ifndef SERVE_API_READ_H
#define SERVE_API_READ_H

#include "serve/api.h"
#include "serve/json_out.h"
#include "text/json_tree.h"

/* ---- memory of a call ------------------------------------------------------- */

typedef struct ApiPool ApiPool;
ApiPool *api_pool_open(void);
void api_pool_close(ApiPool **pool);
void *api_pool_take(ApiPool *pool, size_t count, size_t size); /* zeroed; NULL: no memory */
/* A NUL-terminated copy. */
char *api_pool_text(ApiPool *pool, const char *text, size_t n);
/* The buffer's memory becomes the pool's; NULL if it failed (closed then). "" if it is empty. */
char *api_pool_buf(ApiPool *pool, Buf *buf);

/* ---- fields ------------------------------------------------------------------ */

/* Which objects a row is of. */
enum {
    IN_CHAT = 1 << 0,  /* /v1/chat/completions */
    IN_TEXT = 1 << 1,  /* /v1/completions */
    IN_EMBED = 1 << 2, /* /v1/embeddings */
    IN_RERANK = 1 << 3,
    IN_RESPONSES = 1 << 4,
    IN_MESSAGES = 1 << 5, /* Anthropic's, and count_tokens */
    IN_OCHAT = 1 << 6,    /* Ollama's */
    IN_OGENERATE = 1 << 7,
    IN_OEMBED = 1 << 8,
    IN_OOLD = 1 << 9,     /* /api/embeddings */
    IN_OPTIONS = 1 << 10, /* "options" of Ollama */
    IN_LLAMA = 1 << 11,   /* /completion */
    IN_INFILL = 1 << 12,
    IN_TOKENIZE = 1 << 13,
    IN_DETOKENIZE = 1 << 14,
    IN_TEMPLATE = 1 << 15,
    IN_SHOW = 1 << 16, /* and delete */
    IN_CREATE = 1 << 17,
    IN_COPY = 1 << 18,
    IN_STREAM_OPTIONS = 1 << 19,
    IN_THINKING = 1 << 20, /* "thinking" of Anthropic */
    IN_REASONING = 1 << 21,
    IN_ALL_LLAMA = IN_LLAMA | IN_INFILL,
    IN_OPENAI = IN_CHAT | IN_TEXT,
    IN_SAMPLED = IN_OPENAI | IN_OPTIONS | IN_ALL_LLAMA, /* that take samplers of every kind */
};

typedef enum ApiFieldKind {
    FIELD_BOOL,
    FIELD_INTEGER,
    FIELD_NUMBER,
    FIELD_SEED,   /* an integer of 64 bits */
    FIELD_STRING, /* of at most `high` bytes, without NUL */
    FIELD_TEXT,   /* of any length */
    FIELD_ARRAY,  /* of low .. high elements */
    FIELD_OBJECT,
    FIELD_ANY, /* judged by the reader */
    FIELD_IGNORED,
    FIELD_REFUSED /* `hint` says what to do */
} ApiFieldKind;

typedef struct ApiField {
    const char *name;
    uint32_t in;
    ApiFieldKind kind;
    double low, high;
    uint16_t offset; /* in ApiRaw, of a type that goes with the kind */
    bool required;
    const char *hint;
} ApiField;

/* What the table reads. Absent (or null): NAN, -1, 0. */
typedef struct ApiRaw {
    double temperature, top_k, top_p, min_p, typical_p, repeat_penalty, repeat_last_n;
    double presence_penalty, frequency_penalty, dry_multiplier, dry_base, dry_allowed_length;
    double dry_last_n, mirostat, mirostat_tau, mirostat_eta;
    double max_tokens, max_completion_tokens, n, best_of, top_logprobs, n_logprobs;
    double dimensions, top_n, priority, budget_tokens;
    int64_t seed;
    int8_t has_seed;
    int8_t stream, include_usage, logprobs, parallel_tool_calls, echo, store, ignore_eos;
    int8_t cache_prompt, continue_final_message, raw, truncate, add_special, parse_special;
    int8_t with_pieces, return_documents, return_tokens, timings, background, keep_length;
    uint32_t model, messages, prompt, input, stop, stream_options, logit_bias, response_format;
    uint32_t tools, tool_choice, reasoning_effort, kwargs, adapters, system, suffix, format;
    uint32_t options, think, thinking, keep_alive, grammar, json_schema, metadata, encoding;
    uint32_t instructions, previous, text, reasoning, query, documents, input_prefix;
    uint32_t input_suffix, input_extra, content, tokens, images, context, from, modelfile;
    uint32_t template_text, license, parameters, files, quantize, source, destination, type;
    uint32_t output_format, output_config, include, tool_output, modalities, truncation;
    uint32_t to_adapters, path;
} ApiRaw;

extern const ApiField api_fields[];
extern const size_t api_n_fields;

typedef struct ApiRead {
    const ApiRoute *route;
    const char *headers;
    ApiDefaults defaults;
    JsonTree tree;
    ApiCall *call;
    ApiRaw raw;
    ApiError *err;
} ApiRead;

void api_raw_clear(ApiRaw *raw);
/* Reads the object's members that the table has for `in`. `path`: "" or "options". */
bool api_fields_read(ApiRead *r, uint32_t object, const char *path, uint32_t in);

/* ---- values ------------------------------------------------------------------- */

bool api_refuse(ApiRead *r, ApiErrorKind kind, const char *field, const char *format, ...)
    BT_PRINTF(4, 5);            /* false */
bool api_no_memory(ApiRead *r); /* false */

static inline JsonKind api_kind(const ApiRead *r, uint32_t node)
{
    return r->tree.nodes[node].kind;
}

static inline bool api_is(const ApiRead *r, uint32_t node, const char *text)
{
    return node && api_kind(r, node) == JSON_KIND_STRING && span_is(r->tree.nodes[node].text, text);
}

/* A member that is there and not null; 0 else. */
uint32_t api_member(const ApiRead *r, uint32_t object, const char *key);
/* The same, which must be a string if it is there (*out NULL-sized else). */
bool api_member_text(ApiRead *r, uint32_t object, const char *path, const char *key, bool required,
                     Span *out);
const char *api_kind_name(JsonKind kind); /* "a string" */
/* For loops over elements or members. */
#define API_EACH(r, node, each)                                                                    \
    for (uint32_t each = (r)->tree.nodes[node].child; each; each = (r)->tree.nodes[each].next)
static inline Span api_span(const ApiRead *r, uint32_t node)
{
    return r->tree.nodes[node].text;
}
/* A number of a node of that kind; false where it is none, or too long to be one. */
bool api_number(Span digits, double *out);
/* The same as an id below n_vocab. */
bool api_token(ApiRead *r, uint32_t node, const char *path, bt_token *out);
/* Copies without NUL inside; refuses others and those longer than `most`. */
bool api_copy(ApiRead *r, uint32_t node, const char *path, size_t most, const char **out);
bool api_copy_text(ApiRead *r, uint32_t node, ApiText *out); /* any string */
bool api_keep(ApiRead *r, Buf *buf, const char **out);       /* closes the buffer */
/* What the answer goes on from: as api_keep, and refuses NUL. */
bool api_keep_prefill(ApiRead *r, Buf *text);
/* The node as JSON. */
bool api_json(ApiRead *r, uint32_t node, const char **out);
void api_write_node(ApiRead *r, JsonOut *j, uint32_t node);

/* ---- shared by the APIs -------------------------------------------------------- */

typedef struct ApiPath {
    char text[128];
} ApiPath;
ApiPath api_path(const char *format, ...) BT_PRINTF(1, 2);

bool api_read_model(ApiRead *r);
/* raw -> call->sampling, n, seed ... */
bool api_read_sampling(ApiRead *r);
bool api_read_bias(ApiRead *r);
bool api_read_stops(ApiRead *r, uint32_t node, const char *path);
bool api_read_adapters(ApiRead *r);
bool api_read_keep_alive(ApiRead *r);
/* A string, ids, or lists of either, to call->prompts. */
bool api_read_prompts(ApiRead *r, uint32_t node, const char *path, bool mixed);
/* OpenAI's messages, to call->messages. */
/* Those that the model brings, before the request's own. */
bool api_add_messages(ApiRead *r);
bool api_read_messages(ApiRead *r, uint32_t node);
/* A content that is text, or parts of it of which some refuse: written as a string or null. Parts
 * are joined by `glue`. `kinds`: names of parts that are text, ending with NULL. */
bool api_content(ApiRead *r, uint32_t node, const char *path, const char *const *kinds,
                 const char *glue, Buf *out);
typedef struct ApiToolParts {
    ApiPath path;                                   /* where they stand: the tool's, for a start */
    uint32_t name, description, parameters, strict; /* nodes; 0: none */
    const char *schema;                             /* name of the parameters' member */
} ApiToolParts;
/* The members that OpenAI's APIs give a function, of the object `function`. */
void api_function_parts(ApiRead *r, uint32_t function, ApiToolParts *parts);
/* What an API's form of a tool, an object, consists of. False: it was refused. */
typedef bool (*ApiToolFn)(ApiRead *r, uint32_t tool, ApiToolParts *parts);
/* The request's tools, to call->tools. */
bool api_take_tools(ApiRead *r, ApiToolFn parts);
/* The same, and OpenAI's tool_choice; NULL: tools in the form of chat. */
bool api_read_tools(ApiRead *r, ApiToolFn parts);
/* `only`: keeps the tool of that name; refuses if there is none. Sets tool_choice. */
bool api_choose_tool(ApiRead *r, ApiToolChoice choice, uint32_t name, const char *path);
/* {"type": "text" | "json_object" | "json_schema", ...}; `inner`: where name and schema stand */
bool api_read_format(ApiRead *r, uint32_t node, const char *path, const char *inner);
/* reasoning_effort and chat_template_kwargs, to call->variables and call->think. */
bool api_read_variables(ApiRead *r, uint32_t effort, uint32_t kwargs, const char *effort_path);

/* The APIs; the tree's root is an object, the fields are read. */
bool api_read_chat(ApiRead *r);
bool api_read_text(ApiRead *r);
bool api_read_embed(ApiRead *r);
bool api_read_rerank(ApiRead *r);
bool api_read_responses(ApiRead *r);
bool api_read_anthropic(ApiRead *r);
bool api_read_ollama(ApiRead *r);
bool api_read_ollama_embed(ApiRead *r);
bool api_read_create(ApiRead *r);
bool api_read_copy(ApiRead *r);
bool api_read_show(ApiRead *r);
bool api_read_llama(ApiRead *r);
bool api_read_tokens(ApiRead *r);
bool api_read_template(ApiRead *r);

#endif
