/* The models a server offers: names, files, and how each is to be run. Made from what the machine
 * has, what -m names and the configuration (config.h); the first is `default`. The supervisor owns
 * it; indices stay as they are while it runs. */
#ifndef SERVE_CATALOGUE_H
#define SERVE_CATALOGUE_H

#include "base/buf.h"
#include "serve/api.h"

#define SERVE_MOST_ALIASES  32
#define SERVE_KEEP_DEFAULT  INT64_MIN
#define SERVE_MOST_STOPS    16
#define SERVE_MOST_MESSAGES 64

typedef struct ServeAdapter {
    char *name, *path;
    float scale;
    bool always; /* also for requests that name none */
} ServeAdapter;

typedef struct ServeModel {
    char *name, *path; /* both its own */
    char *aliases[SERVE_MOST_ALIASES];
    size_t n_aliases;
    int64_t keep_alive_ms;                /* -1: for ever; SERVE_KEEP_DEFAULT: as the server's */
    int32_t n_ctx, n_parallel;            /* 0: as the server's */
    char *system, *template_name, *jinja; /* NULL: none */
    ServeAdapter *adapters;
    size_t n_adapters;
    bt_sampler_options sampling;
    int32_t max_tokens;
    bt_think think;
    /* of one that a request made (made.h): texts as it gave them, messages as ApiDefaults has them
     */
    char *stops[SERVE_MOST_STOPS];
    size_t n_stops, n_messages;
    char *messages, *license, *parameters, *template_text; /* NULL: none, or the file's */
    uint64_t size;                                         /* bytes of its files, 0: not known */
    int64_t modified;
    bool made;  /* by a request (create, copy): such may be deleted */
    bool found; /* on this machine, not named by anyone: such come and go with their file */
    bool here;
} ServeModel;

typedef struct Catalogue {
    ServeModel *models;
    size_t n, capacity;
} Catalogue;

/* Appends one; its index, or -1: no memory, or more than CONTROL_MODELS. Texts are copied. */
int catalogue_add(Catalogue *c, const char *name, const char *path);
bool catalogue_alias(ServeModel *m, const char *alias); /* false: no memory, or too many */
/* Gives *m all settings of another model; name, path and aliases stay its own. False: no memory,
 * and nothing was changed. */
bool catalogue_inherit(ServeModel *m, const ServeModel *from);
int catalogue_find(const Catalogue *c, const char *name); /* by name or alias; -1: none */
void catalogue_clear(Catalogue *c);                       /* what its models hold; the list stays */
void catalogue_close(Catalogue *c);

/* What is told of a model besides its settings: JSON texts, or NULL. */
typedef struct CatalogueNews {
    const char *describe; /* worker_describe's object */
    const char *ready;    /* of the loaded model: an object */
    const char *error;    /* a sentence */
    int64_t expires;      /* Unix time; 0: not loaded, INT64_MAX: never */
} CatalogueNews;

/* Appends the row that the front is told (control.h). */
void catalogue_row(const ServeModel *m, const CatalogueNews *news, Buf *out);

#endif
