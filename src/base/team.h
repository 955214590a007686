/* A persistent team of threads. The caller is member 0. Members spin briefly between jobs, then
 * sleep, so that a shared machine stays usable (a spinning team collapses when another program
 * takes a core). Work is shared by atomic queues, or in parts that others may take from, never by
 * fixed parts, so a member that lost its core delays nobody but its own last piece. */
#ifndef BASE_TEAM_H
#define BASE_TEAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Team Team;

/* fn(arg, member, n_members) runs on every member; a piece of work is fetched from a queue. */
typedef void (*TeamFn)(void *arg, int member, int n_members);

/* n >= 1 members. NULL when threads or memory cannot be had. */
Team *team_open(int n);
void team_close(Team *team);
int team_size(const Team *team);
/* Runs fn on all members that wake in time; returns when every piece taken is done. A member
 * that has not woken when the caller finds the job finished is not waited for. */
void team_run(Team *team, TeamFn fn, void *arg);

/* Shared counter: pieces [0, total) in chunks. */
typedef struct TeamQueue {
    _Alignas(64) atomic_int_least64_t next;
    int64_t total, chunk;
} TeamQueue;

static inline void queue_start(TeamQueue *q, int64_t total, int64_t chunk)
{
    atomic_store_explicit(&q->next, 0, memory_order_relaxed);
    q->total = total;
    q->chunk = chunk < 1 ? 1 : chunk;
}

/* Takes the next pieces [*begin, *end); false when none are left. */
static inline bool queue_take(TeamQueue *q, int64_t *begin, int64_t *end)
{
    int64_t b = atomic_fetch_add_explicit(&q->next, q->chunk, memory_order_relaxed);
    if (b >= q->total) return false;
    *begin = b;
    *end = b + q->chunk < q->total ? b + q->chunk : q->total;
    return true;
}

/* The same with runs that get shorter towards the end, so that members finish together: a quarter
 * of a fair share of what is left, at least one piece, at most `chunk`. */
static inline bool queue_take_tapering(TeamQueue *q, int n_members, int64_t *begin, int64_t *end)
{
    int64_t b = atomic_load_explicit(&q->next, memory_order_relaxed), n;
    do {
        if (b >= q->total) return false;
        n = (q->total - b) / (4 * (int64_t)n_members);
        n = n < 1 ? 1 : n > q->chunk ? q->chunk : n;
    } while (!atomic_compare_exchange_weak_explicit(&q->next, &b, b + n, memory_order_relaxed,
                                                    memory_order_relaxed));
    *begin = b;
    *end = b + n;
    return true;
}

/* Pieces dealt out before: each member has a part of them, which it takes from the front, so that
 * the piece it reads is followed by the next one in memory (what is fetched ahead is then of use);
 * one that is through takes half of what another has left, from the end. */
typedef struct TeamPart {
    _Alignas(64) atomic_uint_least64_t left; /* first << 32 | end */
} TeamPart;

enum { PARTS_MOST = INT32_MAX }; /* pieces */

/* Deals [0, total) to n members: part[n]. */
void parts_start(TeamPart *part, int n, int64_t total);
/* Takes the next pieces of `member`, at most `most` and a quarter of its part; false when nobody
 * has any left. */
bool parts_take(TeamPart *part, int n, int member, int64_t most, int64_t *begin, int64_t *end);

#endif
