/* Chat templates: what chat.c renders against what jinja2 made of the same template
 * (tests/support/chat_cases.py): from cases committed for our own small templates, and, where
 * golden templates and python3 with jinja2 are there, for every released template that chat_detect
 * takes. Then refusals, damaged templates, and that contents never become markup. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "support/draw.h"
#include "support/files.h"
#include "support/torture.h"
#include "text/chat.h"

#define MOST_MESSAGES 16

static ChatFormat detect_file(const char *path, bt_status *status, bt_error *err)
{
    ChatFormat format;
    size_t size;
    char *jinja = files_read(path, &size);
    *status = chat_detect((Span){jinja, size}, &format, err);
    free(jinja);
    return format;
}

static size_t occurrences(Span s, const char *what)
{
    size_t n = strlen(what), found = 0;
    for (size_t i = 0; i + n <= s.size; i++) found += memcmp(s.data + i, what, n) == 0;
    return found;
}

static bool holds(const char *whole, Span part)
{
    size_t n = strlen(whole);
    for (size_t i = 0; i + part.size <= n; i++)
        if (memcmp(whole + i, part.data, part.size) == 0) return true;
    return false;
}

/* The parts are the text; what is not markup comes from one message; each message has its mark. */
static void check_parts(const ChatFormat *f, const ChatRequest *r, const Buf *out,
                        const ChatParts *parts)
{
    const char *at = out->data;
    size_t marks = 0;
    for (size_t i = 0; i < parts->n; i++) {
        Span text = parts->items[i].text;
        bool said = false;
        assert_true(text.size > 0 && text.data == at);
        at += text.size;
        if (parts->items[i].special) {
            marks +=
                occurrences(text, f->kind == CHAT_CHATML ? "<|im_start|>" : "<|start_header_id|>");
            continue;
        }
        for (size_t j = 0; j < r->n; j++) said |= holds(r->messages[j].content, text);
        assert_true(said);
    }
    assert_true(at == out->data + out->size);
    bool first = strcmp(r->messages[0].role, "system") == 0;
    assert_int_equal(marks, r->n + r->generation + ((f->system[0] || f->dates) && !first) -
                                (f->skip_empty_system && first && !r->messages[0].content[0]));
}

/* One `ROLE BYTES` line and its content. */
static char *read_field(FILE *in, char role[16])
{
    unsigned long size;
    if (fscanf(in, "%15s %lu", role, &size) != 2 || fgetc(in) != '\n') return NULL;
    char *text = malloc(size + 1);
    assert_int_equal(fread(text, 1, size, in), size);
    text[size] = '\0';
    assert_int_equal(fgetc(in), '\n');
    return text;
}

/* Holds the format against a stream of cases; gives how many there were. */
static int check_cases(const char *name, const ChatFormat *format, FILE *in)
{
    int cases = 0, generation;
    unsigned n;
    Buf out = {0};
    ChatParts parts = {0};
    while (fscanf(in, "case %u %d\n", &n, &generation) == 2) {
        char roles[MOST_MESSAGES][16], role[16];
        bt_message messages[MOST_MESSAGES];
        bt_error err;
        assert_in_range(n, 1, MOST_MESSAGES);
        for (unsigned i = 0; i < n; i++) {
            messages[i].content = read_field(in, roles[i]);
            messages[i].role = roles[i];
        }
        char *want = read_field(in, role);
        assert_non_null(want);
        ChatRequest request = {messages, n, generation, SPAN("<BOS>"), SPAN("21 Nov 2026")};
        buf_clear(&out);
        if (chat_render(format, &request, &out, &parts, &err)) fail_msg("%s: %s", name, err.text);
        if (strcmp(out.data, want) != 0)
            fail_msg("%s, case %d\n--- rendered\n%s\n--- expected\n%s\n---", name, cases, out.data,
                     want);
        check_parts(format, &request, &out, &parts);
        for (unsigned i = 0; i < n; i++) free((void *)(uintptr_t)messages[i].content);
        free(want);
        cases++;
    }
    buf_close(&out);
    chat_parts_close(&parts);
    return cases;
}

static const char *const ours[] = {"chatml",       "chatml-system", "chatml-open",
                                   "chatml-think", "llama3",        "llama3-dates"};

static void own_templates_render_as_jinja(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        bt_status status;
        bt_error err;
        ChatFormat format =
            detect_file(files_source("tests/data/chat/%s.jinja", ours[i]), &status, &err);
        if (status) fail_msg("%s: %s", ours[i], err.text);
        FILE *in = fopen(files_source("tests/data/chat/%s.cases", ours[i]), "rb");
        assert_non_null(in);
        assert_int_equal(check_cases(ours[i], &format, in), 72);
        fclose(in);
    }
}

