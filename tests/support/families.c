/* Fixtures of the families (see families.h). */
#include "support/families.h"

#include <stdio.h>
#include <string.h>

#include "support/files.h"

const char *families_path(const char *name, const char *suffix)
{
    return files_source("tests/data/families/%s%s", name, suffix);
}

size_t families_read(const char *kind, FamilyFixture out[FAMILIES_MOST])
{
    char line[512];
    size_t n = 0;
    FILE *f = fopen(families_path("fixtures", ".tsv"), "r");
    while (f && n < FAMILIES_MOST && fgets(line, sizeof line, f)) {
        FamilyFixture *x = &out[n];
        if (line[0] != '#' &&
            sscanf(line, "%63[^\t]\t%63[^\t]\t%15[^\t]\t%lf", x->name, x->arch, x->kind,
                   &x->bound) == 4 &&
            (!kind || strcmp(x->kind, kind) == 0))
            n++;
    }
    if (f) fclose(f);
    return n;
}

size_t families_numbers(const char *name, int *out, size_t n)
{
    size_t have = 0;
    FILE *f = fopen(families_path(name, ".txt"), "r");
    while (f && have < n && fscanf(f, "%d", &out[have]) == 1) have++;
    if (f) fclose(f);
    return have;
}
