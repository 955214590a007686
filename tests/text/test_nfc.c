/* Normalisation form C: examples of Unicode Standard Annex 15 and of its test file, and that marks
 * without end take linear time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/os.h"
#include "support/torture.h"
#include "text/nfc.h"

static void gives(const char *from, const char *want)
{
    Buf out = {0};
    bool changed = nfc_text(from, strlen(from), &out);
    assert_int_equal(changed, strcmp(from, want) != 0);
    if (changed && (out.size != strlen(want) || memcmp(out.data, want, out.size) != 0))
        fail_msg("'%s' gave '%.*s'", from, (int)out.size, out.data);
    buf_close(&out);
}

static void examples(void **state)
{
    gives("", "");
    gives("plain text, caf\u00e9", "plain text, caf\u00e9");
    gives("cafe\u0301", "caf\u00e9");
    gives("\u212b \u2126", "\u00c5 \u03a9"); /* singletons */
    gives("s\u0323\u0307", "\u1e69");
    gives("s\u0307\u0323", "\u1e69"); /* ordered first */
    gives("\u1e9b\u0323", "\u1e9b\u0323");
    gives("q\u0307\u0323", "q\u0323\u0307");
    gives("d\u0307\u0323x\u0301", "\u1e0d\u0307x\u0301");
    gives("\u0301e\u0301", "\u0301\u00e9"); /* a mark without a starter */
    gives("\u1100\u1161\u11a8", "\uac01");  /* Hangul */
    gives("\uac00\u11a8", "\uac01");
    gives("\u1100\u1161\u11a7", "\uac00\u11a7");
    gives("\u0958", "\u0915\u093c"); /* excluded from composition */
    gives("\u09c7\u09be", "\u09cb"); /* two starters that compose */
    gives("a\u0315\u0300\u05aeb", "\u00e0\u05ae\u0315b");
    gives("\ufb2c", "\u05e9\u05bc\u05c1");
    gives("\U0002f8d1", "\u3ae4"); /* a compatibility ideograph, decomposed for good */
    gives("e\x80\u0301\xff\xcc", "e\x80\u0301\xff\xcc"); /* no UTF-8 passes, and divides */
}

static void long_runs_take_linear_time(void **state)
{
    enum { MARKS = 400000 };
    char *text = malloc(1 + 2 * MARKS);
    Buf out = {0};
    assert_non_null(text);
    text[0] = 'a';
    for (int i = 0; i < MARKS; i++) memcpy(text + 1 + 2 * i, i % 2 ? "\u0323" : "\u0301", 2);
    double start = os_seconds();
    assert_true(nfc_text(text, 1 + 2 * MARKS, &out));
    assert_true(os_seconds() - start < 5);
    assert_memory_equal(out.data, "\u1ea1", 3); /* a with dot below; then the other dots, then */
    assert_memory_equal(out.data + 3, "\u0323\u0323", 4);
    assert_memory_equal(out.data + out.size - 4, "\u0301\u0301", 4);
    buf_close(&out);
    free(text);
}

static bt_status life(void *user, bt_error *err)
{
    static const char text[] = "q\u0307\u0323 and e\u0301 and more that makes the buffer grow";
    Buf out = {0};
    (void)user;
    bool changed = nfc_text(text, strlen(text), &out);
    assert_true(changed != out.failed);
    buf_close(&out);
    return torture_bare(changed ? BT_OK : BT_E_MEMORY, err);
}

static void no_memory_is_told(void **state)
{
    (void)state;
    assert_true(torture("a text's normal form", life, NULL) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples),
        cmocka_unit_test(long_runs_take_linear_time),
        cmocka_unit_test(no_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
