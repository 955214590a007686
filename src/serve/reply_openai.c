/* Chat completions and completions as OpenAI's clients read them. Source: the published API
 * reference. A stream of chat: for each choice a chunk with the role, chunks with deltas, one with
 * the reason of the end; with include_usage a chunk without choices; then [DONE]. */
#include <string.h>

#include "serve/reply_parts.h"
#include "text/utf8.h"

static void head(const ApiReply *r, JsonOut *j, const char *object)
{
    jout_open(j, '{');
    jout_put(j, "id", r->id);
    jout_put(j, "object", object);
    jout_put_int(j, "created", r->info.created);
    jout_put(j, "model", r->info.model);
    jout_key(j, "system_fingerprint");
    buf_printf(j->buf, "\"bantam-%s\"", bt_version());
    j->comma = true;
}

/* ---- chat: streamed --------------------------------------------------------------------- */

/* Up to the inside of "delta". */
static JsonOut chunk(const ApiReply *r, const ReplyChoice *c, Buf *out)
{
    JsonOut j = sse_begin(out, NULL);
    head(r, &j, "chat.completion.chunk");
    jout_put_open(&j, "choices", '[');
    jout_open(&j, '{');
    jout_put_int(&j, "index", reply_index(r, c));
    jout_put_open(&j, "delta", '{');
    return j;
}

static void chunk_end(const ApiReply *r, ReplyChoice *c, JsonOut *j, const char *finish)
{
    jout_close(j, '}');
    if (c && c->probs[0].size) {
        jout_put_open(j, "logprobs", '{');
        reply_put_probs(c, j, "content");
        jout_put_null(j, "refusal");
        jout_close(j, '}');
    } else {
        jout_put_null(j, "logprobs");
    }
    jout_put(j, "finish_reason", finish);
    jout_close(j, '}');
    jout_close(j, ']');
    if (r->call->include_usage) jout_put_null(j, "usage");
    jout_close(j, '}');
    sse_end(j);
}

static void chat_start(ApiReply *r, Buf *out)
{
    for (size_t i = 0; i < r->n_choices; i++) {
        JsonOut j = chunk(r, &r->choices[i], out);
        jout_put(&j, "role", "assistant");
        jout_put(&j, "content", "");
        jout_put_null(&j, "refusal");
        chunk_end(r, NULL, &j, NULL);
    }
}

static void chat_text(ApiReply *r, ReplyChoice *c, Span piece, Buf *out)
{
    JsonOut j = chunk(r, c, out);
    jout_put_text(&j, "content", piece.data, piece.size);
    chunk_end(r, c, &j, NULL);
}

static const char *reasoning_name(const ApiReply *r)
{
    return r->call->reasoning == API_REASONING ? "reasoning" : "reasoning_content";
}

static void chat_thought(ApiReply *r, ReplyChoice *c, Span piece, Buf *out)
{
    JsonOut j = chunk(r, c, out);
    jout_put_text(&j, reasoning_name(r), piece.data, piece.size);
    chunk_end(r, c, &j, NULL);
}

static JsonOut call_chunk(ApiReply *r, ReplyChoice *c, const ReplyCall *call, Buf *out)
{
    JsonOut j = chunk(r, c, out);
    jout_put_open(&j, "tool_calls", '[');
    jout_open(&j, '{');
    jout_put_int(&j, "index", call - c->calls);
    return j;
}

static void call_chunk_end(ApiReply *r, ReplyChoice *c, JsonOut *j, Span arguments)
{
    jout_put_text(j, "arguments", arguments.data, arguments.size);
    jout_close(j, '}');
    jout_close(j, '}');
    jout_close(j, ']');
    chunk_end(r, c, j, NULL);
}

static void chat_call(ApiReply *r, ReplyChoice *c, ReplyCall *call, Buf *out)
{
    JsonOut j = call_chunk(r, c, call, out);
    jout_put(&j, "id", call->id.data);
    jout_put(&j, "type", "function");
    jout_put_open(&j, "function", '{');
    jout_put(&j, "name", call->name.data);
    call_chunk_end(r, c, &j, SPAN(""));
}

