/* Traffic with the workers. Requests go out in the order they came, each whole, as far as the ring
 * has room; what a full ring leaves waits here and goes when the worker rings. What workers send is
 * taken off at once, whatever the clients do. A worker that sends what cannot be loses its slot. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/sandbox.h"
#include "serve/front_parts.h"

enum { MESSAGES_A_TURN = 2000, MOST_TRIES = 96 };

/* ---- lines ---- */

void line_add(Line *line, Request *r)
{
    r->next_in_line = NULL;
    if (line->last)
        line->last->next_in_line = r;
    else
        line->first = r;
    line->last = r;
}

void line_take(Line *line, Request *r)
{
    Request *before = NULL;
    for (Request *at = line->first; at; before = at, at = at->next_in_line) {
        if (at != r) continue;
        if (before)
            before->next_in_line = r->next_in_line;
        else
            line->first = r->next_in_line;
        if (line->last == r) line->last = before;
        return;
    }
}

/* ---- the supervisor ---- */

void slots_tell(Front *f, uint16_t kind, int64_t a, int64_t b)
{
    const ControlNumber n = {a, b};
    control_send(&f->control, kind, &n, sizeof n, NULL, 0);
}

static ControlSlot about(const Front *f, const Slot *s)
{
    return (ControlSlot){
        .slot = (uint32_t)(s - f->slot), .model = (uint32_t)s->model, .generation = s->generation};
}

static void tell_slot(Front *f, const Slot *s, uint16_t kind, const void *more, size_t size)
{
    const ControlSlot about_it = about(f, s);
    if (size > RING_MAX_PAYLOAD - sizeof about_it) size = RING_MAX_PAYLOAD - sizeof about_it;
    control_send(&f->control, kind, &about_it, sizeof about_it, more, size);
}

/* Nothing runs there and nothing more will: the worker ends by itself. */
static void let_go(Front *f, Slot *s)
{
    if (s->joined) ring_send(&s->port, WIRE_DRAIN, 0, NULL, 0);
    tell_slot(f, s, CONTROL_IDLE, NULL, 0);
}

static void count_active(Front *f, Slot *s, int by)
{
    const uint32_t before = s->active;
    s->active = (uint32_t)((int)s->active + by);
    if ((before == 0) != (s->active == 0)) slots_tell(f, CONTROL_ACTIVE, s - f->slot, s->active);
    if (s->active == 0 && s->state == SLOT_UNLOADING) let_go(f, s);
}

/* ---- going out ---- */

static RingResult send_rest(Slot *s, Request *r)
{
    RingResult result = RING_OK;
    if (r->send_stage == 0) {
        WireRequest fixed = {.principal = r->principal, .body_size = r->body.size};
        fixed.method = strcmp(r->method, "POST") == 0     ? WIRE_POST
                       : strcmp(r->method, "DELETE") == 0 ? WIRE_DELETE
                                                          : WIRE_GET;
        const Model *m = &r->front->model[r->model];
        result = wire_send_request(&s->port, r->id, &fixed, r->path, m->api.name,
                                   r->headers.data ? r->headers.data : "");
        if (result) return result;
        r->send_stage = 1;
        r->body_sent = 0;
    }
    while (r->body_sent < r->body.size) {
        size_t piece = r->body.size - r->body_sent;
        if (piece > WIRE_PIECE) piece = WIRE_PIECE;
        const RingPart part = {r->body.data + r->body_sent, piece};
        result = ring_send(&s->port, WIRE_BODY, r->id, &part, 1);
        if (result) return result;
        r->body_sent += piece;
    }
    return ring_send(&s->port, WIRE_BODY_END, r->id, NULL, 0);
}

static void body_gone(Request *r)
{
    buf_close(&r->body);
    r->front->bodies -= r->body_counted;
    r->body_counted = 0;
}

static bool full(Slot *s, RingResult result, bool *asked)
{
    if (result != RING_FULL || *asked) return result != RING_OK;
    ring_want_room(&s->port); /* then look again, for the room may just have come */
    *asked = true;
    return false;
}

