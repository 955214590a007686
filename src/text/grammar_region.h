/* Places of a grammar where many bytes are alike, as inside [a-z-]{1,30}: all tokens made of those
 * bytes alone are allowed at once, by their length, and only tokens that leave them are looked at.
 * What a set of bytes makes of a vocabulary is kept for the next place that has the same. Part of
 * grammar_mask.c; all memory is taken at open. */
#ifndef TEXT_GRAMMAR_REGION_H
#define TEXT_GRAMMAR_REGION_H

#include "text/grammar_run.h"
#include "text/token_set.h"

#define REGION_MOST  8
#define REGION_BYTES 10 /* fewer alike are not worth it */

/* A node of a trie that is the first on its way with another byte. */
typedef struct RegionExit {
    uint32_t node;
    uint8_t byte, depth; /* depth: bytes, this one included */
    bool rest;           /* of the trie TokenSet.rest */
} RegionExit;

typedef struct Region {
    uint64_t bytes[4]; /* all zero: free */
    uint64_t *inside;  /* tokens of these bytes alone */
    RegionExit *exits;
    uint32_t n_exits; /* past REGION_EXITS: the region is of no use */
    uint32_t used;    /* when, by Regions.clock */
} Region;

typedef struct Regions {
    Region list[REGION_MOST];
    uint64_t *sets;
    RegionExit *exits;
    uint32_t clock;
} Regions;

bool regions_open(Regions *r, const TokenSet *set);
void regions_close(Regions *r);

/* Where bytes alike lead: at[j] is the config after j of them, for j up to `n`; after that there is
 * none. n is at most TOKEN_SET_PLAIN. */
typedef struct RegionWay {
    uint64_t bytes[4];
    uint32_t at[TOKEN_SET_PLAIN + 1];
    uint32_t n;
} RegionWay;

/* False: no large set of bytes at `config` stays alike all along. */
bool region_way(GrammarRun *run, uint32_t config, RegionWay *out);
/* The region of these bytes; made if `make` says so and it is not there. NULL: it is not, or is of
 * no use. */
const Region *region_of(Regions *r, const TokenSet *set, const uint64_t bytes[4], bool make);

#endif
