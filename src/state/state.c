/* Sequences and checkpoints over groups of layers (see state.h, group.h). */
#include "state/state.h"

#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "state/group.h"
#include "tensor/dtype.h"

#define MOST_GROUPS 8

typedef struct Checkpoint {
    int32_t sequence; /* -1: none */
    int32_t length;
} Checkpoint;

struct State {
    StateSpec spec;
    Group groups[MOST_GROUPS];
    int n_groups;
    KvLayer *layers; /* (n_layers) */
    RecurrentLayer *recurrent;
    int32_t *lengths; /* (n_sequences) */
    bool *changing;   /* (n_sequences) reserved and not yet committed */
    Checkpoint
        *checkpoints; /* (n_checkpoints) holder n_sequences + i of every group that forgets */
};

static uint64_t row_bytes(uint32_t type, int32_t n)
{
    return dtype_row_bytes(type, (uint64_t)n);
}

static uint64_t token_bytes(const StateSpec *spec, const LayerSpec *l)
{
    uint64_t v = l->v_in_k ? 0 : row_bytes(spec->v_type, l->e_v);
    return (uint64_t)l->kv_heads * (row_bytes(spec->k_type, l->e_k) + v);
}

static bool keeps_kv(const LayerSpec *l)
{
    return l->kind != STATE_KV_SHARED && l->kv_heads > 0;
}

static bool keeps_recurrent(const LayerSpec *l)
{
    return l->conv > 0 || l->recurrent > 0;
}

bool state_forgets(const LayerSpec *layers, int32_t n_layers)
{
    for (int32_t l = 0; l < n_layers; l++)
        if (keeps_recurrent(&layers[l]) ||
            (keeps_kv(&layers[l]) && layers[l].kind != STATE_KV_FULL))
            return true;
    return false;
}

/* ---- sizes ---- */

/* The group that these layers are in, made if it is new; NULL when there are too many kinds. */
static Group *group_of(Group *groups, int *n, StateKind kind, int32_t span, bool recurrent)
{
    for (int i = 0; i < *n; i++)
        if (groups[i].recurrent == recurrent && groups[i].kind == kind && groups[i].span == span)
            return &groups[i];
    if (*n == MOST_GROUPS) return NULL;
    groups[*n] = (Group){.kind = kind, .span = span, .recurrent = recurrent};
    return &groups[(*n)++];
}

static Group *kv_group(Group *groups, int *n, const LayerSpec *l)
{
    return group_of(groups, n, l->kind, l->kind == STATE_KV_FULL ? 0 : l->span, false);
}

uint64_t state_layer_token_bytes(const StateSpec *spec, const LayerSpec *layer)
{
    return keeps_kv(layer) ? token_bytes(spec, layer) : 0;
}

/* Puts `bytes` of a layer into a block of the group; where they lie there. */
static size_t place(Group *g, uint64_t bytes)
{
    size_t at = g->block_bytes;
    g->block_bytes += align_up((size_t)bytes, 64);
    return at;
}

uint64_t state_layer_fixed_bytes(const LayerSpec *l)
{
    return ((uint64_t)l->conv + (uint64_t)l->recurrent) * sizeof(float);
}

/* Sizes all groups; kv and recurrent (n_layers) get each layer's place in a block, or are NULL. */
static bool shape(const StateSpec *spec, Group *groups, int *n, size_t *kv, size_t *recurrent)
{
    *n = 0;
    for (int32_t l = 0; l < spec->n_layers; l++) {
        const LayerSpec *layer = &spec->layers[l];
        Group *a = keeps_kv(layer) ? kv_group(groups, n, layer) : groups;
        Group *b = keeps_recurrent(layer) ? group_of(groups, n, STATE_KV_FULL, 0, true) : groups;
        if (!a || !b) return false;
        size_t at = keeps_kv(layer) ? place(a, KV_BLOCK * token_bytes(spec, layer)) : 0;
        if (kv) kv[l] = at;
        at = keeps_recurrent(layer) ? place(b, state_layer_fixed_bytes(layer)) : 0;
        if (recurrent) recurrent[l] = at;
    }
    for (int i = 0; i < *n; i++)
        if (!group_size(&groups[i], spec)) return false;
    return true;
}

uint64_t state_bytes(const StateSpec *spec)
{
    Group groups[MOST_GROUPS];
    int n;
    uint64_t all = 0, bytes;
    if (!shape(spec, groups, &n, NULL, NULL)) return UINT64_MAX;
    for (int i = 0; i < n; i++)
        if (!ck_mul((uint64_t)groups[i].n_blocks, groups[i].block_bytes, &bytes) ||
            !ck_add(all, bytes, &all))
            return UINT64_MAX;
    return all;
}

