/* The worker's core: requests in, steps, counters (see worker.h). Opening is worker_open.c. */
#include "serve/worker.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/os.h"
#include "serve/worker_inner.h"

enum {
    LONG_BODY = 64 << 10,     /* bytes: larger ones are read on a thread of their own */
    LONG_WAITING = 128 << 20, /* most bytes that wait for it */
    PING_SECONDS = 10         /* a stream that says nothing */
};

/* ---- requests ---- */

static void stamp(Job *job)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    job->began = job->spoke = os_seconds();
    job->info = (ApiInfo){.model = job->w->name,
                          .created = (int64_t)now.tv_sec,
                          .created_ns = (int32_t)now.tv_nsec,
                          .slot = job->w->slot,
                          .n_ctx = job->w->n_ctx};
    os_random(&job->info.unique, sizeof job->info.unique);
}

/* In the list, held by it and by the caller. */
static Job *make_job(Worker *w, const WorkerRequest *request)
{
    Job *job = mem_zalloc(1, sizeof *job);
    if (!job) return NULL;
    job->w = w;
    job->id = request->id;
    job->principal = request->principal;
    atomic_init(&job->holds, 2);
    pthread_mutex_init(&job->lock, NULL);
    stamp(job);
    pthread_mutex_lock(&w->lock);
    job->next = w->jobs;
    if (w->jobs) w->jobs->before_it = job;
    w->jobs = job;
    w->n_jobs++;
    w->n_requests++;
    pthread_mutex_unlock(&w->lock);
    return job;
}

/* There is not even memory for the job: the error's shape is made without one. */
static void refuse(Worker *w, const WorkerRequest *request)
{
    static const WorkerUsage none;
    ApiRoute route;
    ApiError error = {0};
    Buf out = {0};
    int status = 503;
    api_routes(request->http.method, request->http.path, &route);
    api_fail(&error, API_E_INTERNAL, NULL, "not enough memory for the request");
    api_reply_error(route.flavour, &error, API_STREAM_NOT, &status, &out);
    w->sink.head(w->sink.user, request->id, status, "application/json", "");
    if (!out.failed && out.size) w->sink.data(w->sink.user, request->id, out.data, out.size);
    w->sink.end(w->sink.user, request->id, &none);
    buf_close(&out);
}

static bool copy_http(Job *job, const ApiHttp *http)
{
    job->method = mem_strdup(http->method);
    job->path = mem_strdup(http->path);
    job->headers = mem_strdup(http->headers ? http->headers : "");
    job->body = mem_strndup(http->body, http->body_size);
    job->body_size = http->body_size;
    return job->method && job->path && job->headers && job->body;
}

/* False: too much waits, or no memory. */
static bool run_later(Worker *w, Job *job, const ApiHttp *http)
{
    bool good = copy_http(job, http);
    pthread_mutex_lock(&w->lock);
    good = good && !w->long_stop && w->long_bytes + http->body_size <= LONG_WAITING;
    if (good) {
        Job **last = &w->long_first;
        while (*last) last = &(*last)->waits;
        *last = job;
        w->long_bytes += http->body_size;
        pthread_cond_signal(&w->long_bell);
    }
    pthread_mutex_unlock(&w->lock);
    return good;
}

void worker_request(Worker *w, const WorkerRequest *request)
{
    Job *job = make_job(w, request);
    if (!job) {
        refuse(w, request);
        return;
    }
    if (!w->long_there || request->http.body_size <= LONG_BODY) {
        job_run(job, &request->http);
    } else if (run_later(w, job, &request->http)) {
        return; /* the hold goes with it */
    } else {
        ApiRoute route;
        ApiError error = {.retry_after = 1};
        api_routes(request->http.method, request->http.path, &route);
        api_fail(&error, API_E_BUSY, NULL, "too many large requests are waiting");
        pthread_mutex_lock(&job->lock);
        job->flavour = route.flavour;
        job_fail(job, &error);
        job_end(job);
        job_unlock(job);
    }
    job_drop(job);
}

