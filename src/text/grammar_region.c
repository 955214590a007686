/* Sets of bytes that a grammar takes alike (see grammar_region.h). Only ASCII characters that stand
 * for themselves in JSON strings count, so that bytes are characters and TokenSet.up_to knows how
 * many a token has. */
#include "text/grammar_region.h"

#include <string.h>

#include "base/mem.h"

enum { REGION_EXITS = 1 << 15, MOST_TARGETS = 12, MOST_WRITTEN = 64, MOST_EDGES = 64 };
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

/* Makes the regions of the sets that most edges read; other sets come up where edges of several
 * states meet. All plain characters are known without. */
static void foresee(Regions *r, const TokenSet *set, const Grammar *g)
{
    Written list[MOST_WRITTEN] = {0};
    uint64_t bytes[2];
    for (uint32_t s = 0; s < g->n_states; s++) {
        if (g->first[s + 1] - g->first[s] > MOST_EDGES) continue;
        for (uint32_t e = g->first[s]; e < g->first[s + 1]; e++) {
            if (g->edges[e].label & (GRAMMAR_EMPTY | GRAMMAR_CALL)) continue;
            read_to(g, s, e, bytes);
            unsigned n = region_size(bytes);
            if (n >= REGION_BYTES && n < PLAIN_BYTES) note(list, bytes);
        }
    }
    for (int k = 0; k < REGION_MOST; k++) {
        Written *most = &list[0];
        for (int i = 1; i < MOST_WRITTEN; i++)
            if (list[i].n > most->n) most = &list[i];
        if (!most->n) return;
        region_of(r, set, most->bytes, true);
        most->n = 0;
    }
}

bool regions_open(Regions *r, const TokenSet *set, const Grammar *g)
{
    r->sets = mem_zalloc((REGION_MOST + SWEEP_MOST) * set->words, sizeof *r->sets);
    r->exits = mem_zalloc((size_t)REGION_MOST * REGION_EXITS, sizeof *r->exits);
    for (int i = 0; i < REGION_MOST && r->sets && r->exits; i++) {
        r->list[i].inside = r->sets + (size_t)i * set->words;
        r->list[i].exits = r->exits + (size_t)i * REGION_EXITS;
    }
    for (int i = 0; i < SWEEP_MOST && r->sets; i++)
        r->sweeps[i].inside = r->sets + (size_t)(REGION_MOST + i) * set->words;
    if (!r->sets || !r->exits) return false;
    memset(r->sweeps[0].inside, 0, SWEEP_MOST * set->words * sizeof *r->sets); /* given now */
    foresee(r, set, g);
    return true;
}

void regions_close(Regions *r)
{
    mem_free(r->sets);
    mem_free(r->exits);
    *r = (Regions){0};
}

/* ---- at a place --------------------------------------------------------------------- */

/* The largest set of bytes that lead to one config, which is `*to`; how many they are. */
static unsigned largest(GrammarRun *run, uint32_t config, uint64_t bytes[2], uint32_t *to)
{
    uint32_t target[MOST_TARGETS];
    unsigned count[MOST_TARGETS] = {0}, n = 0, best = 0;
    const uint8_t *class_of = run->g->class_of;
    uint8_t which[128];
    bytes[0] = bytes[1] = 0;
    for (unsigned c = 0x20; c < 0x7F; c++) {
        if (c == '"' || c == '\\') { /* classes of their own */
            which[c] = MOST_TARGETS;
            continue;
        }
        if (c > 0x20 && class_of[c] == class_of[c - 1]) {
            which[c] = which[c - 1];
            if (which[c] < MOST_TARGETS && ++count[which[c]] > count[best]) best = which[c];
            continue;
        }
        uint32_t next = run_step(run, config, (unsigned char)c);
        unsigned i = 0;
        while (i < n && target[i] != next) i++;
        which[c] = (uint8_t)i;
        if (next == RUN_DEAD || i == MOST_TARGETS) {
            which[c] = MOST_TARGETS;
            continue;
        }
        if (i == n) target[n++] = next;
        if (++count[i] > count[best]) best = i;
    }
    if (!n) return 0;
    for (unsigned c = 0x20; c < 0x7F; c++)
        if (which[c] == best) bytes[c / 64] |= (uint64_t)1 << (c % 64);
    *to = target[best];
    return count[best];
}

