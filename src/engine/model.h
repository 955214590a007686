/* A loaded model inside the engine: file, vocabulary, architecture, prepared weights, team. */
#ifndef ENGINE_MODEL_H
#define ENGINE_MODEL_H

#include <pthread.h>

#include "backend/cpu/cpu.h"
#include "base/team.h"
#include "engine/aside.h"
#include "engine/panels.h"
#include "io/gguf.h"
#include "models/model.h"
#include "models/vocab.h"
#include "text/token_set.h"

struct bt_model {
    Gguf *gguf;
    Vocab *vocab;
    const Arch *arch;    /* NULL: opened for its vocabulary only */
    const void *weights; /* the architecture's struct, in the store */
    ModelStore store;
    Hyper hyper;
    LayerSpec *layers;
    Weight **matrices; /* that products read */
    size_t n_matrices;
    const Weight *embedding;
    _Atomic(Panels *) panels;   /* NULL until the first session; set once, under the lock */
    Team *team;                 /* likewise */
    _Atomic(TokenSet *) tokens; /* the vocabulary for grammars; NULL until the first of them */
    _Atomic(Aside *) aside;     /* likewise */
    int n_threads;
    uint32_t features;                         /* CPU_* bits in use */
    char *architecture, *name, *chat_template; /* copies, NUL-terminated */
    char *query_prefix, *document_prefix;      /* see prefixes.h; NULL: none known */
    char *cache_dir;                           /* NULL: no sidecars */
    char type_summary[16];
    uint64_t n_params;
    bt_progress_fn progress;
    void *progress_user;
    pthread_mutex_t lock; /* held while a step runs: the team serves one at a time */
};

/* bt_model_open on a file that is open. Takes *gguf over and clears it, also on failure. */
bt_status model_open_gguf(Gguf **gguf, const bt_model_options *options, bt_model **out,
                          bt_error *err);
/* The same on an index in memory whose float32 tensors are the weights themselves: matrices and
 * vectors are read where they lie, without panels, so that changing the numbers changes the model.
 * The memory outlives the model. */
bt_status model_open_live(Gguf **gguf, const bt_model_options *options, bt_model **out,
                          bt_error *err);
/* BT_E_FORMAT for files of GGUF that hold something else: adapters, importance matrices ... */
bt_status model_check_kind(const Gguf *gguf, bt_error *err);
/* Starts the team and prepares the weights, the first time. */
bt_status model_prepare(bt_model *model, bt_error *err);
/* BT_E_IO when a mapped file of the model was cut short under us. */
bt_status model_check_files(const bt_model *model, bt_error *err);

const Tokenizer *model_tokenizer(const bt_model *model);
/* The file's Jinja template; size 0 when it has none. */
Span model_chat_template(const bt_model *model);

/* ---- plan.c ---- */

/* Sizes of a CPU backend that runs steps of n_batch rows. */
CpuSizes model_cpu_sizes(const bt_model *model, int32_t n_batch);
/* What a session is made for. */
typedef struct SessionShape {
    int32_t n_ctx; /* 0: the most that fits, at most what the model was trained for */
    int32_t n_sequences;
    int32_t n_batch;  /* 0: MODEL_BATCH, or where memory is short less, down to MODEL_LEAST */
    int32_t n_wanted; /* rows of a step that give logits, or hidden states */
    bt_kv_type kv;
    bool hidden;           /* steps give hidden states: what a model that embeds does in any case */
    int32_t n_tokens;      /* of all sequences together; 0: n_sequences times n_ctx */
    int32_t n_checkpoints; /* of layers that forget; 0: one a sequence and one more */
} SessionShape;

/* Bytes of arena that a step of this shape takes, its rows with any of the adapters `sets`: the
 * forward is run by the plan backend. 0 after a failure. */
size_t model_step_bytes(const bt_model *model, const SessionShape *shape,
                        const Adapters *const *sets, int32_t n_sets, bt_error *err);
StateSpec model_state_spec(const bt_model *model, const SessionShape *shape);
/* As bt_model_plan. `limit` 0: what is available. Fields of `shape` that are 0 or out of keeping
 * are set: a step of an encoder takes n_ctx rows at least. */
bt_status model_plan(const bt_model *model, SessionShape *shape, uint64_t limit,
                     bt_memory_plan *out, bt_error *err);
#define MODEL_BATCH     512   /* rows of a step when nothing is asked, */
#define MODEL_LEAST     128   /* and where memory is short */
#define MODEL_MOST_ROWS 65536 /* of a step */

/* ---- embed.c ---- */

/* Bytes that a session for embeddings keeps beside its steps. */
size_t model_pool_bytes(const bt_model *model, int32_t n_sequences);
/* Pooled vectors x (n, D) through the matrices that the model has for them; x where it has none. */
Tensor model_dense(Step *step, const bt_model *model, Tensor x);

#endif
