/* Small folders whose conversion has a turn of its own (tests/data/folders, made by
 * tests/support/make_folders.py): logits are those of the makers' reference, as the folder is and
 * converted, in every way of feeding; and the keys that say so are in the file. */
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
#include "convert/plan.h"
#include "engine/rank.h"
#include "io/gguf.h"
#include "support/compare.h"
#include "support/files.h"
#include "support/run_model.h"
#include "support/scratch.h"

#define N_IDS 30
#define BOUND 1e-10

static bt_error err;

static void logits_of(const char *name, const char *path, FeedMode mode)
{
    bt_token ids[N_IDS];
    for (int i = 0; i < N_IDS; i++) ids[i] = 7 * i % 48;
    double error = run_model_apart(path, ids, NULL, N_IDS, mode, 0,
                                   files_source("tests/data/folders/answers/%s.f32", name));
    if (!(error <= BOUND)) fail_msg("%s, mode %d: nmse %g", path, mode, error);
}

static void holds(void **state)
{
    const char *name = *state;
    char folder[2048];
    const char *out = scratch_path("out.gguf");
    snprintf(folder, sizeof folder, "%s", files_source("tests/data/folders/%s", name));
    logits_of(name, folder, FEED_AT_ONCE);
    if (bt_convert(folder, out, NULL, &err)) fail_msg("%s", err.text);
    for (FeedMode mode = FEED_AT_ONCE; mode < FEED_MODES; mode++) logits_of(name, out, mode);
}

static Gguf *converted(const char *name)
{
    Gguf *g = NULL;
    const char *out = scratch_path("out.gguf");
    if (bt_convert(files_source("tests/data/folders/%s", name), out, NULL, &err) ||
        gguf_open(out, NULL, &g, &err))
        fail_msg("%s", err.text);
    return g;
}

static void windows_are_kept(void **state)
{
    int32_t flags[2];
    uint32_t span = 0;
    uint64_t n = 0;
    Gguf *g = converted("qwen2-window");
    assert_int_equal(gguf_get_u32(g, "qwen2.attention.sliding_window", true, &span, &err), BT_OK);
    assert_int_equal(
        gguf_get_i32s(g, "qwen2.attention.sliding_window_pattern", true, flags, 2, &n, &err),
        BT_OK);
    assert_int_equal(span, 8);
    assert_int_equal(n, 2);
    assert_int_equal(flags[0], 0);
    assert_int_equal(flags[1], 1);
    gguf_close(&g);
    g = converted("mistral-window");
    assert_int_equal(gguf_get_u32(g, "llama.attention.sliding_window", true, &span, &err), BT_OK);
    assert_true(gguf_find_key(g, "llama.attention.sliding_window_pattern") < 0);
    gguf_close(&g);
}

static void the_makers_reading_is_named(void **state)
{
    Span name;
    Gguf *g = converted("gpt-neox");
    assert_int_equal(gguf_get_span(g, "gptneox.hidden_activation", true, &name, &err), BT_OK);
    assert_true(span_is(name, "gelu"));
    gguf_close(&g);
    g = converted("phimoe");
    assert_int_equal(gguf_get_span(g, "phimoe.expert_routing", true, &name, &err), BT_OK);
    assert_true(span_is(name, "sparsemixer"));
    assert_true(gguf_find_key(g, "phimoe.attention.layer_norm_epsilon") >= 0);
    gguf_close(&g);
}

/* ---- texts to vectors ---- */

static void embeds_as(const char *name, const char *path)
{
    bt_token ids[64];
    bt_model *model = NULL;
    bt_session *session = NULL;
    bt_session_options o = {.n_ctx = 64, .embeddings = true};
    size_t size, count, dims, line = 0;
    char *texts = files_read(files_source("tests/data/folders/answers/texts.txt"), &size);
    char *lines = files_read(files_source("tests/data/folders/answers/%s.ids", name), &size);
    float *want = compare_read(files_source("tests/data/folders/answers/%s.f32", name), &count);
    assert_true(texts && lines && want);
    if (bt_model_open(path, NULL, &model, &err)) fail_msg("%s", err.text);
    if (bt_session_open(model, &o, &session, &err)) fail_msg("%s", err.text);
    dims = (size_t)bt_model_embedding(model).n_dims;
    char *id = lines;
    for (char *text = texts, *end; (end = strchr(text, '\n')); text = end + 1, line++) {
        float got[64];
        int64_t n =
            bt_model_tokenize(model, text, (size_t)(end - text), BT_TOKENIZE_WHOLE, ids, 64, &err);
        for (int64_t i = 0; i < n; i++) assert_int_equal(strtol(id, &id, 10), ids[i]);
        assert_int_equal(*id++, '\n');
        bt_ids one = {ids, (size_t)n};
        if (bt_session_embed(session, &one, 1, NULL, got, &err)) fail_msg("%s", err.text);
        double error = compare_nmse(got, want + line * dims, dims);
        if (!(error <= BOUND)) fail_msg("%s, text %zu: nmse %g", path, line, error);
    }
    assert_int_equal(count, line * dims);
    bt_session_close(&session);
    bt_model_close(&model);
    free(want);
    free(lines);
    free(texts);
}

static void embeds(void **state)
{
    const char *name = *state;
    char folder[2048];
    const char *out = scratch_path("out.gguf");
    snprintf(folder, sizeof folder, "%s", files_source("tests/data/folders/%s", name));
    embeds_as(name, folder);
    if (bt_convert(folder, out, NULL, &err)) fail_msg("%s", err.text);
    embeds_as(name, out);
}

