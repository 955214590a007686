/* One step: which rows, what when they do not fit or fail, and what comes of them. */
#include <string.h>

#include "base/os.h"
#include "engine/sched_parts.h"

/* ---- rows ---- */

static bool answering(const Sched *s, const Request *r)
{
    return r->chosen && bt_session_length(s->session, r->slot) >= r->n_tokens;
}

static void add_part(Sched *s, Request *r, const bt_token *tokens, int32_t n, bool wants)
{
    int32_t held = bt_session_length(s->session, r->slot);
    s->parts[s->n_parts++] =
        (Part){.request = r, .first = s->n_rows, .n = n, .held = held, .wants = wants};
    for (int32_t i = 0; i < n; i++)
        s->rows[s->n_rows++] =
            (bt_row){.token = tokens[i], .sequence = r->slot, .want_logits = wants && i + 1 == n};
    s->n_wanted += wants;
    s->added[r->slot] = n;
    r->planned = true;
}

/* A row for each sequence that answers; where there are too many, they take turns. */
static void add_answers(Sched *s, int32_t most)
{
    int32_t n = s->n_running, turn = s->turn < n ? s->turn : 0;
    if (most > s->n_logits) most = s->n_logits;
    for (int32_t i = 0; i < n; i++) {
        int32_t at = (turn + i) % n;
        Request *r = s->running[at];
        if (!answering(s, r)) continue;
        if (s->n_rows == most) {
            s->turn = at;
            return;
        }
        add_part(s, r, &r->next_token, 1, true);
    }
    s->turn = 0;
}

/* Where reading has to pause, so that layers that forget can come back there. */
static int32_t next_stop(const Request *r, int32_t held)
{
    int32_t every = (held / SCHED_CHECKPOINT_EVERY + 1) * SCHED_CHECKPOINT_EVERY;
    int32_t places[] = {every, r->mark, r->stable, r->n_tokens - 1}, stop = r->n_tokens;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (places[i] > held && places[i] < stop) stop = places[i];
    return stop;
}

static bool is_stop(const Request *r, int32_t held)
{
    return held <= r->n_tokens && (held % SCHED_CHECKPOINT_EVERY == 0 || held == r->mark ||
                                   held == r->stable || held == r->n_tokens - 1);
}

/* Adds at most `most` rows of what the request has to read; how many. */
static int32_t add_piece(Sched *s, Request *r, int32_t most)
{
    int32_t held = bt_session_length(s->session, r->slot), n = r->n_tokens - held;
    if (s->forgets && !r->asked.no_cache) n = next_stop(r, held) - held;
    if (n > most) n = most;
    bool wants = held + n == r->n_tokens && !r->chosen && r->most > 0;
    if (wants && s->n_wanted == s->n_logits) { /* its last row waits for the next step */
        wants = false;
        n--;
    }
    if (n > 0) add_part(s, r, r->tokens + held, n, wants);
    return n > 0 ? n : 0;
}

static int32_t left(const Sched *s, const Request *r)
{
    return r->n_tokens - bt_session_length(s->session, r->slot);
}

/* Who reads next: who came first, but that a prompt may pass another that came PLACE tokens' worth
 * of places before it and has so much more left. NULL: all have rows, or are done. */
static Request *next_reader(const Sched *s)
{
    enum { PLACE = 8 };
    Request *best = NULL;
    int64_t least = 0;
    for (int32_t i = 0; i < s->n_running; i++) {
        Request *r = s->running[i];
        if (r->planned || left(s, r) < 1) continue;
        int64_t cost = left(s, r) + (int64_t)i * PLACE;
        if (best && cost >= least) continue;
        best = r;
        least = cost;
    }
    return best;
}

static Request *first_reader(const Sched *s)
{
    for (int32_t i = 0; i < s->n_running; i++)
        if (left(s, s->running[i]) > 0) return s->running[i];
    return NULL;
}

/* Who came first gets done: all that it has left, if the step has room for it, so that its answer
 * begins now; else half of the rows, so that short prompts behind need not wait for a long one. Of
 * the rest more for short ones. Where nobody answers yet and the first prompt fits, others get only
 * what n_prefill leaves: more of theirs would make the first answer late, and theirs no earlier. */
