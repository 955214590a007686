/* Element-wise and row kernels in plain C: what they mean. Reductions and exponentials are done in
 * float64, so that a faster version is judged against the right answer and not against another
 * rounding of it; the rest rounds each operation once and every version gives the same bits. */
#include <math.h>

#include "kernels/parts.h"

static void rmsnorm(const float *x, const float *weight, float eps, size_t n, float *out)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    float factor = (float)(1.0 / sqrt(sum / (double)(n ? n : 1) + eps));
    for (size_t i = 0; i < n; i++) out[i] = x[i] * factor * weight[i];
}

static void add(const float *a, const float *b, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) out[i] = a[i] + b[i];
}

static void mul(const float *a, const float *b, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) out[i] = a[i] * b[i];
}

static void axpy(float alpha, const float *x, size_t n, float *y)
{
    for (size_t i = 0; i < n; i++) y[i] += alpha * x[i];
}

static void scale(float alpha, const float *x, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) out[i] = alpha * x[i];
}

static void swiglu(const float *gate, const float *up, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) {
        double g = gate[i];
        out[i] = (float)(g / (1.0 + exp(-g)) * up[i]);
    }
}

static void softmax(float *x, size_t n)
{
    float top = -INFINITY;
    for (size_t i = 0; i < n; i++)
        if (x[i] > top) top = x[i];
    if (top == -INFINITY) {
        for (size_t i = 0; i < n; i++) x[i] = 0;
        return;
    }
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += exp((double)x[i] - top);
    for (size_t i = 0; i < n; i++) x[i] = (float)(exp((double)x[i] - top) / sum);
}

static float dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * b[i];
    return (float)sum;
}

static void rope(float *x, const float *cos, const float *sin, size_t half, bool adjacent)
{
    for (size_t i = 0; i < half; i++) {
        float *a = adjacent ? x + 2 * i : x + i, *b = adjacent ? a + 1 : a + half;
        float x0 = *a, x1 = *b;
        *a = x0 * cos[i] - x1 * sin[i];
        *b = x0 * sin[i] + x1 * cos[i];
    }
}

void kernels_ref_vector(Kernels *table)
{
    table->rmsnorm = rmsnorm;
    table->add = add;
    table->mul = mul;
    table->axpy = axpy;
    table->scale = scale;
    table->swiglu = swiglu;
    table->softmax = softmax;
    table->dot = dot;
    table->rope = rope;
}
