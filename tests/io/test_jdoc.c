/* The index of a JSON text: values as RFC 8259 writes them, everything else refused with an offset.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/jdoc.h"

static bt_error err;

static Jdoc *doc(const char *text)
{
    Jdoc *d;
    if (jdoc_open(text, strlen(text), "t", &d, &err)) fail_msg("%s", err.text);
    return d;
}

static void values_are_read(void **state)
{
    Jdoc *d =
        doc("\xEF\xBB\xBF {\"a\": [1, -2.5e3, [], {}, null, true, false, \"x\"], \"b\": {\"c\": 7},"
            " \"a2\": NaN, \"b\": {\"c\": 8}} ");
    double real;
    int64_t whole = 0;
    JdocRef a = jdoc_get(d, 0, "a");
    assert_int_equal(jdoc_count(d, 0), 4);
    assert_int_equal(jdoc_count(d, a), 8);
    assert_true(jdoc_integer(d, jdoc_at(d, a, 0), &whole) && whole == 1);
    assert_false(jdoc_integer(d, jdoc_at(d, a, 1), &whole));
    assert_true(jdoc_number(d, jdoc_at(d, a, 1), &real) && real == -2500);
    assert_int_equal(jdoc_count(d, jdoc_at(d, a, 2)), 0);
    assert_int_equal(jdoc_type(d, jdoc_at(d, a, 4)), JDOC_NULL);
    assert_int_equal(jdoc_type(d, jdoc_at(d, a, 5)), JDOC_TRUE);
    assert_true(jdoc_is(d, jdoc_at(d, a, 7), "x"));
    assert_int_equal(jdoc_at(d, a, 8), JDOC_NO);
    assert_true(jdoc_integer(d, jdoc_get(d, jdoc_get(d, 0, "b"), "c"), &whole) && whole == 8);
    assert_int_equal(jdoc_get(d, 0, "z"), JDOC_NO);
    assert_int_equal(jdoc_get(d, JDOC_NO, "z"), JDOC_NO);
    assert_int_equal(jdoc_type(d, JDOC_NO), JDOC_NONE);
    jdoc_close(&d);
}

static void strings_are_decoded(void **state)
{
    static const char want[] = "a\"\\/\b\f\n\r\t\xC3\xA9\xE2\x82\xAC\xF0\x9F\x90\x94\0z";
    Jdoc *d =
        doc("[\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20AC\\ud83d\\udc14\\u0000z\", \"next\"]");
    Span s = jdoc_text(d, jdoc_at(d, 0, 0));
    assert_int_equal(s.size, sizeof want - 1);
    assert_memory_equal(s.data, want, s.size);
    assert_true(jdoc_is(d, jdoc_at(d, 0, 1), "next"));
    jdoc_close(&d);
}

static void integers_keep_their_bounds(void **state)
{
    int64_t v;
    Jdoc *d = doc("[9223372036854775807, -9223372036854775808, 9223372036854775808, "
                  "-9223372036854775809, 1.0]");
    assert_true(jdoc_integer(d, jdoc_at(d, 0, 0), &v) && v == INT64_MAX);
    assert_true(jdoc_integer(d, jdoc_at(d, 0, 1), &v) && v == INT64_MIN);
    for (uint32_t i = 2; i < 5; i++) assert_false(jdoc_integer(d, jdoc_at(d, 0, i), &v));
    jdoc_close(&d);
}

static void faults_are_refused(void **state)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "{",
                                      "[",
                                      "\"",
                                      "[1",
                                      "[1,",
                                      "[1,]",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{\"a\":1,}",
                                      "{a:1}",
                                      "[1 2]",
                                      "1 2",
                                      "tru",
                                      "nul",
                                      "01",
                                      "1.",
                                      ".5",
                                      "1e",
                                      "+1",
                                      "-",
                                      "\"\\x\"",
                                      "\"\\u12\"",
                                      "\"\\ud800\"",
                                      "\"\\udc00\"",
                                      "\"\\ud800\\u0041\"",
                                      "\"\n\"",
                                      "\"\x80\"",
                                      "\"\xC0\x80\"",
                                      "\"\xED\xA0\x80\"",
                                      "\"\xF4\x90\x80\x80\"",
                                      "\"\xE2\x82\"",
                                      "[}",
                                      "{]",
                                      "]",
                                      "[1}"};
    char deep[200];
    Jdoc *d;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t live = mem_live();
        if (jdoc_open(bad[i], strlen(bad[i]), "t", &d, &err) != BT_E_FORMAT)
            fail_msg("'%s' was taken", bad[i]);
        assert_null(d);
        assert_int_equal(mem_live(), live);
    }
    memset(deep, '[', sizeof deep);
    assert_int_equal(jdoc_open(deep, sizeof deep, "t", &d, &err), BT_E_FORMAT);
    assert_non_null(strstr(err.text, "deeper"));
    memset(deep + 60, ']', 60);
    assert_int_equal(jdoc_open(deep, 120, "t", &d, &err), BT_OK);
    jdoc_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read),
        cmocka_unit_test(strings_are_decoded),
        cmocka_unit_test(integers_keep_their_bounds),
        cmocka_unit_test(faults_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
