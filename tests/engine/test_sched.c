/* The scheduler by its promises. The main one: whatever comes when, in what order, cut into what
 * steps, with whatever beginnings shared, evicted and read again, each request gets what it gets
 * alone, to the bit. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engine/sched.h"
#include "support/families.h"
#include "support/make_blocks.h"
#include "support/make_model.h"
#include "support/scratch.h"

enum { CONTEXT = 320, BASES = 3, MOST_ANSWER = 48 };

static bt_error err;
static uint64_t seed;

static uint32_t draw(uint32_t n)
{
    return (uint32_t)(make_random(&seed) >> 33) % n;
}

static const char *small_model(const MakeModel *spec)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s", scratch_path("m.gguf"));
    if (make_model(spec, path, &err)) fail_msg("%s", err.text);
    return path;
}

static bt_model *open_model(const char *path)
{
    bt_model *m = NULL;
    bt_model_options o = {.n_threads = 2, .no_cache = true};
    if (bt_model_open(path, &o, &m, &err)) fail_msg("%s", err.text);
    return m;
}

static bt_model *open_made(void)
{
    return open_model(small_model(&(MakeModel){.tokenizer = MAKE_NO_VOCAB}));
}

static Sched *open_sched(bt_model *m, SchedOptions o)
{
    Sched *s = NULL;
    if (!o.n_ctx) o.n_ctx = CONTEXT;
    if (sched_open(m, &o, &s, &err)) fail_msg("%s", err.text);
    return s;
}

/* ---- one request, and what came of it ---- */

typedef struct Job {
    bt_token prompt[CONTEXT];
    int32_t n_prompt, n_predict;
    bt_sampler_options sampling;
    uint64_t principal, id;
    int priority, n_top;
    bool no_cache;
    int32_t stop_after; /* token() says stop then; 0: never */

    bt_token answer[CONTEXT], want[CONTEXT];
    float logprob[CONTEXT];
    int32_t n_answer, n_want;
    int ends;
    SchedEnd why;
    SchedUsage usage;
    bt_status status;
    uint64_t ended_at; /* by `clock` */
    bool last_seen;
} Job;

static uint64_t clock_now;

static bool take_token(void *user, const SchedToken *t)
{
    Job *j = user;
    assert_int_equal(j->ends, 0);
    assert_in_range(j->n_answer, 0, CONTEXT - 1);
    assert_false(j->last_seen);
    j->last_seen = t->last;
    if (j->n_top >= 0) {
        assert_true(t->logprob <= 0);
        assert_true(t->n_top <= j->n_top);
        for (int32_t i = 1; i < t->n_top; i++)
            assert_true(t->top_logprob[i] <= t->top_logprob[i - 1]);
    }
    j->logprob[j->n_answer] = t->logprob;
    j->answer[j->n_answer++] = t->id;
    return j->n_answer != j->stop_after;
}

static void take_end(void *user, SchedEnd why, const SchedUsage *usage, const bt_error *error)
{
    Job *j = user;
    j->ends++;
    j->why = why;
    j->usage = *usage;
    j->ended_at = clock_now;
    assert_int_equal(error != NULL, why == SCHED_END_ERROR);
    j->status = error ? error->status : BT_OK;
    assert_int_equal(usage->completion, j->n_answer);
    assert_int_equal(usage->prompt, j->n_prompt);
}

static SchedRequest request_of(Job *j)
{
    return (SchedRequest){.prompt = j->prompt,
                          .n_prompt = (size_t)j->n_prompt,
                          .n_predict = j->n_predict,
                          .sampling = j->sampling,
                          .n_top = j->n_top,
                          .no_cache = j->no_cache,
                          .principal = j->principal,
                          .priority = j->priority,
                          .token = take_token,
                          .end = take_end,
                          .user = j};
}

static void submit(Sched *s, Job *j)
{
    SchedRequest r = request_of(j);
    if (sched_submit(s, &r, &j->id, &err)) fail_msg("%s", err.text);
    assert_true(j->id > 0);
}

static bool step(Sched *s)
{
    bool idle;
    if (sched_step(s, &idle, &err)) fail_msg("%s", err.text);
    clock_now++;
    return !idle;
}

