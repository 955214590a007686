/* Readers of block types: refuse what they do not know, survive any bytes. (That they are right is
 * shown by test_dequant_golden.c and, through panels, test_panel.c.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kernels/kernels.h"
#include "tensor/dtype.h"

enum { ROW = 256 };

/* The same blocks with every byte changed at random: scales of any sign, infinite, not numbers. */
static void survives_any_bytes(void **state)
{
    (void)state;
    uint8_t bytes[4 * ROW];
    float got[ROW];
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(rand() >> 7);
        for (uint32_t type = 0; type < DTYPE_LIMIT; type++) dequant_row(type, bytes, got, ROW);
    }
}

static void refuses_what_it_cannot_read(void **state)
{
    (void)state;
    float got[1];
    assert_false(dequant_supported(DT_I32));
    assert_false(dequant_supported(4));
    assert_false(dequant_supported(4000000000u));
    assert_false(dequant_row(DT_Q8_1, "", got, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_any_bytes),
        cmocka_unit_test(refuses_what_it_cannot_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
