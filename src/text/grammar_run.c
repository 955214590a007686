/* The automaton made while it is walked (see grammar_run.h). Sets of places are those of a
 * nondeterministic pushdown automaton over a shared tree of returns; a call in last position leaves
 * no return behind, so right recursion needs no depth. */
#include "text/grammar_run.h"

#include <string.h>

#include "base/mem.h"

enum {
    MAX_NODES = 1 << 18,
    NODE_TABLE = 1 << 19,
    MAX_MEMBERS = 1 << 20,
    MAX_CONFIGS = 1 << 15,
    CONFIG_TABLE = 1 << 16,
    /* Tables begin with this part in use: what is looked up at random lies together. */
    FIRST_NODES = 1 << 13,
    FIRST_CONFIGS = 1 << 12,
    TOUCHED = 256 << 10, /* bytes */
};

/* Memory that most texts use is given by the kernel when the grammar is opened, not page by page
 * under the first tokens. */
static void touch(void *memory, size_t size)
{
    memset(memory, 0, size < TOUCHED ? size : TOUCHED);
}

bt_status run_open(const Grammar *g, GrammarRun **out, bt_error *err)
{
    GrammarRun *run = mem_zalloc(1, sizeof *run);
    *out = NULL;
    if (!run) return bt_fail_memory(err, "a grammar's states", sizeof *run);
    run->g = g;
    run->max_configs = MAX_CONFIGS;
    run->nodes = mem_zalloc(MAX_NODES, sizeof *run->nodes);
    run->stamp = mem_zalloc(MAX_NODES, sizeof *run->stamp);
    run->configs = mem_zalloc(MAX_CONFIGS, sizeof *run->configs);
    run->members = mem_zalloc(MAX_MEMBERS, sizeof *run->members);
    run->rows = mem_zalloc((size_t)MAX_CONFIGS * g->n_classes, sizeof *run->rows);
    run->node_table = mem_zalloc(NODE_TABLE, sizeof *run->node_table);
    run->config_table = mem_zalloc(CONFIG_TABLE, sizeof *run->config_table);
    run->work = mem_zalloc(MAX_NODES, sizeof *run->work);
    run->found = mem_zalloc(MAX_NODES, sizeof *run->found);
    run->plain = mem_zalloc(g->n_states, sizeof *run->plain);
    run->state_reads = mem_zalloc(g->n_states, sizeof *run->state_reads);
    run->node_mask = FIRST_NODES - 1;
    run->config_mask = FIRST_CONFIGS - 1;
    if (!run->nodes || !run->stamp || !run->configs || !run->members || !run->rows ||
        !run->node_table || !run->config_table || !run->work || !run->found || !run->plain ||
        !run->state_reads) {
        run_close(&run);
        return bt_fail_memory(err, "a grammar's states",
                              (uint64_t)MAX_CONFIGS * g->n_classes * 4 + (16u << 20));
    }
    size_t rows = (size_t)MAX_CONFIGS * g->n_classes * sizeof *run->rows;
    touch(run->nodes, MAX_NODES * sizeof *run->nodes);
    touch(run->stamp, MAX_NODES * sizeof *run->stamp);
    touch(run->configs, MAX_CONFIGS * sizeof *run->configs);
    touch(run->members, MAX_MEMBERS * sizeof *run->members);
    for (size_t at = 0; at < rows && at < 4 * (size_t)TOUCHED; at += TOUCHED)
        touch((char *)run->rows + at, rows - at);
    touch(run->node_table, NODE_TABLE * sizeof *run->node_table);
    touch(run->config_table, CONFIG_TABLE * sizeof *run->config_table);
    touch(run->plain, g->n_states * sizeof *run->plain);
    touch(run->state_reads, g->n_states * sizeof *run->state_reads);
    touch(run->work, TOUCHED / 16);
    touch(run->found, TOUCHED / 16);
    for (unsigned c = 0; c < 256; c++) run->kinds[0][c] = byte_kind_bit(c);
    for (int i = 1; i < 8; i++)
        for (unsigned c = 0; c + (1u << i) <= 256; c++)
            run->kinds[i][c] = run->kinds[i - 1][c] | run->kinds[i - 1][c + (1u << (i - 1))];
    run->n_nodes = 1;
    run->n_configs = RUN_DEAD + 1;
    *out = run;
    return BT_OK;
}