static Job *greedy(int32_t n_prompt, int32_t n_predict)
{
    Job *j = calloc(1, sizeof *j);
    j->n_prompt = n_prompt;
    j->n_predict = n_predict;
    j->sampling.greedy = true;
    j->sampling.seed = 1;
    j->n_top = -1;
    for (int32_t i = 0; i < n_prompt; i++) j->prompt[i] = (bt_token)draw(60);
    return j;
}

/* ---- the same alone ---- */

/* Through the public session and sampler, one sequence, one prompt after the other. */
static void alone(bt_model *m, bt_session *session, Job *j)
{
    bt_sampler *sampler = NULL;
    assert_int_equal(bt_session_truncate(session, 0, 0, &err), BT_OK);
    assert_int_equal(bt_session_feed(session, 0, j->prompt, (size_t)j->n_prompt, &err), BT_OK);
    assert_int_equal(bt_sampler_open(m, &j->sampling, &sampler, &err), BT_OK);
    for (int32_t i = 0; i < j->n_prompt; i++) bt_sampler_accept(sampler, j->prompt[i]);
    int32_t most = CONTEXT - j->n_prompt;
    if (j->n_predict >= 0 && j->n_predict < most) most = j->n_predict;
    for (j->n_want = 0; j->n_want < most;) {
        bt_token id = bt_sampler_pick(sampler, bt_session_logits(session, -1));
        if (bt_model_token_ends(m, id)) break;
        j->want[j->n_want++] = id;
        if (j->n_want < most) assert_int_equal(bt_session_feed(session, 0, &id, 1, &err), BT_OK);
    }
    bt_sampler_close(&sampler);
}

/* ---- random schedules ---- */

static bt_token bases[BASES][CONTEXT];

static void draw_job(Job *j, bt_token n_vocab, bool talkers)
{
    static const int tops[] = {-1, -1, 0, 3};
    bool talks =
        talkers ? draw(8) > 0 : draw(4) == 0; /* much of memory is not asked for at the beginning */
    *j = (Job){.n_prompt = 1 + (int32_t)draw(talks ? 20 : 150),
               .n_predict = (int32_t)draw(talks ? 250 : MOST_ANSWER)};
    uint32_t base = draw(BASES), common = draw(4) ? 1 + draw((uint32_t)j->n_prompt) : 0;
    for (int32_t i = 0; i < j->n_prompt; i++)
        j->prompt[i] = i < (int32_t)common ? bases[base][i] : (bt_token)draw((uint32_t)n_vocab);
    if (draw(6) == 0) memcpy(j->prompt, bases[base], (size_t)j->n_prompt * sizeof *j->prompt);
    j->sampling.greedy = draw(3) > 0;
    j->sampling.seed = 1 + draw(1000);
    j->sampling.temperature = 1.5f;
    if (draw(4) == 0) j->sampling.repeat_penalty = 1.2f;
    j->principal = draw(2);
    j->priority = (int)draw(3);
    j->n_top = tops[draw(4)];
    j->no_cache = draw(8) == 0;
    if (draw(10) == 0) j->stop_after = 1 + (int32_t)draw(10);
}

static void check_job(const Job *j, size_t i)
{
    bool whole =
        j->why == SCHED_END_LENGTH || j->why == SCHED_END_STOP || j->why == SCHED_END_CONTEXT;
    assert_int_equal(j->ends, 1);
    assert_int_not_equal(j->why, SCHED_END_ERROR);
    if (whole) assert_int_equal(j->n_answer, j->n_want);
    assert_true(j->n_answer <= j->n_want);
    for (int32_t t = 0; t < j->n_answer; t++)
        if (j->answer[t] != j->want[t])
            fail_msg("job %zu: token %d is %d, alone %d", i, t, j->answer[t], j->want[t]);
}

typedef struct Tally {
    uint64_t cached, evicted, stepped_back, cancelled;
} Tally;

