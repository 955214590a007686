/* Reading a model's file into what a forward needs: hyperparameters by key, weights by name, with
 * their shapes checked. The first failure sticks and later calls return harmless values, so an
 * architecture reads top to bottom without a test a line. */
#ifndef MODELS_LOADER_H
#define MODELS_LOADER_H

#include "backend/weight.h"
#include "io/gguf.h"
#include "ops/ops.h"

#define MODEL_MOST_LAYERS  1024
#define MODEL_MOST_WIDTH   (1 << 20) /* any dimension but the vocabulary */
#define MODEL_MOST_VOCAB   (1 << 24)
#define MODEL_MOST_EXPERTS 4096
#define MODEL_MOST_USED    128 /* experts of one token */

/* How the rows of a text become one vector; the numbers are those of key pooling_type. */
typedef enum Pooling {
    POOLING_UNSAID = -1,
    POOLING_NONE,
    POOLING_MEAN,
    POOLING_CLS, /* the first row */
    POOLING_LAST,
    POOLING_RANK /* a score of two texts (rerankers) */
} Pooling;

/* What every architecture has, read once for all. */
typedef struct Hyper {
    int32_t n_layers, n_embd, n_vocab, n_ctx_train;
    int32_t n_heads, n_kv_heads, n_ff; /* the most of any layer; 0: none has such a part */
    const int32_t *heads_of, *kv_heads_of, *ff_of; /* (n_layers) */
    int32_t e_k, e_v;
    int32_t n_experts, n_experts_used, n_ff_expert; /* 0 for a dense model */
    float eps;                                      /* of either kind of norm */
    bool causal; /* a row sees no later ones; false: all of its sequence, which goes whole */
    bool embeds; /* made to turn a text into a vector: there is no head, and no logits */
    Pooling pooling;
    const Weight *dense[2]; /* what a pooled vector goes through, in this order; NULL: no more */
    bool axes;              /* positions have several axes (M-RoPE) */
    /* Rerankers: dense[] ends with one label, or two of which the `yes`-th is meant. Where a matrix
     * comes before that of the labels, or stands alone, its result is activated, and normed. */
    bool ranks, rank_activates;
    Activation rank_activation;
    const Norm *rank_norm; /* or NULL */
    int32_t rank_yes;
} Hyper;

/* Memory that lives as long as the model. */
typedef struct ModelStore {
    void **items;
    size_t n, capacity;
} ModelStore;

typedef struct Loader {
    const Gguf *gguf;
    const char *arch; /* prefix of its keys */
    bool borrow;      /* float32 vectors are read where they lie, which outlives the model: training
                       * changes them there */
    bool encoder;     /* its rows see each other both ways, unless the file says otherwise */
    ModelStore *store;
    Hyper hyper;
    LayerSpec *layers; /* (n_layers) filled by the architecture */
    Weight **weights;  /* all matrices that products read, in order of first use */
    size_t n_weights, weights_capacity;
    Weight *embedding;
    int32_t n_ids; /* weights made so far */
    bool *taken;   /* of each tensor of the file, whether it was asked for; NULL: not kept */
    bt_status status;
    bt_error *err;
} Loader;

static inline bool loader_failed(const Loader *ld)
{
    return ld->status != BT_OK;
}

/* Records the first failure, "FILE: message". */
void loader_fail(Loader *ld, bt_status status, const char *format, ...) BT_PRINTF(3, 4);

/* Zeroed memory of the store; NULL only after a recorded failure. */
void *loader_memory(Loader *ld, size_t count, size_t size);
void store_close(ModelStore *store);
/* Fails where the file has tensors of layers that the architecture did not take: its keys and its
 * weights disagree. After all is loaded. */
void loader_check_rest(Loader *ld);

/* Reads the common keys; fills hyper and layers (full KV of the layer's heads x e_k, e_v each). */
void loader_hyper(Loader *ld);

