/* Numbers of planned tensors: the F8 formats and their scales, MXFP4 blocks laid anew, rows and
 * columns through an index, matrices turned, values that do not fit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "convert/plan.h"
#include "convert/values.h"
#include "tensor/dtype.h"

static bt_error err;
static float work[4096];

static ConvOut matrix(const StTensor **t, uint64_t rows, uint64_t cols)
{
    return (ConvOut){.name = "t",
                     .type = DT_F32,
                     .n_dims = 2,
                     .cols = cols,
                     .rows = rows,
                     .mats = 1,
                     .src_cols = cols,
                     .src_rows = rows,
                     .pieces = t,
                     .n_pieces = 1};
}

/* Values from the tables of the OCP's "FP8 Formats for Deep Learning". */
static void f8_has_the_published_values(void **state)
{
    static const uint8_t codes[] = {0x00, 0x80, 0x01, 0x07, 0x08, 0x38, 0xB8, 0x7E, 0xFE};
    static const float e4m3[] = {0, -0.0f, 0x1p-9f, 0x7p-9f, 0x1p-6f, 1, -1, 448, -448};
    static const uint8_t codes5[] = {0x00, 0x01, 0x03, 0x04, 0x3C, 0xBC, 0x7B, 0xFB};
    static const float e5m2[] = {0, 0x1p-16f, 0x3p-16f, 0x1p-14f, 1, -1, 57344, -57344};
    float got[9];
    StTensor t = {.type = ST_F8_E4M3, .n_dims = 1, .shape = {9}, .data = codes, .bytes = 9};
    value_load(&t, 0, 1, 9, got);
    assert_memory_equal(got, e4m3, sizeof e4m3);
    t = (StTensor){.type = ST_F8_E5M2, .n_dims = 1, .shape = {8}, .data = codes5, .bytes = 8};
    value_load(&t, 0, 1, 8, got);
    assert_memory_equal(got, e5m2, sizeof e5m2);
    static const uint8_t nan[] = {0x7F};
    t = (StTensor){.type = ST_F8_E4M3, .n_dims = 1, .shape = {1}, .data = nan, .bytes = 1};
    value_load(&t, 0, 1, 1, got);
    assert_true(isnan(got[0]));
}

/* 130 x 130 of ones under 2 x 2 scales; rows as they lie, and turned. */
static void scales_of_blocks_reach_their_blocks(void **state)
{
    enum { N = 130 };
    static uint8_t ones[N * N];
    static const float scales[] = {2, 3, 5, 7};
    static float got[N * N];
    memset(ones, 0x38, sizeof ones);
    StTensor t = {.type = ST_F8_E4M3, .n_dims = 2, .shape = {N, N}, .data = ones};
    StTensor s = {.type = ST_F32, .n_dims = 2, .shape = {2, 2}, .data = scales};
    const StTensor *pieces = &t, *beside = &s;
    ConvOut o = matrix(&pieces, N, N);
    o.scales = &beside;
    for (int turned = 0; turned < 2; turned++) {
        o.transposed = turned;
        assert_int_equal(out_rows(&o, 0, N, got, work, &err), BT_OK);
        for (int r = 0; r < N; r++)
            for (int c = 0; c < N; c++) {
                int row = turned ? c : r, column = turned ? r : c;
                assert_true(got[r * N + c] == scales[row / 128 * 2 + column / 128]);
            }
    }
}

static void blocks_of_mxfp4_keep_their_values(void **state)
{
    uint8_t codes[32], scales[] = {127, 130}, got[2 * 17];
    for (int i = 0; i < 32; i++) codes[i] = (uint8_t)(i * 7);
    StTensor t = {.type = ST_U8, .n_dims = 4, .shape = {1, 2, 1, 16}, .data = codes};
    StTensor s = {.type = ST_U8, .n_dims = 3, .shape = {1, 2, 1}, .data = scales};
    const StTensor *pieces = &t, *beside = &s;
    static const uint32_t swapped[] = {1, 0};
    ConvOut o = matrix(&pieces, 2, 32);
    o.type = DT_MXFP4;
    o.mxfp4 = true;
    o.scales = &beside;
    o.row_of = swapped;
    assert_int_equal(out_bytes(&o), sizeof got);
    assert_int_equal(out_rows(&o, 0, 2, got, work, &err), BT_OK);
    for (int r = 0; r < 2; r++) {
        const uint8_t *block = got + 17 * r, *from = codes + 16 * (1 - r);
        assert_int_equal(block[0], scales[1 - r]);
        for (int i = 0; i < 32; i++) {
            int want = from[i / 2] >> (i % 2 * 4) & 15;
            int is = i < 16 ? block[1 + i] & 15 : block[1 + i - 16] >> 4;
            assert_int_equal(is, want);
        }
    }
}

static void rows_and_columns_follow_their_index(void **state)
{
    static const float src[] = {0, 1, 2, 10, 11, 12, 20, 21, 22, 30, 31, 32};
    static const uint32_t rows[] = {3, 1}, columns[] = {2, 0};
    static const float plain[] = {30, 31, 32, 10, 11, 12}, both[] = {32, 30, 12, 10};
    static const float turned[] = {1, 11, 21, 31};
    float got[12];
    StTensor t = {.type = ST_F32, .n_dims = 2, .shape = {4, 3}, .data = src};
    const StTensor *pieces = &t;
    ConvOut o = matrix(&pieces, 4, 3);
    assert_ptr_equal(out_plain(&o), src);
    o.rows = 2;
    o.row0 = 2;
    assert_ptr_equal(out_plain(&o), src + 6);
    o.row_of = rows;
    assert_null(out_plain(&o));
    assert_int_equal(out_rows(&o, 0, 2, got, work, &err), BT_OK);
    assert_memory_equal(got, plain, sizeof plain);
    o.col_of = columns;
    o.cols = 2;
    assert_int_equal(out_rows(&o, 0, 2, got, work, &err), BT_OK);
    assert_memory_equal(got, both, sizeof both);
    o = matrix(&pieces, 3, 4);
    o.src_rows = 4, o.src_cols = 3, o.transposed = true;
    assert_int_equal(out_rows(&o, 1, 1, got, work, &err), BT_OK);
    assert_memory_equal(got, turned, sizeof turned);
}

static void what_does_not_fit_is_refused(void **state)
{
    static const float big[] = {70000, 1}, nan[] = {1, NAN};
    uint16_t got[2];
    StTensor t = {.type = ST_F32, .n_dims = 2, .shape = {1, 2}, .data = big};
    const StTensor *pieces = &t;
    ConvOut o = matrix(&pieces, 1, 2);
    o.type = DT_F16;
    assert_int_equal(out_rows(&o, 0, 1, got, work, &err), BT_E_ARGUMENT);
    assert_non_null(strstr(err.text, "bf16"));
    o.type = DT_BF16;
    assert_int_equal(out_rows(&o, 0, 1, got, work, &err), BT_OK);
    t.data = nan;
    assert_int_equal(out_rows(&o, 0, 1, got, work, &err), BT_E_FORMAT);
    float same[2];
    o.type = DT_F32;
    assert_int_equal(out_rows(&o, 0, 1, same, work, &err), BT_E_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f8_has_the_published_values),
        cmocka_unit_test(scales_of_blocks_reach_their_blocks),
        cmocka_unit_test(blocks_of_mxfp4_keep_their_values),
        cmocka_unit_test(rows_and_columns_follow_their_index),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
