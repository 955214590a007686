/* Importance matrices: for every matrix the mean squared activation that meets each of its columns,
 * gathered over a text. Two forms are read: GGUF (general.type "imatrix", tensors NAME.in_sum2 and
 * NAME.counts), and the older one without a header (usually .dat). Refused, with what is wrong:
 * files that end early, numbers that are no numbers or negative, shapes that do not go together. */
#ifndef QUANT_IMATRIX_H
#define QUANT_IMATRIX_H

#include "io/gguf_index.h"

#define IMATRIX_MOST_ENTRIES 32768u
#define IMATRIX_MOST_VALUES  (UINT64_C(1) << 28) /* of one entry */

typedef struct ImatrixEntry {
    Span name;         /* of the matrix: "blk.0.attn_q.weight" */
    uint64_t n;        /* numbers: columns times matrices */
    float *mean;       /* (n) >= 0; 1 for a matrix that nothing met */
    uint64_t n_counts; /* 1, or one a matrix (expert): each of n / n_counts numbers */
    float *counts;     /* (n_counts) rows that were met; of the older form, calls */
} ImatrixEntry;

typedef struct Imatrix {
    ImatrixEntry *entries;
    size_t n, capacity;
    NameTable names;     /* of the entries, once all are there */
    char *dataset;       /* NULL: not said */
    uint32_t chunks;     /* 0: not said */
    uint32_t chunk_size; /* tokens */
} Imatrix;

bt_status imatrix_open(const char *path, Imatrix **out, bt_error *err);
/* The same from memory (8-byte aligned); `path` is for messages. */
bt_status imatrix_open_memory(const char *path, const void *data, size_t size, Imatrix **out,
                              bt_error *err);
void imatrix_close(Imatrix **m);
/* As GGUF, the form that other programs write and read. */
bt_status imatrix_save(const Imatrix *m, const char *path, bt_error *err);

const ImatrixEntry *imatrix_find(const Imatrix *m, Span name); /* NULL: none */
/* The weights of a tensor of k columns and n_mats matrices: *each says how many numbers lie from
 * matrix to matrix (0: all share one set). NULL when the entry is for another shape. */
const float *imatrix_weights(const ImatrixEntry *e, uint64_t k, uint64_t n_mats, uint64_t *each);

/* ---- for those who fill one ---- */

Imatrix *imatrix_new(void); /* NULL: no memory */
/* A zeroed entry of n numbers and n_counts counts; NULL: no memory. */
ImatrixEntry *imatrix_add(Imatrix *m, Span name, uint64_t n, uint64_t n_counts);
/* Sums in `mean` become means; BT_E_FORMAT: they are negative or none. */
bt_status imatrix_divide(ImatrixEntry *e, const char *path, bt_error *err);
/* Makes the entries findable; BT_E_FORMAT: a name stands twice, or there is none. */
bt_status imatrix_index(Imatrix *m, const char *path, bt_error *err);

#endif
