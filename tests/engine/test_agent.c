/* An agent's loop over the library alone, with every released template of the golden data: render a
 * question with tools, read the answer, hand it back as bt_message with the tool's result, render
 * again. The answer is what the template itself writes for a message with a thought and a call, so
 * the loop is closed: the conversation handed back must render as the one it was made of (given as
 * JSON, by another way through the library). Also what bt_answer_message keeps, by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "bantam/bantam.h"
#include "base/buf.h"
#include "base/mem.h"
#include "support/files.h"
#include "support/golden.h"
#include "support/make_model.h"
#include "support/scratch.h"
#include "support/torture.h"

static const char tools[] =
    "[{\"type\": \"function\", \"function\": {\"name\": \"get_weather\", \"description\": \"The "
    "weather.\", \"parameters\": {\"type\": \"object\", \"properties\": {\"city\": {\"type\": "
    "\"string\", \"description\": \"Where.\"}, \"days\": {\"type\": \"integer\", \"description\": "
    "\"How many.\"}}, \"required\": [\"city\", \"days\"]}}}]";
static const char arguments[] = "{\"city\": \"Z\xc3\xbcrich\", \"days\": 3}";

static bt_model *model;

static int setup(void **state)
{
    (void)state;
    const MakeModel spec = {.chat_template = "chatml"};
    bt_model_options options = {.no_cache = true, .n_threads = 1, .vocab_only = true};
    if (!scratch_open() || make_model(&spec, scratch_path("m.gguf"), NULL)) return -1;
    return bt_model_open(scratch_path("m.gguf"), &options, &model, NULL) ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    bt_model_close(&model);
    scratch_close();
    return 0;
}

/* NULL: the template refuses it. */
static char *render(const bt_chat *chat, const bt_message *list, size_t n, const char *json,
                    bool generation)
{
    char *text;
    const bt_chat_request request = {.messages = json,
                                     .tools = tools,
                                     .generation = generation,
                                     .list = json ? NULL : list,
                                     .n_list = n};
    return bt_chat_apply(chat, &request, NULL, NULL, &text, NULL) == BT_OK ? text : NULL;
}

/* What the template writes for `turns[1]` where the assistant speaks; NULL: that does not show,
 * since it writes the question otherwise then. */
static char *written(const bt_chat *chat, const bt_message *turns, const char *prompt)
{
    char *both = render(chat, turns, 2, NULL, false), *said = NULL;
    size_t n = strlen(prompt);
    if (both && strlen(both) > n && memcmp(both, prompt, n) == 0) said = mem_strdup(both + n);
    bt_free(both);
    return said;
}

/* The conversation as JSON, with the id that was handed back. */
static char *as_json(const bt_message *turns, const char *id)
{
    json_t *root = json_pack(
        "[{s:s,s:s},{s:s,s:s,s:[{s:s,s:s,s:{s:s,s:s}}]},{s:s,s:s,s:s,s:s}]", "role", "user",
        "content", turns[0].content, "role", "assistant", "content", turns[1].content, "tool_calls",
        "id", id, "type", "function", "function", "name", "get_weather", "arguments", arguments,
        "role", "tool", "content", turns[2].content, "tool_call_id", id, "name", "get_weather");
    if (turns[1].reasoning)
        json_object_set_new(json_array_get(root, 1), "reasoning_content",
                            json_string(turns[1].reasoning));
    char *text = json_dumps(root, 0);
    json_decref(root);
    return text;
}

static bool same_arguments(const char *text)
{
    json_t *a = json_loads(text, 0, NULL), *b = json_loads(arguments, 0, NULL);
    bool same = a && json_equal(a, b);
    json_decref(a);
    json_decref(b);
    return same;
}

/* 0: the template does not show the answer by itself, or takes no tools; 1: the loop was gone
 * round; 2: with a thought that came back. */
static int go_round(const char *name, const char *jinja, const char *reasoning)
{
    const bt_tool_call call = {"abcdefghi", "get_weather", arguments};
    bt_message turns[3] = {{.role = "user", .content = "How is the weather in Z\xc3\xbcrich?"},
                           {.role = "assistant",
                            .content = "",
                            .reasoning = reasoning,
                            .tool_calls = &call,
                            .n_tool_calls = 1},
                           {.role = "tool", .content = "Rain.", .name = "get_weather"}};
    const bt_chat_options by = {.jinja = jinja};
    bt_chat *chat;
    bt_answer *answer;
    bt_message back;
    int round = 0;
    assert_int_equal(bt_chat_open(model, &by, &chat, NULL), BT_OK);
    char *prompt = render(chat, turns, 1, NULL, true);
    char *said = prompt && bt_chat_takes_tools(chat) ? written(chat, turns, prompt) : NULL;
    const bt_answer_options read = {.jinja = jinja, .tools = tools, .prompt = prompt, .id_seed = 7};
    assert_int_equal(bt_answer_open(model, &read, &answer, NULL), BT_OK);
    if (!said || !strstr(said, "get_weather")) goto done;
    assert_int_equal(bt_answer_text(answer, said, strlen(said)), BT_OK);
    assert_int_equal(bt_answer_end(answer), BT_OK);
    assert_int_equal(bt_answer_message(answer, &back), BT_OK);
    if (back.n_tool_calls != 1 || strcmp(back.tool_calls->name, "get_weather") != 0 ||
        !same_arguments(back.tool_calls->arguments))
        fail_msg("%s: %s became %zu calls and '%s'", name, said, back.n_tool_calls, back.content);
    round = back.reasoning && reasoning && strcmp(back.reasoning, reasoning) == 0 ? 2 : 1;
    turns[1].content = back.content;
    turns[1].reasoning = back.reasoning;
    char *json = as_json(turns, back.tool_calls->id);
    turns[2].tool_call_id = back.tool_calls->id;
    turns[1] = back;
    char *again = render(chat, turns, 3, NULL, true), *other = render(chat, NULL, 0, json, true);
    if (!again || !other || strcmp(again, other) != 0)
        fail_msg("%s: handed back:\n%s\nnot:\n%s", name, again ? again : "(refused)",
                 other ? other : "(refused)");
    if (!strstr(again, "Rain.") || !strstr(again, "get_weather")) fail_msg("%s: %s", name, again);
    free(json);
    bt_free(again);
    bt_free(other);
done:
    bt_answer_close(&answer);
    bt_chat_close(&chat);
    bt_free(prompt);
    mem_free(said);
    return round;
}

