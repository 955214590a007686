/* The schema compiler's list of work and finite values (see schema.h, schema_parts.h). */
#include "text/schema.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "text/schema_parts.h"

bool schema_fail(Schema *s, uint32_t node, bt_status status, const char *format, ...)
{
    Buf path = {0};
    char what[400];
    va_list args;
    if (s->status != BT_OK) return false;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    json_tree_path(&s->tree, node, &path);
    s->status = bt_fail(s->err, status, "%s: %s", path.data ? path.data : "#", what);
    buf_close(&path);
    return false;
}

bool schema_no_memory(Schema *s)
{
    if (s->status == BT_OK) s->status = bt_fail_memory(s->err, "a schema", 0);
    return false;
}

/* ---- finite values --------------------------------------------------------------------- */

uint32_t schema_first_value(const Schema *s, uint32_t node, bool *alone)
{
    uint32_t at = schema_get(s, node, "const");
    *alone = at != 0;
    if (at) return at;
    at = schema_get(s, node, "enum");
    return at ? s->tree.nodes[at].child : 0;
}

bool schema_values_of(const Schema *s, const AtomList *set, uint32_t *node)
{
    bool alone;
    for (uint32_t i = 0; i < set->n; i++) {
        *node = atom_node(set->atoms[i]);
        if (schema_first_value(s, *node, &alone)) return true;
    }
    return false;
}

bool schema_may_equal(Schema *s, uint32_t a, uint32_t b, bool *certain)
{
    const JsonNode *x = &s->tree.nodes[a], *y = &s->tree.nodes[b];
    *certain = true;
    if (x->kind != y->kind) return false;
    if (x->kind < JSON_KIND_NUMBER) return true;
    if (x->kind == JSON_KIND_STRING) return span_equal(x->text, y->text);
    if (x->kind == JSON_KIND_NUMBER) {
        int order = schema_number_compare(x->text, y->text);
        *certain = order != 2;
        return order == 0 || order == 2;
    }
    Buf left = {0}, right = {0};
    json_tree_write(&s->tree, a, &left);
    json_tree_write(&s->tree, b, &right);
    bool same = left.size == right.size && !left.failed && !right.failed &&
                memcmp(left.data, right.data, left.size) == 0;
    if (left.failed || right.failed) schema_no_memory(s);
    buf_close(&left);
    buf_close(&right);
    *certain = same;
    return true; /* members may stand in another order */
}

static bool lists_value(Schema *s, uint32_t node, uint32_t value)
{
    bool alone, certain;
    for (uint32_t at = schema_first_value(s, node, &alone); at;
         at = alone ? 0 : s->tree.nodes[at].next)
        if (schema_may_equal(s, at, value, &certain) && certain) return true;
    return false;
}

/* Whether a value that `lister` lists meets what the other schemas of the set say. */
static bool value_fits(Schema *s, const AtomList *set, unsigned types, Regex *re, RegexTerm term,
                       uint32_t lister, uint32_t value)
{
    const JsonNode *n = &s->tree.nodes[value];
    bool alone, integer = false;
    for (uint32_t i = 0; i < set->n; i++) {
        uint32_t node = atom_node(set->atoms[i]);
        if (node != lister && schema_first_value(s, node, &alone) && !lists_value(s, node, value))
            return false;
        for (uint32_t c = s->tree.nodes[node].child; c && n->kind >= JSON_KIND_ARRAY;
             c = s->tree.nodes[c].next) {
            Word word = schema_word(s->tree.nodes[c].key);
            if (word == WORD_ARRAY || word == WORD_OBJECT)
                return schema_fail(s, node, BT_E_UNSUPPORTED,
                                   "arrays and objects in enum or const beside other keywords "
                                   "about them are not supported");
        }
    }
    switch (n->kind) {
    case JSON_KIND_NULL: return types & TYPE_NULL;
    case JSON_KIND_FALSE:
    case JSON_KIND_TRUE: return types & TYPE_BOOLEAN;
    case JSON_KIND_NUMBER:
        if (!schema_number_fits(s, set, n->text, &integer)) return false;
        if ((types & TYPE_NUMBER) == TYPE_NUMBER) return true;
        return schema_number_compare(n->text, n->text) == 0 && /* else too long to tell */
               types & (integer ? TYPE_INTEGER : TYPE_FRACTION);
    case JSON_KIND_STRING:
        return types & TYPE_STRING && (term == REGEX_ALL || regex_matches(re, term, n->text));
    case JSON_KIND_ARRAY: return types & TYPE_ARRAY;
    case JSON_KIND_OBJECT: return types & TYPE_OBJECT;
    }
    return false;
}

