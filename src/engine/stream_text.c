/* Tokens to text that can be shown at once: a token may end inside a character, so its bytes pass
 * through a streaming decoder (text/utf8_stream.h). Memory is taken at open and grows only with the
 * longest token seen. Any ids may follow each other, and a text may end anywhere; ids outside the
 * vocabulary are refused and change nothing. */
#include "engine/stream_text.h"

#include "base/buf.h"
#include "base/mem.h"
#include "text/utf8_stream.h"

struct bt_text {
    const Tokenizer *tok;
    bool special;
    bool first; /* nothing, or a special token, stands before */
    Utf8Stream utf8;
    char *bytes; /* of the token at hand */
    size_t capacity;
    Buf piece;
};

bt_status stream_text_open(const Tokenizer *tok, bool special, bt_text **out, bt_error *err)
{
    *out = NULL;
    bt_text *text = mem_zalloc(1, sizeof *text);
    if (!text) return bt_fail_memory(err, "a text", sizeof *text);
    *text = (bt_text){.tok = tok, .special = special, .first = true, .capacity = 512};
    text->bytes = mem_alloc(text->capacity);
    /* Growing once to the most that such a token can give spares later growth. */
    for (size_t i = 0; i < 3 * (text->capacity + 3); i++) buf_char(&text->piece, ' ');
    if (!text->bytes || text->piece.failed) {
        bt_text_close(&text);
        return bt_fail_memory(err, "a text", 4 * 512);
    }
    *out = text;
    return BT_OK;
}

void bt_text_close(bt_text **text)
{
    if (!text || !*text) return;
    mem_free((*text)->bytes);
    buf_close(&(*text)->piece);
    mem_free(*text);
    *text = NULL;
}

static bt_status give(bt_text *text, bt_status status, const char **piece, size_t *length)
{
    if (text->piece.failed) {
        buf_clear(&text->piece);
        status = BT_E_MEMORY;
    }
    if (piece) *piece = text->piece.data;
    if (length) *length = text->piece.size;
    return status;
}

bt_status bt_text_next(bt_text *text, bt_token id, const char **piece, size_t *length)
{
    buf_clear(&text->piece);
    int64_t n = tok_text(text->tok, id, text->special, text->first, text->bytes, text->capacity);
    if (n < 0) return give(text, BT_E_ARGUMENT, piece, length);
    if ((uint64_t)n > text->capacity) {
        char *bytes = mem_realloc(text->bytes, (size_t)n);
        if (!bytes) return give(text, BT_E_MEMORY, piece, length);
        text->bytes = bytes;
        text->capacity = (size_t)n;
        tok_text(text->tok, id, text->special, text->first, bytes, (size_t)n);
    }
    utf8_stream_add(&text->utf8, text->bytes, (size_t)n, &text->piece);
    text->first = tok_is_special(text->tok, id);
    return give(text, BT_OK, piece, length);
}

bt_status bt_text_end(bt_text *text, const char **piece, size_t *length)
{
    buf_clear(&text->piece);
    utf8_stream_end(&text->utf8, &text->piece);
    text->first = true;
    return give(text, BT_OK, piece, length);
}
