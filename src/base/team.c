/* The thread team (see team.h).
 *
 * All of a job's life is in one 64-bit word: its number, whether it may still be joined, whether
 * the caller sleeps until its members are done, and how many are at work in it. A member joins by
 * raising that count, which succeeds only while the job is open; the caller works too, closes the
 * job when nothing is left to take, and waits for those who joined, nobody else. A member without
 * a core costs nothing: it finds the job closed.
 *
 * Between jobs a member spins (a step has a job every hundred microseconds or so), then sleeps.
 * One that lost its core while spinning sleeps at once: on a shared core a spinner burns the
 * share of time that it needs for work. The caller too spins only briefly for the last member and
 * then sleeps, which lets the system move a member that was put aside to the caller's core. */
#include "base/team.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>

#include "base/mem.h"
#include "base/os.h"

#define MAX_MEMBERS 1024

/* The word: number << 18 | quit | waiting | open | count (15 bits). */
#define COUNT   UINT64_C(0x7fff)
#define OPEN    UINT64_C(0x8000)
#define WAITING UINT64_C(0x10000)
#define QUIT    UINT64_C(0x20000)
#define NUMBER  (~UINT64_C(0x3ffff))
#define NEXT    UINT64_C(0x40000)

/* Seconds. A clock step of LOST_CORE between two looks at the clock, some hundred nanoseconds
 * apart, means that another program ran on this core. */
#define SPIN_MOST  60e-6
#define SPIN_LEAST 4e-6
#define SPIN_LAST  30e-6 /* the caller, for the last member */
#define LOST_CORE  300e-6

typedef struct Member {
    Team *team;
    int index;
    pthread_t thread;
} Member;

struct Team {
    _Alignas(64) _Atomic uint64_t word;
    _Alignas(64) atomic_int sleepers;
    _Alignas(64) TeamFn fn; /* written only while no job is open and nobody is at work */
    void *arg;
    int n, n_started;
    atomic_bool busy;
    pthread_mutex_t lock; /* for sleeping only */
    pthread_cond_t job, done;
    Member member[];
};

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

/* A job that this member was not in yet, or the end of the team. */
static bool concerns(uint64_t word, uint64_t last)
{
    return (word & QUIT) || ((word & OPEN) && (word & NUMBER) != last);
}

/* True as soon as there is a job; false when the time is over or the core was lost. */
static bool spin_for_job(Team *team, uint64_t last, double most)
{
    double start = os_seconds(), before = start;
    for (;;) {
        for (int i = 0; i < 16; i++) {
            if (concerns(atomic_load_explicit(&team->word, memory_order_relaxed), last))
                return true;
            relax();
        }
        double now = os_seconds();
        if (now - start > most || now - before > LOST_CORE) return false;
        before = now;
    }
}

static void sleep_for_job(Team *team, uint64_t last)
{
    pthread_mutex_lock(&team->lock);
    /* Either the caller sees this count, or we see its job: both orders are seq_cst. */
    atomic_fetch_add(&team->sleepers, 1);
    while (!concerns(atomic_load(&team->word), last)) pthread_cond_wait(&team->job, &team->lock);
    atomic_fetch_sub(&team->sleepers, 1);
    pthread_mutex_unlock(&team->lock);
}

/* Joins the open job; false if it was closed meanwhile. */
static bool join(Team *team, uint64_t *last)
{
    uint64_t word = atomic_load_explicit(&team->word, memory_order_relaxed);
    while ((word & OPEN) && (word & NUMBER) != *last) {
        if (atomic_compare_exchange_weak_explicit(&team->word, &word, word + 1,
                                                  memory_order_acquire, memory_order_relaxed)) {
            *last = word & NUMBER;
            return true;
        }
    }
    return false;
}

static void leave(Team *team)
{
    uint64_t before = atomic_fetch_sub_explicit(&team->word, 1, memory_order_release);
    if ((before & COUNT) == 1 && (before & WAITING)) {
        pthread_mutex_lock(&team->lock);
        pthread_cond_signal(&team->done);
        pthread_mutex_unlock(&team->lock);
    }
}

static void *member_main(void *user)
{
    const Member *self = user;
    Team *team = self->team;
    uint64_t last = 0;
    double most = SPIN_MOST;
    for (;;) {
        if (spin_for_job(team, last, most)) {
            most = SPIN_MOST;
        } else {
            /* Jobs are rare now: spin less each time, until one comes soon enough again. */
            most = most > 2 * SPIN_LEAST ? most / 2 : SPIN_LEAST;
            sleep_for_job(team, last);
        }
        if (atomic_load_explicit(&team->word, memory_order_relaxed) & QUIT) return NULL;
        if (join(team, &last)) {
            team->fn(team->arg, self->index, team->n);
            leave(team);
        }
    }
}

/* Members take no signals but those of their own faults, so that Ctrl-C reaches the program. */
static bool start_members(Team *team)
{
    static const int own[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    sigset_t all, old;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) sigdelset(&all, own[i]);
    if (pthread_sigmask(SIG_SETMASK, &all, &old) != 0) return false;
    for (int i = 1; i < team->n; i++) {
        Member *m = &team->member[i - 1];
        *m = (Member){.team = team, .index = i};
        if (pthread_create(&m->thread, NULL, member_main, m) != 0) break;
        team->n_started++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return team->n_started == team->n - 1;
}

Team *team_open(int n)
{
    if (n < 1 || n > MAX_MEMBERS) return NULL;
    size_t size = sizeof(Team) + (size_t)(n - 1) * sizeof(Member);
    Team *team = mem_aligned(size, 64);
    if (!team) return NULL;
    *team = (Team){.n = n};
    atomic_init(&team->word, 0);
    atomic_init(&team->sleepers, 0);
    atomic_init(&team->busy, false);
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->job, NULL);
    pthread_cond_init(&team->done, NULL);
    if (!start_members(team)) {
        team_close(team);
        return NULL;
    }
    return team;
}

