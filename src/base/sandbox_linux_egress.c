/* Every way out that we know, tried from inside, for `bantam selfcheck --egress`. A try is a row
 * of the table and a function that returns 0 when the kernel let it through, or the errno. Calls
 * on a socket are tried on a real one where it can be had, else on descriptor -1: a filter answers
 * EPERM before the kernel looks at the descriptor, and EBADF means that a socket handed to us
 * would have worked. Addresses are of the loopback interface. Nothing is left behind. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sandbox_linux.h"

/* Numbers that older headers lack; the same on every architecture from 424 on. */
enum { IO_URING_SETUP = 425, PIDFD_OPEN = 434, CLONE3 = 435, PIDFD_GETFD = 438 };
enum { MPTCP = 262, VSOCK = 40, ALG = 38, FASTOPEN = 0x20000000, DISCARD_PORT = 9 };

/* 0, or the errno of a call that gave `result`; closes what it opened. */
static int opened(long result)
{
    if (result < 0) return errno;
    close((int)result);
    return 0;
}

static int done(long result)
{
    return result < 0 ? errno : 0;
}

static int try_socket(int family, int type, int protocol)
{
    return opened(socket(family, type | SOCK_CLOEXEC, protocol));
}

static int tcp4(void)
{
    return try_socket(AF_INET, SOCK_STREAM, 0);
}
static int tcp6(void)
{
    return try_socket(AF_INET6, SOCK_STREAM, 0);
}
static int udp4(void)
{
    return try_socket(AF_INET, SOCK_DGRAM, 0);
}
static int udp6(void)
{
    return try_socket(AF_INET6, SOCK_DGRAM, 0);
}
static int mptcp(void)
{
    return try_socket(AF_INET, SOCK_STREAM, MPTCP);
}
static int sctp(void)
{
    return try_socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP);
}
static int ping(void)
{
    return try_socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
}
static int raw(void)
{
    return try_socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
}
static int packet(void)
{
    return try_socket(AF_PACKET, SOCK_RAW, 0);
}
static int netlink(void)
{
    return try_socket(AF_NETLINK, SOCK_RAW, 0);
}
static int vsock(void)
{
    return try_socket(VSOCK, SOCK_STREAM, 0);
}
static int alg(void)
{
    return try_socket(ALG, SOCK_SEQPACKET, 0);
}
static int unix_socket(void)
{
    return try_socket(AF_UNIX, SOCK_STREAM, 0);
}

/* 0 when one lets us in, else the first answer that is not the filter's. */
static int any_family(void)
{
    int answer = EPERM;
    for (int family = 0; family < 64; family++) {
        for (int type = SOCK_STREAM; type <= SOCK_SEQPACKET; type++) {
            int failed = try_socket(family, type, 0);
            if (failed == 0) return 0;
            if (failed != EPERM && answer == EPERM) answer = failed;
        }
    }
    return answer;
}

static int socket_pair(void)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return errno;
    close(ends[0]);
    close(ends[1]);
    return 0;
}

/* Runs a call on a fresh socket, or on -1 where there is none. */
static int on_socket(int family, int type, int (*call)(int fd))
{
    int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int answer = call(fd);
    if (fd >= 0) close(fd);
    return answer;
}

static struct sockaddr_in loopback4(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int call_connect4(int fd)
{
    struct sockaddr_in to = loopback4(DISCARD_PORT);
    return done(connect(fd, (struct sockaddr *)&to, sizeof to));
}

static int call_connect6(int fd)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6,
                              .sin6_port = htons(DISCARD_PORT),
                              .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    return done(connect(fd, (struct sockaddr *)&to, sizeof to));
}

/* What frees an accepted socket for a new connection. */
static int call_connect_nowhere(int fd)
{
    struct sockaddr to = {.sa_family = AF_UNSPEC};
    return done(connect(fd, &to, sizeof to));
}

static int call_sendto(int fd)
{
    struct sockaddr_in to = loopback4(DISCARD_PORT);
    return done(sendto(fd, "", 1, MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof to));
}

static int call_fastopen(int fd)
{
    struct sockaddr_in to = loopback4(DISCARD_PORT);
    return done(sendto(fd, "", 1, FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof to));
}

