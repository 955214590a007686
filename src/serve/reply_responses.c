/* Responses as OpenAI's clients read them: a response with output items (reasoning, message,
 * function_call), and in a stream an event for each step in the life of each. Source: the published
 * API reference. The whole answer is made of the same items; what the request set is repeated. */
#include <stdio.h>
#include <string.h>

#include "serve/reply_parts.h"

typedef struct ItemId {
    char text[48];
} ItemId;

/* The id of the item that is open. */
static ItemId item_id(const ApiReply *r, int part)
{
    ItemId id;
    const char *head = part == PART_TEXT ? "msg" : part == PART_THOUGHT ? "rs" : "fc";
    snprintf(id.text, sizeof id.text, "%s_%016llx%02x", head, (unsigned long long)r->info.unique,
             (unsigned)(r->n_items - 1));
    return id;
}

static JsonOut event(ApiReply *r, const char *name, Buf *out)
{
    JsonOut j = sse_begin(out, name);
    jout_open(&j, '{');
    jout_put(&j, "type", name);
    jout_put_int(&j, "sequence_number", r->sequence++);
    return j;
}

static void event_end(JsonOut *j)
{
    jout_close(j, '}');
    sse_end(j);
}

/* ---- the response object ------------------------------------------------------------------ */

static void usage(const ApiUsage *u, JsonOut *j)
{
    jout_open(j, '{');
    jout_put_int(j, "input_tokens", u->prompt);
    jout_put_open(j, "input_tokens_details", '{');
    jout_put_int(j, "cached_tokens", u->cached);
    jout_close(j, '}');
    jout_put_int(j, "output_tokens", u->completion);
    jout_put_open(j, "output_tokens_details", '{');
    jout_put_int(j, "reasoning_tokens", u->reasoning);
    jout_close(j, '}');
    jout_put_int(j, "total_tokens", (int64_t)u->prompt + u->completion);
    jout_close(j, '}');
}

static void response(const ApiReply *r, const char *status, const ApiError *error, JsonOut *j)
{
    const char *echoed = r->call->echoed ? r->call->echoed : "";
    bool done = strcmp(status, "completed") == 0, cut = strcmp(status, "incomplete") == 0;
    jout_open(j, '{');
    jout_put(j, "id", r->id);
    jout_put(j, "object", "response");
    jout_put_int(j, "created_at", r->info.created);
    jout_put(j, "status", status);
    jout_put_bool(j, "background", false);
    jout_key(j, "error");
    if (error) {
        jout_open(j, '{');
        jout_put(j, "code", error->kind == API_E_BUSY ? "rate_limit_exceeded" : "server_error");
        jout_put(j, "message", error->text);
        jout_close(j, '}');
    } else {
        jout_null(j);
    }
    jout_key(j, "incomplete_details");
    if (cut) {
        jout_open(j, '{');
        jout_put(j, "reason", "max_output_tokens");
        jout_close(j, '}');
    } else {
        jout_null(j);
    }
    jout_put(j, "model", r->info.model);
    jout_put_open(j, "output", '[');
    buf_add(j->buf, r->items.data, r->items.size);
    jout_close(j, ']');
    if (*echoed) jout_raw(j, echoed, strlen(echoed));
    jout_key(j, "usage");
    if (done || cut)
        usage(&r->usage, j);
    else
        jout_null(j);
    jout_close(j, '}');
}

static void life(ApiReply *r, const char *name, const char *status, const ApiError *error, Buf *out)
{
    JsonOut j = event(r, name, out);
    jout_key(&j, "response");
    response(r, status, error, &j);
    event_end(&j);
}

static void start(ApiReply *r, Buf *out)
{
    life(r, "response.created", "in_progress", NULL, out);
    life(r, "response.in_progress", "in_progress", NULL, out);
}

/* ---- items ----------------------------------------------------------------------------------- */

static Span part_text(const ReplyChoice *c)
{
    const Buf *b = c->part == PART_TEXT ? &c->text : &c->thoughts;
    Span s = buf_span(b);
    return (Span){s.data + c->part_from, s.size - c->part_from};
}

