/* Checkpoints (see checkpoint.h). A file is a header of one page, the blocks of masters, first and
 * second moments as they lie in memory, and a checksum of these. */
#include "train/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"

#define MAGIC        "BTTRAIN1"
#define HEADER_BYTES 4096
#define CHUNK        (1u << 20) /* bytes written and summed at a time */

typedef struct Header {
    char magic[8];
    uint64_t fingerprint; /* of the parameters */
    uint64_t n_values;    /* floats of each block */
    uint64_t n_blocks;
    RunState state;
    uint64_t hash; /* of what stands before it */
} Header;

static const char *const names[2] = {"a.checkpoint", "b.checkpoint"};

char *run_path(const char *folder, const char *name)
{
    size_t n = strlen(folder), m = strlen(name);
    char *path = mem_alloc(n + m + 2);
    if (path) snprintf(path, n + m + 2, "%s/%s", folder, name);
    return path;
}

static uint64_t header_hash(const Header *h)
{
    return hash_bytes(h, offsetof(Header, hash), 1);
}

/* ---- writing ---- */

typedef struct Writing {
    Header header;
    const float *block[3];
} Writing;

static bt_status write_all(void *user, int fd, bt_error *err)
{
    Writing *w = user;
    unsigned char page[HEADER_BYTES] = {0};
    uint64_t sum = 0, bytes = w->header.n_values * sizeof(float);
    memcpy(page, &w->header, sizeof w->header);
    bt_status status = os_write_all(fd, page, sizeof page, err);
    for (int b = 0; b < 3; b++)
        for (uint64_t at = 0; at < bytes && !status; at += CHUNK) {
            size_t n = bytes - at < CHUNK ? (size_t)(bytes - at) : CHUNK;
            const char *from = (const char *)w->block[b] + at;
            sum = hash_bytes(from, n, sum);
            status = os_write_all(fd, from, n, err);
        }
    return status ? status : os_write_all(fd, &sum, sizeof sum, err);
}

/* ---- reading ---- */

/* Maps the file if its header and size are good; which says nothing of its numbers. */
static bool open_one(const char *folder, int which, OsMap *map, Header *h)
{
    bt_error ignored;
    char *path = run_path(folder, names[which]);
    bool good = path && os_map_open(path, map, &ignored) == BT_OK;
    mem_free(path);
    if (!good) return false;
    good = map->size >= HEADER_BYTES;
    if (good) memcpy(h, map->data, sizeof *h);
    good = good && memcmp(h->magic, MAGIC, sizeof h->magic) == 0 && h->hash == header_hash(h) &&
           h->n_values < UINT64_MAX / 64 && h->n_blocks == 3 &&
           map->size == HEADER_BYTES + 3 * h->n_values * sizeof(float) + sizeof(uint64_t);
    if (!good) os_map_close(map);
    return good;
}

static bool numbers_good(const OsMap *map, const Header *h)
{
    uint64_t sum = 0, want, bytes = h->n_values * sizeof(float);
    const unsigned char *from = map->data + HEADER_BYTES;
    for (int b = 0; b < 3; b++)
        for (uint64_t at = 0; at < bytes; at += CHUNK, from += CHUNK) {
            size_t n = bytes - at < CHUNK ? (size_t)(bytes - at) : CHUNK;
            sum = hash_bytes(from, n, sum);
            if (n < CHUNK) from -= CHUNK - n;
        }
    memcpy(&want, from, sizeof want);
    return sum == want && !os_map_lost(map);
}

/* The newest whole checkpoint; -1: none. */
static int open_newest(const char *folder, OsMap *out, Header *h)
{
    OsMap map[2] = {0};
    Header head[2];
    bool there[2];
    int best = -1;
    for (int i = 0; i < 2; i++) there[i] = open_one(folder, i, &map[i], &head[i]);
    int first = there[0] && there[1] ? head[1].state.step > head[0].state.step : there[1];
    for (int turn = 0; turn < 2; turn++) {
        int i = turn ? 1 - first : first;
        if (!there[i]) continue;
        if (best < 0 && numbers_good(&map[i], &head[i])) {
            best = i;
            *out = map[i];
            *h = head[i];
        } else {
            os_map_close(&map[i]);
        }
    }
    return best;
}

