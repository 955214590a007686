/* Models that requests make, copy and delete (Ollama's create, copy, delete): other names for files
 * that are offered already, with settings of their own. No file is named by a request, none is
 * written or removed but the list of what was made, which is played again at the next start. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "serve/made.h"
#include "serve/supervisor_parts.h"

#define MOST_FILE ((size_t)4 << 20)

typedef struct Pair {
    const char *key, *value;
} Pair;

enum { MOST_PAIRS = 1100 };

typedef struct Verb {
    Pair pair[MOST_PAIRS];
    size_t n;
    int status;
    char text[512];
} Verb;

static bool refuse(Verb *v, int status, const char *format, ...) BT_PRINTF(3, 4);

static bool refuse(Verb *v, int status, const char *format, ...)
{
    va_list args;
    v->status = status;
    va_start(args, format);
    vsnprintf(v->text, sizeof v->text, format, args);
    va_end(args);
    return false;
}

static const char *value_of(const Verb *v, const char *key)
{
    for (size_t i = 0; i < v->n; i++)
        if (strcmp(v->pair[i].key, key) == 0) return v->pair[i].value;
    return NULL;
}

/* ---- rows ---- */

static bool set_text(char **out, const char *value)
{
    mem_free(*out);
    *out = value ? mem_strdup(value) : NULL;
    return !value || *out;
}

/* The settings of `from`, under another name. */
static int inherit(Supervisor *s, Verb *v, int from, const char *name)
{
    const int at = row_new(s, name, s->o->catalogue->models[from].path);
    ServeModel *m = at < 0 ? NULL : &s->o->catalogue->models[at];
    if (!m || !catalogue_inherit(m, &s->o->catalogue->models[from])) {
        if (m) m->here = false;
        refuse(v, 500, "not enough memory, or too many models");
        return -1;
    }
    m->made = true;
    if (s->row[from].describe) s->row[at].describe = mem_strdup(s->row[from].describe);
    s->row[at].described = s->row[at].describe != NULL;
    return at;
}

/* ---- the verbs ---- */

static bool set_all(Verb *v, ServeModel *m)
{
    char why[sizeof v->text];
    for (size_t i = 0; i < v->n; i++) {
        const char *key = v->pair[i].key, *value = v->pair[i].value;
        if (strcmp(key, "system") == 0 && !set_text(&m->system, value))
            return refuse(v, 500, "not enough memory");
        if (!made_set(m, key, value, why, sizeof why)) return refuse(v, 400, "%s", why);
    }
    return true;
}

/* What a template can do is not what its model's own can: it is looked at anew. */
static void describe_again(Supervisor *s, const Verb *v, int at)
{
    if (!value_of(v, "jinja")) return;
    mem_free(s->row[at].describe);
    s->row[at].describe = NULL;
    s->row[at].described = false;
}

static bool make(Supervisor *s, Verb *v, const char *name, const char *from, bool set)
{
    if (!name || !*name || strlen(name) > API_MAX_NAME || !from)
        return refuse(v, 400, "a name is missing, or too long");
    const int source = catalogue_find(s->o->catalogue, from);
    const int before = catalogue_find(s->o->catalogue, name);
    if (source < 0) return refuse(v, 404, "there is no model '%.200s' here", from);
    if (before >= 0 && !s->o->catalogue->models[before].made)
        return refuse(v, 400, "'%.200s' is the name of a model already", name);
    const int at = inherit(s, v, source, name);
    if (at < 0) return false;
    ServeModel *m = &s->o->catalogue->models[at];
    if (!made_inherit(m, &s->o->catalogue->models[source])) {
        m->here = false;
        return refuse(v, 500, "not enough memory");
    }
    if (set && !set_all(v, m)) {
        m->here = false;
        return false;
    }
    describe_again(s, v, at);
    if (before >= 0) { /* made anew */
        s->o->catalogue->models[before].here = false;
        if (s->row[before].seat >= 0) seats_unload(s, s->row[before].seat);
        front_tell_model(s, before);
    }
    return true;
}

static bool delete (Supervisor *s, Verb *v, const char *name)
{
    const int at = name ? catalogue_find(s->o->catalogue, name) : -1;
    if (at < 0) return refuse(v, 404, "there is no model '%.200s' here", name ? name : "");
    ServeModel *m = &s->o->catalogue->models[at];
    if (!m->made)
        return refuse(v, 400,
                      "'%.200s' was not made by a request: remove its file, or its row of "
                      "the configuration",
                      name);
    m->here = false;
    if (s->row[at].seat >= 0) seats_unload(s, s->row[at].seat);
    return true;
}

static bool obey(Supervisor *s, Verb *v)
{
    const char *verb = value_of(v, "verb");
    v->status = 200;
    if (verb && strcmp(verb, "create") == 0)
        return make(s, v, value_of(v, "model"), value_of(v, "from"), true);
    if (verb && strcmp(verb, "copy") == 0)
        return make(s, v, value_of(v, "destination"), value_of(v, "source"), false);
    if (verb && strcmp(verb, "delete") == 0) return delete (s, v, value_of(v, "model"));
    return refuse(v, 400, "not known");
}

