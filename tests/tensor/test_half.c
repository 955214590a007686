/* 16-bit floats: every pattern survives the round trip; rounding is to nearest even. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <math.h>
#include <stdint.h>
#include <cmocka.h>

#include "tensor/dtype.h"
#include "tensor/half.h"

static void every_pattern_returns(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float x = f16_to_f32((uint16_t)h), y = bf16_to_f32((uint16_t)h);
        if (isnan(x)) assert_true(isnan(f16_to_f32(f32_to_f16(x))));
        else assert_int_equal(f32_to_f16(x), h);
        if (isnan(y)) assert_true(isnan(bf16_to_f32(f32_to_bf16(y))));
        else assert_int_equal(f32_to_bf16(y), h);
    }
}

static void rounds_to_even(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7bff; h++) { /* halfway between neighbours goes to the even one */
        float mid = (f16_to_f32((uint16_t)h) + f16_to_f32((uint16_t)(h + 1))) / 2;
        assert_int_equal(f32_to_f16(mid), h & 1 ? h + 1 : h);
        assert_int_equal(f32_to_f16(nextafterf(mid, INFINITY)), h + 1);
        assert_int_equal(f32_to_f16(nextafterf(mid, 0)), h);
    }
    assert_int_equal(f32_to_f16(65519.9f), 0x7bff);
    assert_int_equal(f32_to_f16(65520.0f), 0x7c00);
}

static void table_holds(void **state)
{
    (void)state;
    assert_int_equal(dtype_row_bytes(DT_Q4_K, 512), 288);
    assert_false(dtype_known(4));
    assert_false(dtype_known(1000));
    assert_string_equal(dtype_name(DT_MXFP4), "MXFP4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pattern_returns),
        cmocka_unit_test(rounds_to_even),
        cmocka_unit_test(table_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
