/* Answers taken apart: committed cases of our own (tests/data/answers), and, where golden templates
 * and python3 with jinja2 are there, what each released template writes for messages that
 * tests/support/answer_cases.py makes up: the parser must give content, reasoning and calls back.
 * Each text is cut in many ways, and the events must be the same; its beginnings and damaged
 * variants must lose nothing; and every allocation is made to fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "answer_read.h"
#include "support/golden.h"
#include "support/torture.h"
#include "text/json_scan.h"

#define MOST_LINE (1 << 16)

typedef struct Case {
    const char *name;
    json_t *root;
    AnswerSource source;
    const char *text;
    size_t size;
} Case;

static const char *field(const json_t *root, const char *key)
{
    const char *text = json_string_value(json_object_get(root, key));
    return text ? text : "";
}

static bool case_open(Case *c, const char *name, const char *line, Span jinja)
{
    json_error_t where;
    *c = (Case){.name = name, .root = json_loads(line, JSON_ALLOW_NUL, &where)};
    if (!c->root) fail_msg("%s: %s in %s", name, where.text, line);
    const AnswerForm *form = answer_form_of(jinja);
    const char *named = field(c->root, "form"), *tools = field(c->root, "tools");
    if (*named) form = answer_form_named(named);
    if (!form) fail_msg("%s: no form '%s'", name, named);
    c->source = (AnswerSource){.form = form,
                               .think = answer_think_of(form, jinja),
                               .tools = *tools ? tools : NULL,
                               .prompt = span_of(field(c->root, "prompt")),
                               .id_seed = 1};
    c->text = field(c->root, "text");
    c->size = json_string_length(json_object_get(c->root, "text"));
    return true;
}

static void check_whole(Case *c)
{
    Read read;
    json_t *want = json_pack("{s:O,s:O,s:O}", "content", json_object_get(c->root, "content"),
                             "reasoning", json_object_get(c->root, "reasoning"), "calls",
                             json_object_get(c->root, "calls"));
    assert_non_null(want);
    for (int whole = 0; whole < 2; whole++) {
        c->source.whole_calls = whole;
        read_answer(&c->source, c->text, c->size, NULL, 0, &read);
        assert_int_equal(read.status, BT_OK);
        json_t *got = read_json(&read);
        if (!got || !json_equal(got, want)) {
            char *expected = json_dumps(want, 0);
            fail_msg("%s (%s)\n--- text\n%s\n--- expected\n%s\n--- events%s\n---", c->name,
                     c->source.form->name, c->text, expected, read.all.data);
        }
        json_decref(got);
        read_close(&read);
    }
    json_decref(want);
}

static const size_t cut_sizes[][3] = {{1, 1, 1}, {2, 2, 2}, {3, 3, 3}, {1, 7, 2}, {5, 1, 11}};

/* Byte by byte, by twos and threes, and in two at every place. */
static void check_cuts(Case *c)
{
    const size_t(*sizes)[3] = cut_sizes, n_sizes = sizeof cut_sizes / sizeof *cut_sizes;
    Read whole, cut;
    for (int hold = 0; hold < 2; hold++) {
        c->source.whole_calls = hold;
        read_answer(&c->source, c->text, c->size, NULL, 0, &whole);
        for (size_t i = 0; i < n_sizes + c->size; i++) {
            size_t two[2] = {i - n_sizes + 1, c->size};
            if (i < n_sizes)
                read_answer(&c->source, c->text, c->size, sizes[i], 3, &cut);
            else
                read_answer(&c->source, c->text, c->size, two, 2, &cut);
            assert_int_equal(cut.status, BT_OK);
            if (strcmp(whole.all.data, cut.all.data) != 0)
                fail_msg("%s, cut %zu\n--- text\n%s\n--- at once%s\n--- cut%s\n---", c->name, i,
                         c->text, whole.all.data, cut.all.data);
            read_close(&cut);
        }
        read_close(&whole);
    }
}

/* Bytes that are no white space and occur in `part` occur in `whole`, in order. */
static bool within(const char *part, size_t n, const char *whole)
{
    for (size_t i = 0; i < n; i++) {
        if (json_is_space(part[i])) continue;
        whole = strchr(whole, part[i]);
        if (!whole) return false;
        whole++;
    }
    return true;
}

/* Every beginning of the text: each call is whole or given back as text, the text comes from it. */
static void check_beginnings(Case *c)
{
    c->source.whole_calls = true;
    for (size_t n = 0; n <= c->size; n++) {
        Read read;
        if (((unsigned char)c->text[n] & 0xC0) == 0x80) continue; /* inside a character */
        read_answer(&c->source, c->text, n, NULL, 0, &read);
        assert_int_equal(read.status, BT_OK);
        json_t *got = read_json(&read);
        if (!got && !json_is_true(json_object_get(c->root, "broken")))
            fail_msg("%s, first %zu bytes: a call is broken%s", c->name, n, read.all.data);
        json_decref(got);
        if (!within(read.text.data, read.text.size, c->text))
            fail_msg("%s, first %zu bytes: text of its own%s", c->name, n, read.all.data);
        read_close(&read);
    }
}

