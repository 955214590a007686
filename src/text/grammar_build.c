/* Putting a grammar together, state by state (see grammar.h). Long repetitions are built from
 * sixteenths: "exactly 16^k" calls "exactly 16^(k-1)" 16 times, and "at most n" is split at the
 * powers of 16, so that a maxLength of a million costs some hundred states. A text of i repetitions
 * then stands in one place while what is left is written out, else in at most log16 n + 1. */
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "text/grammar.h"

/* Shorter repetitions are written out: in a large grammar only the shortest; of characters of JSON
 * strings (grammar_place.c knows where these are written out) longer ones too. */
enum { MOST_NAMES = 1 << 28 }; /* bytes */
enum { LINEAR_TEXT = 16384 };
enum { LINEAR = 256, LINEAR_IN_LARGE = 24, LARGE = 1 << 17, BASE_BITS = 4, BASE = 1 << BASE_BITS };

static bool stopped(const GrammarBuilder *b)
{
    return b->no_memory || b->too_large;
}

/* Room for one more of `size` bytes in an array of n; the array or NULL. */
static void *room(GrammarBuilder *b, void *array, uint32_t n, uint32_t *capacity, uint32_t most,
                  size_t size)
{
    if (n < *capacity) return array;
    if (n >= most) {
        b->too_large = true;
        return NULL;
    }
    uint32_t grown = *capacity ? *capacity * 2 : 256;
    void *memory = mem_realloc(array, grown * size);
    if (memory)
        *capacity = grown;
    else
        b->no_memory = true;
    return memory;
}

uint32_t builder_state(GrammarBuilder *b)
{
    if (stopped(b)) return 0;
    uint32_t *grown =
        room(b, b->first, b->n_states, &b->state_capacity, GRAMMAR_MAX_STATES, sizeof *grown);
    if (!grown) return 0;
    b->first = grown;
    if (b->n_states == 0) b->first[b->n_states++] = 0; /* state 0: what failed calls give */
    b->first[b->n_states] = 0;
    return b->n_states++;
}

static void add_edge(GrammarBuilder *b, uint32_t from, uint32_t label, uint32_t to)
{
    if (stopped(b) || from >= b->n_states || to >= b->n_states) return;
    BuilderEdge *grown =
        room(b, b->edges, b->n_edges, &b->edge_capacity, GRAMMAR_MAX_EDGES, sizeof *grown);
    if (!grown) return;
    b->edges = grown;
    if (b->n_edges == 0) b->n_edges = 1;
    b->edges[b->n_edges] = (BuilderEdge){label, to, b->first[from]};
    b->first[from] = b->n_edges++;
}

uint32_t builder_rule_around(GrammarBuilder *b, BuilderPiece piece)
{
    if (stopped(b)) return 0;
    BuilderRule *grown =
        room(b, b->rules, b->n_rules, &b->rule_capacity, GRAMMAR_MAX_RULES, sizeof *grown);
    if (!grown) return 0;
    b->rules = grown;
    b->rules[b->n_rules] = (BuilderRule){piece.start, piece.end, 0, 0};
    return b->n_rules++;
}

/* Room for `size` more bytes of names. */
static bool name_room(GrammarBuilder *b, size_t size)
{
    uint32_t grown = b->name_capacity ? b->name_capacity : 256;
    if (size > MOST_NAMES - b->n_names) return b->too_large = true, false;
    while (b->n_names + size > grown) grown *= 2;
    if (b->names && grown == b->name_capacity) return true;
    char *names = mem_realloc(b->names, grown);
    if (!names) return b->no_memory = true, false;
    b->names = names;
    b->name_capacity = grown;
    return true;
}

static void name_rule(GrammarBuilder *b, uint32_t rule, Span name)
{
    if (name.size > 64) name.size = 64;
    if (!name_room(b, name.size)) return;
    memcpy(b->names + b->n_names, name.data, name.size);
    b->rules[rule].name = b->n_names;
    b->rules[rule].name_size = (uint32_t)name.size;
    b->n_names += (uint32_t)name.size;
}

uint32_t builder_rule(GrammarBuilder *b, Span name)
{
    BuilderPiece piece = {builder_state(b), 0};
    piece.end = builder_state(b);
    uint32_t rule = builder_rule_around(b, piece);
    if (!stopped(b) && name.size) name_rule(b, rule, name);
    return rule;
}

void builder_empty(GrammarBuilder *b, uint32_t from, uint32_t to)
{
    add_edge(b, from, GRAMMAR_EMPTY, to);
}

void builder_bytes(GrammarBuilder *b, uint32_t from, unsigned low, unsigned high, uint32_t to)
{
    if (low <= high) add_edge(b, from, low | high << 8, to);
}