bool region_way(GrammarRun *run, uint32_t config, uint64_t most, RegionWay *out)
{
    const uint8_t *class_of = run->g->class_of;
    uint8_t apart[128]; /* one of each class */
    unsigned n_apart = 0;
    uint32_t to = RUN_DEAD;
    if (run->visits >= most) return false;
    if (largest(run, config, out->bytes, &to) < REGION_BYTES) return false;
    for (unsigned c = 0x20; c < 0x7F; c++)
        if (region_has(out->bytes, c) &&
            !(class_of[c] == class_of[c - 1] && region_has(out->bytes, c - 1)))
            apart[n_apart++] = (uint8_t)c;
    out->at[0] = config;
    out->at[1] = to;
    for (out->n = 1; out->n < TOKEN_SET_ALIKE; out->n++) {
        uint32_t from = out->at[out->n], next = RUN_UNKNOWN;
        if (run->visits >= most) return false;
        for (unsigned i = 0; i < n_apart && from != out->at[out->n - 1]; i++) {
            uint32_t one = run_step(run, from, apart[i]);
            if (next != RUN_UNKNOWN && one != next) return false;
            next = one;
        }
        if (next == RUN_DEAD) break;
        out->at[out->n + 1] = next == RUN_UNKNOWN ? from : next;
    }
    return !run->full;
}

const Region *region_of(Regions *r, const TokenSet *set, const uint64_t bytes[2], bool make)
{
    Region *at = NULL;
    for (int i = 0; i < REGION_MOST && !at; i++)
        if (memcmp(r->list[i].bytes, bytes, sizeof r->list[i].bytes) == 0) at = &r->list[i];
    if (!at && make) {
        at = &r->list[0];
        for (int i = 1; i < REGION_MOST; i++)
            if (r->list[i].used < at->used) at = &r->list[i];
        memcpy(at->bytes, bytes, sizeof at->bytes);
        memset(at->inside, 0, set->words * sizeof *at->inside);
        uint32_t n = token_set_exits(set, false, bytes, at->inside, at->exits, REGION_EXITS);
        uint32_t room = n < REGION_EXITS ? REGION_EXITS - n : 0;
        at->n_exits =
            n + token_set_exits(set, true, bytes, NULL, room ? at->exits + n : NULL, room);
    }
    if (at) at->used = ++r->clock;
    return at && at->n_exits <= REGION_EXITS ? at : NULL;
}

static void make_sweep(Sweep *s, const TokenSet *set)
{
    const TrieNode *nodes = set->plain.nodes;
    const TokenTail *tails = set->tails;
    const uint32_t *order = set->plain.order, end = nodes[nodes[s->root].skip].first;
    const uint64_t low = ~s->bytes[0], high = ~s->bytes[1];
    const uint64_t leave_low = low & s->leave.bytes[0], leave_high = high & s->leave.bytes[1];
    uint64_t *inside = s->inside;
    memset(inside, 0, set->words * sizeof *inside);
    s->n_others = 0;
    for (uint32_t i = nodes[s->root].first; i < end && s->n_others < SWEEP_OTHERS; i++) {
        uint64_t t_low = tails[i].bytes[0], t_high = tails[i].bytes[1];
        bool good = !((t_low & low) | (t_high & high)); /* every second: without a branch on it */
        inside[order[i] / 64] |= (uint64_t)good << (order[i] % 64);
        if ((t_low & leave_low) | (t_high & leave_high)) s->others[s->n_others++] = order[i];
    }
}

const Sweep *sweep_of(Regions *r, const TokenSet *set, uint32_t root, const uint64_t bytes[2],
                      TokenTail leave, uint32_t *cost)
{
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
