/* Inside the worker's core (worker.h): what its files share.
 *
 * A request becomes a Job, in the worker's list until its end was told. It is held by whoever works
 * on it: the thread that reads it, and each of its choices that the scheduler runs (the last lets
 * go of the memory). Its own lock is held while something of it is sent or changed, so the sink
 * sees one call of a request at a time. No lock of a job is taken while the worker's is held. */
#ifndef SERVE_WORKER_INNER_H
#define SERVE_WORKER_INNER_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/model.h"
#include "engine/rank.h"
#include "engine/sched.h"
#include "serve/fim.h"
#include "serve/grammar_cache.h"
#include "serve/pending.h"
#include "serve/reply.h"
#include "serve/responses_store.h"
#include "serve/stop_text.h"
#include "serve/worker.h"

typedef struct Job Job;

typedef struct Choice {
    Job *job;
    int index;
    uint64_t sched_id; /* 0: not submitted */
    bt_answer *answer; /* of chats; NULL: `text` */
    bt_text *text;
    StopText *stop; /* NULL: none */
    Buf shown;
    int word;    /* the stop string that came, or -1 */
    bool enough; /* the answer ends here, whatever else comes */
    bool in_call, thinking;
    int32_t n_tokens, n_reasoning;
    int32_t n_thought; /* tokens within thoughts, for call->think_most */
    Pending pending;
} Choice;

typedef struct Prompt {
    bt_token *ids;
    size_t n;
    size_t stable; /* of them the next turn's prompt begins with; 0: not known */
} Prompt;

/* Texts that become vectors (worker_embed.c). */
typedef struct EmbedWork {
    Job *next;        /* in the worker's queue */
    bt_token **lists; /* (n) ids of each text */
    size_t *sizes;    /* (n) and how many */
    size_t n, done;
    int32_t dims;
    float *vectors; /* (n, dims) */
} EmbedWork;

struct Job {
    Job *next, *before_it; /* in the worker's list */
    Worker *w;
    uint64_t id, principal;
    atomic_int holds;
    atomic_bool cancelled, waiting; /* waiting: a stream that has begun */
    pthread_mutex_t lock;
    /* a large body that waits for its thread */
    Job *waits;
    char *method, *path, *body, *headers;
    size_t body_size;

    ApiFlavour flavour;
    ApiStreamAs stream;
    ApiCall *call;
    ApiInfo info;
    ApiReply *reply;
    Buf before; /* Responses: the conversation that this goes on from */
    Prompt *prompts;
    size_t n_prompts;
    char *tail;         /* how the rendered prompt ends */
    Prompt thought_end; /* what a thought that is too long is ended with */
    char *tools;        /* what calls are read and held by, where that is not call->tools */
    bool held_calls;    /* a grammar holds them, so that they may go out piece by piece */
    bt_grammar *grammar;
    bt_adapter_use uses[API_MAX_ADAPTERS];
    size_t n_uses;
    Choice *choices;
    int n_choices, n_left; /* n_left: submitted and without their end */
    EmbedWork embed;

    Buf out; /* made, not yet sent */
    bool head_sent, ended, left, failed;
    ApiError error; /* of `failed` */
    ApiUsage usage;
    double began, spoke; /* os_seconds */
};

typedef struct Adapter {
    char *name;
    bt_adapter *adapter;
    float scale;
    bool always;
} Adapter;

struct Worker {
    WorkerSink sink;
    bt_model *model;
    bt_model_info info;
    bt_embedding_info embedding;
    Rank rank;
    bt_chat *chat; /* NULL: chat_error says why */
    char chat_error[1024];
    Sched *sched; /* NULL: the model makes vectors */
    Fim fim;
    bool fills, assistant, any_base;
    char *name, *jinja, *template_name, *system, *messages;
    ApiText stops[API_MAX_STOPS]; /* defaults.stops; their texts are the worker's */
    char *ends[3];  /* (bt_think) what the template writes behind the last message; or NULL */
    char *opens[3]; /* (bt_think) of that what opens the answer; or NULL */
    ApiDefaults defaults;
    int32_t slot, n_ctx, n_batch, n_running;
    bt_kv_type kv;
    uint64_t memory_limit;
    Adapter *adapters;
    size_t n_adapters;
    GrammarCache *grammars;
    ResponsesStore *responses;

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t bell;  /* without a scheduler: something to do */
    bool rung;
    Job *jobs;
    size_t n_jobs;
    bool draining;
    uint64_t n_requests, n_refused, n_embedded;
    Job *embed_first; /* jobs with vectors to make, in turn */
    size_t n_embed;

    /* large bodies */
    bool long_there, long_stop;
    pthread_t long_thread;
    pthread_cond_t long_bell;
    Job *long_first;
    uint64_t long_bytes;

    bt_session *embedder; /* of the stepping thread; NULL until it is needed */
    double looked;        /* for streams that wait */
};

/* ---- worker.c: the thread of large bodies ---- */

bool long_start(Worker *w);
void long_end(Worker *w);

/* ---- worker_job.c: the life of a request ---- */

/* Sends what is ready; the head first. Under the job's lock. */
void job_send(Job *job);
/* Ends it with an error, in the API's own shape; under the lock. The text is kept. */
void job_fail(Job *job, const ApiError *error);
/* An answer in one piece: job->out is the body. Under the lock. */
void job_answer(Job *job, const char *type);
/* What there is to say is said: the sink's end, once. Under the lock. */
void job_end(Job *job);
/* Unlocks; where it has ended meanwhile it also leaves the worker's list. The caller holds it. */
void job_unlock(Job *job);
void job_hold(Job *job);
void job_drop(Job *job);
/* Reads the request and answers or submits it; on the intake thread or that of large bodies. */
void job_run(Job *job, const ApiHttp *http);

/* ---- worker_prompt.c: from a call to tokens. Each fails with *err filled ---- */

bt_status prompt_make(Job *job, ApiError *err);
/* A chat rendered; ids (bt_free) and text, which is appended, may be NULL. */
bt_status prompt_chat(Job *job, bt_token **ids, size_t *n, Buf *text, ApiError *err);
bt_status prompt_text(const Worker *w, const char *text, size_t size, unsigned flags, Prompt *out,
                      ApiError *err);
bt_status prompt_parts(const Worker *w, const ApiPrompt *prompt, unsigned first, unsigned flags,
                       Prompt *out, ApiError *err);

/* ---- worker_hold.c ---- */

/* job->grammar and job->tools, as the call asks. */
bt_status hold_make(Job *job, ApiError *err);
/* Of a chat's answer. */
bt_answer_options hold_answer(const Job *job);

/* ---- worker_answer.c ---- */

/* Opens the choices and submits them. */
bt_status answer_start(Job *job, ApiError *err);
void choice_close(Choice *choice);

/* ---- worker_embed.c ---- */

/* Tokens of the inputs; then the job is the stepping thread's. */
bt_status embed_start(Job *job, ApiError *err);
/* One batch of the first in the queue; false: the queue is empty. */
bool embed_step(Worker *w);
void embed_close(EmbedWork *work);

/* ---- worker_simple.c ---- */

/* Answers at once what needs no step. False: the kind is none of those. */
bool simple_answer(Job *job, ApiError *err, bt_status *status);

#endif
