/* A model of a file opened to be trained in a test: every tensor as float32 with a gradient of its
 * shape, and one step of packed documents whose loss is the weighed mean of cross entropies.
 * Families of models/block_decoder.h only. */
#ifndef TESTS_TRAIN_MODEL_H
#define TESTS_TRAIN_MODEL_H

#include "engine/model.h"
#include "ops/tape.h"

#define TRAIN_MOST_ROWS    128
#define TRAIN_MOST_TENSORS 512

typedef struct TrainTensor {
    const GgufTensor *of; /* NULL: a vector, by name */
    char name[64];
    float *value, *grad; /* value NULL: where the model has it */
    size_t n;
} TrainTensor;

typedef struct TrainModel {
    bt_model *model;
    TrainTensor tensor[TRAIN_MOST_TENSORS];
    size_t n_tensors;
    TapeParam param[TRAIN_MOST_TENSORS];
    size_t n_params;
    /* what a step is fed */
    StepRow rows[TRAIN_MOST_ROWS];
    int32_t target[TRAIN_MOST_ROWS]; /* -1: none */
    float weight[TRAIN_MOST_ROWS];   /* of each row */
    int32_t n_rows;
    double loss;  /* of the last step */
    size_t bytes; /* of its arena, as planned */
} TrainModel;

typedef struct TrainOptions {
    int n_threads; /* 0: 1 */
    bool keep_blocks, forward_only;
    int32_t keep_from;
    size_t logits_bytes;
    GemmPrecision precision;
    size_t less; /* bytes fewer than planned */
    atomic_bool *cancel;
} TrainOptions;

/* Fails the test that calls it. With `frozen` the matrices stay as the file has them and have no
 * gradients. */
void train_open(TrainModel *t, const char *path, bool frozen);
void train_close(TrainModel *t);
/* Documents of these lengths, one behind the other, out of `tokens`; weights[i] of row i. */
void train_rows(TrainModel *t, const int32_t *tokens, const float *weights, const int32_t *lengths,
                int32_t n);
TrainTensor *train_tensor(TrainModel *t, const char *name);
void train_clear(TrainModel *t); /* gradients */
/* One step; adds to gradients, sets loss. */
bt_status train_step(TrainModel *t, const TrainOptions *options, bt_error *err);

#endif
