/* Requests of tests of the scheduler, and what came of them (see sched_jobs.h). */
#include "sched_jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support/families.h"
#include "support/make_blocks.h"
#include "support/scratch.h"

bt_error jobs_err;
uint64_t jobs_seed, jobs_clock;

uint32_t jobs_draw(uint32_t n)
{
    return (uint32_t)(make_random(&jobs_seed) >> 33) % n;
}

const char *jobs_small_model(const MakeModel *spec)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s", scratch_path("m.gguf"));
    if (make_model(spec, path, &jobs_err)) fail_msg("%s", jobs_err.text);
    return path;
}

bt_model *jobs_open_model(const char *path)
{
    bt_model *m = NULL;
    bt_model_options o = {.n_threads = 2, .no_cache = true};
    if (bt_model_open(path, &o, &m, &jobs_err)) fail_msg("%s", jobs_err.text);
    return m;
}

bt_model *jobs_open_made(void)
{
    return jobs_open_model(jobs_small_model(&(MakeModel){.tokenizer = MAKE_NO_VOCAB}));
}

bt_model *jobs_open_family(const char *name)
{
    return name ? jobs_open_model(families_path(name, ".gguf")) : jobs_open_made();
}

bt_session *jobs_open_session(bt_model *m)
{
    bt_session *session = NULL;
    bt_session_options o = {.n_ctx = CONTEXT, .kv = BT_KV_F32};
    if (bt_session_open(m, &o, &session, &jobs_err)) fail_msg("%s", jobs_err.text);
    return session;
}

Sched *jobs_open_sched(bt_model *m, SchedOptions o)
{
    Sched *s = NULL;
    if (!o.n_ctx) o.n_ctx = CONTEXT;
    if (sched_open(m, &o, &s, &jobs_err)) fail_msg("%s", jobs_err.text);
    return s;
}

/* ---- one request, and what came of it ---- */

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
    j->ended_at = jobs_clock;
    assert_int_equal(error != NULL, why == SCHED_END_ERROR);
    j->status = error ? error->status : BT_OK;
    assert_int_equal(usage->completion, j->n_answer);
    assert_int_equal(usage->prompt, j->n_prompt);
}

SchedRequest job_request(Job *j)
{
    return (SchedRequest){.prompt = j->prompt,
                          .n_prompt = (size_t)j->n_prompt,
                          .n_stable = (size_t)j->n_stable,
                          .n_predict = j->n_predict,
                          .sampling = j->sampling,
                          .n_top = j->n_top,
                          .no_cache = j->no_cache,
                          .adapters = &j->use,
                          .n_adapters = j->use.adapter != NULL,
                          .principal = j->principal,
                          .priority = j->priority,
                          .token = take_token,
                          .end = take_end,
                          .user = j};
}

void job_submit(Sched *s, Job *j)
{
    SchedRequest r = job_request(j);
    if (sched_submit(s, &r, &j->id, &jobs_err)) fail_msg("%s", jobs_err.text);
    assert_true(j->id > 0);
}

bool jobs_step(Sched *s)
{
    bool idle;
    if (sched_step(s, &idle, &jobs_err)) fail_msg("%s", jobs_err.text);
    jobs_clock++;
    return !idle;
}

Job *job_greedy(int32_t n_prompt, int32_t n_predict)
{
    Job *j = calloc(1, sizeof *j);
    j->n_prompt = n_prompt;
    j->n_predict = n_predict;
    j->sampling.greedy = true;
    j->sampling.seed = 1;
    j->n_top = -1;
    for (int32_t i = 0; i < n_prompt; i++) j->prompt[i] = (bt_token)jobs_draw(60);
    return j;
}

/* ---- the same alone ---- */

/* Through the public session and sampler, one sequence, one prompt after the other. */
void job_alone(bt_model *m, bt_session *session, Job *j)
{
    bt_sampler *sampler = NULL;
    size_t n_uses = j->use.adapter != NULL;
    assert_int_equal(bt_session_adapt(session, 0, &j->use, n_uses, &jobs_err), BT_OK);
    assert_int_equal(bt_session_truncate(session, 0, 0, &jobs_err), BT_OK);
    assert_int_equal(bt_session_feed(session, 0, j->prompt, (size_t)j->n_prompt, &jobs_err), BT_OK);
    assert_int_equal(bt_sampler_open(m, &j->sampling, &sampler, &jobs_err), BT_OK);
    for (int32_t i = 0; i < j->n_prompt; i++) bt_sampler_accept(sampler, j->prompt[i]);
    int32_t most = CONTEXT - j->n_prompt;
    if (j->n_predict >= 0 && j->n_predict < most) most = j->n_predict;
    for (j->n_want = 0; j->n_want < most;) {
        bt_token id = bt_sampler_pick(sampler, bt_session_logits(session, -1));
        if (bt_model_token_ends(m, id)) break;
        j->want[j->n_want++] = id;
        if (j->n_want < most)
            assert_int_equal(bt_session_feed(session, 0, &id, 1, &jobs_err), BT_OK);
    }
    bt_sampler_close(&sampler);
}

void jobs_run(Sched *s)
{
    while (jobs_step(s)) continue;
}

void job_check(const Job *j, size_t i)
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
