/* Functions that every template finds: range, dict, namespace, cycler and joiner of jinja2's
 * sandbox, raise_exception and strftime_now of Hugging Face. Dates are UTC and English, whatever
 * the machine's language. And how JSON becomes values. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "text/jinja_value.h"

#define MOST_RANGE 100000 /* jinja2's sandbox */

enum { G_RANGE, G_DICT, G_NAMESPACE, G_CYCLER, G_JOINER, G_RAISE, G_STRFTIME };

static const char *const names[] = {
    "range", "dict", "namespace", "cycler", "joiner", "raise_exception", "strftime_now"};

int j_global_find(Span name)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (span_is(name, names[i])) return (int)i;
    return -1;
}

/* ---- making values ---- */

static JValue make_range(J *j, const JArgs *args)
{
    int64_t n[3] = {0, 0, 1};
    if (args->n_kw || args->n_pos < 1 || args->n_pos > 3)
        j_fail(j, BT_E_FORMAT, "range takes one to three whole numbers");
    for (size_t i = 0; i < args->n_pos; i++) {
        j_need_defined(j, args->pos[i]);
        if (!j_is_whole(args->pos[i]))
            j_fail(j, BT_E_FORMAT, "'%s' object cannot be interpreted as an integer",
                   j_type_name(args->pos[i]));
        n[i] = j_whole(args->pos[i]);
    }
    if (args->n_pos == 1) n[1] = n[0], n[0] = 0;
    if (n[2] == 0) j_fail(j, BT_E_FORMAT, "range() arg 3 must not be zero");
    uint64_t size = 0, distance = 0;
    uint64_t step = n[2] > 0 ? (uint64_t)n[2] : 0 - (uint64_t)n[2];
    if (n[2] > 0 && n[1] > n[0]) distance = (uint64_t)n[1] - (uint64_t)n[0];
    if (n[2] < 0 && n[0] > n[1]) distance = (uint64_t)n[0] - (uint64_t)n[1];
    if (distance) size = (distance - 1) / step + 1;
    if (size > MOST_RANGE)
        j_fail(j, BT_E_LIMIT,
               "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).", MOST_RANGE);
    JList *list = j_list(j, JK_RANGE, (size_t)size);
    for (size_t i = 0; i < size; i++) list->items[i] = j_int(n[0] + (int64_t)i * n[2]);
    return j_list_close(j, list);
}

static JDict *make_dict(J *j, const JArgs *args)
{
    JDict *dict = j_dict(j);
    if (args->n_pos > 1)
        j_fail(j, BT_E_FORMAT, "dict expected at most 1 argument, got %zu", args->n_pos);
    if (args->n_pos && args->pos[0].type == J_DICT) {
        const JDict *from = args->pos[0].dict;
        for (size_t i = 0; i < from->n; i++) j_dict_set(j, dict, from->keys[i], from->values[i]);
    } else if (args->n_pos) {
        JList *pairs = j_iterate(j, args->pos[0]);
        for (size_t i = 0; i < pairs->n; i++) {
            JList *pair = j_iterate(j, pairs->items[i]);
            if (pair->n != 2)
                j_fail(j, BT_E_FORMAT,
                       "dictionary update sequence element #%zu has length %zu; 2 is required", i,
                       pair->n);
            j_dict_set(j, dict, pair->items[0], pair->items[1]);
        }
    }
    for (size_t i = 0; i < args->n_kw; i++)
        j_dict_set(j, dict, args->kw[2 * i], args->kw[2 * i + 1]);
    return dict;
}

static JValue make_namespace(J *j, const JArgs *args)
{
    JSpace *space = j_alloc(j, sizeof *space);
    space->dict = make_dict(j, args);
    space->dict->depth = 0;
    return (JValue){.type = J_SPACE, .space = space};
}

static JValue make_cycler(J *j, const JArgs *args, bool joiner)
{
    JCycler *c = j_alloc(j, sizeof *c);
    *c = (JCycler){0};
    if (joiner) {
        JValue by;
        j_bind(j, "joiner", args, "sep", 0, &by);
        c->separator = by.type == J_MISSING ? j_text(j, ", ") : by;
        return (JValue){.type = J_JOINER, .cycler = c};
    }
    if (!args->n_pos) j_fail(j, BT_E_FORMAT, "at least one item has to be provided");
    c->list = j_list(j, JK_TUPLE, args->n_pos);
    for (size_t i = 0; i < args->n_pos; i++) c->list->items[i] = args->pos[i];
    return (JValue){.type = J_CYCLER, .cycler = c};
}

