/* Inside the GGUF reader: what one file becomes, the caps it is held to, and the entry that parses
 * bytes in memory. Other floors use gguf.h. */
#ifndef IO_GGUF_INDEX_H
#define IO_GGUF_INDEX_H

#include "base/buf.h"
#include "io/gguf.h"
#include "io/gguf_write.h"

/* Caps. Real files stay far below; a file above one is refused with its number (docs/formats.md).
 * Together they bound the work on any file to some tens of milliseconds and a few megabytes. */
#define GGUF_MAX_KEYS        16384u
#define GGUF_MAX_TENSORS     65536u
#define GGUF_MAX_KEY_LENGTH  1024u
#define GGUF_MAX_NAME_LENGTH 255u       /* of a tensor */
#define GGUF_MAX_STRING      (1u << 28) /* bytes */
#define GGUF_MAX_WALK        (1u << 22) /* elements that must be looked at one by one, in all */
#define GGUF_MAX_DEPTH       4          /* arrays in arrays */
#define GGUF_MIN_ALIGNMENT   8u         /* tensors are read as floats and 64-bit words */
#define GGUF_MAX_ALIGNMENT   65536u
#define GGUF_MAX_PARTS       256u
#define GGUF_N_TYPES         13u

typedef struct GgufKey {
    Span name;
    uint32_t type;              /* GgufType */
    uint32_t element;           /* GgufType of an array's elements */
    uint64_t count;             /* elements of an array, else 1 */
    const unsigned char *value; /* first byte of the value; of an array: of its first element */
    uint64_t bytes;             /* from `value` to the end */
    uint64_t entry;             /* offset in the file where this key starts */
} GgufKey;

/* Open addressing over names that lie `stride` bytes apart; seeded, so that a hostile file cannot
 * choose names that collide. */
typedef struct NameTable {
    uint32_t *slots; /* index + 1; 0: empty */
    uint32_t mask;
    uint64_t seed[2];
    const unsigned char *names; /* the first Span */
    size_t stride;
} NameTable;

/* Indexes `count` names. On a duplicate gives BT_E_FORMAT and its index in *twice. */
bt_status name_table_build(NameTable *t, const Span *names, size_t stride, size_t count,
                           size_t *twice);
int64_t name_table_find(const NameTable *t, Span name); /* -1: none */
void name_table_close(NameTable *t);

/* One file of a model. `map` may be memory of the caller's (fd -1). */
typedef struct GgufFile {
    OsMap map;
    char *path;
    char shown[200]; /* the path for messages, its tail when long */
    uint32_t version;
    uint64_t alignment;
    GgufKey *keys;
    size_t n_keys;
    NameTable key_table;
    GgufTensor *tensors;
    size_t n_tensors;
} GgufFile;

struct Gguf {
    GgufFile *parts;
    int n_parts;
    bool borrowed;       /* parts[0].map is memory of the caller's */
    bool builtin;        /* it is part of the program */
    GgufTensor *tensors; /* of all parts; parts[0].tensors when there is one part */
    size_t n_tensors;
    NameTable tensor_table;
    char *head;                  /* of an index without a file: its keys */
    void (*release)(void *user); /* and whose the rest is */
    void *user;
};

/* Parses and validates file->map. What was allocated is in *file, also on failure. */
bt_status gguf_parse(GgufFile *file, bt_error *err);
/* The part of gguf_parse after the keys: `at` is where the tensor table starts. */
bt_status gguf_parse_tensors(GgufFile *file, uint64_t at, uint64_t count, bt_error *err);
/* NULL when `name` is 1 to `cap` bytes of UTF-8 without control characters, else what is wrong. */
const char *gguf_name_fault(Span name, uint64_t cap);
/* "FILE: KIND 'NAME' at offset N: what is wrong". */
bt_status gguf_bad(const GgufFile *file, bt_error *err, const char *kind, Span name,
                   uint64_t offset, const char *format, ...) BT_PRINTF(6, 7);
/* An integer key within [low, high]; *out stays when it is absent. */
bt_status gguf_file_integer(const GgufFile *file, const char *key, bool required, int64_t low,
                            int64_t high, int64_t *out, bt_error *err);
const char *gguf_type_text(uint32_t type);
/* Bytes of a value of fixed size, 0 for strings and arrays. */
unsigned gguf_type_width(uint32_t type);

/* As gguf_open for bytes that the caller keeps (8-byte aligned, alive until the close); `name`
 * stands in messages. A part of a split model is refused. For fuzzing and tests. */
bt_status gguf_open_memory(const void *data, uint64_t size, const char *name, Gguf **out,
                           bt_error *err);

/* An index from a header in memory (*head is taken) and tensors that lie elsewhere (*tensors is
 * taken). The caller calls of->release after a failure. */
bt_status gguf_assemble(Buf *head, const GgufIndexOf *of, GgufTensor **tensors, size_t n_tensors,
                        Gguf **out, bt_error *err);

#endif