void builder_call(GrammarBuilder *b, uint32_t from, uint32_t rule, uint32_t to)
{
    add_edge(b, from, GRAMMAR_CALL | rule, to);
}

uint32_t builder_text(GrammarBuilder *b, uint32_t from, Span text)
{
    for (size_t i = 0; i < text.size && !stopped(b); i++) {
        uint32_t next = builder_state(b);
        builder_bytes(b, from, (unsigned char)text.data[i], (unsigned char)text.data[i], next);
        from = next;
    }
    return from;
}

void builder_text_to(GrammarBuilder *b, uint32_t from, Span text, uint32_t to)
{
    if (!text.size) {
        builder_empty(b, from, to);
        return;
    }
    unsigned last = (unsigned char)text.data[text.size - 1];
    uint32_t at = builder_text(b, from, (Span){text.data, text.size - 1});
    builder_bytes(b, at, last, last, to);
}

/* ---- characters ----------------------------------------------------------- */

/* State from which n (0 to 3) continuation bytes lead to `to`. */
static uint32_t tail(GrammarBuilder *b, unsigned n, uint32_t to)
{
    if (n == 0) return to;
    if (b->tail_to != to || !b->tail[0]) {
        memset(b->tail, 0, sizeof b->tail);
        b->tail_to = to;
        b->tail[0] = 1;
    }
    uint32_t next = to;
    for (unsigned i = 1; i <= n; i++) {
        if (!b->tail[i]) {
            b->tail[i] = builder_state(b);
            builder_bytes(b, b->tail[i], 0x80, 0xBF, next);
        }
        next = b->tail[i];
    }
    return next;
}

static unsigned encode(uint32_t c, unsigned n, unsigned char out[4])
{
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (unsigned i = n; i-- > 1;) {
        out[i] = (unsigned char)(0x80 | (c & 0x3F));
        c >>= 6;
    }
    out[0] = (unsigned char)(lead[n] | c);
    return n;
}

/* Characters of n bytes that differ only where every value of the rest is taken. */
static void block(GrammarBuilder *b, uint32_t from, unsigned n, uint32_t low, uint32_t high,
                  uint32_t to)
{
    unsigned char l[4], h[4];
    encode(low, n, l);
    encode(high, n, h);
    for (unsigned i = 0; i < n; i++) {
        bool rest_is_free = true;
        for (unsigned j = i + 1; j < n; j++)
            if (l[j] != 0x80 || h[j] != 0xBF) rest_is_free = false;
        if (rest_is_free) {
            builder_bytes(b, from, l[i], h[i], tail(b, n - 1 - i, to));
            return;
        }
        uint32_t next = builder_state(b);
        builder_bytes(b, from, l[i], h[i], next);
        from = next;
    }
}

/* Cuts [low, high], characters of n bytes, into blocks in which one byte has a range and all after
 * it are free. */
static void same_length(GrammarBuilder *b, uint32_t from, unsigned n, uint32_t low, uint32_t high,
                        uint32_t to)
{
    while (low <= high && !stopped(b)) {
        unsigned k = n - 1; /* how many bytes are free: the most that fit */
        while (k && (low & ((1u << (6 * k)) - 1) || high - low < (1u << (6 * k)) - 1)) k--;
        uint32_t unit = 1u << (6 * k), end = low + (high - low + 1) / unit * unit - 1;
        uint32_t same = k == n - 1 ? high : low | ((unit << 6) - 1); /* the bytes before stay */
        if (end > same) end = same;
        block(b, from, n, low, end, to);
        low = end + 1;
    }
}

void builder_range(GrammarBuilder *b, uint32_t from, uint32_t low, uint32_t high, uint32_t to)
{
    static const struct {
        uint32_t low, high;
        unsigned n;
    } part[] = {{0, 0x7F, 1},
                {0x80, 0x7FF, 2},
                {0x800, 0xD7FF, 3},
                {0xE000, 0xFFFF, 3},
                {0x10000, 0x10FFFF, 4}};
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) {
        uint32_t l = low > part[i].low ? low : part[i].low;
        uint32_t h = high < part[i].high ? high : part[i].high;
        if (l > h) continue;
        if (part[i].n == 1)
            builder_bytes(b, from, l, h, to);
        else
            same_length(b, from, part[i].n, l, h, to);
    }
}

/* ---- what was built before ------------------------------------------------------------ */