uint64_t state_read_bytes(const StateSpec *spec, int32_t depth)
{
    uint64_t bytes = 0;
    for (int32_t l = 0; l < spec->n_layers; l++) {
        const LayerSpec *layer = &spec->layers[l];
        if (layer->kind == STATE_KV_SHARED) layer = &spec->layers[layer->from];
        int32_t seen = layer->kind == STATE_KV_FULL || depth < layer->span ? depth : layer->span;
        bytes += token_bytes(spec, layer) * (uint64_t)seen;
        bytes += 2 * state_layer_fixed_bytes(&spec->layers[l]);
    }
    return bytes;
}

static bt_status check_layer(const StateSpec *spec, int32_t l, bt_error *err)
{
    const LayerSpec *layer = &spec->layers[l];
    uint32_t v_type = layer->v_in_k ? spec->k_type : spec->v_type;
    int32_t k_block = dtype_info(spec->k_type)->block, v_block = dtype_info(v_type)->block;
    bool spans = layer->kind == STATE_KV_WINDOW || layer->kind == STATE_KV_CHUNK;
    if (spans && layer->span < 1)
        return bt_fail(err, BT_E_ARGUMENT, "layer %d keeps a window of no tokens", l);
    if (layer->kind == STATE_KV_SHARED) {
        if (layer->from < 0 || layer->from >= l || !keeps_kv(&spec->layers[layer->from]))
            return bt_fail(err, BT_E_ARGUMENT, "layer %d cannot read the state of layer %d", l,
                           layer->from);
        return BT_OK;
    }
    if (layer->v_in_k && layer->e_v > layer->e_k)
        return bt_fail(err, BT_E_ARGUMENT, "layer %d: values wider than the keys they lie in", l);
    if (keeps_kv(layer) && (layer->e_k % k_block || layer->e_v % v_block))
        return bt_fail(err, BT_E_ARGUMENT,
                       "KV type %s needs heads of a multiple of %d; layer %d has %d and %d: "
                       "choose f16 or bf16",
                       dtype_name(k_block > 1 ? spec->k_type : v_type),
                       k_block > 1 ? k_block : v_block, l, layer->e_k, layer->e_v);
    return BT_OK;
}

bt_status state_check(const StateSpec *spec, bt_error *err)
{
    Group groups[MOST_GROUPS];
    int n;
    if (spec->n_ctx < 1 || spec->n_sequences < 1)
        return bt_fail(err, BT_E_ARGUMENT, "a session needs at least one token and one sequence");
    if (spec->n_batch < 1 || spec->n_checkpoints < 0)
        return bt_fail(err, BT_E_ARGUMENT, "a step of %d tokens and %d checkpoints cannot be",
                       spec->n_batch, spec->n_checkpoints);
    for (int32_t l = 0; l < spec->n_layers; l++) {
        bt_status status = check_layer(spec, l, err);
        if (status) return status;
    }
    if (!shape(spec, groups, &n, NULL, NULL))
        return bt_fail(err, BT_E_LIMIT,
                       "%d sequences of %d tokens with %d checkpoints are too many, or layers "
                       "have more than %d window lengths",
                       spec->n_sequences, spec->n_ctx, spec->n_checkpoints, MOST_GROUPS - 2);
    return BT_OK;
}

/* ---- open and close ---- */

static KvLayer kv_layer(const State *s, const LayerSpec *spec, const Group *g, size_t at)
{
    KvLayer kv = {.k_type = s->spec.k_type,
                  .v_type = spec->v_in_k ? s->spec.k_type : s->spec.v_type,
                  .kv_heads = spec->kv_heads,
                  .e_k = spec->e_k,
                  .e_v = spec->e_v,
                  .v_in_k = spec->v_in_k,
                  .k_row = row_bytes(s->spec.k_type, spec->e_k),
                  .v_row = row_bytes(s->spec.v_type, spec->e_v),
                  .base = g->pool + at,
                  .block_bytes = g->block_bytes,
                  .tables = g->tables,
                  .table_stride = g->stride};
    kv.v_offset = KV_BLOCK * kv.k_row;
    kv.head_bytes = kv.v_offset + KV_BLOCK * kv.v_row;
    if (kv.v_in_k) {
        kv.v_row = kv.k_row;
        kv.head_bytes = kv.v_offset;
        kv.v_offset = 0;
    }
    return kv;
}

