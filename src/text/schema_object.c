/* Objects (see schema_parts.h). Properties come in the order in which they are declared, optional
 * ones may be left out, others follow where they are allowed. Where nothing is said of other
 * properties and some are declared, there are no others.
 *
 * An added schema (schema_contrary.c) may ask for an *extra*: a property that another schema does
 * not declare, with a value that it does not admit. Which of these have been written is part of
 * where the object stands: a bit each, all of them at its end. */
#include <string.h>

#include "base/mem.h"
#include "text/schema_parts.h"

typedef struct Names {
    Span *list;
    uint32_t n;
    uint32_t *table, mask; /* name + 1 */
    bool *required;
    bool *declared; /* by the text, not only by an added schema */
} Names;

typedef struct Extra {
    uint32_t schema; /* whose properties it is none of */
    uint32_t value;  /* a schema of its value, 0: any */
} Extra;

typedef struct Object {
    Schema *s;
    const AtomList *set;
    Names names;
    bool *admitted; /* by propertyNames */
    Extra extra[SCHEMA_MAX_EXTRA];
    uint32_t n_extra;
} Object;

#define ALL_EXTRA(o) ((1u << (o)->n_extra) - 1)
enum { MOST_STATES = 1 << SCHEMA_MAX_EXTRA };

static uint32_t *slot_of(Names *names, Span name)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < name.size; i++) h = (h ^ (unsigned char)name.data[i]) * 16777619u;
    h ^= h >> 15;
    for (h &= names->mask; names->table[h]; h = (h + 1) & names->mask)
        if (span_equal(names->list[names->table[h] - 1], name)) break;
    return &names->table[h];
}

static void add_name(Names *names, Span name, bool required, bool declared)
{
    uint32_t *slot = slot_of(names, name);
    if (!*slot) {
        names->list[names->n] = name;
        *slot = ++names->n;
    }
    if (required) names->required[*slot - 1] = true;
    if (declared) names->declared[*slot - 1] = true;
}

/* The node that holds names, of `properties` and then of `required`: schema i of the set, and then
 * of those of which an extra must be none. *own: the text does not ask for these here. */
static uint32_t names_at(const Object *o, uint32_t i, int word, bool *own)
{
    static const char *const words[] = {"properties", "required"};
    uint32_t n = o->set->n;
    *own = i >= n || schema_is_own(o->s, atom_node(o->set->atoms[i]));
    if (i >= n && word) return 0;
    uint32_t node = i < n ? atom_node(o->set->atoms[i]) : o->extra[i - n].schema;
    return schema_get(o->s, node, words[word]);
}

/* All names that the set declares or requires, in order. */
static bool collect(Object *o)
{
    Schema *s = o->s;
    Names *names = &o->names;
    size_t most = 0;
    uint32_t n = o->set->n + o->n_extra, size = 16, at;
    bool own;
    for (uint32_t i = 0; i < n; i++)
        for (int w = 0; w < 2; w++)
            if ((at = names_at(o, i, w, &own)) != 0) most += s->tree.nodes[at].n;
    while (size < most * 2) size *= 2;
    names->mask = size - 1;
    names->list = mem_alloc((most + 1) * sizeof *names->list);
    names->required = mem_zalloc(most + 1, sizeof *names->required);
    names->declared = mem_zalloc(most + 1, sizeof *names->declared);
    names->table = mem_zalloc(size, sizeof *names->table);
    o->admitted = mem_alloc(most + 1);
    if (!names->list || !names->required || !names->declared || !names->table || !o->admitted)
        return schema_no_memory(s);
    for (int w = 0; w < 2; w++)
        for (uint32_t i = 0; i < n; i++) {
            at = names_at(o, i, w, &own);
            for (uint32_t c = at ? s->tree.nodes[at].child : 0; c; c = s->tree.nodes[c].next)
                add_name(names, w ? s->tree.nodes[c].text : s->tree.nodes[c].key, w, !own);
        }
    memset(o->admitted, 1, names->n + 1);
    return true;
}

