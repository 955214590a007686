/* A session inside the engine (see bantam.h). */
#ifndef ENGINE_SESSION_H
#define ENGINE_SESSION_H

#include <stdatomic.h>

#include "engine/adapter.h"

/* What a token turns by: time, height, width, spare. */
typedef struct Axes {
    int32_t of[ROPE_AXES];
} Axes;

struct bt_session {
    bt_model *model;
    Backend *backend;
    State *state;
    Arena arena;
    StepRow *rows;  /* (n_batch) of the step that runs */
    bt_row *feed;   /* (n_batch) of bt_session_feed and bt_session_embed */
    int32_t *added; /* (n_sequences) rows of each in the step */
    int32_t *lost;  /* (n_sequences) lengths to feed again after a failed step */
    bool taking_back;
    bt_token *tokens; /* (n_sequences, n_ctx) what was fed */
    Axes *axes;       /* (n_sequences, n_ctx) where; NULL when positions have one axis */
    int32_t n_ctx, n_sequences, n_batch, n_logits;
    bool hidden;   /* steps give hidden states, not logits */
    float *answer; /* logits or hidden states of the last step, in the arena */
    int32_t n_wanted;
    float *pooled;         /* (n_sequences, D) vectors of texts; of a session for embeddings */
    double *sum;           /* (D) of the rows of one text */
    AdapterSet **of;       /* (n_sequences) adapters of each; NULL: none */
    const Adapters **sets; /* (n_sets) the different ones among them */
    int32_t n_sets;
    SessionShape shape; /* what its memory was made for */
    uint32_t kv_type;   /* DT_* of keys; of values too, unless the bits from 8 on say another + 1 */
    bool checkpoints_asked; /* session_checkpoint makes them, not every step of several tokens */
    atomic_bool cancel;
};

/* bt_session_open for a shape that its options cannot say. `limit` as bt_session_options has it. */
bt_status session_open_shape(bt_model *model, const SessionShape *shape, uint64_t limit,
                             bt_session **out, bt_error *err);
/* Remembers this moment of the sequence where layers forget (state_checkpoint). */
void session_checkpoint(bt_session *session, int32_t sequence);

/* Bytes that a session keeps of each token it was fed. */
static inline size_t session_token_bytes(const bt_model *m)
{
    return sizeof(bt_token) + (m->hyper.axes ? sizeof(Axes) : 0);
}

/* What was fed to the sequence: as many as its state holds. */
bt_token *session_tokens(const bt_session *session, int32_t sequence);
/* Where; NULL when positions have one axis. */
Axes *session_axes(const bt_session *session, int32_t sequence);
/* Fills out->axis from the row's axes, or as the text goes on, and keeps it with the session.
 * out->position is set. BT_E_ARGUMENT, BT_E_UNSUPPORTED. */
bt_status session_place(bt_session *session, const bt_row *row, StepRow *out, bt_error *err);
/* bt_session_feed with axes (n), which may lie where the session keeps them; NULL: text. */
bt_status session_feed(bt_session *session, int32_t sequence, const bt_token *tokens,
                       const Axes *axes, size_t n, bt_error *err);
/* After `n` tokens from `keep` on were forgotten: moves the rest so that it goes on from there. */
void session_axes_shift(bt_session *session, int32_t sequence, int32_t keep, int32_t n,
                        int32_t length);
/* ---- session_file.c ---- */

/* A number that sequences saved by sessions of this model and KV type have in common. */
uint64_t session_file_kind(const bt_session *session);
/* Bytes that bt_session_save would write. */
uint64_t session_file_bytes(bt_session *session, int32_t sequence);
/* The tokens of a saved sequence (*tokens is the caller's, by mem_free) and the file's size. All is
 * checked but the state itself, and that it is of the same model and adapters. */
bt_status session_file_tokens(const bt_session *session, const char *path, bt_token **tokens,
                              int32_t *n, uint64_t *bytes, bt_error *err);

/* At the end of the session. */
void session_drop_adapters(bt_session *session);
bt_status session_check_sequence(const bt_session *session, int32_t sequence, bt_error *err);
/* The first n of s->pooled through the matrices that the model has for vectors; *out lies in the
 * arena until the next step. */
bt_status session_dense(bt_session *s, int32_t n, Tensor *out, bt_error *err);
/* As bt_session_embed, with a model that has the head of a reranker: of each text (a pair, see
 * engine/rank.h) a score between 0 and 1. */
bt_status session_score(bt_session *s, const bt_ids *texts, size_t n, float *out, bt_error *err);

#endif
