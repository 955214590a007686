/* Replies: what all shapes share (see reply.h). */
#include "serve/reply.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "serve/reply_parts.h"

/* ---- small parts ------------------------------------------------------------------- */

JsonOut sse_begin(Buf *out, const char *event)
{
    if (event) {
        buf_text(out, "event: ");
        buf_text(out, event);
        buf_char(out, '\n');
    }
    buf_text(out, "data: ");
    return (JsonOut){.buf = out};
}

void sse_end(JsonOut *j)
{
    buf_text(j->buf, "\n\n");
}

Span buf_span(const Buf *b)
{
    return (Span){b->data ? b->data : "", b->size};
}

const char *reply_finish(const ReplyChoice *c)
{
    switch (c->why) {
    case API_FINISH_STOP: return c->n_open ? "tool_calls" : "stop";
    case API_FINISH_WORD: return "stop";
    case API_FINISH_LENGTH:
    case API_FINISH_CANCEL: break;
    }
    return "length";
}

static double log_value(float logprob)
{
    return logprob >= -9999.0f ? (double)logprob : -9999.0; /* NaN and minus infinity too */
}

static void prob_members(const ApiTokenProb *t, JsonOut *j)
{
    jout_put_text(j, "token", t->bytes, t->n_bytes);
    jout_put_real(j, "logprob", log_value(t->logprob));
    jout_put_open(j, "bytes", '[');
    for (size_t i = 0; i < t->n_bytes; i++) jout_integer(j, (unsigned char)t->bytes[i]);
    jout_close(j, ']');
}

void reply_prob(ApiReply *r, ReplyChoice *c, const ApiTokenProb *t)
{
    JsonOut j = {&c->probs[0], c->probs[0].size > 0};
    jout_open(&j, '{');
    if (r->call->flavour == API_LLAMA) jout_put_int(&j, "id", t->id);
    prob_members(t, &j);
    jout_put_open(&j, "top_logprobs", '[');
    for (size_t i = 0; i < t->n_top; i++) {
        jout_open(&j, '{');
        if (r->call->flavour == API_LLAMA) jout_put_int(&j, "id", t->top[i].id);
        prob_members(&t->top[i], &j);
        jout_close(&j, '}');
    }
    jout_close(&j, ']');
    jout_close(&j, '}');
}

void reply_put_probs(ReplyChoice *c, JsonOut *j, const char *key)
{
    jout_put_open(j, key, '[');
    buf_add(j->buf, c->probs[0].data, c->probs[0].size);
    jout_close(j, ']');
    j->buf->failed |= c->probs[0].failed;
    buf_clear(&c->probs[0]);
}

void reply_usage(const ApiUsage *u, JsonOut *j)
{
    jout_open(j, '{');
    jout_put_int(j, "prompt_tokens", u->prompt);
    jout_put_int(j, "completion_tokens", u->completion);
    jout_put_int(j, "total_tokens", (int64_t)u->prompt + u->completion);
    jout_put_open(j, "prompt_tokens_details", '{');
    jout_put_int(j, "cached_tokens", u->cached);
    jout_close(j, '}');
    jout_put_open(j, "completion_tokens_details", '{');
    jout_put_int(j, "reasoning_tokens", u->reasoning);
    jout_close(j, '}');
    jout_close(j, '}');
}

static void rate(JsonOut *j, const char *ms, const char *each, const char *second, int32_t n,
                 uint64_t us)
{
    jout_put_real(j, ms, (double)us / 1e3);
    jout_put_real(j, each, n > 0 ? (double)us / 1e3 / n : 0);
    jout_put_real(j, second, us > 0 ? n * 1e6 / (double)us : 0);
}

void reply_timings(const ApiUsage *u, JsonOut *j)
{
    int32_t prompt = u->prompt - u->cached;
    jout_open(j, '{');
    jout_put_int(j, "cache_n", u->cached);
    jout_put_int(j, "prompt_n", prompt);
    rate(j, "prompt_ms", "prompt_per_token_ms", "prompt_per_second", prompt, u->prefill_us);
    jout_put_int(j, "predicted_n", u->completion);
    rate(j, "predicted_ms", "predicted_per_token_ms", "predicted_per_second", u->completion,
         u->decode_us);
    jout_close(j, '}');
}

