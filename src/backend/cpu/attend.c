/* Attention over the state's blocks: a piece of work is one kv head of a tile of rows that follow
 * each other in one sequence; all query heads that share the kv head go together. */
#include "backend/cpu/cpu.h"

#include <math.h>
#include <string.h>

static unsigned char *block_at(const KvLayer *kv, int32_t sequence, int32_t position)
{
    const int32_t *table = kv->tables + (size_t)sequence * (size_t)kv->table_stride;
    return kv->base + (size_t)table[position / KV_BLOCK] * kv->block_bytes;
}

/* ---- remember ---- */

typedef struct RememberJob {
    const Cpu *c;
    const KvLayer *kv;
    const StepRow *rows;
    Tensor k, v;
} RememberJob;

static void remember_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const RememberJob *job = arg;
    const KvLayer *kv = job->kv;
    (void)member;
    for (int64_t i = begin; i < end; i++) {
        const StepRow *row = &job->rows[i];
        unsigned char *block = block_at(kv, row->sequence, row->position);
        size_t at = (size_t)(row->position % KV_BLOCK);
        for (int32_t h = 0; h < kv->kv_heads; h++) {
            unsigned char *head = block + (size_t)h * kv->head_bytes;
            job->c->k->from_f32(kv->type, tensor_at(job->k, i) + (size_t)h * (size_t)kv->e_k,
                                head + at * kv->k_row, (size_t)kv->e_k);
            if (kv->v_in_k) continue;
            job->c->k->from_f32(kv->type, tensor_at(job->v, i) + (size_t)h * (size_t)kv->e_v,
                                head + kv->v_offset + at * kv->v_row, (size_t)kv->e_v);
        }
    }
}

void cpu_remember(Backend *b, const KvLayer *kv, const StepRow *rows, Tensor k, Tensor v)
{
    Cpu *c = (Cpu *)b;
    RememberJob job = {c, kv, rows, k, v};
    cpu_share(c, k.rows, 8, k.rows * (int64_t)tensor_row(k) * 2, remember_rows, &job);
}

/* ---- attend ---- */

typedef struct AttendJob {
    Cpu *c;
    const KvLayer *kv;
    const StepRow *rows;
    const AttendOptions *options;
    Tensor q, out;
} AttendJob;

/* The tile's queries of one kv head, scaled, gathered in (token, query head) order. */
static void gather(const AttendJob *job, CpuWork *w, AttendTile tile, int32_t head)
{
    size_t group = (size_t)(job->q.heads / job->kv->kv_heads), part = group * (size_t)job->q.width;
    for (int32_t t = 0; t < tile.count; t++)
        job->c->k->scale(job->options->scale, tensor_at(job->q, tile.row + t) + (size_t)head * part,
                         part, w->q + (size_t)t * part);
    memset(w->acc, 0, (size_t)tile.count * group * (size_t)job->kv->e_v * sizeof(float));
    for (size_t i = 0; i < (size_t)tile.count * group; i++) {
        const float *sinks = job->options->sinks; /* a key of this score and no value */
        w->max[i] = sinks ? sinks[(size_t)head * group + i % group] : -INFINITY;
        w->sum[i] = sinks ? 1 : 0;
    }
}

/* Keys [first, limit) that the row at `position` sees; `last`: the newest of its sequence. */
static void sight(const AttendOptions *o, int32_t position, int32_t last, int32_t *first,
                  int32_t *limit)
{
    int32_t half = o->span / 2;
    *first = 0;
    *limit = position + 1;
    switch (o->see) {
    case ATTEND_PAST: break;
    case ATTEND_WINDOW: *first = position - o->span + 1; break;
    case ATTEND_CHUNK: *first = position / o->span * o->span; break;
    case ATTEND_BOTH: *limit = last + 1; break;
    case ATTEND_AROUND:
        *first = position - half;
        *limit = position > last - half ? last + 1 : position + half + 1;
        break;
    }
    if (*first < 0) *first = 0;
}

static int32_t within(int32_t x, int32_t start, int32_t keys)
{
    x -= start;
    return x < 0 ? 0 : x > keys ? keys : x;
}

