/* Requests of tests of the scheduler: each with what was answered, and what is answered alone. */
#ifndef TESTS_SCHED_JOBS_H
#define TESTS_SCHED_JOBS_H

#include "engine/sched.h"
#include "support/make_model.h"

enum { CONTEXT = 320 };

typedef struct Job {
    bt_token prompt[CONTEXT];
    int32_t n_prompt, n_predict, n_stable;
    bt_sampler_options sampling;
    uint64_t principal, id;
    int priority, n_top;
    bool no_cache;
    bt_adapter_use use; /* adapter NULL: none */
    int32_t stop_after; /* token() says stop then; 0: never */

    bt_token answer[CONTEXT], want[CONTEXT];
    float logprob[CONTEXT];
    int32_t n_answer, n_want;
    int ends;
    SchedEnd why;
    SchedUsage usage;
    bt_status status;
    uint64_t ended_at; /* by jobs_clock */
    bool last_seen;
} Job;

extern bt_error jobs_err;
extern uint64_t jobs_seed, jobs_clock; /* of jobs_draw; steps so far */

uint32_t jobs_draw(uint32_t n);

const char *jobs_small_model(const MakeModel *spec); /* its path */
bt_model *jobs_open_model(const char *path);
bt_model *jobs_open_made(void);                      /* a small dense one */
bt_model *jobs_open_family(const char *name);        /* a tiny one; NULL: the made one */
bt_session *jobs_open_session(bt_model *m);          /* for job_alone: CONTEXT tokens in float32 */
Sched *jobs_open_sched(bt_model *m, SchedOptions o); /* n_ctx 0: CONTEXT */

/* A random prompt; calloc'd. */
Job *job_greedy(int32_t n_prompt, int32_t n_predict);
SchedRequest job_request(Job *j);
void job_submit(Sched *s, Job *j);
bool jobs_step(Sched *s); /* false: nothing is left to do */
void jobs_run(Sched *s);
/* Fills in what is answered through the public session and sampler, one sequence, one prompt after
 * the other. */
void job_alone(bt_model *m, bt_session *session, Job *j);
/* It ended once, without an error, and with what is answered alone. */
void job_check(const Job *j, size_t i);

#endif