static void *long_main(void *arg)
{
    Worker *w = arg;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        Job *job = w->long_first;
        if (!job && w->long_stop) break;
        if (!job) {
            pthread_cond_wait(&w->long_bell, &w->lock);
            continue;
        }
        w->long_first = job->waits;
        w->long_bytes -= job->body_size;
        pthread_mutex_unlock(&w->lock);
        const ApiHttp http = {job->method, job->path, job->body, job->body_size, job->headers};
        job_run(job, &http);
        job_drop(job);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

bool long_start(Worker *w)
{
    pthread_cond_init(&w->long_bell, NULL);
    w->long_there = pthread_create(&w->long_thread, NULL, long_main, w) == 0;
    return w->long_there;
}

void long_end(Worker *w)
{
    if (!w->long_there) return;
    pthread_mutex_lock(&w->lock);
    w->long_stop = true;
    pthread_cond_signal(&w->long_bell);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->long_thread, NULL);
    pthread_cond_destroy(&w->long_bell);
    w->long_there = false;
}

/* ---- cancelling ---- */

static void cancel_job(Job *job)
{
    atomic_store(&job->cancelled, true);
    pthread_mutex_lock(&job->lock);
    for (int i = 0; i < job->n_choices && job->choices; i++)
        if (job->choices[i].sched_id) sched_cancel(job->w->sched, job->choices[i].sched_id);
    job_unlock(job);
    worker_wake(job->w);
}

void worker_cancel(Worker *w, uint64_t id)
{
    pthread_mutex_lock(&w->lock);
    Job *job = w->jobs;
    while (job && job->id != id) job = job->next;
    if (job) job_hold(job);
    pthread_mutex_unlock(&w->lock);
    if (!job) return;
    cancel_job(job);
    job_drop(job);
}

void worker_cancel_all(Worker *w)
{
    for (;;) {
        pthread_mutex_lock(&w->lock);
        Job *job = w->jobs;
        while (job && atomic_load(&job->cancelled)) job = job->next;
        if (job) job_hold(job);
        pthread_mutex_unlock(&w->lock);
        if (!job) return;
        cancel_job(job);
        job_drop(job);
    }
}

void worker_drain(Worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->draining = true;
    pthread_mutex_unlock(&w->lock);
}

size_t worker_running(Worker *w)
{
    pthread_mutex_lock(&w->lock);
    size_t n = w->n_jobs;
    pthread_mutex_unlock(&w->lock);
    return n;
}

/* ---- steps ---- */

static void ping(Job *job, double now)
{
    pthread_mutex_lock(&job->lock);
    if (job->stream && job->head_sent && !job->ended && !job->failed &&
        now - job->spoke > PING_SECONDS) {
        api_reply_ping(job->reply, &job->out);
        job_send(job);
        job->spoke = now;
    }
    job_unlock(job);
}

/* Now and then: streams that wait for their turn are kept from being taken for dead. */
static void ping_all(Worker *w)
{
    enum { AT_ONCE = 64 };
    Job *some[AT_ONCE];
    size_t n = 0;
    double now = os_seconds();
    if (now - w->looked < 1) return;
    w->looked = now;
    pthread_mutex_lock(&w->lock);
    for (Job *job = w->jobs; job && n < AT_ONCE; job = job->next)
        if (atomic_load(&job->waiting)) {
            job_hold(job);
            some[n++] = job;
        }
    pthread_mutex_unlock(&w->lock);
    for (size_t i = 0; i < n; i++) {
        ping(some[i], now);
        job_drop(some[i]);
    }
}

bt_status worker_step(Worker *w, bool *idle, bt_error *err)
{
    bool nothing = true, more = embed_step(w);
    bt_status status = w->sched ? sched_step(w->sched, &nothing, err) : BT_OK;
    *idle = nothing && !more;
    ping_all(w);
    return status;
}

