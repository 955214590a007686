/* The table of forms (see answer_forms.h). Rows are tried in order and the first that the template
 * tells of is taken, so what is special stands before what is common. The facts come from the chat
 * templates that the makers publish. */
#include "text/answer_forms.h"

#define XML_PARAMETER "<parameter=%k>%w</parameter>"
#define GLM_PARAMETER "<arg_key>%k</arg_key>%_<arg_value>%v</arg_value>"
#define DS            "\uFF5C" /* DeepSeek's vertical bar */
#define DS_(a, b, c)  "<" DS a "\u2581" b "\u2581" c DS ">"
#define DS_BEGIN      DS_("tool", "calls", "begin")
#define DS_CALL       DS_("tool", "call", "begin")
#define DS_SEP        "<" DS "tool\u2581sep" DS ">"
#define DS_END        DS_("tool", "call", "end")
#define DS_ALL_END    DS_("tool", "calls", "end")
#define DSML          DS "DSML" DS
#define DSML_CALLS(section)                                                                        \
    "%(<" DSML section ">%)<" DSML "invoke name=\"%n\">%p</" DSML "invoke>%(</" DSML section ">%)"
#define DSML_PARAMETER "<" DSML "parameter name=\"%k\" string=\"%t\">%v</" DSML "parameter>"
#define HY             ":opensource"
#define M3             "]<]minimax[>["

