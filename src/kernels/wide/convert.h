/* Conversions for any vector width (see wide.h): the bits of ref/convert.c. */
#ifndef KERNELS_WIDE_CONVERT_H
#define KERNELS_WIDE_CONVERT_H

#include <assert.h>
#include <string.h>

#include "kernels/parts.h"
#include "kernels/wide/widen.h"
#include "tensor/half.h"

static void to_f32(uint32_t type, const void *src, float *dst, size_t n)
{
    if (type == DT_F32)
        memcpy(dst, src, n * sizeof *dst);
    else if (type == DT_F16)
        widen_row(DT_F16, src, dst, LANES, n);
    else if (type == DT_BF16)
        widen_row(DT_BF16, src, dst, LANES, n);
    else if (type == DT_Q8_0)
        widen_row(DT_Q8_0, src, dst, LANES, n);
    else if (type == DT_Q4_0)
        widen_row(DT_Q4_0, src, dst, LANES, n);
    else
        assert(!"to_f32: no such type");
}

static void to_q8(const float *src, uint8_t *block)
{
    vf top = vf_set(0);
    for (int i = 0; i < Q8_BLOCK; i += LANES) top = vf_max(vf_abs(vf_load(src + i)), top);
    float d = vf_top(top) / 127, inverse = d != 0 ? 1 / d : 0;
    uint16_t d16 = f32_to_f16(d);
    memcpy(block, &d16, 2);
    for (int i = 0; i < Q8_BLOCK; i += LANES) { /* infinity and NaN end as some code in range */
        vf code = vf_min(vf_mul(vf_load(src + i), vf_set(inverse)), vf_set(127));
        vf_to_i8(block + 2 + i, vf_max(code, vf_set(-127)));
    }
}

static void to_q4(const float *src, uint8_t *block)
{
    vf top = vf_set(0), low = vf_set(0);
    int8_t code[Q4_BLOCK];
    for (int i = 0; i < Q4_BLOCK; i += LANES) {
        vf x = vf_load(src + i);
        top = vf_max(x, top);
        low = vf_max(vf_sub(vf_set(0), x), low);
    }
    float most = vf_top(top), least = -vf_top(low);
    float d = (most >= -least ? most : least) / -8, inverse = d != 0 ? 1 / d : 0;
    uint16_t d16 = f32_to_f16(d);
    memcpy(block, &d16, 2);
    for (int i = 0; i < Q4_BLOCK; i += LANES) { /* infinity and NaN end as some code in range */
        vf x = vf_round(vf_mul(vf_load(src + i), vf_set(inverse)));
        vf_to_i8(code + i, vf_max(vf_min(vf_add(x, vf_set(8)), vf_set(15)), vf_set(0)));
    }
    for (int i = 0; i < Q4_BLOCK / 2; i++)
        block[2 + i] = (uint8_t)(code[i] | code[i + Q4_BLOCK / 2] << 4);
}

static void from_f32(uint32_t type, const float *src, void *dst, size_t n)
{
    uint16_t *h = dst;
    size_t i = 0;
    if (type == DT_F32) {
        memcpy(dst, src, n * sizeof *src);
    } else if (type == DT_F16) {
        for (; i + LANES <= n; i += LANES) vf_to_f16(h + i, vf_load(src + i));
        for (; i < n; i++) h[i] = f32_to_f16(src[i]);
    } else if (type == DT_BF16) {
        for (; i + LANES <= n; i += LANES) vf_to_bf16(h + i, vf_load(src + i));
        for (; i < n; i++) h[i] = f32_to_bf16(src[i]);
    } else if (type == DT_Q8_0) {
        uint8_t *block = dst;
        for (; i < n; i += Q8_BLOCK, block += Q8_BYTES) to_q8(src + i, block);
    } else if (type == DT_Q4_0) {
        uint8_t *block = dst;
        for (; i < n; i += Q4_BLOCK, block += Q4_BYTES) to_q4(src + i, block);
    } else {
        assert(!"from_f32: no such type");
    }
}

static void register_convert(Kernels *table)
{
    table->to_f32 = to_f32;
    table->from_f32 = from_f32;
}

#endif
