/* Checking a grammar and packing it (see grammar.h): which states can still end and how deep calls
 * must nest for that, left recursion, classes of bytes. Every pass is linear in the edges, so that
 * the largest grammar the limits allow takes well under a second. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/grammar.h"

enum { NEVER = 0xFFFF, MOST_NAMES = 6 };

typedef struct Finish {
    GrammarBuilder *b;
    uint16_t *need;     /* of a state; NEVER: it cannot end */
    uint32_t *in_first; /* edges into a state, then edges that call its rule: CSR */
    uint32_t *in_edge;
    uint32_t *source;  /* state that an edge leaves */
    uint32_t *rule_at; /* rule + 1 that starts at a state */
    uint8_t *nullable; /* rule can read nothing */
    uint8_t *nothing;  /* state: the end can be reached reading nothing */
    uint8_t *is_end;   /* state: the last of a rule */
    uint32_t *next;    /* list of a bucket */
    uint32_t bucket[GRAMMAR_MAX_DEPTH + 1];
    bool too_deep;
} Finish;

static bool finish_open(Finish *f, GrammarBuilder *b)
{
    size_t states = b->n_states + 1, edges = b->n_edges + 1;
    size_t more = states > edges ? states : edges;
    f->b = b;
    f->need = mem_alloc(states * sizeof *f->need);
    f->in_first = mem_zalloc(states + 1, sizeof *f->in_first);
    f->in_edge = mem_alloc(2 * edges * sizeof *f->in_edge);
    f->source = mem_zalloc(edges, sizeof *f->source);
    f->rule_at = mem_zalloc(states, sizeof *f->rule_at);
    f->nullable = mem_zalloc(b->n_rules + 1, 1);
    f->nothing = mem_zalloc(states, 1);
    f->is_end = mem_zalloc(states, 1);
    f->next = mem_alloc(more * sizeof *f->next);
    return f->need && f->in_first && f->in_edge && f->source && f->rule_at && f->nullable &&
           f->nothing && f->is_end && f->next;
}

static void finish_close(Finish *f)
{
    mem_free(f->need);
    mem_free(f->in_first);
    mem_free(f->in_edge);
    mem_free(f->source);
    mem_free(f->rule_at);
    mem_free(f->nullable);
    mem_free(f->nothing);
    mem_free(f->is_end);
    mem_free(f->next);
}

static bool is_call(uint32_t label)
{
    return (label & (GRAMMAR_CALL | GRAMMAR_EMPTY)) == GRAMMAR_CALL;
}

static uint32_t called(const GrammarBuilder *b, uint32_t label)
{
    return b->rules[label & (GRAMMAR_CALL - 1)].start;
}

/* Lists, for each state, the edges that wait for it: those that lead to it and those that call
 * the rule it starts. */
static void list_edges(Finish *f)
{
    const GrammarBuilder *b = f->b;
    for (uint32_t s = 1; s < b->n_states; s++)
        for (uint32_t e = b->first[s]; e; e = b->edges[e].next) {
            f->source[e] = s;
            f->in_first[b->edges[e].target + 1]++;
            if (is_call(b->edges[e].label)) f->in_first[called(b, b->edges[e].label) + 1]++;
        }
    for (uint32_t s = 0; s < b->n_states; s++) f->in_first[s + 1] += f->in_first[s];
    for (uint32_t e = 1; e < b->n_edges; e++) {
        if (!f->source[e]) continue;
        f->in_edge[f->in_first[b->edges[e].target]++] = e;
        if (is_call(b->edges[e].label)) f->in_edge[f->in_first[called(b, b->edges[e].label)]++] = e;
    }
    for (uint32_t s = b->n_states; s > 0; s--) f->in_first[s] = f->in_first[s - 1];
    f->in_first[0] = 0;
}

/* What is needed at the source of an edge to end by it; NEVER while it is not known. */
static unsigned need_of(const Finish *f, const BuilderEdge *e)
{
    unsigned need = f->need[e->target];
    if (!is_call(e->label)) return need;
    unsigned inner = f->need[called(f->b, e->label)];
    if (need == NEVER || inner == NEVER) return NEVER;
    if (f->is_end[e->target]) return inner; /* the call takes the place of this rule */
    return inner + 1 > need ? inner + 1 : need;
}

/* Knuth's generalisation of Dijkstra's algorithm (1977): states leave in the order of their need,
 * found through lists by need; the items of the lists are edges. */
