/* Workers: which model sits where, who goes when another needs the room, and what becomes of those
 * that break. A slot is used again only after the front has said that it let go of it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/watch.h"
#include "serve/supervisor_parts.h"

enum { DEATHS_AT_MOST = 3, CALM_SECONDS = 60, PATIENCE = 20 };
#define SPARE_BYTES ((uint64_t)256 << 20)

static int64_t keep_of(const Supervisor *s, int model)
{
    const int64_t own = s->o->catalogue->models[model].keep_alive_ms;
    return own == SERVE_KEEP_DEFAULT ? s->o->keep_alive_ms : own;
}

/* ---- starting ---- */

static void worker_start(Supervisor *s, int i, int model)
{
    Seat *seat = &s->seat[i];
    const ServeModel *m = &s->o->catalogue->models[model];
    ring_slot_reset(&s->slot[i]);
    *seat = (Seat){.generation = seat->generation + 1,
                   .model = model,
                   .keep_ms = keep_of(s, model),
                   .idle_since = os_seconds(),
                   .kill_at = NEVER};
    const pid_t pid = fork();
    if (pid == 0) {
        child_begins(s, i);
        watch_child_ends(s->o->worker(s->o->user, m, &s->slot[i], i));
    }
    if (pid < 0) {
        snprintf(s->row[model].error, sizeof s->row[model].error, "no new process: %s",
                 strerror(errno));
        seat->state = SLOT_DEAD;
        s->row[model].wanted = false;
        front_tell_seat(s, i, false, s->row[model].error);
        return;
    }
    seat->pid = pid;
    seat->state = SLOT_RUNNING;
    s->row[model].seat = i;
    s->row[model].wanted = false;
    s->row[model].error[0] = 0;
    s->state_stale = true;
    log_line(BT_LOG_INFO, "loading %s (process %d)", m->name, (int)pid);
    front_tell_seat(s, i, false, "");
    front_tell_expiry(s, model);
}

/* ---- room ---- */

static int empty_seat(const Supervisor *s)
{
    for (int i = 0; i < SERVE_SLOTS; i++)
        if (s->seat[i].state == SLOT_EMPTY) return i;
    return -1;
}

/* The one that has been idle longest; -1: all are at work. */
static int idlest(const Supervisor *s)
{
    int best = -1;
    for (int i = 0; i < SERVE_SLOTS; i++) {
        const Seat *seat = &s->seat[i];
        if (seat->state != SLOT_RUNNING || !seat->ready || seat->active) continue;
        if (best < 0 || seat->idle_since < s->seat[best].idle_since) best = i;
    }
    return best;
}

static bool anyone(const Supervisor *s, SlotState state)
{
    for (int i = 0; i < SERVE_SLOTS; i++)
        if (s->seat[i].state == state && s->seat[i].pid) return true;
    return false;
}

/* Loads it, or makes room for it, or waits; what memory it really takes the worker knows, and says
 * so when it is too much. */
static void try_load(Supervisor *s, int model, double now)
{
    const uint64_t size = s->o->catalogue->models[model].size;
    const uint64_t free_bytes = os_memory_available();
    const int seat = empty_seat(s);
    const bool fits = free_bytes == 0 || size + size / 4 + SPARE_BYTES <= free_bytes;
    if (seat >= 0 && fits) {
        worker_start(s, seat, model);
        return;
    }
    if (anyone(s, SLOT_UNLOADING)) return; /* one is on its way out */
    const int victim = idlest(s);
    if (victim >= 0) {
        seats_unload(s, victim);
        return;
    }
    if (seat >= 0 && (!anyone(s, SLOT_RUNNING) || now > s->row[model].wanted_at + PATIENCE))
        worker_start(s, seat, model);
}

void seats_want(Supervisor *s, int model)
{
    Row *row = &s->row[model];
    if (row->wanted || s->draining) return;
    if (row->seat >= 0 && s->seat[row->seat].state == SLOT_RUNNING) return;
    row->wanted = true;
    row->wanted_at = os_seconds();
    try_load(s, model, row->wanted_at);
}

/* ---- ending ---- */

