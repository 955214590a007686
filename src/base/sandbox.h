/* Giving up rights: after sandbox_enter() this process (all its threads) can read the files it
 * has open or was granted, write only where it was granted, and reach nothing else: no socket of
 * any kind, no io_uring, no ptrace, no new program, no new process (threads may start).
 *
 * Call it early, while there is one thread: the kernel's limits on files (Landlock) bind the
 * calling thread and those it starts later. What needs files of the system must have looked
 * before: locale, time zone, terminal description, the user's name. */
#ifndef BASE_SANDBOX_H
#define BASE_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

typedef struct SandboxGrant {
    const char *path; /* a file or folder, and what lies beneath it; must exist */
    bool write;       /* create, write, rename and remove too */
} SandboxGrant;

/* What this kernel gave. */
typedef struct SandboxReport {
    bool no_new_privs;
    bool seccomp;
    int landlock_abi; /* 0: no Landlock here */
    bool landlock;    /* files are limited to the grants, on every thread */
    bool rlimits;     /* no core dump, and no other process of the user may look inside */
    char note[256];   /* what is missing and why, or "" */
} SandboxReport;

typedef struct SandboxOptions {
    const SandboxGrant *grants;
    size_t n_grants;
    /* Sockets that were open before stay of use: clients may be accepted, answered and shut off.
     * Connecting, new sockets, and sending to an address stay refused. */
    bool accepts;
    bool tls;  /* with `accepts`: sendmsg too, which TLS sends with; never with MSG_FASTOPEN */
    bool wide; /* what sanitizers need; a build with sanitizers sets it by itself, others refuse */
    /* A process that must connect: its files are limited, its calls are not. */
    bool network;
} SandboxOptions;

/* One way. Fails only if the network cannot be closed off (seccomp missing): then the caller
 * decides, and says so. A grant that cannot be opened is left out and named in the note. */
bt_status sandbox_enter(const SandboxOptions *options, SandboxReport *report, bt_error *err);
/* What could be had here, without entering; inside, what was had. */
SandboxReport sandbox_probe(void);

/* One way out that was tried, and what the kernel answered. */
typedef struct EgressTry {
    const char *name; /* "TCP connect to 127.0.0.1" */
    bool refused;     /* true: good */
    char answer[96];  /* "EPERM (Operation not permitted)" */
} EgressTry;

/* Tries every way out from inside this process; fills at most `capacity`, returns how many there
 * are (0 where there is no sandbox for this system). Meant to be called inside the sandbox;
 * outside it shows which would get through. Nothing is sent beyond the loopback interface. */
size_t sandbox_try_egress(EgressTry *out, size_t capacity);

#endif
