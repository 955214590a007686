/* Answers while they come: tokens from the scheduler are taken apart (text, thoughts, calls), held
 * to the stop strings, and given to the reply, whose bytes go out at once. On the stepping thread,
 * under the job's lock.
 *
 * Stop strings are looked for in what the answer says, not in thoughts and not in calls. */
#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "engine/chat.h"
#include "serve/worker_inner.h"

void choice_close(Choice *c)
{
    bt_answer_close(&c->answer);
    bt_text_close(&c->text);
    stop_close(&c->stop);
    buf_close(&c->shown);
    pending_close(&c->pending);
}

/* ---- what is shown ---- */

static void fail_memory(Job *job)
{
    ApiError error = {0};
    api_fail(&error, API_E_INTERNAL, NULL, "not enough memory for the answer");
    job_fail(job, &error);
}

/* An event goes to the reply, with what is known of its tokens. */
static void emit(Choice *c, const bt_answer_event *e)
{
    Job *job = c->job;
    ApiLogprobs probs;
    if (!pending_logprobs(&c->pending, &probs)) {
        fail_memory(job);
        return;
    }
    if (c->pending.n_ids) api_reply_ids(job->reply, c->index, c->pending.ids, c->pending.n_ids);
    bool said = !e || e->kind == BT_ANSWER_TEXT;
    api_reply_event(job->reply, c->index, e, said && probs.n ? &probs : NULL, &job->out);
    pending_logprobs_free(&probs);
    pending_clear(&c->pending);
}

static void emit_shown(Choice *c)
{
    if (c->shown.failed) fail_memory(c->job);
    if (c->shown.size) {
        const bt_answer_event e = {BT_ANSWER_TEXT, -1, NULL, NULL, c->shown.data, c->shown.size};
        emit(c, &e);
    }
    buf_clear(&c->shown);
}

static void say(Choice *c, const char *text, size_t n)
{
    int word = stop_add(c->stop, text, n, &c->shown);
    if (word >= 0) {
        c->word = word;
        c->enough = true;
    }
    emit_shown(c);
}

static void take_event(Choice *c, const bt_answer_event *e)
{
    c->thinking = e->kind == BT_ANSWER_REASONING;
    if (e->kind == BT_ANSWER_TEXT) {
        say(c, e->text, e->length);
        return;
    }
    stop_flush(c->stop, &c->shown);
    emit_shown(c);
    emit(c, e);
    c->in_call = e->kind == BT_ANSWER_CALL || e->kind == BT_ANSWER_ARGUMENTS;
    if (e->kind == BT_ANSWER_CALL_END && c->job->call->one_call) c->enough = true;
}

static void take_events(Choice *c)
{
    bt_answer_event e;
    while (!c->enough && !c->job->failed && bt_answer_next(c->answer, &e)) take_event(c, &e);
}

/* ---- a token ---- */

static void take_token(Choice *c, const SchedToken *t)
{
    const ApiCall *call = c->job->call;
    const char *piece;
    size_t n;
    c->n_tokens++;
    c->n_thought += call->think_most && bt_answer_thinking(c->answer);
    if (call->n_top >= 0) pending_token(&c->pending, c->job->w->model, t);
    if (call->want_tokens) pending_id(&c->pending, t->id);
    if (c->pending.failed) {
        fail_memory(c->job);
    } else if (c->answer) {
        if (bt_answer_token(c->answer, t->id) != BT_OK)
            fail_memory(c->job);
        else
            take_events(c);
        c->n_reasoning += c->thinking;
    } else if (bt_text_next(c->text, t->id, &piece, &n) != BT_OK) {
        fail_memory(c->job);
    } else if (n) {
        say(c, piece, n);
    }
}

static bool on_token(void *user, const SchedToken *t)
{
    Choice *c = user;
    Job *job = c->job;
    pthread_mutex_lock(&job->lock);
    if (!job->failed && !atomic_load(&job->cancelled)) {
        take_token(c, t);
        job_send(job);
    }
    bool more = !c->enough && !job->failed && !atomic_load(&job->cancelled);
    job_unlock(job);
    return more;
}

/* The thought has become as long as it may: it is ended for the model. */
static bool on_force(void *user)
{
    const Choice *c = user;
    return c->n_thought >= c->job->call->think_most && bt_answer_thinking(c->answer);
}

