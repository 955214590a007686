/* How the blocks of quantised types lie in a file, as bytes: no member is aligned, because GGUF
 * rows start wherever the row before them ended. 16-bit numbers are little-endian.
 * Source: the types' published layouts (ggml); `k` below counts weights inside a block. */
#ifndef TENSOR_BLOCKS_H
#define TENSOR_BLOCKS_H

#include <stdint.h>
#include <string.h>

#include "tensor/half.h"

/* clang-format off */
/* ---- 32 weights a block: weight k is nibble k%16 of qs, low half for k < 16 ---- */
typedef struct { uint8_t d[2], qs[16]; } BlockQ4_0;            /* d * (q - 8) */
typedef struct { uint8_t d[2], m[2], qs[16]; } BlockQ4_1;      /* d * q + m */
typedef struct { uint8_t d[2], qh[4], qs[16]; } BlockQ5_0;     /* bit k of qh is bit 4 of q */
typedef struct { uint8_t d[2], m[2], qh[4], qs[16]; } BlockQ5_1;
typedef struct { uint8_t d[2], qs[32]; } BlockQ8_0;            /* d * (int8) q */
typedef struct { uint8_t d[2], qs[16]; } BlockIQ4_NL;          /* d * iq4_values[q] */
typedef struct { uint8_t e, qs[16]; } BlockMXFP4;              /* 2^(e-128) * mxfp4_values[q] */

/* ---- 256 weights a block ---- */
/* scales[k/16]: low nibble times d, high nibble times dmin; q: 2 bits; weight = scale q - min.
 * Byte 32h + l of qs (h = k / 128) holds k%128 = l, l+32, l+64, l+96 from low bits to high. */
typedef struct { uint8_t scales[16], qs[64], d[2], dmin[2]; } BlockQ2_K;
/* q: qs as above, less 4 where bit k/32 of hmask[k%32] is clear; scales of 16 k: 6 bits - 32. */
typedef struct { uint8_t hmask[32], qs[64], scales[12], d[2]; } BlockQ3_K;
/* scales of 32 k, 6 bits each for scale and min; byte 32i + l of qs: k = 64i + l, 64i + 32 + l. */
typedef struct { uint8_t d[2], dmin[2], scales[12], qs[128]; } BlockQ4_K;
typedef struct { uint8_t d[2], dmin[2], scales[12], qh[32], qs[128]; } BlockQ5_K;
/* int8 scales of 16 k; q: 4 bits of ql, 2 of qh, less 32. */
typedef struct { uint8_t ql[128], qh[64], scales[16], d[2]; } BlockQ6_K;
/* scales of 32 k: 4 bits of scales_l, 2 of scales_h, less 32; nibbles as in IQ4_NL. */
typedef struct { uint8_t d[2], scales_h[2], scales_l[4], qs[128]; } BlockIQ4_XS;
/* clang-format on */

static inline uint16_t u16_at(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline float f16_at(const uint8_t *p)
{
    return f16_to_f32(u16_at(p));
}

/* Half of the power of two that an E8M0 byte stands for (the table is doubled): 2^(e-128). */
static inline float e8m0_half(uint8_t e)
{
    return f32_from_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

/* Scale and min number g (0..7) of a Q4_K or Q5_K block: six bits each in twelve bytes. */
static inline void k_scale_min(const uint8_t *s, int g, uint8_t *scale, uint8_t *min)
{
    if (g < 4) {
        *scale = s[g] & 63;
        *min = s[g + 4] & 63;
    } else {
        *scale = (uint8_t)((s[g + 4] & 15) | (s[g - 4] >> 6) << 4);
        *min = (uint8_t)((s[g + 4] >> 4) | (s[g] >> 6) << 4);
    }
}

/* Scale g (0..7) of an IQ4_XS block, -32..31. */
static inline int iq4_xs_scale(const BlockIQ4_XS *b, int g)
{
    int low = b->scales_l[g / 2] >> 4 * (g % 2) & 15;
    return (low | (u16_at(b->scales_h) >> 2 * g & 3) << 4) - 32;
}

static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};
/* E2M1, doubled. */
static const int8_t mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

#endif