static void lay_out(State *s, const size_t *kv, const size_t *recurrent)
{
    for (int32_t l = 0; l < s->spec.n_layers; l++) {
        const LayerSpec *spec = &s->spec.layers[l];
        if (spec->kind == STATE_KV_SHARED)
            s->layers[l] = s->layers[spec->from];
        else if (keeps_kv(spec))
            s->layers[l] = kv_layer(s, spec, kv_group(s->groups, &s->n_groups, spec), kv[l]);
        if (!keeps_recurrent(spec)) continue;
        const Group *g = group_of(s->groups, &s->n_groups, STATE_KV_FULL, 0, true);
        s->recurrent[l] = (RecurrentLayer){.base = (float *)(void *)(g->pool + recurrent[l]),
                                           .stride = g->block_bytes / sizeof(float),
                                           .conv = (size_t)spec->conv,
                                           .recurrent = (size_t)spec->recurrent,
                                           .blocks = g->tables,
                                           .table_stride = g->stride};
    }
}

static bool allocate(State *s)
{
    size_t layers = (size_t)s->spec.n_layers, n = (size_t)s->spec.n_sequences;
    size_t *kv = mem_zalloc(layers, sizeof *kv), *recurrent = mem_zalloc(layers, sizeof *recurrent);
    s->layers = mem_zalloc(layers, sizeof *s->layers);
    s->recurrent = mem_zalloc(layers, sizeof *s->recurrent);
    s->lengths = mem_zalloc(n, sizeof *s->lengths);
    s->changing = mem_zalloc(n, sizeof *s->changing);
    s->checkpoints = mem_zalloc((size_t)s->spec.n_checkpoints + 1, sizeof *s->checkpoints);
    bool good = kv && recurrent && s->layers && s->recurrent && s->lengths && s->changing &&
                s->checkpoints && shape(&s->spec, s->groups, &s->n_groups, kv, recurrent);
    for (int i = 0; i < s->n_groups && good; i++) good = group_open(&s->groups[i]);
    if (good) lay_out(s, kv, recurrent);
    mem_free(kv);
    mem_free(recurrent);
    return good;
}

bt_status state_open(const StateSpec *spec, State **out, bt_error *err)
{
    *out = NULL;
    bt_status status = state_check(spec, err);
    if (status) return status;
    State *s = mem_zalloc(1, sizeof *s);
    if (!s) return bt_fail_memory(err, "layer state", sizeof *s);
    s->spec = *spec;
    if (!state_forgets(spec->layers, spec->n_layers)) s->spec.n_checkpoints = 0;
    if (!allocate(s)) {
        state_close(&s);
        return bt_fail_memory(err, "layer state; ask for a shorter context", state_bytes(spec));
    }
    for (int32_t i = 0; i < s->spec.n_checkpoints; i++) s->checkpoints[i].sequence = -1;
    *out = s;
    return BT_OK;
}

