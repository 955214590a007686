/* Methods of strings, as Python has them. */
#include <string.h>

#include "text/jinja_value.h"
#include "text/unicode.h"

#define METHODS(X)                                                                                 \
    X(strip)                                                                                       \
    X(lstrip)                                                                                      \
    X(rstrip) X(split) X(rsplit) X(splitlines) X(startswith) X(endswith) X(find) X(rfind) X(index) \
        X(rindex) X(count) X(replace) X(upper) X(lower) X(title) X(capitalize) X(swapcase)         \
            X(casefold) X(join) X(format) X(isdigit) X(isdecimal) X(isnumeric) X(isalpha)          \
                X(isalnum) X(isspace) X(isupper) X(islower) X(isascii) X(zfill) X(ljust) X(rjust)  \
                    X(center) X(removeprefix) X(removesuffix) X(partition) X(rpartition) X(encode) \
                        X(expandtabs) X(format_map) X(isidentifier) X(isprintable) X(istitle)      \
                            X(maketrans) X(translate)

enum {
#define ID(name) M_##name,
    METHODS(ID)
#undef ID
};

static const char *const names[] = {
#define NAME(name) #name,
    METHODS(NAME)
#undef NAME
};

int j_str_method_find(JValue name)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (j_str_is(name, names[i])) return (int)i;
    return -1;
}

static const JStr *need_str(J *j, JValue v, const char *method)
{
    if (v.type != J_STR)
        j_fail(j, BT_E_FORMAT, "%s: a string is needed, not %s", method, j_type_name(v));
    return v.str;
}

static bool one_of(const JStr *set, uint32_t c)
{
    for (size_t i = 0; i < set->size; i++)
        if (J_CODE(set->data[i]) == J_CODE(c)) return true;
    return false;
}

static JValue kept_safe(JValue self, JValue v)
{
    v.safe = self.safe;
    return v;
}

JValue j_strip(J *j, JValue self, JValue chars, bool left, bool right)
{
    const JStr *s = self.str, *set = NULL;
    size_t from = 0, to = s->size;
    if (chars.type != J_MISSING && chars.type != J_NONE) {
        if (chars.type != J_STR) j_fail(j, BT_E_FORMAT, "strip arg must be None or str");
        set = chars.str;
        j_spend(j, s->size / 16 * set->size);
    }
    while (left && from < to && (set ? one_of(set, s->data[from]) : j_is_space(s->data[from])))
        from++;
    while (right && to > from && (set ? one_of(set, s->data[to - 1]) : j_is_space(s->data[to - 1])))
        to--;
    j_spend(j, s->size / 64);
    return j_part(j, self, from, to);
}

/* ---- splitting ---- */

typedef struct Parts {
    J *j;
    JList *list;
    size_t capacity;
} Parts;

static void add(Parts *p, JValue v)
{
    if (p->list->n == p->capacity) {
        size_t capacity = p->capacity ? 2 * p->capacity : 8;
        JValue *items = j_array(p->j, capacity, sizeof *items);
        if (p->list->n) memcpy(items, p->list->items, p->list->n * sizeof *items);
        p->list->items = items;
        p->capacity = capacity;
    }
    j_spend(p->j, 1);
    p->list->items[p->list->n++] = v;
}

static void reverse(JList *list)
{
    for (size_t i = 0; i < list->n / 2; i++) {
        JValue v = list->items[i];
        list->items[i] = list->items[list->n - 1 - i];
        list->items[list->n - 1 - i] = v;
    }
}

static JValue split_space(J *j, JValue self, int64_t most)
{
    Parts p = {.j = j, .list = j_list(j, JK_LIST, 0)};
    const JStr *s = self.str;
    size_t at = 0;
    for (;;) {
        while (at < s->size && j_is_space(s->data[at])) at++;
        if (at == s->size) break;
        size_t start = at;
        if (most >= 0 && (int64_t)p.list->n >= most) {
            size_t end = s->size;
            while (end > start && j_is_space(s->data[end - 1])) end--;
            add(&p, j_part(j, self, start, end));
            break;
        }
        while (at < s->size && !j_is_space(s->data[at])) at++;
        add(&p, j_part(j, self, start, at));
    }
    return j_list_close(j, p.list);
}