/* ---- open, close ---------------------------------------------------------------------- */

static const ReplyShape *shape_of(const ApiCall *call)
{
    switch (call->flavour) {
    case API_RESPONSES: return &reply_responses;
    case API_ANTHROPIC: return &reply_anthropic;
    case API_OLLAMA: return &reply_ollama;
    case API_LLAMA: return &reply_llama;
    case API_OPENAI: break;
    }
    return call->kind == API_COMPLETION ? &reply_completions : &reply_chat;
}

bt_status api_reply_open(const ApiCall *call, const ApiInfo *info, ApiReply **out, ApiError *err)
{
    ApiReply *r = *out = mem_zalloc(1, sizeof *r);
    if (!r) goto failed;
    r->call = call;
    r->info = *info;
    r->shape = shape_of(call);
    r->n_choices = (size_t)(call->n > 0 ? call->n : 1);
    if (call->kind == API_COMPLETION && call->n_prompts) r->n_choices *= call->n_prompts;
    r->choices = mem_zalloc(r->n_choices, sizeof *r->choices);
    buf_text(&r->model, info->model ? info->model : "");
    r->info.model = r->model.data;
    if (!r->choices || r->model.failed) goto failed;
    r->stream = call->stream != API_STREAM_NOT;
    r->shows = r->stream || call->flavour == API_ANTHROPIC || call->flavour == API_RESPONSES;
    r->keeps = !r->stream || call->flavour == API_RESPONSES;
    if (call->flavour == API_RESPONSES)
        snprintf(r->id, sizeof r->id, "resp_%02x%016llx", (unsigned)info->slot & 0xff,
                 (unsigned long long)info->unique);
    else
        snprintf(r->id, sizeof r->id, "%s%016llx", r->shape->id_head,
                 (unsigned long long)info->unique);
    return BT_OK;
failed:
    api_reply_close(out);
    return api_fail(err, API_E_INTERNAL, NULL, "not enough memory for the answer");
}

static void choice_close(ReplyChoice *c)
{
    buf_close(&c->text);
    buf_close(&c->thoughts);
    buf_close(&c->ids);
    buf_close(&c->word);
    for (size_t i = 0; i < 4; i++) buf_close(&c->probs[i]);
    for (size_t i = 0; i < c->n_calls; i++) {
        buf_close(&c->calls[i].id);
        buf_close(&c->calls[i].name);
        buf_close(&c->calls[i].arguments);
    }
    mem_free(c->calls);
}

void api_reply_close(ApiReply **reply)
{
    ApiReply *r = *reply;
    if (!r) return;
    for (size_t i = 0; r->choices && i < r->n_choices; i++) choice_close(&r->choices[i]);
    mem_free(r->choices);
    buf_close(&r->model);
    buf_close(&r->items);
    buf_close(&r->object);
    mem_free(r);
    *reply = NULL;
}

void api_reply_head(const ApiReply *r, int *status, const char **type, Buf *headers)
{
    *status = 200;
    *type = r->call->stream == API_STREAM_SSE      ? "text/event-stream"
            : r->call->stream == API_STREAM_NDJSON ? "application/x-ndjson"
                                                   : "application/json";
    if (r->stream && headers) buf_text(headers, "cache-control: no-cache\n");
}

bool api_reply_failed(const ApiReply *r)
{
    return r->failed;
}

const char *api_reply_id(const ApiReply *r)
{
    return r->id;
}

void api_reply_object(const ApiReply *r, Buf *out)
{
    buf_add(out, r->object.data, r->object.size);
}

