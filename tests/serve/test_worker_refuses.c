/* What is refused, through every API: each bad input gets a 4xx in the shape of its API, within 50
 * ms of processor time (of which a machine that does nothing else makes 50 ms), and the worker goes
 * on as if nothing had been. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "desk.h"
#include "support/scratch.h"

enum { MOST_MS = 50 };

/* Where a request of an API goes, and how it says what it asks. */
typedef struct Door {
    const char *path;
    ApiFlavour flavour;
    const char *ask; /* members of a good request, without a comma at the end */
} Door;

#define USER "\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]"

static const Door chat = {"/v1/chat/completions", API_OPENAI, USER};
static const Door text = {"/v1/completions", API_OPENAI, "\"prompt\": \"a\""};
static const Door responses = {"/v1/responses", API_RESPONSES, "\"input\": \"hi\""};
static const Door messages = {"/v1/messages", API_ANTHROPIC, "\"max_tokens\": 4, " USER};
static const Door ollama = {"/api/chat", API_OLLAMA, "\"model\": \"m\", " USER};
static const Door generate = {"/api/generate", API_OLLAMA, "\"model\": \"m\", \"prompt\": \"hi\""};
static const Door llama = {"/completion", API_LLAMA, "\"prompt\": \"hi\""};
static const Door infill = {"/infill", API_LLAMA,
                            "\"input_prefix\": \"a\", \"input_suffix\": \"b\""};
static const Door *const all[] = {&chat, &text, &responses, &messages, &ollama, &generate, &llama};

typedef struct Bad {
    const Door *door;      /* NULL: all of them */
    const char *head;      /* "@" at its start: behind the members of a good request */
    const char *middle[2]; /* n times the first, tail, n times the second */
    size_t n;
    const char *tail;
    const char *says;
} Bad;

#define SCHEMA                                                                                     \
    "@, \"response_format\": {\"type\": \"json_schema\", \"json_schema\": {\"name\": \"x\", "      \
    "\"schema\": "
#define TOOL_SCHEMA                                                                                \
    "@, \"tool_choice\": {\"type\": \"any\"}, \"tools\": [{\"name\": \"f\", \"strict\": true, "    \
    "\"input_schema\": "
#define PICTURE "{\"url\": \"data:image/png;base64,AAAA\"}"

