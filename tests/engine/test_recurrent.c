/* Sessions of models with a recurrent state: however rows are cut into steps and sequences take
 * turns in them, after going back, sharing a beginning, a cancelled step or a failed allocation,
 * the logits are to the bit those of one sequence fed at once, token by token the same numbers. */
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
#include "support/families.h"
#include "support/torture.h"

enum { TOKENS = 90, SEQUENCES = 3, VOCAB = 64 };

static const char *const models[] = {"lfm2",   "falcon-mamba", "jamba",
                                     "mamba2", "falcon-h1",    "qwen35moe"};
enum { MODELS = sizeof models / sizeof *models };

static bt_error err;
static bt_token ids[SEQUENCES][TOKENS];
static float want[SEQUENCES][TOKENS][VOCAB]; /* each sequence fed alone, at once */
static bt_model *model;
static bt_session *session;

static void open_session(const char *name, int threads)
{
    bt_model_options mo = {.n_threads = threads};
    bt_session_options so = {.n_ctx = TOKENS,
                             .n_sequences = SEQUENCES,
                             .n_batch = SEQUENCES * TOKENS,
                             .n_logits = SEQUENCES * TOKENS,
                             .kv = BT_KV_F32};
    if (bt_model_open(families_path(name, ".gguf"), &mo, &model, &err)) fail_msg("%s", err.text);
    if (bt_session_open(model, &so, &session, &err)) fail_msg("%s", err.text);
    assert_int_equal(bt_model_describe(model).n_vocab, VOCAB);
}

static void close_session(void)
{
    bt_session_close(&session);
    bt_model_close(&model);
}

static uint32_t draw(uint32_t n)
{
    static uint32_t state = 7;
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % n;
}

static void add(bt_row *rows, size_t *n, int sequence, int at)
{
    rows[(*n)++] = (bt_row){ids[sequence][at], sequence, true};
}

/* Feeds rows and compares every answer. */
static void step(const char *name, const bt_row *rows, size_t n)
{
    int32_t at[SEQUENCES];
    for (int q = 0; q < SEQUENCES; q++) at[q] = bt_session_length(session, q);
    if (bt_session_step(session, rows, n, &err)) fail_msg("%s: %s", name, err.text);
    for (size_t i = 0; i < n; i++) {
        int q = rows[i].sequence, t = at[q]++;
        if (memcmp(bt_session_logits(session, (int32_t)i), want[q][t], sizeof want[q][t]))
            fail_msg("%s: row %zu of %zu, sequence %d, token %d differs", name, i, n, q, t);
    }
}

static void feed(const char *name, int sequence, int n)
{
    bt_row rows[TOKENS];
    size_t count = 0;
    int at = bt_session_length(session, sequence);
    for (int i = 0; i < n; i++) add(rows, &count, sequence, at + i);
    if (n) step(name, rows, count);
}

/* Opens the model with one thread, and fills `want`. */
static void prepare(const char *name)
{
    bt_row rows[TOKENS];
    open_session(name, 1);
    for (int q = 0; q < SEQUENCES; q++) {
        size_t n = 0;
        for (int t = 0; t < TOKENS; t++) ids[q][t] = (bt_token)draw(VOCAB);
        for (int t = 0; t < TOKENS; t++) add(rows, &n, q, t);
        if (bt_session_step(session, rows, n, &err)) fail_msg("%s: %s", name, err.text);
        memcpy(want[q], bt_session_logits(session, 0), sizeof want[q]);
        assert_int_equal(bt_session_truncate(session, q, 0, &err), BT_OK);
    }
}

/* Steps of any number of rows of any sequences, in any order within the step. */
static void sequences_take_turns(void **state)
{
    (void)state;
    for (int i = 0; i < MODELS; i++) {
        prepare(models[i]);
        close_session();
        open_session(models[i], 3);
        for (int left = SEQUENCES * TOKENS; left > 0;) {
            bt_row rows[SEQUENCES * TOKENS];
            int at[SEQUENCES], some = 1 + (int)draw(40);
            size_t n = 0;
            for (int q = 0; q < SEQUENCES; q++) at[q] = bt_session_length(session, q);
            for (int r = 0; r < some; r++) {
                int q = (int)draw(SEQUENCES);
                if (at[q] < TOKENS) add(rows, &n, q, at[q]++);
            }
            if (!n) continue;
            step(models[i], rows, n);
            left -= (int)n;
        }
        close_session();
    }
}

