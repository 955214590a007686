/* macOS: what os_posix.c and cpu.c need beyond POSIX, and the machine's figures. */
#include <errno.h>
#include <fcntl.h>
#include <mach/mach.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysctl.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/os.h"
#include "base/os_sys.h"

int64_t sys_mtime_ns(const struct stat *st)
{
    return (int64_t)st->st_mtimespec.tv_sec * 1000000000 + st->st_mtimespec.tv_nsec;
}

/* MADV_DONTNEED only lowers their rank here; a shared file's pages go when memory is short. */
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
    (void)start; /* pages are 16 KiB on Apple's own CPUs, and the system has no such advice */
    (void)size;
}

int sys_sync(int fd)
{
    /* fsync leaves the data in the disk's own cache; file systems without this call have fsync. */
    return fcntl(fd, F_FULLFSYNC) == 0 ? 0 : fsync(fd);
}

bt_status os_bell_open(int fds[2], bt_error *err)
{
    if (pipe(fds) != 0) {
        fds[0] = fds[1] = -1;
        return bt_fail(err, BT_E_SYSTEM, "cannot make a bell between processes: %s",
                       strerror(errno));
    }
    for (int i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
    return BT_OK;
}

bool sys_allow_amx(void)
{
    return false;
}

static bool number_of(const char *name, uint64_t *out)
{
    union {
        uint64_t wide;
        uint32_t narrow;
    } value = {0};
    size_t size = sizeof value;
    if (sysctlbyname(name, &value, &size, NULL, 0) != 0) return false;
    *out = size == sizeof value.narrow ? value.narrow : value.wide;
    return true;
}

uint32_t sys_arm_features(void)
{
#if defined(__aarch64__)
    static const struct {
        const char *name;
        uint32_t feature;
    } rows[] = {{"hw.optional.arm.FEAT_DotProd", CPU_DOTPROD},
                {"hw.optional.arm.FEAT_I8MM", CPU_I8MM},
                {"hw.optional.arm.FEAT_BF16", CPU_ARMBF16}};
    uint32_t features = CPU_NEON; /* every 64-bit Apple CPU */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t has = 0;
        if (number_of(rows[i].name, &has) && has) features |= rows[i].feature;
    }
    return features;
#else
    return 0;
#endif
}

bool os_random(void *out, size_t size)
{
    arc4random_buf(out, size); /* the system's generator; cannot fail */
    return true;
}

int os_cores(void)
{
    uint64_t n = 0;
    /* perflevel0: the fast cores; Intel Macs have one kind. */
    if (!number_of("hw.perflevel0.physicalcpu", &n) || n == 0) number_of("hw.physicalcpu", &n);
    return n >= 1 && n < 4096 ? (int)n : 1;
}

uint64_t os_memory_total(void)
{
    uint64_t bytes = 0;
    return number_of("hw.memsize", &bytes) ? bytes : 0;
}

uint64_t os_memory_granted(void)
{
    return UINT64_MAX; /* nothing here sets limits of memory for a process */
}

/* Free, and what the system gives up first: inactive, speculative and purgeable pages. */
uint64_t os_memory_available(void)
{
    vm_statistics64_data_t stat;
    mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
    mach_port_t host = mach_host_self();
    kern_return_t result = host_statistics64(host, HOST_VM_INFO64, (host_info64_t)&stat, &count);
    mach_port_deallocate(mach_task_self(), host);
    if (result != KERN_SUCCESS) return 0;
    /* free_count holds the speculative pages already */
    uint64_t pages = (uint64_t)stat.free_count + stat.inactive_count + stat.purgeable_count;
    uint64_t available = pages * (uint64_t)sysconf(_SC_PAGESIZE), total = os_memory_total();
    return available < total ? available : total;
}

uint64_t os_memory_resident(void)
{
    mach_task_basic_info_data_t info;
    mach_msg_type_number_t count = MACH_TASK_BASIC_INFO_COUNT;
    if (task_info(mach_task_self(), MACH_TASK_BASIC_INFO, (task_info_t)&info, &count) !=
        KERN_SUCCESS)
        return 0;
    return info.resident_size;
}

uint64_t os_memory_peak_resident(void)
{
    struct rusage usage;
    /* bytes here, where Linux has KiB */
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss : 0;
}
