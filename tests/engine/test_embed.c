/* Texts to vectors. Hidden states and pooled vectors are held against the reference
 * implementations, over the tiny models of tests/data/families; the same text must give the same
 * bits alone and in any company. Then what the interface promises and refuses. */
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
#include "base/mem.h"
#include "models/model.h"
#include "support/compare.h"
#include "support/families.h"
#include "support/make_model.h"
#include "support/scratch.h"
#include "support/torture.h"

#define MOST_SEQUENCES 8
#define MOST_TOKENS    512
#define MOST_WIDTH     64

static FamilyFixture fixtures[FAMILIES_MOST];
static bt_token tokens[MOST_TOKENS];
static bt_ids texts[MOST_SEQUENCES];
static size_t n_texts, n_tokens;

static size_t read_all(void)
{
    char line[512];
    FILE *f = fopen(families_path("sequences", ".txt"), "r");
    while (f && n_texts < MOST_SEQUENCES && fgets(line, sizeof line, f)) {
        texts[n_texts].ids = tokens + n_tokens;
        for (char *p = line, *end; n_tokens < MOST_TOKENS; p = end) {
            long id = strtol(p, &end, 10);
            if (end == p) break;
            tokens[n_tokens++] = (bt_token)id;
            texts[n_texts].n++;
        }
        n_texts++;
    }
    if (f) fclose(f);
    return n_texts ? families_read("embed", fixtures) : 0;
}

/* ---- models ---- */

static bt_model *model;
static bt_session *session;
static bt_error err;

static void open_model(const char *name)
{
    assert_int_equal(bt_model_open(families_path(name, ".gguf"), NULL, &model, &err), BT_OK);
}

static void open_session(int32_t n_batch, int32_t n_sequences)
{
    bt_session_options o = {
        .n_ctx = 64, .n_batch = n_batch, .n_sequences = n_sequences, .embeddings = true};
    bt_status status = bt_session_open(model, &o, &session, &err);
    if (status) fail_msg("%s", err.text);
}

static int close_all(void **state)
{
    (void)state;
    bt_session_close(&session);
    bt_model_close(&model);
    return 0;
}

/* ---- against the references ---- */

/* All texts in one step, or each in its own. */
static void hidden_rows(bool together, float *out)
{
    size_t width = (size_t)bt_model_describe(model).n_embd;
    bt_row rows[MOST_TOKENS];
    size_t n = 0;
    for (size_t t = 0; t < n_texts; t++) {
        for (size_t i = 0; i < texts[t].n; i++)
            rows[n++] = (bt_row){texts[t].ids[i], together ? (int32_t)t : 0, true};
        if (together && t + 1 < n_texts) continue;
        if (bt_session_step(session, rows, n, &err)) fail_msg("%s", err.text);
        assert_null(bt_session_logits(session, 0));
        for (size_t i = 0; i < n; i++, out += width)
            memcpy(out, bt_session_hidden(session, (int32_t)i), width * sizeof *out);
        assert_int_equal(bt_session_truncate(session, 0, 0, &err), BT_OK);
        n = 0;
    }
}

static void hidden_states_are_the_references(const FamilyFixture *x)
{
    size_t count;
    float *want = compare_read(families_path(x->name, ".hidden.f32"), &count);
    static float alone[MOST_TOKENS * MOST_WIDTH], got[MOST_TOKENS * MOST_WIDTH];
    assert_non_null(want);
    assert_int_equal(count, n_tokens * (size_t)bt_model_describe(model).n_embd);
    open_session(MOST_TOKENS, MOST_SEQUENCES);
    hidden_rows(true, got);
    double error = compare_nmse(got, want, count);
    if (!(error <= x->bound)) fail_msg("%s: nmse %g", x->name, error);
    bt_session_close(&session);
    open_session(64, 1);
    hidden_rows(false, alone);
    assert_memory_equal(alone, got, count * sizeof *got);
    bt_session_close(&session);
    free(want);
}

