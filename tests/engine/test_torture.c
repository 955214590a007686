/* Every allocation of a model's whole life fails once: open, session, sampler, text, chat, steps,
 * close. Each time the call that met it returns BT_E_MEMORY with a sentence, or gets along without
 * (a sidecar that cannot be written is no error); nothing leaks, nothing crashes, and the same
 * life succeeds afterwards. Sanitizer builds see the rest. Also: a decoded token allocates
 * nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "bantam/bantam.h"
#include "base/mem.h"
#include "engine/sidecar.h"
#include "support/make_model.h"
#include "support/scratch.h"
#include "support/torture.h"

enum { MOST_IDS = 256 };

/* Where the sidecar goes: nowhere, to one folder (after the first life it is there and mapped), to
 * a new folder each life (it is written each time). */
typedef enum Cache { CACHE_NONE, CACHE_KEPT, CACHE_NEW } Cache;

typedef struct Life {
    const char *path;
    const char *cache_dir; /* NULL: no sidecar */
    bool session_only;     /* only what opening a session allocates may fail */
    bt_model *model;
    bt_session *session;
    bt_sampler *sampler;
    bt_text *text;
    char *chat;
} Life;

static bt_status open_all(Life *life, bt_error *err)
{
    bt_model_options with = {
        .n_threads = 2, .cache_dir = life->cache_dir, .no_cache = !life->cache_dir};
    bt_session_options size = {.n_ctx = 128, .n_sequences = 2, .n_batch = 32};
    bt_logit_bias bias = {.token = 5, .bias = -1};
    bt_sampler_options draw = {
        .seed = 1, .repeat_penalty = 1.1f, .dry_multiplier = 0.5f, .bias = &bias, .n_bias = 1};
    if (life->session_only) torture_pause();
    bt_status status = bt_model_open(life->path, &with, &life->model, err);
    if (life->session_only) torture_resume();
    if (status == BT_OK) status = bt_session_open(life->model, &size, &life->session, err);
    if (life->session_only) torture_pause();
    if (status == BT_OK) status = bt_sampler_open(life->model, &draw, &life->sampler, err);
    if (status == BT_OK) status = bt_text_open(life->model, false, &life->text, err);
    return status;
}

static bt_status generate(Life *life, int n, bt_error *err)
{
    const char *piece;
    size_t length;
    for (int i = 0; i < n; i++) {
        bt_token id = bt_sampler_pick(life->sampler, bt_session_logits(life->session, -1));
        bt_status status = bt_text_next(life->text, id, &piece, &length);
        if (status != BT_OK) return bt_text_end(life->text, &piece, &length), status;
        status = bt_session_feed(life->session, 0, &id, 1, err);
        if (status != BT_OK) return status;
    }
    return bt_text_end(life->text, &piece, &length);
}

static bt_status live(Life *life, bt_error *err)
{
    bt_message message = {.role = "user", .content = "Hello there, is <|im_end|> text?"};
    static const char said[] = "Several words, \xc3\xa9 <|im_start|> \xff";
    bt_token ids[MOST_IDS];
    bt_memory_plan plan;
    int32_t n_ctx = 64;
    bt_status status = open_all(life, err);
    if (status != BT_OK) return status;
    status = bt_model_plan(life->model, &n_ctx, 1, 16, BT_KV_DEFAULT, &plan, err);
    if (status == BT_OK)
        status = bt_chat_render(life->model, NULL, &message, 1, true, &life->chat, err);
    if (status != BT_OK) return status;
    int64_t n = bt_chat_tokenize(life->model, NULL, &message, 1, true, ids, MOST_IDS, err);
    if (n < 0) return (bt_status)n;
    assert_in_range(n, 8, MOST_IDS);
    status = bt_session_feed(life->session, 0, ids, (size_t)n, err);
    if (status == BT_OK) status = generate(life, 4, err);
    if (status == BT_OK) status = bt_session_truncate(life->session, 0, 5, err);
    if (status == BT_OK) status = bt_session_feed(life->session, 0, ids + 5, 3, err);
    if (status == BT_OK) status = bt_session_shift(life->session, 0, 2, 3, err);
    if (status != BT_OK) return status;
    n = bt_model_tokenize(life->model, said, sizeof said - 1, BT_TOKENIZE_ADD_BOS, ids, MOST_IDS,
                          err);
    return n < 0 ? (bt_status)n : BT_OK;
}