int api_response_slot(const char *id)
{
    unsigned slot = 0;
    if (!id || strncmp(id, "resp_", 5) != 0 || strlen(id) != 5 + 2 + 16) return -1;
    for (int i = 5; i < 7; i++) {
        char c = id[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return -1;
        slot = slot * 16 + (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return (int)slot;
}

/* ---- events ----------------------------------------------------------------------------- */

void api_reply_start(ApiReply *r, Buf *out)
{
    if (r->stream && r->shape->start) r->shape->start(r, out);
    r->failed |= out->failed;
}

static void choice_failed(ApiReply *r, const ReplyChoice *c)
{
    r->failed |= c->text.failed || c->thoughts.failed || c->ids.failed || c->word.failed;
    for (size_t i = 0; i < 4; i++) r->failed |= c->probs[i].failed;
    for (size_t i = 0; i < c->n_calls; i++)
        r->failed |=
            c->calls[i].id.failed || c->calls[i].name.failed || c->calls[i].arguments.failed;
}

static void add_text(ApiReply *r, ReplyChoice *c, Span piece, Buf *out)
{
    for (size_t i = 0; i < piece.size; i++) c->n_chars += (piece.data[i] & 0xC0) != 0x80;
    if (r->keeps) buf_add(&c->text, piece.data, piece.size);
    if (r->shows && r->shape->text) r->shape->text(r, c, piece, out);
}

static void add_thought(ApiReply *r, ReplyChoice *c, Span piece, Buf *out)
{
    if (!r->call->show_thoughts || r->call->reasoning == API_REASONING_OFF) return;
    if (r->keeps) buf_add(&c->thoughts, piece.data, piece.size);
    if (r->shows && r->shape->thought) r->shape->thought(r, c, piece, out);
}

static ReplyCall *find_call(ReplyChoice *c, int32_t event)
{
    for (size_t i = c->n_calls; i-- > 0;)
        if (c->calls[i].event == event) return &c->calls[i];
    return NULL;
}

static ReplyCall *begin_call(ApiReply *r, ReplyChoice *c, const bt_answer_event *e)
{
    if (!(c->n_calls & (c->n_calls - 1))) { /* 0, 1, 2, 4 ...: full */
        size_t grown = c->n_calls ? c->n_calls * 2 : 1;
        ReplyCall *calls = mem_realloc(c->calls, grown * sizeof *calls);
        if (!calls) {
            r->failed = true;
            return NULL;
        }
        c->calls = calls;
    }
    ReplyCall *call = &c->calls[c->n_calls++];
    *call = (ReplyCall){.event = e->index};
    buf_text(&call->id, e->id ? e->id : "");
    buf_text(&call->name, e->name ? e->name : "");
    if (call->id.failed || call->name.failed) r->failed = true;
    c->n_open++;
    return call;
}

void reply_void_part(ApiReply *r, ReplyChoice *c, void (*close)(ApiReply *, ReplyChoice *, Buf *),
                     Buf *out)
{
    if (c->part != PART_CALL) return;
    if (r->stream)
        close(r, c, out);
    else
        r->n_items--;
    c->part = PART_NONE;
}

static void call_event(ApiReply *r, ReplyChoice *c, const bt_answer_event *e, Buf *out)
{
    const ReplyShape *s = r->shape;
    bool shows = r->shows, whole = r->keeps || r->call->flavour == API_OLLAMA;
    ReplyCall *call = e->kind == BT_ANSWER_CALL ? begin_call(r, c, e) : find_call(c, e->index);
    if (!call || r->failed) return;
    Span piece = {e->text, e->text ? e->length : 0};
    switch (e->kind) {
    case BT_ANSWER_CALL:
        if (shows && s->call) s->call(r, c, call, out);
        break;
    case BT_ANSWER_ARGUMENTS:
        if (whole) buf_add(&call->arguments, piece.data, piece.size);
        if (shows && s->arguments && piece.size) s->arguments(r, c, call, piece, out);
        break;
    case BT_ANSWER_CALL_END:
        call->ended = true;
        if (shows && s->call_end) s->call_end(r, c, call, out);
        break;
    default:
        call->broken = true;
        c->n_open--;
        if (shows && s->call_void) s->call_void(r, c, call, out);
        break;
    }
}

void api_reply_event(ApiReply *r, int choice, const bt_answer_event *e, const ApiLogprobs *lp,
                     Buf *out)
{
    if (r->failed || choice < 0 || (size_t)choice >= r->n_choices) return;
    ReplyChoice *c = &r->choices[choice];
    if (lp && r->call->n_top >= 0)
        for (size_t i = 0; i < lp->n; i++) {
            if (r->shape->probs)
                r->shape->probs(r, c, &lp->tokens[i]);
            else
                reply_prob(r, c, &lp->tokens[i]);
        }
    if (e && e->kind == BT_ANSWER_TEXT)
        add_text(r, c, (Span){e->text, e->length}, out);
    else if (e && e->kind == BT_ANSWER_REASONING)
        add_thought(r, c, (Span){e->text, e->length}, out);
    else if (e)
        call_event(r, c, e, out);
    choice_failed(r, c);
    r->failed |= out->failed || r->items.failed;
}

void api_reply_prompt(ApiReply *r, int choice, const char *text, size_t size, Buf *out)
{
    bt_answer_event e = {.kind = BT_ANSWER_TEXT, .index = -1, .text = text, .length = size};
    api_reply_event(r, choice, &e, NULL, out);
}

void api_reply_ids(ApiReply *r, int choice, const bt_token *ids, size_t n)
{
    if (r->failed || !r->call->want_tokens || choice < 0 || (size_t)choice >= r->n_choices) return;
    Buf *to = &r->choices[choice].ids;
    JsonOut j = {to, to->size > 0};
    for (size_t i = 0; i < n; i++) jout_integer(&j, ids[i]);
    r->failed |= to->failed;
}

void api_reply_choice_end(ApiReply *r, int choice, ApiFinish why, const char *word,
                          int32_t n_tokens, Buf *out)
{
    if (r->failed || choice < 0 || (size_t)choice >= r->n_choices) return;
    ReplyChoice *c = &r->choices[choice];
    if (c->ended) return;
    c->ended = true;
    c->why = why;
    c->n_tokens = n_tokens;
    if (word) buf_text(&c->word, word);
    if (r->shows && r->shape->choice_end) r->shape->choice_end(r, c, out);
    choice_failed(r, c);
    r->failed |= out->failed || r->items.failed;
}

void api_reply_end(ApiReply *r, const ApiUsage *usage, Buf *out)
{
    if (r->failed || r->ended) return;
    r->ended = true;
    r->usage = *usage;
    if (r->stream)
        r->shape->end(r, out);
    else
        r->shape->whole(r, out);
    r->failed |= out->failed || r->items.failed || r->object.failed;
}

void api_reply_ping(ApiReply *r, Buf *out)
{
    if (r->call->stream != API_STREAM_SSE || r->ended) return;
    if (r->call->flavour == API_ANTHROPIC)
        buf_text(out, "event: ping\ndata: {\"type\":\"ping\"}\n\n");
    else
        buf_text(out, ": waiting\n\n");
}

/* A call that was cut off has no result, and its arguments are no JSON. */
static bool goes_on_from(const ReplyCall *call)
{
    return call->ended && !call->broken;
}

void api_reply_message(const ApiReply *r, int choice, Buf *out)
{
    const ReplyChoice *c = &r->choices[choice];
    JsonOut j = {out};
    size_t n_whole = 0;
    for (size_t i = 0; i < c->n_calls; i++) n_whole += goes_on_from(&c->calls[i]);
    jout_open(&j, '{');
    jout_put(&j, "role", "assistant");
    jout_key(&j, "content");
    if (c->text.size || !n_whole)
        jout_text(&j, buf_span(&c->text).data, c->text.size);
    else
        jout_null(&j);
    if (c->thoughts.size)
        jout_put_text(&j, "reasoning_content", c->thoughts.data, c->thoughts.size);
    if (n_whole) {
        jout_put_open(&j, "tool_calls", '[');
        for (size_t i = 0; i < c->n_calls; i++) {
            const ReplyCall *call = &c->calls[i];
            if (!goes_on_from(call)) continue;
            jout_open(&j, '{');
            jout_put(&j, "id", call->id.data);
            jout_put(&j, "type", "function");
            jout_put_open(&j, "function", '{');
            jout_put(&j, "name", call->name.data);
            jout_put_text(&j, "arguments", buf_span(&call->arguments).data, call->arguments.size);
            jout_close(&j, '}');
            jout_close(&j, '}');
        }
        jout_close(&j, ']');
    }
    jout_close(&j, '}');
}
