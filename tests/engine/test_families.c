/* Families held against their published reference implementations: tiny models with random weights
 * (tests/data/families, made by tests/support/make_fixtures.py), one case a row of fixtures.tsv,
 * fed in every way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bantam/bantam.h"
#include "support/compare.h"
#include "support/run_model.h"
#include "support/scratch.h"

#define MOST_TOKENS   512
#define MOST_FIXTURES 128

typedef struct Fixture {
    char name[64], arch[64], kind[16];
    double bound;
} Fixture;

static Fixture fixtures[MOST_FIXTURES];
static bt_token tokens[MOST_TOKENS];
static int n_tokens;
static int32_t axes[4 * MOST_TOKENS]; /* of the tokens, for positions of several axes */

static const char *path_of(const char *name, const char *suffix)
{
    static char paths[2][1024];
    static unsigned next;
    char *out = paths[next++ % 2];
    const char *source = getenv("BANTAM_SOURCE");
    snprintf(out, sizeof paths[0], "%s/tests/data/families/%s%s", source ? source : ".", name,
             suffix);
    return out;
}

static size_t read_manifest(void)
{
    char line[512];
    size_t n = 0;
    FILE *f = fopen(path_of("fixtures", ".tsv"), "r");
    while (f && n < MOST_FIXTURES && fgets(line, sizeof line, f)) {
        Fixture *x = &fixtures[n];
        if (line[0] != '#' && sscanf(line, "%63[^\t]\t%63[^\t]\t%15[^\t]\t%lf", x->name, x->arch,
                                     x->kind, &x->bound) == 4)
            n++;
    }
    if (f) fclose(f);
    f = fopen(path_of("tokens", ".txt"), "r");
    while (f && n_tokens < MOST_TOKENS && fscanf(f, "%d", &tokens[n_tokens]) == 1) n_tokens++;
    if (f) fclose(f);
    f = fopen(path_of("positions", ".txt"), "r");
    int have = 0;
    while (f && have < 4 * n_tokens && fscanf(f, "%d", &axes[have]) == 1) have++;
    if (f) fclose(f);
    return n_tokens && have == 4 * n_tokens ? n : 0;
}

static void logits_are_the_references(const Fixture *x)
{
    size_t count;
    int n_vocab;
    const int32_t *at = strcmp(x->kind, "mrope") == 0 ? axes : NULL;
    float *want = compare_read(path_of(x->name, ".logits.f32"), &count);
    assert_non_null(want);
    for (FeedMode mode = FEED_AT_ONCE; mode < FEED_MODES; mode++) {
        float *got = run_model_at(path_of(x->name, ".gguf"), tokens, at, n_tokens, mode, BT_KV_F32,
                                  0, &n_vocab);
        assert_non_null(got);
        assert_int_equal(count, n_tokens * n_vocab);
        double error = compare_nmse(got, want, count);
        free(got);
        if (!(error <= x->bound)) fail_msg("%s, mode %d: nmse %g", x->name, mode, error);
    }
    free(want);
}

static void holds(void **state)
{
    const Fixture *x = *state;
    if (strcmp(x->kind, "embed") == 0) return; /* test_embed.c */
    logits_are_the_references(x);
}

int main(void)
{
    static struct CMUnitTest tests[MOST_FIXTURES];
    size_t n = read_manifest();
    if (!n) {
        fprintf(stderr,
                "tests/data/families/fixtures.tsv, tokens.txt or positions.txt cannot be read\n");
        return 1;
    }
    for (size_t i = 0; i < n; i++)
        tests[i] = (struct CMUnitTest){fixtures[i].name, holds, NULL, NULL, &fixtures[i]};
    if (!scratch_open()) return 1;
    int failed = _cmocka_run_group_tests("families", tests, n, NULL, NULL);
    scratch_close();
    return failed;
}
