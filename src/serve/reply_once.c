/* Answers that come in one piece: vectors, ranks, tokens, counts, plain acknowledgements. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "serve/reply_parts.h"
#include "text/utf8.h"

/* ---- vectors ------------------------------------------------------------------------- */

static void base64(const unsigned char *p, size_t n, Buf *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                     (left > 2 ? (uint32_t)p[i + 2] : 0);
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], left > 1 ? digits[v >> 6 & 63] : '=',
                        left > 2 ? digits[v & 63] : '='};
        buf_add(out, four, 4);
    }
}

/* base64: of the float32s as they lie in memory, which is little-endian on all our machines */
void reply_embedding(const float *row, int32_t n, bool as_base64, JsonOut *j)
{
    if (as_base64) {
        jout_open(j, '"');
        base64((const unsigned char *)row, (size_t)n * sizeof *row, j->buf);
        jout_close(j, '"');
        return;
    }
    jout_open(j, '[');
    for (int32_t i = 0; i < n; i++) jout_real(j, (double)row[i]);
    jout_close(j, ']');
}

static void openai_embeddings(const ApiCall *call, const ApiInfo *info, const float *rows, size_t n,
                              int32_t dims, const ApiUsage *u, JsonOut *j)
{
    jout_put(j, "object", "list");
    jout_put_open(j, "data", '[');
    for (size_t i = 0; i < n; i++) {
        jout_open(j, '{');
        jout_put(j, "object", "embedding");
        jout_put_int(j, "index", (int64_t)i);
        jout_key(j, "embedding");
        reply_embedding(rows + i * (size_t)dims, dims, call->base64, j);
        jout_close(j, '}');
    }
    jout_close(j, ']');
    jout_put(j, "model", info->model);
    jout_put_open(j, "usage", '{');
    jout_put_int(j, "prompt_tokens", u->prompt);
    jout_put_int(j, "total_tokens", u->prompt);
    jout_close(j, '}');
}

void api_reply_embeddings(const ApiCall *call, const ApiInfo *info, const float *rows, size_t n,
                          int32_t dims, const ApiUsage *u, Buf *out)
{
    JsonOut j = {out};
    jout_open(&j, '{');
    if (call->flavour != API_OLLAMA) {
        openai_embeddings(call, info, rows, n, dims, u, &j);
    } else if (call->single) { /* /api/embeddings */
        jout_key(&j, "embedding");
        reply_embedding(rows, n ? dims : 0, false, &j);
    } else {
        jout_put(&j, "model", info->model);
        jout_put_open(&j, "embeddings", '[');
        for (size_t i = 0; i < n; i++) reply_embedding(rows + i * (size_t)dims, dims, false, &j);
        jout_close(&j, ']');
        jout_put_int(&j, "total_duration", (int64_t)u->total_us * 1000);
        jout_put_int(&j, "load_duration", (int64_t)u->load_us * 1000);
        jout_put_int(&j, "prompt_eval_count", u->prompt);
    }
    jout_close(&j, '}');
}

/* ---- ranks ------------------------------------------------------------------------------ */

typedef struct Rank {
    float score;
    size_t index;
} Rank;

