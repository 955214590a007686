/* The thread team: every piece done once, members that come late, sleep, and go; nested use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/team.h"

#define PIECES 97

typedef struct Job {
    TeamQueue queue;
    uint32_t times[PIECES]; /* plain: two members on one piece are a race that TSan reports */
    atomic_uint members;
    int sleep_us;
} Job;

static void nap(long us)
{
    struct timespec t = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&t, NULL);
}

static void work(void *arg, int member, int n_members)
{
    Job *job = arg;
    assert_true(member >= 0 && member < n_members);
    atomic_fetch_or(&job->members, 1u << member);
    int64_t begin, end;
    while (queue_take(&job->queue, &begin, &end)) {
        for (int64_t i = begin; i < end; i++) job->times[i]++;
        if (job->sleep_us) nap(job->sleep_us);
    }
}

static void run_jobs(int n, int rounds, int pause_us)
{
    Team *team = team_open(n);
    assert_non_null(team);
    assert_int_equal(team_size(team), n);
    Job job = {0};
    for (int round = 1; round <= rounds; round++) {
        queue_start(&job.queue, PIECES, 1 + round % 5);
        team_run(team, work, &job);
        /* All is done and visible when team_run returns, whoever did it. */
        for (int i = 0; i < PIECES; i++) assert_int_equal(job.times[i], round);
        if (pause_us) nap(pause_us);
    }
    team_close(team);
}

static void every_piece_once(void **state)
{
    (void)state;
    int64_t live = mem_live();
    for (int n = 1; n <= 5; n++) run_jobs(n, 2000, 0);
    assert_int_equal(mem_live(), live);
}

static void wakes_sleepers(void **state)
{
    (void)state;
    run_jobs(3, 200, 500); /* longer than they spin */
}

/* Pieces that sleep: even on one core the others must come and take some. */
static void members_join(void **state)
{
    (void)state;
    Team *team = team_open(3);
    static Job job;
    memset(&job, 0, sizeof job);
    job.sleep_us = 500;
    /* A busy machine may leave a member without a core for one job, but not for all of these. */
    for (int turn = 0; turn < 50 && atomic_load(&job.members) != 7; turn++) {
        nap(2000);
        queue_start(&job.queue, PIECES, 1);
        team_run(team, work, &job);
    }
    assert_int_equal(atomic_load(&job.members), 7);
    team_close(team);
}

static void opens_and_closes(void **state)
{
    (void)state;
    assert_null(team_open(0));
    assert_null(team_open(-1));
    assert_null(team_open(1 << 20));
    team_close(NULL);
    for (int i = 0; i < 50; i++) {
        Team *team = team_open(1 + i % 4);
        assert_non_null(team);
        team_close(team);
    }
    mem_fail_at(1);
    assert_null(team_open(2));
    mem_fail_at(0);
}

static void queue_covers_all(void **state)
{
    (void)state;
    TeamQueue q;
    int64_t begin, end, next = 0;
    queue_start(&q, 10, 0);
    assert_int_equal(q.chunk, 1);
    queue_start(&q, 10, 4);
    while (queue_take(&q, &begin, &end)) {
        assert_int_equal(begin, next);
        assert_true(end > begin && end <= 10);
        next = end;
    }
    assert_int_equal(next, 10);
    queue_start(&q, 0, 4);
    assert_false(queue_take(&q, &begin, &end));
}

/* ---- parts ---- */

enum { MOST_PARTS = 5 };

/* Whoever asks last takes what the others left, and every piece is handed out once. */
static void parts_cover_all(void **state)
{
    (void)state;
    TeamPart part[MOST_PARTS];
    for (int n = 1; n <= MOST_PARTS; n++)
        for (int64_t total = 0; total < 200; total += 1 + total / 7) {
            uint32_t times[200] = {0};
            int64_t begin, end, next = 0;
            parts_start(part, n, total);
            if (n > 1 && total >= n && parts_take(part, n, 1, 3, &begin, &end)) {
                assert_int_equal(begin, total / n); /* its own part, from the front */
                for (int64_t i = begin; i < end; i++) times[i]++;
            }
            for (int turn = 0; parts_take(part, n, 0, 3, &begin, &end); turn++) {
                assert_true(begin >= 0 && end > begin && end - begin <= 3 && end <= total);
                if (next < total / n) assert_int_equal(begin, next);
                next = end;
                for (int64_t i = begin; i < end; i++) times[i]++;
            }
            for (int64_t i = 0; i < total; i++) assert_int_equal(times[i], 1);
            for (int m = 0; m < n; m++) assert_false(parts_take(part, n, m, 3, &begin, &end));
        }
}

typedef struct PartsJob {
    TeamPart part[MOST_PARTS];
    uint32_t times[PIECES];
    int late; /* a member that sleeps first: the others do its part */
} PartsJob;

static void work_parts(void *arg, int member, int n_members)
{
    PartsJob *job = arg;
    int64_t begin, end;
    if (member == job->late) nap(300);
    while (parts_take(job->part, n_members, member, 7, &begin, &end))
        for (int64_t i = begin; i < end; i++) job->times[i]++;
}

static void parts_once_among_threads(void **state)
{
    (void)state;
    for (int n = 1; n <= MOST_PARTS; n++) {
        Team *team = team_open(n);
        assert_non_null(team);
        static PartsJob job;
        memset(&job, 0, sizeof job);
        for (uint32_t round = 1; round <= 1000; round++) {
            job.late = round % 50 ? -1 : (int)(round / 50) % n;
            parts_start(job.part, n, PIECES);
            team_run(team, work_parts, &job);
            for (int i = 0; i < PIECES; i++) assert_int_equal(job.times[i], round);
        }
        team_close(team);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_piece_once),
        cmocka_unit_test(wakes_sleepers),
        cmocka_unit_test(members_join),
        cmocka_unit_test(opens_and_closes),
        cmocka_unit_test(queue_covers_all),
        cmocka_unit_test(parts_cover_all),
        cmocka_unit_test(parts_once_among_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
