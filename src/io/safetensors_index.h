/* Inside the safetensors reader: one file's parts, and the entry that parses it. */
#ifndef IO_SAFETENSORS_INDEX_H
#define IO_SAFETENSORS_INDEX_H

#include "io/gguf_index.h"
#include "io/jdoc.h"
#include "io/safetensors.h"

typedef struct StFile {
    OsMap map;
    char *path;
    Jdoc *header; /* tensors' names point into it */
} StFile;

struct Safetensors {
    StFile *files;
    int n_files;
    bool borrowed; /* files[0].map is memory of the caller's */
    StTensor *tensors;
    size_t n_tensors;
    NameTable table;
};

/* Reads the header of file `shard` and appends its tensors, checked. */
bt_status st_parse(Safetensors *st, int shard, bt_error *err);

#endif
