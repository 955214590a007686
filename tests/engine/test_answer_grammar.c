/* Calls held by a grammar: for each form a sampler with random logits is pushed into a call and
 * left alone; what it then writes must be read as calls to declared tools with arguments by their
 * schema, whatever the draw. A text that is held comes after the thoughts of each form, which stay
 * free as other text does. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "bantam/bantam.h"
#include "base/buf.h"
#include "engine/grammar.h"
#include "support/make_model.h"
#include "support/scratch.h"
#include "support/torture.h"
#include "text/answer_grammar.h"

enum { MOST_TOKENS = 20000, MOST_VOCAB = 512 };

static const char tools[] =
    "[{\"type\": \"function\", \"function\": {\"name\": \"get_weather\", \"parameters\": "
    "{\"type\": "
    "\"object\", \"properties\": {\"city\": {\"type\": \"string\", \"enum\": [\"Rome\", "
    "\"Z\xc3\xbcrich "
    "<b>\"]}, \"days\": {\"type\": \"integer\", \"minimum\": 0, \"maximum\": 12}, \"hot\": "
    "{\"type\": "
    "\"boolean\"}, \"tags\": {\"type\": \"array\", \"items\": {\"$ref\": \"#/$defs/tag\"}, "
    "\"maxItems\": 2}}, \"required\": [\"city\", \"days\"], \"$defs\": {\"tag\": {\"enum\": [1, "
    "true]}}}}}, {\"name\": \"now\"}]";

static bt_model *model;
static bt_token end_token;

static int setup(void **state)
{
    (void)state;
    const MakeModel spec = {.chat_template = "chatml"};
    bt_model_options options = {.no_cache = true, .n_threads = 1, .vocab_only = true};
    if (!scratch_open() || make_model(&spec, scratch_path("m.gguf"), NULL)) return -1;
    if (bt_model_open(scratch_path("m.gguf"), &options, &model, NULL)) return -1;
    end_token = bt_model_describe(model).eos;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bt_model_close(&model);
    scratch_close();
    return 0;
}

static float random_logit(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (float)(*seed >> 40) / (float)(1 << 20);
}

/* Picks tokens until the answer ends: first those of `pushed`, byte by byte, then any; the end is
 * taken where it may be. False: the answer is not whole. */
static bool write_answer(bt_grammar *grammar, const char *pushed, uint64_t seed, Buf *out)
{
    bt_sampler *sampler;
    bt_sampler_options options = bt_sampler_defaults();
    float logits[MOST_VOCAB];
    size_t n = (size_t)bt_model_describe(model).n_vocab, at = 0, length = strlen(pushed);
    options.seed = seed;
    assert_true(n <= MOST_VOCAB);
    assert_int_equal(bt_sampler_open(model, &options, &sampler, NULL), BT_OK);
    assert_int_equal(bt_sampler_set_grammar(sampler, grammar, NULL), BT_OK);
    bool ended = false;
    for (int step = 0; step < MOST_TOKENS && !ended; step++) {
        for (size_t i = 0; i < n; i++) logits[i] = random_logit(&seed);
        logits[end_token] = at < length ? -1000 : 1000;
        if (at < length) logits[(unsigned char)pushed[at++]] = 1e6F;
        bt_token token = bt_sampler_pick(sampler, logits);
        ended = bt_model_token_ends(model, token);
        char text[64];
        int64_t size = ended ? 0 : bt_model_token_text(model, token, true, text, sizeof text);
        buf_add(out, text, (size_t)size);
    }
    bool complete = ended && bt_sampler_complete(sampler);
    bt_sampler_close(&sampler);
    return complete;
}