static int call_sendmsg(int fd)
{
    struct sockaddr_in to = loopback4(DISCARD_PORT);
    struct iovec part = {.iov_base = "", .iov_len = 1};
    struct msghdr message = {
        .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &part, .msg_iovlen = 1};
    return done(sendmsg(fd, &message, MSG_NOSIGNAL));
}

static int call_fastopen_sendmsg(int fd)
{
    struct sockaddr_in to = loopback4(DISCARD_PORT);
    struct iovec part = {.iov_base = "", .iov_len = 1};
    struct msghdr message = {
        .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &part, .msg_iovlen = 1};
    return done(sendmsg(fd, &message, FASTOPEN | MSG_NOSIGNAL));
}

static int call_sendmmsg(int fd)
{
    struct sockaddr_in to = loopback4(DISCARD_PORT);
    struct iovec part = {.iov_base = "", .iov_len = 1};
    struct mmsghdr message = {
        .msg_hdr = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &part, .msg_iovlen = 1}};
    return done(sendmmsg(fd, &message, 1, MSG_NOSIGNAL));
}

static int call_recvfrom(int fd)
{
    char byte;
    return done(recvfrom(fd, &byte, 1, MSG_DONTWAIT, NULL, NULL));
}

static int call_bind(int fd)
{
    struct sockaddr_in at = loopback4(0);
    return done(bind(fd, (struct sockaddr *)&at, sizeof at));
}

static int call_listen(int fd)
{
    return done(listen(fd, 1));
}
static int call_accept(int fd)
{
    return opened(accept(fd, NULL, NULL));
}

static int call_unix_path(int fd)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "/run/systemd/private"};
    return done(connect(fd, (struct sockaddr *)&to, sizeof to));
}

static int call_unix_abstract(int fd)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "\0bantam-egress"};
    return done(connect(fd, (struct sockaddr *)&to, offsetof(struct sockaddr_un, sun_path) + 14));
}

static int connect4(void)
{
    return on_socket(AF_INET, SOCK_STREAM, call_connect4);
}
static int connect6(void)
{
    return on_socket(AF_INET6, SOCK_STREAM, call_connect6);
}
static int connect_nowhere(void)
{
    return on_socket(AF_INET, SOCK_DGRAM, call_connect_nowhere);
}
static int udp_sendto(void)
{
    return on_socket(AF_INET, SOCK_DGRAM, call_sendto);
}
static int fastopen(void)
{
    return on_socket(AF_INET, SOCK_STREAM, call_fastopen);
}
static int fastopen_sendmsg(void)
{
    return on_socket(AF_INET, SOCK_STREAM, call_fastopen_sendmsg);
}
static int udp_sendmsg(void)
{
    return on_socket(AF_INET, SOCK_DGRAM, call_sendmsg);
}
static int udp_sendmmsg(void)
{
    return on_socket(AF_INET, SOCK_DGRAM, call_sendmmsg);
}
static int receive(void)
{
    return on_socket(AF_INET, SOCK_DGRAM, call_recvfrom);
}
static int bind_port(void)
{
    return on_socket(AF_INET, SOCK_STREAM, call_bind);
}
static int listen_any(void)
{
    return on_socket(AF_INET, SOCK_STREAM, call_listen);
}
static int accept_any(void)
{
    return on_socket(AF_INET, SOCK_STREAM, call_accept);
}
static int unix_path(void)
{
    return on_socket(AF_UNIX, SOCK_STREAM, call_unix_path);
}
static int unix_abstract(void)
{
    return on_socket(AF_UNIX, SOCK_STREAM, call_unix_abstract);
}

static int io_uring(void)
{
    unsigned char parameters[256] = {0};
    return opened(syscall(IO_URING_SETUP, 1, parameters));
}

/* ---- other processes ---- */

static int trace(void)
{
    return done(ptrace(PTRACE_PEEKDATA, getpid(), NULL, NULL));
}
static int open_pid(void)
{
    return opened(syscall(PIDFD_OPEN, getpid(), 0));
}
static int take_descriptor(void)
{
    return opened(syscall(PIDFD_GETFD, -1, 0, 0));
}
static int signal_parent(void)
{
    return done(kill(getppid(), 0));
}

