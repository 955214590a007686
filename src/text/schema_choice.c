/* Choices: anyOf and oneOf (see schema_parts.h). A branch of anyOf is a rule of the set with that
 * branch in it. So is one of oneOf, with the contraries (schema_contrary.c) of all branches that it
 * is not plainly apart from: by type, or by a property that must be there and whose values differ
 * or that the other forbids. */
#include "base/mem.h"
#include "text/schema_parts.h"

enum { MOST_ONE_OF = 256 };

static bool add_all(Schema *s, AtomList *out, const AtomList *from)
{
    for (uint32_t i = 0; i < from->n; i++)
        if (!atoms_add(s, out, from->atoms[i])) return false;
    return true;
}

/* The set in which the choice of atoms[at] fell on `branch`. */
static bool branch_set(Schema *s, const AtomList *set, uint32_t at, bool one, uint32_t branch,
                       AtomList *out)
{
    out->n = 0;
    out->never = false;
    if (!schema_choice_work(s, set->n)) return false;
    if (!add_all(s, out, set) || !out->atoms) return false;
    out->atoms[at] |= one ? ATOM_ONE : ATOM_ANY;
    for (uint32_t i = 0; i < out->n; i++)
        if (atom_node(out->atoms[i]) == branch) return true;
    return atoms_add(s, out, atom_of(branch));
}

/* Types that the set admits by what JSON Schema says, with nothing inferred. */
static unsigned strict_types(Schema *s, const AtomList *set)
{
    unsigned types = TYPE_ALL, listed = 0;
    uint32_t node;
    bool alone;
    for (uint32_t i = 0; i < set->n; i++) types &= schema_types(s, atom_node(set->atoms[i]));
    if (!schema_values_of(s, set, &node)) return types;
    static const unsigned of_kind[] = {TYPE_NULL,   TYPE_BOOLEAN, TYPE_BOOLEAN, TYPE_NUMBER,
                                       TYPE_STRING, TYPE_ARRAY,   TYPE_OBJECT};
    for (uint32_t at = schema_first_value(s, node, &alone); at;
         at = alone ? 0 : s->tree.nodes[at].next)
        listed |= of_kind[s->tree.nodes[at].kind];
    return types & listed;
}

static bool values_apart(Schema *s, uint32_t a, uint32_t b)
{
    bool alone_a, alone_b, certain;
    for (uint32_t x = schema_first_value(s, a, &alone_a); x;
         x = alone_a ? 0 : s->tree.nodes[x].next)
        for (uint32_t y = schema_first_value(s, b, &alone_b); y;
             y = alone_b ? 0 : s->tree.nodes[y].next)
            if (!schema_choice_work(s, 1) || schema_may_equal(s, x, y, &certain)) return false;
    return true;
}

/* What a set says of a property. */
typedef struct Said {
    bool required, forbidden;
    bool declared; /* by a schema that the text has, not by an added one */
    bool listed;
    uint32_t values; /* listed: the schema that lists its values */
} Said;

static Said said_of(Schema *s, const AtomList *set, Span name)
{
    AtomList of = {0};
    Said said = {0};
    for (uint32_t i = 0; i < set->n && schema_choice_work(s, 1); i++) {
        uint32_t node = atom_node(set->atoms[i]);
        uint32_t properties = schema_get(s, node, "properties");
        uint32_t more = schema_get(s, node, "additionalProperties");
        uint32_t names = schema_get(s, node, "required");
        uint32_t at = properties ? json_tree_get(&s->tree, properties, name) : 0;
        if (at) atoms_add(s, &of, atom_of(at));
        if (at && !schema_is_own(s, node)) said.declared = true;
        if (!at && more && s->tree.nodes[more].kind == JSON_KIND_FALSE) said.forbidden = true;
        for (uint32_t c = names ? s->tree.nodes[names].child : 0; c; c = s->tree.nodes[c].next) {
            if (!span_equal(s->tree.nodes[c].text, name)) continue;
            said.required = true;
            if (!schema_is_own(s, node)) said.declared = true;
        }
    }
    schema_expand(s, &of);
    if (of.never || !strict_types(s, &of)) said.forbidden = true;
    said.listed = schema_values_of(s, &of, &said.values);
    atoms_close(&of);
    return said;
}

