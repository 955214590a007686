/* The worker's core through every API, on small random models: what answers say is held against a
 * generation by hand (session, sampler, text), and against each other; then stop strings, choices,
 * tools, schemas, vectors, stored responses, and what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/os.h"
#include "desk.h"
#include "support/scratch.h"

static Desk desk;
static char model_path[1024];

static int setup(void **state)
{
    if (scratch_setup(state)) return -1;
    snprintf(model_path, sizeof model_path, "%s", desk_model(NULL, "m.gguf"));
    desk_open(&desk, model_path, NULL);
    return 0;
}

static int teardown(void **state)
{
    desk_close(&desk);
    return scratch_teardown(state);
}

/* ---- by hand ---- */

/* The greedy answer of n tokens to a prompt as it stands, as text. */
static void by_hand(const char *prompt, bool chat, int n, Buf *out)
{
    const bt_model_options with = {.no_cache = true, .n_threads = 1};
    const bt_session_options size = {.n_ctx = 1024};
    const bt_sampler_options draw = {.greedy = true, .seed = 1};
    bt_model *model;
    bt_session *session;
    bt_sampler *sampler;
    bt_text *text;
    bt_token ids[1024];
    const char *piece;
    size_t length;
    bt_error err;
    if (bt_model_open(model_path, &with, &model, &err)) fail_msg("%s", err.text);
    if (bt_session_open(model, &size, &session, &err)) fail_msg("%s", err.text);
    assert_int_equal(bt_sampler_open(model, &draw, &sampler, &err), BT_OK);
    assert_int_equal(bt_text_open(model, false, &text, &err), BT_OK);
    const bt_message message = {.role = "user", .content = prompt};
    int64_t k = chat ? bt_chat_tokenize(model, NULL, &message, 1, true, ids, 1024, &err)
                     : bt_model_tokenize(model, prompt, strlen(prompt),
                                         bt_model_describe(model).add_bos ? BT_TOKENIZE_ADD_BOS : 0,
                                         ids, 1024, &err);
    assert_in_range(k, 1, 1000);
    assert_int_equal(bt_session_feed(session, 0, ids, (size_t)k, &err), BT_OK);
    for (int i = 0; i < n; i++) {
        bt_token id = bt_sampler_pick(sampler, bt_session_logits(session, -1));
        if (bt_model_token_ends(model, id)) break;
        bt_text_next(text, id, &piece, &length);
        buf_add(out, piece, length);
        assert_int_equal(bt_session_feed(session, 0, &id, 1, &err), BT_OK);
    }
    bt_text_end(text, &piece, &length);
    buf_add(out, piece, length);
    bt_text_close(&text);
    bt_sampler_close(&sampler);
    bt_session_close(&session);
    bt_model_close(&model);
}

static void prompts_go_on(void **state)
{
    (void)state;
    Buf want = {0};
    by_hand("Once upon a time", false, 24, &want);
    assert_true(want.size > 4);
    json_t *a =
        desk_good(&desk, "/v1/completions",
                  "{\"prompt\": \"Once upon a time\", \"max_tokens\": 24, \"temperature\": 0}");
    assert_string_equal(desk_text(a, "choices.0.text"), want.data);
    assert_string_equal(desk_text(a, "choices.0.finish_reason"), "length");
    assert_int_equal(desk_number(a, "usage.completion_tokens"), 24);
    json_decref(a);
    a = desk_good(&desk, "/completion",
                  "{\"prompt\": \"Once upon a time\", \"n_predict\": 24, \"temperature\": 0}");
    assert_string_equal(desk_text(a, "content"), want.data);
    json_decref(a);
    a = desk_good(&desk, "/completion", "{\"prompt\": \"Once\", \"n_predict\": 1, \"top_k\": -1}");
    json_t *with = desk_at(a, "generation_settings"); /* as it was drawn, not as it was asked */
    assert_true(fabs(json_number_value(desk_at(with, "temperature")) - 0.8) < 1e-6);
    assert_true(json_number_value(desk_at(with, "top_p")) == 0.95);
    assert_int_equal(desk_number(with, "top_k"), 0);
    assert_true(json_number_value(desk_at(with, "repeat_penalty")) == 1);
    json_decref(a);
    a = desk_good(&desk, "/api/generate",
                  "{\"model\": \"m\", \"prompt\": \"Once upon a time\", \"raw\": true, \"stream\": "
                  "false, \"options\": {\"num_predict\": 24, \"temperature\": 0}}");
    assert_string_equal(desk_text(a, "response"), want.data);
    json_decref(a);
    buf_close(&want);
}

