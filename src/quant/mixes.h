/* Which type each tensor of a model gets in a mix. The table is mixes.def. */
#ifndef QUANT_MIXES_H
#define QUANT_MIXES_H

#include "base/span.h"
#include "io/gguf.h"

typedef enum MixId {
#define MIX(name, number, base, text) MIX_##name,
#include "quant/mixes.def"
#undef MIX
    MIX_COUNT
} MixId;

typedef struct MixInfo {
    const char *name; /* "Q4_K_M" */
    uint32_t number;  /* general.file_type */
    uint32_t base;    /* DType */
    const char *text; /* one line for a person */
} MixInfo;

extern const MixInfo mixes[MIX_COUNT];

/* By name, in any case; "Q4_K" means Q4_K_M, as "Q3_K" and "Q5_K". -1: none. */
int mix_find(const char *name);

/* What a tensor is for. */
typedef enum TensorKind {
    KIND_OTHER,
    KIND_OUTPUT, /* the token embedding too, where it serves as the output matrix */
    KIND_EMBEDDING,
    KIND_Q,
    KIND_K,
    KIND_V, /* also q, k and v in one, and what keys and values are unpacked from (MLA) */
    KIND_ATTENTION,
    KIND_GATE,
    KIND_UP,
    KIND_DOWN,
    KIND_COUNT,
    KIND_ANY = KIND_COUNT
} TensorKind;

/* What the rules look at besides the tensor. */
typedef struct MixModel {
    Span architecture;
    int32_t n_layers, n_heads, n_kv_heads, n_experts;
    bool tied;    /* no output.weight */
    bool imatrix; /* an importance matrix is at hand */
    int32_t n_v;  /* tensors of KIND_V */
} MixModel;

/* Reads what the file says; BT_E_FORMAT names a key that is wrong. */
bt_status mix_model(const Gguf *gguf, bool imatrix, MixModel *out, bt_error *err);

TensorKind tensor_kind(Span name, bool tied);
#define TENSOR_MOST_LAYERS 65536
/* The layer a name speaks of ("blk.7."), or -1; below TENSOR_MOST_LAYERS. */
int32_t tensor_layer(Span name);
/* Whether its type may change at all: matrices that products read, and tables of rows. Norms,
 * routers, small convolutions and tables of positions stay as they are. */
bool tensor_mutable(const GgufTensor *t);

/* The type of t in the mix. `v`: of a tensor of KIND_V, how many come before it by layer.
 * *fallback: rows were no multiple of the type's block, and the next fitting type was taken. */
uint32_t mix_type(int mix, const MixModel *m, const GgufTensor *t, int32_t v, bool *fallback);
/* The next type that rows of k elements fit into: `type` itself, if they do. */
uint32_t type_that_fits(uint32_t type, uint64_t k);

#endif
