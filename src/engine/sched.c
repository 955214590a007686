/* Opening, closing, and what other threads may call (see sched.h). */
#include "engine/sched.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/os.h"
#include "engine/sampler_select.h"
#include "engine/sched_parts.h"

enum { DEFAULT_SEQUENCES = 16, DEFAULT_PREFILL = 128, DEFAULT_QUEUE = 512 };
#define SECOND           1000000000L /* nanoseconds */
#define MOST_LOGIT_BYTES ((uint64_t)64 << 20)

/* ---- opening ---- */

/* What may be chosen to fit the memory. */
typedef struct Freedom {
    bool context, sequences, checkpoints, tokens, batch;
    int32_t running; /* sequences that must be there */
} Freedom;

/* Asks for less: where each sequence costs, of those that only remember; of tokens together, of
 * checkpoints where they cost, of sequences, of the context, then of rows a step. False: there is
 * nothing left to give. */
static bool ask_less(SessionShape *shape, const Freedom *may, bool forgets)
{
    if (forgets && may->sequences && may->running && shape->n_sequences > may->running) {
        shape->n_sequences = may->running + (shape->n_sequences - may->running) / 2;
        if (may->checkpoints) shape->n_checkpoints = 2 * shape->n_sequences + 1;
        return true;
    }
    if (may->tokens && shape->n_tokens > shape->n_ctx) {
        int32_t less = shape->n_tokens / 4 * 3;
        shape->n_tokens = less > shape->n_ctx ? less : shape->n_ctx;
        return true;
    }
    if (forgets && may->checkpoints && shape->n_checkpoints > shape->n_sequences / 2 + 1) {
        shape->n_checkpoints = shape->n_checkpoints / 2 + 1;
        if (shape->n_checkpoints <= shape->n_sequences / 2 + 1)
            shape->n_checkpoints = shape->n_sequences / 2 + 1;
        return true;
    }
    int32_t least = may->running ? may->running : 2;
    if (may->sequences && shape->n_sequences > least) { /* each may begin a block of its own */
        shape->n_sequences = shape->n_sequences / 2 > least ? shape->n_sequences / 2 : least;
        if (may->checkpoints) shape->n_checkpoints = shape->n_sequences + 1;
        return true;
    }
    if (may->context && shape->n_ctx > 2 * KV_BLOCK) {
        shape->n_ctx = shape->n_ctx / 4 * 3;
        if (may->tokens) shape->n_tokens = shape->n_ctx;
        return true;
    }
    if (!may->batch || shape->n_batch / 2 < MODEL_LEAST) return false;
    shape->n_batch /= 2;
    if (shape->n_wanted > shape->n_batch) shape->n_wanted = shape->n_batch;
    return true;
}

static bt_status fit(const bt_model *m, SessionShape *shape, const Freedom *may, uint64_t limit,
                     bt_error *err)
{
    bt_memory_plan plan;
    bool forgets = state_forgets(m->layers, m->hyper.n_layers);
    for (;;) {
        SessionShape tried = *shape;
        bt_status status = model_plan(m, &tried, limit, &plan, err);
        if (status != BT_E_MEMORY || !ask_less(shape, may, forgets)) return status;
    }
}