/* ---- remembering ---- */

static bt_status write_list(void *user, int fd, bt_error *err)
{
    const Buf *text = user;
    return os_write_all(fd, text->data, text->size, err);
}

static int add_json(const char *data, size_t size, void *user)
{
    buf_add(user, data, size);
    return 0;
}

static const char *word_of(const json_t *pairs, const char *key)
{
    size_t i;
    json_t *pair;
    json_array_foreach(pairs, i, pair)
    {
        const char *name = json_string_value(json_array_get(pair, 0));
        if (name && strcmp(name, key) == 0) return json_string_value(json_array_get(pair, 1));
    }
    return NULL;
}

/* Which model a remembered verb is about, and of which it is made; "": none. */
static const char *subject(const json_t *pairs, const char **from)
{
    const char *verb = word_of(pairs, "verb");
    const bool copy = verb && strcmp(verb, "copy") == 0;
    const char *name = word_of(pairs, copy ? "destination" : "model");
    const char *of = word_of(pairs, copy ? "source" : "from");
    *from = of && verb && strcmp(verb, "delete") != 0 ? of : "";
    return name ? name : "";
}

/* Whether a later verb undid it, and nothing was made of what it made; of a removal: whether
 * nothing is left to remove. */
static bool undone(const json_t *list, size_t at)
{
    const char *from, *of, *name = subject(json_array_get(list, at), &from);
    bool there = *from != 0;
    for (size_t i = 0; i < at && !there; i++)
        there = strcasecmp(subject(json_array_get(list, i), &of), name) == 0;
    if (!there) return true;
    for (size_t i = at + 1; i < json_array_size(list); i++) {
        const char *other = subject(json_array_get(list, i), &of);
        if (strcasecmp(of, name) == 0) return false;
        if (strcasecmp(other, name) == 0) return true;
    }
    return false;
}

/* Of a model that is gone no verb stays, unless another was made of it. */
static void forget(json_t *list)
{
    for (size_t before = SIZE_MAX; json_array_size(list) < before;) {
        before = json_array_size(list);
        for (size_t i = before; i-- > 0;)
            if (undone(list, i)) json_array_remove(list, i);
    }
}

/* Verbs in their order, as many as are needed to make again what is there. */
static void remember(Supervisor *s, const Verb *v)
{
    json_t *pairs = json_array();
    Buf text = {0};
    bt_error err = {0};
    for (size_t i = 0; i < v->n; i++)
        json_array_append_new(pairs, json_pack("[ss]", v->pair[i].key, v->pair[i].value));
    if (!s->made) s->made = json_array();
    json_array_append_new(s->made, pairs);
    forget(s->made);
    if (!s->o->made_path) return;
    json_dump_callback(s->made, add_json, &text, JSON_COMPACT);
    if (text.size > MOST_FILE || text.failed ||
        os_replace_file(s->o->made_path, write_list, &text, &err) != BT_OK)
        log_line(BT_LOG_WARN, "what was made is not remembered: %s", err.text);
    buf_close(&text);
}

void admin_recall(Supervisor *s)
{
    json_error_t why;
    json_t *list = s->o->made_path ? json_load_file(s->o->made_path, 0, &why) : NULL, *pairs, *pair;
    size_t i, k;
    json_array_foreach(list, i, pairs)
    {
        Verb *v = mem_zalloc(1, sizeof *v);
        if (!v) break;
        json_array_foreach(pairs, k, pair)
        {
            const char *key = json_string_value(json_array_get(pair, 0));
            const char *value = json_string_value(json_array_get(pair, 1));
            if (key && value && v->n < MOST_PAIRS) v->pair[v->n++] = (Pair){key, value};
        }
        if (!obey(s, v)) log_line(BT_LOG_WARN, "of the models made before: %s", v->text);
        mem_free(v);
    }
    s->made = list ? list : json_array();
}

void admin_hear(Supervisor *s, int64_t id, const char *data, size_t size)
{
    Verb *v = mem_zalloc(1, sizeof *v);
    const char *at = data, *end = data + size;
    if (!v) return;
    while (at < end && v->n < MOST_PAIRS) { /* a NUL stands behind the last, whatever was sent */
        Pair *p = &v->pair[v->n];
        p->key = at;
        at += strlen(at) + 1;
        if (at >= end) break;
        p->value = at;
        at += strlen(at) + 1;
        v->n++;
    }
    if (obey(s, v)) {
        remember(s, v);
        front_tell_catalogue(s);
    }
    const ControlNumber answer = {id, v->status};
    front_tell(s, CONTROL_ANSWER, &answer, sizeof answer, v->text, strlen(v->text));
    mem_free(v);
}
