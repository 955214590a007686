/* What sets of bytes make of a vocabulary: a *region* is the tokens that are made of some ASCII
 * characters alone, as inside [a-z-]{1,30}, and where in the tries all others leave them. Regions
 * depend on nothing but the vocabulary and cost a millisecond to make: grammars of one vocabulary
 * share them, and those of a grammar are made together when it is opened.
 *
 * A region does not change while anyone holds it. Any thread. */
#ifndef TEXT_TOKEN_REGION_H
#define TEXT_TOKEN_REGION_H

#include "text/token_set.h"

#define REGION_EXITS    (1u << 15)
#define REGION_TOGETHER 16

/* A node that is the first on its way whose byte is not of the set, or the first past
 * TOKEN_SET_ALIKE bytes of it. */
typedef struct TokenExit {
    uint32_t node;
    uint8_t byte, depth; /* depth: bytes, this one included */
    bool rest;           /* of the trie TokenSet.rest */
} TokenExit;

/* Tokens of at most TOKEN_SET_ALIKE bytes of a set. */
typedef struct Region {
    uint64_t bytes[2]; /* all zero: free */
    uint64_t *inside;
    TokenExit *exits;      /* by byte */
    uint32_t first[257];   /* where the exits of a byte begin */
    struct RegionLed *led; /* NULL: not known */
    bool useless;          /* more than REGION_EXITS exits */
    uint32_t used, holds;
} Region;

/* Plain tokens of any first byte, the root, and then at most TOKEN_SET_ALIKE bytes of the set. */
typedef struct RegionLed {
    uint64_t *spaced;         /* those of a space, which are many */
    uint32_t *ids;            /* those of other roots, by root: id << 5 | bytes - 1 */
    TokenExit *exits;         /* by root, then by byte */
    uint32_t first_id[257];   /* where those of a root begin */
    uint32_t first_exit[257]; /* likewise */
} RegionLed;

/* Memory of a region that one grammar makes for itself. */
bool region_room(Region *region, const TokenSet *set);
void region_free(Region *region);
/* Makes it; `spare` holds REGION_EXITS exits. */
void region_make(Region *region, const TokenSet *set, const uint64_t bytes[2], TokenExit *spare);

/* Regions of the vocabulary for n (at most REGION_TOGETHER) sets of bytes, made where they are not
 * there; NULL for one for which the store has no room. Each is to be returned, also after false: no
 * memory. */
bool regions_borrow(const TokenSet *set, const uint64_t (*bytes)[2], uint32_t n,
                    const Region **out);
/* One that is there already, or NULL. */
const Region *region_borrow(const TokenSet *set, const uint64_t bytes[2]);
void region_return(const TokenSet *set, const Region *region);

/* Part of token_set_open. */
bool region_store_open(TokenSet *set);
void region_store_close(TokenSet *set);

#endif
