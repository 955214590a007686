/* Where weights are read from to be written anew: a GGUF file, or a maker's folder through the plan
 * of its conversion. One index of tensors for both; rows come as they lie in it. */
#ifndef QUANT_SOURCE_H
#define QUANT_SOURCE_H

#include "convert/convert.h"
#include "io/gguf.h"

typedef struct Source {
    Gguf *index;   /* of a folder: its tensors have no data */
    Convert *plan; /* NULL: a GGUF file */
} Source;

/* A folder is held against its architecture; a file is taken as it is. */
bt_status source_open(const char *path, Source *out, bt_error *err);
void source_close(Source *s);

/* Rows [row, row + n) of tensor i, counted over all its matrices: in the mapped file, or made in
 * `room` (n rows). NULL after a failure. */
const void *source_rows(const Source *s, size_t i, uint64_t row, uint64_t n, void *room,
                        bt_error *err);
/* These rows will not be asked for again soon. */
void source_let_go(const Source *s, size_t i, uint64_t row, uint64_t n);
/* BT_E_IO when a file was cut short under us. */
bt_status source_check(const Source *s, bt_error *err);

/* The file at `path` is one that the source reads. */
bool source_is(const Source *s, const char *path);

static inline uint64_t tensor_rows(const GgufTensor *t)
{
    return t->ne[1] * t->ne[2] * t->ne[3];
}

#endif