static JValue rsplit_space(J *j, JValue self, int64_t most)
{
    Parts p = {.j = j, .list = j_list(j, JK_LIST, 0)};
    const JStr *s = self.str;
    size_t at = s->size;
    for (;;) {
        while (at && j_is_space(s->data[at - 1])) at--;
        if (!at) break;
        size_t end = at;
        if (most >= 0 && (int64_t)p.list->n >= most) {
            size_t start = 0;
            while (start < end && j_is_space(s->data[start])) start++;
            add(&p, j_part(j, self, start, end));
            break;
        }
        while (at && !j_is_space(s->data[at - 1])) at--;
        add(&p, j_part(j, self, at, end));
    }
    reverse(p.list);
    return j_list_close(j, p.list);
}

static JValue split(J *j, const JMethod *m, const JArgs *args)
{
    JValue given[2], self = m->self;
    bool right = m->id == M_rsplit;
    j_bind(j, m->name, args, "sep maxsplit", 0, given);
    int64_t most = given[1].type == J_MISSING ? -1 : j_is_whole(given[1]) ? j_whole(given[1]) : -1;
    if (given[0].type == J_MISSING || given[0].type == J_NONE)
        return right ? rsplit_space(j, self, most) : split_space(j, self, most);
    if (given[0].type != J_STR)
        j_fail(j, BT_E_FORMAT, "must be str or None, not %s", j_type_name(given[0]));
    const JStr *s = self.str, *by = given[0].str;
    if (!by->size) j_fail(j, BT_E_FORMAT, "empty separator");
    Parts p = {.j = j, .list = j_list(j, JK_LIST, 0)};
    size_t at = right ? s->size : 0;
    while (most < 0 || (int64_t)p.list->n < most) {
        size_t found = right ? j_str_find_last(j, s, by, at) : j_str_find(j, s, by, at);
        if (found == SIZE_MAX) break;
        add(&p, right ? j_part(j, self, found + by->size, at) : j_part(j, self, at, found));
        at = right ? found : found + by->size;
    }
    add(&p, right ? j_part(j, self, 0, at) : j_part(j, self, at, s->size));
    if (right) reverse(p.list);
    return j_list_close(j, p.list);
}

static bool line_end(uint32_t c)
{
    c = J_CODE(c);
    return (c >= 10 && c <= 13) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
           c == 0x2029;
}

JValue j_split_lines(J *j, JValue self, bool keep)
{
    Parts p = {.j = j, .list = j_list(j, JK_LIST, 0)};
    const JStr *s = self.str;
    for (size_t at = 0; at < s->size;) {
        size_t start = at;
        while (at < s->size && !line_end(s->data[at])) at++;
        size_t end = at;
        if (at < s->size)
            at += J_CODE(s->data[at]) == '\r' && at + 1 < s->size && J_CODE(s->data[at + 1]) == '\n'
                      ? 2
                      : 1;
        add(&p, j_part(j, self, start, keep ? at : end));
    }
    return j_list_close(j, p.list);
}

static JValue partition(J *j, const JMethod *m, const JArgs *args)
{
    JValue by, self = m->self;
    bool right = m->id == M_rpartition;
    j_bind(j, m->name, args, "sep", 1, &by);
    const JStr *s = self.str, *what = need_str(j, by, m->name);
    if (!what->size) j_fail(j, BT_E_FORMAT, "empty separator");
    size_t at = right ? j_str_find_last(j, s, what, s->size) : j_str_find(j, s, what, 0);
    JList *list = j_list(j, JK_TUPLE, 3);
    bool found = at != SIZE_MAX;
    size_t end = found ? at + what->size : right ? 0 : s->size;
    if (!found) at = end;
    list->items[0] = j_part(j, self, 0, at);
    list->items[1] = found ? by : j_text(j, "");
    list->items[2] = j_part(j, self, end, s->size);
    return j_list_close(j, list);
}

/* ---- looking ---- */

static void range(J *j, const JStr *s, JValue from, JValue to, size_t *low, size_t *high)
{
    int64_t n = (int64_t)s->size, a = 0, b = n;
    if (j_is_whole(from)) a = j_whole(from);
    if (j_is_whole(to)) b = j_whole(to);
    if (a < 0) a = a < -n ? 0 : a + n;
    if (b < 0) b = b < -n ? 0 : b + n;
    *low = a > n ? (size_t)n + 1 : (size_t)a;
    *high = (size_t)(b > n ? n : b);
    (void)j;
}

