/* Preparing the weights: each is checked for NaN, and those with a panel class are turned into
 * panels, once. The panels are kept in a sidecar file in the cache folder and mapped from there the
 * next time; without a folder, or when it cannot be written, they live in memory.
 *
 * A sidecar is a header, then the panels of all weights in order. It belongs to one model file
 * (sizes, times and a fingerprint of all shapes and offsets stand in the header) and is ignored and
 * replaced when that changed. */
#ifndef ENGINE_PANELS_H
#define ENGINE_PANELS_H

#include "backend/weight.h"
#include "base/team.h"
#include "io/gguf.h"

typedef struct Panels Panels;

typedef struct PanelsOptions {
    const char *cache_dir; /* NULL: memory only */
    bt_progress_fn progress;
    void *progress_user;
} PanelsOptions;

/* Sets `panels` of every paneled weight. BT_E_FORMAT for weights that are not finite, BT_E_MEMORY,
 * BT_E_CANCELLED. `looked_up` (the embedding) is checked but gets no panels; may be NULL. */
bt_status panels_open(const Gguf *gguf, Weight *const *weights, size_t n, const Weight *looked_up,
                      Team *team, const PanelsOptions *options, Panels **out, bt_error *err);
void panels_close(Panels **panels);
bool panels_mapped(const Panels *panels);      /* from a sidecar */
const OsMap *panels_map(const Panels *panels); /* the sidecar's map, NULL without one */
uint64_t panels_bytes(const Panels *panels);

#endif
