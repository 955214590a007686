/* The sandbox, from inside: nothing gets out, and what the program needs still works. Each case
 * runs in a child, which reports with a line and its exit code. The same tries are made outside
 * first: a check that could not fail would prove nothing. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/os.h"
#include "base/sandbox.h"
#include "base/team.h"

#ifdef BANTAM_SANITIZED
enum { WIDE = 1 };
#else
enum { WIDE = 0 };
#endif

#define MOST 128

static char folder[] = "/tmp/bantam-sandbox-XXXXXX";
static char readable[64], writable[64], inside_file[96];

static int make_folders(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(readable, sizeof readable, "%s/r", folder);
    snprintf(writable, sizeof writable, "%s/w", folder);
    snprintf(inside_file, sizeof inside_file, "%s/file", readable);
    if (mkdir(readable, 0700) != 0 || mkdir(writable, 0700) != 0) return -1;
    FILE *f = fopen(inside_file, "w");
    if (!f) return -1;
    for (int i = 0; i < 3000; i++) fprintf(f, "line %d\n", i);
    return fclose(f);
}

static int remove_folders(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

/* Says where a child failed, and ends it. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s: %s\n", __LINE__, #condition, strerror(errno));           \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* The wait status of a child that ran fn. */
static int in_child(void (*fn)(void))
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        fn();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* An emulated CPU has none (qemu-user); every Linux kernel in use does. */
static void needs_seccomp(void)
{
    if (!sandbox_probe().seccomp) skip();
}

static SandboxReport enter(bool writes)
{
    const SandboxGrant grants[] = {{readable, false}, {writable, true}};
    SandboxReport report;
    bt_error err = {0};
    SandboxOptions options = {.grants = grants, .n_grants = writes ? 2 : 1};
    if (sandbox_enter(&options, &report, &err) != BT_OK) {
        fprintf(stderr, "%s\n", err.text);
        _exit(1);
    }
    MUST(report.seccomp && report.no_new_privs && report.rlimits);
    MUST(report.landlock_abi == sandbox_probe().landlock_abi);
    return report;
}

/* ---- ways out ---- */

static const EgressTry *find(const EgressTry *tries, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(tries[i].name, name)) return &tries[i];
    return NULL;
}

static void outside(void)
{
    static const char *const sure[] = {
        "TCP socket, IPv4",
        "TCP connect to 127.0.0.1",
        "UDP sendto 127.0.0.1",
        "TCP Fast Open sendto 127.0.0.1",
        "UDP sendmsg to 127.0.0.1",
        "receive from a socket",
        "connect that frees an accepted socket",
        "netlink socket",
        "UNIX socket",
        "UNIX connect to an abstract name",
        "socket pair",
        "bind a port of 127.0.0.1",
        "listen",
        "accept",
        "TCP socket from another thread",
        "signal to the parent process",
        "new process",
        "new namespace",
        "run a program",
        "file in memory",
        "executable memory",
        "make memory executable",
        "type into the terminal (TIOCSTI)",
        "read /etc/passwd",
        "list /",
        "write a new file",
    };
    EgressTry tries[MOST];
    size_t n = sandbox_try_egress(tries, MOST);
    MUST(n > 40 && n <= MOST);
    for (size_t i = 0; i < sizeof sure / sizeof sure[0]; i++) {
        const EgressTry *t = find(tries, n, sure[i]);
        MUST(t != NULL);
        if (t->refused) fprintf(stderr, "refused outside: %s: %s\n", t->name, t->answer);
        MUST(!t->refused);
    }
    EgressTry few[2];
    MUST(sandbox_try_egress(few, 2) == n);
}

static void tries_get_through_outside(void **state)
{
    (void)state;
    assert_int_equal(in_child(outside), 0);
}

