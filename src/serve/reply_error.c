/* Errors in each API's own shape, as a body or as the end of a stream. */
#include <string.h>

#include "serve/reply_parts.h"

static const char *anthropic_type(ApiErrorKind kind)
{
    switch (kind) {
    case API_E_KEY: return "authentication_error";
    case API_E_FORBIDDEN: return "permission_error";
    case API_E_NOT_FOUND:
    case API_E_MODEL: return "not_found_error";
    case API_E_TOO_LARGE: return "request_too_large";
    case API_E_BUSY: return "rate_limit_error";
    case API_E_UNAVAILABLE: return "overloaded_error";
    case API_E_TIMEOUT: return "timeout_error";
    case API_E_INTERNAL: return "api_error";
    default: return "invalid_request_error";
    }
}

static const char *llama_type(ApiErrorKind kind)
{
    switch (kind) {
    case API_E_KEY: return "authentication_error";
    case API_E_FORBIDDEN: return "permission_error";
    case API_E_NOT_FOUND:
    case API_E_MODEL: return "not_found_error";
    case API_E_CONTEXT: return "exceed_context_size_error";
    case API_E_UNSUPPORTED: return "not_supported_error";
    case API_E_BUSY:
    case API_E_UNAVAILABLE:
    case API_E_TIMEOUT: return "unavailable_error";
    case API_E_INTERNAL: return "server_error";
    default: return "invalid_request_error";
    }
}

static const char *openai_type(ApiErrorKind kind)
{
    switch (kind) {
    case API_E_KEY: return "authentication_error";
    case API_E_FORBIDDEN: return "permission_error";
    case API_E_BUSY: return "rate_limit_error";
    case API_E_INTERNAL:
    case API_E_UNAVAILABLE:
    case API_E_TIMEOUT: return "server_error";
    default: return "invalid_request_error";
    }
}

static const char *openai_code(ApiErrorKind kind)
{
    switch (kind) {
    case API_E_KEY: return "invalid_api_key";
    case API_E_MODEL: return "model_not_found";
    case API_E_CONTEXT: return "context_length_exceeded";
    case API_E_BUSY: return "rate_limit_exceeded";
    case API_E_UNSUPPORTED: return "unsupported_parameter";
    case API_E_UNAVAILABLE: return "service_unavailable";
    default: return NULL;
    }
}

static void openai(const ApiError *e, JsonOut *j)
{
    jout_open(j, '{');
    jout_put_open(j, "error", '{');
    jout_put(j, "message", e->text);
    jout_put(j, "type", openai_type(e->kind));
    jout_put(j, "param", e->field[0] ? e->field : NULL);
    jout_put(j, "code", openai_code(e->kind));
    jout_close(j, '}');
    jout_close(j, '}');
}

static void anthropic(const ApiError *e, JsonOut *j)
{
    jout_open(j, '{');
    jout_put(j, "type", "error");
    jout_put_open(j, "error", '{');
    jout_put(j, "type", anthropic_type(e->kind));
    jout_put(j, "message", e->text);
    jout_close(j, '}');
    jout_close(j, '}');
}

static void shape(ApiFlavour flavour, const ApiError *e, JsonOut *j)
{
    switch (flavour) {
    case API_OPENAI:
    case API_RESPONSES: openai(e, j); return;
    case API_ANTHROPIC: anthropic(e, j); return;
    case API_OLLAMA:
        jout_open(j, '{');
        jout_put(j, "error", e->text);
        jout_close(j, '}');
        return;
    case API_LLAMA: break;
    }
    jout_open(j, '{');
    jout_put_open(j, "error", '{');
    jout_put_int(j, "code", api_error_http(e->kind));
    jout_put(j, "message", e->text);
    jout_put(j, "type", llama_type(e->kind));
    jout_close(j, '}');
    jout_close(j, '}');
}

/* Responses have an event of their own, flat. */
static void responses_event(const ApiError *e, int64_t sequence, Buf *out)
{
    JsonOut j = sse_begin(out, "error");
    jout_open(&j, '{');
    jout_put(&j, "type", "error");
    jout_put_int(&j, "sequence_number", sequence);
    jout_put(&j, "code", openai_code(e->kind) ? openai_code(e->kind) : openai_type(e->kind));
    jout_put(&j, "message", e->text);
    jout_put(&j, "param", e->field[0] ? e->field : NULL);
    jout_close(&j, '}');
    sse_end(&j);
}

void api_reply_error(ApiFlavour flavour, const ApiError *error, ApiStreamAs in_stream, int *status,
                     Buf *out)
{
    JsonOut j = {out};
    if (status) *status = api_error_http(error->kind);
    if (in_stream == API_STREAM_SSE && flavour == API_RESPONSES) {
        responses_event(error, 0, out);
        return;
    }
    if (in_stream == API_STREAM_SSE) j = sse_begin(out, flavour == API_ANTHROPIC ? "error" : NULL);
    shape(flavour, error, &j);
    if (in_stream == API_STREAM_SSE) {
        sse_end(&j);
        if (flavour == API_OPENAI) buf_text(out, "data: [DONE]\n\n");
    } else if (in_stream == API_STREAM_NDJSON) {
        buf_char(out, '\n');
    }
}

void api_reply_fail(ApiReply *r, const ApiError *error, Buf *out)
{
    if (r->ended) return;
    r->ended = true;
    if (r->call->flavour == API_RESPONSES && r->stream)
        reply_responses_failed(r, error, out);
    else
        api_reply_error(r->call->flavour, error, r->call->stream, NULL, out);
}