static void random_schedule(bt_model *m, bt_session *session, Tally *tally)
{
    enum { JOBS = 24 };
    bt_token n_vocab = bt_model_describe(m).n_vocab;
    static Job jobs[JOBS];
    bool talkers = draw(2);
    SchedOptions o = {.n_sequences = 2 + (int32_t)draw(talkers ? 14 : 5),
                      .n_batch = 6 + (int32_t)draw(60),
                      .n_prefill = 1 + (int32_t)draw(40),
                      .n_tokens = draw(3) ? CONTEXT + (int32_t)draw(talkers ? 60 : 200) : 0,
                      .n_checkpoints = draw(2) ? 1 + (int32_t)draw(5) : 0,
                      .kv = BT_KV_F32};
    Sched *s = open_sched(m, o);
    for (int b = 0; b < BASES; b++)
        for (int i = 0; i < CONTEXT; i++) bases[b][i] = (bt_token)draw((uint32_t)n_vocab);
    size_t given = 0;
    while (given < JOBS || step(s)) {
        for (uint32_t n = draw(3) ? 0 : 1 + draw(8); n > 0 && given < JOBS; n--, given++) {
            draw_job(&jobs[given], n_vocab, talkers);
            alone(m, session, &jobs[given]);
            submit(s, &jobs[given]);
        }
        if (given && draw(50) == 0) sched_cancel(s, jobs[draw((uint32_t)given)].id);
        if (given < JOBS) step(s);
    }
    for (size_t i = 0; i < JOBS; i++) {
        check_job(&jobs[i], i);
        tally->cancelled += jobs[i].why == SCHED_END_CANCELLED;
    }
    SchedStats stats = sched_stats(s);
    assert_int_equal(stats.n_requests, JOBS);
    assert_int_equal(stats.n_running + stats.n_waiting, 0);
    tally->cached += stats.n_cached;
    tally->evicted += stats.n_evicted;
    tally->stepped_back += stats.n_stepped_back;
    sched_close(&s);
    assert_null(s);
}

static void schedules(const char *path, int n)
{
    bt_model *m = open_model(path);
    bt_session *session = NULL;
    bt_session_options so = {.n_ctx = CONTEXT, .kv = BT_KV_F32};
    Tally tally = {0};
    if (bt_session_open(m, &so, &session, &err)) fail_msg("%s", err.text);
    for (int i = 0; i < n; i++) {
        seed = (uint64_t)i + 1;
        random_schedule(m, session, &tally);
    }
    /* a test that met none of these would say nothing about them */
    assert_true(tally.cached && tally.evicted && tally.cancelled);
    print_message("# %s: %u tokens shared, %u evicted, %u stepped back, %u cancelled\n",
                  strrchr(path, '/') + 1, (unsigned)tally.cached, (unsigned)tally.evicted,
                  (unsigned)tally.stepped_back, (unsigned)tally.cancelled);
    bt_session_close(&session);
    bt_model_close(&m);
}

static void alone_or_together_dense(void **state)
{
    (void)state;
    schedules(small_model(&(MakeModel){.tokenizer = MAKE_NO_VOCAB}), 12);
}

static void alone_or_together_quantised(void **state)
{
    (void)state;
    schedules(
        small_model(&(MakeModel){
            .tokenizer = MAKE_NO_VOCAB, .type = DT_Q4_K, .embd = 256, .ff = 512, .head_dim = 64}),
        4);
}

