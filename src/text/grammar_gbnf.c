/* Reading GBNF (see grammar_gbnf.h). Groups are kept on a stack of our own; each piece between two
 * states is linked to what stands before it once its repetition, if any, is known. */
#include "text/grammar_gbnf.h"

#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/mem.h"
#include "text/schema.h"
#include "text/utf8.h"

typedef struct Name {
    Span text;
    uint32_t rule;
    const char *used; /* where it was named first */
    bool defined;
} Name;

typedef struct Group {
    uint32_t start, end; /* of all alternatives */
    uint32_t at;         /* end of what was linked in this alternative */
    BuilderPiece last;   /* not linked yet */
    bool pending;
    const char *open;
} Group;

typedef struct Range {
    uint32_t low, high;
} Range;

typedef struct Gbnf {
    GrammarBuilder *b;
    const char *begin, *p, *end;
    bt_error *err;
    Name *names;
    size_t n_names, name_capacity;
    uint32_t *table; /* name + 1 by hash */
    uint32_t mask;
    Group *groups;
    size_t n_groups, group_capacity;
    Range *ranges;
    size_t n_ranges, range_capacity;
    Buf text; /* of a literal */
    bt_status status;
} Gbnf;

static bool fail_at(Gbnf *g, const char *where, const char *what)
{
    size_t line = 1, column = 1;
    if (g->status != BT_OK) return false;
    for (const char *p = g->begin; p < where; p++) {
        column = *p == '\n' ? 1 : column + ((*p & 0xC0) != 0x80);
        line += *p == '\n';
    }
    g->status = bt_fail(g->err, BT_E_ARGUMENT, "line %zu, column %zu: %s", line, column, what);
    return false;
}

static bool no_memory(Gbnf *g)
{
    if (g->status == BT_OK) g->status = bt_fail_memory(g->err, "reading a grammar", 0);
    return false;
}

static bool grow(Gbnf *g, void *array, size_t n, size_t *capacity, size_t size)
{
    void *memory;
    if (n < *capacity) return true;
    size_t grown = *capacity ? *capacity * 2 : 64;
    memcpy(&memory, array, sizeof memory);
    memory = mem_realloc(memory, grown * size);
    if (!memory) return no_memory(g);
    memcpy(array, &memory, sizeof memory);
    *capacity = grown;
    return true;
}

/* ---- names ----------------------------------------------------------------- */

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static uint32_t hash_name(Span name)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < name.size; i++) h = (h ^ (unsigned char)name.data[i]) * 16777619u;
    return h;
}

static bool grow_table(Gbnf *g)
{
    uint32_t size = g->mask ? (g->mask + 1) * 2 : 64;
    uint32_t *table = mem_zalloc(size, sizeof *table);
    if (!table) return no_memory(g);
    mem_free(g->table);
    g->table = table;
    g->mask = size - 1;
    for (size_t i = 0; i < g->n_names; i++) {
        uint32_t at = hash_name(g->names[i].text) & g->mask;
        while (table[at]) at = (at + 1) & g->mask;
        table[at] = (uint32_t)i + 1;
    }
    return true;
}

/* The entry of a name, made if it is new; NULL after a failure. */
static Name *name_of(Gbnf *g, Span text)
{
    if ((!g->table || g->n_names * 2 >= g->mask) && !grow_table(g)) return NULL;
    uint32_t at = hash_name(text) & g->mask;
    for (; g->table[at]; at = (at + 1) & g->mask) /* what the table counts is there: */
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
        if (span_equal(g->names[g->table[at] - 1].text, text)) return &g->names[g->table[at] - 1];
    if (!grow(g, &g->names, g->n_names, &g->name_capacity, sizeof *g->names)) return NULL;
    g->names[g->n_names] = (Name){text, builder_rule(g->b, text), text.data, false};
    g->table[at] = (uint32_t)++g->n_names;
    return &g->names[g->n_names - 1];
}