static void going_back_is_exact(void **state)
{
    (void)state;
    for (int i = 0; i < MODELS; i++) {
        prepare(models[i]);
        for (int round = 0; round < 12; round++) {
            int held = bt_session_length(session, 0);
            feed(models[i], 0, (int)draw((uint32_t)(TOKENS - held) + 1));
            held = bt_session_length(session, 0);
            int to = (int)draw((uint32_t)held + 1);
            if (bt_session_truncate(session, 0, to, &err)) fail_msg("%s", err.text);
            assert_int_equal(bt_session_length(session, 0), to);
        }
        feed(models[i], 0, TOKENS - bt_session_length(session, 0));
        close_session();
    }
}

static void beginnings_are_shared(void **state)
{
    (void)state;
    for (int i = 0; i < MODELS; i++) {
        prepare(models[i]);
        for (int length = 1; length < 70; length += 23) {
            memcpy(ids[1], ids[0], sizeof ids[0]); /* the same text: what is wanted is known */
            memcpy(want[1], want[0], sizeof want[0]);
            feed(models[i], 0, 70);
            if (bt_session_share(session, 0, 1, length, &err)) fail_msg("%s", err.text);
            assert_int_equal(bt_session_length(session, 1), length);
            feed(models[i], 1, 5);
            feed(models[i], 0, 5);
            feed(models[i], 1, TOKENS - bt_session_length(session, 1));
            feed(models[i], 0, TOKENS - bt_session_length(session, 0));
            bt_session_truncate(session, 0, 0, &err);
            bt_session_truncate(session, 1, 0, &err);
        }
        close_session();
    }
}

static void cancelled_steps_leave_no_trace(void **state)
{
    (void)state;
    for (int i = 0; i < MODELS; i++) {
        bt_row rows[TOKENS];
        size_t n = 0;
        prepare(models[i]);
        feed(models[i], 0, 30);
        feed(models[i], 0, 1);
        for (int t = 31; t < 50; t++) add(rows, &n, 0, t);
        bt_session_cancel(session);
        assert_int_equal(bt_session_step(session, rows, n, &err), BT_E_CANCELLED);
        assert_int_equal(bt_session_length(session, 0), 31);
        feed(models[i], 0, TOKENS - 31);
        close_session();
    }
}

static bt_status opening(void *user, bt_error *told)
{
    bt_model_options mo = {.no_cache = true};
    bt_session_options so = {.n_ctx = 64, .n_sequences = 2, .n_batch = 16};
    bt_status status = bt_model_open(families_path(user, ".gguf"), &mo, &model, told);
    if (!status) status = bt_session_open(model, &so, &session, told);
    close_session();
    return status == BT_E_SYSTEM ? BT_E_MEMORY : status; /* the team of threads */
}

/* Each allocation of opening fails once: a sentence, no leak. */
/* Each allocation of opening fails once: a sentence, no leak. */
static void lacking_memory_is_said(void **state)
{
    (void)state;
    for (int i = 0; i < MODELS; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s", models[i]);
        uint64_t before = mem_count();
        if (opening(name, &err)) fail_msg("%s: %s", name, err.text);
        uint64_t all = mem_count() - before, failed = torture(name, opening, name);
        if (failed < all / 2)
            fail_msg("%s: %u of %u failed", name, (unsigned)failed, (unsigned)all);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences_take_turns),   cmocka_unit_test(going_back_is_exact),
        cmocka_unit_test(beginnings_are_shared),  cmocka_unit_test(cancelled_steps_leave_no_trace),
        cmocka_unit_test(lacking_memory_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
