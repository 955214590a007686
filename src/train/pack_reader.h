/* A frozen model that reads whole batches, as training does: all rows of a pack at once, documents
 * beside each other, without state and without a tape's records. Of a batch it keeps the stream of
 * the rows that count, and makes logits of them when asked, so that rows times vocabulary never lie
 * in memory at once.
 *
 * Matrices of float rows are packed once for the products of training (cpu_gemm_ahead); quantised
 * ones go through their panels as ever. */
#ifndef TRAIN_PACK_READER_H
#define TRAIN_PACK_READER_H

#include "engine/model.h"
#include "kernels/gemm.h"
#include "train/batch.h"

typedef struct PackReader PackReader;

typedef struct PackReaderOptions {
    int32_t context;         /* most rows of a batch */
    int32_t most;            /* rows of pack_reader_logits */
    Team *team;              /* that computes, borrowed; NULL: the model's own */
    GemmPrecision precision; /* of products with float rows */
} PackReaderOptions;

/* `model` is borrowed. BT_E_UNSUPPORTED where it has layers that keep a state, which only a session
 * has. */
bt_status pack_reader_open(bt_model *model, const PackReaderOptions *options, PackReader **out,
                           bt_error *err);
void pack_reader_close(PackReader **reader);
/* Reads a batch; rows that count (weight not 0, with a target) are numbered in their order. */
bt_status pack_reader_batch(PackReader *reader, const Batch *batch, bt_error *err);
/* Logits of rows [first, first + n) of those that count in the last batch; valid until the next
 * call. */
bt_status pack_reader_logits(PackReader *reader, int64_t first, int64_t n, Tensor *out,
                             bt_error *err);

#endif