static bool at_place(const JStr *s, const JStr *what, size_t low, size_t high, bool end)
{
    if (low > high || what->size > high - low) return false;
    size_t at = end ? high - what->size : low;
    for (size_t i = 0; i < what->size; i++)
        if (J_CODE(s->data[at + i]) != J_CODE(what->data[i])) return false;
    return true;
}

static JValue starts_or_ends(J *j, const JMethod *m, const JArgs *args)
{
    JValue given[3];
    size_t low, high;
    bool end = m->id == M_endswith;
    j_bind(j, m->name, args, "prefix start end", 1, given);
    range(j, m->self.str, given[1], given[2], &low, &high);
    if (given[0].type == J_LIST && given[0].list->kind == JK_TUPLE) {
        for (size_t i = 0; i < given[0].list->n; i++) {
            JValue item = given[0].list->items[i];
            if (item.type == J_STR && at_place(m->self.str, item.str, low, high, end))
                return j_bool(true);
        }
        return j_bool(false);
    }
    if (given[0].type != J_STR)
        j_fail(j, BT_E_FORMAT, "%s first arg must be str or a tuple of str, not %s", m->name,
               j_type_name(given[0]));
    return j_bool(at_place(m->self.str, given[0].str, low, high, end));
}

static JValue find(J *j, const JMethod *m, const JArgs *args)
{
    JValue given[3];
    size_t low, high;
    j_bind(j, m->name, args, "sub start end", 1, given);
    const JStr *what = need_str(j, given[0], m->name);
    range(j, m->self.str, given[1], given[2], &low, &high);
    JStr part = {m->self.str->data, high, NULL};
    size_t at = SIZE_MAX;
    if (low <= high) {
        bool last = m->id == M_rfind || m->id == M_rindex;
        at = last ? j_str_find_last(j, &part, what, high) : j_str_find(j, &part, what, low);
        if (last && at != SIZE_MAX && at < low) at = SIZE_MAX;
    }
    if (at != SIZE_MAX) return j_int((int64_t)at);
    if (m->id == M_index || m->id == M_rindex) j_fail(j, BT_E_FORMAT, "substring not found");
    return j_int(-1);
}

static JValue count(J *j, const JMethod *m, const JArgs *args)
{
    JValue given[3];
    size_t low, high;
    int64_t n = 0;
    j_bind(j, m->name, args, "sub start end", 1, given);
    const JStr *what = need_str(j, given[0], m->name);
    range(j, m->self.str, given[1], given[2], &low, &high);
    JStr part = {m->self.str->data, high, NULL};
    if (!what->size) return j_int(low <= high ? (int64_t)(high - low) + 1 : 0);
    for (size_t at; low <= high && (at = j_str_find(j, &part, what, low)) != SIZE_MAX; n++)
        low = at + what->size;
    return j_int(n);
}

JValue j_replace(J *j, JValue self, JValue from, JValue to, int64_t most)
{
    const JStr *s = self.str, *old = from.str, *fresh = to.str;
    JOut out = {.j = j};
    size_t at = 0;
    for (int64_t n = 0; most < 0 || n < most; n++) {
        size_t found = j_str_find(j, s, old, at);
        if (found == SIZE_MAX) break;
        if (!old->size && found == s->size) {
            j_out_str(&out, fresh);
            break;
        }
        j_spend(j, 1 + fresh->size / 16);
        j_out_data(&out, s->data + at, found - at);
        j_out_str(&out, fresh);
        at = found + old->size;
        if (!old->size) j_out_char(&out, s->data[at++]);
    }
    j_out_data(&out, s->data + at, s->size - at);
    return kept_safe(self, j_out_take(&out));
}

static JValue replace(J *j, const JMethod *m, const JArgs *args)
{
    JValue given[3];
    j_bind(j, "replace", args, "old new count", 2, given);
    for (int i = 0; i < 2; i++)
        if (given[i].type != J_STR)
            j_fail(j, BT_E_FORMAT, "replace() argument %d must be str, not %s", i + 1,
                   j_type_name(given[i]));
    if (m->self.safe) given[1] = j_escape(j, given[1]);
    return j_replace(j, m->self, given[0], given[1], j_is_whole(given[2]) ? j_whole(given[2]) : -1);
}

