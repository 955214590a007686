/* A model that knows nothing, held to a schema: random logits over a real vocabulary, picked by a
 * real sampler, hundreds of seeds. What comes out must be JSON and meet the schema, as told by
 * jansson and by a small validator written here apart from the compiler. Also thinking before the
 * answer, GBNF, refusals, the end of the answer, and failing allocations. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "bantam/bantam.h"
#include "base/buf.h"
#include "base/mem.h"
#include "engine/grammar.h"
#include "support/make_model.h"
#include "support/scratch.h"
#include "support/torture.h"

static bt_model *model;

/* ---- a validator of what the schemas below use; plain recursion ---- */

static size_t characters(const char *text)
{
    size_t n = 0;
    for (; *text; text++) n += (*text & 0xC0) != 0x80;
    return n;
}

static bool is_type(const json_t *value, const char *type)
{
    if (!strcmp(type, "null")) return json_is_null(value);
    if (!strcmp(type, "boolean")) return json_is_boolean(value);
    if (!strcmp(type, "integer")) return json_is_integer(value);
    if (!strcmp(type, "number")) return json_is_number(value);
    if (!strcmp(type, "string")) return json_is_string(value);
    if (!strcmp(type, "array")) return json_is_array(value);
    return !strcmp(type, "object") && json_is_object(value);
}

static bool valid(const json_t *root, const json_t *schema, const json_t *value);

static bool some_valid(const json_t *root, const json_t *list, const json_t *value)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (valid(root, json_array_get(list, i), value)) return true;
    return false;
}

static bool object_valid(const json_t *root, const json_t *schema, const json_t *value)
{
    const json_t *required = json_object_get(schema, "required");
    const json_t *properties = json_object_get(schema, "properties");
    const json_t *more = json_object_get(schema, "additionalProperties");
    for (size_t i = 0; i < json_array_size(required); i++)
        if (!json_object_get(value, json_string_value(json_array_get(required, i)))) return false;
    void *at = json_object_iter((json_t *)(uintptr_t)value);
    for (; at; at = json_object_iter_next((json_t *)(uintptr_t)value, at)) {
        const json_t *of = json_object_get(properties, json_object_iter_key(at));
        if (!of) of = more;
        if (of && !valid(root, of, json_object_iter_value(at))) return false;
    }
    return true;
}

static bool array_valid(const json_t *root, const json_t *schema, const json_t *value)
{
    const json_t *items = json_object_get(schema, "items");
    const json_t *least = json_object_get(schema, "minItems");
    const json_t *most = json_object_get(schema, "maxItems");
    json_int_t n = (json_int_t)json_array_size(value);
    if ((least && n < json_integer_value(least)) || (most && n > json_integer_value(most)))
        return false;
    for (size_t i = 0; items && i < (size_t)n; i++)
        if (!valid(root, items, json_array_get(value, i))) return false;
    return true;
}

static bool scalar_valid(const json_t *schema, const json_t *value)
{
    const json_t *low = json_object_get(schema, "minimum"),
                 *high = json_object_get(schema, "maximum");
    const json_t *least = json_object_get(schema, "minLength");
    const json_t *most = json_object_get(schema, "maxLength");
    if (json_is_number(value)) {
        double x = json_number_value(value);
        return (!low || x >= json_number_value(low)) && (!high || x <= json_number_value(high));
    }
    if (!json_is_string(value)) return true;
    json_int_t n = (json_int_t)characters(json_string_value(value));
    return (!least || n >= json_integer_value(least)) && (!most || n <= json_integer_value(most));
}