static void every_template_goes_round(void **state)
{
    (void)state;
    char command[4200], line[512], path[4800];
    const char *golden = golden_path("templates");
    int n = 0, round = 0, thought = 0;
    if (!golden) skip();
    snprintf(command, sizeof command, "ls '%s'", golden);
    FILE *list = popen(command, "r");
    assert_non_null(list);
    while (fgets(line, sizeof line, list)) {
        line[strcspn(line, "\n")] = '\0';
        snprintf(path, sizeof path, "%s/%s", golden, line);
        size_t size;
        char *jinja = files_read(path, &size);
        assert_non_null(jinja);
        int plain = go_round(line, jinja, NULL), with = go_round(line, jinja, "It may rain.");
        n++;
        round += plain > 0 || with > 0;
        thought += with == 2;
        if (getenv("BANTAM_SHOW")) print_message("# %s: %d %d\n", line, plain, with);
        free(jinja);
    }
    pclose(list);
    print_message("# %d of %d templates, %d with thoughts\n", round, n, thought);
    assert_true(round >= 40 && thought >= 15);
}

static void a_message_is_what_was_given(void **state)
{
    (void)state;
    static const char said[] =
        "<think>Hm.</think>So: <tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}}</tool_call>"
        "<tool_call>{\"name\": \"g\", \"arguments\": {\"b\": [}}</tool_call>"
        "<tool_call>{\"name\": \"h\", \"arguments\": {}}</tool_call>";
    const bt_answer_options options = {.format = "hermes", .id_seed = 3};
    for (size_t cut = 0; cut < sizeof said; cut += 7) {
        bt_answer *answer;
        bt_answer_event e;
        bt_message m;
        assert_int_equal(bt_answer_open(NULL, &options, &answer, NULL), BT_OK);
        assert_int_equal(bt_answer_text(answer, said, cut), BT_OK);
        for (size_t i = 0; i < cut % 3; i++) bt_answer_next(answer, &e); /* the rest is taken */
        assert_int_equal(bt_answer_message(answer, &m), BT_OK);
        assert_int_equal(bt_answer_text(answer, said + cut, sizeof said - 1 - cut), BT_OK);
        assert_int_equal(bt_answer_end(answer), BT_OK);
        assert_int_equal(bt_answer_message(answer, &m), BT_OK);
        assert_string_equal(m.role, "assistant");
        assert_string_equal(m.reasoning, "Hm.");
        assert_int_equal(m.n_tool_calls, 2);
        assert_string_equal(m.tool_calls[0].name, "f");
        assert_string_equal(m.tool_calls[0].arguments, "{\"a\": 1}");
        assert_string_equal(m.tool_calls[1].name, "h");
        assert_true(strlen(m.tool_calls[1].id) > 0);
        assert_non_null(strstr(m.content, "\"g\""));
        bt_answer_close(&answer);
    }
}

static bt_status life(void *user, bt_error *err)
{
    static const char said[] = "<think>Hm.</think>So <tool_call>{\"name\": \"f\", \"arguments\": "
                               "{\"a\": 1}}</tool_call>";
    const bt_answer_options options = {.format = "hermes", .id_seed = 3};
    bt_answer *answer = NULL;
    bt_message m = {0};
    bt_status status = bt_answer_open(NULL, &options, &answer, err);
    if (!status) status = torture_bare(bt_answer_text(answer, said, sizeof said - 1), err);
    if (!status) status = torture_bare(bt_answer_end(answer), err);
    if (!status) status = torture_bare(bt_answer_message(answer, &m), err);
    *(size_t *)user = m.n_tool_calls;
    bt_answer_close(&answer);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    size_t calls;
    (void)state;
    torture("an answer", life, &calls);
    assert_int_equal(calls, 1);
}

static void what_is_no_message_is_refused(void **state)
{
    (void)state;
    bt_chat *chat;
    bt_error err;
    char *text;
    const bt_tool_call nameless = {.arguments = "{}"};
    const bt_message rows[][1] = {
        {{.role = "assistant"}},
        {{.content = "x"}},
        {{.role = "assistant", .tool_calls = &nameless, .n_tool_calls = 1}}};
    static const char *const says[] = {"message 0 has no role or no content",
                                       "message 0 has no role or no content",
                                       "call 0 of message 0 has no name"};
    assert_int_equal(bt_chat_open(model, NULL, &chat, NULL), BT_OK);
    for (size_t i = 0; i < 3; i++) {
        const bt_chat_request request = {.list = rows[i], .n_list = 1};
        assert_int_equal(bt_chat_apply(chat, &request, NULL, NULL, &text, &err), BT_E_ARGUMENT);
        if (!strstr(err.text, says[i])) fail_msg("%s", err.text);
    }
    bt_chat_close(&chat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_template_goes_round),
        cmocka_unit_test(a_message_is_what_was_given),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(what_is_no_message_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
