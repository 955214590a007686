/* Bodies that are meant to hurt: our own corpus of texts that are JSON, that are not, and that are
 * too much of it; the time they take; and every allocation of a request's life failing in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "api_case.h"
#include "base/mem.h"
#include "serve/api_read.h"
#include "support/torture.h"

#define CHAT "/v1/chat/completions"
#define USER "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static bool takes(const char *body, size_t n, ApiError *err)
{
    ApiCall *call;
    ApiHttp http = {.method = "POST", .path = CHAT, .body = body, .body_size = n};
    bool good = api_parse(&http, NULL, &call, err) == BT_OK;
    assert_int_equal(good, call != NULL);
    if (!good) assert_true(err->text[0] != 0);
    api_call_close(&call);
    return good;
}

/* In place of a member's value ("x", of no meaning): what JSON is, and is not. */
static const char *const valid[] = {"0",
                                    "-0",
                                    "1e5",
                                    "1E+5",
                                    "1.5e-3",
                                    "[]",
                                    "{}",
                                    "[[],{}]",
                                    "true",
                                    "null",
                                    "\"\"",
                                    "\"\\u0000\"",
                                    "\"\\ud83d\\ude00\"",
                                    "\"\xc3\xa9\"",
                                    "\"\xf0\x9f\x98\x80\"",
                                    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
                                    " [ 1 , 2 ] ",
                                    "123456789012345678901234567890",
                                    "1e999",
                                    "{\"a\":{\"a\":1}}",
                                    "\"\x7f\""};
static const char *const invalid[] = {"",
                                      "01",
                                      "+1",
                                      ".5",
                                      "5.",
                                      "1e",
                                      "1e+",
                                      "0x10",
                                      "NaN",
                                      "Infinity",
                                      "-Infinity",
                                      "-",
                                      "nan",
                                      "True",
                                      "'a'",
                                      "\"",
                                      "\"\\x\"",
                                      "\"\\u12\"",
                                      "\"\\u12G4\"",
                                      "\"\\ud800\"",
                                      "\"\\udc00\"",
                                      "\"\\ud800\\u0041\"",
                                      "\"\xff\"",
                                      "\"\xc0\x80\"",
                                      "\"\xed\xa0\x80\"",
                                      "\"\xf5\x80\x80\x80\"",
                                      "\"\xe2\x82\"",
                                      "\"\n\"",
                                      "\"\x01\"",
                                      "[1,]",
                                      "[,1]",
                                      "[1 2]",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{\"a\":1,}",
                                      "{a:1}",
                                      "{\"a\":1,\"a\":2}",
                                      "[",
                                      "{",
                                      "]",
                                      "}",
                                      "[1}",
                                      "{\"a\":1]",
                                      "/* */1",
                                      "1 2",
                                      "\\u0031",
                                      "\xef\xbb\xbf"
                                      "1",
                                      "undefined",
                                      "1_000",
                                      "\"a\" \"b\"",
                                      "nul",
                                      "tru",
                                      "[\"a\",\n4\n,1,",
                                      "{\"\\u0061\":1,\"a\":2}"};

static void values(void **state)
{
    (void)state;
    ApiError err;
    char body[256];
    for (size_t i = 0; i < sizeof valid / sizeof *valid; i++) {
        int n = snprintf(body, sizeof body, "{" USER ",\"x\":%s}", valid[i]);
        if (!takes(body, (size_t)n, &err)) print_error("%s: %s\n", valid[i], err.text);
        assert_true(takes(body, (size_t)n, &err));
    }
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++) {
        int n = snprintf(body, sizeof body, "{" USER ",\"x\":%s}", invalid[i]);
        if (takes(body, (size_t)n, &err)) print_error("taken: %s\n", invalid[i]);
        assert_false(takes(body, (size_t)n, &err));
        assert_int_equal(api_error_http(err.kind), 400);
    }
}

