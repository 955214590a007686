/* The endpoints of four APIs in one table: who answers, in whose shapes, how large a body may be.
 * Paths of theirs that are known and not served here (downloads, images, speech ...) are in it too,
 * so that their clients get an error in their own shape that says so. */
#include <string.h>
#include <strings.h>

#include "serve/api.h"

enum { KB = 1 << 10, MB = 1 << 20 };

typedef struct Row {
    const char *method,
        *path; /* {} stands for the rest of the path, or up to the next fixed part */
    const char *name;
    ApiKind kind;
    ApiFlavour flavour;
    ApiWhere where;
    uint32_t body_limit; /* 0: no body */
    bool needs_model, open;
} Row;

#define W API_BY_WORKER
#define F API_BY_FRONT
#define S API_BY_SUPERVISOR

static const Row rows[] = {
    {"POST", "/v1/chat/completions", "chat.completions", API_CHAT, API_OPENAI, W, 16 * MB},
    {"POST", "/chat/completions", "chat.completions", API_CHAT, API_OPENAI, W, 16 * MB},
    {"POST", "/v1/completions", "completions", API_COMPLETION, API_OPENAI, W, 16 * MB},
    {"POST", "/v1/embeddings", "embeddings", API_EMBED, API_OPENAI, W, 16 * MB},
    {"POST", "/v1/rerank", "rerank", API_RERANK, API_OPENAI, W, 16 * MB},
    {"POST", "/rerank", "rerank", API_RERANK, API_OPENAI, W, 16 * MB},
    {"POST", "/v1/reranking", "rerank", API_RERANK, API_OPENAI, W, 16 * MB},
    {"POST", "/reranking", "rerank", API_RERANK, API_OPENAI, W, 16 * MB},
    {"GET", "/v1/models", "models", API_MODELS, API_OPENAI, F, 0},
    {"GET", "/models", "models", API_MODELS, API_OPENAI, F, 0},
    {"GET", "/v1/models/{}", "models.one", API_MODEL, API_OPENAI, F, 0},

    {"POST", "/v1/responses", "responses", API_CHAT, API_RESPONSES, W, 16 * MB},
    {"GET", "/v1/responses/{}/input_items", "responses.items", API_RESPONSE_ITEMS, API_RESPONSES, W,
     0},
    {"GET", "/v1/responses/{}", "responses.get", API_RESPONSE_GET, API_RESPONSES, W, 0},
    {"DELETE", "/v1/responses/{}", "responses.delete", API_RESPONSE_DELETE, API_RESPONSES, W, 0},

    {"POST", "/v1/messages", "messages", API_CHAT, API_ANTHROPIC, W, 16 * MB},
    {"POST", "/v1/messages/count_tokens", "count_tokens", API_COUNT_TOKENS, API_ANTHROPIC, W,
     16 * MB},

    {"GET", "/api/version", "version", API_VERSION, API_OLLAMA, F, 0},
    {"GET", "/api/tags", "tags", API_MODELS, API_OLLAMA, F, 0},
    {"GET", "/api/ps", "ps", API_RUNNING, API_OLLAMA, F, 0},
    {"POST", "/api/show", "show", API_MODEL, API_OLLAMA, F, 64 * KB, true},
    {"POST", "/api/generate", "generate", API_CHAT, API_OLLAMA, W, 16 * MB, true},
    {"POST", "/api/chat", "chat", API_CHAT, API_OLLAMA, W, 16 * MB, true},
    {"POST", "/api/embed", "embed", API_EMBED, API_OLLAMA, W, 16 * MB, true},
    {"POST", "/api/embeddings", "embeddings.old", API_EMBED, API_OLLAMA, W, 16 * MB, true},
    {"POST", "/api/create", "create", API_CREATE, API_OLLAMA, S, 1 * MB, true},
    {"POST", "/api/copy", "copy", API_COPY, API_OLLAMA, S, 64 * KB},
    {"DELETE", "/api/delete", "delete", API_DELETE, API_OLLAMA, S, 64 * KB, true},
    {"POST", "/api/pull", "pull", API_REFUSED, API_OLLAMA, F, 64 * KB},
    {"POST", "/api/push", "push", API_REFUSED, API_OLLAMA, F, 64 * KB},
    {"POST", "/api/blobs/{}", "blobs", API_REFUSED, API_OLLAMA, F, 64 * KB},
    {"HEAD", "/api/blobs/{}", "blobs", API_REFUSED, API_OLLAMA, F, 0},

    {"POST", "/completion", "completion", API_COMPLETION, API_LLAMA, W, 16 * MB},
    {"POST", "/completions", "completion", API_COMPLETION, API_LLAMA, W, 16 * MB},
    {"POST", "/infill", "infill", API_INFILL, API_LLAMA, W, 16 * MB},
    {"POST", "/tokenize", "tokenize", API_TOKENIZE, API_LLAMA, W, 4 * MB},
    {"POST", "/detokenize", "detokenize", API_DETOKENIZE, API_LLAMA, W, 4 * MB},
    {"POST", "/apply-template", "apply-template", API_APPLY_TEMPLATE, API_LLAMA, W, 16 * MB},
    {"GET", "/props", "props", API_PROPS, API_LLAMA, F, 0},
    {"POST", "/props", "props.set", API_REFUSED, API_LLAMA, F, 64 * KB},
    {"GET", "/slots", "slots", API_SLOTS, API_LLAMA, W, 0},
    {"GET", "/health", "health", API_HEALTH, API_LLAMA, F, 0, false, true},
    {"GET", "/v1/health", "health", API_HEALTH, API_LLAMA, F, 0, false, true},
    {"GET", "/metrics", "metrics", API_METRICS, API_LLAMA, F, 0},
    {"GET", "/", "root", API_ROOT, API_OLLAMA, F, 0, false, true},

    {"POST", "/v1/images/{}", "images", API_REFUSED, API_OPENAI, F, 64 * KB},
    {"POST", "/v1/audio/{}", "audio", API_REFUSED, API_OPENAI, F, 64 * KB},
    {"POST", "/v1/moderations", "moderations", API_REFUSED, API_OPENAI, F, 64 * KB},
    {"POST", "/v1/files", "files", API_REFUSED, API_OPENAI, F, 64 * KB},
    {"POST", "/v1/messages/batches", "batches", API_REFUSED, API_ANTHROPIC, F, 64 * KB},
};

