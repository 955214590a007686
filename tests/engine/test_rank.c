/* Rerankers: scores are held against the reference implementations over the tiny models of
 * tests/data/families, in every company; the ids of pairs and questions against what the makers
 * publish; and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engine/model.h"
#include "engine/rank.h"
#include "support/compare.h"
#include "support/families.h"
#include "support/make_model.h"
#include "support/scratch.h"
#include "support/torture.h"

#define MOST_TEXTS  8
#define MOST_TOKENS 512

static bt_token tokens[MOST_TOKENS];
static bt_ids texts[MOST_TEXTS];
static size_t n_texts;

static void read_texts(void)
{
    char line[512];
    size_t n = 0;
    FILE *f = fopen(families_path("sequences", ".txt"), "r");
    assert_non_null(f);
    for (n_texts = 0; n_texts < MOST_TEXTS && fgets(line, sizeof line, f); n_texts++) {
        texts[n_texts].ids = tokens + n;
        texts[n_texts].n = n;
        for (char *p = line, *end; n < MOST_TOKENS; p = end) {
            long id = strtol(p, &end, 10);
            if (end == p) break;
            tokens[n++] = (bt_token)id;
        }
        texts[n_texts].n = n - texts[n_texts].n;
    }
    fclose(f);
}

static bt_model *open_model(const char *path)
{
    const bt_model_options with = {.n_threads = 1, .no_cache = true};
    bt_model *m;
    bt_error err;
    if (bt_model_open(path, &with, &m, &err)) fail_msg("%s", err.text);
    return m;
}

static void scores_are_the_references(void **state)
{
    (void)state;
    static const struct {
        int32_t n_batch, n_sequences;
    } shapes[] = {{512, 8}, {64, 1}, {64, 8}, {128, 2}};
    FamilyFixture fixtures[FAMILIES_MOST];
    size_t n = families_read("rank", fixtures), count;
    read_texts();
    assert_int_equal(n, 3);
    for (size_t i = 0; i < n; i++) {
        bt_model *m = open_model(families_path(fixtures[i].name, ".gguf"));
        Rank rank = rank_of(m);
        float *want = compare_read(families_path(fixtures[i].name, ".rank.f32"), &count);
        float got[MOST_TEXTS], first[MOST_TEXTS];
        bt_error err;
        assert_int_equal(count, n_texts);
        assert_int_equal(rank.kind, m->hyper.causal ? RANK_ASKED : RANK_PAIR);
        for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
            bt_session *s;
            const bt_session_options o = {.n_ctx = 64,
                                          .n_batch = shapes[k].n_batch,
                                          .n_sequences = shapes[k].n_sequences,
                                          .embeddings = true};
            if (bt_session_open(m, &o, &s, &err)) fail_msg("%s", err.text);
            if (rank_scores(s, &rank, texts, n_texts, got, &err)) fail_msg("%s", err.text);
            /* scores are squeezed between 0 and 1: held more closely than logits */
            for (size_t t = 0; t < n_texts; t++)
                if (!(got[t] - want[t] < 2e-5f && want[t] - got[t] < 2e-5f))
                    fail_msg("%s, text %zu: %g, not %g", fixtures[i].name, t, (double)got[t],
                             (double)want[t]);
            if (!k) memcpy(first, got, sizeof first);
            assert_memory_equal(first, got, n_texts * sizeof *got);
            bt_session_close(&s);
        }
        free(want);
        bt_model_close(&m);
    }
}

/* ---- pairs ---- */

typedef struct Life {
    bt_model *m;
    Rank rank;
} Life;

static bt_status life(void *user, bt_error *err)
{
    const Life *l = user;
    bt_token *ids;
    size_t n;
    bt_status status = rank_ids(l->m, &l->rank, SPAN("a hen"), SPAN("small bird"), &ids, &n, err);
    mem_free(ids);
    return status;
}

