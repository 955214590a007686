/* Limits and cores of other machines, laid out as files: version 2 and 1 control groups, nested,
 * seen from inside a container, hybrid CPUs, second threads; a disk that is full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/os.h"
#include "base/os_linux.h"

static char root[64];

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/bantam-root-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static void put(const char *path, const char *text)
{
    char full[512];
    bt_error err = {0};
    snprintf(full, sizeof full, "%s%s", root, path);
    char *slash = strrchr(full, '/');
    *slash = '\0';
    assert_int_equal(os_make_dirs(full, &err), BT_OK);
    *slash = '/';
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void expect(uint64_t limit, uint64_t left, double cpus)
{
    Cgroups groups;
    cgroups_open(root, &groups);
    assert_int_equal(cgroups_limit(&groups), limit);
    assert_int_equal(cgroups_left(&groups), left);
    assert_true(groups.cpus > cpus - 1e-9 && groups.cpus < cpus + 1e-9);
    cgroups_close(&groups);
}

#define V2_MOUNT                                                                                   \
    "22 1 0:20 / /proc rw - proc proc rw\n"                                                        \
    "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define G "/sys/fs/cgroup"

static void no_files_no_limit(void **state)
{
    (void)state;
    expect(UINT64_MAX, UINT64_MAX, 0);
    put("/proc/self/mountinfo", V2_MOUNT);
    put("/proc/self/cgroup", "0::/user.slice/x\n");
    expect(UINT64_MAX, UINT64_MAX, 0);
    put(G "/user.slice/x/memory.max", "max\n");
    put(G "/user.slice/x/memory.high", "max\n");
    put(G "/user.slice/x/cpu.max", "max 100000\n");
    expect(UINT64_MAX, UINT64_MAX, 0);
}

/* The tightest level counts, wherever it is; the cache it holds counts as left. */
static void version_2_nested(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", V2_MOUNT);
    put("/proc/self/cgroup", "0::/a.slice/b/c\n");
    put(G "/a.slice/b/c/memory.max", "max\n");
    put(G "/a.slice/b/memory.max", "8000000\n");
    put(G "/a.slice/b/memory.current", "3000000\n");
    put(G "/a.slice/b/memory.stat", "anon 1\ninactive_file 400000\nactive_file 600000\n");
    put(G "/a.slice/memory.max", "9000000\n");
    put(G "/a.slice/memory.current", "5000000\n");
    put(G "/a.slice/memory.stat", "anon 5\n");
    expect(8000000, 4000000, 0);
    put(G "/a.slice/memory.high", "7000000\n"); /* slowed down above it: a limit for us */
    expect(7000000, 2000000, 0);
    put(G "/a.slice/memory.current", "7500000\n");
    expect(7000000, 0, 0);
    put(G "/a.slice/b/c/cpu.max", "350000 100000\n");
    put(G "/a.slice/cpu.max", "150000 100000\n");
    expect(7000000, 0, 1.5);
}

/* Descriptors stay good: what changes is seen without opening anything anew. */
static void follows_changes(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", V2_MOUNT);
    put("/proc/self/cgroup", "0::/\n");
    put(G "/memory.max", "1000\n");
    put(G "/memory.current", "100\n");
    Cgroups groups;
    cgroups_open(root, &groups);
    assert_int_equal(cgroups_left(&groups), 900);
    put(G "/memory.current", "600\n");
    assert_int_equal(cgroups_left(&groups), 400);
    put(G "/memory.max", "max\n");
    assert_int_equal(cgroups_left(&groups), UINT64_MAX);
    cgroups_close(&groups);
}

