/* Files, maps that shrink, pages, memory figures. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/os.h"
#include "base/team.h"

static char folder[] = "/tmp/bantam-os-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[4][256];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, 256, "%s/%s", folder, name);
    return p;
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static void put_file(const char *path, size_t size, int fill)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (size_t i = 0; i < size; i++) fputc(fill, f);
    assert_int_equal(fclose(f), 0);
}

static void maps_files(void **state)
{
    (void)state;
    bt_error err = {0};
    OsMap map;
    const char *path = in_folder("map");
    put_file(path, 10000, 'x');
    assert_int_equal(os_map_open(path, &map, &err), BT_OK);
    assert_int_equal(map.size, 10000);
    assert_int_equal(map.data[0], 'x');
    assert_int_equal(map.data[9999], 'x');
    assert_true(map.mtime_ns > 1600000000 * INT64_C(1000000000));
    assert_true(map.fd >= 3);
    os_map_want(&map, 100, UINT64_MAX);
    os_map_drop(&map, 1, UINT64_MAX);
    os_map_drop(&map, 20000, 1);
    assert_int_equal(map.data[5000], 'x');
    assert_false(os_map_lost(&map));
    assert_int_equal(os_map_check(&map, path, &err), BT_OK);
    os_map_close(&map);
    assert_null(map.data);
    os_map_close(&map);
    OsMap zero = {0};
    os_map_close(&zero); /* must not close standard input */
    assert_true(fcntl(0, F_GETFD) >= 0 || errno == EBADF);

    put_file(path, 0, 0);
    assert_int_equal(os_map_open(path, &map, &err), BT_OK);
    assert_null(map.data);
    assert_int_equal(map.size, 0);
    os_map_close(&map);
}

static void refuses_other_kinds(void **state)
{
    (void)state;
    bt_error err = {0};
    OsMap map;
    assert_int_equal(os_map_open(folder, &map, &err), BT_E_IO);
    assert_non_null(strstr(err.text, "is a folder"));
    assert_non_null(strstr(err.text, folder));
    assert_int_equal(mkfifo(in_folder("pipe"), 0600), 0);
    assert_int_equal(os_map_open(in_folder("pipe"), &map, &err), BT_E_IO);
    assert_non_null(strstr(err.text, "is a pipe"));
    assert_int_equal(os_map_open("/dev/zero", &map, &err), BT_E_IO);
    assert_non_null(strstr(err.text, "is a device"));
    assert_int_equal(os_map_open(in_folder("none"), &map, &err), BT_E_IO);
    assert_non_null(strstr(err.text, "No such file"));
}

typedef struct Sum {
    TeamQueue queue;
    const OsMap *map;
    atomic_uint_least64_t total;
} Sum;

static void add_up(void *arg, int member, int n_members)
{
    (void)member;
    (void)n_members;
    Sum *sum = arg;
    int64_t begin, end;
    while (queue_take(&sum->queue, &begin, &end)) {
        uint64_t part = 0;
        for (int64_t i = begin; i < end; i++) part += sum->map->data[i];
        atomic_fetch_add(&sum->total, part);
    }
}

/* Every member meets the missing pages; all go on, and the map says what happened. */
static void survives_a_shrinking_file(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20, LEFT = 3 << 18 };
    bt_error err = {0};
    OsMap map, other;
    const char *path = in_folder("shrinks");
    put_file(path, SIZE, 1);
    put_file(in_folder("stays"), SIZE, 1);
    assert_int_equal(os_map_open(path, &map, &err), BT_OK);
    assert_int_equal(os_map_open(in_folder("stays"), &other, &err), BT_OK);
    Team *team = team_open(3);
    for (int round = 0; round < 3; round++) {
        if (round == 1) assert_int_equal(truncate(path, LEFT), 0);
        Sum sum = {.map = &map};
        queue_start(&sum.queue, SIZE, 4096);
        team_run(team, add_up, &sum);
        assert_int_equal(atomic_load(&sum.total), round ? LEFT : SIZE);
        assert_int_equal(os_map_lost(&map), round > 0);
    }
    assert_int_equal(os_map_check(&map, path, &err), BT_E_IO);
    assert_non_null(strstr(err.text, "shrank"));
    assert_false(os_map_lost(&other));
    team_close(team);
    os_map_close(&map);
    /* The slot is used anew without the old mark. */
    assert_int_equal(os_map_open(path, &map, &err), BT_OK);
    assert_false(os_map_lost(&map));
    os_map_close(&map);
    os_map_close(&other);
}

