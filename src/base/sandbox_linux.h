/* The three parts of the Linux sandbox: files, system calls, and the check from inside. Inside
 * base/ only. */
#ifndef BASE_SANDBOX_LINUX_H
#define BASE_SANDBOX_LINUX_H

#include "base/sandbox.h"

/* Adds a sentence to the note, after "; " if there is one. */
void sandbox_note(SandboxReport *report, const char *format, ...) BT_PRINTF(2, 3);

/* sandbox_linux_files.c. The ABI of Landlock here, 0 for none (*why: errno). */
int landlock_version(int *why);
/* Limits this thread and those it starts to the grants. Sets report->landlock and _abi. */
void landlock_enter(const SandboxOptions *options, SandboxReport *report);

/* sandbox_linux_calls.c. Puts every thread under the list of allowed system calls; no call that
 * writes files unless `writes`. */
bt_status seccomp_enter(const SandboxOptions *options, bool writes, bool wide, bt_error *err);

/* What this process was let keep of sockets, for the check from inside. */
bool sandbox_accepts(void);
bool sandbox_has_tls(void);

/* Where the caller may write, for the check from inside. */
bool sandbox_may_write(const char *folder);

#endif