/* ---- conversations ---- */

#define ASK "[{\"role\": \"user\", \"content\": \"Say something, please\"}]"

static void streams_as(const char *path, const char *body, const char *where, const char *want)
{
    Buf got = {0};
    DeskAnswer *a = desk_ask(&desk, path, body);
    json_t *events = desk_events(a);
    assert_true(a->datas > 3);
    desk_joined(events, where, &got);
    assert_non_null(got.data);
    assert_string_equal(got.data, want);
    buf_close(&got);
    json_decref(events);
}

static void one_conversation_in_all_shapes(void **state)
{
    (void)state;
    Buf want = {0};
    by_hand("Say something, please", true, 20, &want);
    json_t *a =
        desk_good(&desk, "/v1/chat/completions",
                  "{\"messages\": " ASK ", \"max_completion_tokens\": 20, \"temperature\": 0}");
    assert_string_equal(desk_text(a, "choices.0.message.content"), want.data);
    json_decref(a);
    a = desk_good(&desk, "/v1/messages",
                  "{\"model\": \"m\", \"messages\": " ASK
                  ", \"max_tokens\": 20, \"temperature\": 0}");
    assert_string_equal(desk_text(a, "content.0.text"), want.data);
    assert_string_equal(desk_text(a, "stop_reason"), "max_tokens");
    json_decref(a);
    a = desk_good(&desk, "/api/chat",
                  "{\"model\": \"m\", \"messages\": " ASK
                  ", \"stream\": false, \"options\": {\"temperature\": 0, \"num_predict\": 20}}");
    assert_string_equal(desk_text(a, "message.content"), want.data);
    json_decref(a);
    a = desk_good(&desk, "/v1/responses",
                  "{\"input\": \"Say something, please\", \"max_output_tokens\": 20, "
                  "\"temperature\": 0}");
    assert_string_equal(desk_text(a, "output.0.content.0.text"), want.data);
    json_decref(a);

    streams_as("/v1/chat/completions",
               "{\"messages\": " ASK ", \"max_tokens\": 20, \"temperature\": 0, \"stream\": true}",
               "choices.0.delta.content", want.data);
    streams_as("/v1/messages",
               "{\"model\": \"m\", \"messages\": " ASK
               ", \"max_tokens\": 20, \"temperature\": 0, \"stream\": true}",
               "delta.text", want.data);
    streams_as("/api/chat",
               "{\"model\": \"m\", \"messages\": " ASK
               ", \"options\": {\"temperature\": 0, \"num_predict\": 20}}",
               "message.content", want.data);
    buf_close(&want);
}

static void beginnings_are_shared(void **state)
{
    (void)state;
    static const char body[] =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"A question that "
        "is long enough to be worth sharing with the next one\"}], "
        "\"max_tokens\": 2, \"temperature\": 0}";
    json_t *a = desk_good(&desk, "/v1/chat/completions", body);
    json_t *b = desk_good(&desk, "/v1/chat/completions", body);
    long long all = desk_number(a, "usage.prompt_tokens");
    assert_int_equal(desk_number(b, "usage.prompt_tokens"), all);
    assert_true(desk_number(b, "usage.prompt_tokens_details.cached_tokens") > all / 2);
    json_decref(b);
    desk.principal = 77; /* another key sees nothing of it */
    b = desk_good(&desk, "/v1/chat/completions", body);
    assert_int_equal(desk_number(b, "usage.prompt_tokens_details.cached_tokens"), 0);
    desk.principal = 0;
    json_decref(a);
    json_decref(b);
}

