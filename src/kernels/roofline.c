/* Measures this machine's limits (see roofline.h). The parts of a job come from a queue, so that a
 * member that loses its core for a while holds up nobody; the time of the best of five runs counts.
 * The sums read and computed are thrown away; the probes see to it that compilers cannot. */
#include "kernels/roofline.h"

#include <string.h>

#include "base/cpu.h"
#include "base/os.h"

enum { RUNS = 5, PIECES = 16 /* of a member's share */ };
static const size_t MOST_BYTES = (size_t)1 << 30, LEAST_BYTES = (size_t)64 << 20;
static const int64_t READ_PIECE = 8 << 20; /* bytes */
/* A member's share; 12 instructions each. A tile instruction takes 16 cycles or more. */
static const int64_t ROUNDS = 8000000, TILE_ROUNDS = 250000;

/* Where there is nothing better: whatever the compiler makes of it. */
static uint64_t read_plain(const void *data, size_t bytes)
{
    const uint64_t *p = data;
    uint64_t s[8] = {0};
    for (size_t i = 0; i < bytes / 8; i += 8)
        for (int j = 0; j < 8; j++) s[j] += p[i + (size_t)j];
    return s[0] + s[1] + s[2] + s[3] + s[4] + s[5] + s[6] + s[7];
}

static RooflineProbes choose(uint32_t features)
{
    (void)features;
    RooflineProbes probes = {.read = read_plain};
#define LAY(fn, needs)                                                                             \
    if (((needs)&features) == (uint32_t)(needs)) fn(&probes);
#if defined(__x86_64__)
    ROOFLINE_PARTS_X86(LAY)
#elif defined(__aarch64__)
    ROOFLINE_PARTS_ARM(LAY)
#endif
#undef LAY
    return probes;
}

typedef struct Job {
    TeamQueue queue;
    unsigned char *memory;
    uint64_t (*read)(const void *data, size_t bytes);
    RooflineChains chains;
    atomic_uint_least64_t sink;
} Job;

static void touch(void *arg, int member, int n_members)
{
    (void)member, (void)n_members;
    Job *job = arg;
    int64_t begin, end;
    while (queue_take(&job->queue, &begin, &end))
        memset(job->memory + begin, 1, (size_t)(end - begin));
}

static void read_all(void *arg, int member, int n_members)
{
    (void)member, (void)n_members;
    Job *job = arg;
    int64_t begin, end;
    uint64_t sum = 0;
    while (queue_take(&job->queue, &begin, &end))
        sum += job->read(job->memory + begin, (size_t)(end - begin));
    atomic_fetch_add(&job->sink, sum);
}

static void compute(void *arg, int member, int n_members)
{
    (void)member, (void)n_members;
    Job *job = arg;
    int64_t begin, end;
    while (queue_take(&job->queue, &begin, &end)) job->chains(end - begin);
}

static double best_seconds(Team *team, Job *job, TeamFn fn, int64_t total, int64_t chunk)
{
    double best = 0;
    for (int run = 0; run < RUNS; run++) {
        queue_start(&job->queue, total, chunk);
        double start = os_seconds();
        team_run(team, fn, job);
        double took = os_seconds() - start;
        if (run == 0 || took < best) best = took;
    }
    return best > 0 ? best : 1e-9;
}

static double tera_ops(Team *team, Job *job, RooflineChains chains, int64_t share, int ops)
{
    if (!chains) return 0;
    job->chains = chains;
    int64_t rounds = share * team_size(team);
    double seconds = best_seconds(team, job, compute, rounds, share / PIECES);
    return (double)rounds * ROOFLINE_CHAINS * ops / seconds * 1e-12;
}

bt_status roofline_measure(Team *team, uint32_t features, Roofline *out, bt_error *err)
{
    uint64_t bytes = os_memory_available() / 4;
    if (bytes > MOST_BYTES) bytes = MOST_BYTES;
    bytes = bytes / (uint64_t)READ_PIECE * (uint64_t)READ_PIECE;
    if (bytes < LEAST_BYTES)
        return bt_fail(err, BT_E_MEMORY,
                       "measuring memory speed needs %zu MiB, a quarter of the free memory; close "
                       "other programs or leave it out",
                       LEAST_BYTES >> 20);
    Job job = {.memory = os_pages_alloc((size_t)bytes)};
    if (!job.memory) return bt_fail_memory(err, "measuring memory speed", bytes);
    RooflineProbes probes = choose(features);
    *out = (Roofline){.threads = team_size(team)};
    queue_start(&job.queue, (int64_t)bytes, READ_PIECE);
    team_run(team, touch, &job);
    job.read = probes.read;
    double seconds = best_seconds(team, &job, read_all, (int64_t)bytes, READ_PIECE);
    out->memory = (double)bytes / seconds * 1e-9;
    os_pages_free(job.memory, (size_t)bytes);
    out->f32 = tera_ops(team, &job, probes.f32, ROUNDS, probes.f32_ops);
    out->bf16 = tera_ops(team, &job, probes.bf16, ROUNDS, probes.bf16_ops);
    out->int8 = tera_ops(team, &job, probes.int8, ROUNDS, probes.int8_ops);
    out->tile_bf16 = tera_ops(team, &job, probes.tile_bf16, TILE_ROUNDS, probes.tile_bf16_ops);
    out->tile_int8 = tera_ops(team, &job, probes.tile_int8, TILE_ROUNDS, probes.tile_int8_ops);
    return BT_OK;
}
