/* Replies of servers (see replies.h). Pieces are bytes: where a token is part of a character, its
 * `bytes` say so, or the form "bytes:\xe2\x82" in its place. In a journal they stand as hex. */
#include "train/replies.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "base/hex.h"
#include "base/mem.h"

#define UNLIKELY (-1000.0) /* servers write -9999 for "unlikely" */
#define ROUNDING 1e-3      /* of a logarithm above 0 */

void reply_clear(Reply *r)
{
    buf_clear(&r->bytes);
    buf_clear(&r->tokens_);
    buf_clear(&r->tops_);
    buf_clear(&r->content);
    r->cut = false;
}

void reply_close(Reply *r)
{
    buf_close(&r->bytes);
    buf_close(&r->tokens_);
    buf_close(&r->tops_);
    buf_close(&r->content);
}

static bt_status finish(Reply *r, bt_status status, bt_error *err)
{
    bool failed = r->bytes.failed || r->tokens_.failed || r->tops_.failed || r->content.failed;
    if (!status && failed) status = bt_fail_memory(err, "a server's answer", r->bytes.size);
    if (status) reply_clear(r);
    return status;
}

static json_t *parse(Span text, bt_error *err)
{
    json_error_t fault;
    if (text.size > REPLY_MOST_BYTES) {
        bt_fail(err, BT_E_LIMIT, "an answer of over %zu MB", REPLY_MOST_BYTES >> 20);
        return NULL;
    }
    json_t *all = json_loadb(text.data, text.size, JSON_ALLOW_NUL, &fault);
    if (!all) bt_fail(err, BT_E_FORMAT, "no JSON: byte %d: %.100s", fault.position, fault.text);
    return all;
}

/* ---- numbers and pieces ---- */

/* A logarithm as a probability. */
static bool probability(const json_t *value, float *p)
{
    if (!json_is_number(value)) return false;
    double log_p = json_number_value(value);
    if (!(log_p <= ROUNDING)) return false;
    *p = log_p <= UNLIKELY ? 0 : (float)exp(log_p < 0 ? log_p : 0);
    return true;
}

/* Pairs of hex digits, each behind `mark` (may be ""). False: they are none. */
static bool add_hex(Buf *to, Span text, const char *mark)
{
    size_t skip = strlen(mark), step = skip + 2;
    if (text.size % step) return false;
    for (size_t i = 0; i < text.size; i += step) {
        int high = hex_digit(text.data[i + skip]), low = hex_digit(text.data[i + skip + 1]);
        if (memcmp(text.data + i, mark, skip) != 0 || high < 0 || low < 0) return false;
        buf_char(to, (char)(high * 16 + low));
    }
    return true;
}

static void add_string(Buf *to, Span text)
{
    static const Span mark = {"bytes:", 6};
    size_t before = to->size;
    if (text.size > mark.size && memcmp(text.data, mark.data, mark.size) == 0 &&
        add_hex(to, (Span){text.data + mark.size, text.size - mark.size}, "\\x"))
        return;
    to->size = before;
    buf_add(to, text.data, text.size);
}

static Span string_of(const json_t *value)
{
    return (Span){json_string_value(value), json_string_length(value)};
}

/* The token's bytes: an array of numbers, or its text. */
static bool add_bytes(Buf *to, const json_t *bytes, const json_t *text)
{
    size_t n = json_array_size(bytes);
    for (size_t i = 0; i < n; i++) {
        const json_t *byte = json_array_get(bytes, i);
        if (!json_is_integer(byte) || json_integer_value(byte) < 0 ||
            json_integer_value(byte) > 255)
            return false;
        buf_char(to, (char)json_integer_value(byte));
    }
    if (json_is_array(bytes)) return true;
    if (!json_is_string(text)) return false;
    add_string(to, string_of(text));
    return true;
}

static ReplyPiece piece_from(const Reply *r, size_t at, float p)
{
    return (ReplyPiece){(uint32_t)at, (uint32_t)(r->bytes.size - at), p};
}

static void add_top(Reply *r, ReplyToken *t, ReplyPiece piece)
{
    if (t->n == REPLY_TOP) return;
    buf_add(&r->tops_, &piece, sizeof piece);
    t->n++;
}

static bool add_token(Reply *r, const ReplyToken *t)
{
    double sum = 0;
    for (uint32_t i = 0; i < t->n && !r->tops_.failed; i++) sum += (double)reply_top(r, t, i)->p;
    buf_add(&r->tokens_, t, sizeof *t);
    return sum < 1.01 && reply_size(r) <= REPLY_MOST_TOKENS && r->bytes.size <= REPLY_MOST_BYTES;
}

static ReplyToken new_token(const Reply *r)
{
    return (ReplyToken){.first = (uint32_t)(r->tops_.size / sizeof(ReplyPiece))};
}