static bool valid(const json_t *root, const json_t *schema, const json_t *value)
{
    if (json_is_boolean(schema)) return json_is_true(schema);
    const json_t *type = json_object_get(schema, "type"), *ref = json_object_get(schema, "$ref");
    const json_t *list = json_object_get(schema, "enum"), *any = json_object_get(schema, "anyOf");
    const json_t *one = json_object_get(schema, "const");
    if (ref) {
        const json_t *defs = json_object_get(root, "$defs");
        if (!valid(root, json_object_get(defs, json_string_value(ref) + 8), value)) return false;
    }
    if (type && !is_type(value, json_string_value(type))) return false;
    if (any && !some_valid(root, any, value)) return false;
    if (one && !json_equal(one, value)) return false;
    if (list) {
        bool found = false;
        for (size_t i = 0; i < json_array_size(list); i++)
            found |= json_equal(json_array_get(list, i), value);
        if (!found) return false;
    }
    if (json_is_object(value)) return object_valid(root, schema, value);
    if (json_is_array(value)) return array_valid(root, schema, value);
    return scalar_valid(schema, value);
}

/* ---- a model that knows nothing ---- */

static bt_grammar *grammar_for(bt_grammar_kind kind, const char *text,
                               const bt_grammar_options *options)
{
    bt_grammar *g;
    bt_error err = {0};
    if (bt_grammar_open(model, kind, text, strlen(text), options, &g, &err) != BT_OK)
        fail_msg("%s: %s", text, err.text);
    return g;
}

static bt_sampler *sampler_for(bt_grammar *g, uint64_t seed)
{
    bt_error err = {0};
    bt_sampler *s;
    const bt_sampler_options options = {
        .seed = seed, .temperature = 1, .top_k = -1, .top_p = 1, .min_p = -1};
    assert_int_equal(bt_sampler_open(model, &options, &s, &err), BT_OK);
    assert_int_equal(bt_sampler_set_grammar(s, g, &err), BT_OK);
    return s;
}

/* Random logits; quotes, closing brackets and the end are likelier after a while. */
static void random_logits(float *logits, int32_t n, uint64_t *rng, int step)
{
    for (int32_t i = 0; i < n; i++) {
        *rng = *rng * 6364136223846793005u + 1442695040888963407u;
        logits[i] = (float)(*rng >> 40) * 0x1p-22f;
    }
    if (step < 40) return;
    logits['"'] += 12;
    logits['}'] += 12;
    logits[']'] += 12;
}

/* False: it did not end in time. */
static bool write_text(bt_grammar *g, uint64_t seed, Buf *text)
{
    int32_t n = bt_model_describe(model).n_vocab;
    float *logits = test_malloc((size_t)n * sizeof *logits);
    bt_sampler *s = sampler_for(g, seed);
    uint64_t rng = seed * 77 + 5;
    bool ended = false;
    char piece[256];
    buf_clear(text);
    for (int step = 0; step < 2000 && !ended; step++) {
        random_logits(logits, n, &rng, step);
        bt_token id = bt_sampler_pick(s, logits);
        ended = bt_model_token_ends(model, id);
        if (ended) break;
        int64_t size = bt_model_token_text(model, id, false, piece, sizeof piece);
        assert_in_range(size, 1, sizeof piece);
        buf_add(text, piece, (size_t)size);
    }
    if (ended) assert_true(bt_sampler_complete(s));
    bt_sampler_close(&s);
    test_free(logits);
    buf_char(text, '\0');
    return ended;
}

static const char *const schemas[] = {
    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":8},\"age\":{"
    "\"type\":\"integer\",\"minimum\":0,\"maximum\":150},\"mail\":{\"type\":\"string\","
    "\"minLength\":"
    "3,\"maxLength\":12}},\"required\":[\"name\",\"age\"],\"additionalProperties\":false}",
    "{\"type\":\"array\",\"items\":{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"null\"},{"
    "\"type\":"
    "\"string\"}]},\"minItems\":1,\"maxItems\":4}",
    "{\"$defs\":{\"tree\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"number\","
    "\"minimum\":"
    "-1.5,\"maximum\":2.25},\"kids\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/tree\"},"
    "\"maxItems\":2}},\"required\":[\"v\"],\"additionalProperties\":false}},\"$ref\":\"#/$defs/"
    "tree\"}",
    "{\"enum\":[\"red\",\"gr\\u00fcn\",3,null,true,[1,2],{\"a\":\"b\"}]}",
    "{\"type\":\"object\",\"properties\":{\"kind\":{\"const\":\"a\"}},\"required\":[\"kind\"],"
    "\"additionalProperties\":{\"type\":\"boolean\"}}",
    "{}",
};

