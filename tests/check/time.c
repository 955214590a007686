/* Timing of kernels against this machine's limits, one thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "kernels/roofline.h"
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
    static double limits[4];
    if (limits[LIMIT_MEMORY] > 0) return limits;
    Team *team = team_open(1);
    Roofline most;
    bt_error err = {0};
    if (!team || roofline_measure(team, cpu_features(), &most, &err) != BT_OK) {
        fprintf(stderr, "check: limits are not known: %s\n", err.text);
        most = (Roofline){.memory = 1e9}; /* shares come out as 0 */
    }
    team_close(team);
    limits[LIMIT_MEMORY] = most.memory, limits[LIMIT_F32] = most.f32;
    limits[LIMIT_BF16] = most.bf16, limits[LIMIT_INT8] = most.int8;
    printf("one thread: memory %.1f GB/s, f32 %.3f, bf16 %.3f TFLOP/s, int8 %.3f TOP/s\n",
           most.memory, most.f32, most.bf16, most.int8);
    return limits;
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
    double most = check_limits()[limit];
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
    if (most > 0) printf(" %5.1f %%", 100 * reached / most);
    printf("\n");
    fflush(stdout);
}