void run_close(GrammarRun **pointer)
{
    GrammarRun *run = *pointer;
    if (!run) return;
    mem_free(run->nodes);
    mem_free(run->stamp);
    mem_free(run->configs);
    mem_free(run->members);
    mem_free(run->rows);
    mem_free(run->node_table);
    mem_free(run->config_table);
    mem_free(run->work);
    mem_free(run->found);
    mem_free(run->plain);
    mem_free(run->state_reads);
    mem_free(run);
    *pointer = NULL;
}

/* ---- nodes and closures --------------------------------------------------------- */

static uint32_t mix(uint32_t a, uint32_t b)
{
    uint64_t h = ((uint64_t)a << 32 | b) * 0x9E3779B97F4A7C15u;
    return (uint32_t)(h >> 32) ^ (uint32_t)(h >> 13);
}

static void list_nodes(GrammarRun *run)
{
    for (uint32_t i = 1; i < run->n_nodes; i++) {
        uint32_t at = mix(run->nodes[i].state, run->nodes[i].parent) & run->node_mask;
        while (run->node_table[at]) at = (at + 1) & run->node_mask;
        run->node_table[at] = i;
    }
}

static void list_configs(GrammarRun *run)
{
    for (uint32_t i = RUN_DEAD + 1; i < run->n_configs; i++) {
        uint32_t hash = run->configs[i].ends ? 77 : 3;
        for (uint32_t k = 0; k < run->configs[i].n; k++)
            hash = mix(hash, run->members[run->configs[i].first + k]);
        uint32_t at = hash & run->config_mask;
        while (run->config_table[at]) at = (at + 1) & run->config_mask;
        run->config_table[at] = i;
    }
}

/* Uses more of a table when it is half full. */
static void spread(GrammarRun *run)
{
    if (run->n_nodes > run->node_mask / 2 && run->node_mask < NODE_TABLE - 1) {
        memset(run->node_table, 0, (run->node_mask + 1) * sizeof *run->node_table);
        run->node_mask = run->node_mask * 2 + 1;
        list_nodes(run);
    }
    if (run->n_configs > run->config_mask / 2 && run->config_mask < CONFIG_TABLE - 1) {
        memset(run->config_table, 0, (run->config_mask + 1) * sizeof *run->config_table);
        run->config_mask = run->config_mask * 2 + 1;
        list_configs(run);
    }
}

static uint32_t node_of(GrammarRun *run, uint32_t state, uint32_t parent)
{
    uint32_t at = mix(state, parent) & run->node_mask;
    for (; run->node_table[at]; at = (at + 1) & run->node_mask) {
        const RunNode *node = &run->nodes[run->node_table[at]];
        if (node->state == state && node->parent == parent) return run->node_table[at];
    }
    if (run->n_nodes >= MAX_NODES) {
        run->full = true;
        return 0;
    }
    run->nodes[run->n_nodes] = (RunNode){state, parent, run->nodes[parent].depth + 1};
    run->stamp[run->n_nodes] = 0;
    uint32_t made = run->node_table[at] = run->n_nodes++;
    if (run->n_nodes > run->node_mask / 2) spread(run);
    return made;
}

static void visit(GrammarRun *run, uint32_t node)
{
    if (!node || run->stamp[node] == run->round) return;
    run->stamp[node] = run->round;
    const RunNode *n = &run->nodes[node];
    if (run->nodes[n->parent].depth + run->g->need[n->state] > GRAMMAR_MAX_DEPTH) return;
    run->visits++;
    run->work[run->n_work++] = node;
}

static void follow(GrammarRun *run, uint32_t node)
{
    const Grammar *g = run->g;
    uint32_t state = run->nodes[node].state, parent = run->nodes[node].parent;
    uint8_t flags = g->flags[state];
    if (flags & GRAMMAR_READS) run->found[run->n_found++] = node;
    if (flags & GRAMMAR_ENDS) {
        if (parent)
            visit(run, parent);
        else
            run->ends = true;
    }
    for (uint32_t e = g->first[state]; e < g->first[state + 1]; e++) {
        uint32_t label = g->edges[e].label, target = g->edges[e].target;
        if (label & GRAMMAR_EMPTY) {
            visit(run, node_of(run, target, parent));
        } else if (label & GRAMMAR_CALL) {
            uint32_t rule = g->rule[label & (GRAMMAR_CALL - 1)];
            uint32_t back = g->flags[target] & GRAMMAR_LAST ? parent : node_of(run, target, parent);
            if (back || !run->full) visit(run, node_of(run, rule, back));
        }
    }
}

