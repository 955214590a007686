/* System calls, by seccomp: a list of those that running, chatting and measuring need after
 * start-up; every other one gets EPERM, so that a refusal can be printed. A call through another
 * architecture's table (32-bit int 0x80, x32) ends the process. The filter reaches all threads
 * (TSYNC). What stays out: every call on sockets, io_uring (its requests pass no filter), new
 * programs and processes, other processes' memory and descriptors, code made at run time, keys,
 * namespaces, and changing limits. io_uring and FASTOPEN: see docs/privacy.md. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "base/sandbox_linux.h"

/* Allowed whatever their arguments. A name that this architecture lacks is skipped. */
static const char *const plain_calls[] = {
    /* descriptors that are open */
    "read",
    "readv",
    "pread64",
    "preadv",
    "write",
    "writev",
    "pwrite64",
    "pwritev",
    "lseek",
    "close",
    "close_range",
    "dup",
    "dup2",
    "dup3",
    "fsync",
    "fdatasync",
    "sync_file_range",
    "ftruncate",
    "fallocate",
    "fadvise64",
    "readahead",
    "flock",
    "fchmod",
    "poll",
    "ppoll",
    "select",
    "pselect6",
    /* looking at names; Landlock decides what can be opened */
    "fstat",
    "stat",
    "lstat",
    "newfstatat",
    "statx",
    "fstatfs",
    "statfs",
    "access",
    "faccessat",
    "faccessat2",
    "readlink",
    "readlinkat",
    "getcwd",
    "getdents64",
    /* memory; mmap and mprotect below */
    "munmap",
    "mremap",
    "madvise",
    "brk",
    "msync",
    "mincore",
    "mlock",
    "mlock2",
    "munlock",
    /* threads, signals, time */
    "futex",
    "futex_waitv",
    "set_robust_list",
    "rseq",
    "sched_yield",
    "sched_getaffinity",
    "getcpu",
    "gettid",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "rt_sigpending",
    "sigaltstack",
    "restart_syscall",
    "nanosleep",
    "clock_nanosleep",
    "clock_gettime",
    "clock_getres",
    "gettimeofday",
    "time",
    "times",
    "setitimer",
    "getitimer",
    "alarm",
    "pause",
    /* about ourselves */
    "getpid",
    "getppid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getpgid",
    "getpgrp",
    "getsid",
    "uname",
    "sysinfo",
    "getrusage",
    "getrlimit",
    "getrandom",
    "umask",
    "exit",
    "exit_group",
};

/* Only with a grant to write. */
static const char *const writing_calls[] = {
    "rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir",
};

/* Requests of ioctl and commands of fcntl. Not TIOCSTI (types for the user), not F_SETOWN. */
static const unsigned long terminal_requests[] = {
    TCGETS, TCSETS, TCSETSW, TCSETSF, TCFLSH, TIOCGWINSZ, TIOCGPGRP, FIONREAD, TIOCOUTQ, TIOCGSID,
    /* TCGETS2, TCSETS2, TCSETSW2, TCSETSF2 */
    0x802c542a, 0x402c542b, 0x402c542c, 0x402c542d};
static const unsigned long fcntl_commands[] = {
    F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD,  F_SETFD, F_GETFL, F_SETFL,
    F_GETLK, F_SETLK,         F_SETLKW, 36,      37,      38}; /* F_OFD_GETLK, _SETLK, _SETLKW */

/* Of a process that accepts clients. Receiving by recvmsg, which can bring descriptors, is not
 * there; an accepted socket could be freed by connect(AF_UNSPEC) and then connected anywhere, so
 * connect never is. */
static const char *const client_calls[] = {
    "accept",    "accept4",    "recvfrom",    "shutdown",
    "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2",
};
/* Allowed to it under conditions. */
static const char *const checked_calls[] = {"sendto", "sendmsg", "setsockopt"};

