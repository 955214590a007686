/* The folder of saved beginnings (see prefix_disk.h). */
#include "engine/prefix_disk.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/os.h"
#include "engine/sidecar.h"

#define SUFFIX       ".prefix"
#define NAME_LENGTH  (4 * 17 - 1 + (int)sizeof SUFFIX - 1)
#define MOST_ENTRIES 65536 /* of the folder that are looked at */
#define STALE        600   /* seconds after which a half-written file is nobody's */

struct PrefixDisk {
    const bt_session *session;
    char *folder;
    uint64_t kind, budget, bytes, clock;
    PrefixFile files[PREFIX_DISK_FILES];
};

static uint64_t hash_of(const bt_token *tokens, int32_t n)
{
    return hash_bytes(tokens, (size_t)n * sizeof *tokens, (uint64_t)n);
}

bool prefix_disk_path(const PrefixDisk *d, PrefixKey key, const bt_token *tokens, int32_t n,
                      char out[PATH_MAX])
{
    int length = snprintf(out, PATH_MAX, "%s/%016llx-%016llx-%016llx-%016llx" SUFFIX, d->folder,
                          (unsigned long long)d->kind, (unsigned long long)key.principal,
                          (unsigned long long)key.adapters, (unsigned long long)hash_of(tokens, n));
    return length > 0 && length < PATH_MAX;
}

/* ---- what is there ---- */

typedef struct Found {
    char name[NAME_LENGTH + 1];
    int64_t mtime;
} Found;

static int by_age(const void *a, const void *b)
{
    const Found *x = a, *y = b;
    return x->mtime < y->mtime ? -1 : x->mtime > y->mtime;
}

/* A regular file of ours; one that nobody finished is removed. */
static bool is_ours(const PrefixDisk *d, const char *name, int64_t *mtime)
{
    char path[PATH_MAX], kind[20];
    struct stat st;
    if (snprintf(path, sizeof path, "%s/%s", d->folder, name) >= (int)sizeof path) return false;
    if (lstat(path, &st) || !S_ISREG(st.st_mode)) return false;
    size_t length = strlen(name);
    if (strncmp(name, ".bantam-", 8) == 0 && length > 4 && !strcmp(name + length - 4, ".tmp") &&
        time(NULL) - st.st_mtime > STALE)
        unlink(path);
    snprintf(kind, sizeof kind, "%016llx-", (unsigned long long)d->kind);
    *mtime = (int64_t)st.st_mtime;
    return length == NAME_LENGTH && strncmp(name, kind, strlen(kind)) == 0 &&
           strcmp(name + length - strlen(SUFFIX), SUFFIX) == 0;
}

static bt_status list(const PrefixDisk *d, Found **out, size_t *n, bt_error *err)
{
    size_t capacity = 0;
    *out = NULL;
    *n = 0;
    DIR *dir = opendir(d->folder);
    if (!dir) return bt_fail(err, BT_E_IO, "%s: %s", d->folder, os_why(errno));
    bt_status status = BT_OK;
    struct dirent *e;
    for (int looked = 0; looked < MOST_ENTRIES && (e = readdir(dir)) && !status; looked++) {
        int64_t mtime;
        if (!is_ours(d, e->d_name, &mtime)) continue;
        if (*n == capacity) {
            size_t more = capacity ? 2 * capacity : 64;
            Found *grown = mem_realloc(*out, more * sizeof *grown);
            if (!grown) {
                status = bt_fail_memory(err, d->folder, more * sizeof *grown);
                break;
            }
            *out = grown;
            capacity = more;
        }
        memcpy((*out)[*n].name, e->d_name, NAME_LENGTH + 1);
        (*out)[(*n)++].mtime = mtime;
    }
    closedir(dir);
    if (*n) qsort(*out, *n, sizeof **out, by_age);
    return status;
}

/* The fields of a name; false: not one that we wrote. */
static bool parse(const char *name, PrefixKey *key, uint64_t *hash)
{
    uint64_t fields[4];
    for (int i = 0; i < 4; i++) {
        char *end;
        fields[i] = strtoull(name + i * (ptrdiff_t)17, &end, 16);
        if (end != name + i * (ptrdiff_t)17 + 16 || *end != (i < 3 ? '-' : '.')) return false;
    }
    *key = (PrefixKey){fields[1], fields[2]};
    *hash = fields[3];
    return true;
}

static int32_t free_place(const PrefixDisk *d)
{
    for (int32_t i = 0; i < PREFIX_DISK_FILES; i++)
        if (!d->files[i].tokens) return i;
    return -1;
}

static int32_t least_used(const PrefixDisk *d)
{
    int32_t least = -1;
    for (int32_t i = 0; i < PREFIX_DISK_FILES; i++)
        if (d->files[i].tokens && (least < 0 || d->files[i].used < d->files[least].used)) least = i;
    return least;
}

static void put(PrefixDisk *d, int32_t i, PrefixFile file)
{
    d->files[i] = file;
    d->files[i].used = ++d->clock;
    d->bytes += file.bytes;
}

