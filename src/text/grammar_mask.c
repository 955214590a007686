/* Sets of allowed tokens (see grammar_mask.h). A set is made by walking the trie of tokens beside
 * the automaton; where any plain character is taken, plain tokens are not walked but copied, and so
 * are those of many bytes alike (grammar_region.h). Sets are kept in a fixed number of slots; the
 * one least lately asked for (by the clock) gives way.
 *
 * The larger a set, the longer it takes to make and the less it is needed: what a model finds
 * likely is then mostly allowed. So a state is *wide* when its set has an eighth of all tokens, or
 * was not done after LOOK nodes of the trie. */
#include "text/grammar_mask.h"

#include <string.h>

#include "base/mem.h"

enum { CACHE_BYTES = 32 << 20, MOST_SLOTS = 4096, LEAST_SLOTS = 64, FIRST_SLOTS = 64 };
enum { WIDTH_UNKNOWN, WIDTH_NARROW, WIDTH_WIDE };
enum { LOOK = 4000, STEP = 32 }; /* about 20 us; what a step not yet known costs, in nodes */
/* Nodes of one first byte above which it is asked whether its tokens are alike. */
enum { MANY_NODES = 256 };
enum { MOST_AHEAD = 64 }; /* nodes fetched ahead */

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
    bool room = regions_open(&m->regions, set, g);
    for (unsigned c = 0; c < 256; c++)
        if (c < 0x80)
            m->kind_bytes[byte_kind(c)][c / 64] |= (uint64_t)1 << (c % 64);
        else
            m->kind_bytes[byte_kind(c)][0] = TAIL_OTHERS;
    bt_status status = room && m->slots && m->owner && m->recent
                           ? run_open(g, &m->run, err)
                           : bt_fail_memory(err, "a grammar's sets of tokens", CACHE_BYTES);
    if (status != BT_OK)
        grammar_mask_close(&m);
    else /* the first are given by the kernel now, not page by page under the first tokens */
        memset(m->slots, 0, FIRST_SLOTS * set->words * sizeof *m->slots);
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

/* What is being made: where, and how many nodes may still be looked at. */
typedef struct Making {
    uint64_t *out;
    uint32_t left;
} Making;

static uint32_t step(GrammarMask *m, Making *making, uint32_t from, uint8_t byte)
{
    GrammarRun *run = m->run;
    uint32_t to = run->rows[(size_t)from * run->g->n_classes + run->g->class_of[byte]];
    if (to != RUN_UNKNOWN) return to;
    making->left -= making->left < STEP ? making->left : STEP;
    to = run->visits < m->most ? run_step(run, from, byte) : RUN_DEAD;
    if (run->full || run->visits >= m->most) m->n_cut++;
    return to;
}

/* What in a TokenTail says that a token that begins a way may go on where it leaves that. */
static TokenTail leaves(GrammarMask *m, const RegionWay *way)
{
    uint64_t kinds = 0;
    TokenTail tail = {{TAIL_LONG}};
    for (uint32_t k = 0; k <= way->n; k++) kinds |= run_reads(m->run, way->at[k]);
    for (; kinds; kinds &= kinds - 1)
        for (int i = 0; i < 2; i++) tail.bytes[i] |= m->kind_bytes[__builtin_ctzll(kinds)][i];
    return tail;
}

/* Whether a token may follow of which the first byte has been read; then comes `way`. */
static bool follows(GrammarMask *m, Making *making, const RegionWay *way, Span text)
{
    uint32_t i = 0, n = (uint32_t)text.size - 1;
    const char *after = text.data + 1;
    while (i < n && i < way->n && region_has(way->bytes, (unsigned char)after[i])) i++;
    uint32_t at = way->at[i];
    for (; i < n && at != RUN_DEAD; i++) at = step(m, making, at, (uint8_t)after[i]);
    return at != RUN_DEAD;
}

/* Adds the tokens that begin with the plain byte of a node of depth 1: those whose other bytes are
 * of the way that begins there at once, others where a byte of theirs leaves it. False: they are
 * better walked. */
