/* A teacher behind a server of the OpenAI API: what it finds likely is asked document by document,
 * kept in a journal as it comes, and stored as targets (targets_file.h) once all is there.
 *
 * Two ways, by what the server offers. It READS the data: completions with echo and logprobs say of
 * every token of a prompt how likely it was; texts are sent a context at a time. Or it WRITES: to
 * the beginning of each conversation, up to the assistant's last turn, it gives an answer of its
 * own with logprobs; these conversations are then new data, which the student learns from. A server
 * that gives no log-probabilities is refused.
 *
 * Its vocabulary may be any: its pieces of the text are compared where the student's vocabulary
 * cuts the same piece, its likely tokens by their bytes. Nothing here opens a connection: the
 * caller posts. A journal of another request is refused; one that was cut short goes on. */
#ifndef TRAIN_SERVER_TEACHER_H
#define TRAIN_SERVER_TEACHER_H

#include "base/buf.h"
#include "base/span.h"
#include "train/batch.h"

typedef enum ServerMode { SERVER_EITHER, SERVER_READS, SERVER_WRITES } ServerMode;

/* What came of a request. */
typedef struct ServerAnswer {
    int status;       /* of HTTP; 0: none came, `body` says why */
    int32_t wait_for; /* seconds that the server asked to wait; 0: did not say */
    Buf body;
} ServerAnswer;

typedef struct ServerPlan {
    uint64_t documents; /* that were read; */
    uint64_t bytes;     /* and their files' size: what is sent is part of it */
    uint64_t requests;  /* at most, those that are answered already left out */
} ServerPlan;

typedef struct ServerOptions {
    const char *name; /* of the server's model */
    ServerMode mode;
    int32_t n_ctx;   /* most tokens of the student's that are sent at a time; 0: 1024 */
    int32_t longest; /* most tokens of an answer; 0: 512 */
    bool lenient;    /* leave out what cannot be used: lines of data, answers */
    bool all_counts;
    double first_wait; /* seconds until a request is tried again, then twice as many; 0 or more
                        * than 1: 1 */
    /* Posts `body` to `path` below the server's address. Any status but BT_OK ends it all. */
    bt_status (*post)(void *user, const char *path, Span body, ServerAnswer *out, bt_error *err);
    bool (*wait)(void *user, double seconds);            /* false: stop */
    bool (*consent)(void *user, const ServerPlan *plan); /* before anything is sent; false: no */
    void (*tell)(void *user, const char *line);          /* a line of talk */
    void *user;
    bt_progress_fn progress;
    void *progress_user;
} ServerOptions;

typedef struct ServerResult {
    ServerMode mode;
    uint64_t asked, answered;   /* requests of this run; documents that are answered now */
    uint64_t cut, silent;       /* answers left out: that did not end, that have no words */
    uint64_t counted, compared; /* tokens that count; of these, that the teacher spoke of */
} ServerResult;

/* `model` has the student's vocabulary and template. Writes `path`; `path`.replies is the journal,
 * and where the server writes, `path`.jsonl the data that `path` belongs to. BT_E_CANCELLED: the
 * journal stays, the same call goes on. BT_E_UNSUPPORTED: the server gives no log-probabilities.
 * BT_E_SYSTEM: it refused, or could not be reached. */
bt_status server_targets(const bt_model *model, const char *const *data, size_t n_data,
                         const char *path, const ServerOptions *options, ServerResult *result,
                         bt_error *err);

#endif