/* True when no object can meet both: a property that must be there in one has listed values that
 * the other does not list, or may not be there in the other. */
static bool objects_apart(Schema *s, const AtomList *a, const AtomList *b)
{
    for (uint32_t i = 0; i < a->n; i++) {
        uint32_t properties = schema_get(s, atom_node(a->atoms[i]), "properties");
        uint32_t c = properties ? s->tree.nodes[properties].child : 0;
        for (; c && s->status == BT_OK; c = s->tree.nodes[c].next) {
            Said x = said_of(s, a, s->tree.nodes[c].key), y = said_of(s, b, s->tree.nodes[c].key);
            if ((x.required && y.forbidden) || (y.required && x.forbidden)) return true;
            if ((x.required || y.required) && x.listed && y.listed &&
                values_apart(s, x.values, y.values))
                return true;
        }
    }
    return false;
}

static bool sets_apart(Schema *s, const AtomList *a, const AtomList *b)
{
    uint32_t values_a, values_b;
    unsigned both = strict_types(s, a) & strict_types(s, b);
    if (!both || a->never || b->never) return true;
    if (schema_values_of(s, a, &values_a) && schema_values_of(s, b, &values_b) &&
        values_apart(s, values_a, values_b))
        return true;
    return both == TYPE_OBJECT && (objects_apart(s, a, b) || objects_apart(s, b, a));
}

/* Which branches of a oneOf no value can meet both of: out (n, n). The others are held apart by
 * their contraries. */
static void tell_apart(Schema *s, const AtomList *set, uint32_t at, uint32_t list, bool *out)
{
    uint32_t n = s->tree.nodes[list].n, i = 0;
    AtomList *sets = mem_zalloc(n, sizeof *sets);
    if (!sets) {
        schema_no_memory(s);
        return;
    }
    for (uint32_t c = s->tree.nodes[list].child; c; c = s->tree.nodes[c].next, i++)
        if (!branch_set(s, set, at, true, c, &sets[i]) || !schema_expand(s, &sets[i])) break;
    for (uint32_t a = 0; a < n && s->status == BT_OK; a++)
        for (uint32_t b = a + 1; b < n && s->status == BT_OK; b++)
            out[a * n + b] = out[b * n + a] = sets_apart(s, &sets[a], &sets[b]);
    for (i = 0; i < n; i++) atoms_close(&sets[i]);
    mem_free(sets);
}

/* Whether objects may have properties that no schema of the text declares (see schema_object). */
bool schema_is_open(const Schema *s, const AtomList *set)
{
    bool declared = false, said = false;
    for (uint32_t i = 0; i < set->n; i++) {
        uint32_t node = atom_node(set->atoms[i]);
        uint32_t more = schema_get(s, node, "additionalProperties");
        if (!schema_is_own(s, node) && schema_get(s, node, "properties")) declared = true;
        if (!more) continue;
        said = true;
        if (s->tree.nodes[more].kind == JSON_KIND_FALSE) return false;
    }
    return said || !declared;
}

/* The set declares a property that `schema` does not. */
static bool declares_more(Schema *s, const AtomList *set, uint32_t schema)
{
    uint32_t known = schema_get(s, schema, "properties");
    for (uint32_t i = 0; i < set->n; i++) {
        uint32_t at = schema_get(s, atom_node(set->atoms[i]), "properties");
        for (uint32_t c = at ? s->tree.nodes[at].child : 0; c && schema_choice_work(s, 1);
             c = s->tree.nodes[c].next)
            if (!known || !json_tree_get(&s->tree, known, s->tree.nodes[c].key)) return true;
    }
    return false;
}

