/* Reading ECMA-262 patterns (see regex.h). First a tree in an array, with groups on a stack of our
 * own; then terms, each piece made together with all that follows it, so that look-ahead is an
 * "and" with what follows.
 *
 * \d and \w are ASCII as ECMA has them; \s and \S keep to the characters on which ECMA and other
 * engines agree, so that what is written under the pattern passes either. NUL is in no class. */
#include <string.h>

#include "base/hex.h"
#include "base/mem.h"
#include "text/regex_term.h"
#include "text/unicode.h"
#include "text/utf8.h"

enum { MAX_GROUPS = 200, MAX_MOST = 1000000 };

typedef enum NodeKind {
    NODE_EMPTY,
    NODE_CLASS,
    NODE_CAT,
    NODE_ALT,
    NODE_REPEAT,
    NODE_LOOK
} NodeKind;

typedef struct Node {
    uint8_t kind;
    bool looks;    /* holds a look-ahead */
    bool negative; /* look-ahead */
    uint32_t a, b; /* CLASS: a is the term */
    uint32_t least, most;
} Node;

typedef struct Group {
    uint32_t all, branch, last; /* alternatives before, this one, its last piece; 0: none */
    bool look, negative;
} Group;

typedef struct Task {
    uint32_t node; /* REPEAT, LOOK after their inside; ALT after its branches */
    RegexTerm rest;
    uint32_t n; /* ALT: branches */
    enum { TASK_MAKE, TASK_MAKE_BEFORE, TASK_FINISH } kind;
} Task;

typedef struct Parser {
    Regex *re;
    const char *begin, *p, *end;
    Node *nodes; /* nodes[0] is none */
    uint32_t n_nodes, node_capacity;
    Group groups[MAX_GROUPS];
    uint32_t n_groups;
    RegexRange *ranges;
    uint32_t n_ranges, range_capacity;
    Task *tasks;
    uint32_t n_tasks, task_capacity;
    RegexTerm *values;
    uint32_t n_values, value_capacity;
} Parser;

static bool wrong(Parser *p, const char *what)
{
    term_fail(p->re, BT_E_ARGUMENT, "at byte %zu: %s", (size_t)(p->p - p->begin), what);
    return false;
}

static bool unsupported(Parser *p, const char *what)
{
    term_fail(p->re, BT_E_UNSUPPORTED, "at byte %zu: %s is not supported",
              (size_t)(p->p - p->begin), what);
    return false;
}

static uint32_t add_node(Parser *p, Node node)
{
    if (!term_room(p->re, &p->nodes, p->n_nodes, 2, &p->node_capacity, sizeof *p->nodes)) return 0;
    if (p->n_nodes == 0) p->nodes[p->n_nodes++] = (Node){.kind = NODE_EMPTY};
    p->nodes[p->n_nodes] = node;
    return p->n_nodes++;
}

static uint32_t pair(Parser *p, NodeKind kind, uint32_t a, uint32_t b)
{
    if (!a || !b) return a ? a : b;
    bool looks = p->nodes[a].looks || p->nodes[b].looks;
    return add_node(p, (Node){.kind = (uint8_t)kind, .looks = looks, .a = a, .b = b});
}

/* ---- classes --------------------------------------------------------------------- */

static bool add_range(Parser *p, uint32_t low, uint32_t high)
{
    if (!term_room(p->re, &p->ranges, p->n_ranges, 1, &p->range_capacity, sizeof *p->ranges))
        return false;
    p->ranges[p->n_ranges++] = (RegexRange){low, high};
    return true;
}

/* Replaces ranges[from ..) by what they leave out of the characters a text may hold. */
static bool invert(Parser *p, uint32_t from)
{
    uint32_t n = ranges_tidy(p->ranges + from, p->n_ranges - from), free_from = 0;
    if (!term_room(p->re, &p->ranges, from, 2 * n + 1, &p->range_capacity, sizeof *p->ranges))
        return false;
    memmove(p->ranges + from + n + 1, p->ranges + from, n * sizeof *p->ranges);
    p->n_ranges = from;
    for (uint32_t i = 0; i < n; i++) {
        RegexRange r = p->ranges[from + n + 1 + i];
        if (r.low > free_from) p->ranges[p->n_ranges++] = (RegexRange){free_from, r.low - 1};
        free_from = r.high + 1;
    }
    if (free_from < REGEX_BEGIN)
        p->ranges[p->n_ranges++] = (RegexRange){free_from, REGEX_BEGIN - 1};
    return true;
}