static void alone_or_together_families(void **state)
{
    (void)state;
    static const char *const names[] = {"exaone4-window", "gemma3n", "mamba2",  "qwen3next",
                                        "deepseek2-lite", "jamba",   "lfm2moe", "gpt-oss-yarn"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        schedules(families_path(names[i], ".gguf"), 5);
}

/* ---- what is shared ---- */

static void run_all(Sched *s)
{
    while (step(s)) continue;
}

static void beginnings_are_shared(void **state)
{
    (void)state;
    bt_model *m = open_made();
    Sched *s = open_sched(m, (SchedOptions){.n_sequences = 4});
    seed = 3;
    Job *a = greedy(200, 10), *b = greedy(220, 10), *c = greedy(220, 10), *d = greedy(220, 5);
    memcpy(b->prompt, a->prompt, 180 * sizeof *a->prompt);
    memcpy(c->prompt, a->prompt, 180 * sizeof *a->prompt);
    memcpy(d->prompt, a->prompt, 180 * sizeof *a->prompt);
    b->prompt[180] = c->prompt[180] = 61; /* where they part from the first */
    d->prompt[180] = 62;
    c->principal = 9;
    submit(s, a);
    run_all(s);
    submit(s, b);
    run_all(s);
    submit(s, c);
    run_all(s);
    d->no_cache = true;
    submit(s, d);
    run_all(s);
    assert_int_equal(a->usage.cached, 0);
    assert_int_equal(b->usage.cached, 180);
    assert_int_equal(c->usage.cached, 0); /* another's */
    assert_int_equal(d->usage.cached, 0);
    assert_int_equal(sched_stats(s).n_remembered, 3);
    free(a), free(b), free(c), free(d);
    sched_close(&s);
    bt_model_close(&m);
}

/* The next turn of a conversation goes on in the sequence of the last. */
static void a_conversation_goes_on(void **state)
{
    (void)state;
    bt_model *m = open_made();
    Sched *s = open_sched(m, (SchedOptions){.n_sequences = 2});
    seed = 4;
    Job *a = greedy(100, 20), *b = greedy(130, 4);
    submit(s, a);
    run_all(s);
    assert_int_equal(a->n_answer, 20);
    memcpy(b->prompt, a->prompt, 100 * sizeof *a->prompt);
    memcpy(b->prompt + 100, a->answer, 20 * sizeof *a->answer);
    submit(s, b);
    run_all(s);
    assert_int_equal(b->usage.cached, 119); /* the last token of the answer was never fed */
    assert_int_equal(sched_stats(s).n_remembered, 1);
    free(a), free(b);
    sched_close(&s);
    bt_model_close(&m);
}

/* Several that come at once with one beginning compute it once; models that forget too. */
static void one_reads_for_all(void **state)
{
    (void)state;
    static const char *const names[] = {NULL, "mamba2", "exaone4-window", "qwen3next"};
    for (size_t i = 0; i < 4; i++) {
        bt_model *m = names[i] ? open_model(families_path(names[i], ".gguf")) : open_made();
        Sched *s = open_sched(m, (SchedOptions){.n_sequences = 8, .n_batch = 64});
        Job *jobs[5];
        seed = 5;
        jobs[0] = greedy(200, 3);
        for (int j = 1; j < 5; j++) {
            jobs[j] = greedy(200, 3);
            memcpy(jobs[j]->prompt, jobs[0]->prompt, sizeof jobs[0]->prompt);
            if (j > 2) jobs[j]->prompt[150] = (jobs[0]->prompt[150] + j) % 60;
        }
        for (int j = 0; j < 5; j++) submit(s, jobs[j]);
        run_all(s);
        assert_int_equal(jobs[0]->usage.cached, 0);
        for (int j = 1; j < 5; j++) /* for a few tokens nobody waits */
            assert_in_range(jobs[j]->usage.cached, (j > 2 ? 150 : 199) - 32, j > 2 ? 150 : 199);
        for (int j = 0; j < 5; j++) free(jobs[j]);
        sched_close(&s);
        bt_model_close(&m);
    }
}

/* Answers that outgrow the memory: the youngest steps back, is read again and goes on. */
static void stepping_back_changes_nothing(void **state)
{
    (void)state;
    enum { TALKERS = 4 };
    static const char *const names[] = {NULL, "exaone4-window", "qwen3next", "deepseek2-lite"};
    for (size_t i = 0; i < 4; i++) {
        bt_model *m = names[i] ? open_model(families_path(names[i], ".gguf")) : open_made();
        Sched *s =
            open_sched(m, (SchedOptions){.n_sequences = 4, .n_tokens = CONTEXT, .kv = BT_KV_F32});
        bt_session *session = NULL;
        bt_session_options so = {.n_ctx = CONTEXT, .kv = BT_KV_F32};
        assert_int_equal(bt_session_open(m, &so, &session, &err), BT_OK);
        Job *jobs[TALKERS];
        seed = 20;
        for (int j = 0; j < TALKERS; j++) {
            jobs[j] = greedy(10, 200);
            if (j == 2) jobs[j]->sampling = (bt_sampler_options){.seed = 4, .temperature = 1.2f};
            alone(m, session, jobs[j]);
            submit(s, jobs[j]);
        }
        run_all(s);
        assert_true(sched_stats(s).n_stepped_back > 0);
        for (size_t j = 0; j < TALKERS; j++) {
            check_job(jobs[j], j);
            assert_int_equal(jobs[j]->n_answer, 200);
            free(jobs[j]);
        }
        bt_session_close(&session);
        sched_close(&s);
        bt_model_close(&m);
    }
}

/* ---- who comes when ---- */

static void principals_take_turns(void **state)
{
    (void)state;
    enum { FLOOD = 30 };
    bt_model *m = open_made();
    Sched *s = open_sched(m, (SchedOptions){.n_sequences = 2});
    Job *flood[FLOOD], *other;
    seed = 6;
    for (int i = 0; i < FLOOD; i++) {
        flood[i] = greedy(8, 8);
        flood[i]->principal = 1;
        submit(s, flood[i]);
    }
    other = greedy(8, 8);
    other->principal = 2;
    submit(s, other);
    run_all(s);
    int before = 0;
    for (int i = 0; i < FLOOD; i++) {
        assert_int_equal(flood[i]->why, SCHED_END_LENGTH);
        before += flood[i]->ended_at < other->ended_at;
        free(flood[i]);
    }
    assert_true(before <= 2);
    free(other);
    sched_close(&s);
    bt_model_close(&m);
}

static void priorities_come_first_and_nobody_starves(void **state)
{
    (void)state;
    enum { MANY = 100 };
    bt_model *m = open_made();
    Sched *s = open_sched(m, (SchedOptions){.n_sequences = 1});
    Job *low = greedy(4, 2), *urgent = greedy(4, 2), *jobs[MANY];
    seed = 7;
    for (int i = 0; i < MANY; i++) jobs[i] = greedy(4, 2);
    submit(s, jobs[0]);
    step(s);
    low->priority = -1;
    submit(s, low);
    for (int i = 1; i < MANY; i++) { /* there is always one that came later and is worth more */
        submit(s, jobs[i]);
        if (i == 2) {
            urgent->priority = 5;
            submit(s, urgent);
        }
        if (i > 3) step(s), step(s);
    }
    run_all(s);
    int before_low = 0, before_urgent = 0;
    for (int i = 0; i < MANY; i++) {
        before_low += jobs[i]->ended_at < low->ended_at;
        before_urgent += jobs[i]->ended_at < urgent->ended_at;
        free(jobs[i]);
    }
    assert_int_equal(before_urgent, 1);
    assert_in_range(before_low, 10, 40); /* it rose while it waited */
    free(low), free(urgent);
    sched_close(&s);
    bt_model_close(&m);
}

/* A long prompt is read in pieces; answers go on with each step meanwhile. */
static void answers_do_not_wait_for_prompts(void **state)
{
    (void)state;
    bt_model *m = open_made();
    Sched *s = open_sched(m, (SchedOptions){.n_sequences = 4, .n_prefill = 16});
    seed = 8;
    Job *a = greedy(10, 40), *b = greedy(300, 2), *c = greedy(10, 2);
    submit(s, a);
    step(s);
    assert_int_equal(a->n_answer, 1);
    submit(s, b);
    for (int i = 2; i < 10; i++) {
        step(s);
        assert_int_equal(a->n_answer, i);
    }
    submit(s, c); /* nor does a short prompt */
    step(s), step(s);
    assert_true(c->n_answer > 0);
    assert_int_equal(b->n_answer, 0);
    run_all(s);
    assert_int_equal(b->n_answer, 2);
    free(a), free(b), free(c);
    sched_close(&s);
    bt_model_close(&m);
}

static void a_thousand_at_once(void **state)
{
    (void)state;
    enum { MANY = 1000 };
    static uint64_t at[MANY];
    bt_model *m = open_made();
    Sched *s = open_sched(m, (SchedOptions){.n_sequences = MANY,
                                            .n_ctx = 128,
                                            .n_batch = 256,
                                            .n_queue = MANY,
                                            .n_tokens = 64 * MANY});
    Job **jobs = calloc(MANY, sizeof *jobs);
    seed = 9;
    uint64_t begun = clock_now;
    for (int i = 0; i < MANY; i++) {
        jobs[i] = greedy(4 + (int32_t)draw(20), 16);
        jobs[i]->principal = draw(10);
        submit(s, jobs[i]);
    }
    run_all(s);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(jobs[i]->why, SCHED_END_LENGTH);
        at[i] = jobs[i]->ended_at - begun;
    }
    for (int i = 1; i < MANY; i++) /* sorted by insertion: nearly so already */
        for (int j = i; j > 0 && at[j] < at[j - 1]; j--) {
            uint64_t swap = at[j];
            at[j] = at[j - 1];
            at[j - 1] = swap;
        }
    print_message("# steps until the end: median %u, slowest %u\n", (unsigned)at[MANY / 2],
                  (unsigned)at[MANY - 1]);
    assert_true(at[MANY - 1] <= 2 * at[MANY / 2]);
    for (int i = 0; i < MANY; i++) free(jobs[i]);
    free(jobs);
    sched_close(&s);
    bt_model_close(&m);
}

