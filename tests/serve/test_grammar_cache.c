/* Grammars that are asked for again: the same one for the same wish, another for all else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "serve/grammar_cache.h"
#include "support/make_model.h"
#include "support/scratch.h"
#include "support/torture.h"

static bt_model *model;

static int setup(void **state)
{
    const MakeModel spec = {.chat_template = "{# <tool_call> #}"};
    const bt_model_options options = {.no_cache = true, .n_threads = 1, .vocab_only = true};
    bt_error err;
    bt_grammar *first;
    if (scratch_setup(state)) return -1;
    const char *path = scratch_path("m.gguf");
    if (make_model(&spec, path, &err) || bt_model_open(path, &options, &model, &err)) return -1;
    /* the vocabulary is sorted for the first: it is the model's, not the cache's */
    if (bt_grammar_open(model, BT_GRAMMAR_GBNF, "root ::= \"a\"", 12, NULL, &first, &err))
        return -1;
    bt_grammar_close(&first);
    return 0;
}

static int teardown(void **state)
{
    bt_model_close(&model);
    return scratch_teardown(state);
}

static bt_grammar *get(GrammarCache *c, HoldKind kind, const char *text, const char *tools,
                       const char *prompt, uint64_t who)
{
    const bt_answer_options answer = {.tools = tools, .prompt = prompt};
    const HoldWish wish = {.kind = kind,
                           .language = BT_GRAMMAR_SCHEMA,
                           .text = span_of(text),
                           .answer = &answer,
                           .principal = who};
    bt_grammar *g;
    bt_error err;
    if (grammar_cache_get(c, &wish, &g, &err)) fail_msg("%s", err.text);
    bt_grammar *same = g;
    bt_grammar_close(&g);
    return same; /* the cache holds it */
}

static void the_same_for_the_same(void **state)
{
    (void)state;
    static const char schema[] = "{\"type\": \"integer\"}";
    static const char tools[] = "[{\"type\": \"function\", \"function\": {\"name\": \"f\"}}]";
    GrammarCache *c;
    bt_grammar *all[8];
    assert_int_equal(grammar_cache_open(model, 0, 0, &c, NULL), BT_OK);
    all[0] = get(c, HOLD_TEXT, schema, NULL, NULL, 0);
    all[1] = get(c, HOLD_SAYS, schema, NULL, "assistant\n", 0);
    all[2] = get(c, HOLD_SAYS, schema, NULL, "assistant\n<think>\n", 0);
    all[3] = get(c, HOLD_SAYS, schema, tools, "assistant\n", 0);
    all[4] = get(c, HOLD_CALLS, NULL, tools, "assistant\n", 0);
    all[5] = get(c, HOLD_MUST_CALL, NULL, tools, "assistant\n", 0);
    all[6] = get(c, HOLD_TEXT, "{\"type\": \"string\"}", NULL, NULL, 0);
    all[7] = get(c, HOLD_TEXT, schema, NULL, NULL, 9);
    for (size_t i = 0; i < 8; i++)
        for (size_t k = 0; k < i; k++) assert_ptr_not_equal(all[i], all[k]);
    assert_int_equal(grammar_cache_count(c), 8);
    assert_ptr_equal(get(c, HOLD_TEXT, schema, NULL, "ignored", 0), all[0]);
    assert_ptr_equal(get(c, HOLD_CALLS, NULL, tools, "assistant\n", 0), all[4]);
    assert_int_equal(grammar_cache_count(c), 8);
    grammar_cache_close(&c);
}

static void the_oldest_go(void **state)
{
    (void)state;
    GrammarCache *c;
    char text[64];
    bt_grammar *g;
    assert_int_equal(grammar_cache_open(model, 3, 0, &c, NULL), BT_OK);
    for (int i = 0; i < 10; i++) {
        snprintf(text, sizeof text, "{\"const\": %d}", i);
        get(c, HOLD_TEXT, text, NULL, NULL, 0);
        get(c, HOLD_TEXT, "{\"type\": \"null\"}", NULL, NULL, 0); /* used again and again */
        assert_true(grammar_cache_count(c) <= 3);
    }
    const HoldWish bad = {
        .kind = HOLD_TEXT, .language = BT_GRAMMAR_GBNF, .text = SPAN("root ::=(")};
    bt_error err = {0};
    assert_int_equal(grammar_cache_get(c, &bad, &g, &err), BT_E_ARGUMENT);
    assert_null(g);
    assert_int_equal(grammar_cache_count(c), 3);
    grammar_cache_close(&c);
    /* a text too large to keep is compiled all the same */
    assert_int_equal(grammar_cache_open(model, 3, 64, &c, NULL), BT_OK);
    get(c, HOLD_TEXT, "{\"enum\": [\"a text that takes its room\", 1, 2, 3]}", NULL, NULL, 0);
    assert_int_equal(grammar_cache_count(c), 0);
    grammar_cache_close(&c);
}

static bt_status life(void *user, bt_error *err)
{
    GrammarCache *c = NULL;
    bt_grammar *g = NULL;
    const HoldWish wish = {
        .kind = HOLD_TEXT, .language = BT_GRAMMAR_SCHEMA, .text = SPAN("{\"type\": \"boolean\"}")};
    bt_status status = grammar_cache_open(model, 0, 0, &c, err);
    if (!status) status = grammar_cache_get(c, &wish, &g, err);
    *(size_t *)user = status ? 0 : grammar_cache_count(c);
    bt_grammar_close(&g);
    grammar_cache_close(&c);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    size_t kept;
    (void)state;
    torture("a kept grammar", life, &kept);
    assert_int_equal(kept, 1); /* by the last, which had all its memory */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_for_the_same),
        cmocka_unit_test(the_oldest_go),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
