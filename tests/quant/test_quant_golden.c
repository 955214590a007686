/* Writers of block types against another engine's output for the same numbers: the squared error,
 * plain and weighted by magnitude, may be 1 % above at most. Skipped where the golden folder is
 * missing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../kernels/golden.h"
#include "kernels/kernels.h"
#include "quant/quant.h"
#include "tensor/dtype.h"

enum { N = 4096, ROW = 256 };

static const struct {
    uint32_t type;
    const char *file;
} cases[] = {
    {DT_F16, "f16"},       {DT_BF16, "bf16"},     {DT_Q4_0, "q4_0"},       {DT_Q4_1, "q4_1"},
    {DT_Q5_0, "q5_0"},     {DT_Q5_1, "q5_1"},     {DT_Q8_0, "q8_0"},       {DT_Q2_K, "q2_K"},
    {DT_Q3_K, "q3_K"},     {DT_Q4_K, "q4_K"},     {DT_Q5_K, "q5_K"},       {DT_Q6_K, "q6_K"},
    {DT_IQ4_NL, "iq4_nl"}, {DT_IQ4_XS, "iq4_xs"}, {DT_MXFP4, "mxfp4"},     {DT_IQ2_XXS, "iq2_xxs"},
    {DT_IQ2_XS, "iq2_xs"}, {DT_IQ2_S, "iq2_s"},   {DT_IQ3_XXS, "iq3_xxs"}, {DT_IQ3_S, "iq3_s"},
    {DT_IQ1_S, "iq1_s"},   {DT_IQ1_M, "iq1_m"},   {DT_TQ1_0, "tq1_0"},     {DT_TQ2_0, "tq2_0"},
    {DT_NVFP4, "nvfp4"},   {DT_Q1_0, "q1_0"},     {DT_Q2_0, "q2_0"},
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

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
    float *x = golden_read("quant/source.f32", &size), *y = malloc(N * sizeof *y);
    uint8_t *row = malloc(4 * ROW);
    assert_true(x && y && row && size == N * sizeof *x);
    print_message("# type     bits   error/power    golden  ratio  weighted\n");
    for (int c = 0; c < N_CASES; c++) {
        if (!quant_supported(cases[c].type) || !dequant_supported(cases[c].type)) continue;
        char name[64];
        snprintf(name, sizeof name, "quant/%s.f32", cases[c].file);
        float *theirs = golden_read(name, &bytes);
        assert_non_null(theirs);
        for (size_t r = 0; r < N; r += ROW) {
            assert_true(quant_row(cases[c].type, x + r, ROW, NULL, row));
            assert_true(dequant_row(cases[c].type, row, y + r, ROW));
        }
        Errors ours = errors_of(x, y), golden = errors_of(x, theirs);
        double ratio = ours.plain / golden.plain, weighted = ours.weighted / golden.weighted;
        double bits = (double)dtype_row_bytes(cases[c].type, ROW) * 8 / ROW;
        print_message("# %-8s %6.4f  %11.4e %11.4e %6.3f %6.3f\n", dtype_name(cases[c].type), bits,
                      ours.plain / ours.sum, golden.plain / golden.sum, ratio, weighted);
        if (!(ratio <= 1.01 && weighted <= 1.01)) fail_msg("%s is worse", cases[c].file);
        free(theirs);
    }
    free(x);
    free(y);
    free(row);
}

int main(void)
{
    size_t size;
    void *there = golden_read("quant/source.f32", &size);
    free(there);
    if (!there) {
        printf("1..0 # SKIP no golden data (set BANTAM_GOLDEN)\n");
        return 0;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_worse_than_golden)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
