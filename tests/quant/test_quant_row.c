/* Writers of block types on made-up rows: whatever finite numbers come, what is read back is finite
 * and close; blocks that were read are written back to the same numbers; importance moves the error
 * to where it matters least; the same input gives the same bytes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"
#include "quant/quant.h"
#include "rows.h"
#include "support/make_blocks.h"
#include "tensor/dtype.h"

enum { N = 1024 };

/* What a type may lose of Gaussian rows: squared error over sum of squares. For types with n free
 * levels it is what the best n levels for all such numbers lose (Max 1960: 2 levels 0.3634, 3
 * 0.1902, 4 0.1175, 8 0.03454, 16 0.009497, 32 0.002499, 64 0.00066), which blocks with a scale of
 * their own must beat; 2 % are left to chance in types that are no more than such levels. For
 * codebooks and 4-bit floats it lies between that and what the same bits could do at best, 2^-2b.
 */
static const struct {
    uint32_t type;
    double bound;
} kept[] = {
    {DT_F16, 1e-7},     {DT_BF16, 4e-6},     {DT_Q8_0, 3e-5},     {DT_Q4_0, 0.0095},
    {DT_Q4_1, 0.0095},  {DT_Q5_0, 0.0025},   {DT_Q5_1, 0.0025},   {DT_Q2_K, 0.1175},
    {DT_Q3_K, 0.0345},  {DT_Q4_K, 0.0095},   {DT_Q5_K, 0.0025},   {DT_Q6_K, 0.00066},
    {DT_Q1_0, 0.371},   {DT_Q2_0, 0.14},     {DT_TQ1_0, 0.194},   {DT_TQ2_0, 0.194},
    {DT_IQ4_NL, 0.006}, {DT_IQ4_XS, 0.006},  {DT_MXFP4, 0.013},   {DT_NVFP4, 0.0085},
    {DT_IQ1_S, 0.235},  {DT_IQ1_M, 0.197},   {DT_IQ2_XXS, 0.12},  {DT_IQ2_XS, 0.094},
    {DT_IQ2_S, 0.065},  {DT_IQ3_XXS, 0.034}, {DT_IQ3_S, 0.0185},
};
enum { N_KEPT = sizeof kept / sizeof kept[0] };

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
    (void)state;
    float x[N], y[N];
    uint64_t seed = 1;
    for (int k = 0; k < N_KEPT; k++) {
        double error = 0, sum = 0;
        for (int round = 0; round < 4; round++) {
            row_fill(x, N, ldexp(1, 3 * round - 3), &seed);
            write_and_read(kept[k].type, x, NULL, y);
            error += row_error(x, y, NULL, N) * ldexp(1, -6 * round);
            sum += row_error(x, (float[N]){0}, NULL, N) * ldexp(1, -6 * round);
        }
        print_message("# %-8s %.3e lost of %.3e\n", dtype_name(kept[k].type), error / sum,
                      kept[k].bound);
        assert_true(error <= kept[k].bound * sum);
    }
    for (uint32_t type = 1; type < DTYPE_LIMIT; type++) { /* none is left out */
        int found = 0;
        for (int k = 0; k < N_KEPT; k++) found += kept[k].type == type;
        assert_int_equal(found, type != DT_F32 && quant_supported(type));
    }
}

/* Blocks of random bits hold numbers that the type can hold: they come back. `lines`: types with a
 * minimum can say the same numbers in many ways, not all of them in the bits they have; little may
 * be lost, as a share of the sum of squares. */
static void writes_back_what_it_read(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        double lost;
    } lines[] = {{DT_Q4_1, 2e-5}, {DT_Q5_1, 2e-4}, {DT_Q2_K, 3e-4}, {DT_Q4_K, 5e-5},
                 {DT_Q5_K, 1e-4}, {DT_Q6_K, 1e-5}, {DT_Q3_K, 1e-5}, {DT_NVFP4, 1e-6}};
    float x[N], y[N];
    uint8_t row[4 * N];
    uint64_t seed = 5;
    for (uint32_t type = 0; type < DTYPE_LIMIT; type++) {
        if (!quant_supported(type)) continue;
        double lost = 0, allowed = 1e-12, sum = 0;
        for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
            if (lines[i].type == type) allowed = lines[i].lost;
        for (int round = 0; round < 8; round++) {
            assert_true(make_blocks((DType)type, N, 0, 0.02f, &seed, row));
            assert_true(dequant_row(type, row, x, N));
            write_and_read(type, x, NULL, y);
            lost += row_error(x, y, NULL, N);
            sum += row_error(x, (float[N]){0}, NULL, N);
        }
        if (!(lost <= allowed * sum)) fail_msg("%s loses %g", dtype_name(type), lost / sum);
    }
}

/* Numbers that a writer wrote, written again: the same, but for types with a minimum, which may
 * lose a fiftieth of what they lost the first time. */
static void writes_twice_the_same(void **state)
{
    (void)state;
    float x[N], y[N], z[N];
    uint64_t seed = 6;
    for (uint32_t type = 0; type < DTYPE_LIMIT; type++) {
        if (!quant_supported(type)) continue;
        bool line = type == DT_Q2_K || type == DT_Q4_K || type == DT_Q5_K;
        row_fill(x, N, 0.1, &seed);
        write_and_read(type, x, NULL, y);
        write_and_read(type, y, NULL, z);
        double first = row_error(x, y, NULL, N), second = row_error(y, z, NULL, N);
        if (!(second <= first * (line ? 0.02 : 1e-9)))
            fail_msg("%s: %g after %g", dtype_name(type), second, first);
    }
}

