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

enum { CACHE_BYTES = 32 << 20, MOST_SLOTS = 4096, LEAST_SLOTS = 64, FIRST_SLOTS = 32 };
enum { WIDTH_UNKNOWN, WIDTH_NARROW, WIDTH_WIDE };
enum { LOOK = 4000 }; /* about 20 us */
enum { LOOK_AHEAD = 16 * LOOK };
/* Nodes of one first byte above which it is asked whether its tokens are alike. */
enum { MANY_NODES = 256 };
enum { MOST_AHEAD = 32 }; /* nodes fetched ahead */

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

/* What in a TokenTail says that a token that begins a way may go on where it leaves that. */
static TokenTail leaves(GrammarMask *m, Places *p, const PlaceWay *way)
{
    uint64_t kinds = 0;
    TokenTail tail = {{TAIL_LONG}};
    for (uint32_t k = 0; k <= way->n; k++) kinds |= place_reads(p, way->at[k]);
    for (; kinds; kinds &= kinds - 1)
        for (int i = 0; i < 2; i++) tail.bytes[i] |= m->kind_bytes[__builtin_ctzll(kinds)][i];
    return tail;
}

/* Whether a token may follow of which the first byte has been read; then comes `way`. */
static bool follows(Places *p, const PlaceWay *way, Span text)
{
    uint32_t i = 0, n = (uint32_t)text.size - 1;
    const char *after = text.data + 1;
    while (i < n && i < way->n && place_has(way->bytes, (unsigned char)after[i])) i++;
    uint32_t at = way->at[i];
    for (; i < n && at != RUN_DEAD; i++) at = place_step(p, at, (uint8_t)after[i]);
    return at != RUN_DEAD;
}

/* Adds the tokens of a set that have at most n characters. */
static void add_short(const TokenSet *set, const uint64_t *inside, uint32_t n, uint64_t *out)
{
    const uint64_t *short_enough = n > TOKEN_SET_PLAIN ? inside : set->up_to + (n - 1) * set->words;
    for (size_t i = 0; i < set->words; i++) out[i] |= inside[i] & short_enough[i];
}

/* Adds the tokens that begin with the plain byte of a node of depth 1: those whose other bytes are
 * of the way that begins there at once, others where a byte of theirs leaves it. False: they are
 * better walked. */
static bool sweep(GrammarMask *m, Places *p, uint32_t root, const PlaceWay *way, uint64_t *out)
{
    const TokenSet *set = m->set;
    uint32_t cost;
    const Sweep *s = sweep_of(&m->regions, root, way->bytes, leaves(m, p, way), &cost);
    p->left -= p->left < cost ? p->left : cost;
    if (!s) return false;
    if (s->n_inside > SWEEP_INSIDE) {
        add_short(set, s->inside, way->n < TOKEN_SET_ALIKE ? way->n + 1 : UINT32_MAX, out);
    } else {
        for (uint32_t i = 0; i < s->n_inside; i++)
            if ((s->list[i] & 31) <= way->n) token_set_add(out, s->list[i] >> 5);
    }
    for (uint32_t i = 0; i < s->n_others; i++)
        if (follows(p, way, token_set_text(set, s->others[i]))) token_set_add(out, s->others[i]);
    return true;
}

static bool walk_exits(GrammarMask *m, Places *p, const TokenExit *exits, uint32_t n, uint32_t lead,
                       const PlaceWay *way, uint64_t *out);

/* All exits of a list that is sorted by byte, and read where the way is. */
static bool walk_all_exits(GrammarMask *m, Places *p, const TokenExit *exits, uint32_t n,
                           uint32_t lead, const PlaceWay *way, uint64_t *out)
{
    uint64_t reads = 0;
    for (uint32_t k = 0; k <= way->n; k++) reads |= place_reads(p, way->at[k]);
    for (uint32_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && exits[end].byte == exits[i].byte;) end++;
        if (!(reads & p->run->kinds[0][exits[i].byte])) continue;
        if (!walk_exits(m, p, exits + i, end - i, lead, way, out)) return false;
    }
    return true;
}

/* As sweep, where the region of the way is known. */
static bool add_led(GrammarMask *m, Places *p, const RegionLed *led, uint8_t root,
                    const PlaceWay *way, uint64_t *out)
{
    uint32_t first = led->first_exit[root], n = led->first_exit[root + 1] - first;
    if (root == ' ') add_short(m->set, led->spaced, way->n + 1, out);
    for (uint32_t i = led->first_id[root]; i < led->first_id[root + 1]; i++)
        if ((led->ids[i] & 31) <= way->n) token_set_add(out, led->ids[i] >> 5);
    return walk_all_exits(m, p, led->exits + first, n, 1, way, out);
}

/* Adds the plain tokens that begin with the byte of a node of depth 1 which leads to `to`, where
 * they are not walked one by one. False: they must be. */
