/* Formatting: form % values (and the filter format), and str.format with its field names,
 * conversions and format specifications, for strings and numbers. Widths and precisions are
 * bounded. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja_value.h"

#define MOST_WIDTH     10000
#define MOST_PRECISION 100

typedef struct Spec {
    uint32_t fill;
    char align; /* < > ^ =, or 0 */
    char sign;  /* + - or space */
    bool other; /* # */
    bool zero;
    char group;               /* , or _ */
    int64_t width, precision; /* precision -1: none */
    char type;
} Spec;

/* ---- one value ---- */

/* Puts a separator between groups of three digits before any point. */
static void grouped(const char *digits, char group, char *out, size_t size)
{
    size_t whole = strspn(digits, "0123456789"), n = 0;
    for (size_t i = 0; digits[i] && n + 2 < size; i++) {
        if (i && i < whole && (whole - i) % 3 == 0) out[n++] = group;
        out[n++] = digits[i];
    }
    out[n] = '\0';
}

/* The digits of v without its sign. */
static void digits_of(J *j, JValue v, const Spec *s, char *out, size_t size)
{
    char type = s->type;
    if (v.type != J_FLOAT && (!type || strchr("dinuxXob", type))) {
        int64_t i = j_whole(v);
        uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
        size_t n = 0;
        char turned[72];
        unsigned base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
        do {
            turned[n++] = (type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[u % base];
            u /= base;
        } while (u);
        size_t at = 0;
        if (s->other && base != 10) {
            out[at++] = '0';
            out[at++] = type;
        }
        while (n) out[at++] = turned[--n];
        out[at] = '\0';
        return;
    }
    double f = fabs(j_real(v));
    int precision = s->precision < 0 ? 6 : (int)s->precision;
    if (isnan(f) || isinf(f)) {
        snprintf(out, size, isnan(f) ? "nan" : "inf");
        return;
    }
    switch (type) {
    case 0:
        if (s->precision < 0)
            j_float_text(f, out);
        else
            snprintf(out, size, "%.*g", precision ? precision : 1, f);
        break;
    case 'e': snprintf(out, size, "%.*e", precision, f); break;
    case 'E': snprintf(out, size, "%.*E", precision, f); break;
    case 'f':
    case 'F': snprintf(out, size, "%.*f", precision, f); break;
    case 'g': snprintf(out, size, "%.*g", precision ? precision : 1, f); break;
    case 'G': snprintf(out, size, "%.*G", precision ? precision : 1, f); break;
    case '%': snprintf(out, size, "%.*f%%", precision, 100 * f); break;
    default: j_fail(j, BT_E_FORMAT, "unknown format code '%c'", type);
    }
}

static void fill(JOut *o, uint32_t c, int64_t n)
{
    for (; n > 0; n--) j_out_char(o, c);
}

static void placed(JOut *o, const Spec *s, JValue text, size_t sign, char otherwise)
{
    int64_t pad = s->width - (int64_t)text.str->size;
    char align = s->align ? s->align : otherwise;
    int64_t left = align == '>' ? pad : align == '^' ? pad / 2 : 0;
    if (pad < 0) pad = left = 0;
    if (align == '=') {
        j_out_data(o, text.str->data, sign);
        fill(o, s->fill, pad);
        j_out_data(o, text.str->data + sign, text.str->size - sign);
        return;
    }
    fill(o, s->fill, left);
    j_out_str(o, text.str);
    fill(o, s->fill, pad - left);
}

static void put_number(JOut *o, const Spec *s, JValue v)
{
    char digits[512], with[800], text[808];
    bool minus = v.type == J_FLOAT ? signbit(v.f) : j_whole(v) < 0;
    if (v.type == J_FLOAT && s->type && strchr("dinuxXob", s->type)) {
        if (fabs(v.f) >= 9.2e18 || isnan(v.f))
            j_fail(o->j, BT_E_LIMIT, "a whole number does not fit 64 bits");
        v = j_int((int64_t)v.f);
    }
    digits_of(o->j, v, s, digits, sizeof digits);
    if (s->group)
        grouped(digits, s->group, with, sizeof with);
    else
        snprintf(with, sizeof with, "%s", digits);
    const char *sign = minus ? "-" : s->sign == '+' ? "+" : s->sign == ' ' ? " " : "";
    snprintf(text, sizeof text, "%s%s", sign, with);
    placed(o, s, j_text(o->j, text), strlen(sign), s->zero ? '=' : '>');
}

static void put_text(JOut *o, const Spec *s, JValue text, char align)
{
    if (s->precision >= 0 && (uint64_t)s->precision < text.str->size)
        text = j_part(o->j, text, 0, (size_t)s->precision);
    placed(o, s, text, 0, align);
}

static JValue repr(J *j, JValue v)
{
    JOut out = {.j = j};
    j_print(&out, v, true);
    return j_out_take(&out);
}

/* Digits at *at; -1: there are none. */
static int64_t read_number(J *j, const JStr *s, size_t *at)
{
    int64_t n = -1;
    for (; *at < s->size; ++*at) {
        uint32_t d = J_CODE(s->data[*at]) - '0';
        if (d > 9) break;
        n = (n < 0 ? 0 : n) * 10 + d;
        if (n > MOST_WIDTH) j_fail(j, BT_E_LIMIT, "a width in a format is too large");
    }
    return n;
}

static uint32_t look(const JStr *s, size_t at)
{
    return at < s->size ? J_CODE(s->data[at]) : 0;
}

static void bound_precision(J *j, const Spec *s)
{
    if (s->precision > MOST_PRECISION && s->type && s->type != 's')
        j_fail(j, BT_E_LIMIT, "a precision in a format is too large");
}

/* ---- form % values ---- */

static JValue next_value(J *j, JValue values, size_t *taken)
{
    bool tuple = values.type == J_LIST && values.list->kind == JK_TUPLE;
    if (*taken >= (tuple ? values.list->n : 1))
        j_fail(j, BT_E_FORMAT, "not enough arguments for format string");
    ++*taken;
    return tuple ? values.list->items[*taken - 1] : values;
}

static JValue mapped(J *j, const JStr *s, size_t *at, JValue values)
{
    size_t start = ++*at;
    while (look(s, *at) && look(s, *at) != ')') ++*at;
    if (*at >= s->size) j_fail(j, BT_E_FORMAT, "incomplete format key");
    JValue key = j_string(j_str(j, s->data + start, *at - start));
    ++*at;
    if (values.type != J_DICT) j_fail(j, BT_E_FORMAT, "format requires a mapping");
    const JValue *found = j_dict_get(j, values.dict, key);
    if (!found) j_fail(j, BT_E_FORMAT, "%s", j_utf8(j, repr(j, key)));
    return *found;
}

static void percent_one(JOut *o, Spec *s, JValue v)
{
    J *j = o->j;
    switch (s->type) {
    case 's': put_text(o, s, j_to_str(j, v), '>'); return;
    case 'r':
    case 'a': put_text(o, s, repr(j, v), '>'); return;
    case 'c':
        if (v.type == J_STR && v.str->size == 1) {
            put_text(o, s, v, '>');
            return;
        }
        j_fail(j, BT_E_FORMAT, "%%c requires int or char");
    default: break;
    }
    if (!s->type || !strchr("diuxXoeEfFgG", s->type))
        j_fail(j, BT_E_FORMAT, "unsupported format character '%c'", s->type ? s->type : ' ');
    j_need_defined(j, v);
    if (!j_is_number(v))
        j_fail(j, BT_E_FORMAT,
               strchr("diu", s->type) ? "%%%c format: a real number is required, not %s"
                                      : "%%%c format: a number is required, not %s",
               s->type, j_type_name(v));
    if (s->precision < 0 && v.type != J_FLOAT && strchr("eEfFgG", s->type)) v = j_float(j_real(v));
    put_number(o, s, v);
}

JValue j_percent(J *j, JValue form, JValue values)
{
    const JStr *s = form.str;
    JOut out = {.j = j};
    size_t taken = 0;
    bool by_name = false;
    for (size_t at = 0; at < s->size;) {
        if (look(s, at) != '%') {
            j_out_char(&out, s->data[at++]);
            continue;
        }
        if (look(s, ++at) == '%') {
            j_out_char(&out, s->data[at++]);
            continue;
        }
        Spec spec = {.fill = ' ', .precision = -1};
        JValue v = {.type = J_MISSING};
        if (look(s, at) == '(') {
            v = mapped(j, s, &at, values);
            by_name = true;
        }
        for (uint32_t c; (c = look(s, at)) && strchr("-+ #0", (int)(c < 0x80 ? c : 1)); at++) {
            if (c == '-') spec.align = '<';
            if (c == '+' || (c == ' ' && !spec.sign)) spec.sign = (char)c;
            if (c == '#') spec.other = true;
            if (c == '0') spec.zero = true;
        }
        int64_t width = read_number(j, s, &at);
        if (width > 0) spec.width = width;
        if (look(s, at) == '.') {
            at++;
            spec.precision = read_number(j, s, &at);
            if (spec.precision < 0) spec.precision = 0;
        }
        uint32_t type = look(s, at++);
        spec.type = type < 0x80 ? (char)type : 0;
        if (!type) j_fail(j, BT_E_FORMAT, "incomplete format");
        if (spec.zero && !spec.align && spec.type != 's') spec.fill = '0';
        bound_precision(j, &spec);
        if (v.type == J_MISSING) v = next_value(j, values, &taken);
        percent_one(&out, &spec, v);
    }
    bool tuple = values.type == J_LIST && values.list->kind == JK_TUPLE;
    if (!by_name && values.type != J_DICT && taken < (tuple ? values.list->n : 1) &&
        !(values.type == J_LIST && !tuple))
        j_fail(j, BT_E_FORMAT, "not all arguments converted during string formatting");
    JValue text = j_out_take(&out);
    text.safe = form.safe;
    return text;
}

/* ---- str.format ---- */

static Spec read_spec(J *j, const JStr *s)
{
    Spec spec = {.fill = ' ', .precision = -1};
    size_t at = 0;
    uint32_t first = look(s, 0), second = look(s, 1);
    if (second && second < 0x80 && strchr("<>^=", (int)second)) {
        spec.fill = s->data[0];
        spec.align = (char)second;
        at = 2;
    } else if (first && first < 0x80 && strchr("<>^=", (int)first)) {
        spec.align = (char)first;
        at = 1;
    }
    if (look(s, at) == '+' || look(s, at) == '-' || look(s, at) == ' ')
        spec.sign = (char)look(s, at++);
    if (look(s, at) == '#') spec.other = true, at++;
    if (look(s, at) == '0') {
        spec.zero = true;
        if (!spec.align) spec.fill = '0';
        at++;
    }
    int64_t width = read_number(j, s, &at);
    if (width > 0) spec.width = width;
    if (look(s, at) == ',' || look(s, at) == '_') spec.group = (char)look(s, at++);
    if (look(s, at) == '.') {
        at++;
        spec.precision = read_number(j, s, &at);
        if (spec.precision < 0) j_fail(j, BT_E_FORMAT, "Format specifier missing precision");
    }
    uint32_t type = look(s, at);
    if (type) at++;
    spec.type = type < 0x80 ? (char)type : '?';
    if (at < s->size || (type && !strchr("bcdeEfFgGnosxX%", spec.type)))
        j_fail(j, BT_E_FORMAT, "Invalid format specifier");
    bound_precision(j, &spec);
    return spec;
}

static void format_one(JOut *o, JValue v, const JStr *form)
{
    J *j = o->j;
    Spec spec = read_spec(j, form);
    if (j_is_number(v) && !(v.type == J_BOOL && !spec.type && !form->size)) {
        if (spec.type == 's')
            j_fail(j, BT_E_FORMAT, "Unknown format code 's' for object of type '%s'",
                   j_type_name(v));
        if (v.type == J_FLOAT && spec.type && strchr("bcdoxX", spec.type))
            j_fail(j, BT_E_FORMAT, "Unknown format code '%c' for object of type 'float'",
                   spec.type);
        if (spec.type == 'n') spec.type = v.type == J_FLOAT ? 'g' : 'd';
        put_number(o, &spec, v);
        return;
    }
    if (v.type != J_STR && form->size)
        j_fail(j, BT_E_FORMAT, "unsupported format string passed to %s.__format__", j_type_name(v));
    if (spec.type && spec.type != 's')
        j_fail(j, BT_E_FORMAT, "Unknown format code '%c' for object of type 'str'", spec.type);
    put_text(o, &spec, j_to_str(j, v), '<');
}

static JValue argument(J *j, const JArgs *args, JValue name, size_t *automatic)
{
    const JStr *s = name.str;
    size_t at = 0;
    int64_t index = s->size ? read_number(j, s, &at) : (int64_t)(*automatic)++;
    if (s->size && (at < s->size || index < 0)) {
        for (size_t i = 0; i < args->n_kw; i++)
            if (j_str_equal(args->kw[2 * i].str, s)) return args->kw[2 * i + 1];
        j_fail(j, BT_E_FORMAT, "%s", j_utf8(j, repr(j, name)));
    }
    if ((uint64_t)index >= args->n_pos) j_fail(j, BT_E_FORMAT, "tuple index out of range");
    return args->pos[index];
}

/* "name.attribute[item]" of a field. */
static JValue field_value(J *j, const JArgs *args, JValue field, size_t *automatic)
{
    const JStr *s = field.str;
    size_t at = 0;
    while (at < s->size && look(s, at) != '.' && look(s, at) != '[') at++;
    JValue v = argument(j, args, j_part(j, field, 0, at), automatic);
    while (at < s->size) {
        bool item = look(s, at++) == '[';
        size_t start = at;
        while (at < s->size &&
               (item ? look(s, at) != ']' : look(s, at) != '.' && look(s, at) != '['))
            at++;
        JValue name = j_part(j, field, start, at);
        v = item ? j_get_path(j, v, name) : j_attr(j, v, name);
        if (item) at++;
    }
    return v;
}

/* The field in braces that begins at *at (after the brace). */
static void field(JOut *o, const JStr *s, size_t *at, const JArgs *args, size_t *automatic)
{
    J *j = o->j;
    size_t start = *at, end, depth = 0;
    while (*at < s->size && (look(s, *at) != '}' || depth)) {
        depth += look(s, *at) == '[';
        depth -= look(s, *at) == ']' && depth;
        ++*at;
    }
    if (*at == s->size) j_fail(j, BT_E_FORMAT, "expected '}' before end of string");
    JValue whole = j_string(j_str(j, s->data + start, *at - start));
    ++*at;
    for (end = 0; end < whole.str->size; end++)
        if (look(whole.str, end) == ':' || look(whole.str, end) == '!') break;
    JValue v = field_value(j, args, j_part(j, whole, 0, end), automatic);
    if (look(whole.str, end) == '!') {
        uint32_t how = look(whole.str, end + 1);
        v = how == 'r' || how == 'a' ? repr(j, v) : j_to_str(j, v);
        end += 2;
    }
    if (look(whole.str, end) == ':') end++;
    if (end > whole.str->size) end = whole.str->size;
    format_one(o, v, j_part(j, whole, end, whole.str->size).str);
}

JValue j_format(J *j, JValue form, const JArgs *args)
{
    const JStr *s = form.str;
    JOut out = {.j = j};
    size_t automatic = 0;
    for (size_t at = 0; at < s->size;) {
        uint32_t c = look(s, at), next = look(s, at + 1);
        if ((c == '{' || c == '}') && next == c) {
            j_out_char(&out, s->data[at]);
            at += 2;
        } else if (c == '{') {
            at++;
            field(&out, s, &at, args, &automatic);
        } else if (c == '}') {
            j_fail(j, BT_E_FORMAT, "Single '}' encountered in format string");
        } else {
            j_out_char(&out, s->data[at++]);
        }
    }
    JValue text = j_out_take(&out);
    text.safe = form.safe;
    return text;
}
