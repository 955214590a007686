/* Rows of F32, F16, BF16, Q8_0 and Q4_0 as vectors of float32 (see wide.h). */
#ifndef KERNELS_WIDE_WIDEN_H
#define KERNELS_WIDE_WIDEN_H

#include <stdint.h>
#include <string.h>

#include "kernels/wide/wide.h"
#include "tensor/dtype.h"
#include "tensor/half.h"

enum { Q8_BLOCK = 32, Q8_BYTES = 34, Q4_BLOCK = 32, Q4_BYTES = 18 };

WIDE size_t element_bytes(uint32_t type)
{
    return type == DT_F32 ? 4 : 2;
}

/* LANES elements; `type` is F32, F16 or BF16 and known when this is compiled. */
WIDE vf widen(uint32_t type, const unsigned char *p)
{
    if (type == DT_F16) return vf_from_f16(p);
    if (type == DT_BF16) return vf_from_bf16(p);
    return vf_load((const float *)(const void *)p);
}

/* n < LANES elements, then zeros. */
WIDE vf widen_part(uint32_t type, const unsigned char *p, size_t n)
{
    if (type == DT_F16) return vf_from_f16_part(p, n);
    if (type == DT_BF16) return vf_from_bf16_part(p, n);
    return vf_load_part((const float *)(const void *)p, n);
}

WIDE void widen_q8_block(const unsigned char *block, float *dst, size_t step)
{
    uint16_t d16;
    memcpy(&d16, block, 2);
    vf d = vf_set(f16_to_f32(d16));
    for (size_t i = 0; i < Q8_BLOCK / LANES; i++)
        vf_store(dst + i * step, vf_mul(d, vf_from_i8(block + 2 + i * LANES)));
}

WIDE void widen_q4_block(const unsigned char *block, float *dst, size_t step)
{
    uint16_t d16;
    memcpy(&d16, block, 2);
    vf d = vf_set(f16_to_f32(d16));
    for (size_t i = 0; i < Q4_BLOCK / 2; i += LANES) {
        vf_store(dst + i / LANES * step, vf_mul(d, vf_from_low4(block + 2 + i)));
        vf_store(dst + (Q4_BLOCK / 2 + i) / LANES * step, vf_mul(d, vf_from_high4(block + 2 + i)));
    }
}

/* Bytes of n elements of a row, n a multiple of the type's block. */
WIDE size_t row_bytes(uint32_t type, size_t n)
{
    if (type == DT_Q8_0) return n / Q8_BLOCK * Q8_BYTES;
    if (type == DT_Q4_0) return n / Q4_BLOCK * Q4_BYTES;
    return n * element_bytes(type);
}

/* n elements of a row into vectors `step` floats apart. When step is LANES the row is dense and
 * exactly n floats are written; otherwise the last vector is written whole, zeros behind. */
WIDE void widen_row(uint32_t type, const unsigned char *src, float *dst, size_t step, size_t n)
{
    if (type == DT_Q8_0) {
        for (size_t i = 0; i < n; i += Q8_BLOCK, src += Q8_BYTES, dst += Q8_BLOCK / LANES * step)
            widen_q8_block(src, dst, step);
        return;
    }
    if (type == DT_Q4_0) {
        for (size_t i = 0; i < n; i += Q4_BLOCK, src += Q4_BYTES, dst += Q4_BLOCK / LANES * step)
            widen_q4_block(src, dst, step);
        return;
    }
    size_t bytes = element_bytes(type), i = 0;
    for (; i + LANES <= n; i += LANES, dst += step) vf_store(dst, widen(type, src + i * bytes));
    if (i == n) return;
    vf last = widen_part(type, src + i * bytes, n - i);
    if (step == LANES)
        vf_store_part(dst, last, n - i);
    else
        vf_store(dst, last);
}

#endif
