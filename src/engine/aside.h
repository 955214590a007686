/* A thread beside those that step a model: it does small jobs that will be needed after the step,
 * while the step runs. What it has not begun in time its owner does without: it is never waited for
 * but to let go of a job.
 *
 * A job lives in its owner's memory and is queued at most once; nothing is allocated after opening.
 * Any thread. */
#ifndef ENGINE_ASIDE_H
#define ENGINE_ASIDE_H

#include <stdbool.h>

typedef struct Aside Aside;

typedef struct AsideJob {
    void (*run)(struct AsideJob *job); /* on the other thread */
    struct AsideJob *next;
    bool queued;
} AsideJob;

/* NULL: there is no thread, or no memory, to be had. */
Aside *aside_open(void);
/* All jobs have been dropped. */
void aside_close(Aside **aside);
/* Has the job run once more, as soon as may be; nothing where that is due already. */
void aside_want(Aside *aside, AsideJob *job);
/* Takes the job back; waits while it runs. The job may go afterwards. */
void aside_drop(Aside *aside, AsideJob *job);

#endif
