/* What the thread team costs: time of an empty job, and jobs per second of a load like decoding
 * (short jobs in a row, 32 pieces each), alone or beside programs that want the same cores.
 *
 *   bench-team [members] [busy programs beside] [seconds]
 *
 * Prints one line a figure. The busy programs are children of this one and end with it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os.h"
#include "base/team.h"

#define PIECES 32

typedef struct Job {
    TeamQueue queue;
    long turns; /* of the loop of one piece */
    volatile double sink;
} Job;

static double turn(long turns, double x)
{
    for (long i = 0; i < turns; i++) x = x * 0.999999 + 1e-7;
    return x;
}

static void nothing(void *arg, int member, int n_members)
{
    (void)arg;
    (void)member;
    (void)n_members;
}

static void pieces(void *arg, int member, int n_members)
{
    Job *job = arg;
    (void)n_members;
    int64_t begin, end;
    double x = member;
    while (queue_take(&job->queue, &begin, &end)) x = turn(job->turns, x);
    if (x < 0) job->sink = x;
}

/* Both members must come: what a job costs before any work is shared. */
typedef struct Meet {
    atomic_int come;
} Meet;

static void meet(void *arg, int member, int n_members)
{
    Meet *m = arg;
    (void)member;
    double start = os_seconds();
    atomic_fetch_add(&m->come, 1);
    while (atomic_load(&m->come) < n_members && os_seconds() - start < 0.05) {
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void latency(Team *team, const char *name, bool together)
{
    enum { N = 2000 };
    static double us[N];
    for (int i = 0; i < N; i++) {
        Meet m;
        atomic_init(&m.come, 0);
        double start = os_seconds();
        team_run(team, together ? meet : nothing, &m);
        us[i] = 1e6 * (os_seconds() - start);
    }
    qsort(us, N, sizeof us[0], by_value);
    printf("%-28s median %6.2f us, 99 %% %8.2f us\n", name, us[N / 2], us[N * 99 / 100]);
}

static void throughput(Team *team, double piece_us, double gap_us, double seconds, double per_us)
{
    Job job = {.turns = (long)(piece_us * per_us)};
    double start = os_seconds(), now = start, worst = 0;
    long jobs = 0;
    while (now - start < seconds) {
        queue_start(&job.queue, PIECES, 1);
        team_run(team, pieces, &job);
        double after = os_seconds();
        if (after - now > worst) worst = after - now;
        now = after;
        job.sink = turn((long)(gap_us * per_us), 1); /* what only the caller does */
        jobs++;
    }
    double rate = (double)jobs / (now - start);
    printf("32 pieces of %5.1f us: %8.0f jobs/s, %.2f cores' worth, longest %.2f ms\n", piece_us,
           rate, rate * PIECES * piece_us * 1e-6, worst * 1e3);
}

static double turns_per_us(void)
{
    double best = 0;
    volatile double sink = 1;
    for (int i = 0; i < 20; i++) {
        double start = os_seconds();
        sink = turn(100000, sink);
        double rate = 100000 / (1e6 * (os_seconds() - start));
        if (rate > best) best = rate;
    }
    return best;
}

int main(int argc, char **argv)
{
    int n = argc > 1 ? (int)strtol(argv[1], NULL, 10) : os_cores();
    int beside = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0;
    double seconds = argc > 3 ? strtod(argv[3], NULL) : 1;
    double per_us = turns_per_us();
    pid_t child[64];
    if (beside > 64) beside = 64;
    for (int i = 0; i < beside; i++)
        if ((child[i] = fork()) == 0)
            for (double until = os_seconds() + 8 * seconds + 5; os_seconds() < until;) {
            }
    Team *team = team_open(n);
    if (!team) return 1;
    printf("%d members, %d busy programs beside\n", n, beside);
    latency(team, "empty job", false);
    latency(team, "job that all members meet in", true);
    throughput(team, 3, 3, seconds, per_us);
    throughput(team, 6, 3, seconds, per_us);
    throughput(team, 20, 3, seconds, per_us);
    team_close(team);
    for (int i = 0; i < beside; i++) {
        kill(child[i], SIGKILL);
        waitpid(child[i], NULL, 0);
    }
    return 0;
}