static void add_readers(Sched *s, int32_t most)
{
    Request *first = first_reader(s), *r;
    int32_t part = first ? left(s, first) : 0, others = 0, rest;
    if (!first) return;
    if (part <= most) {
        if (most > s->n_prefill) most = part > s->n_prefill ? part : s->n_prefill;
    } else {
        for (int32_t i = 0; i < s->n_running; i++)
            if (s->running[i] != first && left(s, s->running[i]) > 0)
                others += left(s, s->running[i]);
        rest = most / 2 < others ? most / 2 : others;
        part = most - rest;
    }
    most -= add_piece(s, first, part);
    first->planned = true;
    while (most > 0 && (r = next_reader(s))) {
        most -= add_piece(s, r, most);
        r->planned = true;
    }
}

static void plan(Sched *s)
{
    bool reading = false;
    s->n_rows = s->n_parts = s->n_wanted = 0;
    memset(s->added, 0, (size_t)s->n_sequences * sizeof *s->added);
    for (int32_t i = 0; i < s->n_running; i++) {
        s->running[i]->planned = false;
        reading = reading || left(s, s->running[i]) > 0;
    }
    add_answers(s, reading ? s->n_batch - (s->n_batch + 3) / 4 : s->n_batch);
    int32_t most = s->n_batch - s->n_rows;
    if (s->n_rows > 0 && most > s->n_prefill) most = s->n_prefill;
    if (reading) add_readers(s, most);
}

/* The youngest of the least priority; NULL when only one runs. */
static Request *victim(const Sched *s)
{
    Request *worst = NULL;
    for (int32_t i = 0; i < s->n_running && s->n_running > 1; i++) {
        Request *r = s->running[i];
        if (!worst || r->asked.priority < worst->asked.priority ||
            (r->asked.priority == worst->asked.priority && r->id > worst->id))
            worst = r;
    }
    return worst;
}

/* Plans a step whose rows have room; others go for it, or step back. */
static void plan_within(Sched *s)
{
    for (;;) {
        bt_error err;
        int32_t turn = s->turn;
        plan(s);
        if (s->n_parts == 0 || state_has_room(s->session->state, s->added)) return;
        s->turn = turn;
        if (sched_evict(s, SCHED_NO_SLOT)) continue;
        Request *r = victim(s);
        if (r && !sched_step_back(s, r, bt_session_length(s->session, r->slot), false)) continue;
        bt_fail(&err, r ? BT_E_MEMORY : BT_E_INTERNAL, "no memory is left for %d tokens more",
                s->n_rows);
        sched_end(s, r ? r : s->running[0], SCHED_END_ERROR, &err);
    }
}

/* ---- what comes of a step ---- */

static bool ends_answer(const Sched *s, bt_token id)
{
    for (size_t i = 0; i < s->n_enders; i++)
        if (s->enders[i] == id) return true;
    return false;
}

/* The request takes the token that was drawn for it. */
static void deliver(Sched *s, Request *r)
{
    if (!r->first) r->first = os_seconds();
    if (atomic_load(&r->cancelled)) {
        sched_end(s, r, SCHED_END_CANCELLED, NULL);
        return;
    }
    if (!r->n_forced && ends_answer(s, r->picked)) {
        sched_end(s, r, SCHED_END_STOP, NULL);
        return;
    }
    if (r->n_forced && !--r->n_forced) r->asked.force = NULL; /* once */
    SchedToken token = {.id = r->picked,
                        .logprob = r->logprob,
                        .top = r->top,
                        .top_logprob = r->top_logprob,
                        .n_top = r->n_top,
                        .last = ++r->usage.completion == r->most};
    r->next_token = r->picked;
    r->chosen = true;
    bool full = r->n_prompt + r->usage.completion >= s->n_ctx;
    bool counted = r->usage.completion == r->asked.n_predict;
    if (!r->asked.token(r->asked.user, &token))
        sched_end(s, r, SCHED_END_CALLER, NULL);
    else if (token.last)
        sched_end(s, r, full && !counted ? SCHED_END_CONTEXT : SCHED_END_LENGTH, NULL);
    else if (!r->n_forced && r->asked.force && r->asked.force(r->asked.user))
        r->n_forced = r->asked.n_forced;
}

