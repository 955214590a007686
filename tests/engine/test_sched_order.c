/* The scheduler: who comes when. Among principals, by priority, answers beside prompts, and the
 * order in which prompts are read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sched_jobs.h"
#include "support/scratch.h"

static void principals_take_turns(void **state)
{
    (void)state;
    enum { FLOOD = 30 };
    bt_model *m = jobs_open_made();
    Sched *s = jobs_open_sched(m, (SchedOptions){.n_sequences = 2});
    Job *flood[FLOOD], *other;
    jobs_seed = 6;
    for (int i = 0; i < FLOOD; i++) {
        flood[i] = job_greedy(8, 8);
        flood[i]->principal = 1;
        job_submit(s, flood[i]);
    }
    other = job_greedy(8, 8);
    other->principal = 2;
    job_submit(s, other);
    jobs_run(s);
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

/* Nor does it take until one of many long answers has ended; what made way loses nothing. */
static void a_crowd_makes_way(void **state)
{
    (void)state;
    enum { CROWD = 6 };
    for (int32_t spare = 0; spare < 2; spare++) { /* what makes way is remembered, or read again */
        bt_model *m = jobs_open_made();
        Sched *s = jobs_open_sched(
            m, (SchedOptions){.n_sequences = 4 + 4 * spare, .n_running = 4, .kv = BT_KV_F32});
        bt_session *session = jobs_open_session(m);
        Job *crowd[CROWD], *other, *urgent;
        jobs_seed = 26;
        for (int i = 0; i < CROWD; i++) {
            crowd[i] = job_greedy(20, 150);
            crowd[i]->principal = 1;
            job_alone(m, session, crowd[i]);
            job_submit(s, crowd[i]);
        }
        for (int i = 0; i < 20; i++) jobs_step(s);
        other = job_greedy(20, 20);
        other->principal = 2;
        job_alone(m, session, other);
        job_submit(s, other);
        jobs_step(s);
        assert_int_equal(other->n_answer, 1);
        urgent = job_greedy(20, 5);
        urgent->principal = 2;
        urgent->priority = 3;
        job_alone(m, session, urgent);
        job_submit(s, urgent);
        jobs_step(s);
        assert_int_equal(urgent->n_answer, 1);
        uint64_t rows = sched_stats(s).n_rows;
        jobs_run(s);
        rows = sched_stats(s).n_rows - rows;
        for (size_t i = 0; i < CROWD; i++) job_check(crowd[i], i);
        for (size_t i = 0; i < CROWD; i++) assert_int_equal(crowd[i]->n_answer, 150);
        job_check(other, 0);
        job_check(urgent, 0);
        assert_in_range(sched_stats(s).n_stepped_back, 2, 4);
        if (spare) assert_true(rows < CROWD * 170);
        for (int i = 0; i < CROWD; i++) free(crowd[i]);
        free(other), free(urgent);
        bt_session_close(&session);
        sched_close(&s);
        bt_model_close(&m);
    }
}

static void priorities_come_first_and_nobody_starves(void **state)
{
    (void)state;
    enum { MANY = 100 };
    bt_model *m = jobs_open_made();
    Sched *s = jobs_open_sched(m, (SchedOptions){.n_sequences = 1});
    Job *low = job_greedy(4, 2), *urgent = job_greedy(4, 2), *jobs[MANY];
    jobs_seed = 7;
    for (int i = 0; i < MANY; i++) jobs[i] = job_greedy(4, 2);
    job_submit(s, jobs[0]);
    jobs_step(s);
    low->priority = -1;
    job_submit(s, low);
    for (int i = 1; i < MANY; i++) { /* there is always one that came later and is worth more */
        job_submit(s, jobs[i]);
        if (i == 2) {
            urgent->priority = 5;
            job_submit(s, urgent);
        }
        if (i > 3) jobs_step(s), jobs_step(s);
    }
    jobs_run(s);
    int before_low = 0, before_urgent = 0;
    for (int i = 0; i < MANY; i++) {
        before_low += jobs[i]->ended_at < low->ended_at;
        before_urgent += jobs[i]->ended_at < urgent->ended_at;
        free(jobs[i]);
    }
    assert_true(before_urgent <= 1);
    assert_in_range(before_low, 10, 40); /* it rose while it waited */
    free(low), free(urgent);
    sched_close(&s);
    bt_model_close(&m);
}