static void chat_arguments(ApiReply *r, ReplyChoice *c, ReplyCall *call, Span piece, Buf *out)
{
    JsonOut j = call_chunk(r, c, call, out);
    jout_put_open(&j, "function", '{');
    call_chunk_end(r, c, &j, piece);
}

static void chat_choice_end(ApiReply *r, ReplyChoice *c, Buf *out)
{
    JsonOut j = chunk(r, c, out);
    chunk_end(r, c, &j, reply_finish(c));
}

static void usage_and_done(ApiReply *r, Buf *out, const char *object)
{
    if (r->call->include_usage) {
        JsonOut j = sse_begin(out, NULL);
        head(r, &j, object);
        jout_put_open(&j, "choices", '[');
        jout_close(&j, ']');
        jout_key(&j, "usage");
        reply_usage(&r->usage, &j);
        if (r->call->timings) {
            jout_key(&j, "timings");
            reply_timings(&r->usage, &j);
        }
        jout_close(&j, '}');
        sse_end(&j);
    }
    buf_text(out, "data: [DONE]\n\n");
}

static void chat_end(ApiReply *r, Buf *out)
{
    usage_and_done(r, out, "chat.completion.chunk");
}

/* ---- chat: whole -------------------------------------------------------------------------- */

static void message(const ApiReply *r, const ReplyChoice *c, JsonOut *j)
{
    jout_put_open(j, "message", '{');
    jout_put(j, "role", "assistant");
    jout_key(j, "content");
    if (c->text.size || !c->n_open)
        jout_text(j, buf_span(&c->text).data, c->text.size);
    else
        jout_null(j);
    jout_put_null(j, "refusal");
    if (c->thoughts.size) jout_put_text(j, reasoning_name(r), c->thoughts.data, c->thoughts.size);
    if (c->n_open) {
        jout_put_open(j, "tool_calls", '[');
        for (size_t i = 0; i < c->n_calls; i++) {
            const ReplyCall *call = &c->calls[i];
            if (call->broken) continue;
            jout_open(j, '{');
            jout_put(j, "id", call->id.data);
            jout_put(j, "type", "function");
            jout_put_open(j, "function", '{');
            jout_put(j, "name", call->name.data);
            jout_put_text(j, "arguments", buf_span(&call->arguments).data, call->arguments.size);
            jout_close(j, '}');
            jout_close(j, '}');
        }
        jout_close(j, ']');
    }
    jout_close(j, '}');
}

static void tail(const ApiReply *r, JsonOut *j)
{
    jout_key(j, "usage");
    reply_usage(&r->usage, j);
    if (r->call->timings) {
        jout_key(j, "timings");
        reply_timings(&r->usage, j);
    }
    jout_close(j, '}');
}

static void chat_whole(ApiReply *r, Buf *out)
{
    JsonOut j = {out};
    head(r, &j, "chat.completion");
    jout_put_open(&j, "choices", '[');
    for (size_t i = 0; i < r->n_choices; i++) {
        ReplyChoice *c = &r->choices[i];
        jout_open(&j, '{');
        jout_put_int(&j, "index", (int64_t)i);
        message(r, c, &j);
        if (r->call->n_top >= 0) {
            jout_put_open(&j, "logprobs", '{');
            reply_put_probs(c, &j, "content");
            jout_put_null(&j, "refusal");
            jout_close(&j, '}');
        } else {
            jout_put_null(&j, "logprobs");
        }
        jout_put(&j, "finish_reason", reply_finish(c));
        jout_close(&j, '}');
    }
    jout_close(&j, ']');
    tail(r, &j);
}

const ReplyShape reply_chat = {.id_head = "chatcmpl-",
                               .start = chat_start,
                               .text = chat_text,
                               .thought = chat_thought,
                               .call = chat_call,
                               .arguments = chat_arguments,
                               .choice_end = chat_choice_end,
                               .end = chat_end,
                               .whole = chat_whole};

/* ---- completions ----------------------------------------------------------------------------- */

enum { TOKENS, VALUES, TOPS, OFFSETS };

