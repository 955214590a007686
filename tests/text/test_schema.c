/* JSON Schema: texts that are taken and refused (tests/data/schemas.json, on which the Python
 * package jsonschema agreed; made by tests/clients/compare_schemas.py --write), messages, white
 * space, escapes, the exactness of bounds number by number, hostile schemas in time, and every
 * allocation failing once. */
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
#include "text/json_tree.h"
#include "text/schema.h"

static unsigned hold_row(const JsonTree *t, uint32_t row)
{
    static const char *const words[] = {"yes", "no"};
    Buf schema = {0};
    unsigned held = 0;
    bt_error err;
    uint32_t says = json_tree_get(t, row, SPAN("says"));
    json_tree_write(t, json_tree_get(t, row, SPAN("schema")), &schema);
    if (says) {
        char what[256];
        Grammar *g = taker_compile((Span){schema.data, schema.size}, &err);
        snprintf(what, sizeof what, "%.*s", (int)t->nodes[says].text.size,
                 t->nodes[says].text.data);
        if (g || !strstr(err.text, what)) fail_msg("%s: \"%s\"", schema.data, err.text);
        buf_close(&schema);
        return 1;
    }
    Taker with = taker_open((Span){schema.data, schema.size});
    for (int no = 0; no < 2; no++) {
        uint32_t list = json_tree_get(t, row, span_of(words[no]));
        for (uint32_t c = t->nodes[list].child; c; c = t->nodes[c].next, held++)
            if (takes(&with, t->nodes[c].text) == no)
                fail_msg("%s %s %.*s", schema.data, no ? "takes" : "refuses",
                         (int)t->nodes[c].text.size, t->nodes[c].text.data);
    }
    taker_close(&with);
    buf_close(&schema);
    return held;
}

static void table(void **state)
{
    (void)state;
    size_t size;
    JsonTree t;
    bt_error err;
    unsigned held = 0;
    char *text = files_read(files_source("tests/data/schemas.json"), &size);
    assert_non_null(text);
    if (json_tree_open((Span){text, size}, 200, NULL, &t, &err) != BT_OK) fail_msg("%s", err.text);
    for (uint32_t row = t.nodes[0].child; row; row = t.nodes[row].next) held += hold_row(&t, row);
    assert_in_range(held, 600, 100000);
    json_tree_close(&t);
    free(text);
}