/* ---- what is refused, and what ends early ---- */

static void refusals_say_why(void **state)
{
    (void)state;
    bt_model *m = open_made();
    Sched *s = open_sched(m, (SchedOptions){.n_sequences = 1, .n_ctx = 64, .n_queue = 2});
    seed = 10;
    Job *j = greedy(64, 5), *waits[2];
    SchedRequest r = request_of(j);
    uint64_t id = 5;
    assert_int_equal(sched_submit(s, &r, &id, &err), BT_E_CONTEXT);
    assert_string_equal(
        err.text, "the prompt has 64 tokens, but the context holds 64, the answer among them");
    assert_int_equal(id, 0);
    r.n_prompt = 0;
    assert_int_equal(sched_submit(s, &r, NULL, &err), BT_E_ARGUMENT);
    r.n_prompt = 3;
    j->prompt[1] = 1 << 20;
    assert_int_equal(sched_submit(s, &r, NULL, &err), BT_E_ARGUMENT);
    j->prompt[1] = 1;
    r.n_top = SCHED_MOST_TOP + 1;
    assert_int_equal(sched_submit(s, &r, NULL, &err), BT_E_ARGUMENT);
    r.n_top = -1;
    r.sampling.top_p = 7;
    assert_int_equal(sched_submit(s, &r, NULL, &err), BT_E_ARGUMENT);
    for (int i = 0; i < 2; i++) submit(s, waits[i] = greedy(5, 5));
    r.sampling.top_p = 0;
    assert_int_equal(sched_submit(s, &r, &id, &err), BT_E_LIMIT);
    assert_string_equal(err.text, "2 requests wait already, as many as may; try again later");
    run_all(s);
    assert_int_equal(sched_stats(s).n_refused, 6);
    assert_int_equal(j->ends, 0);
    for (int i = 0; i < 2; i++) free(waits[i]);
    free(j);
    sched_close(&s);
    bt_model_close(&m);
}