static bt_status bad_token(size_t i, bt_error *err)
{
    return bt_fail(err, BT_E_FORMAT, "token %zu of the answer is none, or its probabilities are",
                   i);
}

/* ---- completions ---- */

static bool completion_tops(Reply *r, ReplyToken *t, const json_t *tops)
{
    const char *key;
    json_t *value, *all = (json_t *)(uintptr_t)tops;
    json_object_foreach(all, key, value)
    {
        size_t at = r->bytes.size;
        float p;
        add_string(&r->bytes, span_of(key));
        if (!probability(value, &p)) return false;
        add_top(r, t, piece_from(r, at, p));
    }
    return true;
}

static bt_status completion_tokens(const json_t *logprobs, Reply *r, bt_error *err)
{
    const json_t *tokens = json_object_get(logprobs, "tokens");
    const json_t *tops = json_object_get(logprobs, "top_logprobs");
    const json_t *own = json_object_get(logprobs, "token_logprobs");
    size_t n = json_array_size(tokens);
    if (!n || json_array_size(tops) != n)
        return bt_fail(err, BT_E_UNSUPPORTED, "the answer has no likely tokens (top_logprobs)");
    for (size_t i = 0; i < n; i++) {
        ReplyToken t = new_token(r);
        const json_t *text = json_array_get(tokens, i), *of = json_array_get(own, i);
        size_t at = r->bytes.size;
        float p = 0;
        if (!json_is_string(text)) return bad_token(i, err);
        add_string(&r->bytes, string_of(text));
        if (of && !json_is_null(of) && !probability(of, &p)) return bad_token(i, err);
        t.said = piece_from(r, at, p);
        if (!completion_tops(r, &t, json_array_get(tops, i)) || !add_token(r, &t))
            return bad_token(i, err);
    }
    return BT_OK;
}

static const json_t *first_choice(const json_t *all)
{
    return json_array_get(json_object_get(all, "choices"), 0);
}

bt_status reply_of_completion(Span text, Reply *out, bt_error *err)
{
    reply_clear(out);
    json_t *all = parse(text, err);
    if (!all) return BT_E_FORMAT;
    const json_t *logprobs = json_object_get(first_choice(all), "logprobs");
    bt_status status = first_choice(all)
                           ? completion_tokens(logprobs, out, err)
                           : bt_fail(err, BT_E_FORMAT, "the answer is no completion: no choices");
    json_decref(all);
    return finish(out, status, err);
}

/* ---- chats ---- */

static bool chat_tops(Reply *r, ReplyToken *t, const json_t *tops)
{
    for (size_t i = 0; i < json_array_size(tops); i++) {
        const json_t *top = json_array_get(tops, i);
        size_t at = r->bytes.size;
        float p;
        if (!probability(json_object_get(top, "logprob"), &p) ||
            !add_bytes(&r->bytes, json_object_get(top, "bytes"), json_object_get(top, "token")))
            return false;
        add_top(r, t, piece_from(r, at, p));
    }
    return true;
}

static bt_status chat_tokens(const json_t *content, Reply *r, bt_error *err)
{
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *token = json_array_get(content, i);
        ReplyToken t = new_token(r);
        size_t at = r->bytes.size;
        float p;
        if (!probability(json_object_get(token, "logprob"), &p) ||
            !add_bytes(&r->bytes, json_object_get(token, "bytes"), json_object_get(token, "token")))
            return bad_token(i, err);
        t.said = piece_from(r, at, p);
        if (!chat_tops(r, &t, json_object_get(token, "top_logprobs")) || !add_token(r, &t))
            return bad_token(i, err);
    }
    return BT_OK;
}

bt_status reply_of_chat(Span text, Reply *out, bt_error *err)
{
    reply_clear(out);
    json_t *all = parse(text, err);
    if (!all) return BT_E_FORMAT;
    const json_t *choice = first_choice(all);
    const json_t *message = json_object_get(choice, "message");
    const json_t *said = json_object_get(message, "content");
    const json_t *content = json_object_get(json_object_get(choice, "logprobs"), "content");
    const char *why = json_string_value(json_object_get(choice, "finish_reason"));
    bt_status status = BT_OK;
    /* A call in place of words, a refusal: an answer, of which nothing is learned. */
    bool silent =
        json_is_null(said) || (!said && json_array_size(json_object_get(message, "tool_calls")));
    if (!json_is_string(said) && !silent)
        status = bt_fail(err, BT_E_FORMAT, "the answer is no chat's: no message with content");
    else if (silent)
        reply_clear(out);
    else if (!json_is_array(content) || (json_string_length(said) && !json_array_size(content)))
        status = bt_fail(err, BT_E_UNSUPPORTED, "the answer has no likely tokens (logprobs)");
    else
        status = chat_tokens(content, out, err);
    if (!status && !silent)
        buf_add(&out->content, json_string_value(said), json_string_length(said));
    out->cut = why && strcmp(why, "length") == 0;
    json_decref(all);
    return finish(out, status, err);
}