/* \d \D \w \W \s \S; false: it is none of these. */
static bool named_class(Parser *p, char c)
{
    static const RegexRange digit[] = {{'0', '9'}},
                            word[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}},
                            space[] = {{9, 13},          {' ', ' '},       {0xA0, 0xA0},
                                       {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029},
                                       {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000},
                                       {0x1C, 0x1F},     {0x85, 0x85},     {0xFEFF, 0xFEFF}};
    const RegexRange *list;
    size_t n;
    switch (c | 0x20) {
    case 'd': list = digit, n = 1; break;
    case 'w': list = word, n = 4; break;
    case 's': list = space, n = c == 's' ? 9 : 12; break;
    default: return false;
    }
    uint32_t from = p->n_ranges;
    for (size_t i = 0; i < n; i++)
        if (!add_range(p, list[i].low, list[i].high)) return true;
    if (c < 'a') invert(p, from);
    return true;
}

/* \p{L} and its like, from our tables. */
static bool property(Parser *p, bool negated)
{
    static const struct {
        const char *name;
        unsigned mask;
    } known[] = {{"L", UC_LETTER}, {"Letter", UC_LETTER},     {"Ll", UC_LOWER},
                 {"N", UC_NUMBER}, {"Number", UC_NUMBER},     {"Nd", UC_DIGIT},
                 {"P", UC_PUNCT},  {"Punctuation", UC_PUNCT}, {"S", UC_SYMBOL},
                 {"M", UC_MARK},   {"Mark", UC_MARK}};
    const char *close =
        p->p < p->end && *p->p == '{' ? memchr(p->p, '}', (size_t)(p->end - p->p)) : NULL;
    if (!close) return wrong(p, "\\p needs a name in braces");
    Span name = {p->p + 1, (size_t)(close - p->p - 1)};
    unsigned mask = 0;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (span_is(name, known[i].name)) mask = known[i].mask;
    if (!mask) return unsupported(p, "this character property");
    uint32_t from = p->n_ranges;
    for (uint32_t c = 1, start = 0; c <= 0x110000; c++) {
        bool inside = c < 0x110000 && (unicode_class(c) & mask);
        if (inside && !start) start = c;
        if (!inside && start) {
            if (!add_range(p, start, c - 1)) return false;
            start = 0;
        }
    }
    p->p = close + 1;
    return !negated || invert(p, from);
}

static bool read_hex(Parser *p, int least, int most, uint32_t *out)
{
    int n = 0;
    *out = 0;
    for (; n < most && p->p < p->end; n++, p->p++) {
        int d = hex_digit(*p->p);
        if (d < 0) break;
        *out = *out << 4 | (uint32_t)d;
    }
    return n >= least || wrong(p, "hexadecimal digits are missing");
}

static bool unicode_escape(Parser *p, uint32_t *out)
{
    uint32_t low;
    if (p->p < p->end && *p->p == '{') {
        p->p++;
        if (!read_hex(p, 1, 6, out)) return false;
        if (p->p >= p->end || *p->p != '}') return wrong(p, "\\u{ is not closed");
        p->p++;
    } else {
        if (!read_hex(p, 4, 4, out)) return false;
        if (*out >= 0xD800 && *out <= 0xDBFF && p->end - p->p >= 6 && p->p[0] == '\\' &&
            p->p[1] == 'u') {
            p->p += 2;
            if (!read_hex(p, 4, 4, &low)) return false;
            if (low < 0xDC00 || low > 0xDFFF) return wrong(p, "half of a surrogate pair");
            *out = 0x10000 + ((*out & 0x3FF) << 10) + (low & 0x3FF);
        }
    }
    return *out <= 0x10FFFF || wrong(p, "no character has this number");
}

