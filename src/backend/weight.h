/* A weight as the backends see it: the rows of the file, and, once prepared, their panels. */
#ifndef BACKEND_WEIGHT_H
#define BACKEND_WEIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

typedef struct Weight {
    const char *name; /* owned by the model */
    uint32_t type;    /* GGUF type of the rows */
    int64_t k;        /* inputs: elements a row */
    int64_t n;        /* outputs: rows of one matrix */
    int64_t n_mats;   /* 1, or the number of experts */
    const void *rows; /* (n_mats, n) rows in the mapped file */
    size_t row_bytes;
    size_t mat_bytes;   /* from matrix to matrix: n * row_bytes, more when this is a part of them */
    const float *bias;  /* (n_mats, n), or NULL */
    const float *scale; /* (n_mats) factors of the products, or NULL */
    bool paneled;       /* this type is kept in panels */
    PanelLayout layout; /* valid when paneled */
    const void *panels; /* (n_mats, panels of 32 rows), or NULL until prepared */
    int32_t id;         /* of all weights of its model, from 1 on; 0: of none */
    int64_t first;      /* row of its tensor's matrices where these begin, of `total` */
    int64_t total;
    bool turned; /* made in memory with rows and columns exchanged */
} Weight;

static inline int64_t weight_panels(const Weight *w) /* of one matrix */
{
    return (w->n + PANEL_ROWS - 1) / PANEL_ROWS;
}

static inline size_t weight_panel_bytes(const Weight *w) /* of all matrices */
{
    return w->paneled ? (size_t)(w->n_mats * weight_panels(w)) * w->layout.bytes : 0;
}

/* Row `row` of matrix `mat`. */
static inline const unsigned char *weight_rows(const Weight *w, int64_t mat, int64_t row)
{
    return (const unsigned char *)w->rows + (size_t)mat * w->mat_bytes + (size_t)row * w->row_bytes;
}

static inline uint64_t weight_file_bytes(const Weight *w)
{
    return (uint64_t)w->row_bytes * (uint64_t)w->n * (uint64_t)w->n_mats;
}

#endif