static void hundreds_of_seeds(void **state)
{
    (void)state;
    Buf text = {0};
    for (size_t i = 0; i < sizeof schemas / sizeof schemas[0]; i++) {
        json_error_t why;
        json_t *schema = json_loads(schemas[i], 0, &why);
        bt_grammar *g = grammar_for(BT_GRAMMAR_SCHEMA, schemas[i], NULL);
        int ended = 0;
        assert_non_null(schema);
        for (uint64_t seed = 1; seed <= 150; seed++) {
            if (!write_text(g, seed, &text)) continue;
            ended++;
            json_t *value = json_loads(text.data, JSON_DECODE_ANY, &why);
            if (!value)
                fail_msg("schema %u, seed %u: %s: %s", (unsigned)i, (unsigned)seed, why.text,
                         text.data);
            if (!valid(schema, schema, value))
                fail_msg("schema %u, seed %u: not of the schema: %s", (unsigned)i, (unsigned)seed,
                         text.data);
            json_decref(value);
        }
        assert_in_range(ended, 140, 150);
        bt_grammar_close(&g);
        json_decref(schema);
    }
    buf_close(&text);
}

/* A greedy pick asks of the likeliest tokens before it masks; top-k of one masks first. */
static void asking_first_picks_the_same(void **state)
{
    (void)state;
    static const char tags[] = "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"pattern\":"
                               "\"^[a-y][a-z-]{0,9}$|^z\",\"maxLength\":30}}";
    const bt_sampler_options by[] = {{.greedy = true, .repeat_penalty = 1.2f},
                                     {.top_k = 1, .repeat_penalty = 1.2f, .seed = 1}};
    int32_t n = bt_model_describe(model).n_vocab;
    float *logits = test_malloc((size_t)n * sizeof *logits);
    for (size_t i = 0; i <= sizeof schemas / sizeof schemas[0]; i++)
        for (uint64_t seed = 1; seed <= 40; seed++) {
            bt_grammar *g[2];
            bt_sampler *s[2];
            bt_token id[2] = {0};
            for (int k = 0; k < 2; k++) {
                g[k] = grammar_for(BT_GRAMMAR_SCHEMA, i ? schemas[i - 1] : tags, NULL);
                assert_int_equal(bt_sampler_open(model, &by[k], &s[k], NULL), BT_OK);
                assert_int_equal(bt_sampler_set_grammar(s[k], g[k], NULL), BT_OK);
            }
            for (int step = 0; step < 60 && !bt_model_token_ends(model, id[0]); step++) {
                for (int k = 0; k < 2; k++) {
                    uint64_t rng = seed * 977 + (uint64_t)step;
                    random_logits(logits, n, &rng, step);
                    id[k] = bt_sampler_pick(s[k], logits);
                }
                assert_int_equal(id[0], id[1]);
            }
            for (int k = 0; k < 2; k++) {
                bt_sampler_close(&s[k]);
                bt_grammar_close(&g[k]);
            }
        }
    test_free(logits);
}

/* Logits of tokens that are not allowed become -inf, all of them. */
static size_t mask(GrammarHold *hold, float *logits, size_t n)
{
    float *peak = test_malloc((n + 63) / 64 * sizeof *peak);
    size_t left = 0;
    grammar_restrict(hold, logits, n, peak);
    for (size_t i = 0; i < n; i++) {
        if (peak[i / 64] == -INFINITY) logits[i] = -INFINITY;
        left += logits[i] > -INFINITY;
    }
    test_free(peak);
    return left;
}

/* A sampler looks at what is allowed alone: it picks what another does, without a grammar, from
 * logits that were masked before. */
