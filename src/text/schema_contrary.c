/* What a value must be to fail a schema, as a schema again: oneOf and `not` need it. A value fails
 * when it fails one keyword, so the contrary is an anyOf with a branch, a *way*, for each keyword:
 * {"minLength": 3} is failed by {"type": "string", "maxLength": 2}, and so on. The ways are nodes
 * added to the schema's tree and compiled like all others; where JSON Schema has no keyword for
 * them they use words of our own (OWN_...), which no text can hold. The contrary of what lies
 * deeper is made when it is come to, so recursive schemas have one too.
 *
 * Ways only leave out: a text that one of them admits fails the schema for certain, in the eyes of
 * every validator. Left out are keywords that have no such way (propertyNames, formats that we do
 * not know, arrays and objects in enum); a schema of these alone is refused by name. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/schema_parts.h"

enum { MOST_PAIRS = 16 }; /* branches of a oneOf that is to fail by meeting two */

typedef struct Ways {
    Schema *s;
    uint32_t of, list;   /* the schema; the anyOf that is made */
    const char *dropped; /* a keyword that has no way */
} Ways;

static uint32_t add(Schema *s, uint32_t parent, JsonKind kind, const char *key, Span text)
{
    uint32_t id = json_tree_add(&s->tree, parent, kind, span_of(key), text);
    if (!id) schema_no_memory(s);
    return id;
}

static uint32_t apart(Schema *s, uint32_t node, JsonKind kind)
{
    uint32_t id = json_tree_add_apart(&s->tree, node, kind, SPAN("not"));
    if (!id) schema_no_memory(s);
    return id;
}

/* A word of our own that points at a node. Several of one name may stand in a schema, so it is no
 * member that could be looked up. */
static void point(Schema *s, uint32_t schema, const char *word, uint32_t target, uint32_t number)
{
    uint32_t id = json_tree_add_apart(&s->tree, schema, JSON_KIND_NULL, span_of(word));
    if (!id) {
        schema_no_memory(s);
        return;
    }
    JsonNode *nodes = s->tree.nodes;
    nodes[id].child = target;
    nodes[id].n = number;
    nodes[id].next = nodes[schema].child;
    nodes[schema].child = id;
}

/* A new way, for values of `type` (NULL: any). 0 after a failure. */
static uint32_t way(Ways *w, const char *type)
{
    uint32_t id = add(w->s, w->list, JSON_KIND_OBJECT, "", (Span){0});
    if (id && type) add(w->s, id, JSON_KIND_STRING, "type", span_of(type));
    return id;
}

static void way_to(Ways *w, const char *type, const char *word, uint32_t target, uint32_t number)
{
    uint32_t id = way(w, type);
    if (id) point(w->s, id, word, target, number);
}

/* A number of which no other is the same double, so that every validator sees the bound alike. */
static void way_number(Ways *w, const char *key, Span number)
{
    uint32_t id = schema_number_exact(number) ? way(w, "number") : 0;
    if (id)
        add(w->s, id, JSON_KIND_NUMBER, key, number);
    else
        w->dropped = key;
}

/* A count: a number without text, see schema_count. */
static void way_count(Ways *w, const char *type, const char *key, uint32_t count)
{
    uint32_t id = way(w, type);
    uint32_t at = id ? add(w->s, id, JSON_KIND_NUMBER, key, (Span){0}) : 0;
    if (at) w->s->tree.nodes[at].n = count;
}

static const struct {
    unsigned type;
    const char *name;
} names[] = {{TYPE_NULL, "null"},     {TYPE_BOOLEAN, "boolean"}, {TYPE_NUMBER, "number"},
             {TYPE_STRING, "string"}, {TYPE_ARRAY, "array"},     {TYPE_OBJECT, "object"}};

