/* The supervisor's loop: signals, children that end, what the front says, and what is due. See
 * supervisor.h. */
#include "serve/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/watch.h"
#include "serve/supervisor_parts.h"
#include "text/json_scan.h"

enum { DESCRIBE_SECONDS = 20, LOOK_MS = 1000 };
#define MOST_DESCRIBED ((size_t)100 << 10)

/* ---- signals ---- */

static int bell[2] = {-1, -1};
static volatile sig_atomic_t asked_to_end, asked_to_check;

static void on_signal(int which)
{
    const int why = errno;
    if (which == SIGTERM || which == SIGINT) asked_to_end++;
    if (which == SIGUSR1) asked_to_check = 1;
    os_bell_ring(bell[1]);
    errno = why;
}

static bt_status hear_signals(bt_error *err)
{
    struct sigaction act = {.sa_handler = on_signal};
    asked_to_end = asked_to_check = 0;
    bt_status status = os_bell_open(bell, err);
    if (status) return status;
    sigemptyset(&act.sa_mask);
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGUSR1, &act, NULL);
    sigaction(SIGCHLD, &act, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    return BT_OK;
}

void child_begins(Supervisor *s, int keep)
{
    watch_parent();
    /* The terminal's Ctrl-C is for the supervisor, who lets what runs end. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    os_bell_close(bell);
    if (s->state_fd >= 0) close(s->state_fd);
    if (s->describe_fd >= 0) close(s->describe_fd);
    s->state_fd = s->describe_fd = -1;
    if (s->joined) ring_part(&s->port);
    s->joined = false;
    if (keep == -1) return; /* the front joins all */
    ring_slot_leave(&s->control);
    for (int i = 0; i < SERVE_SLOTS; i++)
        if (i != keep) ring_slot_leave(&s->slot[i]);
}

/* ---- describing, one model at a time ---- */

static void describe_next(Supervisor *s)
{
    int fds[2];
    size_t m = 0;
    if (!s->o->describe || s->describe_pid || s->draining || !s->listened) return;
    while (m < s->o->catalogue->n && s->row[m].described) m++;
    if (m == s->o->catalogue->n || pipe(fds) != 0) return;
    s->row[m].described = true;
    const pid_t pid = fork();
    if (pid == 0) {
        child_begins(s, -2);
        close(fds[0]);
        setpriority(PRIO_PROCESS, 0, 10);
        watch_child_ends(s->o->describe(s->o->user, &s->o->catalogue->models[m], fds[1]));
    }
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return;
    }
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    s->describe_pid = pid;
    s->describe_fd = fds[0];
    s->describe_model = (int)m;
    s->describe_until = os_seconds() + DESCRIBE_SECONDS;
    buf_clear(&s->describe_text);
}

static void describe_hear(Supervisor *s)
{
    char part[4096];
    ssize_t n;
    while (s->describe_fd >= 0 && (n = read(s->describe_fd, part, sizeof part)) > 0) {
        if (s->describe_text.size + (size_t)n > MOST_DESCRIBED) {
            kill(s->describe_pid, SIGKILL);
            return;
        }
        buf_add(&s->describe_text, part, (size_t)n);
    }
}

/* What the child wrote is as little trusted as the file it read: one JSON object, or nothing. */
static void describe_ended(Supervisor *s)
{
    Row *row = &s->row[s->describe_model];
    const Buf *text = &s->describe_text;
    const char *end = text->data ? strchr(text->data, '\n') : NULL;
    describe_hear(s);
    close(s->describe_fd);
    s->describe_fd = -1;
    s->describe_pid = 0;
    if (text->data && *text->data == '{' && json_scan_whole((Span){text->data, text->size}, NULL)) {
        mem_free(row->describe);
        row->describe = mem_strndup(text->data, text->size);
    } else if (text->data && strncmp(text->data, "error: ", 7) == 0 && !row->error[0]) {
        const size_t n = end ? (size_t)(end - text->data) : text->size;
        snprintf(row->error, sizeof row->error, "%.*s", (int)(n - 7), text->data + 7);
        for (char *c = row->error; *c; c++) /* it goes to a terminal */
            if ((unsigned char)*c < 32 || *c == 127) *c = ' ';
        const ServeModel *m = &s->o->catalogue->models[s->describe_model];
        log_line(BT_LOG_WARN, "%s cannot be served: %s; its file is %s", m->name, row->error,
                 m->path);
    }
    front_tell_model(s, s->describe_model);
}

/* ---- the loop ---- */

static void children_ended(Supervisor *s)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == s->front_pid) {
            front_hear(s); /* what it said last */
            front_forget(s);
            continue;
        }
        if (pid == s->describe_pid) {
            describe_ended(s);
            continue;
        }
        for (int i = 0; i < SERVE_SLOTS; i++)
            if (s->seat[i].pid == pid) {
                front_hear(s);
                seats_ended(s, i, status);
            }
    }
}