/* The arguments are what the schema of `tools` admits. */
static bool arguments_hold(const char *name, const json_t *a)
{
    static const char *const known[] = {"city", "days", "hot", "tags"};
    size_t n = 0;
    if (strcmp(name, "now") == 0) return json_object_size(a) == 0;
    for (size_t i = 0; i < 4; i++) n += json_object_get(a, known[i]) != NULL;
    const char *city = json_string_value(json_object_get(a, "city"));
    const json_t *days = json_object_get(a, "days"), *hot = json_object_get(a, "hot");
    const json_t *tags = json_object_get(a, "tags");
    for (size_t i = 0; i < json_array_size(tags); i++) {
        const json_t *tag = json_array_get(tags, i);
        if (!json_is_true(tag) && json_integer_value(tag) != 1) return false;
    }
    return n == json_object_size(a) && city &&
           (strcmp(city, "Rome") == 0 || strcmp(city, "Z\xc3\xbcrich <b>") == 0) &&
           json_is_integer(days) && json_integer_value(days) >= 0 &&
           json_integer_value(days) <= 12 && (!hot || json_is_boolean(hot)) &&
           (!tags || (json_is_array(tags) && json_array_size(tags) <= 2));
}

/* Reads the answer; gives how many calls it has. */
static int check_calls(const char *form, const bt_answer_options *options, const Buf *said)
{
    bt_answer *answer;
    bt_answer_event e;
    Buf name = {0}, arguments = {0};
    int calls = 0;
    assert_int_equal(bt_answer_open(model, options, &answer, NULL), BT_OK);
    assert_int_equal(bt_answer_text(answer, said->data, said->size), BT_OK);
    assert_int_equal(bt_answer_end(answer), BT_OK);
    while (bt_answer_next(answer, &e)) {
        if (e.kind == BT_ANSWER_CALL_VOID) fail_msg("%s: void in %s", form, said->data);
        if (e.kind == BT_ANSWER_CALL) {
            buf_clear(&name);
            buf_clear(&arguments);
            buf_text(&name, e.name);
        } else if (e.kind == BT_ANSWER_ARGUMENTS) {
            buf_add(&arguments, e.text, e.length);
        } else if (e.kind == BT_ANSWER_CALL_END) {
            calls++;
            json_t *root = json_loadb(arguments.data, arguments.size, 0, NULL);
            bool tool = strcmp(name.data, "now") == 0 || strcmp(name.data, "get_weather") == 0;
            if (!tool || !json_is_object(root) || !arguments_hold(name.data, root))
                fail_msg("%s: %s(%s) in %s", form, name.data, arguments.data, said->data);
            json_decref(root);
        }
    }
    bt_answer_close(&answer);
    buf_close(&name);
    buf_close(&arguments);
    return calls;
}

/* The text that begins a call, which a random draw would not come upon. */
static const char *trigger(const AnswerForm *form, char out[128])
{
    const char *at = form->writes ? form->writes : form->calls[0];
    if (form->header.bare) return ">>>get"; /* else it may speak to all for ever */
    if (*at == '^') return at[2] == 'y' ? "[" : "{";
    if (strncmp(at, "%(", 2) == 0) at += 2;
    snprintf(out, 128, "%.*s", (int)strcspn(at, "%"), at);
    return out;
}

static void every_form_writes_what_it_reads(void **state)
{
    (void)state;
    const char *name;
    for (size_t i = 0; (name = bt_answer_format_name(i)); i++) {
        bt_answer_options options = {
            .format = name, .tools = tools, .whole_calls = true, .id_seed = 1};
        bt_grammar *grammar;
        bt_error err;
        char first[128];
        const AnswerForm *form = answer_form_named(name);
        if (form->header.bare) options.prompt = "all"; /* a header is closed */
        if (strcmp(name, "harmony") == 0) options.prompt = "<|start|>assistant";
        bt_status status = bt_answer_grammar(model, &options, true, &grammar, &err);
        if (status) fail_msg("%s: %s", name, err.text);
        if (!grammar) fail_msg("%s: its calls are not held", name);
        for (uint64_t seed = 1; seed <= 20; seed++) {
            Buf said = {0};
            if (!write_answer(grammar, trigger(form, first), seed, &said))
                fail_msg("%s: not whole: %s", name, said.data);
            if (check_calls(name, &options, &said) < 1)
                fail_msg("%s: no call in: %s", name, said.data);
            buf_close(&said);
        }
        bt_grammar_close(&grammar);
    }
}

