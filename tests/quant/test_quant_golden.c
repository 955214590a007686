/* Writers of block types against another engine's output for the same numbers: the squared error,
 * plain and weighted by magnitude, may be 1 % above at most. Skipped where the golden folder is
 * missing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"
#include "quant/quant.h"
#include "support/golden_blocks.h"
#include "tensor/dtype.h"

enum { N = GOLDEN_N, ROW = GOLDEN_ROW };

typedef struct Errors {
    double plain, weighted, sum;
} Errors;

static Errors errors_of(const float *x, const float *y)
{
    Errors e = {0, 0, 0};
    for (size_t i = 0; i < N; i++) {
        double square = 0, d = (double)x[i] - y[i];
        for (size_t k = i / ROW * ROW; k < i / ROW * ROW + ROW; k++)
            square += (double)x[k] * x[k] / ROW;
        e.plain += d * d;
        e.weighted += d * d * sqrt(square + (double)x[i] * x[i]);
        e.sum += (double)x[i] * x[i];
    }
    return e;
}

static void no_worse_than_golden(void **state)
{
    size_t size = 0, bytes = 0;
    float *x = golden_block("source", "f32", &size), *y = malloc(N * sizeof *y);
    uint8_t *row = malloc(4 * ROW);
    assert_true(x && y && row && size == N * sizeof *x);
    print_message("# type     bits   error/power    golden  ratio  weighted\n");
    for (int c = 0; c < GOLDEN_BLOCKS; c++) {
        uint32_t type = golden_blocks[c].type;
        assert_true(quant_supported(type));
        float *theirs = golden_block(golden_blocks[c].file, "f32", &bytes);
        assert_non_null(theirs);
        for (size_t r = 0; r < N; r += ROW) {
            assert_true(quant_row(type, x + r, ROW, NULL, row));
            assert_true(dequant_row(type, row, y + r, ROW));
        }
        Errors ours = errors_of(x, y), golden = errors_of(x, theirs);
        double ratio = ours.plain / golden.plain, weighted = ours.weighted / golden.weighted;
        double bits = (double)dtype_row_bytes(type, ROW) * 8 / ROW;
        print_message("# %-8s %6.4f  %11.4e %11.4e %6.3f %6.3f\n", dtype_name(type), bits,
                      ours.plain / ours.sum, golden.plain / golden.sum, ratio, weighted);
        if (!(ratio <= 1.01 && weighted <= 1.01)) fail_msg("%s is worse", golden_blocks[c].file);
        free(theirs);
    }
    free(x);
    free(y);
    free(row);
}

int main(void)
{
    if (!golden_blocks_there()) return 0;
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_worse_than_golden)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
