/* The supervisor's insides, shared by supervisor*.c. */
#ifndef SERVE_SUPERVISOR_PARTS_H
#define SERVE_SUPERVISOR_PARTS_H

#include <jansson.h>
#include <sys/types.h>

#include "serve/control.h"
#include "serve/supervisor.h"

#define NEVER 1e300

typedef struct Seat { /* a slot and its worker */
    SlotState state;
    uint64_t generation;
    int model;
    pid_t pid; /* 0: none */
    bool ready;
    uint32_t active;
    int64_t keep_ms;
    double idle_since, kill_at;
    char failed[256]; /* the worker said why it could not load */
} Seat;

typedef struct Row { /* what is known of a model beside its settings */
    char *describe, *ready;
    char error[512];
    bool described; /* or tried */
    bool wanted;    /* to be loaded as soon as there is room */
    double wanted_at;
    int seat; /* -1: not loaded */
    int deaths;
    double died;
} Row;

typedef struct Pending { /* for the front, when its ring was full */
    struct Pending *next;
    uint16_t kind;
    size_t size;
    unsigned char data[];
} Pending;

typedef struct Supervisor {
    const SupervisorOptions *o;
    FrontOptions front;
    RingSlot control, slot[SERVE_SLOTS];
    RingPort port; /* of control */
    bool joined;
    Pending *first, *last;
    Seat seat[SERVE_SLOTS];
    Row *row; /* CONTROL_MODELS */
    pid_t front_pid, describe_pid;
    int describe_fd, describe_model;
    double describe_until;
    Buf describe_text;
    int front_deaths;
    double front_died;
    char url[128];
    bool listened, draining, drained, over;
    double drain_until;
    int state_fd;
    bool state_stale;
    double state_at;
    double looked; /* when files were looked for */
    int checks;    /* how often CHECK was asked for */
    Buf checked;   /* JSON members of the last one's reports */
    json_t *made;  /* by requests: lists of pairs */
    bt_error *err;
    int exit_code;
} Supervisor;

/* supervisor_front.c: the front's process and what it is told */
bt_status front_start(Supervisor *s);
void front_tell(Supervisor *s, uint16_t kind, const void *fixed, size_t fixed_size,
                const void *more, size_t size);
void front_pump(Supervisor *s);
void front_tell_catalogue(Supervisor *s); /* all of it, and its order */
void front_tell_model(Supervisor *s, int model);
void front_tell_seat(Supervisor *s, int seat, bool again, const char *why);
void front_tell_expiry(Supervisor *s, int model);
void front_hear(Supervisor *s);
void front_forget(Supervisor *s); /* its process has gone */

/* supervisor_seats.c: workers */
void seats_want(Supervisor *s, int model);
void seats_unload(Supervisor *s, int seat);
void seats_ended(Supervisor *s, int seat, int status);
void seats_free(Supervisor *s, int seat); /* the front touches it no more */
void seats_tend(Supervisor *s, double now);
double seats_next(const Supervisor *s); /* when to tend them at the latest */
void seats_kill(Supervisor *s);

/* supervisor_look.c: models that come and go with their files */
int row_new(Supervisor *s, const char *name, const char *path); /* -1: no memory, or no room */
void look_hear(Supervisor *s);

/* supervisor_admin.c: models that requests make */
void admin_recall(Supervisor *s);
void admin_hear(Supervisor *s, int64_t id, const char *data, size_t size);

/* supervisor_notice.c: the file that ps and stop read */
void notice_open(Supervisor *s, int port);
void notice_write(Supervisor *s, double now);
void notice_report(Supervisor *s, int seat, const char *lines); /* of a check from inside */
void notice_close(Supervisor *s);

/* In a fresh child: signals are the parent's, descriptors of others are closed. `keep`: the seat
 * whose slot it holds, -1: all (the front), -2: none. */
void child_begins(Supervisor *s, int keep);

#endif