/* A long prompt is read in pieces; answers go on with each step meanwhile. */
static void answers_do_not_wait_for_prompts(void **state)
{
    (void)state;
    bt_model *m = jobs_open_made();
    Sched *s = jobs_open_sched(m, (SchedOptions){.n_sequences = 4, .n_prefill = 16});
    jobs_seed = 8;
    Job *a = job_greedy(10, 40), *b = job_greedy(300, 2), *c = job_greedy(10, 2);
    job_submit(s, a);
    jobs_step(s);
    assert_int_equal(a->n_answer, 1);
    job_submit(s, b);
    for (int i = 2; i < 10; i++) {
        jobs_step(s);
        assert_int_equal(a->n_answer, i);
    }
    job_submit(s, c); /* nor does a short prompt */
    jobs_step(s), jobs_step(s);
    assert_true(c->n_answer > 0);
    assert_int_equal(b->n_answer, 0);
    jobs_run(s);
    assert_int_equal(b->n_answer, 2);
    free(a), free(b), free(c);
    sched_close(&s);
    bt_model_close(&m);
}

/* Prompts that come together are read one after the other, so that the first answer begins after
 * one prompt and not after all. */
static void who_came_first_begins_first(void **state)
{
    (void)state;
    enum { MANY = 8, PROMPT = 24 };
    bt_model *m = jobs_open_made();
    Sched *s = jobs_open_sched(m, (SchedOptions){.n_sequences = MANY + 2, .n_prefill = PROMPT});
    Job *jobs[MANY];
    jobs_seed = 10;
    for (int i = 0; i < MANY; i++) {
        jobs[i] = job_greedy(PROMPT, 30);
        job_submit(s, jobs[i]);
    }
    for (int step = 0; step < MANY; step++) {
        jobs_step(s);
        for (int i = 0; i < MANY; i++)
            assert_int_equal(jobs[i]->n_answer, i > step ? 0 : step - i + 1);
    }
    jobs_run(s);
    for (int i = 0; i < MANY; i++) free(jobs[i]);
    /* Alone it takes whole steps. */
    Job *alone = job_greedy(10 * PROMPT, 2);
    uint64_t steps = sched_stats(s).n_steps;
    job_submit(s, alone);
    jobs_run(s);
    assert_int_equal(sched_stats(s).n_steps - steps, 2);
    free(alone);
    sched_close(&s);
    bt_model_close(&m);
}

static void a_thousand_at_once(void **state)
{
    (void)state;
    enum { MANY = 1000 };
    static uint64_t at[MANY];
    bt_model *m = jobs_open_made();
    Sched *s = jobs_open_sched(m, (SchedOptions){.n_sequences = MANY,
                                                 .n_ctx = 128,
                                                 .n_batch = 256,
                                                 .n_queue = MANY,
                                                 .n_tokens = 64 * MANY});
    Job **jobs = calloc(MANY, sizeof *jobs);
    jobs_seed = 9;
    uint64_t begun = jobs_clock;
    for (int i = 0; i < MANY; i++) {
        jobs[i] = job_greedy(4 + (int32_t)jobs_draw(20), 16);
        jobs[i]->principal = jobs_draw(10);
        job_submit(s, jobs[i]);
    }
    jobs_run(s);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(principals_take_turns),
        cmocka_unit_test(a_crowd_makes_way),
        cmocka_unit_test(priorities_come_first_and_nobody_starves),
        cmocka_unit_test(answers_do_not_wait_for_prompts),
        cmocka_unit_test(who_came_first_begins_first),
        cmocka_unit_test(a_thousand_at_once),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
