/* A vocabulary as a grammar sees it: the bytes of every token, as a trie to walk and as sets ready
 * made. Immutable once open; a model makes one and all its grammars share it.
 *
 * Most tokens are *plain*: characters that stand for themselves inside a JSON string; the last may
 * be begun only, and counts. Where a grammar takes any plain character, all plain tokens (or those
 * of at most k characters, where a length is counted) are allowed at once, and the rest is walked
 * by what follows its plain beginning, once for all that begin differently. */
#ifndef TEXT_TOKEN_SET_H
#define TEXT_TOKEN_SET_H

#include "text/byte_kind.h"
#include "text/tokenizer.h"

#define TOKEN_SET_PLAIN   32   /* most characters of a plain token */
#define TOKEN_SET_ALIKE   20   /* most bytes of some set in a token that are known to be of it */
#define TOKEN_SET_LONGEST 1024 /* bytes; longer tokens are never allowed */

typedef struct TrieNode {
    uint64_t next;  /* the kinds (byte_kind.h) of bytes that come next */
    uint32_t skip;  /* the node after all that begin with this one */
    uint32_t first; /* in `order`: tokens that end here, up to the `first` of the next node */
    uint16_t depth; /* bytes; >= 1 */
    uint8_t byte;
} TrieNode;

typedef struct Trie {
    TrieNode *nodes; /* in preorder, and one more, whose `first` is the number of tokens */
    uint32_t n_nodes, n_roots;
    uint32_t *order;    /* ids by text */
    uint32_t root[256]; /* the nodes of depth 1, apart from what lies between them */
    uint8_t root_byte[256];
    uint32_t *kid; /* the nodes of depth 2, likewise, by root */
    uint8_t *kid_byte;
    uint32_t first_kid[257];
} Trie;

/* What follows the beginnings of tokens: a trie of that, and of each token how many characters
 * (of which kind, its owner says) come before. */
typedef struct TokenAfter {
    Trie trie;
    uint8_t *before;   /* of trie.order, at most 63 */
    uint64_t *befores; /* of a node: bit k: a token with k of them goes through it */
} TokenAfter;

/* A token inside a JSON string, from the beginning of a character on. */
typedef struct TokenInner {
    uint32_t id, chars; /* at most 254; the last may be begun only */
} TokenInner;

/* ASCII characters of a text after its first. */
typedef struct TokenTail {
    uint64_t bytes[2];
} TokenTail;

/* In bytes[0] of it, where control characters would be: */
#define TAIL_OTHERS 1u /* there are other bytes */
#define TAIL_LONG   2u /* there are more than TOKEN_SET_ALIKE */

typedef struct TokenSet {
    uint32_t n;   /* tokens */
    size_t words; /* 64-bit words of a set */
    uint32_t *at; /* n + 1: where the bytes of a token begin; control tokens start with 0xFF */
    char *bytes;
    Trie rest, plain;
    TokenAfter after; /* `rest` past the (at most TOKEN_SET_PLAIN) plain ASCII characters that its
                       * tokens begin with */
    TokenTail *tails; /* of the tokens of plain.order */
    uint64_t *up_to;  /* TOKEN_SET_PLAIN sets: plain tokens of at most k + 1 characters */
    uint64_t *ends;   /* tokens that end an answer */
    /* Of `rest`, inside JSON strings (token_string.c): */
    TokenInner *inner; /* those that stay inside, by `chars` */
    uint32_t n_inner;
    TokenAfter close; /* those that close the string, from the quote on */
    uint32_t *odd;    /* longer ones: 255 characters, or 64 before the quote */
    uint32_t n_odd;
    struct RegionStore *regions; /* token_region.h */
} TokenSet;

typedef struct RegionStore RegionStore;

bt_status token_set_open(const Tokenizer *tok, TokenSet **out, bt_error *err);
/* The same from texts (control: NULL or a flag each; ends: NULL or a flag each), for tests. */
bt_status token_set_of(const Span *texts, const bool *control, const bool *ends, uint32_t n,
                       TokenSet **out, bt_error *err);
void token_set_close(TokenSet **set);

/* ---- parts of opening ---- */

typedef struct TokenEntry {
    Span text;
    uint32_t id;
    uint8_t before; /* TokenAfter.before */
} TokenEntry;

/* Sorts the entries; false: no memory. */
bool token_after_build(TokenAfter *after, TokenEntry *entries, uint32_t n);
/* Finds `inner`, `close` and `odd` among the entries of `rest`, which it uses up (token_string.c).
 */
bool token_set_find_strings(TokenSet *set, TokenEntry *rest, uint32_t n);

static inline Span token_set_text(const TokenSet *set, uint32_t id)
{
    return (Span){set->bytes + set->at[id], set->at[id + 1] - set->at[id]};
}
static inline uint32_t trie_ends(const Trie *trie, uint32_t node)
{
    return trie->nodes[node + 1].first - trie->nodes[node].first;
}
static inline bool token_set_has(const uint64_t *words, uint32_t id)
{
    return words[id / 64] >> (id % 64) & 1;
}
static inline void token_set_add(uint64_t *words, uint32_t id)
{
    words[id / 64] |= (uint64_t)1 << (id % 64);
}

#endif