/* Values of other types than these. */
static void other_types(Ways *w, unsigned types)
{
    Schema *s = w->s;
    uint32_t list = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (types & names[i].type) continue;
        uint32_t id = list ? 0 : way(w, NULL);
        if (id) list = add(s, id, JSON_KIND_ARRAY, "type", (Span){0});
        if (list) add(s, list, JSON_KIND_STRING, "", span_of(names[i].name));
    }
    if ((types & TYPE_NUMBER) == TYPE_INTEGER) way_to(w, "number", OWN_FRACTION, 0, 0);
}

/* ---- values --------------------------------------------------------------------------- */

static int by_size(const void *left, const void *right)
{
    const Span *a = left, *b = right;
    int order = schema_number_compare(*a, *b);
    return order == 2 ? 0 : order;
}

/* Numbers between, before and after those listed. */
static void other_numbers(Ways *w, Span *numbers, uint32_t n)
{
    Schema *s = w->s;
    qsort(numbers, n, sizeof *numbers, by_size);
    for (uint32_t i = 0; i <= n && s->status == BT_OK; i++) {
        uint32_t id = way(w, "number");
        if (id && i) add(s, id, JSON_KIND_NUMBER, "exclusiveMinimum", numbers[i - 1]);
        if (id && i < n) add(s, id, JSON_KIND_NUMBER, "exclusiveMaximum", numbers[i]);
    }
}

/* `keyword` is a const or an enum. */
static void other_values(Ways *w, uint32_t keyword, bool alone)
{
    Schema *s = w->s;
    unsigned kinds = 0;
    uint32_t most = alone ? 1 : s->tree.nodes[keyword].n, n_numbers = 0;
    uint32_t first = alone ? keyword : s->tree.nodes[keyword].child;
    Span *numbers = mem_alloc(most * sizeof *numbers);
    bool exact = true;
    if (!numbers) {
        schema_no_memory(s);
        return;
    }
    for (uint32_t at = first; at; at = alone ? 0 : s->tree.nodes[at].next) {
        const JsonNode *value = &s->tree.nodes[at];
        kinds |= 1u << value->kind;
        if (value->kind != JSON_KIND_NUMBER) continue;
        exact = exact && schema_number_exact(value->text);
        numbers[n_numbers++] = value->text;
    }
    bool booleans = kinds & (1u << JSON_KIND_FALSE | 1u << JSON_KIND_TRUE);
    other_types(w, (kinds & 1u << JSON_KIND_NULL ? TYPE_NULL : 0) | (booleans ? TYPE_BOOLEAN : 0) |
                       (n_numbers ? TYPE_NUMBER : 0) |
                       (kinds & 1u << JSON_KIND_STRING ? TYPE_STRING : 0) |
                       (kinds & 1u << JSON_KIND_ARRAY ? TYPE_ARRAY : 0) |
                       (kinds & 1u << JSON_KIND_OBJECT ? TYPE_OBJECT : 0));
    for (int kind = JSON_KIND_FALSE; kind <= JSON_KIND_TRUE && booleans; kind++) {
        uint32_t id = kinds & 1u << kind ? 0 : way(w, NULL);
        if (id) add(s, id, (JsonKind)kind, "const", (Span){0});
    }
    if (kinds & 1u << JSON_KIND_STRING) way_to(w, "string", OWN_OTHER, keyword, alone);
    if (n_numbers && exact) other_numbers(w, numbers, n_numbers);
    if ((n_numbers && !exact) || kinds & (1u << JSON_KIND_ARRAY | 1u << JSON_KIND_OBJECT))
        w->dropped = alone ? "const" : "enum";
    mem_free(numbers);
}

/* ---- keywords of one type ------------------------------------------------------------------ */

static bool is_true(const Schema *s, uint32_t node)
{
    const JsonNode *n = &s->tree.nodes[node];
    return n->kind == JSON_KIND_TRUE || (n->kind == JSON_KIND_OBJECT && !n->child);
}

/* {not: node}, to hold elsewhere. */
static uint32_t contrary_of(Schema *s, uint32_t node)
{
    uint32_t id = apart(s, node, JSON_KIND_OBJECT);
    if (id) point(s, id, OWN_NOT, node, 0);
    return id;
}

