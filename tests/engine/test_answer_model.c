/* bt_answer through the public header: tokens of a small model made here, text without a model, the
 * form by the file's template or by name, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bantam/bantam.h"
#include "base/buf.h"
#include "support/make_model.h"
#include "support/scratch.h"
#include "support/torture.h"

static bt_model *open_made(const char *template)
{
    const MakeModel spec = {.chat_template = template};
    bt_model_options options = {.no_cache = true, .n_threads = 1, .vocab_only = true};
    bt_model *model;
    bt_error err;
    const char *path = scratch_path("m.gguf");
    if (make_model(&spec, path, &err)) fail_msg("%s", err.text);
    if (bt_model_open(path, &options, &model, &err)) fail_msg("%s", err.text);
    return model;
}

/* Events as one line: kind, then what it says. */
static void take(bt_answer *answer, Buf *out)
{
    static const char letters[] = "tr([)!";
    bt_answer_event e;
    while (bt_answer_next(answer, &e)) {
        char letter = letters[e.kind];
        if (!out->size || e.index >= 0 || !strrchr(out->data, letter) || e.kind > 1)
            buf_char(out, letter);
        if (e.kind == BT_ANSWER_CALL)
            buf_printf(out, "%d %s", (int)e.index, e.name);
        else
            buf_add(out, e.text, e.length);
    }
}

static const char said[] = "<think>Hm, Zürich.</think>\nSo:\n<tool_call>{\"name\": \"f\", "
                           "\"arguments\": {\"a\": \"é😀\"}}</tool_call>";

static void tokens_and_text_say_the_same(void **state)
{
    (void)state;
    bt_model *model = open_made("{# <tool_call> #}");
    bt_token ids[400];
    int64_t n = bt_model_tokenize(model, said, strlen(said), 0, ids, 400, NULL);
    bt_answer_options options = {.whole_calls = true, .id_seed = 1};
    bt_answer *answer;
    Buf tokens = {0}, bytes = {0};
    assert_in_range(n, 10, 400);
    assert_int_equal(bt_answer_open(model, &options, &answer, NULL), BT_OK);
    assert_string_equal(bt_answer_format(answer), "hermes");
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(bt_answer_token(answer, ids[i]), BT_OK);
        take(answer, &tokens);
    }
    assert_int_equal(bt_answer_end(answer), BT_OK);
    take(answer, &tokens);
    bt_answer_close(&answer);
    assert_string_equal(tokens.data, "rHm, Zürich.tSo:(0 f[{\"a\": \"é😀\"})");

    options.format = "hermes";
    assert_int_equal(bt_answer_open(NULL, &options, &answer, NULL), BT_OK);
    assert_int_equal(bt_answer_token(answer, 1), BT_E_ARGUMENT);
    assert_int_equal(bt_answer_text(answer, said, strlen(said)), BT_OK);
    assert_int_equal(bt_answer_end(answer), BT_OK);
    take(answer, &bytes);
    assert_string_equal(bytes.data, tokens.data);
    bt_answer_close(&answer);
    buf_close(&tokens);
    buf_close(&bytes);
    bt_model_close(&model);
}

static void special_tokens_are_not_shown(void **state)
{
    (void)state;
    bt_model *model = open_made("chatml");
    bt_token id;
    bt_answer *answer;
    Buf out = {0};
    assert_int_equal(bt_model_tokenize(model, "<|im_start|>", 12, 0, &id, 1, NULL), 1);
    assert_int_equal(bt_answer_open(model, NULL, &answer, NULL), BT_OK);
    assert_int_equal(bt_answer_token(answer, id), BT_OK);
    assert_int_equal(bt_answer_token(answer, 'A'), BT_OK);
    assert_int_equal(bt_answer_token(answer, 1 << 20), BT_E_ARGUMENT);
    assert_int_equal(bt_answer_text(answer, "\xff", 1), BT_OK); /* no UTF-8 */
    assert_int_equal(bt_answer_text(answer, "\xe2\x82", 2), BT_OK);
    assert_int_equal(bt_answer_end(answer), BT_OK);
    take(answer, &out);
    assert_string_equal(out.data, "tA\xef\xbf\xbd\xef\xbf\xbd");
    bt_answer_close(&answer);
    buf_close(&out);
    bt_model_close(&model);
}

static void wrong_options_are_refused(void **state)
{
    (void)state;
    static const char *const tools[] = {"{}", "[", "[{}]", "[{\"function\": {}}]",
                                        "[{\"name\": \"\"}]"};
    bt_answer *answer;
    bt_error err;
    bt_answer_options options = {.format = "no-such"};
    assert_int_equal(bt_answer_open(NULL, &options, &answer, &err), BT_E_ARGUMENT);
    assert_non_null(strstr(err.text, "no-such"));
    options.format = "glm";
    for (size_t i = 0; i < sizeof tools / sizeof *tools; i++) {
        options.tools = tools[i];
        assert_int_equal(bt_answer_open(NULL, &options, &answer, &err), BT_E_ARGUMENT);
        assert_null(answer);
    }
    bt_answer_close(&answer);
    size_t n = 0;
    while (bt_answer_format_name(n)) n++;
    assert_true(n >= 30);
}

static void every_form_opens(void **state)
{
    (void)state;
    const char *name;
    for (size_t i = 0; (name = bt_answer_format_name(i)); i++) {
        bt_answer_options options = {.format = name, .tools = "[{\"name\": \"f\"}]"};
        bt_answer *answer;
        bt_error err;
        for (size_t j = 0; j < i; j++) assert_string_not_equal(name, bt_answer_format_name(j));
        if (bt_answer_open(NULL, &options, &answer, &err)) fail_msg("%s: %s", name, err.text);
        assert_int_equal(bt_answer_text(answer, said, strlen(said)), BT_OK);
        assert_int_equal(bt_answer_end(answer), BT_OK);
        bt_answer_close(&answer);
    }
}

static bt_status life(void *user, bt_error *err)
{
    bt_answer_options options = {.format = "hermes", .tools = "[{\"name\": \"f\"}]", .id_seed = 1};
    bt_answer *answer;
    (void)user;
    bt_status status = bt_answer_open(NULL, &options, &answer, err);
    if (!status) status = torture_bare(bt_answer_text(answer, said, strlen(said)), err);
    if (!status) status = torture_bare(bt_answer_end(answer), err);
    bt_answer_close(&answer);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    torture("an answer", life, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_and_text_say_the_same),
        cmocka_unit_test(special_tokens_are_not_shown),
        cmocka_unit_test(wrong_options_are_refused),
        cmocka_unit_test(every_form_opens),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
