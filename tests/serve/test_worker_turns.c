/* Conversations that go on, on models of all kinds of memory: the next turn begins where the last
 * prompt did, also where layers forget; what changes in each request does not spoil that. Thoughts
 * that are ended when they have become as long as they may. Gaps that are filled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "desk.h"
#include "dress.h"
#include "support/scratch.h"

/* Opens a thought that it does not repeat in the next turn, as reasoning models' do. */
static const char thinks[] =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}";

#define SYSTEM "{\"role\": \"system\", \"content\": \"answer in a few words and be kind to cats\"}"
#define ASK    "{\"role\": \"user\", \"content\": \"which cat of the two is the older one\"}"
#define SAID   "{\"role\": \"assistant\", \"content\": \"the grey cat\"}"
#define AGAIN  "{\"role\": \"user\", \"content\": \"and the other\"}"

static long long count(Desk *desk, const char *text)
{
    char body[256];
    snprintf(body, sizeof body, "{\"content\": \"%s\", \"parse_special\": true}", text);
    json_t *a = desk_good(desk, "/tokenize", body);
    long long n = (long long)json_array_size(desk_at(a, "tokens"));
    json_decref(a);
    return n;
}

static void second_turn(const char *family)
{
    static const char turn[] = "{\"max_tokens\": 4, \"temperature\": 0, \"messages\": [%s]}";
    const Dress dress = {.chat_template = thinks};
    const WorkerModel options = {.one_thread = true, .n_ctx = 256, .n_running = 2};
    char body[1024];
    Desk desk;
    desk_open(&desk, dress_family(family, &dress, "turns.gguf"), &options);
    snprintf(body, sizeof body, turn, SYSTEM "," ASK);
    json_t *a = desk_good(&desk, "/v1/chat/completions", body);
    long long first = desk_number(a, "usage.prompt_tokens");
    assert_int_equal(desk_number(a, "usage.prompt_tokens_details.cached_tokens"), 0);
    json_decref(a);
    long long opens = count(&desk, "<|im_start|>assistant\\n<think>\\n");
    assert_true(first > 80 && opens > 10);
    snprintf(body, sizeof body, turn, SYSTEM "," ASK "," SAID "," AGAIN);
    a = desk_good(&desk, "/v1/chat/completions", body);
    long long cached = desk_number(a, "usage.prompt_tokens_details.cached_tokens");
    if (cached < first - opens)
        fail_msg("%s: %d of %d tokens were there, not %d", family, (int)cached, (int)first,
                 (int)(first - opens));
    json_decref(a);
    desk_close(&desk);
}

static void second_turns(void **state)
{
    (void)state;
    static const char *const families[] = {"llama-llama3", "exaone4-window", "gemma3n",  "lfm2",
                                           "mamba2",       "falcon-h1",      "qwen3next"};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) second_turn(families[i]);
}

/* What was said before is still there after as many others as may run at once. */
static void remembered_beside_those_that_run(void **state)
{
    (void)state;
    const Dress dress = {.chat_template = thinks};
    const WorkerModel options = {.one_thread = true, .n_ctx = 256, .n_running = 2};
    static const char turn[] = "{\"max_tokens\": 2, \"messages\": [" SYSTEM
                               ", {\"role\": \"user\", \"content\": \"%c%c%c%c question\"}]}";
    char body[512];
    Desk desk;
    desk_open(&desk, dress_family("mamba2", &dress, "beside.gguf"), &options);
    for (int i = 0; i < 4; i++) {
        int c = "abca"[i];
        snprintf(body, sizeof body, turn, c, c, c, c);
        json_t *a = desk_good(&desk, "/v1/chat/completions", body);
        long long cached = desk_number(a, "usage.prompt_tokens_details.cached_tokens");
        if (i == 3) assert_int_equal(cached, desk_number(a, "usage.prompt_tokens") - 1);
        json_decref(a);
    }
    json_t *slots = desk_good(&desk, "/slots", NULL);
    assert_int_equal(json_array_size(slots), 2);
    json_decref(slots);
    desk_close(&desk);
}

