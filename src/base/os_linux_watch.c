/* Waiting on many descriptors with epoll (watch.h). */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/watch.h"

enum { MOST = 256 };

bt_status watch_open(int *out, bt_error *err)
{
    *out = epoll_create1(EPOLL_CLOEXEC);
    if (*out >= 0) return BT_OK;
    return bt_fail(err, BT_E_SYSTEM, "cannot wait on connections (epoll): %s", strerror(errno));
}

bool watch_add(int watch, int fd, uint64_t tag, bool readable)
{
    struct epoll_event e = {.data.u64 = tag};
    e.events = readable ? EPOLLIN : EPOLLRDHUP | EPOLLONESHOT;
    return epoll_ctl(watch, EPOLL_CTL_ADD, fd, &e) == 0 ||
           (errno == EEXIST && epoll_ctl(watch, EPOLL_CTL_MOD, fd, &e) == 0);
}

void watch_remove(int watch, int fd)
{
    struct epoll_event unused = {0};
    epoll_ctl(watch, EPOLL_CTL_DEL, fd, &unused);
}

int watch_wait(int watch, WatchEvent *events, int most, int ms)
{
    struct epoll_event e[MOST];
    int n = epoll_wait(watch, e, most < MOST ? most : MOST, ms);
    for (int i = 0; i < n; i++)
        events[i] = (WatchEvent){.tag = e[i].data.u64,
                                 .readable = (e[i].events & EPOLLIN) != 0,
                                 .gone = (e[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0};
    return n > 0 ? n : 0;
}

_Noreturn void watch_child_ends(int status)
{
    _exit(status);
}

void watch_parent(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}