/* Files that are no checkpoints: one that is good hides the other's fault unless this is told.
 * Being killed leaves none such, for a file gets its name when it is whole. */
static bt_status tell_damage(const char *folder, int newest, const RunState *state, bt_error *err)
{
    int bad[2], n = 0;
    for (int i = 0; i < 2; i++) {
        OsMap map = {0};
        Header h;
        char *path = run_path(folder, names[i]);
        bool there = path && access(path, F_OK) == 0;
        mem_free(path);
        if (!there || i == newest) continue;
        if (!open_one(folder, i, &map, &h) || !numbers_good(&map, &h)) bad[n++] = i;
        os_map_close(&map);
    }
    if (n && newest < 0)
        return bt_fail(err, BT_E_FORMAT,
                       "%s: %s%s %s damaged, or of another version; --restart begins anew", folder,
                       names[bad[0]], n > 1 ? " and b.checkpoint" : "", n > 1 ? "are" : "is");
    if (n)
        log_line(BT_LOG_WARN, "%s/%s: damaged; going on from step %lld, of %s", folder,
                 names[bad[0]], (long long)state->step, names[newest]);
    return BT_OK;
}

bt_status checkpoint_peek(const char *folder, RunState *state, bool *found, bt_error *err)
{
    OsMap map;
    Header h;
    (void)err;
    *found = open_newest(folder, &map, &h) >= 0;
    if (!*found) return BT_OK;
    *state = h.state;
    os_map_close(&map);
    return BT_OK;
}

bt_status checkpoint_load(const char *folder, Params *params, Optim *optim, RunState *state,
                          bool *found, bt_error *err)
{
    OsMap map;
    Header h = {0};
    bt_status status = BT_OK;
    int newest = open_newest(folder, &map, &h);
    *found = newest >= 0;
    status = tell_damage(folder, newest, &h.state, err);
    if (!*found) return status;
    size_t bytes = params->n_values * sizeof(float);
    if (h.fingerprint != params->fingerprint || h.n_values != params->n_values) {
        status = bt_fail(err, BT_E_FORMAT,
                         "%s: the checkpoint is of a model of other sizes; give the config it was "
                         "started with, or another folder",
                         folder);
    } else {
        const unsigned char *from = map.data + HEADER_BYTES;
        memcpy(params->values, from, bytes);
        memcpy(optim->first, from + bytes, bytes);
        memcpy(optim->second, from + 2 * bytes, bytes);
        *state = h.state;
        status = os_map_check(&map, folder, err);
    }
    os_map_close(&map);
    return status;
}

bt_status checkpoint_save(const char *folder, const Params *params, const Optim *optim,
                          const RunState *state, bt_error *err)
{
    OsMap map;
    Writing w = {.header = {.fingerprint = params->fingerprint,
                            .n_values = params->n_values,
                            .n_blocks = 3,
                            .state = *state},
                 .block = {params->values, optim->first, optim->second}};
    memcpy(w.header.magic, MAGIC, sizeof w.header.magic);
    w.header.hash = header_hash(&w.header);
    Header before;
    int newest = open_newest(folder, &map, &before);
    if (newest >= 0) os_map_close(&map);
    char *path = run_path(folder, names[newest == 0]);
    if (!path) return bt_fail_memory(err, "a path", strlen(folder));
    bt_status status = os_replace_file(path, write_all, &w, err);
    mem_free(path);
    return status;
}

void checkpoint_sweep(const char *folder)
{
    DIR *dir = opendir(folder);
    if (!dir) return;
    for (struct dirent *e; (e = readdir(dir));) {
        size_t n = strlen(e->d_name);
        if (n != 20 || memcmp(e->d_name, ".bantam-", 8) != 0 ||
            strcmp(e->d_name + n - 4, ".tmp") != 0)
            continue;
        char *path = run_path(folder, e->d_name);
        if (path) unlink(path);
        mem_free(path);
    }
    closedir(dir);
}
