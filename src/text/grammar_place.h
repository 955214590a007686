/* Where a token stands while a set of tokens is made. A *place* is a config (grammar_run.h) or,
 * with PLACE_LEAN, a state of the rule that the set is made in: inside strings under patterns texts
 * stand in single states that read bytes and do nothing else, and of those no config need be made,
 * which takes a thousand instructions. Part of grammar_mask.c. */
#ifndef TEXT_GRAMMAR_PLACE_H
#define TEXT_GRAMMAR_PLACE_H

#include "text/grammar_run.h"
#include "text/token_set.h"

#define PLACE_LEAN 0x80000000u
#define PLACE_LEFT 16

#define WAY_BYTES 20 /* fewer bytes alike are not worth it */

typedef struct Places {
    GrammarRun *run;
    uint32_t parent; /* node that lean states return to */
    uint32_t room;   /* calls that lean states may yet hold open */
    uint64_t most;   /* run->visits past which nothing new is found */
    uint32_t left;   /* nodes of tries that may be looked at; what is new counts as several */
    bool cut;        /* something was not found for want of room or work */
    struct {
        uint32_t state, config;
    } entered[PLACE_LEFT];  /* memory of where lean states have left to */
    uint32_t free_at, free; /* memory of place_free */
} Places;

/* Where characters alike lead: at[j] is the place after j of them, for j up to `n`; after that
 * there is none, or nobody looked: TOKEN_SET_PLAIN characters, of `bytes` TOKEN_SET_ALIKE, are
 * enough. */
typedef struct PlaceWay {
    uint64_t bytes[2]; /* of place_alike: ASCII characters that stand for themselves in JSON */
    uint32_t at[TOKEN_SET_PLAIN + 1];
    uint32_t n;
} PlaceWay;

/* A place inside a JSON string of which at most the length is held. */
typedef struct PlaceString {
    uint32_t n;      /* characters that may be read; PLACE_LONG: as many or more */
    uint64_t closes; /* bit k: after k of them it may be closed */
    uint32_t after;  /* the config past the closing quote */
} PlaceString;
#define PLACE_LONG 255u

static inline bool place_has(const uint64_t bytes[2], unsigned c)
{
    return c < 0x80 && bytes[c / 64] >> (c % 64) & 1;
}

/* The place of a config; the first of a set. */
uint32_t place_begin(Places *p, GrammarRun *run, uint32_t config, uint64_t most, uint32_t left);
/* The place after one more byte, RUN_DEAD: there is none. */
uint32_t place_step(Places *p, uint32_t from, uint8_t byte);
/* The kinds of bytes that may come next. */
uint64_t place_reads(Places *p, uint32_t place);
/* How far plain characters lead alike; true where they then part. */
bool place_plain(Places *p, uint32_t from, PlaceWay *way);
/* How many plain characters are taken from here, whichever; TOKEN_SET_PLAIN: as many or more. 0:
 * none, or some are not. */
uint32_t place_free(Places *p, uint32_t from);
/* How far a large set of bytes leads alike; false: there is none, or finding out takes too long. */
bool place_alike(Places *p, uint32_t from, PlaceWay *way);
/* Whether far more bytes are alike after the first of the way than there, as past the two digits of
 * an escape: what comes then is better looked at root by root. */
bool place_widens(Places *p, const PlaceWay *way);
/* False: it is no such place, or not plainly. */
bool place_string(Places *p, uint32_t config, PlaceString *out);

#endif
