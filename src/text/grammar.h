/* A grammar as an automaton over bytes: rules, each a nondeterministic automaton whose edges read
 * a byte of a range, read nothing, or call another rule. GBNF (grammar_gbnf.h) and JSON Schema
 * (schema.h) are both built into this through GrammarBuilder; grammar_run.h walks it.
 *
 * Nothing here recurses on the C stack and every size has a cap, so that a hostile grammar is
 * refused in milliseconds: see the limits below. */
#ifndef TEXT_GRAMMAR_H
#define TEXT_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

#define GRAMMAR_MAX_STATES (1u << 19)
#define GRAMMAR_MAX_EDGES  (1u << 20)
#define GRAMMAR_MAX_RULES  (1u << 17)
/* Calls open at once in a running text. A grammar that cannot end within them is refused; in one
 * that can, a text that would nest deeper is. */
#define GRAMMAR_MAX_DEPTH  512u
#define GRAMMAR_MAX_REPEAT 1000000000u
#define GRAMMAR_NO_LIMIT   0xFFFFFFFFu /* as `most` of a repetition */

/* Before the text of a control token ("<|channel|>"): a byte that no text holds, so that such a
 * token and a text that looks like it are told apart. */
#define GRAMMAR_CONTROL 0xFFu

#define GRAMMAR_EMPTY 0x80000000u /* label of an edge that reads nothing */
#define GRAMMAR_CALL  0x40000000u /* | rule */
/* else low byte | high byte << 8, both included */

typedef struct GrammarEdge {
    uint32_t label, target;
} GrammarEdge;

typedef struct Grammar {
    uint32_t n_states, n_edges, n_rules, start; /* start: the root rule's first state */
    uint32_t *first;                            /* n_states + 1: edges of state s */
    GrammarEdge *edges; /* only those from which the grammar can still end */
    uint32_t *rule;     /* first state of a rule */
    uint16_t *need;     /* calls that the shortest way to the end of the rule holds open */
    uint8_t *flags;     /* GRAMMAR_ENDS, GRAMMAR_READS ... */
    uint8_t class_of[256];
    uint8_t example[256];            /* a byte of each class */
    uint32_t json_string, json_char; /* as in GrammarBuilder; 0: there is none */
    uint32_t n_classes;              /* bytes of a class are alike in every edge, and neighbours */
} Grammar;

#define GRAMMAR_ENDS  1u  /* the rule may end here */
#define GRAMMAR_READS 2u  /* has an edge that reads a byte */
#define GRAMMAR_APART 8u  /* no byte is read by two of its edges */
#define GRAMMAR_LEAN  16u /* reads bytes and nothing else, none by two edges, which are sorted */
#define GRAMMAR_LAST  4u  /* the end and nothing else: a call that returns here need not return */

void grammar_close(Grammar **grammar);

/* ---- building ------------------------------------------------------------ */

typedef struct BuilderEdge {
    uint32_t label, target, next;
} BuilderEdge;

typedef struct BuilderRule {
    uint32_t start, end; /* nothing leaves `end` */
    uint32_t name, name_size;
} BuilderRule;

/* Repetitions and byte sequences that were built before; a table of what to what. */
typedef struct BuilderMemo {
    uint64_t *keys; /* key + 1; 0: free */
    uint32_t *values;
    uint32_t used, mask;
} BuilderMemo;

/* The first failure sticks: calls after it do nothing and give 0, which every other call takes.
 * grammar_finish tells it. Zeroed is a valid start. */
typedef struct GrammarBuilder {
    BuilderEdge *edges; /* edge 0 is none */
    uint32_t *first;    /* of each state */
    BuilderRule *rules;
    char *names;
    uint32_t n_edges, edge_capacity, n_states, state_capacity, n_rules, rule_capacity, n_names,
        name_capacity;
    BuilderMemo repeats;
    BuilderMemo shared;        /* by a hash: where the key of builder_shared lies in `names` */
    uint32_t tail_to, tail[4]; /* 1 to 3 continuation bytes, then tail_to */
    /* Two states that read one character of a JSON string, in all its escapes but for \u0000: one
     * leads back to itself and reads the closing quote too, one leads to the end of its rule. */
    uint32_t json_string, json_char;
    bool no_memory, too_large;
} GrammarBuilder;

typedef struct BuilderPiece {
    uint32_t start, end; /* two states; the piece lies between, nothing leaves `end` */
} BuilderPiece;

uint32_t builder_state(GrammarBuilder *b);
/* A rule with new first and last states; the name (may be empty) is copied, for messages. */
uint32_t builder_rule(GrammarBuilder *b, Span name);
/* A rule around a piece that is there; nothing may be added to its end afterwards. */
uint32_t builder_rule_around(GrammarBuilder *b, BuilderPiece piece);
/* The rule that was made for these bytes, or a new one (*fresh) for the caller to fill. */
uint32_t builder_shared(GrammarBuilder *b, Span key, bool *fresh);
void builder_empty(GrammarBuilder *b, uint32_t from, uint32_t to);
void builder_bytes(GrammarBuilder *b, uint32_t from, unsigned low, unsigned high, uint32_t to);
void builder_call(GrammarBuilder *b, uint32_t from, uint32_t rule, uint32_t to);
/* Reads these bytes; gives the state after them. `builder_text_to` ends in `to`. */
uint32_t builder_text(GrammarBuilder *b, uint32_t from, Span text);
void builder_text_to(GrammarBuilder *b, uint32_t from, Span text, uint32_t to);
/* One character of [low, high] in UTF-8; surrogates in the range are left out. */
void builder_range(GrammarBuilder *b, uint32_t from, uint32_t low, uint32_t high, uint32_t to);
/* `rule` at least `least` and at most `most` times (GRAMMAR_NO_LIMIT: any number). States grow
 * with the logarithm of long counts. */
void builder_repeat(GrammarBuilder *b, uint32_t from, uint32_t rule, uint32_t least, uint32_t most,
                    uint32_t to);
/* Any bytes until `text` has been read, which is read too. With `control`, the control token of
 * that text ends it too (GRAMMAR_CONTROL is else refused). */
void builder_until(GrammarBuilder *b, uint32_t from, Span text, bool control, uint32_t to);
/* Any bytes without `stop` in them (empty: any), as long as one likes. */
void builder_free(GrammarBuilder *b, uint32_t from, Span stop, uint32_t to);
void builder_close(GrammarBuilder *b);

/* Checks and packs. BT_E_ARGUMENT: left recursion (the rules are named), nothing can be said, or
 * it cannot be said within GRAMMAR_MAX_DEPTH; BT_E_LIMIT; BT_E_MEMORY. The builder is left as it
 * is; close it. */
bt_status grammar_finish(GrammarBuilder *b, uint32_t root, Grammar **out, bt_error *err);

#endif
