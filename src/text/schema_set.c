/* Sets of schemas (see schema_parts.h): references followed, allOf joined, each set made a rule
 * once. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/hex.h"
#include "base/mem.h"
#include "text/schema_parts.h"

bool atoms_add(Schema *s, AtomList *list, Atom atom)
{
    if (s->status != BT_OK) return false;
    if (list->n == list->capacity) {
        uint32_t grown = list->capacity ? list->capacity * 2 : 16;
        Atom *atoms = mem_realloc(list->atoms, grown * sizeof *atoms);
        if (!atoms) return schema_no_memory(s);
        list->atoms = atoms;
        list->capacity = grown;
    }
    list->atoms[list->n++] = atom;
    return true;
}

void atoms_close(AtomList *list)
{
    mem_free(list->atoms);
    *list = (AtomList){0};
}

/* ---- references ------------------------------------------------------------------- */

/* One step of a JSON pointer (RFC 6901) in a fragment: %XX, then ~1 and ~0. */
static Span pointer_step(Span step, char *out, size_t capacity)
{
    size_t n = 0;
    for (size_t i = 0; i < step.size && n < capacity; i++) {
        char c = step.data[i];
        if (c == '%' && i + 2 < step.size && hex_digit(step.data[i + 1]) >= 0 &&
            hex_digit(step.data[i + 2]) >= 0) {
            c = (char)(hex_digit(step.data[i + 1]) << 4 | hex_digit(step.data[i + 2]));
            i += 2;
        }
        if (c == '~' && i + 1 < step.size && (step.data[i + 1] == '0' || step.data[i + 1] == '1'))
            c = step.data[++i] == '1' ? '/' : '~';
        out[n++] = c;
    }
    return (Span){out, n};
}

static uint32_t by_index(const JsonTree *t, uint32_t array, Span step)
{
    uint32_t index = 0, at = t->nodes[array].child;
    if (!step.size || step.size > 7) return 0;
    for (size_t i = 0; i < step.size; i++) {
        if (step.data[i] < '0' || step.data[i] > '9') return 0;
        index = index * 10 + (uint32_t)(step.data[i] - '0');
    }
    while (at && index--) at = t->nodes[at].next;
    return at;
}

static uint32_t by_anchor(const JsonTree *t, Span name)
{
    for (uint32_t i = 1; i < t->n; i++)
        if (t->nodes[i].kind == JSON_KIND_STRING && span_is(t->nodes[i].key, "$anchor") &&
            span_equal(t->nodes[i].text, name))
            return t->nodes[i].parent;
    return 0;
}

bool schema_target(Schema *s, uint32_t node, uint32_t ref, uint32_t *out)
{
    const JsonTree *t = &s->tree;
    Span text = t->nodes[ref].text;
    uint32_t id = json_tree_get(t, 0, SPAN("$id")), at = 0;
    char step[512];
    if (id && t->nodes[id].kind == JSON_KIND_STRING && t->nodes[id].text.size &&
        text.size >= t->nodes[id].text.size &&
        memcmp(text.data, t->nodes[id].text.data, t->nodes[id].text.size) == 0)
        text = (Span){text.data + t->nodes[id].text.size, text.size - t->nodes[id].text.size};
    bool good = text.size == 0 || text.data[0] == '#';
    if (good && text.size > 1 && text.data[1] != '/') {
        at = by_anchor(t, (Span){text.data + 1, text.size - 1});
        good = at != 0;
    } else if (good) {
        for (size_t i = 1; good && i < text.size;) {
            size_t from = ++i;
            while (i < text.size && text.data[i] != '/') i++;
            Span name = pointer_step((Span){text.data + from, i - from}, step, sizeof step);
            if (t->nodes[at].kind == JSON_KIND_ARRAY)
                at = by_index(t, at, name);
            else
                at = json_tree_get(t, at, name);
            good = at != 0;
        }
    }
    *out = at;
    return good || schema_fail(s, node, BT_E_ARGUMENT,
                               "$ref '%.*s' names nothing in this schema (other documents are not "
                               "fetched)",
                               text.size > 200 ? 200 : (int)text.size, text.data);
}

/* ---- circles ------------------------------------------------------------------------ */

/* The next schema that speaks of the same value as `node`; 0 past the last, *good false after a
 * failure. The root cannot be a part, but may be named: *root. *turn, 0 at first: which came last;
 * one of a list by its own number + PART_LISTED. */