static uint32_t *memo_slot(GrammarBuilder *b, BuilderMemo *m, uint64_t key)
{
    if (m->used * 2 >= m->mask) {
        uint32_t size = m->mask ? (m->mask + 1) * 2 : 64;
        uint64_t *keys = mem_zalloc(size, sizeof *keys);
        uint32_t *values = mem_zalloc(size, sizeof *values);
        if (!keys || !values) {
            mem_free(keys);
            mem_free(values);
            b->no_memory = true;
            return NULL;
        }
        for (uint32_t i = 0; m->keys && i <= m->mask; i++) {
            if (!m->keys[i]) continue;
            uint32_t at = (uint32_t)(m->keys[i] * 0x9E3779B97F4A7C15u >> 32) & (size - 1);
            while (keys[at]) at = (at + 1) & (size - 1);
            keys[at] = m->keys[i];
            values[at] = m->values[i];
        }
        mem_free(m->keys);
        mem_free(m->values);
        m->keys = keys;
        m->values = values;
        m->mask = size - 1;
    }
    uint32_t at = (uint32_t)((key + 1) * 0x9E3779B97F4A7C15u >> 32) & m->mask;
    while (m->keys[at] && m->keys[at] != key + 1) at = (at + 1) & m->mask;
    if (!m->keys[at]) {
        m->keys[at] = key + 1;
        m->values[at] = GRAMMAR_NO_LIMIT;
        m->used++;
    }
    return &m->values[at];
}

/* A key lies in `names` as its rule, its size and its bytes; of keys with one hash only the first
 * is found again. */
uint32_t builder_shared(GrammarBuilder *b, Span key, bool *fresh)
{
    uint32_t head[2];
    *fresh = false;
    if (stopped(b)) return 0;
    uint32_t *slot = memo_slot(b, &b->shared, hash_bytes(key.data, key.size, 3) >> 1);
    if (!slot) return 0;
    bool known = *slot != GRAMMAR_NO_LIMIT;
    if (known) {
        memcpy(head, b->names + *slot, sizeof head);
        if (head[1] == key.size && memcmp(b->names + *slot + sizeof head, key.data, key.size) == 0)
            return head[0];
    }
    uint32_t rule = builder_rule(b, (Span){0});
    *fresh = !stopped(b);
    if (!*fresh || known || !name_room(b, sizeof head + key.size)) return rule;
    head[0] = rule;
    head[1] = (uint32_t)key.size;
    *slot = b->n_names;
    memcpy(b->names + b->n_names, head, sizeof head);
    memcpy(b->names + b->n_names + sizeof head, key.data, key.size);
    b->n_names += (uint32_t)(sizeof head + key.size);
    return rule;
}

/* ---- repetition ------------------------------------------------------------ */

static uint32_t linear(const GrammarBuilder *b, uint32_t rule)
{
    bool text = b->json_char && b->rules[rule].start == b->json_char;
    if (b->n_states >= LARGE) return LINEAR_IN_LARGE;
    return text ? LINEAR_TEXT : LINEAR;
}

/* A call of the rule "at most 16^k - 1"; for k = 0 there is none. */
static void call_fewer(GrammarBuilder *b, uint32_t from, unsigned k, uint32_t fewer, uint32_t to)
{
    if (k)
        builder_call(b, from, fewer, to);
    else
        builder_empty(b, from, to);
}

/* Rule "`rule` exactly 16^k times" (`exact`) or "at most 16^k - 1 times", k at least 1; made from
 * the smallest k up, so nothing recurses deeper than one call. */
static uint32_t power(GrammarBuilder *b, uint32_t rule, unsigned k, bool exact)
{
    uint32_t below = rule;
    for (unsigned i = 1; i <= k && !stopped(b); i++) {
        uint32_t part = exact ? below : i == 1 ? rule : power(b, rule, i - 1, true);
        uint32_t *slot = memo_slot(b, &b->repeats, (uint64_t)rule << 8 | i << 1 | exact);
        if (!slot) return 0;
        if (*slot == GRAMMAR_NO_LIMIT) {
            uint32_t made = *slot = builder_rule(b, (Span){0});
            if (stopped(b)) return 0;
            uint32_t from = b->rules[made].start, to = b->rules[made].end;
            for (unsigned n = 1; n < BASE; n++) {
                uint32_t next = builder_state(b);
                /* At most: fewer than a part and no more, or a part and then what is left. */
                if (!exact) call_fewer(b, from, i - 1, below, to);
                builder_call(b, from, part, next);
                from = next;
            }
            if (exact)
                builder_call(b, from, part, to);
            else
                call_fewer(b, from, i - 1, below, to);
            below = made;
        } else {
            below = *slot;
        }
    }
    return below;
}

/* The largest k for which 16^k is at most n. */
static unsigned digits(uint32_t n)
{
    unsigned k = 0;
    while (n >>= BASE_BITS) k++;
    return k;
}

