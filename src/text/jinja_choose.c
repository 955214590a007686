/* Filters that choose, order and group: map, select, sort and their kin. An attribute may be a path
 * ("a.b") or a number. Sorting is a stable merge, as Python's. */
#include <string.h>

#include "text/jinja_value.h"

static bool given(JValue v)
{
    return v.type != J_MISSING;
}

static JValue key_of(J *j, JValue item, JValue attribute, bool case_sensitive)
{
    if (given(attribute) && attribute.type != J_NONE) item = j_get_path(j, item, attribute);
    if (!case_sensitive && item.type == J_STR) return j_change_case(j, item, J_CASE_LOWER);
    return item;
}

typedef struct Keyed {
    JValue key, item;
} Keyed;

static void merge(J *j, Keyed *a, Keyed *spare, size_t n, bool reverse)
{
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t low = 0; low < n; low += 2 * width) {
            size_t mid = low + width < n ? low + width : n;
            size_t high = low + 2 * width < n ? low + 2 * width : n;
            size_t x = low, y = mid;
            for (size_t i = low; i < high; i++) {
                bool right = x == mid;
                if (!right && y < high) {
                    int order = reverse ? j_order(j, a[x].key, a[y].key, "<")
                                        : j_order(j, a[y].key, a[x].key, "<");
                    right = order < 0;
                }
                spare[i] = right ? a[y++] : a[x++];
            }
        }
        memcpy(a, spare, n * sizeof *a);
        j_spend(j, n);
    }
}

static JList *sorted(J *j, const JList *from, JValue attribute, bool case_sensitive, bool reverse)
{
    Keyed *keyed = j_array(j, from->n, sizeof *keyed), *spare = j_array(j, from->n, sizeof *spare);
    for (size_t i = 0; i < from->n; i++)
        keyed[i] = (Keyed){key_of(j, from->items[i], attribute, case_sensitive), from->items[i]};
    merge(j, keyed, spare, from->n, reverse);
    JList *list = j_list(j, JK_LIST, from->n);
    for (size_t i = 0; i < from->n; i++) list->items[i] = keyed[i].item;
    return list;
}

static bool yes(JValue v)
{
    return given(v) && j_true(v);
}

JValue j_filter_sort(J *j, JValue v, const JArgs *args)
{
    JValue a[3];
    j_bind(j, "sort", args, "reverse case_sensitive attribute", 0, a);
    JList *list = j_iterate(j, v);
    if (a[2].type != J_STR) return j_list_close(j, sorted(j, list, a[2], yes(a[1]), yes(a[0])));
    /* "a,b": by the last first, since sorting is stable. */
    size_t end = a[2].str->size;
    for (size_t at = end + 1; at-- > 0;) {
        if (at && J_CODE(a[2].str->data[at - 1]) != ',') continue;
        list = sorted(j, list, j_part(j, a[2], at, end), yes(a[1]), yes(a[0]));
        end = at ? at - 1 : 0;
    }
    return j_list_close(j, list);
}

JValue j_filter_dictsort(J *j, JValue v, const JArgs *args)
{
    JValue a[3];
    j_bind(j, "dictsort", args, "case_sensitive by reverse", 0, a);
    j_need_defined(j, v);
    if (v.type != J_DICT)
        j_fail(j, BT_E_FORMAT, "'%s' object has no attribute 'items'", j_type_name(v));
    bool by_value = given(a[1]) && j_str_is(a[1], "value");
    if (given(a[1]) && !by_value && !j_str_is(a[1], "key"))
        j_fail(j, BT_E_FORMAT, "You can only sort by either \"key\" or \"value\"");
    JList *list = j_list(j, JK_LIST, v.dict->n);
    for (size_t i = 0; i < list->n; i++) {
        JList *pair = j_list(j, JK_TUPLE, 2);
        pair->items[0] = v.dict->keys[i];
        pair->items[1] = v.dict->values[i];
        list->items[i] = j_list_close(j, pair);
    }
    return j_list_close(j, sorted(j, list, j_int(by_value), yes(a[0]), yes(a[2])));
}

JValue j_filter_unique(J *j, JValue v, const JArgs *args)
{
    JValue a[2];
    j_bind(j, "unique", args, "case_sensitive attribute", 0, a);
    JList *from = j_iterate(j, v), *list = j_list(j, JK_ONCE, from->n);
    JDict *seen = j_dict(j);
    list->n = 0;
    for (size_t i = 0; i < from->n; i++) {
        JValue key = key_of(j, from->items[i], a[1], yes(a[0]));
        size_t before = seen->n;
        j_dict_set(j, seen, key, j_none());
        if (seen->n > before) list->items[list->n++] = from->items[i];
    }
    return j_list_close(j, list);
}

JValue j_filter_groupby(J *j, JValue v, const JArgs *args)
{
    JValue a[3];
    j_bind(j, "groupby", args, "attribute default case_sensitive", 1, a);
    JList *list = sorted(j, j_iterate(j, v), a[0], yes(a[2]), false);
    JList *groups = j_list(j, JK_LIST, list->n);
    groups->n = 0;
    for (size_t at = 0, end; at < list->n; at = end) {
        JValue key = key_of(j, list->items[at], a[0], yes(a[2]));
        for (end = at + 1; end < list->n; end++)
            if (!j_equal(j, key, key_of(j, list->items[end], a[0], yes(a[2])))) break;
        JList *group = j_list(j, JK_LIST, end - at), *pair = j_list(j, JK_TUPLE, 2);
        memcpy(group->items, list->items + at, group->n * sizeof *group->items);
        pair->items[0] = j_get_path(j, list->items[at], a[0]);
        pair->items[1] = j_list_close(j, group);
        groups->items[groups->n++] = j_list_close(j, pair);
    }
    return j_list_close(j, groups);
}

