/* Linux: advice on pages, AMX permission, Arm features, random bytes, and the number of cores
 * worth a thread. Memory is in os_linux_memory.c. What /sys does not say (containers may hide it)
 * is answered by the affinity mask alone. */
#include "base/os_linux.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/os.h"
#include "base/os_sys.h"

#define MAX_CPUS      8192
#define CPU_MASK_BITS (8 * sizeof(unsigned long))

int64_t sys_mtime_ns(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

void sys_pages_drop(void *start, size_t size)
{
    madvise(start, size, MADV_DONTNEED);
}

void sys_pages_want(void *start, size_t size)
{
    madvise(start, size, MADV_WILLNEED);
}

void sys_pages_huge(void *start, size_t size)
{
    madvise(start, size, MADV_HUGEPAGE);
}

int sys_sync(int fd)
{
    return fsync(fd);
}

bt_status os_bell_open(int fds[2], bt_error *err)
{
    fds[0] = fds[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fds[0] >= 0) return BT_OK;
    return bt_fail(err, BT_E_SYSTEM, "cannot make a bell between processes: %s", strerror(errno));
}

bool sys_allow_amx(void)
{
#if defined(__x86_64__)
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; /* arch_prctl(2), arch/x86/xstate.rst */
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
    return false;
#endif
}

uint32_t sys_arm_features(void)
{
#if defined(__aarch64__)
    /* asm/hwcap.h of the kernel; spelled out, as older headers lack the later ones */
    unsigned long caps = getauxval(AT_HWCAP), caps2 = getauxval(AT_HWCAP2);
    uint32_t features = 0;
    if (caps & (1ul << 1)) features |= CPU_NEON;      /* HWCAP_ASIMD */
    if (caps & (1ul << 20)) features |= CPU_DOTPROD;  /* HWCAP_ASIMDDP */
    if (caps2 & (1ul << 13)) features |= CPU_I8MM;    /* HWCAP2_I8MM */
    if (caps2 & (1ul << 14)) features |= CPU_ARMBF16; /* HWCAP2_BF16 */
    return features;
#else
    return 0;
#endif
}

bool os_random(void *out, size_t size)
{
    char *at = out;
    while (size > 0) {
        size_t piece = size < 256 ? size : 256; /* what getentropy gives at most */
        if (getentropy(at, piece) != 0) {
            if (errno == EINTR) continue;
            return false;
        }
        at += piece;
        size -= piece;
    }
    return true;
}

/* ---- cores ---- */

static bool read_text(const char *root, const char *path, char *out, size_t capacity)
{
    char full[PATH_MAX];
    if (snprintf(full, sizeof full, "%s%s", root, path) >= (int)sizeof full) return false;
    int fd = open(full, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t n = read(fd, out, capacity - 1);
    close(fd);
    if (n <= 0) return false;
    out[n] = '\0';
    return true;
}

/* "0-3,8" names `cpu`. */
static bool list_holds(const char *list, long cpu)
{
    while (*list >= '0' && *list <= '9') {
        char *end;
        long first = strtol(list, &end, 10), last = first;
        if (*end == '-') last = strtol(end + 1, &end, 10);
        if (cpu >= first && cpu <= last) return true;
        if (*end != ',') return false;
        list = end + 1;
    }
    return false;
}

static bool cpu_text(const char *root, int cpu, const char *name, char *out, size_t capacity)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/%s", cpu, name);
    return read_text(root, path, out, capacity);
}

static long cpu_capacity(const char *root, int cpu)
{
    char text[64];
    return cpu_text(root, cpu, "cpu_capacity", text, sizeof text) ? strtol(text, NULL, 10) : 0;
}

int cores_count(const char *root, bool (*allowed)(int, void *), void *user)
{
    char present[4096], fast[4096] = "", siblings[1024];
    if (!read_text(root, "/sys/devices/system/cpu/present", present, sizeof present)) return 0;
    /* Intel's hybrids list their fast cores; Arm's carry a capacity each. */
    read_text(root, "/sys/devices/cpu_core/cpus", fast, sizeof fast);
    bool fast_allowed = false;
    long most = 0;
    for (int cpu = 0; cpu < MAX_CPUS; cpu++) {
        if (!list_holds(present, cpu) || !allowed(cpu, user)) continue;
        if (list_holds(fast, cpu)) fast_allowed = true;
        long capacity = cpu_capacity(root, cpu);
        if (capacity > most) most = capacity;
    }
    int n = 0;
    for (int cpu = 0; cpu < MAX_CPUS; cpu++) {
        if (!list_holds(present, cpu) || !allowed(cpu, user)) continue;
        if (fast_allowed && !list_holds(fast, cpu)) continue;
        if (most > 0 && cpu_capacity(root, cpu) * 2 < most) continue;
        bool second = false; /* a sibling of a CPU that was counted */
        if (cpu_text(root, cpu, "topology/thread_siblings_list", siblings, sizeof siblings))
            for (int other = 0; other < cpu && !second; other++)
                second = list_holds(siblings, other) && allowed(other, user);
        if (!second) n++;
    }
    return n;
}

typedef struct CpuMask {
    unsigned long bits[MAX_CPUS / CPU_MASK_BITS];
} CpuMask;

static bool in_mask(int cpu, void *user)
{
    const CpuMask *mask = user;
    return mask->bits[(size_t)cpu / CPU_MASK_BITS] >> ((size_t)cpu % CPU_MASK_BITS) & 1;
}

static int look_for_cores(void)
{
    CpuMask mask = {{0}};
    int n = 0;
    /* The bare call, which takes a mask of any size. */
    if (syscall(SYS_sched_getaffinity, 0, sizeof mask, &mask) > 0) {
        n = cores_count("", in_mask, &mask);
        if (n == 0)
            for (int cpu = 0; cpu < MAX_CPUS; cpu++) n += in_mask(cpu, &mask);
    }
    Cgroups groups;
    cgroups_open("", &groups);
    /* Half a CPU more is worth a thread: throttled for part of the time, it still adds. */
    if (groups.cpus > 0 && (double)n > groups.cpus + 0.5) n = (int)(groups.cpus + 0.5);
    cgroups_close(&groups);
    return n < 1 ? 1 : n;
}

int os_cores(void)
{
    static atomic_int known; /* two threads find the same; the sandbox closes /sys */
    int n = atomic_load_explicit(&known, memory_order_relaxed);
    if (n == 0) {
        n = look_for_cores();
        atomic_store_explicit(&known, n, memory_order_relaxed);
    }
    return n;
}
