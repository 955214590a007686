/* Ollama's templates, translated and rendered: what comes out is held against what Go's
 * text/template and Ollama's rules for turns give, worked out by hand from their descriptions; what
 * cannot be meant exactly is refused by name and line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bantam/bantam.h"
#include "base/mem.h"
#include "serve/go_template.h"
#include "support/make_model.h"
#include "support/scratch.h"

static bt_model *model;

static int setup(void **state)
{
    const MakeModel spec = {.layers = 1};
    bt_error err;
    if (scratch_setup(state) || make_model(&spec, scratch_path("m.gguf"), &err)) return -1;
    return bt_model_open(scratch_path("m.gguf"), NULL, &model, &err) == BT_OK ? 0 : -1;
}

static int teardown(void **state)
{
    bt_model_close(&model);
    return scratch_teardown(state);
}

static void renders(const char *go, const char *messages, const char *want)
{
    Buf jinja = {0};
    char why[256] = "";
    bt_chat *chat;
    bt_error err;
    char *text = NULL;
    if (!go_template_translate(span_of(go), &jinja, why, sizeof why)) fail_msg("%s: %s", go, why);
    const bt_chat_options options = {.jinja = jinja.data};
    if (bt_chat_open(model, &options, &chat, &err)) fail_msg("%s\n%s", jinja.data, err.text);
    const bt_chat_request request = {.messages = messages, .generation = true};
    if (bt_chat_apply(chat, &request, NULL, NULL, &text, &err))
        fail_msg("%s\n%s", jinja.data, err.text);
    if (strcmp(text, want) != 0) fail_msg("%s\n--- gave\n%s\n--- not\n%s", jinja.data, text, want);
    bt_free(text);
    bt_chat_close(&chat);
    buf_close(&jinja);
}

#define U(text) "{\"role\": \"user\", \"content\": \"" text "\"}"
#define A(text) "{\"role\": \"assistant\", \"content\": \"" text "\"}"
#define S(text) "{\"role\": \"system\", \"content\": \"" text "\"}"

static void one_turn_at_a_time(void **state)
{
    (void)state;
    static const char chatml[] =
        "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}"
        "{{ if .Prompt }}<|im_start|>user\n{{ .Prompt }}<|im_end|>\n{{ end }}"
        "<|im_start|>assistant\n{{ .Response }}<|im_end|>\n";
    renders(chatml, "[" U("hi") "]", "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
    renders(chatml, "[" S("be kind") "," U("hi") "," A("ho") "," U("and?") "]",
            "<|im_start|>system\nbe kind<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
            "<|im_start|>assistant\nho<|im_end|>\n<|im_start|>user\nand?<|im_end|>\n"
            "<|im_start|>assistant\n");
    /* trimming, and a response that nobody wrote down */
    renders("{{- if .System }}\n[{{ .System }}]\n{{- end }}\n  Q: {{ .Prompt -}}  \n A:",
            "[" S("s") "," U("p") "]", "\n[s]\n  Q: pA:");
    renders("<s>{{ .Prompt }} ", "[" U("a") "," A("b") "," U("c") "]", "<s>a b<s>c ");
    /* texts are texts: nothing in them is Jinja */
    renders("{% raw %} {# {{ \"{{ x }}\" }} \\ \" {{ .Prompt }}", "[" U("{{ 1 }}") "]",
            "{% raw %} {# {{ x }} \\ \" {{ 1 }}");
    /* one role twice becomes one message */
    renders("[{{ .Prompt }}]", "[" U("a") "," U("b") "]", "[a\n\nb]");
}