/* ---- stop strings, choices, probabilities ---- */

/* Stands for itself in JSON; char may be signed or not. */
static bool is_plain(char c)
{
    return c > ' ' && c < 127 && c != '"' && c != '\\';
}

static void stops(void **state)
{
    (void)state;
    Buf want = {0};
    char body[512], word[16];
    by_hand("Once upon a time", false, 24, &want);
    /* three bytes out of its middle, where they are plain */
    size_t at = want.size;
    for (size_t i = 4; i + 3 < want.size && at == want.size; i++)
        if (is_plain(want.data[i]) && is_plain(want.data[i + 1])) at = i;
    if (at == want.size) skip();
    snprintf(word, sizeof word, "%.2s", want.data + at);
    *strstr(want.data, word) = '\0';
    for (int stream = 0; stream < 2; stream++) {
        snprintf(body, sizeof body,
                 "{\"prompt\": \"Once upon a time\", \"max_tokens\": 24, \"temperature\": 0, "
                 "\"stop\": [\"never there\", \"%s\"], \"stream\": %s}",
                 word, stream ? "true" : "false");
        if (stream) {
            Buf got = {0};
            json_t *events = desk_events(desk_ask(&desk, "/v1/completions", body));
            desk_joined(events, "choices.0.text", &got);
            assert_string_equal(got.data ? got.data : "", want.data);
            buf_close(&got);
            json_decref(events);
        } else {
            json_t *a = desk_good(&desk, "/v1/completions", body);
            assert_string_equal(desk_text(a, "choices.0.text"), want.data);
            assert_string_equal(desk_text(a, "choices.0.finish_reason"), "stop");
            json_decref(a);
        }
    }
    buf_close(&want);
}

static void choices(void **state)
{
    (void)state;
    static const char body[] = "{\"prompt\": [\"One\", \"Two words\"], \"n\": 3, \"seed\": 5, "
                               "\"max_tokens\": 8, \"temperature\": 1.5}";
    json_t *a = desk_good(&desk, "/v1/completions", body);
    json_t *b = desk_good(&desk, "/v1/completions", body);
    assert_int_equal(json_array_size(desk_at(a, "choices")), 6);
    for (int i = 0; i < 6; i++) {
        char path[32];
        snprintf(path, sizeof path, "choices.%d.text", i);
        assert_string_equal(desk_text(a, path), desk_text(b, path)); /* the seed decides */
    }
    assert_string_not_equal(desk_text(a, "choices.0.text"), desk_text(a, "choices.1.text"));
    assert_true(desk_number(a, "usage.completion_tokens") <= 48);
    json_decref(a);
    json_decref(b);
}

static void probabilities(void **state)
{
    (void)state;
    json_t *a = desk_good(&desk, "/v1/chat/completions",
                          "{\"messages\": " ASK ", \"max_tokens\": 12, \"temperature\": 0, "
                          "\"logprobs\": true, \"top_logprobs\": 3}");
    json_t *list = desk_at(a, "choices.0.logprobs.content"), *token;
    size_t i;
    assert_true(json_array_size(list) > 0);
    json_array_foreach(list, i, token)
    {
        double p = json_real_value(desk_at(token, "logprob"));
        assert_int_equal(json_array_size(desk_at(token, "top_logprobs")), 3);
        assert_true(p <= 0 && p == json_real_value(desk_at(token, "top_logprobs.0.logprob")));
    }
    json_decref(a);
}

