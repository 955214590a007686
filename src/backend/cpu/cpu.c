/* Opening the CPU backend, its work memory, and sharing pieces among the team (see cpu.h). */
#include "backend/cpu/back.h"

#include "base/checked.h"
#include "base/mem.h"

#define SMALL_WORK 16384 /* elements: below this a dispatch costs more than it saves */

static void cpu_close(Backend *b)
{
    Cpu *c = (Cpu *)b;
    if (!c) return;
    mem_free(c->memory);
    mem_free(c->gemm);
    mem_free(c->ahead);
    mem_free(c->ahead_memory);
    mem_free(c->work);
    mem_free(c->parts);
    mem_free(c->tiles);
    mem_free(c);
}

static const BackendOps cpu_ops = {
    .name = "cpu",
    .computes = true,
    .close = cpu_close,
    .linear = cpu_linear,
    .linear_heads = cpu_linear_heads,
    .gated = cpu_gated,
    .embed = cpu_embed,
    .norm = cpu_norm,
    .norm_rope = cpu_norm_rope,
    .add = cpu_add,
    .element = cpu_element,
    .remember = cpu_remember,
    .attend = cpu_attend,
    .adapt = cpu_adapt,
    .moe = cpu_moe,
    .conv = cpu_conv,
    .recur = cpu_recur,
    .wanted = cpu_wanted,
    .training = &cpu_training,
};

/* Cuts the memory of one member; base NULL only counts. */
static size_t cut_work(const CpuSizes *s, unsigned char *base, CpuWork *w)
{
    size_t used = 0, k = (size_t)s->most_k, head = (size_t)s->most_head;
    size_t tile = s->most_group > CPU_TILE_ROWS ? (size_t)s->most_group : CPU_TILE_ROWS;
    size_t rows = (size_t)s->n_batch, few = PANEL_FEW * CPU_RUN;
#define CUT(member, count)                                                                         \
    do {                                                                                           \
        if (base) w->member = (void *)(base + used);                                               \
        used += align_up((count) * sizeof *w->member, 64);                                         \
    } while (0)
    CUT(scale, (k / 16 + 1) * PANEL_ROWS);
    CUT(min, (k / 16 + 1) * PANEL_ROWS);
    CUT(tile, 2 * (rows > few ? rows : few) * PANEL_ROWS);
    CUT(hidden, rows * CPU_PANELS * CPU_HIDDEN);
    CUT(raw, CPU_RAW_ROWS * k);
    CUT(q, tile * head);
    CUT(acc, tile * head);
    CUT(max, tile);
    CUT(sum, tile);
    CUT(part_max, tile);
    CUT(part_sum, tile);
    CUT(part_acc, tile * head);
    CUT(first, tile);
    CUT(limit, tile);
    CUT(attend, attend_work_floats(tile, head, head));
#undef CUT
    return align_up(used, 4096);
}

static size_t slot_rows(const CpuSizes *s)
{
    return (size_t)(s->most_group > CPU_TILE_FEW ? s->most_group : CPU_TILE_FEW);
}

static size_t slot_floats(const CpuSizes *s)
{
    return align_up(slot_rows(s) * ((size_t)s->most_head + 2), 16);
}

/* Of the sums of runs that threads share; one thread shares nothing. */
static size_t sums_bytes(const CpuSizes *s, size_t n_threads)
{
    size_t slots = n_threads > 1 ? n_threads * (CPU_FEW_PIECES + CPU_PARTS) : 0;
    return slots * slot_floats(s) * sizeof(float);
}

size_t cpu_work_bytes(const CpuSizes *sizes, int n_threads)
{
    CpuWork unused = {0};
    size_t n = (size_t)n_threads;
    return n * cut_work(sizes, NULL, &unused) + sums_bytes(sizes, n);
}

bt_status cpu_open(const CpuSizes *sizes, Team *team, uint32_t features, Backend **out,
                   bt_error *err)
{
    Cpu *c = mem_zalloc(1, sizeof *c);
    *out = NULL;
    if (!c) return bt_fail_memory(err, "the CPU backend", sizeof *c);
    size_t n = (size_t)team_size(team), bytes = cpu_work_bytes(sizes, (int)n);
    c->base.ops = &cpu_ops;
    c->k = kernels_select(features);
    c->team = team;
    c->n_threads = (int)n;
    c->memory = mem_aligned(bytes, 4096);
    c->work = mem_zalloc(n, sizeof *c->work);
    c->parts = mem_aligned(n * sizeof *c->parts, 64);
    c->tiles = mem_zalloc((size_t)sizes->n_batch, sizeof *c->tiles);
    if (!c->memory || !c->work || !c->parts || !c->tiles) {
        cpu_close(&c->base);
        return bt_fail_memory(err, "the work memory of the threads", bytes);
    }
    unsigned char *at = c->memory;
    for (size_t i = 0; i < n; i++) at += cut_work(sizes, at, &c->work[i]);
    c->sums = (float *)(void *)at;
    c->slot = slot_floats(sizes);
    c->slot_rows = slot_rows(sizes);
    *out = &c->base;
    return BT_OK;
}

typedef struct Share {
    TeamPart *parts;
    int64_t first, chunk;
    CpuPieceFn fn;
    void *arg;
} Share;

static void share_member(void *arg, int member, int n_members)
{
    const Share *share = arg;
    int64_t begin, end;
    while (parts_take(share->parts, n_members, member, share->chunk, &begin, &end))
        share->fn(share->arg, member, share->first + begin, share->first + end);
}

void cpu_share(Cpu *c, int64_t total, int64_t chunk, int64_t work, CpuPieceFn fn, void *arg)
{
    if (total <= 0) return;
    if (work < SMALL_WORK || c->n_threads == 1 || total <= chunk) {
        fn(arg, 0, 0, total);
        return;
    }
    Share share = {.parts = c->parts, .chunk = chunk < 1 ? 1 : chunk, .fn = fn, .arg = arg};
    for (; share.first < total; share.first += PARTS_MOST) {
        int64_t left = total - share.first;
        parts_start(c->parts, c->n_threads, left < PARTS_MOST ? left : PARTS_MOST);
        team_run(c->team, share_member, &share);
    }
}

void cpu_share_rows(Cpu *c, int64_t rows, size_t row, CpuPieceFn fn, void *arg)
{
    cpu_share(c, rows, rows > 64 ? 8 : 1, rows * (int64_t)row, fn, arg);
}
