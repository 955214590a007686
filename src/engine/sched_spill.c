/* Remembered sequences on disk: written when memory gets short, before they have to go, and when
 * the scheduler closes; read back when a prompt begins as one of them does.
 *
 * A thread of its own writes, one sequence at a time, while steps go on: it only reads, and what it
 * reads stands still. A remembered sequence is changed by nobody; that others share its blocks does
 * not change them; and it is neither evicted nor gone on with until it is written. When writing
 * fails (the disk is full), no more is written; nothing else changes. */
#include <string.h>

#include "base/mem.h"
#include "engine/sched_parts.h"

/* Shorter ones are computed as fast. */
#define LEAST_TOKENS 64

struct Spill {
    PrefixDisk *disk;
    pthread_t thread;
    bool started;
    bool stopped; /* writing failed */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool quit;        /* lock */
    int32_t slot;     /* lock: that is written, or was, until it is collected; else -1 */
    bool done;        /* lock */
    bt_status status; /* lock */
    uint64_t bytes;
    char path[PATH_MAX];
};

static void *write_all(void *user)
{
    Sched *s = user;
    Spill *p = s->spill;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->quit && (p->slot < 0 || p->done)) pthread_cond_wait(&p->changed, &p->lock);
        if (p->quit) break;
        int32_t slot = p->slot;
        pthread_mutex_unlock(&p->lock);
        bt_status status = bt_session_save(s->session, slot, p->path, NULL);
        pthread_mutex_lock(&p->lock);
        p->status = status;
        p->done = true;
        pthread_cond_signal(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

bt_status spill_open(Sched *s, const char *folder, uint64_t budget, bt_error *err)
{
    bt_error why;
    s->counted.spill_stopped = folder && budget;
    if (!folder || !budget) return BT_OK;
    Spill *p = mem_zalloc(1, sizeof *p);
    if (!p) return bt_fail_memory(err, folder, sizeof *p);
    p->slot = SCHED_NO_SLOT;
    bt_status status = prefix_disk_open(s->session, folder, budget, &p->disk, &why);
    if (status) {
        mem_free(p);
        return status == BT_E_MEMORY ? bt_fail(err, status, "%s", why.text) : BT_OK;
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    s->spill = p;
    s->counted.spill_stopped = false;
    for (int32_t i = 0; i < PREFIX_DISK_FILES; i++) {
        const PrefixFile *f = prefix_disk_file(p->disk, i);
        if (f->tokens) prefix_tree_put(s->tree, s->n_sequences + i, f->key, f->tokens, f->n);
    }
    s->counted.spilled_bytes = prefix_disk_bytes(p->disk);
    return BT_OK;
}

/* ---- writing ---- */

static void forget_file(Sched *s, int32_t i)
{
    prefix_tree_remove(s->tree, s->n_sequences + i);
    prefix_disk_remove(s->spill->disk, i);
}

static void stop_writing(Sched *s)
{
    s->spill->stopped = s->counted.spill_stopped = true;
}

/* Sequences that can come back to any length make files of their beginnings useless. */
static void forget_beginnings(Sched *s, PrefixKey key, const bt_token *tokens, int32_t n)
{
    for (int32_t i = 0; i < PREFIX_DISK_FILES && !s->forgets; i++) {
        const PrefixFile *f = prefix_disk_file(s->spill->disk, i);
        if (f->tokens && f->n < n && f->key.principal == key.principal &&
            f->key.adapters == key.adapters &&
            memcmp(f->tokens, tokens, (size_t)f->n * sizeof *tokens) == 0)
            forget_file(s, i);
    }
}

/* The sequence was written. */
static void enlist(Sched *s, int32_t slot, uint64_t bytes)
{
    Spill *p = s->spill;
    const bt_token *tokens = session_tokens(s->session, slot);
    int32_t n = bt_session_length(s->session, slot);
    PrefixKey key = s->slots[slot].key;
    int32_t i = prefix_disk_add(p->disk, key, tokens, n, bytes);
    if (i < 0) return;
    prefix_tree_put(s->tree, s->n_sequences + i, key, prefix_disk_file(p->disk, i)->tokens, n);
    forget_beginnings(s, key, tokens, n);
    s->counted.n_spilled++;
    s->counted.spilled_bytes = prefix_disk_bytes(p->disk);
}

/* Takes what the thread has written; with `wait` until it has. */
static void collect(Sched *s, bool wait)
{
    Spill *p = s->spill;
    pthread_mutex_lock(&p->lock);
    while (wait && p->slot >= 0 && !p->done) pthread_cond_wait(&p->changed, &p->lock);
    int32_t slot = p->done ? p->slot : SCHED_NO_SLOT;
    bt_status status = p->status;
    if (slot >= 0) {
        p->slot = SCHED_NO_SLOT;
        p->done = false;
    }
    pthread_mutex_unlock(&p->lock);
    if (slot < 0) return;
    s->slots[slot].writing = false;
    if (status)
        stop_writing(s);
    else
        enlist(s, slot, p->bytes);
}

/* Whether the sequence should be written; makes room for it on the disk and sets path and bytes. */
static bool prepare(Sched *s, int32_t slot)
{
    Spill *p = s->spill;
    const bt_token *tokens = session_tokens(s->session, slot);
    int32_t n = bt_session_length(s->session, slot), i;
    PrefixKey key = s->slots[slot].key;
    s->slots[slot].written = true; /* or is not worth it: not asked again */
    if (n < LEAST_TOKENS) return false;
    if ((i = prefix_disk_find(p->disk, key, tokens, n)) >= 0) {
        prefix_disk_used(p->disk, i);
        return false;
    }
    if (!prefix_disk_path(p->disk, key, tokens, n, p->path)) return false;
    p->bytes = session_file_bytes(s->session, slot);
    while ((i = prefix_disk_in_the_way(p->disk, p->bytes)) >= 0) forget_file(s, i);
    return i == -1;
}

static bool start_thread(Sched *s)
{
    if (!s->spill->started && pthread_create(&s->spill->thread, NULL, write_all, s) == 0)
        s->spill->started = true;
    return s->spill->started;
}

static bool may_write(const Sched *s, int32_t slot)
{
    const Slot *q = &s->slots[slot];
    return !q->request && !q->written && prefix_tree_length(s->tree, slot) > 0;
}

/* Memory is short when a quarter is left, of sequences or of tokens. */
static bool is_short(const Sched *s)
{
    int32_t n = 0;
    for (int32_t q = 0; q < s->n_sequences; q++)
        n += s->slots[q].request || prefix_tree_length(s->tree, q) > 0;
    return n > s->n_sequences - (s->n_sequences + 3) / 4 ||
           state_room(s->session->state) < s->counted.n_tokens / 4;
}

void spill_ahead(Sched *s)
{
    Spill *p = s->spill;
    if (!p) return;
    collect(s, false);
    if (p->stopped || p->slot >= 0 || !is_short(s)) return;
    for (;;) {
        int32_t oldest = SCHED_NO_SLOT;
        for (int32_t q = 0; q < s->n_sequences; q++)
            if (may_write(s, q) && (oldest < 0 || s->slots[q].used < s->slots[oldest].used))
                oldest = q;
        if (oldest < 0) return;
        if (!prepare(s, oldest)) continue;
        if (!start_thread(s)) {
            stop_writing(s);
            return;
        }
        s->slots[oldest].writing = true;
        pthread_mutex_lock(&p->lock);
        p->slot = oldest;
        pthread_cond_signal(&p->changed);
        pthread_mutex_unlock(&p->lock);
        return;
    }
}

bool spill_wait(Sched *s)
{
    if (!s->spill || s->spill->slot < 0) return false;
    collect(s, true);
    return true;
}

/* ---- reading ---- */

const PrefixFile *spill_file(const Sched *s, int32_t entry)
{
    return prefix_disk_file(s->spill->disk, entry - s->n_sequences);
}

bt_status spill_load(Sched *s, int32_t entry, int32_t slot)
{
    Spill *p = s->spill;
    char path[PATH_MAX];
    int32_t i = entry - s->n_sequences;
    const PrefixFile *f = prefix_disk_file(p->disk, i);
    bt_status status = BT_E_IO;
    if (prefix_disk_path(p->disk, f->key, f->tokens, f->n, path))
        status = bt_session_load(s->session, slot, path, NULL);
    if (!status &&
        (bt_session_length(s->session, slot) != f->n ||
         memcmp(session_tokens(s->session, slot), f->tokens, (size_t)f->n * sizeof *f->tokens)))
        status = BT_E_FORMAT; /* another file than the one that was listed */
    if (status) {
        bt_session_truncate(s->session, slot, 0, NULL);
        forget_file(s, i);
        s->counted.spilled_bytes = prefix_disk_bytes(p->disk);
        return status;
    }
    prefix_disk_used(p->disk, i);
    s->counted.n_reloaded++;
    return BT_OK;
}

/* ---- the end ---- */

/* Of those that may be written, the one used last (or first); SCHED_NO_SLOT: none. */
static int32_t next_slot(const Sched *s, bool last, bool chosen)
{
    int32_t best = SCHED_NO_SLOT;
    for (int32_t q = 0; q < s->n_sequences; q++) {
        if (s->slots[q].writing != chosen || !may_write(s, q)) continue;
        bool later = best >= 0 && s->slots[q].used > s->slots[best].used;
        if (best < 0 || later == last) best = q;
    }
    return best;
}

/* What was used last is kept, as much as the budget holds, and written last. */
static void write_rest(Sched *s)
{
    Spill *p = s->spill;
    uint64_t left = prefix_disk_budget(p->disk);
    int32_t slot;
    while ((slot = next_slot(s, true, false)) >= 0) {
        uint64_t bytes = session_file_bytes(s->session, slot);
        if (bytes > left) break;
        left -= bytes;
        s->slots[slot].writing = true;
    }
    while (!p->stopped && (slot = next_slot(s, false, true)) >= 0) {
        s->slots[slot].writing = false;
        if (!prepare(s, slot)) continue;
        if (bt_session_save(s->session, slot, p->path, NULL))
            stop_writing(s);
        else
            enlist(s, slot, p->bytes);
    }
}

void spill_close(Sched *s)
{
    Spill *p = s->spill;
    if (!p) return;
    collect(s, true);
    if (p->started) {
        pthread_mutex_lock(&p->lock);
        p->quit = true;
        pthread_cond_signal(&p->changed);
        pthread_mutex_unlock(&p->lock);
        pthread_join(p->thread, NULL);
    }
    if (!p->stopped) write_rest(s);
    prefix_disk_close(&p->disk);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->changed);
    mem_free(p);
    s->spill = NULL;
}
