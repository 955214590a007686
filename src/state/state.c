/* Blocks, tables and counts of layer state (see state.h). */
#include "state/state.h"

#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "base/os.h"
#include "tensor/dtype.h"

struct State {
    StateSpec spec;
    KvLayer *layers;     /* (n_layers), tables pointing into `tables` */
    unsigned char *pool; /* blocks of layer 0, then of layer 1 ... */
    uint64_t pool_bytes;
    int32_t n_blocks;     /* of each layer */
    int32_t table_stride; /* blocks a sequence may have */
    int32_t *tables;      /* (n_sequences, table_stride) */
    int32_t *lengths;     /* (n_sequences) */
    int32_t *held;        /* (n_sequences) blocks in each table */
    int32_t *shares;      /* (n_blocks) tables that name the block */
    int32_t *free_list;   /* (n_blocks) a stack */
    int32_t n_free;
};

static uint64_t row_bytes(uint32_t type, int32_t n)
{
    return dtype_row_bytes(type, (uint64_t)n);
}

static uint64_t token_bytes(const LayerSpec *l, uint32_t type)
{
    return (uint64_t)l->kv_heads * (row_bytes(type, l->e_k) + row_bytes(type, l->e_v));
}

static int32_t blocks_of(int32_t tokens)
{
    return (int32_t)(((int64_t)tokens + KV_BLOCK - 1) / KV_BLOCK);
}

uint64_t state_token_bytes(const StateSpec *spec)
{
    uint64_t bytes = 0;
    for (int32_t l = 0; l < spec->n_layers; l++) bytes += token_bytes(&spec->layers[l], spec->type);
    return bytes;
}

uint64_t state_bytes(const StateSpec *spec)
{
    uint64_t blocks, bytes;
    if (!ck_mul((uint64_t)blocks_of(spec->n_ctx), (uint64_t)spec->n_sequences, &blocks) ||
        !ck_mul(blocks * KV_BLOCK, state_token_bytes(spec), &bytes))
        return UINT64_MAX;
    return bytes;
}

bt_status state_check(const StateSpec *spec, bt_error *err)
{
    int32_t block = dtype_info(spec->type)->block;
    if (spec->n_ctx < 1 || spec->n_sequences < 1)
        return bt_fail(err, BT_E_ARGUMENT, "a session needs at least one token and one sequence");
    if ((int64_t)blocks_of(spec->n_ctx) * spec->n_sequences > INT32_MAX)
        return bt_fail(err, BT_E_LIMIT, "%d sequences of %d tokens are too many", spec->n_sequences,
                       spec->n_ctx);
    for (int32_t l = 0; l < spec->n_layers; l++)
        if (spec->layers[l].e_k % block || spec->layers[l].e_v % block)
            return bt_fail(err, BT_E_ARGUMENT,
                           "KV type %s needs heads of a multiple of %d; layer %d has %d and %d: "
                           "choose f16 or bf16",
                           dtype_name(spec->type), block, l, spec->layers[l].e_k,
                           spec->layers[l].e_v);
    return BT_OK;
}

static void lay_out(State *s)
{
    unsigned char *at = s->pool;
    for (int32_t l = 0; l < s->spec.n_layers; l++) {
        const LayerSpec *spec = &s->spec.layers[l];
        KvLayer *kv = &s->layers[l];
        *kv = (KvLayer){.type = s->spec.type,
                        .kv_heads = spec->kv_heads,
                        .e_k = spec->e_k,
                        .e_v = spec->e_v,
                        .k_row = row_bytes(s->spec.type, spec->e_k),
                        .v_row = row_bytes(s->spec.type, spec->e_v),
                        .base = at,
                        .tables = s->tables,
                        .table_stride = s->table_stride};
        kv->head_bytes = KV_BLOCK * (kv->k_row + kv->v_row);
        kv->block_bytes = (size_t)kv->kv_heads * kv->head_bytes;
        at += (size_t)s->n_blocks * kv->block_bytes;
    }
}