static void names_close(Names *names)
{
    mem_free(names->list);
    mem_free(names->required);
    mem_free(names->declared);
    mem_free(names->table);
}

/* The rule of a property's value: what every schema of the set says of it, and what makes it the
 * extras `as`. A name without data: one that no schema declares. */
static uint32_t value_rule(Object *o, Span name, uint32_t as)
{
    Schema *s = o->s;
    AtomList of = {0};
    for (uint32_t i = 0; i < o->set->n; i++) {
        uint32_t node = atom_node(o->set->atoms[i]);
        uint32_t properties = name.data ? schema_get(s, node, "properties") : 0;
        uint32_t at = properties ? json_tree_get(&s->tree, properties, name) : 0;
        if (!at) at = schema_get(s, node, "additionalProperties");
        if (at) atoms_add(s, &of, atom_of(at));
    }
    for (uint32_t i = 0; i < o->n_extra; i++)
        if (as >> i & 1 && o->extra[i].value) atoms_add(s, &of, atom_of(o->extra[i].value));
    uint32_t rule = schema_rule(s, &of);
    atoms_close(&of);
    return rule;
}

/* The extras that a property of this name can be; *sure: those that it is whatever its value. */
static uint32_t extras_of(const Object *o, Span name, uint32_t *sure)
{
    uint32_t can = 0;
    *sure = 0;
    for (uint32_t i = 0; i < o->n_extra; i++) {
        uint32_t properties = schema_get(o->s, o->extra[i].schema, "properties");
        if (name.data && properties && json_tree_get(&o->s->tree, properties, name)) continue;
        can |= 1u << i;
        if (!o->extra[i].value) *sure |= 1u << i;
    }
    return can;
}

/* Strings that propertyNames admits, as a term; REGEX_ALL when it says nothing. */
static RegexTerm names_term(Schema *s, Regex *re, const AtomList *set)
{
    RegexTerm term = REGEX_ALL;
    for (uint32_t i = 0; i < set->n && s->status == BT_OK; i++) {
        uint32_t node = schema_get(s, atom_node(set->atoms[i]), "propertyNames"), least, most;
        bool plain;
        AtomList of = {0};
        if (!node) continue;
        if (!atoms_add(s, &of, atom_of(node)) || !schema_expand(s, &of)) of.n = 0;
        for (uint32_t k = 0; k < of.n; k++) {
            uint32_t at = atom_node(of.atoms[k]);
            uint32_t list = schema_get(s, at, "enum"), one = schema_get(s, at, "const");
            if (schema_get(s, at, "anyOf") || schema_get(s, at, "oneOf"))
                schema_fail(s, at, BT_E_UNSUPPORTED,
                            "anyOf and oneOf in propertyNames are not supported");
            if (!list && !one) continue;
            uint32_t n = one ? 1 : s->tree.nodes[list].n, n_texts = 0;
            Span *texts = mem_alloc(n * sizeof *texts);
            if (!texts) schema_no_memory(s);
            for (uint32_t c = one ? one : s->tree.nodes[list].child; texts && c;
                 c = one ? 0 : s->tree.nodes[c].next)
                if (s->tree.nodes[c].kind == JSON_KIND_STRING)
                    texts[n_texts++] = s->tree.nodes[c].text;
            if (texts) term = regex_and(re, term, regex_texts(re, texts, n_texts));
            mem_free(texts);
        }
        RegexTerm strings = schema_string_term(s, re, &of, &plain, &least, &most);
        if (plain && (least || most != REGEX_NO_LIMIT)) strings = regex_length(re, least, most);
        if (of.never || !(schema_set_types(s, &of) & TYPE_STRING)) strings = REGEX_NOTHING;
        term = regex_and(re, term, strings);
        atoms_close(&of);
    }
    return term;
}

static bool names_limited(const Schema *s, const AtomList *set)
{
    for (uint32_t i = 0; i < set->n; i++)
        if (schema_get(s, atom_node(set->atoms[i]), "propertyNames")) return true;
    return false;
}

