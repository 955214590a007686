/* Entering the sandbox on Linux, in the order that leaves no gap: what is read from the system is
 * opened, then resource limits, no_new_privs, Landlock (files), seccomp (system calls) last,
 * because it forbids the calls that the others need. Each layer that this kernel lacks is named in
 * the report; only without seccomp is entering a failure, for then the network stays open. */
#include "base/sandbox.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/os.h"
#include "base/sandbox_linux.h"

#define MOST_FILES     4096 /* parts of split models, sidecars, documents */
#define MOST_CLIENTS   65536
#define MAX_REMEMBERED 16

static struct {
    dev_t device;
    ino_t inode;
} write_grants[MAX_REMEMBERED];
static int n_write_grants;
static SandboxReport entered; /* what sandbox_probe says inside, where asking is refused */
static bool is_inside, keeps_clients, keeps_tls;

void sandbox_note(SandboxReport *report, const char *format, ...)
{
    size_t used = strlen(report->note);
    size_t left = sizeof report->note - used;
    va_list args;
    if (used > 0 && left > 2) {
        memcpy(report->note + used, "; ", 3);
        used += 2;
        left -= 2;
    }
    va_start(args, format);
    vsnprintf(report->note + used, left, format, args);
    va_end(args);
}

static void remember_write_grants(const SandboxOptions *options)
{
    struct stat st;
    for (size_t i = 0; i < options->n_grants && n_write_grants < MAX_REMEMBERED; i++) {
        if (!options->grants[i].write || stat(options->grants[i].path, &st) != 0) continue;
        write_grants[n_write_grants].device = st.st_dev;
        write_grants[n_write_grants++].inode = st.st_ino;
    }
}

bool sandbox_may_write(const char *folder)
{
    struct stat st;
    if (stat(folder, &st) != 0) return false;
    for (int i = 0; i < n_write_grants; i++)
        if (write_grants[i].device == st.st_dev && write_grants[i].inode == st.st_ino) return true;
    return false;
}

bool sandbox_accepts(void)
{
    return keeps_clients;
}

bool sandbox_has_tls(void)
{
    return keeps_tls;
}

static bool lower_limit(int which, rlim_t most)
{
    struct rlimit limit;
    if (getrlimit((__typeof__(RLIMIT_CORE))which, &limit) != 0) return false;
    if (limit.rlim_cur > most) limit.rlim_cur = most;
    if (limit.rlim_max > most) limit.rlim_max = most;
    return setrlimit((__typeof__(RLIMIT_CORE))which, &limit) == 0;
}

/* No RLIMIT_NPROC: it counts all threads of the user, not ours; new processes are seccomp's. */
static void limit_resources(bool wide, bool accepts, SandboxReport *report)
{
    report->rlimits = lower_limit(RLIMIT_CORE, 0) &&
                      lower_limit(RLIMIT_NOFILE, accepts ? MOST_CLIENTS : MOST_FILES);
    /* No core, and no other program of this user reads our memory. The leak checker must. */
    if (!wide && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) report->rlimits = false;
    if (!report->rlimits) sandbox_note(report, "resource limits: %s", strerror(errno));
}

/* What the library asks of the system later opens its files, or finds its answer, now. */
static void look_around(void)
{
    os_memory_available();
    os_memory_resident();
    os_memory_peak_resident();
    os_cores();
    cpu_features();
}

bt_status sandbox_enter(const SandboxOptions *options, SandboxReport *report, bt_error *err)
{
    SandboxReport unused;
    bool wide = options->wide, writes = false;
    if (!report) report = &unused;
    memset(report, 0, sizeof *report);
#ifdef BANTAM_SANITIZED
    wide = true;
    sandbox_note(report, "a build with sanitizers: a wider filter, for tests only");
#else
    if (wide)
        return bt_fail(err, BT_E_ARGUMENT,
                       "the wide sandbox is for builds with sanitizers, and this is none");
#endif
    for (size_t i = 0; i < options->n_grants; i++) writes |= options->grants[i].write;
    look_around();
    remember_write_grants(options);
    limit_resources(wide, options->accepts, report);
    report->no_new_privs = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    if (!report->no_new_privs) sandbox_note(report, "no_new_privs: %s", strerror(errno));
    landlock_enter(options, report);
    if (options->network) return BT_OK;
    keeps_clients = options->accepts;
    keeps_tls = options->accepts && options->tls;
    bt_status status = seccomp_enter(options, writes, wide, err);
    report->seccomp = status == BT_OK;
    if (!report->seccomp) sandbox_note(report, "seccomp: refused, the network is open");
    entered = *report;
    is_inside = report->seccomp;
    return status;
}

SandboxReport sandbox_probe(void)
{
    SandboxReport report = {0};
    struct rlimit limit;
    int why = 0;
    if (is_inside) return entered;
    report.no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) >= 0;
    report.seccomp = prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
    report.rlimits = getrlimit(RLIMIT_CORE, &limit) == 0;
    report.landlock_abi = landlock_version(&why);
    report.landlock = report.landlock_abi > 0;
    if (!report.seccomp) sandbox_note(&report, "this kernel has no seccomp: the network is open");
    if (!report.landlock)
        sandbox_note(&report, "Landlock: %s",
                     why == EOPNOTSUPP ? "switched off when this kernel started" : strerror(why));
    return report;
}