void slots_pump(Slot *s)
{
    bool asked = false;
    if (!s->joined || !s->ready) return;
    while (s->n_cancels) {
        RingResult result = ring_send(&s->port, WIRE_CANCEL, s->cancels[s->n_cancels - 1], NULL, 0);
        if (result == RING_OK)
            s->n_cancels--;
        else if (full(s, result, &asked))
            return;
    }
    for (Request *r; (r = s->queue.first);) {
        RingResult result = send_rest(s, r);
        if (result == RING_OK) {
            line_take(&s->queue, r);
            r->phase = PHASE_WORKER;
            body_gone(r);
        } else if (full(s, result, &asked)) {
            return;
        }
    }
}

void slots_add(Request *r, int slot)
{
    Slot *s = &r->front->slot[slot];
    r->slot = slot;
    r->phase = PHASE_QUEUED;
    line_add(&s->queue, r);
    count_active(r->front, s, 1);
    slots_pump(s);
}

static void cancel(Slot *s, uint64_t id)
{
    if (!s->joined || (!s->n_cancels && ring_send(&s->port, WIRE_CANCEL, id, NULL, 0) == RING_OK))
        return;
    if (s->n_cancels == s->most_cancels) {
        const size_t most = 2 * s->most_cancels + 64;
        uint64_t *grown = mem_realloc(s->cancels, most * sizeof *grown);
        if (!grown) return; /* it runs to its end, unheard */
        s->cancels = grown;
        s->most_cancels = most;
    }
    s->cancels[s->n_cancels++] = id;
    ring_want_room(&s->port);
}

void slots_forget(Request *r)
{
    Front *f = r->front;
    Slot *s = r->slot >= 0 ? &f->slot[r->slot] : NULL;
    if (r->phase == PHASE_LOOK) line_take(&f->lookers, r);
    if (r->phase == PHASE_MODEL) line_take(&f->model[r->model].waiting, r);
    if (r->phase == PHASE_QUEUED) line_take(&s->queue, r);
    if (s && (r->phase == PHASE_WORKER || (r->phase == PHASE_QUEUED && r->send_stage)))
        cancel(s, r->id);
    if (s) count_active(f, s, -1);
    r->slot = -1;
    if (r->phase != PHASE_OVER) r->phase = PHASE_BODY; /* nowhere */
}

/* ---- coming in ---- */

/* keep_alive of a request travels as a header line that no client sees. */
static void heed_keep_alive(Front *f, const Request *r, const char *headers)
{
    static const char name[] = "x-bantam-keep-alive:";
    long long ms;
    const char *at = strstr(headers, name);
    if (at && sscanf(at + sizeof name - 1, "%lld", &ms) == 1)
        slots_tell(f, CONTROL_KEEP, r->model, ms);
}

static bool answer_begins(Front *f, Request *r, const RingMessage *m)
{
    WireAnswer fixed;
    const char *type, *headers;
    if (!wire_read_head(m, &fixed, &type, &headers)) return false;
    if (r->head) return false;
    heed_keep_alive(f, r, headers);
    say_head(r, fixed.status, type, headers);
    return true;
}

static bool answer_ends(Front *f, Request *r, const RingMessage *m)
{
    WireUsage u;
    if (m->head.size != sizeof u || !r->head) return false;
    memcpy(&u, m->data, sizeof u);
    f->count.prompt += u.prompt;
    f->count.cached += u.cached;
    f->count.completion += u.completion;
    f->count.queued_us += u.queued_us;
    f->count.prefill_us += u.prefill_us;
    f->count.decode_us += u.decode_us;
    access_used(r, &u);
    r->phase = PHASE_OVER;
    slots_forget(r);
    say_end(r);
    return true;
}

static void loaded(Front *f, Slot *s, const RingMessage *m)
{
    s->ready = true;
    tell_slot(f, s, CONTROL_READY, m->data, m->head.size);
    Model *model = &f->model[s->model];
    model->asked = false;
    for (Request *r; (r = model->waiting.first);) {
        line_take(&model->waiting, r);
        slots_add(r, (int)(s - f->slot));
    }
    slots_pump(s);
}

static void not_loaded(Front *f, int model, const char *why)
{
    Model *m = &f->model[model];
    m->asked = false;
    for (Request *r; (r = m->waiting.first);) {
        line_take(&m->waiting, r);
        r->phase = PHASE_BODY;
        say_error(r, API_E_UNAVAILABLE, "%s", why);
    }
}