/* ---- letters ---- */

static bool cased(uint32_t c)
{
    return c < J_RAW && (unicode_class(c) & (UC_UPPER | UC_LOWER));
}

JValue j_change_case(J *j, JValue self, JCase how)
{
    const JStr *s = self.str;
    JOut out = {.j = j};
    bool inside = false; /* a word */
    for (size_t i = 0; i < s->size; i++) {
        uint32_t c = J_CODE(s->data[i]), mark = s->data[i] & J_SAID, to[3];
        bool upper = how == J_CASE_UPPER || how == J_CASE_FOLD ||
                     (how == J_CASE_TITLE && !inside) || (how == J_CASE_CAPITAL && i == 0) ||
                     (how == J_CASE_SWAP && c < J_RAW && (unicode_class(c) & UC_LOWER));
        size_t n = 1;
        if (c >= J_RAW)
            to[0] = c;
        else if (upper)
            n = unicode_upper(c, to);
        else
            to[0] = unicode_lower(c);
        for (size_t k = 0; k < n; k++)
            j_out_char(
                &out,
                ((k && how != J_CASE_UPPER) || how == J_CASE_FOLD ? unicode_lower(to[k]) : to[k]) |
                    mark);
        inside = cased(c);
    }
    return kept_safe(self, j_out_take(&out));
}

static JValue is_all(const JMethod *m)
{
    const JStr *s = m->self.str;
    unsigned want = 0;
    switch (m->id) {
    case M_isalpha: want = UC_LETTER; break;
    case M_isalnum: want = UC_LETTER | UC_NUMBER; break;
    case M_isnumeric: want = UC_NUMBER; break;
    case M_isdigit:
    case M_isdecimal: want = UC_DIGIT; break;
    default: break;
    }
    bool all = s->size > 0 || m->id == M_isascii, any = false;
    for (size_t i = 0; i < s->size && all; i++) {
        uint32_t c = J_CODE(s->data[i]);
        unsigned is = c < J_RAW ? unicode_class(c) : 0;
        switch (m->id) {
        case M_isspace: all = j_is_space(c); break;
        case M_isascii: all = c < 0x80; break;
        case M_isupper:
            all = !(is & UC_LOWER);
            any |= !!(is & UC_UPPER);
            break;
        case M_islower:
            all = !(is & UC_UPPER);
            any |= !!(is & UC_LOWER);
            break;
        default: all = is & want; break;
        }
    }
    bool needs = m->id == M_isupper || m->id == M_islower;
    return j_bool(all && (any || !needs));
}

bool j_all_case(JValue s, bool upper)
{
    JMethod m = {s, upper ? M_isupper : M_islower, ""};
    return is_all(&m).b;
}

/* ---- width ---- */

JValue j_pad(J *j, JValue self, int64_t width, size_t left_of, size_t right_of, uint32_t fill)
{
    const JStr *s = self.str;
    JOut out = {.j = j};
    size_t pad = width > (int64_t)s->size ? (size_t)width - s->size : 0;
    if (pad > 1u << 20) j_fail(j, BT_E_LIMIT, "a width is too large");
    /* Python's center puts the odd place on the left if the width is odd. */
    size_t left = left_of && right_of ? pad / 2 + (pad & (size_t)width & 1) : left_of ? pad : 0;
    for (size_t i = 0; i < left; i++) j_out_char(&out, fill);
    j_out_str(&out, s);
    for (size_t i = left; i < pad; i++) j_out_char(&out, fill);
    return kept_safe(self, j_out_take(&out));
}

static JValue pad(J *j, const JMethod *m, const JArgs *args)
{
    JValue given[2];
    j_bind(j, m->name, args, "width fillchar", 1, given);
    if (!j_is_whole(given[0])) j_fail(j, BT_E_FORMAT, "%s: a width is a whole number", m->name);
    uint32_t fill = ' ';
    if (given[1].type == J_STR && given[1].str->size == 1) fill = given[1].str->data[0];
    return j_pad(j, m->self, j_whole(given[0]), m->id != M_ljust, m->id != M_rjust, fill);
}

