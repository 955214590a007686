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

/* Codebook types (grids.h): eight (IQ3: four) weights are an entry of a grid, and their signs. */
/* A pair of words for 32 k: four 8-bit entries, then four times 7 bits of signs and a scale of 4;
 * weight = d (scale + 1/2) / 4 * number. */
typedef struct { uint8_t d[2], qs[64]; } BlockIQ2_XXS;
/* qs: 9 bits of entry, 7 of signs; scales of 16 k, 4 bits each. */
typedef struct { uint8_t d[2], qs[64], scales[8]; } BlockIQ2_XS;
/* Entry: 8 bits of qs, 2 of qh; whole bytes of signs. */
typedef struct { uint8_t d[2], qs[32], signs[32], qh[8], scales[8]; } BlockIQ2_S;
/* qs: entries of 4; for each 32 k a word of signs and scale as in IQ2_XXS; weight = d (scale +
 * 1/2) / 2 * number. */
typedef struct { uint8_t d[2], qs[64], signs[32]; } BlockIQ3_XXS;
/* Entry: 8 bits of qs, 1 of qh; scales of 32 k: weight = d (2 scale + 1) * number. */
typedef struct { uint8_t d[2], qs[64], qh[8], signs[32], scales[4]; } BlockIQ3_S;
/* qh, 16 bits for 32 k: 4 times 3 bits of entry, 3 of scale, 1: whether delta is -1/8, not 1/8;
 * weight = d (2 scale + 1) * (number + delta). */
typedef struct { uint8_t d[2], qs[32], qh[16]; } BlockIQ1_S;
/* qh: 4 bits for 8 k, 3 of entry and 1 of delta; four 16-bit words of scales: 12 bits for four
 * groups of 16 k, and 4 of d, from low to high. */
typedef struct { uint8_t qs[32], qh[16], scales[8]; } BlockIQ1_M;

/* Ternary, less 1. TQ1_0: base 3, digits from the top of a byte as a fraction of 256: byte l of qs
 * holds k = l + 32 i (l < 32), then k = 160 + (l - 32) + 16 i, each five; byte l of qh holds four,
 * k = 240 + l + 4 i. TQ2_0: 2 bits as in Q2_K. */
typedef struct { uint8_t qs[48], qh[4], d[2]; } BlockTQ1_0;
typedef struct { uint8_t qs[64], d[2]; } BlockTQ2_0;

/* ---- 64 and 128 weights a block ---- */
/* e[k/16]: a UE4M3 scale; byte 8(k/16) + i of qs: k%16 = i, i + 8; entries of mxfp4_values. */
typedef struct { uint8_t e[4], qs[32]; } BlockNVFP4;
typedef struct { uint8_t d[2], qs[16]; } BlockQ2_0; /* 64: d * (q - 1), 2 bits from low to high */
typedef struct { uint8_t d[2], qs[16]; } BlockQ1_0; /* 128: bit set: d, else -d */
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

static inline uint32_t u32_at(const uint8_t *p)
{
    return u16_at(p) | (uint32_t)u16_at(p + 2) << 16;
}

/* Half of the number that a UE4M3 byte stands for (the table is doubled); 0x7f, not a number, is
 * read as 0, and bit 7 is not looked at. */
static inline float ue4m3_half(uint8_t x)
{
    int e = x >> 3 & 15, m = x & 7;
    if (x == 0x7f) return 0;
    return (float)(e ? 8 + m : m) * f32_from_bits((uint32_t)((e ? e : 1) + 116) << 23);
}

/* Digit i of a TQ1_0 byte: 0, 1 or 2. */
static inline int tq1_digit(uint8_t byte, int i)
{
    static const uint8_t power[5] = {1, 3, 9, 27, 81};
    return (uint8_t)(byte * power[i]) * 3 >> 8;
}

/* The float16 scale that an IQ1_M block keeps in the top bits of its four words. */
static inline uint16_t iq1_m_bits(const BlockIQ1_M *b)
{
    unsigned d = 0;
    for (int i = 0; i < 4; i++) d |= (unsigned)(b->scales[2 * i + 1] >> 4) << 4 * i;
    return (uint16_t)d;
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

/* Scale g (0..15) of a Q3_K block, -32..31: low nibbles in bytes 0..7, high bits in 8..11. */
static inline int q3_k_scale(const uint8_t *s, int g)
{
    int low = g < 8 ? s[g] & 15 : s[g - 8] >> 4;
    return (low | (s[8 + g % 4] >> 2 * (g / 4) & 3) << 4) - 32;
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
