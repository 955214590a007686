/* Files, by Landlock: nothing can be opened but what was granted. Landlock grew over the years;
 * all rights that this kernel's version knows are taken away, then given back beneath the grants.
 * Where it is missing the report says so and seccomp still forbids writing unless a grant allows
 * it. The numbers are the kernel's (Documentation/userspace-api/landlock.rst, uapi/landlock.h),
 * written out because the headers of Debian 12 know version 2 only. */
#define _GNU_SOURCE /* O_PATH */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/os_linux.h"
#include "base/sandbox_linux.h"

/* The same number on every architecture. */
enum { CREATE_RULESET = 444, ADD_RULE = 445, RESTRICT_SELF = 446 };
enum { ASK_VERSION = 1, PATH_BENEATH = 1 };

#define RIGHT(n) (UINT64_C(1) << (n))
enum {
    FS_EXECUTE,
    FS_WRITE_FILE,
    FS_READ_FILE,
    FS_READ_DIR,
    FS_REMOVE_DIR,
    FS_REMOVE_FILE,
    FS_MAKE_CHAR,
    FS_MAKE_DIR,
    FS_MAKE_REG,
    FS_MAKE_SOCK,
    FS_MAKE_FIFO,
    FS_MAKE_BLOCK,
    FS_MAKE_SYM,
    FS_REFER,
    FS_TRUNCATE,
    FS_IOCTL_DEV
};
#define READ_RIGHTS (RIGHT(FS_READ_FILE) | RIGHT(FS_READ_DIR))
#define WRITE_RIGHTS                                                                               \
    (RIGHT(FS_WRITE_FILE) | RIGHT(FS_REMOVE_DIR) | RIGHT(FS_REMOVE_FILE) | RIGHT(FS_MAKE_DIR) |    \
     RIGHT(FS_MAKE_REG) | RIGHT(FS_REFER) | RIGHT(FS_TRUNCATE))
#define RIGHTS_OF_A_FILE (RIGHT(FS_READ_FILE) | RIGHT(FS_WRITE_FILE) | RIGHT(FS_TRUNCATE))

typedef struct Ruleset {
    uint64_t files, net, scoped;
} Ruleset;

typedef struct Beneath {
    uint64_t allowed;
    int32_t parent_fd;
} __attribute__((packed)) Beneath;

int landlock_version(int *why)
{
    long abi = syscall(CREATE_RULESET, NULL, 0, ASK_VERSION);
    *why = abi < 0 ? errno : 0;
    return abi > 0 ? (int)abi : 0;
}

static Ruleset all_rights(int abi)
{
    Ruleset all = {.files = RIGHT(FS_REFER) - 1};
    if (abi >= 2) all.files |= RIGHT(FS_REFER);
    if (abi >= 3) all.files |= RIGHT(FS_TRUNCATE);
    if (abi >= 4) all.net = 3; /* bind and connect TCP */
    if (abi >= 5) all.files |= RIGHT(FS_IOCTL_DEV);
    if (abi >= 6) all.scoped = 3; /* abstract UNIX sockets, signals to other processes */
    return all;
}

static void grant(int ruleset, const SandboxGrant *g, uint64_t known, SandboxReport *report)
{
    struct stat st;
    int fd = open(g->path, O_PATH | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        sandbox_note(report, "not granted: %.60s: %s", g->path, strerror(errno));
    } else {
        Beneath rule = {.allowed = READ_RIGHTS | (g->write ? WRITE_RIGHTS : 0), .parent_fd = fd};
        rule.allowed &= known;
        if (!S_ISDIR(st.st_mode)) rule.allowed &= RIGHTS_OF_A_FILE;
        if (syscall(ADD_RULE, ruleset, PATH_BENEATH, &rule, 0) != 0)
            sandbox_note(report, "not granted: %.60s: %s", g->path, strerror(errno));
    }
    if (fd >= 0) close(fd);
}

/* Threads of this process; 0 when /proc does not say. */
static int threads_now(void)
{
    char text[4096];
    uint64_t n = 0;
    int fd = linux_open("/proc/self/status");
    if (!linux_read_again(fd, text, sizeof text) || !linux_number(text, "Threads:", &n)) n = 0;
    if (fd >= 0) close(fd);
    return (int)n;
}

static void tell_level(int abi, SandboxReport *report)
{
    if (abi < 6)
        sandbox_note(report, "Landlock ABI %d: %s%sUNIX sockets and signals by seccomp alone", abi,
                     abi < 3 ? "cutting files short, " : "", abi < 4 ? "TCP, " : "");
}

void landlock_enter(const SandboxOptions *options, SandboxReport *report)
{
    int why = 0;
    int abi = report->landlock_abi = landlock_version(&why);
    if (abi == 0) {
        sandbox_note(report, "Landlock: %s; files are not limited",
                     why == EOPNOTSUPP ? "switched off when this kernel started" : strerror(why));
        return;
    }
    Ruleset all = all_rights(abi);
    if (options->network) all.net = 0;
    int ruleset = (int)syscall(CREATE_RULESET, &all, sizeof all, 0);
    if (ruleset < 0) {
        sandbox_note(report, "Landlock: %s; files are not limited", strerror(errno));
        return;
    }
    for (size_t i = 0; i < options->n_grants; i++)
        grant(ruleset, &options->grants[i], all.files, report);
#ifdef BANTAM_SANITIZED
    grant(ruleset, &(SandboxGrant){.path = "/proc"}, all.files, report); /* the leak checker */
#endif
    int threads = threads_now();
    if (syscall(RESTRICT_SELF, ruleset, 0) != 0) {
        sandbox_note(report, "Landlock: %s; files are not limited", strerror(errno));
    } else if (threads > 1) {
        sandbox_note(report, "Landlock: %d threads were there before and have no limit on files",
                     threads - 1);
    } else {
        report->landlock = true;
        tell_level(abi, report);
    }
    close(ruleset);
}