/* ---- the journal ---- */

static void put_piece(Buf *out, const Reply *r, const ReplyPiece *piece)
{
    Span text = reply_text(r, piece);
    buf_char(out, '"');
    for (size_t i = 0; i < text.size; i++)
        buf_printf(out, "%02x", (unsigned)(unsigned char)text.data[i]);
    buf_printf(out, "\",%.9g", (double)piece->p);
}

static int add_text(const char *text, size_t size, void *user)
{
    buf_add(user, text, size);
    return 0;
}

bt_status reply_line(const Reply *r, uint64_t number, Buf *out, bt_error *err)
{
    json_t *said = json_stringn_nocheck(r->content.data ? r->content.data : "", r->content.size);
    buf_clear(out);
    buf_printf(out, "{\"n\":%llu,\"cut\":%s,\"content\":", (unsigned long long)number,
               r->cut ? "true" : "false");
    if (!said || json_dump_callback(said, add_text, out, JSON_ENCODE_ANY)) out->failed = true;
    json_decref(said);
    buf_text(out, ",\"tokens\":[");
    for (size_t i = 0; i < reply_size(r); i++) {
        const ReplyToken *t = reply_token(r, i);
        buf_text(out, i ? ",[" : "[");
        put_piece(out, r, &t->said);
        for (uint32_t j = 0; j < t->n; j++) {
            buf_char(out, ',');
            put_piece(out, r, reply_top(r, t, j));
        }
        buf_char(out, ']');
    }
    buf_text(out, "]}");
    return out->failed ? bt_fail_memory(err, "a server's answer", out->capacity) : BT_OK;
}

/* Element i of a token's list and the number behind it. */
static bool line_piece(Reply *r, const json_t *list, size_t i, ReplyPiece *out)
{
    const json_t *hex = json_array_get(list, i), *p = json_array_get(list, i + 1);
    size_t at = r->bytes.size;
    if (!json_is_string(hex) || !json_is_number(p) || !(json_number_value(p) >= 0) ||
        !(json_number_value(p) <= 1) || !add_hex(&r->bytes, string_of(hex), ""))
        return false;
    *out = piece_from(r, at, (float)json_number_value(p));
    return true;
}

static bt_status line_tokens(const json_t *tokens, Reply *r, bt_error *err)
{
    for (size_t i = 0; i < json_array_size(tokens); i++) {
        const json_t *list = json_array_get(tokens, i);
        ReplyToken t = new_token(r);
        ReplyPiece top;
        if (!line_piece(r, list, 0, &t.said)) return bad_token(i, err);
        for (size_t j = 2; j < json_array_size(list); j += 2) {
            if (!line_piece(r, list, j, &top)) return bad_token(i, err);
            add_top(r, &t, top);
        }
        if (!add_token(r, &t)) return bad_token(i, err);
    }
    return BT_OK;
}

bt_status reply_of_line(Span line, uint64_t number, Reply *out, bt_error *err)
{
    reply_clear(out);
    json_t *all = parse(line, err);
    if (!all) return BT_E_FORMAT;
    const json_t *n = json_object_get(all, "n"), *said = json_object_get(all, "content");
    const json_t *tokens = json_object_get(all, "tokens");
    bt_status status;
    if (!json_is_integer(n) || json_integer_value(n) != (json_int_t)number ||
        !json_is_string(said) || !json_is_array(tokens))
        status =
            bt_fail(err, BT_E_FORMAT, "no answer with the number %llu", (unsigned long long)number);
    else
        status = line_tokens(tokens, out, err);
    if (!status) buf_add(&out->content, json_string_value(said), json_string_length(said));
    out->cut = json_is_true(json_object_get(all, "cut"));
    json_decref(all);
    return finish(out, status, err);
}

/* ---- complaints ---- */

char *reply_complaint(Span body, char *out, size_t size)
{
    json_error_t fault;
    json_t *all =
        body.size <= REPLY_MOST_BYTES ? json_loadb(body.data, body.size, 0, &fault) : NULL;
    const json_t *error = json_object_get(all, "error");
    const json_t *message = json_object_get(json_is_object(error) ? error : all, "message");
    if (json_is_string(error)) message = error;
    Span text = json_is_string(message) ? string_of(message) : body;
    size_t n = 0;
    for (size_t i = 0; i < text.size && n + 1 < size && n < 200; i++) {
        char c = text.data[i];
        bool printable = c > ' ' && c < 127;
        if (!printable && (n == 0 || out[n - 1] == ' ')) continue;
        out[n++] = printable ? c : ' ';
    }
    out[n] = '\0';
    json_decref(all);
    return out;
}
