/* Waiting on many descriptors at once, thousands of which may be quiet. Linux only (epoll). */
#ifndef BASE_WATCH_H
#define BASE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef struct WatchEvent {
    uint64_t tag;
    bool readable;
    bool gone; /* the other side closed its end, or the descriptor failed */
} WatchEvent;

/* *out: a descriptor; close() ends it. */
bt_status watch_open(int *out, bt_error *err);
/* Reports `fd` under `tag`: when it can be read too, or only when it is gone (once). */
bool watch_add(int watch, int fd, uint64_t tag, bool readable);
void watch_remove(int watch, int fd);
/* How many events came within `ms` (-1: waits for ever); a signal ends it early. */
int watch_wait(int watch, WatchEvent *events, int most, int ms);

/* This process is killed when its parent ends. */
void watch_parent(void);
/* The end of a forked child: at once, without what its parent meant for its own end. */
_Noreturn void watch_child_ends(int status);

#endif
