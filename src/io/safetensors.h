/* Safetensors, read: one file, or the shards of a maker's folder, become a validated index. After
 * st_open every tensor is known to lie inside its file, to have as many bytes as its type and shape
 * say, to be named once, and to share no byte with another; nothing is copied.
 * Format: 8 bytes little-endian length of a header, the header as JSON ("name": {"dtype", "shape",
 * "data_offsets": [begin, end]}, and "__metadata__" of strings), then the data, in which tensors
 * follow each other without holes. Source: the safetensors specification (README of
 * huggingface/safetensors) and its index file as `transformers` writes it. */
#ifndef IO_SAFETENSORS_H
#define IO_SAFETENSORS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/os.h"
#include "base/span.h"
#include "base/status.h"

/* X(name, text, bytes) */
#define ST_TYPES(X)                                                                                \
    X(ST_F64, "F64", 8)                                                                            \
    X(ST_F32, "F32", 4)                                                                            \
    X(ST_F16, "F16", 2)                                                                            \
    X(ST_BF16, "BF16", 2)                                                                          \
    X(ST_F8_E4M3, "F8_E4M3", 1)                                                                    \
    X(ST_F8_E5M2, "F8_E5M2", 1)                                                                    \
    X(ST_F8_E8M0, "F8_E8M0", 1)                                                                    \
    X(ST_I64, "I64", 8)                                                                            \
    X(ST_U64, "U64", 8)                                                                            \
    X(ST_I32, "I32", 4)                                                                            \
    X(ST_U32, "U32", 4)                                                                            \
    X(ST_I16, "I16", 2)                                                                            \
    X(ST_U16, "U16", 2)                                                                            \
    X(ST_I8, "I8", 1)                                                                              \
    X(ST_U8, "U8", 1)                                                                              \
    X(ST_BOOL, "BOOL", 1)

typedef enum StType {
#define ST_TYPE_ENUM(name, text, bytes) name,
    ST_TYPES(ST_TYPE_ENUM)
#undef ST_TYPE_ENUM
        ST_N_TYPES
} StType;

#define ST_MAX_DIMS    8
#define ST_MAX_HEADER  100000000u /* bytes; the specification's cap */
#define ST_MAX_NAME    511u       /* bytes of a tensor's name */
#define ST_MAX_TENSORS 1000000u   /* of all shards */
#define ST_MAX_SHARDS  1024u

typedef struct StTensor {
    Span name;
    StType type;
    uint32_t n_dims; /* 0: one number */
    uint64_t shape[ST_MAX_DIMS];
    const void *data; /* inside the map; aligned to one byte only */
    uint64_t bytes;
    uint64_t offset; /* in its file */
    int shard;
} StTensor;

typedef struct Safetensors Safetensors;

const char *st_type_name(StType type);
unsigned st_type_bytes(StType type);

/* `path`: a .safetensors file, or a folder that holds model.safetensors.index.json and the shards
 * it names, or one .safetensors file. BT_E_FORMAT and BT_E_IO name file, tensor and offset. */
bt_status st_open(const char *path, Safetensors **out, bt_error *err);
/* As st_open for one file's bytes that the caller keeps. For fuzzing and tests. */
bt_status st_open_memory(const void *data, uint64_t size, const char *name, Safetensors **out,
                         bt_error *err);
void st_close(Safetensors **st);

size_t st_n_tensors(const Safetensors *st);
const StTensor *st_tensor(const Safetensors *st, size_t i); /* in the files' order */
const StTensor *st_find(const Safetensors *st, Span name);  /* NULL: none */
int st_n_shards(const Safetensors *st);
const OsMap *st_shard(const Safetensors *st, int shard);
const char *st_shard_path(const Safetensors *st, int shard);
/* "3 x 4", for messages; returns out. */
char *st_shape_text(const StTensor *t, char *out, size_t size);

#endif
