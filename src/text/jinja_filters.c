/* Filters, as jinja2 has them and Hugging Face changes them (tojson). One table: name, function. A
 * filter that jinja2 knows and chat templates do not use stands in the table without a function and
 * says so when it runs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja_value.h"
#include "text/utf8.h"

typedef JValue (*FilterFn)(J *j, JValue v, const JArgs *args);

/* What a filter that works on text gets: str(v), but what is marked safe stays so. */
static JValue soft(J *j, JValue v)
{
    return v.type == J_STR ? v : j_to_str(j, v);
}

static bool given(JValue v)
{
    return v.type != J_MISSING;
}

static int64_t whole_or(J *j, JValue v, int64_t otherwise, const char *what)
{
    if (!given(v)) return otherwise;
    if (!j_is_whole(v))
        j_fail(j, BT_E_FORMAT, "%s is a whole number, not %s", what, j_type_name(v));
    return j_whole(v);
}

static JValue once(J *j, JList *list)
{
    list->kind = JK_ONCE;
    return j_list_close(j, list);
}

/* ---- text ---- */

static JValue f_trim(J *j, JValue v, const JArgs *args)
{
    JValue chars;
    j_bind(j, "trim", args, "chars", 0, &chars);
    return j_strip(j, soft(j, v), chars, true, true);
}

static JValue f_upper(J *j, JValue v, const JArgs *args)
{
    j_bind(j, "upper", args, "", 0, NULL);
    return j_change_case(j, soft(j, v), J_CASE_UPPER);
}

static JValue f_lower(J *j, JValue v, const JArgs *args)
{
    j_bind(j, "lower", args, "", 0, NULL);
    return j_change_case(j, soft(j, v), J_CASE_LOWER);
}

static JValue f_capitalize(J *j, JValue v, const JArgs *args)
{
    j_bind(j, "capitalize", args, "", 0, NULL);
    return j_change_case(j, soft(j, v), J_CASE_CAPITAL);
}