/* Plainly nothing is in the set: of the many that contraries make most are such. */
static bool plainly_empty(Schema *s, const AtomList *set)
{
    unsigned types = strict_types(s, set);
    if (set->never || !types) return true;
    if (!(types & ~(unsigned)TYPE_NUMBER))
        return schema_choice_work(s, set->n) && schema_no_number(s, set);
    if (types != TYPE_OBJECT) return false;
    bool open = schema_is_open(s, set);
    for (uint32_t i = 0; i < set->n && s->status == BT_OK; i++) {
        uint32_t names = schema_get(s, atom_node(set->atoms[i]), "required");
        uint32_t c = names ? s->tree.nodes[names].child : 0;
        uint32_t extra = schema_own(s, atom_node(set->atoms[i]), 0, OWN_EXTRA);
        if (extra && !open && !declares_more(s, set, s->tree.nodes[extra].child)) return true;
        for (; c && s->status == BT_OK; c = s->tree.nodes[c].next) {
            Said said = said_of(s, set, s->tree.nodes[c].text);
            if (said.forbidden || (!open && !said.declared)) return true;
        }
    }
    return false;
}

/* Plainly nothing meets the set: one of the contraries that were added to it has no way in it. */
static bool no_way(Schema *s, const AtomList *set, uint32_t n_before)
{
    AtomList next = {0};
    bool none = false;
    for (uint32_t i = n_before; i < set->n && !none && s->status == BT_OK; i++) {
        uint32_t list = schema_get(s, atom_node(set->atoms[i]), "anyOf");
        none = true;
        for (uint32_t c = list ? s->tree.nodes[list].child : 0; c && none;
             c = s->tree.nodes[c].next)
            none = !branch_set(s, set, i, false, c, &next) || !schema_expand(s, &next) ||
                   plainly_empty(s, &next);
    }
    atoms_close(&next);
    return none && s->status == BT_OK;
}

static void one_of(Schema *s, const AtomList *set, uint32_t at, uint32_t from, uint32_t to)
{
    uint32_t list = schema_get(s, atom_node(set->atoms[at]), "oneOf");
    uint32_t n = s->tree.nodes[list].n, i = 0, k;
    AtomList next = {0};
    bool some = false;
    if (n > MOST_ONE_OF) {
        schema_fail(s, list, BT_E_LIMIT, "oneOf has %u branches, at most %d", n, MOST_ONE_OF);
        return;
    }
    bool *known = mem_zalloc((size_t)n * n, sizeof *known);
    if (!known) {
        schema_no_memory(s);
        return;
    }
    tell_apart(s, set, at, list, known);
    for (uint32_t c = s->tree.nodes[list].child; c && s->status == BT_OK;
         c = s->tree.nodes[c].next, i++) {
        if (!branch_set(s, set, at, true, c, &next)) break;
        uint32_t before = next.n;
        k = 0;
        for (uint32_t o = s->tree.nodes[list].child; o; o = s->tree.nodes[o].next, k++) {
            if (k == i || known[i * n + k]) continue;
            uint32_t contrary = schema_contrary(s, o);
            if (!contrary || !atoms_add(s, &next, atom_of(contrary))) break;
        }
        if (s->status != BT_OK || no_way(s, &next, before)) continue;
        builder_call(s->b, from, schema_rule(s, &next), to);
        some = true;
    }
    if (!some)
        schema_fail(s, list, BT_E_ARGUMENT,
                    "no value that could be written meets one branch of this oneOf alone (an "
                    "object may have properties that a branch does not name, unless "
                    "additionalProperties is false): use anyOf");
    mem_free(known);
    atoms_close(&next);
}

static void any_of(Schema *s, const AtomList *set, uint32_t at, uint32_t from, uint32_t to)
{
    uint32_t list = schema_get(s, atom_node(set->atoms[at]), "anyOf");
    AtomList next = {0};
    for (uint32_t c = s->tree.nodes[list].child; c && s->status == BT_OK;
         c = s->tree.nodes[c].next) {
        if (!branch_set(s, set, at, false, c, &next)) break;
        if (schema_is_own(s, list) && (!schema_expand(s, &next) || plainly_empty(s, &next)))
            continue;
        builder_call(s->b, from, schema_rule(s, &next), to);
    }
    atoms_close(&next);
}

void schema_choice(Schema *s, const AtomList *set, uint32_t at, bool one, uint32_t from,
                   uint32_t to)
{
    if (one)
        one_of(s, set, at, from, to);
    else
        any_of(s, set, at, from, to);
}