static void begin_to_end(Supervisor *s, double now)
{
    const int seconds = s->o->drain_seconds ? s->o->drain_seconds : 30;
    const ControlNumber n = {seconds, 0};
    s->draining = true;
    s->drain_until = now + seconds + 10;
    s->state_stale = true;
    log_line(BT_LOG_INFO, "ending: what runs has %d seconds; once more ends it now", seconds);
    front_tell(s, CONTROL_DRAIN, &n, sizeof n, NULL, 0);
    if (!s->front_pid) s->drained = true;
}

static void heed_signals(Supervisor *s, double now)
{
    if (asked_to_check) {
        asked_to_check = 0;
        s->checks++;
        s->state_stale = true;
        buf_clear(&s->checked);
        front_tell(s, CONTROL_CHECK, "", 0, NULL, 0);
    }
    if (asked_to_end && !s->draining) begin_to_end(s, now);
    if (asked_to_end > 1 || (s->draining && now > s->drain_until)) s->over = true;
}

static int sleep_ms(const Supervisor *s, double now)
{
    const double next = seats_next(s);
    double ms = next >= NEVER ? LOOK_MS : 1000 * (next - now);
    if (s->state_stale && ms > 200) ms = 200;
    if (ms < 50) ms = 50; /* nothing of it is urgent */
    return ms > LOOK_MS ? LOOK_MS : (int)ms;
}

static void turn(Supervisor *s)
{
    struct pollfd p[3] = {{.fd = bell[0], .events = POLLIN},
                          {.fd = s->joined ? ring_bell(&s->port) : -1, .events = POLLIN},
                          {.fd = s->describe_fd, .events = POLLIN}};
    const bool quiet = !s->joined || ring_arm(&s->port);
    poll(p, 3, quiet ? sleep_ms(s, os_seconds()) : 0);
    if (p[0].revents) os_bell_clear(bell[0]);
    if (s->joined && p[1].revents) ring_bell_clear(&s->port);
    const double now = os_seconds();
    front_hear(s);
    describe_hear(s);
    children_ended(s);
    if (s->describe_pid && now > s->describe_until) kill(s->describe_pid, SIGKILL);
    heed_signals(s, now);
    seats_tend(s, now);
    describe_next(s);
    notice_write(s, now);
}

/* ---- start and end ---- */

static bt_status open_all(Supervisor *s)
{
    bt_status status = hear_signals(s->err);
    s->row = mem_zalloc(CONTROL_MODELS, sizeof *s->row);
    if (!s->row) status = bt_fail_memory(s->err, "the catalogue", 0);
    for (int i = 0; i < CONTROL_MODELS && s->row; i++) s->row[i].seat = -1;
    if (!status) status = ring_slot_open(&s->control, CONTROL_BYTES, s->err);
    for (int i = 0; i < SERVE_SLOTS && !status; i++) {
        s->seat[i].kill_at = NEVER;
        status = ring_slot_open(&s->slot[i], RING_BYTES, s->err);
    }
    return status;
}

static void end_all(Supervisor *s)
{
    if (s->front_pid) kill(s->front_pid, SIGKILL);
    if (s->describe_pid) kill(s->describe_pid, SIGKILL);
    seats_kill(s);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) continue;
    if (s->describe_fd >= 0) close(s->describe_fd);
    notice_close(s);
    if (s->joined) ring_part(&s->port);
    for (Pending *p = s->first, *next; p; p = next) {
        next = p->next;
        mem_free(p);
    }
    ring_slot_close(&s->control);
    for (int i = 0; i < SERVE_SLOTS; i++) ring_slot_close(&s->slot[i]);
    for (int i = 0; i < CONTROL_MODELS && s->row; i++) {
        mem_free(s->row[i].describe);
        mem_free(s->row[i].ready);
    }
    mem_free(s->row);
    json_decref(s->made);
    buf_close(&s->describe_text);
    buf_close(&s->checked);
    os_bell_close(bell);
}

/* Workers that are idle may still write down what they remember. */
static void let_workers_go(Supervisor *s)
{
    const double until = os_seconds() + 5;
    while (!asked_to_end || asked_to_end < 2) {
        bool left = false;
        for (int i = 0; i < SERVE_SLOTS; i++) left |= s->seat[i].pid != 0;
        if (!left || os_seconds() > until) break;
        poll(&(struct pollfd){.fd = bell[0], .events = POLLIN}, 1, 50);
        os_bell_clear(bell[0]);
        children_ended(s);
    }
}

int supervisor_run(const SupervisorOptions *options, bt_error *err)
{
    bt_error unused = {0};
    Supervisor s = {.o = options,
                    .front = options->front,
                    .describe_fd = -1,
                    .state_fd = -1,
                    .err = err ? err : &unused};
    s.err->status = BT_OK;
    bt_status status = open_all(&s);
    s.front.control = &s.control;
    s.front.slots = s.slot;
    if (!status) admin_recall(&s);
    if (!status) status = front_start(&s);
    while (!status && !s.over && !s.drained) turn(&s);
    if (s.drained && !s.over) let_workers_go(&s);
    end_all(&s);
    return status ? 1 : s.exit_code;
}
