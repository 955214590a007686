/* Strings held to spans of what was said: which are taken and refused, what tools become, every
 * text of the assistant's hand-written test set, hostile texts, and every allocation failing once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "support/files.h"
#include "support/taker.h"
#include "support/torture.h"
#include "text/copied.h"
#include "text/json_tree.h"
#include "text/schema.h"

static const char open_schema[] = "{\"type\": \"string\", \"x-copied\": true, \"x-or\": [\"all\"], "
                                  "\"minLength\": 1, \"maxLength\": 200}";

static Taker taker(const Buf *schema)
{
    return taker_open((Span){schema->data, schema->size});
}

/* Whether a string (without quotes and escapes) is taken by the schema. */
static bool takes_string(Taker *t, Span string)
{
    Buf text = {0};
    json_string_write(&text, string);
    bool taken = takes(t, (Span){text.data, text.size});
    buf_close(&text);
    return taken;
}

static Buf bind(const char *schema, const Span *said, size_t n)
{
    Buf out = {0};
    bool bound;
    bt_error err = {0};
    if (copied_bind(span_of(schema), said, n, &out, &bound, &err)) fail_msg("%s", err.text);
    if (!bound) {
        assert_int_equal(out.size, 0);
        buf_text(&out, schema);
    }
    return out;
}

/* The texts before NULL are taken once `said` was said, or refused. */
static void check(const char *said, const char *const *yes, const char *const *no)
{
    const Span text = span_of(said);
    Buf schema = bind(open_schema, &text, 1);
    Taker t = taker(&schema);
    for (; *yes; yes++)
        if (!takes_string(&t, span_of(*yes))) fail_msg("'%s': refuses '%s'", said, *yes);
    for (; *no; no++)
        if (takes_string(&t, span_of(*no))) fail_msg("'%s': takes '%s'", said, *no);
    taker_close(&t);
    buf_close(&schema);
}
#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void spans(void **state)
{
    (void)state;
    check("remind me to call  Dr. Quux, at 22:10!",
          LIST("call Dr. Quux", "call Dr. Quux,", "call", "22:10", "22:10!", "Dr", "all",
               "remind me to call Dr. Quux, at 22:10!"),
          LIST("", " ", "call ", " call", "cal", "call Dr Quux", "call Quux", "22:1", "ALL", "10",
               "call  Dr. Quux", "at 22:10! at"));
    check("note: \"buy (dark) bread\" and 'salt'",
          LIST("buy", "buy (dark) bread", "buy (dark) bread\"", "dark", "dark)", "bread", "salt",
               "buy (dark", "note: \"buy"),
          LIST("\"buy", "(dark)", "'salt", "\"", "buy dark"));
    check("M\xc3\xbcller \xe2\x80\x9eGr\xc3\xbc\xc3\x9f\x65\xe2\x80\x9c \xe6\x98\x8e\xe6\x97\xa5",
          LIST("M\xc3\xbcller", "Gr\xc3\xbc\xc3\x9f\x65", "\xe6\x98\x8e\xe6\x97\xa5",
               "M\xc3\xbcller \xe2\x80\x9eGr\xc3\xbc\xc3\x9f\x65"),
          LIST("Muller", "M\xc3\xbc", "\xe6\x98\x8e", "\xe2\x80\x9eGr\xc3\xbc\xc3\x9f\x65"));
    check("open C:\\tmp\\x [a-z]+ .* ^$ a|b {2} \\d say\"so\"now",
          LIST("C:\\tmp\\x", "a-z]+ .*", "^$ a|b", ".*", "2", "\\d", "say\"so\"now",
               "2} \\d say\"so\"now"),
          LIST("C:tmpx", "a", "zz", "5", "b", "saysonow", "[a-z]+"));
    check("one\x01two three\x7f four\tfive\nsix", LIST("one", "two three", "four five six"),
          LIST("one two", "onetwo", "one\x01two", "three four", "three\x7f"));
    check("good \xff\xfe\x62\x61\x64 end", LIST("good", "end"), LIST("good end", "bad"));
    check("... ok - fine", LIST("...", "ok - fine", "-", "... ok"), LIST("..", "ok fine"));
}

static void nothing_said(void **state)
{
    (void)state;
    const Span blank[] = {SPAN(""), SPAN(" \n\t"), SPAN("\x01\x02"), SPAN("\"\"")};
    for (size_t i = 0; i <= 4; i++) {
        Buf schema = bind(open_schema, blank, i);
        assert_string_equal(schema.data, open_schema);
        Taker t = taker(&schema);
        assert_true(takes_string(&t, SPAN("anything at all")));
        taker_close(&t);
        buf_close(&schema);
    }
}