static bt_status choose_shape(const bt_model *m, const SchedOptions *o, SessionShape *shape,
                              bt_error *err)
{
    Freedom may = {.context = o->n_ctx < 1,
                   .sequences = o->n_sequences < 1,
                   .checkpoints = o->n_checkpoints < 1,
                   .tokens = o->n_tokens < 1,
                   .batch = o->n_batch<1, .running = o->n_running> 0 ? o->n_running : 0};
    int32_t n = !may.sequences            ? o->n_sequences
                : may.running > 65536 / 3 ? may.running
                : may.running             ? 3 * may.running
                                          : DEFAULT_SEQUENCES;
    *shape = (SessionShape){.n_ctx = may.context ? m->hyper.n_ctx_train : o->n_ctx,
                            .n_sequences = n,
                            .n_batch = o->n_batch > 0 ? o->n_batch : MODEL_BATCH,
                            .n_checkpoints = may.checkpoints ? 2 * n + 1 : o->n_checkpoints,
                            .kv = o->kv};
    if (!m->arch)
        return bt_fail(err, BT_E_ARGUMENT, "the model was opened for its vocabulary only");
    if (n > 65536 || shape->n_batch > MODEL_MOST_ROWS || shape->n_checkpoints > 4 * 65536)
        return bt_fail(err, BT_E_ARGUMENT,
                       "%d sequences, %d rows a step, %d checkpoints: out of range", n,
                       shape->n_batch, shape->n_checkpoints);
    int64_t all = (int64_t)shape->n_ctx * n;
    shape->n_tokens = o->n_tokens;
    if (may.tokens) shape->n_tokens = all < 1 << 28 ? (int32_t)all : 1 << 28;
    /* logits of a large vocabulary are a lot of memory: steps with fewer of them take turns */
    uint64_t row = (uint64_t)m->hyper.n_vocab * sizeof(float), most = MOST_LOGIT_BYTES / row;
    shape->n_wanted = may.running && may.running < n ? may.running : n;
    if (shape->n_wanted > shape->n_batch) shape->n_wanted = shape->n_batch;
    if (most < 16) most = 16;
    if ((uint64_t)shape->n_wanted > most) shape->n_wanted = (int32_t)most;
    uint64_t limit = o->memory_limit, there = os_memory_available();
    if (limit || !may.tokens || !there) return fit(m, shape, &may, limit, err);
    SessionShape asked = *shape; /* three quarters will do, unless the model itself needs more */
    bt_status status = fit(m, shape, &may, there / 4 * 3, err);
    if (status != BT_E_MEMORY) return status;
    *shape = asked;
    return fit(m, shape, &may, 0, err);
}

static bt_status find_enders(Sched *s, bt_error *err)
{
    size_t n = 0;
    for (bt_token id = 0; id < s->n_vocab; id++) n += bt_model_token_ends(s->model, id);
    s->enders = mem_alloc((n + 1) * sizeof *s->enders);
    if (!s->enders) return bt_fail_memory(err, "a scheduler", n * sizeof *s->enders);
    for (bt_token id = 0; id < s->n_vocab; id++)
        if (bt_model_token_ends(s->model, id)) s->enders[s->n_enders++] = id;
    return BT_OK;
}

static bt_status allocate(Sched *s, bt_error *err)
{
    size_t n = (size_t)s->n_sequences, members = (size_t)team_size(s->model->team);
    s->tree = prefix_tree_open(s->n_sequences + PREFIX_DISK_FILES);
    s->slots = mem_zalloc(n, sizeof *s->slots);
    s->running = mem_zalloc(n, sizeof(Request *));
    s->picking = mem_zalloc(n, sizeof(Request *));
    s->rows = mem_zalloc((size_t)s->n_batch, sizeof *s->rows);
    s->parts = mem_zalloc(n, sizeof *s->parts);
    s->added = mem_zalloc(n, sizeof *s->added);
    s->copies =
        mem_zalloc(members * ((size_t)s->n_vocab + SAMPLER_PEAKS(s->n_vocab)), sizeof *s->copies);
    s->candidates = mem_zalloc(members * SCHED_MOST_TOP, sizeof(SamplerCandidate));
    if (!s->tree || !s->slots || !s->running || !s->picking || !s->rows || !s->parts || !s->added ||
        !s->copies || !s->candidates)
        return bt_fail_memory(err, "a scheduler", n * sizeof *s->slots);
    return find_enders(s, err);
}

