/* What the catalogue is told of a model: JSON that jansson reads, with the abilities that the file
 * shows, also of a file whose texts are no UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "serve/fim.h"
#include "serve/worker.h"
#include "support/make_model.h"
#include "support/scratch.h"
#include "support/torture.h"

static bt_model *open_made(const MakeModel *spec)
{
    const bt_model_options options = {.no_cache = true, .n_threads = 1, .vocab_only = true};
    bt_model *model;
    bt_error err;
    const char *path = scratch_path("m.gguf");
    if (make_model(spec, path, &err)) fail_msg("%s", err.text);
    if (bt_model_open(path, &options, &model, &err)) fail_msg("%s", err.text);
    return model;
}

static json_t *describe(const MakeModel *spec)
{
    bt_model *model = open_made(spec);
    Buf out = {0};
    bt_error err;
    json_error_t why;
    if (worker_describe(model, NULL, NULL, &out, &err)) fail_msg("%s", err.text);
    json_t *read = json_loads(out.data, JSON_REJECT_DUPLICATES, &why);
    if (!read) fail_msg("%s at %d: %s", why.text, why.position, out.data);
    buf_close(&out);
    bt_model_close(&model);
    return read;
}

static bool can(const json_t *model, const char *what)
{
    json_t *value = json_object_get(json_object_get(model, "capabilities"), what);
    assert_true(json_is_boolean(value));
    return json_is_true(value);
}

static void a_chat_model(void **state)
{
    (void)state;
    const MakeModel spec = {.chat_template = "chatml", .name = "Caf\xe9 \"1\"", .type = DT_Q8_0};
    json_t *m = describe(&spec);
    json_t *keys = json_object_get(m, "metadata");
    assert_string_equal(json_string_value(json_object_get(m, "name")), "Caf\xef\xbf\xbd \"1\"");
    assert_string_equal(json_string_value(json_object_get(m, "architecture")), "llama");
    assert_true(can(m, "completion") && can(m, "chat"));
    assert_false(can(m, "embeds") || can(m, "tools") || can(m, "thinking") || can(m, "insert") ||
                 can(m, "vision"));
    assert_int_equal(json_integer_value(json_object_get(m, "n_ctx_train")), 512);
    assert_int_equal(json_integer_value(json_object_get(keys, "llama.context_length")), 512);
    assert_int_equal(json_integer_value(json_object_get(keys, "llama.block_count")), 2);
    assert_true(json_is_null(json_object_get(keys, "tokenizer.ggml.tokens")));
    assert_true(json_is_null(json_object_get(keys, "tokenizer.chat_template")));
    assert_true(json_is_string(json_object_get(m, "template")));
    assert_true(json_integer_value(json_object_get(m, "parameters")) > 10000);
    assert_true(json_is_null(json_object_get(m, "embedding")));
    json_decref(m);
}

static void tools_and_thoughts(void **state)
{
    (void)state;
    const MakeModel spec = {
        .chat_template =
            "{% if tools %}{{ tools }}{% endif %}{% for m in messages %}{{ m.content }}"
            "{% endfor %}{% if enable_thinking %}<think>{% endif %}"};
    json_t *m = describe(&spec);
    assert_true(can(m, "tools") && can(m, "thinking"));
    json_decref(m);
}

static void one_that_embeds(void **state)
{
    (void)state;
    const MakeModel spec = {.arch = "bert", .tokenizer = MAKE_WPM};
    json_t *m = describe(&spec);
    assert_true(can(m, "embeds"));
    assert_false(can(m, "completion") || can(m, "chat"));
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(m, "embedding"), "pooling")), "mean");
    json_decref(m);
}

/* A template that cannot be used is told, and the rest goes on. */
static void a_broken_template(void **state)
{
    (void)state;
    const MakeModel spec = {.chat_template = "{% for m in %}"};
    json_t *m = describe(&spec);
    assert_false(can(m, "chat"));
    assert_true(can(m, "completion"));
    assert_true(json_is_string(json_object_get(m, "template_error")));
    json_decref(m);
}

static bt_status life(void *user, bt_error *err)
{
    Buf out = {0};
    bt_status status = worker_describe(user, NULL, NULL, &out, err);
    buf_close(&out);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    const MakeModel spec = {.chat_template = "chatml"};
    bt_model *model = open_made(&spec);
    torture("a description", life, model);
    bt_model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chat_model),
        cmocka_unit_test(tools_and_thoughts),
        cmocka_unit_test(one_that_embeds),
        cmocka_unit_test(a_broken_template),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
