/* The files that paths stand for (see data.h): folders are walked, names sorted, so that the order
 * of documents is the same on every machine. Links to folders are not followed; a folder deeper
 * than any real one, or with more files than could be meant, is refused. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/os.h"
#include "train/data.h"

enum { MOST_DEPTH = 32, MOST_FILES = 1 << 20 };

typedef struct Walk {
    Buf names;
    size_t n;
    bt_error *err;
} Walk;

static bt_status put(Walk *w, const char *path)
{
    if (w->n == MOST_FILES)
        return bt_fail(w->err, BT_E_LIMIT, "%s: over %d files; join them", path, MOST_FILES);
    buf_add(&w->names, path, strlen(path) + 1);
    w->n++;
    return w->names.failed ? bt_fail_memory(w->err, "names of files", w->names.size) : BT_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in a folder, sorted; they point into `names`. */
static bt_status list(Walk *w, const char *folder, Buf *names, char ***sorted, size_t *n)
{
    DIR *dir = opendir(folder);
    *n = 0;
    if (!dir) return bt_fail(w->err, BT_E_IO, "%s: %s", folder, os_why(errno));
    for (struct dirent *e; (e = readdir(dir)) && *n <= MOST_FILES;) {
        if (e->d_name[0] == '.') continue;
        buf_add(names, e->d_name, strlen(e->d_name) + 1);
        ++*n;
    }
    closedir(dir);
    *sorted = names->failed ? NULL : mem_alloc(*n * sizeof **sorted);
    if (!*sorted) return bt_fail_memory(w->err, "names of files", names->size);
    char *at = names->data;
    for (size_t i = 0; i < *n; i++, at += strlen(at) + 1) (*sorted)[i] = at;
    if (*n) qsort(*sorted, *n, sizeof **sorted, by_name);
    return BT_OK;
}

/* Recursion is as deep as MOST_DEPTH. */
static bt_status walk(Walk *w, const char *folder, int depth)
{
    Buf names = {0};
    char **sorted = NULL;
    size_t n = 0;
    struct stat at, link;
    if (depth == MOST_DEPTH)
        return bt_fail(w->err, BT_E_LIMIT, "%s: over %d folders inside each other", folder,
                       MOST_DEPTH);
    bt_status status = list(w, folder, &names, &sorted, &n);
    for (size_t i = 0; i < n && !status; i++) {
        char path[PATH_MAX];
        int length = snprintf(path, sizeof path, "%s/%s", folder, sorted[i]);
        if (length < 0 || (size_t)length >= sizeof path)
            status = bt_fail(w->err, BT_E_LIMIT, "%s: its path is too long", sorted[i]);
        else if (lstat(path, &link) != 0 || stat(path, &at) != 0)
            status = bt_fail(w->err, BT_E_IO, "%s: %s", path, os_why(errno));
        else if (S_ISDIR(link.st_mode))
            status = walk(w, path, depth + 1);
        else if (S_ISREG(at.st_mode))
            status = put(w, path);
    }
    mem_free(sorted);
    buf_close(&names);
    return status;
}

bt_status data_files(const char *const *paths, size_t n, char **names, size_t *count, bt_error *err)
{
    Walk w = {.err = err};
    bt_status status = BT_OK;
    *names = NULL;
    for (size_t i = 0; i < n && !status; i++) {
        struct stat at;
        size_t before = w.n;
        if (stat(paths[i], &at) != 0)
            status = bt_fail(err, BT_E_IO, "%s: %s", paths[i], os_why(errno));
        else if (S_ISDIR(at.st_mode))
            status = walk(&w, paths[i], 0);
        else
            status = put(&w, paths[i]);
        if (!status && w.n == before)
            status = bt_fail(err, BT_E_ARGUMENT, "%s: there is no file in this folder", paths[i]);
    }
    if (!status && !w.n) status = bt_fail(err, BT_E_ARGUMENT, "no data is named");
    *count = w.n;
    if (!status)
        *names = buf_take(&w.names);
    else
        buf_close(&w.names);
    return status;
}