/* Rows that no model should have, but files may. */
static void make_strange(int kind, float *x, uint64_t *seed)
{
    for (size_t i = 0; i < N; i++) {
        double g = row_gaussian(seed);
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

/* Never worse than writing zeros, give or take the rounding of the scale; codebooks without a zero
 * a little, since their blocks are lengthened (iq.c). */
static void survives_strange_rows(void **state)
{
    (void)state;
    float x[N], y[N], w[N];
    uint64_t seed = 2;
    for (int kind = 0; kind < KINDS; kind++) {
        make_strange(kind, x, &seed);
        for (size_t i = 0; i < N; i++)
            w[i] = kind % 2 ? 0 : (float)(row_uniform(&seed) < 0.5 ? 0 : 1e30);
        double sum = row_error(x, (float[N]){0}, NULL, N);
        for (uint32_t type = 0; type < DTYPE_LIMIT; type++) {
            if (!quant_supported(type) || !dequant_supported(type)) continue;
            write_and_read(type, x, NULL, y);
            double error = row_error(x, y, NULL, N);
            if (!(error <= (type == DT_IQ2_XXS ? 1.03 : 1.001) * sum))
                fail_msg("%s, kind %d: %g of %g", dtype_name(type), kind, error, sum);
            write_and_read(type, x, w, y);
        }
    }
}

/* No number is off by more than half a step of plain rounding, in the root mean square: steps that
 * cut the range of its part evenly, and a scale that is cut evenly up to that of its block. */
static void rounds_no_worse_than_plainly(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        size_t part;
        double levels, scales;
    } plain[] = {
        {DT_Q8_0, 32, 255, 1e4},  {DT_Q4_0, 32, 16, 1e3},  {DT_Q5_0, 32, 32, 1e3},
        {DT_Q4_1, 32, 16, 1e3},   {DT_Q5_1, 32, 32, 1e3},  {DT_Q2_K, 16, 4, 16},
        {DT_Q3_K, 16, 8, 32},     {DT_Q4_K, 32, 16, 64},   {DT_Q5_K, 32, 32, 64},
        {DT_Q6_K, 16, 64, 128},   {DT_Q2_0, 64, 3, 1e3},   {DT_TQ2_0, 256, 3, 1e3},
        {DT_IQ4_NL, 32, 11, 1e3}, {DT_IQ4_XS, 32, 11, 32}, {DT_MXFP4, 32, 6, 1e3},
    };
    static const int kinds[] = {1, 2, 6, 7, 8, 9, 11, 13};
    float x[N], y[N];
    uint64_t seed = 9;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        make_strange(kinds[k], x, &seed);
        for (size_t t = 0; t < sizeof plain / sizeof plain[0]; t++) {
            double bound = 0, error = 0;
            write_and_read(plain[t].type, x, NULL, y);
            for (size_t i = 0; i < N; i++) {
                float part = 0, block = 0;
                size_t p = i / plain[t].part * plain[t].part, b = i / 256 * 256;
                for (size_t j = p; j < p + plain[t].part; j++) part = fmaxf(part, fabsf(x[j]));
                for (size_t j = b; j < b + 256; j++) block = fmaxf(block, fabsf(x[j]));
                double half = part / (plain[t].levels - 1) + block / 2 / plain[t].scales;
                bound += half * half;
                error += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
            }
            if (!(error <= 1.01 * bound))
                fail_msg("%s, kind %d: %g above %g", dtype_name(plain[t].type), kinds[k], error,
                         bound);
        }
    }
}

static void refuses_what_is_no_number(void **state)
{
    (void)state;
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
    (void)state;
    float x[N];
    uint8_t first[4 * N + 1], second[4 * N + 1];
    uint64_t seed = 3;
    row_fill(x, N, 1, &seed);
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
    (void)state;
    float x[N], w[N], y[N];
    uint64_t seed = 4;
    for (uint32_t type = 0; type < DTYPE_LIMIT; type++) {
        if (!quant_supported(type) || !dequant_supported(type)) continue;
        double blind = 0, told = 0;
        for (int round = 0; round < 4; round++) {
            row_fill(x, N, 1, &seed);
            row_importance(w, N, &seed);
            write_and_read(type, x, NULL, y);
            blind += row_error(x, y, w, N);
            write_and_read(type, x, w, y);
            told += row_error(x, y, w, N);
        }
        print_message("# %-8s weighted error, told / blind: %.3f\n", dtype_name(type),
                      told / (blind > 0 ? blind : 1));
        if (!(told <= blind)) fail_msg("%s: %g above %g", dtype_name(type), told, blind);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_gaussian_rows),   cmocka_unit_test(writes_back_what_it_read),
        cmocka_unit_test(writes_twice_the_same), cmocka_unit_test(rounds_no_worse_than_plainly),
        cmocka_unit_test(survives_strange_rows), cmocka_unit_test(refuses_what_is_no_number),
        cmocka_unit_test(same_input_same_bytes), cmocka_unit_test(importance_pays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
