/* Arrays (see schema_parts.h). Items of the first places have schemas of their own (prefixItems, or
 * items as a list), the rest share one. Where nothing is said of the rest, there is none; then all
 * of the first are written unless minItems says fewer. */
#include "text/schema_parts.h"

typedef struct Shape {
    uint32_t prefix; /* places with their own schemas */
    uint32_t own;    /* of these, or beyond, what OWN_PLACE speaks of */
    uint32_t least, most;
    bool rest; /* more may follow */
} Shape;

/* The schemas of the first places: an array node, or 0. */
static uint32_t prefix_of(const Schema *s, uint32_t node)
{
    uint32_t list = schema_get(s, node, "prefixItems"), items = schema_get(s, node, "items");
    if (list) return list;
    return items && s->tree.nodes[items].kind == JSON_KIND_ARRAY ? items : 0;
}

/* The schema of the places after them, or 0 when nothing is said. */
static uint32_t rest_of(const Schema *s, uint32_t node)
{
    uint32_t items = schema_get(s, node, "items");
    if (items && s->tree.nodes[items].kind == JSON_KIND_ARRAY)
        return schema_get(s, node, "additionalItems");
    return items;
}

static Shape shape_of(const Schema *s, const AtomList *set)
{
    Shape shape = {.most = GRAMMAR_NO_LIMIT};
    bool said = false, counted = false, closed = false;
    for (uint32_t i = 0; i < set->n; i++) {
        uint32_t node = atom_node(set->atoms[i]), list = prefix_of(s, node), n;
        uint32_t rest = rest_of(s, node);
        if (list && s->tree.nodes[list].n > shape.prefix) shape.prefix = s->tree.nodes[list].n;
        if (rest) said = true;
        if (rest && s->tree.nodes[rest].kind == JSON_KIND_FALSE) closed = true;
        if (schema_count(s, node, "minItems", &n)) {
            counted = true;
            if (n > shape.least) shape.least = n;
        }
        if (schema_count(s, node, "maxItems", &n) && n < shape.most) shape.most = n;
        uint32_t place = schema_own(s, node, 0, OWN_PLACE);
        if (place && s->tree.nodes[place].n + 1 > shape.own) shape.own = s->tree.nodes[place].n + 1;
    }
    shape.rest = !closed && (said || shape.prefix == 0);
    if (!shape.rest && shape.most > shape.prefix) shape.most = shape.prefix;
    if (!said && !counted && shape.prefix)
        shape.least = shape.most < shape.prefix ? shape.most : shape.prefix;
    if (shape.own > shape.least) shape.least = shape.own;
    if (shape.own > shape.prefix) shape.prefix = shape.own;
    return shape;
}

/* The rule of place `index`; GRAMMAR_NO_LIMIT: of all after the first. */
static uint32_t item_rule(Schema *s, const AtomList *set, uint32_t index)
{
    AtomList of = {0};
    for (uint32_t i = 0; i < set->n; i++) {
        uint32_t node = atom_node(set->atoms[i]), list = prefix_of(s, node), at = 0;
        if (list && index < s->tree.nodes[list].n) {
            at = s->tree.nodes[list].child;
            for (uint32_t k = 0; k < index; k++) at = s->tree.nodes[at].next;
        } else {
            at = rest_of(s, node);
        }
        if (at) atoms_add(s, &of, atom_of(at));
        uint32_t place = schema_own(s, node, 0, OWN_PLACE);
        if (place && s->tree.nodes[place].n == index)
            atoms_add(s, &of, atom_of(s->tree.nodes[place].child));
    }
    uint32_t rule = schema_rule(s, &of);
    atoms_close(&of);
    return rule;
}

/* A rule that reads a comma, white space and one item. */
static uint32_t comma_rule(Schema *s, uint32_t item)
{
    GrammarBuilder *b = s->b;
    uint32_t rule = builder_rule(b, (Span){0});
    if (b->no_memory || b->too_large) return 0;
    BuilderRule r = b->rules[rule];
    uint32_t comma = builder_state(b), blank = builder_state(b);
    builder_bytes(b, r.start, ',', ',', comma);
    builder_call(b, comma, schema_blank(s), blank);
    builder_call(b, blank, item, r.end);
    return rule;
}

void schema_array(Schema *s, const AtomList *set, uint32_t from, uint32_t to)
{
    GrammarBuilder *b = s->b;
    Shape shape = shape_of(s, set);
    uint32_t open = builder_state(b), first = builder_state(b), close = builder_state(b);
    uint32_t last = builder_state(b), at = first;
    if (shape.least > shape.most) return;
    builder_bytes(b, from, '[', '[', open);
    builder_call(b, open, schema_blank(s), first);
    builder_bytes(b, close, ']', ']', to);
    builder_call(b, last, schema_blank(s), close);
    if (shape.least == 0) builder_empty(b, first, close);
    uint32_t own = shape.prefix < shape.most ? shape.prefix : shape.most;
    for (uint32_t i = 0; i < own && s->status == BT_OK && !b->too_large && !b->no_memory; i++) {
        uint32_t next = builder_state(b), item = item_rule(s, set, i);
        builder_call(b, at, i ? comma_rule(s, item) : item, next);
        at = next;
        if (i + 1 >= shape.least) builder_empty(b, at, last);
    }
    if (shape.most <= own || !shape.rest) return;
    uint32_t item = item_rule(s, set, GRAMMAR_NO_LIMIT), done = own;
    if (own == 0) {
        uint32_t next = builder_state(b);
        builder_call(b, at, item, next);
        at = next;
        done = 1;
    }
    uint32_t least = shape.least > done ? shape.least - done : 0;
    uint32_t most = shape.most == GRAMMAR_NO_LIMIT ? shape.most : shape.most - done;
    builder_repeat(b, at, comma_rule(s, item), least, most, last);
}