static bt_status prepare(Sched *s, const SchedOptions *o, bt_error *err)
{
    SessionShape shape;
    bt_status status = choose_shape(s->model, o, &shape, err);
    if (!status) status = session_open_shape(s->model, &shape, o->memory_limit, &s->session, err);
    if (status) return status;
    s->session->checkpoints_asked = true;
    s->n_sequences = s->session->n_sequences;
    s->most_running = s->n_sequences;
    if (o->n_running > 0 && o->n_running < s->n_sequences) s->most_running = o->n_running;
    s->n_ctx = s->session->n_ctx;
    s->n_batch = s->session->n_batch;
    s->n_logits = s->session->n_logits;
    s->n_vocab = s->model->hyper.n_vocab;
    s->n_tokens = shape.n_tokens;
    s->n_prefill = o->n_prefill > 0 ? o->n_prefill : DEFAULT_PREFILL;
    s->n_queue = o->n_queue > 0 ? o->n_queue : DEFAULT_QUEUE;
    s->forgets = state_forgets(s->model->layers, s->model->hyper.n_layers);
    s->counted.n_sequences = s->n_sequences;
    s->counted.n_ctx = s->n_ctx;
    s->counted.n_tokens = state_room(s->session->state);
    status = allocate(s, err);
    if (!status) status = spill_open(s, o->spill_dir, o->spill_bytes, err);
    s->stats = s->counted;
    return status;
}

bt_status sched_open(bt_model *model, const SchedOptions *options, Sched **out, bt_error *err)
{
    static const SchedOptions defaults;
    *out = NULL;
    bt_error_clear(err);
    Sched *s = mem_zalloc(1, sizeof *s);
    if (!s) return bt_fail_memory(err, "a scheduler", sizeof *s);
    s->model = model;
    s->waiting_end = &s->waiting;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wakes, NULL);
    bt_status status = prepare(s, options ? options : &defaults, err);
    if (status) {
        sched_close(&s);
        return status;
    }
    *out = s;
    return BT_OK;
}

void sched_close(Sched **sched)
{
    Sched *s = *sched;
    if (!s) return;
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_mutex_unlock(&s->lock);
    while (s->oldest) sched_end(s, s->oldest, SCHED_END_CANCELLED, NULL);
    spill_close(s);
    bt_session_close(&s->session);
    prefix_tree_close(&s->tree);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->wakes);
    mem_free(s->slots);
    mem_free(s->running);
    mem_free(s->picking);
    mem_free(s->rows);
    mem_free(s->parts);
    mem_free(s->added);
    mem_free(s->copies);
    mem_free(s->candidates);
    mem_free(s->enders);
    mem_free(s);
    *sched = NULL;
}

/* ---- requests come and go ---- */

/* The principal's record, made if it is new; NULL: no memory. Under the lock. */
static Client *client_of(Sched *s, uint64_t principal)
{
    Client *c = s->clients;
    while (c && c->principal != principal) c = c->next;
    if (!c) {
        c = mem_zalloc(1, sizeof *c);
        if (!c) return NULL;
        c->principal = principal;
        c->next = s->clients;
        s->clients = c;
    }
    c->n_requests++;
    return c;
}

static void leave_client(Sched *s, Client *c)
{
    if (--c->n_requests > 0) return;
    Client **link = &s->clients;
    while (*link != c) link = &(*link)->next;
    *link = c->next;
    mem_free(c);
}

static void wake(Sched *s)
{
    s->woken = true;
    pthread_cond_signal(&s->wakes);
}

/* Under the lock. */
static bt_status enter(Sched *s, Request *r, bt_error *err)
{
    if (s->closing) return bt_fail(err, BT_E_CANCELLED, "the scheduler closes");
    if (s->n_waiting >= s->n_queue)
        return bt_fail(err, BT_E_LIMIT, "%d requests wait already, as many as may; try again later",
                       s->n_waiting);
    r->client = client_of(s, r->key.principal);
    if (!r->client) return bt_fail_memory(err, "a request", sizeof *r->client);
    r->id = ++s->last_id;
    r->rank = s->admitted;
    r->before = s->newest;
    if (s->newest)
        s->newest->next = r;
    else
        s->oldest = r;
    s->newest = r;
    *s->waiting_end = r;
    s->waiting_end = &r->next_waiting;
    s->n_waiting++;
    s->stats.n_requests++;
    wake(s);
    return BT_OK;
}