static void vectors_are_the_references(const FamilyFixture *x)
{
    static const struct {
        int32_t n_batch, n_sequences;
    } shapes[] = {{512, 8}, {64, 1}, {64, 8}, {128, 2}, {7, 3}};
    size_t count, dims = (size_t)bt_model_embedding(model).n_dims;
    float *want = compare_read(families_path(x->name, ".embed.f32"), &count);
    static float first[MOST_SEQUENCES * MOST_WIDTH], got[MOST_SEQUENCES * MOST_WIDTH];
    assert_non_null(want);
    assert_int_equal(count, n_texts * dims);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        open_session(shapes[i].n_batch, shapes[i].n_sequences);
        memset(got, 0, sizeof got);
        if (bt_session_embed(session, texts, n_texts, NULL, got, &err)) fail_msg("%s", err.text);
        bt_session_close(&session);
        double error = compare_nmse(got, want, count);
        if (!(error <= x->bound)) fail_msg("%s, shape %zu: nmse %g", x->name, i, error);
        if (!i) memcpy(first, got, sizeof got);
        assert_memory_equal(got, first, sizeof got);
    }
    free(want);
}

static void holds(void **state)
{
    const FamilyFixture *x = *state;
    if (!arch_find(span_of(x->arch))) {
        print_message("skipped: %s, architecture '%s' is not built\n", x->name, x->arch);
        skip();
    }
    open_model(x->name);
    bt_embedding_info info = bt_model_embedding(model);
    assert_true(info.embeds);
    assert_int_equal(info.encoder, strcmp(x->arch, "qwen3") != 0);
    hidden_states_are_the_references(x);
    vectors_are_the_references(x);
}

/* ---- what the interface promises ---- */

static void normalise(float *x, size_t n)
{
    double square = 0;
    for (size_t i = 0; i < n; i++) square += (double)x[i] * (double)x[i];
    for (size_t i = 0; i < n; i++) x[i] = (float)((double)x[i] / sqrt(square));
}

static void poolings_are_what_they_say(void **state)
{
    (void)state;
    open_model("bert");
    open_session(64, 1);
    const size_t width = 32, n = texts[0].n;
    float one[MOST_WIDTH], want[MOST_WIDTH];
    static float rows[64 * MOST_WIDTH];
    bt_embed_options o = {.pooling = BT_POOLING_NONE, .keep_length = true};
    assert_int_equal(bt_model_embedding(model).pooling, BT_POOLING_CLS);
    assert_int_equal(bt_session_embed(session, texts, 1, &o, rows, &err), BT_OK);
    o.pooling = BT_POOLING_CLS;
    assert_int_equal(bt_session_embed(session, texts, 1, &o, one, &err), BT_OK);
    assert_memory_equal(one, rows, width * sizeof *one);
    o.pooling = BT_POOLING_LAST;
    assert_int_equal(bt_session_embed(session, texts, 1, &o, one, &err), BT_OK);
    assert_memory_equal(one, rows + (n - 1) * width, width * sizeof *one);
    o.pooling = BT_POOLING_MEAN;
    assert_int_equal(bt_session_embed(session, texts, 1, &o, one, &err), BT_OK);
    for (size_t i = 0; i < width; i++) {
        double sum = 0;
        for (size_t r = 0; r < n; r++) sum += (double)rows[r * width + i];
        assert_float_equal(one[i], sum / (double)n, 1e-6);
    }
    o = (bt_embed_options){.pooling = BT_POOLING_MEAN, .dimensions = 9};
    memcpy(want, one, sizeof want);
    normalise(want, 9);
    one[9] = 42;
    assert_int_equal(bt_session_embed(session, texts, 1, &o, one, &err), BT_OK);
    for (size_t i = 0; i < 9; i++) assert_float_equal(one[i], want[i], 1e-6);
    assert_true(one[9] == 42);
}

