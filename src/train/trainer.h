/* One batch through a model and back: the loss, and gradients added to those of the parameters.
 * Memory is planned and reserved when it is opened (the forward is run by the plan backend with the
 * tape); a batch allocates nothing. The loss is a callback of the batch's maker: cross entropy of
 * the next token here, others for distillation. */
#ifndef TRAIN_TRAINER_H
#define TRAIN_TRAINER_H

#include "ops/tape.h"
#include "train/batch.h"
#include "train/params.h"

/* The loss of some rows: logits (n, V) of the batch's rows row[0] .. row[n - 1]. Adds weight times
 * loss of each to *loss, and fills d (n, V) with weight times its gradient; d NULL: the loss alone
 * is wanted. Sums must not depend on the number of threads. */
typedef struct LossRows {
    const Batch *batch;
    const int32_t *row; /* (n) */
    int64_t n;
    int32_t n_vocab;
    float *logits, *d; /* (n, n_vocab) */
    Team *team;
    const Kernels *kernels;
    float *each; /* (n) room for the rows' losses */
} LossRows;
typedef bt_status (*TrainLossFn)(void *user, const LossRows *rows, double *loss, bt_error *err);

/* Cross entropy with the batch's targets; `user` is not read. */
bt_status loss_next_token(void *user, const LossRows *rows, double *loss, bt_error *err);

typedef struct TrainerOptions {
    int32_t rows;    /* most rows of a batch */
    bool bf16;       /* products of matrices in bf16, sums in float32 */
    bool recompute;  /* every layer again on the way back, not only those that find no memory */
    uint64_t memory; /* bytes that activations and their gradients may take; 0: three quarters of
                      * what is available */
    size_t logits_bytes; /* of a chunk of logits; 0: the tape's default */
    TrainLossFn loss;    /* NULL: loss_next_token */
    void *loss_user;
} TrainerOptions;

typedef struct Trainer {
    Params *params;
    TrainerOptions options;
    Backend *backend;
    Arena arena;
    unsigned char *grads; /* of the arena's tensors */
    size_t grads_bytes;
    StepRow *rows; /* (options.rows) with `want` set where a row counts */
    int32_t *wanted;
    float *each;
    Tape tape;
    int32_t keep_from;  /* layers below run again on the way back: the same bits */
    const Batch *batch; /* at work */
    double loss;
    bt_error *err;
} Trainer;

bt_status trainer_open(Params *params, const TrainerOptions *options, Trainer **out, bt_error *err);
void trainer_close(Trainer **trainer);
uint64_t trainer_bytes(const Trainer *trainer); /* reserved, besides the parameters */

/* Adds the batch's loss (weight times loss, summed) and its weights to *loss and *weight, and the
 * gradient of that sum to the parameters'. A batch whose rows all count nothing adds nothing. */
bt_status trainer_batch(Trainer *trainer, const Batch *batch, double *loss, double *weight,
                        bt_error *err);
/* The same without gradients. */
bt_status trainer_evaluate(Trainer *trainer, const Batch *batch, double *loss, double *weight,
                           bt_error *err);

#endif
