/* Objects (see schema_parts.h). Properties come in the order in which they are declared, optional
 * ones may be left out, others follow where they are allowed. Where nothing is said of other
 * properties and some are declared, there are no others. */
#include <string.h>

#include "base/mem.h"
#include "text/schema_parts.h"

typedef struct Names {
    Span *list;
    uint32_t n;
    uint32_t *table, mask; /* name + 1 */
    bool *required;
} Names;

static uint32_t *slot_of(Names *names, Span name)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < name.size; i++) h = (h ^ (unsigned char)name.data[i]) * 16777619u;
    h ^= h >> 15;
    for (h &= names->mask; names->table[h]; h = (h + 1) & names->mask)
        if (span_equal(names->list[names->table[h] - 1], name)) break;
    return &names->table[h];
}

static void add_name(Names *names, Span name, bool required)
{
    uint32_t *slot = slot_of(names, name);
    if (!*slot) {
        names->list[names->n] = name;
        *slot = ++names->n;
    }
    if (required) names->required[*slot - 1] = true;
}

/* All names that the set declares or requires, in order. */
static bool collect(Schema *s, const AtomList *set, Names *names)
{
    size_t most = 0;
    for (uint32_t i = 0; i < set->n; i++) {
        uint32_t properties = schema_get(s, atom_node(set->atoms[i]), "properties");
        uint32_t required = schema_get(s, atom_node(set->atoms[i]), "required");
        if (properties) most += s->tree.nodes[properties].n;
        if (required) most += s->tree.nodes[required].n;
    }
    uint32_t size = 16;
    while (size < most * 2) size *= 2;
    names->mask = size - 1;
    names->list = mem_alloc((most + 1) * sizeof *names->list);
    names->required = mem_zalloc(most + 1, sizeof *names->required);
    names->table = mem_zalloc(size, sizeof *names->table);
    if (!names->list || !names->required || !names->table) return schema_no_memory(s);
    static const char *const words[] = {"properties", "required"};
    for (int w = 0; w < 2; w++)
        for (uint32_t i = 0; i < set->n; i++) {
            uint32_t at = schema_get(s, atom_node(set->atoms[i]), words[w]);
            for (uint32_t c = at ? s->tree.nodes[at].child : 0; c; c = s->tree.nodes[c].next)
                add_name(names, w ? s->tree.nodes[c].text : s->tree.nodes[c].key, w);
        }
    return true;
}

static void names_close(Names *names)
{
    mem_free(names->list);
    mem_free(names->required);
    mem_free(names->table);
}

/* The rule of a property's value: what every schema of the set says of it. */
static uint32_t value_rule(Schema *s, const AtomList *set, Span name)
{
    AtomList of = {0};
    for (uint32_t i = 0; i < set->n; i++) {
        uint32_t node = atom_node(set->atoms[i]);
        uint32_t properties = schema_get(s, node, "properties");
        uint32_t at = properties ? json_tree_get(&s->tree, properties, name) : 0;
        if (!at) at = schema_get(s, node, "additionalProperties");
        if (at) atoms_add(s, &of, at << 2);
    }
    uint32_t rule = schema_rule(s, &of);
    atoms_close(&of);
    return rule;
}

/* Whether others than the named properties are allowed; then the rule of their values. */
static bool others_rule(Schema *s, const AtomList *set, uint32_t *rule)
{
    AtomList of = {0};
    bool declared = false, said = false, allowed = true;
    for (uint32_t i = 0; i < set->n; i++) {
        uint32_t node = atom_node(set->atoms[i]);
        uint32_t more = schema_get(s, node, "additionalProperties");
        if (schema_get(s, node, "properties")) declared = true;
        if (!more) continue;
        said = true;
        if (s->tree.nodes[more].kind == JSON_KIND_FALSE) allowed = false;
        atoms_add(s, &of, more << 2);
    }
    allowed = allowed && (said || !declared);
    if (allowed) *rule = schema_rule(s, &of);
    atoms_close(&of);
    return allowed;
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
        if (!atoms_add(s, &of, node << 2) || !schema_expand(s, &of)) of.n = 0;
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
static void other_key(Schema *s, const AtomList *set, const Names *names, bool *admitted,
                      uint32_t from, uint32_t to)
{
    Regex *re;
    RegexAutomaton a = {0};
    if (s->status != BT_OK || (s->status = regex_open(&re, s->err)) != BT_OK) return;
    RegexTerm term = names_term(s, re, set);
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
                admitted[i] = regex_matches(re, term, names->list[i]);
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

/* Others: key, colon, value, and again after a comma; `none` and `some` as in schema_object. */
static void others(Schema *s, const AtomList *set, const Names *names, bool *admitted,
                   uint32_t rule, uint32_t none, uint32_t some)
{
    GrammarBuilder *b = s->b;
    uint32_t key = builder_state(b), colon = builder_state(b), value = builder_state(b);
    uint32_t blank = builder_state(b);
    builder_empty(b, none, key);
    builder_empty(b, after_comma(s, some), key);
    other_key(s, set, names, admitted, key, colon);
    builder_bytes(b, colon, ':', ':', blank);
    builder_empty(b, blank, value);
    builder_bytes(b, blank, ' ', ' ', value);
    builder_call(b, value, rule, some);
}

void schema_object(Schema *s, const AtomList *set, uint32_t from, uint32_t to)
{
    GrammarBuilder *b = s->b;
    Names names = {0};
    bool *admitted = NULL;
    uint32_t open = builder_state(b), close = builder_state(b), rule = 0;
    if (!collect(s, set, &names)) goto done;
    admitted = mem_alloc(names.n + 1);
    if (!admitted) {
        schema_no_memory(s);
        goto done;
    }
    memset(admitted, 1, names.n + 1);
    builder_bytes(b, from, '{', '{', open);
    builder_bytes(b, close, '}', '}', to);
    /* The last states, first: others, and which names may be there at all. */
    uint32_t last_none = builder_state(b), last_some = builder_state(b);
    if (others_rule(s, set, &rule))
        others(s, set, &names, admitted, rule, last_none, last_some);
    else if (names_limited(s, set))
        other_key(s, set, &names, admitted, 0, 0);
    builder_empty(b, last_none, close);
    builder_call(b, last_some, schema_blank(s), close);
    /* `none`: nothing is written yet; `some`: a comma must come first. */
    uint32_t none = after_blank(s, open), some = 0;
    for (uint32_t i = 0; i < names.n && s->status == BT_OK; i++) {
        uint32_t next_none = builder_state(b), next_some = builder_state(b);
        if (admitted[i]) {
            uint32_t start = builder_state(b), value = value_rule(s, set, names.list[i]);
            if (none) builder_empty(b, none, start);
            if (some) builder_empty(b, after_comma(s, some), start);
            property(s, start, names.list[i], value, next_some);
        }
        if (!names.required[i]) {
            if (none) builder_empty(b, none, next_none);
            if (some) builder_empty(b, some, next_some);
        } else {
            next_none = 0;
        }
        none = next_none;
        some = next_some;
        if (b->no_memory || b->too_large) break;
    }
    if (none) builder_empty(b, none, last_none);
    if (some) builder_empty(b, some, last_some);
done:
    mem_free(admitted);
    names_close(&names);
}
