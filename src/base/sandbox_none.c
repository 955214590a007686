/* Where there is no sandbox: systems other than Linux, and builds without libseccomp. Says so;
 * whoever asks decides. */
#include <stdio.h>

#include "base/sandbox.h"

#ifdef __linux__
#define MISSING "this build was made without libseccomp: no sandbox, the network is open"
#else
#define MISSING "no sandbox for this system yet: files and the network are open"
#endif

bt_status sandbox_enter(const SandboxOptions *options, SandboxReport *report, bt_error *err)
{
    (void)options;
    if (report) *report = sandbox_probe();
    return bt_fail(err, BT_E_UNSUPPORTED, MISSING);
}

SandboxReport sandbox_probe(void)
{
    SandboxReport report = {0};
    snprintf(report.note, sizeof report.note, "%s", MISSING);
    return report;
}

size_t sandbox_try_egress(EgressTry *out, size_t capacity)
{
    (void)out;
    (void)capacity;
    return 0;
}