static void settle(Sched *s, const Part *parts, int32_t n)
{
    int32_t logits = 0;
    s->n_picking = 0;
    for (int32_t i = 0; i < n; i++) {
        Request *r = parts[i].request;
        int32_t held = parts[i].held + parts[i].n;
        if (s->forgets && !r->asked.no_cache && parts[i].held < r->n_tokens && is_stop(r, held))
            session_checkpoint(s->session, r->slot);
        if (!parts[i].wants) continue;
        r->logits = logits++;
        s->picking[s->n_picking++] = r;
    }
    sched_pick(s);
    for (int32_t i = 0; i < n; i++) {
        Request *r = parts[i].request;
        if (parts[i].wants)
            deliver(s, r);
        else if (r->most == 0 && parts[i].held + parts[i].n == r->n_tokens)
            sched_end(s, r, SCHED_END_LENGTH, NULL);
    }
}

/* Runs the parts; when that fails, each on its own, so that it ends only those that it concerns. */
static void run(Sched *s, Part *parts, int32_t n)
{
    bt_error err = {0};
    const Part *last = &parts[n - 1];
    const bt_row *rows = s->rows + parts[0].first;
    size_t n_rows = (size_t)(last->first + last->n - parts[0].first);
    s->counted.n_steps++;
    s->counted.n_rows += n_rows;
    bt_status status = bt_session_step(s->session, rows, n_rows, &err);
    if (!status) {
        settle(s, parts, n);
        return;
    }
    if (n == 1) {
        sched_end(s, parts[0].request, SCHED_END_ERROR, &err);
        return;
    }
    for (int32_t i = 0; i < n; i++) {
        Request *r = parts[i].request;
        if (bt_session_length(s->session, r->slot) == parts[i].held)
            run(s, &parts[i], 1);
        else if (sched_step_back(s, r, parts[i].held,
                                 false)) /* what it held was lost with the step */
            sched_end(s, r, SCHED_END_ERROR, &err);
    }
}

/* ---- the whole of it ---- */

static void end_cancelled(Sched *s)
{
    if (!atomic_exchange(&s->any_cancelled, false)) return;
    for (;;) {
        pthread_mutex_lock(&s->lock);
        Request *r = s->oldest;
        while (r && !atomic_load(&r->cancelled)) r = r->next;
        pthread_mutex_unlock(&s->lock);
        if (!r) return;
        sched_end(s, r, SCHED_END_CANCELLED, NULL);
    }
}

/* What other threads may see of it all; whether nothing is left to do. */
static bool publish(Sched *s)
{
    int32_t n_remembered = 0;
    for (int32_t q = 0; q < s->n_sequences; q++)
        n_remembered += !s->slots[q].request && prefix_tree_length(s->tree, q) > 0;
    SchedStats *c = &s->counted;
    c->n_running = s->n_running;
    c->n_remembered = n_remembered;
    c->n_tokens_used = c->n_tokens - state_room(s->session->state);
    pthread_mutex_lock(&s->lock);
    c->n_requests = s->stats.n_requests;
    c->n_refused = s->stats.n_refused;
    s->stats = *c;
    bool idle = s->n_running == 0 && s->n_waiting == 0 && !atomic_load(&s->any_cancelled);
    pthread_mutex_unlock(&s->lock);
    return idle;
}

bt_status sched_step(Sched *s, bool *idle, bt_error *err)
{
    double begun = os_seconds();
    bt_error_clear(err);
    pthread_mutex_lock(&s->lock);
    s->woken = false;
    pthread_mutex_unlock(&s->lock);
    end_cancelled(s);
    sched_admit(s);
    plan_within(s);
    bool ran = s->n_parts > 0;
    if (ran) run(s, s->parts, s->n_parts);
    spill_ahead(s);
    if (ran) s->counted.step_us += (uint64_t)((os_seconds() - begun) * 1e6);
    *idle = publish(s);
    if (!ran && !*idle && s->n_running > 0)
        return bt_fail(err, BT_E_INTERNAL, "%d requests run and none has a row", s->n_running);
    return BT_OK;
}
