/* The line of progress (see progress.h). */
#include "cli/progress.h"

#include <string.h>
#include <unistd.h>

#include "base/os.h"
#include "cli/interrupt.h"

#define QUIET_SECONDS 2.0
#define STEP_SECONDS  0.2

void progress_start(Progress *p, const Cli *cli)
{
    *p = (Progress){.cli = cli};
}

static void restart(Progress *p, const char *what, uint64_t done, double now)
{
    progress_end(p);
    p->what = what;
    p->started = p->shown = now;
    p->first = done;
}

bool progress_update(void *user, const char *what, uint64_t done, uint64_t total)
{
    Progress *p = user;
    double now = os_seconds();
    if (!p->what || strcmp(what, p->what) != 0 || done < p->first) restart(p, what, done, now);
    double spent = now - p->started;
    bool wanted = !p->cli->quiet && isatty(STDERR_FILENO);
    if (wanted && spent >= QUIET_SECONDS && now - p->shown >= STEP_SECONDS && total > 0) {
        double share = (double)done / (double)total;
        fprintf(stderr, "\r\033[K%s: %3.0f %%", what, 100 * (share > 1 ? 1 : share));
        if (done > p->first && done <= total) {
            double left = spent * (double)(total - done) / (double)(done - p->first);
            if (left >= 90)
                fprintf(stderr, ", %.0f min left", left / 60);
            else
                fprintf(stderr, ", %.0f s left", left);
        }
        fflush(stderr);
        p->shown = now;
        p->visible = true;
    }
    return !interrupt_seen();
}

void progress_end(Progress *p)
{
    if (p->visible) fputs("\r\033[K", stderr);
    p->visible = false;
    p->what = NULL;
}
