/* The golden folder's block types: 4,096 numbers as each holds them (NAME.bin) and reads them back
 * (NAME.f32), of quant/source.f32. */
#ifndef TESTS_GOLDEN_BLOCKS_H
#define TESTS_GOLDEN_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "support/files.h"
#include "support/golden.h"
#include "tensor/dtype.h"

static const struct {
    uint32_t type;
    const char *file;
} golden_blocks[] = {
    {DT_F16, "f16"},       {DT_BF16, "bf16"},     {DT_Q4_0, "q4_0"},       {DT_Q4_1, "q4_1"},
    {DT_Q5_0, "q5_0"},     {DT_Q5_1, "q5_1"},     {DT_Q8_0, "q8_0"},       {DT_Q2_K, "q2_K"},
    {DT_Q3_K, "q3_K"},     {DT_Q4_K, "q4_K"},     {DT_Q5_K, "q5_K"},       {DT_Q6_K, "q6_K"},
    {DT_IQ4_NL, "iq4_nl"}, {DT_IQ4_XS, "iq4_xs"}, {DT_MXFP4, "mxfp4"},     {DT_IQ2_XXS, "iq2_xxs"},
    {DT_IQ2_XS, "iq2_xs"}, {DT_IQ2_S, "iq2_s"},   {DT_IQ3_XXS, "iq3_xxs"}, {DT_IQ3_S, "iq3_s"},
    {DT_IQ1_S, "iq1_s"},   {DT_IQ1_M, "iq1_m"},   {DT_TQ1_0, "tq1_0"},     {DT_TQ2_0, "tq2_0"},
    {DT_NVFP4, "nvfp4"},   {DT_Q1_0, "q1_0"},     {DT_Q2_0, "q2_0"},
};

enum {
    GOLDEN_BLOCKS = sizeof golden_blocks / sizeof golden_blocks[0],
    GOLDEN_N = 4096,
    GOLDEN_ROW = 256,
};

/* Whether the folder is here; a test without it is a TAP plan of none. */
static inline bool golden_blocks_there(void)
{
    if (golden_path("quant/source.f32")) return true;
    printf("1..0 # SKIP no golden data (set BANTAM_GOLDEN)\n");
    return false;
}

/* quant/NAME.SUFFIX whole, malloc'd; NULL when it is not there. */
static inline void *golden_block(const char *name, const char *suffix, size_t *size)
{
    char file[64];
    snprintf(file, sizeof file, "quant/%s.%s", name, suffix);
    const char *path = golden_path(file);
    return path ? files_read(path, size) : NULL;
}

#endif
