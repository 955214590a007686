/* Element-wise and row kernels in plain C: what they mean. Reductions and exponentials are done in
 * float64, so that a faster version is judged against the right answer and not against another
 * rounding of it; the rest rounds each operation once and every version gives the same bits. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/parts.h"

/* Squares are float32's: those of numbers beyond 1.8e19 are infinite, and all results then 0. */
static void rmsnorm(const float *x, const float *weight, float eps, size_t n, float *out)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)(x[i] * x[i]);
    float factor = (float)(1.0 / sqrt(sum / (double)(n ? n : 1) + eps));
    for (size_t i = 0; i < n; i++) out[i] = x[i] * factor * (weight ? weight[i] : 1);
}

static void layernorm(const float *x, const float *weight, const float *bias, float eps, size_t n,
                      float *out)
{
    double sum = 0, squares = 0, count = (double)(n ? n : 1);
    for (size_t i = 0; i < n; i++) sum += x[i];
    double mean = sum / count;
    for (size_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    double factor = 1.0 / sqrt(squares / count + eps);
    for (size_t i = 0; i < n; i++)
        out[i] = (float)((x[i] - mean) * factor * (weight ? weight[i] : 1) + (bias ? bias[i] : 0));
}

static void cut(const float *x, float deviations, size_t n, float *out)
{
    double sum = 0, squares = 0, count = (double)(n ? n : 1);
    for (size_t i = 0; i < n; i++) sum += x[i];
    double mean = sum / count;
    for (size_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    double least = mean + deviations * sqrt(squares / count);
    for (size_t i = 0; i < n; i++) out[i] = x[i] > least ? (float)(x[i] - least) : 0;
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

static void swiglu_clamped(const float *gate, const float *up, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) {
        double g = fmin((double)gate[i], 7), u = fmax(-7, fmin((double)up[i], 7));
        out[i] = (float)(g / (1.0 + exp(-1.702 * g)) * (u + 1));
    }
}

/* 1.5957...: 2 sqrt(2 / pi), 0.7071...: sqrt(1 / 2); 1 + erf and 1 + tanh are written so that
 * nothing cancels where they are near 0 */
static double activated(Activation activation, double x)
{
    switch (activation) {
    case ACT_SILU: return x / (1 + exp(-x));
    case ACT_GELU: return 0.5 * x * erfc(x * -0.70710678118654752440);
    case ACT_GELU_TANH: return x / (1 + exp(-1.59576912160573071176 * (x + 0.044715 * x * x * x)));
    case ACT_RELU: return x > 0 ? x : 0;
    case ACT_RELU2: return x > 0 ? x * x : 0;
    case ACT_SIGMOID: return 1 / (1 + exp(-x));
    case ACT_TANH: return tanh(x);
    case ACT_SOFTPLUS: return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
    case ACT_GATE_CLAMPED:
    case ACT_NONE: break;
    }
    return x;
}

static void activate(Activation activation, const float *x, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) out[i] = (float)activated(activation, x[i]);
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

/* Those of n (at most 64) without their bit become -inf. Four at a time by a mask of their four
 * bits, without branches: compilers make vectors of it. */
static void strike(float *x, uint64_t bits, size_t n)
{
    enum { ALL = -1 };
    static const int32_t keep[16][4] = {
        {0, 0, 0, 0},     {ALL, 0, 0, 0},     {0, ALL, 0, 0},     {ALL, ALL, 0, 0},
        {0, 0, ALL, 0},   {ALL, 0, ALL, 0},   {0, ALL, ALL, 0},   {ALL, ALL, ALL, 0},
        {0, 0, 0, ALL},   {ALL, 0, 0, ALL},   {0, ALL, 0, ALL},   {ALL, ALL, 0, ALL},
        {0, 0, ALL, ALL}, {ALL, 0, ALL, ALL}, {0, ALL, ALL, ALL}, {ALL, ALL, ALL, ALL}};
    const int32_t struck = (int32_t)0xFF800000; /* -inf */
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const int32_t *four = keep[bits >> i & 15];
        int32_t part[4];
        memcpy(part, x + i, sizeof part);
        for (int k = 0; k < 4; k++) part[k] = (part[k] & four[k]) | (struck & ~four[k]);
        memcpy(x + i, part, sizeof part);
    }
    for (; i < n; i++)
        if (!(bits >> i & 1)) x[i] = -INFINITY;
}

static float clean(float *x, size_t n)
{
    float lane[8], best = -INFINITY;
    size_t i = 0;
    for (int j = 0; j < 8; j++) lane[j] = -INFINITY;
    for (; i + 8 <= n; i += 8) {
        for (int j = 0; j < 8; j++) {
            float v = x[i + (size_t)j];
            v = v > -INFINITY ? v : -INFINITY;
            v = v < FLT_MAX ? v : FLT_MAX;
            x[i + (size_t)j] = v;
            lane[j] = v > lane[j] ? v : lane[j];
        }
    }
    for (; i < n; i++) {
        float v = x[i] > -INFINITY ? x[i] : -INFINITY;
        x[i] = v = v < FLT_MAX ? v : FLT_MAX;
        best = v > best ? v : best;
    }
    for (int j = 0; j < 8; j++) best = lane[j] > best ? lane[j] : best;
    return best;
}

static void peaks(float *x, const uint64_t *bits, size_t n, float *peak)
{
    for (size_t i = 0; i < n; i += 64) {
        uint64_t keep = bits ? bits[i / 64] : UINT64_MAX;
        size_t some = n - i < 64 ? n - i : 64;
        if (some < 64) keep &= ((uint64_t)1 << some) - 1;
        peak[i / 64] = -INFINITY;
        if (!keep) continue;
        if (~keep) strike(x + i, keep, some);
        peak[i / 64] = clean(x + i, some);
    }
}

void kernels_ref_vector(Kernels *table)
{
    table->peaks = peaks;
    table->rmsnorm = rmsnorm;
    table->cut = cut;
    table->add = add;
    table->mul = mul;
    table->axpy = axpy;
    table->scale = scale;
    table->swiglu = swiglu;
    table->swiglu_clamped = swiglu_clamped;
    table->activate = activate;
    table->layernorm = layernorm;
    table->softmax = softmax;
    table->dot = dot;
    table->rope = rope;
}
