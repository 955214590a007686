/* Messages as Anthropic's clients read them: content blocks, each begun, filled by deltas and
 * ended. Source: the published API reference. Its input_tokens are those that were not in the
 * cache. The whole answer is made of the same blocks. */
#include <string.h>

#include "serve/reply_parts.h"
#include "text/json_scan.h"

static void usage(const ApiReply *r, JsonOut *j, int32_t prompt, int32_t cached, int32_t output)
{
    jout_put_open(j, "usage", '{');
    jout_put_int(j, "input_tokens", prompt - cached);
    jout_put_int(j, "cache_creation_input_tokens", 0);
    jout_put_int(j, "cache_read_input_tokens", cached);
    jout_put_int(j, "output_tokens", output);
    jout_close(j, '}');
}

static void head(const ApiReply *r, JsonOut *j)
{
    jout_open(j, '{');
    jout_put(j, "id", r->id);
    jout_put(j, "type", "message");
    jout_put(j, "role", "assistant");
    jout_put(j, "model", r->info.model);
}

static JsonOut event(Buf *out, const char *name)
{
    JsonOut j = sse_begin(out, name);
    jout_open(&j, '{');
    jout_put(&j, "type", name);
    return j;
}

static void event_end(JsonOut *j)
{
    jout_close(j, '}');
    sse_end(j);
}

static void start(ApiReply *r, Buf *out)
{
    JsonOut j = event(out, "message_start");
    jout_key(&j, "message");
    head(r, &j);
    jout_put_open(&j, "content", '[');
    jout_close(&j, ']');
    jout_put_null(&j, "stop_reason");
    jout_put_null(&j, "stop_sequence");
    usage(r, &j, r->info.n_prompt, r->info.n_cached, 0);
    jout_close(&j, '}');
    event_end(&j);
    buf_text(out, "event: ping\ndata: {\"type\":\"ping\"}\n\n");
}

/* ---- blocks ---------------------------------------------------------------------------- */

static void block_event(ApiReply *r, const char *name, JsonOut *j, Buf *out)
{
    *j = event(out, name);
    jout_put_int(j, "index", r->n_items - 1);
}

/* The arguments as an object: of a call that was cut off the members that are whole, which is what
 * the clients' libraries make of a stream's pieces. */
static void input(const ReplyCall *call, JsonOut *j)
{
    Span text = buf_span(&call->arguments);
    Buf begun = {0};
    if (!call->ended && !json_scan_begun(text, &begun)) buf_text(&begun, "{}");
    if (!call->ended) text = buf_span(&begun);
    jout_raw(j, text.size ? text.data : "{}", text.size ? text.size : 2);
    j->buf->failed |= begun.failed;
    buf_close(&begun);
}

/* The finished block, for the whole answer. */
static void keep_block(ApiReply *r, ReplyChoice *c)
{
    JsonOut j = {&r->items, r->items.size > 0};
    const ReplyCall *call = c->n_calls ? &c->calls[c->n_calls - 1] : NULL;
    jout_open(&j, '{');
    if (c->part == PART_TEXT) {
        jout_put(&j, "type", "text");
        jout_put_text(&j, "text", buf_span(&c->text).data + c->part_from,
                      c->text.size - c->part_from);
    } else if (c->part == PART_THOUGHT) {
        jout_put(&j, "type", "thinking");
        jout_put_text(&j, "thinking", buf_span(&c->thoughts).data + c->part_from,
                      c->thoughts.size - c->part_from);
        jout_put(&j, "signature", "");
    } else {
        jout_put(&j, "type", "tool_use");
        jout_put(&j, "id", call->id.data);
        jout_put(&j, "name", call->name.data);
        jout_key(&j, "input");
        input(call, &j);
    }
    jout_close(&j, '}');
}

static void close_block(ApiReply *r, ReplyChoice *c, Buf *out)
{
    JsonOut j;
    if (c->part == PART_NONE) return;
    if (!r->stream) {
        keep_block(r, c);
    } else {
        if (c->part == PART_THOUGHT) {
            block_event(r, "content_block_delta", &j, out);
            jout_put_open(&j, "delta", '{');
            jout_put(&j, "type", "signature_delta");
            jout_put(&j, "signature", "");
            jout_close(&j, '}');
            event_end(&j);
        }
        block_event(r, "content_block_stop", &j, out);
        event_end(&j);
    }
    c->part = PART_NONE;
}

