/* See made.h. */
#include "serve/made.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/json_tree.h"

typedef struct Setting {
    ServeModel *m;
    const char *key, *value;
    char *why;
    size_t why_size;
} Setting;

static bool refuse(Setting *s, const char *format, ...) BT_PRINTF(2, 3);

static bool refuse(Setting *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(s->why, s->why_size, format, args);
    va_end(args);
    return false;
}

static bool keep(Setting *s, char **out, const char *text)
{
    char *copy = mem_strdup(text);
    if (!copy) return refuse(s, "not enough memory");
    mem_free(*out);
    *out = copy;
    return true;
}

/* Behind what stands there. */
static bool append(Setting *s, char **out, const char *between, const Buf *more)
{
    Buf all = {0};
    if (*out) buf_printf(&all, "%s%s", *out, between);
    buf_add(&all, more->data, more->size);
    char *text = more->failed ? NULL : buf_take(&all);
    buf_close(&all);
    if (!text) return refuse(s, "not enough memory");
    mem_free(*out);
    *out = text;
    return true;
}

/* ---- parameters ---- */

static bool add_stop(Setting *s)
{
    ServeModel *m = s->m;
    size_t n = strlen(s->value);
    if (!n || n > API_MAX_STOP || m->n_stops == SERVE_MOST_STOPS)
        return refuse(s, "stop must have 1 to %d bytes, and there are %d at most", API_MAX_STOP,
                      SERVE_MOST_STOPS);
    if (!(m->stops[m->n_stops] = mem_strdup(s->value))) return refuse(s, "not enough memory");
    m->n_stops++;
    return true;
}

/* They do not change answers, or are the server's own affair. */
static bool means_nothing(const char *name)
{
    static const char *const names[] = {"num_batch", "num_gpu",  "num_keep",  "num_thread",
                                        "main_gpu",  "low_vram", "use_mlock", "use_mmap"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

static bool set_number(Setting *s, const char *name)
{
    bt_sampler_options *o = &s->m->sampling;
    const struct {
        const char *name;
        double low, high;
        float *real;
        int32_t *whole;
    } rows[] = {{"temperature", 0, 100, &o->temperature, NULL},
                {"top_k", -1, 1000000, NULL, &o->top_k},
                {"top_p", 0, 1, &o->top_p, NULL},
                {"min_p", -1, 1, &o->min_p, NULL},
                {"typical_p", 0, 1, &o->typical_p, NULL},
                {"repeat_penalty", 0, 100, &o->repeat_penalty, NULL},
                {"repeat_last_n", -1, 1000000, NULL, &o->penalty_last_n},
                {"presence_penalty", -100, 100, &o->presence_penalty, NULL},
                {"frequency_penalty", -100, 100, &o->frequency_penalty, NULL},
                {"mirostat_tau", 0, 100, &o->mirostat_tau, NULL},
                {"mirostat_eta", 0, 1, &o->mirostat_eta, NULL},
                {"num_ctx", 1, 100000000, NULL, &s->m->n_ctx},
                {"num_predict", -2, 100000000, NULL, &s->m->max_tokens}};
    char *end;
    const double n = strtod(s->value, &end);
    bool number = end != s->value && !*end;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].name, name) != 0) continue;
        if (!number || !(n >= rows[i].low && n <= rows[i].high))
            return refuse(s, "%.60s must be a number from %g to %g", name, rows[i].low,
                          rows[i].high);
        if (rows[i].whole)
            *rows[i].whole = (int32_t)n;
        else
            *rows[i].real = (float)n;
        if (rows[i].real == &o->temperature) o->greedy = n == 0;
        if (rows[i].whole == &s->m->max_tokens && n < 1) s->m->max_tokens = 0;
        return true;
    }
    if (strcmp(name, "seed") == 0 && number && n >= 0 && n < 9e15) {
        o->seed = (uint64_t)n;
        return true;
    }
    if (strcmp(name, "mirostat") == 0 && number && (n == 0 || n == 2)) {
        o->mirostat = (int32_t)n;
        return true;
    }
    return refuse(s, "the parameter %.60s cannot be set to this for a model here", name);
}

