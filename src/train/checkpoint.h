/* A training run on disk, so that it can be killed at any moment and go on as if nothing had been:
 * masters, moments and where everything stood, exactly. Two files take turns ("a.checkpoint" and
 * "b.checkpoint" in the run's folder): the newest whole one is never touched while the next is
 * written (temporary file, fsync, rename, fsync of the folder), and a disk that is full leaves it
 * as it is. Layout: docs/formats.md. A checkpoint whose header, size or checksum is wrong is told,
 * and the other one counts; where none is good, and one of another model, is refused. */
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H

#include "train/optim.h"

/* Where a run stands after a step. Fields of 8 bytes only: it is written as it lies. */
typedef struct RunState {
    int64_t step;
    int64_t at[3];      /* of the packs (packs_at) */
    uint64_t tokens;    /* that counted, so far */
    uint64_t rows;      /* read, so far */
    double first_loss;  /* of step 1 */
    double smooth_loss; /* running mean */
    double last_loss;
    double best_eval; /* infinite before the first */
    double seconds;   /* of training */
    uint64_t metrics_bytes;
    uint64_t seed, data_hash;
    int64_t context, batch, optimiser; /* what may not change on the way */
    int64_t spare[7];
} RunState;

/* Reads the newest whole checkpoint of the folder into masters, moments and state. *found false:
 * there is none (not an error). BT_E_FORMAT: it is of another model; what is there is damaged. */
bt_status checkpoint_load(const char *folder, Params *params, Optim *optim, RunState *state,
                          bool *found, bt_error *err);
/* Its state alone. */
bt_status checkpoint_peek(const char *folder, RunState *state, bool *found, bt_error *err);
/* Writes the next one; the one before stays. */
bt_status checkpoint_save(const char *folder, const Params *params, const Optim *optim,
                          const RunState *state, bt_error *err);
/* Removes what a killed run left half written in the folder. */
void checkpoint_sweep(const char *folder);
/* "FOLDER/name"; mem_free it. NULL: no memory. */
char *run_path(const char *folder, const char *name);

#endif