static int compare(const void *a, const void *b)
{
    const Rank *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

bt_status api_reply_rerank(const ApiCall *call, const ApiInfo *info, const float *scores,
                           const ApiUsage *u, Buf *out)
{
    size_t n = call->n_documents, shown = n;
    Rank *ranks = mem_alloc((n + 1) * sizeof *ranks);
    JsonOut j = {out};
    if (!ranks) return BT_E_MEMORY;
    for (size_t i = 0; i < n; i++)
        ranks[i] = (Rank){scores[i] == scores[i] ? scores[i] : -1e30f, i};
    qsort(ranks, n, sizeof *ranks, compare);
    if (call->top_n > 0 && (size_t)call->top_n < n) shown = (size_t)call->top_n;
    jout_open(&j, '{');
    jout_put(&j, "model", info->model);
    jout_put(&j, "object", "list");
    jout_put_open(&j, "results", '[');
    for (size_t i = 0; i < shown; i++) {
        const ApiText *document = &call->documents[ranks[i].index];
        jout_open(&j, '{');
        jout_put_int(&j, "index", (int64_t)ranks[i].index);
        jout_put_real(&j, "relevance_score", (double)ranks[i].score);
        if (call->return_documents) {
            jout_put_open(&j, "document", '{');
            jout_put_text(&j, "text", document->text, document->size);
            jout_close(&j, '}');
        }
        jout_close(&j, '}');
    }
    jout_close(&j, ']');
    jout_put_open(&j, "usage", '{');
    jout_put_int(&j, "prompt_tokens", u->prompt);
    jout_put_int(&j, "total_tokens", u->prompt);
    jout_close(&j, '}');
    jout_close(&j, '}');
    mem_free(ranks);
    return out->failed ? BT_E_MEMORY : BT_OK;
}

/* ---- tokens ---------------------------------------------------------------------------------- */

/* A piece that is no UTF-8 by itself goes out as its bytes, as llama.cpp does. */
void api_reply_tokens(const ApiCall *call, const bt_token *ids, const ApiText *pieces, size_t n,
                      Buf *out)
{
    JsonOut j = {out};
    jout_open(&j, '{');
    jout_put_open(&j, "tokens", '[');
    for (size_t i = 0; i < n; i++) {
        if (!call->with_pieces || !pieces) {
            jout_integer(&j, ids[i]);
            continue;
        }
        jout_open(&j, '{');
        jout_put_int(&j, "id", ids[i]);
        jout_key(&j, "piece");
        if (utf8_valid(pieces[i].text, pieces[i].size)) {
            jout_text(&j, pieces[i].text, pieces[i].size);
        } else {
            jout_open(&j, '[');
            for (size_t k = 0; k < pieces[i].size; k++)
                jout_integer(&j, (unsigned char)pieces[i].text[k]);
            jout_close(&j, ']');
        }
        jout_close(&j, '}');
    }
    jout_close(&j, ']');
    jout_close(&j, '}');
}

void api_reply_text(const ApiCall *call, const char *text, size_t size, Buf *out)
{
    JsonOut j = {out};
    jout_open(&j, '{');
    jout_put_text(&j, call->kind == API_APPLY_TEMPLATE ? "prompt" : "content", text, size);
    jout_close(&j, '}');
}

void api_reply_count(const ApiCall *call, int32_t n_tokens, Buf *out)
{
    JsonOut j = {out};
    jout_open(&j, '{');
    jout_put_int(&j, "input_tokens", n_tokens);
    jout_close(&j, '}');
}

/* ---- acknowledgements ---------------------------------------------------------------------------
 */

static void loaded(const ApiCall *call, const ApiInfo *info, JsonOut *j)
{
    if (call->route[0] == 'e') { /* embed, embeddings.old: of nothing */
        jout_open(j, '{');
        if (call->route[5] != 'd') jout_put(j, "model", info->model);
        jout_put_open(j, call->route[5] == 'd' ? "embedding" : "embeddings", '[');
        jout_close(j, ']');
        jout_close(j, '}');
        return;
    }
    jout_open(j, '{');
    jout_put(j, "model", info->model);
    jout_key(j, "created_at");
    jout_time(j, info->created, info->created_ns);
    if (strcmp(call->route, "generate") == 0) {
        jout_put(j, "response", "");
    } else {
        jout_put_open(j, "message", '{');
        jout_put(j, "role", "assistant");
        jout_put(j, "content", "");
        jout_close(j, '}');
    }
    jout_put_bool(j, "done", true);
    jout_put(j, "done_reason", call->kind == API_UNLOAD ? "unload" : "load");
    jout_close(j, '}');
}

void api_reply_simple(const ApiCall *call, const ApiInfo *info, Buf *out)
{
    JsonOut j = {out};
    switch (call->kind) {
    case API_LOAD:
    case API_UNLOAD: loaded(call, info, &j); break;
    case API_RESPONSE_DELETE:
        jout_open(&j, '{');
        jout_put(&j, "id", call->response_id);
        jout_put(&j, "object", "response");
        jout_put_bool(&j, "deleted", true);
        jout_close(&j, '}');
        break;
    case API_VERSION:
        jout_open(&j, '{');
        jout_put(&j, "version", API_OLLAMA_VERSION);
        jout_close(&j, '}');
        break;
    case API_CREATE:
        jout_open(&j, '{');
        jout_put(&j, "status", "success");
        jout_close(&j, '}');
        break;
    case API_ROOT: buf_text(out, "Bantam is running"); return;
    default: return; /* copy and delete answer nothing */
    }
    if (call->stream == API_STREAM_NDJSON &&
        (call->kind == API_CREATE || call->kind == API_LOAD || call->kind == API_UNLOAD))
        buf_char(out, '\n');
}

const char *api_reply_type(const ApiCall *call)
{
    if (call->kind == API_ROOT || call->kind == API_METRICS) return "text/plain; charset=utf-8";
    return call->stream == API_STREAM_NDJSON ? "application/x-ndjson" : "application/json";
}
