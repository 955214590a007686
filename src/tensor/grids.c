/* Spreads the packed codebooks of grids.inc at compile time (see grids.h). */
#include "tensor/grids.h"

#include "tensor/grids.inc"

/* Number i of a packed entry, looked up in `values`, a byte each, into its place. */
#define TWO(values, code, i)   ((uint64_t)((values) >> ((code) >> 2 * (i)&3) * 8 & 255) << 8 * (i))
#define THREE(values, code, i) ((uint32_t)((values) >> ((code) >> 3 * (i)&7) * 8 & 255) << 8 * (i))
#define EIGHT(values, code)                                                                        \
    (TWO(values, code, 0) | TWO(values, code, 1) | TWO(values, code, 2) | TWO(values, code, 3) |   \
     TWO(values, code, 4) | TWO(values, code, 5) | TWO(values, code, 6) | TWO(values, code, 7)),
#define FOUR(values, code)                                                                         \
    (THREE(values, code, 0) | THREE(values, code, 1) | THREE(values, code, 2) |                    \
     THREE(values, code, 3)),

#define X_IQ1(code)     EIGHT(0x020100, code)
#define X_IQ2(code)     EIGHT(0x2b1908, code)
#define X_IQ3_XXS(code) FOUR(0x3e342c241c140c04, code)
#define X_IQ3_S(code)   FOUR(0x0f0d0b0907050301, code)

const uint64_t grid_iq1[GRID_IQ1_SIZE] = {GRID_IQ1(X_IQ1)};
const uint64_t grid_iq2_xxs[GRID_IQ2_XXS_SIZE] = {GRID_IQ2_XXS(X_IQ2)};
const uint64_t grid_iq2_xs[GRID_IQ2_XS_SIZE] = {GRID_IQ2_XS(X_IQ2)};
const uint64_t grid_iq2_s[GRID_IQ2_S_SIZE] = {GRID_IQ2_S(X_IQ2)};
const uint32_t grid_iq3_xxs[GRID_IQ3_XXS_SIZE] = {GRID_IQ3_XXS(X_IQ3_XXS)};
const uint32_t grid_iq3_s[GRID_IQ3_S_SIZE] = {GRID_IQ3_S(X_IQ3_S)};