/* What a build with sanitizers must be left (its own checks need it), and what Landlock gives. */
static bool expected(const EgressTry *t, const SandboxReport *report)
{
    static const char *const files[] = {"read /etc/passwd", "read the parent's environment",
                                        "list /", "write a new file"};
    static const char *const wide[] = {"ptrace",
                                       "signal to the parent process",
                                       "limits of the parent process",
                                       "new process",
                                       "new process by clone3",
                                       "executable memory",
                                       "make memory executable",
                                       "read the parent's environment"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (!report->landlock && !strcmp(t->name, files[i])) return false;
    for (size_t i = 0; WIDE && i < sizeof wide / sizeof wide[0]; i++)
        if (!strcmp(t->name, wide[i])) return false;
    return true;
}

static void nothing_through(const SandboxReport *report)
{
    EgressTry tries[MOST];
    size_t n = sandbox_try_egress(tries, MOST);
    int through = 0;
    MUST(n > 40 && n <= MOST);
    for (size_t i = 0; i < n; i++) {
        if (tries[i].refused || !expected(&tries[i], report)) continue;
        fprintf(stderr, "got through: %s: %s\n", tries[i].name, tries[i].answer);
        through++;
    }
    MUST(through == 0);
}

static void inside(void)
{
    SandboxReport report = enter(true);
    nothing_through(&report);
}

static void nothing_gets_through_inside(void **state)
{
    (void)state;
    needs_seccomp();
    assert_int_equal(in_child(inside), 0);
}

static int gate[2], answer_of_thread;

static void *older_thread(void *unused)
{
    char go;
    (void)unused;
    if (read(gate[0], &go, 1) != 1) return NULL;
    answer_of_thread = socket(AF_INET, SOCK_STREAM, 0) < 0 ? errno : 0;
    return NULL;
}

static void with_older_thread(void)
{
    pthread_t thread;
    MUST(pipe(gate) == 0);
    MUST(pthread_create(&thread, NULL, older_thread, NULL) == 0);
    SandboxReport report = enter(true);
    MUST(!report.landlock); /* it cannot reach that thread, and must not claim to */
    MUST(report.landlock_abi == 0 || strstr(report.note, "were there before"));
    MUST(write(gate[1], "x", 1) == 1);
    MUST(pthread_join(thread, NULL) == 0);
    MUST(answer_of_thread == EPERM);
}

static void reaches_threads_started_before(void **state)
{
    (void)state;
    needs_seccomp();
    assert_int_equal(in_child(with_older_thread), 0);
}

/* Sockets that were open before: no new destination, nothing but what write() can do. */
static void with_older_sockets(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    int tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);
    MUST(tcp >= 0 && udp >= 0);
    enter(true);
    const int fds[] = {tcp, udp};
    for (int i = 0; i < 2; i++) {
        errno = 0;
        MUST(connect(fds[i], (struct sockaddr *)&to, sizeof to) < 0 && errno == EPERM);
        MUST(connect(fds[i], &nowhere, sizeof nowhere) < 0 && errno == EPERM);
        MUST(sendto(fds[i], "x", 1, 0x20000000, (struct sockaddr *)&to, sizeof to) < 0);
        MUST(errno == EPERM);
        MUST(bind(fds[i], (struct sockaddr *)&to, sizeof to) < 0 && errno == EPERM);
        MUST(listen(fds[i], 1) < 0 && errno == EPERM);
        signal(SIGPIPE, SIG_IGN);
        MUST(write(fds[i], "x", 1) < 0);
    }
}

static void closes_sockets_opened_before(void **state)
{
    (void)state;
    needs_seccomp();
    assert_int_equal(in_child(with_older_sockets), 0);
}

#if defined(__x86_64__)
static void by_32_bits(void)
{
    enter(true);
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "0"(20L) : "memory"); /* getpid there */
    _exit(result >= 0 ? 0 : 1);
}

static void by_x32(void)
{
    enter(true);
    _exit(syscall(0x40000000 | SYS_getpid) >= 0 ? 0 : 1);
}
#endif

static void other_tables_of_calls_are_fatal(void **state)
{
    (void)state;
    needs_seccomp();
#if defined(__x86_64__)
    int status = in_child(by_32_bits); /* SIGSEGV: a kernel without them */
    assert_true(WIFSIGNALED(status) && (WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV));
    status = in_child(by_x32);
    if (WIDE) return; /* libseccomp lets an allow-all filter's x32 reach ENOSYS in the kernel */
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
#else
    skip();
#endif
}

/* ---- files ---- */

static bt_status put_text(void *user, int fd, bt_error *err)
{
    return os_write_all(fd, user, strlen(user), err);
}