/* ---- cases of our own ---- */

typedef void CaseCheck(Case *c);

static int each_case(FILE *in, const char *name, Span jinja, CaseCheck *const *checks, size_t n)
{
    static char line[MOST_LINE];
    int count = 0;
    while (fgets(line, sizeof line, in)) {
        Case c;
        char label[160];
        if (*line == '\n' || *line == '#') continue;
        count++;
        snprintf(label, sizeof label, "%s, case %d", name, count);
        case_open(&c, label, line, jinja);
        for (size_t i = 0; i < n; i++) checks[i](&c);
        json_decref(c.root);
    }
    return count;
}

static FILE *own_cases(void)
{
    char path[4096];
    const char *root = getenv("BANTAM_SOURCE");
    snprintf(path, sizeof path, "%s/tests/data/answers/cases.jsonl", root ? root : ".");
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    return in;
}

static void own_cases_are_read(void **state)
{
    (void)state;
    static CaseCheck *const checks[] = {check_whole, check_cuts, check_beginnings};
    FILE *in = own_cases();
    int n = each_case(in, "cases.jsonl", (Span){"", 0}, checks, 3);
    fclose(in);
    assert_true(n >= 60);
}

static bt_status answer_life(void *user, bt_error *err)
{
    Case *c = user;
    Answer *a = NULL;
    bt_status status = answer_open(&c->source, &a, err);
    if (!status) status = torture_bare(answer_add(a, c->text, c->size), err);
    if (!status) status = torture_bare(answer_end(a), err);
    answer_close(&a);
    return status;
}

static void torture_case(Case *c)
{
    Read read;
    torture("an answer", answer_life, c);
    read_answer(&c->source, c->text, c->size, NULL, 0, &read);
    read_close(&read);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    static CaseCheck *const checks[] = {torture_case};
    FILE *in = own_cases();
    each_case(in, "cases.jsonl", (Span){"", 0}, checks, 1);
    fclose(in);
}

/* ---- released templates ---- */

static Buf read_file(const char *path)
{
    Buf text = {0};
    char block[4096];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    for (size_t n; (n = fread(block, 1, sizeof block, file));) buf_add(&text, block, n);
    fclose(file);
    return text;
}

/* As check_cuts, without the cuts in two at every place: there are many answers. */
static void check_some_cuts(Case *c)
{
    Read whole, cut;
    read_answer(&c->source, c->text, c->size, NULL, 0, &whole);
    for (size_t i = 0; i < sizeof cut_sizes / sizeof *cut_sizes; i++) {
        read_answer(&c->source, c->text, c->size, cut_sizes[i], 3, &cut);
        assert_string_equal(whole.all.data, cut.all.data);
        read_close(&cut);
    }
    read_close(&whole);
}

static void released_templates_come_back(void **state)
{
    (void)state;
    static char line[MOST_LINE];
    char command[9000], label[4200], last[4096] = "";
    const char *folder = golden_path("templates"), *root = getenv("BANTAM_SOURCE");
    int templates = 0, cases = 0;
    Buf jinja = {0};
    if (!folder) skip();
    snprintf(command, sizeof command, "python3 '%s/tests/support/answer_cases.py' '%s'",
             root ? root : ".", folder);
    FILE *in = popen(command, "r");
    assert_non_null(in);
    while (fgets(line, sizeof line, in)) {
        Case c;
        json_t *root_of = json_loads(line, JSON_ALLOW_NUL, NULL);
        if (strcmp(field(root_of, "template"), last) != 0) {
            snprintf(last, sizeof last, "%s", field(root_of, "template"));
            buf_close(&jinja);
            jinja = read_file(last);
            templates++;
        }
        json_decref(root_of);
        snprintf(label, sizeof label, "%s, answer %d", strrchr(last, '/'), ++cases);
        case_open(&c, label, line, (Span){jinja.data, jinja.size});
        check_whole(&c);
        check_some_cuts(&c);
        json_decref(c.root);
    }
    buf_close(&jinja);
    int status = pclose(in);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) skip(); /* no jinja2 here */
    assert_int_equal(status, 0);
    print_message("%d templates, %d answers\n", templates, cases);
    assert_true(templates >= 60);
}

