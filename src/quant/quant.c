/* The table of writers, and what they have in common: input is checked, cut into blocks and brought
 * to the blocks' own units (see fit.h). F32, F16 and BF16 have no blocks and are rounded here. */
#include "quant/quant.h"

#include <math.h>
#include <string.h>

#include "quant/types.h"
#include "tensor/dtype.h"
#include "tensor/half.h"

enum { LARGEST_BLOCK = 256 };

static const struct Writer {
    uint32_t type;
    QuantFn *write;
    bool plain; /* without importance all numbers count alike */
} writers[] = {
    {DT_Q8_0, quant_q8_0, false},       {DT_Q4_0, quant_q4_0, false},
    {DT_Q4_1, quant_q4_1, false},       {DT_Q5_0, quant_q5_0, false},
    {DT_Q5_1, quant_q5_1, false},       {DT_Q2_K, quant_q2_k, false},
    {DT_Q3_K, quant_q3_k, false},       {DT_Q4_K, quant_q4_k, false},
    {DT_Q5_K, quant_q5_k, false},       {DT_Q6_K, quant_q6_k, false},
    {DT_TQ1_0, quant_tq1_0, true},      {DT_TQ2_0, quant_tq2_0, true},
    {DT_Q1_0, quant_q1_0, true},        {DT_Q2_0, quant_q2_0, true},
    {DT_IQ4_NL, quant_iq4_nl, false},   {DT_IQ4_XS, quant_iq4_xs, false},
    {DT_MXFP4, quant_mxfp4, false},     {DT_NVFP4, quant_nvfp4, false},
    {DT_IQ1_S, quant_iq1_s, false},     {DT_IQ1_M, quant_iq1_m, false},
    {DT_IQ2_XXS, quant_iq2_xxs, false}, {DT_IQ2_XS, quant_iq2_xs, false},
    {DT_IQ2_S, quant_iq2_s, false},     {DT_IQ3_XXS, quant_iq3_xxs, false},
    {DT_IQ3_S, quant_iq3_s, false},
};

static const struct Writer *find_writer(uint32_t type)
{
    for (size_t i = 0; i < sizeof writers / sizeof writers[0]; i++)
        if (writers[i].type == type) return &writers[i];
    return NULL;
}

static bool is_float(uint32_t type)
{
    return type == DT_F32 || type == DT_F16 || type == DT_BF16;
}

bool quant_supported(uint32_t type)
{
    return is_float(type) || find_writer(type);
}

bool quant_needs_importance(uint32_t type)
{
    return type == DT_IQ2_XXS || type == DT_IQ2_XS || type == DT_IQ2_S || type == DT_IQ1_S ||
           type == DT_IQ1_M;
}

/* All finite and none below `least`; branchless, so that compilers vectorise it. */
static bool all_fit(const float *x, size_t n, float least)
{
    unsigned bad = 0;
    for (size_t i = 0; i < n; i++) bad |= !(fabsf(x[i]) < INFINITY) | !(x[i] >= least);
    return !bad;
}

static void write_floats(uint32_t type, const float *x, size_t n, uint8_t *dst)
{
    if (type == DT_F32) {
        memcpy(dst, x, n * sizeof *x);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint16_t h = type == DT_F16 ? f32_to_f16(x[i]) : f32_to_bf16(x[i]);
        uint16_t infinite = type == DT_F16 ? 0x7c00 : 0x7f80;
        if ((h & infinite) == infinite) h--; /* rounded up to infinity: the largest number */
        memcpy(dst + 2 * i, &h, 2);
    }
}

/* x in units of *exponent, the power of two above the largest magnitude. */
static void to_units(const float *x, int n, float *out, int *exponent)
{
    float top = 0;
    for (int i = 0; i < n; i++) top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
    frexpf(top, exponent);
    if (*exponent < -126) *exponent = -126; /* so that the factor below is a float */
    float factor = ldexpf(1, -*exponent);
    for (int i = 0; i < n; i++) out[i] = x[i] * factor;
}

/* Large numbers count more, gently: by the root of three mean squares and the square. (Less plain
 * error than by the square alone, and nearly as little weighted.) Importance, over its mean, is a
 * factor: what columns meet is known from some text only, and by importance alone small numbers of
 * columns that met much would displace large ones of others (docs/quantize.md). Columns that met
 * nothing count a little, they are still numbers. */
static void to_weights(const float *importance, const float *x, int n, bool plain, float *out)
{
    double mean = 0, square = 0;
    for (int i = 0; i < n && importance; i++) mean += (double)importance[i] / n;
    for (int i = 0; i < n; i++) square += (double)x[i] * x[i] / n;
    float ms = (float)square + 1e-6f;
    for (int i = 0; i < n; i++) out[i] = plain ? 1 : sqrtf(3 * ms + x[i] * x[i]);
    for (int i = 0; i < n && mean > 0; i++) out[i] *= (float)((double)importance[i] / mean) + 1e-4f;
}

bool quant_row(uint32_t type, const float *x, size_t n, const float *importance, void *dst)
{
    const struct Writer *writer = find_writer(type);
    if (!writer && !is_float(type)) return false;
    size_t block = (size_t)dtype_info(type)->block, bytes = (size_t)dtype_info(type)->bytes;
    if (n % block || !all_fit(x, n, -INFINITY)) return false;
    if (importance && !all_fit(importance, n, 0)) return false;
    if (!writer) {
        write_floats(type, x, n, dst);
        return true;
    }
    float units[LARGEST_BLOCK], weights[LARGEST_BLOCK];
    uint8_t *out = dst;
    for (size_t i = 0; i < n; i += block, out += bytes) {
        QuantBlock b = {units, weights, 0};
        to_units(x + i, (int)block, units, &b.exponent);
        to_weights(importance ? importance + i : NULL, units, (int)block, writer->plain, weights);
        writer->write(&b, out);
    }
    return true;
}
