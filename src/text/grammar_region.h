/* Regions and sweeps of one grammar: places where many bytes are alike, as inside [a-z-]{1,30}. All
 * tokens made of those bytes alone are allowed at once, by their length, and only tokens that leave
 * them are looked at. The regions (token_region.h) of the sets that a grammar writes most are there
 * when it is opened; others are made when they come up. Part of grammar_mask.c; all memory is
 * taken at open. */
#ifndef TEXT_GRAMMAR_REGION_H
#define TEXT_GRAMMAR_REGION_H

#include "text/grammar_place.h"
#include "text/token_region.h"

#define REGION_OWN   8
#define SWEEP_MOST   16
#define SWEEP_INSIDE 768
#define SWEEP_OTHERS 512

/* The tokens that begin with one byte and go on with bytes of a set. */
typedef struct Sweep {
    uint32_t root; /* node of the trie TokenSet.plain */
    uint64_t bytes[2];
    TokenTail leave;
    uint64_t *inside; /* with these bytes alone, at most TOKEN_SET_ALIKE of them; where they are */
    uint32_t list[SWEEP_INSIDE], n_inside;   /* few: here, as id << 5 | bytes - 1 */
    uint32_t others[SWEEP_OTHERS], n_others; /* with some of `leave` besides */
    uint32_t used;                           /* by Regions.clock; 0: free */
} Sweep;

typedef struct Regions {
    const TokenSet *set;
    const Region *shared[REGION_TOGETHER]; /* borrowed */
    Region own[REGION_OWN];
    TokenExit *spare;
    Sweep *sweeps;
    uint64_t *sets;
    uint32_t clock;
} Regions;

bool regions_open(Regions *r, const TokenSet *set, const Grammar *g);
void regions_close(Regions *r);

/* The region of these bytes; made if `make` says so and it is not there. NULL: it is not, or is of
 * no use. */
const Region *region_of(Regions *r, const uint64_t bytes[2], bool make);
/* The sweep of a root with these bytes and those by which tokens may leave them; made if it is not
 * there. NULL: too many may leave. *cost: what it took, in nodes. */
const Sweep *sweep_of(Regions *r, uint32_t root, const uint64_t bytes[2], TokenTail leave,
                      uint32_t *cost);

#endif
