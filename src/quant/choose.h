/* Which type every tensor of a model gets: the mix's rules, then what the caller named, then what
 * fits the rows; and whether that may be done at all. */
#ifndef QUANT_CHOOSE_H
#define QUANT_CHOOSE_H

#include "quant/imatrix.h"
#include "quant/mixes.h"

typedef struct Choice {
    uint32_t type;                  /* DType that is written */
    bool odd;                       /* its rows did not fit the type that was asked */
    bool named;                     /* by a pattern */
    const ImatrixEntry *importance; /* NULL: none */
} Choice;

typedef struct ChooseOptions {
    int mix;
    const char *const *tensor_types; /* "PATTERN=TYPE" */
    size_t n_tensor_types;
    bool pure, keep_output, requantize;
    const Imatrix *imatrix;   /* NULL: none */
    const char *imatrix_path; /* for messages */
} ChooseOptions;

/* Fills out[gguf_n_tensors(gguf)]. BT_E_ARGUMENT: a pattern that is none, that no matrix's name
 * fits, or a type that is not written; a quantised source; an importance matrix that is needed and
 * not there, or of another model. */
bt_status choose_types(const Gguf *gguf, const ChooseOptions *options, Choice *out, bt_error *err);

/* The same for a model whose weights were changed: the types that its tensors have, or with `type`
 * those of that mix. *mix: its number, or -1. `out` is zeroed. */
bt_status choose_again(const Gguf *gguf, const char *type, int *mix, Choice *out, bt_error *err);

/* DType by its name in any case, or -1. */
int dtype_find(const char *name);

#endif