static int read_memory(void)
{
    char from = 1, to = 0;
    struct iovec here = {&to, 1}, there = {&from, 1};
    return done(process_vm_readv(getpid(), &here, 1, &there, 1, 0));
}

static int write_memory(void)
{
    char from = 1, to = 0;
    struct iovec here = {&from, 1}, there = {&to, 1};
    return done(process_vm_writev(getpid(), &here, 1, &there, 1, 0));
}

static int limit_others(void)
{
    struct rlimit same;
    if (getrlimit(RLIMIT_NOFILE, &same) != 0) return errno;
    return done(syscall(SYS_prlimit64, getppid(), RLIMIT_NOFILE, &same, NULL));
}

static int new_process(void)
{
    pid_t child = fork();
    if (child == 0) syscall(SYS_exit_group, 0);
    if (child < 0) return errno;
    waitpid(child, NULL, 0);
    return 0;
}

static int new_namespace(void)
{
    return done(syscall(SYS_unshare, 0));
}
static int new_process_hidden(void)
{
    return done(syscall(CLONE3, NULL, 0));
}

/* ---- new code ---- */

static int run_program(void)
{
    char *none[] = {NULL};
    return done(execve("/nonexistent/bantam-egress", none, none));
}

static int run_descriptor(void)
{
    char *none[] = {NULL};
    return done(syscall(SYS_execveat, -1, "", none, none, AT_EMPTY_PATH));
}

static int memory_file(void)
{
    return opened(syscall(SYS_memfd_create, "egress", 0));
}

static int code_page(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return errno;
    munmap(page, 4096);
    return 0;
}

static int code_from_data(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return errno;
    int answer = done(mprotect(page, 4096, PROT_READ | PROT_EXEC));
    munmap(page, 4096);
    return answer;
}

/* ---- kernel doors ---- */