static void bodies(void **state)
{
    (void)state;
    static const char *const broken[] = {"",
                                         " ",
                                         "null",
                                         "[]",
                                         "3",
                                         "\"x\"",
                                         "{",
                                         "{}x",
                                         "{\"messages\":[],}",
                                         "\xff\xfe{\0}",
                                         "{" USER "}{",
                                         "{" USER ",\"messages\":[]}",
                                         "{\"temperature\":1,"
                                         "\"temperature\":1," USER "}"};
    ApiError err;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        assert_false(takes(broken[i], strlen(broken[i]), &err));
    /* every body that was cut short is refused */
    static const char whole[] =
        "{\"model\":\"m\"," USER
        ",\"stop\":[\"a\",\"\\u00e9\"],\"seed\":1,\"n\":2,\"x\":{\"y\":[1]}}";
    assert_true(takes(whole, sizeof whole - 1, &err));
    for (size_t n = 0; n < sizeof whole - 1; n++) assert_false(takes(whole, n, &err));
    /* a NUL byte is no end */
    char nul[] = "{" USER "}\0";
    assert_false(takes(nul, sizeof nul, &err));
}

/* ---- too much ----------------------------------------------------------------------------- */

/* head, `n` times each of the middles in turn, tail */
static char *repeat(const char *head, const char *middle, size_t n, const char *tail, size_t *size)
{
    Buf b = {0};
    buf_text(&b, head);
    for (size_t i = 0; i < n; i++) buf_text(&b, middle);
    buf_text(&b, tail);
    *size = b.size;
    return buf_take(&b);
}

/* Milliseconds of processor time that a refusal (or not) takes; the best of three. */
static double cost(const char *body, size_t n, bool good, const char *words)
{
    double best = 1e9;
    ApiError err = {0};
    for (int i = 0; i < 3; i++) {
        clock_t from = clock();
        bool taken = takes(body, n, &err);
        double took = (double)(clock() - from) * 1e3 / CLOCKS_PER_SEC;
        if (taken != good || !strstr(err.text, words)) print_error("%s\n", err.text);
        assert_int_equal(taken, good);
        assert_non_null(strstr(err.text, words));
        if (took < best) best = took;
    }
    return best;
}

