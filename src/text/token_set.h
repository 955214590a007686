/* A vocabulary as a grammar sees it: the bytes of every token, as a trie to walk and as sets ready
 * made. Immutable once open; a model makes one and all its grammars share it.
 *
 * Most tokens are *plain*: whole characters that stand for themselves inside a JSON string. Where
 * a grammar takes any plain character, all plain tokens (or those of at most k characters, where a
 * length is counted) are allowed at once, and only the rest is walked. */
#ifndef TEXT_TOKEN_SET_H
#define TEXT_TOKEN_SET_H

#include "text/tokenizer.h"

#define TOKEN_SET_PLAIN   32   /* most characters of a plain token */
#define TOKEN_SET_LONGEST 1024 /* bytes; longer tokens are never allowed */

typedef struct TrieNode {
    uint32_t skip;  /* the node after all that begin with this one */
    uint32_t first; /* in `order`: tokens that end here */
    uint32_t n;
    uint16_t depth; /* bytes; >= 1 */
    uint8_t byte;
} TrieNode;

typedef struct Trie {
    TrieNode *nodes; /* in preorder */
    uint32_t n_nodes;
    uint32_t *order; /* ids by text */
} Trie;

typedef struct TokenSet {
    uint32_t n;   /* tokens */
    size_t words; /* 64-bit words of a set */
    uint32_t *at; /* n + 1: where the bytes of a token begin; control tokens start with 0xFF */
    char *bytes;
    Trie rest, plain;
    uint64_t *up_to; /* TOKEN_SET_PLAIN sets: plain tokens of at most k + 1 characters */
    uint64_t *ends;  /* tokens that end an answer */
} TokenSet;

bt_status token_set_open(const Tokenizer *tok, TokenSet **out, bt_error *err);
/* The same from texts (control: NULL or a flag each; ends: NULL or a flag each), for tests. */
bt_status token_set_of(const Span *texts, const bool *control, const bool *ends, uint32_t n,
                       TokenSet **out, bt_error *err);
void token_set_close(TokenSet **set);

static inline Span token_set_text(const TokenSet *set, uint32_t id)
{
    return (Span){set->bytes + set->at[id], set->at[id + 1] - set->at[id]};
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