static void refused(bt_status want, const bt_ids *text, const bt_embed_options *o, const char *part)
{
    float out[MOST_WIDTH];
    assert_int_equal(bt_session_embed(session, text, 1, o, out, &err), want);
    if (!strstr(err.text, part)) fail_msg("'%s' lacks '%s'", err.text, part);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    bt_token wrong[65] = {64};
    open_model("bert");
    bt_session_options o = {.n_ctx = 64};
    assert_int_equal(bt_session_open(model, &o, &session, &err), BT_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "bantam embed"));
    open_session(64, 2);
    refused(BT_E_ARGUMENT, &(bt_ids){wrong, 0}, NULL, "text 1 has no tokens");
    refused(BT_E_ARGUMENT, &(bt_ids){wrong, 1}, NULL, "token 64 is outside the vocabulary of 64");
    refused(BT_E_CONTEXT, &(bt_ids){wrong, 65}, NULL, "65 tokens, and at most 64");
    refused(BT_E_ARGUMENT, texts, &(bt_embed_options){.dimensions = 33}, "the model gives 32");
    refused(BT_E_ARGUMENT, texts, &(bt_embed_options){.pooling = (bt_pooling)9}, "pooling 9");
    /* a sequence of an encoder in parts */
    const bt_row parts[] = {{1, 0, true}, {2, 1, true}, {3, 0, true}};
    assert_int_equal(bt_session_step(session, parts, 3, &err), BT_E_ARGUMENT);
    assert_int_equal(bt_session_step(session, parts, 2, &err), BT_OK);
    assert_int_equal(bt_session_step(session, parts, 1, &err), BT_E_ARGUMENT);
    assert_non_null(strstr(err.text, "reads a sequence whole"));
    assert_int_equal(bt_session_length(session, 0), 1);
    bt_session_close(&session);
    bt_model_close(&model);
    open_model("olmo2");
    o.n_batch = 64;
    assert_int_equal(bt_session_open(model, &o, &session, &err), BT_OK);
    refused(BT_E_ARGUMENT, texts, NULL, "not opened for embeddings");
}

/* A session for embeddings holds less than all its sequences could: what does not fit is refused
 * and nothing is lost by it. Here: 9 blocks of 64 for 8 sequences of up to 128 tokens. */
static void sequences_share_the_room(void **state)
{
    (void)state;
    open_model("qwen3-embedding");
    bt_session_options o = {.n_ctx = 128, .n_batch = 64, .n_sequences = 8, .embeddings = true};
    assert_int_equal(bt_session_open(model, &o, &session, &err), BT_OK);
    for (int i = 0; i < 3; i++) {
        for (int q = 0; q < 8; q++) {
            bt_row row = {1, q, true};
            assert_int_equal(bt_session_step(session, &row, 1, &err), BT_OK);
        }
        assert_int_equal(bt_session_feed(session, 3, tokens, 100, &err), BT_OK);
        assert_int_equal(bt_session_feed(session, 5, tokens, 100, &err), BT_E_CONTEXT);
        assert_non_null(strstr(err.text, "holds 128 of all sequences together"));
        assert_int_equal(bt_session_length(session, 3), 101);
        assert_int_equal(bt_session_length(session, 5), 1);
        assert_int_equal(bt_session_truncate(session, 3, 1, &err), BT_OK);
        assert_int_equal(bt_session_feed(session, 5, tokens, 100, &err), BT_OK);
        for (int q = 0; q < 8; q++)
            assert_int_equal(bt_session_truncate(session, q, 0, &err), BT_OK);
    }
}

/* Quantised weights and longer texts: the same bits in every company, on every number of threads.
 */
