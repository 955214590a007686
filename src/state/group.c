/* Tables and counts of blocks (see group.h). */
#include "state/group.h"

#include <string.h>

#include "base/mem.h"
#include "base/os.h"

bool group_size(Group *g, const StateSpec *spec)
{
    int32_t all = blocks_of(spec->n_ctx);
    g->n_holders = spec->n_sequences + spec->n_checkpoints;
    g->stride = g->quota = all;
    g->kept = 0;
    if (g->recurrent) {
        g->stride = g->quota = g->kept = 1;
    } else if (g->kind != STATE_KV_FULL) {
        /* both ends may lie inside a block, and one block more is kept for short steps back */
        int64_t sight = (int64_t)g->span + KV_BLOCK - 1;
        int64_t quota = (sight + spec->n_batch + KV_BLOCK) / KV_BLOCK + 2;
        g->quota = quota < all ? (int32_t)quota : all;
        g->kept = sight / KV_BLOCK + 1 < all ? (int32_t)(sight / KV_BLOCK + 1) : all;
    }
    int64_t n = (int64_t)g->quota * spec->n_sequences + (int64_t)g->kept * spec->n_checkpoints;
    if (spec->n_tokens > 0 && !g->recurrent) { /* each sequence may begin a block of its own */
        int32_t most = spec->n_tokens > spec->n_ctx ? spec->n_tokens : spec->n_ctx;
        int64_t all_sequences = (int64_t)blocks_of(most) + spec->n_sequences - 1;
        int64_t some = all_sequences + (int64_t)g->kept * spec->n_checkpoints;
        if (some < n) n = some;
    }
    if (n > INT32_MAX) return false;
    g->n_blocks = (int32_t)n;
    return true;
}

bool group_open(Group *g)
{
    size_t holders = (size_t)g->n_holders, blocks = (size_t)g->n_blocks;
    g->tables = mem_zalloc(holders * (size_t)g->stride, sizeof *g->tables);
    g->begin = mem_zalloc(holders, sizeof *g->begin);
    g->end = mem_zalloc(holders, sizeof *g->end);
    g->shares = mem_zalloc(blocks, sizeof *g->shares);
    g->free_list = mem_zalloc(blocks, sizeof *g->free_list);
    g->asked = mem_zalloc(blocks, sizeof *g->asked);
    if (g->block_bytes <= SIZE_MAX / 2 / blocks) g->pool = os_pages_alloc(blocks * g->block_bytes);
    if (!g->tables || !g->begin || !g->end || !g->shares || !g->free_list || !g->asked || !g->pool)
        return false;
    for (int32_t i = 0; i < g->n_blocks; i++) g->free_list[i] = g->n_blocks - 1 - i;
    g->n_free = g->n_blocks;
    return true;
}

void group_close(Group *g)
{
    if (g->pool) os_pages_free(g->pool, (size_t)g->n_blocks * g->block_bytes);
    mem_free(g->tables);
    mem_free(g->begin);
    mem_free(g->end);
    mem_free(g->shares);
    mem_free(g->free_list);
    mem_free(g->asked);
}

static void release(Group *g, int32_t block)
{
    if (--g->shares[block] == 0) g->free_list[g->n_free++] = block;
}

/* The free list cannot run dry: no holder has more than its quota, and a share adds no block; or,
 * where there is less than all quotas together, it was asked before. */
static int32_t take(Group *g)
{
    int32_t block = g->free_list[--g->n_free];
    g->shares[block] = 1;
    return block;
}

static void drop(Group *g, int32_t holder)
{
    int32_t *table = group_table(g, holder);
    for (int32_t i = g->begin[holder]; i < g->end[holder]; i++) release(g, table[i]);
    g->begin[holder] = g->end[holder] = 0;
}

/* Makes entry i the holder's own before it is written. */
static void own(Group *g, int32_t holder, int32_t i)
{
    int32_t *entry = &group_table(g, holder)[i], block;
    if (g->shares[*entry] == 1) return;
    block = take(g);
    memcpy(group_block(g, block), group_block(g, *entry), g->block_bytes);
    release(g, *entry);
    *entry = block;
}

int32_t group_first_needed(const Group *g, int32_t length)
{
    if (g->kind == STATE_KV_WINDOW) return length >= g->span ? length - g->span + 1 : 0;
    if (g->kind == STATE_KV_CHUNK) return length / g->span * g->span;
    return 0;
}

