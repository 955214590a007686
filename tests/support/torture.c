/* Allocations that fail, one a life (see torture.h). */
#include "support/torture.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/status.h"

/* More than any test of ours takes: past it, something allocates for ever. */
enum { MOST_LIVES = 200000 };

static uint64_t countdown, from; /* what was set, and the allocations that had been made then */
static uint64_t rest;            /* what was left of it at the pause */
static bool paused;

static void set(uint64_t at)
{
    countdown = at;
    from = mem_count();
    mem_fail_at(at);
}

/* What is left of the countdown; 0: it failed. What failed is not counted among those made: with
 * one to go by the count, it failed or is the next, which one more shows. */
static uint64_t left(void)
{
    uint64_t made = mem_count() - from;
    if (made >= countdown) return 0;
    if (made + 1 < countdown) return countdown - made;
    void *one = mem_alloc(1);
    mem_free(one);
    return !one;
}

void torture_pause(void)
{
    if (paused) return;
    rest = left();
    mem_fail_at(0);
    paused = true;
}

void torture_resume(void)
{
    if (!paused) return;
    set(rest);
    paused = false;
}

/* Lives with allocation `at` failing; false when the life ended before it. */
static bool live_once(const char *what, TortureLife *life, void *user, uint64_t at,
                      uint64_t *refused)
{
    bt_error err = {0};
    int64_t before = mem_live();
    paused = false;
    set(at);
    bt_status status = life(user, &err);
    torture_pause();
    uint64_t to_go = rest;
    set(0);
    paused = false;
    if (mem_live() != before)
        fail_msg("%s, allocation %" PRIu64 ": %" PRId64 " not given back (status %d)", what, at,
                 mem_live() - before, status);
    if (status && to_go)
        fail_msg("%s, without a failure (%" PRIu64 " to go): status %d, \"%s\"", what, to_go,
                 status, err.text);
    if (status && (status != BT_E_MEMORY || !err.text[0]))
        fail_msg("%s, allocation %" PRIu64 ": status %d, \"%s\"", what, at, status, err.text);
    *refused += status != BT_OK;
    return !to_go;
}

uint64_t torture_some(const char *what, TortureLife *life, void *user, uint64_t each)
{
    uint64_t lives = 0, refused = 0;
    if (getenv("BANTAM_TORTURE_ALL")) each = UINT64_MAX;
    for (uint64_t at = 1; live_once(what, life, user, at, &refused); at += 1 + (at - 1) / each)
        if (++lives == MOST_LIVES) fail_msg("%s: no end after %d lives", what, MOST_LIVES);
    if (!lives) fail_msg("%s: makes no allocation", what);
    return refused;
}

uint64_t torture(const char *what, TortureLife *life, void *user)
{
    return torture_some(what, life, user, UINT64_MAX);
}

bt_status torture_bare(bt_status status, bt_error *err)
{
    return status ? bt_fail(err, status, "%s", bt_status_text(status)) : BT_OK;
}