static void bits_do_not_depend_on_the_company(void **state)
{
    enum { TEXTS = 9, DIMS = 256 };
    static const DType types[] = {DT_F32, DT_BF16, DT_Q8_0, DT_Q4_0, DT_Q4_K, DT_Q6_K, DT_Q2_K};
    static const size_t sizes[TEXTS] = {3, 130, 1, 64, 65, 17, 200, 2, 40};
    static bt_token ids[600];
    static float together[TEXTS * DIMS], alone[TEXTS * DIMS], pairs[TEXTS * DIMS];
    bt_ids list[TEXTS];
    (void)state;
    assert_true(scratch_open());
    for (int i = 0; i < 600; i++) ids[i] = (bt_token)(i * 37 % 150);
    for (size_t i = 0, at = 0; i < TEXTS; at += sizes[i++]) list[i] = (bt_ids){ids + at, sizes[i]};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        const MakeModel made = {
            .arch = "bert", .type = types[t], .embd = DIMS, .ff = 512, .heads = 4, .head_dim = 64};
        bt_session_options o = {.n_ctx = 200, .n_batch = 600, .n_sequences = 9, .embeddings = true};
        bt_model_options one = {.n_threads = 1, .no_cache = true}, three = {.n_threads = 3};
        assert_int_equal(make_model(&made, scratch_path("m.gguf"), &err), BT_OK);
        assert_int_equal(bt_model_open(scratch_path("m.gguf"), &three, &model, &err), BT_OK);
        assert_int_equal(bt_session_open(model, &o, &session, &err), BT_OK);
        assert_int_equal(bt_session_embed(session, list, TEXTS, NULL, together, &err), BT_OK);
        for (size_t i = 0; i < TEXTS; i++)
            assert_int_equal(bt_session_embed(session, &list[i], 1, NULL, alone + i * DIMS, &err),
                             BT_OK);
        close_all(NULL);
        assert_memory_equal(alone, together, sizeof alone);
        o = (bt_session_options){.n_ctx = 200, .n_batch = 210, .n_sequences = 2, .embeddings = 1};
        assert_int_equal(bt_model_open(scratch_path("m.gguf"), &one, &model, &err), BT_OK);
        assert_int_equal(bt_session_open(model, &o, &session, &err), BT_OK);
        assert_int_equal(bt_session_embed(session, list, TEXTS, NULL, pairs, &err), BT_OK);
        close_all(NULL);
        assert_memory_equal(pairs, together, sizeof pairs);
    }
    scratch_close();
}

/* What stands before texts: keys of the file, else the family and the name. */
static void prefixes_are_found(void **state)
{
    static const struct {
        const char *name, *query, *document, *key;
    } cases[] = {
        {"BGE-small-en-v1.5", "Represent this sentence for searching relevant passages: ", "", 0},
        {"intfloat/e5-base", "query: ", "passage: ", NULL},
        {"intfloat/e5-base", "ask: ", "passage: ", "ask: "},
        {"all-MiniLM-L6-v2", NULL, NULL, NULL},
        {"Bge M3", "", "", NULL},
        {"Multilingual E5 Large Instruct",
         "Instruct: Given a web search query, retrieve relevant passages that answer the query\n"
         "Query: ",
         "", NULL},
        {"snowflake_arctic_embed_l_v2.0", "query: ", "", NULL},
        {"Snowflake Arctic Embed M v1.5",
         "Represent this sentence for searching relevant passages: ", "", NULL},
        {"bge-large-zh-noinstruct", "", "", NULL},
    };
    (void)state;
    assert_true(scratch_open());
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const MakeModel made = {
            .arch = "bert", .name = cases[i].name, .query_prefix = cases[i].key};
        assert_int_equal(make_model(&made, scratch_path("m.gguf"), &err), BT_OK);
        assert_int_equal(bt_model_open(scratch_path("m.gguf"), NULL, &model, &err), BT_OK);
        bt_embedding_info info = bt_model_embedding(model);
        if (!cases[i].query) {
            assert_null(info.query_prefix);
            assert_null(info.document_prefix);
        } else {
            assert_string_equal(info.query_prefix, cases[i].query);
            assert_string_equal(info.document_prefix, cases[i].document);
        }
        close_all(NULL);
    }
    scratch_close();
}

