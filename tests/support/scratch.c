/* Temporary folders for tests (see scratch.h). */
#include "scratch.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[256];

const char *scratch_open(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/bantam-test-XXXXXX", base && *base ? base : "/tmp");
    return mkdtemp(folder);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void scratch_close(void)
{
    if (folder[0]) nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    folder[0] = '\0';
}

const char *scratch_path(const char *name)
{
    static char paths[4][1024];
    static unsigned next;
    char *out = paths[next++ % 4];
    snprintf(out, sizeof paths[0], "%s/%s", folder, name);
    return out;
}

const char *scratch_write(const char *name, const void *data, size_t size)
{
    char *path = (char *)(size_t)scratch_path(name);
    for (char *p = path + strlen(folder) + 1; (p = strchr(p, '/')); p++) {
        *p = '\0';
        mkdir(path, 0700);
        *p = '/';
    }
    FILE *f = fopen(path, "wb");
    if (!f) return NULL;
    size_t n = fwrite(data, 1, size, f);
    return fclose(f) == 0 && n == size ? path : NULL;
}

int scratch_entries(void)
{
    int n = 0;
    DIR *dir = opendir(folder);
    if (!dir) return -1;
    while (readdir(dir)) n++;
    closedir(dir);
    return n - 2; /* without . and .. */
}

int scratch_setup(void **state)
{
    (void)state;
    return scratch_open() ? 0 : -1;
}

int scratch_teardown(void **state)
{
    (void)state;
    scratch_close();
    return 0;
}
