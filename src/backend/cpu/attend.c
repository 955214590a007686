/* Attention over the state's blocks: a piece of work is one kv head of a tile of rows that follow
 * each other in one sequence; all query heads that share the kv head go together.
 *
 * The past is cut into runs at multiples of ATTEND_RUN. Each run is answered on its own and the
 * answers are added up in order, so that where pieces are few (one token deep in a text) the runs
 * of one piece can go to different threads and nobody can tell from the bits. */
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
    const Norm *norm;
    const RopeTable *table; /* k is turned on its way; NULL: it is not */
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
            if (job->table) cpu_rope_head(job->c, job->k, i, h, job->norm, job->table);
            job->c->k->from_f32(kv->k_type, tensor_at(job->k, i) + (size_t)h * (size_t)kv->e_k,
                                head + at * kv->k_row, (size_t)kv->e_k);
            if (kv->v_in_k) continue;
            job->c->k->from_f32(kv->v_type, tensor_at(job->v, i) + (size_t)h * (size_t)kv->e_v,
                                head + kv->v_offset + at * kv->v_row, (size_t)kv->e_v);
        }
    }
}

void cpu_remember(Backend *b, const KvLayer *kv, const StepRow *rows, Tensor k, Tensor v,
                  const Norm *norm, const RopeTable *table)
{
    Cpu *c = (Cpu *)b;
    RememberJob job = {c, kv, rows, k, v, norm, table};
    int64_t touched = k.rows * (int64_t)tensor_row(k) * (table ? 4 : 2);
    cpu_share(c, k.rows, 8, touched, remember_rows, &job);
    if (table) cpu_changed(k);
}

/* ---- attend ---- */

typedef struct AttendJob {
    Cpu *c;
    const KvLayer *kv;
    const StepRow *rows;
    const AttendOptions *options;
    Tensor q, out;
    size_t group;   /* query heads of a kv head */
    int64_t pieces; /* tiles x kv heads */
    int64_t begin;  /* where runs of a piece go to different threads: the first item of a job */
} AttendJob;

/* Sums over some of the keys, or all: see kernel `attend`. */
typedef struct Sums {
    float *max, *sum, *acc; /* (queries), (queries), (queries, e_v) */
} Sums;

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

static size_t queries_of(const AttendJob *job, AttendTile tile)
{
    return (size_t)tile.count * job->group;
}

/* The tile's queries of one kv head, scaled, gathered in (token, query head) order. */
static void gather(const AttendJob *job, CpuWork *w, AttendTile tile, int32_t head)
{
    size_t part = job->group * (size_t)job->q.width;
    for (int32_t t = 0; t < tile.count; t++)
        job->c->k->scale(job->options->scale, tensor_at(job->q, tile.row + t) + (size_t)head * part,
                         part, w->q + (size_t)t * part);
}

/* Before any key; a sink is a key of its score and no value. */
static void start(const AttendJob *job, Sums total, AttendTile tile, int32_t head)
{
    size_t nq = queries_of(job, tile);
    const float *sinks = job->options->sinks;
    memset(total.acc, 0, nq * (size_t)job->kv->e_v * sizeof(float));
    for (size_t i = 0; i < nq; i++) {
        total.max[i] = sinks ? sinks[(size_t)head * job->group + i % job->group] : -INFINITY;
        total.sum[i] = sinks ? 1 : 0;
    }
}

/* One run of keys of a piece. */
typedef struct Item {
    AttendTile tile;
    int32_t head, run; /* from the first that a row of the tile sees */
} Item;

static int32_t runs_of(AttendTile tile)
{
    return (tile.end + ATTEND_RUN - 1) / ATTEND_RUN - tile.begin / ATTEND_RUN;
}

static int32_t start_of(const Item *item)
{
    return (item->tile.begin / ATTEND_RUN + item->run) * ATTEND_RUN;
}

/* Where its keys and values lie; how many there are. */
static size_t blocks_of(const AttendJob *job, const Item *item, const unsigned char **k,
                        const unsigned char **v)
{
    const KvLayer *kv = job->kv;
    int32_t start = start_of(item), n = item->tile.end - start;
    if (n > ATTEND_RUN) n = ATTEND_RUN;
    for (int32_t at = 0; at < n; at += KV_BLOCK) {
        if (start + at + KV_BLOCK <= item->tile.begin) continue; /* forgotten */
        k[at / KV_BLOCK] = block_at(kv, job->rows[item->tile.row].sequence, start + at) +
                           (size_t)item->head * kv->head_bytes;
        v[at / KV_BLOCK] = k[at / KV_BLOCK] + kv->v_offset;
    }
    return (size_t)n;
}

/* One run of keys, the queries being in w->q. `next`: what this thread will take then, most likely;
 * NULL: nothing. */
