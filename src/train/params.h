/* The parameters of a model in training: every tensor of its file as float32 ("masters") in one
 * block of memory, and the gradients in a second block of the same shape. The model is opened over
 * the masters themselves (model_open_live): what an optimiser writes is what the next forward
 * reads. A head that is tied to the embedding is the same memory, and so has one gradient.
 *
 * Made from a model (file or folder, whatever its types: they are dequantised), or from nothing
 * (config.json and a tokenizer: random numbers). Refused: a tensor whose weights the model does not
 * read where they lie, since training it would change nothing. */
#ifndef TRAIN_PARAMS_H
#define TRAIN_PARAMS_H

#include "engine/model.h"
#include "ops/tape.h"

typedef enum ParamKind {
    PARAM_MATRIX,    /* of products */
    PARAM_EMBEDDING, /* rows looked up, and a head */
    PARAM_VECTOR,    /* norms, biases */
    PARAM_FROZEN     /* no weights: factors of RoPE; or asked to stay */
} ParamKind;

typedef struct Param {
    const char *name; /* of the tensor */
    ParamKind kind;
    float *value, *grad; /* (n_mats, n, k), row-major */
    size_t n;            /* elements */
    int64_t k, rows, mats;
} Param;

typedef struct Params {
    bt_model *model; /* over the masters; of an adapter the frozen one */
    Param *items;    /* (n) every tensor, in the file's order */
    size_t n;
    TapeParam *keys; /* (n_keys) where gradients of what is trained go, sorted by tape_sort */
    size_t n_keys;
    float *values, *grads; /* (n_values) all of them, and padding of zeros between tensors */
    size_t n_values;
    uint64_t n_trained;   /* numbers that are trained */
    uint64_t fingerprint; /* of names, shapes and what is frozen */
    /* Of an adapter in training (lora.h); NULL otherwise: */
    const Adapters *adapters;          /* what all rows have */
    void (*refresh)(struct Params *p); /* before a step: what depends on the values; may be NULL */
    void *extra;
    void (*close_extra)(void *extra);
    void *store;
} Params;

/* Parameters of these names, kinds and shapes, all zero, without a model and keys: the caller sets
 * those (model and keys go with params_close). */
bt_status params_make(const Param *shapes, size_t n, Params **out, bt_error *err);

typedef struct ParamsOptions {
    bt_model_options model; /* threads, CPU mask; others are ignored */
    uint64_t seed;          /* of a new model's numbers */
    float spread;           /* their standard deviation; 0: 0.02 */
} ParamsOptions;

/* From `index`, which may be closed afterwards; with `random` its tensors have no data, and get
 * random numbers: matrices normal with the options' spread, those that write into the stream
 * divided by sqrt(2 layers), norms 1, biases 0. The same numbers for the same seed on any machine.
 */
bt_status params_open(const Gguf *index, bool random, const ParamsOptions *options, Params **out,
                      bt_error *err);
/* A model's file or folder. */
bt_status params_open_model(const char *path, const ParamsOptions *options, Params **out,
                            bt_error *err);
/* A new model of config.json with the vocabulary of the GGUF file `tokenizer`. */
bt_status params_open_config(const char *config, const char *tokenizer, const char *name,
                             const ParamsOptions *options, Params **out, bt_error *err);
void params_close(Params **params);
/* The tensor of that name, or NULL. */
Param *params_find(const Params *params, const char *name);
void params_zero_grads(Params *params);

/* Writes the model with matrices of `type` (DT_F32, DT_F16, DT_BF16 or DT_Q8_0; where a row is no
 * multiple of 32, F16 stands for Q8_0), replaced as a whole; vectors stay float32. */
bt_status params_save(const Params *params, uint32_t type, const char *path, bt_error *err);

#endif
