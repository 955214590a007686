/* Files, pages, clock and random bytes as POSIX has them (maps: os_map.c). Every call that a
 * signal may interrupt is repeated; every failure names the path and what the system said. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/os.h"
#include "base/os_sys.h"

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

#define HUGE_PAGE   ((size_t)2 << 20)
#define WRITE_PIECE ((size_t)1 << 30) /* macOS refuses more than INT_MAX at once */
#define TEMPORARY   ".bantam-%08x.tmp"
#define YOUNG       10 /* seconds in which a file that is not locked yet may be about to be */

/* ---- pages ---- */

static size_t whole_pages(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (size == 0) return page;
    if (size > SIZE_MAX - page) return 0;
    return (size + page - 1) & ~(page - 1);
}

static void *map_pages(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* A large block starts where a huge page can: taken with room to spare, the ends given back. */
static void *map_aligned(size_t size)
{
    if (size < HUGE_PAGE || size > SIZE_MAX - HUGE_PAGE) return map_pages(size);
    char *memory = map_pages(size + HUGE_PAGE);
    if (!memory) return map_pages(size);
    size_t head = (HUGE_PAGE - ((uintptr_t)memory & (HUGE_PAGE - 1))) & (HUGE_PAGE - 1);
    if (head) munmap(memory, head);
    munmap(memory + head + size, HUGE_PAGE - head);
    sys_pages_huge(memory + head, size);
    return memory + head;
}

void *os_pages_alloc(size_t size)
{
    size = whole_pages(size);
    if (!size || !mem_take_outside()) return NULL;
    void *memory = map_aligned(size);
    if (!memory) mem_give_outside();
    return memory;
}

void os_pages_free(void *memory, size_t size)
{
    if (!memory) return;
    munmap(memory, whole_pages(size));
    mem_give_outside();
}

void *os_shared_alloc(size_t size)
{
    size = whole_pages(size);
    if (size == 0 || !mem_take_outside()) return NULL;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory != MAP_FAILED) return memory;
    mem_give_outside();
    return NULL;
}

void os_shared_free(void *memory, size_t size)
{
    if (!memory) return;
    munmap(memory, whole_pages(size));
    mem_give_outside();
}

/* ---- bells ---- */

void os_bell_close(int fds[2])
{
    if (fds[0] >= 0) close(fds[0]);
    if (fds[1] >= 0 && fds[1] != fds[0]) close(fds[1]);
    fds[0] = fds[1] = -1;
}

void os_bell_ring(int fd)
{
    const uint64_t one = 1; /* eight bytes, because an event descriptor takes no other number */
    /* Full: it rings already. */
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR) continue;
}

void os_bell_clear(int fd)
{
    char heard[512];
    ssize_t n;
    do n = read(fd, heard, sizeof heard);
    while (n == (ssize_t)sizeof heard || (n < 0 && errno == EINTR));
}

const char *os_why(int error)
{
    switch (error) {
    case ENOENT:
        return "No such file or directory; check how the path is written, and that its folder is "
               "there";
    case ENOTDIR: return "Not a directory; a part of the path before its last is a file";
    case EISDIR: return "Is a directory; name a file in it";
    case EACCES: return "Permission denied; ls -l shows who may, chmod changes it";
    case EROFS: return "Read-only file system; take another folder";
    case ENOSPC: return "No space left on device; make room, or take a folder on another disk";
    case EDQUOT: return "Disk quota exceeded; make room, or take a folder on another disk";
    case EFBIG: return "File too large; ulimit -f or the file system sets how large";
    case EMFILE: return "Too many open files; ulimit -n raises the limit";
    default: return strerror(error);
    }
}

/* ---- writing ---- */

bt_status os_write_all(int fd, const void *data, size_t size, bt_error *err)
{
    const char *at = data;
    while (size > 0) {
        ssize_t n = write(fd, at, size < WRITE_PIECE ? size : WRITE_PIECE);
        if (n >= 0) {
            at += n;
            size -= (size_t)n;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            struct pollfd ready = {.fd = fd, .events = POLLOUT};
            poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            return bt_fail(err, BT_E_IO, "cannot write: %s", os_why(errno));
        }
    }
    return BT_OK;
}

/* Length of the folder part of `path` with its slash; 0 when there is none. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

static void folder_of(const char *path, char folder[PATH_MAX])
{
    size_t length = folder_length(path);
    memcpy(folder, length ? path : ".", length ? length : 1);
    folder[length ? length : 1] = '\0';
}

/* Makes the new name last. A folder that cannot be opened or synced (rights, odd file systems) is
 * left to the system; a disk that fails is reported. */
static bt_status sync_folder(const char *path, bt_error *err)
{
    char folder[PATH_MAX];
    folder_of(path, folder);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return BT_OK;
    int failed = fsync(fd) != 0 ? errno : 0;
    close(fd);
    if (failed == EIO || failed == ENOSPC || failed == EDQUOT)
        return bt_fail(err, BT_E_IO, "%s: written, but its folder cannot be synced: %s", path,
                       strerror(failed));
    return BT_OK;
}