/* Completions have the likeliest as keys of an object: parts of characters differ there too. */
static void probabilities_by_token(void **state)
{
    (void)state;
    DeskAnswer *a = desk_ask(&desk, "/v1/completions",
                             "{\"prompt\": \"Once upon a time\", \"max_tokens\": 40, "
                             "\"temperature\": 0, \"logprobs\": 20}");
    json_t *root = json_loads(a->body.data, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL), *tops;
    size_t i, bytes = 0;
    assert_non_null(root);
    json_array_foreach(desk_at(root, "choices.0.logprobs.top_logprobs"), i, tops)
    {
        const char *key;
        json_t *value;
        assert_int_equal(json_object_size(tops), 20);
        json_object_foreach(tops, key, value) bytes += strncmp(key, "bytes:\\x", 8) == 0;
    }
    assert_true(i > 0 && bytes > 0);
    json_decref(root);
}

/* ---- held answers ---- */

static void schemas(void **state)
{
    (void)state;
    static const char schema[] =
        "{\"type\": \"object\", \"properties\": {\"n\": {\"type\": \"integer\", \"minimum\": 0, "
        "\"maximum\": 9}, \"b\": {\"type\": \"boolean\"}}, \"required\": [\"n\", \"b\"], "
        "\"additionalProperties\": false}";
    char body[1024];
    snprintf(body, sizeof body,
             "{\"messages\": " ASK ", \"max_tokens\": 200, \"seed\": 3, \"response_format\": "
             "{\"type\": \"json_schema\", \"json_schema\": {\"name\": \"x\", \"strict\": true, "
             "\"schema\": %s}}}",
             schema);
    for (int i = 0; i < 2; i++) { /* compiled, then found again */
        json_t *a = desk_good(&desk, "/v1/chat/completions", body);
        json_t *said = json_loads(desk_text(a, "choices.0.message.content"), 0, NULL);
        assert_true(json_is_integer(json_object_get(said, "n")));
        assert_true(json_is_boolean(json_object_get(said, "b")));
        json_decref(said);
        json_decref(a);
    }
    json_t *a =
        desk_good(&desk, "/completion",
                  "{\"prompt\": \"x\", \"n_predict\": 50, \"grammar\": \"root ::= \\\"yes\\\" "
                  "| \\\"no\\\"\"}");
    const char *said = desk_text(a, "content");
    assert_true(!strcmp(said, "yes") || !strcmp(said, "no"));
    json_decref(a);
}

#define TOOLS                                                                                      \
    "[{\"type\": \"function\", \"function\": {\"name\": \"weather\", \"parameters\": {\"type\": "  \
    "\"object\", \"properties\": {\"day\": {\"enum\": [\"today\", \"tomorrow\"]}}, \"required\": " \
    "[\"day\"], \"additionalProperties\": false}}}]"

static void check_arguments(const char *text)
{
    json_t *arguments = json_loads(text, 0, NULL);
    const char *day = json_string_value(json_object_get(arguments, "day"));
    assert_non_null(day);
    assert_true(!strcmp(day, "today") || !strcmp(day, "tomorrow"));
    json_decref(arguments);
}