static char *beside(const char *name)
{
    static char path[2][160];
    static int turn;
    char *p = path[turn++ % 2];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static void only_grants(void)
{
    bt_error err = {0};
    OsMap map;
    int held = open("/etc/hostname", O_RDONLY);
    SandboxReport report = enter(true);
    MUST(os_map_open(inside_file, &map, &err) == BT_OK);
    MUST(!memcmp(map.data, "line 0\n", 7));
    os_map_close(&map);
    MUST(os_make_dirs(beside("w/deep/er"), &err) == BT_OK);
    MUST(os_replace_file(beside("w/deep/file"), put_text, "one", &err) == BT_OK);
    MUST(os_replace_file(beside("w/deep/file"), put_text, "two", &err) == BT_OK);
    MUST(rename(beside("w/deep/file"), beside("w/deep/er/file")) == 0);
    MUST(unlink(beside("w/deep/er/file")) == 0 && rmdir(beside("w/deep/er")) == 0);
    MUST(symlink("/etc/passwd", beside("w/link")) < 0);
    MUST(mkfifo(beside("w/pipe"), 0600) < 0);
    char byte;
    MUST(open(inside_file, O_RDONLY | O_TRUNC) < 0 || WIDE);
    MUST(held < 0 || read(held, &byte, 1) == 1); /* open before, still ours */
    if (!report.landlock) return;
    MUST(open(beside("x"), O_WRONLY | O_CREAT, 0600) < 0);
    MUST(os_replace_file(beside("r/file"), put_text, "x", &err) == BT_E_IO);
    MUST(open(inside_file, O_WRONLY) < 0);
    MUST(unlink(inside_file) < 0);
    MUST(mkdir(beside("r/d"), 0700) < 0);
    MUST(open(beside("r/../../../etc/passwd"), O_RDONLY) < 0);
    MUST(truncate(inside_file, 0) < 0);
}

static void files_are_limited_to_the_grants(void **state)
{
    (void)state;
    needs_seccomp();
    assert_int_equal(in_child(only_grants), 0);
}

static void without_writing(void)
{
    bt_error err = {0};
    enter(false);
    FILE *f = fopen(inside_file, "r");
    MUST(f != NULL);
    fclose(f);
    MUST(os_replace_file(beside("w/file"), put_text, "x", &err) == BT_E_IO);
    MUST(open(beside("w/file"), O_RDWR | O_CREAT, 0600) < 0);
    MUST(mkdir(beside("w/d"), 0700) < 0 && unlink(inside_file) < 0);
}

static void no_grant_no_writing(void **state)
{
    (void)state;
    needs_seccomp();
    assert_int_equal(in_child(without_writing), 0);
}

static void with_odd_grants(void)
{
    const SandboxGrant grants[] = {{"/nonexistent/folder", true}, {inside_file, true}};
    SandboxReport report;
    SandboxOptions options = {.grants = grants, .n_grants = 2};
    MUST(sandbox_enter(&options, &report, NULL) == BT_OK);
    if (!report.landlock) return;
    MUST(strstr(report.note, "/nonexistent/folder: No such file"));
    int fd = open(inside_file, O_RDWR);
    MUST(fd >= 0);
    MUST(open(readable, O_RDONLY | O_DIRECTORY) < 0);
}

static void odd_grants_are_named(void **state)
{
    (void)state;
    needs_seccomp();
    assert_int_equal(in_child(with_odd_grants), 0);
}

/* ---- life inside ---- */

static void count_piece(void *arg, int member, int n_members)
{
    (void)member;
    (void)n_members;
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void uses_stdio(void)
{
    char line[64];
    int n = 0;
    FILE *f = fopen(inside_file, "r");
    MUST(f != NULL);
    while (fgets(line, sizeof line, f)) n++;
    MUST(n == 3000 && fseek(f, -10, SEEK_END) == 0 && fclose(f) == 0);
    f = fopen(beside("w/out"), "w+");
    MUST(f != NULL && fprintf(f, "%.17g %s\n", 0.1, "text") > 0);
    rewind(f);
    MUST(fgets(line, sizeof line, f) && !strcmp(line, "0.10000000000000001 text\n"));
    MUST(fclose(f) == 0);
    printf("%s", "");
    MUST(fflush(stdout) == 0);
}

static void uses_memory_and_threads(void)
{
    for (size_t size = 1; size < (size_t)64 << 20; size = size * 3 + 1) {
        char *p = malloc(size);
        MUST(p != NULL);
        memset(p, 1, size);
        p = realloc(p, size * 2);
        MUST(p != NULL);
        free(p);
    }
    void *pages = os_pages_alloc(5 << 20);
    MUST(pages != NULL);
    memset(pages, 1, 5 << 20);
    os_pages_free(pages, 5 << 20);
    Team *team = team_open(4);
    MUST(team != NULL);
    atomic_int runs = 0;
    struct timespec nap = {0, 1000000};
    for (int i = 0; i < 50; i++) {
        team_run(team, count_piece, &runs);
        if (i % 10 == 0) MUST(nanosleep(&nap, NULL) == 0);
    }
    MUST(runs >= 50);
    team_close(team);
}

static volatile sig_atomic_t got_signal;

static void on_signal(int number)
{
    got_signal = number;
}

static void uses_clock_and_signals(void)
{
    unsigned char random[16] = {0}, zero[16] = {0};
    struct tm broken;
    time_t now = time(NULL);
    MUST(now > 1600000000 && gmtime_r(&now, &broken) && localtime_r(&now, &broken));
    MUST(os_seconds() > 0 && clock() != (clock_t)-1);
    MUST(os_random(random, sizeof random) && memcmp(random, zero, sizeof zero) != 0);
    signal(SIGINT, on_signal);
    MUST(raise(SIGINT) == 0 && got_signal == SIGINT);
    struct sigaction action = {.sa_handler = on_signal};
    MUST(sigaction(SIGTERM, &action, NULL) == 0);
    MUST(kill(getpid(), SIGTERM) == 0 && got_signal == SIGTERM);
}

static void knows_the_machine(void)
{
    MUST(os_memory_available() > 0 && os_memory_total() > 0);
    MUST(os_memory_resident() > 0 && os_memory_peak_resident() >= os_memory_resident() / 2);
    MUST(os_cores() >= 1);
}

static void uses_terminal(int terminal)
{
    struct termios mode;
    struct winsize size = {0};
    struct pollfd ready = {.fd = terminal, .events = POLLOUT};
    MUST(isatty(terminal) && tcgetattr(terminal, &mode) == 0);
    mode.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    MUST(tcsetattr(terminal, TCSADRAIN, &mode) == 0);
    MUST(tcsetattr(terminal, TCSANOW, &mode) == 0 && tcsetattr(terminal, TCSAFLUSH, &mode) == 0);
    MUST(ioctl(terminal, TIOCGWINSZ, &size) == 0 && tcflush(terminal, TCIOFLUSH) == 0);
    MUST(poll(&ready, 1, 1000) == 1 && write(terminal, "x", 1) == 1);
    fd_set set;
    struct timeval brief = {0, 1000};
    FD_ZERO(&set);
    FD_SET(terminal, &set);
    MUST(select(terminal + 1, &set, NULL, NULL, &brief) == 0);
    errno = 0;
    MUST(ioctl(terminal, TIOCSTI, "x") < 0 && errno == EPERM);
}

/* A file that shrinks after entering: the handler's mmap passes the filter. */
static void survives_shrinking(const OsMap *map)
{
    int fd = open(beside("w/shrinks"), O_WRONLY);
    MUST(fd >= 0 && ftruncate(fd, 0) == 0);
    volatile unsigned char seen = map->data[5000];
    MUST(seen == 0 && os_map_lost(map));
}

static void life(void)
{
    bt_error err = {0};
    OsMap map;
    int terminal = -1, master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master >= 0) { /* a bare chroot has no /dev/pts */
        MUST(grantpt(master) == 0 && unlockpt(master) == 0);
        terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
        MUST(terminal >= 0);
    }
    FILE *f = fopen(beside("w/shrinks"), "w");
    MUST(f != NULL);
    for (int i = 0; i < 10000; i++) fputc('x', f);
    MUST(fclose(f) == 0);
    signal(SIGBUS, SIG_DFL);
    MUST(os_map_open(beside("w/shrinks"), &map, &err) == BT_OK);
    enter(true);
    uses_stdio();
    uses_memory_and_threads();
    uses_clock_and_signals();
    knows_the_machine();
    if (terminal >= 0) uses_terminal(terminal);
    survives_shrinking(&map);
}

static void what_is_needed_works(void **state)
{
    (void)state;
    needs_seccomp();
    assert_int_equal(in_child(life), 0);
}

static void ends_by_abort(void)
{
    enter(true);
    signal(SIGABRT, SIG_DFL);
    abort();
}

static void abort_still_aborts(void **state)
{
    (void)state;
    needs_seccomp();
    int status = in_child(ends_by_abort);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_false(WCOREDUMP(status));
}

/* ---- kernels and containers that give less ---- */

/* From here on `call` fails in this process as it does where it is missing. */
static void take_away(const char *call, int number)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int nr = seccomp_syscall_resolve_name(call);
    MUST(filter && nr >= 0);
    MUST(seccomp_rule_add(filter, SCMP_ACT_ERRNO((uint32_t)number), nr, 0) == 0);
    MUST(seccomp_load(filter) == 0);
    seccomp_release(filter);
}

