/* Steps from place to place (see grammar_place.h), and ways: places that many bytes lead through
 * alike. Only ASCII characters that stand for themselves in JSON strings count in those, so that
 * bytes are characters and TokenSet.up_to knows how many a token has. */
#include "text/grammar_place.h"

#include <string.h>

enum { STEP = 32 }; /* what a step not yet known costs, in nodes of a trie */
enum { MOST_TARGETS = 12 };

uint32_t place_begin(Places *p, GrammarRun *run, uint32_t config, uint64_t most, uint32_t left)
{
    const RunConfig *c = &run->configs[config];
    *p = (Places){.run = run, .most = run->visits + most, .left = left};
    if (c->n != 1) return config;
    RunNode node = run->nodes[run->members[c->first]];
    if (!(run->g->flags[node.state] & GRAMMAR_LEAN)) return config;
    p->parent = node.parent;
    p->room = GRAMMAR_MAX_DEPTH - run->nodes[node.parent].depth;
    return node.state | PLACE_LEAN;
}

static void spend(Places *p, uint32_t n)
{
    p->left -= p->left < n ? p->left : n;
    if (p->run->full || p->run->visits >= p->most) p->cut = true;
}

/* The place of a state that is entered where the first one stood. */
static uint32_t entered(Places *p, uint32_t state)
{
    GrammarRun *run = p->run;
    if (run->g->need[state] > p->room) return RUN_DEAD;
    if (run->g->flags[state] & GRAMMAR_LEAN) return state | PLACE_LEAN;
    uint32_t at = state % PLACE_LEFT;
    if (p->entered[at].state == state && p->entered[at].config) return p->entered[at].config;
    uint32_t config = run->visits < p->most ? run_enter(run, state, p->parent) : RUN_DEAD;
    p->entered[at].state = state;
    p->entered[at].config = config;
    spend(p, STEP);
    return config;
}

static uint32_t lean_step(Places *p, uint32_t state, uint8_t byte)
{
    const Grammar *g = p->run->g;
    const GrammarEdge *e = g->edges + g->first[state], *end = g->edges + g->first[state + 1];
    while (end - e > 8) { /* edges are sorted: the last that begins at or before the byte */
        const GrammarEdge *middle = e + (end - e) / 2;
        if ((middle->label & 0xFF) <= byte)
            e = middle;
        else
            end = middle;
    }
    for (; e < end && (e->label & 0xFF) <= byte; e++)
        if (byte <= e->label >> 8) return entered(p, e->target);
    return RUN_DEAD;
}

uint32_t place_step(Places *p, uint32_t from, uint8_t byte)
{
    GrammarRun *run = p->run;
    if (from & PLACE_LEAN) return lean_step(p, from & ~PLACE_LEAN, byte);
    uint32_t to = run->rows[(size_t)from * run->g->n_classes + run->g->class_of[byte]];
    if (to != RUN_UNKNOWN) return to;
    to = run->visits < p->most ? run_step(run, from, byte) : RUN_DEAD;
    spend(p, STEP);
    return to;
}

uint64_t place_reads(Places *p, uint32_t place)
{
    return place & PLACE_LEAN ? run_state_reads(p->run, place & ~PLACE_LEAN)
                              : run_reads(p->run, place);
}

/* ---- plain characters ---------------------------------------------------------------- */

/* The place that all plain characters lead to, RUN_DEAD or RUN_PLAIN_MIXED. */
static uint32_t plain_step(Places *p, uint32_t from)
{
    if (!(from & PLACE_LEAN))
        return p->run->visits < p->most ? run_plain(p->run, from) : RUN_PLAIN_MIXED;
    uint32_t to = run_plain_state(p->run, from & ~PLACE_LEAN);
    return to == RUN_NO_STATE      ? RUN_DEAD
           : to == RUN_MANY_STATES ? RUN_PLAIN_MIXED
                                   : entered(p, to - RUN_STATES);
}

bool place_plain(Places *p, uint32_t from, PlaceWay *way)
{
    way->at[0] = from;
    for (way->n = 0; way->n < TOKEN_SET_PLAIN; way->n++) {
        uint32_t to = plain_step(p, way->at[way->n]);
        if (to == RUN_PLAIN_MIXED) return true;
        if (to == RUN_DEAD) return false;
        way->at[way->n + 1] = to;
    }
    return false;
}

uint32_t place_free(Places *p, uint32_t from)
{
    PlaceString string;
    PlaceWay way;
    if (p->free_at == from) return p->free;
    p->free_at = from;
    if (from == (p->run->g->json_string | PLACE_LEAN)) return p->free = TOKEN_SET_PLAIN;
    if (!(from & PLACE_LEAN) && place_string(p, from, &string))
        return p->free = string.n < TOKEN_SET_PLAIN ? string.n : TOKEN_SET_PLAIN;
    return p->free = place_plain(p, from, &way) ? 0 : way.n;
}