static void begin(GrammarRun *run)
{
    if (++run->round == 0) { /* once in four billion steps */
        memset(run->stamp, 0, MAX_NODES * sizeof *run->stamp);
        run->round = 1;
    }
    run->n_work = run->n_found = 0;
    run->ends = false;
}

static void sift(uint32_t *a, size_t root, size_t n)
{
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && a[child] < a[child + 1]) child++;
        if (a[root] >= a[child]) return;
        uint32_t swap = a[root];
        a[root] = a[child];
        a[child] = swap;
    }
}

static void sort(uint32_t *a, size_t n)
{
    if (n < 24) {
        for (size_t i = 1; i < n; i++) {
            uint32_t x = a[i];
            size_t j = i;
            for (; j && a[j - 1] > x; j--) a[j] = a[j - 1];
            a[j] = x;
        }
        return;
    }
    for (size_t i = n / 2; i-- > 0;) sift(a, i, n);
    for (size_t i = n - 1; i > 0; i--) {
        uint32_t swap = a[0];
        a[0] = a[i];
        a[i] = swap;
        sift(a, 0, i);
    }
}

/* Numbers the set that the closure found. */
static uint32_t finish(GrammarRun *run)
{
    while (run->n_work && !run->full) follow(run, run->work[--run->n_work]);
    if (run->full) return RUN_DEAD;
    uint32_t n = run->n_found;
    if (n == 0 && !run->ends) return RUN_DEAD;
    sort(run->found, n);
    uint32_t hash = run->ends ? 77 : 3;
    for (uint32_t i = 0; i < n; i++) hash = mix(hash, run->found[i]);
    uint32_t at = hash & run->config_mask;
    for (; run->config_table[at]; at = (at + 1) & run->config_mask) {
        const RunConfig *c = &run->configs[run->config_table[at]];
        if (c->n == n && c->ends == run->ends &&
            memcmp(run->members + c->first, run->found, n * sizeof *run->found) == 0)
            return run->config_table[at];
    }
    if (run->n_configs >= run->max_configs || MAX_MEMBERS - run->n_members < n) {
        run->full = true;
        return RUN_DEAD;
    }
    memcpy(run->members + run->n_members, run->found, n * sizeof *run->found);
    run->configs[run->n_configs] = (RunConfig){.first = run->n_members, .n = n, .ends = run->ends};
    run->n_members += n;
    uint32_t made = run->config_table[at] = run->n_configs++;
    if (run->n_configs > run->config_mask / 2) spread(run);
    return made;
}

static void fill_row(GrammarRun *run, uint32_t config, unsigned low, unsigned high, uint32_t to)
{
    const Grammar *g = run->g;
    uint32_t *row = &run->rows[(size_t)config * g->n_classes];
    for (unsigned c = g->class_of[low]; c <= g->class_of[high]; c++) row[c] = to;
}

/* The step from a config of one place whose edges share no byte: at once for all that lead where
 * `byte` does. */
static uint32_t step_alone(GrammarRun *run, uint32_t config, unsigned char byte)
{
    const Grammar *g = run->g;
    const RunNode node = run->nodes[run->members[run->configs[config].first]];
    uint32_t end = g->first[node.state + 1], e = g->first[node.state];
    for (; e < end; e++) {
        uint32_t label = g->edges[e].label;
        if (label & (GRAMMAR_EMPTY | GRAMMAR_CALL)) continue;
        if (byte >= (label & 0xFF) && byte <= label >> 8) break;
    }
    if (e == end) return run->rows[(size_t)config * g->n_classes + g->class_of[byte]] = RUN_DEAD;
    uint32_t target = g->edges[e].target;
    begin(run);
    visit(run, node_of(run, target, node.parent));
    uint32_t to = finish(run);
    for (e = g->first[node.state]; e < end && !run->full; e++) {
        uint32_t label = g->edges[e].label;
        if (label & (GRAMMAR_EMPTY | GRAMMAR_CALL) || g->edges[e].target != target) continue;
        fill_row(run, config, label & 0xFF, label >> 8, to);
    }
    return to;
}

/* One step, and at once for all bytes that the same edges read: those around `byte` up to where an
 * edge begins or ends. */