static void calls(void **state)
{
    (void)state;
    static const char body[] = "{\"messages\": " ASK ", \"tools\": " TOOLS ", \"tool_choice\": "
                               "\"required\", \"parallel_tool_calls\": false, \"max_tokens\": 300, "
                               "\"logit_bias\": {\"60\": -100}, " /* no thoughts: no '<' */
                               "\"seed\": 1, \"stream\": ";
    char text[1024];
    snprintf(text, sizeof text, "%sfalse}", body);
    json_t *a = desk_good(&desk, "/v1/chat/completions", text);
    assert_string_equal(desk_text(a, "choices.0.finish_reason"), "tool_calls");
    assert_string_equal(desk_text(a, "choices.0.message.tool_calls.0.function.name"), "weather");
    assert_int_equal(json_array_size(desk_at(a, "choices.0.message.tool_calls")), 1);
    check_arguments(desk_text(a, "choices.0.message.tool_calls.0.function.arguments"));
    json_decref(a);

    Buf arguments = {0};
    snprintf(text, sizeof text, "%strue}", body);
    json_t *events = desk_events(desk_ask(&desk, "/v1/chat/completions", text));
    desk_joined(events, "choices.0.delta.tool_calls.0.function.arguments", &arguments);
    check_arguments(arguments.data);
    json_decref(events);
    buf_close(&arguments);

    a = desk_good(
        &desk, "/v1/messages",
        "{\"model\": \"m\", \"max_tokens\": 300, \"messages\": " ASK
        ", \"tools\": [{\"name\": \"weather\", \"input_schema\": {\"type\": \"object\", "
        "\"properties\": {\"day\": {\"enum\": [\"today\", \"tomorrow\"]}}, \"required\": "
        "[\"day\"]}}], \"tool_choice\": {\"type\": \"any\", \"disable_parallel_tool_use\": "
        "true}}");
    /* it may think for as long as it is let */
    if (strcmp(desk_text(a, "stop_reason"), "max_tokens") != 0)
        assert_string_equal(desk_text(a, "stop_reason"), "tool_use");
    json_decref(a);
}

/* A keyword that is not supported is advice, unless the tool is strict. */
static void loose_tools(void **state)
{
    (void)state;
    static const char body[] =
        "{\"messages\": " ASK
        ", \"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\","
        " \"strict\": %s, \"parameters\": {\"type\": \"object\", \"if\": {}, \"properties\": "
        "{}}}}], "
        "\"tool_choice\": \"required\", \"parallel_tool_calls\": false, \"max_tokens\": 400, "
        "\"seed\": 2}";
    char text[1024];
    snprintf(text, sizeof text, body, "false");
    json_t *a = desk_good(&desk, "/v1/chat/completions", text);
    if (!strcmp(desk_text(a, "choices.0.finish_reason"), "tool_calls"))
        assert_string_equal(desk_text(a, "choices.0.message.tool_calls.0.function.name"), "f");
    json_decref(a);
    snprintf(text, sizeof text, body, "true");
    DeskAnswer *refused = desk_ask(&desk, "/v1/chat/completions", text);
    assert_int_equal(refused->status, 400);
    assert_non_null(strstr(refused->body.data, "if"));
}

/* Where a call must come the answer cannot end before it, whatever control tokens it holds. */
static void no_end_before_its_call(void **state)
{
    (void)state;
    const MakeModel spec = {.chat_template =
                                "{# <tool_call> #}{% for m in messages %}{{ m.content }}"
                                "{% endfor %}{{ tools }}"};
    Desk d;
    char body[1024];
    desk_open(&d, desk_model(&spec, "hermes.gguf"), NULL);
    for (int seed = 1; seed <= 5; seed++) {
        snprintf(body, sizeof body,
                 "{\"messages\": " ASK ", \"tools\": " TOOLS
                 ", \"tool_choice\": \"required\", \"max_tokens\": 150, \"seed\": %d}",
                 seed);
        json_t *a = desk_good(&d, "/v1/chat/completions", body);
        assert_string_not_equal(desk_text(a, "choices.0.finish_reason"), "stop");
        json_decref(a);
    }
    desk_close(&d);
}

/* ---- vectors ---- */