#undef W
#undef F
#undef S

/* Whether the path is the row's; *tail: what stood for {}. */
static bool fits(const char *pattern, const char *path, size_t n, const char **tail, size_t *n_tail)
{
    const char *hole = strstr(pattern, "{}");
    *tail = NULL;
    *n_tail = 0;
    if (!hole) return strlen(pattern) == n && memcmp(pattern, path, n) == 0;
    size_t before = (size_t)(hole - pattern), after = strlen(hole + 2);
    if (n <= before + after || memcmp(pattern, path, before) != 0 ||
        memcmp(hole + 2, path + n - after, after) != 0)
        return false;
    *tail = path + before;
    *n_tail = n - before - after;
    return true;
}

static bool starts(const char *path, const char *with)
{
    return strncmp(path, with, strlen(with)) == 0;
}

/* In whose shape a path that is not known is refused. */
static ApiFlavour guess(const char *path)
{
    if (starts(path, "/v1/messages")) return API_ANTHROPIC;
    if (starts(path, "/api/")) return API_OLLAMA;
    return API_OPENAI;
}

bool api_routes(const char *method, const char *path, ApiRoute *out)
{
    size_t n = strlen(path);
    const Row *other = NULL; /* takes another method */
    if (n > 1 && path[n - 1] == '/') n--;
    for (int pass = 0; pass < 2; pass++) { /* HEAD has few rows of its own, else it is a GET */
        if (pass && strcmp(method, "HEAD") != 0) break;
        const char *asked = pass ? "GET" : method;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            const Row *row = &rows[i];
            const char *tail;
            size_t n_tail;
            if (!fits(row->path, path, n, &tail, &n_tail)) continue;
            if (strcmp(row->method, asked) != 0) {
                other = row;
                continue;
            }
            *out = (ApiRoute){.kind = row->kind,
                              .flavour = row->flavour,
                              .where = row->where,
                              .has_body = row->body_limit > 0,
                              .needs_model = row->needs_model,
                              .open = row->open,
                              .body_limit = row->body_limit,
                              .name = row->name,
                              .tail = tail,
                              .tail_size = n_tail};
            return true;
        }
    }
    *out = (ApiRoute){.kind = API_REFUSED,
                      .flavour = other ? other->flavour : guess(path),
                      .where = API_BY_FRONT,
                      .name = other ? "method" : "unknown"};
    return false;
}