static bool add_root(GrammarMask *m, Places *p, uint32_t root, uint32_t to, bool *done,
                     uint64_t *out)
{
    const TokenSet *set = m->set;
    const TrieNode *node = &set->plain.nodes[root];
    PlaceWay way;
    uint32_t n = place_free(p, to);
    if (n) {
        const uint64_t *short_enough = set->up_to + n * set->words;
        uint32_t end = set->plain.nodes[node->skip].first;
        for (uint32_t i = node->first; i < end; i++) {
            uint32_t id = set->plain.order[i];
            if (n == TOKEN_SET_PLAIN || token_set_has(short_enough, id)) token_set_add(out, id);
        }
        return true;
    }
    if (!place_alike(p, to, &way)) return false;
    const Region *region = region_of(&m->regions, way.bytes, false);
    if (!region || !region->led) return sweep(m, p, root, &way, out);
    *done = add_led(m, p, region->led, node->byte, &way, out);
    return true;
}

/* Adds the tokens of nodes [i, end) of a trie that the automaton can read; at[d] is its place
 * after d bytes, known up to the node before. False: there are more than may be looked at. */
static bool walk(Places *p, const Trie *trie, uint32_t i, uint32_t end, uint32_t *at, uint64_t *out)
{
    uint64_t reads[TOKEN_SET_LONGEST + 1];
    if (i < end) reads[trie->nodes[i].depth - 1] = place_reads(p, at[trie->nodes[i].depth - 1]);
    while (i < end) {
        const TrieNode *node = &trie->nodes[i];
        if (!(reads[node->depth - 1] & p->run->kinds[0][node->byte])) {
            i = node->skip;
            continue;
        }
        if (p->left == 0) return false;
        p->left -= 1;
        uint32_t to = place_step(p, at[node->depth - 1], node->byte);
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
        for (uint32_t k = 0; k < n; k++) token_set_add(out, trie->order[node->first + k]);
        at[node->depth] = to;
        reads[node->depth] = place_reads(p, to);
        i = node->next & reads[node->depth] ? i + 1 : node->skip;
    }
    return true;
}

/* The tokens of a root. Below one of many nodes those of depth 2 lie far apart: only those that can
 * be read are gone to. */
static bool walk_root(GrammarMask *m, Places *p, const Trie *trie, uint32_t r, uint32_t *at,
                      uint64_t *out)
{
    uint32_t root = trie->root[r], skip = trie->nodes[root].skip;
    bool done = true;
    if (skip - root <= MANY_NODES) return walk(p, trie, root, skip, at, out);
    uint32_t to = place_step(p, at[0], trie->root_byte[r]);
    if (to == RUN_DEAD) return true;
    if (trie == &m->set->plain && add_root(m, p, root, to, &done, out)) return done;
    for (uint32_t k = trie->nodes[root].first; k < trie->nodes[root + 1].first; k++)
        token_set_add(out, trie->order[k]);
    uint64_t reads = place_reads(p, to);
    at[1] = to;
    for (uint32_t k = trie->first_kid[r]; k < trie->first_kid[r + 1] && done; k++) {
        if (!(reads & p->run->kinds[0][trie->kid_byte[k]])) continue;
        uint32_t node = trie->kid[k];
        done = walk(p, trie, node, trie->nodes[node].skip, at, out);
    }
    return done;
}

static bool walk_all(GrammarMask *m, Places *p, const Trie *trie, uint32_t start, uint64_t *out)
{
    uint32_t at[TOKEN_SET_LONGEST + 1];
    uint64_t reads = place_reads(p, start);
    at[0] = start;
    for (uint32_t r = 0; r < trie->n_roots; r++)
        if (reads & p->run->kinds[0][trie->root_byte[r]] && !walk_root(m, p, trie, r, at, out))
            return false;
    return true;
}

static const Trie *trie_of(const TokenSet *set, TokenExit exit)
{
    return exit.rest ? &set->rest : &set->plain;
}

static uint32_t root_of(const Trie *trie, uint8_t byte)
{
    uint32_t r = 0;
    while (trie->root_byte[r] != byte) r++;
    return r;
}

/* The exits of one byte: those on the way at places that can read it. `lead`: bytes before the way.
 * Nodes lie all over the trie: they are fetched ahead. */