static bool sweep(GrammarMask *m, uint32_t root, const RegionWay *way, Making *making)
{
    const TokenSet *set = m->set;
    uint32_t cost;
    const Sweep *s = sweep_of(&m->regions, set, root, way->bytes, leaves(m, way), &cost);
    making->left -= making->left < cost ? making->left : cost;
    if (!s) return false;
    if (way->n < TOKEN_SET_ALIKE) {
        const uint64_t *short_enough = set->up_to + way->n * set->words;
        for (size_t i = 0; i < set->words; i++) making->out[i] |= s->inside[i] & short_enough[i];
    } else {
        for (size_t i = 0; i < set->words; i++) making->out[i] |= s->inside[i];
    }
    for (uint32_t i = 0; i < s->n_others; i++)
        if (follows(m, making, way, token_set_text(set, s->others[i])))
            token_set_add(making->out, s->others[i]);
    return true;
}

/* Adds the tokens of nodes [i, end) of a trie that the automaton can read; at[d] is its config
 * after d bytes, known up to the node before. False: there are more than may be looked at. */
static bool walk(GrammarMask *m, const Trie *trie, uint32_t i, uint32_t end, uint32_t *at,
                 Making *making)
{
    uint64_t *out = making->out;
    RegionWay way;
    while (i < end) {
        const TrieNode *node = &trie->nodes[i];
        if (making->left == 0) return false;
        making->left -= 1;
        uint32_t to = step(m, making, at[node->depth - 1], node->byte);
        uint32_t n = trie_ends(trie, i);
        if (node->skip == i + 1 && n == 1) { /* most nodes: without a branch on `to` */
            uint32_t id = trie->order[node->first];
            out[id / 64] |= (uint64_t)(to != RUN_DEAD) << (id % 64);
            i++;
            continue;
        }
        if (to == RUN_DEAD) {
            i = node->skip;
            continue;
        }
        if (node->depth == 1 && node->skip - i > MANY_NODES && trie == &m->set->plain &&
            region_way(m->run, to, m->most, &way) && sweep(m, i, &way, making)) {
            i = node->skip;
            continue;
        }
        for (uint32_t k = 0; k < n; k++) token_set_add(out, trie->order[node->first + k]);
        at[node->depth] = to;
        i = node->next & run_reads(m->run, to) ? i + 1 : node->skip;
    }
    return true;
}

static bool walk_all(GrammarMask *m, const Trie *trie, uint32_t config, Making *making)
{
    uint32_t at[TOKEN_SET_LONGEST + 1];
    uint64_t reads = run_reads(m->run, config);
    at[0] = config;
    for (uint32_t i = 0; i < trie->n_roots; i++) {
        uint32_t root = trie->root[i];
        if (!(reads & m->run->kinds[0][trie->root_byte[i]])) continue;
        if (!walk(m, trie, root, trie->nodes[root].skip, at, making)) return false;
    }
    return true;
}

static const Trie *trie_of(const TokenSet *set, TokenExit exit)
{
    return exit.rest ? &set->rest : &set->plain;
}

/* Adds the tokens that leave a way. Nodes lie all over the trie: they are fetched ahead. */
static bool walk_exits(GrammarMask *m, const TokenExit *exits, uint32_t n, const RegionWay *way,
                       Making *making)
{
    uint32_t at[TOKEN_SET_LONGEST + 1];
    uint64_t reads[TOKEN_SET_PLAIN + 1];
    TokenExit alive[MOST_AHEAD];
    GrammarRun *run = m->run;
    for (uint32_t k = 0; k <= way->n; k++) reads[k] = run_reads(run, way->at[k]);
    for (uint32_t i = 0; i < n;) {
        uint32_t n_alive = 0;
        for (; i < n && n_alive < MOST_AHEAD; i++) {
            TokenExit e = exits[i];
            if (e.depth > way->n + 1u || !(reads[e.depth - 1] & run->kinds[0][e.byte])) continue;
            if (step(m, making, way->at[e.depth - 1], e.byte) == RUN_DEAD) continue;
            __builtin_prefetch(&trie_of(m->set, e)->nodes[e.node]);
            alive[n_alive++] = e;
        }
        for (uint32_t k = 0; k < n_alive; k++) {
            TokenExit e = alive[k];
            const Trie *trie = trie_of(m->set, e);
            at[e.depth - 1] = way->at[e.depth - 1];
            if (!walk(m, trie, e.node, trie->nodes[e.node].skip, at, making)) return false;
        }
    }
    return true;
}

