/* Importance matrices: for every matrix the mean squared activation that meets each of its columns,
 * gathered over a text. Two forms are read: GGUF (general.type "imatrix", tensors NAME.in_sum2 and
 * NAME.counts), and the older one without a header (usually .dat). Refused, with what is wrong:
 * files that end early, numbers that are no numbers or negative, shapes that do not go together. */
#ifndef QUANT_IMATRIX_H
#define QUANT_IMATRIX_H

#include "base/span.h"
#include "base/status.h"

#define IMATRIX_MOST_ENTRIES 32768u
#define IMATRIX_MOST_VALUES  (UINT64_C(1) << 28) /* of one entry */

typedef struct ImatrixEntry {
    Span name;    /* of the matrix: "blk.0.attn_q.weight" */
    uint64_t n;   /* numbers: columns times matrices */
    float *mean;  /* (n) >= 0; 1 for a matrix that nothing met */
    bool partial; /* some matrices (experts) met nothing */
} ImatrixEntry;

typedef struct Imatrix Imatrix;

bt_status imatrix_open(const char *path, Imatrix **out, bt_error *err);
/* The same from memory; `path` is for messages. */
bt_status imatrix_open_memory(const char *path, const void *data, size_t size, Imatrix **out,
                              bt_error *err);
void imatrix_close(Imatrix **m);

size_t imatrix_n(const Imatrix *m);
const ImatrixEntry *imatrix_at(const Imatrix *m, size_t i);
const ImatrixEntry *imatrix_find(const Imatrix *m, Span name); /* NULL: none */
const char *imatrix_dataset(const Imatrix *m);                 /* "" when not said */
uint32_t imatrix_chunks(const Imatrix *m);                     /* 0 when not said */

/* The weights of a tensor of k columns and n_mats matrices: *each says how many numbers lie from
 * matrix to matrix (0: all share one set). NULL when the entry is for another shape. */
const float *imatrix_weights(const ImatrixEntry *e, uint64_t k, uint64_t n_mats, uint64_t *each);

#endif
