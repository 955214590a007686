/* Products of two float32 matrices, as training needs them: either operand may be read as its
 * transpose, inputs may be rounded to bf16, sums are float32.
 *
 * Both operands are packed first, by kernels gemm_pack_a and gemm_pack_x, into the order in which
 * this machine's kernel `gemm` reads them; that order is its own affair. An element of the result
 * takes its products in the order of k, beginning from what c held where `add`. So its bits do not
 * depend on where rows and columns are cut, nor on what is computed beside it; nor, plain C aside,
 * on where k is cut, if that is at multiples of GEMM_STEP. */
#ifndef KERNELS_GEMM_H
#define KERNELS_GEMM_H

#include <stdbool.h>
#include <stddef.h>

/* Denormals may count as 0 in both. */
typedef enum GemmPrecision {
    GEMM_F32,
    GEMM_BF16 /* inputs are rounded to nearest even */
} GemmPrecision;

typedef struct GemmMatrix {
    const float *data;
    size_t stride; /* floats from row to row as they lie */
    bool turned;   /* it is the transpose of what lies at data */
} GemmMatrix;

static inline const float *gemm_at(GemmMatrix x, size_t row, size_t column)
{
    return x.data + (x.turned ? column * x.stride + row : row * x.stride + column);
}

/* The part of x from an element on. */
static inline GemmMatrix gemm_from(GemmMatrix x, size_t row, size_t column)
{
    return (GemmMatrix){gemm_at(x, row, column), x.stride, x.turned};
}

enum {
    GEMM_COLUMNS = 32, /* of the right operand, packed together */
    GEMM_STEP = 32,    /* k is packed in multiples of it */
    GEMM_SPARE = 16 /* floats a row of the left operand, so that strips need not lie pages apart */
};

static inline size_t gemm_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* Bytes that serve for a packed left operand of m rows; 64-byte aligned. */
static inline size_t gemm_a_bytes(size_t m, size_t k)
{
    return (m + GEMM_COLUMNS) * (gemm_up(k, GEMM_STEP) + GEMM_SPARE) * sizeof(float);
}

#endif
