/* Containers, truth, equality and order of values, as in Python. Values hold each other at most
 * J_NEST deep (j_list_close and j_dict_set see to it), so walks keep their place in a small array
 * instead of on the C stack. */
#include <math.h>
#include <string.h>

#include "text/jinja_value.h"

#define FEW 8u /* keys that are searched one by one */

const char *j_type_name(JValue v)
{
    static const char *const kinds[] = {"list",       "tuple", "dict_keys", "dict_values",
                                        "dict_items", "range", "generator"};
    switch ((JType)v.type) {
    case J_UNDEF: return "Undefined";
    case J_NONE: return "NoneType";
    case J_BOOL: return "bool";
    case J_INT: return "int";
    case J_FLOAT: return "float";
    case J_STR: return v.safe ? "Markup" : "str";
    case J_LIST: return kinds[v.list->kind];
    case J_DICT: return "dict";
    case J_SPACE: return "Namespace";
    case J_MACRO: return "Macro";
    case J_METHOD: return "builtin_function_or_method";
    case J_GLOBAL: return "function";
    case J_LOOP: return "LoopContext";
    case J_CYCLER: return "Cycler";
    case J_JOINER: return "Joiner";
    case J_MISSING: break;
    }
    return "missing";
}

/* ---- undefined ---- */

JValue j_undefined(J *j, const char *of, JValue name)
{
    JUndef *u = j_alloc(j, sizeof *u);
    *u = (JUndef){.of = of, .name = name};
    return (JValue){.type = J_UNDEF, .undef = u};
}

JValue j_undefined_hint(J *j, const char *hint)
{
    JUndef *u = j_alloc(j, sizeof *u);
    *u = (JUndef){.hint = hint};
    return (JValue){.type = J_UNDEF, .undef = u};
}

void j_fail_undefined(J *j, JValue v)
{
    const JUndef *u = v.undef;
    if (!u) j_fail(j, BT_E_FORMAT, "a value is undefined");
    if (u->hint) j_fail(j, BT_E_FORMAT, "%s", u->hint);
    JOut out = {.j = j};
    j_print(&out, u->name, true);
    const char *name = j_utf8(j, j_out_take(&out));
    if (u->unsafe)
        j_fail(j, BT_E_FORMAT, "access to attribute %s of '%s' object is unsafe.", name, u->of);
    if (!u->of) j_fail(j, BT_E_FORMAT, "%s is undefined", name);
    bool none = strcmp(u->of, "NoneType") == 0, named = u->name.type == J_STR;
    const char *of = none ? "None" : u->of, *object = none ? "" : " object";
    if (!named) j_fail(j, BT_E_FORMAT, "%s%s has no element %s", of, object, name);
    j_fail(j, BT_E_FORMAT, "'%s%s' has no attribute %s", of, object, name);
}

void j_need_defined(J *j, JValue v)
{
    if (v.type == J_UNDEF) j_fail_undefined(j, v);
}

/* ---- lists ---- */

static uint32_t depth_of(JValue v)
{
    if (v.type == J_LIST) return v.list->depth + 1;
    if (v.type == J_DICT) return v.dict->depth + 1;
    return 0;
}

JList *j_list(J *j, JKind kind, size_t n)
{
    JList *list = j_alloc(j, sizeof *list);
    j_spend(j, n / 8);
    *list = (JList){.items = j_array(j, n, sizeof *list->items), .n = n, .kind = kind};
    return list;
}

static uint32_t deeper(J *j, uint32_t depth, JValue v)
{
    uint32_t d = depth_of(v);
    if (d > J_NEST) j_fail(j, BT_E_LIMIT, "values are nested more than %u deep", J_NEST);
    return d > depth ? d : depth;
}

JValue j_list_close(J *j, JList *list)
{
    for (size_t i = 0; i < list->n; i++) list->depth = deeper(j, list->depth, list->items[i]);
    return (JValue){.type = J_LIST, .list = list};
}

/* ---- dicts ---- */

bool j_hashable(JValue v)
{
    if (v.type == J_DICT || (v.type == J_LIST && v.list->kind != JK_TUPLE)) return false;
    if (v.type == J_LIST)
        for (size_t i = 0; i < v.list->n; i++)
            if (v.list->items[i].type == J_DICT || v.list->items[i].type == J_LIST) return false;
    return true;
}

