/* Threads: sessions of one model used from several at once, opened while others run, cancelled from
 * another thread and from a signal handler. What each thread computes is what it computes alone, to
 * the bit. ThreadSanitizer (make tsan) sees the rest. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include <cmocka.h>

#include "bantam/bantam.h"
#include "base/mem.h"
#include "support/make_model.h"
#include "support/scratch.h"

enum { WORKERS = 3, TOKENS = 40, ROUNDS = 4 };

static bt_token tokens[TOKENS];

static const char *a_model(const char *name, const char *arch, DType type, int layers)
{
    static char path[1024];
    bt_error err = {0};
    bool wide = type != DT_F32;
    MakeModel options = {.arch = arch,
                         .type = type,
                         .layers = layers,
                         .embd = wide ? 256 : 0,
                         .ff = wide ? 256 : 0,
                         .head_dim = wide ? 64 : 0};
    snprintf(path, sizeof path, "%s", scratch_path(name));
    if (make_model(&options, path, &err) != BT_OK) fail_msg("%s", err.text);
    return path;
}

static bt_model *open_model(const char *path, int n_threads)
{
    bt_error err = {0};
    bt_model *model;
    bt_model_options options = {.n_threads = n_threads};
    if (bt_model_open(path, &options, &model, &err) != BT_OK) fail_msg("%s", err.text);
    return model;
}

static bt_session *open_session(bt_model *model)
{
    bt_error err = {0};
    bt_session *session;
    bt_session_options options = {.n_ctx = 128, .n_sequences = 2, .n_batch = 16};
    if (bt_session_open(model, &options, &session, &err) != BT_OK) fail_msg("%s", err.text);
    return session;
}

/* ---- several at once ---- */

typedef struct Worker {
    const char *path;
    bt_model *model;
    const float *want; /* logits after all tokens */
    size_t n_vocab;
    const char *wrong; /* NULL: all went well; cmocka's checks are for the main thread only */
} Worker;

/* A session's life: opened (the first to come prepares the weights), fed, planned, closed. */
static void *live(void *arg)
{
    Worker *w = arg;
    bt_error err = {0};
    for (int round = 0; round < ROUNDS && !w->wrong; round++) {
        bt_session *s;
        bt_memory_plan plan;
        int32_t n_ctx = 64;
        bt_token ids[64];
        bt_session_options options = {.n_ctx = 128, .n_sequences = 2, .n_batch = 16};
        if (bt_session_open(w->model, &options, &s, &err) != BT_OK) {
            w->wrong = "open";
            break;
        }
        if (bt_session_feed(s, 1, tokens, TOKENS, &err) != BT_OK)
            w->wrong = "feed";
        else if (memcmp(bt_session_logits(s, -1), w->want, w->n_vocab * sizeof *w->want) != 0)
            w->wrong = "other logits than alone";
        if (bt_model_plan(w->model, &n_ctx, 1, 8, BT_KV_DEFAULT, &plan, &err) != BT_OK)
            w->wrong = "plan";
        if (bt_model_tokenize(w->model, "some text", 9, 0, ids, 64, &err) < 1)
            w->wrong = "tokenize";
        bt_session_close(&s);
    }
    return NULL;
}

static void all_at_once(const char *path, int n_threads)
{
    bt_error err = {0};
    bt_model *alone = open_model(path, n_threads), *model = open_model(path, n_threads);
    bt_session *s = open_session(alone);
    assert_int_equal(bt_session_feed(s, 1, tokens, TOKENS, &err), BT_OK);
    size_t n_vocab = (size_t)bt_model_describe(alone).n_vocab;
    Worker worker[WORKERS];
    pthread_t thread[WORKERS];
    for (int i = 0; i < WORKERS; i++) {
        worker[i] = (Worker){NULL, model, bt_session_logits(s, -1), n_vocab, NULL};
        assert_int_equal(pthread_create(&thread[i], NULL, live, &worker[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < WORKERS; i++)
        if (worker[i].wrong) fail_msg("thread %d: %s", i, worker[i].wrong);
    bt_session_close(&s);
    bt_model_close(&alone);
    bt_model_close(&model);
}

static void sessions_share_a_model(void **state)
{
    (void)state;
    int64_t before = mem_live();
    all_at_once(a_model("dense.gguf", "llama", DT_F32, 2), 2);
    all_at_once(a_model("panels.gguf", "qwen3", DT_Q4_K, 1), 2);
    all_at_once(a_model("experts.gguf", "qwen3moe", DT_Q8_0, 1), 4);
    assert_int_equal(mem_live(), before);
}

/* Models opened and closed by several threads at once share nothing that is not guarded. */
static void *open_and_close(void *arg)
{
    Worker w = *(Worker *)arg;
    for (int i = 0; i < ROUNDS; i++) {
        bt_model_options options = {.n_threads = 2};
        if (bt_model_open(w.path, &options, &w.model, NULL) != BT_OK) return arg;
        bt_session *s = NULL;
        bt_session_options size = {.n_ctx = 64, .n_batch = 8};
        bt_status status = bt_session_open(w.model, &size, &s, NULL);
        if (!status) status = bt_session_feed(s, 0, tokens, 8, NULL);
        bt_session_close(&s);
        bt_model_close(&w.model);
        if (status) return arg;
    }
    return NULL;
}

static void models_are_apart(void **state)
{
    (void)state;
    Worker w = {.path = a_model("apart.gguf", "qwen2", DT_Q8_0, 1)};
    pthread_t thread[WORKERS];
    void *failed;
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, open_and_close, &w), 0);
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(thread[i], &failed);
        assert_null(failed);
    }
}

/* ---- a long past ---- */

