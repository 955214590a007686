/* OpenAI's chat completions, completions, embeddings, and rerank (the shape of Jina and Cohere,
 * that llama.cpp and others serve under /v1). Source: the published API reference. */
#include <math.h>
#include <string.h>

#include "serve/api_read.h"

static int32_t tokens(double value, int32_t none)
{
    if (isnan(value)) return none;
    return value < 0 ? -1 : (int32_t)value;
}

static bool read_stream(ApiRead *r)
{
    ApiCall *call = r->call;
    if (r->raw.stream == 1) call->stream = API_STREAM_SSE;
    if (r->raw.stream_options &&
        !api_fields_read(r, r->raw.stream_options, "stream_options", IN_STREAM_OPTIONS))
        return false;
    call->include_usage = r->raw.include_usage == 1;
    call->timings = r->raw.timings == 1;
    return true;
}

/* response_format, and llama.cpp's json_schema and grammar beside it */
static bool read_hold(ApiRead *r)
{
    ApiCall *call = r->call;
    if (!api_read_format(r, r->raw.response_format, "response_format", "json_schema")) return false;
    if (r->raw.json_schema) {
        call->hold = API_HOLD_SCHEMA;
        if (!api_json(r, r->raw.json_schema, &call->hold_text)) return false;
    }
    if (!r->raw.grammar || !api_span(r, r->raw.grammar).size) return true;
    if (call->hold != API_HOLD_NONE)
        return api_refuse(r, API_E_INVALID, "grammar", "grammar cannot stand beside a schema");
    call->hold = API_HOLD_GBNF;
    return api_copy(r, r->raw.grammar, "grammar", 1 << 20, &call->hold_text);
}

static bool read_common(ApiRead *r)
{
    return read_stream(r) && api_read_sampling(r) && api_read_stops(r, r->raw.stop, "stop") &&
           read_hold(r) && api_read_adapters(r) && api_read_keep_alive(r);
}

static bool check_modalities(ApiRead *r)
{
    uint32_t node = r->raw.modalities;
    if (!node) return true;
    if (api_kind(r, node) != JSON_KIND_ARRAY)
        return api_refuse(r, API_E_INVALID, "modalities", "modalities must be an array");
    API_EACH(r, node, each)
    if (!api_is(r, each, "text"))
        return api_refuse(r, API_E_UNSUPPORTED, "modalities", "this server writes text only");
    return true;
}

bool api_read_chat(ApiRead *r)
{
    ApiCall *call = r->call;
    const ApiRaw *raw = &r->raw;
    uint32_t effort = raw->reasoning_effort;
    const char *effort_path = "reasoning_effort";
    if (!read_common(r) || !check_modalities(r)) return false;
    call->max_tokens = tokens(raw->max_tokens, call->max_tokens);
    call->max_tokens = tokens(raw->max_completion_tokens, call->max_tokens);
    if (raw->logprobs == 1) call->n_top = tokens(raw->top_logprobs, 0);
    if (raw->logprobs != 1 && raw->top_logprobs > 0)
        return api_refuse(r, API_E_INVALID, "top_logprobs",
                          "top_logprobs needs logprobs to be true");
    if (raw->reasoning && api_kind(r, raw->reasoning) == JSON_KIND_OBJECT && !effort) {
        effort = api_member(r, raw->reasoning, "effort"); /* as some routers send it */
        effort_path = "reasoning.effort";
    }
    return api_read_messages(r, raw->messages) && api_read_tools(r, NULL) &&
           api_read_variables(r, effort, raw->kwargs, effort_path);
}

bool api_read_text(ApiRead *r)
{
    ApiCall *call = r->call;
    const ApiRaw *raw = &r->raw;
    if (!read_common(r) || !api_read_prompts(r, raw->prompt, "prompt", false)) return false;
    call->max_tokens = tokens(raw->max_tokens, 16); /* the reference's default */
    call->n_top = tokens(raw->n_logprobs, -1);
    call->echo = raw->echo == 1;
    if (call->echo && call->n_top >= 0)
        return api_refuse(r, API_E_UNSUPPORTED, "echo",
                          "echo with logprobs is not supported: the prompt has none here");
    if (!raw->suffix || !api_span(r, raw->suffix).size) return true;
    if (call->n_prompts != 1)
        return api_refuse(r, API_E_INVALID, "suffix", "suffix goes with one prompt, not %zu",
                          call->n_prompts);
    return api_copy(r, raw->suffix, "suffix", API_MAX_BODY, &call->suffix);
}

bool api_read_embed(ApiRead *r)
{
    ApiCall *call = r->call;
    uint32_t encoding = r->raw.encoding;
    call->dimensions = tokens(r->raw.dimensions, 0);
    call->base64 = api_is(r, encoding, "base64");
    if (encoding && !call->base64 && !api_is(r, encoding, "float"))
        return api_refuse(r, API_E_INVALID, "encoding_format",
                          "encoding_format must be float or base64");
    return api_read_prompts(r, r->raw.input, "input", false);
}

/* A document is a string, or an object with its text. */
static bool read_document(ApiRead *r, uint32_t node, const char *path, ApiText *out)
{
    if (api_kind(r, node) == JSON_KIND_OBJECT) node = api_member(r, node, "text");
    if (!node || api_kind(r, node) != JSON_KIND_STRING)
        return api_refuse(r, API_E_INVALID, path, "%s must be a string", path);
    return api_copy_text(r, node, out);
}

bool api_read_rerank(ApiRead *r)
{
    ApiCall *call = r->call;
    const ApiRaw *raw = &r->raw;
    size_t n = r->tree.nodes[raw->documents].n, i = 0;
    if (!api_copy_text(r, raw->query, &call->query)) return false;
    ApiText *documents = api_pool_take(call->pool, n, sizeof *documents);
    if (!documents) return api_no_memory(r);
    API_EACH(r, raw->documents, each)
    {
        ApiPath path = api_path("documents[%zu]", i);
        if (!read_document(r, each, path.text, &documents[i++])) return false;
    }
    call->documents = documents;
    call->n_documents = n;
    call->top_n = tokens(raw->top_n, 0);
    call->return_documents = raw->return_documents == 1;
    return true;
}