static void find_needs(Finish *f)
{
    const GrammarBuilder *b = f->b;
    memset(f->need, 0xFF, (b->n_states + 1) * sizeof *f->need);
    uint32_t *work = f->next; /* a list is a chain through the edges; 0 ends it */
    for (uint32_t r = 0; r < b->n_rules; r++) {
        f->need[b->rules[r].end] = 0;
        f->is_end[b->rules[r].end] = 1;
    }
    for (unsigned level = 0; level <= GRAMMAR_MAX_DEPTH; level++) {
        /* The first round starts from all ends, the others from the edges that waited. */
        uint32_t at = f->bucket[level], ends = level ? b->n_rules : 0;
        f->bucket[level] = 0;
        for (;;) {
            uint32_t state;
            if (ends < b->n_rules) {
                state = b->rules[ends++].end;
            } else if (at) {
                state = f->source[at];
                at = work[at];
                if (f->need[state] != NEVER) continue;
                f->need[state] = (uint16_t)level;
            } else if (f->bucket[level]) {
                at = f->bucket[level];
                f->bucket[level] = 0;
                continue;
            } else {
                break;
            }
            for (uint32_t i = f->in_first[state]; i < f->in_first[state + 1]; i++) {
                uint32_t e = f->in_edge[i];
                unsigned need = need_of(f, &b->edges[e]);
                if (need == NEVER || f->need[f->source[e]] != NEVER) continue;
                if (need > GRAMMAR_MAX_DEPTH) {
                    f->too_deep = true;
                    continue;
                }
                /* An edge whose target and rule are both ready is put in a list once: when the
                 * second of them became so (or twice when both are one state, harmlessly: it is
                 * then in the same list and its source is done). */
                if (is_call(b->edges[e].label) && called(b, b->edges[e].label) == state &&
                    b->edges[e].target == state && i + 1 < f->in_first[state + 1] &&
                    f->in_edge[i + 1] == e)
                    continue;
                work[e] = f->bucket[need];
                f->bucket[need] = e;
            }
        }
    }
}

/* ---- left recursion ---------------------------------------------------------- */

/* Which states reach their rule's end without reading: backwards from the ends, a call joining in
 * when its rule does. */
static void find_nothing(Finish *f)
{
    const GrammarBuilder *b = f->b;
    uint32_t n = 0, *work = f->next;
    for (uint32_t r = 0; r < b->n_rules; r++)
        if (!f->nothing[b->rules[r].end]) f->nothing[work[n++] = b->rules[r].end] = 1;
    while (n) {
        uint32_t state = work[--n];
        for (uint32_t i = f->in_first[state]; i < f->in_first[state + 1]; i++) {
            const BuilderEdge *e = &b->edges[f->in_edge[i]];
            uint32_t source = f->source[f->in_edge[i]];
            if (f->nothing[source] || !(e->label & (GRAMMAR_EMPTY | GRAMMAR_CALL))) continue;
            if (is_call(e->label) && !(f->nothing[called(b, e->label)] && f->nothing[e->target]))
                continue;
            f->nothing[work[n++] = source] = 1;
        }
    }
    for (uint32_t r = 0; r < b->n_rules; r++) f->nullable[r] = f->nothing[b->rules[r].start];
}

typedef struct LeftWalk {
    uint32_t *state, *edge; /* a stack of states and the edge each goes on with */
    uint8_t *seen;          /* 1: on the stack, 2: done */
    uint32_t n;
} LeftWalk;

static bool usable(const Finish *f, uint32_t e)
{
    return need_of(f, &f->b->edges[e]) != NEVER;
}

static bt_status say_cycle(const Finish *f, const LeftWalk *w, uint32_t again, bt_error *err)
{
    const GrammarBuilder *b = f->b;
    char names[512] = "";
    size_t used = 0;
    int n = 0;
    uint32_t from = w->n;
    while (from > 0 && w->state[from - 1] != again) from--;
    for (uint32_t i = from ? from - 1 : 0; i < w->n && n < MOST_NAMES; i++) {
        uint32_t r = f->rule_at[w->state[i]];
        if (!r || !b->rules[r - 1].name_size) continue;
        if (used + b->rules[r - 1].name_size + 5 > sizeof names) break;
        if (n++) memcpy(names + used, " -> ", 4), used += 4;
        memcpy(names + used, b->names + b->rules[r - 1].name, b->rules[r - 1].name_size);
        used += b->rules[r - 1].name_size;
    }
    return bt_fail(err, BT_E_ARGUMENT,
                   "left recursion: a rule calls itself before it has read anything (%s); write "
                   "it as a repetition",
                   n ? names : "a repetition of nothing");
}

/* Follows what can be reached without reading, through calls; a way back to a state that is still
 * on the stack by a call is left recursion. Empty loops within a rule are harmless: only the start
 * of a rule being on the stack counts. */
