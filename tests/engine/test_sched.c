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
#include "engine/sched_parts.h"
#include "sched_jobs.h"
#include "support/families.h"
#include "support/files.h"
#include "support/make_blocks.h"
#include "support/scratch.h"
#include "support/torture.h"

/* ---- random schedules ---- */

enum { BASES = 3, MOST_ANSWER = 48 };

static bt_token bases[BASES][CONTEXT];

static void draw_job(Job *j, bt_token n_vocab, bool talkers)
{
    static const int tops[] = {-1, -1, 0, 3};
    bool talks = talkers ? jobs_draw(8) > 0
                         : jobs_draw(4) == 0; /* much of memory is not asked for at the beginning */
    *j = (Job){.n_prompt = 1 + (int32_t)jobs_draw(talks ? 20 : 150),
               .n_predict = (int32_t)jobs_draw(talks ? 250 : MOST_ANSWER)};
    uint32_t base = jobs_draw(BASES), own = jobs_draw(5) ? jobs_draw(30) : 1000;
    for (int32_t i = 0; i < j->n_prompt; i++)
        j->prompt[i] = i + (int32_t)own < j->n_prompt ? bases[base][i]
                                                      : (bt_token)jobs_draw((uint32_t)n_vocab);
    if (jobs_draw(6) == 0) memcpy(j->prompt, bases[base], (size_t)j->n_prompt * sizeof *j->prompt);
    j->sampling.greedy = jobs_draw(3) > 0;
    j->sampling.seed = 1 + jobs_draw(1000);
    j->sampling.temperature = 1.5f;
    if (jobs_draw(4) == 0) j->sampling.repeat_penalty = 1.2f;
    j->principal = jobs_draw(4) == 0;
    j->priority = (int)jobs_draw(3);
    j->n_top = tops[jobs_draw(4)];
    j->no_cache = jobs_draw(8) == 0;
    j->n_stable = (int32_t)jobs_draw(100);
    if (jobs_draw(10) == 0) j->stop_after = 1 + (int32_t)jobs_draw(10);
}

typedef struct Tally {
    uint64_t cached, evicted, stepped_back, cancelled, reloaded;
} Tally;

static void random_schedule(bt_model *m, bt_session *session, Tally *tally)
{
    enum { JOBS = 24 };
    bt_token n_vocab = bt_model_describe(m).n_vocab;
    static Job jobs[JOBS];
    bool talkers = jobs_draw(2);
    SchedOptions o = {.n_sequences = 2 + (int32_t)jobs_draw(14),
                      .n_batch = 6 + (int32_t)jobs_draw(60),
                      .n_prefill = 1 + (int32_t)jobs_draw(40),
                      .n_tokens =
                          jobs_draw(3) ? CONTEXT + (int32_t)jobs_draw(talkers ? 60 : 200) : 0,
                      .n_checkpoints = jobs_draw(2) ? 1 + (int32_t)jobs_draw(5) : 0,
                      .kv = BT_KV_F32,
                      .spill_dir = jobs_draw(2) ? scratch_path("spill") : NULL,
                      .spill_bytes = 3000000};
    Sched *s = jobs_open_sched(m, o);
    size_t given = 0;
    while (given < JOBS || jobs_step(s)) {
        for (uint32_t n = jobs_draw(3) ? 0 : 1 + jobs_draw(8); n > 0 && given < JOBS;
             n--, given++) {
            draw_job(&jobs[given], n_vocab, talkers);
            job_alone(m, session, &jobs[given]);
            job_submit(s, &jobs[given]);
        }
        if (given && jobs_draw(50) == 0) sched_cancel(s, jobs[jobs_draw((uint32_t)given)].id);
        if (given < JOBS) jobs_step(s);
    }
    for (size_t i = 0; i < JOBS; i++) {
        job_check(&jobs[i], i);
        tally->cancelled += jobs[i].why == SCHED_END_CANCELLED;
    }
    SchedStats stats = sched_stats(s);
    assert_int_equal(stats.n_requests, JOBS);
    assert_int_equal(stats.n_running + stats.n_waiting, 0);
    tally->cached += stats.n_cached;
    tally->evicted += stats.n_evicted;
    tally->stepped_back += stats.n_stepped_back;
    tally->reloaded += stats.n_reloaded;
    sched_close(&s);
    assert_null(s);
}