/* Thoughts of the form, as its template would show them to have been written. */
static void write_thought(const AnswerForm *form, bool opened, const char *what, Buf *out)
{
    const AnswerHeader *h = &form->header;
    AnswerThink think = answer_think_of(form, (Span){0});
    if (h->thinks)
        buf_printf(out, "%s%s%s%s%s%s", h->thinks, h->close, what, h->ends[0], h->open[0], h->role);
    else
        buf_printf(out, "%s%s%s", opened ? "" : think.open, what, think.close);
}

/* The answer's parts: thoughts and text. */
static void read_parts(const bt_answer_options *options, const Buf *said, Buf *thought, Buf *text)
{
    bt_answer *answer;
    bt_answer_event e;
    assert_int_equal(bt_answer_open(model, options, &answer, NULL), BT_OK);
    assert_int_equal(bt_answer_text(answer, said->data, said->size), BT_OK);
    assert_int_equal(bt_answer_end(answer), BT_OK);
    while (bt_answer_next(answer, &e))
        if (e.kind == BT_ANSWER_REASONING || e.kind == BT_ANSWER_TEXT)
            buf_add(e.kind == BT_ANSWER_TEXT ? text : thought, e.text, e.length);
    bt_answer_close(&answer);
    buf_char(text, '\0');
    buf_char(thought, '\0');
}

/* What names a tool, in a header or after it. */
static const char *after_header(const AnswerForm *form)
{
    return form->header.bare    ? "now\n"
           : form->header.wraps ? "<atem:function_calls>"
                                : "<|channel|>commentary to=functions.now";
}

/* way 0: no thought; 1: one; 2: one that the prompt has opened. */
static void hold_form(const AnswerForm *form, int way, bool with_tools)
{
    static const char schema[] = "{\"enum\":[\"yes\",[1,true]]}";
    static const char hm[] = "Hm, {\"a\": to=functions.x 7}.";
    const AnswerHeader *h = &form->header;
    AnswerThink think = answer_think_of(form, (Span){0});
    Buf said = {0}, pushed = {0}, prompt = {0}, thought = {0}, text = {0};
    bool thinks = way && (!h->close || h->thinks);
    if (h->close)
        buf_printf(&prompt, "%s%s", h->open[0], h->role ? h->role : "");
    else
        buf_printf(&prompt, "x%s", way == 2 ? think.open : "");
    buf_text(&pushed, "");
    if (thinks) write_thought(form, way == 2, hm, &pushed);
    if (h->close && with_tools && way == 1)
        buf_printf(&pushed, "%s%s", h->wraps ? " to=now<|message|>" : "", after_header(form));
    else if (h->close)
        buf_printf(&pushed, "%s%s", h->says, h->close);
    else if (!thinks) /* a draw may else open a thought, which goes on for ever */
        buf_text(&pushed, "\"");
    buf_char(&pushed, '\0');
    bt_answer_options options = {.format = form->name,
                                 .jinja = think.open,
                                 .prompt = prompt.data,
                                 .tools = with_tools ? tools : NULL,
                                 .id_seed = 1};
    bt_grammar *grammar;
    bt_error err;
    bt_status status = bt_answer_constrain(model, &options, BT_GRAMMAR_SCHEMA, schema,
                                           sizeof schema - 1, &grammar, &err);
    if (status) fail_msg("%s: %s", form->name, err.text);
    for (uint64_t seed = 1; seed <= 8; seed++) {
        buf_clear(&said);
        buf_clear(&text);
        buf_clear(&thought);
        if (!write_answer(grammar, pushed.data, seed, &said))
            fail_msg("%s: not whole: %s", form->name, said.data);
        if (memcmp(said.data, pushed.data, pushed.size - 1) != 0)
            fail_msg("%s: no thought in: %s", form->name, said.data);
        read_parts(&options, &said, &thought, &text);
        if (thinks && strcmp(thought.data, hm) != 0)
            fail_msg("%s: thought '%s' in: %s", form->name, thought.data, said.data);
        bool held = !strcmp(text.data, "\"yes\"") || !strcmp(text.data, "[1,true]");
        if (!held && (!with_tools || check_calls(form->name, &options, &said) < 1))
            fail_msg("%s: text '%s' in: %s", form->name, text.data, said.data);
    }
    bt_grammar_close(&grammar);
    buf_close(&said);
    buf_close(&pushed);
    buf_close(&prompt);
    buf_close(&thought);
    buf_close(&text);
}