/* After a backslash: *one is a character, or *set: ranges were added. */
static bool read_escape(Parser *p, bool in_class, uint32_t *one, bool *set)
{
    size_t n;
    *set = false;
    if (p->p >= p->end) return wrong(p, "the pattern ends after a backslash");
    char c = *p->p;
    if (named_class(p, c)) {
        p->p++;
        *set = true;
        return p->re->status == BT_OK;
    }
    if (c == 'p' || c == 'P') {
        p->p++;
        *set = true;
        return property(p, c == 'P');
    }
    if (c >= '1' && c <= '9') return unsupported(p, "a back reference");
    if ((c == 'b' && !in_class) || c == 'B') return unsupported(p, "a word boundary");
    if (c == 'k' || c == 'c') return unsupported(p, "this escape");
    *one = utf8_next(p->p, (size_t)(p->end - p->p), &n);
    p->p += n;
    switch (c) {
    case 't': *one = '\t'; return true;
    case 'n': *one = '\n'; return true;
    case 'v': *one = '\v'; return true;
    case 'f': *one = '\f'; return true;
    case 'r': *one = '\r'; return true;
    case 'b': *one = '\b'; return true;
    case '0': *one = 0; return true;
    case 'x': return read_hex(p, 2, 2, one);
    case 'u': return unicode_escape(p, one);
    case 'Z':
    case 'A':
    case 'z': return p->p--, unsupported(p, "this escape");
    default: break;
    }
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return p->p--, wrong(p, "unknown escape");
    return true;
}

static bool class_item(Parser *p, uint32_t *one, bool *set)
{
    size_t n;
    *set = false;
    if (p->p >= p->end) return wrong(p, "a [ is not closed");
    if (*p->p == '\\') {
        p->p++;
        return read_escape(p, true, one, set);
    }
    *one = utf8_next(p->p, (size_t)(p->end - p->p), &n);
    p->p += n;
    return true;
}

static bool read_class(Parser *p, uint32_t *node)
{
    bool negated = p->p < p->end && *p->p == '^', set;
    uint32_t low, high;
    if (negated) p->p++;
    p->n_ranges = 0;
    while (p->p >= p->end || *p->p != ']') {
        if (!class_item(p, &low, &set)) return false;
        if (set) continue;
        high = low;
        if (p->end - p->p >= 2 && *p->p == '-' && p->p[1] != ']') {
            p->p++;
            if (!class_item(p, &high, &set)) return false;
            if (set) return wrong(p, "a range ends in a class");
            if (high < low) return wrong(p, "a range runs backwards");
        }
        if (!add_range(p, low, high)) return false;
    }
    p->p++;
    if (negated && !invert(p, 0)) return false;
    RegexTerm term = term_class(p->re, p->ranges, p->n_ranges);
    *node = add_node(p, (Node){.kind = NODE_CLASS, .a = term});
    return p->re->status == BT_OK;
}

/* ---- the tree ------------------------------------------------------------------------ */

static void put(Parser *p, uint32_t node)
{
    Group *g = &p->groups[p->n_groups - 1];
    g->branch = pair(p, NODE_CAT, g->branch, g->last);
    g->last = node;
}

static bool put_range(Parser *p, uint32_t low, uint32_t high)
{
    RegexRange r = {low, high};
    RegexTerm term = term_class(p->re, &r, 1);
    put(p, add_node(p, (Node){.kind = NODE_CLASS, .a = term}));
    return p->re->status == BT_OK;
}

static void end_branch(Parser *p)
{
    Group *g = &p->groups[p->n_groups - 1];
    uint32_t branch = pair(p, NODE_CAT, g->branch, g->last);
    if (!branch) branch = add_node(p, (Node){.kind = NODE_EMPTY});
    g->all = g->all ? pair(p, NODE_ALT, g->all, branch) : branch;
    g->branch = g->last = 0;
}

static bool open_group(Parser *p)
{
    Group g = {0};
    if (p->n_groups >= MAX_GROUPS) return wrong(p, "groups nest too deeply");
    if (p->end - p->p >= 2 && *p->p == '?') {
        char c = p->p[1];
        if (c == ':') {
            p->p += 2;
        } else if (c == '=' || c == '!') {
            g.look = true;
            g.negative = c == '!';
            p->p += 2;
        } else if (c == '<' && p->end - p->p >= 3 && p->p[2] != '=' && p->p[2] != '!') {
            while (p->p < p->end && *p->p != '>') p->p++;
            if (p->p >= p->end) return wrong(p, "the name of a group is not closed");
            p->p++;
        } else if (c == '<') {
            return unsupported(p, "look-behind");
        } else {
            return unsupported(p, "this kind of group");
        }
    }
    p->groups[p->n_groups++] = g;
    return true;
}

static bool close_group(Parser *p)
{
    if (p->n_groups == 1) return wrong(p, "a ) closes nothing");
    end_branch(p);
    Group g = p->groups[--p->n_groups];
    uint32_t node = g.all;
    if (g.look) {
        if (p->nodes[node].looks) return unsupported(p, "look-ahead within look-ahead");
        node = add_node(
            p, (Node){.kind = NODE_LOOK, .looks = true, .negative = g.negative, .a = node});
    }
    put(p, node);
    return true;
}