/* Adds a text to a trie of states that begins at `at`. */
static uint32_t add_text(GrammarBuilder *b, uint32_t at, Span text)
{
    for (size_t i = 0; i < text.size && !b->no_memory && !b->too_large; i++) {
        uint32_t byte = (unsigned char)text.data[i], next = 0;
        for (uint32_t e = b->first[at]; e && !next; e = b->edges[e].next)
            if (b->edges[e].label == (byte | byte << 8)) next = b->edges[e].target;
        if (!next) {
            next = builder_state(b);
            builder_bytes(b, at, byte, byte, next);
        }
        at = next;
    }
    return at;
}

static void values_in(Schema *s, const AtomList *set, uint32_t node, Regex *re, RegexTerm term,
                      uint32_t from, uint32_t to)
{
    unsigned types = TYPE_ALL;
    bool alone;
    Buf text = {0};
    for (uint32_t i = 0; i < set->n; i++) types &= schema_types(s, atom_node(set->atoms[i]));
    uint32_t root = builder_state(s->b);
    builder_empty(s->b, from, root);
    for (uint32_t at = schema_first_value(s, node, &alone); at && s->status == BT_OK;
         at = alone ? 0 : s->tree.nodes[at].next) {
        if (!value_fits(s, set, types, re, term, node, at)) continue;
        buf_clear(&text);
        json_tree_write(&s->tree, at, &text);
        if (text.failed) schema_no_memory(s);
        builder_empty(s->b, add_text(s->b, root, (Span){text.data, text.size}), to);
    }
    buf_close(&text);
}

void schema_values(Schema *s, const AtomList *set, uint32_t values_node, uint32_t from, uint32_t to)
{
    Regex *re;
    bool plain;
    uint32_t least, most;
    if (s->status != BT_OK || (s->status = regex_open(&re, s->err)) != BT_OK) return;
    RegexTerm term = schema_string_term(s, re, set, &plain, &least, &most);
    if (plain && least == 0 && most == REGEX_NO_LIMIT)
        term = REGEX_ALL;
    else if (plain)
        term = regex_length(re, least, most);
    if (s->status == BT_OK) values_in(s, set, values_node, re, term, from, to);
    if (s->status == BT_OK) s->status = regex_status(re, s->err);
    schema_regex_close(s, &re);
}

/* ---- plain sets ------------------------------------------------------------------------- */

/* Where no schema of the set names a type, keywords of one type say which is meant. */
unsigned schema_set_types(const Schema *s, const AtomList *set)
{
    unsigned types = TYPE_ALL, meant = 0;
    bool named = false, note;
    for (uint32_t i = 0; i < set->n; i++) {
        uint32_t node = atom_node(set->atoms[i]), format;
        types &= schema_types(s, node);
        if (schema_is_own(s, node)) continue;
        if (schema_get(s, node, "type")) named = true;
        if ((format = schema_get(s, node, "format")) &&
            schema_format(s->tree.nodes[format].text, &note))
            meant |= TYPE_STRING;
        for (uint32_t c = s->tree.nodes[node].child; c; c = s->tree.nodes[c].next)
            switch (schema_word(s->tree.nodes[c].key)) {
            case WORD_STRING: meant |= TYPE_STRING; break;
            case WORD_NUMBER: meant |= TYPE_NUMBER; break;
            case WORD_ARRAY: meant |= TYPE_ARRAY; break;
            case WORD_OBJECT: meant |= TYPE_OBJECT; break;
            default: break;
            }
    }
    return !named && meant ? meant & types : types;
}

