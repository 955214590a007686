/* What we ask of the operating system. What POSIX has is in os_posix.c and os_map.c, Linux in
 * os_linux.c and os_linux_*.c, macOS in os_macos.c; no other file makes a system call that
 * POSIX does not have. */
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
    int fd;    /* a zeroed OsMap may be closed: descriptors here are 3 or more */
    int watch; /* os_map.c: where it is registered, 0 for nowhere */
} OsMap;

/* Maps a regular file read-only (shared). Refuses folders, pipes and devices, with a message. */
bt_status os_map_open(const char *path, OsMap *out, bt_error *err);
void os_map_close(OsMap *map);
/* These pages will not be needed soon (drops them from resident memory) / will be, now. */
void os_map_drop(const OsMap *map, uint64_t offset, uint64_t size);
void os_map_want(const OsMap *map, uint64_t offset, uint64_t size);
/* All of the map will be read again and again: huge pages are wished for, where the system keeps
 * files in them. Call before reading it. */
void os_map_huge(const OsMap *map);
/* True once a page of the map could not be read: the file shrank or its disk failed. The system
 * says so with SIGBUS; what then happens is that this page and all after it read as zeros, on
 * whatever thread, and this flag is set. So whoever reads a map asks here afterwards (a step, a
 * load) and fails that request instead of the process. Costs nothing while all is well. The flag
 * never clears. A SIGBUS elsewhere goes to the handler that was there before. */
bool os_map_lost(const OsMap *map);
/* BT_OK, or BT_E_IO with the sentence for `path` when the map is lost. */
bt_status os_map_check(const OsMap *map, const char *path, bt_error *err);

/* Whole pages of zeroed memory, huge pages wished for; NULL on failure. Counted by mem_live. */
void *os_pages_alloc(size_t size);
void os_pages_free(void *memory, size_t size);

/* Whole pages of zeroed memory that processes forked later share; NULL on failure. */
void *os_shared_alloc(size_t size);
void os_shared_free(void *memory, size_t size);

/* A bell between processes: made before the fork, closed on exec, never blocks. Poll fds[0] for
 * reading; fds[1] rings. Both may be one descriptor. Rings that nobody heard yet are one. */
bt_status os_bell_open(int fds[2], bt_error *err);
void os_bell_close(int fds[2]); /* sets both to -1 */
void os_bell_ring(int fd);
void os_bell_clear(int fd);

/* Replaces `path` with what `write` puts into fd: temporary file beside it, fsync, rename, fsync
 * of the folder. Nothing is left behind on failure; what a process that was killed left there is
 * removed by the next (os_sweep). A file that was there keeps its mode, a new one is its owner's
 * alone (0600); a link is replaced, not followed; a folder, pipe or device under that name is
 * refused. */
bt_status os_replace_file(const char *path, bt_status (*write)(void *user, int fd, bt_error *err),
                          void *user, bt_error *err);
/* Removes the folder's temporary files of os_replace_file whose writers are gone: they hold no lock
 * and were not touched for some seconds. */
void os_sweep(const char *folder);
/* Writes all of it, however often the system takes a part (waits where fd does not block). */
bt_status os_write_all(int fd, const void *data, size_t size, bt_error *err);
/* mkdir -p, 0700 for the folders it makes. */
bt_status os_make_dirs(const char *path, bt_error *err);

/* ---- machine ---- */
/* The first call opens what it reads, later ones also work inside the sandbox. 0: unknown. */
uint64_t os_memory_available(void);     /* now: the least of the machine, its cgroups, RLIMIT_AS */
uint64_t os_memory_granted(void);       /* of that, what limits leave; UINT64_MAX: none */
uint64_t os_memory_total(void);         /* of the machine, or of the tightest cgroup around us */
uint64_t os_memory_resident(void);      /* this process, now */
uint64_t os_memory_peak_resident(void); /* this process, so far */
/* Physical cores this process may use, >= 1: not its second threads, not the slow ones of a
 * hybrid machine, no more than affinity and the cgroup's share of time allow. The first
 * answer stays. */
int os_cores(void);
double os_seconds(void); /* monotonic */
/* What an errno of a file means, and what to do where that is known: the end of a message. */
const char *os_why(int error);
bool os_random(void *out, size_t size);

#endif
