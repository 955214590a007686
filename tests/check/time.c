/* Timing of kernels against this machine's limits, one thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "private.h"

enum { BLOCKS = 16 };
static void *blocks[BLOCKS];
static int n_blocks;

void *check_memory(Check *c, size_t bytes)
{
    void *p = n_blocks < BLOCKS ? mem_aligned(bytes ? bytes : 1, 64) : NULL;
    if (!p) {
        fprintf(stderr, "check: no memory for %zu bytes of %s\n", bytes, c->row->name);
        check_memory_free();
        exit(1);
    }
    memset(p, 0, bytes);
    return blocks[n_blocks++] = p;
}

void check_memory_free(void)
{
    while (n_blocks) mem_free(blocks[--n_blocks]);
}

const double *check_limits(void)
{
    static const double none[4];
    return none;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void check_time(Check *c, const char *label, double bytes, double macs, CheckLimit limit,
                void (*fn)(Check *c, void *arg), void *arg)
{
    fn(c, arg); /* pages and caches are warm */
    double start = now(), best = 1e9;
    long batch = 1;
    while (now() - start < 0.1) {
        double t = now();
        for (long i = 0; i < batch; i++) fn(c, arg);
        double took = now() - t;
        if (took / (double)batch < best) best = took / (double)batch;
        if (took < 0.002) batch *= 2; /* long enough for the clock */
    }
    double reached = limit == LIMIT_MEMORY ? bytes / best * 1e-9 : macs / best * 2e-12;
    printf("%-13s %-26s %-18s %9.3f us %8.2f GB/s %8.2f GMAC/s", c->row->name, label, c->fast->name,
           best * 1e6, bytes / best * 1e-9, macs / best * 1e-9);
    double most = check_limits()[limit];
    if (most > 0) printf(" %5.1f %%", 100 * reached / most);
    printf("\n");
    fflush(stdout);
}
