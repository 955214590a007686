/* Walking a grammar. Where a text stands in a grammar is a set of places, each a state and the
 * calls it will return to; the calls are kept as a tree of nodes that places share. Such a set is
 * a *config*, numbered the first time it comes up, and steps from config to config are remembered:
 * a deterministic automaton made as far as texts go.
 *
 * All memory is taken at open, and grows no more: when it is nearly full, what no living state
 * needs is forgotten. One thread at a time. */
#ifndef TEXT_GRAMMAR_RUN_H
#define TEXT_GRAMMAR_RUN_H

#include "text/byte_kind.h"
#include "text/grammar.h"

#define RUN_UNKNOWN 0u
#define RUN_DEAD    1u /* the config from which nothing goes on */

#define RUN_PLAIN_UNKNOWN 0u
#define RUN_PLAIN_MIXED   0xFFFFFFFFu

typedef struct RunNode {
    uint32_t state, parent; /* parent 0: none */
    uint32_t depth;         /* nodes up to the root, this one included */
} RunNode;

typedef struct RunConfig {
    uint64_t reads;    /* memory of run_reads */
    uint32_t first, n; /* members: nodes whose states read a byte, ascending */
    uint32_t plain;    /* memory of run_plain */
    uint32_t mask;     /* for grammar_mask.c: slot + 1 */
    bool ends;         /* the text may end here */
    bool reads_known;
    uint8_t width; /* for grammar_mask.c */
} RunConfig;

/* Where a text stands. Copy with run_state_copy; while open it keeps its config alive. */
typedef struct RunState {
    uint32_t config;
    struct RunState *next, **link;
} RunState;

typedef struct GrammarRun {
    const Grammar *g; /* borrowed */
    RunNode *nodes;   /* 0 is none */
    uint32_t *stamp;  /* of a node: the last closure that visited it */
    RunConfig *configs;
    uint32_t *members;
    uint32_t *rows; /* n_classes a config: where each class leads */
    uint32_t *node_table, *config_table, *work, *found;
    uint32_t *plain;                 /* of a state: memory of run_plain_state */
    uint64_t *state_reads;           /* of a state: memory of run_state_reads */
    uint32_t node_mask, config_mask; /* size of the tables in use, less one */
    uint32_t n_nodes, n_configs, n_members, round, max_configs, start;
    uint32_t n_work, n_found;
    bool ends;           /* of the closure being made */
    bool full;           /* a step failed for want of room since this was cleared */
    uint64_t visits;     /* nodes visited so far: the measure of work */
    uint64_t generation; /* counts collections: configs have new numbers after one */
    RunState *states;
    uint64_t kinds[8][256]; /* of 2^i bytes from c on */
} GrammarRun;

bt_status run_open(const Grammar *g, GrammarRun **out, bt_error *err);
void run_close(GrammarRun **run);

/* Opens a state (the struct is the caller's) at the start of the grammar. */
void run_state_open(GrammarRun *run, RunState *state);
void run_state_copy(GrammarRun *run, RunState *to, const RunState *from); /* opens `to` */
void run_state_close(RunState *state);

/* Config after one more byte; RUN_DEAD when the grammar does not allow it (or there is no room:
 * then run->full is set). */
uint32_t run_step(GrammarRun *run, uint32_t config, unsigned char byte);
/* The kinds of bytes (byte_kind.h) that may come next; none but these can. */
uint64_t run_reads(GrammarRun *run, uint32_t config);
/* The one config that every plain character leads to: one that stands for itself in JSON text, in
 * UTF-8. RUN_DEAD when none is allowed, RUN_PLAIN_MIXED when they lead to different places. */
uint32_t run_plain(GrammarRun *run, uint32_t config);
/* The config of one place and all that is reached from it without reading. */
uint32_t run_enter(GrammarRun *run, uint32_t state, uint32_t parent);
/* The kinds of bytes that a state reads. */
uint64_t run_state_reads(GrammarRun *run, uint32_t state);
/* What a state by itself makes of plain characters: the state (+ RUN_STATES) that all lead to;
 * RUN_NO_STATE: none leads anywhere; RUN_MANY_STATES: neither is plain to see. */
#define RUN_NO_STATE    1u
#define RUN_MANY_STATES 2u
#define RUN_STATES      3u
uint32_t run_plain_state(GrammarRun *run, uint32_t state);
static inline bool run_ends(const GrammarRun *run, uint32_t config)
{
    return run->configs[config].ends;
}
/* True when something may still be read. */
static inline bool run_goes_on(const GrammarRun *run, uint32_t config)
{
    return run->configs[config].n > 0;
}
/* Makes room when more than three quarters are used. Configs held outside open states are no
 * longer valid if this returns true. */
bool run_collect(GrammarRun *run);

#endif