/* Refused even to sanitizer builds, whose own needs are otherwise without end. */
static const char *const closed_to_all[] = {
    "socket",
    "socketpair",
    "connect",
    "bind",
    "listen",
    "accept",
    "accept4",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "recvfrom",
    "recvmsg",
    "recvmmsg",
    "setsockopt",
    "getsockopt",
    "shutdown",
    "getsockname",
    "getpeername",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "execve",
    "execveat",
    "process_vm_readv",
    "process_vm_writev",
    "pidfd_open",
    "pidfd_getfd",
    "bpf",
    "keyctl",
    "add_key",
    "request_key",
    "memfd_create",
    "userfaultfd",
    "perf_event_open",
    "unshare",
    "setns",
    "mount",
    "umount2",
    "chroot",
    "pivot_root",
    "open_by_handle_at",
};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

typedef struct Filter {
    scmp_filter_ctx context;
    int failed; /* the first negative answer of libseccomp */
} Filter;

static void add(Filter *f, uint32_t action, const char *name, unsigned n,
                const struct scmp_arg_cmp *conditions)
{
    int number = seccomp_syscall_resolve_name(name);
    if (number < 0 || f->failed) return; /* not a call of this architecture */
    int result = seccomp_rule_add_array(f->context, action, number, n, conditions);
    if (result < 0) f->failed = result;
}

static void allow(Filter *f, const char *name)
{
    add(f, SCMP_ACT_ALLOW, name, 0, NULL);
}

static void allow_if(Filter *f, const char *name, struct scmp_arg_cmp condition)
{
    add(f, SCMP_ACT_ALLOW, name, 1, &condition);
}

/* Argument `index` has none of `bits`. */
static struct scmp_arg_cmp without(unsigned index, uint64_t bits)
{
    return (struct scmp_arg_cmp){index, SCMP_CMP_MASKED_EQ, bits, 0};
}

static struct scmp_arg_cmp equals(unsigned index, uint64_t value)
{
    return (struct scmp_arg_cmp){index, SCMP_CMP_EQ, value, 0};
}

static void allow_memory(Filter *f)
{
    allow_if(f, "mmap", without(2, PROT_EXEC));
    allow_if(f, "mprotect", without(2, PROT_EXEC));
}

/* Opening, with the flags in argument `flags`. Without O_TRUNC, or to write: Landlock before ABI 3
 * would let a file that was granted for reading be emptied by opening it. */
static void allow_open(Filter *f, const char *name, unsigned flags, bool writes)
{
    if (writes) {
        allow_if(f, name, without(flags, O_TRUNC));
        allow_if(f, name, (struct scmp_arg_cmp){flags, SCMP_CMP_MASKED_EQ, O_ACCMODE, O_WRONLY});
        allow_if(f, name, (struct scmp_arg_cmp){flags, SCMP_CMP_MASKED_EQ, O_ACCMODE, O_RDWR});
    } else {
        allow_if(f, name, without(flags, O_WRONLY | O_RDWR | O_CREAT | O_TRUNC));
    }
}

static void allow_files(Filter *f, bool writes)
{
    allow_open(f, "open", 1, writes);
    allow_open(f, "openat", 2, writes);
    if (writes) {
        for (size_t i = 0; i < COUNT(writing_calls); i++) allow(f, writing_calls[i]);
    }
    allow_if(f, "utimensat", equals(1, 0)); /* futimens: of an open file, not of a path */
    for (size_t i = 0; i < COUNT(terminal_requests); i++)
        allow_if(f, "ioctl", equals(1, terminal_requests[i]));
    for (size_t i = 0; i < COUNT(fcntl_commands); i++)
        allow_if(f, "fcntl", equals(1, fcntl_commands[i]));
}