static void other_faults_stay_fatal(void **state)
{
    (void)state;
    bt_error err = {0};
    OsMap map;
    put_file(in_folder("any"), 100, 1);
    const char *path = in_folder("any");
    for (int sent = 0; sent < 2; sent++) {
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            struct rlimit none = {0, 0};
            setrlimit(RLIMIT_CORE, &none);
            signal(SIGBUS, SIG_DFL); /* cmocka's own is what the handler would pass on to */
            if (os_map_open(path, &map, &err) != BT_OK) _exit(0);
            if (sent) raise(SIGBUS);
            FILE *f = tmpfile(); /* a map that is not ours, past the end of its file */
            char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fileno(f), 0);
            _exit(*(volatile char *)p);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
#ifndef BANTAM_SANITIZED
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
#else
        assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
#endif
    }
}

static void pages(void **state)
{
    (void)state;
    int64_t live = mem_live();
    const size_t sizes[] = {0, 1, 4097, 2 << 20, (5 << 20) + 1};
    for (size_t i = 0; i < 5; i++) {
        unsigned char *p = os_pages_alloc(sizes[i]);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 4096, 0);
        if (sizes[i] >= 2 << 20) assert_int_equal((uintptr_t)p % (2 << 20), 0);
        assert_int_equal(mem_live(), live + 1);
        if (sizes[i]) {
            assert_int_equal(p[0] | p[sizes[i] - 1], 0);
            p[0] = p[sizes[i] - 1] = 1;
        }
        os_pages_free(p, sizes[i]);
    }
    os_pages_free(NULL, 10);
    mem_fail_at(1);
    assert_null(os_pages_alloc(10));
    mem_fail_at(0);
    assert_null(os_pages_alloc(SIZE_MAX));
    assert_null(os_pages_alloc(SIZE_MAX / 2));
    assert_int_equal(mem_live(), live);
}

/* ---- replacing files ---- */

static bt_status put_text(void *user, int fd, bt_error *err)
{
    return os_write_all(fd, user, strlen(user), err);
}

static bt_status fail_half(void *user, int fd, bt_error *err)
{
    (void)user;
    os_write_all(fd, "half", 4, err);
    return bt_fail(err, BT_E_FORMAT, "thought better of it");
}

static bt_status put_much(void *user, int fd, bt_error *err)
{
    (void)user;
    static const char block[65536];
    for (int i = 0; i < 64; i++) {
        bt_status status = os_write_all(fd, block, sizeof block, err);
        if (status != BT_OK) return status;
    }
    return BT_OK;
}

static void holds(const char *path, const char *text)
{
    char got[64] = "";
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(got, 1, sizeof got - 1, f);
    fclose(f);
    assert_int_equal(n, strlen(text));
    assert_string_equal(got, text);
}

static int files_in(const char *name)
{
    char command[400], line[32] = "";
    snprintf(command, sizeof command, "ls -A '%s' | wc -l", name);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    pclose(f);
    return (int)strtol(line, NULL, 10);
}

static int put_old(const char *path, time_t age)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    struct timespec then[2] = {{.tv_sec = time(NULL) - age}, {.tv_sec = time(NULL) - age}};
    assert_true(fd >= 0);
    assert_int_equal(futimens(fd, then), 0);
    return fd;
}

/* What a writer that was killed left behind goes with the next file that is written there; what is
 * being written, or may be, or is not ours, stays. */
