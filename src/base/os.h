/* What we ask of the operating system. Linux in os_linux.c and os_linux_*.c, macOS in os_macos.c;
 * no other file makes a system call that POSIX does not have. */
#ifndef BASE_OS_H
#define BASE_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* ---- files ---- */
typedef struct OsMap {
    const unsigned char *data; /* read-only; NULL for an empty file */
    uint64_t size;
    int64_t mtime_ns;
    uint64_t device, inode;
    int fd;
} OsMap;

/* Maps a regular file read-only (shared). Refuses folders, pipes and devices, with a message. */
bt_status os_map_open(const char *path, OsMap *out, bt_error *err);
void os_map_close(OsMap *map);
/* These pages will not be needed soon (drops them from resident memory) / will be, now. */
void os_map_drop(const OsMap *map, uint64_t offset, uint64_t size);
void os_map_want(const OsMap *map, uint64_t offset, uint64_t size);
/* A mapped file that shrinks raises SIGBUS. Runs fn(user); returns false if a SIGBUS on `map`
 * ended it early. Costs nothing while all is well. Not nested on one thread. */
bool os_map_guard(const OsMap *map, void (*fn)(void *user), void *user);

/* Whole pages of zeroed memory, huge pages wished for; NULL on failure. Counted by mem_live. */
void *os_pages_alloc(size_t size);
void os_pages_free(void *memory, size_t size);

/* Replaces `path` with what `write` puts into fd: temporary file beside it, fsync, rename, fsync
 * of the folder. Nothing is left behind on failure. */
bt_status os_replace_file(const char *path, bt_status (*write)(void *user, int fd, bt_error *err),
                          void *user, bt_error *err);
/* Writes all of it, however often the system takes a part. */
bt_status os_write_all(int fd, const void *data, size_t size, bt_error *err);
/* mkdir -p, 0700. */
bt_status os_make_dirs(const char *path, bt_error *err);

/* ---- machine ---- */
uint64_t os_memory_available(void); /* now, cgroup limits taken into account */
uint64_t os_memory_total(void);
uint64_t os_memory_resident(void);      /* this process, now */
uint64_t os_memory_peak_resident(void); /* this process, so far */
int os_cores(void);                     /* physical cores this process may use, >= 1 */
double os_seconds(void);                /* monotonic */
bool os_random(void *out, size_t size);

#endif