/* ---- dates ---- */

static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                   "Thursday", "Friday", "Saturday"};
static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};

static void number(JOut *o, int value, int width, char pad)
{
    char text[32];
    if (pad == '-') width = 1;
    snprintf(text, sizeof text, pad == '_' ? "%*d" : "%0*d", width, value);
    j_out_ascii(o, text);
}

/* One directive; false: it is not known. */
static bool directive(JOut *o, char c, char pad, const struct tm *tm)
{
    int hour = tm->tm_hour % 12 ? tm->tm_hour % 12 : 12;
    switch (c) {
    case 'a':
    case 'A':
    case 'b':
    case 'h':
    case 'B': {
        const char *name = c == 'a' || c == 'A' ? days[tm->tm_wday % 7] : months[tm->tm_mon % 12];
        size_t n = c == 'A' || c == 'B' ? strlen(name) : 3;
        for (size_t i = 0; i < n; i++) j_out_char(o, (unsigned char)name[i]);
        break;
    }
    case 'd': number(o, tm->tm_mday, 2, pad); break;
    case 'e': number(o, tm->tm_mday, 2, pad ? pad : '_'); break;
    case 'H': number(o, tm->tm_hour, 2, pad); break;
    case 'I': number(o, hour, 2, pad); break;
    case 'j': number(o, tm->tm_yday + 1, 3, pad); break;
    case 'm': number(o, tm->tm_mon + 1, 2, pad); break;
    case 'M': number(o, tm->tm_min, 2, pad); break;
    case 'p': j_out_ascii(o, tm->tm_hour < 12 ? "AM" : "PM"); break;
    case 'S': number(o, tm->tm_sec, 2, pad); break;
    case 'u': number(o, tm->tm_wday ? tm->tm_wday : 7, 1, pad); break;
    case 'w': number(o, tm->tm_wday, 1, pad); break;
    case 'y': number(o, (tm->tm_year + 1900) % 100, 2, pad); break;
    case 'Y': number(o, tm->tm_year + 1900, 1, pad); break;
    case 'f': j_out_ascii(o, "000000"); break;
    case 'n': j_out_char(o, '\n'); break;
    case 't': j_out_char(o, '\t'); break;
    case '%': j_out_char(o, '%'); break;
    case 'z':
    case 'Z': break; /* Python: nothing, for a time without a zone */
    default: return false;
    }
    return true;
}

/* What a directive that stands for several means. */
static const char *several(char c)
{
    return c == 'c'               ? "%a %b %e %H:%M:%S %Y"
           : c == 'D' || c == 'x' ? "%m/%d/%y"
           : c == 'F'             ? "%Y-%m-%d"
           : c == 'T' || c == 'X' ? "%H:%M:%S"
           : c == 'R'             ? "%H:%M"
           : c == 'r'             ? "%I:%M:%S %p"
                                  : NULL;
}

static JValue date(J *j, const JArgs *args)
{
    JValue form;
    JOut out = {.j = j};
    struct tm tm = {0};
    time_t now = (time_t)j->now;
    j_bind(j, "strftime_now", args, "format", 1, &form);
    if (form.type != J_STR)
        j_fail(j, BT_E_FORMAT, "strftime() argument 1 must be str, not %s", j_type_name(form));
    if (!gmtime_r(&now, &tm)) j_fail(j, BT_E_FORMAT, "the clock is out of range");
    const JStr *s = form.str;
    for (size_t i = 0; i < s->size; i++) {
        uint32_t c = J_CODE(s->data[i]);
        if (c != '%' || i + 1 == s->size) {
            j_out_char(&out, s->data[i]);
            continue;
        }
        c = J_CODE(s->data[++i]);
        char pad = 0;
        if ((c == '-' || c == '_') && i + 1 < s->size) {
            pad = (char)c;
            c = J_CODE(s->data[++i]);
        }
        const char *inner = c < 0x80 ? several((char)c) : NULL;
        for (const char *p = inner; p && *p; p++) {
            if (*p == '%')
                directive(&out, *++p, 0, &tm);
            else
                j_out_char(&out, (unsigned char)*p);
        }
        if (inner || (c < 0x80 && directive(&out, (char)c, pad, &tm))) continue;
        j_out_char(&out, '%');
        if (pad) j_out_char(&out, (unsigned char)pad);
        j_out_char(&out, c);
    }
    return j_out_take(&out);
}

