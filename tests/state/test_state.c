/* Layer state by its contract: blocks are given, shared, copied when written and given back; what
 * is written through one sequence is never seen by another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "state/state.h"
#include "tensor/dtype.h"

#define CTX       300
#define SEQUENCES 4

static const LayerSpec layers[] = {{STATE_KV_FULL, 2, 32, 64}, {STATE_KV_FULL, 1, 64, 32}};

static StateSpec spec_of(uint32_t type)
{
    return (StateSpec){layers, 2, type, type, CTX, SEQUENCES, CTX, 0};
}

static unsigned char *cell(const State *s, int layer, int sequence, int position)
{
    KvLayer kv = state_layer(s, layer);
    int32_t block = kv.tables[sequence * kv.table_stride + position / KV_BLOCK];
    return kv.base + (size_t)block * kv.block_bytes + (size_t)(position % KV_BLOCK) * kv.k_row;
}

static void append(State *s, int sequence, int n, unsigned char mark)
{
    int at = state_length(s, sequence);
    assert_true(state_reserve(s, sequence, n));
    for (int i = 0; i < n; i++)
        for (int l = 0; l < 2; l++) *cell(s, l, sequence, at + i) = (unsigned char)(mark + i);
    state_commit(s, sequence, n);
}

static void sizes_are_what_is_written(void **state)
{
    (void)state;
    StateSpec f32 = spec_of(DT_F32), q8 = spec_of(DT_Q8_0);
    assert_int_equal(state_read_bytes(&f32, 1), 2 * (32 + 64) * 4 + (64 + 32) * 4);
    assert_int_equal(state_read_bytes(&q8, 1), (2 * (32 + 64) + 64 + 32) / 32 * 34);
    assert_int_equal(state_bytes(&f32), 5 * 64 * SEQUENCES * state_read_bytes(&f32, 1));
    f32.n_ctx = INT32_MAX;
    f32.n_sequences = INT32_MAX;
    State *s;
    bt_error err;
    assert_int_equal(state_open(&f32, &s, &err), BT_E_LIMIT);
    LayerSpec odd = {STATE_KV_FULL, 1, 40, 40};
    StateSpec bad = {&odd, 1, DT_Q8_0, DT_Q8_0, 64, 1, 64, 0};
    assert_int_equal(state_open(&bad, &s, &err), BT_E_ARGUMENT);
    assert_non_null(strstr(err.text, "multiple of 32"));
}

static void shared_beginnings_part_when_written(void **state)
{
    (void)state;
    State *s;
    StateSpec spec = spec_of(DT_BF16);
    assert_int_equal(state_open(&spec, &s, NULL), BT_OK);
    append(s, 0, 100, 1);
    state_share(s, 0, 1, 100);
    state_share(s, 0, 2, 70);
    assert_int_equal(state_length(s, 1), 100);
    assert_ptr_equal(cell(s, 0, 1, 10), cell(s, 0, 0, 10));
    append(s, 1, 5, 200); /* into the block that 0 and 2 hold too */
    assert_ptr_equal(cell(s, 0, 1, 10), cell(s, 0, 0, 10));
    assert_ptr_not_equal(cell(s, 0, 1, 90), cell(s, 0, 0, 90));
    append(s, 2, 40, 150);
    append(s, 0, 5, 50);
    for (int l = 0; l < 2; l++) {
        for (int i = 0; i < 70; i++) {
            assert_int_equal(*cell(s, l, 0, i), (unsigned char)(1 + i));
            assert_int_equal(*cell(s, l, 1, i), (unsigned char)(1 + i));
            assert_int_equal(*cell(s, l, 2, i), (unsigned char)(1 + i));
        }
        assert_int_equal(*cell(s, l, 0, 102), 52);
        assert_int_equal(*cell(s, l, 1, 102), 202);
        assert_int_equal(*cell(s, l, 2, 102), (unsigned char)(150 + 32));
    }
    state_truncate(s, 0, 0);
    assert_int_equal(*cell(s, 0, 1, 3), 4); /* others keep what they share */
    state_close(&s);
    assert_int_equal(mem_live(), 0);
}

/* Random work against plain arrays; the pool is exactly as large as the sequences may need. */
static void random_work_never_mixes(void **state)
{
    (void)state;
    static unsigned char want[SEQUENCES][CTX];
    int length[SEQUENCES] = {0};
    uint32_t seed = 1;
    State *s;
    StateSpec spec = spec_of(DT_F16);
    assert_int_equal(state_open(&spec, &s, NULL), BT_OK);
    for (int round = 0; round < 4000; round++) {
        seed = seed * 1664525u + 1013904223u;
        int q = (int)(seed >> 30), n = (int)(seed >> 8) % 90, what = (int)(seed >> 4) % 4;
        if (what < 2) {
            bool fits = length[q] + n <= CTX;
            assert_int_equal(state_reserve(s, q, n), fits);
            if (!fits) continue;
            append(s, q, n, (unsigned char)round);
            for (int i = 0; i < n; i++) want[q][length[q] + i] = (unsigned char)(round + i);
            length[q] += n;
        } else if (what == 2) {
            int to = length[q] ? n % (length[q] + 1) : 0;
            state_truncate(s, q, to);
            length[q] = to;
        } else {
            int to = (q + 1 + n % 3) % SEQUENCES, some = length[q] ? n % (length[q] + 1) : 0;
            state_share(s, q, to, some);
            memcpy(want[to], want[q], (size_t)some);
            length[to] = some;
        }
        for (int i = 0; i < SEQUENCES; i++) {
            assert_int_equal(state_length(s, i), length[i]);
            for (int j = 0; j < length[i]; j += 7)
                assert_int_equal(*cell(s, round % 2, i, j), want[i][j]);
        }
    }
    state_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_what_is_written),
        cmocka_unit_test(shared_beginnings_part_when_written),
        cmocka_unit_test(random_work_never_mixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