enum { PART_NOT, PART_REF, PART_LISTS, PART_LISTED = 8 };
static uint32_t next_part(Schema *s, uint32_t node, uint32_t *turn, bool *root, bool *good)
{
    static const char *const lists[] = {"allOf", "anyOf", "oneOf"};
    uint32_t out = 0, list = PART_LISTS;
    *root = false;
    if (*turn == PART_NOT) {
        *turn = PART_REF;
        if ((out = schema_get(s, node, "not")) != 0) return out;
    }
    if (*turn == PART_REF) {
        uint32_t ref = schema_get(s, node, "$ref");
        *turn = PART_LISTS;
        if (ref) {
            *good = schema_target(s, node, ref, &out);
            *root = *good && out == 0;
            return out;
        }
    }
    if (*turn >= PART_LISTED) {
        const JsonNode *last = &s->tree.nodes[*turn - PART_LISTED];
        while (list < PART_LISTS + 2 &&
               schema_get(s, node, lists[list - PART_LISTS]) != last->parent)
            list++;
        list++;
        out = last->next;
    }
    for (; !out && list < PART_LISTS + 3; list++) {
        uint32_t at = schema_get(s, node, lists[list - PART_LISTS]);
        out = at ? s->tree.nodes[at].child : 0;
    }
    if (out) *turn = out + PART_LISTED;
    return out;
}

/* A schema that, through $ref, allOf, anyOf, oneOf or not, is a part of itself says nothing. Depth
 * first with a stack of our own; `checked` 2 is done, 3 on the stack. Added schemas speak only of
 * parts that were checked before. */
bool schema_part_check(Schema *s, uint32_t start)
{
    AtomList way = {0}, turn = {0};
    bool good = true, root;
    if (schema_is_own(s, start) || s->checked[start] == 2) return true;
    if (!schema_check(s, start)) return false;
    good = atoms_add(s, &way, start) && atoms_add(s, &turn, 0);
    if (good) s->checked[start] = 3;
    while (good && way.n && way.atoms && turn.atoms) {
        uint32_t node = way.atoms[way.n - 1];
        uint32_t part = next_part(s, node, &turn.atoms[turn.n - 1], &root, &good);
        if (!good) break;
        if (!part && !root) {
            s->checked[node] = 2;
            way.n--;
            turn.n--;
            continue;
        }
        if (s->checked[part] == 2) continue;
        if (s->checked[part] == 3) {
            good = schema_fail(s, node, BT_E_ARGUMENT,
                               "this schema is a part of itself, without a value in between");
            break;
        }
        good = schema_check(s, part) && atoms_add(s, &way, part) && atoms_add(s, &turn, 0);
        if (good) s->checked[part] = 3;
    }
    atoms_close(&way);
    atoms_close(&turn);
    return good;
}

/* ---- sets ----------------------------------------------------------------------------- */

static bool holds(const AtomList *list, uint32_t node)
{
    for (uint32_t i = 0; i < list->n; i++)
        if (atom_node(list->atoms[i]) == node) return true;
    return false;
}

static bool bring(Schema *s, AtomList *list, uint32_t node)
{
    if (holds(list, node)) return true;
    if (list->n >= SCHEMA_MAX_SET)
        return schema_fail(s, node, BT_E_LIMIT, "more than %d schemas hold for one value",
                           SCHEMA_MAX_SET);
    return atoms_add(s, list, atom_of(node));
}

/* Says something that is not dealt with once $ref and allOf are followed. */
static bool says_something(const Schema *s, Atom atom)
{
    uint32_t node = atom_node(atom);
    for (uint32_t c = s->tree.nodes[node].child; c; c = s->tree.nodes[c].next) {
        Span key = s->tree.nodes[c].key;
        if (span_is(key, "anyOf")           ? !(atom & ATOM_ANY)
            : span_is(key, "oneOf")         ? !(atom & ATOM_ONE)
            : span_is(key, "format")        ? true
            : schema_word(key) == WORD_JOIN ? false
                                            : schema_word(key) >= WORD_TYPE)
            return true;
    }
    return false;
}