typedef struct Life {
    char path[1024];
    float want[MOST_SEQUENCES * MOST_WIDTH];
} Life;

static bt_status live(const char *path, float *out, bt_error *told)
{
    bt_session_options o = {.n_ctx = 64, .n_batch = 64, .n_sequences = 4, .embeddings = true};
    bt_model_options with = {.n_threads = 2, .no_cache = true};
    bt_status status = bt_model_open(path, &with, &model, told);
    if (!status) status = bt_session_open(model, &o, &session, told);
    if (!status) status = bt_session_embed(session, texts, n_texts, NULL, out, told);
    return status;
}

static bt_status life(void *user, bt_error *told)
{
    static float out[MOST_SEQUENCES * MOST_WIDTH];
    const Life *l = user;
    bt_status status = live(l->path, out, told);
    if (!status) assert_memory_equal(out, l->want, sizeof out);
    close_all(NULL);
    return status == BT_E_SYSTEM ? BT_E_MEMORY : status; /* the team of threads */
}

/* Every allocation fails once; embedding itself makes none. */
/* Every allocation fails once; embedding itself makes none. */
static void memory_may_run_out(void **state)
{
    static Life l;
    (void)state;
    snprintf(l.path, sizeof l.path, "%s", families_path("gemma-embedding", ".gguf"));
    assert_int_equal(live(l.path, l.want, &err), BT_OK);
    uint64_t first = mem_count();
    assert_int_equal(bt_session_embed(session, texts, n_texts, NULL, l.want, &err), BT_OK);
    assert_true(mem_count() == first);
    close_all(NULL);
    torture("embedding", life, &l);
}

/* Any model gives vectors; what its file does not say is the last row's. */
static void models_that_write_embed_too(void **state)
{
    (void)state;
    float together[2 * MOST_WIDTH], alone[MOST_WIDTH];
    open_model("olmo2");
    bt_embedding_info info = bt_model_embedding(model);
    assert_false(info.embeds);
    assert_false(info.encoder);
    assert_null(info.query_prefix);
    assert_int_equal(info.pooling, BT_POOLING_LAST);
    size_t n = (size_t)info.n_dims;
    open_session(128, 2);
    assert_int_equal(bt_session_embed(session, texts, 2, NULL, together, &err), BT_OK);
    assert_int_equal(bt_session_embed(session, texts + 1, 1, NULL, alone, &err), BT_OK);
    assert_memory_equal(alone, together + n, n * sizeof *alone);
    bt_session_close(&session);
    open_session(5, 1);
    assert_int_equal(bt_session_embed(session, texts, 1, NULL, alone, &err), BT_OK);
    assert_memory_equal(alone, together, n * sizeof *alone);
}

int main(void)
{
    static struct CMUnitTest tests[FAMILIES_MOST + 8];
    size_t n = read_all();
    if (!n) {
        fprintf(stderr, "tests/data/families/fixtures.tsv or sequences.txt cannot be read\n");
        return 1;
    }
    for (size_t i = 0; i < n; i++)
        tests[i] = (struct CMUnitTest){fixtures[i].name, holds, NULL, close_all, &fixtures[i]};
    const struct CMUnitTest more[] = {
        cmocka_unit_test_teardown(poolings_are_what_they_say, close_all),
        cmocka_unit_test_teardown(what_cannot_be_is_refused, close_all),
        cmocka_unit_test_teardown(sequences_share_the_room, close_all),
        cmocka_unit_test_teardown(bits_do_not_depend_on_the_company, close_all),
        cmocka_unit_test_teardown(memory_may_run_out, close_all),
        cmocka_unit_test_teardown(prefixes_are_found, close_all),
        cmocka_unit_test_teardown(models_that_write_embed_too, close_all),
    };
    memcpy(tests + n, more, sizeof more);
    n += sizeof more / sizeof *more;
    return _cmocka_run_group_tests("embed", tests, n, NULL, NULL);
}
