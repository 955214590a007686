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
#include "support/families.h"
#include "support/run_model.h"
#include "support/scratch.h"

#define MOST_TOKENS 512

static FamilyFixture fixtures[FAMILIES_MOST];
static bt_token tokens[MOST_TOKENS];
static int n_tokens;
static int32_t axes[4 * MOST_TOKENS]; /* of the tokens, for positions of several axes */

/* How many fixtures there are; 0: something is not there. */
static size_t read_all(void)
{
    n_tokens = (int)families_numbers("tokens", tokens, MOST_TOKENS);
    size_t have = families_numbers("positions", axes, 4 * (size_t)n_tokens);
    return n_tokens && have == 4 * (size_t)n_tokens ? families_read(NULL, fixtures) : 0;
}

static void logits_are_the_references(const FamilyFixture *x)
{
    const int32_t *at = strcmp(x->kind, "mrope") == 0 ? axes : NULL;
    for (FeedMode mode = FEED_AT_ONCE; mode < FEED_MODES; mode++) {
        double error = run_model_apart(families_path(x->name, ".gguf"), tokens, at, n_tokens, mode,
                                       0, families_path(x->name, ".logits.f32"));
        if (!(error <= x->bound)) fail_msg("%s, mode %d: nmse %g", x->name, mode, error);
    }
}

static void holds(void **state)
{
    const FamilyFixture *x = *state;
    if (strcmp(x->kind, "embed") == 0 || strcmp(x->kind, "rank") == 0)
        return; /* test_embed.c, test_rank.c */
    logits_are_the_references(x);
}

int main(void)
{
    static struct CMUnitTest tests[FAMILIES_MOST];
    size_t n = read_all();
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