static const Bad bads[] = {
    /* no JSON */
    {NULL, "{\"messages\": [", {NULL, NULL}, 0, "", NULL},
    {NULL, "", {NULL, NULL}, 0, "", NULL},
    {NULL, "@, \"x\": nul}", {NULL, NULL}, 0, "", NULL},
    {NULL, "[1, 2]", {NULL, NULL}, 0, "", "object"},
    /* wrong types, out of range */
    {&chat, "{\"messages\": 5}", {NULL, NULL}, 0, "", "messages"},
    {&text, "{\"prompt\": {}}", {NULL, NULL}, 0, "", "prompt"},
    {&responses, "{\"input\": 7}", {NULL, NULL}, 0, "", "input"},
    {&messages, "{\"max_tokens\": \"4\", " USER "}", {NULL, NULL}, 0, "", "max_tokens"},
    {&ollama, "{\"model\": \"m\", \"messages\": \"hi\"}", {NULL, NULL}, 0, "", "messages"},
    {&generate, "{\"model\": \"m\", \"prompt\": 3}", {NULL, NULL}, 0, "", "prompt"},
    {&llama, "{\"prompt\": true}", {NULL, NULL}, 0, "", "prompt"},
    {&chat, "@, \"temperature\": 99}", {NULL, NULL}, 0, "", "temperature"},
    {&text, "@, \"n\": 100000}", {NULL, NULL}, 0, "", "n"},
    {&responses, "@, \"top_p\": -1}", {NULL, NULL}, 0, "", "top_p"},
    {&messages, "@, \"top_k\": 1e99}", {NULL, NULL}, 0, "", "top_k"},
    {&ollama, "@, \"options\": {\"temperature\": -3}}", {NULL, NULL}, 0, "", "temperature"},
    {&llama, "@, \"n_probs\": 1e9}", {NULL, NULL}, 0, "", "n_probs"},
    /* what this model cannot, what schemas and grammars may not say */
    {&text, "@, \"suffix\": \"b\"}", {NULL, NULL}, 0, "", "gap"},
    {&infill, "@}", {NULL, NULL}, 0, "", "gap"},
    {&chat, SCHEMA "{\"if\": {}}}}}", {NULL, NULL}, 0, "", "if"},
    {&llama, "@, \"grammar\": \"root ::= ((\"}", {NULL, NULL}, 0, "", NULL},
    /* 10 MB of nesting, bare and within a member */
    {NULL, "", {"[", NULL}, 10 << 20, "", "deeper"},
    {NULL, "@, \"x\": ", {"{\"a\":", NULL}, 2 << 20, "", "deeper"},
    /* schemas of 20,000 levels: of brackets, and by names that lead to each other */
    {&chat, SCHEMA, {"{\"items\": ", "}"}, 20000, "true", "deeper"},
    {&ollama, "@, \"format\": ", {"{\"items\": ", "}"}, 20000, "true}", "deeper"},
    {&messages, TOOL_SCHEMA, {"{\"items\": ", "}"}, 20000, "true", "deeper"},
    {&llama, "@, \"json_schema\": ", {"{\"items\": ", "}"}, 20000, "true}", "deeper"},
    /* grammars of 50,000 parentheses, open and closed */
    {&llama, "@, \"grammar\": \"root ::= ", {"(", NULL}, 50000, "\"}", NULL},
    {&llama, "@, \"grammar\": \"root ::= ", {"(", ")"}, 50000, "\\\"a\\\"", NULL},
    {&chat, "@, \"grammar\": \"root ::= ", {"(", ")"}, 50000, "\\\"a\\\"", NULL},
    /* no UTF-8 */
    {NULL, "@, \"x\": \"\xff\xfe\"}", {NULL, NULL}, 0, "", "UTF-8"},
    {NULL, "@, \"x\": \"", {"\xc3\xa9", NULL}, 1 << 20, "\xc3\"}", "UTF-8"},
    /* pictures, to a model that reads text */
    {&chat,
     "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image_url\", "
     "\"image_url\": " PICTURE "}]}]}",
     {NULL, NULL},
     0,
     "",
     "image"},
    {&responses,
     "{\"input\": [{\"role\": \"user\", \"content\": [{\"type\": \"input_image\", \"image_url\": "
     "\"x\"}]}]}",
     {NULL, NULL},
     0,
     "",
     "image"},
    {&messages,
     "{\"max_tokens\": 4, \"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\", "
     "\"source\": {\"type\": \"base64\", \"media_type\": \"image/png\", \"data\": \"AA==\"}}]}]}",
     {NULL, NULL},
     0,
     "",
     "image"},
    {&ollama,
     "{\"model\": \"m\", \"messages\": [{\"role\": \"user\", \"content\": \"x\", \"images\": "
     "[\"AA==\"]}]}",
     {NULL, NULL},
     0,
     "",
     "image"},
    {&generate, "@, \"images\": [\"AA==\"]}", {NULL, NULL}, 0, "", "image"},
    /* more than the context holds, in one word and in many */
    {&chat,
     "{\"messages\": [{\"role\": \"user\", \"content\": \"",
     {"Q", NULL},
     20000,
     "\"}]}",
     "4096"},
    {&messages,
     "{\"max_tokens\": 4, \"messages\": [{\"role\": \"user\", \"content\": \"",
     {"a ", NULL},
     20000,
     "\"}]}",
     "4096"},
    {&llama, "{\"prompt\": \"", {"the ", NULL}, 20000, "\"}", "4096"},
};

static Desk desk;

static int setup(void **state)
{
    if (scratch_setup(state)) return -1;
    desk_open(&desk, desk_model(NULL, "refuses.gguf"), NULL);
    return 0;
}

static int teardown(void **state)
{
    desk_close(&desk);
    return scratch_teardown(state);
}

static char *write_body(const Bad *bad, const Door *door)
{
    Buf out = {0};
    if (*bad->head == '@')
        buf_printf(&out, "{%s%s", door->ask, bad->head + 1);
    else
        buf_text(&out, bad->head);
    for (size_t i = 0; i < bad->n; i++) buf_text(&out, bad->middle[0]);
    buf_text(&out, bad->tail);
    for (size_t i = 0; i < bad->n && bad->middle[1]; i++) buf_text(&out, bad->middle[1]);
    if (bad->middle[1] && strstr(bad->head, "grammar")) buf_text(&out, "\"}");
    if (!out.size) buf_char(&out, ' ');
    return buf_take(&out);
}