static void messages_by_themselves(void **state)
{
    (void)state;
    static const char talk[] = "[" S("be kind") "," U("hi") "," A("ho") "," U("and?") "]";
    renders(
        "{{- range .Messages }}<|{{ .Role }}|>\n{{ .Content }}<|end|>\n{{ end }}<|assistant|>\n",
        talk,
        "<|system|>\nbe kind<|end|>\n<|user|>\nhi<|end|>\n<|assistant|>\nho<|end|>\n<|user|>\n"
        "and?<|end|>\n<|assistant|>\n");
    renders("{{ range $i, $m := .Messages }}{{ if eq $m.Role \"system\" }}{{ else if eq .Role "
            "\"user\" }}{{ $last := eq (len (slice $.Messages $i)) 1 }}[INST] "
            "{{ if and $last $.System }}{{ $.System }} {{ end }}{{ .Content }}[/INST]"
            "{{ else }}{{ .Content }}</s>{{ end }}{{ end }}",
            talk, "[INST] hi[/INST]ho</s>[INST] be kind and?[/INST]");
    renders("{{ if or .System (not .Messages) }}({{ .System }}){{ end }}{{ range .Messages }}"
            "{{ if ne .Role \"system\" }}{{ if eq .Role \"user\" \"tool\" }}U{{ else }}A{{ end }}"
            "{{ end }}{{ end }}",
            "[" S("a") "," U("x") "," S("b") "," A("y") "]", "(a\n\nb)UA");
    renders("{{ $n := \"x\" }}{{ range .Messages }}{{ $n = .Content }}{{ end }}{{ $n }}",
            "[" U("one") "," A("two") "]", "two");
}

static void what_is_not_translated(void **state)
{
    (void)state;
    static const struct {
        const char *go, *says;
    } rows[] = {
        {"a\n{{ if .Tools }}x{{ end }}", "line 2: .Tools"},
        {"{{ range .Messages }}{{ range .ToolCalls }}{{ end }}{{ end }}", "range"},
        {"{{ .Prompt | printf \"%s\" }}", "|"},
        {"{{ json .Prompt }}", "json"},
        {"{{ template \"x\" }}", "template"},
        {"{{ with .System }}x{{ end }}", "with"},
        {"{{ if .System }}x", "not ended"},
        {"{{ end }}", "nothing is open"},
        {"{{ .Prompt", "not closed"},
        {"{{ .Prompt }}{{ \"x }}", "not closed"},
        {"{{ if eq (.Prompt \"a\" }}{{ end }}", "parenthesis"},
        {"{{ else }}", "no if"},
        {"{{ range .System }}{{ end }}", ".System"},
        {"{{ . }}", "."},
        {"{{ .Response }}{{ if .Prompt }}x{{ end }}", "behind .Response"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Buf jinja = {0};
        char why[256] = "";
        if (go_template_translate(span_of(rows[i].go), &jinja, why, sizeof why))
            fail_msg("%s: taken", rows[i].go);
        if (!strstr(why, rows[i].says)) fail_msg("%s: %s", rows[i].go, why);
        buf_close(&jinja);
    }
    /* every beginning of a text, and of one with a byte changed, ends somehow */
    static const char whole[] =
        "{{ range $i, $m := .Messages }}{{ if and (eq .Role \"u\\\"\") (not `x`) }}{{- .Content -}}"
        "{{ else }}{{/* c */}}{{ end }}{{ end }}";
    char text[sizeof whole];
    for (size_t n = 0; n < sizeof whole; n++)
        for (int c = 0; c < 4; c++) {
            Buf jinja = {0};
            char why[64];
            memcpy(text, whole, sizeof whole);
            if (c && n) text[n - 1] = "\0}({"[c];
            go_template_translate((Span){text, n}, &jinja, why, sizeof why);
            buf_close(&jinja);
        }
    Buf deep = {0}, jinja = {0};
    char why[128];
    buf_text(&deep, "{{ if ");
    for (int i = 0; i < 30000; i++) buf_char(&deep, '(');
    assert_false(go_template_translate((Span){deep.data, deep.size}, &jinja, why, sizeof why));
    assert_non_null(strstr(why, "too deeply"));
    buf_close(&deep);
    buf_close(&jinja);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_turn_at_a_time),
        cmocka_unit_test(messages_by_themselves),
        cmocka_unit_test(what_is_not_translated),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