uint32_t run_step(GrammarRun *run, uint32_t config, unsigned char byte)
{
    const Grammar *g = run->g;
    uint32_t *at = &run->rows[(size_t)config * g->n_classes + g->class_of[byte]];
    unsigned low = 0, high = 255;
    if (*at != RUN_UNKNOWN) return *at;
    if (config == RUN_DEAD || run->full) return RUN_DEAD;
    if (!(run_reads(run, config) & run->kinds[0][byte])) return *at = RUN_DEAD;
    const RunConfig *c = &run->configs[config];
    if (c->n == 1 && g->flags[run->nodes[run->members[c->first]].state] & GRAMMAR_APART)
        return step_alone(run, config, byte);
    begin(run);
    for (uint32_t i = 0; i < c->n; i++) {
        const RunNode node = run->nodes[run->members[c->first + i]];
        for (uint32_t e = g->first[node.state]; e < g->first[node.state + 1]; e++) {
            uint32_t label = g->edges[e].label, from = label & 0xFF, to = label >> 8;
            if (label & (GRAMMAR_EMPTY | GRAMMAR_CALL)) continue;
            if (byte < from) {
                if (from <= high) high = from - 1;
            } else if (byte > to) {
                if (to >= low) low = to + 1;
            } else {
                if (from > low) low = from;
                if (to < high) high = to;
                visit(run, node_of(run, g->edges[e].target, node.parent));
            }
        }
    }
    uint32_t to = finish(run);
    if (!run->full) fill_row(run, config, low, high, to);
    return to;
}

uint64_t run_state_reads(GrammarRun *run, uint32_t state)
{
    const Grammar *g = run->g;
    uint64_t kinds = run->state_reads[state];
    if (kinds) return kinds;
    for (uint32_t e = g->first[state]; e < g->first[state + 1]; e++) {
        uint32_t label = g->edges[e].label, low = label & 0xFF, high = label >> 8;
        if (label & (GRAMMAR_EMPTY | GRAMMAR_CALL)) continue;
        int power = 31 - __builtin_clz(high - low + 1);
        if (power > 7) power = 7;
        kinds |= run->kinds[power][low] | run->kinds[power][high + 1 - (1u << power)];
    }
    return run->state_reads[state] = kinds;
}

uint64_t run_reads(GrammarRun *run, uint32_t config)
{
    RunConfig *c = &run->configs[config];
    if (c->reads_known) return c->reads;
    uint64_t kinds = 0;
    for (uint32_t i = 0; i < c->n; i++)
        kinds |= run_state_reads(run, run->nodes[run->members[c->first + i]].state);
    c->reads = kinds;
    c->reads_known = true;
    return kinds;
}

/* ---- plain characters ----------------------------------------------------------- */

#define NOT_YET RUN_UNKNOWN

/* Config that all bytes of [low, high] lead to; `so_far` is what others led to (NOT_YET: none). */
static uint32_t same(GrammarRun *run, uint32_t config, unsigned low, unsigned high, uint32_t so_far)
{
    const uint8_t *class_of = run->g->class_of;
    for (unsigned c = low; c <= high && so_far != RUN_PLAIN_MIXED; c++) {
        if (c > low && class_of[c] == class_of[c - 1]) continue;
        uint32_t to = run_step(run, config, (unsigned char)c);
        if (so_far == NOT_YET)
            so_far = to;
        else if (to != so_far)
            so_far = RUN_PLAIN_MIXED;
    }
    return so_far;
}

/* The same over characters that begin with [lead, last], second byte from `low` to `high`, and
 * `more` bytes after that. */
static uint32_t same_after(GrammarRun *run, uint32_t config, unsigned lead, unsigned last,
                           unsigned low, unsigned high, int more, uint32_t so_far)
{
    uint32_t at = same(run, config, lead, last, NOT_YET);
    if (at == RUN_PLAIN_MIXED) return at;
    if (more == 0) return same(run, at, low, high, so_far);
    at = same(run, at, low, high, NOT_YET);
    for (int i = 1; i < more && at != RUN_PLAIN_MIXED; i++) at = same(run, at, 0x80, 0xBF, NOT_YET);
    return at == RUN_PLAIN_MIXED ? at : same(run, at, 0x80, 0xBF, so_far);
}

/* Characters of more than one byte, by their first: what the second may be, and how many of 0x80 to
 * 0xBF come after that. */
static const struct {
    unsigned lead, last, low, high;
    int more;
} part[] = {{0xC2, 0xDF, 0x80, 0xBF, 0}, {0xE0, 0xE0, 0xA0, 0xBF, 1}, {0xE1, 0xEC, 0x80, 0xBF, 1},
            {0xED, 0xED, 0x80, 0x9F, 1}, {0xEE, 0xEF, 0x80, 0xBF, 1}, {0xF0, 0xF0, 0x90, 0xBF, 2},
            {0xF1, 0xF3, 0x80, 0xBF, 2}, {0xF4, 0xF4, 0x80, 0x8F, 2}};

