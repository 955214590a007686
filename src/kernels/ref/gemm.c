/* What gemm means (see kernels/gemm.h). Packed operands lie k by k: rows of a, columns of x. */
#include "kernels/gemm.h"

#include "kernels/parts.h"
#include "tensor/half.h"

static float taken(GemmPrecision p, float x)
{
    return p == GEMM_BF16 ? bf16_to_f32(f32_to_bf16(x)) : x;
}

static size_t gemm_group(GemmPrecision p, size_t k)
{
    (void)p;
    return GEMM_COLUMNS * gemm_up(k, GEMM_STEP) * sizeof(float);
}

static void gemm_pack_a(GemmPrecision p, GemmMatrix a, size_t m, size_t k, void *packed)
{
    float *to = packed;
    size_t side = gemm_up(k, GEMM_STEP);
    for (size_t i = 0; i < m; i++)
        for (size_t l = 0; l < side; l++)
            to[i * side + l] = l < k ? taken(p, *gemm_at(a, i, l)) : 0;
}

static void gemm_pack_x(GemmPrecision p, GemmMatrix x, size_t n, size_t from, size_t k,
                        size_t total, void *packed)
{
    float *to = packed;
    size_t side = gemm_up(total, GEMM_STEP), end = gemm_up(k, GEMM_STEP);
    for (size_t j = 0; j < gemm_up(n, GEMM_COLUMNS); j++)
        for (size_t l = 0; l < end; l++)
            to[j * side + from + l] = j < n && l < k ? taken(p, *gemm_at(x, l, j)) : 0;
}

static void gemm(GemmPrecision p, size_t m, size_t n, size_t k, size_t total, const void *a,
                 const void *x, float *c, size_t c_stride, bool add)
{
    const float *left = a, *right = x;
    size_t side = gemm_up(k, GEMM_STEP), right_side = gemm_up(total, GEMM_STEP);
    (void)p;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = add ? (double)c[i * c_stride + j] : 0;
            for (size_t l = 0; l < k; l++)
                sum += (double)left[i * side + l] * (double)right[j * right_side + l];
            c[i * c_stride + j] = (float)sum;
        }
}

void kernels_ref_gemm(Kernels *table)
{
    table->gemm_group = gemm_group;
    table->gemm_pack_a = gemm_pack_a;
    table->gemm_pack_x = gemm_pack_x;
    table->gemm = gemm;
}
