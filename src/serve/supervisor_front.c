/* The front's process, and the supervisor's side of what the two tell each other (control.h). */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/watch.h"
#include "serve/supervisor_parts.h"
#include "text/json_scan.h"

enum { DEATHS_AT_MOST = 5, CALM_SECONDS = 10, LEAVE_SECONDS = 10 };

/* ---- telling ---- */

void front_pump(Supervisor *s)
{
    while (s->joined && s->first) {
        Pending *p = s->first;
        const RingPart part = {p->data, p->size};
        RingResult result = ring_send(&s->port, p->kind, 0, &part, 1);
        if (result == RING_FULL) {
            ring_want_room(&s->port);
            if (ring_send(&s->port, p->kind, 0, &part, 1) != RING_OK) return;
        }
        s->first = p->next;
        if (!s->first) s->last = NULL;
        mem_free(p);
    }
}

void front_tell(Supervisor *s, uint16_t kind, const void *fixed, size_t fixed_size,
                const void *more, size_t size)
{
    if (!s->front_pid) return; /* the next one is told all there is */
    if (fixed_size + size > RING_MAX_PAYLOAD) return;
    if (!s->first && control_send(&s->port, kind, fixed, fixed_size, more, size) == RING_OK) return;
    Pending *p = mem_alloc(sizeof *p + fixed_size + size);
    if (!p) return;
    *p = (Pending){.kind = kind, .size = fixed_size + size};
    memcpy(p->data, fixed, fixed_size);
    if (size) memcpy(p->data + fixed_size, more, size);
    if (s->last)
        s->last->next = p;
    else
        s->first = p;
    s->last = p;
    front_pump(s);
}

static int64_t expiry(const Supervisor *s, int model)
{
    const int at = s->row[model].seat;
    if (at < 0) return 0;
    const Seat *seat = &s->seat[at];
    if (seat->keep_ms < 0) return INT64_MAX;
    const double begin = seat->active ? os_seconds() : seat->idle_since;
    return (int64_t)time(NULL) + (int64_t)(begin + (double)seat->keep_ms / 1000 - os_seconds());
}

void front_tell_expiry(Supervisor *s, int model)
{
    const ControlNumber n = {model, expiry(s, model)};
    front_tell(s, CONTROL_EXPIRES, &n, sizeof n, NULL, 0);
}

void front_tell_model(Supervisor *s, int model)
{
    const ServeModel *m = &s->o->catalogue->models[model];
    const Row *row = &s->row[model];
    const ControlModel c = {(uint32_t)model, (uint32_t)s->o->catalogue->n};
    CatalogueNews news = {.describe = row->describe,
                          .ready = row->ready,
                          .error = row->error[0] ? row->error : NULL,
                          .expires = expiry(s, model)};
    Buf text = {0};
    if (!m->here) {
        front_tell(s, CONTROL_MODEL_GONE, &c, sizeof c, NULL, 0);
        return;
    }
    catalogue_row(m, &news, &text);
    if (sizeof c + text.size > RING_MAX_PAYLOAD) { /* a very long template: the rest is told */
        buf_clear(&text);
        news.describe = news.ready = NULL;
        catalogue_row(m, &news, &text);
    }
    if (!text.failed) front_tell(s, CONTROL_MODEL, &c, sizeof c, text.data, text.size);
    buf_close(&text);
}

void front_tell_seat(Supervisor *s, int i, bool again, const char *why)
{
    const Seat *seat = &s->seat[i];
    ControlSlot c = {.slot = (uint32_t)i,
                     .state = seat->state,
                     .model = (uint32_t)seat->model,
                     .again = again,
                     .generation = seat->generation};
    snprintf(c.why, sizeof c.why, "%s", why);
    front_tell(s, CONTROL_SLOT, &c, sizeof c, NULL, 0);
}

/* ---- the process ---- */

void front_tell_catalogue(Supervisor *s)
{
    uint16_t order[CONTROL_MODELS];
    size_t n = 0;
    for (size_t i = 0; i < s->o->catalogue->n; i++) {
        front_tell_model(s, (int)i);
        if (s->o->catalogue->models[i].here) order[n++] = (uint16_t)i;
    }
    front_tell(s, CONTROL_ORDER, order, n * sizeof *order, NULL, 0);
}

static void tell_all(Supervisor *s)
{
    front_tell_catalogue(s);
    for (int i = 0; i < SERVE_SLOTS; i++)
        if (s->seat[i].state == SLOT_RUNNING || s->seat[i].state == SLOT_UNLOADING) {
            s->seat[i].active = 0;
            front_tell_seat(s, i, false, "");
        }
}

bt_status front_start(Supervisor *s)
{
    ring_slot_reset(&s->control);
    if (ring_join(&s->port, &s->control, RING_WORKER, false, s->err)) return BT_E_MEMORY;
    s->joined = true;
    const pid_t pid = fork();
    if (pid == 0) {
        child_begins(s, -1);
        watch_child_ends(front_main(&s->front));
    }
    if (pid < 0)
        return bt_fail(s->err, BT_E_SYSTEM, "no process for the front: %s", strerror(errno));
    s->front_pid = pid;
    tell_all(s);
    return BT_OK;
}