static void several_texts(void **state)
{
    (void)state;
    const Span said[] = {SPAN("add milk"), SPAN("and eggs please")};
    Buf schema = bind(open_schema, said, 2);
    Taker t = taker(&schema);
    assert_non_null(strstr(schema.data, "\"x-copied\": [\"add milk\",\"and eggs please\"],"));
    assert_true(takes_string(&t, SPAN("add milk")));
    assert_true(takes_string(&t, SPAN("eggs please")));
    assert_false(takes_string(&t, SPAN("milk and")));
    taker_close(&t);
    buf_close(&schema);
}

static void what_is_bound(void **state)
{
    (void)state;
    const Span said = SPAN("a b");
    const char *const same[] = {
        "[]", "{\"x-copied\": true}", "{\"type\": \"string\", \"x-copied\": false}",
        "{\"type\": \"object\", \"properties\": {\"x-copied\": true}}", "[\"x-copied\", true]"};
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        Buf out = bind(same[i], &said, 1);
        assert_string_equal(out.data, same[i]);
        buf_close(&out);
    }
    Buf out = bind("[{\"a\": {\"x-copied\" : true , \"type\": \"string\"}}, 5]", &said, 1);
    assert_string_equal(out.data,
                        "[{\"a\": {\"x-copied\" : [\"a b\"] , \"type\": \"string\"}}, 5]");
    buf_close(&out);
    bool bound;
    bt_error err;
    assert_int_equal(copied_bind(SPAN("[{"), &said, 1, &out, &bound, &err), BT_E_ARGUMENT);
    assert_false(bound);
    static const char *const refused[] = {
        "{\"type\": \"string\", \"x-copied\": [\"a\"], \"pattern\": \"a\"}",
        "{\"type\": \"string\", \"x-copied\": [\"a\"], \"format\": \"date\"}",
        "{\"x-copied\": [\"a\"], \"enum\": [\"a\"]}",
        "{\"not\": {\"x-copied\": [\"a\"]}, \"type\": \"string\"}",
        "{\"allOf\": [{\"type\": \"string\", \"x-copied\": [\"a\"]}, {\"x-copied\": [\"b\"]}]}"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_null(taker_compile(span_of(refused[i]), &err));
        assert_int_equal(err.status, BT_E_UNSUPPORTED);
        assert_non_null(strstr(err.text, "x-copied"));
    }
}

static void bounds(void **state)
{
    (void)state;
    Buf said = {0}, span = {0};
    for (int i = 0; i < 10000; i++) buf_printf(&said, "w%d, ", i);
    const Span text = {said.data, said.size};
    Buf schema = bind(open_schema, &text, 1);
    Taker t = taker(&schema);
    assert_true(schema.size < 1000);
    assert_true(takes_string(&t, SPAN("w9940")));
    assert_true(takes_string(&t, SPAN("w9999")));
    assert_false(takes_string(&t, SPAN("w9939")));
    for (int i = 0; i < COPIED_SPAN; i++) buf_printf(&span, "%sw%d,", i ? " " : "", 9950 + i);
    assert_true(takes_string(&t, (Span){span.data, span.size}));
    buf_printf(&span, " w%d", 9950 + COPIED_SPAN);
    assert_false(takes_string(&t, (Span){span.data, span.size}));
    taker_close(&t);
    buf_close(&schema);

    /* characters count, not bytes; a word beyond the limit begins nothing and joins nothing */
    buf_clear(&said);
    for (int i = 0; i < 201; i++) buf_text(&said, "\xc3\xbc");
    buf_text(&said, " short ");
    for (int i = 0; i < 100000; i++) buf_char(&said, 'x');
    schema = bind(open_schema, &(Span){said.data, said.size}, 1);
    t = taker(&schema);
    assert_true(schema.size < 1000);
    assert_true(takes_string(&t, SPAN("short")));
    assert_false(takes_string(&t, (Span){said.data, 402}));
    taker_close(&t);
    buf_close(&schema);
    schema = bind(open_schema, &(Span){said.data + 2, 400}, 1);
    t = taker(&schema);
    assert_true(takes_string(&t, (Span){said.data, 400}));
    taker_close(&t);
    buf_close(&schema);

    schema = bind("{\"type\": \"string\", \"x-copied\": true, \"minLength\": 3, \"maxLength\": 5}",
                  &SPAN("ab cd efghij"), 1);
    t = taker(&schema);
    assert_true(takes_string(&t, SPAN("ab cd")));
    assert_false(takes_string(&t, SPAN("ab")));
    assert_false(takes_string(&t, SPAN("efghij")));
    taker_close(&t);
    buf_close(&schema);
    buf_close(&said);
    buf_close(&span);
}

static void hostile(void **state)
{
    (void)state;
    static const char alphabet[] = "a\\\"'([{.,!?:)]}\x01\x7f\n \t\xc3\xbc\xe2\x80\x9c\xff\xf0$^*";
    uint32_t seed = 1;
    for (int round = 0; round < 300; round++) {
        Buf said = {0};
        for (int i = 0; i < 400; i++) {
            seed = seed * 1664525 + 1013904223;
            buf_char(&said, alphabet[(seed >> 16) % (sizeof alphabet - 1)]);
        }
        const Span text = {said.data, said.size};
        Buf schema = bind(open_schema, &text, 1);
        bt_error err;
        Grammar *g = taker_compile((Span){schema.data, schema.size}, &err);
        assert_true(g || err.status == BT_E_ARGUMENT); /* no text is short enough */
        grammar_close(&g);
        buf_close(&schema);
        buf_close(&said);
    }
}

