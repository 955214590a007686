/* A session inside the engine (see bantam.h). */
#ifndef ENGINE_SESSION_H
#define ENGINE_SESSION_H

#include <stdatomic.h>

#include "engine/model.h"

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
    int32_t n_ctx, n_sequences, n_batch, n_logits;
    bool hidden;   /* steps give hidden states, not logits */
    float *answer; /* logits or hidden states of the last step, in the arena */
    int32_t n_wanted;
    float *pooled;    /* (n_sequences, D) vectors of texts; of a session for embeddings */
    double *sum;      /* (D) of the rows of one text */
    uint32_t kv_type; /* DT_* of keys and values */
    atomic_bool cancel;
};

/* What was fed to the sequence: as many as its state holds. */
bt_token *session_tokens(const bt_session *session, int32_t sequence);
bt_status session_check_sequence(const bt_session *session, int32_t sequence, bt_error *err);
/* The first n of s->pooled through the matrices that the model has for vectors; *out lies in the
 * arena until the next step. */
bt_status session_dense(bt_session *s, int32_t n, Tensor *out, bt_error *err);

#endif