void state_close(State **state)
{
    State *s = *state;
    if (!s) return;
    for (int i = 0; i < s->n_groups; i++) group_close(&s->groups[i]);
    mem_free(s->layers);
    mem_free(s->recurrent);
    mem_free(s->lengths);
    mem_free(s->changing);
    mem_free(s->checkpoints);
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

/* ---- growing ---- */

bool state_reserve(State *s, int32_t sequence, int32_t n)
{
    int32_t length = s->lengths[sequence];
    if (n < 0 || n > s->spec.n_ctx - length || n > s->spec.n_batch) return false;
    for (int i = 0; i < s->n_groups; i++)
        if (!group_has_room(&s->groups[i], sequence, length, n)) return false;
    for (int i = 0; i < s->n_groups; i++) group_reserve(&s->groups[i], sequence, length, n);
    s->changing[sequence] = n > 0;
    return true;
}

bool state_has_room(State *s, const int32_t *added)
{
    for (int i = 0; i < s->n_groups; i++)
        if (!group_has_room_for(&s->groups[i], s->spec.n_sequences, s->lengths, added))
            return false;
    return true;
}

int32_t state_room(const State *s)
{
    int64_t least = (int64_t)s->spec.n_ctx * s->spec.n_sequences;
    for (int i = 0; i < s->n_groups; i++) {
        const Group *g = &s->groups[i];
        int64_t room = (int64_t)g->n_free * KV_BLOCK;
        if (!g->recurrent && g->kind == STATE_KV_FULL && room < least) least = room;
    }
    return least < INT32_MAX ? (int32_t)least : INT32_MAX;
}

void state_commit(State *s, int32_t sequence, int32_t n)
{
    s->lengths[sequence] += n;
    s->changing[sequence] = false;
    for (int i = 0; i < s->n_groups; i++)
        group_forget(&s->groups[i], sequence, s->lengths[sequence]);
}

/* ---- checkpoints ---- */

static bool forgets(const Group *g)
{
    return g->recurrent || g->kind != STATE_KV_FULL;
}

static void drop_checkpoint(State *s, int32_t i)
{
    if (s->checkpoints[i].sequence < 0) return;
    s->checkpoints[i].sequence = -1;
    for (int g = 0; g < s->n_groups; g++)
        if (forgets(&s->groups[g])) group_cut(&s->groups[g], s->spec.n_sequences + i, 0);
}

/* The sequence was cut: moments after `length` are no longer its past. */
static void drop_checkpoints(State *s, int32_t sequence, int32_t length)
{
    for (int32_t i = 0; i < s->spec.n_checkpoints; i++)
        if (s->checkpoints[i].sequence == sequence && s->checkpoints[i].length > length)
            drop_checkpoint(s, i);
}

/* The newest at or before `length`; -1: none. */
static int32_t newest(const State *s, int32_t sequence, int32_t length)
{
    int32_t best = -1;
    for (int32_t i = 0; i < s->spec.n_checkpoints; i++) {
        const Checkpoint *c = &s->checkpoints[i];
        if (c->sequence == sequence && c->length <= length &&
            (best < 0 || c->length > s->checkpoints[best].length))
            best = i;
    }
    return best;
}

static int32_t count_of(const State *s, int32_t sequence)
{
    int32_t n = 0;
    for (int32_t i = 0; i < s->spec.n_checkpoints; i++) n += s->checkpoints[i].sequence == sequence;
    return n;
}

/* Tokens between the moments before and after checkpoint i: what losing it may cost. */
static int32_t gap(const State *s, int32_t i)
{
    const Checkpoint *c = &s->checkpoints[i];
    int32_t before = 0, after = s->lengths[c->sequence];
    for (int32_t j = 0; j < s->spec.n_checkpoints; j++) {
        const Checkpoint *o = &s->checkpoints[j];
        if (o->sequence != c->sequence || j == i) continue;
        if (o->length <= c->length && o->length > before) before = o->length;
        if (o->length > c->length && o->length < after) after = o->length;
    }
    return after - before;
}

/* A free place, or one of the sequence that has most of them: the one that is missed least. */
static int32_t checkpoint_place(const State *s)
{
    int32_t best = 0, most = -1;
    for (int32_t i = 0; i < s->spec.n_checkpoints; i++) {
        int32_t sequence = s->checkpoints[i].sequence;
        if (sequence < 0) return i;
        int32_t n = count_of(s, sequence);
        if (n > most || (n == most && gap(s, i) < gap(s, best))) {
            best = i;
            most = n;
        }
    }
    return best;
}

void state_checkpoint(State *s, int32_t sequence)
{
    int32_t length = s->lengths[sequence];
    if (s->spec.n_checkpoints < 1 || length < 1) return;
    int32_t have = newest(s, sequence, length);
    if (have >= 0 && s->checkpoints[have].length == length) return;
    int32_t i = checkpoint_place(s);
    drop_checkpoint(s, i);
    s->checkpoints[i] = (Checkpoint){sequence, length};
    for (int g = 0; g < s->n_groups; g++)
        if (forgets(&s->groups[g]))
            group_share(&s->groups[g], sequence, s->spec.n_sequences + i, length);
}

/* ---- going back ---- */

static bool can_cut(const State *s, int32_t sequence, int32_t length)
{
    for (int i = 0; i < s->n_groups; i++) {
        const Group *g = &s->groups[i];
        if (g->recurrent && s->changing[sequence] && length > 0) return false;
        if (!group_can_cut(g, sequence, s->lengths[sequence], length)) return false;
    }
    return true;
}

/* Makes `to` hold `length` tokens of what `from` was at a checkpoint (or of `from` itself, < 0). */
static void take_over(State *s, int32_t from, int32_t checkpoint, int32_t to, int32_t length)
{
    for (int i = 0; i < s->n_groups; i++) {
        Group *g = &s->groups[i];
        int32_t source = checkpoint >= 0 && forgets(g) ? s->spec.n_sequences + checkpoint : from;
        if (source == to)
            group_cut(g, to, length);
        else
            group_share(g, source, to, length);
    }
    s->lengths[to] = length;
    s->changing[to] = false;
    drop_checkpoints(s, to, length);
}

int32_t state_truncate(State *s, int32_t sequence, int32_t length)
{
    int32_t i = -1;
    if (length > s->lengths[sequence]) length = s->lengths[sequence];
    if (!can_cut(s, sequence, length)) {
        i = newest(s, sequence, length);
        length = i < 0 ? 0 : s->checkpoints[i].length;
    }
    take_over(s, sequence, i, sequence, length);
    return length;
}

int32_t state_abandon(State *s, int32_t sequence)
{
    return state_truncate(s, sequence, s->lengths[sequence]);
}

int32_t state_shareable(const State *s, int32_t from, int32_t length)
{
    if (length > s->lengths[from]) length = s->lengths[from];
    if (can_cut(s, from, length)) return length;
    int32_t i = newest(s, from, length);
    return i < 0 ? 0 : s->checkpoints[i].length;
}

int32_t state_share(State *s, int32_t from, int32_t to, int32_t length)
{
    int32_t i = -1;
    if (from == to) return state_truncate(s, to, length);
    if (length > s->lengths[from]) length = s->lengths[from];
    if (!can_cut(s, from, length)) {
        i = newest(s, from, length);
        length = i < 0 ? 0 : s->checkpoints[i].length;
    }
    drop_checkpoints(s, to, 0);
    take_over(s, from, i, to, length);
    return length;
}

/* ---- the layer as backends see it; a sequence for a file ---- */

KvLayer state_layer(const State *s, int32_t layer)
{
    return s->layers[layer];
}

RecurrentLayer state_recurrent(const State *s, int32_t layer)
{
    return s->recurrent[layer];
}

/* Rows only: what lies behind them in a block may be of another sequence. */
static bool visit_block(const KvLayer *kv, int32_t block, int32_t first, int32_t last,
                        StateVisitFn visit, void *arg)
{
    for (int32_t h = 0; h < kv->kv_heads; h++) {
        unsigned char *head =
            kv->base + (size_t)block * kv->block_bytes + (size_t)h * kv->head_bytes;
        size_t n = (size_t)(last - first), at = (size_t)first;
        if (!visit(arg, head + at * kv->k_row, n * kv->k_row)) return false;
        if (kv->v_in_k) continue;
        if (!visit(arg, head + kv->v_offset + at * kv->v_row, n * kv->v_row)) return false;
    }
    return true;
}

static bool visit_layer(const State *s, int32_t l, int32_t sequence, StateVisitFn visit, void *arg)
{
    const LayerSpec *spec = &s->spec.layers[l];
    int32_t length = s->lengths[sequence];
    if (keeps_recurrent(spec) && length > 0) {
        const RecurrentLayer *r = &s->recurrent[l];
        int32_t block = r->blocks[(size_t)sequence * (size_t)r->table_stride];
        if (!visit(arg, r->base + (size_t)block * r->stride,
                   (r->conv + r->recurrent) * sizeof(float)))
            return false;
    }
    if (!keeps_kv(spec)) return true;
    const KvLayer *kv = &s->layers[l];
    const int32_t *table = kv->tables + (size_t)sequence * (size_t)kv->table_stride;
    Group g = {.kind = spec->kind, .span = spec->span};
    /* whole blocks from the start: all that a holder has from its first block on can be seen again
     * when it is cut */
    int32_t begin = group_first_needed(&g, length) / KV_BLOCK * KV_BLOCK;
    for (int32_t at = begin, end; at < length; at = end) {
        end = (at / KV_BLOCK + 1) * KV_BLOCK < length ? (at / KV_BLOCK + 1) * KV_BLOCK : length;
        int32_t first = at % KV_BLOCK;
        if (!visit_block(kv, table[at / KV_BLOCK], first, first + end - at, visit, arg))
            return false;
    }
    return true;
}

bool state_visit(State *s, int32_t sequence, StateVisitFn visit, void *arg)
{
    for (int32_t l = 0; l < s->spec.n_layers; l++)
        if (!visit_layer(s, l, sequence, visit, arg)) return false;
    return true;
}

bool state_make(State *s, int32_t sequence, int32_t length)
{
    if (length < 0 || length > s->spec.n_ctx) return false;
    state_truncate(s, sequence, 0);
    for (int i = 0; i < s->n_groups; i++)
        if (!group_has_room(&s->groups[i], sequence, 0, length)) return false;
    for (int i = 0; i < s->n_groups; i++) group_make(&s->groups[i], sequence, length);
    s->lengths[sequence] = length;
    return true;
}
