/* The one that answers: a loaded model with its texts, from a request's bytes to the bytes of the
 * answer. This header is its core, which knows neither processes nor sockets (worker_main.h runs it
 * in one): requests come in by worker_request, answers go out by the calls of a sink.
 *
 * Two threads. *Intake* reads requests: JSON, chat template, tokens, grammar, and hands them to the
 * scheduler; a request costs it at most about 50 ms, larger bodies are read on a thread of their
 * own. *Step* runs the model and makes the answers' bytes. In tests one thread may do both.
 *
 * Refused: prompts longer than the context (with both counts; nothing is ever cut silently), what
 * the model cannot do (with the reason), more than WORKER_MOST_CHOICES answers to one request. */
#ifndef SERVE_WORKER_H
#define SERVE_WORKER_H

#include "base/buf.h"
#include "serve/api.h"

#define WORKER_MOST_CHOICES 256 /* prompts of a request times its n */

typedef struct Worker Worker;

/* An adapter that requests may name. */
typedef struct WorkerAdapter {
    const char *name, *path;
    float scale; /* where a request does not say */
    bool always; /* also for requests that name none */
} WorkerAdapter;

/* A model and how it is to be run. Zeroed but for name and path is valid; texts are copied. */
typedef struct WorkerModel {
    const char *name; /* as answers call it */
    const char *path;
    const char *cache_dir; /* of prepared weights; NULL: memory only */
    int n_threads;
    int32_t n_running;      /* conversations at once; 0: 16, fewer if memory lacks */
    int32_t n_ctx, n_batch; /* as SchedOptions */
    bt_kv_type kv;
    uint64_t memory_limit;
    int32_t n_queue;
    const char *spill_dir; /* of remembered beginnings; NULL: none */
    uint64_t spill_bytes;
    const char *template_name, *jinja; /* as bt_chat_options */
    ApiDefaults defaults;              /* n_vocab and stops are set by the worker */
    const char *const *stops;          /* for requests that name none */
    size_t n_stops;                    /* at most API_MAX_STOPS */
    const WorkerAdapter *adapters;
    size_t n_adapters;
    bool any_base;             /* adapters of another base too */
    int32_t slot;              /* stands in the ids of responses */
    uint32_t response_seconds; /* how long a response is remembered; 0: 3600 */
    bool no_sandbox; /* where the system has none, and the user allows that (worker_main.h) */
    /* No thread for large bodies: all is done where it is called (tests). */
    bool one_thread;
    bt_progress_fn progress; /* of loading */
    void *progress_user;
} WorkerModel;

/* Of an answer, for metrics and limits. */
typedef struct WorkerUsage {
    uint32_t prompt, cached, completion; /* tokens */
    uint64_t queued_us, prefill_us, decode_us;
} WorkerUsage;

/* Where answers go. Calls come from several threads, for one request never two at once: head, any
 * number of data, end; after end none. They may block for a moment, not for long. */
typedef struct WorkerSink {
    void *user;
    /* `headers`: "name: value\n" lines, or "" */
    void (*head)(void *user, uint64_t id, int status, const char *type, const char *headers);
    void (*data)(void *user, uint64_t id, const char *bytes, size_t size);
    void (*end)(void *user, uint64_t id, const WorkerUsage *usage);
} WorkerSink;

/* Loads the model and takes the memory for steps. Fails as bt_model_open, bt_chat_open,
 * bt_adapter_open and sched_open do. A template that cannot be used is no failure: chats are
 * refused with its reason, all else goes. */
bt_status worker_open(const WorkerModel *model, const WorkerSink *sink, Worker **out,
                      bt_error *err);
/* Every request that runs gets its end. No other call may run. */
void worker_close(Worker **worker);

/* A request that is complete. What it points to is read before this returns, or copied. */
typedef struct WorkerRequest {
    uint64_t id; /* never used before */
    uint64_t principal;
    ApiHttp http;
} WorkerRequest;

/* Intake. The answer may begin, or be over, before this returns. */
void worker_request(Worker *worker, const WorkerRequest *request);
/* Intake. The client is gone: what the request holds is free within a token. It still gets its end.
 */
void worker_cancel(Worker *worker, uint64_t id);
void worker_cancel_all(Worker *worker);
/* From now on requests are refused as unavailable. */
void worker_drain(Worker *worker);
size_t worker_running(Worker *worker); /* any thread: requests without their end */

/* Step: runs one step. *idle: there is nothing to do until the next request. An error is the end of
 * the model: close. */
bt_status worker_step(Worker *worker, bool *idle, bt_error *err);
void worker_wait(Worker *worker, int ms); /* step: until there is something, at most `ms` */
void worker_wake(Worker *worker);         /* any thread */

/* Any thread. Appends a JSON object of counters, and the slots as llama.cpp lists them. */
void worker_stats(Worker *worker, Buf *out);
void worker_slots(Worker *worker, Buf *out);
/* What the catalogue gets of a loaded model: as worker_describe, with context and memory. */
bt_status worker_ready(Worker *worker, Buf *out, bt_error *err);

/* An error's text without the paths of the model, its adapters and its caches: what clients are
 * told. `what` (or NULL): "cannot be loaded"; the model's name is put before it. */
void worker_words(const WorkerModel *model, const char *what, bt_error *err);

/* ---- describing, without loading --------------------------------------------- */

/* Appends a JSON object about the model, which may be open for its vocabulary only:
 *   name, architecture, type ("Q4_K_M"), parameters (a count), bytes, n_ctx_train, n_embd,
 * n_layers, n_vocab, template (text or null), template_kind, template_error, license, capabilities:
 * {completion, chat, tools, thinking, embeds, reranks, insert, vision}, embedding: {dimensions,
 * pooling} or null, assistant (its own tools), metadata: the file's keys and values (long arrays
 * and texts are null) `jinja`: a template in place of the file's; NULL: none. */
bt_status worker_describe(const bt_model *model, const char *template_name, const char *jinja,
                          Buf *out, bt_error *err);
/* It was trained to call the assistant's tools (docs/assistant.md). */
bool worker_is_assistant(const bt_model *model);

#endif