/* A content part: output_text or reasoning_text. */
static void content_part(const ReplyChoice *c, Span text, const Span *probs, JsonOut *j)
{
    jout_open(j, '{');
    if (c->part == PART_TEXT) {
        jout_put(j, "type", "output_text");
        jout_put_open(j, "annotations", '[');
        jout_close(j, ']');
        jout_put_open(j, "logprobs", '[');
        if (probs) buf_add(j->buf, probs->data, probs->size);
        jout_close(j, ']');
    } else {
        jout_put(j, "type", "reasoning_text");
    }
    jout_put_text(j, "text", text.data, text.size);
    jout_close(j, '}');
}

static void item(const ApiReply *r, const ReplyChoice *c, bool done, JsonOut *j)
{
    const ReplyCall *call = c->n_calls ? &c->calls[c->n_calls - 1] : NULL;
    ItemId id = item_id(r, c->part);
    Span probs = buf_span(&c->probs[1]);
    const char *status = !done ? "in_progress"
                         : c->why == API_FINISH_STOP || c->why == API_FINISH_WORD || !c->ended
                             ? "completed"
                             : "incomplete";
    jout_open(j, '{');
    jout_put(j, "id", id.text);
    if (c->part == PART_CALL) {
        jout_put(j, "type", "function_call");
        jout_put(j, "status", status);
        jout_put(j, "call_id", call->id.data);
        jout_put(j, "name", call->name.data);
        jout_put_text(j, "arguments", done ? buf_span(&call->arguments).data : "",
                      done ? call->arguments.size : 0);
    } else {
        bool text = c->part == PART_TEXT;
        jout_put(j, "type", text ? "message" : "reasoning");
        jout_put(j, "status", status);
        if (text) {
            jout_put(j, "role", "assistant");
        } else {
            jout_put_open(j, "summary", '[');
            jout_close(j, ']');
        }
        jout_put_open(j, "content", '[');
        if (done) content_part(c, part_text(c), &probs, j);
        jout_close(j, ']');
    }
    jout_close(j, '}');
}

static void item_event(ApiReply *r, const ReplyChoice *c, const char *name, bool done, Buf *out)
{
    JsonOut j = event(r, name, out);
    jout_put_int(&j, "output_index", r->n_items - 1);
    jout_key(&j, "item");
    item(r, c, done, &j);
    event_end(&j);
}

/* Up to what an event inside an item says of its own. */
static JsonOut inner(ApiReply *r, const ReplyChoice *c, const char *name, Buf *out)
{
    JsonOut j = event(r, name, out);
    jout_put(&j, "item_id", item_id(r, c->part).text);
    jout_put_int(&j, "output_index", r->n_items - 1);
    if (c->part != PART_CALL) jout_put_int(&j, "content_index", 0);
    return j;
}

static void part_done(ApiReply *r, ReplyChoice *c, Buf *out)
{
    bool text = c->part == PART_TEXT;
    Span all = part_text(c), probs = buf_span(&c->probs[1]);
    JsonOut j =
        inner(r, c, text ? "response.output_text.done" : "response.reasoning_text.done", out);
    jout_put_text(&j, "text", all.data, all.size);
    if (text) {
        jout_put_open(&j, "logprobs", '[');
        buf_add(out, probs.data, probs.size);
        jout_close(&j, ']');
    }
    event_end(&j);
    j = inner(r, c, "response.content_part.done", out);
    jout_key(&j, "part");
    content_part(c, all, &probs, &j);
    event_end(&j);
}

static void call_done(ApiReply *r, ReplyChoice *c, Buf *out)
{
    const ReplyCall *call = &c->calls[c->n_calls - 1];
    JsonOut j = inner(r, c, "response.function_call_arguments.done", out);
    jout_put(&j, "name", call->name.data);
    jout_put_text(&j, "arguments", buf_span(&call->arguments).data, call->arguments.size);
    event_end(&j);
}

/* Log-probabilities that wait go to those of the item. */
static void keep_probs(ReplyChoice *c)
{
    Buf *wait = &c->probs[0], *all = &c->probs[1];
    if (!wait->size) return;
    if (all->size) buf_char(all, ',');
    buf_add(all, wait->data, wait->size);
    buf_clear(wait);
}

static void close_item(ApiReply *r, ReplyChoice *c, Buf *out)
{
    if (c->part == PART_NONE) return;
    if (c->part == PART_TEXT) keep_probs(c);
    if (r->stream) {
        if (c->part == PART_CALL)
            call_done(r, c, out);
        else
            part_done(r, c, out);
        item_event(r, c, "response.output_item.done", true, out);
    }
    JsonOut j = {&r->items, r->items.size > 0};
    item(r, c, true, &j);
    if (c->part == PART_TEXT) buf_clear(&c->probs[1]);
    c->part = PART_NONE;
}