static void by_hand(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *yes[9], *no[9];
    } rows[] = {
        {"{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{}}}",
         {"{}", "{ }", "{\n  \"a\": 1,\n  \"b\": 2\n}", "{\"a\":1, \"b\":2}", "{\"b\":[]}"},
         {"{\"b\":1,\"a\":2}", "{  }", "{\"a\" :1}", "{\"a\":1 ,\"b\":2}", "{\"a\":1,}",
          "{\"c\":1}", "{\"a\":1,\"a\":2}", " {}"}},
        {"{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}",
         {"[]", "[1,2]", "[1, 2]", "[ 1,\n\t2 ]"},
         {"[1 ,2]", "[1,,2]", "[01]", "[1.0]", "[-0]", "[1"}},
        {"{\"type\":\"string\"}",
         {"\"\"", "\"\\u00e9\\n\\/\"", "\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"", "\"\\uFFFD\""},
         {"\"\\u0000\"", "\"\\ud83d\"", "\"\\ude00\"", "\"\\ud83dx\"", "\"\\x41\"", "\"\n\"",
          "\"\xff\"", "\"\xed\xa0\x80\""}},
        {"{\"type\":\"string\",\"maxLength\":1}",
         {"\"\"", "\"\\u00e9\"", "\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"", "\"\\n\""},
         {"\"ab\"", "\"\\n\\n\"", "\"\xc3\xa9x\""}},
        {"{\"type\":\"number\"}",
         {"0", "-0", "1.5", "-12e3", "1E+20", "0.000001", "123456789012345678"},
         {"01", "1.", ".5", "+1", "1e", "1e100", "NaN", "1234567890123456789"}},
        {"{\"const\":\"a\\/\\u0041\\n\"}", {"\"a/A\\n\""}, {"\"a\\/A\\n\"", "\"a/A\n\""}},
        {"{\"additionalProperties\":{\"type\":\"null\"},\"properties\":{\"n\":{\"type\":\"null\"}}"
         "}",
         {"{\"n\":null}", "{\"m\":null}", "{\"nn\":null}", "{\"n\":null,\"\":null,\"x\\\"\":null}"},
         {"{\"\\u006e\":null}", "{\"m\":null,\"n\":null}", "{\"n\":null,\"n\":null}"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        Taker t = taker_open(span_of(rows[i].schema));
        for (int k = 0; k < 9 && rows[i].yes[k]; k++)
            if (!takes(&t, span_of(rows[i].yes[k])))
                fail_msg("%s refuses %s", rows[i].schema, rows[i].yes[k]);
        for (int k = 0; k < 9 && rows[i].no[k]; k++)
            if (takes(&t, span_of(rows[i].no[k])))
                fail_msg("%s takes %s", rows[i].schema, rows[i].no[k]);
        taker_close(&t);
    }
}

/* Thousandths from -12 to 12 against bounds in thousandths: counted, not rounded. */
static void bounds_are_exact(void **state)
{
    (void)state;
    static const int bounds[][2] = {{-1500, 2250},  {0, 1},    {-7, -7}, {100, 9999},
                                    {-10001, -999}, {5, 5000}, {-1, 1},  {9990, 11000}};
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++)
        for (int strict = 0; strict < 2; strict++) {
            char schema[160], number[32];
            int low = bounds[i][0], high = bounds[i][1];
            snprintf(schema, sizeof schema, "{\"type\":\"number\",\"%s\":%de-3,\"%s\":%d.0E-3}",
                     strict ? "exclusiveMinimum" : "minimum", low,
                     strict ? "exclusiveMaximum" : "maximum", high);
            bt_error err;
            Grammar *g = taker_compile(span_of(schema), &err);
            if (!g) {
                assert_true(strict && high - low <= 1);
                continue;
            }
            grammar_close(&g);
            Taker t = taker_open(span_of(schema));
            for (int v = -12000; v <= 12000; v++) {
                bool inside = strict ? v > low && v < high : v >= low && v <= high;
                snprintf(number, sizeof number, "%s%d.%03d", v < 0 ? "-" : "", abs(v) / 1000,
                         abs(v) % 1000);
                if (takes(&t, span_of(number)) != inside) fail_msg("%s: %s", schema, number);
            }
            taker_close(&t);
        }
}

static void integers_are_exact(void **state)
{
    (void)state;
    static const int bounds[][2] = {{-120, 345}, {0, 9},    {7, 7},
                                    {-1, 1000},  {99, 101}, {-5000, -10}};
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        char schema[96], number[16];
        snprintf(schema, sizeof schema, "{\"type\":\"integer\",\"minimum\":%d,\"maximum\":%d}",
                 bounds[i][0], bounds[i][1]);
        Taker t = taker_open(span_of(schema));
        for (int v = -6000; v <= 6000; v++) {
            snprintf(number, sizeof number, "%d", v);
            assert_int_equal(takes(&t, span_of(number)), v >= bounds[i][0] && v <= bounds[i][1]);
        }
        taker_close(&t);
    }
}

/* ---- hostile schemas ----------------------------------------------------------- */

static void answered_soon(const char *what, Buf *schema)
{
    struct timespec a, z;
    bt_error err;
    assert_false(schema->failed);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
    Grammar *g = taker_compile((Span){schema->data, schema->size}, &err);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &z);
    double took = (double)(z.tv_sec - a.tv_sec) + (double)(z.tv_nsec - a.tv_nsec) * 1e-9;
    assert_true(g || err.text[0]);
    grammar_close(&g);
    double most = 2;
#ifdef BANTAM_SANITIZED
    most = 30;
#endif
    if (getenv("BANTAM_EMULATED")) most = 30;
    if (took > most) fail_msg("%s took %.2f s", what, took);
    buf_clear(schema);
}

static void overlapping(Buf *b, int kind, int n)
{
    if (kind == 0)
        buf_printf(b,
                   ",{\"properties\":{\"p%d\":{\"minLength\":%d},\"q\":{\"maxLength\":%d}},"
                   "\"type\":\"object\"}",
                   n, n + 3, n + 7);
    else if (kind == 1)
        buf_printf(b,
                   ",{\"properties\":{\"p\":{\"enum\":[%d,%d,%d]},\"q\":{\"type\":\"null\"}},"
                   "\"additionalProperties\":false}",
                   n, n + 3, n + 7);
    else if (kind == 2)
        buf_printf(b, ",{\"type\":\"string\",\"pattern\":\"^a{%d}|b{%d}\"}", n, n + 3);
    else
        buf_printf(b, ",{\"type\":\"number\",\"not\":{\"enum\":[%d,%d,\"x\"]}}", n, n + 3);
}