bool group_can_cut(const Group *g, int32_t holder, int32_t held, int32_t length)
{
    if (g->recurrent) return length == held || length == 0;
    return group_first_needed(g, length) >= g->begin[holder] * KV_BLOCK || length == 0;
}

void group_cut(Group *g, int32_t holder, int32_t length)
{
    if (length == 0) drop(g, holder);
    if (g->recurrent) return;
    while (g->end[holder] > blocks_of(length)) release(g, group_table(g, holder)[--g->end[holder]]);
    if (g->begin[holder] > g->end[holder]) g->begin[holder] = g->end[holder];
}

/* New blocks at the end. */
static int32_t missing(const Group *g, int32_t holder, int32_t length, int32_t n)
{
    int32_t need = (g->recurrent ? 1 : blocks_of(length + n)) - g->end[holder];
    return need > 0 ? need : 0;
}

/* The last block where it is written into and so must be the holder's own, or -1. */
static int32_t written(const Group *g, int32_t holder, int32_t length, int32_t n)
{
    bool into = n > 0 && g->end[holder] > 0 && (g->recurrent || length % KV_BLOCK);
    return into ? group_table(g, holder)[g->end[holder] - 1] : -1;
}

bool group_has_room(const Group *g, int32_t holder, int32_t length, int32_t n)
{
    int32_t block = written(g, holder, length, n);
    return missing(g, holder, length, n) + (block >= 0 && g->shares[block] > 1) <= g->n_free;
}

bool group_has_room_for(Group *g, int32_t holders, const int32_t *lengths, const int32_t *added)
{
    int64_t need = 0;
    for (int32_t q = 0; q < holders; q++) {
        if (added[q] < 1) continue;
        int32_t block = written(g, q, lengths[q], added[q]);
        need += missing(g, q, lengths[q], added[q]);
        if (block >= 0) need += ++g->asked[block] < g->shares[block]; /* the last one keeps it */
    }
    for (int32_t q = 0; q < holders; q++) {
        int32_t block = added[q] < 1 ? -1 : written(g, q, lengths[q], added[q]);
        if (block >= 0) g->asked[block] = 0;
    }
    return need <= g->n_free;
}

void group_reserve(Group *g, int32_t holder, int32_t length, int32_t n)
{
    int32_t *table = group_table(g, holder);
    if (n < 1) return;
    if (g->recurrent) {
        if (g->end[holder] == 0) { /* a beginning: all zero */
            table[g->end[holder]++] = take(g);
            memset(group_block(g, table[0]), 0, g->block_bytes);
        }
        own(g, holder, 0);
        return;
    }
    if (length % KV_BLOCK) own(g, holder, length / KV_BLOCK);
    while (g->end[holder] < blocks_of(length + n)) table[g->end[holder]++] = take(g);
}

void group_forget(Group *g, int32_t holder, int32_t length)
{
    if (g->recurrent || g->kind == STATE_KV_FULL) return;
    int32_t needed = group_first_needed(g, length > KV_BLOCK ? length - KV_BLOCK : 0) / KV_BLOCK;
    while (g->begin[holder] < needed && g->begin[holder] < g->end[holder])
        release(g, group_table(g, holder)[g->begin[holder]++]);
}

void group_share(Group *g, int32_t from, int32_t to, int32_t length)
{
    drop(g, to);
    if (length == 0) return;
    int32_t begin = g->recurrent ? 0 : group_first_needed(g, length) / KV_BLOCK;
    int32_t end = g->recurrent ? 1 : blocks_of(length);
    if (begin > end) begin = end; /* a chunk that has just ended needs nothing */
    for (int32_t i = begin; i < end; i++) {
        int32_t block = group_table(g, from)[i];
        g->shares[block]++;
        group_table(g, to)[i] = block;
    }
    g->begin[to] = begin;
    g->end[to] = end;
}

void group_make(Group *g, int32_t holder, int32_t length)
{
    drop(g, holder);
    if (length == 0) return;
    int32_t begin = g->recurrent ? 0 : group_first_needed(g, length) / KV_BLOCK;
    int32_t end = g->recurrent ? 1 : blocks_of(length);
    g->begin[holder] = g->end[holder] = begin < end ? begin : end;
    while (g->end[holder] < end) group_table(g, holder)[g->end[holder]++] = take(g);
}