static bool read_number(Parser *p, uint32_t *out)
{
    const char *from = p->p;
    *out = 0;
    for (; p->p < p->end && *p->p >= '0' && *p->p <= '9'; p->p++) {
        *out = *out * 10 + (uint32_t)(*p->p - '0');
        if (*out > MAX_MOST) return wrong(p, "a count is larger than 1000000");
    }
    return p->p > from;
}

/* *, +, ?, {m,n}; false without an error: it is none, then { is a character. */
static bool read_count(Parser *p, uint32_t *least, uint32_t *most)
{
    const char *from = p->p;
    char c = *p->p++;
    *least = c == '+';
    *most = c == '?' ? 1 : REGEX_NO_LIMIT;
    if (c != '{') return true;
    if (read_number(p, least)) {
        *most = *least;
        if (p->p < p->end && *p->p == ',') {
            p->p++;
            if (!read_number(p, most)) *most = REGEX_NO_LIMIT;
        }
        if (p->p < p->end && *p->p == '}') {
            p->p++;
            return *least <= *most || wrong(p, "a count runs backwards");
        }
    }
    p->p = from;
    return false;
}

static bool repeat(Parser *p)
{
    Group *g = &p->groups[p->n_groups - 1];
    uint32_t least, most;
    if (!read_count(p, &least, &most)) {
        if (p->re->status != BT_OK) return false;
        p->p++;
        return put_range(p, '{', '{');
    }
    if (!g->last) return wrong(p, "nothing stands before this to be repeated");
    if (p->p < p->end && *p->p == '?') p->p++; /* lazy: the same texts */
    g->last = add_node(p, (Node){.kind = NODE_REPEAT,
                                 .looks = p->nodes[g->last].looks,
                                 .a = g->last,
                                 .least = least,
                                 .most = most});
    return true;
}

static bool read_piece(Parser *p)
{
    size_t n;
    bool set;
    uint32_t c, node;
    switch (*p->p) {
    case '(': p->p++; return open_group(p);
    case ')':
        if (!close_group(p)) return false;
        p->p++;
        return true;
    case '|': p->p++; return end_branch(p), true;
    case '*':
    case '+':
    case '?':
    case '{': return repeat(p);
    case '^': p->p++; return put_range(p, REGEX_BEGIN, REGEX_BEGIN);
    case '$': p->p++; return put_range(p, REGEX_END, REGEX_END);
    case '[':
        p->p++;
        if (!read_class(p, &node)) return false;
        put(p, node);
        return true;
    case '.':
    case '\\':
        p->n_ranges = 0;
        set = *p->p++ == '.';
        if (set) {
            if (!add_range(p, '\n', '\n') || !add_range(p, '\r', '\r') ||
                !add_range(p, 0x2028, 0x2029) || !invert(p, 0))
                return false;
        } else if (!read_escape(p, false, &c, &set)) {
            return false;
        }
        if (!set) return put_range(p, c, c);
        node =
            add_node(p, (Node){.kind = NODE_CLASS, .a = term_class(p->re, p->ranges, p->n_ranges)});
        put(p, node);
        return true;
    default: break;
    }
    c = utf8_next(p->p, (size_t)(p->end - p->p), &n);
    p->p += n;
    return put_range(p, c, c);
}

static uint32_t read_tree(Parser *p)
{
    p->n_groups = 1;
    while (p->p < p->end && p->re->status == BT_OK)
        if (!read_piece(p)) return 0;
    if (p->n_groups > 1 && p->re->status == BT_OK) wrong(p, "a ( is not closed");
    if (p->re->status != BT_OK) return 0;
    end_branch(p);
    return p->groups[0].all;
}

/* ---- from tree to terms ------------------------------------------------------------- */

static void task(Parser *p, Task t)
{
    if (term_room(p->re, &p->tasks, p->n_tasks, 1, &p->task_capacity, sizeof *p->tasks))
        p->tasks[p->n_tasks++] = t;
}

static void value(Parser *p, RegexTerm term)
{
    if (term_room(p->re, &p->values, p->n_values, 1, &p->value_capacity, sizeof *p->values))
        p->values[p->n_values++] = term;
}

static RegexTerm pop(Parser *p)
{
    return p->n_values ? p->values[--p->n_values] : REGEX_NOTHING;
}

