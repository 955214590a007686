/* The parts of os_linux_*.c that tests reach: each takes the folder that stands for "/", so that a
 * test can lay out the files of another machine. Inside base/ and its tests only. */
#ifndef BASE_OS_LINUX_H
#define BASE_OS_LINUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A file under /proc or the like, -1 when it cannot be opened; read from its start each time, which
 * gives the present state; the number after `key` at the start of a line. */
int linux_open(const char *path);
bool linux_read_again(int fd, char *out, size_t capacity);
bool linux_number(const char *text, const char *key, uint64_t *out);

#define LINUX_NO_LIMIT UINT64_MAX

#define CGROUP_LEVELS 16

/* The memory limits around this process, inmost first; descriptors stay open, so that they can be
 * read inside the sandbox. */
typedef struct Cgroups {
    struct {
        int limit, high, usage, stat; /* -1: not there */
        bool v2;
    } level[CGROUP_LEVELS];
    int n_levels; /* only those that had a limit when looked at */
    double cpus;  /* the tightest share of CPU time, in CPUs; 0: no limit */
} Cgroups;

void cgroups_open(const char *root, Cgroups *out);
void cgroups_close(Cgroups *groups);
/* The tightest limit, and what is left below it (page cache counts as left); UINT64_MAX: none. */
uint64_t cgroups_limit(const Cgroups *groups);
uint64_t cgroups_left(const Cgroups *groups);

/* How many of the CPUs for which allowed(cpu) holds are worth a thread: one a physical core, only
 * the fast ones of a hybrid machine. 0: the files do not say. */
int cores_count(const char *root, bool (*allowed)(int cpu, void *user), void *user);

#endif