static void attend_tile(const AttendJob *job, CpuWork *w, AttendTile tile, int32_t head)
{
    const KvLayer *kv = job->kv;
    const StepRow *row = job->rows + tile.row;
    size_t e_k = (size_t)kv->e_k, e_v = (size_t)kv->e_v;
    size_t group = (size_t)(job->q.heads / kv->kv_heads), nq = (size_t)tile.count * group;
    int32_t begin, end, unused;
    gather(job, w, tile, head);
    sight(job->options, row->position, tile.last, &begin, &unused);
    sight(job->options, row->position + tile.count - 1, tile.last, &unused, &end);
    for (int32_t start = begin / KV_BLOCK * KV_BLOCK; start < end; start += KV_BLOCK) {
        int32_t keys = end - start < KV_BLOCK ? end - start : KV_BLOCK;
        const unsigned char *k = block_at(kv, row->sequence, start) + (size_t)head * kv->head_bytes;
        for (int32_t t = 0; t < tile.count; t++) {
            int32_t first, limit;
            sight(job->options, row->position + t, tile.last, &first, &limit);
            for (size_t g = 0; g < group; g++) {
                w->first[(size_t)t * group + g] = within(first, start, keys);
                w->limit[(size_t)t * group + g] = within(limit, start, keys);
            }
        }
        job->c->k->attend(kv->type, w->q, e_k, nq, e_k, e_v, k, kv->k_row, k + kv->v_offset,
                          kv->v_row, (size_t)keys, w->first, w->limit, job->options->soft_cap,
                          w->max, w->sum, w->acc, w->attend);
    }
    for (size_t i = 0; i < nq; i++)
        job->c->k->scale(w->sum[i] > 0 ? 1.0f / w->sum[i] : 0.0f, w->acc + i * e_v, e_v,
                         tensor_at(job->out, tile.row + (int64_t)(i / group)) +
                             ((size_t)head * group + i % group) * e_v);
}

static void attend_pieces(void *arg, int member, int64_t begin, int64_t end)
{
    const AttendJob *job = arg;
    int32_t heads = job->kv->kv_heads;
    for (int64_t p = begin; p < end; p++)
        attend_tile(job, &job->c->work[member], job->c->tiles[p / heads], (int32_t)(p % heads));
}

/* Cuts the rows into tiles: one sequence, consecutive positions, at most `most` rows. */
static int64_t cut_tiles(Cpu *c, const StepRow *rows, int64_t n, int32_t most)
{
    int64_t tiles = 0;
    for (int32_t i = 0; i < n; i++) {
        AttendTile *last = tiles ? &c->tiles[tiles - 1] : NULL;
        if (last && last->count < most && rows[i].sequence == rows[last->row].sequence &&
            rows[i].position == rows[last->row].position + last->count)
            last->count++;
        else
            c->tiles[tiles++] = (AttendTile){i, 1, rows[i].position};
    }
    for (int64_t i = tiles - 1; i >= 0; i--) { /* the newest position of each tile's sequence */
        AttendTile *t = &c->tiles[i], *next = i + 1 < tiles ? t + 1 : NULL;
        t->last = rows[t->row].position + t->count - 1;
        if (next && rows[next->row].sequence == rows[t->row].sequence) t->last = next->last;
    }
    return tiles;
}

void cpu_attend(Backend *b, const KvLayer *kv, const StepRow *rows, Tensor q,
                const AttendOptions *options, Tensor out)
{
    Cpu *c = (Cpu *)b;
    AttendJob job = {c, kv, rows, options, q, out};
    int32_t most = CPU_TILE_ROWS / (q.heads / kv->kv_heads);
    int64_t tiles = cut_tiles(c, rows, q.rows, most < 1 ? 1 : most), work = 0;
    for (int64_t i = 0; i < q.rows; i++) {
        int32_t first, limit;
        sight(options, rows[i].position, rows[i].position, &first, &limit);
        work += (int64_t)(limit - first) * (int64_t)tensor_row(q) / 2;
    }
    cpu_share(c, tiles * kv->kv_heads, 1, work, attend_pieces, &job);
}
