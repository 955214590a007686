/* Values as text: Python's str and repr, and json.dumps as the tojson filter calls it. Walks keep
 * their place in an array: values nest at most J_NEST deep, a namespace shows its own once. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja_value.h"
#include "text/unicode.h"

/* The fewest digits that read back as the same number. */
size_t j_float_text(double f, char out[32])
{
    char digits[32];
    int precision = 0;
    if (isnan(f)) return (size_t)snprintf(out, 32, "nan");
    if (isinf(f)) return (size_t)snprintf(out, 32, f < 0 ? "-inf" : "inf");
    for (; precision < 17; precision++) {
        snprintf(digits, sizeof digits, "%.*e", precision, f);
        if (strtod(digits, NULL) == f) break;
    }
    char *e = strchr(digits, 'e');
    int exponent = e ? (int)strtol(e + 1, NULL, 10) : 0;
    if (exponent >= -4 && exponent < 16) {
        int after = precision > exponent ? precision - exponent : 1;
        return (size_t)snprintf(out, 32, "%.*f", after, f);
    }
    *e = '\0';
    return (size_t)snprintf(out, 32, "%se%c%02d", digits, exponent < 0 ? '-' : '+', abs(exponent));
}

static bool printable(uint32_t c)
{
    if (c < 0x80) return c >= 0x20 && c < 0x7F;
    return c < J_RAW && !(unicode_class(c) & (UC_CONTROL | UC_SPACE));
}

/* \x, \u or \U and the number. */
static void escape_out(JOut *o, char kind, uint32_t c, uint32_t mark)
{
    char text[16];
    snprintf(text, sizeof text, "\\%c%0*x", kind, kind == 'x' ? 2 : kind == 'u' ? 4 : 8, c);
    for (const char *p = text; *p; p++) j_out_char(o, (unsigned char)*p | mark);
}

static void repr_str(JOut *o, const JStr *s)
{
    bool one = false, two = false;
    uint32_t said = 0;
    for (size_t i = 0; i < s->size; i++) {
        one |= J_CODE(s->data[i]) == '\'';
        two |= J_CODE(s->data[i]) == '"';
        said |= s->data[i] & J_SAID;
    }
    uint32_t quote = one && !two ? '"' : '\'';
    j_out_char(o, quote | said);
    for (size_t i = 0; i < s->size; i++) {
        uint32_t c = J_CODE(s->data[i]), mark = s->data[i] & J_SAID;
        const char *escape = c == '\n' ? "n" : c == '\r' ? "r" : c == '\t' ? "t" : NULL;
        if (c == quote || c == '\\' || escape) j_out_char(o, '\\' | mark);
        if (escape)
            j_out_char(o, (unsigned char)*escape | mark);
        else if (printable(c))
            j_out_char(o, s->data[i]);
        else if (c < 0x100)
            escape_out(o, 'x', c, mark);
        else if (c < 0x10000)
            escape_out(o, 'u', c, mark);
        else
            escape_out(o, 'U', c, mark);
    }
    j_out_char(o, quote | said);
}

static void print_other(JOut *o, JValue v)
{
    j_out_char(o, '<');
    j_out_ascii(o, v.type == J_METHOD ? "built-in method " : "");
    j_out_ascii(o, v.type == J_METHOD ? v.method->name : j_type_name(v));
    j_out_char(o, '>');
}

static void print_scalar(JOut *o, JValue v, bool repr)
{
    char text[64];
    switch ((JType)v.type) {
    case J_UNDEF:
        if (repr) j_out_ascii(o, "Undefined");
        break;
    case J_NONE: j_out_ascii(o, "None"); break;
    case J_BOOL: j_out_ascii(o, v.b ? "True" : "False"); break;
    case J_INT:
        snprintf(text, sizeof text, "%lld", (long long)v.i);
        j_out_ascii(o, text);
        break;
    case J_FLOAT:
        j_float_text(v.f, text);
        j_out_ascii(o, text);
        break;
    case J_STR:
        if (repr && v.safe) j_out_ascii(o, "Markup(");
        if (repr)
            repr_str(o, v.str);
        else
            j_out_str(o, v.str);
        if (repr && v.safe) j_out_char(o, ')');
        break;
    default: print_other(o, v); break;
    }
}

typedef struct Place {
    JValue v;
    size_t next;
} Place;