static void ends_are_what_they_are(void **state)
{
    (void)state;
    bt_model *m = open_made();
    Sched *s = open_sched(m, (SchedOptions){.n_sequences = 3, .n_ctx = 64});
    seed = 11;
    Job *full = greedy(60, -1), *none = greedy(20, 0), *caller = greedy(10, 30),
        *gone = greedy(10, 30), *waits = greedy(5, 5), *closed = greedy(5, 50);
    caller->stop_after = 3;
    submit(s, full), submit(s, none), submit(s, caller);
    run_all(s);
    assert_int_equal(full->why, SCHED_END_CONTEXT);
    assert_int_equal(full->n_answer, 4);
    assert_true(full->last_seen);
    assert_int_equal(none->why, SCHED_END_LENGTH);
    assert_int_equal(caller->why, SCHED_END_CALLER);
    assert_int_equal(caller->n_answer, 3);
    submit(s, gone), submit(s, waits);
    step(s), step(s);
    sched_cancel(s, gone->id);
    sched_cancel(s, 12345);
    int32_t had = gone->n_answer;
    step(s);
    assert_int_equal(gone->why, SCHED_END_CANCELLED);
    assert_int_equal(gone->n_answer, had);
    run_all(s);
    submit(s, closed);
    step(s);
    sched_close(&s);
    assert_int_equal(closed->ends, 1);
    assert_int_equal(closed->why, SCHED_END_CANCELLED);
    free(full), free(none), free(caller), free(gone), free(waits), free(closed);
    bt_model_close(&m);
}

