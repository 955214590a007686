/* GGUF v3, written: collect keys and tensors, then write the file at once (temporary, fsync,
 * rename). Failures stick and are reported by gguf_writer_save. */
#ifndef IO_GGUF_WRITE_H
#define IO_GGUF_WRITE_H

#include "io/gguf.h"

typedef struct GgufWriter GgufWriter;

GgufWriter *gguf_writer_open(void); /* NULL: no memory */
void gguf_writer_close(GgufWriter **w);
void gguf_put_u32(GgufWriter *w, const char *key, uint32_t value);
void gguf_put_i32(GgufWriter *w, const char *key, int32_t value);
void gguf_put_u64(GgufWriter *w, const char *key, uint64_t value);
void gguf_put_f32(GgufWriter *w, const char *key, float value);
void gguf_put_bool(GgufWriter *w, const char *key, bool value);
void gguf_put_string(GgufWriter *w, const char *key, const char *value);
void gguf_put_span(GgufWriter *w, const char *key, Span value);
void gguf_put_spans(GgufWriter *w, const char *key, const Span *values, uint64_t count);
void gguf_put_bytes(GgufWriter *w, const char *key, Span value); /* array of U8 */
void gguf_put_i32s(GgufWriter *w, const char *key, const int32_t *values, uint64_t count);
void gguf_put_bools(GgufWriter *w, const char *key, const bool *values, uint64_t count);
void gguf_put_f32s(GgufWriter *w, const char *key, const float *values, uint64_t count);
/* Copies a key of an open file as it is. split.* keys are left out: the writer makes one file.
 * general.alignment, put or copied, is followed. */
void gguf_put_copy(GgufWriter *w, const Gguf *from, size_t key);
/* `data` (bytes as dtype and dims say) must live until the save. */
void gguf_put_tensor(GgufWriter *w, const char *name, uint32_t type, uint32_t n_dims,
                     const uint64_t *ne, const void *data);
/* A tensor that is made while the file is written: `write` puts exactly its bytes into fd. */
typedef bt_status (*GgufTensorWrite)(void *user, int fd, bt_error *err);
void gguf_put_tensor_made(GgufWriter *w, const char *name, uint32_t type, uint32_t n_dims,
                          const uint64_t *ne, GgufTensorWrite write, void *user);
/* Bytes that the file would take before its first tensor. */
bt_status gguf_writer_header(GgufWriter *w, uint64_t *bytes, bt_error *err);
bt_status gguf_writer_save(GgufWriter *w, const char *path, bt_error *err);

/* Where a tensor of an index without a file lies. */
typedef struct GgufPlace {
    const void *data; /* NULL: metadata only */
    int map;          /* which of the maps it is in, or -1: memory */
    uint64_t offset;  /* in that map */
} GgufPlace;

/* An index of what was put, as if a file of it had been opened: for models that lie in other files.
 * `path` names it in messages. places: one a tensor, in the order of the puts. The maps (n_maps
 * files of which it says gguf_part 1 to n_maps) and the writer are borrowed; when the index closes,
 * or this fails, release(user) is called, once. */
typedef struct GgufIndexOf {
    const char *path;
    const GgufPlace *places;
    const OsMap *const *maps;
    int n_maps;
    void (*release)(void *user);
    void *user;
} GgufIndexOf;
bt_status gguf_writer_index(GgufWriter *w, const GgufIndexOf *of, Gguf **out, bt_error *err);

#endif
