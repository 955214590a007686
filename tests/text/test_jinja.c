/* The template language against jinja2: small templates with jinja2's answers committed beside them
 * (tests/support/jinja_cases.py --snippets), and, where golden templates and python3 with jinja2
 * are there, every released template over a matrix of conversations. Then hostile templates, which
 * must fail in milliseconds, damaged ones, whose words the text is, and no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "base/os.h"
#include "support/draw.h"
#include "support/files.h"
#include "support/torture.h"
#include "text/jinja.h"

#define NOW 1795251907 /* 21 Nov 2026, 09:05:07 */

static const char *const own[] = {"bos_token", "eos_token", NULL};

/* ---- against jinja2 ---- */

static char *read_item(FILE *in, char word[16], size_t *size)
{
    unsigned long n;
    if (fscanf(in, "%15s %lu", word, &n) != 2 || fgetc(in) != '\n') return NULL;
    char *text = malloc(n + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, n, in), n);
    text[n] = '\0';
    assert_int_equal(fgetc(in), '\n');
    *size = n;
    return text;
}

typedef struct Against {
    json_t *contexts; /* an array */
    JinjaTemplate *t;
    char *name; /* and its source behind a newline */
    bt_status compiled;
    bt_error why;
    size_t at;
    int cases, templates;
} Against;

/* Our words without "template line 1, column 2: ". */
static const char *words(bt_status status, const bt_error *err)
{
    const char *colon = strstr(err->text, ": ");
    return status != BT_E_ARGUMENT && colon ? colon + 2 : err->text;
}

static void compare(Against *a, const char *word, const char *want, size_t size)
{
    Buf out = {0};
    bt_error err = a->why;
    bt_status status = a->compiled;
    const json_t *context = json_array_get(a->contexts, a->at);
    JinjaInput input = {.context = context, .own = own, .now = NOW};
    if (!status) status = jinja_render(a->t, &input, &out, NULL, &err);
    const char *got = !status ? "text" : status == BT_E_ARGUMENT ? "raise" : "error";
    const char *text = status ? words(status, &err) : out.data;
    bool same = strcmp(got, word) == 0;
    if (status == BT_E_LIMIT && strncmp(want, "maximum recursion", 17) == 0)
        same = true; /* each stops an endless recursion where it must */
    else if (same && status)
        same = strncmp(text, want, 900) == 0;
    else if (same)
        same = out.size == size && memcmp(text, want, size) == 0;
    if (!same)
        fail_msg("%s, context %zu\n--- jinja2: %s\n%s\n--- ours: %s\n%s\n---", a->name, a->at, word,
                 want, got, text);
    buf_close(&out);
    a->cases++;
}

/* Holds us against a stream of jinja_cases.py. */
static Against against(FILE *in)
{
    Against a = {.contexts = json_array()};
    char word[16], *item;
    size_t size;
    while ((item = read_item(in, word, &size))) {
        if (strcmp(word, "context") == 0) {
            json_t *context = json_loadb(item, size, 0, NULL);
            assert_non_null(context);
            json_array_append_new(a.contexts, context);
        } else if (strcmp(word, "template") == 0) {
            char *source = strchr(item, '\n') + 1;
            jinja_close(&a.t);
            free(a.name);
            a.name = item;
            Span span = {source, size - (size_t)(source - item)};
            a.compiled = jinja_compile(span, &a.t, &a.why);
            a.templates++;
            continue; /* kept as the name */
        } else if (strcmp(word, "case") == 0) {
            a.at = strtoul(item, NULL, 10);
        } else if (strcmp(word, "broken") == 0) {
            if (!a.compiled) fail_msg("%s\ntaken, but jinja2 says: %s", a.name, item);
            a.cases++;
        } else {
            compare(&a, word, item, size);
        }
        free(item);
    }
    jinja_close(&a.t);
    free(a.name);
    json_decref(a.contexts);
    return a;
}

static void snippets_render_as_jinja2(void **state)
{
    (void)state;
    FILE *in = fopen(files_source("tests/data/jinja/snippets.cases"), "rb");
    assert_non_null(in);
    Against a = against(in);
    fclose(in);
    assert_true(a.templates > 200 && a.cases == a.templates);
}