/* Alone, and as the softmax of the session's logits says. */
static void log_probabilities_are_the_models(void **state)
{
    (void)state;
    bt_model *m = open_made();
    Sched *s = open_sched(m, (SchedOptions){.kv = BT_KV_F32});
    seed = 12;
    Job *j = greedy(30, 1);
    bt_logit_bias bias = {.token = 7, .bias = 100}; /* the token is forced; its share is not */
    j->sampling.bias = &bias;
    j->sampling.n_bias = 1;
    j->n_top = 3;
    submit(s, j);
    run_all(s);
    assert_int_equal(j->answer[0], 7);
    bt_session *session = NULL;
    bt_session_options so = {.n_ctx = CONTEXT, .kv = BT_KV_F32};
    assert_int_equal(bt_session_open(m, &so, &session, &err), BT_OK);
    assert_int_equal(bt_session_feed(session, 0, j->prompt, 30, &err), BT_OK);
    const float *logits = bt_session_logits(session, -1);
    double sum = 0;
    for (int32_t i = 0; i < bt_model_describe(m).n_vocab; i++)
        sum += __builtin_exp((double)logits[i] - (double)logits[7]);
    double want = -__builtin_log(sum);
    assert_true(__builtin_fabs((double)j->logprob[0] - want) < 1e-5);
    free(j);
    bt_session_close(&session);
    sched_close(&s);
    bt_model_close(&m);
}

/* ---- several threads ---- */

enum { SUBMITTERS = 3, EACH = 60 };
typedef struct Submitter {
    pthread_t thread;
    Sched *s;
    uint64_t seed;
    Job jobs[EACH];
    bool accepted[EACH];
} Submitter;

static void *submit_many(void *user)
{
    Submitter *me = user;
    bt_error own;
    for (int i = 0; i < EACH; i++) {
        Job *j = &me->jobs[i];
        j->n_prompt = 1 + (int32_t)(make_random(&me->seed) >> 33) % 40;
        j->n_predict = 12;
        j->n_top = -1;
        j->sampling.greedy = true;
        j->sampling.seed = 1;
        for (int32_t t = 0; t < j->n_prompt; t++) j->prompt[t] = t % 7;
        SchedRequest r = request_of(j);
        uint64_t id;
        me->accepted[i] = sched_submit(me->s, &r, &id, &own) == BT_OK;
        if (i % 5 == 0) sched_cancel(me->s, id);
        if (i % 7 == 0) sched_cancel(me->s, id - 2); /* another's, or one that has ended */
        sched_stats(me->s);
    }
    sched_wake(me->s);
    return NULL;
}

static void threads_submit_and_cancel(void **state)
{
    (void)state;
    bt_model *m = open_made();
    Sched *s = open_sched(m, (SchedOptions){.n_sequences = 6, .n_ctx = 64, .n_queue = 40});
    Submitter *all = calloc(SUBMITTERS, sizeof *all);
    for (int i = 0; i < SUBMITTERS; i++) {
        all[i].s = s;
        all[i].seed = (uint64_t)i + 1;
        assert_int_equal(pthread_create(&all[i].thread, NULL, submit_many, &all[i]), 0);
    }
    for (int i = 0; i < 200; i++)
        if (!step(s)) sched_wait(s, 2);
    for (int i = 0; i < SUBMITTERS; i++) pthread_join(all[i].thread, NULL);
    run_all(s);
    for (int i = 0; i < SUBMITTERS; i++)
        for (int j = 0; j < EACH; j++)
            assert_int_equal(all[i].jobs[j].ends, all[i].accepted[j] ? 1 : 0);
    free(all);
    sched_close(&s);
    bt_model_close(&m);
}

/* ---- without memory ---- */