static void too_much_is_cheap(void **state)
{
    (void)state;
    static const struct {
        const char *head, *middle;
        size_t n;
        const char *tail;
        bool good;
        const char *words;
    } cases[] = {
        {"", "[", 10 << 20, "", false, "nests deeper than 64 levels (at byte 64)"},
        {"{\"messages\":", "{\"a\":", 2 << 20, "", false, "nests deeper"},
        {"{" USER ",\"response_format\":", "{\"items\":", 20000, "", false, "nests deeper"},
        {"{" USER ",\"x\":\"", "[[[[[[[[[[", 1 << 20, "\"}", true, ""},
        {"{" USER ",\"x\":\"", "\\n", 4 << 20, "\"}", true, ""},
        {"{" USER ",\"x\":\"", "\xc3\xa9", 4 << 20, "\"}", true, ""},
        {"{" USER ",\"x\":[1", ",1", 4 << 20, "]}", false, "values"},
        {"{" USER ",\"x\":[0", ",[]", 400000, "]}", true, ""},
        {"{" USER ",\"x\":", "1", 8 << 20, "}", true, ""},
        {"{" USER ",\"temperature\":", "1", 8 << 20, "}", false, "temperature"},
        {"{" USER ",\"x\":{\"a\":1", ",\"b\":1", 300000, "}}", false, "keys"},
        {"{" USER ",\"x\":{\"a\":1", ",\"b\":1", 100000, "}}", false, "twice"},
        {"{\"messages\":[{}", ",{}", 100000, "]}", false, "messages has 100001 elements"},
        {"{" USER ",\"stop\":[\"a\"", ",\"a\"", 64, "]}", false, "65 strings; 64 are the most"},
        {"{" USER ",\"model\":\"", "m", 300, "\"}", false, "model has 300 bytes; 255"},
        {"{" USER ",\"logit_bias\":[[1,1]", ",[1,1]", 1024, "]}", false, "1025 tokens"},
        {"", " ", 15 << 20, "x", false, "JSON"},
        {"{" USER ",\"x\":\"", "\\", 15 << 20, "\"}", true, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n;
        char *body = repeat(cases[i].head, cases[i].middle, cases[i].n, cases[i].tail, &n);
        double took = cost(body, n, cases[i].good, cases[i].words);
        if (took > 5) print_message("case %zu: %zu bytes, %.1f ms\n", i, n, took);
#ifndef BANTAM_SANITIZED
        assert_true(took < (getenv("BANTAM_EMULATED") ? 30 : 1) * 50);
#endif
        mem_free(body);
    }
}

static void larger_than_the_route_takes(void **state)
{
    (void)state;
    size_t n;
    ApiError err;
    char *body = repeat("{" USER ",\"x\":\"", "y", 17 << 20, "\"}", &n);
    assert_false(takes(body, n, &err));
    assert_int_equal(api_error_http(err.kind), 413);
    mem_free(body);
}

/* ---- no memory ---------------------------------------------------------------------------- */

static const struct {
    const char *path, *body;
} lives[] = {
    {CHAT,
     "{'stream':true,'logprobs':true,'messages':[{'role':'system','content':'s'},{'role':'user',"
     "'content':[{'type':'text','text':'a'}]},{'role':'assistant','reasoning':'r','tool_calls':"
     "[{'id':'c','function':{'name':'f','arguments':'{}'}}]},{'role':'tool','tool_call_id':'c',"
     "'content':'4'}],'tools':[{'type':'function','function':{'name':'f'}}],'tool_choice':{"
     "'function':{'name':'f'}},'stop':['x'],'logit_bias':{'1':1},'adapters':['a'],"
     "'response_format':{'type':'json_schema','json_schema':{'schema':{}}},"
     "'chat_template_kwargs':{'a':1}}"},
    {CHAT, "{'messages':[{'role':'user','content':'a'}],'n':2}"},
    {"/v1/completions",
     "{'prompt':['a','b'],'stream':true,'stream_options':{'include_usage':true}}"},
    {"/v1/completions", "{'prompt':[1,2],'logprobs':1}"},
    {"/v1/responses",
     "{'stream':true,'instructions':'i','input':[{'role':'user','content':'a'},{'type'"
     ":'function_call','call_id':'c','name':'f','arguments':'{}'},{'type':"
     "'function_call_output','call_id':'c','output':'4'}],'tools':[{'type':'function'"
     ",'name':'f'}]}"},
    {"/v1/responses", "{'input':'a'}"},
    {"/v1/messages",
     "{'max_tokens':5,'stream':true,'thinking':{'type':'adaptive'},'system':[{'type':"
     "'text','text':'s'}],'messages':[{'role':'user','content':[{'type':'tool_result',"
     "'tool_use_id':'c','content':'4'},{'type':'text','text':'b'}]}],'tools':[{'name':"
     "'f','input_schema':{}}]}"},
    {"/v1/messages",
     "{'max_tokens':5,'messages':[{'role':'user','content':'a'},{'role':'assistant',"
     "'content':'b'}]}"},
    {"/api/chat",
     "{'model':'m','messages':[{'role':'assistant','content':'','tool_calls':[{'function':"
     "{'name':'f','arguments':{}}}]},{'role':'tool','content':'4'}],'think':'high'}"},
    {"/api/generate", "{'model':'m','prompt':'p','system':'s','stream':false}"},
    {"/api/create",
     "{'model':'m','modelfile':'FROM a','parameters':{'stop':['a']},'license':['l']}"},
    {"/completion", "{'prompt':[1,'a'],'stream':true,'return_tokens':true,'n_probs':1}"},
    {"/infill", "{'input_prefix':'a','input_suffix':'b','input_extra':[{'text':'t'}]}"},
};

static const CaseEvent events[] = {{BT_ANSWER_REASONING, -1, "r"}, {BT_ANSWER_TEXT, -1, "t"},
                                   {BT_ANSWER_CALL, 0, "f"},       {BT_ANSWER_ARGUMENTS, 0, "{}"},
                                   {BT_ANSWER_CALL_END, 0, NULL},  {BT_ANSWER_CALL, 1, "g"},
                                   {BT_ANSWER_CALL_VOID, 1, NULL}, {BT_ANSWER_TEXT, -1, "u"}};

/* Everything that may happen to one request. True when no allocation failed on the way. */
static bool live(const char *path, const char *body)
{
    static const ApiTokenProb token = {.id = 1, .logprob = -1, .bytes = "t", .n_bytes = 1};
    static const ApiLogprobs lp = {&token, 1};
    static const bt_token id = 7;
    static const ApiUsage usage = {.prompt = 1, .completion = 1};
    ApiError err = {0};
    ApiReply *r = NULL;
    Buf out = {0}, kept = {0};
    ApiCall *call;
    ApiHttp http = {.method = "POST", .path = path, .body = body, .body_size = strlen(body)};
    bool good = api_parse(&http, NULL, &call, &err) == BT_OK;
    if (!good) assert_int_equal(err.kind, API_E_INTERNAL);
    if (good && call->kind <= API_INFILL)
        good = api_reply_open(call, &case_info, &r, &err) == BT_OK;
    if (r) {
        api_reply_start(r, &out);
        for (int c = 0; c < call->n; c++) {
            api_reply_ids(r, c, &id, 1);
            for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
                const CaseEvent *e = &events[i];
                bool is_call = e->kind == BT_ANSWER_CALL;
                bt_answer_event event = {e->kind,
                                         e->index,
                                         is_call ? "id" : NULL,
                                         is_call ? e->text : NULL,
                                         is_call ? NULL : e->text,
                                         is_call || !e->text ? 0 : strlen(e->text)};
                api_reply_event(r, c, &event, &lp, &out);
            }
            api_reply_choice_end(r, c, API_FINISH_WORD, "w", 1, &out);
        }
        api_reply_end(r, &usage, &out);
        api_reply_message(r, 0, &kept);
        good = !api_reply_failed(r) && !out.failed && !kept.failed;
        if (!good) api_reply_fail(r, &err, &kept);
    }
    api_reply_close(&r);
    api_call_close(&call);
    buf_close(&out);
    buf_close(&kept);
    return good;
}

