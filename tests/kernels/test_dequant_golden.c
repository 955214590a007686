/* Every block type gives the numbers that another engine gave, to the last bit.
 * Skipped as a whole (a TAP plan of none) where the golden folder is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "golden.h"
#include "kernels/kernels.h"
#include "tensor/dtype.h"

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
enum { N_CASES = sizeof cases / sizeof cases[0], N = 4096, ROW = 256 };

static void equals_golden(void **state)
{
    (void)state;
    int seen = 0;
    for (int i = 0; i < N_CASES; i++) {
        char name[64];
        size_t bin_size, size;
        snprintf(name, sizeof name, "quant/%s.bin", cases[i].file);
        uint8_t *bin = golden_read(name, &bin_size);
        snprintf(name, sizeof name, "quant/%s.f32", cases[i].file);
        float *want = golden_read(name, &size);
        assert_non_null(bin);
        assert_non_null(want);
        size_t row_bytes = dtype_row_bytes(cases[i].type, ROW);
        assert_int_equal(bin_size, N / ROW * row_bytes);
        assert_int_equal(size, N * 4);
        float got[ROW];
        uint8_t odd[4 * ROW + 1]; /* rows of a file may start anywhere */
        for (size_t r = 0; r < N / ROW; r++) {
            memcpy(odd + 1, bin + r * row_bytes, row_bytes);
            assert_true(dequant_row(cases[i].type, odd + 1, got, ROW));
            if (memcmp(got, want + r * ROW, sizeof got)) fail_msg("%s, row %zu", name, r);
        }
        free(bin);
        free(want);
        seen++;
    }
    assert_int_equal(seen, N_CASES);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_golden)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