static void schedules(const char *path, int n)
{
    bt_model *m = jobs_open_model(path);
    bt_session *session = jobs_open_session(m);
    Tally tally = {0};
    jobs_seed = 99;
    for (int b = 0; b < BASES; b++)
        for (int i = 0; i < CONTEXT; i++)
            bases[b][i] = (bt_token)jobs_draw((uint32_t)bt_model_describe(m).n_vocab);
    for (int i = 0; i < n; i++) {
        jobs_seed = (uint64_t)i + 1;
        random_schedule(m, session, &tally);
    }
    /* a test that met none of these would say nothing about them */
    assert_true(tally.cached && tally.evicted && tally.cancelled);
    print_message("# %s: %u tokens shared, %u evicted, %u stepped back, %u cancelled, "
                  "%u from disk\n",
                  strrchr(path, '/') + 1, (unsigned)tally.cached, (unsigned)tally.evicted,
                  (unsigned)tally.stepped_back, (unsigned)tally.cancelled,
                  (unsigned)tally.reloaded);
    bt_session_close(&session);
    bt_model_close(&m);
}

static void alone_or_together_dense(void **state)
{
    (void)state;
    schedules(jobs_small_model(&(MakeModel){.tokenizer = MAKE_NO_VOCAB}), 12);
}