static Span read_name(Gbnf *g)
{
    const char *from = g->p;
    while (g->p < g->end && is_name(*g->p)) g->p++;
    return (Span){from, (size_t)(g->p - from)};
}

/* ---- blanks and characters -------------------------------------------------- */

static void skip_blanks(Gbnf *g, bool lines)
{
    while (g->p < g->end) {
        if (*g->p == '#')
            while (g->p < g->end && *g->p != '\n' && *g->p != '\r') g->p++;
        else if (*g->p == ' ' || *g->p == '\t' || (lines && (*g->p == '\n' || *g->p == '\r')))
            g->p++;
        else
            return;
    }
}

static bool read_hex(Gbnf *g, int digits, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < digits; i++) {
        int d = g->p < g->end ? hex_digit(*g->p) : -1;
        if (d < 0) return fail_at(g, g->p, "a hexadecimal digit is missing");
        *out = *out << 4 | (uint32_t)d;
        g->p++;
    }
    if (*out > 0x10FFFF || (*out >= 0xD800 && *out <= 0xDFFF))
        return fail_at(g, g->p, "no character has this number");
    return true;
}

/* A character of a literal or class, escapes resolved. */
static bool read_char(Gbnf *g, uint32_t *out)
{
    size_t n;
    if (g->p >= g->end || *g->p == '\n' || *g->p == '\r')
        return fail_at(g, g->p, "the line ends inside a literal or class");
    if (*g->p != '\\') {
        *out = utf8_next(g->p, (size_t)(g->end - g->p), &n);
        if (n == 1 && (unsigned char)*g->p >= 0x80) return fail_at(g, g->p, "this is no UTF-8");
        g->p += n;
        return true;
    }
    if (++g->p >= g->end) return fail_at(g, g->p, "the grammar ends after a backslash");
    char c = *g->p++;
    switch (c) {
    case 'n': *out = '\n'; return true;
    case 'r': *out = '\r'; return true;
    case 't': *out = '\t'; return true;
    case 'x': return read_hex(g, 2, out);
    case 'u': return read_hex(g, 4, out);
    case 'U': return read_hex(g, 8, out);
    default: break;
    }
    if ((unsigned char)c >= 0x80 || c < ' ' || is_name(c))
        return fail_at(g, g->p - 2,
                       "unknown escape; \\n \\r \\t \\xHH \\uHHHH \\UHHHHHHHH and "
                       "marks such as \\\" are known");
    *out = (unsigned char)c;
    return true;
}

static bool read_literal(Gbnf *g)
{
    buf_clear(&g->text);
    g->p++;
    for (;;) {
        uint32_t c;
        char bytes[4];
        if (g->p < g->end && *g->p == '"') break;
        if (!read_char(g, &c)) return false;
        buf_add(&g->text, bytes, utf8_put(c, bytes));
    }
    g->p++;
    return !g->text.failed || no_memory(g);
}

/* ---- pieces ------------------------------------------------------------------ */

static Group *top(Gbnf *g)
{
    return &g->groups[g->n_groups - 1];
}

static void link_last(Gbnf *g)
{
    Group *t = top(g);
    if (!t->pending) return;
    builder_empty(g->b, t->at, t->last.start);
    t->at = t->last.end;
    t->pending = false;
}

static BuilderPiece new_piece(Gbnf *g)
{
    BuilderPiece piece = {builder_state(g->b), 0};
    piece.end = builder_state(g->b);
    return piece;
}

static void put(Gbnf *g, BuilderPiece piece)
{
    link_last(g);
    top(g)->last = piece;
    top(g)->pending = true;
}

static bool open_group(Gbnf *g, uint32_t start, uint32_t end)
{
    if (g->n_groups >= GBNF_MAX_DEPTH) return fail_at(g, g->p, "groups nest deeper than 1000");
    if (!grow(g, &g->groups, g->n_groups, &g->group_capacity, sizeof *g->groups)) return false;
    g->groups[g->n_groups++] = (Group){.start = start, .end = end, .at = start, .open = g->p};
    return true;
}