static bt_status walk_left(const Finish *f, LeftWalk *w, uint32_t root, bt_error *err)
{
    const GrammarBuilder *b = f->b;
    w->n = 0;
    w->state[w->n] = root;
    w->edge[w->n++] = b->first[root];
    w->seen[root] = 1;
    while (w->n) {
        uint32_t *e = &w->edge[w->n - 1];
        if (!*e) {
            w->seen[w->state[--w->n]] = 2;
            continue;
        }
        const BuilderEdge *edge = &b->edges[*e];
        uint32_t goal = 0;
        bool call = is_call(edge->label);
        if (!(edge->label & (GRAMMAR_EMPTY | GRAMMAR_CALL)) || !usable(f, *e)) {
            *e = edge->next;
            continue;
        }
        /* A call is looked at twice: into the rule, and past it when it can be empty. */
        uint32_t rule = call ? edge->label & (GRAMMAR_CALL - 1) : 0;
        if (call && w->seen[b->rules[rule].start] == 1)
            return say_cycle(f, w, b->rules[rule].start, err);
        if (call && !w->seen[b->rules[rule].start])
            goal = b->rules[rule].start;
        else if ((!call || f->nullable[rule]) && !w->seen[edge->target])
            goal = edge->target;
        if (!goal) {
            *e = edge->next;
            continue;
        }
        w->state[w->n] = goal;
        w->edge[w->n++] = b->first[goal];
        w->seen[goal] = 1;
    }
    return BT_OK;
}

static bt_status check_left(const Finish *f, bt_error *err)
{
    const GrammarBuilder *b = f->b;
    size_t n = b->n_states + 1;
    LeftWalk w = {mem_alloc(n * 4), mem_alloc(n * 4), mem_zalloc(n, 1), 0};
    bt_status status = BT_OK;
    bool room = w.state && w.edge && w.seen;
    if (!room) status = bt_fail_memory(err, "checking a grammar", n * 9);
    for (uint32_t r = 0; room && r < b->n_rules && status == BT_OK; r++)
        if (!w.seen[b->rules[r].start] && f->need[b->rules[r].start] != NEVER)
            status = walk_left(f, &w, b->rules[r].start, err);
    mem_free(w.state);
    mem_free(w.edge);
    mem_free(w.seen);
    return status;
}

/* ---- packing ------------------------------------------------------------------ */

/* Bytes that no edge tells apart share a class. Borders of JSON text and of UTF-8 are always kept:
 * the masks (token_mask.c) ask about "any plain character". */
static void classes(const GrammarBuilder *b, Grammar *g)
{
    static const uint8_t always[] = {0x20, 0x22, 0x23, 0x5C, 0x5D, 0x80, 0x90, 0xA0, 0xC0, 0xC2,
                                     0xE0, 0xE1, 0xED, 0xEE, 0xF0, 0xF1, 0xF4, 0xF5, 0xFF};
    uint8_t border[257] = {0};
    for (size_t i = 0; i < sizeof always; i++) border[always[i]] = 1;
    for (uint32_t e = 1; e < b->n_edges; e++) {
        uint32_t label = b->edges[e].label;
        if (label & (GRAMMAR_EMPTY | GRAMMAR_CALL)) continue;
        border[label & 0xFF] = 1;
        border[(label >> 8 & 0xFF) + 1] = 1;
    }
    for (unsigned c = 0; c < 256; c++) {
        if (border[c] && c) g->n_classes++;
        if (c == 0 || border[c]) g->example[g->n_classes] = (uint8_t)c;
        g->class_of[c] = (uint8_t)g->n_classes;
    }
    g->n_classes++;
}

/* The state that a chain of single empty edges ends in. */
static uint32_t resolve(const Finish *f, uint32_t state)
{
    const GrammarBuilder *b = f->b;
    for (int hops = 0; hops < 64; hops++) {
        uint32_t e = b->first[state], only = 0;
        for (; e; e = b->edges[e].next) {
            if (!usable(f, e)) continue;
            if (only || !(b->edges[e].label & GRAMMAR_EMPTY)) return state;
            only = e;
        }
        if (!only) return state;
        state = b->edges[only].target;
    }
    return state;
}

static bool reads_apart(const Grammar *g, uint32_t state)
{
    uint64_t read[4] = {0};
    for (uint32_t e = g->first[state]; e < g->n_edges; e++) {
        uint32_t label = g->edges[e].label, low = label & 0xFF, high = label >> 8;
        if (label & (GRAMMAR_EMPTY | GRAMMAR_CALL)) continue;
        for (uint32_t i = 0; i < 4; i++) {
            uint64_t part = UINT64_MAX;
            if (high < 64 * i || low >= 64 * (i + 1)) continue;
            if (low > 64 * i) part &= UINT64_MAX << (low - 64 * i);
            if (high < 64 * i + 63) part &= UINT64_MAX >> (63 - (high - 64 * i));
            if (read[i] & part) return false;
            read[i] |= part;
        }
    }
    return true;
}

static int by_label(const void *left, const void *right)
{
    const GrammarEdge *a = left, *b = right;
    return (int)(a->label & 0xFF) - (int)(b->label & 0xFF);
}