static void released_templates_render_as_jinja2(void **state)
{
    (void)state;
    char command[16384], script[4096], root[4096];
    const char *golden = getenv("BANTAM_GOLDEN");
    snprintf(root, sizeof root, "%s", files_source("../shared/golden"));
    snprintf(script, sizeof script, "%s", files_source("tests/support/jinja_cases.py"));
    snprintf(command, sizeof command, "ls '%s'/templates/*.jinja 2>/dev/null | wc -l",
             golden ? golden : root);
    FILE *list = popen(command, "r");
    int n = 0;
    assert_non_null(list);
    if (fscanf(list, "%d", &n) != 1) n = 0;
    pclose(list);
    if (!n) {
        print_message("# skipped: no golden templates\n");
        skip();
    }
    snprintf(command, sizeof command, "python3 '%s' '%s'/templates/*.jinja 2>/dev/null", script,
             golden ? golden : root);
    FILE *in = popen(command, "r");
    assert_non_null(in);
    Against a = against(in);
    int code = pclose(in);
    if (code != 0 && a.cases == 0) {
        print_message("# skipped: python3 with jinja2 is missing\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(code), 0);
    assert_int_equal(a.templates, n);
    print_message("# %d templates, %d conversations equal\n", a.templates, a.cases);
}

/* ---- hostile templates ---- */

/* Compiles and renders; what comes of it, and in how many seconds. */
static bt_status run(const char *source, size_t n, const JinjaLimits *limits, Buf *out,
                     bt_error *err)
{
    JinjaTemplate *t;
    json_t *context = json_pack("{s:[{s:s,s:s}]}", "messages", "role", "user", "content", "hi");
    JinjaInput input = {.context = context, .own = own, .now = NOW};
    if (limits) input.limits = *limits;
    bt_status status = jinja_compile((Span){source, n}, &t, err);
    if (!status) status = jinja_render(t, &input, out, NULL, err);
    jinja_close(&t);
    json_decref(context);
    return status;
}

static void hostile(const char *what, const char *source, size_t n, bt_status want)
{
    double second = getenv("BANTAM_EMULATED") ? 30 : 1;
    /* What the engine allows a template while a model loads. */
    JinjaLimits limits = {
        .steps = 500000, .memory = 64u << 20, .output = 1000000, .seconds = second};
    Buf out = {0};
    bt_error err;
    double begun = (double)clock() / CLOCKS_PER_SEC;
    bt_status status = run(source, n, &limits, &out, &err);
    double took = (double)clock() / CLOCKS_PER_SEC - begun;
    if (status != want) fail_msg("%s: %d, %s", what, status, status ? err.text : "no error");
    if (status && !strstr(err.text, "template line")) fail_msg("%s: %s", what, err.text);
#ifndef BANTAM_SANITIZED
    if (took > second / 2) fail_msg("%s took %.3f s", what, took);
#endif
    buf_close(&out);
}

static void deep(const char *open, const char *middle, const char *close, size_t n, bt_status want)
{
    Buf text = {0};
    for (size_t i = 0; i < n; i++) buf_text(&text, open);
    buf_text(&text, middle);
    for (size_t i = 0; i < n; i++) buf_text(&text, close);
    hostile(open, text.data, text.size, want);
    buf_close(&text);
}

static void hostile_templates_fail_fast(void **state)
{
    (void)state;
    static const char *const limited[] = {
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
        "{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}"
        "{% call m() %}x{% endcall %}",
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% for a in range(10000000000) %}{% endfor %}",
        "{{ 'x' * 10000000000 }}",
        "{{ [1] * 10000000000 }}",
        "{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(100000) %}"
        "{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(100000) %}"
        "{% set ns.l = ns.l + ns.l %}{% endfor %}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}"
        "{% endfor %}{{ ns.l }}",
        "{% for i in range(100000) %}{{ 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' }}{% endfor %}",
        "{% set s = 'a' * 1000000 %}{% for i in range(1000) %}{{ s.find('b') }}{% endfor %}",
        "{% set s = 'a' * 1000000 %}{{ s.count('a' * 500000 ~ 'b') }}",
        "{% set s = 'a' * 500000 %}{{ s.replace('a', s) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ 'x'.center(1000000000) }}",
        "{{ 10 ** 100 }}",
        "{{ 9223372036854775807 + 1 }}",
        "{{ 9223372036854775808 }}",
        "{{ (-9223372036854775807 - 1) // -1 }}",
        "{% set d = {} %}{% for i in range(100000) %}{% for j in range(100) %}{{ d|tojson }}"
        "{% endfor %}{% endfor %}",
        "{% set l = range(100000)|list %}{% for i in l %}{% if -1 in l %}{% endif %}{% endfor %}",
        "{% set l = range(100000)|list %}{% for i in l %}{% set m = l|sort %}{% endfor %}",
        "{% set s = 'a b ' * 100000 %}{% for i in range(10000) %}{% set m = s.split() %}{% endfor "
        "%}",
    };
    for (size_t i = 0; i < sizeof limited / sizeof *limited; i++) {
        bt_status want = strstr(limited[i], "9223372036854775808 }") ? BT_E_FORMAT : BT_E_LIMIT;
        hostile(limited[i], limited[i], strlen(limited[i]), want);
    }
    deep("{{ ", "1", " }}", 1, BT_OK);
    deep("(", "1", ")", 6000, BT_OK); /* text */
    Buf text = {0};
    buf_text(&text, "{{ ");
    for (int i = 0; i < 6000; i++) buf_char(&text, '(');
    hostile("6,000 parentheses", text.data, text.size, BT_E_LIMIT);
    buf_close(&text);
    deep("{% if 1 %}", "x", "{% endif %}", 6000, BT_E_LIMIT);
    deep("{% for x in [1] %}", "x", "{% endfor %}", 6000, BT_E_LIMIT);
    deep("{{ not ", "1", "", 100000, BT_E_LIMIT);
    deep("{% macro m() %}", "x", "{% endmacro %}", 6000, BT_E_LIMIT);
}

static void many(const char *head, const char *part, const char *tail, size_t n, bt_status want)
{
    Buf text = {0};
    buf_text(&text, head);
    for (size_t i = 0; i < n; i++) buf_text(&text, part);
    buf_text(&text, tail);
    hostile(part, text.data, text.size, want);
    buf_close(&text);
}

static void long_templates_are_bounded(void **state)
{
    (void)state;
    many("{{ 1", " if 1 else 1", " }}", 80000, BT_E_LIMIT);
    many("{{ 1", " if 1", " }}", 150000, BT_E_LIMIT);
    many("{{ 1", " + 1", " }}", 200000, BT_OK);
    many("{{ 1", " and 1", " }}", 150000, BT_OK);
    many("{{ 1", " < 1", " }}", 200000, BT_OK);
    many("{{ ", "not ", "1 }}", 200000, BT_E_LIMIT);
    many("{{ ", "-", "1 }}", 500000, BT_E_LIMIT);
    many("{{ [", "1,", "] }}", 100000, BT_OK);
    many("{{ 'x'", "|trim", " }}", 150000, BT_OK);
    many("{{ 'x'", ".strip()", " }}", 100000, BT_OK);
    many("{{ 1", " is string", " }}", 80000, BT_OK);
    many("", "{# c #}", "", 140000, BT_OK);
    many("", "{% set a = 1 %}", "", 60000, BT_OK);
    many("", "{% macro m() %}{% endmacro %}", "", 30000, BT_OK);
    many("", "{% if 1 %}", "", 100000, BT_E_LIMIT);
    many("{% if 1 %}", "{% elif 1 %}", "{% endif %}", 80000, BT_OK);
    many("", "{% raw %}", "", 100000, BT_E_FORMAT);
    many("", "{", "", 1000000, BT_E_LIMIT);
    many("", "x", "", 1100000, BT_E_LIMIT);
    many("{{ '", "\\n", "' }}", 500000, BT_OK);
    many("{% set ", "a,", "b = 1 %}", 300000, BT_E_LIMIT);
    many("{{ {", "1:1,", "} }}", 100000, BT_OK);
}

/* Nothing to compare with: it must end, within bounds (sanitizers look on). */
static void damaged_templates_do_no_harm(void **state)
{
    (void)state;
    static const char signs[] = "{}%#-'\"\\\n ()[]|.,:=~*if";
    JinjaLimits limits = {.steps = 50000, .memory = 8u << 20, .output = 100000, .seconds = 1};
    char line[8192];
    FILE *in = fopen(files_source("tests/support/jinja_snippets.txt"), "rb");
    assert_non_null(in);
    while (fgets(line, sizeof line, in)) {
        size_t n = strcspn(line, "\n");
        if (line[0] == '#' || !n) continue;
        for (int round = 0; round < 40; round++) {
            size_t size = draw_bits() % 2 ? n : draw_bits() % n;
            char *exact = malloc(size ? size : 1); /* a read past it is seen */
            bt_error err;
            Buf out = {0};
            memcpy(exact, line, size);
            for (int k = (int)(draw_bits() % 5); k > 0 && size; k--)
                exact[draw_bits() % size] =
                    draw_bits() % 4 ? signs[draw_bits() % (sizeof signs - 1)] : (char)draw_bits();
            run(exact, size, &limits, &out, &err);
            buf_close(&out);
            free(exact);
        }
    }
    fclose(in);
}

/* ---- whose words ---- */

static void parts_of(const char *source, const char *want)
{
    JinjaTemplate *t;
    JinjaParts parts = {0};
    Buf out = {0}, got = {0};
    bt_error err;
    json_t *context =
        json_pack("{s:[{s:s,s:s}],s:s,s:{s:s}}", "messages", "role", "user", "content",
                  " <|x|> \xC3\xA9 ", "bos_token", "<s>", "d", "k", "<|y|>");
    JinjaInput input = {.context = context, .own = own, .now = NOW};
    assert_int_equal(jinja_compile(span_of(source), &t, &err), BT_OK);
    if (jinja_render(t, &input, &out, &parts, &err)) fail_msg("%s: %s", source, err.text);
    const char *at = out.data;
    for (size_t i = 0; i < parts.n; i++) {
        Span text = parts.items[i].text;
        assert_true(text.data == at && text.size > 0);
        assert_true(i == 0 || parts.items[i].special != parts.items[i - 1].special);
        at += text.size;
        buf_char(&got, parts.items[i].special ? '[' : '(');
        buf_add(&got, text.data, text.size);
        buf_char(&got, parts.items[i].special ? ']' : ')');
    }
    assert_true(at == out.data + out.size);
    if (strcmp(got.data ? got.data : "", want) != 0)
        fail_msg("%s: %s, not %s", source, got.data, want);
    jinja_close(&t);
    jinja_parts_close(&parts);
    buf_close(&out);
    buf_close(&got);
    json_decref(context);
}

#define C "messages[0].content"

static void every_character_remembers_whose_it_is(void **state)
{
    (void)state;
    parts_of("<|a|>{{ " C " }}<|b|>", "[<|a|>]( <|x|> \xC3\xA9 )[<|b|>]");
    parts_of("{{ '<|a|>' + " C "|trim + '<|b|>' }}", "[<|a|>](<|x|> \xC3\xA9)[<|b|>]");
    parts_of("{{ bos_token ~ " C ".strip()[1:4] ~ '>' }}", "[<s>](|x|)[>]");
    parts_of("{{ " C ".replace('x', '!')|upper }}", "( <|)[!](|> \xC3\x89 )");
    parts_of("{% set s %}a{{ " C "[1] }}{% endset %}{{ s * 2 }}", "[a](<)[a](<)");
    parts_of("{% macro m(x) %}({{ x }}){% endmacro %}{{ m(" C "|trim) }}",
             "[(](<|x|> \xC3\xA9)[)]");
    parts_of("{{ d|tojson }}", "[{](\"k\")[: ](\"<|y|>\")[}]");
    parts_of("{{ d }}", "[{]('k')[: ]('<|y|>')[}]");
    parts_of("{{ " C ".split()|join('<|x|>') }}", "(<|x|>)[<|x|>](\xC3\xA9)");
    parts_of("{{ '%s|%s' % (" C "[0], 'y') }}", "( )[|y]");
    parts_of("{{ '{}{}'.format('<', " C "[2]) }}", "[<](|)");
    parts_of("{{ " C "|list|reverse|join }}", "( \xC3\xA9 >|x|< )");
    parts_of("{% for k, v in d|dictsort %}{{ k }}={{ v|e }}{% endfor %}", "(k)[=](&lt;|y|&gt;)");
    parts_of("{% filter upper %}a{{ d.k }}{% endfilter %}", "[A](<|Y|>)");
    parts_of("<|{{ messages[0].role }}|>", "[<|user|>]");
    parts_of("{{ strftime_now('%Y') ~ 1 ~ none }}", "[20261None]");
    parts_of("{{ " C "|indent(1, true) ~ d.k|center(7) }}", "[ ]( <|x|> \xC3\xA9 )[ ](<|y|>)[ ]");
}

/* A role that is no plain word is the conversation's, as any other text. */
static void odd_roles_are_not_trusted(void **state)
{
    (void)state;
    static const struct {
        const char *role;
        bool trusted;
    } rows[] = {{"tool", true},  {"<|x|>", false},        {"User", false},
                {"a\nb", false}, {"function call", true}, {"", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        JinjaTemplate *t;
        JinjaParts parts = {0};
        Buf out = {0};
        bt_error err;
        json_t *context = json_pack("{s:[{s:s}]}", "messages", "role", rows[i].role);
        JinjaInput input = {.context = context};
        assert_int_equal(jinja_compile(SPAN("{{ messages[0].role }}"), &t, &err), BT_OK);
        assert_int_equal(jinja_render(t, &input, &out, &parts, &err), BT_OK);
        if (parts.n) assert_int_equal(parts.items[0].special, rows[i].trusted);
        jinja_close(&t);
        jinja_parts_close(&parts);
        buf_close(&out);
        json_decref(context);
    }
}

/* ---- the rest ---- */

static void names_that_are_read(void **state)
{
    (void)state;
    JinjaTemplate *t;
    bt_error err;
    Span source = SPAN("{% if enable_thinking is defined %}{{ x.thinking }}{% endif %}");
    assert_int_equal(jinja_compile(source, &t, &err), BT_OK);
    assert_true(jinja_reads(t, "enable_thinking"));
    assert_true(jinja_reads(t, "x"));
    assert_false(jinja_reads(t, "thinking"));
    jinja_close(&t);
}

static void bytes_that_are_no_utf8_pass(void **state)
{
    (void)state;
    JinjaTemplate *t;
    Buf out = {0};
    JinjaParts parts = {0};
    bt_error err;
    static const char odd[] = "a\xFF\xC3(\xE6\x9D";
    json_t *context = json_object();
    json_object_set_new(context, "x", json_stringn_nocheck(odd, sizeof odd - 1));
    JinjaInput input = {.context = context};
    assert_int_equal(jinja_compile(SPAN("{{ x }}{{ x|length }}"), &t, &err), BT_OK);
    assert_int_equal(jinja_render(t, &input, &out, &parts, &err), BT_OK);
    assert_string_equal(out.data, "a\xFF\xC3(\xE6\x9D"
                                  "6");
    assert_int_equal(parts.n, 2);
    assert_int_equal(parts.items[0].text.size, sizeof odd - 1);
    jinja_close(&t);
    jinja_parts_close(&parts);
    buf_close(&out);
    json_decref(context);
}

static void errors_say_where(void **state)
{
    (void)state;
    Buf out = {0};
    bt_error err;
    static const char *const rows[][2] = {
        {"a\nb {{ (1 }}", "template line 2, column 9: this bracket closes none that is open"},
        {"\xC3\xA9\xC3\xA9{{ nope.x }}", "template line 1, column 11: 'nope' is undefined"},
        {"{% if x %}", "template line 1, column 7: this block has no endif"},
        {"\n\n{% include 'x' %}", "template line 3, column 4: the tag 'include' is not known"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(run(rows[i][0], strlen(rows[i][0]), NULL, &out, &err) < 0);
        if (strncmp(err.text, rows[i][1], strlen(rows[i][1])) != 0)
            fail_msg("%s: %s", rows[i][0], err.text);
    }
    buf_close(&out);
}

static bt_status life(void *user, bt_error *err)
{
    static const char source[] =
        "{% macro m(x) %}{{ x|tojson }}{% endmacro %}{% for m2 in messages %}{{ m(m2) }}"
        "{% endfor %}{{ 'x' * 100000 }}";
    JinjaTemplate *t = NULL;
    Buf out = {0};
    JinjaParts parts = {0};
    JinjaInput input = {.context = user, .own = own, .now = NOW};
    bt_status status = jinja_compile(SPAN(source), &t, err);
    if (!status) status = jinja_render(t, &input, &out, &parts, err);
    jinja_close(&t);
    buf_close(&out);
    jinja_parts_close(&parts);
    return status;
}

static void survives_failed_allocations(void **state)
{
    (void)state;
    json_t *context = json_pack("{s:[{s:s,s:s}]}", "messages", "role", "user", "content", "hi");
    assert_true(torture("a template", life, context) > 5);
    json_decref(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snippets_render_as_jinja2),
        cmocka_unit_test(released_templates_render_as_jinja2),
        cmocka_unit_test(hostile_templates_fail_fast),
        cmocka_unit_test(long_templates_are_bounded),
        cmocka_unit_test(damaged_templates_do_no_harm),
        cmocka_unit_test(every_character_remembers_whose_it_is),
        cmocka_unit_test(odd_roles_are_not_trusted),
        cmocka_unit_test(names_that_are_read),
        cmocka_unit_test(bytes_that_are_no_utf8_pass),
        cmocka_unit_test(errors_say_where),
        cmocka_unit_test(survives_failed_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
