/* Heap counters, arena, checked arithmetic, growing buffer, error text. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/checked.h"
#include "base/mem.h"
#include "base/status.h"

static void counts_and_fails(void **state)
{
    (void)state;
    int64_t live = mem_live();
    void *a = mem_alloc(10);
    assert_non_null(a);
    assert_int_equal(mem_live(), live + 1);
    mem_fail_at(2);
    void *b = mem_alloc(1);
    assert_non_null(b);
    assert_null(mem_alloc(1));
    void *c = mem_alloc(1);
    assert_non_null(c);
    mem_free(a);
    mem_free(b);
    mem_free(c);
    assert_int_equal(mem_live(), live);
    assert_null(mem_zalloc(SIZE_MAX / 2, 4));
}

static void arena_counts_and_refuses(void **state)
{
    (void)state;
    Arena plan, real;
    assert_true(arena_open(&plan, 0));
    arena_alloc(&plan, 100);
    arena_alloc(&plan, 1);
    assert_int_equal(plan.peak, 192);
    assert_true(arena_open(&real, plan.peak));
    char *p = arena_alloc(&real, 100);
    assert_int_equal((uintptr_t)p % ARENA_ALIGN, 0);
    size_t mark = arena_mark(&real);
    assert_non_null(arena_alloc(&real, 1));
    assert_null(arena_alloc(&real, 1));
    assert_true(real.overflowed);
    arena_reset(&real, mark);
    assert_non_null(arena_alloc(&real, 64));
    arena_close(&real);
    arena_close(&plan);
}

static void arithmetic_is_checked(void **state)
{
    (void)state;
    uint64_t r;
    assert_false(ck_add(UINT64_MAX, 1, &r));
    assert_false(ck_mul(UINT64_MAX / 2, 3, &r));
    assert_false(ck_sub(1, 2, &r));
    assert_false(ck_align(UINT64_MAX - 3, 32, &r));
    assert_true(ck_inside(0, 10, 10));
    assert_true(ck_inside(10, 0, 10));
    assert_false(ck_inside(11, 0, 10));
    assert_false(ck_inside(5, UINT64_MAX, 10));
}

static void buffer_grows_and_sticks(void **state)
{
    (void)state;
    Buf b = {0};
    for (int i = 0; i < 1000; i++) buf_printf(&b, "%d,", i);
    assert_false(b.failed);
    assert_int_equal(strlen(b.data), b.size);
    mem_fail_at(1);
    for (int i = 0; i < 4000; i++) buf_char(&b, 'x');
    mem_fail_at(0);
    assert_true(b.failed);
    assert_null(buf_take(&b));
    buf_text(&b, "ok");
    char *s = buf_take(&b);
    assert_string_equal(s, "ok");
    mem_free(s);
}

static void errors_are_one_clean_line(void **state)
{
    (void)state;
    bt_error err;
    assert_int_equal(bt_fail(&err, BT_E_FORMAT, "key '%s'", "a\n\033[2Jb"), BT_E_FORMAT);
    assert_string_equal(err.text, "key 'a??[2Jb'");
    bt_error_prefix(&err, "m.gguf");
    assert_string_equal(err.text, "m.gguf: key 'a??[2Jb'");
    assert_string_equal(bt_status_text(BT_E_CONTEXT), "the context is full");
    assert_string_equal(bt_status_text((bt_status)-99), "unknown status");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_and_fails),       cmocka_unit_test(arena_counts_and_refuses),
        cmocka_unit_test(arithmetic_is_checked),  cmocka_unit_test(buffer_grows_and_sticks),
        cmocka_unit_test(errors_are_one_clean_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