/* ---- rerankers ---- */

static char *line_of(char **at)
{
    char *line = *at, *end = strchr(line, '\n');
    assert_non_null(end);
    *end = '\0';
    *at = end + 1;
    return line;
}

static void ranks_as(const char *name, const char *path)
{
    bt_model *model = NULL;
    bt_session *session = NULL;
    size_t size, count, at = 0;
    char *texts = files_read(files_source("tests/data/folders/answers/rank.txt"), &size);
    char *lines = files_read(files_source("tests/data/folders/answers/%s.ids", name), &size);
    float *want = compare_read(files_source("tests/data/folders/answers/%s.f32", name), &count);
    assert_true(texts && lines && want);
    if (bt_model_open(path, NULL, &model, &err)) fail_msg("%s", err.text);
    const Rank rank = rank_of(model);
    const bt_session_options o = {.n_ctx = rank.kind == RANK_ASKED ? 512 : 64, .embeddings = true};
    assert_int_equal(rank.kind, strstr(name, "qwen") ? RANK_ASKED : RANK_PAIR);
    if (bt_session_open(model, &o, &session, &err)) fail_msg("%s", err.text);
    char *text = texts, *id = lines, *query = line_of(&text);
    for (float score; *text; at++) {
        bt_token *ids;
        size_t n;
        if (rank_ids(model, &rank, span_of(query), span_of(line_of(&text)), &ids, &n, &err))
            fail_msg("%s", err.text);
        for (size_t i = 0; i < n; i++) assert_int_equal(strtol(id, &id, 10), ids[i]);
        assert_int_equal(*id++, '\n');
        const bt_ids pair = {ids, n};
        if (rank_scores(session, &rank, &pair, 1, &score, &err)) fail_msg("%s", err.text);
        if (!(fabsf(score - want[at]) < 1e-5f))
            fail_msg("%s, document %zu: %g, not %g", path, at, (double)score, (double)want[at]);
        mem_free(ids);
    }
    assert_int_equal(count, at);
    bt_session_close(&session);
    bt_model_close(&model);
    free(want);
    free(lines);
    free(texts);
}

static void ranks(void **state)
{
    const char *name = *state;
    char folder[2048];
    const char *out = scratch_path("out.gguf");
    snprintf(folder, sizeof folder, "%s", files_source("tests/data/folders/%s", name));
    ranks_as(name, folder);
    if (bt_convert(folder, out, NULL, &err)) fail_msg("%s", err.text);
    ranks_as(name, out);
}

/* `from` in a file of the folder becomes `to`, which is as long. */
static void refuses(const char *name, const char *from, const char *to, const char *says)
{
    size_t sizes[2];
    char *texts[2];
    static const char *const files[] = {"config.json", "model.safetensors"};
    bool changed = false;
    Convert *c = NULL;
    for (int i = 0; i < 2; i++) {
        texts[i] = files_read(files_source("tests/data/folders/%s/%s", name, files[i]), &sizes[i]);
        assert_non_null(texts[i]);
        for (size_t k = 0; k + strlen(from) <= sizes[i] && !changed; k++)
            if (memcmp(texts[i] + k, from, strlen(from)) == 0) {
                memcpy(texts[i] + k, to, strlen(to));
                changed = true;
            }
    }
    assert_true(changed);
    const ConvertFiles in = {.config = {texts[0], sizes[0]}, .weights = {texts[1], sizes[1]}};
    assert_int_not_equal(convert_open_memory(&in, NULL, &c, &err), BT_OK);
    if (!strstr(err.text, says)) fail_msg("%s", err.text);
    free(texts[0]);
    free(texts[1]);
}

/* A head that a file's readers would compute otherwise, or not at all. */
static void heads_without_a_place(void **state)
{
    (void)state;
    refuses("rank-modern-bert", "classifier_pooling\": \"mean\"", "classifier_pooling\": \"cls\" ",
            "classifier_pooling");
    refuses("rank-bert", "\"shape\":[1,16]", "\"shape\":[2, 8]", "2 labels");
    refuses("rank-qwen3", "\"model_type\": \"qwen3\"", "\"model_type\": \"qwen2\"",
            "head of labels");
    refuses("rank-bert", "\"classifier.weight\"", "\"classifieR.weight\"", "classifieR");
}

int main(void)
{
    static char mistral[] = "mistral-window", qwen2[] = "qwen2-window", phimoe[] = "phimoe";
    static char neox[] = "gpt-neox", vision[] = "qwen3-vl-moe";
    static char xlm[] = "xlm-roberta", nomic[] = "nomic-moe";
    static char bert[] = "rank-bert", roberta[] = "rank-xlm-roberta";
    static char modern[] = "rank-modern-bert", qwen3[] = "rank-qwen3";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(ranks, bert),   cmocka_unit_test_prestate(ranks, roberta),
        cmocka_unit_test_prestate(ranks, modern), cmocka_unit_test_prestate(ranks, qwen3),
        cmocka_unit_test(heads_without_a_place),  cmocka_unit_test_prestate(holds, mistral),
        cmocka_unit_test_prestate(holds, qwen2),  cmocka_unit_test_prestate(holds, phimoe),
        cmocka_unit_test_prestate(holds, neox),   cmocka_unit_test_prestate(holds, vision),
        cmocka_unit_test_prestate(embeds, xlm),   cmocka_unit_test_prestate(embeds, nomic),
        cmocka_unit_test(windows_are_kept),       cmocka_unit_test(the_makers_reading_is_named),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