void seats_unload(Supervisor *s, int i)
{
    Seat *seat = &s->seat[i];
    if (seat->state != SLOT_RUNNING) return;
    seat->state = SLOT_UNLOADING;
    s->row[seat->model].seat = -1;
    s->state_stale = true;
    log_line(BT_LOG_INFO, "unloading %s", s->o->catalogue->models[seat->model].name);
    front_tell_seat(s, i, false, "");
    front_tell_expiry(s, seat->model);
}

/* Why a worker that was not asked to go went. */
static void why_it_ended(const Supervisor *s, const Seat *seat, int status, char *out, size_t size)
{
    const char *name = s->o->catalogue->models[seat->model].name;
    if (seat->failed[0])
        snprintf(out, size, "%s", seat->failed);
    else if (WIFSIGNALED(status))
        snprintf(out, size, "the process of model '%.60s' was ended by signal %d", name,
                 WTERMSIG(status));
    else
        snprintf(out, size, "the process of model '%.60s' ended with status %d", name,
                 WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

void seats_ended(Supervisor *s, int i, int status)
{
    Seat *seat = &s->seat[i];
    Row *row = &s->row[seat->model];
    const double now = os_seconds();
    char why[512] = "";
    bool again = row->wanted; /* asked for while it was on its way out */
    seat->pid = 0;
    seat->kill_at = NEVER;
    if (seat->state == SLOT_RUNNING && !(s->draining && status == 0)) {
        why_it_ended(s, seat, status, why, sizeof why);
        log_line(BT_LOG_WARN, "%s; its file is %s", why, s->o->catalogue->models[seat->model].path);
        row->deaths = now - row->died < CALM_SECONDS ? row->deaths + 1 : 1;
        row->died = now;
        /* Before it was ready it would break again; later it may have been one request's fault. */
        again = seat->ready && row->deaths <= DEATHS_AT_MOST && !s->draining;
        snprintf(row->error, sizeof row->error, "%s", again ? "" : why);
        row->seat = -1;
    }
    mem_free(row->ready);
    row->ready = NULL;
    seat->state = SLOT_DEAD;
    if (again) {
        row->wanted = true;
        row->wanted_at = now;
    }
    s->state_stale = true;
    front_tell_seat(s, i, again, why);
    front_tell_model(s, seat->model);
    if (!s->front_pid) seats_free(s, i);
}

void seats_free(Supervisor *s, int i)
{
    if (s->seat[i].state != SLOT_DEAD) return;
    s->seat[i].state = SLOT_EMPTY;
    seats_tend(s, os_seconds());
}

void seats_tend(Supervisor *s, double now)
{
    for (int i = 0; i < SERVE_SLOTS; i++) {
        Seat *seat = &s->seat[i];
        if (seat->pid && now >= seat->kill_at) {
            kill(seat->pid, SIGKILL);
            seat->kill_at = NEVER;
        }
        if (seat->state == SLOT_RUNNING && seat->ready && !seat->active && seat->keep_ms >= 0 &&
            now >= seat->idle_since + (double)seat->keep_ms / 1000)
            seats_unload(s, i);
    }
    for (size_t m = 0; m < s->o->catalogue->n && !s->draining; m++)
        if (s->row[m].wanted) try_load(s, (int)m, now);
}

double seats_next(const Supervisor *s)
{
    double next = NEVER;
    for (int i = 0; i < SERVE_SLOTS; i++) {
        const Seat *seat = &s->seat[i];
        if (seat->kill_at < next) next = seat->kill_at;
        if (seat->state != SLOT_RUNNING || !seat->ready || seat->active || seat->keep_ms < 0)
            continue;
        const double at = seat->idle_since + (double)seat->keep_ms / 1000;
        if (at < next) next = at;
    }
    for (size_t m = 0; m < s->o->catalogue->n; m++)
        if (s->row[m].wanted) return 0;
    return next;
}

void seats_kill(Supervisor *s)
{
    for (int i = 0; i < SERVE_SLOTS; i++)
        if (s->seat[i].pid) kill(s->seat[i].pid, SIGKILL);
}
