/* What a server says of a text, token by token: the pieces of the text as its own vocabulary cuts
 * it, and of each place what it found likely there. Two forms are read, both of the OpenAI API:
 * completions that repeat their prompt (echo, logprobs), and chat answers (logprobs,
 * top_logprobs). Kept as JSON lines (docs/formats.md).
 *
 * A reply is hostile input: sizes are capped, probabilities checked; what does not fit is refused
 * whole. */
#ifndef TRAIN_REPLIES_H
#define TRAIN_REPLIES_H

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"

#define REPLY_TOP         20         /* likely tokens of a place that are kept */
#define REPLY_MOST_TOKENS (1u << 20) /* of a reply */
#define REPLY_MOST_BYTES  ((size_t)64 << 20)

typedef struct ReplyPiece {
    uint32_t at, size; /* in reply->bytes */
    float p;           /* probability, 0 to 1; 0: so unlikely that the server did not say */
} ReplyPiece;

typedef struct ReplyToken {
    ReplyPiece said;
    uint32_t first, n; /* of reply->tops: what was likely here; n 0: not told */
} ReplyToken;

typedef struct Reply {
    Buf bytes;   /* of all pieces */
    Buf tokens_; /* of ReplyToken */
    Buf tops_;   /* of ReplyPiece */
    Buf content; /* of a chat: the answer; empty: it called a function, or said nothing */
    bool cut;    /* it was cut at the most tokens that were asked for */
} Reply;

/* BT_E_FORMAT: no such reply, or numbers that cannot be; BT_E_UNSUPPORTED: it is one, without
 * log-probabilities; BT_E_LIMIT, BT_E_MEMORY. `out` is emptied first, and empty after a failure. */
bt_status reply_of_completion(Span json, Reply *out, bt_error *err);
bt_status reply_of_chat(Span json, Reply *out, bt_error *err);
/* A line of the journal, without its end, and back. */
bt_status reply_line(const Reply *reply, uint64_t number, Buf *out, bt_error *err);
bt_status reply_of_line(Span line, uint64_t number, Reply *out, bt_error *err);
void reply_clear(Reply *reply);
void reply_close(Reply *reply);

static inline size_t reply_size(const Reply *r)
{
    return r->tokens_.size / sizeof(ReplyToken);
}

static inline const ReplyToken *reply_token(const Reply *r, size_t i)
{
    return (const ReplyToken *)(const void *)r->tokens_.data + i;
}

static inline const ReplyPiece *reply_top(const Reply *r, const ReplyToken *token, size_t i)
{
    return (const ReplyPiece *)(const void *)r->tops_.data + token->first + i;
}

static inline Span reply_text(const Reply *r, const ReplyPiece *piece)
{
    return (Span){r->bytes.data + piece->at, piece->size};
}

/* What a server said in place of an answer, in a few printable words: error.message, or how the
 * body begins. Returns out. */
char *reply_complaint(Span body, char *out, size_t size);

#endif