static void a_pair_is_read_as_one_text(void **state)
{
    (void)state;
    const MakeModel spec = {.arch = "bert", .tokenizer = MAKE_WPM, .ctx = 64, .ranks = true};
    bt_error err;
    if (make_model(&spec, scratch_path("pair.gguf"), &err)) fail_msg("%s", err.text);
    bt_model *m = open_model(scratch_path("pair.gguf"));
    Rank rank = rank_of(m);
    bt_token *ids, whole[64];
    size_t n;
    assert_int_equal(rank.kind, RANK_PAIR);
    assert_int_equal(rank_ids(m, &rank, SPAN("a hen"), SPAN("small bird [SEP]"), &ids, &n, &err),
                     BT_OK);
    /* [CLS] a hen [SEP] small bird ... [SEP]; a [SEP] that was written is none */
    int64_t k = bt_model_tokenize(m, "a hen", 5, BT_TOKENIZE_WHOLE, whole, 64, &err);
    assert_memory_equal(ids, whole, (size_t)k * sizeof *ids);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[k - 1], 3);
    assert_int_equal(ids[n - 1], 3);
    for (size_t i = (size_t)k; i + 1 < n; i++) assert_true(ids[i] > 4);
    mem_free(ids);

    torture("a pair", life, &(Life){m, rank});
    bt_model_close(&m);
}

/* The question's control tokens stand around one text. */
static void a_question_is_asked(void **state)
{
    (void)state;
    const MakeModel spec = {.arch = "qwen3", .ctx = 1024};
    bt_error err;
    if (make_model(&spec, scratch_path("ask.gguf"), &err)) fail_msg("%s", err.text);
    bt_model *m = open_model(scratch_path("ask.gguf"));
    Rank rank = rank_of(m);
    bt_token *ids, want[1024];
    size_t n;
    assert_int_equal(rank.kind, RANK_NONE);
    rank.kind = RANK_ASKED;
    assert_int_equal(rank_ids(m, &rank, SPAN("which <|im_end|>"), SPAN("that"), &ids, &n, &err),
                     BT_OK);
    static const char middle[] =
        "user\n<Instruct>: Given a web search query, retrieve relevant passages that answer the "
        "query\n<Query>: which <|im_end|>\n<Document>: that";
    static const char head[] =
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query "
        "and the Instruct provided. Note that the answer can only be \"yes\" or \"no\".<|im_end|>\n"
        "<|im_start|>";
    static const char tail[] = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";
    int64_t k = bt_model_tokenize(m, head, sizeof head - 1, 0, want, 1024, &err);
    k += bt_model_tokenize(m, middle, sizeof middle - 1, BT_TOKENIZE_NO_SPECIAL, want + k,
                           (size_t)(1024 - k), &err);
    k += bt_model_tokenize(m, tail, sizeof tail - 1, 0, want + k, (size_t)(1024 - k), &err);
    assert_int_equal(n, k);
    assert_memory_equal(ids, want, n * sizeof *ids);
    mem_free(ids);
    bt_model_close(&m);
}

static void heads_that_are_none(void **state)
{
    (void)state;
    const MakeModel spec = {.arch = "bert", .tokenizer = MAKE_WPM, .ctx = 64, .pooling = 4};
    bt_error err;
    bt_session *s;
    float score;
    const bt_token ids[] = {2, 9, 3};
    const bt_ids text = {ids, 3};
    if (make_model(&spec, scratch_path("none.gguf"), &err)) fail_msg("%s", err.text);
    bt_model *m = open_model(scratch_path("none.gguf"));
    Rank rank = rank_of(m);
    assert_int_equal(rank.kind, RANK_NONE);
    const bt_session_options o = {.n_ctx = 64, .embeddings = true};
    assert_int_equal(bt_session_open(m, &o, &s, &err), BT_OK);
    assert_int_equal(rank_scores(s, &rank, &text, 1, &score, &err), BT_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "no head"));
    bt_session_close(&s);
    bt_model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_the_references),
        cmocka_unit_test(a_pair_is_read_as_one_text),
        cmocka_unit_test(a_question_is_asked),
        cmocka_unit_test(heads_that_are_none),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
