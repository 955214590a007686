/* Sets of allowed tokens (see grammar_mask.h). A set is made by walking the trie of tokens beside
 * the automaton; where any plain character is taken, plain tokens are not walked but copied. Sets
 * are kept in a fixed number of slots; the one least lately asked for (by the clock) gives way.
 *
 * The larger a set, the longer it takes to make and the less it is needed: what a model finds
 * likely is then mostly allowed. So a state is *wide* when its set has an eighth of all tokens, or
 * was not done after LOOK nodes of the trie. */
#include "text/grammar_mask.h"

#include <string.h>

#include "base/mem.h"

enum { CACHE_BYTES = 32 << 20, MOST_SLOTS = 4096, LEAST_SLOTS = 64 };
enum { WIDTH_UNKNOWN, WIDTH_NARROW, WIDTH_WIDE };
enum { LOOK = 4000, STEP = 32 }; /* about 20 us; what a step not yet known costs, in nodes */

/* Nodes that making one set may visit: about 50 ms. Past it the rest counts as not allowed, which
 * is safe; only grammars made to be slow come near. */
#define MOST_VISITS 2000000u

bt_status grammar_mask_open(const Grammar *g, const TokenSet *set, GrammarMask **out, bt_error *err)
{
    GrammarMask *m = mem_zalloc(1, sizeof *m);
    *out = NULL;
    if (!m) return bt_fail_memory(err, "a grammar's sets of tokens", sizeof *m);
    size_t slots = CACHE_BYTES / (set->words * sizeof *m->slots);
    m->n_slots = slots < LEAST_SLOTS  ? LEAST_SLOTS
                 : slots > MOST_SLOTS ? MOST_SLOTS
                                      : (uint32_t)slots;
    m->set = set;
    m->slots = mem_zalloc(m->n_slots * set->words, sizeof *m->slots);
    m->owner = mem_zalloc(m->n_slots, sizeof *m->owner);
    m->recent = mem_zalloc(m->n_slots, 1);
    bool room = regions_open(&m->regions, set);
    bt_status status = room && m->slots && m->owner && m->recent
                           ? run_open(g, &m->run, err)
                           : bt_fail_memory(err, "a grammar's sets of tokens", CACHE_BYTES);
    if (status != BT_OK) grammar_mask_close(&m);
    *out = m;
    return status;
}

void grammar_mask_close(GrammarMask **pointer)
{
    GrammarMask *m = *pointer;
    if (!m) return;
    run_close(&m->run);
    regions_close(&m->regions);
    mem_free(m->slots);
    mem_free(m->owner);
    mem_free(m->recent);
    mem_free(m);
    *pointer = NULL;
}

/* Adds the tokens of nodes [i, end) of a trie that the automaton can read; at[d] is its config
 * after d bytes, known up to the node before. Looks at no more than *left nodes; false: there are
 * more. */
static bool walk(GrammarMask *m, const Trie *trie, uint32_t i, uint32_t end, uint32_t *at,
                 uint32_t *left, uint64_t *out)
{
    GrammarRun *run = m->run;
    const uint8_t *class_of = run->g->class_of;
    size_t n_classes = run->g->n_classes;
    while (i < end) {
        const TrieNode *node = &trie->nodes[i];
        uint32_t from = at[node->depth - 1];
        if (*left == 0) return false;
        *left -= 1;
        uint32_t to = run->rows[from * n_classes + class_of[node->byte]];
        if (to == RUN_UNKNOWN) {
            *left -= *left < STEP ? *left : STEP;
            to = run->visits < m->most ? run_step(run, from, node->byte) : RUN_DEAD;
            if (run->full || run->visits >= m->most) m->n_cut++;
        }
        if (node->skip == i + 1 && node->n == 1) { /* most nodes: without a branch on `to` */
            uint32_t id = trie->order[node->first];
            out[id / 64] |= (uint64_t)(to != RUN_DEAD) << (id % 64);
            i++;
            continue;
        }
        if (to == RUN_DEAD) {
            i = node->skip;
            continue;
        }
        for (uint32_t k = 0; k < node->n; k++) token_set_add(out, trie->order[node->first + k]);
        at[node->depth] = to;
        i++;
    }
    return true;
}