void team_close(Team *team)
{
    if (!team) return;
    pthread_mutex_lock(&team->lock);
    atomic_fetch_or(&team->word, QUIT);
    pthread_cond_broadcast(&team->job);
    pthread_mutex_unlock(&team->lock);
    for (int i = 0; i < team->n_started; i++) pthread_join(team->member[i].thread, NULL);
    pthread_cond_destroy(&team->done);
    pthread_cond_destroy(&team->job);
    pthread_mutex_destroy(&team->lock);
    mem_free(team);
}

int team_size(const Team *team)
{
    return team->n;
}

static void wake(Team *team)
{
    pthread_mutex_lock(&team->lock);
    pthread_cond_broadcast(&team->job);
    pthread_mutex_unlock(&team->lock);
}

/* Until those who joined are done: a short spin, then sleep. */
static void wait_for_members(Team *team)
{
    double start = os_seconds();
    for (int i = 1;; i++) {
        if (!(atomic_load_explicit(&team->word, memory_order_acquire) & COUNT)) return;
        relax();
        if (i % 16 == 0 && os_seconds() - start > SPIN_LAST) break;
    }
    pthread_mutex_lock(&team->lock);
    uint64_t word = atomic_fetch_or_explicit(&team->word, WAITING, memory_order_acquire);
    while (word & COUNT) {
        pthread_cond_wait(&team->done, &team->lock);
        word = atomic_load_explicit(&team->word, memory_order_acquire);
    }
    pthread_mutex_unlock(&team->lock);
}

void team_run(Team *team, TeamFn fn, void *arg)
{
    bool nested = atomic_exchange_explicit(&team->busy, true, memory_order_acquire);
    assert(!nested && "team_run inside team_run, or from two threads");
    (void)nested;
    if (team->n > 1) {
        team->fn = fn;
        team->arg = arg;
        uint64_t word = atomic_load_explicit(&team->word, memory_order_relaxed);
        /* seq_cst against `sleepers`, see sleep_for_job */
        atomic_store(&team->word, ((word & NUMBER) + NEXT) | OPEN);
        if (atomic_load(&team->sleepers) > 0) wake(team);
    }
    fn(arg, 0, team->n);
    if (team->n > 1) {
        uint64_t word = atomic_fetch_and_explicit(&team->word, ~OPEN, memory_order_acq_rel);
        if (word & COUNT) wait_for_members(team);
    }
    atomic_store_explicit(&team->busy, false, memory_order_release);
}

/* ---- parts ---- */

static inline int64_t first_of(uint64_t left)
{
    return (int64_t)(left >> 32);
}

static inline int64_t count_of(uint64_t left)
{
    return (int64_t)(left & UINT32_MAX) - first_of(left);
}

static inline uint64_t part_of(int64_t first, int64_t end)
{
    return (uint64_t)first << 32 | (uint64_t)end;
}

void parts_start(TeamPart *part, int n, int64_t total)
{
    assert(total >= 0 && total <= PARTS_MOST);
    for (int i = 0; i < n; i++)
        atomic_store_explicit(&part[i].left, part_of(total * i / n, total * (i + 1) / n),
                              memory_order_relaxed);
}

/* Half of what the member with the most has left becomes this one's part. A piece belongs to the
 * part that names it, so whoever swaps that word takes what it says, however old his look is. */
static bool take_over(TeamPart *part, int n, int member)
{
    for (;;) {
        uint64_t left = 0;
        int from = 0;
        for (int i = 1; i < n; i++) {
            int other = (member + i) % n;
            uint64_t have = atomic_load_explicit(&part[other].left, memory_order_relaxed);
            if (count_of(have) <= count_of(left)) continue;
            left = have;
            from = other;
        }
        int64_t count = count_of(left), end = first_of(left) + count, at = end - (count + 1) / 2;
        if (count <= 0) return false;
        if (!atomic_compare_exchange_strong_explicit(&part[from].left, &left,
                                                     part_of(first_of(left), at),
                                                     memory_order_relaxed, memory_order_relaxed))
            continue;
        atomic_store_explicit(&part[member].left, part_of(at, end), memory_order_relaxed);
        return true;
    }
}

bool parts_take(TeamPart *part, int n, int member, int64_t most, int64_t *begin, int64_t *end)
{
    uint64_t left = atomic_load_explicit(&part[member].left, memory_order_relaxed);
    for (;;) {
        int64_t count = count_of(left), some = count / 4;
        if (count <= 0) {
            if (!take_over(part, n, member)) return false;
            left = atomic_load_explicit(&part[member].left, memory_order_relaxed);
            continue;
        }
        some = some < 1 ? 1 : some > most ? most : some;
        *begin = first_of(left);
        *end = *begin + some;
        if (atomic_compare_exchange_weak_explicit(&part[member].left, &left,
                                                  part_of(*end, *begin + count),
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    }
}