static bool set_parameter(Setting *s)
{
    const char *name = s->key + strlen("parameter.");
    Buf line = {0};
    if (means_nothing(name)) return true;
    if (!(strcmp(name, "stop") == 0 ? add_stop(s) : set_number(s, name))) return false;
    buf_printf(&line, "%-30s ", name);
    if (strcmp(name, "stop") == 0)
        json_string_write(&line, span_of(s->value));
    else
        buf_text(&line, s->value);
    bool good = append(s, &s->m->parameters, "\n", &line);
    buf_close(&line);
    return good;
}

/* ---- the rest ---- */

static bool add_message(Setting *s)
{
    const char *role = s->key + strlen("message.");
    Buf message = {0};
    if (strcmp(role, "user") != 0 && strcmp(role, "assistant") != 0 && strcmp(role, "system") != 0)
        return refuse(s, "MESSAGE takes system, user or assistant, not %.40s", role);
    if (s->m->n_messages == SERVE_MOST_MESSAGES)
        return refuse(s, "more than %d messages", SERVE_MOST_MESSAGES);
    buf_printf(&message, "{\"role\":\"%s\",\"content\":", role);
    json_string_write(&message, span_of(s->value));
    buf_char(&message, '}');
    bool good = append(s, &s->m->messages, ",", &message);
    s->m->n_messages += good;
    buf_close(&message);
    return good;
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* One that the server's configuration gives the model: by its name, or its file's. */
static bool take_adapter(Setting *s)
{
    for (size_t i = 0; i < s->m->n_adapters; i++) {
        ServeAdapter *a = &s->m->adapters[i];
        if (strcmp(a->name, s->value) != 0 && strcmp(file_name(a->path), file_name(s->value)) != 0)
            continue;
        a->always = true;
        return true;
    }
    return refuse(
        s,
        "there is no adapter '%.80s' for this model: name it in the server's configuration "
        "(\"adapters\" of the model), then ADAPTER with its name or its file's takes it",
        s->value);
}

bool made_set(ServeModel *m, const char *key, const char *value, char *why, size_t why_size)
{
    Setting s = {m, key, value, why, why_size};
    Buf text = {.data = NULL};
    if (strncmp(key, "parameter.", 10) == 0) return set_parameter(&s);
    if (strncmp(key, "message.", 8) == 0) return add_message(&s);
    if (strcmp(key, "template") == 0) return keep(&s, &m->template_text, value);
    if (strcmp(key, "adapter") == 0) return take_adapter(&s);
    if (strcmp(key, "jinja") == 0) {
        mem_free(m->template_name);
        m->template_name = NULL;
        return keep(&s, &m->jinja, value);
    }
    if (strcmp(key, "license") == 0) {
        buf_text(&text, value);
        bool good = append(&s, &m->license, "\n\n", &text);
        buf_close(&text);
        return good;
    }
    if (strcmp(key, "quantize") == 0)
        return refuse(&s,
                      "quantize is not done by requests: 'bantam quantize' makes the file, then "
                      "create a model from that");
    return true; /* of the verb itself */
}

/* ---- copies ---- */

static bool copy(char **to, const char *from)
{
    *to = from ? mem_strdup(from) : NULL;
    return *to || !from;
}

bool made_inherit(ServeModel *to, const ServeModel *from)
{
    to->license = to->messages = to->parameters = to->template_text = NULL;
    to->n_stops = 0;
    bool good = copy(&to->license, from->license) && copy(&to->messages, from->messages) &&
                copy(&to->parameters, from->parameters) &&
                copy(&to->template_text, from->template_text);
    to->n_messages = from->n_messages;
    for (size_t i = 0; i < from->n_stops && good; i++) {
        good = copy(&to->stops[i], from->stops[i]);
        to->n_stops = i + good;
    }
    return good;
}

void made_clear(ServeModel *m)
{
    for (size_t i = 0; i < m->n_stops; i++) mem_free(m->stops[i]);
    m->n_stops = 0;
    mem_free(m->license);
    mem_free(m->messages);
    mem_free(m->parameters);
    mem_free(m->template_text);
    m->license = m->messages = m->parameters = m->template_text = NULL;
}