/* ---- the end ---- */

/* What waited is decided. A call that was cut off stays as far as it came. */
static void finish_text(Choice *c, SchedEnd why)
{
    const char *piece;
    size_t n;
    bool cut = why != SCHED_END_STOP && why != SCHED_END_CALLER;
    if (c->answer) {
        if (cut && c->in_call && !hold_answer(c->job).whole_calls) return;
        if (bt_answer_end(c->answer) != BT_OK)
            fail_memory(c->job);
        else
            take_events(c);
    } else if (bt_text_end(c->text, &piece, &n) != BT_OK) {
        fail_memory(c->job);
    } else if (n) {
        say(c, piece, n);
    }
    if (c->enough) return;
    stop_flush(c->stop, &c->shown);
    emit_shown(c);
}

static ApiFinish finish_of(const Choice *c, SchedEnd why)
{
    if (c->word >= 0) return API_FINISH_WORD;
    switch (why) {
    case SCHED_END_LENGTH:
    case SCHED_END_CONTEXT: return API_FINISH_LENGTH;
    case SCHED_END_CANCELLED: return API_FINISH_CANCEL;
    default: return API_FINISH_STOP;
    }
}

static void add_usage(Choice *c, const SchedUsage *u)
{
    ApiUsage *all = &c->job->usage;
    if (c->index % c->job->call->n == 0) { /* a prompt counts once, whatever its choices */
        all->prompt += u->prompt;
        all->cached += u->cached;
    }
    all->completion += c->n_tokens;
    all->reasoning += c->n_reasoning;
    if (u->queued_us > all->queued_us) all->queued_us = u->queued_us;
    if (u->prefill_us > all->prefill_us) all->prefill_us = u->prefill_us;
    if (u->decode_us > all->decode_us) all->decode_us = u->decode_us;
}

static void end_choice(Choice *c, SchedEnd why)
{
    Job *job = c->job;
    if (!c->enough) finish_text(c, why);
    if (job->failed) return;
    const char *word = c->word >= 0 ? job->call->stops[c->word].text : NULL;
    if (c->pending.n && job->call->kind != API_CHAT && c->word < 0) emit(c, NULL);
    api_reply_choice_end(job->reply, c->index, finish_of(c, why), word, c->n_tokens, &job->out);
}

static void on_end(void *user, SchedEnd why, const SchedUsage *usage, const bt_error *err)
{
    Choice *c = user;
    Job *job = c->job;
    pthread_mutex_lock(&job->lock);
    add_usage(c, usage);
    if (why == SCHED_END_ERROR && !job->failed) {
        ApiError error = {0};
        api_error_from(&error, err);
        job_fail(job, &error);
    }
    if (!job->failed && !atomic_load(&job->cancelled)) {
        end_choice(c, why);
        if (!job->failed && job->stream) job_send(job);
    }
    if (--job->n_left == 0) job_end(job);
    job_unlock(job);
    job_drop(job); /* the choice's hold */
}

/* ---- the beginning ---- */

static bt_status open_choice(Job *job, Choice *c, ApiError *err)
{
    const ApiCall *call = job->call;
    bt_error why = {0};
    Span stops[API_MAX_STOPS];
    for (size_t i = 0; i < call->n_stops && i < API_MAX_STOPS; i++)
        stops[i] = (Span){call->stops[i].text, call->stops[i].size};
    bt_status status = stop_open(stops, call->n_stops, &c->stop, &why);
    const bt_answer_options options = hold_answer(job);
    if (!status && call->kind == API_CHAT)
        status = bt_answer_open(job->w->model, &options, &c->answer, &why);
    else if (!status)
        status = bt_text_open(job->w->model, false, &c->text, &why);
    /* nobody waits for a call of what was not offered */
    if (c->answer && !options.tools) answer_without_calls(c->answer);
    if (status) api_error_from(err, &why);
    return status;
}

