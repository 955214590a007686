/* Methods of values: which exist, which the sandbox lets a template call, and those of dicts,
 * lists, cyclers and loops (strings have a file of their own). A name that Python knows and this
 * does not is an error of its own when it is called. */
#include <string.h>

#include "text/jinja_value.h"

typedef struct Entry {
    const char *name;
    bool unsafe; /* changes its object: jinja2's immutable sandbox forbids it */
} Entry;

static const Entry dict_methods[] = {
    {"get", false},       {"items", false}, {"keys", false},     {"values", false},
    {"copy", false},      {"clear", true},  {"pop", true},       {"popitem", true},
    {"setdefault", true}, {"update", true}, {"fromkeys", false}, {NULL, false},
};
static const Entry list_methods[] = {
    {"index", false}, {"count", false},  {"copy", false},  {"append", true},
    {"clear", true},  {"extend", true},  {"insert", true}, {"pop", true},
    {"remove", true}, {"reverse", true}, {"sort", true},   {NULL, false},
};
static const Entry cycler_methods[] = {{"next", false}, {"reset", false}, {NULL, false}};
static const Entry loop_methods[] = {{"cycle", false}, {"changed", false}, {NULL, false}};

enum { DICT_GET, DICT_ITEMS, DICT_KEYS, DICT_VALUES, DICT_COPY };
enum { LIST_INDEX, LIST_COUNT, LIST_COPY };
enum { LOOP_CYCLE, LOOP_CHANGED };

static JValue method(J *j, JValue self, int id, const char *name)
{
    JMethod *m = j_alloc(j, sizeof *m);
    *m = (JMethod){self, id, name};
    return (JValue){.type = J_METHOD, .method = m};
}

static JValue forbidden(J *j, JValue v, JValue name)
{
    JValue u = j_undefined(j, j_type_name(v), name);
    u.undef->unsafe = true;
    return u;
}

JValue j_method(J *j, JValue v, JValue name)
{
    const JValue none = {.type = J_MISSING};
    const JStr *s = name.str;
    const Entry *list = v.type == J_DICT     ? dict_methods
                        : v.type == J_CYCLER ? cycler_methods
                                             : NULL;
    if (v.type == J_LIST && v.list->kind == JK_LIST) list = list_methods;
    if (s->size > 4 && J_CODE(s->data[0]) == '_' && J_CODE(s->data[1]) == '_' &&
        J_CODE(s->data[s->size - 1]) == '_' && v.type != J_DICT)
        return forbidden(j, v, name);
    if (v.type == J_CYCLER && j_str_is(name, "current")) return v.cycler->list->items[v.cycler->at];
    if (v.type == J_STR) {
        int id = j_str_method_find(name);
        return id < 0 ? none : method(j, v, id, j_utf8(j, name));
    }
    if (v.type == J_LIST && v.list->kind == JK_TUPLE &&
        (j_str_is(name, "index") || j_str_is(name, "count")))
        list = list_methods;
    for (int i = 0; list && list[i].name; i++) {
        if (!j_str_is(name, list[i].name)) continue;
        return list[i].unsafe ? forbidden(j, v, name) : method(j, v, i, list[i].name);
    }
    return none;
}

/* ---- dicts and lists ---- */

static JValue pairs(J *j, const JDict *d, JKind kind)
{
    JList *list = j_list(j, kind, d->n);
    for (size_t i = 0; i < d->n; i++) {
        if (kind == JK_ITEMS) {
            JList *pair = j_list(j, JK_TUPLE, 2);
            pair->items[0] = d->keys[i];
            pair->items[1] = d->values[i];
            list->items[i] = j_list_close(j, pair);
        } else {
            list->items[i] = kind == JK_KEYS ? d->keys[i] : d->values[i];
        }
    }
    return j_list_close(j, list);
}

static JValue dict_method(J *j, const JMethod *m, const JArgs *args)
{
    const JDict *d = m->self.dict;
    JValue given[2];
    switch (m->id) {
    case DICT_GET: {
        j_bind(j, "get", args, "key default", 1, given);
        if (!j_hashable(given[0]))
            j_fail(j, BT_E_FORMAT, "unhashable type: '%s'", j_type_name(given[0]));
        const JValue *found = j_dict_get(j, d, given[0]);
        if (found) return *found;
        return given[1].type == J_MISSING ? j_none() : given[1];
    }
    case DICT_ITEMS: j_bind(j, "items", args, "", 0, NULL); return pairs(j, d, JK_ITEMS);
    case DICT_KEYS: j_bind(j, "keys", args, "", 0, NULL); return pairs(j, d, JK_KEYS);
    case DICT_VALUES: j_bind(j, "values", args, "", 0, NULL); return pairs(j, d, JK_VALUES);
    case DICT_COPY: j_bind(j, "copy", args, "", 0, NULL); return m->self;
    default: break;
    }
    j_fail(j, BT_E_UNSUPPORTED, "the method %s of a dict is not supported", m->name);
}