void front_forget(Supervisor *s)
{
    s->front_pid = 0;
    for (Pending *p = s->first, *next; p; p = next) {
        next = p->next;
        mem_free(p);
    }
    s->first = s->last = NULL;
    if (s->joined) ring_part(&s->port);
    s->joined = false;
    for (int i = 0; i < SERVE_SLOTS; i++) seats_free(s, i); /* nobody is left to let go of them */
    if (s->draining || s->over) {
        s->drained = true;
        return;
    }
    const double now = os_seconds();
    s->front_deaths = now - s->front_died < CALM_SECONDS ? s->front_deaths + 1 : 1;
    s->front_died = now;
    if (!s->listened || s->front_deaths > DEATHS_AT_MOST) {
        if (s->err && !s->err->status)
            bt_fail(s->err, BT_E_SYSTEM, "the front's process ends again and again");
        s->exit_code = 1;
        s->over = true;
        return;
    }
    log_line(BT_LOG_WARN, "the front ended; it is started again");
    s->front.run++;
    s->front.ports = 1; /* where clients know it to be */
    if (front_start(s)) s->over = true;
}

/* ---- hearing ---- */

static bool good_slot(const Supervisor *s, const ControlSlot *c)
{
    return c->slot < SERVE_SLOTS && s->seat[c->slot].generation == c->generation;
}

static void worker_is_ready(Supervisor *s, const ControlSlot *c, const char *json, size_t size)
{
    Seat *seat = &s->seat[c->slot];
    Row *row = &s->row[seat->model];
    const bool before = seat->ready;
    if (seat->state != SLOT_RUNNING && seat->state != SLOT_UNLOADING) return;
    seat->ready = true;
    if (!before) seat->idle_since = os_seconds();
    mem_free(row->ready);
    row->ready = json_scan_whole((Span){json, size}, NULL) ? mem_strndup(json, size) : NULL;
    if (!before) log_line(BT_LOG_INFO, "%s is ready", s->o->catalogue->models[seat->model].name);
    s->state_stale = true;
    front_tell_model(s, seat->model);
}

static void about_slot(Supervisor *s, const RingMessage *m)
{
    ControlSlot c;
    const char *more = (const char *)m->data + sizeof c;
    if (!control_read(m, &c, sizeof c) || !good_slot(s, &c)) return;
    Seat *seat = &s->seat[c.slot];
    switch (m->head.kind) {
    case CONTROL_READY: worker_is_ready(s, &c, more, m->head.size - sizeof c); break;
    case CONTROL_FAILED:
        snprintf(seat->failed, sizeof seat->failed, "%s", more);
        snprintf(s->row[seat->model].error, sizeof s->row[seat->model].error, "%s", more);
        if (seat->pid) seat->kill_at = os_seconds() + LEAVE_SECONDS;
        front_tell_model(s, seat->model);
        break;
    case CONTROL_RELEASED: seats_free(s, (int)c.slot); break;
    case CONTROL_IDLE: seat->kill_at = os_seconds() + LEAVE_SECONDS; break;
    case CONTROL_BROKEN:
        snprintf(seat->failed, sizeof seat->failed, "the process of model '%.60s' %.120s",
                 s->o->catalogue->models[seat->model].name, more);
        if (seat->pid) kill(seat->pid, SIGKILL);
        break;
    default: break;
    }
}

static void about_number(Supervisor *s, const RingMessage *m)
{
    ControlNumber n;
    if (!control_read(m, &n, sizeof n)) return;
    const bool model = n.a >= 0 && (uint64_t)n.a < s->o->catalogue->n;
    switch (m->head.kind) {
    case CONTROL_LOAD:
        if (model) seats_want(s, (int)n.a);
        break;
    case CONTROL_UNLOAD:
        if (model && s->row[n.a].seat >= 0) seats_unload(s, s->row[n.a].seat);
        break;
    case CONTROL_KEEP:
        if (!model || s->row[n.a].seat < 0) break;
        s->seat[s->row[n.a].seat].keep_ms = n.b < 0 ? -1 : n.b;
        front_tell_expiry(s, (int)n.a);
        break;
    case CONTROL_ACTIVE:
        if (n.a < 0 || n.a >= SERVE_SLOTS) break;
        s->seat[n.a].active = n.b > 0;
        s->seat[n.a].idle_since = os_seconds();
        s->state_stale = true;
        if (s->seat[n.a].state == SLOT_RUNNING) front_tell_expiry(s, s->seat[n.a].model);
        break;
    case CONTROL_ADMIN:
        admin_hear(s, n.a, (const char *)m->data + sizeof n, m->head.size - sizeof n);
        break;
    case CONTROL_LOOK: look_hear(s); break;
    case CONTROL_REPORT: notice_report(s, (int)n.a, (const char *)m->data + sizeof n); break;
    default: break;
    }
}

void front_hear(Supervisor *s)
{
    RingMessage m;
    while (s->joined && ring_receive(&s->port, &m) == RING_OK) {
        switch (m.head.kind) {
        case CONTROL_LISTENING: {
            const bool first = !s->listened;
            const char *colon = strrchr((const char *)m.data, ':');
            snprintf(s->url, sizeof s->url, "%s", (const char *)m.data);
            s->listened = true;
            if (first && colon) {
                s->front.port = (int)strtol(colon + 1, NULL, 10);
                notice_open(s, s->front.port);
            }
            s->state_stale = true;
            if (s->o->listening) s->o->listening(s->o->user, s->url, first);
            break;
        }
        case CONTROL_REFUSED: bt_fail(s->err, BT_E_SYSTEM, "%s", (const char *)m.data); break;
        case CONTROL_DRAINED: s->drained = true; break;
        case CONTROL_READY:
        case CONTROL_FAILED:
        case CONTROL_RELEASED:
        case CONTROL_IDLE:
        case CONTROL_BROKEN: about_slot(s, &m); break;
        default: about_number(s, &m); break;
        }
    }
    front_pump(s);
}
