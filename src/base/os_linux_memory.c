/* Linux: how much memory there is, is left, and is ours.
 *
 * "Left" is the least of what the kernel says the machine has (MemAvailable), what every control
 * group around us leaves below its limit (os_linux_cgroup.c), and RLIMIT_AS. Page cache charged to
 * a group counts as left: it is given up when memory is short. Files are opened at the first call
 * and read again by descriptor, because inside the sandbox nothing under /proc can be opened.
 * proc(5). */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/os.h"
#include "base/os_linux.h"

int linux_open(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC);
}

bool linux_read_again(int fd, char *out, size_t capacity)
{
    if (fd < 0) return false;
    ssize_t n = pread(fd, out, capacity - 1, 0);
    if (n <= 0) return false;
    out[n] = '\0';
    return true;
}

bool linux_number(const char *text, const char *key, uint64_t *out)
{
    size_t length = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        if (strncmp(line, key, length) != 0) continue;
        *out = strtoull(line + length, NULL, 10);
        return true;
    }
    return false;
}

static struct {
    int meminfo, statm, status;
    pid_t opener; /* /proc/self is whoever opened it: a forked child opens its own */
    Cgroups groups;
    bool groups_open;
} files = {.meminfo = -1, .statm = -1, .status = -1};
static pthread_mutex_t files_lock = PTHREAD_MUTEX_INITIALIZER;

static void reopen(int *fd, const char *path)
{
    int fresh = linux_open(path);
    if (*fd >= 0) close(*fd);
    *fd = fresh;
}

static void lock_files(void)
{
    pthread_mutex_lock(&files_lock);
    if (!files.groups_open) {
        reopen(&files.meminfo, "/proc/meminfo");
        cgroups_open("", &files.groups);
        files.groups_open = true;
    }
    if (files.opener != getpid()) {
        reopen(&files.statm, "/proc/self/statm");
        reopen(&files.status, "/proc/self/status");
        files.opener = getpid();
    }
}

static void unlock_files(void)
{
    pthread_mutex_unlock(&files_lock);
}

/* Field `index` of statm, in bytes. */
static uint64_t statm_bytes(int index)
{
    char text[256], *at = text;
    if (!linux_read_again(files.statm, text, sizeof text)) return 0;
    uint64_t pages = 0;
    for (int i = 0; i <= index; i++) pages = strtoull(at, &at, 10);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t address_space_left(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return LINUX_NO_LIMIT;
    uint64_t used = statm_bytes(0);
    return limit.rlim_cur > used ? limit.rlim_cur - used : 0;
}

static uint64_t least_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t meminfo(const char *key, const char *older_key)
{
    char text[4096];
    uint64_t kib = 0;
    if (!linux_read_again(files.meminfo, text, sizeof text)) return 0;
    if (!linux_number(text, key, &kib) && older_key) linux_number(text, older_key, &kib);
    return kib * 1024;
}

uint64_t os_memory_granted(void)
{
    lock_files();
    uint64_t granted = least_of(cgroups_left(&files.groups), address_space_left());
    unlock_files();
    return granted;
}

uint64_t os_memory_available(void)
{
    lock_files();
    uint64_t available = meminfo("MemAvailable:", "MemFree:");
    unlock_files();
    return least_of(available, os_memory_granted());
}

uint64_t os_memory_total(void)
{
    lock_files();
    uint64_t total = least_of(meminfo("MemTotal:", NULL), cgroups_limit(&files.groups));
    unlock_files();
    return total;
}

uint64_t os_memory_resident(void)
{
    lock_files();
    uint64_t resident = statm_bytes(1);
    unlock_files();
    return resident;
}

uint64_t os_memory_peak_resident(void)
{
    char text[4096];
    uint64_t kib = 0;
    lock_files();
    if (linux_read_again(files.status, text, sizeof text)) linux_number(text, "VmHWM:", &kib);
    unlock_files();
    if (kib) return kib * 1024;
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}