/* A key that is none of the named ones, from `from` to `to`; and marks the names that propertyNames
 * does not admit. `to` 0: only that. */
static void other_key(Object *o, uint32_t from, uint32_t to)
{
    Schema *s = o->s;
    const Names *names = &o->names;
    Regex *re;
    RegexAutomaton a = {0};
    if (s->status != BT_OK || (s->status = regex_open(&re, s->err)) != BT_OK) return;
    RegexTerm term = names_term(s, re, o->set);
    bool any = term == REGEX_ALL && names->n == 0;
    if (any) {
        builder_call(s->b, from, schema_any_string(s), to);
    } else if (s->status == BT_OK) {
        RegexTerm other = regex_and(re, regex_length(re, 0, REGEX_NO_LIMIT), term);
        RegexTerm named = regex_texts(re, names->list, names->n);
        other = regex_and(re, other, regex_not(re, named));
        bt_status status = regex_status(re, s->err);
        if (status == BT_OK) {
            for (uint32_t i = 0; i < names->n && term != REGEX_ALL; i++)
                o->admitted[i] = regex_matches(re, term, names->list[i]);
            status = regex_automaton(re, other, &a, s->err);
        }
        if (status != BT_OK)
            s->status = status;
        else if (to)
            schema_automaton(s, &a, from, to);
    }
    regex_automaton_close(&a);
    schema_regex_close(s, &re);
}

/* "name": value */
static void property(Schema *s, uint32_t from, Span name, uint32_t rule, uint32_t to)
{
    GrammarBuilder *b = s->b;
    Buf text = {0};
    json_string_write(&text, name);
    buf_char(&text, ':');
    if (text.failed) schema_no_memory(s);
    uint32_t colon = builder_text(b, from, (Span){text.data, text.failed ? 0 : text.size});
    uint32_t value = builder_state(b);
    builder_empty(b, colon, value);
    builder_bytes(b, colon, ' ', ' ', value);
    builder_call(b, value, rule, to);
    buf_close(&text);
}

static uint32_t after_blank(Schema *s, uint32_t from)
{
    uint32_t next = builder_state(s->b);
    builder_call(s->b, from, schema_blank(s), next);
    return next;
}

static uint32_t after_comma(Schema *s, uint32_t from)
{
    uint32_t comma = builder_state(s->b);
    builder_bytes(s->b, from, ',', ',', comma);
    return after_blank(s, comma);
}

/* Where an object stands between properties: nothing written yet, or some, and which extras. */
typedef struct Stand {
    uint32_t none, some[MOST_STATES]; /* 0: not to be reached */
} Stand;

static void reach(GrammarBuilder *b, uint32_t from, uint32_t *to)
{
    if (!*to) *to = builder_state(b);
    builder_empty(b, from, *to);
}

/* Keys that are named nowhere, as a rule: they stand in several places. */
static uint32_t key_rule(Object *o)
{
    GrammarBuilder *b = o->s->b;
    uint32_t rule = builder_rule(b, (Span){0});
    if (!b->no_memory && !b->too_large) other_key(o, b->rules[rule].start, b->rules[rule].end);
    return rule;
}

/* Others: key, colon, value, and again after a comma. With extras each adds its bits; none loses
 * any, so the stands are gone through from the least. */