static void released_templates_render_as_jinja(void **state)
{
    (void)state;
    /* Those that must be known; any other that is taken must render exactly as well. */
    static const char *const known[] = {"Qwen-Qwen2.5-7B-Instruct", "Qwen-Qwen3-0.6B",
                                        "meta-llama-Llama-3.1-8B-Instruct",
                                        "meta-llama-Llama-3.2-3B-Instruct"};
    char folder[4096], command[16384], path[8192], script[4096];
    const char *golden = getenv("BANTAM_GOLDEN");
    snprintf(folder, sizeof folder, "%s/templates",
             golden ? golden : files_source("../shared/golden"));
    snprintf(script, sizeof script, "%s", files_source("tests/support/chat_cases.py"));
    snprintf(command, sizeof command, "ls '%s' 2>/dev/null", folder);
    FILE *list = popen(command, "r");
    char line[512];
    int taken = 0;
    unsigned found = 0;
    while (list && fgets(line, sizeof line, list)) {
        bt_status status;
        bt_error err;
        line[strcspn(line, "\n")] = '\0';
        snprintf(path, sizeof path, "%s/%s", folder, line);
        ChatFormat format = detect_file(path, &status, &err);
        if (status) {
            assert_int_equal(status, BT_E_UNSUPPORTED);
            assert_non_null(strstr(err.text, "--template"));
            assert_non_null(strstr(err.text, "--raw"));
            continue;
        }
        snprintf(command, sizeof command, "python3 '%s' '%s' 2>/dev/null", script, path);
        FILE *in = popen(command, "r");
        assert_non_null(in);
        int cases = check_cases(line, &format, in), code = pclose(in);
        if (code != 0 && cases == 0) {
            print_message("# skipped: python3 with jinja2 is missing\n");
            pclose(list);
            skip();
        }
        assert_int_equal(WEXITSTATUS(code), 0);
        assert_true(cases >= 1000);
        for (unsigned i = 0; i < 4; i++)
            if (strncmp(line, known[i], strlen(known[i])) == 0) found |= 1u << i;
        print_message("# %s: %s, %d conversations equal\n", line, chat_kind_name(format.kind),
                      cases);
        taken++;
    }
    if (list) pclose(list);
    if (!taken) {
        print_message("# skipped: no golden templates\n");
        skip();
    }
    assert_int_equal(found, 15);
}

#define LOOP(body)                                                                                 \
    "{%- for m in messages %}" body "{%- endfor %}{%- if add_generation_prompt %}"                 \
    "{{- '<|im_start|>assistant\\n' }}{%- endif %}"
#define MESSAGE "{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"

static void other_templates_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "plain words",
        "{{ messages }}",
        LOOP(MESSAGE) "tail",
        LOOP("say: " MESSAGE),
        LOOP("{{- '<|im_start|>' + m.role + ': ' + m.content + '<|im_end|>\\n' }}"),
        LOOP("{{- '<|im_start|>' + m.role + '\\n' + m.content.strip() + '<|im_end|>\\n' }}"),
        LOOP("{{- '<|im_start|>' + m.role + '\\n' + m.content | trim + '<|im_end|>\\n' }}"),
        LOOP("{{- '<|im_start|>' + m.role + '\\n' + m.content.upper() + '<|im_end|>\\n' }}"),
        LOOP("{%- if loop.last %}" MESSAGE "{%- endif %}"),
        LOOP("{%- if m.role == 'developer' %}" MESSAGE "{%- endif %}"),
        LOOP("{%- if tools %}" MESSAGE),
        LOOP(MESSAGE "{%- break %}"),
        LOOP(MESSAGE "{{- '<|eot_id|>' }}"),
        "{%- for m in messages %}" MESSAGE "{%- endfor %}",
        "{%- macro say(m) %}x{%- endmacro %}" LOOP(MESSAGE "{{- say(m) }}"),
        "{%- endif %}" LOOP(MESSAGE),
        "{{- 'no end }}" LOOP(MESSAGE),
        "{{- 'no end",
        "{%- else %}" LOOP(MESSAGE),
        "{%- set enable_thinking = true %}" LOOP("{%- if enable_thinking %}" MESSAGE
                                                 "{%- endif %}"),
        "{%- if",
        "{#",
        "{{",
    };
    ChatFormat format;
    bt_error err;
    Span good = SPAN(LOOP(MESSAGE));
    assert_int_equal(chat_detect(good, &format, &err), BT_OK);
    good = SPAN(LOOP("{%- if not tools or tools %}" MESSAGE "{%- endif %}"));
    assert_int_equal(chat_detect(good, &format, &err), BT_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (chat_detect(span_of(bad[i]), &format, &err) != BT_E_UNSUPPORTED)
            fail_msg("taken: %s", bad[i]);
        assert_non_null(strstr(err.text, "--template"));
    }
    Buf deep = {0};
    for (int i = 0; i < 100000; i++) buf_text(&deep, "{%if x%}");
    assert_int_equal(chat_detect((Span){deep.data, deep.size}, &format, &err), BT_E_UNSUPPORTED);
    buf_close(&deep);
}

