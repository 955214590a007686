/* Sets of bytes that a grammar takes alike (see grammar_region.h). Only ASCII characters that stand
 * for themselves in JSON strings count, so that bytes are characters and TokenSet.up_to knows how
 * many a token has. */
#include "text/grammar_region.h"

#include <string.h>

#include "base/mem.h"

enum { REGION_EXITS = 1 << 15, MOST_TARGETS = 12 };

bool regions_open(Regions *r, const TokenSet *set)
{
    r->sets = mem_zalloc(REGION_MOST * set->words, sizeof *r->sets);
    r->exits = mem_zalloc((size_t)REGION_MOST * REGION_EXITS, sizeof *r->exits);
    for (int i = 0; i < REGION_MOST && r->sets && r->exits; i++) {
        r->list[i].inside = r->sets + (size_t)i * set->words;
        r->list[i].exits = r->exits + (size_t)i * REGION_EXITS;
    }
    return r->sets && r->exits;
}

void regions_close(Regions *r)
{
    mem_free(r->sets);
    mem_free(r->exits);
    *r = (Regions){0};
}

static bool has(const uint64_t bytes[4], unsigned c)
{
    return bytes[c / 64] >> (c % 64) & 1;
}

/* The largest set of bytes that lead to one config, which is `*to`; how many they are. */
static unsigned largest(GrammarRun *run, uint32_t config, uint64_t bytes[4], uint32_t *to)
{
    uint32_t target[MOST_TARGETS];
    unsigned count[MOST_TARGETS] = {0}, n = 0, best = 0;
    uint8_t which[128];
    memset(bytes, 0, 4 * sizeof *bytes);
    for (unsigned c = 0x20; c < 0x7F; c++) {
        uint32_t next = c == '"' || c == '\\' ? RUN_DEAD : run_step(run, config, (unsigned char)c);
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

bool region_way(GrammarRun *run, uint32_t config, RegionWay *out)
{
    uint32_t to = RUN_DEAD;
    if (largest(run, config, out->bytes, &to) < REGION_BYTES) return false;
    out->at[0] = config;
    out->at[1] = to;
    for (out->n = 1; out->n < TOKEN_SET_PLAIN; out->n++) {
        uint32_t from = out->at[out->n], next = RUN_UNKNOWN;
        if (from == out->at[out->n - 1]) {
            next = from;
        } else {
            for (unsigned c = 0x20; c < 0x7F; c++) {
                if (!has(out->bytes, c)) continue;
                uint32_t one = run_step(run, from, (unsigned char)c);
                if (next != RUN_UNKNOWN && one != next) return false;
                next = one;
            }
        }
        if (next == RUN_DEAD) break;
        out->at[out->n + 1] = next;
    }
    return !run->full;
}

/* What leaves the region, and what lies in it. */
static void scan(Region *r, const Trie *trie, bool rest)
{
    for (uint32_t i = 0; i < trie->n_nodes;) {
        const TrieNode *node = &trie->nodes[i];
        if (has(r->bytes, node->byte) && node->depth <= TOKEN_SET_PLAIN) {
            for (uint32_t k = 0; k < node->n; k++)
                token_set_add(r->inside, trie->order[node->first + k]);
            i++;
            continue;
        }
        if (r->n_exits < REGION_EXITS)
            r->exits[r->n_exits] = (RegionExit){i, node->byte, (uint8_t)node->depth, rest};
        r->n_exits++;
        i = node->skip;
    }
}

const Region *region_of(Regions *r, const TokenSet *set, const uint64_t bytes[4], bool make)
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
        at->n_exits = 0;
        scan(at, &set->plain, false);
        scan(at, &set->rest, true);
    }
    if (at) at->used = ++r->clock;
    return at && at->n_exits <= REGION_EXITS ? at : NULL;
}