static void others(Object *o, uint32_t key, Stand *at)
{
    Schema *s = o->s;
    GrammarBuilder *b = s->b;
    uint32_t sure, can = extras_of(o, (Span){0}, &sure), may = can & ~sure;
    for (uint32_t m = 0; m <= ALL_EXTRA(o) && s->status == BT_OK; m++) {
        if (m && !at->some[m]) continue;
        uint32_t start = builder_state(b), colon = builder_state(b), blank = builder_state(b);
        uint32_t value = builder_state(b);
        if (m == 0 && at->none) builder_empty(b, at->none, start);
        if (!at->some[m]) at->some[m] = builder_state(b);
        builder_empty(b, after_comma(s, at->some[m]), start);
        builder_call(b, start, key, colon);
        builder_bytes(b, colon, ':', ':', blank);
        builder_empty(b, blank, value);
        builder_bytes(b, blank, ' ', ' ', value);
        for (uint32_t as = may;; as = (as - 1) & may) {
            uint32_t *to = &at->some[m | sure | as];
            if (!*to) *to = builder_state(b);
            builder_call(b, value, value_rule(o, (Span){0}, as), *to);
            if (!as) break;
        }
        if (b->no_memory || b->too_large) return;
    }
}

/* The i-th name: it may come at every stand, and where it need not, is gone past. */
static void one_name(Object *o, uint32_t i, bool open, Stand *at)
{
    Schema *s = o->s;
    GrammarBuilder *b = s->b;
    Span name = o->names.list[i];
    Stand next = {0};
    uint32_t sure, can = extras_of(o, name, &sure), may = can & ~sure;
    bool written = o->admitted[i] && (open || o->names.declared[i]);
    for (uint32_t m = 0; m <= ALL_EXTRA(o) && written; m++) {
        uint32_t start = builder_state(b);
        if (at->some[m]) builder_empty(b, after_comma(s, at->some[m]), start);
        if (m == 0 && at->none) builder_empty(b, at->none, start);
        if (!at->some[m] && !(m == 0 && at->none)) continue;
        for (uint32_t as = may;; as = (as - 1) & may) {
            uint32_t *to = &next.some[m | sure | as];
            if (!*to) *to = builder_state(b);
            property(s, start, name, value_rule(o, name, as), *to);
            if (!as) break;
        }
    }
    if (!o->names.required[i]) {
        if (at->none) reach(b, at->none, &next.none);
        for (uint32_t m = 0; m <= ALL_EXTRA(o); m++)
            if (at->some[m]) reach(b, at->some[m], &next.some[m]);
    }
    *at = next;
}

static bool find_extras(Object *o)
{
    Schema *s = o->s;
    for (uint32_t i = 0; i < o->set->n; i++) {
        uint32_t node = atom_node(o->set->atoms[i]), at = schema_own(s, node, 0, OWN_EXTRA);
        if (!at) continue;
        Extra extra = {s->tree.nodes[at].child, s->tree.nodes[at].n};
        if (o->n_extra == SCHEMA_MAX_EXTRA)
            return schema_fail(s, extra.schema, BT_E_LIMIT,
                               "more than %d schemas with additionalProperties must fail together",
                               SCHEMA_MAX_EXTRA);
        o->extra[o->n_extra++] = extra;
    }
    return true;
}

void schema_object(Schema *s, const AtomList *set, uint32_t from, uint32_t to)
{
    GrammarBuilder *b = s->b;
    Object o = {.s = s, .set = set};
    Stand at = {0};
    uint32_t key = 0;
    if (!find_extras(&o) || !collect(&o)) goto done;
    uint32_t begin = builder_state(b), close = builder_state(b), last = builder_state(b);
    bool open = schema_is_open(s, set);
    builder_bytes(b, from, '{', '{', begin);
    builder_bytes(b, close, '}', '}', to);
    builder_call(b, last, schema_blank(s), close);
    if (open)
        key = key_rule(&o);
    else if (names_limited(s, set))
        other_key(&o, 0, 0);
    at.none = after_blank(s, begin);
    for (uint32_t i = 0; i < o.names.n && s->status == BT_OK; i++) {
        one_name(&o, i, open, &at);
        if (b->no_memory || b->too_large) break;
    }
    if (open) others(&o, key, &at);
    if (at.none && !o.n_extra) builder_empty(b, at.none, close);
    if (at.some[ALL_EXTRA(&o)]) builder_empty(b, at.some[ALL_EXTRA(&o)], last);
done:
    mem_free(o.admitted);
    names_close(&o.names);
}
