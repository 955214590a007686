/* Every block type gives the numbers that another engine gave, to the last bit.
 * Skipped as a whole (a TAP plan of none) where the golden folder is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"
#include "support/golden_blocks.h"
#include "tensor/dtype.h"

enum { N = GOLDEN_N, ROW = GOLDEN_ROW };

static void equals_golden(void **state)
{
    (void)state;
    for (int i = 0; i < GOLDEN_BLOCKS; i++) {
        uint32_t type = golden_blocks[i].type;
        const char *name = golden_blocks[i].file;
        size_t bin_size, size;
        uint8_t *bin = golden_block(name, "bin", &bin_size);
        float *want = golden_block(name, "f32", &size);
        assert_non_null(bin);
        assert_non_null(want);
        size_t row_bytes = dtype_row_bytes(type, ROW);
        assert_int_equal(bin_size, N / ROW * row_bytes);
        assert_int_equal(size, N * 4);
        float got[ROW];
        uint8_t odd[4 * ROW + 1]; /* rows of a file may start anywhere */
        for (size_t r = 0; r < N / ROW; r++) {
            memcpy(odd + 1, bin + r * row_bytes, row_bytes);
            assert_true(dequant_row(type, odd + 1, got, ROW));
            if (memcmp(got, want + r * ROW, sizeof got)) fail_msg("%s, row %zu", name, r);
        }
        free(bin);
        free(want);
    }
}

int main(void)
{
    if (!golden_blocks_there()) return 0;
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_golden)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
