/* Answers that max_tokens cuts off in the middle of a tool call, by each API, whole and as streams:
 * what was written of the call is seen as far as it came, in the shape that the API's clients read,
 * and a stream says what the whole answer says. (Ollama's has no way to ask for a call: whole.py.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "desk.h"
#include "support/scratch.h"

static Desk desk;

/* No thoughts: no '<'. */
static const bt_logit_bias no_thoughts[] = {{'<', -1e30f}};

static int setup(void **state)
{
    if (scratch_setup(state)) return -1;
    const WorkerModel options = {
        .one_thread = true,
        .defaults.sampling = {.seed = 1, .bias = no_thoughts, .n_bias = 1},
    };
    desk_open(&desk, desk_model(NULL, "m.gguf"), &options);
    return 0;
}

static int teardown(void **state)
{
    desk_close(&desk);
    return scratch_teardown(state);
}

/* The call is {"name": "weather", "parameters": {"day": "today", "place": ...}}, a character a
 * token: cut in its name, before, in and behind its first argument. */
static const int cuts[] = {6, 30, 37, 41, 47, 52, 60};
enum { CUTS = sizeof cuts / sizeof *cuts };

#define SAID "[{\"role\": \"user\", \"content\": \"Say something, please\"}]"
#define PARAMETERS                                                                                 \
    "{\"type\": \"object\", \"properties\": {\"day\": {\"const\": \"today\"}, \"place\": "         \
    "{\"enum\": [\"in the north, by the sea\"]}}, \"required\": [\"day\", \"place\"], "            \
    "\"additionalProperties\": false}"
#define TOOLS                                                                                      \
    "[{\"type\": \"function\", \"function\": {\"name\": \"weather\", \"parameters\": " PARAMETERS  \
    "}}]"

static json_t *asked(const char *path, const char *most, const char *members, int cut, bool stream)
{
    char body[2048];
    snprintf(body, sizeof body, "{%s, \"temperature\": 0, \"%s\": %d, \"stream\": %s}", members,
             most, cut, stream ? "true" : "false");
    DeskAnswer *a = desk_ask(&desk, path, body);
    if (a->status != 200) fail_msg("%s: %s", path, a->body.data);
    return stream ? desk_events(a) : desk_json(a);
}

static const char *text_or(const json_t *root, const char *path)
{
    const char *text = json_string_value(desk_at(root, path));
    return text ? text : "";
}

static void chat(void **state)
{
    (void)state;
    static const char body[] =
        "\"messages\": " SAID ", \"tools\": " TOOLS ", \"tool_choice\": \"required\"";
    int calls = 0;
    for (int i = 0; i < CUTS; i++) {
        Buf text = {0}, arguments = {0};
        json_t *whole = asked("/v1/chat/completions", "max_tokens", body, cuts[i], false);
        json_t *events = asked("/v1/chat/completions", "max_tokens", body, cuts[i], true);
        desk_joined(events, "choices.0.delta.content", &text);
        desk_joined(events, "choices.0.delta.tool_calls.0.function.arguments", &arguments);
        assert_string_equal(desk_text(whole, "choices.0.finish_reason"), "length");
        assert_string_equal(text.data, text_or(whole, "choices.0.message.content"));
        const char *said = text_or(whole, "choices.0.message.tool_calls.0.function.arguments");
        assert_string_equal(arguments.data ? arguments.data : "", said);
        assert_true(text.size || arguments.size); /* something was written */
        if (desk_at(whole, "choices.0.message.tool_calls.0")) {
            calls++;
            assert_string_equal(desk_text(whole, "choices.0.message.tool_calls.0.function.name"),
                                "weather");
        }
        json_decref(whole);
        json_decref(events);
        buf_close(&text);
        buf_close(&arguments);
    }
    assert_in_range(calls, 3, CUTS);
}

static void responses(void **state)
{
    (void)state;
    static const char body[] =
        "\"input\": \"Say something, please\", \"tools\": [{\"type\": \"function\", \"name\": "
        "\"weather\", \"parameters\": " PARAMETERS "}], \"tool_choice\": \"required\"";
    for (int i = 0; i < CUTS; i++) {
        Buf arguments = {0};
        char next[256];
        json_t *whole = asked("/v1/responses", "max_output_tokens", body, cuts[i], false);
        json_t *events = asked("/v1/responses", "max_output_tokens", body, cuts[i], true);
        json_t *last = json_array_get(events, json_array_size(events) - 1);
        assert_string_equal(desk_text(whole, "status"), "incomplete");
        assert_string_equal(desk_text(last, "type"), "response.incomplete");
        assert_string_equal(desk_text(whole, "output.0.status"), "incomplete");
        for (int k = 0; k < 2; k++) {
            const char *path = k ? "output.0.content.0.text" : "output.0.arguments";
            char full[64];
            snprintf(full, sizeof full, "response.%s", path);
            assert_string_equal(text_or(whole, path), text_or(last, full));
        }
        if (strcmp(desk_text(whole, "output.0.type"), "function_call") == 0) {
            desk_joined(events, "delta", &arguments);
            assert_string_equal(arguments.data, desk_text(whole, "output.0.arguments"));
        }
        /* and the conversation goes on from it */
        snprintf(next, sizeof next,
                 "{\"input\": \"go on\", \"previous_response_id\": \"%s\", \"max_output_tokens\": "
                 "3}",
                 desk_text(whole, "id"));
        json_decref(desk_good(&desk, "/v1/responses", next));
        json_decref(whole);
        json_decref(events);
        buf_close(&arguments);
    }
}

static void messages(void **state)
{
    (void)state;
    static const char body[] =
        "\"messages\": " SAID ", \"tools\": [{\"name\": \"weather\", \"input_schema\": " PARAMETERS
        "}], \"tool_choice\": {\"type\": \"any\"}";
    int calls = 0, days = 0;
    for (int i = 0; i < CUTS; i++) {
        Buf text = {0}, pieces = {0};
        json_t *whole = asked("/v1/messages", "max_tokens", body, cuts[i], false);
        json_t *events = asked("/v1/messages", "max_tokens", body, cuts[i], true);
        desk_joined(events, "delta.text", &text);
        desk_joined(events, "delta.partial_json", &pieces);
        assert_string_equal(desk_text(whole, "stop_reason"), "max_tokens");
        const json_t *input = desk_at(whole, "content.0.input");
        if (text.size) assert_string_equal(text.data, desk_text(whole, "content.0.text"));
        if (input) {
            calls++;
            assert_string_equal(desk_text(whole, "content.0.name"), "weather");
            const char *day = json_string_value(json_object_get(input, "day"));
            bool whole_day = pieces.data && strstr(pieces.data, "\"today\"");
            assert_true((day != NULL) == whole_day);
            if (day) assert_string_equal(day, "today");
            days += whole_day;
        }
        assert_true(input || text.size);
        json_decref(whole);
        json_decref(events);
        buf_close(&text);
        buf_close(&pieces);
    }
    assert_in_range(calls, 3, CUTS);
    assert_in_range(days, 1, calls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chat),
        cmocka_unit_test(responses),
        cmocka_unit_test(messages),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