/* A life with sharing, stepping back and cancelling; *accepted requests, which all end once. */
static bt_status live(bt_model *m, Job *jobs, int n, int *accepted)
{
    SchedOptions o = {.n_ctx = 128, .n_sequences = 3, .n_batch = 32, .n_tokens = 128};
    Sched *s = NULL;
    *accepted = 0;
    bt_status status = sched_open(m, &o, &s, &err), first = status;
    if (status) return status;
    for (int i = 0; i < n; i++) {
        bool idle;
        jobs[i].ends = jobs[i].n_answer = 0;
        jobs[i].last_seen = false;
        SchedRequest r = request_of(&jobs[i]);
        status = sched_submit(s, &r, &jobs[i].id, &err);
        if (status && !first) first = status;
        *accepted += !status;
        if (i == 3) sched_cancel(s, jobs[i].id);
        assert_int_equal(sched_step(s, &idle, &err), BT_OK);
    }
    for (int i = 0; i < 30; i++) step(s);
    sched_close(&s);
    return first;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    enum { JOBS = 5 };
    static Job jobs[JOBS];
    int accepted;
    bt_model *m = open_made();
    seed = 13;
    for (int i = 0; i < JOBS; i++) {
        Job *j = greedy(50, 20);
        jobs[i] = *j;
        jobs[i].n_top = i;
        if (i == 2) memcpy(jobs[i].prompt, jobs[0].prompt, 40 * sizeof *j->prompt);
        free(j);
    }
    assert_int_equal(live(m, jobs, JOBS, &accepted), BT_OK);
    int64_t before = mem_live();
    uint64_t counted = mem_count(), refused = 0;
    assert_int_equal(live(m, jobs, JOBS, &accepted), BT_OK);
    uint64_t last = mem_count() - counted;
    assert_int_equal(accepted, JOBS);
    assert_true(last > 40);
    for (uint64_t n = 1; n <= last; n++) {
        for (int i = 0; i < JOBS; i++) jobs[i].ends = 0;
        mem_fail_at(n);
        bt_status status = live(m, jobs, JOBS, &accepted);
        mem_fail_at(0);
        int ends = 0;
        for (int i = 0; i < JOBS; i++) {
            assert_in_range(jobs[i].ends, 0, 1);
            ends += jobs[i].ends;
            if (jobs[i].ends && jobs[i].why == SCHED_END_ERROR)
                assert_int_equal(jobs[i].status, BT_E_MEMORY);
        }
        assert_int_equal(ends, accepted);
        refused += status != BT_OK;
        if (status) assert_int_equal(status, BT_E_MEMORY);
        if (mem_live() != before) fail_msg("allocation %u leaks", (unsigned)n);
    }
    assert_true(refused > 20);
    bt_model_close(&m);
}

static void a_token_allocates_nothing(void **state)
{
    (void)state;
    bt_model *m = open_made();
    Sched *s = open_sched(m, (SchedOptions){.n_sequences = 4});
    seed = 14;
    Job *a = greedy(20, 100), *b = greedy(20, 100);
    b->n_top = 5;
    submit(s, a), submit(s, b);
    for (int i = 0; i < 4; i++) step(s);
    uint64_t before = mem_count();
    for (int i = 0; i < 80; i++) step(s);
    assert_int_equal(mem_count(), before);
    run_all(s);
    free(a), free(b);
    sched_close(&s);
    bt_model_close(&m);
}

static int folder_open(void **state)
{
    (void)state;
    return scratch_open() ? 0 : -1;
}

static int folder_close(void **state)
{
    (void)state;
    scratch_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_or_together_dense),
        cmocka_unit_test(alone_or_together_quantised),
        cmocka_unit_test(alone_or_together_families),
        cmocka_unit_test(beginnings_are_shared),
        cmocka_unit_test(a_conversation_goes_on),
        cmocka_unit_test(one_reads_for_all),
        cmocka_unit_test(stepping_back_changes_nothing),
        cmocka_unit_test(principals_take_turns),
        cmocka_unit_test(priorities_come_first_and_nobody_starves),
        cmocka_unit_test(answers_do_not_wait_for_prompts),
        cmocka_unit_test(a_thousand_at_once),
        cmocka_unit_test(refusals_say_why),
        cmocka_unit_test(ends_are_what_they_are),
        cmocka_unit_test(log_probabilities_are_the_models),
        cmocka_unit_test(threads_submit_and_cancel),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(a_token_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, folder_open, folder_close);
}