static uint32_t member(const JsonTree *t, uint32_t node, const char *name)
{
    return json_tree_get(t, node, span_of(name));
}

/* The schema of the argument `text` of a tool, from tools that are bound. */
static Buf text_schema(Span tools, Span name)
{
    JsonTree t;
    Buf out = {0};
    assert_int_equal(json_tree_open(tools, 64, NULL, &t, NULL), BT_OK);
    for (uint32_t c = t.nodes[0].child; c; c = t.nodes[c].next) {
        uint32_t function = member(&t, c, "function");
        if (!span_equal(t.nodes[member(&t, function, "name")].text, name)) continue;
        uint32_t all = member(&t, member(&t, function, "parameters"), "properties");
        json_tree_write(&t, member(&t, all, "text"), &out);
    }
    json_tree_close(&t);
    return out;
}

/* Every text of the calls of one task; how many. */
static unsigned hold_task(const char *tools, Span line)
{
    JsonTree t;
    Span said[64];
    size_t n = 0;
    unsigned held = 0;
    assert_int_equal(json_tree_open(line, 64, NULL, &t, NULL), BT_OK);
    uint32_t list = member(&t, 0, "messages"), calls = member(&t, 0, "calls");
    for (uint32_t c = t.nodes[list].child; c && n < 64; c = t.nodes[c].next)
        if (span_is(t.nodes[member(&t, c, "role")].text, "user"))
            said[n++] = t.nodes[member(&t, c, "content")].text;
    Buf bound = bind(tools, said, n);
    for (uint32_t c = calls ? t.nodes[calls].child : 0; c; c = t.nodes[c].next) {
        uint32_t text = member(&t, member(&t, c, "arguments"), "text");
        if (!text) continue;
        Span name = t.nodes[member(&t, c, "name")].text;
        Buf schema = text_schema((Span){bound.data, bound.size}, name);
        assert_non_null(strstr(schema.data, "\"x-copied\":["));
        Taker with = taker(&schema);
        if (!takes_string(&with, t.nodes[text].text))
            fail_msg("%.*s: refuses '%.*s'", (int)line.size, line.data,
                     (int)t.nodes[text].text.size, t.nodes[text].text.data);
        taker_close(&with);
        buf_close(&schema);
        held++;
    }
    buf_close(&bound);
    json_tree_close(&t);
    return held;
}

static void test_set(void **state)
{
    (void)state;
    size_t size;
    char *tools = files_read(files_source("models.d/hatchling/tools.json"), &size);
    char *tasks = files_read(files_source("models.d/hatchling/dev.jsonl"), &size);
    unsigned held = 0;
    assert_true(tools && tasks);
    for (const char *at = tasks, *end; (end = strchr(at, '\n')); at = end + 1)
        held += hold_task(tools, (Span){at, (size_t)(end - at)});
    if (held < 90) fail_msg("only %u texts were held", held);
    free(tools);
    free(tasks);
}

static double milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void time_it_takes(void **state)
{
    (void)state;
    Buf said = {0};
    bt_error err;
    for (int i = 0; i < 60; i++) buf_printf(&said, "word%dx%s ", i * 7, i % 9 ? "" : ",");
    double start = milliseconds();
    Buf schema = bind(open_schema, &(Span){said.data, said.size}, 1);
    Grammar *g = taker_compile((Span){schema.data, schema.size}, &err);
    double took = milliseconds() - start;
    assert_non_null(g);
    printf("60 words: %.2f ms, %u states\n", took, g->n_states);
    assert_true(took < 50); /* about 1 ms; with sanitizers more */
    grammar_close(&g);
    buf_close(&schema);
    buf_close(&said);
}

static bt_status life(void *user, bt_error *err)
{
    const Span said = SPAN("buy \"dark\" bread, and salt");
    Buf out = {0};
    bool bound;
    Grammar *g = NULL;
    (void)user;
    bt_status status = copied_bind(span_of(open_schema), &said, 1, &out, &bound, err);
    if (!status) {
        g = taker_compile((Span){out.data, out.size}, err);
        status = err->status;
    }
    grammar_close(&g);
    buf_close(&out);
    return status;
}

static void out_of_memory(void **state)
{
    (void)state;
    assert_true(torture("copied words", life, NULL) > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans),         cmocka_unit_test(nothing_said),
        cmocka_unit_test(several_texts), cmocka_unit_test(what_is_bound),
        cmocka_unit_test(bounds),        cmocka_unit_test(hostile),
        cmocka_unit_test(test_set),      cmocka_unit_test(time_it_takes),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
