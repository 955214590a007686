/* Streaming UTF-8: however bytes are cut into pieces, the pieces joined are the lossy decoding of
 * the whole (written here by the standard's definition), each piece is valid by itself, and
 * nothing waits that cannot become a character. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "support/draw.h"
#include "text/utf8_stream.h"

/* Is p[0 .. n) the UTF-8 form of a character (whole), or a beginning of one? By encoding each
 * possible character: slow and plain. */
static bool begins_one(const unsigned char *p, size_t n, bool *whole)
{
    for (uint32_t c = 0x80; c < 0x110000; c++) {
        unsigned char u[4];
        size_t m = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        if (c >= 0xD800 && c < 0xE000) continue;
        if (m == 2) {
            u[0] = (unsigned char)(0xC0 | c >> 6);
        } else if (m == 3) {
            u[0] = (unsigned char)(0xE0 | c >> 12);
            u[1] = (unsigned char)(0x80 | (c >> 6 & 63));
        } else {
            u[0] = (unsigned char)(0xF0 | c >> 18);
            u[1] = (unsigned char)(0x80 | (c >> 12 & 63));
            u[2] = (unsigned char)(0x80 | (c >> 6 & 63));
        }
        u[m - 1] = (unsigned char)(0x80 | (c & 63));
        if (n <= m && memcmp(u, p, n) == 0) {
            *whole = n == m;
            return true;
        }
        /* skip what shares the wrong first or second byte */
        if (u[0] != p[0])
            c |= m == 2 ? 63 : m == 3 ? 0xFFF : 0x3FFFF;
        else if (n > 1 && u[1] != p[1] && m > 2)
            c |= m == 3 ? 63 : 0xFFF;
    }
    return false;
}

static void lossy(const unsigned char *p, size_t n, Buf *out)
{
    while (n) {
        bool whole = false;
        size_t length = 1;
        if (*p < 0x80) {
            buf_char(out, (char)*p);
        } else if (!begins_one(p, 1, &whole)) {
            buf_text(out, "\xEF\xBF\xBD");
        } else {
            while (!whole && length < n && begins_one(p, length + 1, &whole)) length++;
            if (whole)
                buf_add(out, p, length);
            else
                buf_text(out, "\xEF\xBF\xBD");
        }
        p += length;
        n -= length;
    }
}

static void pieces_join_to_the_whole(void **state)
{
    (void)state;
    static const char *const sources[] = {
        "a",    "\xC3\xA4",     "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\x80",
        "\xC0", "\xED\xA0\x80", "\xF4\x90",     "\xE2\x82",         "\xF0\x9F\x98",
        "\xFF", "\xE0\x9F",     "\xF0\x8F",     "\xEF\xBF\xBD",
    };
    for (int round = 0; round < 1500; round++) {
        Buf all = {0}, want = {0}, got = {0};
        Utf8Stream stream = {0};
        int pieces = (int)(draw_bits() % 12);
        for (int i = 0; i < pieces; i++) {
            if (draw_bits() % 3)
                buf_text(&all, sources[draw_bits() % 14]);
            else
                buf_char(&all, (char)draw_bits());
        }
        lossy((unsigned char *)all.data, all.size, &want);
        for (size_t at = 0; at < all.size;) {
            size_t n = draw_bits() % 4, start = got.size, held = stream.n_held;
            if (n > all.size - at) n = all.size - at;
            utf8_stream_add(&stream, all.data + at, n, &got);
            at += n;
            assert_true(got.size - start <= 3 * (n + held));
            Buf piece = {0};
            const char *added = got.data ? got.data + start : "";
            lossy((const unsigned char *)added, got.size - start, &piece);
            assert_int_equal(piece.size, got.size - start); /* valid by itself */
            if (piece.size) assert_memory_equal(piece.data, got.data + start, piece.size);
            buf_close(&piece);
            bool whole;
            if (stream.missing)
                assert_true(begins_one(stream.held, stream.n_held, &whole) && !whole);
        }
        utf8_stream_end(&stream, &got);
        assert_int_equal(got.size, want.size);
        if (want.size) assert_memory_equal(got.data, want.data, want.size);
        assert_int_equal(stream.missing, 0);
        buf_close(&all);
        buf_close(&want);
        buf_close(&got);
    }
}

static void nothing_waits_in_vain(void **state)
{
    (void)state;
    Buf out = {0};
    Utf8Stream s = {0};
    utf8_stream_add(&s, "\xF0\x9F", 2, &out);
    assert_int_equal(out.size, 0);
    utf8_stream_add(&s, "\x98\x80", 2, &out);
    assert_string_equal(out.data, "\xF0\x9F\x98\x80");
    buf_clear(&out);
    utf8_stream_add(&s, "\xE2\x82", 2, &out);
    assert_int_equal(out.size, 0);
    utf8_stream_add(&s, "x", 1, &out);
    assert_string_equal(out.data, "\xEF\xBF\xBDx");
    buf_clear(&out);
    utf8_stream_add(&s, "\xED\xA0", 2, &out); /* a surrogate: both bytes are wrong at once */
    assert_string_equal(out.data, "\xEF\xBF\xBD\xEF\xBF\xBD");
    buf_clear(&out);
    utf8_stream_add(&s, "a\0b", 3, &out);
    assert_int_equal(out.size, 3);
    assert_memory_equal(out.data, "a\0b", 3);
    buf_close(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_join_to_the_whole),
        cmocka_unit_test(nothing_waits_in_vain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
