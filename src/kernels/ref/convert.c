/* Conversions between float32 and the types that layer state and float weights use: F32, F16,
 * BF16, Q8_0 and Q4_0. All round to nearest even, so every version gives the same bits for finite
 * numbers. A Q8_0 block is a float16 scale d and 32 signed codes; the codes are x / d rounded,
 * with d = max|x| / 127 before it is stored (GGUF's layout). A Q4_0 block is a float16 scale d and
 * 16 bytes: codes 0 to 15 of elements i and i + 16, of which 8 is taken off; d = -x / 8 for the x
 * of largest magnitude, so that it is met exactly. Other types are a mistake of ours. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/parts.h"
#include "tensor/dtype.h"
#include "tensor/half.h"

enum { Q8_BLOCK = 32, Q8_BYTES = 34, Q4_BLOCK = 32, Q4_BYTES = 18 };

static void from_q8(const uint8_t *block, float *dst)
{
    uint16_t d16;
    memcpy(&d16, block, 2);
    float d = f16_to_f32(d16);
    for (int i = 0; i < Q8_BLOCK; i++) dst[i] = d * (float)(int8_t)block[2 + i];
}

static void to_q8(const float *src, uint8_t *block)
{
    float top = 0;
    for (int i = 0; i < Q8_BLOCK; i++)
        if (fabsf(src[i]) > top) top = fabsf(src[i]);
    float d = top / 127, inverse = d != 0 ? 1 / d : 0;
    uint16_t d16 = f32_to_f16(d);
    memcpy(block, &d16, 2);
    for (int i = 0; i < Q8_BLOCK; i++) {
        float code = rintf(src[i] * inverse); /* infinity and NaN end as some code in range */
        if (!(code <= 127)) code = 127;
        if (code < -127) code = -127;
        block[2 + i] = (uint8_t)(int8_t)code;
    }
}

static void from_q4(const uint8_t *block, float *dst)
{
    uint16_t d16;
    memcpy(&d16, block, 2);
    float d = f16_to_f32(d16);
    for (int i = 0; i < Q4_BLOCK / 2; i++) {
        dst[i] = d * (float)((block[2 + i] & 15) - 8);
        dst[i + Q4_BLOCK / 2] = d * (float)((block[2 + i] >> 4) - 8);
    }
}

static uint8_t q4_code(float x, float inverse)
{
    float code = rintf(x * inverse) + 8;
    if (!(code <= 15)) code = 15; /* infinity and NaN end as some code in range */
    return code > 0 ? (uint8_t)code : 0;
}

static void to_q4(const float *src, uint8_t *block)
{
    float top = 0, bottom = 0;
    for (int i = 0; i < Q4_BLOCK; i++) {
        if (src[i] > top) top = src[i];
        if (src[i] < bottom) bottom = src[i];
    }
    float d = (top >= -bottom ? top : bottom) / -8, inverse = d != 0 ? 1 / d : 0;
    uint16_t d16 = f32_to_f16(d);
    memcpy(block, &d16, 2);
    for (int i = 0; i < Q4_BLOCK / 2; i++)
        block[2 + i] =
            (uint8_t)(q4_code(src[i], inverse) | q4_code(src[i + Q4_BLOCK / 2], inverse) << 4);
}

static void to_f32(uint32_t type, const void *src, float *dst, size_t n)
{
    const uint16_t *h = src;
    const uint8_t *block = src;
    switch (type) {
    case DT_F32: memcpy(dst, src, n * sizeof *dst); break;
    case DT_F16:
        for (size_t i = 0; i < n; i++) dst[i] = f16_to_f32(h[i]);
        break;
    case DT_BF16:
        for (size_t i = 0; i < n; i++) dst[i] = bf16_to_f32(h[i]);
        break;
    case DT_Q8_0:
        for (size_t i = 0; i < n; i += Q8_BLOCK) from_q8(block + i / Q8_BLOCK * Q8_BYTES, dst + i);
        break;
    case DT_Q4_0:
        for (size_t i = 0; i < n; i += Q4_BLOCK) from_q4(block + i / Q4_BLOCK * Q4_BYTES, dst + i);
        break;
    default: assert(!"to_f32: no such type");
    }
}

static void from_f32(uint32_t type, const float *src, void *dst, size_t n)
{
    uint16_t *h = dst;
    uint8_t *block = dst;
    switch (type) {
    case DT_F32: memcpy(dst, src, n * sizeof *src); break;
    case DT_F16:
        for (size_t i = 0; i < n; i++) h[i] = f32_to_f16(src[i]);
        break;
    case DT_BF16:
        for (size_t i = 0; i < n; i++) h[i] = f32_to_bf16(src[i]);
        break;
    case DT_Q8_0:
        for (size_t i = 0; i < n; i += Q8_BLOCK) to_q8(src + i, block + i / Q8_BLOCK * Q8_BYTES);
        break;
    case DT_Q4_0:
        for (size_t i = 0; i < n; i += Q4_BLOCK) to_q4(src + i, block + i / Q4_BLOCK * Q4_BYTES);
        break;
    default: assert(!"from_f32: no such type");
    }
}

void kernels_ref_convert(Kernels *table)
{
    table->to_f32 = to_f32;
    table->from_f32 = from_f32;
}
