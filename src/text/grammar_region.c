/* Which regions a grammar has, and its sweeps (see grammar_region.h). */
#include "text/grammar_region.h"

#include <string.h>

#include "base/mem.h"

enum { MOST_WRITTEN = 64, MOST_EDGES = 64, MOST_STATES = 1 << 16 };
enum { PLAIN_BYTES = 93 }; /* ASCII characters that stand for themselves, but DEL */

/* ---- the sets that a grammar writes ------------------------------------------------ */

typedef struct Written {
    uint64_t bytes[2];
    uint32_t n; /* edges */
} Written;

/* What edges of `state` read on the way to where its edge `own` leads; nothing if that is told of
 * an edge before it. */
static void read_to(const Grammar *g, uint32_t state, uint32_t own, uint64_t bytes[2])
{
    uint32_t target = g->edges[own].target;
    bytes[0] = bytes[1] = 0;
    for (uint32_t e = g->first[state]; e < g->first[state + 1]; e++) {
        uint32_t label = g->edges[e].label, last = label >> 8;
        if (label & (GRAMMAR_EMPTY | GRAMMAR_CALL) || g->edges[e].target != target) continue;
        if (e < own) return;
        for (uint32_t c = label & 0xFF; c <= last && c < 0x7F; c++)
            if (c >= 0x20 && c != '"' && c != '\\') bytes[c / 64] |= (uint64_t)1 << (c % 64);
    }
}

static void note(Written *list, const uint64_t bytes[2])
{
    for (int i = 0; i < MOST_WRITTEN; i++) {
        if (list[i].n && memcmp(list[i].bytes, bytes, sizeof list[i].bytes) != 0) continue;
        memcpy(list[i].bytes, bytes, sizeof list[i].bytes);
        list[i].n++;
        return;
    }
}

static unsigned size_of(const uint64_t bytes[2])
{
    return (unsigned)(__builtin_popcountll(bytes[0]) + __builtin_popcountll(bytes[1]));
}

/* Borrows the regions of the sets that most edges read; other sets come up where edges of several
 * states meet. All plain characters are known without. False: no memory. */
static bool foresee(Regions *r, const Grammar *g)
{
    Written list[MOST_WRITTEN] = {0};
    uint64_t bytes[2], wanted[REGION_TOGETHER][2];
    uint32_t n = 0;
    for (uint32_t s = 0; s < g->n_states && s < MOST_STATES; s++) {
        if (!(g->flags[s] & GRAMMAR_READS) || g->first[s + 1] - g->first[s] > MOST_EDGES) continue;
        for (uint32_t e = g->first[s]; e < g->first[s + 1]; e++) {
            if (g->edges[e].label & (GRAMMAR_EMPTY | GRAMMAR_CALL)) continue;
            read_to(g, s, e, bytes);
            unsigned size = size_of(bytes);
            if (size >= WAY_BYTES && size < PLAIN_BYTES) note(list, bytes);
        }
    }
    for (; n < REGION_TOGETHER; n++) {
        Written *most = &list[0];
        for (int i = 1; i < MOST_WRITTEN; i++)
            if (list[i].n > most->n) most = &list[i];
        if (!most->n) break;
        memcpy(wanted[n], most->bytes, sizeof wanted[n]);
        most->n = 0;
    }
    return n == 0 || regions_borrow(r->set, (const uint64_t(*)[2])wanted, n, r->shared);
}

bool regions_open(Regions *r, const TokenSet *set, const Grammar *g)
{
    bool good = true;
    r->set = set;
    r->sweeps = mem_zalloc(SWEEP_MOST, sizeof *r->sweeps);
    r->sets = mem_zalloc(SWEEP_MOST * set->words, sizeof *r->sets);
    r->spare = mem_zalloc(REGION_EXITS, sizeof *r->spare);
    for (int i = 0; i < REGION_OWN; i++) good = good && region_room(&r->own[i], set);
    if (!good || !r->sweeps || !r->sets || !r->spare) return false;
    memset(r->sweeps, 0, SWEEP_MOST * sizeof *r->sweeps); /* given by the kernel now */
    for (int i = 0; i < SWEEP_MOST; i++) r->sweeps[i].inside = r->sets + (size_t)i * set->words;
    return foresee(r, g);
}

