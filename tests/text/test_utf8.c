/* UTF-8 both ways over all characters and all short byte strings; classes of known characters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "text/unicode.h"
#include "text/utf8.h"

static void all_characters_come_back(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        if (c >= 0xD800 && c <= 0xDFFF) continue;
        char text[4];
        size_t n = utf8_put(c, text), length;
        assert_int_equal(utf8_next(text, n, &length), c);
        assert_int_equal(length, n);
        assert_int_equal(utf8_whole(text, n), n);
        assert_true(utf8_valid(text, n));
        for (size_t cut = 1; cut < n; cut++) {
            assert_int_equal(utf8_next(text, cut, &length), UTF8_BAD);
            assert_int_equal(length, 1);
            assert_int_equal(utf8_whole(text, cut), 0);
            assert_false(utf8_valid(text, cut));
        }
    }
}

static void bad_bytes_are_one_each(void **state)
{
    (void)state;
    static const char *const bad[] = {"\xC0\x80",
                                      "\xC1\xBF",
                                      "\xE0\x80\x80",
                                      "\xED\xA0\x80",
                                      "\xF0\x80\x80\x80",
                                      "\xF4\x90\x80\x80",
                                      "\xF5\x80\x80\x80",
                                      "\xFF",
                                      "\x80",
                                      "\xE2\x41\x41",
                                      NULL};
    for (const char *const *p = bad; *p; p++) {
        size_t length;
        assert_int_equal(utf8_next(*p, strlen(*p), &length), UTF8_BAD);
        assert_int_equal(length, 1);
        assert_int_equal(utf8_whole(*p, strlen(*p)), strlen(*p));
    }
    assert_int_equal(utf8_whole("", 0), 0);
    assert_int_equal(utf8_whole("ab\xF0\x9F\x9A", 5), 2);
}

static void classes_are_unicodes(void **state)
{
    (void)state;
    static const struct {
        uint32_t c;
        unsigned kind;
    } known[] = {{'A', UC_UPPER},
                 {'z', UC_LOWER},
                 {'5', UC_NUMBER | UC_DIGIT},
                 {'$', UC_SYMBOL},
                 {'!', UC_PUNCT},
                 {' ', UC_SPACE},
                 {'\n', UC_SPACE | UC_CONTROL},
                 {0xAA, UC_OTHER},
                 {0xBD, UC_NUMBER},
                 {0x1C5, UC_UPPER},
                 {0x301, UC_MARK | UC_NONSPACING},
                 {0x903, UC_MARK},
                 {0x4E2D, UC_OTHER | UC_HAN},
                 {0x3007, UC_NUMBER | UC_HAN},
                 {0x3042, UC_OTHER},
                 {0x3000, UC_SPACE},
                 {0x200B, UC_CONTROL},
                 {0x1F680, UC_SYMBOL},
                 {0xFFFD, UC_SYMBOL},
                 {0x10FFFF, UC_CONTROL},
                 {0x110000, UC_CONTROL},
                 {0x20000, UC_OTHER | UC_HAN}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        assert_int_equal(unicode_class(known[i].c), known[i].kind);
}

static void letters_have_bases_and_lower_case(void **state)
{
    (void)state;
    uint32_t out[3];
    assert_int_equal(unicode_lower('Q'), 'q');
    assert_int_equal(unicode_lower(0xC9), 0xE9);
    assert_int_equal(unicode_lower(0x130), 'i');
    assert_int_equal(unicode_lower(0x100), 0x101);
    assert_int_equal(unicode_lower(0x101), 0x101);
    assert_int_equal(unicode_lower(0x10400), 0x10428);
    assert_int_equal(unicode_lower(0x4E2D), 0x4E2D);
    assert_int_equal(unicode_base(0xE9, out), 1);
    assert_int_equal(out[0], 'e');
    assert_int_equal(unicode_base(0x1EC7, out), 1); /* e, circumflex, dot below */
    assert_int_equal(out[0], 'e');
    assert_int_equal(unicode_base(0x301, out), 0);
    assert_int_equal(unicode_base(0xAC01, out), 3);
    assert_int_equal(out[2], 0x11A8);
    assert_int_equal(unicode_base('x', out), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_characters_come_back),
        cmocka_unit_test(bad_bytes_are_one_each),
        cmocka_unit_test(classes_are_unicodes),
        cmocka_unit_test(letters_have_bases_and_lower_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
