/* The tiny models of tests/data/families and what they answer (made by make_fixtures.py). */
#ifndef TESTS_FAMILIES_H
#define TESTS_FAMILIES_H

#include <stddef.h>

#define FAMILIES_MOST 128

typedef struct FamilyFixture {
    char name[64], arch[64];
    char kind[16]; /* logits, mrope or embed */
    double bound;  /* of the normalised squared error */
} FamilyFixture;

/* The rows of fixtures.tsv of one kind (NULL: all); how many. 0: it cannot be read. */
size_t families_read(const char *kind, FamilyFixture out[FAMILIES_MOST]);
/* "tests/data/families/NAMESUFFIX" in the source tree, as files_source. */
const char *families_path(const char *name, const char *suffix);
/* At most n numbers of a text file there; how many. */
size_t families_numbers(const char *name, int *out, size_t n);

#endif