/* A word begins after '-', white space or an opening bracket, unlike str.title. */
static JValue f_title(J *j, JValue v, const JArgs *args)
{
    JValue s = soft(j, v);
    JOut out = {.j = j};
    j_bind(j, "title", args, "", 0, NULL);
    for (size_t at = 0, end; at < s.str->size; at = end) {
        for (end = at; end < s.str->size; end++) {
            uint32_t c = J_CODE(s.str->data[end]);
            if (j_is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<') break;
        }
        j_out_str(&out, j_change_case(j, j_part(j, s, at, end), J_CASE_CAPITAL).str);
        if (end < s.str->size) j_out_char(&out, s.str->data[end++]);
    }
    return j_out_take(&out);
}

static JValue f_string(J *j, JValue v, const JArgs *args)
{
    j_bind(j, "string", args, "", 0, NULL);
    return soft(j, v);
}

static JValue f_safe(J *j, JValue v, const JArgs *args)
{
    JValue s = j_to_str(j, v);
    j_bind(j, "safe", args, "", 0, NULL);
    s.safe = true;
    return s;
}

static JValue f_escape(J *j, JValue v, const JArgs *args)
{
    j_bind(j, "escape", args, "", 0, NULL);
    return j_escape(j, soft(j, v));
}

static JValue f_replace(J *j, JValue v, const JArgs *args)
{
    JValue a[3];
    j_bind(j, "replace", args, "old new count", 2, a);
    int64_t most = a[2].type == J_NONE ? -1 : whole_or(j, a[2], -1, "replace: count");
    return j_replace(j, j_to_str(j, v), j_to_str(j, a[0]), j_to_str(j, a[1]), most);
}

static JValue f_indent(J *j, JValue v, const JArgs *args)
{
    JValue a[3], width;
    JOut out = {.j = j};
    j_bind(j, "indent", args, "width first blank", 0, a);
    if (v.type != J_STR) {
        j_need_defined(j, v);
        j_fail(j, BT_E_FORMAT, "unsupported operand type(s) for +=: '%s' and 'str'",
               j_type_name(v));
    }
    width = a[0];
    if (width.type != J_STR)
        width = j_pad(j, j_text(j, ""), whole_or(j, a[0], 4, "indent: width"), 1, 0, ' ');
    bool blank = given(a[2]) && j_true(a[2]);
    JList *lines = j_split_lines(j, j_join(j, v, j_text(j, "\n")), false).list;
    if (given(a[1]) && j_true(a[1])) j_out_str(&out, width.str);
    for (size_t i = 0; i < lines->n; i++) {
        if (i) j_out_char(&out, '\n');
        if (i && (blank || lines->items[i].str->size)) j_out_str(&out, width.str);
        j_out_str(&out, lines->items[i].str);
    }
    JValue text = j_out_take(&out);
    text.safe = v.safe;
    return text;
}

static JValue f_center(J *j, JValue v, const JArgs *args)
{
    JValue width;
    j_bind(j, "center", args, "width", 0, &width);
    return j_pad(j, soft(j, v), whole_or(j, width, 80, "center: width"), 1, 1, ' ');
}

static JValue f_truncate(J *j, JValue v, const JArgs *args)
{
    JValue a[4];
    j_bind(j, "truncate", args, "length killwords end leeway", 0, a);
    JValue s = soft(j, v), end = given(a[2]) ? j_to_str(j, a[2]) : j_text(j, "...");
    int64_t length = whole_or(j, a[0], 255, "truncate: length");
    int64_t leeway = a[3].type == J_NONE ? 5 : whole_or(j, a[3], 5, "truncate: leeway");
    int64_t keep = length - (int64_t)end.str->size;
    if (keep < 0 || leeway < 0) j_fail(j, BT_E_FORMAT, "truncate: length is too small");
    if ((int64_t)s.str->size <= length + leeway) return s;
    JValue part = j_part(j, s, 0, (size_t)keep);
    if (!given(a[1]) || !j_true(a[1])) {
        JValue space = j_text(j, " ");
        size_t at = j_str_find_last(j, part.str, space.str, part.str->size);
        if (at != SIZE_MAX) part = j_part(j, part, 0, at);
    }
    return j_join(j, part, end);
}

static JValue f_urlencode(J *j, JValue v, const JArgs *args)
{
    JValue s = soft(j, v);
    JOut out = {.j = j};
    j_bind(j, "urlencode", args, "", 0, NULL);
    for (size_t i = 0; i < s.str->size; i++) {
        uint32_t c = J_CODE(s.str->data[i]), mark = s.str->data[i] & J_SAID;
        char utf8[4], text[4];
        bool plain = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
                     (c && c < 0x80 && strchr("_.-~/", (int)c));
        if (plain) {
            j_out_char(&out, s.str->data[i]);
            continue;
        }
        size_t n = utf8_put(c < J_RAW ? c : UTF8_BAD, utf8);
        for (size_t k = 0; k < n; k++) {
            snprintf(text, sizeof text, "%%%02X", (unsigned char)utf8[k]);
            for (int m = 0; m < 3; m++) j_out_char(&out, (unsigned char)text[m] | mark);
        }
    }
    return j_out_take(&out);
}

static JValue f_format(J *j, JValue v, const JArgs *args)
{
    if (args->n_pos && args->n_kw)
        j_fail(j, BT_E_FORMAT, "can't handle positional and keyword arguments at the same time");
    if (args->n_kw) {
        JDict *dict = j_dict(j);
        for (size_t i = 0; i < args->n_kw; i++)
            j_dict_set(j, dict, args->kw[2 * i], args->kw[2 * i + 1]);
        return j_percent(j, soft(j, v), (JValue){.type = J_DICT, .dict = dict});
    }
    JList *list = j_list(j, JK_TUPLE, args->n_pos);
    for (size_t i = 0; i < list->n; i++) list->items[i] = args->pos[i];
    return j_percent(j, soft(j, v), j_list_close(j, list));
}

static JValue f_wordcount(J *j, JValue v, const JArgs *args)
{
    JValue s = soft(j, v);
    int64_t n = 0;
    bool inside = false;
    j_bind(j, "wordcount", args, "", 0, NULL);
    for (size_t i = 0; i < s.str->size; i++) {
        JMethod m = {j_part(j, s, i, i + 1), j_str_method_find(j_text(j, "isalnum")), "isalnum"};
        bool word = J_CODE(s.str->data[i]) == '_' || j_str_method(j, &m, &(JArgs){0}).b;
        n += word && !inside;
        inside = word;
    }
    return j_int(n);
}

/* ---- JSON ---- */

static JValue f_tojson(J *j, JValue v, const JArgs *args)
{
    JValue a[4];
    JJson how = {0};
    j_bind(j, "tojson", args, "ensure_ascii indent separators sort_keys", 0, a);
    how.ascii = given(a[0]) && j_true(a[0]);
    how.sort = given(a[3]) && j_true(a[3]);
    if (given(a[1]) && a[1].type != J_NONE) {
        how.pretty = true;
        how.indent = a[1];
        if (a[1].type != J_STR)
            how.indent = j_pad(j, j_text(j, ""), whole_or(j, a[1], 0, "tojson: indent"), 1, 0, ' ');
    }
    if (given(a[2]) && a[2].type != J_NONE) {
        JList *two = j_iterate(j, a[2]);
        if (two->n != 2 || two->items[0].type != J_STR || two->items[1].type != J_STR)
            j_fail(j, BT_E_FORMAT, "tojson: separators are two strings");
        how.item = two->items[0].str;
        how.colon = two->items[1].str;
    }
    return j_to_json(j, v, &how);
}

/* ---- numbers ---- */

static JValue f_abs(J *j, JValue v, const JArgs *args)
{
    j_bind(j, "abs", args, "", 0, NULL);
    j_need_defined(j, v);
    if (!j_is_number(v)) j_fail(j, BT_E_FORMAT, "bad operand type for abs(): '%s'", j_type_name(v));
    bool minus = v.type == J_FLOAT ? signbit(v.f) : j_whole(v) < 0;
    return j_negate(j, v, minus);
}

/* Text as Python's int() takes it; false if it does not. */
static bool read_whole(J *j, JValue s, int64_t base, int64_t *out)
{
    JValue text = j_strip(j, s, (JValue){.type = J_MISSING}, true, true);
    const uint32_t *p = text.str->data;
    size_t n = text.str->size, i = 0;
    bool minus = n && J_CODE(p[0]) == '-', any = false;
    *out = 0;
    if (n && (J_CODE(p[0]) == '-' || J_CODE(p[0]) == '+')) i++;
    if (base != 10 && i + 1 < n && J_CODE(p[i]) == '0') {
        uint32_t kind = J_CODE(p[i + 1]) | 32;
        if ((kind == 'x' && base == 16) || (kind == 'o' && base == 8) || (kind == 'b' && base == 2))
            i += 2;
    }
    for (; i < n; i++) {
        uint32_t c = J_CODE(p[i]);
        int64_t d = c >= '0' && c <= '9'                 ? c - '0'
                    : (c | 32) >= 'a' && (c | 32) <= 'z' ? (c | 32) - 'a' + 10
                                                         : 99;
        if (c == '_' && any && i + 1 < n) continue;
        if (d >= base) return false;
        any = true;
        if (__builtin_mul_overflow(*out, base, out) || __builtin_sub_overflow(*out, d, out))
            j_fail(j, BT_E_LIMIT, "a whole number does not fit 64 bits");
    }
    if (!minus && *out == INT64_MIN) j_fail(j, BT_E_LIMIT, "a whole number does not fit 64 bits");
    if (!minus) *out = -*out;
    return any;
}

static bool read_real(J *j, JValue s, double *out)
{
    const char *text = j_utf8(j, j_strip(j, s, (JValue){.type = J_MISSING}, true, true));
    char *end;
    if (!*text || strlen(text) > 400 || strpbrk(text, "xXpP_(")) return false;
    *out = strtod(text, &end);
    return *end == '\0';
}

static bool to_real(J *j, JValue v, double *out)
{
    if (j_is_number(v)) {
        *out = j_real(v);
        return true;
    }
    return v.type == J_STR && read_real(j, v, out);
}

static JValue f_int(J *j, JValue v, const JArgs *args)
{
    JValue a[2];
    int64_t i;
    double f;
    j_bind(j, "int", args, "default base", 0, a);
    j_need_defined(j, v);
    int64_t base = whole_or(j, a[1], 10, "int: base");
    if (j_is_whole(v)) return j_int(j_whole(v));
    if (v.type == J_STR && base >= 2 && base <= 36 && read_whole(j, v, base, &i)) return j_int(i);
    if (!to_real(j, v, &f) || isnan(f) || isinf(f)) return given(a[0]) ? a[0] : j_int(0);
    if (fabs(f) >= 9.2e18) j_fail(j, BT_E_LIMIT, "a whole number does not fit 64 bits");
    return j_int((int64_t)f);
}

static JValue f_float(J *j, JValue v, const JArgs *args)
{
    JValue a;
    double f;
    j_bind(j, "float", args, "default", 0, &a);
    j_need_defined(j, v);
    if (to_real(j, v, &f)) return j_float(f);
    return given(a) ? a : j_float(0);
}

static JValue f_round(J *j, JValue v, const JArgs *args)
{
    JValue a[2];
    char text[400];
    j_bind(j, "round", args, "precision method", 0, a);
    j_need_defined(j, v);
    if (!j_is_number(v))
        j_fail(j, BT_E_FORMAT, "type %s doesn't define __round__ method", j_type_name(v));
    int64_t precision = whole_or(j, a[0], 0, "round: precision");
    bool common = !given(a[1]) || j_str_is(a[1], "common"), ceils = j_str_is(a[1], "ceil");
    if (!common && !ceils && !j_str_is(a[1], "floor"))
        j_fail(j, BT_E_FORMAT, "method must be common, ceil or floor");
    if (common && j_is_whole(v) && precision >= 0) return v;
    double f = j_real(v), scale = pow(10, (double)precision);
    if (!common) return j_float((ceils ? ceil(f * scale) : floor(f * scale)) / scale);
    if (isnan(f) || isinf(f) || precision > 300) return v;
    if (precision < 0) return j_float(nearbyint(f * scale) / scale);
    snprintf(text, sizeof text, "%.*f", (int)precision, f);
    return j_float(strtod(text, NULL));
}

/* ---- sequences ---- */

static JValue f_length(J *j, JValue v, const JArgs *args)
{
    j_bind(j, "length", args, "", 0, NULL);
    return j_int(j_length(j, v));
}

static JValue f_first(J *j, JValue v, const JArgs *args)
{
    j_bind(j, "first", args, "", 0, NULL);
    if (v.type == J_STR && v.str->size) return j_part(j, v, 0, 1);
    JList *list = j_iterate(j, v);
    return list->n ? list->items[0] : j_undefined_hint(j, "No first item, sequence was empty.");
}

static JValue f_last(J *j, JValue v, const JArgs *args)
{
    j_bind(j, "last", args, "", 0, NULL);
    if (v.type == J_LIST && v.list->kind == JK_ONCE)
        j_fail(j, BT_E_FORMAT, "'generator' object is not reversible");
    if (v.type == J_STR && v.str->size) return j_part(j, v, v.str->size - 1, v.str->size);
    if (v.type == J_UNDEF) j_fail(j, BT_E_FORMAT, "'Undefined' object is not reversible");
    JList *list = j_iterate(j, v);
    return list->n ? list->items[list->n - 1]
                   : j_undefined_hint(j, "No last item, sequence was empty.");
}

static JValue f_list(J *j, JValue v, const JArgs *args)
{
    j_bind(j, "list", args, "", 0, NULL);
    JList *from = j_iterate(j, v), *list = j_list(j, JK_LIST, from->n);
    if (from->n) memcpy(list->items, from->items, from->n * sizeof *list->items);
    return j_list_close(j, list);
}

static JValue f_reverse(J *j, JValue v, const JArgs *args)
{
    j_bind(j, "reverse", args, "", 0, NULL);
    if (v.type == J_STR) return j_slice(j, v, j_none(), j_none(), j_int(-1));
    if (!j_can_iterate(v)) j_fail(j, BT_E_FORMAT, "argument must be iterable");
    JList *from = j_iterate(j, v), *list = j_list(j, JK_LIST, from->n);
    for (size_t i = 0; i < from->n; i++) list->items[i] = from->items[from->n - 1 - i];
    return once(j, list);
}

static JValue f_join(J *j, JValue v, const JArgs *args)
{
    JValue a[2];
    JOut out = {.j = j};
    j_bind(j, "join", args, "d attribute", 0, a);
    JValue by = given(a[0]) ? j_to_str(j, a[0]) : j_text(j, "");
    JList *list = j_iterate(j, v);
    for (size_t i = 0; i < list->n; i++) {
        JValue item = list->items[i];
        if (given(a[1]) && a[1].type != J_NONE) item = j_get_path(j, item, a[1]);
        if (i) j_out_str(&out, by.str);
        j_print(&out, item, false);
    }
    return j_out_take(&out);
}

static JValue f_items(J *j, JValue v, const JArgs *args)
{
    j_bind(j, "items", args, "", 0, NULL);
    if (v.type == J_UNDEF) return once(j, j_list(j, JK_LIST, 0));
    if (v.type != J_DICT) j_fail(j, BT_E_FORMAT, "Can only get item pairs from a mapping.");
    JList *list = j_list(j, JK_LIST, v.dict->n);
    for (size_t i = 0; i < list->n; i++) {
        JList *pair = j_list(j, JK_TUPLE, 2);
        pair->items[0] = v.dict->keys[i];
        pair->items[1] = v.dict->values[i];
        list->items[i] = j_list_close(j, pair);
    }
    return once(j, list);
}

static JValue f_default(J *j, JValue v, const JArgs *args)
{
    JValue a[2];
    j_bind(j, "default", args, "default_value boolean", 0, a);
    bool use = v.type == J_UNDEF || (given(a[1]) && j_true(a[1]) && !j_true(v));
    if (!use) return v;
    return given(a[0]) ? a[0] : j_text(j, "");
}

static JValue f_attr(J *j, JValue v, const JArgs *args)
{
    JValue name;
    j_bind(j, "attr", args, "name", 1, &name);
    if (name.type != J_STR) name = j_to_str(j, name);
    if (v.type == J_DICT) {
        JValue m = j_method(j, v, name);
        return m.type == J_MISSING ? j_undefined(j, "dict", name) : m;
    }
    return j_attr(j, v, name);
}

static JValue f_batch(J *j, JValue v, const JArgs *args)
{
    JValue a[2];
    j_bind(j, "batch", args, "linecount fill_with", 1, a);
    int64_t size = whole_or(j, a[0], 1, "batch: linecount");
    if (size < 1 || size > 100000) j_fail(j, BT_E_FORMAT, "batch: linecount is out of range");
    JList *from = j_iterate(j, v);
    size_t n = (size_t)size, rows = (from->n + n - 1) / n;
    bool fill = given(a[1]) && a[1].type != J_NONE;
    JList *list = j_list(j, JK_LIST, rows);
    for (size_t i = 0; i < rows; i++) {
        size_t left = from->n - i * n, here = left < n ? left : n;
        JList *row = j_list(j, JK_LIST, fill ? n : here);
        for (size_t k = 0; k < row->n; k++)
            row->items[k] = k < here ? from->items[i * n + k] : a[1];
        list->items[i] = j_list_close(j, row);
    }
    return once(j, list);
}

static JValue f_slice(J *j, JValue v, const JArgs *args)
{
    JValue a[2];
    j_bind(j, "slice", args, "slices fill_with", 1, a);
    int64_t slices = whole_or(j, a[0], 1, "slice: slices");
    if (slices < 1 || slices > 100000) j_fail(j, BT_E_FORMAT, "slice: slices is out of range");
    JList *from = j_iterate(j, v), *list = j_list(j, JK_LIST, (size_t)slices);
    size_t each = from->n / list->n, extra = from->n % list->n, at = 0;
    for (size_t i = 0; i < list->n; i++) {
        size_t n = each + (i < extra);
        bool fill = given(a[1]) && a[1].type != J_NONE && i >= extra;
        JList *row = j_list(j, JK_LIST, n + fill);
        for (size_t k = 0; k < n; k++) row->items[k] = from->items[at++];
        if (fill) row->items[n] = a[1];
        list->items[i] = j_list_close(j, row);
    }
    return once(j, list);
}

typedef struct Row {
    const char *name;
    FilterFn call;
} Row;

static const Row rows[] = {
    {"abs", f_abs},
    {"attr", f_attr},
    {"batch", f_batch},
    {"capitalize", f_capitalize},
    {"center", f_center},
    {"count", f_length},
    {"d", f_default},
    {"default", f_default},
    {"dictsort", j_filter_dictsort},
    {"e", f_escape},
    {"escape", f_escape},
    {"filesizeformat", NULL},
    {"first", f_first},
    {"float", f_float},
    {"forceescape", f_escape},
    {"format", f_format},
    {"groupby", j_filter_groupby},
    {"indent", f_indent},
    {"int", f_int},
    {"items", f_items},
    {"join", f_join},
    {"last", f_last},
    {"length", f_length},
    {"list", f_list},
    {"lower", f_lower},
    {"map", j_filter_map},
    {"max", j_filter_max},
    {"min", j_filter_min},
    {"pprint", NULL},
    {"random", NULL},
    {"reject", j_filter_reject},
    {"rejectattr", j_filter_rejectattr},
    {"replace", f_replace},
    {"reverse", f_reverse},
    {"round", f_round},
    {"safe", f_safe},
    {"select", j_filter_select},
    {"selectattr", j_filter_selectattr},
    {"slice", f_slice},
    {"sort", j_filter_sort},
    {"string", f_string},
    {"striptags", NULL},
    {"sum", j_filter_sum},
    {"title", f_title},
    {"tojson", f_tojson},
    {"trim", f_trim},
    {"truncate", f_truncate},
    {"unique", j_filter_unique},
    {"upper", f_upper},
    {"urlencode", f_urlencode},
    {"urlize", NULL},
    {"wordcount", f_wordcount},
    {"wordwrap", NULL},
    {"xmlattr", NULL},
};

int j_filter_find(Span name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (span_is(name, rows[i].name)) return (int)i;
    return -1;
}

JValue j_filter(J *j, int id, JValue v, const JArgs *args)
{
    if (!rows[id].call)
        j_fail(j, BT_E_UNSUPPORTED, "the filter %s is not supported", rows[id].name);
    return rows[id].call(j, v, args);
}
