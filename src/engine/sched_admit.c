/* Which waiting request comes next, where its sequence begins, and what has to go for it. */
#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "engine/sched_parts.h"

/* ---- what goes ---- */

static bool remembered(const Sched *s, int32_t slot)
{
    return !s->slots[slot].request && prefix_tree_length(s->tree, slot) > 0;
}

static void clear_slot(Sched *s, int32_t slot)
{
    prefix_tree_remove(s->tree, slot);
    bt_session_truncate(s->session, slot, 0, NULL);
    s->slots[slot].request = NULL;
    s->slots[slot].written = false;
}

static int32_t least_used(const Sched *s, int32_t but)
{
    int32_t oldest = SCHED_NO_SLOT;
    for (int32_t q = 0; q < s->n_sequences; q++)
        if (q != but && remembered(s, q) && !s->slots[q].writing &&
            (oldest < 0 || s->slots[q].used < s->slots[oldest].used))
            oldest = q;
    return oldest;
}

bool sched_evict(Sched *s, int32_t but)
{
    int32_t oldest = least_used(s, but);
    if (oldest < 0 && spill_wait(s)) oldest = least_used(s, but);
    if (oldest < 0) return false;
    clear_slot(s, oldest);
    s->counted.n_evicted++;
    return true;
}

void sched_leave(Sched *s, Request *r, bool remember)
{
    int32_t slot = r->slot, held = bt_session_length(s->session, slot), i = 0;
    while (s->running[i] != r) i++;
    memmove(s->running + i, s->running + i + 1, (size_t)(s->n_running - i - 1) * sizeof(Request *));
    s->n_running--;
    if (i < s->turn) s->turn--;
    r->client->n_running--;
    r->slot = SCHED_NO_SLOT;
    s->slots[slot].request = NULL;
    if (remember && !r->asked.no_cache && held > 0) {
        prefix_tree_put(s->tree, slot, r->key, session_tokens(s->session, slot), held);
        s->slots[slot].used = ++s->clock;
        s->slots[slot].written = false;
    } else {
        clear_slot(s, slot);
    }
}

bt_status sched_step_back(Sched *s, Request *r, int32_t held, bool remember)
{
    if (held > r->n_tokens) { /* a part of the answer was fed too */
        bt_token *all = mem_realloc(r->tokens, (size_t)held * sizeof *all);
        if (!all) return BT_E_MEMORY;
        memcpy(all, session_tokens(s->session, r->slot), (size_t)held * sizeof *all);
        r->tokens = all;
        r->n_tokens = held;
    }
    sched_leave(s, r, remember);
    r->mark = 0;
    sched_put_back(s, r);
    s->counted.n_stepped_back++;
    return BT_OK;
}

/* ---- where a prompt begins ---- */

/* Tokens that a file must save more than what is in memory. */
#define WORTH_READING 64

typedef struct Source {
    Sched *s;
    int32_t slot;    /* of the longest beginning; SCHED_NO_SLOT: none */
    int32_t usable;  /* tokens of it that can be had */
    int32_t on_disk; /* tokens of a file that can be had */
    int32_t file;    /* entry of a longer one on disk; SCHED_NO_SLOT: none */
    int32_t most;    /* that any held list shares, computed or not */
    Request *reader; /* that is about to compute more, up to `promised` */
    int32_t promised;
} Source;

static void look_at_file(Source *f, int32_t entry, int32_t shared)
{
    bool whole = shared == prefix_tree_length(f->s->tree, entry);
    if (shared <= f->on_disk || (f->s->forgets && !whole)) return;
    f->on_disk = shared;
    f->file = entry;
}

static bool look(void *arg, int32_t entry, int32_t shared)
{
    Source *f = arg;
    Sched *s = f->s;
    if (shared <= f->usable) return false;
    if (shared > f->most) f->most = shared;
    if (entry >= s->n_sequences) {
        look_at_file(f, entry, shared);
        return true;
    }
    Request *r = s->slots[entry].request;
    int32_t usable = state_shareable(s->session->state, entry, shared);
    if (usable > f->usable) {
        f->usable = usable;
        f->slot = entry;
    }
    if (r && shared > f->promised && bt_session_length(s->session, entry) < shared) {
        f->reader = r;
        f->promised = shared;
    }
    return true;
}