#define NOT_ASKED 0u

/* The state that all bytes of [low, high] lead to from `state`, given that `so_far` is what others
 * led to (NOT_ASKED: none). */
static uint32_t alone(const Grammar *g, uint32_t state, unsigned low, unsigned high,
                      uint32_t so_far)
{
    for (unsigned c = low, next; c <= high; c = next) {
        bool read = false;
        next = high + 1;
        for (uint32_t e = g->first[state]; e < g->first[state + 1]; e++) {
            uint32_t label = g->edges[e].label, to = g->edges[e].target + RUN_STATES;
            if (label & (GRAMMAR_EMPTY | GRAMMAR_CALL)) continue;
            if (c < (label & 0xFF) || c > label >> 8) {
                if (c < (label & 0xFF) && next > (label & 0xFF)) next = label & 0xFF;
                continue;
            }
            if (so_far != NOT_ASKED && so_far != to) return RUN_MANY_STATES;
            so_far = to;
            read = true;
            if (next > (label >> 8) + 1) next = (label >> 8) + 1;
        }
        if (!read) return RUN_MANY_STATES;
    }
    return so_far;
}

/* The same past one byte that led to `after` (a state + RUN_STATES), which does nothing else. */
static uint32_t alone_after(const Grammar *g, uint32_t after, unsigned low, unsigned high,
                            uint32_t so_far)
{
    if (after < RUN_STATES) return RUN_MANY_STATES;
    uint32_t state = after - RUN_STATES;
    if (g->flags[state] & GRAMMAR_ENDS) return RUN_MANY_STATES;
    for (uint32_t e = g->first[state]; e < g->first[state + 1]; e++)
        if (g->edges[e].label & (GRAMMAR_EMPTY | GRAMMAR_CALL)) return RUN_MANY_STATES;
    return alone(g, state, low, high, so_far);
}

/* Most strings are read by states that answer this by themselves, and many places by the same. */
uint32_t run_plain_state(GrammarRun *run, uint32_t state)
{
    const Grammar *g = run->g;
    if (run->plain[state] != NOT_ASKED) return run->plain[state];
    bool any = false;
    for (uint32_t e = g->first[state]; e < g->first[state + 1]; e++) {
        uint32_t label = g->edges[e].label, low = label & 0xFF, high = label >> 8;
        if (label & (GRAMMAR_EMPTY | GRAMMAR_CALL)) continue;
        if (high >= 0x20 && low <= 0xF4 && !(low == high && (low == '"' || low == '\\')) &&
            !(low >= 0x80 && high < 0xC2))
            any = true;
    }
    uint32_t to = RUN_NO_STATE;
    if (any) {
        to = alone(g, state, 0x20, 0x21, NOT_ASKED);
        if (to >= RUN_STATES) to = alone(g, state, 0x23, 0x5B, to);
        if (to >= RUN_STATES) to = alone(g, state, 0x5D, 0x7F, to);
        for (size_t i = 0; i < sizeof part / sizeof part[0] && to >= RUN_STATES; i++) {
            uint32_t at = alone(g, state, part[i].lead, part[i].last, NOT_ASKED);
            unsigned low = part[i].low, high = part[i].high;
            for (int more = part[i].more; more >= 0; more--, low = 0x80, high = 0xBF)
                at = alone_after(g, at, low, high, more ? NOT_ASKED : to);
            to = at;
        }
    }
    return run->plain[state] = to;
}

/* run_plain where each place answers by itself; false: one does not. */
static bool plain_alone(GrammarRun *run, uint32_t config, uint32_t *to)
{
    const RunConfig c = run->configs[config];
    begin(run);
    for (uint32_t i = 0; i < c.n; i++) {
        RunNode node = run->nodes[run->members[c.first + i]];
        uint32_t target = run_plain_state(run, node.state);
        if (target == RUN_MANY_STATES) return false;
        if (target >= RUN_STATES) visit(run, node_of(run, target - RUN_STATES, node.parent));
    }
    *to = run->n_work ? finish(run) : RUN_DEAD;
    return !run->full;
}