static void sweeps_what_was_left(void **state)
{
    (void)state;
    bt_error err = {0};
    static const char *const stays[] = {"s/.bantam-0000000b.tmp", "s/.bantam-0000000c.tmp",
                                        "s/.bantam-0000000d.tmp.bak", "s/.bantam-0000000g.tmp",
                                        "s/bantam-0000000e.tmp"};
    assert_int_equal(os_make_dirs(in_folder("s/.bantam-0000000f.tmp"), &err), BT_OK);
    close(put_old(in_folder("s/.bantam-0000000a.tmp"), 60));
    close(put_old(in_folder(stays[0]), 0));
    int locked = put_old(in_folder(stays[1]), 60);
    assert_int_equal(flock(locked, LOCK_EX | LOCK_NB), 0);
    for (int i = 2; i < 5; i++) close(put_old(in_folder(stays[i]), 60));
    assert_int_equal(os_replace_file(in_folder("s/file"), put_text, "x", &err), BT_OK);
    assert_int_equal(access(in_folder("s/.bantam-0000000a.tmp"), F_OK), -1);
    for (int i = 0; i < 5; i++) assert_int_equal(access(in_folder(stays[i]), F_OK), 0);
    assert_int_equal(files_in(in_folder("s")), 7);
    close(locked);
    os_sweep(in_folder("s"));
    assert_int_equal(files_in(in_folder("s")), 6);
    os_sweep(in_folder("no/such"));
}

