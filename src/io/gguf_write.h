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
void gguf_put_spans(GgufWriter *w, const char *key, const Span *values, uint64_t count);
void gguf_put_i32s(GgufWriter *w, const char *key, const int32_t *values, uint64_t count);
void gguf_put_f32s(GgufWriter *w, const char *key, const float *values, uint64_t count);
/* Copies a key of an open file as it is. split.* keys are left out: the writer makes one file.
 * general.alignment, put or copied, is followed. */
void gguf_put_copy(GgufWriter *w, const Gguf *from, size_t key);
/* `data` (bytes as dtype and dims say) must live until the save. */
void gguf_put_tensor(GgufWriter *w, const char *name, uint32_t type, uint32_t n_dims,
                     const uint64_t *ne, const void *data);
bt_status gguf_writer_save(GgufWriter *w, const char *path, bt_error *err);

#endif
