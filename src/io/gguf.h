/* GGUF v2 and v3, read: a mapped file (or the parts of a split model) becomes a validated index.
 * After gguf_open every key, array and tensor is known to lie inside its file, aligned, named once,
 * with a size that fits; nothing is copied, values and tensors point into the map.
 * Source: the GGUF specification (ggml docs/gguf.md). What it refuses and why: docs/formats.md. */
#ifndef IO_GGUF_H
#define IO_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/os.h"
#include "base/span.h"
#include "base/status.h"

typedef enum GgufType {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64
} GgufType;

#define GGUF_MAX_DIMS 4

typedef struct GgufTensor {
    Span name;
    uint32_t type; /* DType */
    uint32_t n_dims;
    uint64_t ne[GGUF_MAX_DIMS]; /* ne[0] is the row length; unused dims are 1 */
    const void *data;           /* inside the map; NULL when only metadata was opened */
    uint64_t bytes;
    uint64_t offset; /* in its file */
    int part;        /* which file of a split model */
} GgufTensor;

typedef struct Gguf Gguf;

typedef struct GgufOptions {
    bool no_tensors; /* metadata only: tensors are indexed but other parts are not opened */
} GgufOptions;

bt_status gguf_open(const char *path, const GgufOptions *options, Gguf **out, bt_error *err);
void gguf_close(Gguf **gguf);

/* A file that is part of the program: from now on gguf_open(name) gives these bytes, where they lie
 * (8-byte aligned; they and the name live as long as the process). One at most (name NULL: none),
 * set before anything is opened. It has no state on disk to be compared: no sidecar is made of it.
 */
void gguf_builtin(const char *name, const void *data, uint64_t size);
bool gguf_is_builtin(const Gguf *gguf);

const char *gguf_path(const Gguf *gguf);
int gguf_n_parts(const Gguf *gguf);
const OsMap *gguf_part(const Gguf *gguf, int part);
uint64_t gguf_bytes(const Gguf *gguf); /* of all parts that were opened */
uint32_t gguf_version(const Gguf *gguf);

size_t gguf_n_tensors(const Gguf *gguf);
const GgufTensor *gguf_tensor(const Gguf *gguf, size_t i);
const GgufTensor *gguf_find_tensor(const Gguf *gguf, const char *name); /* NULL: none */
/* Layer of "blk.12.attn_q.weight", and where "attn_q.weight" begins; -1: of no layer. */
int32_t gguf_layer(Span name, size_t *rest);

/* ---- metadata ---- */
size_t gguf_n_keys(const Gguf *gguf);
Span gguf_key_name(const Gguf *gguf, size_t i);
/* Index of a key, or -1. Lookups are by hash. */
int64_t gguf_find_key(const Gguf *gguf, const char *key);
GgufType gguf_key_type(const Gguf *gguf, size_t i);
/* For arrays: element type and count. */
GgufType gguf_array_type(const Gguf *gguf, size_t i);
uint64_t gguf_array_count(const Gguf *gguf, size_t i);

/* Typed reads. Absent key: *out is left as it is and BT_OK, unless `required`. A value of another
 * type, or an integer that does not fit, is BT_E_FORMAT naming file, key, both types; so is a
 * float that is NaN or, where one is asked, infinite. Any integer type serves where an integer is
 * asked, any float or integer where a float is. */
bt_status gguf_get_u32(const Gguf *g, const char *key, bool required, uint32_t *out, bt_error *err);
bt_status gguf_get_i32(const Gguf *g, const char *key, bool required, int32_t *out, bt_error *err);
bt_status gguf_get_f32(const Gguf *g, const char *key, bool required, float *out, bt_error *err);
bt_status gguf_get_bool(const Gguf *g, const char *key, bool required, bool *out, bt_error *err);
bt_status gguf_get_span(const Gguf *g, const char *key, bool required, Span *out, bt_error *err);
/* Array of any integers (or floats, bools) into int32 / float32 of the caller's; a scalar counts
 * as an array of one. *count is the number of elements; at most `capacity` are written (more is
 * BT_E_FORMAT). */
bt_status gguf_get_i32s(const Gguf *g, const char *key, bool required, int32_t *out,
                        uint64_t capacity, uint64_t *count, bt_error *err);
bt_status gguf_get_f32s(const Gguf *g, const char *key, bool required, float *out,
                        uint64_t capacity, uint64_t *count, bt_error *err);
/* An array of bytes (U8 or I8), where it lies in the file's map. */
bt_status gguf_get_bytes(const Gguf *g, const char *key, bool required, Span *out, bt_error *err);
/* All strings of an array, in order, into out[count] (count from gguf_array_count). */
bt_status gguf_get_spans(const Gguf *g, const char *key, Span *out, uint64_t count, bt_error *err);
/* Human-readable value of key i for `bantam info`: arrays shortened. Returns out. */
char *gguf_key_print(const Gguf *g, size_t i, char *out, size_t size);

#endif