static void has_shape(const Door *door, const DeskAnswer *a)
{
    json_t *root = desk_json(a);
    const json_t *error = json_object_get(root, "error");
    bool good = json_is_string(json_object_get(error, "message"));
    switch (door->flavour) {
    case API_OLLAMA: good = json_is_string(error); break;
    case API_ANTHROPIC:
        good &= json_is_string(json_object_get(root, "type")) &&
                json_is_string(json_object_get(error, "type"));
        break;
    case API_LLAMA: good &= json_integer_value(json_object_get(error, "code")) == a->status; break;
    default: good &= json_object_get(error, "type") && json_object_get(error, "param"); break;
    }
    if (!good) fail_msg("%s: %s", door->path, a->body.data);
    json_decref(root);
}

static void refuses(const Bad *bad, const Door *door)
{
    char *body = write_body(bad, door);
    double best = 1e9;
    for (int i = 0; i < 3; i++) {
        clock_t from = clock();
        DeskAnswer *a = desk_ask(&desk, door->path, body);
        double took = (double)(clock() - from) * 1e3 / CLOCKS_PER_SEC;
        if (took < best) best = took;
        if (a->status < 400 || a->status > 499 || (bad->says && !strstr(a->body.data, bad->says)))
            fail_msg("%s %.80s: %d %s", door->path, bad->head, a->status, a->body.data);
        has_shape(door, a);
    }
    if (best > MOST_MS / 5) print_message("%s %.60s: %.1f ms\n", door->path, bad->head, best);
#ifndef BANTAM_SANITIZED
    assert_true(best < (getenv("BANTAM_EMULATED") ? 30 : 1) * MOST_MS);
#endif
    mem_free(body);
}

static void bad_input_is_refused_at_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bads / sizeof *bads; i++) {
        if (bads[i].door) refuses(&bads[i], bads[i].door);
        for (size_t k = 0; k < sizeof all / sizeof *all && !bads[i].door; k++)
            refuses(&bads[i], all[k]);
    }
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) { /* it goes on */
        char body[256];
        bool many = all[k]->flavour == API_OLLAMA;
        snprintf(body, sizeof body, "{%s%s}", all[k]->ask,
                 many                   ? ", \"options\": {\"num_predict\": 4}, \"stream\": false"
                 : all[k] == &messages  ? ""
                 : all[k] == &responses ? ", \"max_output_tokens\": 4"
                 : all[k] == &llama     ? ", \"n_predict\": 4"
                                        : ", \"max_tokens\": 4");
        json_decref(desk_good(&desk, all[k]->path, body));
    }
    assert_int_equal(worker_running(desk.worker), 0);
}

/* Names that lead to each other 20,000 times are followed or refused, in no more time. */
static void long_ways_of_names(void **state)
{
    (void)state;
    Buf body = {0};
    buf_text(&body,
             "{" USER ", \"max_tokens\": 4, \"response_format\": {\"type\": \"json_schema\", "
             "\"json_schema\": {\"name\": \"x\", \"schema\": {\"$ref\": \"#/$defs/d0\", "
             "\"$defs\": {");
    for (int i = 0; i < 20000; i++)
        buf_printf(&body, "\"d%d\": {\"$ref\": \"#/$defs/d%d\"}, ", i, i + 1);
    buf_text(&body, "\"d20000\": {\"type\": \"boolean\"}}}}}}");
    double best = 1e9;
    for (int i = 0; i < 3; i++) {
        clock_t from = clock();
        uint64_t id = desk_send(&desk, "POST", chat.path, body.data);
        double took = (double)(clock() - from) * 1e3 / CLOCKS_PER_SEC;
        desk_run(&desk);
        int status = desk_answer(&desk, id)->status;
        if (status != 200 && status != 400)
            fail_msg("%d %s", status, desk_answer(&desk, id)->body.data);
        if (took < best) best = took;
    }
    if (best > MOST_MS / 5) print_message("20,000 names: %.1f ms\n", best);
#ifndef BANTAM_SANITIZED
    assert_true(best < (getenv("BANTAM_EMULATED") ? 30 : 1) * MOST_MS);
#endif
    buf_close(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_input_is_refused_at_once),
        cmocka_unit_test(long_ways_of_names),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
