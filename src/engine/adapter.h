/* Adapters inside the engine: files bound to a model, and the sets of them that sequences have. */
#ifndef ENGINE_ADAPTER_H
#define ENGINE_ADAPTER_H

#include <stdatomic.h>

#include "engine/model.h"
#include "io/lora.h"

struct bt_adapter {
    const bt_model *model;
    Lora *lora;
    char *path, *name;
    uint64_t hash;
    uint64_t n_params;
    int32_t rank; /* the largest */
    bool dora;
    atomic_int holders; /* the caller, and each set */
};

/* Checks that the adapter was made for this model: architecture, names, shapes, and the base's
 * fingerprint where it has one (unless `any_base`). `merging`: only the file's tensors matter, not
 * how the forward reads them. BT_E_ARGUMENT says what to do. */
bt_status adapter_check(const bt_model *model, const Lora *lora, const char *path, bool any_base,
                        bool merging, bt_error *err);
/* Reads a GGUF adapter or a PEFT folder for the base that `model` is. */
bt_status adapter_read(const char *path, const bt_model *model, Lora **out, bt_error *err);
/* The i-th weight of the model that reads rows of the tensor; NULL: no more. */
const Weight *adapter_weight(const bt_model *model, const char *tensor, size_t i);
/* A call more on adapter->holders; give it back with bt_adapter_close. */
void adapter_hold(bt_adapter *adapter);

/* ---- sets ---- */

typedef struct AdapterSet {
    Adapters adapters; /* what rows point to */
    bt_adapter_use *uses;
    size_t n;
    uint64_t hash; /* of all adapters and their scales; 0 for none */
    int32_t n_sequences;
    void **memory;
    size_t n_memory, memory_capacity;
} AdapterSet;

/* Adapters one after another, each with its scale: A and B side by side, scales in B; magnitudes
 * (DoRA) need the model's weights, row by row, which takes a moment. Weights must be prepared. */
bt_status adapter_set_open(bt_model *model, const bt_adapter_use *uses, size_t n, AdapterSet **out,
                           bt_error *err);
void adapter_set_close(AdapterSet **set);
bool adapter_set_is(const AdapterSet *set, const bt_adapter_use *uses, size_t n);

/* One row of the base's matrix as it is with these adapters in turn; x (k) holds it and is changed.
 * lora[i] NULL: that adapter leaves the tensor alone. factors[i] gets what DoRA multiplied by (1
 * without). */
void adapter_row(const LoraMatrix *const *lora, const float *scale, size_t n, int64_t mat,
                 int64_t row, float *x, double *factors);

#endif
