/* Sidecar files: prepared panels of one model file, kept in the cache folder. A header, then the
 * panels of all weights in order. A sidecar belongs to one state of its source: sizes and times of
 * its parts, and a fingerprint of all names, shapes and offsets, stand in the header; one that does
 * not match is ignored and replaced. */
#ifndef ENGINE_SIDECAR_H
#define ENGINE_SIDECAR_H

#include "base/os.h"
#include "base/status.h"

#define SIDECAR_MAGIC        "BANTAMP"     /* with its NUL: 8 bytes */
#define SIDECAR_VERSION      3             /* of the panel layouts; old ones are made anew */
#define SIDECAR_HEADER_BYTES (2u << 20)    /* the panels begin here, on a huge page */
#define SIDECAR_UNIT         (4u << 20)    /* bytes that are written and hashed together */
#define SIDECAR_LIMIT        (64ull << 30) /* bytes the folder may hold by default */

typedef struct SidecarHeader {
    char magic[8];
    uint32_t version, reserved;
    uint64_t source_state; /* hash of the parts' sizes and times */
    uint64_t fingerprint;  /* of all weights */
    uint64_t data_bytes;   /* of the panels */
    uint64_t checksum;     /* sidecar_hash of all panels */
    uint64_t header_hash;  /* of this header with header_hash 0 */
    char source[4096];     /* the model's path */
} SidecarHeader;

_Static_assert(sizeof(SidecarHeader) <= SIDECAR_HEADER_BYTES, "header fits");

uint64_t sidecar_header_hash(const SidecarHeader *header);
/* The share of data[size], which lies at `offset` of the panels, in the checksum. Offsets of the
 * parts must be multiples of SIDECAR_UNIT. */
uint64_t sidecar_hash(const unsigned char *data, size_t size, uint64_t offset);
/* Where the sidecar of `model` lies in the folder. False when the path is too long. */
bool sidecar_path(const char *cache_dir, const char *model, char *out, size_t size);
/* The map is a whole sidecar of the source that `want` identifies. */
bool sidecar_matches(const OsMap *map, const SidecarHeader *want);
/* Marks it as used now. */
void sidecar_touch(const char *path);

/* ---- the folder, for `bantam cache` ---- */

typedef struct Sidecar {
    char *path;   /* owned by the list */
    char *source; /* the model's path, as the header says */
    uint64_t bytes;
    int64_t mtime_ns; /* last use */
} Sidecar;

/* All sidecars in the folder, last used first. Free with sidecar_list_free. */
bt_status sidecar_list(const char *cache_dir, Sidecar **out, size_t *n, bt_error *err);
void sidecar_list_free(Sidecar *list, size_t n);
/* Recomputes the checksum of the panels. BT_E_FORMAT when it does not hold. */
bt_status sidecar_verify(const char *path, bt_error *err);
/* Removes the least recently used until at most `limit` bytes are left; *removed counts bytes. */
bt_status sidecar_trim(const char *cache_dir, uint64_t limit, uint64_t *removed, bt_error *err);

#endif
