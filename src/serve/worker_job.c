/* The life of a request: read, answered at once or handed on, and ended exactly once (see
 * worker_inner.h for who holds it and its lock). */
#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "serve/worker_inner.h"

static const char json_type[] = "application/json";

/* ---- sending ---- */

static void send_head(Job *job, int status, const char *type, const char *headers)
{
    const WorkerSink *sink = &job->w->sink;
    if (job->head_sent) return;
    job->head_sent = true;
    sink->head(sink->user, job->id, status, type, headers ? headers : "");
}

static void send_body(Job *job)
{
    const WorkerSink *sink = &job->w->sink;
    if (job->out.size) {
        sink->data(sink->user, job->id, job->out.data, job->out.size);
        job->spoke = os_seconds();
    }
    buf_clear(&job->out);
}

/* Headers that every answer to the call has: the front acts on keep_alive. */
static void add_headers(const Job *job, Buf *headers)
{
    if (job->call && job->call->keep_alive_ms != API_KEEP_DEFAULT)
        buf_printf(headers, "x-bantam-keep-alive: %lld\n", (long long)job->call->keep_alive_ms);
}

static void send_reply_head(Job *job)
{
    Buf headers = {0};
    int status = 200;
    const char *type = json_type;
    if (job->head_sent) return;
    add_headers(job, &headers);
    api_reply_head(job->reply, &status, &type, &headers);
    send_head(job, status, type, headers.failed ? "" : headers.data);
    buf_close(&headers);
}

void job_send(Job *job)
{
    if (job->ended || atomic_load(&job->cancelled)) {
        buf_clear(&job->out);
        return;
    }
    if (job->out.failed || (job->reply && api_reply_failed(job->reply))) {
        ApiError error = {0};
        api_fail(&error, API_E_INTERNAL, NULL, "not enough memory for the answer");
        job_fail(job, &error);
        return;
    }
    if (!job->stream) return;
    send_reply_head(job);
    send_body(job);
}

void job_fail(Job *job, const ApiError *error)
{
    if (job->failed || job->ended) return;
    job->failed = true;
    job->error = *error;
    buf_clear(&job->out);
    for (int i = 0; i < job->n_choices; i++)
        if (job->choices[i].sched_id) sched_cancel(job->w->sched, job->choices[i].sched_id);
}

static void end_failed(Job *job)
{
    Buf headers = {0};
    int status = api_error_http(job->error.kind);
    buf_clear(&job->out);
    if (job->head_sent && job->reply) {
        api_reply_fail(job->reply, &job->error, &job->out);
    } else if (!job->head_sent) {
        api_reply_error(job->flavour, &job->error, API_STREAM_NOT, &status, &job->out);
        if (job->error.retry_after)
            buf_printf(&headers, "retry-after: %d\n", job->error.retry_after);
        send_head(job, status, json_type, headers.failed ? "" : headers.data);
    }
    if (job->out.failed) buf_clear(&job->out);
    send_body(job);
    buf_close(&headers);
}

void job_answer(Job *job, const char *type)
{
    Buf headers = {0};
    if (job->out.failed) {
        ApiError error = {0};
        api_fail(&error, API_E_INTERNAL, NULL, "not enough memory for the answer");
        job_fail(job, &error);
    }
    if (!job->failed && !atomic_load(&job->cancelled)) {
        add_headers(job, &headers);
        send_head(job, 200, type ? type : json_type, headers.failed ? "" : headers.data);
        send_body(job);
    }
    buf_close(&headers);
    job_end(job);
}

/* What a next request may go on from. That it is not remembered is no failure of this answer. */
static void remember(Job *job)
{
    Buf message = {0}, conversation = {0}, object = {0};
    const char *before = job->before.size ? job->before.data : NULL;
    if (job->flavour != API_RESPONSES || !job->call->store || job->call->kind != API_CHAT) return;
    api_reply_message(job->reply, 0, &message);
    if (!message.failed)
        api_responses_remember(job->call, before, message.data ? message.data : "", &conversation);
    api_reply_object(job->reply, &object);
    if (!message.failed && !conversation.failed && !object.failed)
        responses_put(job->w->responses, job->principal, api_reply_id(job->reply),
                      (Span){conversation.data, conversation.size},
                      (Span){object.data, object.size}, os_seconds(), NULL);
    buf_close(&message);
    buf_close(&conversation);
    buf_close(&object);
}

/* All choices have ended. */
static void end_whole(Job *job)
{
    job->usage.total_us = (uint64_t)((os_seconds() - job->began) * 1e6);
    api_reply_end(job->reply, &job->usage, &job->out);
    if (job->out.failed || api_reply_failed(job->reply)) {
        ApiError error = {0};
        api_fail(&error, API_E_INTERNAL, NULL, "not enough memory for the answer");
        job_fail(job, &error);
        return;
    }
    remember(job); /* first: the client may ask for it at once */
    send_reply_head(job);
    send_body(job);
}

void job_end(Job *job)
{
    const WorkerSink *sink = &job->w->sink;
    const ApiUsage *u = &job->usage;
    if (job->ended) return;
    if (!job->failed && !atomic_load(&job->cancelled) && job->reply && job->choices) end_whole(job);
    if (job->failed && !atomic_load(&job->cancelled)) end_failed(job);
    job->ended = true;
    const WorkerUsage usage = {(uint32_t)u->prompt, (uint32_t)u->cached, (uint32_t)u->completion,
                               u->queued_us,        u->prefill_us,       u->decode_us};
    sink->end(sink->user, job->id, &usage);
}

