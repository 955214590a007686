/* The courier: a process of its own, and the only one that connects out. It is started before
 * anything is read, gets the address and the key, and then, one after another, what it must post;
 * its files are limited to what resolving names and certificates take (Landlock). Who holds the
 * data cannot open a connection, who can knows nothing but what it sends. It ends with its parent.
 *
 * Refused: addresses that are not https, but for http to this machine itself; redirects; answers
 * larger than they may be; certificates that cannot be verified. */
#ifndef CLI_COURIER_H
#define CLI_COURIER_H

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"

typedef struct Courier Courier;

typedef struct CourierOptions {
    const char *address;      /* https://host/v1, without the slash behind */
    const char *key_file;     /* the first line is the key; NULL: key_variable */
    const char *key_variable; /* of the environment; unset: no key */
    long seconds;             /* for one answer, from connecting to its last byte */
} CourierOptions;

/* Whether libcurl is there, which the courier alone loads, when it starts: NULL, or why not and
 * what to do. Loads it: for 'bantam doctor', which holds no data. */
const char *courier_missing(void);
/* What is wrong with the address, or NULL. */
const char *courier_wrong(const char *address);
/* Starts it; call it before threads and the sandbox. BT_E_ARGUMENT: the key; BT_E_UNSUPPORTED: no
 * libcurl. */
bt_status courier_open(const CourierOptions *options, Courier **out, bt_error *err);
void courier_close(Courier **courier);
/* Posts JSON to the address with `path` behind it and waits; *status: of HTTP, 0 where no answer
 * came (then `body` says why); *wait_for: seconds of Retry-After, or 0. BT_E_CANCELLED: Ctrl-C;
 * BT_E_LIMIT: too large an answer; BT_E_SYSTEM: the courier is gone. */
bt_status courier_post(Courier *courier, const char *path, Span json, int *status,
                       int32_t *wait_for, Buf *body, bt_error *err);

#endif