/* It runs requests and makes steps, or runs none. */
static void got_on(Slot *s)
{
    const json_t *steps = json_object_get(s->stats, "steps");
    const double made =
        json_number_value(steps) + json_number_value(json_object_get(s->stats, "embedded"));
    const bool runs = json_number_value(json_object_get(s->stats, "requests_running")) > 0;
    if (steps && runs && made == s->steps) return;
    s->steps = made;
    s->stalled = 0;
}

/* False: no worker of ours sends that. */
static bool hear(Front *f, Slot *s, const RingMessage *m)
{
    Request *r = request_find(f, m->head.id);
    /* Of a request that was given up, or is another worker's: nothing to do with it. */
    if (r && (r->slot != (int)(s - f->slot) || r->phase != PHASE_WORKER)) r = NULL;
    switch (m->head.kind) {
    case WIRE_HEAD: return !r || answer_begins(f, r, m);
    case WIRE_DATA:
        if (r && !r->head) return false;
        if (r) say_data(r, m->data, m->head.size);
        return true;
    case WIRE_END: return !r || answer_ends(f, r, m);
    case WIRE_READY: loaded(f, s, m); return true;
    case WIRE_FAILED:
        tell_slot(f, s, CONTROL_FAILED, m->data, m->head.size);
        not_loaded(f, s->model, (const char *)m->data);
        return true;
    case WIRE_STATS: {
        json_t *stats = json_loadb((const char *)m->data, m->head.size, 0, NULL);
        if (!json_is_object(stats)) {
            json_decref(stats);
            return true;
        }
        json_decref(s->stats);
        s->stats = stats;
        got_on(s);
        return true;
    }
    case WIRE_REPORT: {
        const ControlNumber n = {s - f->slot, 0};
        control_send(&f->control, CONTROL_REPORT, &n, sizeof n, m->data,
                     m->head.size < CONTROL_ANSWERS * 4 ? m->head.size : CONTROL_ANSWERS * 4);
        return true;
    }
    default: return false;
    }
}

static void end_all_of(Front *f, int slot, const char *why)
{
    for (Request *r = f->requests, *next; r; r = next) {
        next = r->next;
        if (r->slot != slot || r->phase == PHASE_OVER) continue;
        slots_forget(r);
        say_error(r, API_E_UNAVAILABLE, "%s", why);
    }
}

/* Its process is to be ended; the supervisor then says that it is dead. */
static void give_up(Front *f, Slot *s, const char *what)
{
    tell_slot(f, s, CONTROL_BROKEN, what, strlen(what));
    ring_part(&s->port);
    s->joined = false;
}

/* A worker tells of itself every second, whatever it computes: another of its threads does that.
 * While it loads it says nothing. Time counts as this process lives it, so that a machine that
 * slept, or a terminal that stopped us all, makes nobody late. */
void slots_sweep(Front *f, double passed)
{
    const double most_silent = f->o->silent_seconds > 0 ? f->o->silent_seconds : 60;
    const double most_stalled = f->o->stalled_seconds > 0 ? f->o->stalled_seconds : 1800;
    const double most_loading = 2 * (f->o->load_seconds > 0 ? f->o->load_seconds : 600);
    char what[96];
    if (passed > 0.5) passed = 0.5;
    for (int i = 0; i < SERVE_SLOTS; i++) {
        Slot *s = &f->slot[i];
        if (!s->joined || s->state != SLOT_RUNNING) continue;
        const double limit = s->ready ? most_silent : most_loading;
        s->silent += passed;
        s->stalled += s->ready ? passed : 0;
        if (s->silent <= limit && s->stalled <= most_stalled) continue;
        snprintf(what, sizeof what, "did not %s within %.0f seconds",
                 s->silent <= limit ? "get on"
                 : s->ready         ? "answer"
                                    : "load its model",
                 s->silent <= limit ? most_stalled : limit);
        s->ready = false;
        give_up(f, s, what);
        snprintf(what, sizeof what, "the model's process hangs and is started again");
        end_all_of(f, i, what);
    }
}