static void hostile(void **state)
{
    (void)state;
    Buf b = {0};
    for (int i = 0; i < 20000; i++) buf_text(&b, "{\"items\":");
    answered_soon("20,000 deep", &b);
    buf_text(&b, "{\"pattern\":\"");
    for (int i = 0; i < 50000; i++) buf_char(&b, '(');
    buf_text(&b, "\"}");
    answered_soon("50,000 (", &b);
    buf_text(&b, "{\"enum\":[0");
    for (int i = 0; i < 9000; i++) buf_printf(&b, ",\"value %d\"", i * 7919);
    buf_text(&b, "]}");
    answered_soon("9,000 values", &b);
    buf_text(&b, "{\"allOf\":[true");
    for (int i = 0; i < 30; i++)
        buf_printf(&b, ",{\"anyOf\":[{\"minimum\":%d},{\"maximum\":%d}]}", i, 1000 + i);
    buf_text(&b, "]}");
    answered_soon("2^30 branches", &b);
    buf_text(&b, "{\"properties\":{\"\":true");
    for (int i = 0; i < 2000; i++)
        buf_printf(&b, ",\"d%d\":{\"format\":\"date-time\",\"maxLength\":%d}", i, 20 + i);
    buf_text(&b, "}}");
    answered_soon("2,000 different dates", &b);
    static const char *const patterns[] = {"a.{60}b", "(a|b)*a(a|b){25}$",
                                           "^((a{1,1000}){1,1000}){1,1000}$",
                                           "^(a{1,1000}b?){1,1000}$"};
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        buf_printf(&b, "{\"pattern\":\"%s\"}", patterns[i]);
        answered_soon(patterns[i], &b);
    }
    for (int kind = 0; kind < 4; kind++) {
        buf_text(&b, "{\"oneOf\":[{\"type\":\"null\"}");
        for (int n = 0; n < 250; n++) overlapping(&b, kind, n);
        buf_text(&b, "]}");
        answered_soon("250 branches that overlap", &b);
    }
    buf_text(&b, "{\"maxItems\":999999999,\"items\":{\"maxLength\":999999999}}");
    answered_soon("long counts", &b);
    buf_close(&b);
}

static bt_status life(void *user, bt_error *err)
{
    (void)user;
    static const char schema[] =
        "{\"$defs\":{\"x~y\":{\"type\":\"number\",\"minimum\":-1.25}},\"properties\":{\"a\":{"
        "\"pattern\":"
        "\"^(?!b)[a-c]{1,3}x?|\\\\d$\",\"maxLength\":5},\"b\":{\"anyOf\":[{\"$ref\":\"#/$defs/"
        "x~0y\"},{"
        "\"enum\":[1,\"z\"]}]},\"c\":{\"prefixItems\":[{\"const\":null}],\"items\":{\"$ref\":\"#\"}"
        "}},"
        "\"required\":[\"a\"],\"additionalProperties\":{\"maxLength\":99},\"propertyNames\":{"
        "\"maxLength\":3},\"allOf\":[{\"oneOf\":[{\"required\":[\"b\"],\"properties\":{\"b\":{"
        "\"const\":1}"
        "}},{\"required\":[\"b\"],\"properties\":{\"b\":{\"const\":\"z\"}}}],\"type\":\"object\"},{"
        "\"oneOf\":[{\"properties\":{\"a\":{\"pattern\":"
        "\"c\"}}},{\"properties\":{\"b\":{\"enum\":[1,2.5,\"x\"]},\"c\":{\"maxItems\":2,\"items\":"
        "{\"type\":\"integer\"}}},\"additionalProperties\":false},{\"not\":{\"required\":[\"c\"]}}]"
        "}]}";
    Grammar *g = taker_compile(span_of(schema), err);
    bt_status status = g ? BT_OK : err->status;
    grammar_close(&g);
    return status;
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    assert_true(torture("a schema", life, NULL) > 150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(by_hand),
        cmocka_unit_test(bounds_are_exact),
        cmocka_unit_test(integers_are_exact),
        cmocka_unit_test(hostile),
        cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