/* From disk only what is worth the reading. */
static Source find_source(Sched *s, const Request *r)
{
    Source f = {.s = s, .slot = SCHED_NO_SLOT, .file = SCHED_NO_SLOT};
    int32_t n = r->chosen ? r->n_tokens : r->n_tokens - 1; /* the last gives logits */
    if (!r->asked.no_cache) prefix_tree_visit(s->tree, r->key, r->tokens, n, look, &f);
    if (f.file >= 0 && f.on_disk >= f.usable + WORTH_READING) {
        f.usable = f.on_disk;
        f.slot = SCHED_NO_SLOT;
    } else {
        f.file = SCHED_NO_SLOT;
    }
    return f;
}

/* Whether another request is reading the beginning: it is computed once. */
static bool defer(Sched *s, Request *r)
{
    Source f = find_source(s, r);
    Request *reader = f.reader;
    if (!reader || f.promised - f.usable < SCHED_WORTH_WAITING) return false;
    int32_t held = bt_session_length(s->session, reader->slot);
    if (s->forgets && (reader->mark <= held || f.promised < reader->mark))
        reader->mark = f.promised;
    r->deferred = true;
    return true;
}

/* ---- what comes ---- */

static int64_t level(const Sched *s, const Request *r)
{
    return r->asked.priority + (int64_t)((s->admitted - r->rank) / SCHED_AGE);
}

static bool before(const Sched *s, const Request *a, const Request *b)
{
    int64_t x = level(s, a), y = level(s, b);
    if (x != y) return x > y;
    const Client *c = a->client, *d = b->client;
    if (c->n_running != d->n_running) return c->n_running < d->n_running;
    if (c->served != d->served) return c->served < d->served;
    return a->id < b->id;
}

static Request *choose(Sched *s)
{
    Request *best = NULL;
    pthread_mutex_lock(&s->lock);
    for (Request *r = s->waiting; r; r = r->next_waiting)
        if (!r->deferred && (!best || before(s, r, best))) best = r;
    pthread_mutex_unlock(&s->lock);
    return best;
}

/* Tokens that running requests have yet to read, and a block for each that goes on. */
static int64_t promised(const Sched *s)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < s->n_running; i++) {
        const Request *r = s->running[i];
        int32_t held = bt_session_length(s->session, r->slot);
        sum += KV_BLOCK + (held < r->n_tokens ? r->n_tokens - held : 0);
    }
    return sum;
}

/* Makes room for the request; what it starts from goes last. */
static bool make_room(Sched *s, const Request *r, Source *f)
{
    const State *state = s->session->state;
    int64_t own = r->n_tokens - f->usable;
    if (f->file >= 0) { /* all of it is read, and shared with nobody */
        int32_t held = prefix_tree_length(s->tree, f->file);
        own = held > r->n_tokens ? held : r->n_tokens;
    }
    int64_t need = promised(s) + own + 2 * KV_BLOCK;
    while (state_room(state) < need)
        if (!sched_evict(s, f->slot)) break;
    if (state_room(state) >= need) return true;
    if (s->n_running > 0) return false;
    if (state_room(state) < own + KV_BLOCK) {
        while (sched_evict(s, SCHED_NO_SLOT)) continue;
        if (f->slot >= 0) *f = (Source){.s = s, .slot = SCHED_NO_SLOT, .file = SCHED_NO_SLOT};
    }
    return true;
}

/* A sequence that nobody runs in: what is free, what is remembered and goes on as it is, what has
 * to go. SCHED_NO_SLOT: all run. */
static int32_t take_slot(Sched *s, const Source *f)
{
    bool ours = f->slot >= 0 && remembered(s, f->slot) && !s->slots[f->slot].writing;
    if (ours && f->usable == bt_session_length(s->session, f->slot)) return f->slot;
    for (int again = 0; again < 2; again++) {
        for (int32_t q = 0; q < s->n_sequences; q++)
            if (!s->slots[q].request && !remembered(s, q)) return q;
        if (!sched_evict(s, f->slot)) break;
    }
    return ours ? f->slot : SCHED_NO_SLOT;
}

