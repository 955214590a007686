/* Waiting for the supervisor's look at the machine's models (supervisor_look.c). A name that is not
 * known, and a list of all, are worth one: but one at a time, and none while the last is fresh, so
 * that it costs little whoever asks. */
#include "base/os.h"
#include "serve/front_parts.h"

#define FRESH_SECONDS 2.0
#define PATIENCE      5.0 /* for the supervisor; then what is known counts */

bool look_first(Request *r)
{
    Front *f = r->front;
    const double now = os_seconds();
    if (r->looked || (!f->looking && now < f->looked + FRESH_SECONDS)) return false;
    if (!f->looking) {
        f->looking = true;
        f->looked = now;
        slots_tell(f, CONTROL_LOOK, 0, 0);
    }
    r->looked = true;
    r->phase = PHASE_LOOK;
    line_add(&f->lookers, r);
    return true;
}

void look_done(Front *f)
{
    f->looking = false;
    f->looked = os_seconds();
    for (Request *r; (r = f->lookers.first);) {
        line_take(&f->lookers, r);
        r->phase = PHASE_BODY;
        models_take(r);
    }
}

void look_sweep(Front *f, double now)
{
    if (f->looking && now > f->looked + PATIENCE) look_done(f);
}