/* Nothing to compare with: it must end, within bounds (sanitizers look on). */
static void damaged_templates_do_no_harm(void **state)
{
    (void)state;
    static const char signs[] = "{}%#-'\"\\\n ()";
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        size_t whole;
        char *jinja = files_read(files_source("tests/data/chat/%s.jinja", ours[i]), &whole);
        assert_non_null(jinja);
        for (int round = 0; round < 500; round++) {
            size_t size = draw_bits() % 2 ? whole : draw_bits() % whole;
            char *text = malloc(size + 1); /* exactly as long: a read past it is seen */
            memcpy(text, jinja, size);
            for (int k = (int)(draw_bits() % 6); k > 0 && size; k--)
                text[draw_bits() % size] =
                    draw_bits() % 2 ? signs[draw_bits() % 12] : (char)draw_bits();
            char *exact = malloc(size ? size : 1);
            memcpy(exact, text, size);
            ChatFormat format;
            chat_detect((Span){exact, size}, &format, NULL);
            free(exact);
            free(text);
        }
        free(jinja);
    }
}

static void named_formats(void **state)
{
    (void)state;
    ChatFormat f;
    ChatParts parts = {0};
    Buf out = {0};
    bt_error err;
    bt_message m[] = {{"system", "Be brief."}, {"user", " Hi "}, {"assistant", "Hi."}};
    ChatRequest r = {m, 3, true, SPAN("<s>"), {NULL, 0}};
    assert_false(chat_named("jinja", &f));
    assert_true(chat_named("plain", &f));
    assert_int_equal(chat_render(&f, &r, &out, &parts, &err), BT_OK);
    assert_string_equal(out.data, "Be brief.\n\nUser:  Hi \nAssistant: Hi.\nAssistant:");
    assert_int_equal(parts.n, 6);
    buf_clear(&out);
    assert_true(chat_named("chatml", &f));
    assert_int_equal(chat_render(&f, &r, &out, &parts, &err), BT_OK);
    assert_string_equal(out.data, "<|im_start|>system\nBe brief.<|im_end|>\n"
                                  "<|im_start|>user\n Hi <|im_end|>\n"
                                  "<|im_start|>assistant\nHi.<|im_end|>\n"
                                  "<|im_start|>assistant\n");
    buf_clear(&out);
    assert_true(chat_named("llama3", &f));
    assert_int_equal(chat_render(&f, &r, &out, &parts, &err), BT_OK);
    assert_string_equal(out.data, "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief."
                                  "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi"
                                  "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHi."
                                  "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n");
    m[1].role = "tool";
    assert_int_equal(chat_render(&f, &r, &out, &parts, &err), BT_E_ARGUMENT);
    m[1].role = NULL;
    assert_int_equal(chat_render(&f, &r, &out, &parts, &err), BT_E_ARGUMENT);
    r.n = 0;
    assert_int_equal(chat_render(&f, &r, &out, &parts, &err), BT_E_ARGUMENT);
    buf_close(&out);
    chat_parts_close(&parts);
}

static bt_status life(void *user, bt_error *err)
{
    ChatFormat f;
    Buf out = {0};
    ChatParts parts = {0};
    bt_status status = chat_detect(SPAN(LOOP(MESSAGE)), &f, err);
    if (!status) status = chat_render(&f, user, &out, &parts, err);
    buf_close(&out);
    chat_parts_close(&parts);
    return status;
}

static void survives_failed_allocations(void **state)
{
    (void)state;
    bt_message m[20];
    for (int i = 0; i < 20; i++) m[i] = (bt_message){i % 2 ? "assistant" : "user", "some words"};
    ChatRequest r = {m, 20, true, {NULL, 0}, {NULL, 0}};
    assert_true(torture("a chat", life, &r) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_templates_render_as_jinja),
        cmocka_unit_test(released_templates_render_as_jinja),
        cmocka_unit_test(other_templates_are_refused),
        cmocka_unit_test(damaged_templates_do_no_harm),
        cmocka_unit_test(named_formats),
        cmocka_unit_test(survives_failed_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
