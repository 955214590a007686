/* Whether rows of weights hold numbers: block scales for quantised types, every value for floats.
 * A model file with a NaN in it otherwise answers with noise, and only after minutes. Codes cannot
 * be wrong, so a block costs one or two comparisons; loops are branchless so that compilers
 * vectorise them. */
#include <string.h>

#include "kernels/kernels.h"
#include "tensor/blocks.h"
#include "tensor/dtype.h"

/* Where a block keeps its float16 scales; second -1: it has one. */
static const struct {
    uint32_t type;
    int first, second;
} places[] = {
    {DT_Q4_0, 0, -1},    {DT_Q4_1, 0, 2},    {DT_Q5_0, 0, -1},   {DT_Q5_1, 0, 2},
    {DT_Q8_0, 0, -1},    {DT_Q2_K, 80, 82},  {DT_Q3_K, 108, -1}, {DT_Q4_K, 0, 2},
    {DT_Q5_K, 0, 2},     {DT_Q6_K, 208, -1}, {DT_IQ4_NL, 0, -1}, {DT_IQ4_XS, 0, -1},
    {DT_IQ2_XXS, 0, -1}, {DT_IQ2_XS, 0, -1}, {DT_IQ2_S, 0, -1},  {DT_IQ3_XXS, 0, -1},
    {DT_IQ3_S, 0, -1},   {DT_IQ1_S, 0, -1},  {DT_TQ1_0, 52, -1}, {DT_TQ2_0, 64, -1},
    {DT_Q1_0, 0, -1},    {DT_Q2_0, 0, -1},
};

static bool halves_finite(const uint8_t *p, size_t n, size_t step)
{
    unsigned bad = 0;
    for (size_t i = 0; i < n; i++, p += step) bad |= (p[1] & 0x7cu) == 0x7c;
    return !bad;
}

/* 16-bit values side by side; `exponent`: the bits that are all set in what is not finite. */
static bool words_finite(const uint8_t *p, size_t n, uint16_t exponent)
{
    uint16_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, p + 2 * i, 2);
        bad |= (uint16_t)((h & exponent) == exponent);
    }
    return !bad;
}

static bool floats_finite(const uint8_t *p, size_t n)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, p + 4 * i, 4);
        bad |= (u & 0x7f800000u) == 0x7f800000u;
    }
    return !bad;
}

/* From 2^96 on (e - 128 >= 96) products with activations leave float32. 255 means NaN. */
static bool powers_finite(const uint8_t *p, size_t n)
{
    unsigned bad = 0;
    for (size_t i = 0; i < n; i++) bad |= p[i * sizeof(BlockMXFP4)] >= 224;
    return !bad;
}

/* Five bits of exponent: three in the last of the words that hold d, two in the one before. */
static bool iq1_m_finite(const uint8_t *p, size_t n)
{
    const uint8_t *s = p + offsetof(BlockIQ1_M, scales);
    unsigned bad = 0;
    for (size_t i = 0; i < n; i++, s += sizeof(BlockIQ1_M))
        bad |= (s[7] & 0x70u) == 0x70 && (s[5] & 0xc0u) == 0xc0;
    return !bad;
}

static bool row_finite(uint32_t type, const uint8_t *row, size_t k)
{
    const DTypeInfo *info = dtype_info(type);
    size_t n = k / (size_t)info->block, step = (size_t)info->bytes;
    switch (type) {
    case DT_F32: return floats_finite(row, k);
    case DT_F16: return words_finite(row, k, 0x7c00);
    case DT_BF16: return words_finite(row, k, 0x7f80);
    case DT_MXFP4: return powers_finite(row, n);
    case DT_IQ1_M: return iq1_m_finite(row, n);
    default: break;
    }
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (places[i].type == type)
            return halves_finite(row + places[i].first, n, step) &&
                   (places[i].second < 0 || halves_finite(row + places[i].second, n, step));
    return true;
}

bool panel_finite(uint32_t type, const void *rows, size_t row_bytes, size_t n_rows, size_t k)
{
    const uint8_t *row = rows;
    for (size_t r = 0; r < n_rows; r++, row += row_bytes)
        if (!row_finite(type, row, k)) return false;
    return true;
}