uint32_t run_plain(GrammarRun *run, uint32_t config)
{
    if (config == RUN_DEAD) return RUN_DEAD;
    if (run->configs[config].plain != RUN_PLAIN_UNKNOWN) return run->configs[config].plain;
    uint32_t all;
    if (!run->full && plain_alone(run, config, &all)) return run->configs[config].plain = all;
    uint32_t to = same(run, config, 0x20, 0x21, NOT_YET);
    to = same(run, config, 0x23, 0x5B, to);
    to = same(run, config, 0x5D, 0x7F, to);
    for (size_t i = 0; i < sizeof part / sizeof part[0] && to != RUN_PLAIN_MIXED; i++)
        to = same_after(run, config, part[i].lead, part[i].last, part[i].low, part[i].high,
                        part[i].more, to);
    if (run->full) return RUN_PLAIN_MIXED;
    run->configs[config].plain = to;
    return to;
}

/* ---- states ---------------------------------------------------------------------- */

uint32_t run_enter(GrammarRun *run, uint32_t state, uint32_t parent)
{
    if (run->full) return RUN_DEAD;
    begin(run);
    visit(run, node_of(run, state, parent));
    return finish(run);
}

static void hold(GrammarRun *run, RunState *state, uint32_t config)
{
    state->config = config;
    state->next = run->states;
    state->link = &run->states;
    if (state->next) state->next->link = &state->next;
    run->states = state;
}

void run_state_open(GrammarRun *run, RunState *state)
{
    run_collect(run);
    hold(run, state, run_enter(run, run->g->start, 0));
}

void run_state_copy(GrammarRun *run, RunState *to, const RunState *from)
{
    hold(run, to, from->config);
}

void run_state_close(RunState *state)
{
    if (!state->link) return;
    *state->link = state->next;
    if (state->next) state->next->link = state->link;
    *state = (RunState){0};
}

/* ---- forgetting -------------------------------------------------------------------- */

/* Keeps the configs of living states: they move to the front, and so do their members. `mark` has
 * a place for each config and is zero. */
static void keep_configs(GrammarRun *run, uint32_t *mark)
{
    for (RunState *s = run->states; s; s = s->next) mark[s->config] = 1;
    uint32_t n = RUN_DEAD + 1, n_members = 0;
    mark[RUN_DEAD] = RUN_DEAD;
    for (uint32_t i = n; i < run->n_configs; i++) {
        if (!mark[i]) continue;
        RunConfig c = run->configs[i];
        memmove(run->members + n_members, run->members + c.first, c.n * sizeof *run->members);
        run->configs[n] = (RunConfig){.first = n_members, .n = c.n, .ends = c.ends};
        n_members += c.n;
        mark[i] = n++;
    }
    for (RunState *s = run->states; s; s = s->next) s->config = mark[s->config];
    run->n_configs = n;
    run->n_members = n_members;
}

/* Keeps the nodes of the members and above; parents come before children, and keep doing so. */
static void keep_nodes(GrammarRun *run, uint32_t *mark)
{
    for (uint32_t i = 0; i < run->n_members; i++)
        for (uint32_t node = run->members[i]; node && !mark[node]; node = run->nodes[node].parent)
            mark[node] = 1;
    uint32_t n = 1;
    for (uint32_t i = 1; i < run->n_nodes; i++) {
        if (!mark[i]) continue;
        RunNode node = run->nodes[i];
        node.parent = mark[node.parent];
        run->nodes[n] = node;
        mark[i] = n++;
    }
    for (uint32_t i = 0; i < run->n_members; i++) run->members[i] = mark[run->members[i]];
    run->n_nodes = n;
}

bool run_collect(GrammarRun *run)
{
    bool roomy = run->n_nodes < MAX_NODES / 4 * 3 && run->n_members < MAX_MEMBERS / 4 * 3 &&
                 run->n_configs < run->max_configs / 4 * 3;
    if (roomy && !run->full) return false;
    uint32_t old = run->n_configs;
    memset(run->work, 0, MAX_NODES * sizeof *run->work);
    keep_configs(run, run->work);
    memset(run->work, 0, MAX_NODES * sizeof *run->work);
    keep_nodes(run, run->work);

    memset(run->rows, 0, (size_t)old * run->g->n_classes * sizeof *run->rows);
    memset(run->stamp, 0, MAX_NODES * sizeof *run->stamp);
    memset(run->node_table, 0, NODE_TABLE * sizeof *run->node_table);
    memset(run->config_table, 0, CONFIG_TABLE * sizeof *run->config_table);
    run->round = 0;
    list_nodes(run);
    list_configs(run);
    run->full = false;
    run->generation++;
    return true;
}
