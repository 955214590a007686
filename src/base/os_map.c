/* Files mapped for reading, and what happens when one shrinks under us.
 *
 * A page past the new end of a mapped file raises SIGBUS on whatever thread touches it: a member
 * of the team, deep in a kernel. Jumping out of there would leave the team's job torn, so the
 * handler does not jump. It looks the address up among the open maps, lays zeros over the page
 * and all that follow it in that map, marks the map as lost, and returns: every thread goes on,
 * computes nonsense, and the caller finds the mark (os_map_lost) and fails that request.
 *
 * The list of maps is read by the handler, so it has no lock: a fixed table of slots, each
 * published by its `end`. mmap is not on POSIX's list of async-signal-safe functions, but is a
 * bare system call on Linux and macOS, and the signal is synchronous. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "base/os_sys.h"

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

#define MAX_MAPS 1024 /* a split model of a thousand parts would be the largest seen by far */

typedef struct Watch {
    atomic_uintptr_t begin, end; /* end 0: free, or being filled */
    atomic_bool lost;
} Watch;

static Watch watches[MAX_MAPS];
static pthread_mutex_t watches_lock = PTHREAD_MUTEX_INITIALIZER; /* writers only */
static int n_used; /* slots below this were used once; guarded by the lock */
static atomic_int n_watched;
static struct sigaction previous;
static atomic_uintptr_t page_mask; /* page size - 1 */

static bool cover(uintptr_t address)
{
    int n = atomic_load_explicit(&n_watched, memory_order_acquire);
    for (int i = 0; i < n; i++) {
        Watch *w = &watches[i];
        uintptr_t end = atomic_load_explicit(&w->end, memory_order_acquire);
        uintptr_t begin = atomic_load_explicit(&w->begin, memory_order_relaxed);
        if (address < begin || address >= end) continue;
        uintptr_t page = address & ~page_mask;
        /* NOLINTNEXTLINE(performance-no-int-to-ptr): the address is the kernel's */
        void *at = (void *)page;
        if (mmap(at, end - page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != at)
            return false;
        atomic_store_explicit(&w->lost, true, memory_order_release);
        return true;
    }
    return false;
}

static void on_sigbus(int signal_number, siginfo_t *info, void *context)
{
    /* Set while an earlier handler runs: one that passes on to us again must not go in circles. */
    static _Thread_local volatile sig_atomic_t passing_on;
    int saved = errno;
    bool covered = info->si_code > 0 && cover((uintptr_t)info->si_addr);
    errno = saved;
    if (covered) return;
    bool handled = previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN;
    if (handled && !passing_on) {
        passing_on = 1;
        if (previous.sa_flags & SA_SIGINFO)
            previous.sa_sigaction(signal_number, info, context);
        else
            previous.sa_handler(signal_number);
        passing_on = 0;
        return;
    }
    if (previous.sa_handler == SIG_IGN && info->si_code <= 0) return;
    /* As if we were not here: the fault repeats, or the signal is sent again, and ends us. */
    signal(SIGBUS, SIG_DFL);
    if (info->si_code <= 0) raise(SIGBUS);
}

/* At every open, for others may have put their handler over ours since (a test framework does).
 * One put back with signal() has lost SA_SIGINFO and must be set anew, but is no predecessor. */
static void install(void)
{
    struct sigaction action, now;
    pthread_mutex_lock(&watches_lock);
    page_mask = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_sigbus;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGBUS, NULL, &now) == 0 &&
        (now.sa_sigaction != on_sigbus || !(now.sa_flags & SA_SIGINFO))) {
        if (now.sa_sigaction != on_sigbus) previous = now;
        sigaction(SIGBUS, &action, NULL);
    }
    pthread_mutex_unlock(&watches_lock);
}

static size_t whole_pages(uint64_t size)
{
    return (size_t)((size + page_mask) & ~(uint64_t)page_mask);
}

/* The slot's number, from 1; 0 when the table is full. */
static int watch(const unsigned char *data, uint64_t size)
{
    int slot = 0;
    pthread_mutex_lock(&watches_lock);
    for (int i = 0; i < MAX_MAPS && !slot; i++) {
        if (i < n_used && atomic_load_explicit(&watches[i].end, memory_order_relaxed)) continue;
        uintptr_t begin = (uintptr_t)data;
        atomic_store_explicit(&watches[i].lost, false, memory_order_relaxed);
        atomic_store_explicit(&watches[i].begin, begin, memory_order_relaxed);
        atomic_store_explicit(&watches[i].end, begin + whole_pages(size), memory_order_release);
        if (i >= n_used) n_used = i + 1;
        atomic_store_explicit(&n_watched, n_used, memory_order_release);
        slot = i + 1;
    }
    pthread_mutex_unlock(&watches_lock);
    return slot;
}

static void unwatch(int slot)
{
    if (slot < 1 || slot > MAX_MAPS) return;
    pthread_mutex_lock(&watches_lock);
    atomic_store_explicit(&watches[slot - 1].end, 0, memory_order_release);
    pthread_mutex_unlock(&watches_lock);
}

