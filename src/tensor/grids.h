/* Codebooks of the IQ1, IQ2 and IQ3 types: which 8 (IQ3: 4) magnitudes stand together. An entry
 * holds number i in bits 8i..8i+7, so that on a little-endian machine it is the numbers in order.
 * Source: ggml's tables, through tools/grid_tables.py. */
#ifndef TENSOR_GRIDS_H
#define TENSOR_GRIDS_H

#include <stdint.h>

#define GRID_IQ1_SIZE     2048
#define GRID_IQ2_XXS_SIZE 256
#define GRID_IQ2_XS_SIZE  512
#define GRID_IQ2_S_SIZE   1024
#define GRID_IQ3_XXS_SIZE 256
#define GRID_IQ3_S_SIZE   512

extern const uint64_t grid_iq1[GRID_IQ1_SIZE]; /* 0, 1, 2 for -1, 0, 1 */
/* 8, 25, 43 */
extern const uint64_t grid_iq2_xxs[GRID_IQ2_XXS_SIZE];
extern const uint64_t grid_iq2_xs[GRID_IQ2_XS_SIZE];
extern const uint64_t grid_iq2_s[GRID_IQ2_S_SIZE];
extern const uint32_t grid_iq3_xxs[GRID_IQ3_XXS_SIZE]; /* 4, 12, 20, 28, 36, 44, 52, 62 */
extern const uint32_t grid_iq3_s[GRID_IQ3_S_SIZE];     /* odd numbers up to 15 */

/* The signs of eight numbers, a set bit for minus, from seven: the last makes their count even. */
static inline uint8_t grid_signs(unsigned seven)
{
    unsigned s = seven & 127;
    return (uint8_t)(s | (unsigned)__builtin_parity(s) << 7);
}

#endif
