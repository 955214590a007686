/* Ctrl-C (SIGINT) and SIGTERM: remembered, and passed to the session that is at work, so that an
 * answer stops between two tokens and the program does not. */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

#include <stdbool.h>
#include <stddef.h>

#include "bantam/bantam.h"

/* Installs the handlers, once. Makes a pipe, which the sandbox forbids: call it before. */
void interrupt_install(void);
/* The session a signal cancels from now on; NULL: none. */
void interrupt_watch(bt_session *session);
bool interrupt_seen(void);
/* True if one had come; forgets it. A SIGTERM stays. */
bool interrupt_take(void);
/* Reads standard input: bytes read, 0 at its end, -1 as soon as a signal came. */
int interrupt_read(void *out, size_t n);
/* Called about twice a second while interrupt_read waits; NULL: nothing is. */
void interrupt_idle(void (*idle)(void *user), void *user);
/* SIGTERM or SIGHUP came: the program is to end. */
bool interrupt_final(void);

#endif