static void picks_as_from_masked_logits(void **state)
{
    (void)state;
    static const bt_logit_bias bias[] = {{'1', -INFINITY}, {'"', 2}, {'a', INFINITY}};
    const bt_sampler_options by[] = {
        {.seed = 3, .top_k = 5},
        {.seed = 3, .top_k = -1, .top_p = 0.9f, .repeat_penalty = 1.3f},
        {.seed = 3, .top_k = -1, .top_p = 1, .min_p = -1, .temperature = 2},
        {.seed = 3, .top_k = -1, .typical_p = 0.8f, .presence_penalty = 1},
        {.seed = 3, .mirostat = 2},
        {.seed = 3, .bias = bias, .n_bias = 3, .dry_multiplier = 0.8f},
        {.greedy = true, .bias = bias, .n_bias = 2},
    };
    size_t n = (size_t)bt_model_describe(model).n_vocab, few = 0, many = 0;
    float *logits = test_malloc(n * sizeof *logits);
    for (size_t i = 0; i < sizeof schemas / sizeof schemas[0]; i++)
        for (size_t o = 0; o < sizeof by / sizeof by[0]; o++) {
            bt_grammar *g = grammar_for(BT_GRAMMAR_SCHEMA, schemas[i], NULL);
            GrammarHold hold = {0};
            bt_sampler *s[2];
            bt_token id[2] = {0};
            for (int k = 0; k < 2; k++)
                assert_int_equal(bt_sampler_open(model, &by[o], &s[k], NULL), BT_OK);
            assert_int_equal(bt_sampler_set_grammar(s[0], g, NULL), BT_OK);
            grammar_hold(&hold, g);
            for (int step = 0; step < 80 && !bt_model_token_ends(model, id[0]); step++) {
                for (int k = 0; k < 2; k++) {
                    uint64_t rng = 977 * (i + 1) + (uint64_t)step;
                    random_logits(logits, (int32_t)n, &rng, step);
                    if (k && mask(&hold, logits, n) > n / 8)
                        many++;
                    else
                        few += (size_t)k;
                    id[k] = bt_sampler_pick(s[k], logits);
                }
                assert_int_equal(id[0], id[1]);
                grammar_advance(&hold, id[0]);
            }
            for (int k = 0; k < 2; k++) bt_sampler_close(&s[k]);
            grammar_release(&hold);
            bt_grammar_close(&g);
        }
    assert_true(few > 100 && many > 100);
    test_free(logits);
}

/* The validator itself must be able to say no. */
static void the_validator_refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {"{\"name\":\"x\"}", "[]", "{\"v\":3}", "\"blue\"",
                                      "{\"kind\":\"a\",\"b\":1}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        json_t *schema = json_loads(schemas[i], 0, NULL);
        json_t *value = json_loads(bad[i], JSON_DECODE_ANY, NULL);
        assert_false(valid(schema, schema, value));
        json_decref(schema);
        json_decref(value);
    }
}

static bt_token token_of(const char *text, bool special)
{
    bt_token ids[8];
    int64_t n = bt_model_tokenize(model, text, strlen(text), special ? 0 : BT_TOKENIZE_NO_SPECIAL,
                                  ids, 8, NULL);
    assert_int_equal(n, 1);
    return ids[0];
}

/* What may follow after these texts, one byte token each. */
static bool allowed_after(bt_grammar *g, const char *text, bt_token next)
{
    int32_t n = bt_model_describe(model).n_vocab;
    float *logits = test_malloc((size_t)n * sizeof *logits);
    bt_sampler *s = sampler_for(g, 3);
    for (; *text; text++) {
        for (int32_t i = 0; i < n; i++) logits[i] = 0;
        logits[(unsigned char)*text] = 1000; /* ids of this vocabulary's bytes are the bytes */
        assert_int_equal(bt_sampler_pick(s, logits), (unsigned char)*text);
    }
    for (int32_t i = 0; i < n; i++) logits[i] = 0;
    logits[next] = 1000;
    bool allowed = bt_sampler_pick(s, logits) == next;
    bt_sampler_close(&s);
    test_free(logits);
    return allowed;
}