/* Logits after LONG tokens, the last `one_by_one` of them fed so. */
static void long_past(const char *path, int n_threads, bt_kv_type kv, int one_by_one, float *logits,
                      size_t bytes)
{
    enum { LONG = 1300 };
    bt_error err = {0};
    bt_model *model = open_model(path, n_threads);
    bt_session *s;
    bt_token ids[LONG];
    bt_session_options options = {.n_ctx = LONG, .n_batch = 256, .kv = kv};
    for (int i = 0; i < LONG; i++) ids[i] = (i * 37 + i * i) % 250;
    if (bt_session_open(model, &options, &s, &err) != BT_OK) fail_msg("%s", err.text);
    assert_int_equal(bt_session_feed(s, 0, ids, (size_t)(LONG - one_by_one), &err), BT_OK);
    for (int i = LONG - one_by_one; i < LONG; i++)
        assert_int_equal(bt_session_feed(s, 0, ids + i, 1, &err), BT_OK);
    memcpy(logits, bt_session_logits(s, -1), bytes);
    bt_session_close(&s);
    bt_model_close(&model);
}

/* Its runs go to several threads where heads are few: nobody can tell from the bits. */
static void a_long_past_is_shared(void **state)
{
    (void)state;
    static const bt_kv_type types[] = {BT_KV_F32, BT_KV_BF16, BT_KV_Q8_0, BT_KV_Q4_0};
    static float want[1024], got[1024];
    const char *path = a_model("long.gguf", "llama", DT_Q4_K, 1);
    bt_model *model = open_model(path, 1);
    size_t bytes = (size_t)bt_model_describe(model).n_vocab * sizeof *want;
    bt_model_close(&model);
    assert_true(bytes <= sizeof want);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        long_past(path, 1, types[i], 0, want, bytes);
        for (int n = 1; n < 4; n++) {
            long_past(path, n, types[i], 3, got, bytes);
            assert_memory_equal(want, got, bytes);
        }
    }
}

/* ---- cancelling ---- */

typedef struct Canceller {
    bt_session *session;
    atomic_bool stop;
} Canceller;

static void *cancel_often(void *arg)
{
    Canceller *c = arg;
    struct timespec pause = {.tv_nsec = 200000};
    while (!atomic_load(&c->stop)) {
        bt_session_cancel(c->session);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

/* Feeds until some were cancelled and some came through; each leaves the length that it should. */
static void feed_until_both(bt_session *s)
{
    int cancelled = 0, done = 0;
    for (int i = 0; i < 20000 && !(cancelled > 2 && done > 2); i++) {
        bt_error err = {0};
        int32_t held = bt_session_length(s, 0);
        if (held + 1 > 100) {
            assert_int_equal(bt_session_truncate(s, 0, 0, &err), BT_OK);
            held = 0;
        }
        int n = i % 2 ? 1 : 20;
        bt_status status = bt_session_feed(s, 0, tokens, (size_t)n, &err);
        if (status == BT_E_CANCELLED) {
            cancelled++;
            assert_int_equal(bt_session_length(s, 0), held);
            assert_null(bt_session_logits(s, -1));
        } else {
            assert_int_equal(status, BT_OK);
            done++;
            assert_int_equal(bt_session_length(s, 0), held + n);
        }
    }
    assert_true(cancelled > 0);
}

/* After any number of cancelled steps the session computes what a new one does. */
static void check_unharmed(bt_model *model, bt_session *s)
{
    bt_error err = {0};
    bt_session *fresh = open_session(model);
    size_t bytes = (size_t)bt_model_describe(model).n_vocab * sizeof(float);
    bt_session_feed(s, 1, tokens, 1, &err); /* takes a cancellation that came late with it */
    assert_int_equal(bt_session_truncate(s, 0, 0, &err), BT_OK);
    assert_int_equal(bt_session_feed(s, 0, tokens, TOKENS, &err), BT_OK);
    assert_int_equal(bt_session_feed(fresh, 0, tokens, TOKENS, &err), BT_OK);
    assert_memory_equal(bt_session_logits(s, -1), bt_session_logits(fresh, -1), bytes);
    bt_session_close(&fresh);
}

static void another_thread_cancels(void **state)
{
    (void)state;
    bt_model *model = open_model(a_model("cancel.gguf", "llama", DT_F32, 8), 2);
    bt_session *s = open_session(model);
    Canceller c = {.session = s};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_often, &c), 0);
    feed_until_both(s);
    atomic_store(&c.stop, true);
    pthread_join(thread, NULL);
    check_unharmed(model, s);
    bt_session_close(&s);
    bt_model_close(&model);
}

static bt_session *signalled;

static void on_alarm(int number)
{
    (void)number;
    bt_session_cancel(signalled);
}

static void a_signal_handler_cancels(void **state)
{
    (void)state;
    bt_model *model = open_model(a_model("signal.gguf", "llama", DT_F32, 8), 2);
    bt_session *s = open_session(model);
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART}, old;
    struct itimerval often = {{0, 700}, {0, 700}}, never = {{0, 0}, {0, 0}};
    signalled = s;
    assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    feed_until_both(s);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &old, NULL), 0);
    check_unharmed(model, s);
    bt_session_close(&s);
    bt_model_close(&model);
}

static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < TOKENS; i++) tokens[i] = (i * 37 + i * i) % 250;
    return scratch_open() ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_share_a_model),   cmocka_unit_test(models_are_apart),
        cmocka_unit_test(a_long_past_is_shared),    cmocka_unit_test(another_thread_cancels),
        cmocka_unit_test(a_signal_handler_cancels),
    };
    return cmocka_run_group_tests(tests, setup, scratch_teardown);
}