/* ---- sets of bytes ------------------------------------------------------------------- */

/* Adds the bytes of [low, high] that count. */
static unsigned add_bytes(uint64_t bytes[2], unsigned low, unsigned high)
{
    static const uint64_t count[2] = {0xFFFFFFFB00000000u, 0x7FFFFFFFEFFFFFFFu};
    unsigned n = 0;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t part = count[i];
        if (high < 64 * i || low >= 64 * (i + 1)) continue;
        if (low > 64 * i) part &= UINT64_MAX << (low - 64 * i);
        if (high < 64 * i + 63) part &= UINT64_MAX >> (63 - (high - 64 * i));
        bytes[i] |= part;
        n += (unsigned)__builtin_popcountll(part);
    }
    return n;
}

/* What leads where, by runs of bytes that lead alike. */
typedef struct Targets {
    uint32_t to[MOST_TARGETS];
    uint64_t bytes[MOST_TARGETS][2];
    unsigned count[MOST_TARGETS], n, best;
} Targets;

static void add_target(Targets *t, uint32_t to, unsigned low, unsigned high)
{
    unsigned i = 0;
    while (i < t->n && t->to[i] != to) i++;
    if (i == MOST_TARGETS) return;
    if (i == t->n) {
        t->to[t->n++] = to;
        t->bytes[i][0] = t->bytes[i][1] = 0;
        t->count[i] = 0;
    }
    t->count[i] += add_bytes(t->bytes[i], low, high);
    if (t->count[i] > t->count[t->best]) t->best = i;
}

static void find_targets(Places *p, uint32_t from, Targets *t)
{
    const Grammar *g = p->run->g;
    t->n = t->best = 0;
    if (from & PLACE_LEAN) {
        uint32_t state = from & ~PLACE_LEAN;
        for (uint32_t e = g->first[state]; e < g->first[state + 1]; e++)
            if ((g->edges[e].label & 0xFF) < 0x7F)
                add_target(t, g->edges[e].target, g->edges[e].label & 0xFF, g->edges[e].label >> 8);
        return;
    }
    for (unsigned low = 0x20, high; low < 0x7F; low = high + 1) {
        for (high = low; high < 0x7E && g->class_of[high + 1] == g->class_of[low];) high++;
        if (low == '"' || low == '\\') continue; /* classes of their own */
        uint32_t to = place_step(p, from, (uint8_t)low);
        if (to != RUN_DEAD) add_target(t, to, low, high);
    }
}

/* Where all bytes of the set lead: RUN_DEAD: nowhere; RUN_PLAIN_MIXED: not all to one place. */
static uint32_t alike_lean(Places *p, uint32_t state, const uint64_t bytes[2])
{
    const Grammar *g = p->run->g;
    uint64_t read[2] = {0};
    uint32_t to = 0;
    bool some = false;
    for (uint32_t e = g->first[state]; e < g->first[state + 1]; e++) {
        uint64_t own[2] = {0};
        if ((g->edges[e].label & 0xFF) >= 0x7F) break;
        add_bytes(own, g->edges[e].label & 0xFF, g->edges[e].label >> 8);
        if (!(own[0] & bytes[0]) && !(own[1] & bytes[1])) continue;
        if (some && g->edges[e].target != to) return RUN_PLAIN_MIXED;
        to = g->edges[e].target;
        some = true;
        read[0] |= own[0];
        read[1] |= own[1];
    }
    if (!some) return RUN_DEAD;
    if ((bytes[0] & ~read[0]) || (bytes[1] & ~read[1])) return RUN_PLAIN_MIXED;
    return entered(p, to);
}

static uint32_t alike_step(Places *p, uint32_t from, const uint64_t bytes[2])
{
    const uint8_t *class_of = p->run->g->class_of;
    uint32_t to = RUN_UNKNOWN;
    if (from & PLACE_LEAN) return alike_lean(p, from & ~PLACE_LEAN, bytes);
    for (unsigned c = 0x20; c < 0x7F; c++) {
        if (!place_has(bytes, c)) continue;
        if (class_of[c] == class_of[c - 1] && place_has(bytes, c - 1)) continue;
        uint32_t one = place_step(p, from, (uint8_t)c);
        if (to != RUN_UNKNOWN && one != to) return RUN_PLAIN_MIXED;
        to = one;
    }
    return to;
}

/* Whether kinds of bytes are many bytes. */
static bool many(uint64_t kinds)
{
    const uint64_t letters = ((uint64_t)1 << 26) - 1, digits = (uint64_t)1 << 26;
    return 2 * __builtin_popcountll(kinds & letters) + (kinds & digits ? 10 : 0) +
               __builtin_popcountll(kinds & ~letters & ~digits) >=
           WAY_BYTES;
}