static const AnswerForm forms[] = {
    {
        .name = "harmony",
        .told = {"<|channel|>analysis<|message|>"},
        .header = {.open = {"<|start|>", "<|channel|>"},
                   .close = "<|message|>",
                   .ends = {"<|end|>", "<|return|>", "<|call|>"},
                   .role = "assistant",
                   .thinks = "<|channel|>analysis",
                   .says = "<|channel|>final"},
        .writes = " to=functions.%n%(<|channel|>commentary%)%( json%)%( <|constrain|>json%)"
                  "<|message|>%j",
    },
    {
        .name = "muse",
        .told = {"<atem:invoke"},
        .calls = {"%(<atem:function_calls>%)<atem:invoke name=\"%n\">%p</atem:invoke>"
                  "%(</atem:function_calls>%)"},
        .parameter = "<atem:parameter name=\"%k\">%v</atem:parameter>",
        .header = {.open = {"<|start|>"},
                   .close = "<|message|>",
                   .ends = {"<|eom|>", "<|eot|>"},
                   .role = "assistant",
                   .thinks = " to=self",
                   .says = "",
                   .wraps = true},
    },
    {
        .name = "functionary-v3.2",
        .told = {">>>", "recipient"},
        .header = {.open = {">>>"}, .close = "\n", .says = "all", .bare = true},
        .writes = ">>>%n\n%j",
    },
    {
        .name = "minimax-m3",
        .told = {M3},
        .calls = {"%(" M3 "<tool_call>%)" M3 "<invoke name=\"%n\">%x"
                  "%(" M3 "</tool_call>%)"},
        .parameter = M3 "<%k>%v" M3 "</%k>",
        .mark = M3,
        .writes = "%(" M3 "<tool_call>%)" M3 "<invoke name=\"%n\">%p" M3 "</invoke>%(" M3
                  "</tool_call>%)",
        .think = {"<mm:think>", "</mm:think>"},
    },
    {
        .name = "minimax-m2",
        .told = {"minimax:tool_call"},
        .calls = {"%(<minimax:tool_call>%)<invoke name=\"%n\">%p</invoke>%(</minimax:tool_call>%)"},
        .parameter = "<parameter name=\"%k\">%v</parameter>",
    },
    {
        .name = "deepseek-v3.2",
        .told = {DSML, "function_calls"},
        .calls = {DSML_CALLS("function_calls")},
        .parameter = DSML_PARAMETER,
    },
    {
        .name = "deepseek-v4",
        .told = {DSML},
        .calls = {DSML_CALLS("tool_calls")},
        .parameter = DSML_PARAMETER,
    },
    {
        .name = "deepseek-v3",
        .told = {DS_CALL, "```json"},
        .calls = {"%(" DS_BEGIN "%)" DS_CALL "function" DS_SEP "%n```json%j```%_" DS_END
                  "%_" DS_ALL_END},
        .calls_end_thoughts = true,
    },
    {
        .name = "deepseek-v3.1",
        .told = {DS_CALL},
        .calls = {"%(" DS_BEGIN "%)" DS_CALL "%n" DS_SEP "%j" DS_END "%(" DS_ALL_END "%)"},
        .calls_end_thoughts = true,
    },
    {
        .name = "kimi-k3",
        .told = {"<|open|>", "<|sep|>"},
        .calls = {"%(<|open|>tools<|sep|>%)<|open|>call tool=\"%n\" index=\"%d\"<|sep|>%p"
                  "<|close|>call<|sep|>%(<|close|>tools<|sep|>%)"},
        .parameter = "<|open|>argument key=\"%k\" type=\"%t\"<|sep|>%v<|close|>argument<|sep|>",
        .think = {"<|open|>think<|sep|>", "<|close|>think<|sep|>", true},
        .drops = {"<|open|>response<|sep|>", "<|close|>response<|sep|>", "<|close|>message<|sep|>"},
    },
    {
        .name = "kimi-k2",
        .told = {"<|tool_call_argument_begin|>"},
        .calls = {"%(<|tool_calls_section_begin|>%)<|tool_call_begin|>%f"
                  "<|tool_call_argument_begin|>%j<|tool_call_end|>%(<|tool_calls_section_end|>%)"},
        .calls_end_thoughts = true,
    },
    {
        .name = "hunyuan",
        .told = {"<tool_sep", "arg_key"},
        .calls = {"%(<tool_calls" HY ">%)<tool_call" HY ">%n<tool_sep" HY ">%p</tool_call" HY ">"
                  "%(</tool_calls" HY ">%)"},
        .parameter = "<arg_key" HY ">%k</arg_key" HY ">%_<arg_value" HY ">%v</arg_value" HY ">",
        .think = {"<think" HY ">", "</think" HY ">"},
    },
    {
        .name = "glm",
        .told = {"<arg_key>"},
        .calls = {"<tool_call>%n%p</tool_call>"},
        .parameter = GLM_PARAMETER,
    },
    {
        .name = "seed-oss",
        .told = {"<seed:tool_call>"},
        .calls = {"%(<seed:tool_call>%)<function=%n>%p</function>%(</seed:tool_call>%)"},
        .parameter = XML_PARAMETER,
        .think = {"<seed:think>", "</seed:think>"},
    },
    {
        .name = "qwen3-coder",
        .told = {"<function=", "<parameter="},
        .calls = {"%(<tool_call>%)<function=%n>%p</function>%(</tool_call>%)"},
        .parameter = XML_PARAMETER,
    },
    {
        .name = "minicpm5",
        .told = {"<function name=", "<param name="},
        .calls = {"<function name=\"%n\">%p</function>"},
        .parameter = "<param name=\"%k\">%(<![CDATA[%)%v%(]]>%)</param>",
    },
    {
        .name = "functionary-v3.1",
        .told = {"<function="},
        .calls = {"<function=%n>%j</function>", "<|python_tag|>%b"},
    },
    {
        .name = "mistral-v11",
        .told = {"[TOOL_CALLS]", "[ARGS]"},
        .calls = {"[TOOL_CALLS]%n%([CALL_ID]%i%)[ARGS]%j"},
        .think = {"[THINK]", "[/THINK]", true},
    },
    {
        .name = "mistral",
        .told = {"[TOOL_CALLS]"},
        .calls = {"[TOOL_CALLS]%c"},
        .list = true,
        .think = {"[THINK]", "[/THINK]", true},
    },
    {
        .name = "command-r7b",
        .told = {"<|START_ACTION|>"},
        .calls = {"<|START_ACTION|>%c<|END_ACTION|>"},
        .think = {"<|START_THINKING|>", "<|END_THINKING|>", true},
        .drops = {"<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>", "<|END_TEXT|>"},
        .object = "{\"tool_call_id\": \"%d\", \"tool_name\": \"%n\", \"parameters\": %j}",
        .list = true,
    },
    {
        .name = "command-r",
        .told = {"Action:", "\"tool_name\""},
        .calls = {"Action:%_```json%c```"},
        .object = "{\"tool_name\": \"%n\", \"parameters\": %j}",
        .list = true,
    },
    {
        .name = "solar",
        .told = {"<|tool_call:begin|>"},
        .calls = {"%(<|tool_calls|>%)<|tool_call:begin|>%i<|tool_call:name|>%n<|tool_call:args|>%j"
                  "<|tool_call:end|>"},
        .think = {"<|think|>", "<|end|>", true},
        .drops = {"<|begin|>assistant", "<|content|>", "<|end|>", "<|calls|>", "<|flush|>"},
    },
    {
        .name = "gigachat3.1",
        .told = {"<|function_call|>"},
        .calls = {"<|function_call|>%c"},
        .drops = {"<|message_sep|>"},
    },
    {
        .name = "gigachat3",
        .told = {"function call", "<|role_sep|>"},
        .calls = {"function call<|role_sep|>%c"},
        .drops = {"<|message_sep|>"},
    },
    {
        .name = "nemotron-v2",
        .told = {"<TOOLCALL>"},
        .calls = {"<TOOLCALL>%c</TOOLCALL>"},
        .list = true,
    },
    {
        .name = "apertus",
        .told = {"<|tools_prefix|>"},
        .calls = {"<|tools_prefix|>%a<|tools_suffix|>"},
        .think = {"<|inner_prefix|>", "<|inner_suffix|>", true},
    },
    {
        .name = "firefunction",
        .told = {"functools["},
        .calls = {"functools%c"},
        .list = true,
    },
    {
        .name = "gemma4",
        .told = {"<|tool_call>"},
        .calls = {"<|tool_call>call:%n%g<tool_call|>"},
        .mark = "<|\"|>",
        .think = {"<|channel>thought", "<channel|>", true},
    },
    {
        .name = "functiongemma",
        .told = {"<start_function_call>"},
        .calls = {"<start_function_call>call:%n%g<end_function_call>"},
        .mark = "<escape>",
    },
    {
        .name = "lfm2",
        .told = {"List of tools: ", "<|im_start|>"},
        .calls = {"<|tool_call_start|>%b<|tool_call_end|>"},
    },
    {
        .name = "phi4-mini",
        .told = {"<|tool|>", "<|/tool|>"},
        .calls = {"<|tool_call|>%c<|/tool_call|>"},
        .list = true,
    },
    {
        .name = "granite3",
        .told = {"<|start_of_role|>available_tools"},
        .calls = {"<|tool_call|>%c", "<tool_call>%c</tool_call>"},
        .list = true,
        .drops = {"<response>", "</response>"},
    },
    {
        .name = "tool-calls",
        .told = {"<tool_calls>"},
        .calls = {"<tool_calls>%c</tool_calls>"},
        .list = true,
        .drops = {"[BEGIN FINAL RESPONSE]", "[END FINAL RESPONSE]"},
    },
    {
        .name = "llama4",
        .told = {"<|header_start|>"},
        .calls = {"<|python_start|>%b<|python_end|>", "^%b"},
        .writes = "^%y",
    },
    {
        .name = "llama3",
        .told = {"<|start_header_id|>", "\"parameters\": "},
        .calls = {"<|python_tag|>%b", "^%b", "<function=%n>%j</function>"},
        .writes = "^%c",
        .object = "{\"name\": \"%n\", \"parameters\": %j}",
    },
    {
        .name = "gemma",
        .told = {"<start_of_turn>"},
        .calls = {"```tool_code%_%y%_```"},
    },
    {
        .name = "hermes",
        .told = {"<tool_call>"},
        .calls = {"<tool_call>%c</tool_call>"},
    },
};
enum { N_FORMS = sizeof forms / sizeof *forms };