static bool walk_all(GrammarMask *m, const Trie *trie, uint32_t config, uint32_t *left,
                     uint64_t *out)
{
    uint32_t at[TOKEN_SET_LONGEST + 1];
    at[0] = config;
    return walk(m, trie, 0, trie->n_nodes, at, left, out);
}

/* The set of a place with many bytes alike: what is made of these, and what leaves them. */
static bool walk_region(GrammarMask *m, const Region *region, const RegionWay *way, uint32_t *left,
                        uint64_t *out)
{
    const TokenSet *set = m->set;
    const uint64_t *short_enough = set->up_to + (way->n - 1) * set->words;
    GrammarRun *run = m->run;
    const uint8_t *class_of = run->g->class_of;
    size_t n_classes = run->g->n_classes;
    uint32_t at[TOKEN_SET_LONGEST + 1];
    memcpy(at, way->at, (way->n + 1) * sizeof *at);
    for (size_t i = 0; i < set->words; i++) out[i] = region->inside[i] & short_enough[i];
    for (uint32_t i = 0; i < region->n_exits; i++) {
        RegionExit e = region->exits[i];
        if (e.depth > way->n + 1u) continue;
        if (run->rows[way->at[e.depth - 1] * n_classes + class_of[e.byte]] == RUN_DEAD) continue;
        const Trie *trie = e.rest ? &set->rest : &set->plain;
        if (!walk(m, trie, e.node, trie->nodes[e.node].skip, at, left, out)) return false;
        memcpy(at, way->at, (way->n + 1) * sizeof *at);
    }
    return true;
}

/* False: it takes more than `left` nodes. */
static bool make(GrammarMask *m, uint32_t config, uint32_t left, uint64_t *out)
{
    const TokenSet *set = m->set;
    uint32_t at = config, length = 0;
    RegionWay way;
    bool whole = false;
    m->most = m->run->visits + MOST_VISITS;
    memset(out, 0, set->words * sizeof *out);
    while (length < TOKEN_SET_PLAIN) {
        uint32_t to = run_plain(m->run, at);
        if (to == RUN_PLAIN_MIXED || to == RUN_DEAD) break;
        length = to == at ? TOKEN_SET_PLAIN : length + 1;
        at = to;
    }
    bool mixed = length < TOKEN_SET_PLAIN && run_plain(m->run, at) == RUN_PLAIN_MIXED;
    if (mixed && region_way(m->run, config, &way)) {
        const Region *region = region_of(&m->regions, set, way.bytes, left == UINT32_MAX);
        if (!region && left != UINT32_MAX) return false; /* to make one takes its time */
        if (region && !walk_region(m, region, &way, &left, out)) return false;
        whole = region != NULL;
    }
    if (length && !whole)
        memcpy(out, set->up_to + (length - 1) * set->words, set->words * sizeof *out);
    if (mixed && !whole && !walk_all(m, &set->plain, config, &left, out)) return false;
    if (!whole && !walk_all(m, &set->rest, config, &left, out)) return false;
    if (run_ends(m->run, config))
        for (size_t i = 0; i < set->words; i++) out[i] |= set->ends[i];
    m->n_made++;
    return true;
}

static uint32_t take_slot(GrammarMask *m, uint32_t config)
{
    while (m->owner[m->hand] && m->recent[m->hand]) {
        m->recent[m->hand] = 0;
        m->hand = (m->hand + 1) % m->n_slots;
    }
    uint32_t slot = m->hand;
    m->hand = (m->hand + 1) % m->n_slots;
    if (m->owner[slot]) m->run->configs[m->owner[slot]].mask = 0;
    m->owner[slot] = config;
    m->run->configs[config].mask = slot + 1;
    return slot;
}