/* The same for a node of TokenSet.after, which is read at `to`, of tokens with as many plain
 * characters before as `befores` has bits. */
static bool walk_after(GrammarMask *m, uint32_t i, uint32_t to, uint64_t befores, Making *making)
{
    const TokenSet *set = m->set;
    const TrieNode *nodes = set->after.nodes;
    uint32_t at[TOKEN_SET_LONGEST + 1], end = nodes[i].skip, top = nodes[i].depth;
    while (i < end) {
        const TrieNode *node = &nodes[i];
        if (making->left == 0) return false;
        making->left -= 1;
        if (node->depth > top)
            to = set->befores[i] & befores ? step(m, making, at[node->depth - 1], node->byte)
                                           : RUN_DEAD;
        if (to == RUN_DEAD) {
            i = node->skip;
            continue;
        }
        for (uint32_t k = node->first; k < nodes[i + 1].first; k++)
            if (befores >> set->before[k] & 1) token_set_add(making->out, set->after.order[k]);
        at[node->depth] = to;
        i = node->next & run_reads(m->run, to) ? i + 1 : node->skip;
    }
    return true;
}

/* Adds the tokens that leave a way of plain characters. Places on the way that a byte takes to the
 * same config are gone on from once: the end of a string is where it is, however long that was. */
static bool walk_rest(GrammarMask *m, const RegionWay *way, Making *making)
{
    const TokenSet *set = m->set;
    const Trie *trie = &set->after;
    uint64_t within = ((uint64_t)2 << way->n) - 1;
    for (uint32_t i = 0; i < trie->n_nodes; i = trie->nodes[i].skip) {
        uint8_t byte = trie->nodes[i].byte;
        uint64_t waiting = set->befores[i] & within;
        while (waiting) {
            uint32_t to = RUN_UNKNOWN;
            uint64_t alike = 0;
            for (uint64_t ks = waiting; ks; ks &= ks - 1) {
                unsigned k = (unsigned)__builtin_ctzll(ks);
                uint32_t next = step(m, making, way->at[k], byte);
                if (to == RUN_UNKNOWN) to = next;
                if (to == next) alike |= ks & -ks;
            }
            waiting &= ~alike;
            if (to != RUN_DEAD && !walk_after(m, i, to, alike, making)) return false;
        }
    }
    return true;
}

/* How far plain characters lead alike: the configs on the way. True where they then part. */
static bool plain_way(GrammarMask *m, uint32_t config, RegionWay *way)
{
    GrammarRun *run = m->run;
    way->at[0] = config;
    for (way->n = 0; way->n < TOKEN_SET_PLAIN; way->n++) {
        uint32_t to = run->visits < m->most ? run_plain(run, way->at[way->n]) : RUN_PLAIN_MIXED;
        if (to == RUN_PLAIN_MIXED) return true;
        if (to == RUN_DEAD) return false;
        way->at[way->n + 1] = to;
    }
    return false;
}

/* False: it takes more than `left` nodes. */
static bool make(GrammarMask *m, uint32_t config, uint32_t left, uint64_t *out)
{
    const TokenSet *set = m->set;
    const Region *region = NULL;
    Making making = {out, left};
    RegionWay way;
    m->most = m->run->visits + MOST_VISITS;
    memset(out, 0, set->words * sizeof *out);
    bool mixed = plain_way(m, config, &way), done = true;
    const uint64_t *short_enough = way.n ? set->up_to + (way.n - 1) * set->words : NULL;
    if (short_enough) memcpy(out, short_enough, set->words * sizeof *out);
    if (!mixed && way.n) {
        done = walk_rest(m, &way, &making);
    } else if (mixed && region_way(m->run, config, m->most, &way)) {
        region = region_of(&m->regions, set, way.bytes, left == UINT32_MAX);
        if (!region && left != UINT32_MAX) return false; /* to make one takes its time */
    }
    if (region) {
        short_enough = set->up_to + (way.n - 1) * set->words;
        for (size_t i = 0; i < set->words; i++) out[i] |= region->inside[i] & short_enough[i];
        done = walk_exits(m, region->exits, region->n_exits, &way, &making);
    } else if (mixed || !way.n) {
        done = (!mixed || walk_all(m, &set->plain, config, &making)) &&
               walk_all(m, &set->rest, config, &making);
    }
    if (!done) return false;
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