static uint64_t hash(JValue v)
{
    uint64_t h = 0xCBF29CE484222325u;
    if (v.type == J_STR) {
        for (size_t i = 0; i < v.str->size; i++) h = (h ^ J_CODE(v.str->data[i])) * 0x100000001B3u;
    } else if (j_is_whole(v) || (v.type == J_FLOAT && v.f == floor(v.f) && fabs(v.f) < 1e18)) {
        h ^= (uint64_t)(v.type == J_FLOAT ? (int64_t)v.f : j_whole(v)) * 0x9E3779B97F4A7C15u;
    } else {
        h += v.type;
    }
    h *= 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

JDict *j_dict(J *j)
{
    JDict *d = j_alloc(j, sizeof *d);
    *d = (JDict){0};
    return d;
}

/* Index of the key, or n; with a table *slot is where it stands or may be put. */
static size_t lookup(J *j, const JDict *d, JValue key, size_t *slot)
{
    if (!d->slots) {
        for (size_t i = 0; i < d->n; i++)
            if (j_equal(j, d->keys[i], key)) return i;
        return d->n;
    }
    for (*slot = hash(key) & d->mask; d->slots[*slot]; *slot = (*slot + 1) & d->mask) {
        size_t i = d->slots[*slot] - 1;
        j_spend(j, 1);
        if (j_equal(j, d->keys[i], key)) return i;
    }
    return d->n;
}

static void grow(J *j, JDict *d)
{
    size_t capacity = d->capacity ? 2 * d->capacity : 4;
    JValue *keys = j_array(j, capacity, sizeof *keys);
    JValue *values = j_array(j, capacity, sizeof *values);
    if (capacity > UINT32_MAX / 4) j_fail(j, BT_E_LIMIT, "a dict is too large");
    if (d->n) {
        memcpy(keys, d->keys, d->n * sizeof *keys);
        memcpy(values, d->values, d->n * sizeof *values);
    }
    d->keys = keys;
    d->values = values;
    d->capacity = capacity;
    if (capacity <= FEW) return;
    d->mask = 2 * capacity - 1;
    d->slots = j_array(j, d->mask + 1, sizeof *d->slots);
    memset(d->slots, 0, (d->mask + 1) * sizeof *d->slots);
    for (size_t i = 0; i < d->n; i++) {
        size_t slot = hash(keys[i]) & d->mask;
        while (d->slots[slot]) slot = (slot + 1) & d->mask;
        d->slots[slot] = (uint32_t)i + 1;
    }
}

void j_dict_set(J *j, JDict *d, JValue key, JValue value)
{
    size_t slot = 0;
    if (!j_hashable(key)) j_fail(j, BT_E_FORMAT, "unhashable type: '%s'", j_type_name(key));
    d->depth = deeper(j, d->depth, value);
    size_t i = lookup(j, d, key, &slot);
    if (i < d->n) {
        d->values[i] = value;
        return;
    }
    if (d->n == d->capacity) {
        grow(j, d);
        i = lookup(j, d, key, &slot);
    }
    d->keys[i] = key;
    d->values[i] = value;
    d->n++;
    if (d->slots) d->slots[slot] = (uint32_t)i + 1;
}

const JValue *j_dict_get(J *j, const JDict *d, JValue key)
{
    size_t slot;
    size_t i = lookup(j, d, key, &slot);
    return i < d->n ? &d->values[i] : NULL;
}

const JValue *j_dict_named(J *j, const JDict *d, const char *name)
{
    return j_dict_get(j, d, j_text(j, name));
}

/* ---- truth and equality ---- */

bool j_true(JValue v)
{
    switch ((JType)v.type) {
    case J_UNDEF:
    case J_NONE:
    case J_MISSING: return false;
    case J_BOOL: return v.b;
    case J_INT: return v.i != 0;
    case J_FLOAT: return v.f != 0;
    case J_STR: return v.str->size > 0;
    case J_LIST: return v.list->kind == JK_ONCE || v.list->n > 0;
    case J_DICT: return v.dict->n > 0;
    case J_SPACE:
    case J_MACRO:
    case J_METHOD:
    case J_GLOBAL:
    case J_LOOP:
    case J_CYCLER:
    case J_JOINER: break;
    }
    return true;
}

typedef struct Pair {
    JValue a, b;
    size_t next;
} Pair;

/* 1: equal, 0: different, -1: their members decide. */
static int equal_outside(JValue a, JValue b)
{
    if (j_is_number(a) && j_is_number(b)) {
        if (j_is_whole(a) && j_is_whole(b)) return j_whole(a) == j_whole(b);
        return j_real(a) == j_real(b);
    }
    if (a.type != b.type) return 0;
    switch ((JType)a.type) {
    case J_UNDEF:
    case J_NONE: return 1;
    case J_STR: return a.str == b.str || j_str_equal(a.str, b.str);
    case J_LIST:
        if (a.list == b.list) return 1;
        if (a.list->kind != b.list->kind || a.list->kind == JK_ONCE) return 0;
        if (a.list->n != b.list->n) return 0;
        return a.list->n ? -1 : 1;
    case J_DICT:
        if (a.dict == b.dict) return 1;
        if (a.dict->n != b.dict->n) return 0;
        return a.dict->n ? -1 : 1;
    case J_GLOBAL: return a.global == b.global;
    case J_METHOD: return a.method == b.method;
    default: return a.space == b.space;
    }
}

bool j_equal(J *j, JValue a, JValue b)
{
    Pair stack[J_NEST + 2];
    size_t n = 0;
    for (;;) {
        int equal = equal_outside(a, b);
        j_spend(j, a.type == J_STR && b.type == J_STR ? a.str->size / 32 : 1);
        if (equal == 0 || n == J_NEST + 2) return false;
        if (equal < 0) stack[n++] = (Pair){a, b, 0};
        while (n) {
            Pair *top = &stack[n - 1];
            size_t size = top->a.type == J_LIST ? top->a.list->n : top->a.dict->n;
            if (top->next < size) break;
            n--;
        }
        if (!n) return true;
        Pair *top = &stack[n - 1];
        size_t i = top->next++;
        if (top->a.type == J_LIST) {
            a = top->a.list->items[i];
            b = top->b.list->items[i];
            continue;
        }
        const JValue *other = j_dict_get(j, top->b.dict, top->a.dict->keys[i]);
        if (!other) return false;
        a = top->a.dict->values[i];
        b = *other;
    }
}

int j_order(J *j, JValue a, JValue b, const char *op)
{
    for (;;) {
        j_need_defined(j, a);
        j_need_defined(j, b);
        if (j_is_number(a) && j_is_number(b)) {
            if (j_is_whole(a) && j_is_whole(b))
                return (j_whole(a) > j_whole(b)) - (j_whole(a) < j_whole(b));
            return (j_real(a) > j_real(b)) - (j_real(a) < j_real(b));
        }
        if (a.type == J_STR && b.type == J_STR) {
            j_spend(j, a.str->size / 32);
            return j_str_order(a.str, b.str);
        }
        if (a.type != J_LIST || b.type != J_LIST || a.list->kind != b.list->kind ||
            a.list->kind > JK_TUPLE)
            j_fail(j, BT_E_FORMAT, "'%s' not supported between instances of '%s' and '%s'", op,
                   j_type_name(a), j_type_name(b));
        size_t i = 0, n = a.list->n < b.list->n ? a.list->n : b.list->n;
        while (i < n && j_equal(j, a.list->items[i], b.list->items[i])) i++;
        if (i == n) return (a.list->n > b.list->n) - (a.list->n < b.list->n);
        JValue x = a.list->items[i];
        b = b.list->items[i];
        a = x;
    }
}

bool j_contains(J *j, JValue where, JValue what)
{
    switch ((JType)where.type) {
    case J_STR:
        if (what.type != J_STR)
            j_fail(j, BT_E_FORMAT, "'in <string>' requires string as left operand, not %s",
                   j_type_name(what));
        return j_str_find(j, where.str, what.str, 0) != SIZE_MAX;
    case J_DICT:
        if (!j_hashable(what)) j_fail(j, BT_E_FORMAT, "unhashable type: '%s'", j_type_name(what));
        return j_dict_get(j, where.dict, what) != NULL;
    case J_UNDEF:
    case J_LIST: {
        JList *list = j_iterate(j, where);
        for (size_t i = 0; i < list->n; i++)
            if (j_equal(j, list->items[i], what)) return true;
        return false;
    }
    default: break;
    }
    j_fail(j, BT_E_FORMAT, "argument of type '%s' is not iterable", j_type_name(where));
}

/* ---- iteration ---- */

bool j_can_iterate(JValue v)
{
    return v.type == J_UNDEF || v.type == J_STR || v.type == J_LIST || v.type == J_DICT ||
           v.type == J_LOOP;
}

JList *j_iterate(J *j, JValue v)
{
    if (v.type == J_LIST) {
        if (v.list->kind == JK_ONCE) {
            if (v.list->taken) return j_list(j, JK_LIST, 0);
            v.list->taken = true;
        }
        return v.list;
    }
    if (v.type == J_UNDEF) return j_list(j, JK_LIST, 0);
    if (v.type == J_DICT) {
        JList *keys = j_list(j, JK_KEYS, v.dict->n);
        if (keys->n) memcpy(keys->items, v.dict->keys, keys->n * sizeof *keys->items);
        return keys;
    }
    if (v.type != J_STR) j_fail(j, BT_E_FORMAT, "'%s' object is not iterable", j_type_name(v));
    JList *list = j_list(j, JK_LIST, v.str->size);
    for (size_t i = 0; i < list->n; i++) list->items[i] = j_part(j, v, i, i + 1);
    return list;
}

int64_t j_length(J *j, JValue v)
{
    if (v.type == J_UNDEF) return 0;
    if (v.type == J_STR) return (int64_t)v.str->size;
    if (v.type == J_DICT) return (int64_t)v.dict->n;
    if (v.type == J_LIST && v.list->kind != JK_ONCE) return (int64_t)v.list->n;
    if (v.type == J_LOOP) return (int64_t)v.loop->list->n;
    j_fail(j, BT_E_FORMAT, "object of type '%s' has no len()", j_type_name(v));
}