static uint32_t exactly(GrammarBuilder *b, uint32_t from, uint32_t rule, uint32_t n)
{
    while (n && !stopped(b)) {
        unsigned k = n > linear(b, rule) ? digits(n) : 0;
        uint32_t next = builder_state(b);
        builder_call(b, from, k ? power(b, rule, k, true) : rule, next);
        from = next;
        n -= 1u << (BASE_BITS * k);
    }
    return from;
}

static void at_most(GrammarBuilder *b, uint32_t from, uint32_t rule, uint32_t n, uint32_t to)
{
    while (n && !stopped(b)) {
        unsigned k = n > linear(b, rule) ? digits(n) : 0;
        uint32_t next = builder_state(b);
        if (k)
            builder_call(b, from, power(b, rule, k, false), to);
        else
            builder_empty(b, from, to);
        builder_call(b, from, k ? power(b, rule, k, true) : rule, next);
        from = next;
        n -= 1u << (BASE_BITS * k);
    }
    builder_empty(b, from, to);
}

void builder_repeat(GrammarBuilder *b, uint32_t from, uint32_t rule, uint32_t least, uint32_t most,
                    uint32_t to)
{
    if (least > GRAMMAR_MAX_REPEAT || (most > GRAMMAR_MAX_REPEAT && most != GRAMMAR_NO_LIMIT))
        b->too_large = true;
    if (stopped(b)) return;
    from = exactly(b, from, rule, least);
    if (most == GRAMMAR_NO_LIMIT) {
        uint32_t loop = builder_state(b);
        builder_empty(b, from, loop);
        builder_call(b, loop, rule, loop);
        builder_empty(b, loop, to);
    } else if (most >= least) {
        at_most(b, from, rule, most - least, to);
    }
}

/* ---- free text -------------------------------------------------------------- */

enum { MOST_UNTIL = 256 };

/* The automaton of Knuth, Morris and Pratt (1977) over all text bytes: states[i] has read the
 * first i bytes of `text`. */
static void search(GrammarBuilder *b, const uint32_t *states, Span text, uint32_t found)
{
    uint16_t back[MOST_UNTIL + 1] = {0}; /* longest proper border of the first i bytes */
    for (size_t i = 1, k = 0; i < text.size; i++) {
        while (k && text.data[i] != text.data[k]) k = back[k];
        if (text.data[i] == text.data[k]) k++;
        back[i + 1] = (uint16_t)k;
    }
    for (size_t i = 0; i < text.size && !stopped(b); i++) {
        unsigned run = 0;
        size_t goal_of_run = 0;
        for (unsigned c = 0; c <= GRAMMAR_CONTROL; c++) {
            size_t k = i;
            while (k && (unsigned char)text.data[k] != c) k = back[k];
            if ((unsigned char)text.data[k] == c) k++;
            if (c == 0) goal_of_run = k;
            if (k == goal_of_run && c < GRAMMAR_CONTROL) continue;
            uint32_t goal = goal_of_run == text.size ? found : states[goal_of_run];
            if (goal) builder_bytes(b, states[i], run, c - 1, goal);
            run = c;
            goal_of_run = k;
        }
    }
}

void builder_until(GrammarBuilder *b, uint32_t from, Span text, bool control, uint32_t to)
{
    uint32_t states[MOST_UNTIL + 1] = {0};
    if (text.size > MOST_UNTIL) b->too_large = true;
    if (stopped(b)) return;
    if (!text.size) {
        builder_empty(b, from, to);
        return;
    }
    uint32_t mark = control ? builder_state(b) : 0;
    for (size_t i = 0; i < text.size; i++) {
        states[i] = builder_state(b);
        if (control) builder_bytes(b, states[i], GRAMMAR_CONTROL, GRAMMAR_CONTROL, mark);
    }
    builder_empty(b, from, states[0]);
    search(b, states, text, to);
    if (control) builder_text_to(b, mark, text, to);
}

void builder_free(GrammarBuilder *b, uint32_t from, Span stop, uint32_t to)
{
    uint32_t states[MOST_UNTIL + 1] = {0};
    if (stop.size > MOST_UNTIL) b->too_large = true;
    if (stopped(b)) return;
    size_t n = stop.size ? stop.size : 1;
    for (size_t i = 0; i < n; i++) {
        states[i] = builder_state(b);
        builder_empty(b, states[i], to);
    }
    builder_empty(b, from, states[0]);
    if (stop.size)
        search(b, states, stop, 0);
    else
        builder_bytes(b, states[0], 0, GRAMMAR_CONTROL - 1, states[0]);
}

void builder_close(GrammarBuilder *b)
{
    mem_free(b->edges);
    mem_free(b->first);
    mem_free(b->rules);
    mem_free(b->names);
    mem_free(b->repeats.keys);
    mem_free(b->repeats.values);
    mem_free(b->shared.keys);
    mem_free(b->shared.values);
    *b = (GrammarBuilder){0};
}