static void alone_or_together_quantised(void **state)
{
    (void)state;
    schedules(
        jobs_small_model(&(MakeModel){
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

static void beginnings_are_shared(void **state)
{
    (void)state;
    bt_model *m = jobs_open_made();
    Sched *s = jobs_open_sched(m, (SchedOptions){.n_sequences = 4});
    jobs_seed = 3;
    Job *a = job_greedy(200, 10), *b = job_greedy(220, 10), *c = job_greedy(220, 10),
        *d = job_greedy(220, 5);
    memcpy(b->prompt, a->prompt, 180 * sizeof *a->prompt);
    memcpy(c->prompt, a->prompt, 180 * sizeof *a->prompt);
    memcpy(d->prompt, a->prompt, 180 * sizeof *a->prompt);
    b->prompt[180] = c->prompt[180] = 61; /* where they part from the first */
    d->prompt[180] = 62;
    c->principal = 9;
    job_submit(s, a);
    jobs_run(s);
    job_submit(s, b);
    jobs_run(s);
    job_submit(s, c);
    jobs_run(s);
    d->no_cache = true;
    job_submit(s, d);
    jobs_run(s);
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
    bt_model *m = jobs_open_made();
    Sched *s = jobs_open_sched(m, (SchedOptions){.n_sequences = 2});
    jobs_seed = 4;
    Job *a = job_greedy(100, 20), *b = job_greedy(130, 4);
    job_submit(s, a);
    jobs_run(s);
    assert_int_equal(a->n_answer, 20);
    memcpy(b->prompt, a->prompt, 100 * sizeof *a->prompt);
    memcpy(b->prompt + 100, a->answer, 20 * sizeof *a->answer);
    job_submit(s, b);
    jobs_run(s);
    assert_int_equal(b->usage.cached, 119); /* the last token of the answer was never fed */
    assert_int_equal(sched_stats(s).n_remembered, 1);
    free(a), free(b);
    sched_close(&s);
    bt_model_close(&m);
}

/* What opens the answer is written otherwise in the next turn; the answer's thoughts are gone. */
static void forgetful_models_go_back_to_where_they_were_told(void **state)
{
    (void)state;
    static const char *const names[] = {"mamba2", "qwen3next", "exaone4-window"};
    for (size_t i = 0; i < 3; i++) {
        bt_model *m = jobs_open_family(names[i]);
        Sched *s = jobs_open_sched(m, (SchedOptions){.n_sequences = 3});
        jobs_seed = 22;
        Job *a = job_greedy(120, 90), *b = job_greedy(160, 3);
        a->n_stable = 110;
        memcpy(b->prompt, a->prompt, 112 * sizeof *a->prompt);
        b->prompt[112] = 61;
        job_submit(s, a);
        jobs_run(s);
        job_submit(s, b);
        jobs_run(s);
        assert_int_equal(b->usage.cached, 110);
        free(a), free(b);
        sched_close(&s);
        bt_model_close(&m);
    }
}

/* Several that come at once with one beginning compute it once; models that forget too. */
static void one_reads_for_all(void **state)
{
    (void)state;
    static const char *const names[] = {NULL, "mamba2", "exaone4-window", "qwen3next"};
    for (size_t i = 0; i < 4; i++) {
        bt_model *m = jobs_open_family(names[i]);
        Sched *s = jobs_open_sched(m, (SchedOptions){.n_sequences = 8, .n_batch = 64});
        Job *jobs[5];
        jobs_seed = 5;
        jobs[0] = job_greedy(200, 3);
        for (int j = 1; j < 5; j++) {
            jobs[j] = job_greedy(200, 3);
            memcpy(jobs[j]->prompt, jobs[0]->prompt, sizeof jobs[0]->prompt);
            if (j > 2) jobs[j]->prompt[150] = (jobs[0]->prompt[150] + j) % 60;
        }
        for (int j = 0; j < 5; j++) job_submit(s, jobs[j]);
        jobs_run(s);
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
        bt_model *m = jobs_open_family(names[i]);
        Sched *s = jobs_open_sched(
            m, (SchedOptions){.n_sequences = 4, .n_tokens = CONTEXT, .kv = BT_KV_F32});
        bt_session *session = jobs_open_session(m);
        Job *jobs[TALKERS];
        jobs_seed = 20;
        for (int j = 0; j < TALKERS; j++) {
            jobs[j] = job_greedy(10, 200);
            if (j == 2) jobs[j]->sampling = (bt_sampler_options){.seed = 4, .temperature = 1.2f};
            job_alone(m, session, jobs[j]);
            job_submit(s, jobs[j]);
        }
        jobs_run(s);
        assert_true(sched_stats(s).n_stepped_back > 0);
        for (size_t j = 0; j < TALKERS; j++) {
            job_check(jobs[j], j);
            assert_int_equal(jobs[j]->n_answer, 200);
            free(jobs[j]);
        }
        bt_session_close(&session);
        sched_close(&s);
        bt_model_close(&m);
    }
}

/* Rows with different adapters share steps; beginnings are shared among those with the same. */
static void adapters_keep_apart(void **state)
{
    (void)state;
    static const float scales[] = {1, 0.5f, 0, 1, 0, 0.5f}; /* 0: none */
    enum { MANY = sizeof scales / sizeof *scales };
    char path[1024];
    snprintf(path, sizeof path, "%s", files_source("tests/data/adapters/llama/model.gguf"));
    bt_model *m = jobs_open_model(path);
    bt_adapter *adapter = NULL;
    snprintf(path, sizeof path, "%s", files_source("tests/data/adapters/llama"));
    assert_int_equal(bt_adapter_open(m, path, NULL, &adapter, &jobs_err), BT_OK);
    Sched *s = jobs_open_sched(m, (SchedOptions){.n_sequences = MANY, .kv = BT_KV_F32});
    bt_session *session = jobs_open_session(m);
    Job *jobs[MANY];
    jobs_seed = 21;
    for (int i = 0; i < MANY; i++) {
        jobs[i] = job_greedy(70, 12);
        for (int t = 0; t < 70; t++) jobs[i]->prompt[t] = (t * t + 3) % 60;
        if (scales[i] > 0) jobs[i]->use = (bt_adapter_use){adapter, scales[i]};
        job_alone(m, session, jobs[i]);
        job_submit(s, jobs[i]);
    }
    bt_session_close(&session);
    bt_adapter_close(&adapter); /* the scheduler holds it as long as it needs */
    jobs_run(s);
    for (size_t i = 0; i < MANY; i++) {
        job_check(jobs[i], i);
        assert_int_equal(jobs[i]->why, SCHED_END_LENGTH);
        assert_int_equal(jobs[i]->usage.cached > 0, i > 2);
    }
    bool same = true;
    for (int t = 0; t < 12; t++) same = same && jobs[0]->answer[t] == jobs[2]->answer[t];
    assert_false(same); /* the adapter does something */
    for (int i = 0; i < MANY; i++) free(jobs[i]);
    sched_close(&s);
    bt_model_close(&m);
}

/* ---- what is refused, and what ends early ---- */

static void refusals_say_why(void **state)
{
    (void)state;
    bt_model *m = jobs_open_made();
    Sched *s = jobs_open_sched(m, (SchedOptions){.n_sequences = 1, .n_ctx = 64, .n_queue = 2});
    jobs_seed = 10;
    Job *j = job_greedy(64, 5), *waits[2];
    SchedRequest r = job_request(j);
    uint64_t id = 5;
    assert_int_equal(sched_submit(s, &r, &id, &jobs_err), BT_E_CONTEXT);
    assert_string_equal(
        jobs_err.text, "the prompt has 64 tokens, but the context holds 64, the answer among them");
    assert_int_equal(id, 0);
    r.n_prompt = 0;
    assert_int_equal(sched_submit(s, &r, NULL, &jobs_err), BT_E_ARGUMENT);
    r.n_prompt = 3;
    j->prompt[1] = 1 << 20;
    assert_int_equal(sched_submit(s, &r, NULL, &jobs_err), BT_E_ARGUMENT);
    j->prompt[1] = 1;
    r.n_top = SCHED_MOST_TOP + 1;
    assert_int_equal(sched_submit(s, &r, NULL, &jobs_err), BT_E_ARGUMENT);
    r.n_top = -1;
    r.sampling.top_p = 7;
    assert_int_equal(sched_submit(s, &r, NULL, &jobs_err), BT_E_ARGUMENT);
    for (int i = 0; i < 2; i++) job_submit(s, waits[i] = job_greedy(5, 5));
    r.sampling.top_p = 0;
    assert_int_equal(sched_submit(s, &r, &id, &jobs_err), BT_E_LIMIT);
    assert_string_equal(jobs_err.text, "2 requests wait already, as many as may; try again later");
    jobs_run(s);
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
    bt_model *m = jobs_open_made();
    Sched *s = jobs_open_sched(m, (SchedOptions){.n_sequences = 3, .n_ctx = 64});
    jobs_seed = 11;
    Job *full = job_greedy(60, -1), *none = job_greedy(20, 0), *caller = job_greedy(10, 30),
        *gone = job_greedy(10, 30), *waits = job_greedy(5, 5), *closed = job_greedy(5, 50);
    caller->stop_after = 3;
    job_submit(s, full), job_submit(s, none), job_submit(s, caller);
    jobs_run(s);
    assert_int_equal(full->why, SCHED_END_CONTEXT);
    assert_int_equal(full->n_answer, 4);
    assert_true(full->last_seen);
    assert_int_equal(none->why, SCHED_END_LENGTH);
    assert_int_equal(caller->why, SCHED_END_CALLER);
    assert_int_equal(caller->n_answer, 3);
    job_submit(s, gone), job_submit(s, waits);
    jobs_step(s), jobs_step(s);
    sched_cancel(s, gone->id);
    sched_cancel(s, 12345);
    int32_t had = gone->n_answer;
    jobs_step(s);
    assert_int_equal(gone->why, SCHED_END_CANCELLED);
    assert_int_equal(gone->n_answer, had);
    jobs_run(s);
    job_submit(s, closed);
    jobs_step(s);
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
    bt_model *m = jobs_open_made();
    Sched *s = jobs_open_sched(m, (SchedOptions){.kv = BT_KV_F32});
    jobs_seed = 12;
    Job *j = job_greedy(30, 1);
    bt_logit_bias bias = {.token = 7, .bias = 100}; /* the token is forced; its share is not */
    j->sampling.bias = &bias;
    j->sampling.n_bias = 1;
    j->n_top = 3;
    job_submit(s, j);
    jobs_run(s);
    assert_int_equal(j->answer[0], 7);
    bt_session *session = jobs_open_session(m);
    assert_int_equal(bt_session_feed(session, 0, j->prompt, 30, &jobs_err), BT_OK);
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

/* A step that fails is run again request by request: nobody loses anything. Models that forget
 * go back to a checkpoint for it, and read again. */
static void a_failed_step_ends_nobody_else(void **state)
{
    (void)state;
    static const char *const names[] = {NULL, "qwen3next", "exaone4-window"};
    for (size_t i = 0; i < 3; i++) {
        bt_model *m = jobs_open_family(names[i]);
        Sched *s = jobs_open_sched(m, (SchedOptions){.n_sequences = 4, .kv = BT_KV_F32});
        bt_session *session = jobs_open_session(m);
        Job *jobs[3];
        jobs_seed = 15;
        for (int j = 0; j < 3; j++) {
            jobs[j] = job_greedy(30 + 20 * j, 25);
            job_alone(m, session, jobs[j]);
            job_submit(s, jobs[j]);
        }
        for (int n = 0; n < 40; n++) {
            if (n % 3 == 0 && s->n_running > 1) bt_session_cancel(s->session);
            jobs_step(s);
        }
        jobs_run(s);
        for (size_t j = 0; j < 3; j++) {
            job_check(jobs[j], j);
            assert_int_equal(jobs[j]->why, SCHED_END_LENGTH);
        }
        /* alone in its step, it is the one that it concerns */
        job_submit(s, jobs[0]);
        jobs[0]->ends = jobs[0]->n_answer = 0;
        jobs[0]->last_seen = false;
        bt_session_cancel(s->session);
        jobs_run(s);
        assert_int_equal(jobs[0]->ends, 1);
        assert_int_equal(jobs[0]->why, SCHED_END_ERROR);
        assert_int_equal(jobs[0]->status, BT_E_CANCELLED);
        for (int j = 0; j < 3; j++) free(jobs[j]);
        bt_session_close(&session);
        sched_close(&s);
        bt_model_close(&m);
    }
}

static void coming_and_going_leaks_nothing(void **state)
{
    (void)state;
    bt_model *m = jobs_open_made();
    Sched *s = jobs_open_sched(m, (SchedOptions){.n_sequences = 8, .n_running = 5});
    int64_t live = 0;
    jobs_seed = 16;
    for (int i = 0; i < 3000; i++) {
        Job *j = job_greedy(1 + (int32_t)jobs_draw(30), 50);
        j->principal = jobs_draw(100);
        job_submit(s, j);
        for (uint32_t n = jobs_draw(3); n > 0; n--) jobs_step(s);
        sched_cancel(s, j->id);
        jobs_step(s);
        assert_int_equal(j->ends, 1);
        free(j);
        if (i == 100) live = mem_live();
    }
    assert_int_equal(mem_live(), live);
    SchedStats stats = sched_stats(s);
    assert_int_equal(stats.n_running + stats.n_waiting, 0);
    assert_true(stats.n_remembered <= 8);
    sched_close(&s);
    bt_model_close(&m);
}

static void no_more_run_than_may(void **state)
{
    (void)state;
    bt_model *m = jobs_open_made();
    Sched *s = jobs_open_sched(m, (SchedOptions){.n_sequences = 6, .n_running = 2});
    Job *jobs[6];
    jobs_seed = 17;
    for (int i = 0; i < 6; i++) job_submit(s, jobs[i] = job_greedy(10, 5));
    while (jobs_step(s)) assert_true(sched_stats(s).n_running <= 2);
    assert_int_equal(sched_stats(s).n_remembered, 6);
    for (int i = 0; i < 6; i++) free(jobs[i]);
    sched_close(&s);
    bt_model_close(&m);
}

static void answers_and_closes(Sched **s, uint64_t seed)
{
    jobs_seed = seed;
    Job *j = job_greedy(200, 20);
    job_submit(*s, j);
    jobs_run(*s);
    assert_int_equal(j->why, SCHED_END_LENGTH);
    free(j);
    sched_close(s);
}

/* Less memory than is asked: fewer tokens together, and it still runs; a context that is asked for
 * and does not fit is refused. */
static void memory_decides(void **state)
{
    (void)state;
    static const char *const names[] = {NULL, "mamba2"};
    for (size_t i = 0; i < 2; i++) {
        bt_model *m = jobs_open_family(names[i]);
        bt_memory_plan plan;
        int32_t n_ctx = 256;
        assert_int_equal(bt_model_plan(m, &n_ctx, 3, 0, BT_KV_F32, &plan, &jobs_err), BT_OK);
        SchedOptions o = {.n_ctx = 256, .kv = BT_KV_F32, .memory_limit = plan.total / 9 * 10};
        Sched *s = NULL;
        assert_int_equal(sched_open(m, &o, &s, &jobs_err), BT_OK);
        assert_true(sched_stats(s).n_sequences < 16);
        answers_and_closes(&s, 18);
        o.memory_limit = plan.weights;
        assert_int_equal(sched_open(m, &o, &s, &jobs_err), BT_E_MEMORY);
        assert_null(s);
        bt_model_close(&m);
    }
}

/* And then steps have fewer rows, where nobody named a number. */
static void steps_shrink_where_memory_is_short(void **state)
{
    (void)state;
    bt_model *m = jobs_open_family(NULL);
    bt_memory_plan plan;
    int32_t n_ctx = 256;
    assert_int_equal(bt_model_plan(m, &n_ctx, 2, 128, BT_KV_F32, &plan, &jobs_err), BT_OK);
    SchedOptions o = {.n_ctx = 256,
                      .n_sequences = 2,
                      .n_batch = 512,
                      .kv = BT_KV_F32,
                      .memory_limit = plan.total * 20 / 19 + 64};
    Sched *s = NULL;
    assert_int_equal(sched_open(m, &o, &s, &jobs_err), BT_E_MEMORY);
    o.n_batch = 0;
    assert_int_equal(sched_open(m, &o, &s, &jobs_err), BT_OK);
    assert_int_equal(s->n_batch, 128);
    answers_and_closes(&s, 19);
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
        SchedRequest r = job_request(j);
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
    bt_model *m = jobs_open_made();
    Sched *s = jobs_open_sched(m, (SchedOptions){.n_sequences = 6, .n_ctx = 64, .n_queue = 40});
    Submitter *all = calloc(SUBMITTERS, sizeof *all);
    for (int i = 0; i < SUBMITTERS; i++) {
        all[i].s = s;
        all[i].seed = (uint64_t)i + 1;
        assert_int_equal(pthread_create(&all[i].thread, NULL, submit_many, &all[i]), 0);
    }
    for (int i = 0; i < 200; i++)
        if (!jobs_step(s)) sched_wait(s, 2);
    for (int i = 0; i < SUBMITTERS; i++) pthread_join(all[i].thread, NULL);
    jobs_run(s);
    for (int i = 0; i < SUBMITTERS; i++)
        for (int j = 0; j < EACH; j++)
            assert_int_equal(all[i].jobs[j].ends, all[i].accepted[j] ? 1 : 0);
    free(all);
    sched_close(&s);
    bt_model_close(&m);
}

/* ---- without memory ---- */

/* A life with sharing, stepping back and cancelling; *accepted requests, which all end once. The
 * first error. */
static bt_status live(bt_model *m, Job *jobs, int n, int *accepted, bt_error *err)
{
    SchedOptions o = {.n_ctx = 128, .n_sequences = 3, .n_batch = 32, .n_tokens = 128};
    Sched *s = NULL;
    *accepted = 0;
    bt_status status = sched_open(m, &o, &s, err), first = status;
    if (status) return status;
    for (int i = 0; i < n; i++) {
        bool idle;
        jobs[i].ends = jobs[i].n_answer = 0;
        jobs[i].last_seen = false;
        SchedRequest r = job_request(&jobs[i]);
        status = sched_submit(s, &r, &jobs[i].id, first ? &jobs_err : err);
        if (status && !first) first = status;
        *accepted += !status;
        if (i == 3) sched_cancel(s, jobs[i].id);
        assert_int_equal(sched_step(s, &idle, &jobs_err), BT_OK);
    }
    for (int i = 0; i < 30; i++) jobs_step(s);
    sched_close(&s);
    return first;
}

enum { TORTURED = 5 };

typedef struct Life {
    bt_model *m;
    Job jobs[TORTURED];
    int accepted;
} Life;

static bt_status life(void *user, bt_error *err)
{
    Life *l = user;
    int ends = 0;
    for (int i = 0; i < TORTURED; i++) l->jobs[i].ends = 0;
    bt_status status = live(l->m, l->jobs, TORTURED, &l->accepted, err);
    for (int i = 0; i < TORTURED; i++) {
        const Job *j = &l->jobs[i];
        assert_in_range(j->ends, 0, 1);
        ends += j->ends;
        if (j->ends && j->why == SCHED_END_ERROR) assert_int_equal(j->status, BT_E_MEMORY);
    }
    assert_int_equal(ends, l->accepted);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    static Life l;
    bt_error err;
    l.m = jobs_open_made();
    jobs_seed = 13;
    for (int i = 0; i < TORTURED; i++) {
        Job *j = job_greedy(50, 20);
        l.jobs[i] = *j;
        l.jobs[i].n_top = i;
        if (i == 2) memcpy(l.jobs[i].prompt, l.jobs[0].prompt, 40 * sizeof *j->prompt);
        free(j);
    }
    assert_int_equal(life(&l, &err), BT_OK); /* what is made once stays with the model */
    assert_true(torture("a scheduler", life, &l) > 20);
    assert_int_equal(l.accepted, TORTURED);
    bt_model_close(&l.m);
}

static void a_token_allocates_nothing(void **state)
{
    (void)state;
    bt_model *m = jobs_open_made();
    Sched *s = jobs_open_sched(m, (SchedOptions){.n_sequences = 4});
    jobs_seed = 14;
    Job *a = job_greedy(20, 100), *b = job_greedy(20, 100);
    b->n_top = 5;
    job_submit(s, a), job_submit(s, b);
    for (int i = 0; i < 4; i++) jobs_step(s);
    uint64_t before = mem_count();
    for (int i = 0; i < 80; i++) jobs_step(s);
    assert_int_equal(mem_count(), before);
    jobs_run(s);
    free(a), free(b);
    sched_close(&s);
    bt_model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_or_together_dense),
        cmocka_unit_test(alone_or_together_quantised),
        cmocka_unit_test(alone_or_together_families),
        cmocka_unit_test(beginnings_are_shared),
        cmocka_unit_test(a_conversation_goes_on),
        cmocka_unit_test(forgetful_models_go_back_to_where_they_were_told),
        cmocka_unit_test(one_reads_for_all),
        cmocka_unit_test(stepping_back_changes_nothing),
        cmocka_unit_test(adapters_keep_apart),
        cmocka_unit_test(refusals_say_why),
        cmocka_unit_test(ends_are_what_they_are),
        cmocka_unit_test(log_probabilities_are_the_models),
        cmocka_unit_test(a_failed_step_ends_nobody_else),
        cmocka_unit_test(coming_and_going_leaks_nothing),
        cmocka_unit_test(no_more_run_than_may),
        cmocka_unit_test(memory_decides),
        cmocka_unit_test(steps_shrink_where_memory_is_short),
        cmocka_unit_test(threads_submit_and_cancel),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(a_token_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
