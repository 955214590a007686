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

static void renders_tools(const char *go, const char *messages, const char *tools, const char *want)
{
    Buf jinja = {0};
    char why[256] = "";
    bt_chat *chat;
    bt_error err;
    char *text = NULL;
    if (!go_template_translate(span_of(go), &jinja, why, sizeof why)) fail_msg("%s: %s", go, why);
    const bt_chat_options options = {.jinja = jinja.data};
    if (bt_chat_open(model, &options, &chat, &err)) fail_msg("%s\n%s", jinja.data, err.text);
    const bt_chat_request request = {.messages = messages, .tools = tools, .generation = true};
    if (bt_chat_apply(chat, &request, NULL, NULL, &text, &err))
        fail_msg("%s\n%s", jinja.data, err.text);
    if (strcmp(text, want) != 0) fail_msg("%s\n--- gave\n%s\n--- not\n%s", jinja.data, text, want);
    bt_free(text);
    bt_chat_close(&chat);
    buf_close(&jinja);
}

static void renders(const char *go, const char *messages, const char *want)
{
    renders_tools(go, messages, NULL, want);
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

/* ---- tools: the forms of three families, in words of our own ---- */

#define TOOLS                                                                                      \
    "[{\"type\": \"function\", \"function\": {\"name\": \"add\", \"description\": \"sums <up>\", " \
    "\"parameters\": {\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"integer\"}}}}}, " \
    "{\"type\": \"function\", \"function\": {\"name\": \"now\"}}]"
#define ADD                                                                                        \
    "{\"name\":\"add\",\"description\":\"sums <up>\",\"parameters\":{\"type\":\"object\","         \
    "\"properties\":{\"a\":{\"type\":\"integer\"}}}}"
#define NOW   "{\"name\":\"now\"}"
#define C(id) "{\"id\": \"" id "\", \"type\": \"function\", \"function\": {\"name\": \"add\", "
#define CALLS                                                                                      \
    "{\"role\": \"assistant\", \"content\": \"\", \"tool_calls\": [" C(                            \
        "c1") "\"arguments\": \"{\\\"a\\\": 1, \\\"b\\\": \\\"x\\\"}\"}}, " C("c2") "\"arguments"  \
                                                                                    "\": {\"a\": " \
                                                                                    "2}}}]}"
#define T(id, text) "{\"role\": \"tool\", \"tool_call_id\": \"" id "\", \"content\": \"" text "\"}"
#define TALK                                                                                       \
    "[" S("be kind") "," U("1+1") "," CALLS "," T("c1", "2") "," T("c2", "4") "," U("so?") "]"

/* Llama 3's: tools before the last question, a call in the place of what is said. */
static void tools_of_llama(void **state)
{
    (void)state;
    static const char go[] =
        "{{- if or .System .Tools }}<|start_header_id|>system<|end_header_id|>\n"
        "{{- if .System }}\n\n{{ .System }}\n{{- end }}\n"
        "{{- if .Tools }}\n\nTools may help.\n{{- end }}<|eot_id|>\n{{- end }}\n"
        "{{- range $i, $_ := .Messages }}\n"
        "{{- $last := eq (len (slice $.Messages $i)) 1 }}\n"
        "{{- if eq .Role \"user\" }}<|start_header_id|>user<|end_header_id|>\n"
        "{{- if and $.Tools $last }}\n\nOne of these, as {\"name\": its name, \"parameters\": an "
        "object}:\n\n{{ range $.Tools }}\n{{- . }}\n{{ end }}\n{{ .Content }}<|eot_id|>\n"
        "{{- else }}\n\n{{ .Content }}<|eot_id|>\n{{- end }}"
        "{{ if $last }}<|start_header_id|>assistant<|end_header_id|>\n\n{{ end }}\n"
        "{{- else if eq .Role \"assistant\" }}<|start_header_id|>assistant<|end_header_id|>\n"
        "{{- if .ToolCalls }}\n{{ range .ToolCalls }}\n"
        "{\"name\": \"{{ .Function.Name }}\", \"parameters\": {{ .Function.Arguments }}}{{ end }}\n"
        "{{- else }}\n\n{{ .Content }}\n{{- end }}{{ if not $last }}<|eot_id|>{{ end }}\n"
        "{{- else if eq .Role \"tool\" }}<|start_header_id|>ipython<|end_header_id|>\n\n"
        "{{ .Content }}<|eot_id|>"
        "{{ if $last }}<|start_header_id|>assistant<|end_header_id|>\n\n{{ end }}\n"
        "{{- end }}\n{{- end }}";
    renders_tools(
        go, TALK, TOOLS,
        "<|start_header_id|>system<|end_header_id|>\n\nbe kind\n\nTools may help."
        "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n1+1<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
        "{\"name\": \"add\", \"parameters\": {\"a\":1,\"b\":\"x\"}}\n"
        "{\"name\": \"add\", \"parameters\": {\"a\":2}}<|eot_id|>"
        "<|start_header_id|>ipython<|end_header_id|>\n\n2<|eot_id|>"
        "<|start_header_id|>ipython<|end_header_id|>\n\n4<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nOne of these, as {\"name\": its name, "
        "\"parameters\": an object}:\n\n"
        "{\"type\":\"function\",\"function\":" ADD "}\n"
        "{\"type\":\"function\",\"function\":" NOW "}\n\nso?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n");
    renders(go, "[" U("hi") "]",
            "<|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
}

/* Qwen's: tools in the system message, calls and results between marks, thoughts of the last turn.
 */
static void tools_of_qwen(void **state)
{
    (void)state;
    static const char go[] =
        "{{- $asked := -1 -}}\n{{- range $n, $m := .Messages -}}\n"
        "{{- if eq $m.Role \"user\" }}{{ $asked = $n }}{{ end -}}\n{{- end }}\n"
        "{{- if or .System .Tools }}<|im_start|>system\n{{- if .System }}\n{{ .System }}\n"
        "{{- end }}\n{{- if .Tools }}\n\nYours, in <tools></tools>:\n<tools>\n"
        "{{- range .Tools }}\n{\"type\": \"function\", \"function\": {{ .Function }}}\n{{- end }}\n"
        "</tools>\nCall as <tool_call>{\"name\": ..., \"arguments\": ...}</tool_call>.\n"
        "{{- end }}<|im_end|>\n{{ end }}\n"
        "{{- range $i, $_ := .Messages }}\n{{- $last := eq (len (slice $.Messages $i)) 1 -}}\n"
        "{{- if eq .Role \"user\" }}<|im_start|>user\n{{ .Content }}<|im_end|>\n"
        "{{ else if eq .Role \"assistant\" }}<|im_start|>assistant\n"
        "{{ if and .Thinking (gt $i $asked) }}<think>{{ .Thinking }}</think>\n{{ end -}}\n"
        "{{ if .Content }}{{ .Content }}\n{{- else if .ToolCalls }}<tool_call>\n"
        "{{ range $k, $c := .ToolCalls }}{{ if gt $k 0 }}and {{ end }}"
        "{\"name\": \"{{ $c.Function.Name }}\", \"arguments\": {{ json .Function.Arguments }}}\n"
        "{{ end }}</tool_call>\n{{- end }}{{ if not $last }}<|im_end|>\n{{ end }}\n"
        "{{- else if eq .Role \"tool\" }}<|im_start|>user\n<tool_response>\n{{ .Content }}\n"
        "</tool_response><|im_end|>\n{{ end }}\n"
        "{{- if and (ne .Role \"assistant\") $last }}<|im_start|>assistant\n{{ end }}\n{{- end }}";
    renders_tools(
        go,
        "[" U("1+1") ",{\"role\": \"assistant\", \"content\": \"\", \"reasoning_content\": \"hm\", "
                     "\"tool_calls\": [" C("c1") "\"arguments\": {\"a\": 1}}}, " C(
                         "c2") "\"arguments\": {}}}]}," T("c1", "2") "]",
        TOOLS,
        "<|im_start|>system\n\nYours, in <tools></tools>:\n<tools>\n"
        "{\"type\": \"function\", \"function\": " ADD "}\n"
        "{\"type\": \"function\", \"function\": " NOW "}\n</tools>\n"
        "Call as <tool_call>{\"name\": ..., \"arguments\": ...}</tool_call>.<|im_end|>\n"
        "<|im_start|>user\n1+1<|im_end|>\n<|im_start|>assistant\n<think>hm</think>\n<tool_call>\n"
        "{\"name\": \"add\", \"arguments\": {\"a\":1}}\nand {\"name\": \"add\", \"arguments\": "
        "{}}\n"
        "</tool_call><|im_end|>\n<|im_start|>user\n<tool_response>\n2\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n");
    renders(go, "[" S("s") "," U("a") "," A("b") "," U("c") "]",
            "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\na<|im_end|>\n"
            "<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc<|im_end|>\n"
            "<|im_start|>assistant\n");
}

/* Mistral's: all tools in one list, calls in another. */
static void tools_of_mistral(void **state)
{
    (void)state;
    static const char go[] =
        "{{- range $index, $_ := .Messages }}\n{{- if eq .Role \"user\" }}\n"
        "{{- if and (eq (len (slice $.Messages $index)) 1) $.Tools }}[AVAILABLE_TOOLS] {{ $.Tools "
        "}}"
        "[/AVAILABLE_TOOLS]\n{{- end }}[INST] {{ if and $.System (eq (len (slice $.Messages "
        "$index)) 1) }}{{ $.System }}\n\n{{ end }}{{ .Content }}[/INST]\n"
        "{{- else if eq .Role \"assistant\" }}\n{{- if .Content }}{{ .Content }}</s>\n"
        "{{- else if .ToolCalls }}[TOOL_CALLS] [\n"
        "{{- range .ToolCalls }}{\"name\": \"{{ .Function.Name }}\", \"arguments\": "
        "{{ .Function.Arguments }}}\n{{- end }}]</s>\n{{- end }}\n"
        "{{- else if eq .Role \"tool\" }}[TOOL_RESULTS] {\"content\": {{ .Content "
        "}}}[/TOOL_RESULTS]\n"
        "{{- end }}\n{{- end }}";
    renders_tools(go, TALK, TOOLS,
                  "[INST] 1+1[/INST][TOOL_CALLS] ["
                  "{\"name\": \"add\", \"arguments\": {\"a\":1,\"b\":\"x\"}}"
                  "{\"name\": \"add\", \"arguments\": {\"a\":2}}]</s>"
                  "[TOOL_RESULTS] {\"content\": 2}[/TOOL_RESULTS]"
                  "[TOOL_RESULTS] {\"content\": 4}[/TOOL_RESULTS]"
                  "[AVAILABLE_TOOLS] [{\"type\":\"function\",\"function\":" ADD
                  "},{\"type\":\"function\",\"function\":" NOW "}][/AVAILABLE_TOOLS]"
                  "[INST] be kind\n\nso?[/INST]");
}

/* What reads the answers sees in the translation what the template shows of calls. */
static void forms_of_calls(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"<|start_header_id|>{\"name\": \"f\", \"parameters\": {}}", "llama3"},
        {"<tool_call>it's</tool_call>", "hermes"},
        {"[TOOL_CALLS] []", "mistral"}};
    for (size_t i = 0; i < 3; i++) {
        Buf go = {0}, jinja = {0};
        bt_answer *answer;
        bt_error err;
        char why[128];
        buf_printf(&go, "{{ range .Messages }}{{ .Content }}{{ end }}{{ if .Tools }}%s{{ end }}",
                   rows[i][0]);
        assert_true(go_template_translate((Span){go.data, go.size}, &jinja, why, sizeof why));
        const bt_answer_options options = {.jinja = jinja.data};
        if (bt_answer_open(model, &options, &answer, &err)) fail_msg("%s", err.text);
        assert_string_equal(bt_answer_format(answer), rows[i][1]);
        bt_answer_close(&answer);
        buf_close(&go);
        buf_close(&jinja);
    }
}