static void end_alternative(Gbnf *g)
{
    link_last(g);
    builder_empty(g->b, top(g)->at, top(g)->end);
    top(g)->at = top(g)->start;
}

/* Sorts by insertion where nearly sorted, else by heap: no quadratic time on hostile classes. */
static void sort_ranges(Range *r, size_t n)
{
    for (size_t start = n / 2, end = n; end > 1;) {
        if (start)
            start--;
        else {
            Range swap = r[--end];
            r[end] = r[0];
            r[0] = swap;
        }
        for (size_t root = start, child; (child = 2 * root + 1) < end; root = child) {
            if (child + 1 < end && r[child].low < r[child + 1].low) child++;
            if (r[root].low >= r[child].low) break;
            Range swap = r[root];
            r[root] = r[child];
            r[child] = swap;
        }
    }
}

static bool read_class(Gbnf *g)
{
    const char *open = g->p++;
    bool negated = g->p < g->end && *g->p == '^';
    if (negated) g->p++;
    g->n_ranges = 0;
    while (g->p >= g->end || *g->p != ']') {
        Range r;
        if (g->p >= g->end) return fail_at(g, open, "this class is not closed");
        if (!read_char(g, &r.low)) return false;
        r.high = r.low;
        if (g->p + 1 < g->end && *g->p == '-' && g->p[1] != ']') {
            g->p++;
            if (!read_char(g, &r.high)) return false;
            if (r.high < r.low) return fail_at(g, g->p, "this range runs backwards");
        }
        if (!grow(g, &g->ranges, g->n_ranges, &g->range_capacity, sizeof *g->ranges)) return false;
        g->ranges[g->n_ranges++] = r;
    }
    g->p++;
    sort_ranges(g->ranges, g->n_ranges);
    BuilderPiece piece = new_piece(g);
    uint32_t free_from = 0; /* everything below is dealt with */
    for (size_t i = 0; i < g->n_ranges; i++) {
        Range r = g->ranges[i];
        if (r.high < free_from) continue;
        if (r.low < free_from) r.low = free_from;
        if (!negated) builder_range(g->b, piece.start, r.low, r.high, piece.end);
        if (negated && r.low > free_from)
            builder_range(g->b, piece.start, free_from, r.low - 1, piece.end);
        free_from = r.high + 1;
    }
    if (negated) builder_range(g->b, piece.start, free_from, 0x10FFFF, piece.end);
    put(g, piece);
    return true;
}

static bool read_number(Gbnf *g, uint32_t *out)
{
    const char *from = g->p;
    *out = 0;
    for (; g->p < g->end && *g->p >= '0' && *g->p <= '9'; g->p++) {
        *out = *out * 10 + (uint32_t)(*g->p - '0');
        if (*out > GRAMMAR_MAX_REPEAT / 10)
            return fail_at(g, from, "at most 100000000 repetitions can be asked for");
    }
    return g->p > from || fail_at(g, g->p, "a number is missing");
}

/* "{m}", "{m,}", "{m,n}", "{,n}" */
static bool read_counts(Gbnf *g, uint32_t *least, uint32_t *most)
{
    const char *open = g->p++;
    skip_blanks(g, false);
    *least = 0;
    if (g->p < g->end && *g->p != ',' && !read_number(g, least)) return false;
    *most = *least;
    skip_blanks(g, false);
    if (g->p < g->end && *g->p == ',') {
        g->p++;
        skip_blanks(g, false);
        *most = GRAMMAR_NO_LIMIT;
        if (g->p < g->end && *g->p != '}' && !read_number(g, most)) return false;
        skip_blanks(g, false);
    }
    if (g->p >= g->end || *g->p != '}') return fail_at(g, open, "this { is not closed");
    g->p++;
    return *most >= *least ||
           fail_at(g, open, "the largest number of repetitions is below the least");
}