static bt_status adapt(Sched *s, const Request *r, int32_t slot, bt_error *err)
{
    const AdapterSet *has = s->session->of[slot];
    size_t n = r->asked.n_adapters;
    if (n == 0 ? !has : has && adapter_set_is(has, r->uses, n)) return BT_OK;
    return bt_session_adapt(s->session, slot, r->uses, n, err);
}

/* Makes the sequence begin as the source does. */
static bt_status begin(Sched *s, Request *r, const Source *f, int32_t slot, bt_error *err)
{
    prefix_tree_remove(s->tree, slot);
    if (slot == f->slot) return bt_session_truncate(s->session, slot, f->usable, err);
    bt_status status = adapt(s, r, slot, err);
    if (!status && f->file >= 0 && !spill_load(s, f->file, slot))
        return bt_session_truncate(s->session, slot, f->usable, err);
    if (status || f->slot < 0 || f->usable < 1) return status;
    status = bt_session_share(s->session, f->slot, slot, f->usable, err);
    if (!status && !s->slots[f->slot].request) s->slots[f->slot].used = ++s->clock;
    return status;
}

static void start(Sched *s, Request *r, const Source *f, int32_t slot)
{
    int32_t held = bt_session_length(s->session, slot);
    bt_token *tokens = session_tokens(s->session, slot);
    memcpy(tokens, r->tokens, (size_t)r->n_tokens * sizeof *tokens);
    if (!r->asked.no_cache) prefix_tree_put(s->tree, slot, r->key, tokens, r->n_tokens);
    if (s->forgets && held > 0) session_checkpoint(s->session, slot);
    if (s->forgets && f->most - held >= SCHED_WORTH_WAITING) r->mark = f->most;
    if (!r->begun) {
        r->begun = os_seconds();
        r->usage.cached = held;
    }
    r->slot = slot;
    s->slots[slot] = (Slot){.request = r, .key = r->key, .used = ++s->clock};
    s->running[s->n_running++] = r;
    sched_take(s, r);
}

/* False: there is no room now. */
static bool admit(Sched *s, Request *r)
{
    bt_error err;
    Source f = find_source(s, r);
    if (!make_room(s, r, &f)) return false;
    int32_t slot = take_slot(s, &f);
    if (slot < 0) return false;
    bt_status status = begin(s, r, &f, slot, &err);
    if (status) {
        clear_slot(s, slot);
        sched_end(s, r, SCHED_END_ERROR, &err);
    } else {
        start(s, r, &f, slot);
    }
    return true;
}

/* Who has to make way for the request: one of lower priority that has not risen to it, or one of a
 * client that has several running where the request's has none; of these the youngest. NULL:
 * nobody. */
static Request *makes_way(const Sched *s, const Request *r)
{
    Request *best = NULL;
    int64_t own = level(s, r), least = 0;
    int32_t most = 0;
    for (int32_t i = 0; i < s->n_running; i++) {
        Request *v = s->running[i];
        int64_t theirs = level(s, v);
        bool lower = v->asked.priority < r->asked.priority && theirs < own;
        bool crowd = v->asked.priority <= r->asked.priority && r->client->n_running == 0 &&
                     v->client->n_running > 1;
        if (!lower && !crowd) continue;
        int32_t n = lower ? INT32_MAX : v->client->n_running;
        bool better = n > most || (n == most && lower && theirs < least);
        bool equal = n == most && (!lower || theirs == least) && (best && v->id > best->id);
        if (!best || better || equal) {
            best = v;
            most = n;
            least = theirs;
        }
    }
    return best;
}

static bool make_way(Sched *s, const Request *r)
{
    Request *v = makes_way(s, r);
    return v && !sched_step_back(s, v, bt_session_length(s->session, v->slot), true);
}

void sched_admit(Sched *s)
{
    enum { MOST_TRIES = 64 }; /* beyond free sequences: looking costs too */
    bool asked = false;       /* one a step makes way */
    Request *r;
    pthread_mutex_lock(&s->lock);
    for (r = s->waiting; r; r = r->next_waiting) r->deferred = false;
    pthread_mutex_unlock(&s->lock);
    for (int32_t tries = s->n_sequences + MOST_TRIES; tries > 0 && (r = choose(s)); tries--) {
        if (defer(s, r)) continue;
        if (s->n_running < s->most_running && admit(s, r)) continue;
        if (asked || !make_way(s, r)) return;
        asked = true;
    }
}
