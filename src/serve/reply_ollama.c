/* Chat and generate as Ollama's clients read them: lines of JSON, the last with done and durations
 * in nanoseconds. Calls come whole, with arguments as an object. Source: its published reference.
 */
#include <string.h>

#include "serve/reply_parts.h"

static bool generates(const ApiReply *r)
{
    return strcmp(r->call->route, "generate") == 0;
}

static void head(const ApiReply *r, JsonOut *j)
{
    jout_open(j, '{');
    jout_put(j, "model", r->info.model);
    jout_key(j, "created_at");
    jout_time(j, r->info.created, r->info.created_ns);
}

static void probs(ReplyChoice *c, JsonOut *j)
{
    if (c->probs[0].size) reply_put_probs(c, j, "logprobs");
}

static void call_json(const ReplyCall *call, size_t index, JsonOut *j)
{
    Span text = buf_span(&call->arguments);
    bool whole = call->ended && text.size;
    jout_open(j, '{');
    jout_put(j, "id", call->id.data);
    jout_put_open(j, "function", '{');
    jout_put_int(j, "index", (int64_t)index);
    jout_put(j, "name", call->name.data);
    jout_key(j, "arguments");
    jout_raw(j, whole ? text.data : "{}", whole ? text.size : 2);
    jout_close(j, '}');
    jout_close(j, '}');
}

/* The members that hold what was said: of a line, or of all. */
static void said(const ApiReply *r, Span text, Span thoughts, const ReplyChoice *calls,
                 const ReplyCall *one, JsonOut *j)
{
    bool flat = generates(r);
    if (flat) {
        jout_put_text(j, "response", text.data, text.size);
    } else {
        jout_put_open(j, "message", '{');
        jout_put(j, "role", "assistant");
        jout_put_text(j, "content", text.data, text.size);
    }
    if (thoughts.size) jout_put_text(j, "thinking", thoughts.data, thoughts.size);
    if (one || (calls && calls->n_open)) {
        jout_put_open(j, "tool_calls", '[');
        if (one) call_json(one, (size_t)(one - r->choices[0].calls), j);
        for (size_t i = 0; calls && i < calls->n_calls; i++)
            if (!calls->calls[i].broken) call_json(&calls->calls[i], i, j);
        jout_close(j, ']');
    }
    if (!flat) jout_close(j, '}');
}

static void line(ApiReply *r, ReplyChoice *c, Span text, Span thoughts, const ReplyCall *call,
                 Buf *out)
{
    JsonOut j = {out};
    head(r, &j);
    said(r, text, thoughts, NULL, call, &j);
    jout_put_bool(&j, "done", false);
    probs(c, &j);
    jout_close(&j, '}');
    buf_char(out, '\n');
}

static void text(ApiReply *r, ReplyChoice *c, Span piece, Buf *out)
{
    if (piece.size) line(r, c, piece, (Span){0}, NULL, out);
}

static void thought(ApiReply *r, ReplyChoice *c, Span piece, Buf *out)
{
    if (piece.size) line(r, c, SPAN(""), piece, NULL, out);
}

static void call_end(ApiReply *r, ReplyChoice *c, ReplyCall *call, Buf *out)
{
    line(r, c, SPAN(""), (Span){0}, call, out);
}

static void last(ApiReply *r, Span all, Span thoughts, const ReplyChoice *calls, Buf *out)
{
    ReplyChoice *c = &r->choices[0];
    const ApiUsage *u = &r->usage;
    bool stop = c->why == API_FINISH_STOP || c->why == API_FINISH_WORD;
    JsonOut j = {out};
    head(r, &j);
    said(r, all, thoughts, calls, NULL, &j);
    jout_put_bool(&j, "done", true);
    jout_put(&j, "done_reason", stop ? "stop" : "length");
    probs(c, &j);
    jout_put_int(&j, "total_duration", (int64_t)u->total_us * 1000);
    jout_put_int(&j, "load_duration", (int64_t)u->load_us * 1000);
    jout_put_int(&j, "prompt_eval_count", u->prompt);
    jout_put_int(&j, "prompt_eval_duration", (int64_t)u->prefill_us * 1000);
    jout_put_int(&j, "eval_count", u->completion);
    jout_put_int(&j, "eval_duration", (int64_t)u->decode_us * 1000);
    jout_close(&j, '}');
    if (r->stream) buf_char(out, '\n');
}

static void end(ApiReply *r, Buf *out)
{
    last(r, SPAN(""), (Span){0}, NULL, out);
}

static void whole(ApiReply *r, Buf *out)
{
    const ReplyChoice *c = &r->choices[0];
    last(r, buf_span(&c->text), buf_span(&c->thoughts), c, out);
}

const ReplyShape reply_ollama = {.id_head = "",
                                 .text = text,
                                 .thought = thought,
                                 .call_end = call_end,
                                 .end = end,
                                 .whole = whole};