bool place_alike(Places *p, uint32_t from, PlaceWay *way)
{
    Targets t;
    if (p->run->visits >= p->most || !many(place_reads(p, from))) return false;
    find_targets(p, from, &t);
    if (!t.n || t.count[t.best] < WAY_BYTES) return false;
    memcpy(way->bytes, t.bytes[t.best], sizeof way->bytes);
    way->at[0] = from;
    way->at[1] = from & PLACE_LEAN ? entered(p, t.to[t.best]) : t.to[t.best];
    if (way->at[1] == RUN_DEAD) return false;
    for (way->n = 1; way->n < TOKEN_SET_ALIKE; way->n++) {
        uint32_t at = way->at[way->n], to = at;
        if (p->run->visits >= p->most) return false;
        if (at != way->at[way->n - 1]) to = alike_step(p, at, way->bytes);
        if (to == RUN_PLAIN_MIXED) return false;
        if (to == RUN_DEAD) break;
        way->at[way->n + 1] = to;
    }
    return !p->run->full;
}

bool place_widens(Places *p, const PlaceWay *way)
{
    PlaceWay next;
    if (way->at[1] == way->at[0] || !place_alike(p, way->at[1], &next)) return false;
    return __builtin_popcountll(next.bytes[0]) + __builtin_popcountll(next.bytes[1]) >
           2 * (__builtin_popcountll(way->bytes[0]) + __builtin_popcountll(way->bytes[1]));
}

/* ---- JSON strings --------------------------------------------------------------------- */

/* A state that reads nothing but the closing quote: where that leads, 0: it is another. */
static uint32_t quote_of(const Grammar *g, uint32_t state)
{
    uint32_t e = g->first[state];
    bool alone = g->first[state + 1] == e + 1 && !(g->flags[state] & GRAMMAR_ENDS);
    return alone && g->edges[e].label == ('"' | '"' << 8) ? g->edges[e].target : 0;
}

/* A state between characters of a counted string: the state after one more (`next`, 0: there are no
 * more), and where the closing quote leads that may come instead (`quote`, 0: none). False: it is
 * no such state. */
static bool between(const Grammar *g, uint32_t state, uint32_t *next, uint32_t *quote)
{
    *next = 0;
    if ((*quote = quote_of(g, state)) != 0) return true;
    if (g->flags[state] & (GRAMMAR_ENDS | GRAMMAR_READS)) return false;
    for (uint32_t e = g->first[state]; e < g->first[state + 1]; e++) {
        uint32_t label = g->edges[e].label, target = g->edges[e].target;
        if (label & GRAMMAR_EMPTY) {
            if (*quote || !(*quote = quote_of(g, target))) return false;
        } else {
            if (*next || g->rule[label & (GRAMMAR_CALL - 1)] != g->json_char) return false;
            *next = target;
        }
    }
    return *next != 0;
}

/* Follows a counted string from the state after its next character. `first`: where a quote leads
 * that may come at once, 0: none may. */
static bool follow(Places *p, uint32_t state, uint32_t parent, uint32_t first, PlaceString *out)
{
    const Grammar *g = p->run->g;
    uint32_t depth = p->run->nodes[parent].depth, after = first;
    out->closes = first != 0;
    for (out->n = 1;; out->n++) {
        uint32_t next, quote;
        if (!between(g, state, &next, &quote)) return false;
        if (g->need[state] + depth + 2 > GRAMMAR_MAX_DEPTH) return false;
        if (quote && after && quote != after) return false;
        if (quote) after = quote;
        bool endless = next == state;
        if (quote && out->n < 64) out->closes |= (endless ? UINT64_MAX : 1) << out->n;
        if (endless) out->n = PLACE_LONG;
        if (!next || out->n == PLACE_LONG) break;
        state = next;
    }
    out->after = after ? run_enter(p->run, after, parent) : RUN_DEAD;
    spend(p, STEP);
    return !p->cut;
}

bool place_string(Places *p, uint32_t config, PlaceString *out)
{
    GrammarRun *run = p->run;
    const Grammar *g = run->g;
    const RunConfig *c = &run->configs[config];
    uint32_t quote = 0, parent = 0, i;
    if (c->n == 0 || c->n > 2 || run->full) return false;
    for (i = 0; i < c->n; i++) {
        RunNode node = run->nodes[run->members[c->first + i]];
        if (node.state == g->json_char && g->json_char) break;
        if (node.state != g->json_string || !g->json_string || c->n != 1) continue;
        *out = (PlaceString){PLACE_LONG, UINT64_MAX, place_step(p, config, '"')};
        return !p->cut;
    }
    if (i == c->n) return false;
    RunNode back = run->nodes[run->nodes[run->members[c->first + i]].parent];
    if (c->n == 2) {
        RunNode other = run->nodes[run->members[c->first + 1 - i]];
        quote = quote_of(g, other.state);
        parent = other.parent;
        if (!quote || parent != back.parent) return false;
    }
    return follow(p, back.state, back.parent, quote, out);
}