/* A repetition with look-ahead inside: only "maybe once" can be taken apart. */
static void make_repeat(Parser *p, uint32_t id, const Node *n, RegexTerm rest)
{
    if (!n->looks) {
        task(p, (Task){.node = id, .rest = rest, .kind = TASK_FINISH});
        task(p, (Task){.node = n->a, .rest = REGEX_EMPTY});
    } else if (n->most == 1) {
        task(p, (Task){.node = id, .rest = rest, .n = n->least ? 1 : 2, .kind = TASK_FINISH});
        task(p, (Task){.node = n->a, .rest = rest});
    } else {
        term_fail(p->re, BT_E_UNSUPPORTED, "look-ahead inside a repetition is not supported");
    }
}

/* Puts the term of the node, followed by `rest`, on the stack of values, now or by tasks. */
static void make(Parser *p, uint32_t id, RegexTerm rest)
{
    Node n = p->nodes[id];
    uint32_t branches = 1;
    switch (n.kind) {
    case NODE_CLASS: value(p, term_cat(p->re, n.a, rest)); break;
    case NODE_CAT:
        task(p, (Task){.node = n.a, .kind = TASK_MAKE_BEFORE});
        task(p, (Task){.node = n.b, .rest = rest});
        break;
    case NODE_ALT:
        for (uint32_t at = id; p->nodes[at].kind == NODE_ALT; at = p->nodes[at].a) branches++;
        task(p, (Task){.node = id, .n = branches, .kind = TASK_FINISH});
        for (; p->nodes[id].kind == NODE_ALT; id = p->nodes[id].a)
            task(p, (Task){.node = p->nodes[id].b, .rest = rest});
        task(p, (Task){.node = id, .rest = rest});
        break;
    case NODE_REPEAT: make_repeat(p, id, &n, rest); break;
    case NODE_LOOK:
        task(p, (Task){.node = id, .rest = rest, .kind = TASK_FINISH});
        task(p, (Task){.node = n.a, .rest = REGEX_ALL});
        break;
    default: value(p, rest); break;
    }
}

static void finish(Parser *p, const Task *t)
{
    Node n = p->nodes[t->node];
    RegexTerm pair_of[2];
    if (n.kind == NODE_ALT) {
        RegexTerm made = term_alt(p->re, p->values + p->n_values - t->n, t->n);
        p->n_values -= t->n;
        value(p, made);
    } else if (n.kind == NODE_LOOK) {
        pair_of[0] = pop(p);
        if (n.negative) pair_of[0] = term_not(p->re, pair_of[0]);
        pair_of[1] = t->rest;
        value(p, term_and(p->re, pair_of, 2));
    } else if (n.looks) {
        pair_of[0] = pop(p);
        pair_of[1] = t->rest;
        value(p, term_alt(p->re, pair_of, t->n));
    } else {
        value(p, term_cat(p->re, term_repeat(p->re, pop(p), n.least, n.most), t->rest));
    }
}

static RegexTerm make_terms(Parser *p, uint32_t root)
{
    task(p, (Task){.node = root, .rest = REGEX_ALL});
    while (p->n_tasks && p->re->status == BT_OK) {
        Task t = p->tasks[--p->n_tasks];
        if (t.kind == TASK_FINISH)
            finish(p, &t);
        else
            make(p, t.node, t.kind == TASK_MAKE ? t.rest : pop(p));
    }
    return p->re->status == BT_OK ? pop(p) : REGEX_NOTHING;
}

RegexTerm regex_pattern(Regex *re, Span pattern)
{
    Parser *p = mem_zalloc(1, sizeof *p);
    RegexTerm term = REGEX_NOTHING;
    if (!p) return term_fail(re, BT_E_MEMORY, "not enough memory"), REGEX_NOTHING;
    p->re = re;
    p->begin = p->p = pattern.data;
    p->end = pattern.data + pattern.size;
    if (pattern.size > REGEX_MAX_TEXT)
        term_fail(re, BT_E_LIMIT, "it has %zu bytes, at most %u are read", pattern.size,
                  REGEX_MAX_TEXT);
    uint32_t root = re->status == BT_OK ? read_tree(p) : 0;
    if (root) term = term_cat(re, REGEX_ALL, make_terms(p, root));
    mem_free(p->nodes);
    mem_free(p->ranges);
    mem_free(p->tasks);
    mem_free(p->values);
    mem_free(p);
    return term;
}
