/* Layer state that forgets, by its contract: whatever is reserved, shared, cut, abandoned and
 * brought back from checkpoints, a sequence sees in its windows, chunks and recurrent state what
 * its own tokens put there. The model is a list of tokens a sequence; every round is checked
 * against it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "state/state.h"
#include "support/torture.h"
#include "tensor/dtype.h"

enum { CTX = 900, SEQUENCES = 3, BATCH = 90, LAYERS = 6, WINDOW = 100, SHORT = 5, CHUNK = 130 };

static LayerSpec layers[LAYERS] = {
    {.kind = STATE_KV_FULL, .kv_heads = 1, .e_k = 8, .e_v = 8},
    {.kind = STATE_KV_WINDOW, .kv_heads = 2, .e_k = 8, .e_v = 8, .span = WINDOW},
    {.kind = STATE_KV_WINDOW, .kv_heads = 1, .e_k = 8, .e_v = 8, .span = SHORT, .conv = 3},
    {.kind = STATE_KV_CHUNK, .kv_heads = 1, .e_k = 8, .e_v = 8, .span = CHUNK},
    {.kind = STATE_KV_FULL, .conv = 2, .recurrent = 5},
    {.kind = STATE_KV_SHARED, .kv_heads = 2, .e_k = 8, .e_v = 8, .from = 1},
};

static const StateSpec spec = {.layers = layers,
                               .n_layers = LAYERS,
                               .k_type = DT_F32,
                               .v_type = DT_F32,
                               .n_ctx = CTX,
                               .n_sequences = SEQUENCES,
                               .n_batch = BATCH,
                               .n_checkpoints = 5};

typedef struct Model {
    float token[CTX];
    int length;
} Model;

static float *key(const State *s, int layer, int sequence, int position)
{
    KvLayer kv = state_layer(s, layer);
    int32_t block = kv.tables[sequence * kv.table_stride + position / KV_BLOCK];
    return (float *)(void *)(kv.base + (size_t)block * kv.block_bytes +
                             (size_t)(position % KV_BLOCK) * kv.k_row);
}

static float *recurrent(const State *s, int layer, int sequence)
{
    RecurrentLayer r = state_recurrent(s, layer);
    return r.base + (size_t)r.blocks[sequence * r.table_stride] * r.stride;
}

/* The first token that the row at `position` sees in this layer. */
static int first_seen(int layer, int position)
{
    const LayerSpec *l = &layers[layer];
    if (l->kind == STATE_KV_CHUNK) return position / l->span * l->span;
    if (l->kind == STATE_KV_WINDOW) return position >= l->span ? position - l->span + 1 : 0;
    return 0;
}

/* What a step does: each token's keys, and a recurrence that depends on all of them in order. */
static void write_step(State *s, int q, const float *tokens, int at, int n)
{
    for (int i = 0; i < n; i++) {
        for (int l = 0; l < 4; l++) *key(s, l, q, at + i) = tokens[i] + (float)l;
        if (!layers[4].conv) continue;
        recurrent(s, 2, q)[0] = tokens[i];
        float *r = recurrent(s, 4, q);
        r[6] = r[6] * 0.5f + tokens[i];
    }
}

static void check(const State *s, int q, const Model *m)
{
    assert_int_equal(state_length(s, q), m->length);
    if (!m->length) return;
    for (int l = 0; l < 4; l++)
        for (int p = first_seen(l, m->length); p < m->length; p++)
            assert_float_equal(*key(s, l, q, p), m->token[p] + (float)l, 0);
    assert_ptr_equal(key(s, 5, q, m->length - 1), key(s, 1, q, m->length - 1));
    if (!layers[4].conv) return;
    float r = 0;
    for (int p = 0; p < m->length; p++) r = r * 0.5f + m->token[p];
    assert_float_equal(recurrent(s, 4, q)[6], r, 0);
    assert_float_equal(recurrent(s, 2, q)[0], m->token[m->length - 1], 0);
    assert_float_equal(recurrent(s, 4, q)[0], 0, 0); /* begins as zero, stays */
}