void regions_close(Regions *r)
{
    for (int i = 0; i < REGION_TOGETHER; i++) region_return(r->set, r->shared[i]);
    for (int i = 0; i < REGION_OWN; i++) region_free(&r->own[i]);
    mem_free(r->sweeps);
    mem_free(r->sets);
    mem_free(r->spare);
    *r = (Regions){0};
}

/* ---- at a place --------------------------------------------------------------------- */

/* Takes the place of a region whose bytes did not come up for long. */
static Region *replace(Regions *r)
{
    Region *at = &r->own[0];
    for (int i = 1; i < REGION_OWN; i++)
        if (r->own[i].used < at->used) at = &r->own[i];
    return at;
}

const Region *region_of(Regions *r, const uint64_t bytes[2], bool make)
{
    const Region *at = NULL;
    for (int i = 0; i < REGION_TOGETHER && !at; i++)
        if (r->shared[i] && memcmp(r->shared[i]->bytes, bytes, sizeof r->shared[i]->bytes) == 0)
            at = r->shared[i];
    for (int i = 0; i < REGION_OWN && !at; i++)
        if (memcmp(r->own[i].bytes, bytes, sizeof r->own[i].bytes) == 0) {
            r->own[i].used = ++r->clock;
            at = &r->own[i];
        }
    if (!at && make) { /* another grammar may have it */
        int i = 0;
        while (i < REGION_TOGETHER && r->shared[i]) i++;
        if (i < REGION_TOGETHER) at = r->shared[i] = region_borrow(r->set, bytes);
    }
    if (!at && make) {
        Region *own = replace(r);
        region_make(own, r->set, bytes, r->spare);
        own->used = ++r->clock;
        at = own;
    }
    return at && !at->useless ? at : NULL;
}

static void keep_inside(Sweep *s, const TokenSet *set, uint32_t id)
{
    if (s->n_inside == SWEEP_INSIDE) { /* many: as a set */
        memset(s->inside, 0, set->words * sizeof *s->inside);
        for (uint32_t i = 0; i < SWEEP_INSIDE; i++) token_set_add(s->inside, s->list[i] >> 5);
    }
    if (s->n_inside < SWEEP_INSIDE)
        s->list[s->n_inside] = id << 5 | (set->at[id + 1] - set->at[id] - 1);
    else
        token_set_add(s->inside, id);
    s->n_inside++;
}

static void make_sweep(Sweep *s, const TokenSet *set)
{
    const TrieNode *nodes = set->plain.nodes;
    const TokenTail *tails = set->tails;
    const uint32_t *order = set->plain.order, end = nodes[nodes[s->root].skip].first;
    const uint64_t low = ~s->bytes[0], high = ~s->bytes[1];
    const uint64_t leave_low = low & s->leave.bytes[0], leave_high = high & s->leave.bytes[1];
    s->n_others = s->n_inside = 0;
    for (uint32_t i = nodes[s->root].first; i < end && s->n_others < SWEEP_OTHERS; i++) {
        uint64_t t_low = tails[i].bytes[0], t_high = tails[i].bytes[1];
        if (!((t_low & low) | (t_high & high))) keep_inside(s, set, order[i]);
        if ((t_low & leave_low) | (t_high & leave_high)) s->others[s->n_others++] = order[i];
    }
}

const Sweep *sweep_of(Regions *r, uint32_t root, const uint64_t bytes[2], TokenTail leave,
                      uint32_t *cost)
{
    const TokenSet *set = r->set;
    Sweep *at = NULL, *oldest = &r->sweeps[0];
    *cost = 1;
    for (int i = 0; i < SWEEP_MOST && !at; i++) {
        Sweep *s = &r->sweeps[i];
        if (s->used < oldest->used) oldest = s;
        if (s->used && s->root == root && memcmp(s->bytes, bytes, sizeof s->bytes) == 0 &&
            memcmp(&s->leave, &leave, sizeof leave) == 0)
            at = s;
    }
    if (!at) {
        at = oldest;
        at->root = root;
        memcpy(at->bytes, bytes, sizeof at->bytes);
        at->leave = leave;
        make_sweep(at, set);
        const TrieNode *nodes = set->plain.nodes;
        *cost = (nodes[nodes[root].skip].first - nodes[root].first) / 4;
    }
    at->used = ++r->clock;
    return at->n_others < SWEEP_OTHERS ? at : NULL;
}
