/* Many requests on one model: continuous batching over a session.
 *
 * Requests come from any thread and wait in a bounded queue. One thread, the stepping thread, calls
 * sched_step again and again; each call runs one ragged step: a row for every sequence that is
 * answering, and beside them a bounded piece of the prompts that are being read, so that nobody
 * waits for another's long prompt. What a request gets does not depend on what runs beside it:
 * greedy answers are the same bits alone and in any mix, drawn ones follow from the seed.
 *
 * Who comes first: the larger priority (those that wait rise: after every 32 admissions by one);
 * among equals the principal with the fewest requests running, then the one that was served longest
 * ago; then the older request. A request of higher priority, or whose principal has none running
 * where another has several, need not wait for an end: the youngest of those steps back for it,
 * one a step. When memory for layer state runs out, first what is only remembered
 * goes, then the youngest request of the least priority steps back and is read again later; its
 * answer goes on where it was.
 *
 * Beginnings are shared: a request starts from the longest beginning of its prompt that is held for
 * the same principal and adapters, by a running request or a finished one that is remembered; see
 * engine/prefix_tree.h. Models whose layers forget (windows, recurrences) start from checkpoints:
 * just before the end of a prompt, every so many tokens of it, and where two requests parted.
 * Usage tells how many tokens that saved; other principals cannot see it in any way.
 *
 * Library-internal for now. Refused: prompts that do not fit the context, more waiting than
 * n_queue, tokens outside the vocabulary, models that embed. */
#ifndef ENGINE_SCHED_H
#define ENGINE_SCHED_H

#include "bantam/bantam.h"

typedef struct Sched Sched;

/* Zeroed is valid. */
typedef struct SchedOptions {
    int32_t n_ctx;         /* tokens of prompt and answer; 0: as trained, less if memory lacks */
    int32_t n_sequences;   /* running and remembered together; 0: 16, or three times n_running;
                            * fewer if memory lacks, but n_running */
    int32_t n_running;     /* most that run at once; 0: n_sequences */
    int32_t n_batch;       /* most rows of a step; 0: 512, fewer (128) if memory lacks */
    int32_t n_prefill;     /* most prompt rows of a step beside answers; 0: 128 */
    int32_t n_tokens;      /* that all sequences hold together; 0: n_sequences times n_ctx, or as
                            * many as memory_limit (0: three quarters of what is there, or all
                            * where a model needs it) allows */
    int32_t n_checkpoints; /* of models that forget; 0: two a sequence, fewer if memory lacks */
    bt_kv_type kv;         /* 0: bf16 */
    uint64_t memory_limit; /* bytes for weights and session; 0: what is available now */
    int32_t n_queue;       /* most waiting requests; 0: 512 */
    const char *spill_dir; /* folder for remembered beginnings on disk; NULL: none. Copied */
    uint64_t spill_bytes;  /* most bytes there; 0: none */
} SchedOptions;

#define SCHED_MOST_TOP 128

typedef struct SchedToken {
    bt_token id;
    /* With n_top >= 0: natural logarithms of probabilities as the model gave them, before grammar,
     * bias, penalties and temperature. n_top entries, likeliest first; fewer where others have
     * probability 0. Valid during the call. */
    float logprob;
    const bt_token *top;
    const float *top_logprob;
    int32_t n_top;
    bool last; /* no other comes: the count or the context is used up */
} SchedToken;

typedef enum SchedEnd {
    SCHED_END_STOP,      /* the model ended its answer (that token is not delivered) */
    SCHED_END_LENGTH,    /* n_predict tokens */
    SCHED_END_CONTEXT,   /* the context is full */
    SCHED_END_CANCELLED, /* sched_cancel, or sched_close */
    SCHED_END_ERROR,     /* `err` says what */
    SCHED_END_CALLER     /* token() returned false */
} SchedEnd;

typedef struct SchedUsage {
    int32_t prompt;      /* tokens asked */
    int32_t cached;      /* of them not computed for this request */
    int32_t completion;  /* tokens delivered */
    uint64_t queued_us;  /* from submit until its sequence began */
    uint64_t prefill_us; /* until its first token */
    uint64_t decode_us;  /* until the end */
} SchedUsage;

