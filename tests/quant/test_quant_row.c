/* Writers of block types on made-up rows: whatever finite numbers come, what is read back is finite
 * and close; blocks that were read are written back to the same numbers; importance moves the error
 * to where it matters least; the same input gives the same bytes. */
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
#include "tensor/dtype.h"
#include "tensor/half.h"

enum { N = 1024 };

/* What each type must keep of rows of Gaussian numbers: squared error over sum of squares. A little
 * above the best a scalar quantiser of as many levels can do (Max, 1960: 2 levels 0.363, 3 levels
 * 0.190, 4 0.117, 8 0.0345, 16 0.0115, 32 0.00350) where a block's own range makes up for it. */
static const struct {
    uint32_t type;
    double bound;
} kept[] = {
    {DT_F16, 1e-7},   {DT_BF16, 5e-6},   {DT_Q8_0, 6e-5},   {DT_Q4_0, 0.0115},
    {DT_Q4_1, 0.009}, {DT_Q5_0, 0.0030}, {DT_Q5_1, 0.0024},
};
enum { N_KEPT = sizeof kept / sizeof kept[0] };

static uint64_t seed;

static double uniform(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return ((double)(seed >> 33) + 0.5) / 2147483648.0;
}

static double gaussian(void)
{
    return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

static double error_of(const float *x, const float *y, const float *w, size_t n)
{
    double e = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] - y[i];
        e += d * d * (w ? w[i] : 1);
    }
    return e;
}

static void write_and_read(uint32_t type, const float *x, const float *w, float *y)
{
    uint8_t row[4 * N];
    if (!quant_row(type, x, N, w, row)) fail_msg("%s: refused", dtype_name(type));
    assert_true(panel_finite(type, row, sizeof row, 1, N));
    assert_true(dequant_row(type, row, y, N));
    for (size_t i = 0; i < N; i++)
        if (!isfinite(y[i])) fail_msg("%s: %g became %g", dtype_name(type), x[i], y[i]);
}

static void keeps_gaussian_rows(void **state)
{
    float x[N], y[N];
    seed = 1;
    for (int k = 0; k < N_KEPT; k++) {
        double scale = ldexp(1, k % 5 * 4 - 8), error = 0, sum = 0;
        for (int round = 0; round < 2; round++) {
            for (size_t i = 0; i < N; i++) x[i] = (float)(gaussian() * scale);
            write_and_read(kept[k].type, x, NULL, y);
            error += error_of(x, y, NULL, N);
            for (size_t i = 0; i < N; i++) sum += (double)x[i] * x[i];
        }
        if (!(error <= kept[k].bound * sum))
            fail_msg("%s: %g above %g", dtype_name(kept[k].type), error / sum, kept[k].bound);
    }
}

/* Rows that no model should have, but files may. */
static void make_strange(int kind, float *x)
{
    for (size_t i = 0; i < N; i++) {
        double g = gaussian();
        switch (kind) {
        case 0: x[i] = 0; break;
        case 1: x[i] = 0.37f; break; /* constant */
        case 2: x[i] = -1e-3f; break;
        case 3: x[i] = (float)(g * 1e30); break; /* beyond float16 */
        case 4: x[i] = i % 2 ? 3.4e38f : -3.4e38f; break;
        case 5: x[i] = (float)(g * 1e-42); break;                    /* denormal */
        case 6: x[i] = i % 64 ? (float)g : (float)(1000 * g); break; /* outliers */
        case 7: x[i] = (float)(g * g * g * g * g); break;            /* heavy tails */
        case 8: x[i] = i == 77 ? 1 : 0; break;
        case 9: x[i] = (float)(5 + 0.01 * g); break;                    /* far from zero */
        case 10: x[i] = (float)ldexp(g, (int)(i / 32) * 4 - 64); break; /* each 32 its own size */
        case 11: x[i] = i % 32 ? (float)(g * 1e-30) : (float)g; break;
        case 12: x[i] = (float)(g * 1e-7); break; /* scales are denormal halves */
        default: x[i] = (float)floor(3 * g); break;
        }
    }
}
enum { KINDS = 14 };