void slots_receive(Front *f)
{
    for (int i = 0; i < SERVE_SLOTS; i++) {
        Slot *s = &f->slot[i];
        RingMessage m;
        RingResult result = RING_OK;
        int n = 0;
        while (s->joined && n++ < MESSAGES_A_TURN &&
               (result = ring_receive(&s->port, &m)) == RING_OK) {
            s->silent = 0;
            if (hear(f, s, &m)) continue;
            result = RING_BROKEN;
            break;
        }
        if (result == RING_OK && n >= MESSAGES_A_TURN) f->more = true;
        if (result == RING_BROKEN && s->joined) give_up(f, s, "sent what cannot be");
    }
}

/* ---- what becomes of a slot ---- */

static void leave(Slot *s)
{
    if (s->joined) ring_part(&s->port);
    s->joined = s->ready = false;
    s->n_cancels = 0;
    json_decref(s->stats);
    s->stats = NULL;
}

static void join(Front *f, Slot *s, const ControlSlot *c)
{
    leave(s);
    s->model = (int)c->model;
    s->generation = c->generation;
    s->silent = s->stalled = 0;
    f->model[s->model].slot = (int)c->slot;
    s->joined = ring_join(&s->port, s->memory, RING_FRONT, true, NULL) == BT_OK;
    if (!s->joined) tell_slot(f, s, CONTROL_BROKEN, NULL, 0);
    /* What a front before us asked is nobody's any more. */
    else if (s->port.wrote || s->port.read)
        ring_send(&s->port, WIRE_RESET, 0, NULL, 0);
}

void slots_control(Front *f, const ControlSlot *c)
{
    if (c->slot >= SERVE_SLOTS || c->model >= CONTROL_MODELS) return;
    Slot *s = &f->slot[c->slot];
    const SlotState before = s->state;
    RingMessage last;
    s->state = (SlotState)c->state;
    switch (s->state) {
    case SLOT_RUNNING:
        if (before != SLOT_UNLOADING || s->generation != c->generation) join(f, s, c);
        break;
    case SLOT_UNLOADING:
        if (!s->joined) join(f, s, c);
        if (f->model[s->model].slot == (int)c->slot) f->model[s->model].slot = -1;
        if (s->active == 0) let_go(f, s);
        break;
    case SLOT_DEAD:
        f->count.worker_deaths += c->why[0] != 0;
        while (s->joined && ring_receive(&s->port, &last) == RING_OK && hear(f, s, &last))
            continue; /* what it said before it went */
        leave(s);     /* first, so that nothing is sent there any more */
        end_all_of(f, (int)c->slot, c->why[0] ? c->why : "the model was unloaded");
        s->queue = (Line){0};
        s->generation = c->generation;
        if (s->model >= 0 && f->model[s->model].slot == (int)c->slot) f->model[s->model].slot = -1;
        /* Those that came after it was told to go wait for the next, which was asked for. */
        if (!c->again && c->why[0] && f->model[c->model].slot < 0)
            not_loaded(f, (int)c->model, c->why);
        tell_slot(f, s, CONTROL_RELEASED, NULL, 0);
        break;
    case SLOT_EMPTY: break;
    }
}

void slots_drain(Front *f)
{
    for (int i = 0; i < SERVE_SLOTS; i++)
        if (f->slot[i].joined) ring_send(&f->slot[i].port, WIRE_DRAIN, 0, NULL, 0);
}

/* ---- check from inside ---- */

void slots_check(Front *f)
{
    EgressTry tries[MOST_TRIES];
    const ControlNumber self = {-1, 0};
    Buf text = {0};
    size_t n = sandbox_try_egress(tries, MOST_TRIES);
    if (n > MOST_TRIES) n = MOST_TRIES;
    for (size_t i = 0; i < n; i++)
        buf_printf(&text, "%s\t%s\t%s\n", tries[i].refused ? "refused" : "open", tries[i].name,
                   tries[i].answer);
    if (!text.failed)
        control_send(&f->control, CONTROL_REPORT, &self, sizeof self, text.data, text.size);
    buf_close(&text);
    for (int i = 0; i < SERVE_SLOTS; i++)
        if (f->slot[i].ready) ring_send(&f->slot[i].port, WIRE_CHECK, 1, NULL, 0);
}
