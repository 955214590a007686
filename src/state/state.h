/* Layer state: what layers remember between steps, for all sequences of a session.
 *
 * Layers that forget alike form a group: those that keep all tokens, those of one window or chunk
 * length, and those that keep a recurrent state. In a group tokens live in blocks of KV_BLOCK; a
 * sequence has a table of block numbers that holds for every layer of the group, and gives back the
 * blocks that no later token can see. A recurrent state is one block, whatever the length. Blocks
 * are counted: sequences may share a beginning, and a shared block is copied when one of them
 * writes into it.
 *
 * What windows and recurrences have forgotten cannot be had back by cutting. Checkpoints hold on to
 * the blocks of earlier moments; truncation goes back to the nearest one and says how far it got;
 * the caller feeds the rest again.
 *
 * All memory is reserved at open; pages that were never written cost nothing. */
#ifndef STATE_STATE_H
#define STATE_STATE_H

#include "backend/backend.h"
#include "base/status.h"

typedef enum StateKind {
    STATE_KV_FULL,   /* every token; a layer without keys and values has kv_heads 0 */
    STATE_KV_WINDOW, /* a row sees the last `span` tokens, itself among them */
    STATE_KV_CHUNK,  /* a row sees its own chunk of `span` tokens, up to itself */
    STATE_KV_SHARED  /* reads what layer `from` remembers, keeps nothing itself */
} StateKind;

/* What one layer remembers: keys and values, or a recurrent state, or both, or nothing. */
typedef struct LayerSpec {
    StateKind kind;
    int32_t kv_heads, e_k, e_v;
    bool v_in_k;             /* MLA: the values are the first e_v of each key; one row is kept */
    int32_t span;            /* STATE_KV_WINDOW, STATE_KV_CHUNK */
    int32_t from;            /* STATE_KV_SHARED: a layer below that keeps its own */
    int32_t conv, recurrent; /* floats of a convolution's tail, of a recurrent matrix */
} LayerSpec;

typedef struct StateSpec {
    const LayerSpec *layers;
    int32_t n_layers;
    uint32_t k_type, v_type; /* of keys, of values: DT_F32, DT_BF16, DT_F16, DT_Q8_0 or DT_Q4_0 */
    int32_t n_ctx;           /* tokens a sequence may hold */
    int32_t n_sequences;
    int32_t n_batch;       /* most tokens a sequence gains in one step */
    int32_t n_tokens;      /* most tokens of all sequences together, or a sequence's n_ctx if that
                            * is more; 0: n_sequences times n_ctx */
    int32_t n_checkpoints; /* of all sequences together; of no use when all layers are full */
} StateSpec;

typedef struct State State;

/* Bytes that state_open would reserve; UINT64_MAX when that overflows. */
uint64_t state_bytes(const StateSpec *spec);
/* Bytes that a decode step reads (recurrent states: and writes) at this depth. */
uint64_t state_read_bytes(const StateSpec *spec, int32_t depth);
/* Bytes of keys and values of one token in this layer (0: it keeps none), and of its recurrent
 * state. */
uint64_t state_layer_token_bytes(const StateSpec *spec, const LayerSpec *layer);
uint64_t state_layer_fixed_bytes(const LayerSpec *layer);
/* Whether some layer forgets, so that checkpoints are needed to go back. */
bool state_forgets(const LayerSpec *layers, int32_t n_layers);

/* BT_OK when state_open could make it, memory apart; a type may not fit the heads. The byte counts
 * above mean something only then. */
bt_status state_check(const StateSpec *spec, bt_error *err);
/* spec->layers must outlive the state. BT_E_ARGUMENT, BT_E_LIMIT as state_check says. */
bt_status state_open(const StateSpec *spec, State **out, bt_error *err);
void state_close(State **state);

int32_t state_context(const State *state);
int32_t state_length(const State *state, int32_t sequence); /* tokens remembered */
/* Whether each sequence q could gain added[q] (n_sequences) tokens, all of them together, in one
 * step. */
bool state_has_room(State *state, const int32_t *added);
/* Tokens that a sequence could begin with: what is free of the memory for all. */
int32_t state_room(const State *state);
/* Makes room for n more tokens of `sequence` (fresh blocks, copies of shared ones). False when
 * they do not fit it, or (n_tokens) all of them: nothing is changed. The length grows by
 * state_commit only. */
bool state_reserve(State *state, int32_t sequence, int32_t n);
void state_commit(State *state, int32_t sequence, int32_t n);
/* The step that was reserved failed half way: goes back to before it, or, where a recurrent state
 * was already changed, to the newest checkpoint. Returns the length that is held now. */
int32_t state_abandon(State *state, int32_t sequence);
/* Forgets all after the first `length` tokens. Returns what is held now: `length`, or less where
 * layers had forgotten and a checkpoint had to serve. */
int32_t state_truncate(State *state, int32_t sequence, int32_t length);
/* Makes `to` begin as `from` does for `length` tokens, sharing blocks. Returns the length that `to`
 * holds now: `length`, or that of the newest checkpoint before it. */
int32_t state_share(State *state, int32_t from, int32_t to, int32_t length);
/* What state_share to another sequence would return, doing nothing. */
int32_t state_shareable(const State *state, int32_t from, int32_t length);
/* Remembers this moment of the sequence, at the cost of a copy of the recurrent states and no more;
 * an older checkpoint gives way if there is no place. Nothing when no layer forgets. */
void state_checkpoint(State *state, int32_t sequence);

/* The layer as backends see it. Valid until the next reserve, truncate or share. */
KvLayer state_layer(const State *state, int32_t layer);
RecurrentLayer state_recurrent(const State *state, int32_t layer);

/* ---- a sequence on its own, for a file ---- */

/* Calls `visit` for every run of bytes that `sequence` remembers, in a fixed order: the same for
 * two states of equal specs that hold the same tokens. Stops at the first false. */
typedef bool (*StateVisitFn)(void *arg, void *bytes, size_t n);
bool state_visit(State *state, int32_t sequence, StateVisitFn visit, void *arg);
/* Empties `sequence` and makes it hold `length` tokens whose bytes are yet to be filled in through
 * state_visit. False when they do not fit. */
bool state_make(State *state, int32_t sequence, int32_t length);

#endif