/* Tells os_sweep that somebody writes it. It is the open file's, not the process's: another thread
 * does not get it, and the system forgets it when the writer ends. */
static bool lock_file(int fd)
{
    return flock(fd, LOCK_EX | LOCK_NB) == 0;
}

static bool is_temporary(const char *name)
{
    unsigned random;
    char again[32];
    if (sscanf(name, ".bantam-%8x", &random) != 1) return false;
    snprintf(again, sizeof again, TEMPORARY, random);
    return strcmp(name, again) == 0;
}

void os_sweep(const char *folder)
{
    DIR *dir = opendir(folder);
    char name[PATH_MAX];
    struct stat st;
    if (!dir) return;
    for (struct dirent *e; (e = readdir(dir));) {
        if (!is_temporary(e->d_name)) continue;
        int n = snprintf(name, sizeof name, "%s/%s", folder, e->d_name);
        if (n < 0 || n >= (int)sizeof name) continue;
        if (lstat(name, &st) || !S_ISREG(st.st_mode) || st.st_uid != geteuid()) continue;
        if (time(NULL) - st.st_mtime <= YOUNG) continue;
        int fd = open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0) continue;
        if (lock_file(fd)) unlink(name);
        close(fd);
    }
    closedir(dir);
}

/* Opens a new file beside `path` under a random name, which it leaves in `name`. */
static int open_beside(const char *path, char name[PATH_MAX])
{
    size_t folder = folder_length(path);
    for (int attempt = 0; attempt < 16; attempt++) {
        uint32_t random;
        if (!os_random(&random, sizeof random)) random = (uint32_t)getpid() + (uint32_t)attempt;
        snprintf(name, PATH_MAX, "%.*s" TEMPORARY, (int)folder, path, random);
        int fd;
        do fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        while (fd < 0 && errno == EINTR);
        if (fd >= 0) (void)lock_file(fd); /* some file systems have none: nothing is swept there */
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

static bt_status finish(int fd, const char *path, const char *name, mode_t mode, bt_error *err)
{
    if (fchmod(fd, mode) != 0 && errno != EPERM && errno != ENOTSUP)
        return bt_fail(err, BT_E_IO, "%s: cannot set its mode: %s", path, os_why(errno));
    int result;
    do result = sys_sync(fd);
    while (result != 0 && errno == EINTR);
    if (result != 0 && errno != EINVAL && errno != ENOTSUP)
        return bt_fail(err, BT_E_IO, "%s: cannot write it out: %s", path, os_why(errno));
    if (rename(name, path) != 0)
        return bt_fail(err, BT_E_IO, "%s: cannot put the new file in place: %s", path,
                       os_why(errno));
    return BT_OK;
}

bt_status os_replace_file(const char *path, bt_status (*write_fn)(void *, int, bt_error *),
                          void *user, bt_error *err)
{
    struct stat st;
    char name[PATH_MAX];
    mode_t mode = 0600;
    if (strlen(path) > PATH_MAX - 32)
        return bt_fail(err, BT_E_ARGUMENT, "%.200s...: the path is too long", path);
    if (lstat(path, &st) == 0) {
        if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
            return bt_fail(err, BT_E_IO,
                           "%s: is a folder, pipe or device, not a file; choose another name",
                           path);
        if (S_ISREG(st.st_mode)) mode = st.st_mode & 0777;
    }
    folder_of(path, name);
    os_sweep(name);
    int fd = open_beside(path, name);
    if (fd < 0)
        return bt_fail(err, BT_E_IO, "%s: cannot create a file beside it: %s", path, os_why(errno));
    bt_error inner = {0};
    bt_status status = write_fn(user, fd, &inner);
    if (status == BT_OK) {
        status = finish(fd, path, name, mode, err);
    } else {
        bt_fail(err, status, "%s: %s", path, inner.text[0] ? inner.text : bt_status_text(status));
    }
    if (close(fd) != 0 && status == BT_OK && errno != EINTR) {
        /* NFS and quotas may tell here; the name already stands for the new file. */
        return bt_fail(err, BT_E_IO, "%s: cannot close it: %s", path, os_why(errno));
    }
    if (status != BT_OK) {
        unlink(name);
        return status;
    }
    return sync_folder(path, err);
}

bt_status os_make_dirs(const char *path, bt_error *err)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof part)
        return bt_fail(err, BT_E_ARGUMENT, "cannot make a folder: its path is %s",
                       length ? "too long" : "empty");
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0') continue;
        if (path[i - 1] == '/') continue; /* a doubled or last slash */
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) == 0) continue;
        int why = errno;
        struct stat st;
        if (stat(part, &st) == 0) { /* EEXIST, but also EROFS or EACCES above a mount point */
            if (S_ISDIR(st.st_mode)) continue;
            why = ENOTDIR;
        }
        return bt_fail(err, BT_E_IO, "%s: cannot make the folder: %s", part, os_why(why));
    }
    return BT_OK;
}

/* ---- clock ---- */

double os_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
