/* The scheduler's own parts (see sched.h). What `lock` guards is marked; the rest belongs to the
 * stepping thread. Inside src/engine/sched*.c only. */
#ifndef ENGINE_SCHED_PARTS_H
#define ENGINE_SCHED_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/prefix_disk.h"
#include "engine/prefix_tree.h"
#include "engine/sched.h"
#include "engine/session.h"

#define SCHED_NO_SLOT (-1)
/* Tokens of a prompt after which layers that forget get a checkpoint. */
#define SCHED_CHECKPOINT_EVERY 512
/* A request waits for another that is reading the same beginning when that saves as many tokens. */
#define SCHED_WORTH_WAITING 32
/* Admissions after which a waiting request counts as one priority higher. */
#define SCHED_AGE 32

/* Those of one principal. */
typedef struct Client {
    struct Client *next;
    uint64_t principal;
    int32_t n_requests; /* lock: waiting and running; at 0 it goes */
    int32_t n_running;
    uint64_t served; /* when it was last admitted, by Sched.admitted */
} Client;

typedef struct Request {
    struct Request *next, *before; /* lock: of all, by age */
    struct Request *next_waiting;  /* lock */
    Client *client;
    uint64_t id;
    SchedRequest
        asked; /* callbacks, counts and flags; its pointers to the caller's memory are NULL */
    bt_adapter_use *uses; /* n_adapters of them, held */
    bt_sampler *sampler;
    PrefixKey key;
    uint64_t rank; /* Sched.admitted when it came */
    atomic_bool cancelled;

    bt_token *tokens; /* what is to be read: the prompt, after stepping back all that was fed */
    int32_t n_tokens;
    int32_t stable;         /* n_stable, or 0 */
    int32_t n_prompt, most; /* most: tokens that it may deliver */
    int32_t slot;
    bool chosen; /* `next` is the next token to be fed; else the last of `tokens` gives logits */
    bt_token next_token;
    bool deferred; /* in this step: waits for another's beginning */
    bool planned;  /* has rows in the step that is being made */
    int32_t mark;  /* a checkpoint is wanted at this length, where another parts from it; 0: none */
    double submitted, begun, first; /* seconds; 0: not yet */
    SchedUsage usage;

    bt_token *forced; /* (n_forced asked) */
    size_t n_forced;  /* of them yet to come */
    int32_t logits;   /* row of the step's logits; -1: none */
    bt_token picked;
    float logprob;
    int32_t n_top;
    bt_token *top; /* (n_top asked) */
    float *top_logprob;
} Request;

/* A sequence of the session. */
typedef struct Slot {
    Request *request; /* that runs here; NULL: free, or remembered where it is in the tree */
    PrefixKey key;
    uint64_t used; /* by Sched.clock: the larger the later */
    bool writing;  /* to disk, by another thread: stays as it is meanwhile */
    bool written;  /* is on disk, or is not to be */
} Slot;

/* A run of rows of one request in a step. */
typedef struct Part {
    Request *request;
    int32_t first, n; /* rows */
    int32_t held;     /* tokens of its sequence before */
    bool wants;       /* logits of its last row */
} Part;

typedef struct Spill Spill;

struct Sched {
    bt_model *model;
    bt_session *session;
    int32_t n_sequences, most_running, n_ctx, n_batch, n_prefill, n_logits, n_vocab, n_queue,
        n_tokens;
    bool forgets;
    PrefixTree *tree;  /* entries: slots, then places of PrefixDisk */
    Spill *spill;      /* NULL: nothing goes to disk */
    Slot *slots;       /* (n_sequences) */
    Request **running; /* (n_sequences), as admitted */
    int32_t n_running;
    int32_t turn; /* of running: who has a row first */
    uint64_t clock;
    bt_row *rows; /* (n_batch) */
    Part *parts;  /* (n_sequences) */
    int32_t n_parts, n_rows, n_wanted;
    int32_t *added;    /* (n_sequences) */
    Request **picking; /* (n_sequences) whose tokens are drawn */
    int32_t n_picking;
    float *copies; /* (members of the team, n_vocab + SAMPLER_PEAKS(n_vocab)) logits before samplers
                    * change them, and their peaks */
    void *candidates; /* (members of the team, SCHED_MOST_TOP) */
    bt_token *enders; /* tokens that end an answer */
    size_t n_enders;

    pthread_mutex_t lock;
    pthread_cond_t wakes;
    bool woken, closing; /* lock */
    atomic_bool any_cancelled;
    Request *oldest, *newest;        /* lock */
    Request *waiting, **waiting_end; /* lock */
    int32_t n_waiting;               /* lock */
    Client *clients;                 /* lock */
    uint64_t last_id;                /* lock */
    uint64_t admitted;               /* lock: so far */
    SchedStats stats;                /* lock */
    SchedStats counted;              /* of the stepping thread: copied there after each step */
};

/* ---- sched_request.c ---- */

bt_status request_open(Sched *s, const SchedRequest *asked, Request **out, bt_error *err);
void request_close(Request **request);

/* ---- sched_admit.c ---- */

/* Gives sequences to waiting requests, as long as there is room. */
void sched_admit(Sched *s);
/* Forgets the remembered sequence that was not used for the longest time, but `but`. False: there
 * is none. */
bool sched_evict(Sched *s, int32_t but);
/* A running request that was fed `held` tokens gives up its sequence and waits again, to go on
 * where it was: from what is remembered of it, with `remember`, as long as nobody needs the memory;
 * else it is read anew. BT_E_MEMORY: it could not; it still runs. */
bt_status sched_step_back(Sched *s, Request *r, int32_t held, bool remember);
/* The request leaves its sequence, which is remembered if it may be; out of `running`. */
void sched_leave(Sched *s, Request *r, bool remember);

/* ---- sched_sample.c ---- */

/* Draws the next token of each of `picking`. */
void sched_pick(Sched *s);

/* ---- sched_spill.c ---- */

/* Lists what is in the folder. BT_E_MEMORY; a folder that cannot be used is no error. */
bt_status spill_open(Sched *s, const char *folder, uint64_t budget, bt_error *err);
/* Writes what is remembered. All requests have ended. */
void spill_close(Sched *s);
/* Between steps: starts writing what will have to go next, when memory is short. */
void spill_ahead(Sched *s);
/* Waits for what is being written; false: nothing is. */
bool spill_wait(Sched *s);
const PrefixFile *spill_file(const Sched *s, int32_t entry);
/* Makes a free sequence, with its adapters set, what the file of the entry holds. Else the sequence
 * is empty and the entry gone. */
bt_status spill_load(Sched *s, int32_t entry, int32_t slot);

/* ---- sched.c ---- */

/* Takes a request from those that wait; puts it back, before all others. */
void sched_take(Sched *s, Request *r);
void sched_put_back(Sched *s, Request *r);
/* Ends a request wherever it is, and frees it. */
void sched_end(Sched *s, Request *r, SchedEnd why, const bt_error *err);

#endif