static void allow_threads(Filter *f)
{
    const uint64_t must = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
    const uint64_t never = CLONE_PTRACE | CLONE_VFORK | CLONE_UNTRACED | CLONE_NEWNS |
                           CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                           CLONE_NEWPID | CLONE_NEWNET | CLONE_PIDFD;
    allow_if(f, "clone", (struct scmp_arg_cmp){0, SCMP_CMP_MASKED_EQ, must | never, must});
    /* clone3 hides its flags in memory; "no such call" makes the C library use clone. */
    add(f, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL);
    /* Signals to ourselves: raise, abort. */
    allow_if(f, "kill", equals(0, (uint64_t)getpid()));
    allow_if(f, "tgkill", equals(0, (uint64_t)getpid()));
    const struct scmp_arg_cmp only_ask[] = {equals(0, 0), equals(2, 0)};
    add(f, SCMP_ACT_ALLOW, "prlimit64", 2, only_ask);
}

static bool is_in(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], name) == 0) return true;
    return false;
}

/* Sending only where the socket is connected already: no address, and no MSG_FASTOPEN, which
 * connects. What sendmsg is told lies in memory, where a filter cannot look; the sockets here are
 * TCP, which ignores an address without that flag. */
static void allow_clients(Filter *f, bool tls)
{
    const struct scmp_arg_cmp sends[] = {without(3, MSG_FASTOPEN), equals(4, 0)};
    for (size_t i = 0; i < COUNT(client_calls); i++) allow(f, client_calls[i]);
    add(f, SCMP_ACT_ALLOW, "sendto", 2, sends);
    if (tls) allow_if(f, "sendmsg", without(2, MSG_FASTOPEN));
    static const int options[] = {TCP_NODELAY, TCP_CORK};
    for (size_t i = 0; i < COUNT(options); i++) {
        const struct scmp_arg_cmp sets[] = {equals(1, IPPROTO_TCP),
                                            equals(2, (uint64_t)options[i])};
        add(f, SCMP_ACT_ALLOW, "setsockopt", 2, sets);
    }
}

static bool closed(const char *name, const SandboxOptions *o)
{
    if (!o->accepts || (!o->tls && strcmp(name, "sendmsg") == 0)) return true;
    return !is_in(name, client_calls, COUNT(client_calls)) &&
           !is_in(name, checked_calls, COUNT(checked_calls));
}

static void fill(Filter *f, const SandboxOptions *o, bool writes, bool wide)
{
    if (wide) {
        for (size_t i = 0; i < COUNT(closed_to_all); i++)
            if (closed(closed_to_all[i], o))
                add(f, SCMP_ACT_ERRNO(EPERM), closed_to_all[i], 0, NULL);
        const struct scmp_arg_cmp types = equals(1, TIOCSTI);
        add(f, SCMP_ACT_ERRNO(EPERM), "ioctl", 1, &types);
        return;
    }
    for (size_t i = 0; i < COUNT(plain_calls); i++) allow(f, plain_calls[i]);
    allow_memory(f);
    allow_files(f, writes);
    allow_threads(f);
    if (o->accepts) allow_clients(f, o->tls);
}

static int set(Filter *f, enum scmp_filter_attr attribute, uint32_t value)
{
    return seccomp_attr_set(f->context, attribute, value);
}

bt_status seccomp_enter(const SandboxOptions *options, bool writes, bool wide, bt_error *err)
{
    Filter f = {.context = seccomp_init(wide ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM))};
    if (!f.context) return bt_fail_memory(err, "the system call filter", 0);
    if (set(&f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) < 0 ||
        set(&f, SCMP_FLTATR_CTL_NNP, 1) < 0 || set(&f, SCMP_FLTATR_CTL_TSYNC, 1) < 0)
        f.failed = -EINVAL;
    set(&f, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a search tree; older libraries keep their list */
    set(&f, SCMP_FLTATR_CTL_SSB,
        1); /* kernels before 5.16 slow a filtered process down otherwise */
    if (!f.failed) fill(&f, options, writes, wide);
    if (!f.failed) f.failed = seccomp_load(f.context);
    seccomp_release(f.context);
    if (!f.failed) return BT_OK;
    return bt_fail(err, BT_E_SYSTEM,
                   "the network cannot be closed off: this kernel (or the container around us) "
                   "refused the system call filter: %s",
                   strerror(f.failed < 0 ? -f.failed : f.failed));
}