/* Parts of characters are told apart by their bytes, as OpenAI's own completions have them, for
 * they are keys of one object; NUL too, which not all readers of JSON take there. */
static void token_text(const ApiTokenProb *t, JsonOut *j)
{
    if (utf8_valid(t->bytes, t->n_bytes) && !memchr(t->bytes, 0, t->n_bytes)) {
        jout_text(j, t->bytes, t->n_bytes);
        return;
    }
    jout_open(j, '"');
    buf_text(j->buf, "bytes:");
    for (size_t i = 0; i < t->n_bytes; i++)
        buf_printf(j->buf, "\\\\x%02x", (unsigned char)t->bytes[i]);
    jout_close(j, '"');
}

static void text_probs(ApiReply *r, ReplyChoice *c, const ApiTokenProb *t)
{
    JsonOut j[4];
    for (size_t i = 0; i < 4; i++) j[i] = (JsonOut){&c->probs[i], c->probs[i].size > 0};
    token_text(t, &j[TOKENS]);
    jout_real(&j[VALUES], t->logprob >= -9999.0f ? (double)t->logprob : -9999.0);
    jout_integer(&j[OFFSETS], (int64_t)c->n_chars);
    jout_open(&j[TOPS], '{');
    for (size_t i = 0; i < t->n_top; i++) {
        const ApiTokenProb *top = &t->top[i];
        token_text(top, &j[TOPS]);
        buf_char(j[TOPS].buf, ':');
        j[TOPS].comma = false;
        jout_real(&j[TOPS], top->logprob >= -9999.0f ? (double)top->logprob : -9999.0);
    }
    jout_close(&j[TOPS], '}');
}

static void text_choice(const ApiReply *r, ReplyChoice *c, Span text, const char *finish,
                        JsonOut *j)
{
    static const char *const names[] = {"tokens", "token_logprobs", "top_logprobs", "text_offset"};
    jout_open(j, '{');
    jout_put_text(j, "text", text.data, text.size);
    jout_put_int(j, "index", reply_index(r, c));
    if (c->probs[TOKENS].size || (r->call->n_top >= 0 && !r->stream)) {
        jout_put_open(j, "logprobs", '{');
        for (size_t i = 0; i < 4; i++) {
            jout_put_open(j, names[i], '[');
            buf_add(j->buf, c->probs[i].data, c->probs[i].size);
            jout_close(j, ']');
            buf_clear(&c->probs[i]);
        }
        jout_close(j, '}');
    } else {
        jout_put_null(j, "logprobs");
    }
    jout_put(j, "finish_reason", finish);
    jout_close(j, '}');
}

static void text_chunk(ApiReply *r, ReplyChoice *c, Span piece, const char *finish, Buf *out)
{
    JsonOut j = sse_begin(out, NULL);
    head(r, &j, "text_completion");
    jout_put_open(&j, "choices", '[');
    text_choice(r, c, piece, finish, &j);
    jout_close(&j, ']');
    if (r->call->include_usage) jout_put_null(&j, "usage");
    jout_close(&j, '}');
    sse_end(&j);
}

static void text_text(ApiReply *r, ReplyChoice *c, Span piece, Buf *out)
{
    text_chunk(r, c, piece, NULL, out);
}

static void text_choice_end(ApiReply *r, ReplyChoice *c, Buf *out)
{
    text_chunk(r, c, SPAN(""), reply_finish(c), out);
}

static void text_end(ApiReply *r, Buf *out)
{
    usage_and_done(r, out, "text_completion");
}

static void text_whole(ApiReply *r, Buf *out)
{
    JsonOut j = {out};
    head(r, &j, "text_completion");
    jout_put_open(&j, "choices", '[');
    for (size_t i = 0; i < r->n_choices; i++)
        text_choice(r, &r->choices[i], buf_span(&r->choices[i].text), reply_finish(&r->choices[i]),
                    &j);
    jout_close(&j, ']');
    tail(r, &j);
}

const ReplyShape reply_completions = {.id_head = "cmpl-",
                                      .text = text_text,
                                      .choice_end = text_choice_end,
                                      .end = text_end,
                                      .whole = text_whole,
                                      .probs = text_probs};
