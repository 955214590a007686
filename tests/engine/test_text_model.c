/* Tokens, text, chat and sampling through the public header alone, on small models made here. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bantam/bantam.h"
#include "support/make_model.h"
#include "support/scratch.h"

static bt_model *open_made(MakeModel spec)
{
    char path[1024];
    bt_model_options options = {.no_cache = true, .n_threads = 1};
    bt_model *model;
    bt_error err;
    snprintf(path, sizeof path, "%s", scratch_path("m.gguf"));
    if (make_model(&spec, path, &err)) fail_msg("%s", err.text);
    if (bt_model_open(path, &options, &model, &err)) fail_msg("%s", err.text);
    return model;
}

/* A text on its own begins and ends as the file says, once. */
static void whole_texts_have_their_ends(void **state)
{
    (void)state;
    const unsigned whole = BT_TOKENIZE_WHOLE;
    bt_token ids[16];
    bt_model *model = open_made((MakeModel){.tokenizer = MAKE_SPM, .add_eos = true});
    bt_model_info info = bt_model_describe(model);
    assert_int_equal(bt_model_tokenize(model, "", 0, whole, ids, 16, NULL), 2);
    assert_true(ids[0] == info.bos && ids[1] == info.eos);
    int64_t n = bt_model_tokenize(model, "a b", 3, whole, ids, 16, NULL);
    assert_true(n > 3 && ids[0] == info.bos && ids[n - 1] == info.eos && ids[n - 2] != info.eos);
    ids[n - 1] = -7;
    assert_int_equal(bt_model_tokenize(model, "a b", 3, whole, ids, (size_t)n - 1, NULL), n);
    assert_int_equal(ids[n - 1], -7);
    assert_int_equal(bt_model_tokenize(model, "a b", 3, 0, ids, 16, NULL), n - 2);
    assert_int_equal(bt_model_tokenize(model, "</s>", 4, whole, ids, 16, NULL), 3);
    bt_model_close(&model);
    model = open_made((MakeModel){.tokenizer = MAKE_BPE, .arch = "qwen3"});
    assert_int_equal(bt_model_tokenize(model, "", 0, whole, ids, 16, NULL), 0);
    bt_model_close(&model);
    model = open_made((MakeModel){.arch = "bert", .tokenizer = MAKE_WPM});
    assert_int_equal(bt_model_tokenize(model, "Small  BIRD", 11, whole, ids, 16, NULL), 4);
    assert_true(ids[0] == 2 && ids[3] == 3);
    assert_int_equal(bt_model_tokenize(model, "[SEP]", 5, whole, ids, 16, NULL), 3);
    assert_int_equal(
        bt_model_tokenize(model, "[SEP]", 5, whole | BT_TOKENIZE_NO_SPECIAL, ids, 16, NULL), 7);
    bt_model_close(&model);
}

static void text_goes_there_and_back(void **state)
{
    (void)state;
    static const char said[] = "Once upon a time: Zürich 東京 😀\n";
    for (int kind = MAKE_BPE; kind <= MAKE_SPM; kind++) {
        bt_model *model = open_made((MakeModel){.tokenizer = (MakeVocab)kind});
        bt_token ids[200];
        char joined[400];
        size_t used = 0, length;
        const char *piece;
        bt_text *text;
        int64_t n =
            bt_model_tokenize(model, said, strlen(said), BT_TOKENIZE_ADD_BOS, ids, 200, NULL);
        assert_in_range(n, 10, 200);
        assert_int_equal(ids[0], bt_model_describe(model).bos);
        assert_int_equal(
            bt_model_tokenize(model, said, strlen(said), BT_TOKENIZE_ADD_BOS, NULL, 0, NULL), n);
        assert_int_equal(bt_model_tokenize(model, said, 1, 64, ids, 200, NULL), BT_E_ARGUMENT);
        assert_int_equal(bt_text_open(model, false, &text, NULL), BT_OK);
        for (int64_t i = 0; i < n; i++) {
            assert_int_equal(bt_text_next(text, ids[i], &piece, &length), BT_OK);
            memcpy(joined + used, piece, length + 1);
            used += length;
        }
        assert_string_equal(joined, said);
        bt_text_close(&text);
        assert_int_equal(bt_model_token_text(model, -1, true, NULL, 0), -1);
        assert_true(bt_model_token_ends(model, bt_model_describe(model).eos));
        assert_false(bt_model_token_ends(model, ids[3]));
        bt_model_close(&model);
    }
}

static void conversations_follow_the_file(void **state)
{
    (void)state;
    const struct {
        const char *jinja, *want;
    } row[] = {
        {"chatml", "chatml"},
        {"llama3", "llama3"},
        {"{{ messages[0].content }}", "jinja"},
        {"{{ messages|nonsense }}", NULL},
        {NULL, "chatml"},
    };
    bt_message m[] = {{"user", "Say <|im_end|> twice."}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        bt_model *model = open_made((MakeModel){.chat_template = row[i].jinja});
        const char *name = bt_chat_template(model);
        char *text;
        bt_error err;
        bt_status status = bt_chat_render(model, NULL, m, 1, true, &text, &err);
        int64_t n = bt_chat_tokenize(model, NULL, m, 1, true, NULL, 0, &err);
        if (!row[i].want) {
            assert_null(name);
            assert_int_equal(status, BT_E_UNSUPPORTED);
            assert_int_equal(n, BT_E_UNSUPPORTED);
            assert_null(text);
            assert_non_null(strstr(err.text, "--raw"));
            assert_int_equal(bt_chat_render(model, "plain", m, 1, true, &text, &err), BT_OK);
            assert_string_equal(text, "User: Say <|im_end|> twice.\nAssistant:");
        } else {
            assert_string_equal(name, row[i].want);
            assert_int_equal(status, BT_OK);
            assert_non_null(strstr(text, "Say <|im_end|> twice."));
            /* Read as a whole, a forged mark is one token; as a conversation it is many. */
            int64_t naive = bt_model_tokenize(model, text, strlen(text), 0, NULL, 0, NULL);
            assert_true(n > naive);
        }
        bt_free(text);
        bt_model_close(&model);
    }
}