/* A client's billing line changes in each request; the beginning is shared all the same. */
static void a_line_that_changes(void **state)
{
    (void)state;
    static const char turn[] =
        "{\"max_tokens\": 2, \"system\": [{\"type\": \"text\", \"text\": "
        "\"x-anthropic-billing-header: cc_version=%d; cch=%d;\"}, {\"type\": \"text\", \"text\": "
        "\"you answer in a few words and you are kind to all cats\"}], \"messages\": [" ASK "]}";
    const Dress dress = {.chat_template = thinks};
    const WorkerModel options = {.one_thread = true, .n_ctx = 256, .n_running = 2};
    char body[512];
    Desk desk;
    desk_open(&desk, dress_family("exaone4-window", &dress, "line.gguf"), &options);
    for (int i = 0; i < 3; i++) {
        snprintf(body, sizeof body, turn, 7 * i, 5555 - 31 * i);
        json_t *a = desk_good(&desk, "/v1/messages", body);
        if (i == 0) assert_true(desk_number(a, "usage.input_tokens") > 100);
        if (i > 0) assert_int_equal(desk_number(a, "usage.input_tokens"), 1);
        if (i > 0) assert_true(desk_number(a, "usage.cache_read_input_tokens") > 100);
        json_decref(a);
    }
    desk_close(&desk);
}

/* ---- thoughts ---- */

static const char *block(const json_t *answer, size_t i, const char *kind)
{
    char path[48];
    snprintf(path, sizeof path, "content.%zu.type", i);
    if (!desk_at(answer, path) || strcmp(desk_text(answer, path), kind) != 0) return NULL;
    snprintf(path, sizeof path, "content.%zu.%s", i, kind);
    return desk_text(answer, path);
}

#define THINK                                                                                      \
    "{\"max_tokens\": %d, \"temperature\": 0, \"messages\": [{\"role\": \"user\", \"content\": "   \
    "\"tell "                                                                                      \
    "me of %c\"}], \"thinking\": {\"type\": \"%s\"%s}%s}"

/* The same thought with a bound and without; how long it is without. */
static size_t bounded_or_not(Desk *desk, int of)
{
    char body[512], first[64];
    snprintf(body, sizeof body, THINK, 60, of, "enabled", ", \"budget_tokens\": 9", "");
    json_t *a = desk_good(desk, "/v1/messages", body);
    const char *thought = block(a, 0, "thinking"), *text = block(a, 1, "text");
    assert_non_null(thought);
    if (strlen(thought) > 9) fail_msg("%s", thought);
    if (text) assert_null(strstr(text, "think>"));
    bool goes_on = text && strlen(text) > 4;
    snprintf(first, sizeof first, "%s", thought);
    json_decref(a);
    snprintf(body, sizeof body, THINK, 60, of, "adaptive", "", "");
    a = desk_good(desk, "/v1/messages", body);
    thought = block(a, 0, "thinking");
    assert_non_null(thought);
    assert_memory_equal(thought, first, strlen(first));
    size_t n = goes_on ? strlen(thought) : 0;
    json_decref(a);
    return n;
}

static void thoughts_have_a_bound(void **state)
{
    (void)state;
    const Dress dress = {.chat_template = thinks};
    const WorkerModel options = {.one_thread = true, .n_ctx = 512, .n_running = 2};
    size_t longest = 0;
    char body[1024];
    Desk desk;
    desk_open(&desk, dress_family("llama-llama3", &dress, "think.gguf"), &options);
    for (int of = 'a'; of <= 'h'; of++) { /* some end before their time */
        size_t n = bounded_or_not(&desk, of);
        if (n > longest) longest = n;
    }
    assert_true(longest > 20);

    /* not shown where nobody asked for them */
    snprintf(body, sizeof body, THINK, 60, 'a', "disabled", "", "");
    json_t *a = desk_good(&desk, "/v1/messages", body);
    assert_null(block(a, 0, "thinking"));
    json_decref(a);

    /* a held answer begins where the thought was ended */
    snprintf(body, sizeof body, THINK, 200, 'a', "enabled", ", \"budget_tokens\": 5",
             ", \"output_config\": {\"format\": {\"type\": \"json_schema\", \"schema\": {\"type\": "
             "\"object\", \"properties\": {\"n\": {\"enum\": [1, 2]}}, \"required\": [\"n\"], "
             "\"additionalProperties\": false}}}");
    a = desk_good(&desk, "/v1/messages", body);
    assert_true(strlen(block(a, 0, "thinking")) <= 5);
    json_t *said = json_loads(block(a, 1, "text"), 0, NULL);
    assert_true(json_is_integer(json_object_get(said, "n")));
    json_decref(said);
    json_decref(a);
    desk_close(&desk);
}

/* A character as any other: what was said ends nowhere in its middle, and the thought that the
 * template opened behind it is known to be open. */