static void every_form_thinks_before_what_is_held(void **state)
{
    (void)state;
    const AnswerForm *form;
    for (size_t i = 0; (form = answer_form_at(i)); i++)
        for (int way = 0; way < 3; way++)
            for (int with_tools = 0; with_tools < 2; with_tools++) hold_form(form, way, with_tools);
}

/* What a thought says of calls is no call: gpt-oss may think about to=functions.x. */
static void thoughts_are_free(void **state)
{
    (void)state;
    const AnswerForm *form;
    for (size_t i = 0; (form = answer_form_at(i)); i++) {
        const AnswerHeader *h = &form->header;
        AnswerThink think = answer_think_of(form, (Span){0});
        Buf pushed = {0}, said = {0}, prompt = {0};
        char first[128];
        bt_grammar *grammar;
        if (h->close && !h->thinks) continue;
        buf_printf(&prompt, "%s%s", h->close ? h->open[0] : "x", h->close ? h->role : "");
        bt_answer_options options = {.format = form->name,
                                     .jinja = think.open,
                                     .tools = tools,
                                     .prompt = prompt.data,
                                     .id_seed = 1};
        buf_printf(&pushed, "%s%sHm, %snope(1)", h->close ? h->thinks : think.open,
                   h->close ? h->close : "", trigger(form, first));
        assert_int_equal(bt_answer_grammar(model, &options, false, &grammar, NULL), BT_OK);
        write_answer(grammar, pushed.data, 1, &said);
        if (memcmp(said.data, pushed.data, pushed.size) != 0)
            fail_msg("%s: '%s' became '%s'", form->name, pushed.data, said.data);
        bt_grammar_close(&grammar);
        buf_close(&pushed);
        buf_close(&said);
        buf_close(&prompt);
    }
}

static void free_text_stays_free(void **state)
{
    (void)state;
    static const char *const texts[] = {"Hello {\"a\": <tool_cal", "<think>\nWell <tool_call> no",
                                        "[1, 2"};
    bt_answer_options options = {.format = "hermes", .tools = tools, .id_seed = 1};
    for (size_t i = 0; i < 3; i++) {
        bt_grammar *grammar;
        Buf said = {0};
        assert_int_equal(bt_answer_grammar(model, &options, false, &grammar, NULL), BT_OK);
        assert_true(write_answer(grammar, texts[i], 1, &said) || i == 1);
        assert_memory_equal(said.data, texts[i], strlen(texts[i]));
        buf_close(&said);
        bt_grammar_close(&grammar);
    }
}

/* Pushed towards a tool that is not there, or arguments that are none, it cannot go. */
static void wrong_calls_cannot_be_written(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "Hm. <tool_call>\n{\"name\": \"gone\", \"arguments\": {}}",
        "Hm. <tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}",
        "Hm. <tool_call>\n{\"name\": \"get_weather\", \"arguments\": {}}\n</tool_call>"};
    bt_answer_options options = {.format = "hermes", .tools = tools, .id_seed = 1};
    bt_grammar *grammar;
    assert_int_equal(bt_answer_grammar(model, &options, false, &grammar, NULL), BT_OK);
    for (size_t i = 0; i < 3; i++) {
        Buf said = {0};
        if (!write_answer(grammar, texts[i], 3, &said)) fail_msg("not whole: %s", said.data);
        assert_memory_equal(said.data, "Hm. <tool_call>", 15);
        assert_int_not_equal(memcmp(said.data, texts[i], strlen(texts[i])), 0);
        assert_true(check_calls("hermes", &options, &said) >= 1);
        buf_close(&said);
    }
    bt_grammar_close(&grammar);
}

/* A vocabulary in which the marks are control tokens. */
enum { CALL, NAME, NOW, GONE, REST, NONE, CLOSE, END_CALL, OTHER, X, EOS, N_TOKENS };

static void expect(GrammarHold *hold, const char *allowed)
{
    float logits[N_TOKENS] = {0}, peak = 0;
    char got[N_TOKENS + 1] = "";
    grammar_restrict(hold, logits, N_TOKENS, &peak);
    for (int i = 0; i < N_TOKENS; i++) got[i] = peak == 0 && logits[i] == 0 ? '1' : '.';
    assert_string_equal(got, allowed);
}