/* Every form that has thoughts can be made to end one and go on to the answer. */
static void thoughts_are_ended(void **state)
{
    (void)state;
    int n = 0;
    for (size_t i = 0; answer_form_at(i); i++) {
        AnswerSource source = {.form = answer_form_at(i), .id_seed = 1};
        const AnswerHeader *h = &source.form->header;
        Answer *a;
        Buf begin = {0}, end = {0}, thought = {0}, said = {0};
        bt_answer_event e;
        source.think = answer_think_of(source.form, (Span){"", 0});
        assert_int_equal(answer_open(&source, &a, NULL), BT_OK);
        answer_thought_end(a, &end);
        if (h->close && h->thinks)
            buf_printf(&begin, "%s%s%s%s", h->open[0], h->role ? h->role : "", h->thinks, h->close);
        else
            buf_printf(&begin, "%s\n", source.think.open);
        if (end.size) {
            buf_text(&begin, "hm");
            for (size_t k = 0; k < 3; k++) {
                const Buf parts[] = {begin, end, {.data = "Hello", .size = 5}};
                assert_int_equal(answer_add(a, parts[k].data, parts[k].size), BT_OK);
                if (k == 0 && !answer_thinking(a)) fail_msg("%s", source.form->name);
                if (k == 1) assert_false(answer_thinking(a));
                while (answer_next(a, &e))
                    buf_add(e.kind == BT_ANSWER_REASONING ? &thought : &said, e.text, e.length);
            }
            assert_string_equal(thought.data, "hm");
            assert_string_equal(said.data, "Hello");
            n++;
        }
        answer_close(&a);
        buf_close(&begin);
        buf_close(&end);
        buf_close(&thought);
        buf_close(&said);
    }
    assert_true(n > 20);
}

/* Where no tools were offered nothing is a call, and nothing is lost. */
static void calls_may_be_text(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"hermes", "so <tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call> it is", NULL},
        {"mistral", "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {}}]", NULL},
        {"llama3", "<|python_tag|>{\"name\": \"f\", \"parameters\": {}}", NULL},
        {"harmony", "<|channel|>commentary to=functions.f<|message|>{}<|call|>", "{}"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const AnswerSource source = {.form = answer_form_named(rows[i][0]), .id_seed = 1};
        Answer *a;
        bt_answer_event e;
        Buf said = {0};
        assert_non_null(source.form);
        assert_int_equal(answer_open(&source, &a, NULL), BT_OK);
        answer_ignore_calls(a);
        assert_int_equal(answer_add(a, rows[i][1], strlen(rows[i][1])), BT_OK);
        for (int end = 0; end < 2; end++) {
            while (answer_next(a, &e)) {
                assert_int_equal(e.kind, BT_ANSWER_TEXT);
                buf_add(&said, e.text, e.length);
            }
            if (!end) assert_int_equal(answer_end(a), BT_OK);
        }
        assert_string_equal(said.data, rows[i][2] ? rows[i][2] : rows[i][1]);
        answer_close(&a);
        buf_close(&said);
    }
}

/* What an object says that breaks off. */
static void begun_values_are_closed(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } rows[] = {{"{", "{}"},
                {"{\"a", "{}"},
                {"{\"a\":", "{}"},
                {"{\"a\": \"b, c", "{}"},
                {"{\"a\": \"b\"", "{\"a\": \"b\"}"},
                {"{\"a\": 12", "{}"},
                {"{\"a\": 12,", "{\"a\": 12}"},
                {"{\"a\": 12, \"b\": [tr", "{\"a\": 12, \"b\": []}"},
                {"{\"a\": {\"b\": [1, {\"c\": null", "{\"a\": {\"b\": [1, {\"c\": null}]}}"},
                {"{\"a\": [[1], [2", "{\"a\": [[1], []]}"},
                {"{\"a\": 1} x", "{\"a\": 1}"},
                {"{\"a\": 1, ?", "{\"a\": 1}"}};
    static const char whole[] = "{\"k\": [1, -2.5e3, {\"x\": \"\\u00e9\\ud83d\\ude00,}\", \"y\": "
                                "[true, null, []]}], \"z\": {}}";
    Buf out = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_clear(&out);
        assert_true(json_scan_begun((Span){rows[i].text, strlen(rows[i].text)}, &out));
        assert_string_equal(out.data, rows[i].says);
    }
    for (size_t n = 1; n < sizeof whole; n++) {
        buf_clear(&out);
        assert_true(json_scan_begun((Span){whole, n}, &out));
        if (!json_scan_whole((Span){out.data, out.size}, NULL)) fail_msg("%s", out.data);
    }
    assert_string_equal(out.data, whole);
    buf_clear(&out);
    assert_false(json_scan_begun(SPAN("\"text"), &out));
    assert_int_equal(out.size, 0);
    buf_close(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thoughts_are_ended),           cmocka_unit_test(own_cases_are_read),
        cmocka_unit_test(calls_may_be_text),
        cmocka_unit_test(begun_values_are_closed),      cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(released_templates_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