/* Keys under the architecture's prefix: "attention.head_count". `fallback` when absent. */
int32_t loader_int(Loader *ld, const char *key, int32_t least, int32_t most, int32_t fallback);
float loader_float(Loader *ld, const char *key, float fallback);
bool loader_bool(Loader *ld, const char *key, bool fallback);
Span loader_text(Loader *ld, const char *key);
/* One number a layer (n_layers), from an array or from one number for all. */
const int32_t *loader_per_layer(Loader *ld, const char *key, int32_t least, int32_t most,
                                int32_t fallback);
/* At most n numbers of an array; how many there were (0: no such key). */
int32_t loader_array(Loader *ld, const char *key, int32_t least, int32_t most, int32_t *out,
                     int32_t n);
/* The same of floats, which may be infinite or NaN. */
int32_t loader_float_array(Loader *ld, const char *key, float *out, int32_t n);
#define LOADER_REQUIRED INT32_MIN /* as fallback of loader_int */

typedef enum LoaderNeed { OPTIONAL, REQUIRED } LoaderNeed;

bool loader_has(const Loader *ld, int32_t layer, const char *name); /* its ".weight" */
/* Its dimensions as the file has them, row length first; false when there is none. */
bool loader_shape(const Loader *ld, int32_t layer, const char *name, int64_t ne[3]);

/* A matrix of n rows of k, named "blk.LAYER.NAME.weight" (LAYER < 0: "NAME.weight"), with its
 * ".bias" and ".scale" if there are. NULL: optional and absent, or failed. */
const Weight *loader_matrix(Loader *ld, int32_t layer, const char *name, int64_t k, int64_t n,
                            LoaderNeed need);
/* n_mats matrices in one tensor (experts). */
const Weight *loader_matrices(Loader *ld, int32_t layer, const char *name, int64_t k, int64_t n,
                              int64_t n_mats, LoaderNeed need);
/* Rows [first, first + n) of each matrix of a tensor that holds `total`: several weights in one.
 * The matrices may have a dimension of their own or lie one below the other. */
const Weight *loader_part(Loader *ld, int32_t layer, const char *name, int64_t k, int64_t total,
                          int64_t first, int64_t n, int64_t n_mats);
/* The same rows as columns: n_mats matrices of k rows of n, made in memory as F32. */
const Weight *loader_turned(Loader *ld, int32_t layer, const char *name, int64_t k, int64_t total,
                            int64_t first, int64_t n, int64_t n_mats);
/* A float vector "blk.LAYER.NAME.weight" of n elements. */
const float *loader_vector(Loader *ld, int32_t layer, const char *name, int64_t n, LoaderNeed need);
/* The same of any tensor name and up to two dimensions: "blk.LAYER.NAME". */
const float *loader_floats(Loader *ld, int32_t layer, const char *name, int64_t ne0, int64_t ne1,
                           LoaderNeed need);
/* The weights of a norm over n elements, with ".bias" if there is one. NULL: absent, or failed. */
const Norm *loader_norm(Loader *ld, int32_t layer, const char *name, int64_t n, bool centred,
                        LoaderNeed need);
/* The same with weights of each head: (heads, n). */
const Norm *loader_norm_heads(Loader *ld, int32_t layer, const char *name, int64_t n, int64_t heads,
                              bool centred);
/* token_embd: rows are looked up, not multiplied. */
const Weight *loader_embedding(Loader *ld);
/* The matrices dense_2 and dense_3, which a pooled vector goes through, into hyper.dense. */
void loader_dense(Loader *ld);
/* The head of a reranker (cls, cls.norm, cls.output) into hyper; nothing where the file has none.
 */
void loader_ranker(Loader *ld);
/* Any other table of rows of n_embd to look up; NULL when absent. */
const Weight *loader_table(Loader *ld, const char *name, int64_t k, LoaderNeed need);
/* output.weight, or the embedding again when there is none (tied). NULL also for a model that
 * embeds: what ends the forward then is the hidden state. */
const Weight *loader_head(Loader *ld);

#endif