static void open_item(ApiReply *r, ReplyChoice *c, int part, Buf *out)
{
    close_item(r, c, out);
    c->part = part;
    c->part_from = part == PART_TEXT ? c->text.size : c->thoughts.size;
    r->n_items++;
    if (!r->stream) return;
    item_event(r, c, "response.output_item.added", false, out);
    if (part == PART_CALL) return;
    JsonOut j = inner(r, c, "response.content_part.added", out);
    jout_key(&j, "part");
    content_part(c, SPAN(""), NULL, &j);
    event_end(&j);
}

static void delta(ApiReply *r, ReplyChoice *c, const char *name, Span piece, Buf *out)
{
    if (!r->stream) return;
    JsonOut j = inner(r, c, name, out);
    jout_put_text(&j, "delta", piece.data, piece.size);
    if (c->part == PART_TEXT) {
        jout_put_open(&j, "logprobs", '[');
        buf_add(out, c->probs[0].data, c->probs[0].size);
        jout_close(&j, ']');
    }
    event_end(&j);
}

static void text(ApiReply *r, ReplyChoice *c, Span piece, Buf *out)
{
    if (!piece.size) return;
    if (c->part != PART_TEXT) {
        open_item(r, c, PART_TEXT, out);
        c->part_from -= piece.size; /* it is in the buffer already */
    }
    delta(r, c, "response.output_text.delta", piece, out);
    keep_probs(c);
}

static void thought(ApiReply *r, ReplyChoice *c, Span piece, Buf *out)
{
    if (!piece.size) return;
    if (c->part != PART_THOUGHT) {
        open_item(r, c, PART_THOUGHT, out);
        c->part_from -= piece.size;
    }
    delta(r, c, "response.reasoning_text.delta", piece, out);
    buf_clear(&c->probs[0]);
}

static void call_begin(ApiReply *r, ReplyChoice *c, ReplyCall *call, Buf *out)
{
    /* what is open must be closed before the new call counts as the last */
    c->n_calls--;
    close_item(r, c, out);
    c->n_calls++;
    open_item(r, c, PART_CALL, out);
    buf_clear(&c->probs[0]);
}

static void arguments(ApiReply *r, ReplyChoice *c, ReplyCall *call, Span piece, Buf *out)
{
    delta(r, c, "response.function_call_arguments.delta", piece, out);
    buf_clear(&c->probs[0]);
}

static void call_end(ApiReply *r, ReplyChoice *c, ReplyCall *call, Buf *out)
{
    if (c->part == PART_CALL) close_item(r, c, out);
}

static void call_void(ApiReply *r, ReplyChoice *c, ReplyCall *call, Buf *out)
{
    reply_void_part(r, c, close_item, out);
}

static void choice_end(ApiReply *r, ReplyChoice *c, Buf *out)
{
    close_item(r, c, out);
}

/* ---- ends --------------------------------------------------------------------------------------
 */

static bool is_cut(const ApiReply *r)
{
    const ReplyChoice *c = &r->choices[0];
    return c->why != API_FINISH_STOP && c->why != API_FINISH_WORD;
}

static void keep_object(ApiReply *r)
{
    JsonOut j = {&r->object};
    buf_clear(&r->object);
    response(r, is_cut(r) ? "incomplete" : "completed", NULL, &j);
}

static void end(ApiReply *r, Buf *out)
{
    keep_object(r);
    if (is_cut(r))
        life(r, "response.incomplete", "incomplete", NULL, out);
    else
        life(r, "response.completed", "completed", NULL, out);
}

static void whole(ApiReply *r, Buf *out)
{
    keep_object(r);
    buf_add(out, r->object.data, r->object.size);
}

void reply_responses_failed(ApiReply *r, const ApiError *error, Buf *out)
{
    life(r, "response.failed", "failed", error, out);
}

const ReplyShape reply_responses = {.id_head = "resp_",
                                    .start = start,
                                    .text = text,
                                    .thought = thought,
                                    .call = call_begin,
                                    .arguments = arguments,
                                    .call_end = call_end,
                                    .call_void = call_void,
                                    .choice_end = choice_end,
                                    .end = end,
                                    .whole = whole};
