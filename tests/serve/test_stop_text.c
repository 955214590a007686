/* Stop strings: whatever the pieces, what is shown is the text before the first one that ends, and
 * what is held back is no more than a beginning of one. The judge is a plain search over the whole
 * text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/os.h"
#include "serve/stop_text.h"
#include "support/make_blocks.h"
#include "support/torture.h"

/* The first end of any of them, and of those that end there the longest; -1: none. */
static int judge(const Span *stops, size_t n, const char *text, size_t size, size_t *shown)
{
    for (size_t end = 1; end <= size; end++) {
        int met = -1;
        for (size_t i = 0; i < n; i++)
            if (stops[i].size && stops[i].size <= end &&
                memcmp(text + end - stops[i].size, stops[i].data, stops[i].size) == 0 &&
                (met < 0 || stops[i].size > stops[met].size))
                met = (int)i;
        if (met < 0) continue;
        *shown = end - stops[met].size;
        return met;
    }
    *shown = size;
    return -1;
}

/* Fed in pieces of the lengths that `random` gives (0: one piece). */
static int run(const Span *stops, size_t n, const char *text, size_t size, uint64_t *random,
               Buf *out)
{
    StopText *stop;
    int met = -1;
    assert_int_equal(stop_open(stops, n, &stop, NULL), BT_OK);
    for (size_t at = 0; at < size && met < 0;) {
        size_t some = random ? 1 + (size_t)(make_random(random) % 4) : size;
        if (some > size - at) some = size - at;
        met = stop_add(stop, text + at, some, out);
        at += some;
        assert_true(at - out->size <= STOP_MOST_BYTES || met >= 0);
    }
    if (met < 0) stop_flush(stop, out);
    stop_close(&stop);
    return met;
}

static void agrees(const Span *stops, size_t n, const char *text, size_t size, uint64_t *random)
{
    size_t shown;
    Buf out = {0};
    int want = judge(stops, n, text, size, &shown), got = run(stops, n, text, size, random, &out);
    if (want != got || out.size != shown || (shown && memcmp(out.data, text, shown) != 0))
        fail_msg("'%.*s': string %d after %zu bytes, wanted %d after %zu", (int)size, text, got,
                 out.size, want, shown);
    buf_close(&out);
}

static void any_pieces(void **state)
{
    (void)state;
    uint64_t random = 7;
    for (int round = 0; round < 20000; round++) {
        char text[40], words[4][6];
        Span stops[4];
        size_t size = (size_t)(make_random(&random) % sizeof text);
        size_t n = 1 + (size_t)(make_random(&random) % 4);
        for (size_t i = 0; i < size; i++) text[i] = (char)('a' + make_random(&random) % 2);
        for (size_t i = 0; i < n; i++) {
            stops[i] = (Span){words[i], (size_t)(make_random(&random) % 6)};
            for (size_t k = 0; k < 6; k++) words[i][k] = (char)('a' + make_random(&random) % 2);
        }
        agrees(stops, n, text, size, &random);
        agrees(stops, n, text, size, NULL);
    }
}

static void known_cases(void **state)
{
    (void)state;
    static const char text[] = "H\xc3\xa9llo</s>\n\nUser: <|im_end|>\xf0\x9f\x98\x80!";
    static const char *const words[] = {
        "</s>", "\n\nUser:", "<|im_end|>", "\xc3\xa9", "\xf0\x9f\x98\x80",
        "H",    "!",         "nothing",    "<|im_end", "</s>\n\nUser: <"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        uint64_t random = i + 1;
        Span stop = span_of(words[i]);
        agrees(&stop, 1, text, sizeof text - 1, NULL);
        for (int round = 0; round < 50; round++) agrees(&stop, 1, text, sizeof text - 1, &random);
    }
}

/* What is held when another thing follows comes out, and is not joined with what comes later. */
static void flushed(void **state)
{
    (void)state;
    const Span stop = SPAN("STOP");
    StopText *s;
    Buf out = {0};
    assert_int_equal(stop_open(&stop, 1, &s, NULL), BT_OK);
    assert_int_equal(stop_add(s, "a ST", 4, &out), -1);
    assert_string_equal(out.data, "a ");
    stop_flush(s, &out);
    assert_string_equal(out.data, "a ST");
    assert_int_equal(stop_add(s, "OP", 2, &out), -1);
    assert_string_equal(out.data, "a STOP");
    assert_int_equal(stop_add(s, "xSTOPy", 6, &out), 0);
    assert_string_equal(out.data, "a STOPx");
    stop_close(&s);
    buf_close(&out);
}

static void bounds(void **state)
{
    (void)state;
    static char big[STOP_MOST_BYTES + 2];
    Span stops[STOP_MOST + 1];
    StopText *s;
    bt_error err;
    memset(big, 'a', sizeof big - 1);
    for (size_t i = 0; i <= STOP_MOST; i++) stops[i] = SPAN("x");
    assert_int_equal(stop_open(stops, STOP_MOST + 1, &s, &err), BT_E_LIMIT);
    stops[3] = span_of(big);
    assert_int_equal(stop_open(stops, STOP_MOST, &s, &err), BT_E_LIMIT);
    assert_non_null(strstr(err.text, "3"));
    stops[0] = (Span){"", 0};
    assert_int_equal(stop_open(stops, 1, &s, &err), BT_OK);
    assert_null(s);
    Buf out = {0};
    assert_int_equal(stop_add(s, "as it is", 8, &out), -1);
    stop_flush(s, &out);
    assert_string_equal(out.data, "as it is");
    stop_close(&s);
    buf_close(&out);
}

/* 64 strings of 1 KiB that almost match everywhere: linear, so a megabyte takes a moment. */
static void hostile_is_linear(void **state)
{
    (void)state;
    static char words[STOP_MOST][STOP_MOST_BYTES], text[1 << 20];
    Span stops[STOP_MOST];
    StopText *s;
    Buf out = {0};
    memset(text, 'a', sizeof text);
    for (int i = 0; i < STOP_MOST; i++) {
        memset(words[i], 'a', STOP_MOST_BYTES);
        words[i][STOP_MOST_BYTES - 1 - i] = 'b';
        stops[i] = (Span){words[i], STOP_MOST_BYTES};
    }
    assert_int_equal(stop_open(stops, STOP_MOST, &s, NULL), BT_OK);
    double start = os_seconds();
    for (size_t at = 0; at < sizeof text; at += 64)
        assert_int_equal(stop_add(s, text + at, 64, &out), -1);
    assert_true(os_seconds() - start < 20);
    assert_true(sizeof text - out.size <= STOP_MOST_BYTES);
    stop_close(&s);
    buf_close(&out);
}

static bt_status life(void *user, bt_error *err)
{
    const Span stops[] = {SPAN("ab"), SPAN("zzz")};
    StopText *s;
    Buf out = {0};
    (void)user;
    bt_status status = stop_open(stops, 2, &s, err);
    if (!status) {
        stop_add(s, "xxxxa", 5, &out);
        stop_flush(s, &out);
        if (out.failed) status = torture_bare(BT_E_MEMORY, err);
    }
    stop_close(&s);
    buf_close(&out);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    torture("stops", life, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_pieces),        cmocka_unit_test(known_cases),
        cmocka_unit_test(flushed),           cmocka_unit_test(bounds),
        cmocka_unit_test(hostile_is_linear), cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