static const char *opening(JValue v)
{
    if (v.type == J_DICT) return "{";
    switch (v.list->kind) {
    case JK_LIST: return "[";
    case JK_TUPLE: return "(";
    case JK_KEYS: return "dict_keys([";
    case JK_VALUES: return "dict_values([";
    case JK_ITEMS: return "dict_items([";
    case JK_RANGE: return "range(";
    case JK_ONCE: break;
    }
    return "<generator object";
}

static const char *closing(JValue v)
{
    if (v.type == J_DICT) return "}";
    switch (v.list->kind) {
    case JK_LIST: return "]";
    case JK_TUPLE: return v.list->n == 1 ? ",)" : ")";
    case JK_KEYS:
    case JK_VALUES:
    case JK_ITEMS: return "])";
    case JK_RANGE: return ")";
    case JK_ONCE: break;
    }
    return ">";
}

static void print_range(JOut *o, const JList *list)
{
    char text[96];
    int64_t from = list->n ? list->items[0].i : 0;
    int64_t step = list->n > 1 ? list->items[1].i - from : 1;
    int64_t to = list->n ? list->items[list->n - 1].i + step : 0;
    if (step == 1)
        snprintf(text, sizeof text, "range(%lld, %lld)", (long long)from, (long long)to);
    else
        snprintf(text, sizeof text, "range(%lld, %lld, %lld)", (long long)from, (long long)to,
                 (long long)step);
    j_out_ascii(o, text);
}

/* Whether v is walked into; a scalar is printed. */
static bool enter(JOut *o, JValue v, bool repr)
{
    if (v.type == J_LIST && v.list->kind == JK_RANGE) {
        print_range(o, v.list);
        return false;
    }
    if (v.type != J_DICT && v.type != J_LIST) {
        print_scalar(o, v, repr);
        return false;
    }
    j_out_ascii(o, opening(v));
    if (v.type == J_DICT || v.list->kind != JK_ONCE) return true;
    j_out_ascii(o, closing(v));
    return false;
}

void j_print(JOut *o, JValue v, bool repr)
{
    Place stack[J_NEST + 2];
    size_t n = 0;
    bool space = v.type == J_SPACE;
    if (space) {
        j_out_ascii(o, "<Namespace ");
        v = (JValue){.type = J_DICT, .dict = v.space->dict};
    }
    if (enter(o, v, repr)) stack[n++] = (Place){v, 0};
    while (n) {
        Place *top = &stack[n - 1];
        size_t size = top->v.type == J_DICT ? top->v.dict->n : top->v.list->n, i = top->next++;
        j_spend(o->j, 1);
        if (i == size) {
            j_out_ascii(o, closing(top->v));
            n--;
            continue;
        }
        if (i) j_out_ascii(o, ", ");
        if (top->v.type == J_DICT) {
            /* A key is a scalar, or a tuple of scalars. */
            JValue key = top->v.dict->keys[i];
            bool tuple = enter(o, key, true);
            for (size_t k = 0; tuple && k < key.list->n; k++) {
                if (k) j_out_ascii(o, ", ");
                print_scalar(o, key.list->items[k], true);
            }
            if (tuple) j_out_ascii(o, closing(key));
            j_out_ascii(o, ": ");
        }
        JValue item = top->v.type == J_DICT ? top->v.dict->values[i] : top->v.list->items[i];
        if (enter(o, item, true) && n < J_NEST + 2) stack[n++] = (Place){item, 0};
    }
    if (space) j_out_char(o, '>');
}

JValue j_to_str(J *j, JValue v)
{
    JOut out = {.j = j};
    if (v.type == J_STR) {
        v.safe = false;
        return v;
    }
    j_print(&out, v, false);
    return j_out_take(&out);
}

/* ---- JSON ---- */

static void json_str(JOut *o, const JStr *s, bool ascii)
{
    uint32_t said = s->size ? s->data[0] & J_SAID : 0;
    j_out_char(o, '"' | said);
    for (size_t i = 0; i < s->size; i++) {
        static const char from[] = "\"\\\n\r\t\f\b", to[] = "\"\\nrtfb";
        uint32_t c = J_CODE(s->data[i]), mark = s->data[i] & J_SAID;
        const char *short_form = c && c < 0x80 ? strchr(from, (int)c) : NULL;
        if (short_form) {
            j_out_char(o, '\\' | mark);
            j_out_char(o, (unsigned char)to[short_form - from] | mark);
        } else if (c < 0x20 || (ascii && c >= 0x7F && c < 0x10000)) {
            escape_out(o, 'u', c, mark);
        } else if (ascii && c >= 0x10000) {
            escape_out(o, 'u', 0xD800 + ((c - 0x10000) >> 10 & 0x3FF), mark);
            escape_out(o, 'u', 0xDC00 + ((c - 0x10000) & 0x3FF), mark);
        } else {
            j_out_char(o, s->data[i]);
        }
    }
    j_out_char(o, '"' | said);
}