static void thinking_comes_first(void **state)
{
    (void)state;
    const char *schema = "{\"enum\":[7]}";
    bt_token end = token_of("<|im_end|>", true);
    const bt_grammar_options maybe = {.after = "</think>", .opens = "<think>"};
    const bt_grammar_options inside = {.after = "</think>"};
    bt_grammar *g = grammar_for(BT_GRAMMAR_SCHEMA, schema, &maybe);
    assert_true(allowed_after(g, "", '7'));
    assert_true(allowed_after(g, "", '<'));
    assert_false(allowed_after(g, "", 'x'));
    assert_true(allowed_after(g, "<think>any {thing} 7", '7'));
    assert_false(allowed_after(g, "<think>not yet", end));
    assert_true(allowed_after(g, "<think>a</think>\n\n", '7'));
    assert_false(allowed_after(g, "<think>a</think>", 'x'));
    assert_true(allowed_after(g, "<think>a</think>7", end));
    assert_false(allowed_after(g, "<think>a</think>7", '7'));
    bt_grammar_close(&g);
    g = grammar_for(BT_GRAMMAR_SCHEMA, schema, &inside);
    assert_true(allowed_after(g, "", 'x'));
    assert_false(allowed_after(g, "7", end));
    assert_true(allowed_after(g, "x</think>\n", '7'));
    bt_grammar_close(&g);
}

static void gbnf_with_control_tokens(void **state)
{
    (void)state;
    bt_token start = token_of("<|im_start|>", true), end = token_of("<|im_end|>", true);
    bt_grammar *g =
        grammar_for(BT_GRAMMAR_GBNF,
                    "root ::= \"a\" %token \"<|im_start|>\" %json {\"const\": 1} \"!\"?", NULL);
    assert_false(allowed_after(g, "", end));
    assert_true(allowed_after(g, "a", start));
    assert_true(allowed_after(g, "a", '<'));
    assert_false(allowed_after(g, "a", 0xFF)); /* the byte that marks control tokens inside */
    assert_false(allowed_after(g, "", start));
    assert_true(allowed_after(g, "a<|im_start|>1", '!'));
    assert_true(allowed_after(g, "a<|im_start|>1", end));
    assert_false(allowed_after(g, "a<|im_start|>1!", '!'));
    bt_grammar_close(&g);
}

/* A character that the vocabulary cannot write: the answer ends, and is not whole. */
static void a_dead_end_ends(void **state)
{
    (void)state;
    bt_error err = {0};
    int32_t n = bt_model_describe(model).n_vocab;
    float *logits = test_calloc((size_t)n, sizeof *logits);
    bt_logit_bias ban = {.token = 'q', .bias = -INFINITY};
    const bt_sampler_options options = {.seed = 1, .bias = &ban, .n_bias = 1};
    bt_sampler *s;
    bt_grammar *g = grammar_for(BT_GRAMMAR_GBNF, "root ::= \"q\"", NULL);
    assert_int_equal(bt_sampler_open(model, &options, &s, &err), BT_OK);
    assert_int_equal(bt_sampler_set_grammar(s, g, &err), BT_OK);
    bt_grammar_close(&g); /* the sampler holds it */
    assert_false(bt_sampler_complete(s));
    assert_true(bt_model_token_ends(model, bt_sampler_pick(s, logits)));
    assert_false(bt_sampler_complete(s));
    assert_int_equal(bt_sampler_set_grammar(s, NULL, &err), BT_OK);
    assert_true(bt_sampler_complete(s));
    bt_sampler_close(&s);
    test_free(logits);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        bt_grammar_kind kind;
        const char *text, *says;
        bt_status status;
    } row[] = {
        {BT_GRAMMAR_SCHEMA, "{\"a\":\n tru}", "JSON, line 2, column 2", BT_E_ARGUMENT},
        {BT_GRAMMAR_SCHEMA, "{\"items\":{\"if\":{}}}", "#/items: the keyword 'if'",
         BT_E_UNSUPPORTED},
        {BT_GRAMMAR_SCHEMA, "{\"type\":\"string\",\"type\":\"null\"}", "twice", BT_E_ARGUMENT},
        {BT_GRAMMAR_SCHEMA, "{} {}", "something follows", BT_E_ARGUMENT},
        {BT_GRAMMAR_GBNF, "root ::= x", "'x' is not defined", BT_E_ARGUMENT},
        {(bt_grammar_kind)9, "", "unknown kind", BT_E_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        bt_error err = {0};
        bt_grammar *g;
        bt_status status =
            bt_grammar_open(model, row[i].kind, row[i].text, strlen(row[i].text), NULL, &g, &err);
        assert_int_equal(status, row[i].status);
        assert_null(g);
        if (!strstr(err.text, row[i].says)) fail_msg("%s: %s", row[i].text, err.text);
    }
}

