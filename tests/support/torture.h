/* Every allocation of a piece of work fails once, one a life: what comes must be an error that is
 * told, or a life that gets along without; and never a leak. The work is a function that may be
 * called again and again: it makes what it needs, works, gives all back and says how it went. It
 * begins as it did before: a file that grew in the last life may take more memory to read in this
 * one, and then there is no end. */
#ifndef TESTS_TORTURE_H
#define TESTS_TORTURE_H

#include <stdint.h>

#include "bantam/bantam.h"

/* One life. *err comes cleared. What it may return when memory fails: BT_OK, or BT_E_MEMORY with a
 * text in *err. Where another error is right (no thread could be started), it turns that into
 * BT_E_MEMORY itself, with a word why. It may hold asserts of its own. */
typedef bt_status TortureLife(void *user, bt_error *err);

/* Lives with the first allocation failing, with the second, and so on until a life ends before the
 * one that is to fail: that one must return BT_OK, and at least one before it must have met its
 * failure. Each life must leave as much memory live as there was before. Fails the test, naming
 * `what` and the allocation. Returns how many lives returned BT_E_MEMORY. */
uint64_t torture(const char *what, TortureLife *life, void *user);
/* The same with each of the first `each` allocations and some of those that follow, ever further
 * apart: about each * (1 + ln(all / each)) lives. For lives that are long, or many of a kind. With
 * BANTAM_TORTURE_ALL in the environment it leaves none out: minutes, for a release. */
uint64_t torture_some(const char *what, TortureLife *life, void *user, uint64_t each);

/* Within a life: from here nothing fails and nothing is counted; from here it goes on. What only
 * gives back needs no pause. */
void torture_pause(void);
void torture_resume(void);

/* Returns `status`, an error with a text in *err: for calls that tell no more than a status. */
bt_status torture_bare(bt_status status, bt_error *err);

#endif