/* Marks of reasoning that templates of several forms show; the first stands for all others. */
static const AnswerThink thinks[] = {
    {"<think>", "</think>", false},
    {"Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]", false},
    {"<seed:think>", "</seed:think>", false},
    {"<thought>", "</thought>", false},
    {"[THINK]", "[/THINK]", false},
};
enum { N_THINKS = sizeof thinks / sizeof *thinks };

static bool has(Span text, const char *what)
{
    size_t n = strlen(what);
    if (text.size < n) return false;
    const char *at = text.data, *end = at + text.size;
    while (at && (size_t)(end - at) >= n && (at = memchr(at, *what, (size_t)(end - at) - n + 1))) {
        if (memcmp(at, what, n) == 0) return true;
        at++;
    }
    return false;
}

const AnswerForm *answer_form_of(Span jinja)
{
    for (size_t i = 0; i < N_FORMS; i++) {
        bool all = true;
        for (size_t j = 0; j < 3 && forms[i].told[j]; j++) all &= has(jinja, forms[i].told[j]);
        if (all) return &forms[i];
    }
    return &forms[N_FORMS - 1];
}

AnswerThink answer_think_of(const AnswerForm *form, Span jinja)
{
    if (form->think.open) return form->think;
    for (size_t i = 1; i < N_THINKS; i++)
        if (has(jinja, thinks[i].open) && !has(jinja, thinks[0].open)) return thinks[i];
    return thinks[0];
}

bool answer_think_shown(AnswerThink think, Span jinja)
{
    return has(jinja, think.open) || has(jinja, think.close);
}

const AnswerForm *answer_form_named(const char *name)
{
    for (size_t i = 0; i < N_FORMS; i++)
        if (strcmp(forms[i].name, name) == 0) return &forms[i];
    return NULL;
}

const AnswerForm *answer_form_at(size_t i)
{
    return i < N_FORMS ? &forms[i] : NULL;
}
