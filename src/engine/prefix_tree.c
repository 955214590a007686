/* The radix tree of prefix_tree.h. A node is a run [begin, end) of positions; its tokens are those
 * of `from`, any entry whose list goes through it. When an entry leaves, only nodes above its own
 * can name it, and each of them has another entry below. */
#include "engine/prefix_tree.h"

#include <string.h>

#include "base/mem.h"

#define NONE (-1)

typedef struct Node {
    int32_t parent, child, next; /* next: sibling, next root, or next free node */
    int32_t begin, end;
    int32_t from;
    int32_t entries; /* the first that ends here */
    PrefixKey key;   /* of a root */
} Node;

typedef struct Entry {
    const bt_token *tokens;
    int32_t n; /* 0: not in the tree */
    int32_t node;
    int32_t next; /* of those that end in the same node */
} Entry;

struct PrefixTree {
    Node *nodes; /* (3 n_entries) */
    Entry *entries;
    int32_t n_entries, n_used;
    int32_t roots, unused;
};

PrefixTree *prefix_tree_open(int32_t n_entries)
{
    PrefixTree *t = mem_zalloc(1, sizeof *t);
    if (!t) return NULL;
    t->n_entries = n_entries;
    t->nodes = mem_zalloc((size_t)n_entries * 3 + 1, sizeof *t->nodes);
    t->entries = mem_zalloc((size_t)n_entries + 1, sizeof *t->entries);
    if (!t->nodes || !t->entries) {
        prefix_tree_close(&t);
        return NULL;
    }
    t->roots = t->unused = NONE;
    for (int32_t i = 3 * n_entries - 1; i >= 0; i--) {
        t->nodes[i].next = t->unused;
        t->unused = i;
    }
    return t;
}

void prefix_tree_close(PrefixTree **tree)
{
    PrefixTree *t = *tree;
    if (!t) return;
    mem_free(t->nodes);
    mem_free(t->entries);
    mem_free(t);
    *tree = NULL;
}

int32_t prefix_tree_length(const PrefixTree *t, int32_t entry)
{
    return t->entries[entry].n;
}

int32_t prefix_tree_nodes(const PrefixTree *t)
{
    return t->n_used;
}

/* ---- nodes ---- */

static int32_t take_node(PrefixTree *t, Node node)
{
    int32_t i = t->unused;
    t->unused = t->nodes[i].next;
    t->nodes[i] = node;
    t->n_used++;
    return i;
}

static void give_node(PrefixTree *t, int32_t i)
{
    t->nodes[i].next = t->unused;
    t->unused = i;
    t->n_used--;
}

/* Where the number of node i stands: in its parent, in a sibling, or in the list of roots. */
static int32_t *link_to(PrefixTree *t, int32_t i)
{
    int32_t parent = t->nodes[i].parent;
    int32_t *at = parent == NONE ? &t->roots : &t->nodes[parent].child;
    while (*at != i) at = &t->nodes[*at].next;
    return at;
}

static int32_t find_root(const PrefixTree *t, PrefixKey key)
{
    int32_t i = t->roots;
    while (i != NONE &&
           (t->nodes[i].key.principal != key.principal || t->nodes[i].key.adapters != key.adapters))
        i = t->nodes[i].next;
    return i;
}

static const bt_token *label(const PrefixTree *t, int32_t node)
{
    return t->entries[t->nodes[node].from].tokens;
}

/* The child of `node` that goes on with the token, or NONE. */
static int32_t find_child(const PrefixTree *t, int32_t node, bt_token token)
{
    int32_t i = t->nodes[node].child;
    while (i != NONE && label(t, i)[t->nodes[i].begin] != token) i = t->nodes[i].next;
    return i;
}

/* How far the list agrees with the node's run: a position in [begin, end]. */
static int32_t agree(const PrefixTree *t, int32_t node, const bt_token *tokens, int32_t n)
{
    const bt_token *own = label(t, node);
    int32_t at = t->nodes[node].begin, end = t->nodes[node].end;
    if (end > n) end = n;
    while (at < end && own[at] == tokens[at]) at++;
    return at;
}

/* Cuts the node's run at `at`, inside of it: the upper part is a new node, which is returned. */
static int32_t split(PrefixTree *t, int32_t node, int32_t at)
{
    Node *low = &t->nodes[node];
    int32_t *link = link_to(t, node);
    int32_t high = take_node(t, (Node){.parent = low->parent,
                                       .child = node,
                                       .next = low->next,
                                       .begin = low->begin,
                                       .end = at,
                                       .from = low->from,
                                       .entries = NONE});
    *link = high;
    low->parent = high;
    low->next = NONE;
    low->begin = at;
    return high;
}

