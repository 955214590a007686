/* The server's own configuration file (JSON): models with their names and settings, API keys by
 * their hashes, pages and names that may ask. A file with anything it does not know is refused,
 * with the key's place. docs/serving.md shows one. */
#ifndef SERVE_CONFIG_H
#define SERVE_CONFIG_H

#include "serve/catalogue.h"
#include "serve/front.h"

#define SERVE_MOST_KEYS  256
#define SERVE_MOST_NAMES 64

typedef struct ServeConfig {
    FrontKey *keys;
    size_t n_keys;
    char *origins[SERVE_MOST_NAMES], *hosts[SERVE_MOST_NAMES];
    size_t n_origins, n_hosts;
} ServeConfig;

/* A model's "model" member to a file: mem_alloc'd, or NULL with *err set. */
typedef char *(*ServeResolve)(void *user, const char *name, bt_error *err);

/* Reads `text` (`name`: of the file, for messages) into *config and the models into *catalogue. */
bt_status config_read(const char *name, const char *text, size_t size, ServeResolve resolve,
                      void *user, ServeConfig *config, Catalogue *catalogue, bt_error *err);
void config_close(ServeConfig *config);

/* Adds a key as it was given (SHA-256 is kept, the key is not). */
bt_status config_add_key(ServeConfig *config, const char *key, const char *label, bt_error *err);
/* A new key from the system's random source, and what belongs into the file for it. */
bool config_new_key(char key[64], char hash[65]);
/* "10m", "90s", "2h", "250ms", seconds; "-1": for ever. In milliseconds. */
bool config_duration(const char *text, int64_t *ms);

#endif
