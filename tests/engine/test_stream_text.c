/* bt_text on small vocabularies: random tokens in any order give, joined, the lossy decoding of
 * their bytes joined; texts come back as they were; memory stays still. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../text/vocab_small.h"
#include "base/buf.h"
#include "base/mem.h"
#include "engine/stream_text.h"
#include "support/draw.h"
#include "support/torture.h"
#include "text/utf8_stream.h"

static Small v;

static Tokenizer *open_small(int kind)
{
    static char long_token[3001];
    Tokenizer *tok;
    bt_error err;
    if (kind == 0) small_bytes(&v, "gpt-2");
    if (kind == 1) small_spm(&v);
    if (kind == 2) small_wpm(&v);
    memset(long_token, 'x', sizeof long_token - 1);
    small_token(&v, long_token, TOK_NORMAL, -100);
    if (tok_open(&v.source, &tok, &err)) fail_msg("%s", err.text);
    return tok;
}

static void add_next(bt_text *text, int32_t id, Buf *all)
{
    const char *piece;
    size_t length;
    assert_int_equal(bt_text_next(text, id, &piece, &length), BT_OK);
    assert_int_equal(piece[length], '\0');
    /* Whole by itself: decoding it changes nothing. */
    Buf again = {0};
    Utf8Stream stream = {0};
    utf8_stream_add(&stream, piece, length, &again);
    utf8_stream_end(&stream, &again);
    assert_int_equal(again.size, length);
    if (length) assert_memory_equal(again.data, piece, length);
    buf_close(&again);
    buf_add(all, piece, length);
}

static void random_tokens_join_to_the_whole(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        Tokenizer *tok = open_small(kind);
        for (int round = 0; round < 400; round++) {
            bool special = draw_bits() % 2, first = true;
            Buf bytes = {0}, want = {0}, got = {0};
            Utf8Stream stream = {0};
            const char *piece;
            size_t length;
            bt_text *text;
            bt_error err;
            assert_int_equal(stream_text_open(tok, special, &text, &err), BT_OK);
            for (int i = (int)(draw_bits() % 40); i > 0; i--) {
                int32_t id = (int32_t)(draw_bits() % (uint32_t)tok_size(tok));
                char one[4096];
                int64_t n = tok_text(tok, id, special, first, one, sizeof one);
                buf_add(&bytes, one, (size_t)n);
                first = tok_is_special(tok, id);
                add_next(text, id, &got);
            }
            bt_text_end(text, &piece, &length);
            buf_add(&got, piece, length);
            utf8_stream_add(&stream, bytes.data, bytes.size, &want);
            utf8_stream_end(&stream, &want);
            assert_int_equal(got.size, want.size);
            if (want.size) assert_memory_equal(got.data, want.data, want.size);
            buf_close(&bytes);
            buf_close(&want);
            buf_close(&got);
            bt_text_close(&text);
        }
        tok_close(&tok);
    }
}

static void texts_come_back(void **state)
{
    (void)state;
    static const char *const texts[] = {"hello the hell", " two  spaces", "Zürich 東京 😀\n", "",
                                        "\xEF\xBF\xBD",   "a\tb"};
    for (int kind = 0; kind < 2; kind++) {
        Tokenizer *tok = open_small(kind);
        bt_text *text;
        assert_int_equal(stream_text_open(tok, false, &text, NULL), BT_OK);
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
            TokPart part = {span_of(texts[i]), false};
            int32_t *ids;
            size_t n, length;
            const char *piece;
            Buf got = {0};
            assert_int_equal(tok_encode(tok, &part, 1, false, &ids, &n, NULL), BT_OK);
            for (size_t k = 0; k < n; k++) add_next(text, ids[k], &got);
            bt_text_end(text, &piece, &length); /* and the next text starts afresh */
            assert_int_equal(length, 0);
            assert_string_equal(got.data ? got.data : "", texts[i]);
            mem_free(ids);
            buf_close(&got);
        }
        bt_text_close(&text);
        tok_close(&tok);
    }
}

static bt_status life(void *user, bt_error *err)
{
    bt_text *text;
    bt_status status = stream_text_open(user, false, &text, err);
    if (status) assert_null(text);
    bt_text_close(&text);
    return status;
}

static void memory_stays_still(void **state)
{
    (void)state;
    Tokenizer *tok = open_small(1);
    int32_t longest = tok_size(tok) - 1;
    const char *piece;
    size_t length;
    bt_text *text;
    bt_error err;
    assert_true(torture("a text", life, tok) > 3);
    int64_t live = mem_live();
    assert_int_equal(stream_text_open(tok, false, &text, &err), BT_OK);
    uint64_t count = mem_count();
    for (int i = 0; i < 1000; i++)
        assert_int_equal(bt_text_next(text, i % longest, &piece, &length), BT_OK);
    assert_true(mem_count() == count);
    assert_int_equal(bt_text_next(text, -1, &piece, &length), BT_E_ARGUMENT);
    assert_int_equal(bt_text_next(text, longest + 1, &piece, &length), BT_E_ARGUMENT);
    assert_int_equal(length, 0);
    mem_fail_at(1);
    assert_int_equal(bt_text_next(text, longest, &piece, &length), BT_E_MEMORY);
    mem_fail_at(0);
    assert_int_equal(bt_text_next(text, longest, &piece, &length), BT_OK);
    assert_in_range(length, 3000, 3009);
    bt_text_close(&text);
    bt_text_close(&text);
    bt_text_close(NULL);
    assert_int_equal(mem_live(), live);
    tok_close(&tok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_tokens_join_to_the_whole),
        cmocka_unit_test(texts_come_back),
        cmocka_unit_test(memory_stays_still),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
