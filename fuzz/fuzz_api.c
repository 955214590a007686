/* Clients may send anything. The first byte chooses the endpoint, the second how the answer is
 * shaped; then comes the body. Whatever it is: what the front finds as the model's name is what is
 * read, texts for the chat template are JSON, and so is all that is answered, whatever is said. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "fuzz.h"
#include "serve/reply.h"
#include "text/json_tree.h"

static const struct {
    const char *method, *path;
} routes[] = {{"POST", "/v1/chat/completions"},
              {"POST", "/v1/completions"},
              {"POST", "/v1/embeddings"},
              {"POST", "/v1/rerank"},
              {"POST", "/v1/responses"},
              {"POST", "/v1/messages"},
              {"POST", "/api/chat"},
              {"POST", "/api/generate"},
              {"POST", "/api/embed"},
              {"POST", "/api/create"},
              {"POST", "/api/copy"},
              {"DELETE", "/api/delete"},
              {"POST", "/api/show"},
              {"POST", "/completion"},
              {"POST", "/infill"},
              {"POST", "/tokenize"},
              {"POST", "/detokenize"},
              {"POST", "/apply-template"},
              {"POST", "/v1/messages/count_tokens"}};

static void must_be_json(const char *text, size_t n)
{
    JsonTree tree;
    if (json_tree_open((Span){text, n}, 100, NULL, &tree, NULL) != BT_OK) abort();
    json_tree_close(&tree);
}

static void check_call(const ApiCall *call, const char *body, size_t size)
{
    char model[API_MAX_NAME];
    const char *const texts[] = {call->messages, call->tools, call->variables,
                                 call->hold == API_HOLD_SCHEMA ? call->hold_text : NULL};
    bool found = api_find_model(body, size, model, sizeof model);
    if (call->model[0] && (!found || strcmp(model, call->model) != 0)) abort();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i]) must_be_json(texts[i], strlen(texts[i]));
    if (call->n < 1 || call->n > API_MAX_CHOICES || call->max_tokens < -1) abort();
    if (call->n_stops > API_MAX_STOPS || call->n_adapters > API_MAX_ADAPTERS) abort();
    for (size_t i = 0; i < call->n_prompts; i++)
        if (!call->prompts[i].n_parts) abort();
}

/* Each line of a stream that holds data is JSON, or the mark of its end. */
static void check_stream(const Buf *out, bool sse)
{
    const char *at = out->data, *end = out->data + out->size;
    while (at && at < end) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        if (!line) abort();
        size_t n = (size_t)(line - at);
        if (!sse)
            must_be_json(at, n);
        else if (n > 6 && memcmp(at, "data: ", 6) == 0 && memcmp(at + 6, "[DONE]", 6) != 0)
            must_be_json(at + 6, n - 6);
        at = line + 1;
    }
}

/* The body's bytes, said, thought and called. */
static void play(const ApiCall *call, const char *body, size_t size, unsigned how)
{
    static const ApiInfo info = {.model = "m\"\xff", .unique = 1, .created = 1};
    static const ApiUsage usage = {.prompt = 3, .cached = 1, .completion = 2};
    ApiReply *r;
    Buf out = {0};
    size_t cut = size > 40 ? 40 : size;
    const ApiTokenProb token = {.id = 1, .logprob = -1, .bytes = body, .n_bytes = cut / 2};
    const ApiLogprobs lp = {&token, 1};
    const bt_answer_event events[] = {
        {BT_ANSWER_REASONING, -1, NULL, NULL, body, cut},
        {BT_ANSWER_TEXT, -1, NULL, NULL, body + cut / 2, cut - cut / 2},
        {BT_ANSWER_CALL, 0, "id\n", "f\"", NULL, 0},
        {BT_ANSWER_ARGUMENTS, 0, NULL, NULL, "{}", 2},
        {how & 1 ? BT_ANSWER_CALL_END : BT_ANSWER_CALL_VOID, 0, NULL, NULL, NULL, 0},
        {BT_ANSWER_TEXT, -1, NULL, NULL, "x", 1}};
    if (api_reply_open(call, &info, &r, NULL) != BT_OK) abort();
    api_reply_start(r, &out);
    for (int c = 0; c < call->n; c++) {
        for (size_t i = how & 2; i < sizeof events / sizeof *events; i++)
            api_reply_event(r, c, &events[i], &lp, &out);
        api_reply_choice_end(r, c, (ApiFinish)(how >> 2 & 3), "w", 2, &out);
    }
    if (how & 64) {
        const ApiError error = {.kind = (ApiErrorKind)(how >> 3 & 7), .text = "t"};
        api_reply_fail(r, &error, &out);
    } else {
        api_reply_end(r, &usage, &out);
    }
    if (api_reply_failed(r) || out.failed) abort();
    if (call->stream == API_STREAM_NOT)
        must_be_json(out.data, out.size);
    else
        check_stream(&out, call->stream == API_STREAM_SSE);
    buf_close(&out);
    api_reply_close(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    size_t which = data[0] % (sizeof routes / sizeof *routes);
    const ApiDefaults defaults = {.n_vocab = 1000, .system = data[1] & 128 ? "s" : NULL};
    const char *body = (const char *)data + 2;
    ApiHttp http = {.method = routes[which].method,
                    .path = routes[which].path,
                    .body = body,
                    .body_size = size - 2};
    ApiCall *call;
    ApiError err;
    if (api_parse(&http, &defaults, &call, &err) != BT_OK) {
        Buf out = {0};
        if (call || !err.text[0] || api_error_http(err.kind) / 100 != 4) abort();
        api_reply_error((ApiFlavour)(data[1] % 5), &err, API_STREAM_NOT, NULL, &out);
        must_be_json(out.data, out.size);
        buf_close(&out);
        return 0;
    }
    check_call(call, body, size - 2);
    if (call->kind <= API_INFILL) play(call, body, size - 2, data[1]);
    api_call_close(&call);
    return 0;
}