static void open_block(ApiReply *r, ReplyChoice *c, int part, const ReplyCall *call, Buf *out)
{
    JsonOut j;
    close_block(r, c, out);
    c->part = part;
    r->n_items++;
    if (!r->stream) return;
    block_event(r, "content_block_start", &j, out);
    jout_put_open(&j, "content_block", '{');
    if (part == PART_TEXT) {
        jout_put(&j, "type", "text");
        jout_put(&j, "text", "");
    } else if (part == PART_THOUGHT) {
        jout_put(&j, "type", "thinking");
        jout_put(&j, "thinking", "");
        jout_put(&j, "signature", "");
    } else {
        jout_put(&j, "type", "tool_use");
        jout_put(&j, "id", call->id.data);
        jout_put(&j, "name", call->name.data);
        jout_put_open(&j, "input", '{');
        jout_close(&j, '}');
    }
    jout_close(&j, '}');
    event_end(&j);
}

static void delta(ApiReply *r, const char *type, const char *key, Span piece, Buf *out)
{
    JsonOut j;
    if (!r->stream) return;
    block_event(r, "content_block_delta", &j, out);
    jout_put_open(&j, "delta", '{');
    jout_put(&j, "type", type);
    jout_put_text(&j, key, piece.data, piece.size);
    jout_close(&j, '}');
    event_end(&j);
}

static void text(ApiReply *r, ReplyChoice *c, Span piece, Buf *out)
{
    if (!piece.size) return;
    if (c->part != PART_TEXT) {
        open_block(r, c, PART_TEXT, NULL, out);
        c->part_from = c->text.size - (r->keeps ? piece.size : 0);
    }
    delta(r, "text_delta", "text", piece, out);
}

static void thought(ApiReply *r, ReplyChoice *c, Span piece, Buf *out)
{
    if (!piece.size) return;
    if (c->part != PART_THOUGHT) {
        open_block(r, c, PART_THOUGHT, NULL, out);
        c->part_from = c->thoughts.size - (r->keeps ? piece.size : 0);
    }
    delta(r, "thinking_delta", "thinking", piece, out);
}

static void call_begin(ApiReply *r, ReplyChoice *c, ReplyCall *call, Buf *out)
{
    /* what is open must be closed before the new call counts as the last */
    c->n_calls--;
    close_block(r, c, out);
    c->n_calls++;
    open_block(r, c, PART_CALL, call, out);
}

static void arguments(ApiReply *r, ReplyChoice *c, ReplyCall *call, Span piece, Buf *out)
{
    delta(r, "input_json_delta", "partial_json", piece, out);
}

static void call_end(ApiReply *r, ReplyChoice *c, ReplyCall *call, Buf *out)
{
    if (c->part == PART_CALL) close_block(r, c, out);
}

static void call_void(ApiReply *r, ReplyChoice *c, ReplyCall *call, Buf *out)
{
    reply_void_part(r, c, close_block, out);
}

/* ---- ends --------------------------------------------------------------------------------- */

static void choice_end(ApiReply *r, ReplyChoice *c, Buf *out)
{
    close_block(r, c, out);
}

static void reason(const ReplyChoice *c, JsonOut *j)
{
    const char *why = c->why == API_FINISH_WORD   ? "stop_sequence"
                      : c->why != API_FINISH_STOP ? "max_tokens"
                      : c->n_open                 ? "tool_use"
                                                  : "end_turn";
    jout_put(j, "stop_reason", why);
    jout_put(j, "stop_sequence", c->why == API_FINISH_WORD ? buf_span(&c->word).data : NULL);
}

static void end(ApiReply *r, Buf *out)
{
    JsonOut j = event(out, "message_delta");
    jout_put_open(&j, "delta", '{');
    reason(&r->choices[0], &j);
    jout_close(&j, '}');
    usage(r, &j, r->usage.prompt, r->usage.cached, r->usage.completion);
    event_end(&j);
    j = event(out, "message_stop");
    event_end(&j);
}

static void whole(ApiReply *r, Buf *out)
{
    JsonOut j = {out};
    head(r, &j);
    jout_put_open(&j, "content", '[');
    buf_add(out, r->items.data, r->items.size);
    jout_close(&j, ']');
    reason(&r->choices[0], &j);
    usage(r, &j, r->usage.prompt, r->usage.cached, r->usage.completion);
    jout_close(&j, '}');
}

const ReplyShape reply_anthropic = {.id_head = "msg_",
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