static void version_1(void **state)
{
    (void)state;
    put("/proc/self/mountinfo",
        "40 30 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        "41 30 0:31 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n");
    put("/proc/self/cgroup", "5:cpu,cpuacct:/job\n4:memory:/job/task\n3:cpuset:/other\n");
    put(G "/memory/job/task/memory.limit_in_bytes", "9223372036854771712\n");
    put(G "/memory/job/memory.limit_in_bytes", "5000000\n");
    put(G "/memory/job/memory.usage_in_bytes", "2000000\n");
    put(G "/memory/job/memory.stat",
        "inactive_file 1\nactive_file 2\ntotal_inactive_file 300000\ntotal_active_file 200000\n");
    put(G "/cpu,cpuacct/job/cpu.cfs_quota_us", "200000\n");
    put(G "/cpu,cpuacct/job/cpu.cfs_period_us", "50000\n");
    put(G "/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    expect(5000000, 3500000, 4);
}

/* In a container the path is the host's while the mount shows only our part. */
static void container_without_namespace(void **state)
{
    (void)state;
    put("/proc/self/mountinfo",
        "40 30 0:30 /docker/abc /sys/fs/cgroup/memory\\040here ro - cgroup cgroup rw,memory\n");
    put("/proc/self/cgroup", "4:memory:/docker/abc/inner\n");
    put("/sys/fs/cgroup/memory here/memory.limit_in_bytes", "7000\n");
    put("/sys/fs/cgroup/memory here/memory.usage_in_bytes", "1000\n");
    put("/sys/fs/cgroup/memory here/inner/memory.limit_in_bytes", "9000\n");
    put("/sys/fs/cgroup/memory here/inner/memory.usage_in_bytes", "1000\n");
    expect(7000, 6000, 0);
    /* A path that the mount does not show at all: what it shows is all there is. */
    put("/proc/self/cgroup", "4:memory:/elsewhere\n");
    expect(7000, 6000, 0);
    put("/proc/self/cgroup", "4:memory:/../../up\n");
    expect(7000, 6000, 0);
}

static void nonsense_is_no_limit(void **state)
{
    (void)state;
    const char *lines[] = {"", "\n", ":\n", "::\n", "0::\n", "0::x\n", "-1:memory\n", "0::/a\n"};
    const char *mounts[] = {"", " - \n", "1 2 3 - cgroup2\n", "30 24 0:26 / - cgroup2 x y\n"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        for (size_t j = 0; j < sizeof mounts / sizeof mounts[0]; j++) {
            put("/proc/self/mountinfo", mounts[j]);
            put("/proc/self/cgroup", lines[i]);
            expect(UINT64_MAX, UINT64_MAX, 0);
        }
    put("/proc/self/mountinfo", V2_MOUNT);
    put("/proc/self/cgroup", "0::/a\n");
    put(G "/a/memory.max", "-5\n");
    put(G "/a/cpu.max", "100000\n"); /* no period */
    expect(UINT64_MAX, UINT64_MAX, 0);
    put(G "/a/memory.max", "12345\n"); /* a limit without figures of use: known, nothing deducted */
    expect(12345, UINT64_MAX, 0);
}

/* ---- a full disk ---- */

static bt_status put_much(void *user, int fd, bt_error *err)
{
    static const char block[65536];
    bt_status status = BT_OK;
    (void)user;
    for (int i = 0; i < 64 && status == BT_OK; i++)
        status = os_write_all(fd, block, sizeof block, err);
    return status;
}

static bt_status put_little(void *user, int fd, bt_error *err)
{
    (void)user;
    return os_write_all(fd, "old", 3, err);
}

/* 0 good, 1 bad, 77 when this user may not mount. In a child, whose mounts are its own. */
static int fill_disk(void)
{
    enum { NEW_MOUNTS = 0x20000 };
    char path[128], text[8] = "";
    bt_error err = {0};
    if (syscall(SYS_unshare, NEW_MOUNTS) != 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", root, "tmpfs", 0, "size=300k") != 0)
        return 77;
    snprintf(path, sizeof path, "%s/file", root);
    if (os_replace_file(path, put_little, NULL, &err) != BT_OK) return 1;
    if (os_replace_file(path, put_much, NULL, &err) != BT_E_IO) return 1;
    if (!strstr(err.text, "No space left") || !strstr(err.text, path)) return 1;
    FILE *f = fopen(path, "r");
    if (!f || !fgets(text, sizeof text, f) || strcmp(text, "old") != 0) return 1;
    fclose(f);
    struct statvfs left; /* the half-written file is gone */
    return statvfs(root, &left) == 0 && left.f_bfree * left.f_frsize > 250000 ? 0 : 1;
}

static void full_disk(void **state)
{
    (void)state;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) _exit(fill_disk());
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- cores ---- */

static bool in_bits(int cpu, void *user)
{
    return cpu < 32 && (*(uint32_t *)user >> cpu & 1);
}

static int cores(uint32_t allowed)
{
    return cores_count(root, in_bits, &allowed);
}

static void put_cpu(int cpu, const char *file, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/%s", cpu, file);
    put(path, text);
}

static void counts_cores_not_threads(void **state)
{
    (void)state;
    assert_int_equal(cores(0xff), 0); /* no files: the caller counts its mask */
    put("/sys/devices/system/cpu/present", "0-7\n");
    assert_int_equal(cores(0xff), 8); /* no topology */
    for (int i = 0; i < 8; i++) {
        char siblings[16];
        snprintf(siblings, sizeof siblings, "%d,%d\n", i % 4, i % 4 + 4);
        put_cpu(i, "topology/thread_siblings_list", siblings);
    }
    assert_int_equal(cores(0xff), 4);
    assert_int_equal(cores(0x0f), 4);
    assert_int_equal(cores(0xf0), 4); /* only the second threads are ours */
    assert_int_equal(cores(0x11), 1);
    assert_int_equal(cores(0x21), 2);
    assert_int_equal(cores(0xffffff00), 0);
}

static void counts_fast_cores_only(void **state)
{
    (void)state;
    /* Intel: two fast cores of two threads, four slow ones */
    put("/sys/devices/system/cpu/present", "0-7\n");
    put("/sys/devices/cpu_core/cpus", "0-3\n");
    put("/sys/devices/cpu_atom/cpus", "4-7\n");
    for (int i = 0; i < 8; i++) {
        char siblings[16];
        if (i < 4)
            snprintf(siblings, sizeof siblings, "%d-%d\n", i & ~1, i | 1);
        else
            snprintf(siblings, sizeof siblings, "%d\n", i);
        put_cpu(i, "topology/thread_siblings_list", siblings);
    }
    assert_int_equal(cores(0xff), 2);
    assert_int_equal(cores(0xf0), 4); /* bound to the slow ones: better than nothing */
    assert_int_equal(cores(0x18), 1);
}

static void counts_big_of_little(void **state)
{
    (void)state;
    put("/sys/devices/system/cpu/present", "0-3,6-7\n");
    const int capacity[] = {400, 400, 400, 400, 0, 0, 1024, 900};
    for (int i = 0; i < 8; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d\n", capacity[i]);
        if (capacity[i]) put_cpu(i, "cpu_capacity", text);
    }
    assert_int_equal(cores(0xff), 2);
    assert_int_equal(cores(0x0f), 4);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(no_files_no_limit),
        CASE(version_2_nested),
        CASE(follows_changes),
        CASE(version_1),
        CASE(container_without_namespace),
        CASE(nonsense_is_no_limit),
        CASE(counts_cores_not_threads),
        CASE(counts_fast_cores_only),
        CASE(counts_big_of_little),
        CASE(full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