static void what_is_not_translated(void **state)
{
    (void)state;
    static const struct {
        const char *go, *says;
    } rows[] = {
        {"a\n{{ if .Tools }}x{{ end }}", "line 2: .Tools"},
        {"{{ range .Messages }}{{ range $.Messages }}{{ end }}{{ end }}", "within itself"},
        {"{{ range .ToolCalls }}{{ end }}{{ .Messages }}", ".ToolCalls"},
        {"{{ range .Messages }}{{ .ToolCalls }}{{ end }}", ".ToolCalls"},
        {"{{ range .Messages }}{{ range $.Tools }}{{ .Content }}{{ end }}{{ end }}", ".Content"},
        {"{{ range .Messages }}{{ range .ToolCalls }}{{ .Function }}{{ end }}{{ end }}",
         ".Function"},
        {"{{ range .Messages }}{{ .ToolName }}{{ end }}", ".ToolName"},
        {"{{ $t := .Tools }}{{ range .Messages }}{{ end }}", "holds tools"},
        {"{{ range .Messages }}{{ json .Content }}{{ end }}", "json"},
        {"{{ .Messages }}", ".Messages"},
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
        "{{ else }}{{/* c */}}{{ range $k, $c := $m.ToolCalls }}{{ json $c.Function.Arguments }}"
        "{{ end }}{{ end }}{{ end }}{{ range .Tools }}{{ . }}{{ end }}{{ $.Tools }}";
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
        cmocka_unit_test(one_turn_at_a_time),     cmocka_unit_test(messages_by_themselves),
        cmocka_unit_test(tools_of_llama),         cmocka_unit_test(tools_of_qwen),
        cmocka_unit_test(tools_of_mistral),       cmocka_unit_test(forms_of_calls),
        cmocka_unit_test(what_is_not_translated),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
