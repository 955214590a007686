/* /v1/rerank with models that were made for it: what is answered is held against scores of pairs by
 * hand. Cross-encoders, decoders with a head, and decoders that say yes or no. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "desk.h"
#include "dress.h"
#include "engine/rank.h"
#include "support/scratch.h"

static const char *const documents[] = {"a hen", "the small bird", "query document", "x"};
enum { DOCUMENTS = sizeof documents / sizeof *documents };

#define ASK                                                                                        \
    "{\"query\": \"small hen\", \"documents\": [\"a hen\", \"the small bird\", \"query "           \
    "document\", "                                                                                 \
    "\"x\"]}"

static void by_hand(const char *path, RankKind kind, float *scores)
{
    const bt_model_options with = {.no_cache = true, .n_threads = 1};
    const bt_session_options size = {.n_ctx = 1024, .embeddings = kind != RANK_ANSWERED};
    const bt_session_options small = {.n_ctx = 64, .embeddings = true};
    bt_model *m;
    bt_session *s;
    bt_error err;
    if (bt_model_open(path, &with, &m, &err)) fail_msg("%s", err.text);
    const Rank rank = rank_of(m);
    assert_int_equal(rank.kind, kind);
    if (bt_session_open(m, kind == RANK_PAIR ? &small : &size, &s, &err)) fail_msg("%s", err.text);
    for (int i = 0; i < DOCUMENTS; i++) {
        bt_token *ids;
        size_t n;
        const Span document = span_of(documents[i]);
        if (rank_ids(m, &rank, SPAN("small hen"), document, &ids, &n, &err))
            fail_msg("%s", err.text);
        const bt_ids pair = {ids, n};
        if (rank_scores(s, &rank, &pair, 1, &scores[i], &err)) fail_msg("%s", err.text);
        mem_free(ids);
    }
    bt_session_close(&s);
    bt_model_close(&m);
}

static void ranks_as_by_hand(const char *path, RankKind kind, const WorkerModel *options)
{
    float want[DOCUMENTS];
    char keep[1024];
    Desk desk;
    snprintf(keep, sizeof keep, "%s", path);
    by_hand(keep, kind, want);
    desk_open(&desk, keep, options);
    json_t *a = desk_good(&desk, "/v1/rerank", ASK), *row;
    size_t i;
    double last = 1;
    assert_int_equal(json_array_size(desk_at(a, "results")), DOCUMENTS);
    json_array_foreach(desk_at(a, "results"), i, row)
    {
        double score = json_number_value(desk_at(row, "relevance_score"));
        assert_true(score > 0 && score <= last);
        assert_true(fabs(score - (double)want[desk_number(row, "index")]) < 1e-6);
        last = score;
    }
    json_decref(a);
    /* vectors it has none; the rest goes on */
    DeskAnswer *refused = desk_ask(&desk, "/v1/embeddings", "{\"input\": \"a hen\"}");
    assert_int_equal(refused->status, 400);
    assert_non_null(strstr(refused->body.data, "rerank"));
    Buf text = {0}, body = {0};
    bt_error err;
    assert_int_equal(worker_ready(desk.worker, &text, &err), BT_OK);
    assert_non_null(strstr(text.data, "\"reranks\":true"));
    assert_null(strstr(text.data, "\"embeds\":true"));
    buf_text(&body, "{\"query\": \"a hen\", \"documents\": [\"x\", \"");
    for (int k = 0; k < 1200; k++) buf_text(&body, "q ");
    buf_text(&body, "\"]}");
    refused = desk_ask(&desk, "/v1/rerank", body.data);
    assert_int_equal(refused->status, 400);
    assert_non_null(strstr(refused->body.data, "text 2 has"));
    buf_close(&text);
    buf_close(&body);
    desk_close(&desk);
}

static void cross_encoders(void **state)
{
    (void)state;
    const MakeModel spec = {.arch = "bert", .tokenizer = MAKE_WPM, .ctx = 64, .ranks = true};
    ranks_as_by_hand(desk_model(&spec, "pairs.gguf"), RANK_PAIR, NULL);
}

static void decoders_with_a_head(void **state)
{
    (void)state;
    const Dress dress = {.name = "judge", .ctx = 1024};
    const WorkerModel options = {.one_thread = true, .n_ctx = 1024};
    ranks_as_by_hand(dress_family("qwen3-rank", &dress, "judge.gguf"), RANK_ASKED, &options);
}

static void decoders_that_say_yes(void **state)
{
    (void)state;
    const Dress dress = {.name = "Qwen3 Reranker tiny", .control = {"yes", "no"}};
    const WorkerModel options = {.one_thread = true, .n_ctx = 1024, .n_running = 1};
    const char *path = dress_family("tests/data/gradients/qwen3.gguf", &dress, "yes.gguf");
    ranks_as_by_hand(path, RANK_ANSWERED, &options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cross_encoders),
        cmocka_unit_test(decoders_with_a_head),
        cmocka_unit_test(decoders_that_say_yes),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