typedef struct SchedRequest {
    const bt_token *prompt; /* copied */
    size_t n_prompt;        /* at least 1 */
    size_t n_stable;   /* the next turn will begin with so many of these (what comes after opens
                        * the answer, and may be written otherwise then); 0: not known. Models
                        * that forget can go back there */
    int32_t n_predict; /* most tokens of the answer; -1: until the context ends; 0: none, the
                        * prompt is read and remembered */
    bt_sampler_options sampling; /* bias is copied; the prompt's tokens count for penalties */
    bt_grammar *grammar;         /* held by the request; NULL: none */
    int32_t n_top;   /* top log-probabilities wanted with each token, at most SCHED_MOST_TOP; 0: the
                      * token's own only; -1: none */
    bool ignore_eos; /* tokens that end answers are not drawn, as far as a grammar allows that */
    bool no_cache;   /* neither starts from what is held nor is remembered */
    const bt_adapter_use *adapters; /* copied, and held */
    size_t n_adapters;
    /* What the answer is made to say, once, in place of drawn tokens: after a token with which
     * force() is true, these n_forced come, are delivered and counted as others, and move the
     * grammar. force is asked after token(), as that is; NULL: never. */
    const bt_token *forced; /* copied */
    size_t n_forced;
    bool (*force)(void *user);
    uint64_t principal; /* beginnings are shared only among equal ones */
    int priority;       /* larger first; held to -16 .. 16 */
    /* On the stepping thread, from within sched_step (end: from sched_close too), with no lock
     * held: both may call sched_submit and sched_cancel, no other function of the scheduler.
     * token: false, and the answer ends with SCHED_END_CALLER. end: exactly once for each request
     * that was accepted; nothing of it is called afterwards. `err` only with SCHED_END_ERROR. */
    bool (*token)(void *user, const SchedToken *token);
    void (*end)(void *user, SchedEnd why, const SchedUsage *usage, const bt_error *err);
    void *user;
} SchedRequest;

typedef struct SchedStats {
    int32_t n_waiting, n_running, n_remembered; /* now; a remembered one is a finished sequence */
    int32_t n_sequences, n_ctx;
    int32_t n_tokens, n_tokens_used; /* of the memory for layer state: most, and now */
    uint64_t n_steps, n_rows;        /* so far, as all below */
    uint64_t n_requests;             /* accepted */
    uint64_t n_refused;
    uint64_t n_ended[SCHED_END_CALLER + 1];
    uint64_t n_prompt, n_cached, n_completion; /* tokens */
    uint64_t n_stepped_back; /* times that a running request gave up its memory for others */
    uint64_t n_evicted;      /* remembered sequences that made room */
    uint64_t step_us;        /* spent in steps, sampling among it */
    uint64_t spilled_bytes, n_spilled, n_reloaded; /* on disk now; files written, read back */
    bool spill_stopped; /* the folder cannot be written (disk full): no more until reopened */
} SchedStats;

/* Takes all memory that it will need for steps. BT_E_ARGUMENT, BT_E_MEMORY, BT_E_UNSUPPORTED for a
 * model that embeds. The model must outlive it; it is used by the scheduler alone but for other
 * sessions, whose steps take turns with its own. A spill_dir that cannot be used is no error:
 * spill_stopped is set. `options` may be NULL. */
bt_status sched_open(bt_model *model, const SchedOptions *options, Sched **out, bt_error *err);
/* Ends every request with SCHED_END_CANCELLED, writes what is remembered to spill_dir. No other
 * call may run. */
void sched_close(Sched **sched);

/* Any thread. *id (may be NULL) is never 0. BT_E_CONTEXT tells both counts, BT_E_LIMIT how many
 * wait, BT_E_ARGUMENT what is wrong with the request; then nothing of it is kept and end() is not
 * called. end() may be called before this returns. */
bt_status sched_submit(Sched *sched, const SchedRequest *request, uint64_t *id, bt_error *err);
/* Any thread. The request ends before the next step; nothing happens when it has ended already. */
void sched_cancel(Sched *sched, uint64_t id);

/* The stepping thread. Runs at most one step. *idle: nothing is left to do until the next submit.
 * What goes wrong with requests is told to them; an error here (BT_E_INTERNAL) is the end: close.
 */
bt_status sched_step(Sched *sched, bool *idle, bt_error *err);
/* Sleeps until something is submitted or cancelled, sched_wake is called or `ms` have passed. At
 * once when that has happened since the last step began. */
void sched_wait(Sched *sched, int ms);
void sched_wake(Sched *sched); /* any thread */

SchedStats sched_stats(Sched *sched); /* any thread; as of the last step */

#endif