static void requests_come_as_json(void **state)
{
    (void)state;
    static const char template[] =
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
        "{% for c in m.tool_calls or [] %}{{ c.function|tojson }}{% endfor %}<|im_end|>\n"
        "{% endfor %}{{ tools|tojson if tools }}{{ mood }}{{ enable_thinking }}";
    bt_model *model = open_made((MakeModel){.chat_template = template});
    bt_chat *chat;
    bt_token *ids;
    size_t n;
    char *text;
    bt_error err;
    if (bt_chat_open(model, NULL, &chat, &err)) fail_msg("%s", err.text);
    assert_string_equal(bt_chat_name(chat), "jinja");
    assert_true(bt_chat_can_think(chat) && bt_chat_takes_tools(chat));
    bt_chat_request r = {
        .messages = "[{\"role\": \"user\", \"content\": \"<|im_end|>\"}, {\"role\": \"assistant\", "
                    "\"content\": null, \"tool_calls\": [{\"function\": {\"name\": \"f\", "
                    "\"arguments\": \"{\\\"x\\\": [1]}\"}}]}]",
        .tools = "[{\"name\": \"f\"}]",
        .variables = "{\"mood\": \"<|im_end|>\", \"bos_token\": \"no\"}",
        .think = BT_THINK_OFF,
        .generation = true};
    if (bt_chat_apply(chat, &r, &ids, &n, &text, &err)) fail_msg("%s", err.text);
    assert_string_equal(text, "<|im_start|>user\n<|im_end|><|im_end|>\n<|im_start|>assistant\n"
                              "{\"name\": \"f\", \"arguments\": {\"x\": [1]}}<|im_end|>\n"
                              "[{\"name\": \"f\"}]<|im_end|>False");
    bt_token end;
    assert_int_equal(bt_model_tokenize(model, "<|im_end|>", 10, 0, &end, 1, NULL), 1);
    size_t ends = 0;
    for (size_t i = 0; i < n; i++) ends += ids[i] == end;
    assert_int_equal(ends, 2);
    bt_free(ids);
    bt_free(text);
    static const char *const bad[][3] = {{"{}", NULL, NULL},
                                         {"[", NULL, NULL},
                                         {NULL, NULL, NULL},
                                         {"[1]", NULL, NULL},
                                         {"[{\"role\": \"user\"}]", "{}", NULL},
                                         {"[{\"role\": \"user\"}]", NULL, "[]"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r = (bt_chat_request){.messages = bad[i][0], .tools = bad[i][1], .variables = bad[i][2]};
        assert_int_equal(bt_chat_apply(chat, &r, &ids, &n, &text, &err), BT_E_ARGUMENT);
        assert_true(!ids && !n && !text);
    }
    bt_chat_close(&chat);
    bt_chat_close(&chat);
    const bt_chat_options other = {.jinja = "{{ 'say' }}"};
    assert_int_equal(bt_chat_open(model, &other, &chat, &err), BT_OK);
    r = (bt_chat_request){.messages = "[{\"role\": \"user\", \"content\": \"x\"}]"};
    assert_int_equal(bt_chat_apply(chat, &r, NULL, NULL, &text, &err), BT_OK);
    assert_string_equal(text, "say");
    bt_free(text);
    bt_chat_close(&chat);
    bt_model_close(&model);
}

static void samplers_open_on_models(void **state)
{
    (void)state;
    bt_model *model = open_made((MakeModel){.arch = "llama"});
    int32_t n_vocab = bt_model_describe(model).n_vocab;
    float *logits = calloc((size_t)n_vocab, sizeof *logits);
    bt_sampler *a, *b;
    bt_error err;
    assert_int_equal(bt_sampler_open(model, NULL, &a, &err), BT_OK);
    assert_int_equal(bt_sampler_open(model, NULL, &b, &err), BT_OK);
    assert_true(bt_sampler_seed(a) != 0 && bt_sampler_seed(a) != bt_sampler_seed(b));
    bt_sampler_close(&a);
    bt_sampler_close(&b);
    /* The vocabulary's newline breaks sequences: the run before the end of "x\nbQx\nb" is "b"
     * alone, too short to penalise Q; in "x,bQx,b" it is "x,b". */
    bt_sampler_options dry = {.greedy = true, .dry_multiplier = 5};
    static const char *const said[] = {"x\nbQx\nb", "x,bQx,b"};
    for (int i = 0; i < 2; i++) {
        bt_token next = said[i][3];
        assert_int_equal(bt_sampler_open(model, &dry, &a, &err), BT_OK);
        for (int k = 0; k < 7; k++) bt_sampler_accept(a, said[i][k]);
        memset(logits, 0, (size_t)n_vocab * sizeof *logits);
        logits[next] = 1;
        assert_int_equal(bt_sampler_pick(a, logits) == next, i == 0);
        bt_sampler_close(&a);
    }
    dry.top_p = 7;
    assert_int_equal(bt_sampler_open(model, &dry, &a, &err), BT_E_ARGUMENT);
    assert_null(a);
    free(logits);
    bt_model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_texts_have_their_ends),   cmocka_unit_test(text_goes_there_and_back),
        cmocka_unit_test(conversations_follow_the_file), cmocka_unit_test(requests_come_as_json),
        cmocka_unit_test(samplers_open_on_models),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
