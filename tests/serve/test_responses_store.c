/* Responses between requests: found by their maker alone, gone after their time, bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "serve/responses_store.h"
#include "support/torture.h"

static ResponsesStore *open_with(size_t entries, uint64_t bytes, double seconds)
{
    const ResponsesLimits limits = {entries, bytes, seconds};
    ResponsesStore *s;
    assert_int_equal(responses_open(&limits, &s, NULL), BT_OK);
    return s;
}

static bt_status put(ResponsesStore *s, uint64_t who, const char *id, const char *text, double now)
{
    return responses_put(s, who, id, span_of(text), SPAN("{}"), now, NULL);
}

static bool has(ResponsesStore *s, uint64_t who, const char *id, const char *text, double now)
{
    Buf conversation = {0}, object = {0};
    bool found = responses_get(s, who, id, &conversation, &object, now);
    if (found) {
        assert_string_equal(conversation.data, text);
        assert_string_equal(object.data, "{}");
    }
    buf_close(&conversation);
    buf_close(&object);
    return found;
}

static void its_maker_alone(void **state)
{
    (void)state;
    ResponsesStore *s = open_with(0, 0, 0);
    assert_int_equal(put(s, 1, "resp_a", "[1]", 0), BT_OK);
    assert_int_equal(put(s, 2, "resp_b", "[2]", 0), BT_OK);
    assert_true(has(s, 1, "resp_a", "[1]", 1));
    assert_false(has(s, 2, "resp_a", "", 1));
    assert_false(has(s, 0, "resp_a", "", 1));
    assert_false(responses_delete(s, 2, "resp_a", 1));
    assert_true(responses_delete(s, 1, "resp_a", 1));
    assert_false(responses_delete(s, 1, "resp_a", 1));
    assert_false(has(s, 1, "resp_a", "", 1));
    assert_int_equal(put(s, 2, "resp_b", "[3]", 1), BT_OK); /* anew */
    assert_true(has(s, 2, "resp_b", "[3]", 1));
    assert_int_equal(responses_count(s, 1), 1);
    responses_close(&s);
}

static void a_deadline(void **state)
{
    (void)state;
    ResponsesStore *s = open_with(0, 0, 10);
    put(s, 1, "a", "[]", 0);
    put(s, 1, "b", "[]", 0);
    assert_true(has(s, 1, "a", "[]", 9)); /* begins anew */
    assert_int_equal(responses_count(s, 11), 1);
    assert_true(has(s, 1, "a", "[]", 18));
    assert_false(has(s, 1, "a", "", 28.5));
    assert_int_equal(responses_count(s, 28.5), 0);
    responses_close(&s);
}

static void bounded(void **state)
{
    (void)state;
    char text[600], id[16];
    ResponsesStore *s = open_with(8, 16 << 10, 100);
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof id, "r%d", i);
        assert_int_equal(put(s, (uint64_t)i, id, text, 0), BT_OK);
        assert_true(responses_count(s, 0) <= 8);
    }
    assert_false(has(s, 0, "r0", "", 0));
    assert_true(has(s, 19, "r19", text, 0));
    /* one that writes much pushes out its own */
    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof id, "s%d", i);
        assert_int_equal(put(s, 18, id, text, 0), BT_OK);
    }
    assert_true(has(s, 19, "r19", text, 0));
    assert_true(has(s, 18, "s19", text, 0));
    assert_false(has(s, 18, "s0", "", 0));
    responses_close(&s);
    s = open_with(8, 1024, 100);
    assert_int_equal(put(s, 1, "big", text, 0), BT_E_LIMIT);
    responses_close(&s);
}

static bt_status life(void *user, bt_error *err)
{
    ResponsesStore *s = NULL;
    Buf text = {0};
    (void)user;
    bt_status status = responses_open(NULL, &s, err);
    if (!status) status = responses_put(s, 1, "a", SPAN("[1]"), SPAN("{}"), 0, err);
    if (!status && !responses_get(s, 1, "a", &text, NULL, 0))
        status = torture_bare(BT_E_MEMORY, err);
    responses_close(&s);
    buf_close(&text);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    torture("kept responses", life, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_maker_alone),
        cmocka_unit_test(a_deadline),
        cmocka_unit_test(bounded),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