/* A state of which all edges read bytes, apart; they are sorted. */
static void make_lean(Grammar *g, uint32_t state)
{
    uint32_t n = g->n_edges - g->first[state];
    GrammarEdge *edges = g->edges + g->first[state];
    bool sorted = true;
    if ((g->flags[state] & (GRAMMAR_READS | GRAMMAR_APART | GRAMMAR_ENDS)) !=
        (GRAMMAR_READS | GRAMMAR_APART))
        return;
    for (uint32_t i = 0; i < n; i++) {
        if (edges[i].label & (GRAMMAR_EMPTY | GRAMMAR_CALL)) return;
        sorted = sorted && (!i || (edges[i - 1].label & 0xFF) < (edges[i].label & 0xFF));
    }
    g->flags[state] |= GRAMMAR_LEAN;
    if (!sorted) qsort(edges, n, sizeof *edges, by_label);
}

static bool pack(const Finish *f, uint32_t root, Grammar *g)
{
    const GrammarBuilder *b = f->b;
    g->n_states = b->n_states;
    g->n_rules = b->n_rules;
    g->first = mem_alloc((b->n_states + 1) * sizeof *g->first);
    g->edges = mem_alloc((b->n_edges + 1) * sizeof *g->edges);
    g->rule = mem_alloc((b->n_rules + 1) * sizeof *g->rule);
    g->need = mem_alloc(b->n_states * sizeof *g->need);
    g->flags = mem_zalloc(b->n_states, 1);
    if (!g->first || !g->edges || !g->rule || !g->need || !g->flags) return false;
    memcpy(g->need, f->need, b->n_states * sizeof *g->need);
    for (uint32_t r = 0; r < b->n_rules; r++) {
        g->rule[r] = resolve(f, b->rules[r].start);
        g->flags[b->rules[r].end] |= GRAMMAR_ENDS | GRAMMAR_LAST;
    }
    g->start = g->rule[root];
    for (uint32_t s = 0; s < b->n_states; s++) {
        g->first[s] = g->n_edges;
        for (uint32_t e = b->first[s]; e; e = b->edges[e].next) {
            if (!usable(f, e)) continue;
            if (!(b->edges[e].label & (GRAMMAR_EMPTY | GRAMMAR_CALL))) g->flags[s] |= GRAMMAR_READS;
            g->edges[g->n_edges++] =
                (GrammarEdge){b->edges[e].label, resolve(f, b->edges[e].target)};
        }
        if (reads_apart(g, s)) g->flags[s] |= GRAMMAR_APART;
        make_lean(g, s);
    }
    g->first[b->n_states] = g->n_edges;
    g->json_string = b->json_string;
    g->json_char = b->json_char;
    classes(b, g);
    return true;
}

void grammar_close(Grammar **grammar)
{
    if (!grammar || !*grammar) return;
    Grammar *g = *grammar;
    mem_free(g->first);
    mem_free(g->edges);
    mem_free(g->rule);
    mem_free(g->need);
    mem_free(g->flags);
    mem_free(g);
    *grammar = NULL;
}

bt_status grammar_finish(GrammarBuilder *b, uint32_t root, Grammar **out, bt_error *err)
{
    Finish f = {0};
    Grammar *g = NULL;
    bt_status status = BT_OK;
    *out = NULL;
    if (b->no_memory) return bt_fail_memory(err, "a grammar", (uint64_t)b->n_states * 16);
    if (b->too_large)
        return bt_fail(err, BT_E_LIMIT,
                       "the grammar is too large: at most %u states, %u edges and %u rules",
                       GRAMMAR_MAX_STATES, GRAMMAR_MAX_EDGES, GRAMMAR_MAX_RULES);
    if (root >= b->n_rules) return bt_fail(err, BT_E_ARGUMENT, "the grammar has no rules");
    if (!finish_open(&f, b) || !(g = mem_zalloc(1, sizeof *g))) goto no_memory;
    for (uint32_t r = 0; r < b->n_rules; r++) f.rule_at[b->rules[r].start] = r + 1;
    list_edges(&f);
    find_needs(&f);
    if (f.need[b->rules[root].start] == NEVER) {
        status = f.too_deep ? bt_fail(err, BT_E_LIMIT, "no text can end within %u nested calls",
                                      GRAMMAR_MAX_DEPTH)
                            : bt_fail(err, BT_E_ARGUMENT, "no text at all is allowed by it");
        goto done;
    }
    find_nothing(&f);
    status = check_left(&f, err);
    if (status != BT_OK) goto done;
    if (!pack(&f, root, g)) goto no_memory;
    *out = g;
    g = NULL;
    goto done;
no_memory:
    status = bt_fail_memory(err, "a grammar", (uint64_t)b->n_edges * 32);
done:
    grammar_close(&g);
    finish_close(&f);
    return status;
}