bt_status state_open(const StateSpec *spec, State **out, bt_error *err)
{
    *out = NULL;
    bt_status status = state_check(spec, err);
    if (status) return status;
    State *s = mem_zalloc(1, sizeof *s);
    if (!s) return bt_fail_memory(err, "layer state", sizeof *s);
    size_t n = (size_t)spec->n_sequences;
    s->spec = *spec;
    s->table_stride = blocks_of(spec->n_ctx);
    s->n_blocks = s->table_stride * spec->n_sequences;
    s->pool_bytes = state_bytes(spec);
    s->layers = mem_zalloc((size_t)spec->n_layers, sizeof *s->layers);
    s->tables = mem_zalloc(n * (size_t)s->table_stride, sizeof *s->tables);
    s->lengths = mem_zalloc(n, sizeof *s->lengths);
    s->held = mem_zalloc(n, sizeof *s->held);
    s->shares = mem_zalloc((size_t)s->n_blocks, sizeof *s->shares);
    s->free_list = mem_zalloc((size_t)s->n_blocks, sizeof *s->free_list);
    if (s->pool_bytes <= SIZE_MAX / 2) s->pool = os_pages_alloc(s->pool_bytes);
    if (!s->layers || !s->tables || !s->lengths || !s->held || !s->shares || !s->free_list ||
        !s->pool) {
        uint64_t bytes = s->pool_bytes;
        state_close(&s);
        return bt_fail_memory(err, "layer state; ask for a shorter context", bytes);
    }
    for (int32_t i = 0; i < s->n_blocks; i++) s->free_list[i] = s->n_blocks - 1 - i;
    s->n_free = s->n_blocks;
    lay_out(s);
    *out = s;
    return BT_OK;
}

void state_close(State **state)
{
    State *s = *state;
    if (!s) return;
    if (s->pool) os_pages_free(s->pool, s->pool_bytes);
    mem_free(s->layers);
    mem_free(s->tables);
    mem_free(s->lengths);
    mem_free(s->held);
    mem_free(s->shares);
    mem_free(s->free_list);
    mem_free(s);
    *state = NULL;
}

int32_t state_context(const State *s)
{
    return s->spec.n_ctx;
}

int32_t state_length(const State *s, int32_t sequence)
{
    return s->lengths[sequence];
}

static int32_t *table_of(const State *s, int32_t sequence)
{
    return s->tables + (size_t)sequence * (size_t)s->table_stride;
}

static void release(State *s, int32_t block)
{
    if (--s->shares[block] == 0) s->free_list[s->n_free++] = block;
}

static int32_t take(State *s)
{
    int32_t block = s->free_list[--s->n_free];
    s->shares[block] = 1;
    return block;
}

static void copy_block(State *s, int32_t from, int32_t to)
{
    for (int32_t l = 0; l < s->spec.n_layers; l++) {
        const KvLayer *kv = &s->layers[l];
        memcpy(kv->base + (size_t)to * kv->block_bytes, kv->base + (size_t)from * kv->block_bytes,
               kv->block_bytes);
    }
}

/* Every sequence owns n_blocks / n_sequences blocks at most and a share never adds one, so the
 * free list cannot run dry: a table of table_stride entries holds at most that many. */
bool state_reserve(State *s, int32_t sequence, int32_t n)
{
    int32_t length = s->lengths[sequence], *table = table_of(s, sequence);
    if (n < 0 || n > s->spec.n_ctx - length) return false;
    int32_t last = length / KV_BLOCK; /* the block that the first new token goes into */
    if (n && length % KV_BLOCK && s->shares[table[last]] > 1) {
        int32_t own = take(s);
        copy_block(s, table[last], own);
        release(s, table[last]);
        table[last] = own;
    }
    for (int32_t need = blocks_of(length + n); s->held[sequence] < need;)
        table[s->held[sequence]++] = take(s);
    return true;
}

void state_commit(State *s, int32_t sequence, int32_t n)
{
    s->lengths[sequence] += n;
}

void state_truncate(State *s, int32_t sequence, int32_t length)
{
    int32_t keep = blocks_of(length), *table = table_of(s, sequence);
    while (s->held[sequence] > keep) release(s, table[--s->held[sequence]]);
    if (length < s->lengths[sequence]) s->lengths[sequence] = length;
}

void state_share(State *s, int32_t from, int32_t to, int32_t length)
{
    if (from == to) {
        state_truncate(s, to, length);
        return;
    }
    state_truncate(s, to, 0);
    int32_t blocks = blocks_of(length);
    for (int32_t i = 0; i < blocks; i++) {
        int32_t block = table_of(s, from)[i];
        s->shares[block]++;
        table_of(s, to)[i] = block;
    }
    s->held[to] = blocks;
    s->lengths[to] = length;
}

KvLayer state_layer(const State *s, int32_t layer)
{
    return s->layers[layer];
}