bt_status sched_submit(Sched *s, const SchedRequest *request, uint64_t *id, bt_error *err)
{
    Request *r;
    bt_error_clear(err);
    bt_status status = request_open(s, request, &r, err);
    uint64_t given = 0;
    pthread_mutex_lock(&s->lock);
    if (!status) status = enter(s, r, err);
    if (status)
        s->stats.n_refused++;
    else
        given = r->id; /* from here on it is the stepping thread's */
    pthread_mutex_unlock(&s->lock);
    if (status) request_close(&r);
    if (id) *id = given;
    return status;
}

void sched_cancel(Sched *s, uint64_t id)
{
    pthread_mutex_lock(&s->lock);
    Request *r = s->newest;
    while (r && r->id != id) r = r->before;
    if (r) {
        atomic_store(&r->cancelled, true);
        atomic_store(&s->any_cancelled, true);
        wake(s);
    }
    pthread_mutex_unlock(&s->lock);
}

static void stop_waiting(Sched *s, Request *r)
{
    Request **link = &s->waiting;
    while (*link != r) link = &(*link)->next_waiting;
    *link = r->next_waiting;
    if (s->waiting_end == &r->next_waiting) s->waiting_end = link;
    s->n_waiting--;
}

void sched_take(Sched *s, Request *r)
{
    pthread_mutex_lock(&s->lock);
    stop_waiting(s, r);
    r->client->served = ++s->admitted;
    r->client->n_running++;
    pthread_mutex_unlock(&s->lock);
}

void sched_put_back(Sched *s, Request *r)
{
    pthread_mutex_lock(&s->lock);
    r->next_waiting = s->waiting;
    if (!s->waiting) s->waiting_end = &r->next_waiting;
    s->waiting = r;
    s->n_waiting++;
    pthread_mutex_unlock(&s->lock);
}

void sched_end(Sched *s, Request *r, SchedEnd why, const bt_error *err)
{
    double now = os_seconds();
    bool waited = r->slot == SCHED_NO_SLOT;
    if (!waited) sched_leave(s, r, why != SCHED_END_ERROR);
    pthread_mutex_lock(&s->lock);
    if (waited) stop_waiting(s, r);
    if (r->next)
        r->next->before = r->before;
    else
        s->newest = r->before;
    if (r->before)
        r->before->next = r->next;
    else
        s->oldest = r->next;
    leave_client(s, r->client);
    pthread_mutex_unlock(&s->lock);
    double begun = r->begun ? r->begun : now, first = r->first ? r->first : now;
    r->usage.queued_us = (uint64_t)((begun - r->submitted) * 1e6);
    r->usage.prefill_us = (uint64_t)((first - begun) * 1e6);
    r->usage.decode_us = (uint64_t)((now - first) * 1e6);
    s->counted.n_ended[why]++;
    s->counted.n_prompt += (uint64_t)r->usage.prompt;
    s->counted.n_cached += (uint64_t)r->usage.cached;
    s->counted.n_completion += (uint64_t)r->usage.completion;
    r->asked.end(r->asked.user, why, &r->usage, why == SCHED_END_ERROR ? err : NULL);
    request_close(&r);
}

/* ---- sleeping, and what can be seen ---- */

void sched_wake(Sched *s)
{
    pthread_mutex_lock(&s->lock);
    wake(s);
    pthread_mutex_unlock(&s->lock);
}

void sched_wait(Sched *s, int ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000L;
    if (until.tv_nsec >= SECOND) until.tv_nsec -= SECOND, until.tv_sec++;
    pthread_mutex_lock(&s->lock);
    while (!s->woken && pthread_cond_timedwait(&s->wakes, &s->lock, &until) != ETIMEDOUT) continue;
    pthread_mutex_unlock(&s->lock);
}

SchedStats sched_stats(Sched *s)
{
    pthread_mutex_lock(&s->lock);
    SchedStats stats = s->stats;
    stats.n_waiting = s->n_waiting;
    pthread_mutex_unlock(&s->lock);
    return stats;
}
