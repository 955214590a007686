/* The list of models a server offers. See catalogue.h. */
#include "serve/catalogue.h"

#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/sha256.h"
#include "serve/control.h"
#include "serve/made.h"
#include "text/json_tree.h"

int catalogue_add(Catalogue *c, const char *name, const char *path)
{
    if (c->n == CONTROL_MODELS) return -1;
    if (c->n == c->capacity) {
        const size_t capacity = 2 * c->capacity + 16;
        ServeModel *grown = mem_realloc(c->models, capacity * sizeof *grown);
        if (!grown) return -1;
        c->models = grown;
        c->capacity = capacity;
    }
    ServeModel *m = &c->models[c->n];
    *m = (ServeModel){.keep_alive_ms = SERVE_KEEP_DEFAULT, .here = true};
    m->name = mem_strdup(name);
    m->path = mem_strdup(path);
    if (!m->name || !m->path) {
        mem_free(m->name);
        mem_free(m->path);
        return -1;
    }
    return (int)c->n++;
}

bool catalogue_alias(ServeModel *m, const char *alias)
{
    if (m->n_aliases == SERVE_MOST_ALIASES) return false;
    m->aliases[m->n_aliases] = mem_strdup(alias);
    return m->aliases[m->n_aliases] && ++m->n_aliases;
}

int catalogue_find(const Catalogue *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++) {
        const ServeModel *m = &c->models[i];
        if (!m->here) continue;
        if (strcasecmp(m->name, name) == 0) return (int)i;
        for (size_t k = 0; k < m->n_aliases; k++)
            if (strcasecmp(m->aliases[k], name) == 0) return (int)i;
    }
    return -1;
}

/* The texts among a model's settings: all that copies or frees them goes by this list. What is no
 * text, list or name is copied with the struct. */
static char **setting(ServeModel *m, size_t i)
{
    char **all[] = {&m->system, &m->template_name, &m->jinja};
    return i < sizeof all / sizeof *all ? all[i] : NULL;
}

static void drop_settings(ServeModel *m)
{
    for (size_t i = 0; setting(m, i); i++) mem_free(*setting(m, i));
    for (size_t k = 0; k < m->n_adapters; k++) {
        mem_free(m->adapters[k].name);
        mem_free(m->adapters[k].path);
    }
    mem_free(m->adapters);
}

static bool copy_text(char **to, const char *from)
{
    *to = from ? mem_strdup(from) : NULL;
    return !from || *to;
}

bool catalogue_inherit(ServeModel *m, const ServeModel *from)
{
    ServeModel copy = *from;
    bool good = true;
    memcpy(copy.aliases, m->aliases, sizeof copy.aliases);
    copy.n_aliases = m->n_aliases;
    copy.name = m->name;
    copy.path = m->path;
    copy.here = m->here;
    copy.found = copy.made = false;
    copy.adapters = mem_zalloc(from->n_adapters + 1, sizeof *copy.adapters);
    for (size_t i = 0; copy.adapters && i < from->n_adapters; i++) {
        copy.adapters[i] = from->adapters[i];
        good &= copy_text(&copy.adapters[i].name, from->adapters[i].name);
        good &= copy_text(&copy.adapters[i].path, from->adapters[i].path);
    }
    if (!copy.adapters) copy.n_adapters = 0;
    for (size_t i = 0; setting(&copy, i); i++) {
        const char *source = *setting(&copy, i);
        good &= copy_text(setting(&copy, i), source);
    }
    good &= copy.adapters != NULL;
    if (good) {
        drop_settings(m);
        *m = copy;
    } else {
        drop_settings(&copy);
    }
    return good;
}

void catalogue_clear(Catalogue *c)
{
    for (size_t i = 0; i < c->n; i++) {
        ServeModel *m = &c->models[i];
        made_clear(m);
        for (size_t k = 0; k < m->n_aliases; k++) mem_free(m->aliases[k]);
        drop_settings(m);
        mem_free(m->name);
        mem_free(m->path);
    }
}

void catalogue_close(Catalogue *c)
{
    catalogue_clear(c);
    mem_free(c->models);
    *c = (Catalogue){0};
}

static void member(Buf *out, const char *key, const char *text)
{
    buf_printf(out, ",\"%s\":", key);
    if (text)
        json_string_write(out, span_of(text));
    else
        buf_text(out, "null");
}

/* What tells this file with these settings from others: of its name in the folder, size and date,
 * for to read all of a file takes long. Ollama's own program shows the first twelve digits, and
 * breaks where there are none. */
static void put_digest(const ServeModel *m, Buf *out)
{
    const char *slash = m->path ? strrchr(m->path, '/') : NULL;
    const char *const settings[] = {m->system, m->parameters, m->template_text, m->messages};
    unsigned char sum[SHA256_BYTES];
    Buf text = {0};
    buf_printf(&text, "%llu %lld %s", (unsigned long long)m->size, (long long)m->modified,
               slash     ? slash + 1
               : m->path ? m->path
                         : "");
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        buf_add(&text, "", 1);
        buf_text(&text, settings[i] ? settings[i] : "");
    }
    sha256(text.data ? text.data : "", text.size, sum);
    buf_text(out, ",\"digest\":\"");
    for (size_t i = 0; i < sizeof sum; i++) buf_printf(out, "%02x", sum[i]);
    buf_char(out, '"');
    out->failed |= text.failed;
    buf_close(&text);
}

void catalogue_row(const ServeModel *m, const CatalogueNews *news, Buf *out)
{
    buf_text(out, "{\"name\":");
    json_string_write(out, span_of(m->name));
    buf_text(out, ",\"aliases\":[");
    for (size_t i = 0; i < m->n_aliases; i++) {
        if (i) buf_char(out, ',');
        json_string_write(out, span_of(m->aliases[i]));
    }
    buf_printf(out, "],\"size\":%llu,\"modified\":%lld,\"expires\":%lld",
               (unsigned long long)m->size, (long long)m->modified, (long long)news->expires);
    put_digest(m, out);
    member(out, "system", m->system);
    member(out, "license", m->license);
    member(out, "parameters", m->parameters);
    member(out, "template", m->template_text);
    member(out, "messages", m->messages);
    member(out, "error", news->error);
    buf_printf(out, ",\"describe\":%s,\"ready\":%s}", news->describe ? news->describe : "null",
               news->ready ? news->ready : "null");
}
