/* Signal handlers (see interrupt.h). They set flags, call bt_session_cancel, which is
 * async-signal-safe, and write to a pipe: a signal may be delivered to any thread and at any
 * moment, so a waiting read cannot count on being interrupted by it. */
#include "cli/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

static volatile sig_atomic_t seen, final;
static _Atomic(bt_session *) watched;
static int wake[2] = {-1, -1}; /* non-blocking pipe */
static void (*idle)(void *user);
static void *idle_user;

enum { IDLE_MS = 500 };

static void on_signal(int number)
{
    int saved = errno;
    seen = 1;
    if (number != SIGINT) final = 1;
    bt_session *session = atomic_load(&watched);
    if (session) bt_session_cancel(session);
    ssize_t full = write(wake[1], "", 1); /* a full pipe wakes as well */
    (void)full;
    errno = saved;
}

void interrupt_install(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    if (wake[0] >= 0 || pipe(wake) != 0) return;
    for (int i = 0; i < 2; i++) {
        fcntl(wake[i], F_SETFD, FD_CLOEXEC);
        fcntl(wake[i], F_SETFL, O_NONBLOCK);
    }
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

void interrupt_watch(bt_session *session)
{
    atomic_store(&watched, session);
}

bool interrupt_seen(void)
{
    return seen || final;
}

bool interrupt_take(void)
{
    char byte;
    bool was = interrupt_seen();
    seen = 0;
    while (read(wake[0], &byte, 1) > 0) continue;
    return was;
}

bool interrupt_final(void)
{
    return final;
}

void interrupt_idle(void (*call)(void *user), void *user)
{
    idle = call;
    idle_user = user;
}

int interrupt_read(void *out, size_t n)
{
    struct pollfd wait[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                            {.fd = wake[0], .events = POLLIN}};
    for (;;) {
        if (interrupt_seen()) return -1;
        int ready = poll(wait, 2, idle ? IDLE_MS : -1);
        if (ready < 0 && errno != EINTR) return 0;
        if (ready == 0 && idle) idle(idle_user);
        if (interrupt_seen()) return -1;
        if (ready <= 0 || !wait[0].revents) continue;
        ssize_t got = read(STDIN_FILENO, out, n);
        if (got >= 0) return (int)got;
        if (errno != EINTR && errno != EAGAIN) return 0;
    }
}
