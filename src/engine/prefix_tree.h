/* Which held token lists begin as a prompt does: a radix tree over entries.
 *
 * An entry is a number below n_entries that stands for a list of tokens held somewhere (a sequence
 * of a session, a file). Entries of different keys never meet: no answer about one principal's
 * lists depends on another's. Edges name runs of the entries' own lists, so the tree copies no
 * tokens; all its memory is taken at open (a node with one child and no entry does not exist, so
 * three nodes an entry are enough). One thread at a time. */
#ifndef ENGINE_PREFIX_TREE_H
#define ENGINE_PREFIX_TREE_H

#include "bantam/bantam.h"

typedef struct PrefixKey {
    uint64_t principal, adapters;
} PrefixKey;

typedef struct PrefixTree PrefixTree;

PrefixTree *prefix_tree_open(int32_t n_entries); /* NULL: no memory */
void prefix_tree_close(PrefixTree **tree);

/* `tokens` (n > 0) must stand unchanged until the entry is removed. An entry that is in the tree is
 * removed first. */
void prefix_tree_put(PrefixTree *tree, int32_t entry, PrefixKey key, const bt_token *tokens,
                     int32_t n);
/* Nothing when it is not there. */
void prefix_tree_remove(PrefixTree *tree, int32_t entry);
int32_t prefix_tree_length(const PrefixTree *tree, int32_t entry); /* 0: not there */

/* Calls `visit` for the entries of `key` that share at least one token with the beginning of
 * tokens (n), those that share most first, each with the number shared; false ends it. The tree
 * must not change meanwhile. */
typedef bool (*PrefixVisitFn)(void *arg, int32_t entry, int32_t shared);
void prefix_tree_visit(const PrefixTree *tree, PrefixKey key, const bt_token *tokens, int32_t n,
                       PrefixVisitFn visit, void *arg);

/* Nodes in use; 0 when there is no entry. For tests. */
int32_t prefix_tree_nodes(const PrefixTree *tree);

#endif
