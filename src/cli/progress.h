/* A line of progress with the time left, on a terminal, for what takes over two seconds; silent
 * otherwise. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "cli/cli.h"

typedef struct Progress {
    const Cli *cli;
    const char *what; /* of the running part */
    double started, shown;
    uint64_t first; /* units done when it started */
    bool visible;
} Progress;

void progress_start(Progress *p, const Cli *cli);
/* A bt_progress_fn (user: a Progress). False once the user pressed Ctrl-C. */
bool progress_update(void *user, const char *what, uint64_t done, uint64_t total);
/* Wipes the line. */
void progress_end(Progress *p);

#endif