static void fail_string(Ways *w)
{
    Schema *s = w->s;
    uint32_t n, pattern = schema_get(s, w->of, "pattern"), format = schema_get(s, w->of, "format");
    bool note = false;
    if (schema_count(s, w->of, "minLength", &n) && n) way_count(w, "string", "maxLength", n - 1);
    if (schema_count(s, w->of, "maxLength", &n)) way_count(w, "string", "minLength", n + 1);
    if (pattern) way_to(w, "string", OWN_FAILS, pattern, 0);
    if (schema_get(s, w->of, "x-copied")) w->dropped = "x-copied";
    if (!format) return;
    if (schema_format_shape(s->tree.nodes[format].text))
        way_to(w, "string", OWN_FAILS, format, 0);
    else if (!schema_format(s->tree.nodes[format].text, &note) && !note)
        w->dropped = "format";
}

static void fail_number(Ways *w)
{
    static const struct {
        const char *bound, *strict, *contrary;
    } rows[] = {{"minimum", "exclusiveMinimum", "exclusiveMaximum"},
                {"maximum", "exclusiveMaximum", "exclusiveMinimum"}};
    Schema *s = w->s;
    for (int i = 0; i < 2; i++) {
        uint32_t at = schema_get(s, w->of, rows[i].bound);
        uint32_t strict = schema_get(s, w->of, rows[i].strict);
        if (at) way_number(w, rows[i].contrary, s->tree.nodes[at].text);
        if (strict && s->tree.nodes[strict].kind == JSON_KIND_NUMBER)
            way_number(w, rows[1 - i].bound, s->tree.nodes[strict].text);
    }
}

/* An item of the wrong kind; of those after the first places, the first tells. */
static void fail_array(Ways *w)
{
    Schema *s = w->s;
    uint32_t n, places = 0, list = schema_get(s, w->of, "prefixItems");
    uint32_t rest = schema_get(s, w->of, "items");
    if (schema_count(s, w->of, "minItems", &n) && n) way_count(w, "array", "maxItems", n - 1);
    if (schema_count(s, w->of, "maxItems", &n)) way_count(w, "array", "minItems", n + 1);
    if (!list && rest && s->tree.nodes[rest].kind == JSON_KIND_ARRAY) {
        list = rest;
        rest = schema_get(s, w->of, "additionalItems");
    }
    for (uint32_t c = list ? s->tree.nodes[list].child : 0; c; c = s->tree.nodes[c].next, places++)
        if (!is_true(s, c)) way_to(w, "array", OWN_PLACE, contrary_of(s, c), places);
    if (rest && !is_true(s, rest)) way_to(w, "array", OWN_PLACE, contrary_of(s, rest), places);
}

/* A property with this value: a node, or `false` (then it is not there). */
static void way_property(Ways *w, Span name, uint32_t bad)
{
    Schema *s = w->s;
    uint32_t id = way(w, "object");
    uint32_t map = id ? add(s, id, JSON_KIND_OBJECT, "properties", (Span){0}) : 0;
    uint32_t value = map ? json_tree_add(&s->tree, map, bad ? JSON_KIND_OBJECT : JSON_KIND_FALSE,
                                         name, (Span){0})
                         : 0;
    uint32_t list = value && bad ? add(s, id, JSON_KIND_ARRAY, "required", (Span){0}) : 0;
    if (map && !value) schema_no_memory(s);
    if (!list) return;
    point(s, value, OWN_NOT, bad, 0);
    add(s, list, JSON_KIND_STRING, "", name);
}