static bool walk_exits(GrammarMask *m, Places *p, const TokenExit *exits, uint32_t n, uint32_t lead,
                       const PlaceWay *way, uint64_t *out)
{
    uint32_t at[TOKEN_SET_LONGEST + 1], asked = 0, alive = 0, n_near;
    TokenExit near[MOST_AHEAD];
    for (uint32_t i = 0; i < n;) {
        for (n_near = 0; i < n && n_near < MOST_AHEAD; i++) {
            uint32_t k = exits[i].depth - 1u - lead;
            if (k > way->n) continue;
            if (!(asked >> k & 1)) {
                asked |= 1u << k;
                if (place_step(p, way->at[k], exits[i].byte) != RUN_DEAD) alive |= 1u << k;
            }
            if (!(alive >> k & 1)) continue;
            __builtin_prefetch(&trie_of(m->set, exits[i])->nodes[exits[i].node]);
            near[n_near++] = exits[i];
        }
        for (uint32_t k = 0; k < n_near; k++) {
            TokenExit e = near[k];
            const Trie *trie = trie_of(m->set, e);
            at[e.depth - 1] = way->at[e.depth - 1 - lead];
            if (e.depth == 1 ? !walk_root(m, p, trie, root_of(trie, e.byte), at, out)
                             : !walk(p, trie, e.node, trie->nodes[e.node].skip, at, out))
                return false;
        }
    }
    return true;
}

/* Adds the tokens of a node of a TokenAfter, which is read at `to`, of those with as many
 * characters before as `befores` has bits. */
static bool walk_after(Places *p, const TokenAfter *after, uint32_t i, uint32_t to,
                       uint64_t befores, uint64_t *out)
{
    const TrieNode *nodes = after->trie.nodes;
    uint32_t at[TOKEN_SET_LONGEST + 1], end = nodes[i].skip, top = nodes[i].depth;
    uint64_t reads[TOKEN_SET_LONGEST + 1];
    while (i < end) {
        const TrieNode *node = &nodes[i];
        if (node->depth > top && (!(reads[node->depth - 1] & p->run->kinds[0][node->byte]) ||
                                  !(after->befores[i] & befores))) {
            i = node->skip;
            continue;
        }
        if (p->left == 0) return false;
        p->left -= 1;
        if (node->depth > top) to = place_step(p, at[node->depth - 1], node->byte);
        if (to == RUN_DEAD) {
            i = node->skip;
            continue;
        }
        for (uint32_t k = node->first; k < nodes[i + 1].first; k++)
            if (befores >> after->before[k] & 1) token_set_add(out, after->trie.order[k]);
        at[node->depth] = to;
        reads[node->depth] = place_reads(p, to);
        i = node->next & reads[node->depth] ? i + 1 : node->skip;
    }
    return true;
}

/* Adds the tokens that leave a way of plain characters. Places on the way that a byte takes to the
 * same place are gone on from once: the end of a string is where it is, however long that was. */
static bool walk_rest(GrammarMask *m, Places *p, const PlaceWay *way, uint64_t *out)
{
    const TokenAfter *after = &m->set->after;
    const Trie *trie = &after->trie;
    uint64_t within = ((uint64_t)2 << way->n) - 1;
    for (uint32_t i = 0; i < trie->n_nodes; i = trie->nodes[i].skip) {
        uint8_t byte = trie->nodes[i].byte;
        uint64_t waiting = after->befores[i] & within;
        while (waiting) {
            uint32_t to = RUN_UNKNOWN;
            uint64_t alike = 0;
            for (uint64_t ks = waiting; ks; ks &= ks - 1) {
                unsigned k = (unsigned)__builtin_ctzll(ks);
                uint32_t next = place_step(p, way->at[k], byte);
                if (to == RUN_UNKNOWN) to = next;
                if (to == next) alike |= ks & -ks;
            }
            waiting &= ~alike;
            if (to != RUN_DEAD && !walk_after(p, after, i, to, alike, out)) return false;
        }
    }
    return true;
}

static void add_plain(const TokenSet *set, uint32_t n, uint64_t *out)
{
    if (n > TOKEN_SET_PLAIN) n = TOKEN_SET_PLAIN;
    if (n) memcpy(out, set->up_to + (n - 1) * set->words, set->words * sizeof *out);
}

/* Inside a JSON string most is known of the vocabulary: only what follows its end is walked. */
static bool make_string(GrammarMask *m, Places *p, const PlaceString *s, uint32_t start,
                        uint64_t *out)
{
    const TokenSet *set = m->set;
    uint64_t within = s->n < 63 ? ((uint64_t)2 << s->n) - 1 : UINT64_MAX;
    add_plain(set, s->n, out);
    for (uint32_t i = 0; i < set->n_inner && set->inner[i].chars <= s->n; i++)
        token_set_add(out, set->inner[i].id);
    for (uint32_t i = 0; i < set->n_odd; i++) {
        Span text = token_set_text(set, set->odd[i]);
        uint32_t at = start;
        for (size_t k = 0; k < text.size && at != RUN_DEAD; k++)
            at = place_step(p, at, (uint8_t)text.data[k]);
        if (at != RUN_DEAD) token_set_add(out, set->odd[i]);
    }
    if (!set->close.trie.n_nodes || s->after == RUN_DEAD) return true;
    return walk_after(p, &set->close, 0, s->after, s->closes & within, out);
}