/* ---- entries ---- */

void prefix_tree_put(PrefixTree *t, int32_t entry, PrefixKey key, const bt_token *tokens, int32_t n)
{
    Entry *e = &t->entries[entry];
    prefix_tree_remove(t, entry);
    *e = (Entry){.tokens = tokens, .n = n};
    int32_t at = find_root(t, key), position = 0, next;
    if (at == NONE)
        t->roots = at = take_node(t, (Node){.parent = NONE,
                                            .child = NONE,
                                            .next = t->roots,
                                            .from = entry,
                                            .entries = NONE,
                                            .key = key});
    while (position < n && (next = find_child(t, at, tokens[position])) != NONE) {
        position = agree(t, next, tokens, n);
        at = position < t->nodes[next].end ? split(t, next, position) : next;
    }
    if (position < n) {
        int32_t leaf = take_node(t, (Node){.parent = at,
                                           .child = NONE,
                                           .next = t->nodes[at].child,
                                           .begin = position,
                                           .end = n,
                                           .from = entry,
                                           .entries = NONE});
        t->nodes[at].child = leaf;
        at = leaf;
    }
    e->node = at;
    e->next = t->nodes[at].entries;
    t->nodes[at].entries = entry;
}

/* A node that no entry ends in: without children it goes, with one it becomes part of that. Returns
 * the lowest node of the path that is left. */
static int32_t tidy(PrefixTree *t, int32_t node)
{
    Node *n = &t->nodes[node];
    int32_t parent = n->parent, child = n->child;
    if (n->entries != NONE) return node;
    if (child == NONE) {
        *link_to(t, node) = n->next;
    } else if (parent != NONE && t->nodes[child].next == NONE) {
        *link_to(t, node) = child;
        t->nodes[child].begin = n->begin;
        t->nodes[child].parent = parent;
        t->nodes[child].next = n->next;
    } else {
        return node;
    }
    give_node(t, node);
    return parent;
}

void prefix_tree_remove(PrefixTree *t, int32_t entry)
{
    Entry *e = &t->entries[entry];
    if (e->n == 0) return;
    int32_t *link = &t->nodes[e->node].entries;
    while (*link != entry) link = &t->entries[*link].next;
    *link = e->next;
    e->n = 0;
    /* two nodes may go: the entry's own, and the one above that is left with one child */
    int32_t at = tidy(t, e->node);
    if (at != NONE && at != e->node) at = tidy(t, at);
    for (; at != NONE; at = t->nodes[at].parent) {
        Node *n = &t->nodes[at];
        if (n->from == entry) n->from = n->entries != NONE ? n->entries : t->nodes[n->child].from;
    }
}

/* ---- looking up ---- */

/* Visits all entries below and in `top`, but those of the branch `but`. */
static bool visit_below(const PrefixTree *t, int32_t top, int32_t but, int32_t shared,
                        PrefixVisitFn visit, void *arg)
{
    int32_t at = top;
    for (;;) {
        for (int32_t e = t->nodes[at].entries; e != NONE; e = t->entries[e].next)
            if (!visit(arg, e, shared)) return false;
        int32_t next = t->nodes[at].child;
        if (next == but && next != NONE) next = t->nodes[next].next;
        while (next == NONE) { /* up, until there is a sibling */
            if (at == top) return true;
            next = t->nodes[at].next;
            at = t->nodes[at].parent;
            if (next == but && next != NONE) next = t->nodes[next].next;
        }
        at = next;
    }
}

void prefix_tree_visit(const PrefixTree *t, PrefixKey key, const bt_token *tokens, int32_t n,
                       PrefixVisitFn visit, void *arg)
{
    int32_t at = find_root(t, key), position = 0, next;
    if (at == NONE) return;
    while (position < n && position == t->nodes[at].end &&
           (next = find_child(t, at, tokens[position])) != NONE) {
        position = agree(t, next, tokens, n);
        at = next;
    }
    for (int32_t but = NONE; position > 0; position = t->nodes[at].end) {
        if (!visit_below(t, at, but, position, visit, arg)) return;
        but = at;
        at = t->nodes[at].parent;
        if (at == NONE) return;
    }
}