/* The one layer without which entering fails, and says why. */
static void without_seccomp(void)
{
    SandboxReport report;
    bt_error err = {0};
    SandboxOptions none = {0};
    if (sandbox_probe().seccomp) take_away("seccomp", EINVAL);
    MUST(sandbox_enter(&none, &report, &err) == BT_E_SYSTEM);
    MUST(!report.seccomp && strstr(report.note, "the network is open"));
    MUST(strstr(err.text, "cannot be closed off"));
}

static void no_seccomp_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(in_child(without_seccomp), 0);
}

/* The network stays closed; reading is as open as the user's rights, and the report says so. */
static void without_landlock(void)
{
    take_away("landlock_create_ruleset", EOPNOTSUPP);
    SandboxReport report = enter(true);
    MUST(!report.landlock && report.landlock_abi == 0);
    MUST(strstr(report.note, "switched off") && strstr(report.note, "not limited"));
    nothing_through(&report);
    MUST(open("/etc/passwd", O_RDONLY) >= 0);
}

static void without_landlock_and_writing(void)
{
    take_away("landlock_create_ruleset", ENOSYS);
    without_writing();
    MUST(open("/etc/passwd", O_RDONLY) >= 0 && open("/etc/passwd", O_RDWR) < 0);
}

static void no_landlock_is_told(void **state)
{
    (void)state;
    needs_seccomp();
    assert_int_equal(in_child(without_landlock), 0);
    if (!WIDE) assert_int_equal(in_child(without_landlock_and_writing), 0);
}