static void fail_object(Ways *w)
{
    Schema *s = w->s;
    uint32_t properties = schema_get(s, w->of, "properties");
    uint32_t required = schema_get(s, w->of, "required");
    uint32_t more = schema_get(s, w->of, "additionalProperties");
    uint32_t c = required ? s->tree.nodes[required].child : 0;
    for (; c && s->status == BT_OK; c = s->tree.nodes[c].next)
        way_property(w, s->tree.nodes[c].text, 0);
    c = properties ? s->tree.nodes[properties].child : 0;
    for (; c && s->status == BT_OK; c = s->tree.nodes[c].next)
        if (!is_true(s, c)) way_property(w, s->tree.nodes[c].key, c);
    if (more && !is_true(s, more)) {
        bool never = s->tree.nodes[more].kind == JSON_KIND_FALSE;
        way_to(w, "object", OWN_EXTRA, w->of, never ? 0 : contrary_of(s, more));
    }
    if (schema_get(s, w->of, "propertyNames")) w->dropped = "propertyNames";
}

/* ---- joins -------------------------------------------------------------------------------- */

static void fail_joins(Ways *w)
{
    static const char *const lists[] = {"anyOf", "oneOf"};
    Schema *s = w->s;
    uint32_t ref = schema_get(s, w->of, "$ref"), target;
    uint32_t all = schema_get(s, w->of, "allOf"), not = schema_get(s, w->of, "not");
    if (ref && schema_target(s, w->of, ref, &target)) way_to(w, NULL, OWN_NOT, target, 0);
    if (not ) way_to(w, NULL, OWN_IS, not, 0);
    for (uint32_t c = all ? s->tree.nodes[all].child : 0; c; c = s->tree.nodes[c].next)
        way_to(w, NULL, OWN_NOT, c, 0);
    for (int k = 0; k < 2; k++) {
        uint32_t list = schema_get(s, w->of, lists[k]), none = list ? way(w, NULL) : 0;
        for (uint32_t c = none ? s->tree.nodes[list].child : 0; c; c = s->tree.nodes[c].next)
            point(s, none, OWN_NOT, c, 0);
        if (!none || k == 0) continue;
        if (s->tree.nodes[list].n > MOST_PAIRS) {
            w->dropped = "oneOf";
            continue;
        }
        for (uint32_t a = s->tree.nodes[list].child; a; a = s->tree.nodes[a].next)
            for (uint32_t b = s->tree.nodes[a].next; b; b = s->tree.nodes[b].next) {
                uint32_t both = way(w, NULL);
                if (!both) return;
                point(s, both, OWN_IS, a, 0);
                point(s, both, OWN_IS, b, 0);
            }
    }
}

uint32_t schema_contrary(Schema *s, uint32_t node)
{
    Ways w = {.s = s, .of = node};
    JsonKind kind = s->tree.nodes[node].kind;
    if (s->contrary[node]) return s->contrary[node];
    if (!schema_part_check(s, node)) return 0;
    uint32_t root = apart(s, node, kind == JSON_KIND_FALSE ? JSON_KIND_TRUE : JSON_KIND_OBJECT);
    if (root && kind == JSON_KIND_OBJECT)
        w.list = add(s, root, JSON_KIND_ARRAY, "anyOf", (Span){0});
    if (w.list) {
        uint32_t type = schema_get(s, node, "type"), list = schema_get(s, node, "enum");
        uint32_t one = schema_get(s, node, "const");
        /* `nullable` is OpenAPI's: null is neither surely valid nor surely not. */
        bool nullable = schema_get(s, node, "nullable") != 0;
        if (type) other_types(&w, schema_types(s, node) | (nullable ? TYPE_NULL : 0));
        if (list) other_values(&w, list, false);
        if (one) other_values(&w, one, true);
        fail_string(&w);
        fail_number(&w);
        fail_array(&w);
        fail_object(&w);
        fail_joins(&w);
    }
    if (s->status != BT_OK) return 0;
    bool none = kind == JSON_KIND_TRUE || (w.list && !s->tree.nodes[w.list].n);
    if (none && w.dropped) {
        schema_fail(s, node, BT_E_UNSUPPORTED,
                    "which values fail this schema must be known (for oneOf or not), and that "
                    "cannot be told of its '%s'",
                    w.dropped);
        return 0;
    }
    if (none) s->tree.nodes[root].kind = JSON_KIND_FALSE;
    return s->contrary[node] = root;
}
