/* Places of a grammar where many bytes are alike, as inside [a-z-]{1,30}: all tokens made of those
 * bytes alone are allowed at once, by their length, and only tokens that leave them are looked at.
 * What a set of bytes makes of a vocabulary is kept for the next place that has the same; for the
 * sets that a grammar writes most it is made when the grammar is opened. Part of grammar_mask.c;
 * all memory is taken at open. */
#ifndef TEXT_GRAMMAR_REGION_H
#define TEXT_GRAMMAR_REGION_H

#include "text/grammar_run.h"
#include "text/token_set.h"

#define REGION_MOST  16
#define SWEEP_MOST   16
#define SWEEP_OTHERS 512
#define REGION_BYTES 20 /* fewer alike are not worth it */

typedef struct Region {
    uint64_t bytes[2]; /* all zero: free */
    uint64_t *inside;  /* tokens of these bytes alone */
    TokenExit *exits;
    uint32_t n_exits; /* past REGION_EXITS: the region is of no use */
    uint32_t used;    /* when, by Regions.clock */
} Region;

/* The tokens that begin with one byte and go on with bytes of a set. */
typedef struct Sweep {
    uint32_t root; /* node of the trie TokenSet.plain */
    uint64_t bytes[2];
    TokenTail leave;
    uint64_t *inside; /* with these bytes alone, at most TOKEN_SET_ALIKE of them */
    uint32_t others[SWEEP_OTHERS], n_others; /* with some of `leave` besides */
    uint32_t used;                           /* by Regions.clock; 0: free */
} Sweep;

typedef struct Regions {
    Region list[REGION_MOST];
    Sweep sweeps[SWEEP_MOST];
    uint64_t *sets;
    TokenExit *exits;
    uint32_t clock;
} Regions;

bool regions_open(Regions *r, const TokenSet *set, const Grammar *g);
void regions_close(Regions *r);

/* Where characters alike lead: at[j] is the config after j of them, for j up to `n`; after that
 * there is none, or nobody looked: TOKEN_SET_PLAIN characters, of `bytes` TOKEN_SET_ALIKE, are
 * enough. */
typedef struct RegionWay {
    uint64_t bytes[2]; /* of region_way: ASCII characters that stand for themselves in JSON */
    uint32_t at[TOKEN_SET_PLAIN + 1];
    uint32_t n;
} RegionWay;

static inline unsigned region_size(const uint64_t bytes[2])
{
    unsigned n = 0;
    for (int i = 0; i < 2; i++)
        for (uint64_t x = bytes[i]; x; x &= x - 1) n++;
    return n;
}

static inline bool region_has(const uint64_t bytes[2], unsigned c)
{
    return c < 0x80 && bytes[c / 64] >> (c % 64) & 1;
}

/* False: no large set of bytes at `config` stays alike all along, or finding out takes the run to
 * more than `most` visits. */
bool region_way(GrammarRun *run, uint32_t config, uint64_t most, RegionWay *out);
/* The region of these bytes; made if `make` says so and it is not there. NULL: it is not, or is of
 * no use. */
const Region *region_of(Regions *r, const TokenSet *set, const uint64_t bytes[2], bool make);
/* The sweep of a root with these bytes and those by which tokens may leave them; made if it is not
 * there. NULL: too many may leave. *cost: what it took, in nodes. */
const Sweep *sweep_of(Regions *r, const TokenSet *set, uint32_t root, const uint64_t bytes[2],
                      TokenTail leave, uint32_t *cost);

#endif
