/* Models that come or go while the server runs: a file that was downloaded, one that was removed.
 * The front asks for a look when a name is not known, or when all are listed; what was named at the
 * start, by the configuration or by a request stays as it is. See docs/serving.md. */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "serve/supervisor_parts.h"

enum { LOOK_SECONDS = 1 };

/* ---- rows ---- */

int row_new(Supervisor *s, const char *name, const char *path)
{
    Catalogue *c = s->o->catalogue;
    for (size_t i = 0; i < c->n; i++) {
        ServeModel *m = &c->models[i];
        bool used = m->here;
        for (int k = 0; k < SERVE_SLOTS; k++)
            used |= s->seat[k].state != SLOT_EMPTY && s->seat[k].model == (int)i;
        if (used) continue;
        Catalogue one = {.models = m, .n = 1};
        char *named = mem_strdup(name), *at = mem_strdup(path);
        if (!named || !at) {
            mem_free(named);
            mem_free(at);
            return -1;
        }
        catalogue_clear(&one);
        *m = (ServeModel){
            .name = named, .path = at, .here = true, .keep_alive_ms = SERVE_KEEP_DEFAULT};
        mem_free(s->row[i].describe);
        mem_free(s->row[i].ready);
        s->row[i] = (Row){.seat = -1};
        return (int)i;
    }
    return catalogue_add(c, name, path);
}

/* ---- looking ---- */

static const ServeModel *by_name(const Catalogue *c, const char *name)
{
    const int at = catalogue_find(c, name);
    return at < 0 ? NULL : &c->models[at];
}

/* Of those that were found: is it there still, and the same? True: something changed. */
static bool look_again(Supervisor *s, int at, const Catalogue *now)
{
    ServeModel *m = &s->o->catalogue->models[at];
    Row *row = &s->row[at];
    const ServeModel *there = by_name(now, m->name);
    if (!there || strcmp(there->path, m->path) != 0) {
        m->here = false;
        log_line(BT_LOG_INFO, "%s is no more", m->name);
        if (row->seat >= 0) seats_unload(s, row->seat);
        return true;
    }
    if (there->size == m->size && there->modified == m->modified) return false;
    m->size = there->size;
    m->modified = there->modified;
    row->described = false; /* another file under its name: what was known of it is not its */
    row->error[0] = 0;
    if (row->seat >= 0) seats_unload(s, row->seat);
    return true;
}

static bool adopt(Supervisor *s, const ServeModel *new_one)
{
    const Catalogue *c = s->o->catalogue;
    const int at = row_new(s, new_one->name, new_one->path);
    if (at < 0) return false;
    ServeModel *m = &s->o->catalogue->models[at];
    m->found = true;
    m->size = new_one->size;
    m->modified = new_one->modified;
    for (size_t i = 0; i < new_one->n_aliases; i++)
        if (catalogue_find(c, new_one->aliases[i]) < 0) catalogue_alias(m, new_one->aliases[i]);
    log_line(BT_LOG_INFO, "%s has come", m->name);
    return true;
}

static void look(Supervisor *s)
{
    Catalogue now = {0};
    Catalogue *c = s->o->catalogue;
    bool changed = false;
    if (s->o->find(s->o->user, &now)) {
        for (size_t i = 0; i < c->n; i++)
            if (c->models[i].here && c->models[i].found) changed |= look_again(s, (int)i, &now);
        for (size_t i = 0; i < now.n; i++)
            if (catalogue_find(c, now.models[i].name) < 0) changed |= adopt(s, &now.models[i]);
    }
    catalogue_close(&now);
    s->state_stale |= changed;
    if (changed) front_tell_catalogue(s);
}

void look_hear(Supervisor *s)
{
    const double now = os_seconds();
    if (s->o->find && now >= s->looked + LOOK_SECONDS) {
        look(s);
        s->looked = os_seconds(); /* after it: however long one takes, they are not all it does */
    }
    front_tell(s, CONTROL_LOOKED, "", 0, NULL, 0);
}