static const char tortured[] =
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"pattern\":\"^a(?!b)[^c]+$\","
    "\"maxLength\":9},\"b\":{\"oneOf\":[{\"$ref\":\"#/$defs/x\"},{\"type\":\"null\"}]}},\"$defs\":{"
    "\"x\":{\"type\":\"number\",\"minimum\":1}},\"required\":[\"a\"],\"additionalProperties\":{"
    "\"enum\":[1,\"x\"]}}";

static bt_status life(void *user, bt_error *err)
{
    bt_grammar *g = NULL;
    Buf text = {0};
    (void)user;
    bt_status status =
        bt_grammar_open(model, BT_GRAMMAR_SCHEMA, tortured, strlen(tortured), NULL, &g, err);
    torture_pause();
    if (!status) assert_true(write_text(g, 5, &text));
    bt_grammar_close(&g);
    buf_close(&text);
    return status;
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    bt_grammar *g = grammar_for(BT_GRAMMAR_SCHEMA, tortured, NULL);
    bt_grammar_close(&g); /* what its sets of bytes make of the vocabulary stays with the model */
    assert_true(torture("a schema", life, NULL) >= 60);
}

static void a_token_allocates_nothing(void **state)
{
    (void)state;
    int32_t n = bt_model_describe(model).n_vocab;
    float *logits = test_calloc((size_t)n, sizeof *logits);
    bt_grammar *g = grammar_for(BT_GRAMMAR_SCHEMA, "{}", NULL);
    bt_sampler *s = sampler_for(g, 9);
    uint64_t rng = 4, before = mem_count();
    for (int i = 0; i < 300; i++) {
        random_logits(logits, n, &rng, 0);
        bt_sampler_pick(s, logits);
    }
    assert_int_equal(mem_count() - before, 0);
    bt_sampler_close(&s);
    bt_grammar_close(&g);
    test_free(logits);
}

static int set_up(void **state)
{
    (void)state;
    bt_error err = {0};
    const MakeModel options = {.chat_template = "chatml", .layers = 1};
    const bt_model_options vocab = {.vocab_only = true};
    if (!scratch_open()) return -1;
    if (make_model(&options, scratch_path("m.gguf"), &err) != BT_OK) return -1;
    if (bt_model_open(scratch_path("m.gguf"), &vocab, &model, &err) != BT_OK) return -1;
    /* The set of tokens stays with the model: made here, so that leaks are counted after it. */
    bt_grammar *g = grammar_for(BT_GRAMMAR_GBNF, "root ::= \"a\"", NULL);
    bt_grammar_close(&g);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    bt_model_close(&model);
    scratch_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hundreds_of_seeds),
        cmocka_unit_test(the_validator_refuses),
        cmocka_unit_test(asking_first_picks_the_same),
        cmocka_unit_test(picks_as_from_masked_logits),
        cmocka_unit_test(thinking_comes_first),
        cmocka_unit_test(gbnf_with_control_tokens),
        cmocka_unit_test(a_dead_end_ends),
        cmocka_unit_test(refusals),
        cmocka_unit_test(every_allocation_fails_once),
        cmocka_unit_test(a_token_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