static void control_tokens_begin_and_end_calls(void **state)
{
    (void)state;
    static const Span texts[N_TOKENS] = {
        SPAN("<tool_call>"),
        SPAN("{\"name\": \""),
        SPAN("now"),
        SPAN("gone"),
        SPAN("\", \"arguments\": "),
        SPAN("{}"),
        SPAN("}"),
        SPAN("</tool_call>"),
        SPAN("<other>"),
        SPAN("x"),
        SPAN("<eos>"),
    };
    static const bool control[N_TOKENS] = {[CALL] = 1, [END_CALL] = 1, [OTHER] = 1, [EOS] = 1};
    static const bool ends[N_TOKENS] = {[EOS] = 1};
    const AnswerForm *form = answer_form_named("hermes");
    const AnswerSource source = {.form = form,
                                 .think = answer_think_of(form, (Span){NULL, 0}),
                                 .tools = "[{\"name\": \"now\"}]"};
    GrammarBuilder b = {0};
    GrammarHold hold = {0};
    Grammar *automaton;
    TokenSet *set;
    bt_grammar *grammar;
    uint32_t rule;
    assert_int_equal(answer_grammar(&b, &source, false, &rule, NULL), BT_OK);
    assert_int_equal(grammar_finish(&b, rule, &automaton, NULL), BT_OK);
    builder_close(&b);
    assert_int_equal(token_set_of(texts, control, ends, N_TOKENS, &set, NULL), BT_OK);
    assert_int_equal(grammar_of(&automaton, set, &grammar, NULL), BT_OK);
    grammar_hold(&hold, grammar);
    expect(&hold, "11111111111"); /* free, and may end */
    grammar_advance(&hold, OTHER);
    grammar_advance(&hold, X);
    grammar_advance(&hold, CALL);
    expect(&hold, ".1.........");
    grammar_advance(&hold, NAME);
    expect(&hold, "..1........");
    grammar_advance(&hold, NOW);
    expect(&hold, "....1......");
    grammar_advance(&hold, REST);
    expect(&hold, ".....1.....");
    grammar_advance(&hold, NONE);
    expect(&hold, "......1....");
    grammar_advance(&hold, CLOSE);
    expect(&hold, ".......1...");
    grammar_advance(&hold, END_CALL);
    expect(&hold, "11111111111");
    grammar_release(&hold);
    bt_grammar_close(&grammar);
    token_set_close(&set);
}

static void what_cannot_be_held_is_refused(void **state)
{
    (void)state;
    bt_grammar *grammar;
    bt_error err;
    bt_answer_options options = {.format = "hermes"};
    assert_int_equal(bt_answer_grammar(model, &options, false, &grammar, &err), BT_E_ARGUMENT);
    options.tools = "[]";
    assert_int_equal(bt_answer_grammar(model, &options, false, &grammar, &err), BT_E_ARGUMENT);
    options.tools = "[{\"name\": \"f\", \"parameters\": {\"if\": {}}}]";
    assert_int_equal(bt_answer_grammar(model, &options, false, &grammar, &err), BT_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "tool 'f'"));
}

static bt_status life(void *user, bt_error *err)
{
    bt_grammar *grammar = NULL;
    bt_status status = bt_answer_grammar(model, user, true, &grammar, err);
    bt_grammar_close(&grammar);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    static const char *const forms[] = {"hermes", "qwen3-coder", "lfm2", "gemma4"};
    for (size_t i = 0; i < 4; i++) {
        bt_answer_options options = {.format = forms[i], .tools = tools, .id_seed = 1};
        torture_some(forms[i], life, &options, 30);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_writes_what_it_reads),
        cmocka_unit_test(every_form_thinks_before_what_is_held),
        cmocka_unit_test(thoughts_are_free),
        cmocka_unit_test(free_text_stays_free),
        cmocka_unit_test(wrong_calls_cannot_be_written),
        cmocka_unit_test(control_tokens_begin_and_end_calls),
        cmocka_unit_test(what_cannot_be_held_is_refused),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