static void replaces_files(void **state)
{
    (void)state;
    bt_error err = {0};
    struct stat st;
    assert_int_equal(os_make_dirs(in_folder("a/b//c/"), &err), BT_OK);
    assert_int_equal(os_make_dirs(in_folder("a/b/c"), &err), BT_OK);
    assert_int_equal(stat(in_folder("a/b"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    const char *path = in_folder("a/b/c/file");
    assert_int_equal(os_replace_file(path, put_text, "one", &err), BT_OK);
    holds(path, "one");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(os_replace_file(path, put_text, "two", &err), BT_OK);
    holds(path, "two");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);

    assert_int_equal(os_replace_file(path, fail_half, NULL, &err), BT_E_FORMAT);
    assert_non_null(strstr(err.text, "thought better"));
    assert_int_equal(os_replace_file(path, fail_half, NULL, NULL), BT_E_FORMAT);
    holds(path, "two");
    assert_int_equal(files_in(in_folder("a/b/c")), 1);

    assert_int_equal(os_replace_file(in_folder("a/b"), put_text, "x", &err), BT_E_IO);
    assert_int_equal(os_replace_file("/dev/null", put_text, "x", &err), BT_E_IO);
    assert_int_equal(os_replace_file(in_folder("no/such"), put_text, "x", &err), BT_E_IO);
    assert_int_equal(os_make_dirs(in_folder("a/b/c/file/d"), &err), BT_E_IO);
    assert_non_null(strstr(err.text, "Not a directory"));
    assert_int_equal(os_make_dirs("", &err), BT_E_ARGUMENT);
    assert_int_equal(os_make_dirs("/", &err), BT_OK);

    char here[256];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(os_replace_file("plain", put_text, "three", &err), BT_OK);
    holds("plain", "three");
    assert_int_equal(chdir(here), 0);
}

/* A limit on file size fails a write in the middle, as a full disk does. */
static void full_disk_leaves_the_old_file(void **state)
{
    (void)state;
    bt_error err = {0};
    int full = open("/dev/full", O_WRONLY);
    if (full >= 0) {
        assert_int_equal(os_write_all(full, "x", 1, &err), BT_E_IO);
        assert_non_null(strstr(err.text, "No space left"));
        close(full);
    }
    assert_int_equal(os_make_dirs(in_folder("full"), &err), BT_OK);
    const char *path = in_folder("full/file");
    assert_int_equal(os_replace_file(path, put_text, "old", &err), BT_OK);
    struct rlimit limit, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 100000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    bt_status status = os_replace_file(path, put_much, NULL, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(status, BT_E_IO);
    assert_non_null(strstr(err.text, path));
    holds(path, "old");
    assert_int_equal(files_in(in_folder("full")), 1);
}

static void tick(int signal_number)
{
    (void)signal_number;
}

/* A pipe that fills up, a reader that is slow, a timer that interrupts without SA_RESTART; once
 * with a descriptor that does not block. */
static void writes_through_interruptions(void **state)
{
    (void)state;
    enum { SIZE = 3 << 20 };
    struct sigaction action = {.sa_handler = tick}, old;
    assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
    for (int blocking = 0; blocking < 2; blocking++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            close(ends[1]);
            static unsigned char part[9000];
            uint64_t size = 0, sum = 0;
            for (ssize_t n; (n = read(ends[0], part, sizeof part)) > 0; size += (uint64_t)n)
                for (ssize_t i = 0; i < n; i++) sum += part[i];
            _exit(size == SIZE && sum == (uint64_t)SIZE * 7 ? 0 : 1);
        }
        close(ends[0]);
        if (!blocking) assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
        struct itimerval timer = {{0, 300}, {0, 300}}, off = {{0, 0}, {0, 0}};
        setitimer(ITIMER_REAL, &timer, NULL);
        char *data = malloc(SIZE);
        memset(data, 7, SIZE);
        bt_error err = {0};
        bt_status written = os_write_all(ends[1], data, SIZE, &err);
        setitimer(ITIMER_REAL, &off, NULL);
        free(data);
        close(ends[1]);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(written, BT_OK);
        assert_int_equal(status, 0);
    }
    sigaction(SIGALRM, &old, NULL);
}

static void machine(void **state)
{
    (void)state;
    uint64_t total = os_memory_total(), available = os_memory_available();
    assert_true(total > (uint64_t)64 << 20);
    assert_true(available > 0 && available <= total);
    assert_true(os_cores() >= 1 && os_cores() <= sysconf(_SC_NPROCESSORS_ONLN));
    double before = os_seconds();
    uint64_t resident = os_memory_resident();
    enum { BLOCK = 64 << 20 };
    unsigned char *p = os_pages_alloc(BLOCK);
    assert_non_null(p);
    memset(p, 1, BLOCK);
    assert_true(os_memory_resident() >= resident + BLOCK * 9 / 10);
    assert_true(os_memory_peak_resident() >= resident + BLOCK * 9 / 10);
    os_pages_free(p, BLOCK);
#ifndef BANTAM_SANITIZED
    assert_true(os_memory_resident() < resident + BLOCK / 2);
#endif
    assert_true(os_memory_peak_resident() >= resident + BLOCK * 9 / 10);
    assert_true(os_seconds() > before);
    unsigned char a[600] = {0}, b[600] = {0};
    assert_true(os_random(a, sizeof a) && os_random(b, sizeof b));
    assert_memory_not_equal(a, b, sizeof a);
    assert_memory_not_equal(a + 300, b + 300, 300);
}

/* /proc/self must mean the child in a child. */
static void figures_follow_a_fork(void **state)
{
    (void)state;
    enum { BLOCK = 48 << 20 };
    uint64_t resident = os_memory_resident();
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        unsigned char *p = os_pages_alloc(BLOCK);
        memset(p, 1, BLOCK);
        _exit(os_memory_resident() >= BLOCK ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(os_memory_resident() < resident + BLOCK / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_files),
        cmocka_unit_test(refuses_other_kinds),
        cmocka_unit_test(survives_a_shrinking_file),
        cmocka_unit_test(other_faults_stay_fatal),
        cmocka_unit_test(pages),
        cmocka_unit_test(replaces_files),
        cmocka_unit_test(sweeps_what_was_left),
        cmocka_unit_test(full_disk_leaves_the_old_file),
        cmocka_unit_test(writes_through_interruptions),
        cmocka_unit_test(machine),
        cmocka_unit_test(figures_follow_a_fork),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