static JValue zfill(J *j, const JMethod *m, const JArgs *args)
{
    JValue width, self = m->self;
    j_bind(j, m->name, args, "width", 1, &width);
    if (!j_is_whole(width)) j_fail(j, BT_E_FORMAT, "zfill: a width is a whole number");
    const JStr *s = self.str;
    bool sign = s->size && (J_CODE(s->data[0]) == '-' || J_CODE(s->data[0]) == '+');
    if (!sign) return j_pad(j, self, j_whole(width), 1, 0, '0');
    JValue rest = j_pad(j, j_part(j, self, 1, s->size), j_whole(width) - 1, 1, 0, '0');
    return j_join(j, j_part(j, self, 0, 1), rest);
}

static JValue remove_affix(J *j, const JMethod *m, const JArgs *args)
{
    JValue given, self = m->self;
    bool end = m->id == M_removesuffix;
    j_bind(j, m->name, args, "affix", 1, &given);
    const JStr *what = need_str(j, given, m->name);
    if (!at_place(self.str, what, 0, self.str->size, end)) return self;
    return end ? j_part(j, self, 0, self.str->size - what->size)
               : j_part(j, self, what->size, self.str->size);
}

static JValue join(J *j, const JMethod *m, const JArgs *args)
{
    JValue given;
    JOut out = {.j = j};
    j_bind(j, "join", args, "iterable", 1, &given);
    if (!j_can_iterate(given)) j_fail(j, BT_E_FORMAT, "can only join an iterable");
    JList *list = j_iterate(j, given);
    for (size_t i = 0; i < list->n; i++) {
        if (list->items[i].type != J_STR)
            j_fail(j, BT_E_FORMAT, "sequence item %zu: expected str instance, %s found", i,
                   j_type_name(list->items[i]));
        if (i) j_out_str(&out, m->self.str);
        j_out_str(&out, list->items[i].str);
    }
    return kept_safe(m->self, j_out_take(&out));
}

JValue j_str_method(J *j, const JMethod *m, const JArgs *args)
{
    JValue given = {.type = J_MISSING};
    switch (m->id) {
    case M_strip:
    case M_lstrip:
    case M_rstrip:
        j_bind(j, m->name, args, "chars", 0, &given);
        return j_strip(j, m->self, given, m->id != M_rstrip, m->id != M_lstrip);
    case M_split:
    case M_rsplit: return split(j, m, args);
    case M_splitlines:
        j_bind(j, m->name, args, "keepends", 0, &given);
        return j_split_lines(j, m->self, j_true(given));
    case M_startswith:
    case M_endswith: return starts_or_ends(j, m, args);
    case M_find:
    case M_rfind:
    case M_index:
    case M_rindex: return find(j, m, args);
    case M_count: return count(j, m, args);
    case M_replace: return replace(j, m, args);
    case M_upper: return j_change_case(j, m->self, J_CASE_UPPER);
    case M_casefold: return j_change_case(j, m->self, J_CASE_FOLD);
    case M_lower: return j_change_case(j, m->self, J_CASE_LOWER);
    case M_title: return j_change_case(j, m->self, J_CASE_TITLE);
    case M_capitalize: return j_change_case(j, m->self, J_CASE_CAPITAL);
    case M_swapcase: return j_change_case(j, m->self, J_CASE_SWAP);
    case M_join: return join(j, m, args);
    case M_format: return j_format(j, m->self, args);
    case M_isdigit:
    case M_isdecimal:
    case M_isnumeric:
    case M_isalpha:
    case M_isalnum:
    case M_isspace:
    case M_isupper:
    case M_islower:
    case M_isascii: j_bind(j, m->name, args, "", 0, NULL); return is_all(m);
    case M_zfill: return zfill(j, m, args);
    case M_ljust:
    case M_rjust:
    case M_center: return pad(j, m, args);
    case M_removeprefix:
    case M_removesuffix: return remove_affix(j, m, args);
    case M_partition:
    case M_rpartition: return partition(j, m, args);
    default: break;
    }
    j_fail(j, BT_E_UNSUPPORTED, "the method %s of a string is not supported", m->name);
}