static uint32_t random_state;

static int below(int n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (int)((random_state >> 8) % (uint32_t)n);
}

static void feed(State *s, int q, Model *m, int n)
{
    float tokens[BATCH];
    for (int i = 0; i < n; i++) tokens[i] = (float)below(1000);
    assert_true(state_reserve(s, q, n));
    write_step(s, q, tokens, m->length, n);
    state_commit(s, q, n);
    memcpy(m->token + m->length, tokens, (size_t)n * sizeof *tokens);
    m->length += n;
}

/* A step that was written and then given up. */
static void fail_step(State *s, int q, Model *m, int n)
{
    float tokens[BATCH] = {0};
    assert_true(state_reserve(s, q, n));
    write_step(s, q, tokens, m->length, n);
    int held = state_abandon(s, q);
    assert_true(held <= m->length);
    m->length = held;
}

typedef struct Bytes {
    unsigned char *data;
    size_t size, at;
} Bytes;

static bool count(void *arg, void *bytes, size_t n)
{
    (void)bytes;
    ((Bytes *)arg)->size += n;
    return true;
}

static bool put(void *arg, void *bytes, size_t n)
{
    Bytes *b = arg;
    memcpy(b->data + b->at, bytes, n);
    b->at += n;
    return true;
}

static bool get(void *arg, void *bytes, size_t n)
{
    Bytes *b = arg;
    memcpy(bytes, b->data + b->at, n);
    b->at += n;
    return true;
}

static void copy_by_bytes(State *s, int from, int to, Model *models)
{
    Bytes b = {0};
    assert_true(state_visit(s, from, count, &b));
    b.data = malloc(b.size + 1);
    assert_true(state_visit(s, from, put, &b));
    assert_true(state_make(s, to, models[from].length));
    b.at = 0;
    assert_true(state_visit(s, to, get, &b));
    assert_int_equal(b.at, b.size);
    free(b.data);
    models[to] = models[from];
}

/* How often a cut was exact, and how often a checkpoint before it had to do. */
static void work(int *exact, int *back)
{
    static Model models[SEQUENCES];
    State *s;
    int64_t live = mem_live();
    memset(models, 0, sizeof models);
    random_state = 1;
    *exact = *back = 0;
    assert_int_equal(state_open(&spec, &s, NULL), BT_OK);
    for (int round = 0; round < 6000; round++) {
        int q = below(SEQUENCES), what = below(16), n = 1 + below(BATCH), to = below(SEQUENCES);
        Model *m = &models[q];
        if (what < 8) {
            if (what < 4) n = 1;
            assert_int_equal(state_reserve(s, q, n), m->length + n <= CTX);
            if (m->length + n <= CTX) feed(s, q, m, n);
            if (what == 7) state_checkpoint(s, q);
        } else if (what < 11) {
            int length = m->length ? m->length - below(m->length > 40 ? 40 : m->length) : 0;
            if (what == 10) length = below(m->length + 1);
            int held = state_truncate(s, q, length);
            assert_true(held <= length);
            *exact += held == length && length < m->length;
            *back += held < length && held > 0;
            m->length = held;
        } else if (what < 13 && q != to) {
            int length = what == 11 ? m->length : below(m->length + 1);
            int held = state_share(s, q, to, length);
            assert_true(held <= length && (what != 11 || held == length));
            models[to] = *m;
            models[to].length = held;
        } else if (what == 13 && m->length + n <= CTX) {
            fail_step(s, q, m, n);
        } else if (what == 14 && q != to && below(4) == 0) {
            copy_by_bytes(s, q, to, models);
        }
        for (int i = 0; i < SEQUENCES; i++) check(s, i, &models[i]);
    }
    state_close(&s);
    assert_int_equal(mem_live(), live);
}