static void wide_is_for_sanitizers(void **state)
{
    (void)state;
    if (WIDE) skip();
    bt_error err = {0};
    SandboxOptions options = {.wide = true};
    assert_int_equal(sandbox_enter(&options, NULL, &err), BT_E_ARGUMENT);
    int fd = socket(AF_INET, SOCK_STREAM, 0); /* and nothing was done */
    assert_true(fd >= 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tries_get_through_outside),
        cmocka_unit_test(nothing_gets_through_inside),
        cmocka_unit_test(reaches_threads_started_before),
        cmocka_unit_test(closes_sockets_opened_before),
        cmocka_unit_test(other_tables_of_calls_are_fatal),
        cmocka_unit_test(files_are_limited_to_the_grants),
        cmocka_unit_test(no_grant_no_writing),
        cmocka_unit_test(odd_grants_are_named),
        cmocka_unit_test(what_is_needed_works),
        cmocka_unit_test(abort_still_aborts),
        cmocka_unit_test(no_seccomp_is_an_error),
        cmocka_unit_test(no_landlock_is_told),
        cmocka_unit_test(wide_is_for_sanitizers),
    };
    SandboxReport probe = sandbox_probe();
    print_message("# Landlock ABI %d%s%s\n", probe.landlock_abi, probe.note[0] ? ": " : "",
                  probe.note);
    return cmocka_run_group_tests(tests, make_folders, remove_folders);
}