static void vectors(void **state)
{
    (void)state;
    const MakeModel spec = {.arch = "bert", .tokenizer = MAKE_WPM, .ctx = 64};
    Desk d;
    desk_open(&d, desk_model(&spec, "bert.gguf"), NULL);
    json_t *a = desk_good(&d, "/v1/embeddings",
                          "{\"input\": [\"the cat\", \"a dog\", \"the cat\", \"x\"]}");
    json_t *list = desk_at(a, "data");
    assert_int_equal(json_array_size(list), 4);
    assert_true(json_equal(desk_at(list, "0.embedding"), desk_at(list, "2.embedding")));
    double square = 0;
    for (size_t i = 0; i < json_array_size(desk_at(list, "1.embedding")); i++) {
        double x = json_number_value(json_array_get(desk_at(list, "1.embedding"), i));
        square += x * x;
    }
    assert_true(fabs(square - 1) < 1e-4);
    json_decref(a);
    a = desk_good(&d, "/v1/rerank",
                  "{\"query\": \"the cat\", \"documents\": [\"a dog\", \"the cat\", \"x y z\"], "
                  "\"top_n\": 2}");
    assert_int_equal(json_array_size(desk_at(a, "results")), 2);
    assert_int_equal(desk_number(a, "results.0.index"), 1);
    json_decref(a);
    assert_int_equal(
        desk_ask(&d, "/v1/embeddings", "{\"input\": \"a\", \"dimensions\": 5000}")->status, 400);
    assert_int_equal(desk_ask(&d, "/v1/chat/completions", "{\"messages\": " ASK "}")->status, 400);
    desk_close(&d);
    assert_int_equal(
        desk_ask(&desk, "/v1/rerank", "{\"query\": \"a\", \"documents\": [\"b\"]}")->status, 400);
}

/* Texts that are too long: refused with both counts in every API, and cut only where the request
 * itself says so. */
static void vectors_of_long_texts(void **state)
{
    (void)state;
    static const struct {
        const char *path, *head, *tail;
        int status;
        const char *says;
    } rows[] = {
        {"/v1/embeddings", "{\"input\": [\"x\", \"", "\"]}", 400, "text 2"},
        {"/api/embed", "{\"model\": \"m\", \"input\": [\"x\", \"", "\"]}", 400, "text 2"},
        {"/api/embed", "{\"model\": \"m\", \"input\": \"", "\", \"truncate\": false}", 400, "64"},
        {"/api/embed", "{\"model\": \"m\", \"input\": \"", "\", \"truncate\": true}", 200, ""},
        {"/api/embeddings", "{\"model\": \"m\", \"prompt\": \"", "\"}", 400, "64"},
        {"/v1/rerank", "{\"query\": \"x\", \"documents\": [\"", "\"]}", 400, "64"},
        {"/v1/rerank", "{\"documents\": [\"x\"], \"query\": \"", "\"}", 400, "64"},
    };
    const MakeModel spec = {.arch = "bert", .tokenizer = MAKE_WPM, .ctx = 64};
    Desk d;
    desk_open(&d, desk_model(&spec, "long.gguf"), NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Buf body = {0};
        buf_text(&body, rows[i].head);
        for (int k = 0; k < 200; k++) buf_text(&body, "cat ");
        buf_text(&body, rows[i].tail);
        DeskAnswer *a = desk_ask(&d, rows[i].path, body.data);
        if (a->status != rows[i].status || !strstr(a->body.data, rows[i].says) ||
            (a->status == 400 && (!strstr(a->body.data, "602") || !strstr(a->body.data, "64"))))
            fail_msg("%s: %d %s", rows[i].path, a->status, a->body.data);
        buf_close(&body);
    }
    desk_close(&d);
}

/* ---- at once ---- */

