/* A model as its makers publish it (a folder of safetensors, config.json and tokenizer files)
 * turned into what GGUF says of it: keys, names, orders and types as the other programs that read
 * GGUF expect them. Two uses of one plan: written to a file, streaming, or indexed in memory so
 * that a folder runs as it is. What differs between families stands in tables (families.def,
 * rules_*.c). Refuses, by name: an architecture, activation, rope scaling, pre-tokenizer or
 * normaliser that is not known, a tensor that no rule knows, and config and weights that disagree.
 */
#ifndef CONVERT_CONVERT_H
#define CONVERT_CONVERT_H

#include "io/gguf.h"

typedef struct Convert Convert;

/* What matrices become. AUTO: as they are (bf16 stays bf16, F8 becomes bf16, MXFP4 stays). Vectors
 * and small tensors of special use are float32 whatever is asked. */
typedef enum ConvertType {
    CONVERT_AUTO,
    CONVERT_F32,
    CONVERT_F16,
    CONVERT_BF16,
    CONVERT_Q8_0
} ConvertType;

typedef struct ConvertOptions {
    ConvertType type;
    bool vocab_only; /* config and tokenizer; weights need not be there */
    bt_progress_fn progress;
    void *progress_user;
} ConvertOptions;

/* True for a folder that holds a config.json. */
bool convert_is_folder(const char *path);

/* Reads the folder's metadata and makes the plan; no weight is read. */
bt_status convert_open(const char *folder, const ConvertOptions *options, Convert **out,
                       bt_error *err);
void convert_close(Convert **c);

/* A model that is yet to be trained. */
typedef struct ConvertScratch {
    const char *path;      /* of config.json, for messages */
    const char *name;      /* general.name */
    Span config;           /* its text */
    const Gguf *tokenizer; /* whose vocabulary and chat template it gets */
} ConvertScratch;

/* The plan of such a model: convert_view gives its keys and shapes; it has no numbers, so that it
 * cannot be written. What `scratch` points to must live until the plan closes. */
bt_status convert_open_scratch(const ConvertScratch *scratch, Convert **out, bt_error *err);

/* Writes the plan to `path`, replaced as a whole at the end. Needs some tens of megabytes besides
 * the vocabulary, however large the model is. */
bt_status convert_write(Convert *c, const char *path, bt_error *err);

/* The plan as an index, *c taken over (also on failure) and closed with it. Tensors that need no
 * change lie in the mapped files; others are made in memory now. no_data: no tensor has data. */
bt_status convert_index(Convert **c, bool no_data, Gguf **out, bt_error *err);

/* The plan as an index without data, borrowed from it: to hold it against an architecture before
 * anything is written. Close it before the plan. */
bt_status convert_view(Convert *c, Gguf **out, bt_error *err);

/* Rows [row, row + n) of tensor i of such an index, counted over all its matrices, into dst. */
bt_status convert_rows(const Convert *c, size_t i, uint64_t row, uint64_t n, void *dst,
                       bt_error *err);
/* Pages of tensor i that were read need not stay in memory. */
void convert_let_go(const Convert *c, size_t i);

/* What was left out and why, one line each; "" when nothing was. */
const char *convert_notes(const Convert *c);

#endif
