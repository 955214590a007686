/* The list of models a server offers. See catalogue.h. */
#include "serve/catalogue.h"

#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "serve/control.h"
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

void catalogue_clear(Catalogue *c)
{
    for (size_t i = 0; i < c->n; i++) {
        ServeModel *m = &c->models[i];
        for (size_t k = 0; k < m->n_aliases; k++) mem_free(m->aliases[k]);
        for (size_t k = 0; k < m->n_adapters; k++) {
            mem_free(m->adapters[k].name);
            mem_free(m->adapters[k].path);
        }
        mem_free(m->adapters);
        mem_free(m->name);
        mem_free(m->path);
        mem_free(m->system);
        mem_free(m->template_name);
        mem_free(m->jinja);
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
    member(out, "system", m->system);
    member(out, "error", news->error);
    buf_printf(out, ",\"describe\":%s,\"ready\":%s}", news->describe ? news->describe : "null",
               news->ready ? news->ready : "null");
}