static void json_scalar(JOut *o, JValue v, const JJson *how)
{
    char text[32];
    switch ((JType)v.type) {
    case J_NONE: j_out_ascii(o, "null"); return;
    case J_BOOL: j_out_ascii(o, v.b ? "true" : "false"); return;
    case J_INT: print_scalar(o, v, false); return;
    case J_FLOAT:
        if (isnan(v.f) || isinf(v.f)) {
            j_out_ascii(o, isnan(v.f) ? "NaN" : v.f < 0 ? "-Infinity" : "Infinity");
        } else {
            j_float_text(v.f, text);
            j_out_ascii(o, text);
        }
        return;
    case J_STR: json_str(o, v.str, how->ascii); return;
    default: break;
    }
    j_fail(o->j, BT_E_FORMAT, "Object of type %s is not JSON serializable", j_type_name(v));
}

static void json_key(JOut *o, JValue key, const JJson *how)
{
    if (key.type == J_STR) {
        json_str(o, key.str, how->ascii);
        return;
    }
    if (!j_is_number(key) && key.type != J_NONE)
        j_fail(o->j, BT_E_FORMAT, "keys must be str, int, float, bool or None, not %s",
               j_type_name(key));
    j_out_char(o, '"');
    json_scalar(o, key, how);
    j_out_char(o, '"');
}

static void newline(JOut *o, const JJson *how, size_t level)
{
    if (!how->pretty) return;
    j_out_char(o, '\n');
    for (size_t i = 0; i < level; i++) j_out_str(o, how->indent.str);
}

static JDict *sorted(J *j, const JDict *d)
{
    JDict *copy = j_dict(j);
    for (size_t i = 0; i < d->n; i++) j_dict_set(j, copy, d->keys[i], d->values[i]);
    for (size_t i = 1; i < copy->n; i++) {
        JValue key = copy->keys[i], value = copy->values[i];
        size_t k = i;
        for (; k && j_order(j, key, copy->keys[k - 1], "<") < 0; k--) {
            copy->keys[k] = copy->keys[k - 1];
            copy->values[k] = copy->values[k - 1];
        }
        copy->keys[k] = key;
        copy->values[k] = value;
        j_spend(j, i - k);
    }
    return copy; /* its table is stale: only walked */
}

static bool json_enter(JOut *o, JValue *v, const JJson *how)
{
    bool list = v->type == J_LIST && v->list->kind <= JK_TUPLE;
    if (!list && v->type != J_DICT) {
        json_scalar(o, *v, how);
        return false;
    }
    if (v->type == J_DICT && how->sort) v->dict = sorted(o->j, v->dict);
    size_t size = list ? v->list->n : v->dict->n;
    j_out_char(o, list ? '[' : '{');
    if (size) return true;
    j_out_char(o, list ? ']' : '}');
    return false;
}

JValue j_to_json(J *j, JValue v, const JJson *how)
{
    JOut o = {.j = j};
    Place stack[J_NEST + 2];
    size_t n = 0;
    if (json_enter(&o, &v, how)) stack[n++] = (Place){v, 0};
    while (n) {
        Place *top = &stack[n - 1];
        bool list = top->v.type == J_LIST;
        size_t size = list ? top->v.list->n : top->v.dict->n, i = top->next++;
        j_spend(j, 1);
        if (i == size) {
            newline(&o, how, n - 1);
            j_out_char(&o, list ? ']' : '}');
            n--;
            continue;
        }
        if (i && how->item)
            j_out_str(&o, how->item);
        else if (i)
            j_out_ascii(&o, how->pretty ? "," : ", ");
        newline(&o, how, n);
        JValue item = list ? top->v.list->items[i] : top->v.dict->values[i];
        if (!list) {
            json_key(&o, top->v.dict->keys[i], how);
            if (how->colon)
                j_out_str(&o, how->colon);
            else
                j_out_ascii(&o, ": ");
        }
        if (json_enter(&o, &item, how) && n < J_NEST + 2) stack[n++] = (Place){item, 0};
    }
    return j_out_take(&o);
}
