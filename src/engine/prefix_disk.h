/* Remembered beginnings on disk: saved sequences (bt_session_save) in one folder, within a budget
 * of bytes, least recently used out.
 *
 * A file's name says what model and KV type it is of, whose it is and what tokens it holds, as
 * hashes: files of other models in the folder are neither read nor counted nor removed. The folder
 * is read once, at open: files whose header does not hold are removed; whether a state is whole
 * shows when it is loaded. Files hold what users typed in readable form (mode 0600), as long as the
 * budget lasts. One thread at a time. */
#ifndef ENGINE_PREFIX_DISK_H
#define ENGINE_PREFIX_DISK_H

#include <limits.h>

#include "engine/prefix_tree.h"
#include "engine/session.h"

#define PREFIX_DISK_FILES 512

typedef struct PrefixDisk PrefixDisk;

typedef struct PrefixFile {
    PrefixKey key;
    bt_token *tokens; /* NULL: there is none in this place */
    int32_t n;
    uint64_t bytes, used;
} PrefixFile;

/* Makes the folder if need be. BT_E_IO, BT_E_MEMORY. */
bt_status prefix_disk_open(const bt_session *session, const char *folder, uint64_t budget,
                           PrefixDisk **out, bt_error *err);
void prefix_disk_close(PrefixDisk **disk);

/* Place i of PREFIX_DISK_FILES; stands until it is removed. */
const PrefixFile *prefix_disk_file(const PrefixDisk *disk, int32_t i);
uint64_t prefix_disk_bytes(const PrefixDisk *disk); /* of all files together */
uint64_t prefix_disk_budget(const PrefixDisk *disk);

/* Where a list is, or would be, written. False: the folder's name is too long. */
bool prefix_disk_path(const PrefixDisk *disk, PrefixKey key, const bt_token *tokens, int32_t n,
                      char out[PATH_MAX]);
/* The place of exactly this list; -1: none. */
int32_t prefix_disk_find(const PrefixDisk *disk, PrefixKey key, const bt_token *tokens, int32_t n);
/* A place that must be removed before `bytes` more are written; -1: none, they fit; -2: they never
 * will. */
int32_t prefix_disk_in_the_way(const PrefixDisk *disk, uint64_t bytes);
/* The file at prefix_disk_path was written: its place; -1: no memory, and the file is removed. */
int32_t prefix_disk_add(PrefixDisk *disk, PrefixKey key, const bt_token *tokens, int32_t n,
                        uint64_t bytes);
void prefix_disk_remove(PrefixDisk *disk, int32_t i); /* the file too */
void prefix_disk_used(PrefixDisk *disk, int32_t i);

#endif