static int by_number(const void *left, const void *right)
{
    const Atom *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

/* What the words of our own, and `not`, bring. */
static bool bring_own(Schema *s, AtomList *list, uint32_t node)
{
    uint32_t not = schema_get(s, node, "not"), at = 0, contrary;
    if (not &&(!(contrary = schema_contrary(s, not )) || !bring(s, list, contrary))) return false;
    while ((at = schema_own(s, node, at, OWN_IS)) != 0) {
        if (!bring(s, list, s->tree.nodes[at].child)) return false;
        if (!(at = s->tree.nodes[at].next)) break;
    }
    for (at = 0; (at = schema_own(s, node, at, OWN_NOT)) != 0;) {
        contrary = schema_contrary(s, s->tree.nodes[at].child);
        if (!contrary || !bring(s, list, contrary)) return false;
        if (!(at = s->tree.nodes[at].next)) break;
    }
    return true;
}

bool schema_choice_work(Schema *s, uint32_t n)
{
    s->choice_work += n;
    return s->status == BT_OK &&
           (s->choice_work <= SCHEMA_MAX_CHOICE_WORK ||
            schema_fail(s, 0, BT_E_LIMIT,
                        "the choices of this schema (anyOf, oneOf) take too long to tell apart"));
}

bool schema_expand(Schema *s, AtomList *list)
{
    uint32_t kept = 0;
    if (!schema_choice_work(s, list->n)) return false;
    for (uint32_t i = 0; i < list->n && s->status == BT_OK; i++) {
        uint32_t node = atom_node(list->atoms[i]), target;
        if (!schema_part_check(s, node)) return false;
        JsonKind kind = s->tree.nodes[node].kind;
        if (kind == JSON_KIND_FALSE) list->never = true;
        if (kind != JSON_KIND_OBJECT || list->atoms[i] & ATOM_JOINED) continue;
        list->atoms[i] |= ATOM_JOINED;
        uint32_t ref = schema_get(s, node, "$ref"), all = schema_get(s, node, "allOf");
        if (ref && (!schema_target(s, node, ref, &target) || !bring(s, list, target))) return false;
        for (uint32_t c = all ? s->tree.nodes[all].child : 0; c; c = s->tree.nodes[c].next)
            if (!bring(s, list, c)) return false;
        if (!bring_own(s, list, node)) return false;
    }
    for (uint32_t i = 0; i < list->n; i++)
        if (says_something(s, list->atoms[i])) list->atoms[kept++] = list->atoms[i];
    list->n = kept;
    if (kept) qsort(list->atoms, kept, sizeof *list->atoms, by_number);
    if (list->never) list->n = 0;
    return s->status == BT_OK;
}

static uint32_t slot_of(const Schema *s, const AtomList *list)
{
    size_t bytes = list->n * sizeof *list->atoms;
    uint32_t at = (uint32_t)hash_bytes(list->atoms, bytes, list->never ? 7 : 5) & s->table_mask;
    for (; s->table[at]; at = (at + 1) & s->table_mask) {
        const SchemaSet *set = &s->sets[s->table[at] - 1];
        if (set->n == list->n && set->never == list->never &&
            (bytes == 0 || memcmp(s->pool + set->first, list->atoms, bytes) == 0))
            break;
    }
    return at;
}

static bool grow_table(Schema *s)
{
    uint32_t size = s->table_mask ? (s->table_mask + 1) * 2 : 256;
    uint32_t *table = mem_zalloc(size, sizeof *table);
    if (!table) return schema_no_memory(s);
    mem_free(s->table);
    s->table = table;
    s->table_mask = size - 1;
    for (uint32_t i = 0; i < s->n_sets; i++) {
        AtomList list = {.n = s->sets[i].n, .never = s->sets[i].never};
        if (list.n) list.atoms = s->pool + s->sets[i].first;
        table[slot_of(s, &list)] = i + 1;
    }
    return true;
}

bool schema_room(Schema *s, void *array, uint32_t need, uint32_t *capacity, size_t size)
{
    void *memory;
    if (need <= *capacity) return true;
    uint32_t grown = *capacity ? *capacity : 64;
    while (grown < need) grown *= 2;
    memcpy(&memory, array, sizeof memory);
    memory = mem_realloc(memory, grown * size);
    if (!memory) return schema_no_memory(s);
    memcpy(array, &memory, sizeof memory);
    *capacity = grown;
    return true;
}

uint32_t schema_rule(Schema *s, AtomList *list)
{
    if (!schema_expand(s, list)) return 0;
    if (s->n_sets * 2 >= s->table_mask && !grow_table(s)) return 0;
    uint32_t at = slot_of(s, list);
    if (s->table[at]) return s->sets[s->table[at] - 1].rule;
    if (s->n_sets >= SCHEMA_MAX_SETS || s->n_pool > SCHEMA_MAX_ATOMS) {
        schema_fail(s, list->n ? atom_node(list->atoms[0]) : 0, BT_E_LIMIT,
                    "the schema becomes too many rules (%d at most)", SCHEMA_MAX_SETS);
        return 0;
    }
    if (!schema_room(s, &s->sets, s->n_sets + 1, &s->set_capacity, sizeof *s->sets) ||
        !schema_room(s, &s->pool, s->n_pool + list->n, &s->pool_capacity, sizeof *s->pool))
        return 0;
    if (list->n) memcpy(s->pool + s->n_pool, list->atoms, list->n * sizeof *s->pool);
    uint32_t rule = builder_rule(s->b, (Span){0});
    s->sets[s->n_sets] = (SchemaSet){s->n_pool, list->n, rule, list->never};
    s->n_pool += list->n;
    s->table[at] = ++s->n_sets;
    return rule;
}