static bool is_control(Span bytes)
{
    return bytes.size && (unsigned char)bytes.data[0] == GRAMMAR_CONTROL;
}

/* Of the tokens 64 * word on in `bits`: those that end an answer though it is not whole with them
 * either. Free text takes any control token, and so it would take these. */
static uint64_t wrong_ends(GrammarMask *m, uint32_t config, size_t word, uint64_t bits)
{
    uint64_t wrong = 0;
    for (bits &= m->set->ends[word]; bits; bits &= bits - 1) {
        uint32_t id = (uint32_t)(word * 64) + (uint32_t)__builtin_ctzll(bits), at = config;
        Span bytes = token_set_text(m->set, id);
        if (!is_control(bytes)) continue;
        for (size_t i = 0; i < bytes.size && at != RUN_DEAD; i++)
            at = run_step(m->run, at, (unsigned char)bytes.data[i]);
        if (at == RUN_DEAD || !run_ends(m->run, at)) wrong |= bits & -bits;
    }
    return wrong;
}

/* False: it takes more than `left` nodes. */
static bool make(GrammarMask *m, uint32_t config, uint32_t left, uint64_t *out)
{
    const TokenSet *set = m->set;
    const Region *region = NULL;
    Places p;
    PlaceWay way;
    PlaceString string;
    uint32_t start = place_begin(&p, m->run, config, MOST_VISITS, left);
    memset(out, 0, set->words * sizeof *out);
    bool done = true;
    if (place_string(&p, config, &string)) {
        done = make_string(m, &p, &string, start, out);
    } else {
        bool mixed = place_plain(&p, start, &way);
        add_plain(set, way.n, out);
        if (!mixed && way.n) {
            done = walk_rest(m, &p, &way, out);
        } else if (mixed && place_alike(&p, start, &way) && !place_widens(&p, &way)) {
            region = region_of(&m->regions, way.bytes, left == UINT32_MAX);
            if (!region && left != UINT32_MAX) return false; /* to make one takes its time */
        }
        if (region) {
            add_short(set, region->inside, way.n, out);
            done = walk_all_exits(m, &p, region->exits, region->first[256], 0, &way, out);
        } else if (mixed || !way.n)
            done = (!mixed || walk_all(m, &p, &set->plain, start, out)) &&
                   walk_all(m, &p, &set->rest, start, out);
    }
    if (p.cut) m->n_cut++;
    if (!done) return false;
    bool ends = run_ends(m->run, config);
    for (size_t i = 0; i < set->words; i++)
        out[i] = ends ? out[i] | set->ends[i] : out[i] & ~wrong_ends(m, config, i, out[i]);
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

/* Makes a set if that takes no more than `left` nodes. NULL: it is not there. */
static const uint64_t *try_set(GrammarMask *m, RunState *state, uint32_t left)
{
    GrammarRun *run = m->run;
    RunConfig *config = &run->configs[state->config];
    uint32_t slot = config->mask ? config->mask - 1 : take_slot(m, state->config);
    uint64_t *out = m->slots + slot * m->set->words;
    bool made = make(m, state->config, left, out);
    if (made && !run->full) return out; /* else grammar_mask_of makes room */
    m->owner[slot] = 0;
    config->mask = 0;
    return NULL;
}

bool grammar_mask_wide(GrammarMask *m, RunState *state)
{
    tidy(m);
    RunConfig *config = &m->run->configs[state->config];
    if (config->width != WIDTH_UNKNOWN) return config->width == WIDTH_WIDE;
    const uint64_t *made = try_set(m, state, LOOK);
    bool wide = !made || count(made, m->set->words) > m->set->n / 8;
    config->width = wide ? WIDTH_WIDE : WIDTH_NARROW;
    return wide;
}

bool grammar_mask_known(const GrammarMask *m, const RunState *state, bool asks)
{
    const RunConfig *config = &m->run->configs[state->config];
    return config->mask || (asks && config->width != WIDTH_UNKNOWN);
}

void grammar_mask_ahead(GrammarMask *m, RunState *state, bool asks)
{
    if (!asks) {
        grammar_mask_of(m, state);
    } else if (grammar_mask_wide(m, state)) {
        RunConfig *config = &m->run->configs[state->config];
        uint64_t n_cut = m->n_cut;
        if (config->mask || !try_set(m, state, LOOK_AHEAD)) return;
        if (m->n_cut == n_cut) return;
        m->owner[config->mask - 1] = 0; /* asking of single tokens tells more */
        config->mask = 0;
    }
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
    if (config == RUN_DEAD) return 0;
    return !token_set_has(m->set->ends, id) || !is_control(bytes) || run_ends(run, config);
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