/* Opened without waiting (a pipe would block) and above the standard descriptors. */
static int open_file(const char *path, bt_error *err, bt_status *status)
{
    int fd;
    do fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    while (fd < 0 && errno == EINTR);
    if (fd >= 0 && fd < 3) {
        int high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        int saved = errno;
        close(fd);
        errno = saved;
        fd = high;
    }
    if (fd < 0) *status = bt_fail(err, BT_E_IO, "%s: cannot open: %s", path, os_why(errno));
    return fd;
}

static bt_status refuse_kind(const char *path, mode_t mode, bt_error *err)
{
    const char *kind = S_ISDIR(mode)    ? "a folder"
                       : S_ISFIFO(mode) ? "a pipe"
                       : S_ISSOCK(mode) ? "a socket"
                                        : "a device";
    return bt_fail(err, BT_E_IO, "%s: is %s, not a file; name a regular file", path, kind);
}

bt_status os_map_open(const char *path, OsMap *out, bt_error *err)
{
    *out = (OsMap){.fd = -1};
    install();
    bt_status status = BT_OK;
    struct stat st;
    OsMap map = {.fd = open_file(path, err, &status)};
    if (map.fd < 0) return status;
    if (fstat(map.fd, &st) != 0) {
        status = bt_fail(err, BT_E_IO, "%s: cannot look at it: %s", path, strerror(errno));
        goto fail;
    }
    if (!S_ISREG(st.st_mode)) {
        status = refuse_kind(path, st.st_mode, err);
        goto fail;
    }
    map.size = (uint64_t)st.st_size;
    map.mtime_ns = sys_mtime_ns(&st);
    map.device = (uint64_t)st.st_dev;
    map.inode = (uint64_t)st.st_ino;
    if (map.size > SIZE_MAX / 2) {
        status = bt_fail(err, BT_E_LIMIT, "%s: too large to map on this machine", path);
        goto fail;
    }
    if (map.size > 0) {
        void *data = mmap(NULL, (size_t)map.size, PROT_READ, MAP_SHARED, map.fd, 0);
        if (data == MAP_FAILED) {
            status = bt_fail(err, errno == ENOMEM ? BT_E_MEMORY : BT_E_IO,
                             "%s: cannot map %llu bytes: %s", path, (unsigned long long)map.size,
                             strerror(errno));
            goto fail;
        }
        map.data = data;
        map.watch = watch(map.data, map.size);
        if (!map.watch) {
            munmap(data, (size_t)map.size);
            status = bt_fail(err, BT_E_LIMIT, "%s: more than %d files are mapped", path, MAX_MAPS);
            goto fail;
        }
    }
    *out = map;
    return BT_OK;
fail:
    close(map.fd);
    return status;
}

static void *address_of(const unsigned char *data)
{
    union {
        const unsigned char *from;
        void *to;
    } cast = {.from = data};
    return cast.to;
}

void os_map_close(OsMap *map)
{
    if (!map) return;
    unwatch(map->watch);
    if (map->data) munmap(address_of(map->data), (size_t)map->size);
    if (map->fd > 2) close(map->fd);
    *map = (OsMap){.fd = -1};
}

bool os_map_lost(const OsMap *map)
{
    if (map->watch < 1 || map->watch > MAX_MAPS) return false;
    return atomic_load_explicit(&watches[map->watch - 1].lost, memory_order_acquire);
}

bt_status os_map_check(const OsMap *map, const char *path, bt_error *err)
{
    if (!os_map_lost(map)) return BT_OK;
    return bt_fail(err, BT_E_IO,
                   "%s: the file shrank or its disk failed while it was in use; restore the file "
                   "and open it again",
                   path);
}

/* The range as an address and a length, clipped to the map. `outward`: whole pages around it,
 * else only those wholly inside. False when nothing is left, and for memory that is no mapped file
 * (gguf_open_memory): letting go of a heap's pages would clear them. */
static bool page_range(const OsMap *map, uint64_t offset, uint64_t size, bool outward, void **start,
                       size_t *length)
{
    if (!map->data || !map->watch || offset >= map->size) return false;
    uint64_t end = size > map->size - offset ? map->size : offset + size;
    uint64_t mask = page_mask;
    uint64_t last = whole_pages(map->size);
    uint64_t from = outward ? offset & ~mask : (offset + mask) & ~mask;
    uint64_t to = outward || end == map->size ? (end + mask) & ~mask : end & ~mask;
    if (to > last) to = last;
    if (from >= to) return false;
    *start = address_of(map->data + from);
    *length = (size_t)(to - from);
    return true;
}

void os_map_drop(const OsMap *map, uint64_t offset, uint64_t size)
{
    void *start;
    size_t length;
    if (!os_map_lost(map) && page_range(map, offset, size, false, &start, &length))
        sys_pages_drop(start, length);
}

void os_map_huge(const OsMap *map)
{
    void *start;
    size_t length;
    if (page_range(map, 0, map->size, true, &start, &length)) sys_pages_huge(start, length);
}

void os_map_want(const OsMap *map, uint64_t offset, uint64_t size)
{
    void *start;
    size_t length;
    if (page_range(map, offset, size, true, &start, &length)) sys_pages_want(start, length);
}