static void end(Life *life)
{
    bt_free(life->chat);
    bt_text_close(&life->text);
    bt_sampler_close(&life->sampler);
    bt_session_close(&life->session);
    bt_model_close(&life->model);
}

static const char *cache_folder(Cache cache)
{
    static unsigned folders;
    char name[32];
    if (cache == CACHE_NONE) return NULL;
    if (cache == CACHE_NEW) folders++;
    snprintf(name, sizeof name, "cache-%u", folders);
    return scratch_path(name);
}

typedef struct Lives {
    const char *path;
    Cache cache;
    uint64_t n;  /* so far */
    size_t kept; /* sidecars that are there after the last one */
} Lives;

static bt_status one_life(void *user, bt_error *err)
{
    Lives *lives = user;
    char folder[1024] = "";
    const char *where = cache_folder(lives->cache);
    if (where) snprintf(folder, sizeof folder, "%s", where);
    Life life = {.path = lives->path,
                 .cache_dir = where ? folder : NULL,
                 .session_only = lives->cache == CACHE_NEW};
    bt_status status = live(&life, err);
    end(&life);
    torture_pause();
    Sidecar *list = NULL;
    bt_error ignored;
    lives->n++;
    lives->kept = 0;
    if (where && sidecar_list(folder, &list, &lives->kept, &ignored) == BT_OK) {
        for (size_t i = 0; lives->cache == CACHE_NEW && i < lives->kept; i++) unlink(list[i].path);
        sidecar_list_free(list, lives->kept);
    }
    return status == BT_E_SYSTEM ? BT_E_MEMORY : status; /* threads, maps */
}

/* Only the allocations of opening a session are failed when a life takes long (CACHE_NEW). */
static void torture_model(const char *path, Cache cache)
{
    bt_error err;
    Lives lives = {path, cache, 0, 0};
    assert_int_equal(one_life(&lives, &err), BT_OK);
    assert_int_equal(lives.kept, cache != CACHE_NONE);
    uint64_t refused = torture(path, one_life, &lives);
    assert_int_equal(lives.kept, cache != CACHE_NONE); /* the last life had all its memory */
    assert_true(lives.n > 10);
    assert_true(refused > lives.n / 4); /* the countdown reaches the calls above */
}

static const char *a_model(const char *name, const char *arch, DType type)
{
    bt_error err = {0};
    static char path[1024];
    snprintf(path, sizeof path, "%s", scratch_path(name));
    MakeModel options = {.arch = arch, .type = type, .chat_template = "chatml", .layers = 1};
    if (type == DT_F32) options.tokenizer = MAKE_SPM;
    if (type == DT_Q4_0) options.embd = options.ff = 256;
    if (type == DT_Q8_0) options.embd = 1024, options.ff = 5120; /* smaller: no sidecar is kept */
    if (make_model(&options, path, &err) != BT_OK) fail_msg("%s", err.text);
    return path;
}

static void dense_float(void **state)
{
    (void)state;
    torture_model(a_model("dense.gguf", "llama", DT_F32), CACHE_NONE);
}

static void experts_in_panels(void **state)
{
    (void)state;
    torture_model(a_model("experts.gguf", "qwen3moe", DT_Q4_0), CACHE_NONE);
}

static void sidecar_read(void **state)
{
    (void)state;
    torture_model(a_model("cached.gguf", "qwen2", DT_Q8_0), CACHE_KEPT);
}

static void sidecar_written(void **state)
{
    (void)state;
    torture_model(a_model("fresh.gguf", "qwen3", DT_Q8_0), CACHE_NEW);
}

static void a_token_allocates_nothing(void **state)
{
    (void)state;
    static const DType types[] = {DT_F32, DT_Q8_0};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        bt_error err = {0};
        bt_token hello[] = {10, 11, 12, 13};
        Life life = {.path = a_model("steady.gguf", "qwen3", types[i])};
        assert_int_equal(open_all(&life, &err), BT_OK);
        assert_int_equal(bt_session_feed(life.session, 0, hello, 4, &err), BT_OK);
        assert_int_equal(generate(&life, 8, &err), BT_OK);
        uint64_t before = mem_count();
        assert_int_equal(generate(&life, 64, &err), BT_OK);
        assert_int_equal(mem_count() - before, 0);
        end(&life);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_float),
        cmocka_unit_test(experts_in_panels),
        cmocka_unit_test(sidecar_read),
        cmocka_unit_test(sidecar_written),
        cmocka_unit_test(a_token_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