typedef struct Asked {
    const char *path;
    char *body;
} Asked;

static bt_status life(void *user, bt_error *err)
{
    const Asked *asked = user;
    return torture_bare(live(asked->path, asked->body) ? BT_OK : BT_E_MEMORY, err);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lives / sizeof *lives; i++) {
        Asked asked = {lives[i].path, case_quotes(lives[i].body)};
        torture(asked.path, life, &asked);
        mem_free(asked.body);
    }
}

/* docs/api.md names every field of the table. */
static void fields_are_documented(void **state)
{
    (void)state;
    const char *source = getenv("BANTAM_SOURCE");
    char path[1024], name[80];
    Buf page = {0};
    if (!source) skip();
    snprintf(path, sizeof path, "%s/docs/api.md", source);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    for (int c; (c = getc(file)) != EOF;) buf_char(&page, (char)c);
    fclose(file);
    for (size_t i = 0; i < api_n_fields; i++) {
        snprintf(name, sizeof name, "`%s`", api_fields[i].name);
        if (!strstr(page.data, name)) print_error("docs/api.md lacks %s\n", name);
        assert_non_null(strstr(page.data, name));
    }
    buf_close(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(bodies),
        cmocka_unit_test(too_much_is_cheap),
        cmocka_unit_test(larger_than_the_route_takes),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(fields_are_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
