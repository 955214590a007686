/* The supervisor: starts the front and a worker for each model that is asked for, starts them again
 * when they break, ends them when they are not needed. It has no socket, sees no prompt and no
 * answer, and runs in one thread. What it shares with the others is made before it forks. */
#ifndef SERVE_SUPERVISOR_H
#define SERVE_SUPERVISOR_H

#include "serve/catalogue.h"
#include "serve/front.h"

typedef struct SupervisorOptions {
    FrontOptions front; /* run, control and slots are filled in here */
    Catalogue *catalogue;
    int64_t keep_alive_ms;  /* a model that nobody uses stays so long; -1: for ever */
    int drain_seconds;      /* what runs may take so long to end after SIGTERM; 0: 30 */
    const char *state_path; /* kept up to date for ps and stop, mode 0600; %d in it becomes the
                             * port. NULL: none */
    const char *made_path;  /* where models made by requests are remembered; NULL: nowhere */
    void *user;
    /* A worker's process, in the forked child; gives its exit status. */
    int (*worker)(void *user, const ServeModel *model, const RingSlot *slot, int index);
    /* Writes JSON about the model to `fd` (worker_describe_main); NULL: nothing is told. */
    int (*describe)(void *user, const ServeModel *model, int fd);
    /* Fills an empty catalogue with what is on this machine now; false: that is not known. NULL:
     * the list of models stays as it is. */
    bool (*find)(void *user, Catalogue *now);
    /* It listens at `url`; `first`: not again after the front broke. */
    void (*listening)(void *user, const char *url, bool first);
} SupervisorOptions;

/* Until SIGTERM or SIGINT has been obeyed (the second one: at once). 0, or 1 with *err set when it
 * could not start or the front breaks again and again. */
int supervisor_run(const SupervisorOptions *options, bt_error *err);

#endif