static void random_work_is_seen_by_its_own_sequence(void **state)
{
    (void)state;
    int exact, back;
    work(&exact, &back);
    assert_true(back > 50);
    int32_t conv[LAYERS];
    for (int l = 0; l < LAYERS; l++) {
        conv[l] = layers[l].conv;
        layers[l].conv = 0;
    }
    layers[4].recurrent = 0; /* windows alone can go back a little by themselves */
    work(&exact, &back);
    assert_true(exact > 100 && back > 10);
    for (int l = 0; l < LAYERS; l++) layers[l].conv = conv[l];
    layers[4].recurrent = 5;
}

/* 5 of 6 layers with a window of 1,024: their memory stays while the context grows. */
static void windows_stop_growing(void **state)
{
    (void)state;
    LayerSpec gemma[6];
    for (int l = 0; l < 6; l++)
        gemma[l] = (LayerSpec){.kind = l < 5 ? STATE_KV_WINDOW : STATE_KV_FULL,
                               .kv_heads = 4,
                               .e_k = 256,
                               .e_v = 256,
                               .span = l < 5 ? 1024 : 0};
    StateSpec small = {gemma, 6, DT_BF16, DT_BF16, 8192, 1, 512, 0}, large = small;
    large.n_ctx = 131072;
    uint64_t token = 4 * 512 * 2;
    assert_int_equal(state_bytes(&large) - state_bytes(&small), (131072 - 8192) * token);
    assert_true(state_bytes(&large) < 131072 * token + 5 * (1024 + 512 + 4 * KV_BLOCK) * token);
    assert_int_equal(state_read_bytes(&large, 100000), 100000 * token + 5 * 1024 * token);
}

/* DeepSeek's compressed state: one row of 576 numbers a token and layer. */
static void compressed_rows_hold_their_values(void **state)
{
    (void)state;
    LayerSpec mla = {.kind = STATE_KV_FULL, .kv_heads = 1, .e_k = 576, .e_v = 512, .v_in_k = true};
    StateSpec one = {&mla, 1, DT_BF16, DT_BF16, 640, 1, 64, 0};
    assert_int_equal(state_bytes(&one), 640 * 576 * 2);
    State *s;
    assert_int_equal(state_open(&one, &s, NULL), BT_OK);
    KvLayer kv = state_layer(s, 0);
    assert_int_equal(kv.v_offset, 0);
    assert_int_equal(kv.v_row, kv.k_row);
    state_close(&s);
}

static void wrong_specs_are_refused(void **state)
{
    (void)state;
    State *s;
    bt_error err;
    LayerSpec bad[2] = {layers[0], {.kind = STATE_KV_SHARED, .from = 1}};
    StateSpec two = {bad, 2, DT_F32, DT_F32, 64, 1, 64, 0};
    assert_int_equal(state_open(&two, &s, &err), BT_E_ARGUMENT);
    bad[1].from = -1;
    assert_int_equal(state_open(&two, &s, &err), BT_E_ARGUMENT);
    bad[1] = (LayerSpec){.kind = STATE_KV_WINDOW, .kv_heads = 1, .e_k = 8, .e_v = 8};
    assert_int_equal(state_open(&two, &s, &err), BT_E_ARGUMENT);
    bad[1] = (LayerSpec){.kv_heads = 1, .e_k = 8, .e_v = 9, .v_in_k = true};
    assert_int_equal(state_open(&two, &s, &err), BT_E_ARGUMENT);
    LayerSpec many[20];
    for (int l = 0; l < 20; l++) {
        many[l] = layers[1];
        many[l].span = l + 1;
    }
    StateSpec lengths = {many, 20, DT_F32, DT_F32, 64, 1, 64, 0};
    assert_int_equal(state_open(&lengths, &s, &err), BT_E_LIMIT);
}

static bt_status life(void *user, bt_error *err)
{
    State *s = NULL;
    (void)user;
    bt_status status = state_open(&spec, &s, err);
    state_close(&s);
    return status;
}

static void lacking_memory_leaks_nothing(void **state)
{
    (void)state;
    torture("a state", life, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_work_is_seen_by_its_own_sequence),
        cmocka_unit_test(windows_stop_growing),
        cmocka_unit_test(compressed_rows_hold_their_values),
        cmocka_unit_test(wrong_specs_are_refused),
        cmocka_unit_test(lacking_memory_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
