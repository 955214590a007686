/* The lists of nearest codebook entries: what they find is hardly worse than the best of all
 * entries, and they are made once however many threads ask first. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "quant/grid.h"
#include "quant/quant.h"
#include "rows.h"
#include "tensor/dtype.h"

enum { N = 512, THREADS = 4 };

static const uint32_t types[] = {DT_IQ1_S, DT_IQ1_M,   DT_IQ2_XXS, DT_IQ2_XS,
                                 DT_IQ2_S, DT_IQ3_XXS, DT_IQ3_S};
enum { TYPES = sizeof types / sizeof types[0] };

static void *write_all(void *out)
{
    float x[N];
    uint64_t seed = 7;
    row_fill(x, N, 1, &seed);
    for (int i = 0; i < TYPES; i++)
        if (!quant_row(types[i], x, N, NULL, (uint8_t *)out + i * N)) return NULL;
    return out;
}

/* First in this program, so that the threads meet lists that are not made yet. */
static void threads_agree(void **state)
{
    (void)state;
    static uint8_t out[THREADS][TYPES * N];
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, write_all, out[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        void *done;
        pthread_join(thread[i], &done);
        assert_ptr_equal(done, out[i]);
        assert_memory_equal(out[i], out[0], sizeof out[0]);
    }
}

static double cost_of(const Grid *g, int entry, const float *y, const float *w)
{
    double cost = 0;
    for (int i = 0; i < g->numbers; i++) {
        double d = (double)y[i] - g->entry[entry * g->numbers + i];
        cost += d * d * w[i];
    }
    return cost;
}

/* Numbers of the spread that entries have; weights all equal, then of any size. */
static void finds_nearly_the_best(void **state)
{
    (void)state;
    static const double spread[GRID_COUNT] = {1, 25, 25, 25, 30, 8};
    uint64_t seed = 8;
    for (int name = 0; name < GRID_COUNT; name++)
        for (int weighted = 0; weighted < 2; weighted++) {
            const Grid *g = grid_open((GridName)name);
            double found = 0, best = 0;
            for (int round = 0; round < 2000; round++) {
                float y[8], w[8] = {1, 1, 1, 1, 1, 1, 1, 1};
                row_fill(y, 8, spread[name], &seed);
                for (int i = 0; i < 8 && name != GRID_IQ1; i++) y[i] = fabsf(y[i]);
                if (weighted) row_importance(w, 8, &seed);
                double least = INFINITY;
                for (int e = 0; e < g->entries; e++) least = fmin(least, cost_of(g, e, y, w));
                best += least;
                found += cost_of(g, grid_nearest(g, y, w, GRID_NEAR), y, w);
            }
            print_message("# codebook %d%s: %.4f of the best\n", name, weighted ? " weighted" : "",
                          found / best);
            assert_true(found <= best * (weighted ? 1.03 : 1.003));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_agree),
        cmocka_unit_test(finds_nearly_the_best),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