static void attend_run(const AttendJob *job, CpuWork *w, const Item *item, const Item *next,
                       Sums out)
{
    const KvLayer *kv = job->kv;
    AttendTile tile = item->tile;
    const StepRow *row = job->rows + tile.row;
    AttendRun r = {.k_type = kv->k_type,
                   .v_type = kv->v_type,
                   .e = (size_t)kv->e_k,
                   .e_v = (size_t)kv->e_v,
                   .nq = queries_of(job, tile),
                   .q = w->q,
                   .k_stride = kv->k_row,
                   .v_stride = kv->v_row,
                   .first = w->first,
                   .limit = w->limit,
                   .soft_cap = job->options->soft_cap,
                   .m = out.max,
                   .l = out.sum,
                   .acc = out.acc,
                   .work = w->attend};
    int32_t start = start_of(item);
    r.n = blocks_of(job, item, r.k, r.v);
    r.fetched = w->next.head == item->head && w->next.start == start && w->next.row == tile.row &&
                w->next.known;
    w->next.known = false;
    if (next) {
        r.next_n = blocks_of(job, next, r.next_k, r.next_v);
        w->next = (AttendNext){true, next->head, start_of(next), next->tile.row};
        if (kv->v_in_k) memset(r.next_v, 0, sizeof r.next_v);
    }
    for (int32_t t = 0; t < tile.count; t++) {
        int32_t first, limit;
        sight(job->options, row->position + t, tile.last, &first, &limit);
        for (size_t g = 0; g < job->group; g++) {
            w->first[(size_t)t * job->group + g] = within(first, start, (int32_t)r.n);
            w->limit[(size_t)t * job->group + g] = within(limit, start, (int32_t)r.n);
        }
    }
    job->c->k->attend(&r);
}

/* Adds the sums of the next run. */
static void add_sums(const Kernels *k, size_t nq, size_t e_v, Sums part, Sums total)
{
    for (size_t i = 0; i < nq; i++) {
        float *to = total.acc + i * e_v, old = total.max[i], new = part.max[i];
        const float *from = part.acc + i * e_v;
        if (new == -INFINITY) continue; /* no key that counts */
        if (old == -INFINITY) {
            memcpy(to, from, e_v * sizeof *to);
            total.max[i] = new;
            total.sum[i] = part.sum[i];
            continue;
        }
        float most = new > old ? new : old, fade = expf(old - most), by = expf(new - most);
        if (fade != 1) k->scale(fade, to, e_v, to);
        k->axpy(by, from, e_v, to);
        total.max[i] = most;
        total.sum[i] = total.sum[i] * fade + part.sum[i] * by;
    }
}

static void finish(const AttendJob *job, Sums total, AttendTile tile, int32_t head)
{
    size_t e_v = (size_t)job->kv->e_v, group = job->group, nq = queries_of(job, tile);
    for (size_t i = 0; i < nq; i++)
        job->c->k->scale(total.sum[i] > 0 ? 1.0f / total.sum[i] : 0.0f, total.acc + i * e_v, e_v,
                         tensor_at(job->out, tile.row + (int64_t)(i / group)) +
                             ((size_t)head * group + i % group) * e_v);
}

/* The item after this one: the next run, or the first of the next piece. False at the end. */
static bool item_after(const AttendJob *job, Item *item, int64_t piece)
{
    int32_t heads = job->kv->kv_heads;
    if (++item->run < runs_of(item->tile)) return true;
    if (++piece == job->pieces) return false;
    *item = (Item){job->c->tiles[piece / heads], (int32_t)(piece % heads), 0};
    return true;
}

static void attend_piece(const AttendJob *job, CpuWork *w, int64_t piece)
{
    Sums total = {w->max, w->sum, w->acc}, part = {w->part_max, w->part_sum, w->part_acc};
    int32_t heads = job->kv->kv_heads, head = (int32_t)(piece % heads);
    AttendTile tile = job->c->tiles[piece / heads];
    gather(job, w, tile, head);
    start(job, total, tile, head);
    for (int32_t i = 0, n = runs_of(tile); i < n; i++) {
        Item item = {tile, head, i}, next = item;
        bool alone = i == 0 && !job->options->sinks; /* nothing to add to */
        bool more = item_after(job, &next, piece);
        attend_run(job, w, &item, more ? &next : NULL, alone ? total : part);
        if (!alone) add_sums(job->c->k, queries_of(job, tile), (size_t)job->kv->e_v, part, total);
    }
    finish(job, total, tile, head);
}

static void attend_pieces(void *arg, int member, int64_t begin, int64_t end)
{
    const AttendJob *job = arg;
    for (int64_t p = begin; p < end; p++) attend_piece(job, &job->c->work[member], p);
}

/* ---- runs apart: an item is one run of one piece; items of a piece follow each other ---- */