static bool repeat_last(Gbnf *g)
{
    Group *t = top(g);
    GrammarBuilder *b = g->b;
    uint32_t least = 0, most = GRAMMAR_NO_LIMIT;
    char kind = *g->p;
    if (!t->pending) return fail_at(g, g->p, "nothing stands before this to be repeated");
    if (kind == '{') {
        if (!read_counts(g, &least, &most)) return false;
    } else {
        g->p++;
    }
    BuilderPiece old = t->last, fresh = new_piece(g);
    if (kind == '{') {
        builder_repeat(b, fresh.start, builder_rule_around(b, old), least, most, fresh.end);
    } else {
        builder_empty(b, fresh.start, old.start);
        builder_empty(b, old.end, fresh.end);
        if (kind != '+') builder_empty(b, fresh.start, fresh.end);
        if (kind != '?') builder_empty(b, old.end, old.start);
    }
    t->last = fresh;
    return true;
}

static bool read_reference(Gbnf *g)
{
    Name *name = name_of(g, read_name(g));
    if (!name) return false;
    BuilderPiece piece = new_piece(g);
    builder_call(g->b, piece.start, name->rule, piece.end);
    put(g, piece);
    return true;
}

/* %json {...}, %until "text", %text, %token "text" */
static bool read_word(Gbnf *g)
{
    const char *from = g->p++;
    Span word = read_name(g);
    BuilderPiece piece = new_piece(g);
    GrammarBuilder *b = g->b;
    skip_blanks(g, false);
    if (span_is(word, "json")) {
        size_t used = 0;
        uint32_t rule = 0;
        bt_status status =
            schema_build(b, (Span){g->p, (size_t)(g->end - g->p)}, &used, &rule, g->err);
        if (status != BT_OK) {
            g->status = status;
            return false;
        }
        g->p += used;
        builder_call(b, piece.start, rule, piece.end);
    } else if (span_is(word, "text")) {
        builder_free(b, piece.start, (Span){0}, piece.end);
    } else if (span_is(word, "until") || span_is(word, "token")) {
        if (g->p >= g->end || *g->p != '"') return fail_at(g, g->p, "a literal is missing");
        if (!read_literal(g)) return false;
        Span text = {g->text.data, g->text.size};
        if (!text.size || text.size > 256)
            return fail_at(g, from, "this text must have 1 to 256 bytes");
        if (span_is(word, "until")) {
            builder_until(b, piece.start, text, true, piece.end);
        } else {
            uint32_t mark = builder_state(b);
            builder_text_to(b, piece.start, text, piece.end);
            builder_bytes(b, piece.start, GRAMMAR_CONTROL, GRAMMAR_CONTROL, mark);
            builder_text_to(b, mark, text, piece.end);
        }
    } else {
        return fail_at(g, from, "unknown word; %json, %until, %text and %token are known");
    }
    put(g, piece);
    return true;
}

/* ---- rules --------------------------------------------------------------------- */

static bool read_piece(Gbnf *g)
{
    switch (*g->p) {
    case '"': {
        if (!read_literal(g)) return false;
        BuilderPiece piece = new_piece(g);
        builder_text_to(g->b, piece.start, (Span){g->text.data, g->text.size}, piece.end);
        put(g, piece);
        return true;
    }
    case '[': return read_class(g);
    case '.': {
        BuilderPiece piece = new_piece(g);
        builder_range(g->b, piece.start, 0, 0x10FFFF, piece.end);
        put(g, piece);
        g->p++;
        return true;
    }
    case '(': {
        BuilderPiece piece = new_piece(g);
        if (!open_group(g, piece.start, piece.end)) return false;
        g->p++;
        return true;
    }
    case ')': {
        if (g->n_groups == 1) return fail_at(g, g->p, "this ) closes nothing");
        end_alternative(g);
        BuilderPiece piece = {top(g)->start, top(g)->end};
        g->n_groups--;
        put(g, piece);
        g->p++;
        return true;
    }
    case '*':
    case '+':
    case '?':
    case '{': return repeat_last(g);
    case '|':
        end_alternative(g);
        g->p++;
        skip_blanks(g, true);
        return true;
    case '%': return read_word(g);
    default: break;
    }
    if (is_name(*g->p)) return read_reference(g);
    return fail_at(g, g->p, "this begins no part of a rule");
}