JValue j_call_global(J *j, int id, const JArgs *args)
{
    JValue v;
    switch (id) {
    case G_RANGE: return make_range(j, args);
    case G_DICT: return (JValue){.type = J_DICT, .dict = make_dict(j, args)};
    case G_NAMESPACE: return make_namespace(j, args);
    case G_CYCLER: return make_cycler(j, args, false);
    case G_JOINER: return make_cycler(j, args, true);
    case G_STRFTIME: return date(j, args);
    default: break;
    }
    j_bind(j, "raise_exception", args, "message", 1, &v);
    j_raise(j, j_utf8(j, j_to_str(j, v)));
}

/* ---- JSON ---- */

typedef struct Place {
    const json_t *node;
    JList *list;
    JDict *dict;
    size_t next;
    void *iter;
    JValue key;
} Place;

static bool plain_role(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!((text[i] >= 'a' && text[i] <= 'z') || text[i] == '_' || text[i] == '-' ||
              text[i] == ' '))
            return false;
    return n > 0 && n <= 32;
}

static JValue scalar(J *j, const json_t *node, bool said)
{
    switch (json_typeof(node)) {
    case JSON_STRING: return j_text_n(j, json_string_value(node), json_string_length(node), said);
    case JSON_INTEGER: return j_int(json_integer_value(node));
    case JSON_REAL: return j_float(json_real_value(node));
    case JSON_TRUE: return j_bool(true);
    case JSON_FALSE: return j_bool(false);
    default: break;
    }
    return j_none();
}

static void enter(J *j, Place *p, const json_t *node)
{
    *p = (Place){.node = node};
    if (json_is_array(node)) {
        p->list = j_list(j, JK_LIST, json_array_size(node));
    } else {
        p->dict = j_dict(j);
        p->iter = json_object_iter((json_t *)(uintptr_t)node);
    }
}

/* The next member, or NULL at the end; the key of an object's is left in p->key. */
static const json_t *member(J *j, Place *p)
{
    if (p->list) return json_array_get(p->node, p->next);
    if (!p->iter) return NULL;
    const char *key = json_object_iter_key(p->iter);
    p->key = j_text_n(j, key, json_object_iter_key_len(p->iter), true);
    return json_object_iter_value(p->iter);
}

static void put(J *j, Place *p, JValue v)
{
    if (p->list) {
        p->list->items[p->next++] = v;
        return;
    }
    j_dict_set(j, p->dict, p->key, v);
    p->iter = json_object_iter_next((json_t *)(uintptr_t)p->node, p->iter);
}

JValue j_from_json(J *j, const json_t *root, bool said)
{
    Place stack[J_NEST + 1];
    size_t n = 0;
    if (!json_is_array(root) && !json_is_object(root)) return scalar(j, root, said);
    enter(j, &stack[n++], root);
    for (;;) {
        Place *top = &stack[n - 1];
        const json_t *node = member(j, top);
        j_spend(j, 1);
        if (!node) {
            JValue v = {.type = J_DICT, .dict = top->dict};
            if (top->list) v = j_list_close(j, top->list);
            if (--n == 0) return v;
            put(j, &stack[n - 1], v);
        } else if (json_is_array(node) || json_is_object(node)) {
            if (n == J_NEST)
                j_fail(j, BT_E_LIMIT, "the conversation is nested more than %u deep", J_NEST);
            enter(j, &stack[n++], node);
        } else {
            bool role = n == 2 && stack[0].list && top->dict && json_is_string(node) &&
                        j_str_is(top->key, "role") &&
                        plain_role(json_string_value(node), json_string_length(node));
            put(j, top, scalar(j, node, said && !role));
        }
    }
}
