/* Sidecar headers and the folder they live in (see sidecar.h). */
#include "engine/sidecar.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"

#define SUFFIX        ".panels"
#define MOST_SIDECARS 4096

uint64_t sidecar_header_hash(const SidecarHeader *header)
{
    SidecarHeader copy = *header;
    copy.header_hash = 0;
    return hash_bytes(&copy, sizeof copy, SIDECAR_VERSION);
}

uint64_t sidecar_hash(const unsigned char *data, size_t size, uint64_t offset)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < size; i += SIDECAR_UNIT) {
        size_t n = size - i < SIDECAR_UNIT ? size - i : SIDECAR_UNIT;
        sum += hash_bytes(data + i, n, offset + i);
    }
    return sum;
}

bool sidecar_path(const char *cache_dir, const char *model, char *out, size_t size)
{
    char full[PATH_MAX];
    if (!realpath(model, full)) return false;
    const char *slash = strrchr(full, '/');
    const char *stem = slash ? slash + 1 : full;
    int n = snprintf(out, size, "%s/%.80s-%016llx" SUFFIX, cache_dir, stem,
                     (unsigned long long)hash_bytes(full, strlen(full), 0));
    return n > 0 && (size_t)n < size;
}

static bool read_header(const OsMap *map, SidecarHeader *header)
{
    if (map->size < SIDECAR_HEADER_BYTES) return false;
    memcpy(header, map->data, sizeof *header);
    header->source[sizeof header->source - 1] = '\0';
    return memcmp(header->magic, SIDECAR_MAGIC, sizeof header->magic) == 0 &&
           header->header_hash == sidecar_header_hash(header) &&
           header->data_bytes == map->size - SIDECAR_HEADER_BYTES;
}

bool sidecar_matches(const OsMap *map, const SidecarHeader *want)
{
    SidecarHeader h;
    return read_header(map, &h) && h.version == want->version &&
           h.source_state == want->source_state && h.fingerprint == want->fingerprint &&
           h.data_bytes == want->data_bytes;
}

void sidecar_touch(const char *path)
{
    struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    (void)utimensat(AT_FDCWD, path, now, 0); /* only orders eviction: failing is harmless */
}

bt_status sidecar_verify(const char *path, bt_error *err)
{
    OsMap map;
    SidecarHeader h;
    bt_status status = os_map_open(path, &map, err);
    if (status) return status;
    os_map_huge(&map); /* as it comes into memory now, it stays for those who run on it */
    if (!read_header(&map, &h))
        status = bt_fail(err, BT_E_FORMAT,
                         "%s: not a whole sidecar; `bantam cache clear` removes it", path);
    else if (sidecar_hash(map.data + SIDECAR_HEADER_BYTES, h.data_bytes, 0) != h.checksum)
        status =
            bt_fail(err, BT_E_FORMAT,
                    "%s: the checksum does not hold; remove it, it is made anew when needed", path);
    os_map_close(&map);
    return status;
}

static int by_use(const void *a, const void *b)
{
    const Sidecar *x = a, *y = b;
    return x->mtime_ns < y->mtime_ns   ? 1
           : x->mtime_ns > y->mtime_ns ? -1
                                       : strcmp(x->path, y->path);
}

/* What the header says of the source; "?" when there is no readable one. */
static char *source_of(const char *path)
{
    OsMap map;
    SidecarHeader h;
    bt_error ignored;
    if (os_map_open(path, &map, &ignored)) return mem_strdup("?");
    char *source = mem_strdup(read_header(&map, &h) ? h.source : "?");
    os_map_close(&map);
    return source;
}

bt_status sidecar_list(const char *cache_dir, Sidecar **out, size_t *n, bt_error *err)
{
    *out = NULL;
    *n = 0;
    DIR *dir = opendir(cache_dir);
    if (!dir && errno == ENOENT) return BT_OK;
    if (!dir) return bt_fail(err, BT_E_IO, "%s: %s", cache_dir, os_why(errno));
    Sidecar *list = mem_zalloc(MOST_SIDECARS, sizeof *list);
    size_t count = 0;
    for (struct dirent *e; list && count < MOST_SIDECARS && (e = readdir(dir));) {
        size_t length = strlen(e->d_name);
        char path[PATH_MAX];
        struct stat st;
        if (length < sizeof SUFFIX || strcmp(e->d_name + length - (sizeof SUFFIX - 1), SUFFIX))
            continue;
        if (snprintf(path, sizeof path, "%s/%s", cache_dir, e->d_name) >= (int)sizeof path)
            continue;
        if (lstat(path, &st) || !S_ISREG(st.st_mode)) continue;
        list[count] = (Sidecar){mem_strdup(path), source_of(path), (uint64_t)st.st_size,
                                (int64_t)st.st_mtime * 1000000000};
        if (list[count].path && list[count].source) {
            count++;
        } else {
            mem_free(list[count].path);
            mem_free(list[count].source);
        }
    }
    closedir(dir);
    if (!list) return bt_fail_memory(err, "the list of sidecars", MOST_SIDECARS * sizeof *list);
    qsort(list, count, sizeof *list, by_use);
    *out = list;
    *n = count;
    return BT_OK;
}

void sidecar_list_free(Sidecar *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        mem_free(list[i].path);
        mem_free(list[i].source);
    }
    mem_free(list);
}

bt_status sidecar_trim(const char *cache_dir, uint64_t limit, uint64_t *removed, bt_error *err)
{
    Sidecar *list;
    size_t n;
    uint64_t held = 0;
    *removed = 0;
    os_sweep(cache_dir);
    bt_status status = sidecar_list(cache_dir, &list, &n, err);
    if (status) return status;
    for (size_t i = 0; i < n; i++) {
        held += list[i].bytes;
        if (held <= limit) continue;
        if (unlink(list[i].path) == 0)
            *removed += list[i].bytes;
        else
            status = bt_fail(err, BT_E_IO, "%s: %s", list[i].path, os_why(errno));
        held -= list[i].bytes;
    }
    sidecar_list_free(list, n);
    return status;
}