static JValue extreme(J *j, JValue v, const JArgs *args, bool least)
{
    JValue a[2];
    j_bind(j, least ? "min" : "max", args, "case_sensitive attribute", 0, a);
    JList *list = j_iterate(j, v);
    if (!list->n) return j_undefined_hint(j, "No aggregated item, sequence was empty.");
    JValue best = list->items[0], best_key = key_of(j, best, a[1], yes(a[0]));
    for (size_t i = 1; i < list->n; i++) {
        JValue key = key_of(j, list->items[i], a[1], yes(a[0]));
        int order = least ? j_order(j, key, best_key, "<") : j_order(j, best_key, key, "<");
        if (order >= 0) continue;
        best = list->items[i];
        best_key = key;
    }
    return best;
}

JValue j_filter_min(J *j, JValue v, const JArgs *args)
{
    return extreme(j, v, args, true);
}

JValue j_filter_max(J *j, JValue v, const JArgs *args)
{
    return extreme(j, v, args, false);
}

JValue j_filter_sum(J *j, JValue v, const JArgs *args)
{
    JValue a[2];
    j_bind(j, "sum", args, "attribute start", 0, a);
    JList *list = j_iterate(j, v);
    JValue sum = given(a[1]) ? a[1] : j_int(0);
    for (size_t i = 0; i < list->n; i++) sum = j_add(j, sum, key_of(j, list->items[i], a[0], true));
    return sum;
}

/* ---- map, select ---- */

/* Filters and tests that name each other (map('map', 'map', ...)) lose an argument each time: depth
 * is bounded by what the template writes, and here. */
#define MOST_INNER 8u

static JArgs without(const JArgs *args, size_t n)
{
    return (JArgs){args->pos + n, args->kw, args->n_pos - n, args->n_kw};
}

JValue j_filter_map(J *j, JValue v, const JArgs *args)
{
    if (!j_true(v)) return j_list_close(j, j_list(j, JK_ONCE, 0)); /* also what is no sequence */
    JList *from = j_iterate(j, v), *list = j_list(j, JK_ONCE, from->n);
    if (args->n_pos == 0) {
        JValue a[2];
        j_bind(j, "map", args, "attribute default", 0, a);
        if (!given(a[0])) j_fail(j, BT_E_FORMAT, "map requires a filter argument");
        for (size_t i = 0; i < from->n; i++) {
            JValue item = j_get_path(j, from->items[i], a[0]);
            list->items[i] = item.type == J_UNDEF && given(a[1]) ? a[1] : item;
        }
        return j_list_close(j, list);
    }
    if (args->pos[0].type != J_STR) j_fail(j, BT_E_FORMAT, "map needs the name of a filter");
    const char *name = j_utf8(j, args->pos[0]);
    int id = j_filter_find(span_of(name));
    if (id < 0) j_fail(j, BT_E_FORMAT, "No filter named '%s'.", name);
    if (args->n_pos > MOST_INNER) j_fail(j, BT_E_LIMIT, "map: too many arguments");
    JArgs rest = without(args, 1);
    for (size_t i = 0; i < from->n; i++) list->items[i] = j_filter(j, id, from->items[i], &rest);
    return j_list_close(j, list);
}

static JValue choose(J *j, JValue v, const JArgs *args, bool wanted, bool attribute)
{
    size_t skip = attribute ? 1 : 0;
    if (!j_true(v)) return j_list_close(j, j_list(j, JK_ONCE, 0)); /* also what is no sequence */
    if (args->n_pos < skip) j_fail(j, BT_E_FORMAT, "Missing parameter for attribute name");
    int id = -1;
    if (args->n_pos > MOST_INNER) j_fail(j, BT_E_LIMIT, "select: too many arguments");
    if (args->n_pos > skip) {
        if (args->pos[skip].type != J_STR) j_fail(j, BT_E_FORMAT, "a test goes by its name");
        const char *name = j_utf8(j, args->pos[skip]);
        id = j_test_find(span_of(name));
        if (id < 0) j_fail(j, BT_E_FORMAT, "No test named '%s'.", name);
    }
    JArgs rest = id < 0 ? (JArgs){0} : without(args, skip + 1);
    JList *from = j_iterate(j, v), *list = j_list(j, JK_ONCE, from->n);
    list->n = 0;
    for (size_t i = 0; i < from->n; i++) {
        JValue item = from->items[i];
        if (attribute) item = j_get_path(j, item, args->pos[0]);
        j_spend(j, 1);
        bool good = id < 0 ? j_true(item) : j_test(j, id, item, &rest);
        if (good == wanted) list->items[list->n++] = from->items[i];
    }
    return j_list_close(j, list);
}

JValue j_filter_select(J *j, JValue v, const JArgs *args)
{
    return choose(j, v, args, true, false);
}

JValue j_filter_reject(J *j, JValue v, const JArgs *args)
{
    return choose(j, v, args, false, false);
}

JValue j_filter_selectattr(J *j, JValue v, const JArgs *args)
{
    return choose(j, v, args, true, true);
}

JValue j_filter_rejectattr(J *j, JValue v, const JArgs *args)
{
    return choose(j, v, args, false, true);
}
