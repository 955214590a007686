/* Layer state: what layers remember between steps, for all sequences of a session.
 *
 * Tokens live in blocks of KV_BLOCK; a sequence has a table of block numbers that holds for every
 * layer. Blocks are counted: sequences may share a beginning, and a shared block is copied when
 * one of them writes into it. All memory is reserved at open; pages that were never written cost
 * nothing. One kind so far (full KV); each kind of layer says how many bytes a block takes. */
#ifndef STATE_STATE_H
#define STATE_STATE_H

#include "backend/backend.h"
#include "base/status.h"

typedef enum StateKind { STATE_KV_FULL } StateKind;

/* What one layer remembers. */
typedef struct LayerSpec {
    StateKind kind;
    int32_t kv_heads, e_k, e_v;
} LayerSpec;

typedef struct StateSpec {
    const LayerSpec *layers;
    int32_t n_layers;
    uint32_t type; /* DT_F32, DT_BF16, DT_F16 or DT_Q8_0 */
    int32_t n_ctx; /* tokens a sequence may hold */
    int32_t n_sequences;
} StateSpec;

typedef struct State State;

/* Bytes that state_open would reserve; UINT64_MAX when that overflows. */
uint64_t state_bytes(const StateSpec *spec);
/* Bytes of one token in all layers (reads of a decode step grow by this with depth). */
uint64_t state_token_bytes(const StateSpec *spec);

/* BT_OK when state_open could make it, memory apart; a type may not fit the heads. The byte counts
 * below mean something only then. */
bt_status state_check(const StateSpec *spec, bt_error *err);
/* spec->layers must outlive the state. BT_E_ARGUMENT as state_check says. */
bt_status state_open(const StateSpec *spec, State **out, bt_error *err);
void state_close(State **state);

int32_t state_context(const State *state);
int32_t state_length(const State *state, int32_t sequence); /* tokens remembered */
/* Makes room for n more tokens of `sequence` (fresh blocks, copies of shared ones). False when
 * they do not fit: nothing is changed. The length grows by state_commit only. */
bool state_reserve(State *state, int32_t sequence, int32_t n);
void state_commit(State *state, int32_t sequence, int32_t n);
/* Forgets all after the first `length` tokens. */
void state_truncate(State *state, int32_t sequence, int32_t length);
/* Makes `to` begin as `from` does for `length` tokens, sharing blocks. */
void state_share(State *state, int32_t from, int32_t to, int32_t length);

/* The layer as backends see it. Valid until the next reserve, truncate or share. */
KvLayer state_layer(const State *state, int32_t layer);

#endif
