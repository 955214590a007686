/* Positions of several axes in a session: refused where a model has one, checked, continued by
 * text, and the same after sequences were shared or shifted. Held against feeding the result
 * directly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bantam/bantam.h"
#include "support/families.h"

enum { TEXT = 10, ROWS = 3, COLUMNS = 4, IMAGE = ROWS * COLUMNS, AFTER = 5 };

static bt_model *model;
static bt_session *session;
static bt_error err;

static void open_session(const char *name)
{
    bt_model_options mo = {.n_threads = 1, .no_cache = true};
    bt_session_options so = {.n_ctx = 64, .n_sequences = 2, .n_batch = 64, .kv = BT_KV_F32};
    if (bt_model_open(families_path(name, ".gguf"), &mo, &model, &err)) fail_msg("%s", err.text);
    if (bt_session_open(model, &so, &session, &err)) fail_msg("%s", err.text);
}

static void close_session(void)
{
    bt_session_close(&session);
    bt_model_close(&model);
}

static void step(const bt_row *rows, size_t n)
{
    if (bt_session_step(session, rows, n, &err)) fail_msg("%s", err.text);
}

static void text(int first, int n)
{
    for (int i = 0; i < n; i++) step(&(bt_row){(first + 3 * i) % 64, 0, true, NULL}, 1);
}

/* An image whose first patch has the number `at` on all axes. */
static void image(int at)
{
    bt_row rows[IMAGE];
    int32_t where[IMAGE][4];
    for (int i = 0; i < IMAGE; i++) {
        where[i][0] = where[i][3] = at;
        where[i][1] = at + i / COLUMNS;
        where[i][2] = at + i % COLUMNS;
        rows[i] = (bt_row){40 + i, 0, i == IMAGE - 1, where[i]};
    }
    step(rows, IMAGE);
}

static void same_logits(const float *want)
{
    const float *got = bt_session_logits(session, -1);
    double wrong = 0, all = 0;
    for (int i = 0; i < bt_model_describe(model).n_vocab; i++) {
        wrong += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        all += (double)want[i] * want[i];
    }
    if (!(wrong <= 1e-10 * all)) fail_msg("%g of the logits differ", wrong / all);
}

static float *kept_logits(void)
{
    size_t n = (size_t)bt_model_describe(model).n_vocab;
    float *copy = malloc(n * sizeof *copy);
    memcpy(copy, bt_session_logits(session, -1), n * sizeof *copy);
    return copy;
}

static void are_refused(void **state)
{
    (void)state;
    int32_t good[4] = {0, 0, 0, 0}, bad[4] = {0, -1, 0, 0}, far[4] = {0, 0, INT32_MAX, 0};
    open_session("llama-linear");
    bt_row row = {1, 0, true, good};
    assert_int_equal(bt_session_step(session, &row, 1, &err), BT_E_UNSUPPORTED);
    assert_int_equal(bt_session_length(session, 0), 0);
    close_session();
    open_session("qwen2vl");
    row.axes = bad;
    assert_int_equal(bt_session_step(session, &row, 1, &err), BT_E_ARGUMENT);
    row.axes = far;
    assert_int_equal(bt_session_step(session, &row, 1, &err), BT_E_ARGUMENT);
    assert_int_equal(bt_session_length(session, 0), 0);
    row.axes = good;
    assert_int_equal(bt_session_step(session, &row, 1, &err), BT_OK);
    close_session();
}

/* Forgetting six tokens of text before an image gives what feeding the rest alone gives. */
static void move_down(void **state)
{
    (void)state;
    open_session("qwen2vl");
    text(0, 2);
    text(24, TEXT - 8);
    image(TEXT - 6);
    text(7, AFTER);
    float *want = kept_logits();
    assert_int_equal(bt_session_truncate(session, 0, 0, &err), BT_OK);
    text(0, TEXT);
    image(TEXT);
    text(7, AFTER);
    assert_int_equal(bt_session_shift(session, 0, 2, 6, &err), BT_OK);
    assert_int_equal(bt_session_length(session, 0), TEXT - 6 + IMAGE + AFTER);
    same_logits(want);
    free(want);
    close_session();
}

/* Text after a shared image goes on as it does in the sequence that the image was fed to. */
static void are_shared(void **state)
{
    (void)state;
    open_session("qwen3vl");
    text(0, TEXT);
    image(TEXT);
    assert_int_equal(bt_session_share(session, 0, 1, TEXT + IMAGE, &err), BT_OK);
    step(&(bt_row){9, 0, true, NULL}, 1);
    float *want = kept_logits();
    step(&(bt_row){9, 1, true, NULL}, 1);
    same_logits(want);
    free(want);
    close_session();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(are_refused),
        cmocka_unit_test(move_down),
        cmocka_unit_test(are_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