static JValue list_method(J *j, const JMethod *m, const JArgs *args)
{
    const JList *list = m->self.list;
    JValue given[2];
    int64_t count = 0;
    if (m->id == LIST_COPY) {
        j_bind(j, "copy", args, "", 0, NULL);
        return m->self;
    }
    j_bind(j, m->name, args, "value", 1, given);
    for (size_t i = 0; i < list->n; i++) {
        if (!j_equal(j, list->items[i], given[0])) continue;
        if (m->id == LIST_INDEX) return j_int((int64_t)i);
        count++;
    }
    if (m->id == LIST_COUNT) return j_int(count);
    JOut out = {.j = j};
    j_print(&out, given[0], true);
    j_fail(j, BT_E_FORMAT, "%s is not in list", j_utf8(j, j_out_take(&out)));
}

/* ---- cyclers and loops ---- */

static JValue cycler_method(J *j, const JMethod *m, const JArgs *args)
{
    JCycler *c = m->self.cycler;
    j_bind(j, m->name, args, "", 0, NULL);
    if (strcmp(m->name, "reset") == 0) {
        c->at = 0;
        return j_none();
    }
    JValue now = c->list->items[c->at];
    c->at = (c->at + 1) % c->list->n;
    return now;
}

static JValue loop_method(J *j, const JMethod *m, const JArgs *args)
{
    JLoop *loop = m->self.loop;
    if (m->id == LOOP_CYCLE) {
        if (!args->n_pos) j_fail(j, BT_E_FORMAT, "no items for cycling given");
        return args->pos[(loop->index - 1) % args->n_pos];
    }
    JList *now = j_list(j, JK_TUPLE, args->n_pos);
    for (size_t i = 0; i < now->n; i++) now->items[i] = args->pos[i];
    JValue value = j_list_close(j, now);
    bool same = loop->has_changed && j_equal(j, loop->changed, value);
    loop->changed = value;
    loop->has_changed = true;
    return j_bool(!same);
}

JValue j_loop_attr(J *j, JValue v, JValue name)
{
    const JLoop *loop = v.loop;
    int64_t n = (int64_t)loop->list->n, at = (int64_t)loop->index - 1;
    if (j_str_is(name, "index")) return j_int(at + 1);
    if (j_str_is(name, "index0")) return j_int(at);
    if (j_str_is(name, "revindex")) return j_int(n - at);
    if (j_str_is(name, "revindex0")) return j_int(n - at - 1);
    if (j_str_is(name, "first")) return j_bool(at == 0);
    if (j_str_is(name, "last")) return j_bool(at + 1 == n);
    if (j_str_is(name, "length")) return j_int(n);
    if (j_str_is(name, "depth")) return j_int(1);
    if (j_str_is(name, "depth0")) return j_int(0);
    if (j_str_is(name, "previtem"))
        return at > 0 ? loop->list->items[at - 1]
                      : j_undefined_hint(j, "there is no previous item");
    if (j_str_is(name, "nextitem"))
        return at + 1 < n ? loop->list->items[at + 1]
                          : j_undefined_hint(j, "there is no next item");
    for (int i = 0; loop_methods[i].name; i++)
        if (j_str_is(name, loop_methods[i].name)) return method(j, v, i, loop_methods[i].name);
    return (JValue){.type = J_MISSING};
}

JValue j_call_method(J *j, const JMethod *m, const JArgs *args)
{
    switch ((JType)m->self.type) {
    case J_STR: return j_str_method(j, m, args);
    case J_DICT: return dict_method(j, m, args);
    case J_LIST: return list_method(j, m, args);
    case J_CYCLER: return cycler_method(j, m, args);
    default: break;
    }
    return loop_method(j, m, args);
}

/* ---- arguments ---- */

void j_bind(J *j, const char *what, const JArgs *args, const char *names, int required, JValue *out)
{
    int n = 0;
    size_t taken = 0;
    for (const char *p = names; *p; n++) {
        size_t size = strcspn(p, " ");
        out[n] = (JValue){.type = J_MISSING};
        if ((size_t)n < args->n_pos) out[n] = args->pos[n];
        for (size_t i = 0; i < args->n_kw; i++) {
            const JStr *key = args->kw[2 * i].str;
            bool same = key->size == size;
            for (size_t k = 0; same && k < size; k++)
                same = J_CODE(key->data[k]) == (unsigned char)p[k];
            if (!same) continue;
            if (out[n].type != J_MISSING)
                j_fail(j, BT_E_FORMAT, "%s() got multiple values for argument '%.*s'", what,
                       (int)size, p);
            out[n] = args->kw[2 * i + 1];
            taken++;
        }
        if (out[n].type == J_MISSING && n < required)
            j_fail(j, BT_E_FORMAT, "%s() missing 1 required positional argument: '%.*s'", what,
                   (int)size, p);
        p += size + strspn(p + size, " ");
    }
    if (args->n_pos > (size_t)n)
        j_fail(j, BT_E_FORMAT, "%s() takes %d arguments, %zu were given", what, n, args->n_pos);
    if (taken < args->n_kw) j_fail(j, BT_E_FORMAT, "%s() got an unexpected keyword argument", what);
}
