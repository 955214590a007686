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
};

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
    if (!run->nodes || !run->stamp || !run->configs || !run->members || !run->rows ||
        !run->node_table || !run->config_table || !run->work || !run->found) {
        run_close(&run);
        return bt_fail_memory(err, "a grammar's states",
                              (uint64_t)MAX_CONFIGS * g->n_classes * 4 + (16u << 20));
    }
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
    mem_free(run);
    *pointer = NULL;
}

/* ---- nodes and closures --------------------------------------------------------- */

static uint32_t mix(uint32_t a, uint32_t b)
{
    uint64_t h = ((uint64_t)a << 32 | b) * 0x9E3779B97F4A7C15u;
    return (uint32_t)(h >> 32) ^ (uint32_t)(h >> 13);
}

static uint32_t node_of(GrammarRun *run, uint32_t state, uint32_t parent)
{
    uint32_t at = mix(state, parent) & (NODE_TABLE - 1);
    for (; run->node_table[at]; at = (at + 1) & (NODE_TABLE - 1)) {
        const RunNode *node = &run->nodes[run->node_table[at]];
        if (node->state == state && node->parent == parent) return run->node_table[at];
    }
    if (run->n_nodes >= MAX_NODES) {
        run->full = true;
        return 0;
    }
    run->nodes[run->n_nodes] = (RunNode){state, parent, run->nodes[parent].depth + 1};
    run->stamp[run->n_nodes] = 0;
    return run->node_table[at] = run->n_nodes++;
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
    uint32_t at = hash & (CONFIG_TABLE - 1);
    for (; run->config_table[at]; at = (at + 1) & (CONFIG_TABLE - 1)) {
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
    return run->config_table[at] = run->n_configs++;
}

/* One step, and at once for all bytes that the same edges read: those around `byte` up to where an
 * edge begins or ends. */
uint32_t run_step(GrammarRun *run, uint32_t config, unsigned char byte)
{
    const Grammar *g = run->g;
    uint32_t *row = &run->rows[(size_t)config * g->n_classes];
    unsigned low = 0, high = 255;
    if (row[g->class_of[byte]] != RUN_UNKNOWN) return row[g->class_of[byte]];
    if (config == RUN_DEAD || run->full) return RUN_DEAD;
    begin(run);
    const RunConfig *c = &run->configs[config];
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
    if (run->full) return to;
    for (unsigned k = low; k <= high; k++) row[g->class_of[k]] = to;
    return to;
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

uint32_t run_plain(GrammarRun *run, uint32_t config)
{
    static const struct {
        unsigned lead, last, low, high;
        int more;
    } part[] = {{0xC2, 0xDF, 0x80, 0xBF, 0}, {0xE0, 0xE0, 0xA0, 0xBF, 1},
                {0xE1, 0xEC, 0x80, 0xBF, 1}, {0xED, 0xED, 0x80, 0x9F, 1},
                {0xEE, 0xEF, 0x80, 0xBF, 1}, {0xF0, 0xF0, 0x90, 0xBF, 2},
                {0xF1, 0xF3, 0x80, 0xBF, 2}, {0xF4, 0xF4, 0x80, 0x8F, 2}};
    if (config == RUN_DEAD) return RUN_DEAD;
    if (run->configs[config].plain != RUN_PLAIN_UNKNOWN) return run->configs[config].plain;
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

static uint32_t start_config(GrammarRun *run)
{
    begin(run);
    visit(run, node_of(run, run->g->start, 0));
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
    hold(run, state, start_config(run));
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
    for (uint32_t i = 1; i < run->n_nodes; i++) {
        uint32_t at = mix(run->nodes[i].state, run->nodes[i].parent) & (NODE_TABLE - 1);
        while (run->node_table[at]) at = (at + 1) & (NODE_TABLE - 1);
        run->node_table[at] = i;
    }
    for (uint32_t i = RUN_DEAD + 1; i < run->n_configs; i++) {
        uint32_t hash = run->configs[i].ends ? 77 : 3;
        for (uint32_t k = 0; k < run->configs[i].n; k++)
            hash = mix(hash, run->members[run->configs[i].first + k]);
        uint32_t at = hash & (CONFIG_TABLE - 1);
        while (run->config_table[at]) at = (at + 1) & (CONFIG_TABLE - 1);
        run->config_table[at] = i;
    }
    run->full = false;
    run->generation++;
    return true;
}
