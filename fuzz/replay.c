/* Runs a fuzzer without libFuzzer: every file of a folder as it is, then variants of each made
 * by a fixed generator (flipped bits, boundary values, cuts, repeated spans), so that an ordinary
 * build tests the same function on any compiler. One TAP row a file; the row says which variant
 * is running before it runs, so a crash names its input.
 *
 *   replay-NAME FOLDER [VARIANTS]      (default 100 variants a file)
 */
#include "fuzz.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FILES = 4096, MOST_BYTES = 4 << 20 };

static uint64_t state;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static size_t below(size_t n)
{
    return n ? (size_t)(next_random() % n) : 0;
}

static void overwrite(uint8_t *data, size_t size)
{
    static const uint64_t edge[] = {0,          1,         0x7f,       0x80,      0xff,
                                    0x7fff,     0x8000,    0xffff,     INT32_MAX, 0x80000000u,
                                    UINT32_MAX, INT64_MAX, UINT64_MAX, 1u << 30,  1ull << 40};
    uint64_t value = edge[below(sizeof edge / sizeof edge[0])];
    size_t width = (size_t)1 << below(4), at = below(size);
    if (width > size - at) width = size - at;
    memcpy(data + at, &value, width);
}

/* Changes `data` in place; returns the new size, never more than the old. */
static size_t vary(uint8_t *data, size_t size)
{
    for (size_t n = 1 + below(4); n > 0 && size > 0; n--) {
        size_t a = below(size), b = below(size), room;
        switch (below(5)) {
        case 0: data[a] ^= (uint8_t)(1u << below(8)); break;
        case 1: data[a] = (uint8_t)next_random(); break;
        case 2: overwrite(data, size); break;
        case 3:
            room = size - (a > b ? a : b);
            memmove(data + a, data + b, room < 64 ? room : 64);
            break;
        default: size = below(8) ? size : a; break;
        }
    }
    return size;
}

/* An exact heap copy each time, so that a sanitizer sees a read past the end. */
static void feed(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) abort();
    if (size) memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void replay(const uint8_t *data, size_t size, int variants)
{
    uint8_t *work = malloc(size ? size : 1);
    if (!work) abort();
    feed(data, size);
    state = 0x9e3779b97f4a7c15u ^ size;
    for (int i = 0; i < variants && size > 0; i++) {
        memcpy(work, data, size);
        feed(work, vary(work, size));
    }
    free(work);
}

static bool read_file(const char *path, uint8_t *data, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    *size = fread(data, 1, MOST_BYTES, f);
    return fclose(f) == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list(const char *folder, char **names)
{
    DIR *dir = opendir(folder);
    int n = 0;
    if (!dir) return 0;
    for (struct dirent *e; (e = readdir(dir)) && n < MOST_FILES;) {
        if (e->d_name[0] == '.') continue;
        names[n] = strdup(e->d_name);
        if (names[n]) n++;
    }
    closedir(dir);
    qsort(names, (size_t)n, sizeof names[0], by_name);
    return n;
}

int main(int argc, char **argv)
{
    static char *names[MOST_FILES];
    if (argc < 2) return fprintf(stderr, "usage: %s FOLDER [VARIANTS]\n", argv[0]), 2;
    int variants = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 100;
    int n = list(argv[1], names), failed = 0;
    uint8_t *data = malloc(MOST_BYTES);
    if (!data) return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("1..%d\n", n + 1);
    feed((const uint8_t *)"", 0);
    printf("ok 1 - no bytes\n");
    for (int i = 0; i < n; i++) {
        char path[4096];
        size_t size = 0;
        snprintf(path, sizeof path, "%s/%s", argv[1], names[i]);
        bool read = read_file(path, data, &size);
        printf("# %s\n", names[i]);
        if (read) replay(data, size, variants);
        failed += !read;
        printf("%s %d - %s and %d variants\n", read ? "ok" : "not ok", i + 2, names[i], variants);
        free(names[i]);
    }
    free(data);
    return failed > 0;
}