static bt_status open_choices(Job *job, ApiError *err)
{
    int n = (int)job->n_prompts * job->call->n;
    job->choices = mem_zalloc((size_t)n, sizeof *job->choices);
    if (!job->choices) return api_fail(err, API_E_INTERNAL, NULL, "not enough memory");
    job->n_choices = n;
    for (int i = 0; i < n; i++) {
        job->choices[i].job = job;
        job->choices[i].index = i;
        job->choices[i].word = -1;
    }
    bt_status status = BT_OK;
    for (int i = 0; i < n && !status; i++) status = open_choice(job, &job->choices[i], err);
    const char *end = NULL;
    if (!status && job->call->think_most) end = bt_answer_thought_end(job->choices[0].answer);
    return end ? prompt_text(job->w, end, strlen(end), 0, &job->thought_end, err) : status;
}

static bt_status open_reply(Job *job, ApiError *err)
{
    size_t prompt = 0;
    for (size_t i = 0; i < job->n_prompts; i++) prompt += job->prompts[i].n;
    job->info.n_prompt = prompt > INT32_MAX ? INT32_MAX : (int32_t)prompt;
    return api_reply_open(job->call, &job->info, &job->reply, err);
}

static bt_status submit(Job *job, Choice *c, ApiError *err)
{
    const ApiCall *call = job->call;
    const Prompt *prompt = &job->prompts[c->index / call->n];
    bt_error why = {0};
    SchedRequest r = {.prompt = prompt->ids,
                      .n_prompt = prompt->n,
                      .n_stable = prompt->stable,
                      .n_predict = call->max_tokens,
                      .sampling = call->sampling,
                      .grammar = job->grammar,
                      .n_top = call->n_top,
                      .ignore_eos = call->ignore_eos,
                      .no_cache = call->no_cache,
                      .adapters = job->uses,
                      .n_adapters = job->n_uses,
                      .forced = job->thought_end.ids,
                      .n_forced = job->thought_end.n,
                      .force = job->thought_end.n ? on_force : NULL,
                      .principal = job->principal,
                      .priority = call->priority,
                      .token = on_token,
                      .end = on_end,
                      .user = c};
    if (call->seeded) r.sampling.seed += (uint64_t)(c->index % call->n);
    job_hold(job);
    bt_status status = sched_submit(job->w->sched, &r, &c->sched_id, &why);
    if (status) {
        c->sched_id = 0;
        api_error_from(err, &why);
        if (status == BT_E_LIMIT) { /* too many wait */
            err->kind = API_E_BUSY;
            err->retry_after = 1;
        }
        job_drop(job);
    } else {
        job->n_left++;
    }
    return status;
}

/* The text of the i-th prompt, for echo: what its ids say. */
static void echo(Job *job, Choice *c)
{
    const Prompt *prompt = &job->prompts[c->index / job->call->n];
    char piece[256];
    Buf text = {0};
    for (size_t i = 0; i < prompt->n; i++) {
        int64_t n = bt_model_token_text(job->w->model, prompt->ids[i], false, piece, sizeof piece);
        if (n > 0) buf_add(&text, piece, n < (int64_t)sizeof piece ? (size_t)n : sizeof piece);
    }
    job->out.failed |= text.failed;
    api_reply_prompt(job->reply, c->index, text.data ? text.data : "", text.size, &job->out);
    buf_close(&text);
}

/* The lock is held from before the first submit until the head is out: no token comes between. */
static bt_status submit_all(Job *job, ApiError *err)
{
    for (int i = 0; i < job->n_choices; i++) {
        bt_status status = atomic_load(&job->cancelled)
                               ? api_fail(err, API_E_UNAVAILABLE, NULL, "cancelled")
                               : submit(job, &job->choices[i], err);
        if (status) return status;
    }
    api_reply_start(job->reply, &job->out);
    for (int i = 0; i < job->n_choices && job->call->echo; i++) echo(job, &job->choices[i]);
    if (job->stream) job_send(job);
    atomic_store(&job->waiting, job->stream != API_STREAM_NOT);
    return BT_OK;
}

bt_status answer_start(Job *job, ApiError *err)
{
    bt_status status = open_choices(job, err);
    if (!status) status = open_reply(job, err);
    if (status) return status;
    pthread_mutex_lock(&job->lock);
    status = submit_all(job, err);
    if (status) job_fail(job, err); /* what was submitted is cancelled; its last end says it */
    job_unlock(job);
    return status;
}