static int bpf_map(void)
{
    return opened(syscall(SYS_bpf, -1, NULL, 0));
}
static int keys(void)
{
    return done(syscall(SYS_keyctl, 0, -4, 0, 0, 0));
} /* ask a ring's id */
static int page_faults(void)
{
    return opened(syscall(SYS_userfaultfd, O_CLOEXEC));
}
static int counters(void)
{
    return opened(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
}
static int type_for_user(void)
{
    return done(ioctl(-1, TIOCSTI, ""));
}

/* ---- files ---- */

static int read_passwd(void)
{
    return opened(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int read_parent(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/environ", (int)getppid());
    return opened(open(path, O_RDONLY | O_CLOEXEC));
}

static int list_root(void)
{
    return opened(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

/* In each folder that anyone may write to, but one that was granted. */
static int write_file(void)
{
    static const char *const folders[] = {"/dev/shm", "/var/tmp", "/tmp"};
    int answer = EACCES;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        char path[64];
        if (sandbox_may_write(folders[i])) continue;
        snprintf(path, sizeof path, "%s/bantam-egress-%d", folders[i], (int)getpid());
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0) {
            close(fd);
            unlink(path);
            return 0;
        }
        if (errno != ENOENT) answer = errno;
    }
    return answer;
}

/* ---- another thread ---- */

static void *tcp_there(void *answer)
{
    *(int *)answer = tcp4();
    return NULL;
}

static int other_thread(void)
{
    pthread_t thread;
    int answer = EPERM;
    int failed = pthread_create(&thread, NULL, tcp_there, &answer);
    if (failed) return failed;
    pthread_join(thread, NULL);
    return answer;
}

/* Ways that a process which accepts clients is meant to have. */
enum { ALWAYS, NOT_OF_THE_FRONT, NOT_WITH_TLS };

static const struct {
    const char *name;
    int (*attempt)(void);
    int unless;
} ways[] = {
    {"TCP socket, IPv4", tcp4},
    {"TCP socket, IPv6", tcp6},
    {"TCP connect to 127.0.0.1", connect4},
    {"TCP connect to ::1", connect6},
    {"connect that frees an accepted socket", connect_nowhere},
    {"TCP Fast Open sendto 127.0.0.1", fastopen},
    {"MPTCP socket", mptcp},
    {"SCTP socket", sctp},
    {"UDP socket, IPv4", udp4},
    {"UDP socket, IPv6", udp6},
    {"UDP sendto 127.0.0.1", udp_sendto},
    {"UDP sendmsg to 127.0.0.1", udp_sendmsg, NOT_WITH_TLS},
    {"UDP sendmmsg to 127.0.0.1", udp_sendmmsg},
    {"TCP Fast Open sendmsg", fastopen_sendmsg},
    {"receive from a socket", receive, NOT_OF_THE_FRONT},
    {"ICMP socket", ping},
    {"raw IP socket", raw},
    {"packet socket", packet},
    {"netlink socket", netlink},
    {"vsock socket (to the host)", vsock},
    {"AF_ALG socket (kernel crypto)", alg},
    {"UNIX socket", unix_socket},
    {"UNIX connect to a path", unix_path},
    {"UNIX connect to an abstract name", unix_abstract},
    {"socket pair", socket_pair},
    {"socket of any other family", any_family},
    {"bind a port of 127.0.0.1", bind_port},
    {"listen", listen_any},
    {"accept", accept_any, NOT_OF_THE_FRONT},
    {"TCP socket from another thread", other_thread},
    {"io_uring", io_uring},
    {"ptrace", trace},
    {"process_vm_readv", read_memory},
    {"process_vm_writev", write_memory},
    {"pidfd_open", open_pid},
    {"pidfd_getfd", take_descriptor},
    {"signal to the parent process", signal_parent},
    {"limits of the parent process", limit_others},
    {"new process", new_process},
    {"new process by clone3", new_process_hidden},
    {"new namespace", new_namespace},
    {"run a program", run_program},
    {"run a program from a descriptor", run_descriptor},
    {"file in memory", memory_file},
    {"executable memory", code_page},
    {"make memory executable", code_from_data},
    {"bpf", bpf_map},
    {"key ring", keys},
    {"userfaultfd", page_faults},
    {"performance counters", counters},
    {"type into the terminal (TIOCSTI)", type_for_user},
    {"read /etc/passwd", read_passwd},
    {"read the parent's environment", read_parent},
    {"list /", list_root},
    {"write a new file", write_file},
};

/* Answers that close a way; any other came from behind the door. A family or call that this kernel
 * was built without is closed too. */
static const struct {
    const char *name;
    int number;
    bool closed;
} answers[] = {
    {"EPERM", EPERM, true},
    {"EACCES", EACCES, true},
    {"ENOSYS", ENOSYS, true},
    {"EAFNOSUPPORT", EAFNOSUPPORT, true},
    {"EPROTONOSUPPORT", EPROTONOSUPPORT, true},
    {"ESOCKTNOSUPPORT", ESOCKTNOSUPPORT, true},
    {"EBADF", EBADF, false},
    {"EINVAL", EINVAL, false},
    {"EFAULT", EFAULT, false},
    {"ENOENT", ENOENT, false},
    {"ESRCH", ESRCH, false},
    {"EIO", EIO, false},
    {"EAGAIN", EAGAIN, false},
    {"ECONNREFUSED", ECONNREFUSED, false},
    {"EINPROGRESS", EINPROGRESS, false},
};

static void judge(EgressTry *out, const char *name, int number)
{
    *out = (EgressTry){.name = name};
    if (number == 0) {
        snprintf(out->answer, sizeof out->answer, "allowed");
        return;
    }
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        if (answers[i].number != number) continue;
        out->refused = answers[i].closed;
        snprintf(out->answer, sizeof out->answer, "%s (%s)", answers[i].name, strerror(number));
        return;
    }
    snprintf(out->answer, sizeof out->answer, "errno %d (%s)", number, strerror(number));
}

size_t sandbox_try_egress(EgressTry *out, size_t capacity)
{
    size_t n = 0;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if (ways[i].unless == NOT_OF_THE_FRONT && sandbox_accepts()) continue;
        if (ways[i].unless == NOT_WITH_TLS && sandbox_has_tls()) continue;
        if (n < capacity) judge(&out[n], ways[i].name, ways[i].attempt());
        n++;
    }
    return n;
}