/* Room is made, and what that has forgotten is let go. */
static void tidy(GrammarMask *m)
{
    run_collect(m->run);
    if (m->generation == m->run->generation) return;
    memset(m->owner, 0, m->n_slots * sizeof *m->owner); /* configs have new numbers */
    m->generation = m->run->generation;
}

const uint64_t *grammar_mask_of(GrammarMask *m, RunState *state)
{
    GrammarRun *run = m->run;
    for (int attempt = 0;; attempt++) {
        tidy(m);
        uint32_t slot = run->configs[state->config].mask, fresh = 0;
        if (slot) {
            slot--;
        } else {
            slot = take_slot(m, state->config);
            fresh = 1;
        }
        m->recent[slot] = 1;
        run->configs[state->config].width = WIDTH_NARROW; /* it is there: asking did not do */
        uint64_t *out = m->slots + slot * m->set->words;
        if (fresh) make(m, state->config, UINT32_MAX, out);
        /* Out of room half way: once more with all that is not needed forgotten. */
        if (!run->full || attempt) return out;
    }
}

static uint32_t count(const uint64_t *words, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t x = words[i];
        x -= x >> 1 & 0x5555555555555555u;
        x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
        x = (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
        sum += x * 0x0101010101010101u >> 56;
    }
    return (uint32_t)sum;
}

bool grammar_mask_wide(GrammarMask *m, RunState *state)
{
    GrammarRun *run = m->run;
    tidy(m);
    RunConfig *config = &run->configs[state->config];
    if (config->width != WIDTH_UNKNOWN) return config->width == WIDTH_WIDE;
    uint32_t slot = config->mask ? config->mask - 1 : take_slot(m, state->config);
    uint64_t *out = m->slots + slot * m->set->words;
    bool made = make(m, state->config, LOOK, out);
    if (run->full) made = false; /* grammar_mask_of makes room */
    if (!made) {
        m->owner[slot] = 0;
        config->mask = 0;
    }
    bool wide = !made || count(out, m->set->words) > m->set->n / 8;
    config->width = wide ? WIDTH_WIDE : WIDTH_NARROW;
    return wide;
}

int grammar_mask_allows(GrammarMask *m, RunState *state, uint32_t id)
{
    GrammarRun *run = m->run;
    uint32_t config = state->config, slot = run->configs[config].mask;
    if (id >= m->set->n) return 0;
    if (slot) return token_set_has(m->slots + (slot - 1) * m->set->words, id);
    Span bytes = token_set_text(m->set, id);
    uint64_t most = run->visits + MOST_VISITS / 100;
    if (token_set_has(m->set->ends, id) && run_ends(run, config)) return 1;
    if (!bytes.size || bytes.size > TOKEN_SET_LONGEST) return 0;
    for (size_t i = 0; i < bytes.size && config != RUN_DEAD; i++) {
        config = run_step(run, config, (unsigned char)bytes.data[i]);
        if (run->full || run->visits > most) return -1;
    }
    return config != RUN_DEAD;
}

bool grammar_mask_accept_bytes(GrammarMask *m, RunState *state, Span bytes)
{
    GrammarRun *run = m->run;
    for (int attempt = 0; attempt < 2; attempt++) {
        if (run->full) run_collect(run);
        uint32_t config = state->config;
        for (size_t i = 0; i < bytes.size && config != RUN_DEAD; i++)
            config = run_step(run, config, (unsigned char)bytes.data[i]);
        if (config != RUN_DEAD) {
            state->config = config;
            return true;
        }
        if (!run->full) break;
    }
    return false;
}

bool grammar_mask_accept(GrammarMask *m, RunState *state, uint32_t id)
{
    if (id >= m->set->n) return false;
    Span bytes = token_set_text(m->set, id);
    if (bytes.size && grammar_mask_accept_bytes(m, state, bytes)) return true;
    return token_set_has(m->set->ends, id) && run_ends(m->run, state->config);
}