void schema_plain(Schema *s, const AtomList *set, uint32_t from, uint32_t to)
{
    uint32_t node;
    if (schema_values_of(s, set, &node)) {
        if (schema_copied_of(s, set))
            schema_fail(s, node, BT_E_UNSUPPORTED,
                        "'x-copied' beside enum or const is not supported");
        schema_values(s, set, node, from, to);
        return;
    }
    unsigned types = schema_set_types(s, set);
    if (types & TYPE_NULL) builder_text_to(s->b, from, SPAN("null"), to);
    if (types & TYPE_BOOLEAN) {
        builder_text_to(s->b, from, SPAN("true"), to);
        builder_text_to(s->b, from, SPAN("false"), to);
    }
    if (types & TYPE_NUMBER) schema_number(s, set, types & TYPE_NUMBER, from, to);
    if (types & TYPE_STRING) schema_string(s, set, from, to);
    if (types & TYPE_ARRAY) schema_array(s, set, from, to);
    if (types & TYPE_OBJECT) schema_object(s, set, from, to);
}

static void compile_set(Schema *s, uint32_t index)
{
    SchemaSet set = s->sets[index];
    AtomList *work = &s->work;
    work->n = 0;
    work->never = set.never;
    if (set.never) return; /* its rule can read nothing, and goes away with what needs it */
    for (uint32_t i = 0; i < set.n; i++)
        if (!atoms_add(s, work, s->pool[set.first + i])) return;
    if (s->b->no_memory || s->b->too_large) return;
    BuilderRule rule = s->b->rules[set.rule];
    for (uint32_t i = 0; i < work->n; i++) {
        Atom atom = work->atoms[i];
        for (int one = 0; one < 2; one++) {
            if (atom & (one ? ATOM_ONE : ATOM_ANY)) continue;
            if (!schema_get(s, atom_node(atom), one ? "oneOf" : "anyOf")) continue;
            schema_choice(s, work, i, one, rule.start, rule.end);
            return;
        }
    }
    schema_plain(s, work, rule.start, rule.end);
}

uint32_t schema_blank(Schema *s)
{
    GrammarBuilder *b = s->b;
    enum { INDENT = 32, TABS = 8 };
    bool fresh;
    uint32_t rule = builder_shared(b, SPAN("blank"), &fresh);
    if (!fresh) return rule;
    BuilderRule r = b->rules[rule];
    uint32_t line = builder_state(b);
    builder_empty(b, r.start, r.end);
    builder_bytes(b, r.start, ' ', ' ', r.end);
    builder_bytes(b, r.start, '\n', '\n', line);
    builder_empty(b, line, r.end);
    for (int kind = 0; kind < 2; kind++) {
        uint32_t at = line;
        for (int i = 0; i < (kind ? TABS : INDENT); i++) {
            uint32_t next = builder_state(b);
            builder_bytes(b, at, kind ? '\t' : ' ', kind ? '\t' : ' ', next);
            builder_empty(b, next, r.end);
            at = next;
        }
    }
    return rule;
}

bt_status schema_build(GrammarBuilder *b, Span text, size_t *used, uint32_t *rule, bt_error *err)
{
    Schema s = {.b = b, .n_rules_before = b->n_rules, .err = err};
    AtomList root = {0};
    *rule = 0;
    if (!used && text.size > SCHEMA_MAX_TEXT)
        return bt_fail(err, BT_E_LIMIT, "the schema has %zu bytes, at most %u are read", text.size,
                       SCHEMA_MAX_TEXT);
    bt_status status = json_tree_open(text, SCHEMA_MAX_DEPTH, used, &s.tree, err);
    if (status != BT_OK) return status;
    s.n_read = s.tree.n;
    s.checked = mem_zalloc(s.tree.n, 1);
    s.contrary = mem_zalloc(s.tree.n, sizeof *s.contrary);
    if (!s.checked || !s.contrary) schema_no_memory(&s);
    if (s.status == BT_OK && atoms_add(&s, &root, 0)) *rule = schema_rule(&s, &root);
    for (uint32_t i = 0; i < s.n_sets && s.status == BT_OK; i++) {
        if (b->no_memory || b->too_large) break; /* grammar_finish tells it */
        compile_set(&s, i);
    }
    atoms_close(&root);
    atoms_close(&s.work);
    json_tree_close(&s.tree);
    mem_free(s.checked);
    mem_free(s.contrary);
    mem_free(s.sets);
    mem_free(s.pool);
    mem_free(s.table);
    buf_close(&s.key);
    return s.status;
}