/* Takes one file in. What is damaged, renamed or of an older layout goes. */
static bt_status take_in(PrefixDisk *d, const char *name, bt_error *err)
{
    char path[PATH_MAX];
    PrefixFile f = {0};
    uint64_t hash;
    bt_error why;
    int32_t i = free_place(d);
    if (i < 0) prefix_disk_remove(d, i = least_used(d)); /* more than we keep */
    if (!parse(name, &f.key, &hash)) return BT_OK;
    if (snprintf(path, sizeof path, "%s/%s", d->folder, name) >= (int)sizeof path) return BT_OK;
    bt_status status = session_file_tokens(d->session, path, &f.tokens, &f.n, &f.bytes, &why);
    if (status == BT_E_MEMORY) return bt_fail(err, status, "%s", why.text);
    if (status == BT_E_CONTEXT) return BT_OK; /* of a session with a longer one */
    if (status || f.n < 1 || hash_of(f.tokens, f.n) != hash) {
        mem_free(f.tokens);
        unlink(path);
        return BT_OK;
    }
    put(d, i, f);
    return BT_OK;
}

bt_status prefix_disk_open(const bt_session *session, const char *folder, uint64_t budget,
                           PrefixDisk **out, bt_error *err)
{
    Found *found = NULL;
    size_t n = 0;
    *out = NULL;
    PrefixDisk *d = mem_zalloc(1, sizeof *d);
    if (!d) return bt_fail_memory(err, folder, sizeof *d);
    *d = (PrefixDisk){.session = session, .kind = session_file_kind(session), .budget = budget};
    bt_status status = os_make_dirs(folder, err);
    if (!status && !(d->folder = mem_strdup(folder)))
        status = bt_fail_memory(err, folder, strlen(folder));
    if (!status) status = list(d, &found, &n, err);
    for (size_t i = 0; i < n && !status; i++) status = take_in(d, found[i].name, err);
    mem_free(found);
    for (int32_t i; !status && (i = prefix_disk_in_the_way(d, 0)) >= 0;) prefix_disk_remove(d, i);
    if (status) prefix_disk_close(&d);
    *out = d;
    return status;
}

void prefix_disk_close(PrefixDisk **disk)
{
    PrefixDisk *d = *disk;
    if (!d) return;
    for (int32_t i = 0; i < PREFIX_DISK_FILES; i++) mem_free(d->files[i].tokens);
    mem_free(d->folder);
    mem_free(d);
    *disk = NULL;
}

/* ---- what comes and goes ---- */

const PrefixFile *prefix_disk_file(const PrefixDisk *d, int32_t i)
{
    return &d->files[i];
}

uint64_t prefix_disk_bytes(const PrefixDisk *d)
{
    return d->bytes;
}

uint64_t prefix_disk_budget(const PrefixDisk *d)
{
    return d->budget;
}

int32_t prefix_disk_find(const PrefixDisk *d, PrefixKey key, const bt_token *tokens, int32_t n)
{
    for (int32_t i = 0; i < PREFIX_DISK_FILES; i++) {
        const PrefixFile *f = &d->files[i];
        if (f->tokens && f->n == n && f->key.principal == key.principal &&
            f->key.adapters == key.adapters &&
            memcmp(f->tokens, tokens, (size_t)n * sizeof *tokens) == 0)
            return i;
    }
    return -1;
}

int32_t prefix_disk_in_the_way(const PrefixDisk *d, uint64_t bytes)
{
    if (bytes > d->budget) return -2;
    if (d->bytes <= d->budget - bytes && (bytes == 0 || free_place(d) >= 0)) return -1;
    return least_used(d);
}

int32_t prefix_disk_add(PrefixDisk *d, PrefixKey key, const bt_token *tokens, int32_t n,
                        uint64_t bytes)
{
    char path[PATH_MAX];
    int32_t i = free_place(d);
    PrefixFile f = {.key = key, .n = n, .bytes = bytes};
    if (i >= 0) f.tokens = mem_alloc((size_t)n * sizeof *tokens);
    if (!f.tokens) {
        if (prefix_disk_path(d, key, tokens, n, path)) unlink(path);
        return -1;
    }
    memcpy(f.tokens, tokens, (size_t)n * sizeof *tokens);
    put(d, i, f);
    return i;
}

void prefix_disk_remove(PrefixDisk *d, int32_t i)
{
    char path[PATH_MAX];
    PrefixFile *f = &d->files[i];
    if (!f->tokens) return;
    if (prefix_disk_path(d, f->key, f->tokens, f->n, path)) unlink(path);
    d->bytes -= f->bytes;
    mem_free(f->tokens);
    *f = (PrefixFile){0};
}

void prefix_disk_used(PrefixDisk *d, int32_t i)
{
    char path[PATH_MAX];
    PrefixFile *f = &d->files[i];
    f->used = ++d->clock;
    if (prefix_disk_path(d, f->key, f->tokens, f->n, path)) sidecar_touch(path);
}
