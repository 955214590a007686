/* Product of float weights in row order with activations: the meaning, accumulated in float64.
 * Weights need not be aligned (a GGUF promises it, a hostile one may not keep it). */
#include <assert.h>
#include <string.h>

#include "kernels/parts.h"
#include "tensor/dtype.h"
#include "tensor/half.h"

static double row_f32(const unsigned char *w, const float *x, size_t k)
{
    double sum = 0;
    for (size_t i = 0; i < k; i++) {
        float weight;
        memcpy(&weight, w + 4 * i, 4);
        sum += (double)weight * x[i];
    }
    return sum;
}

static double row_f16(const unsigned char *w, const float *x, size_t k)
{
    double sum = 0;
    for (size_t i = 0; i < k; i++) {
        uint16_t h;
        memcpy(&h, w + 2 * i, 2);
        sum += (double)f16_to_f32(h) * x[i];
    }
    return sum;
}

static double row_bf16(const unsigned char *w, const float *x, size_t k)
{
    double sum = 0;
    for (size_t i = 0; i < k; i++) {
        uint16_t h;
        memcpy(&h, w + 2 * i, 2);
        sum += (double)bf16_to_f32(h) * x[i];
    }
    return sum;
}

static void matmul_rows(uint32_t type, const void *w, size_t w_stride, size_t n, size_t k,
                        const float *x, size_t x_stride, size_t m, float *out, size_t out_stride)
{
    assert(type == DT_F32 || type == DT_F16 || type == DT_BF16);
    double (*row)(const unsigned char *, const float *, size_t) = type == DT_F32   ? row_f32
                                                                  : type == DT_F16 ? row_f16
                                                                                   : row_bf16;
    for (size_t j = 0; j < m; j++)
        for (size_t i = 0; i < n; i++)
            out[j * out_stride + i] =
                (float)row((const unsigned char *)w + i * w_stride, x + j * x_stride, k);
}

void kernels_ref_matmul_rows(Kernels *table)
{
    table->matmul_rows = matmul_rows;
}