static void tokens(void **state)
{
    (void)state;
    json_t *a = desk_good(&desk, "/tokenize", "{\"content\": \"H\\u00e9llo <|im_end|>\"}");
    char *ids = json_dumps(desk_at(a, "tokens"), JSON_COMPACT), body[512];
    snprintf(body, sizeof body, "{\"tokens\": %s}", ids);
    json_t *b = desk_good(&desk, "/detokenize", body);
    assert_string_equal(desk_text(b, "content"), "H\xc3\xa9llo <|im_end|>");
    json_decref(a);
    json_decref(b);
    free(ids);
    a = desk_good(&desk, "/apply-template", "{\"messages\": " ASK "}");
    assert_string_equal(
        desk_text(a, "prompt"),
        "<|im_start|>user\nSay something, please<|im_end|>\n<|im_start|>assistant\n");
    json_decref(a);
    a = desk_good(&desk, "/v1/messages/count_tokens", "{\"model\": \"m\", \"messages\": " ASK "}");
    assert_in_range(desk_number(a, "input_tokens"), 10, 80);
    json_decref(a);
    a = desk_good(&desk, "/slots", NULL);
    assert_int_equal(json_array_size(a), 8);
    json_decref(a);
    Buf stats = {0};
    worker_stats(desk.worker, &stats);
    a = json_loads(stats.data, 0, NULL);
    assert_true(desk_number(a, "requests") > 0);
    assert_int_equal(desk_number(a, "requests_running"), 0);
    buf_close(&stats);
    json_decref(a);
}

static void remembered_responses(void **state)
{
    (void)state;
    char body[512], path[128];
    json_t *a = desk_good(&desk, "/v1/responses",
                          "{\"input\": \"Hello\", \"max_output_tokens\": 5, \"temperature\": 0}");
    long long first = desk_number(a, "usage.input_tokens");
    snprintf(body, sizeof body,
             "{\"input\": \"And?\", \"max_output_tokens\": 5, \"previous_response_id\": \"%s\"}",
             desk_text(a, "id"));
    snprintf(path, sizeof path, "/v1/responses/%s", desk_text(a, "id"));
    json_t *b = desk_good(&desk, "/v1/responses", body);
    assert_true(desk_number(b, "usage.input_tokens") > first + 5);
    json_decref(b);
    b = desk_good(&desk, path, NULL);
    assert_string_equal(desk_text(b, "id"), desk_text(a, "id"));
    json_decref(b);
    desk.principal = 5;
    assert_int_equal(desk_ask(&desk, path, NULL)->status, 404);
    assert_true(desk_ask(&desk, "/v1/responses", body)->status >= 400);
    desk.principal = 0;
    uint64_t id = desk_send(&desk, "DELETE", path, NULL);
    assert_int_equal(desk_answer(&desk, id)->status, 200);
    assert_int_equal(desk_ask(&desk, path, NULL)->status, 404);
    json_decref(a);
}

/* ---- what is refused ---- */

static void refused(const char *path, const char *body, int status, const char *says)
{
    double start = os_seconds();
    DeskAnswer *a = desk_ask(&desk, path, body);
    if (a->status != status) fail_msg("%s: %d, not %d: %s", path, a->status, status, a->body.data);
    json_t *error = desk_json(a);
    assert_true(json_is_object(error));
    json_decref(error);
    if (!strstr(a->body.data, says)) fail_msg("%s", a->body.data);
    assert_true(os_seconds() - start < 5); /* 50 ms on a machine that does nothing else */
}

/* Beyond what is bad in itself (see test_worker_refuses.c): what is not there, not now. */
static void refusals(void **state)
{
    (void)state;
    refused("/v1/responses", "{\"input\": \"a\", \"previous_response_id\": \"resp_none\"}", 404,
            "resp_none");
    worker_drain(desk.worker);
    refused("/v1/chat/completions", "{\"messages\": " ASK "}", 503, "shutting down");
    desk_close(&desk);
    desk_open(&desk, model_path, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_go_on),
        cmocka_unit_test(one_conversation_in_all_shapes),
        cmocka_unit_test(beginnings_are_shared),
        cmocka_unit_test(stops),
        cmocka_unit_test(choices),
        cmocka_unit_test(probabilities),
        cmocka_unit_test(probabilities_by_token),
        cmocka_unit_test(schemas),
        cmocka_unit_test(calls),
        cmocka_unit_test(loose_tools),
        cmocka_unit_test(no_end_before_its_call),
        cmocka_unit_test(vectors),
        cmocka_unit_test(vectors_of_long_texts),
        cmocka_unit_test(tokens),
        cmocka_unit_test(remembered_responses),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