void worker_wait(Worker *w, int ms)
{
    if (w->sched) {
        sched_wait(w->sched, ms);
        return;
    }
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&w->lock);
    while (!w->rung && pthread_cond_timedwait(&w->bell, &w->lock, &until) != ETIMEDOUT) {
    }
    w->rung = false;
    pthread_mutex_unlock(&w->lock);
}

void worker_wake(Worker *w)
{
    if (w->sched) {
        sched_wake(w->sched);
        return;
    }
    pthread_mutex_lock(&w->lock);
    w->rung = true;
    pthread_cond_signal(&w->bell);
    pthread_mutex_unlock(&w->lock);
}

/* ---- counters ---- */

static void put(Buf *out, const char *name, uint64_t value)
{
    buf_printf(out, "\"%s\":%llu,", name, (unsigned long long)value);
}

void worker_stats(Worker *w, Buf *out)
{
    SchedStats s = {0};
    if (w->sched) s = sched_stats(w->sched);
    pthread_mutex_lock(&w->lock);
    uint64_t jobs = w->n_jobs, requests = w->n_requests, refused = w->n_refused;
    uint64_t embeds = w->n_embed, embedded = w->n_embedded;
    bool draining = w->draining;
    pthread_mutex_unlock(&w->lock);
    buf_char(out, '{');
    put(out, "requests_running", jobs);
    put(out, "requests", requests);
    put(out, "requests_failed", refused);
    put(out, "embeds_waiting", embeds);
    put(out, "embedded", embedded);
    put(out, "waiting", (uint64_t)s.n_waiting);
    put(out, "running", (uint64_t)s.n_running);
    put(out, "remembered", (uint64_t)s.n_remembered);
    put(out, "sequences", (uint64_t)s.n_sequences);
    put(out, "n_ctx", (uint64_t)w->n_ctx);
    put(out, "cells", (uint64_t)s.n_tokens);
    put(out, "cells_used", (uint64_t)s.n_tokens_used);
    put(out, "steps", s.n_steps);
    put(out, "rows", s.n_rows);
    put(out, "prompt_tokens", s.n_prompt);
    put(out, "cached_tokens", s.n_cached);
    put(out, "completion_tokens", s.n_completion);
    put(out, "stepped_back", s.n_stepped_back);
    put(out, "evicted", s.n_evicted);
    put(out, "step_us", s.step_us);
    put(out, "spilled_bytes", s.spilled_bytes);
    put(out, "spilled", s.n_spilled);
    put(out, "reloaded", s.n_reloaded);
    put(out, "spill_stopped", s.spill_stopped);
    put(out, "grammars", grammar_cache_count(w->grammars));
    put(out, "responses", responses_count(w->responses, os_seconds()));
    put(out, "memory", os_memory_resident());
    buf_printf(out, "\"draining\":%s}", draining ? "true" : "false");
}

void worker_slots(Worker *w, Buf *out)
{
    SchedStats s = {0};
    if (w->sched) s = sched_stats(w->sched);
    buf_char(out, '[');
    for (int32_t i = 0; i < w->n_running; i++)
        buf_printf(out, "%s{\"id\":%d,\"n_ctx\":%d,\"speculative\":false,\"is_processing\":%s}",
                   i ? "," : "", (int)i, (int)w->n_ctx, i < s.n_running ? "true" : "false");
    buf_char(out, ']');
}

bt_status worker_ready(Worker *w, Buf *out, bt_error *err)
{
    bt_status status = worker_describe(w->model, w->template_name, w->jinja, out, err);
    if (status) return status;
    out->size--; /* its closing brace */
    buf_printf(out, ",\"n_ctx\":%d,\"n_slots\":%d,\"memory\":%llu}", (int)w->n_ctx,
               (int)w->n_running, (unsigned long long)os_memory_resident());
    return out->failed ? bt_fail_memory(err, "a description", out->size) : BT_OK;
}