static Sums slot(const Cpu *c, int64_t i)
{
    float *at = c->sums + (size_t)i * c->slot;
    return (Sums){at, at + c->slot_rows, at + 2 * c->slot_rows};
}

/* Number `at` of all runs of all pieces; which piece it is of. */
static Item item_at(const AttendJob *job, int64_t at, int64_t *piece)
{
    int32_t heads = job->kv->kv_heads;
    int64_t t = 0, n;
    for (; at >= (n = (int64_t)runs_of(job->c->tiles[t]) * heads); t++) at -= n;
    Item item = {.tile = job->c->tiles[t]};
    item.head = (int32_t)(at / runs_of(item.tile));
    item.run = (int32_t)(at % runs_of(item.tile));
    *piece = t * heads + item.head;
    return item;
}

static void attend_items(void *arg, int member, int64_t begin, int64_t end)
{
    const AttendJob *job = arg;
    CpuWork *w = &job->c->work[member];
    for (int64_t i = begin, piece; i < end; i++) {
        Item item = item_at(job, job->begin + i, &piece), next = item;
        bool more = item_after(job, &next, piece);
        gather(job, w, item.tile, item.head);
        attend_run(job, w, &item, more ? &next : NULL,
                   slot(job->c, CPU_FEW_PIECES * job->c->n_threads + i));
    }
}

static void attend_apart(AttendJob *job, int64_t items)
{
    Cpu *c = job->c;
    int64_t most = CPU_PARTS * c->n_threads, totals = CPU_FEW_PIECES * c->n_threads, piece;
    for (job->begin = 0; job->begin < items; job->begin += most) {
        int64_t n = items - job->begin < most ? items - job->begin : most;
        cpu_share(c, n, 1, INT64_MAX, attend_items, job);
        for (int64_t i = 0; i < n; i++) {
            Item item = item_at(job, job->begin + i, &piece);
            Sums total = slot(c, piece);
            if (item.run == 0) start(job, total, item.tile, item.head);
            add_sums(c->k, queries_of(job, item.tile), (size_t)job->kv->e_v, slot(c, totals + i),
                     total);
            if (item.run + 1 == runs_of(item.tile)) finish(job, total, item.tile, item.head);
        }
    }
}

/* Cuts the rows into tiles: one sequence, consecutive positions, at most `most` rows. */
static int64_t cut_tiles(const AttendJob *job, int32_t most)
{
    const StepRow *rows = job->rows;
    AttendTile *all = job->c->tiles;
    int64_t tiles = 0;
    for (int32_t i = 0; i < job->q.rows; i++) {
        AttendTile *last = tiles ? &all[tiles - 1] : NULL;
        if (last && last->count < most && rows[i].sequence == rows[last->row].sequence &&
            rows[i].position == rows[last->row].position + last->count)
            last->count++;
        else
            all[tiles++] = (AttendTile){.row = i, .count = 1};
    }
    for (int64_t i = tiles - 1; i >= 0; i--) { /* the newest position of each tile's sequence */
        AttendTile *t = &all[i], *next = i + 1 < tiles ? t + 1 : NULL;
        int32_t position = rows[t->row].position, unused;
        t->last = position + t->count - 1;
        if (next && rows[next->row].sequence == rows[t->row].sequence) t->last = next->last;
        sight(job->options, position, t->last, &t->begin, &unused);
        sight(job->options, position + t->count - 1, t->last, &unused, &t->end);
    }
    return tiles;
}

void cpu_attend(Backend *b, const KvLayer *kv, const StepRow *rows, Tensor q,
                const AttendOptions *options, Tensor out)
{
    Cpu *c = (Cpu *)b;
    AttendJob job = {.c = c, .kv = kv, .rows = rows, .options = options, .q = q, .out = out};
    int32_t group = q.heads / kv->kv_heads;
    int64_t work = 0, items = 0, few = (int64_t)CPU_FEW_PIECES * c->n_threads;
    job.group = (size_t)group;
    int64_t tiles = cut_tiles(&job, group < CPU_TILE_ROWS ? CPU_TILE_ROWS / group : 1);
    if (c->n_threads > 1 && tiles * kv->kv_heads < few)
        tiles = cut_tiles(&job, group < CPU_TILE_FEW ? CPU_TILE_FEW / group : 1);
    for (int64_t i = 0; i < tiles; i++) {
        const AttendTile *t = &c->tiles[i];
        work += (int64_t)(t->end - t->begin) * t->count * (int64_t)tensor_row(q) / 2;
        items += (int64_t)runs_of(*t) * kv->kv_heads;
    }
    job.pieces = tiles * kv->kv_heads;
    for (int i = 0; i < c->n_threads; i++) c->work[i].next.known = false;
    if (c->n_threads > 1 && job.pieces < few && items > job.pieces)
        attend_apart(&job, items);
    else
        cpu_share(c, job.pieces, 1, work, attend_pieces, &job);
}
