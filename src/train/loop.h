/* The course of a training run: batches accumulated to steps, the rate of each, clipping,
 * evaluation on held-out data, metrics, checkpoints, and going on from one. What is trained, on
 * what and with which loss is the caller's (a new model, a student, an adapter). Given the same
 * seed, data and options a run gives the same bits, on any number of threads, interrupted or not.
 *
 * A loss or gradient that is no number, or a loss above the limit, stops the run: the message names
 * step, batch and the last good checkpoint. */
#ifndef TRAIN_LOOP_H
#define TRAIN_LOOP_H

#include "train/checkpoint.h"
#include "train/schedule.h"
#include "train/trainer.h"

/* Where batches come from. */
typedef struct LoopFeed {
    void *user;
    /* The next batch, epoch after epoch without end; memory is the feed's until the next call. */
    bt_status (*next)(void *user, Batch *out, bt_error *err);
    void (*tell)(void *user, int64_t at[3]); /* where the next begins; at[0] is the epoch */
    bt_status (*seek)(void *user, const int64_t at[3], bt_error *err);
    /* "chats.jsonl:17", where the last batch came from; NULL: not known */
    void (*name)(void *user, char *out, size_t size);
    uint64_t hash; /* of all of it: a run continues on the same data only */
} LoopFeed;

typedef struct LoopOptions {
    const char *folder;          /* of the run; exists */
    Schedule schedule;           /* schedule.steps: of the run */
    int32_t context;             /* rows of a batch at most; for the checkpoint */
    int32_t batches;             /* accumulated to a step */
    uint64_t seed;               /* for the checkpoint */
    const LoopFeed *data, *eval; /* eval NULL: no evaluation */
    int64_t eval_every;          /* steps; 0: at the end only */
    int64_t save_every;          /* steps between checkpoints; 0: by time, */
    double save_seconds;         /* so many seconds; 0: 300 */
    double stop_loss;            /* 0: twice the larger of the first loss and ln(vocabulary) */
    bool resume;                 /* go on from the folder's checkpoint, if it has one */
    bt_train_fn report;          /* after each step; false: write a checkpoint and stop */
    void *report_user;
} LoopOptions;

/* BT_E_CANCELLED: `report` wished so, and a checkpoint was written. BT_E_LIMIT: the loss exploded.
 * *state is where it stands then. */
bt_status loop_run(Trainer *trainer, Optim *optim, const LoopOptions *options, RunState *state,
                   bt_error *err);

#endif