/* What follows ::= up to the end of the rule: of its line, unless a group is open or the next line
 * begins with |. */
static bool read_body(Gbnf *g, uint32_t rule)
{
    BuilderRule r = {0};
    if (rule < g->b->n_rules) r = g->b->rules[rule];
    g->n_groups = 0;
    if (!open_group(g, r.start, r.end)) return false;
    skip_blanks(g, true);
    for (;;) {
        skip_blanks(g, g->n_groups > 1);
        if (g->p >= g->end || *g->p == '\n' || *g->p == '\r') {
            skip_blanks(g, true);
            if (g->n_groups > 1) return fail_at(g, top(g)->open, "this ( is not closed");
            if (g->p >= g->end || *g->p != '|') break;
        }
        if (!read_piece(g)) return false;
    }
    end_alternative(g);
    return true;
}

static bool read_rule(Gbnf *g)
{
    const char *from = g->p;
    Span text = read_name(g);
    if (!text.size) return fail_at(g, from, "the name of a rule is missing");
    skip_blanks(g, false);
    if (g->end - g->p < 3 || memcmp(g->p, "::=", 3) != 0)
        return fail_at(g, g->p, "::= is missing after the name of a rule");
    g->p += 3;
    Name *name = name_of(g, text);
    if (!name) return false;
    if (name->defined) return fail_at(g, from, "this rule is defined twice");
    name->defined = true;
    return read_body(g, name->rule);
}

static void find_root(Gbnf *g, uint32_t *rule)
{
    bool found = false;
    for (size_t i = 0; i < g->n_names; i++) {
        const Name *n = &g->names[i];
        if (!n->defined) {
            char what[128];
            int size = n->text.size > 64 ? 64 : (int)n->text.size;
            snprintf(what, sizeof what, "the rule '%.*s' is not defined", size, n->text.data);
            fail_at(g, n->used, what);
        }
        if (!span_is(n->text, "root")) continue;
        *rule = n->rule;
        found = true;
    }
    if (!found && g->status == BT_OK)
        g->status = bt_fail(g->err, BT_E_ARGUMENT, "no rule is named 'root'");
}

bt_status gbnf_build(GrammarBuilder *b, Span text, uint32_t *rule, bt_error *err)
{
    Gbnf g = {.b = b, .begin = text.data, .p = text.data, .err = err};
    g.end = text.data + text.size;
    *rule = 0;
    if (text.size > GBNF_MAX_TEXT)
        return bt_fail(err, BT_E_LIMIT, "the grammar has %zu bytes, at most %u are read", text.size,
                       GBNF_MAX_TEXT);
    skip_blanks(&g, true);
    while (g.p < g.end && g.status == BT_OK && !b->no_memory && !b->too_large) {
        if (!read_rule(&g)) break;
        skip_blanks(&g, true);
    }
    if (g.status == BT_OK && !b->no_memory && !b->too_large) find_root(&g, rule);
    mem_free(g.names);
    mem_free(g.table);
    mem_free(g.groups);
    mem_free(g.ranges);
    buf_close(&g.text);
    return g.status;
}

void gbnf_quote(Buf *out, Span text)
{
    buf_char(out, '"');
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < ' ')
            buf_printf(out, "\\x%02X", c);
        else
            buf_char(out, (char)c);
    }
    buf_char(out, '"');
}