/* Never worse than writing zeros, give or take the rounding of the scale. */
static void survives_strange_rows(void **state)
{
    float x[N], y[N], w[N];
    seed = 2;
    for (int kind = 0; kind < KINDS; kind++) {
        make_strange(kind, x);
        for (size_t i = 0; i < N; i++) w[i] = kind % 2 ? 0 : (float)(uniform() < 0.5 ? 0 : 1e30);
        double sum = error_of(x, (float[N]){0}, NULL, N);
        for (uint32_t type = 0; type < DTYPE_LIMIT; type++) {
            if (!quant_supported(type) || !dequant_supported(type)) continue;
            write_and_read(type, x, NULL, y);
            double error = error_of(x, y, NULL, N);
            if (!(error <= 1.001 * sum))
                fail_msg("%s, kind %d: %g of %g", dtype_name(type), kind, error, sum);
            write_and_read(type, x, w, y);
        }
    }
}

static void refuses_what_is_no_number(void **state)
{
    float x[256] = {0}, w[256] = {0};
    uint8_t row[1024], before[1024];
    memset(row, 0x5a, sizeof row);
    memcpy(before, row, sizeof row);
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (uint32_t type = 0; type < DTYPE_LIMIT; type++) {
        if (!quant_supported(type)) {
            assert_false(quant_row(type, x, 256, NULL, row));
            continue;
        }
        for (int i = 0; i < 3; i++) {
            x[200] = bad[i];
            assert_false(quant_row(type, x, 256, NULL, row));
            x[200] = 0;
            w[200] = bad[i];
            assert_false(quant_row(type, x, 256, w, row));
            w[200] = -1;
            assert_false(quant_row(type, x, 256, w, row));
            w[200] = 0;
        }
        if (dtype_info(type)->block > 1) assert_false(quant_row(type, x, 255, NULL, row));
    }
    assert_memory_equal(row, before, sizeof row);
    assert_false(quant_supported(4000000000u));
    assert_false(quant_row(DT_Q8_K, x, 256, NULL, row));
}

static void same_input_same_bytes(void **state)
{
    float x[N];
    uint8_t first[4 * N + 1], second[4 * N + 1];
    seed = 3;
    for (size_t i = 0; i < N; i++) x[i] = (float)gaussian();
    for (uint32_t type = 0; type < DTYPE_LIMIT; type++) {
        if (!quant_supported(type)) continue;
        size_t bytes = (size_t)dtype_row_bytes(type, N), half = bytes / 2;
        memset(first, 1, sizeof first);
        memset(second, 2, sizeof second);
        assert_true(quant_row(type, x, N, NULL, first));
        assert_true(quant_row(type, x + N / 2, N / 2, NULL, second + half));
        assert_true(quant_row(type, x, N / 2, NULL, second));
        assert_memory_equal(first, second, bytes);
        assert_int_equal(first[bytes], 1);
    }
}

/* Columns that matter a hundred times as much: their weighted error must not be above that of the
 * search that did not know. */
static void importance_pays(void **state)
{
    float x[N], w[N], y[N];
    seed = 4;
    for (uint32_t type = 0; type < DTYPE_LIMIT; type++) {
        if (!quant_supported(type) || !dequant_supported(type)) continue;
        double blind = 0, told = 0;
        for (int round = 0; round < 4; round++) {
            for (size_t i = 0; i < N; i++) {
                x[i] = (float)gaussian();
                w[i] = (float)(exp(2 * gaussian()) * 1e-4);
            }
            write_and_read(type, x, NULL, y);
            blind += error_of(x, y, w, N);
            write_and_read(type, x, w, y);
            told += error_of(x, y, w, N);
        }
        print_message("# %-8s weighted error, told / blind: %.3f\n", dtype_name(type),
                      told / (blind > 0 ? blind : 1));
        if (!(told <= blind)) fail_msg("%s: %g above %g", dtype_name(type), told, blind);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_gaussian_rows),       cmocka_unit_test(survives_strange_rows),
        cmocka_unit_test(refuses_what_is_no_number), cmocka_unit_test(same_input_same_bytes),
        cmocka_unit_test(importance_pays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