/* ---- holds ---- */

void job_hold(Job *job)
{
    atomic_fetch_add(&job->holds, 1);
}

static void free_job(Job *job)
{
    for (int i = 0; i < job->n_choices && job->choices; i++) choice_close(&job->choices[i]);
    mem_free(job->choices);
    for (size_t i = 0; i < job->n_prompts && job->prompts; i++) mem_free(job->prompts[i].ids);
    mem_free(job->prompts);
    embed_close(&job->embed);
    api_reply_close(&job->reply);
    api_call_close(&job->call);
    bt_grammar_close(&job->grammar);
    mem_free(job->method);
    mem_free(job->path);
    mem_free(job->body);
    mem_free(job->headers);
    mem_free(job->tail);
    mem_free(job->thought_end.ids);
    mem_free(job->tools);
    buf_close(&job->before);
    buf_close(&job->out);
    pthread_mutex_destroy(&job->lock);
    mem_free(job);
}

void job_drop(Job *job)
{
    if (atomic_fetch_sub(&job->holds, 1) == 1) free_job(job);
}

static void leave(Job *job)
{
    Worker *w = job->w;
    pthread_mutex_lock(&w->lock);
    if (job->before_it)
        job->before_it->next = job->next;
    else
        w->jobs = job->next;
    if (job->next) job->next->before_it = job->before_it;
    w->n_jobs--;
    if (job->failed) w->n_refused++;
    pthread_mutex_unlock(&w->lock);
    job_drop(job); /* the list's */
}

void job_unlock(Job *job)
{
    bool over = job->ended && !job->left;
    job->left |= over;
    pthread_mutex_unlock(&job->lock);
    if (over) leave(job);
}

/* ---- reading ---- */

static bt_status recall(Job *job, ApiError *err)
{
    const char *id = job->call->previous_response_id;
    if (!id) return BT_OK;
    if (responses_get(job->w->responses, job->principal, id, &job->before, NULL, os_seconds()))
        return BT_OK;
    if (job->before.failed)
        return api_fail(err, API_E_INTERNAL, NULL, "not enough memory for the conversation");
    return api_fail(err, API_E_NOT_FOUND, "previous_response_id",
                    "there is no response '%.80s': it was not stored, or its time is over", id);
}

static bt_status find_adapters(Job *job, ApiError *err)
{
    const Worker *w = job->w;
    const ApiCall *call = job->call;
    for (size_t i = 0; i < w->n_adapters && !call->n_adapters; i++)
        if (w->adapters[i].always && job->n_uses < API_MAX_ADAPTERS)
            job->uses[job->n_uses++] =
                (bt_adapter_use){w->adapters[i].adapter, w->adapters[i].scale};
    for (size_t i = 0; i < call->n_adapters; i++) {
        const Adapter *found = NULL;
        for (size_t k = 0; k < w->n_adapters && !found; k++)
            if (strcmp(w->adapters[k].name, call->adapters[i].name) == 0) found = &w->adapters[k];
        if (!found)
            return api_fail(err, API_E_INVALID, "adapters",
                            "there is no adapter '%.80s' for this model (%zu %s known)",
                            call->adapters[i].name, w->n_adapters,
                            w->n_adapters == 1 ? "is" : "are");
        if (call->adapters[i].scale != 0)
            job->uses[job->n_uses++] = (bt_adapter_use){found->adapter, call->adapters[i].scale};
    }
    return BT_OK;
}

static bt_status can_write(const Worker *w, ApiError *err)
{
    if (w->sched) return BT_OK;
    return api_fail(err, API_E_UNSUPPORTED, "model",
                    "this model makes embeddings; it does not write answers");
}

/* The call is read: answers it at once, or hands it on. */
static bt_status dispatch(Job *job, ApiError *err)
{
    bt_status status = BT_OK;
    if (simple_answer(job, err, &status)) return status;
    switch (job->call->kind) {
    case API_EMBED:
    case API_RERANK:
        status = find_adapters(job, err);
        return status ? status : embed_start(job, err);
    case API_CHAT:
    case API_COMPLETION:
    case API_INFILL:
        status = can_write(job->w, err);
        if (!status) status = find_adapters(job, err);
        if (!status) status = recall(job, err);
        if (!status) status = prompt_make(job, err);
        if (!status) status = hold_make(job, err);
        return status ? status : answer_start(job, err);
    default: return api_fail(err, API_E_NOT_FOUND, NULL, "a model's worker does not answer this");
    }
}

static bt_status read_call(Job *job, const ApiHttp *http, ApiError *err)
{
    ApiRoute route;
    bool draining;
    api_routes(http->method, http->path, &route);
    job->flavour = route.flavour;
    pthread_mutex_lock(&job->w->lock);
    draining = job->w->draining;
    pthread_mutex_unlock(&job->w->lock);
    if (draining) return api_fail(err, API_E_UNAVAILABLE, NULL, "the server is shutting down");
    bt_status status = api_parse(http, &job->w->defaults, &job->call, err);
    if (status) return status;
    job->flavour = job->call->flavour;
    job->stream = job->call->stream;
    return BT_OK;
}

void job_run(Job *job, const ApiHttp *http)
{
    ApiError error = {0};
    bt_status status = read_call(job, http, &error);
    if (!status) status = dispatch(job, &error);
    pthread_mutex_lock(&job->lock);
    if (status) job_fail(job, &error);
    if (status && !job->n_left) job_end(job); /* else the last choice does */
    job_unlock(job);
}