static void texts_with_a_nul(void **state)
{
    (void)state;
    static const char said[] = "[{\"role\": \"user\", \"content\": \"tell \\u0000me\"}]";
    static const char prompt[] = "<|im_start|>user\ntell \0me<|im_end|>\n<|im_start|>assistant\n"
                                 "<think>\n";
    const Dress dress = {.chat_template = thinks};
    const WorkerModel options = {.one_thread = true, .n_ctx = 512, .n_running = 2};
    char body[512];
    Desk desk;
    desk_open(&desk, dress_family("llama-llama3", &dress, "nul.gguf"), &options);
    snprintf(body, sizeof body, "{\"messages\": %s}", said);
    json_t *a = desk_good(&desk, "/apply-template", body);
    const json_t *text = json_object_get(a, "prompt");
    assert_int_equal(json_string_length(text), sizeof prompt - 1);
    assert_memory_equal(json_string_value(text), prompt, sizeof prompt - 1);
    json_decref(a);
    snprintf(body, sizeof body,
             "{\"max_tokens\": 6, \"temperature\": 0, \"thinking\": {\"type\": \"adaptive\"}, "
             "\"messages\": %s}",
             said);
    a = desk_good(&desk, "/v1/messages", body);
    assert_non_null(block(a, 0, "thinking"));
    json_decref(a);
    desk_close(&desk);
}

/* ---- gaps ---- */

/* The answer to a prompt of ids and texts as they stand. */
static void as_it_stands(Desk *desk, const char *prompt, const char *want, long long tokens)
{
    char body[512];
    snprintf(body, sizeof body, "{\"prompt\": %s, \"n_predict\": 12, \"temperature\": 0}", prompt);
    json_t *a = desk_good(desk, "/completion", body);
    assert_string_equal(desk_text(a, "content"), want);
    if (tokens) assert_int_equal(desk_number(a, "tokens_evaluated"), tokens);
    json_decref(a);
}

static void gaps(void **state)
{
    (void)state;
    const Dress dress = {.control = {"[P]", "[S]", "[M]", "[R]", "[F]"},
                         .key = {"fim_pre_token_id", "fim_suf_token_id", "fim_mid_token_id",
                                 "fim_rep_token_id", "fim_sep_token_id"}};
    const WorkerModel options = {.one_thread = true, .n_ctx = 256, .n_running = 2};
    Desk desk;
    desk_open(&desk, dress_family("llama-llama3", &dress, "fill.gguf"), &options);
    json_t *a =
        desk_good(&desk, "/infill",
                  "{\"input_prefix\": \"if a \", \"input_suffix\": \" end\", \"n_predict\": "
                  "12, \"temperature\": 0}");
    as_it_stands(&desk, "[5, \"if a \", 6, \" end\", 7]", desk_text(a, "content"),
                 desk_number(a, "tokens_evaluated"));
    json_t *b = desk_good(&desk, "/v1/completions",
                          "{\"prompt\": \"if a \", \"suffix\": \" end\", \"max_tokens\": 12, "
                          "\"temperature\": 0}");
    assert_string_equal(desk_text(b, "choices.0.text"), desk_text(a, "content"));
    json_decref(a);
    json_decref(b);
    a = desk_good(&desk, "/infill",
                  "{\"input_prefix\": \"if a \", \"input_suffix\": \" end\", \"prompt\": \"then\", "
                  "\"input_extra\": [{\"filename\": \"a.c\", \"text\": \"one\"}, {\"filename\": "
                  "\"b.c\", \"text\": \"two\"}], \"n_predict\": 12, \"temperature\": 0}");
    as_it_stands(&desk,
                 "[8, \"project\\n\", 9, \"a.c\", \"\\n\", \"one\", 9, \"b.c\", \"\\n\", \"two\", "
                 "9, \"filename\", \"\\n\", 5, \"if a \", 6, \" end\", 7, \"then\"]",
                 desk_text(a, "content"), desk_number(a, "tokens_evaluated"));
    json_decref(a);
    /* tokens of the prompt that look like marks are text */
    a = desk_good(&desk, "/infill",
                  "{\"input_prefix\": \"[M]\", \"input_suffix\": \"x\", \"n_predict\": 1}");
    assert_true(desk_number(a, "tokens_evaluated") > 5);
    json_decref(a);
    desk_close(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(second_turns),        cmocka_unit_test(remembered_beside_those_that_run),
        cmocka_unit_test(a_line_that_changes), cmocka_unit_test(thoughts_have_a_bound),
        cmocka_unit_test(texts_with_a_nul),    cmocka_unit_test(gaps),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
