/* Element-wise and row kernels for any vector width (see wide.h). What ref/ rounds once an
 * operation is rounded the same here: no fused multiply-add in axpy and rope. */
#ifndef KERNELS_WIDE_ROWS_H
#define KERNELS_WIDE_ROWS_H

#include <float.h>

#include "kernels/parts.h"
#include "kernels/wide/wide.h"

/* out = expression of a and b over n elements, the last vector in part */
#define EACH_OF_TWO(expression)                                                                    \
    size_t i = 0;                                                                                  \
    for (; i + LANES <= n; i += LANES) {                                                           \
        vf a = vf_load(left + i), b = vf_load(right + i);                                          \
        vf_store(out + i, expression);                                                             \
    }                                                                                              \
    if (i < n) {                                                                                   \
        vf a = vf_load_part(left + i, n - i), b = vf_load_part(right + i, n - i);                  \
        vf_store_part(out + i, expression, n - i);                                                 \
    }

static void add(const float *left, const float *right, size_t n, float *out)
{
    EACH_OF_TWO(vf_add(a, b))
}

static void mul(const float *left, const float *right, size_t n, float *out)
{
    EACH_OF_TWO(vf_mul(a, b))
}

static void axpy(float alpha, const float *right, size_t n, float *out)
{
    const float *left = out;
    vf by = vf_set(alpha);
    EACH_OF_TWO(vf_add(a, vf_mul(by, b)))
}

static void scale(float alpha, const float *x, size_t n, float *out)
{
    vf by = vf_set(alpha);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) vf_store(out + i, vf_mul(by, vf_load(x + i)));
    if (i < n) vf_store_part(out + i, vf_mul(by, vf_load_part(x + i, n - i)), n - i);
}

static void swiglu(const float *left, const float *right, size_t n, float *out)
{
    vf one = vf_set(1), zero = vf_set(0);
    EACH_OF_TWO(vf_mul(vf_div(a, vf_add(one, vf_exp(vf_sub(zero, a)))), b))
}

static void swiglu_clamped(const float *left, const float *right, size_t n, float *out)
{
    vf one = vf_set(1), most = vf_set(7), least = vf_set(-7), slope = vf_set(-1.702f);
    EACH_OF_TWO(vf_mul(vf_div(vf_min(a, most), vf_add(one, vf_exp(vf_mul(slope, vf_min(a, most))))),
                       vf_add(one, vf_max(least, vf_min(b, most)))))
}
#undef EACH_OF_TWO

/* out = expression of a over n elements */
#define EACH(expression)                                                                           \
    size_t i = 0;                                                                                  \
    for (; i + LANES <= n; i += LANES) {                                                           \
        vf a = vf_load(x + i);                                                                     \
        vf_store(out + i, expression);                                                             \
    }                                                                                              \
    if (i < n) {                                                                                   \
        vf a = vf_load_part(x + i, n - i);                                                         \
        vf_store_part(out + i, expression, n - i);                                                 \
    }

static void silu(const float *x, size_t n, float *out)
{
    vf one = vf_set(1), zero = vf_set(0);
    EACH(vf_div(a, vf_add(one, vf_exp(vf_sub(zero, a)))))
}

static void sigmoid(const float *x, size_t n, float *out)
{
    vf one = vf_set(1), zero = vf_set(0);
    EACH(vf_div(one, vf_add(one, vf_exp(vf_sub(zero, a)))))
}

/* x/2 (1 + tanh(t)) = x / (1 + exp(-2 t)), t = sqrt(2 / pi) (x + 0.044715 x^3): no cancellation
 * where tanh is near -1 */
static void gelu_tanh(const float *x, size_t n, float *out)
{
    vf one = vf_set(1), cubic = vf_set(0.044715f), slope = vf_set(-1.5957691216057308f);
    EACH(vf_div(a, vf_add(one, vf_exp(vf_mul(vf_mul(slope, a), vf_fma(vf_mul(a, a), cubic, one))))))
}

/* x Phi(x) = max(x, 0) - |x| erfc(z) / 2, z = |x| / sqrt(2). erfc(z) = exp(-z^2) p(t) with t = 1 /
 * (1 + z / 2): p is a least squares fit of degree 9 to erfcx for z up to 9.5, relative errors below
 * 2e-7; beyond it the exponential is 0. */
WIDE vf gelu_of(vf x)
{
    vf a = vf_min(vf_abs(x), vf_set(16)), half = vf_set(-0.5f);
    vf t = vf_div(vf_set(1), vf_fma(a, vf_set(0.353553391f), vf_set(1))),
       p = vf_set(-0.0530330390f);
    p = vf_fma(p, t, vf_set(0.252899736f));
    p = vf_fma(p, t, vf_set(-0.415601730f));
    p = vf_fma(p, t, vf_set(0.186858326f));
    p = vf_fma(p, t, vf_set(0.0452919565f));
    p = vf_fma(p, t, vf_set(0.166422471f));
    p = vf_fma(p, t, vf_set(0.254752368f));
    p = vf_fma(p, t, vf_set(0.280085891f));
    p = vf_fma(p, t, vf_set(0.282335371f));
    p = vf_fma(p, t, vf_set(-1.13922451e-5f));
    vf half_a = vf_mul(half, a), e = vf_exp(vf_mul(half_a, a));
    return vf_fma(vf_mul(half_a, p), e, vf_max(x, vf_set(0)));
}

static void gelu(const float *x, size_t n, float *out)
{
    EACH(gelu_of(a))
}

static void relu2(const float *x, size_t n, float *out)
{
    vf zero = vf_set(0);
    EACH(vf_mul(vf_max(a, zero), vf_max(a, zero)))
}

static void hyperbolic(const float *x, size_t n, float *out)
{
    EACH(vf_tanh(a))
}

static void softplus(const float *x, size_t n, float *out)
{
    EACH(vf_softplus(a))
}
#undef EACH

/* The rest is rare: plain C. */
static void activate(Activation activation, const float *x, size_t n, float *out)
{
    Kernels plain;
    switch (activation) {
    case ACT_SILU: silu(x, n, out); return;
    case ACT_GELU: gelu(x, n, out); return;
    case ACT_GELU_TANH: gelu_tanh(x, n, out); return;
    case ACT_RELU2: relu2(x, n, out); return;
    case ACT_SIGMOID: sigmoid(x, n, out); return;
    case ACT_TANH: hyperbolic(x, n, out); return;
    case ACT_SOFTPLUS: softplus(x, n, out); return;
    case ACT_RELU:
    case ACT_GATE_CLAMPED:
    case ACT_NONE: break;
    }
    kernels_ref_vector(&plain);
    plain.activate(activation, x, n, out);
}

static float dot(const float *a, const float *b, size_t n)
{
    enum { UNIT = SIDES * LANES };
    vf s[4][SIDES];
    size_t i = 0;
    UNROLL
    for (int j = 0; j < 4 * SIDES; j++) s[j / SIDES][j % SIDES] = vf_set(0);
    for (; i + 4 * UNIT <= n; i += 4 * UNIT) {
        UNROLL
        for (int j = 0; j < 4 * SIDES; j++) {
            vf *sum = &s[j / SIDES][j % SIDES];
            *sum = vf_fma(vf_load(a + i + j * LANES), vf_load(b + i + j * LANES), *sum);
        }
    }
    for (; i + UNIT <= n; i += UNIT) {
        UNROLL
        for (int side = 0; side < SIDES; side++) {
            vf *sum = &s[0][side];
            *sum = vf_fma(vf_load(a + i + side * LANES), vf_load(b + i + side * LANES), *sum);
        }
    }
    UNROLL
    for (int side = 0; side < SIDES; side++, i += LANES) {
        if (i >= n) break;
        bool whole = n - i >= LANES;
        vf x = whole ? vf_load(a + i) : vf_load_part(a + i, n - i);
        vf y = whole ? vf_load(b + i) : vf_load_part(b + i, n - i);
        s[1][side] = vf_fma(x, y, s[1][side]);
    }
    vf sum = vf_add(vf_add(s[0][0], s[1][0]), vf_add(s[2][0], s[3][0]));
    if (SIDES == 2)
        sum = vf_add(sum, vf_add(vf_add(s[0][SIDES - 1], s[1][SIDES - 1]),
                                 vf_add(s[2][SIDES - 1], s[3][SIDES - 1])));
    return vf_sum(sum);
}

/* Where only the sum of the squares is out of float32's range, it is taken in float64. */
static float mean_square(const float *x, size_t n)
{
    double sum = (double)dot(x, x, n);
    if (sum > FLT_MAX) {
        sum = 0;
        for (size_t i = 0; i < n; i++) sum += (double)(x[i] * x[i]);
    }
    return (float)(sum / (double)(n ? n : 1));
}

static void rmsnorm(const float *x, const float *weight, float eps, size_t n, float *out)
{
    float mean = mean_square(x, n);
    vf factor = vf_set(1 / sqrtf(mean + eps));
    size_t i = 0;
    if (!weight) {
        scale(1 / sqrtf(mean + eps), x, n, out);
        return;
    }
    for (; i + LANES <= n; i += LANES)
        vf_store(out + i, vf_mul(vf_mul(vf_load(x + i), factor), vf_load(weight + i)));
    if (i < n) {
        vf last = vf_mul(vf_load_part(x + i, n - i), factor);
        vf_store_part(out + i, vf_mul(last, vf_load_part(weight + i, n - i)), n - i);
    }
}

/* out = x - mean; returns the mean square of out. The mean is summed in float64 and taken off
 * first, so that the variance does not cancel. */
static float centre(const float *x, size_t n, float *out)
{
    enum { SUMS = 8 }; /* additions that do not wait for each other */
    double sum[SUMS] = {0}, all = 0;
    size_t i = 0;
    for (; i + SUMS <= n; i += SUMS)
        for (size_t j = 0; j < SUMS; j++) sum[j] += (double)x[i + j];
    for (; i < n; i++) sum[0] += (double)x[i];
    for (size_t j = 0; j < SUMS; j++) all += sum[j];
    float mean = (float)(all / (double)(n ? n : 1));
    for (i = 0; i < n; i++) out[i] = x[i] - mean;
    return dot(out, out, n) / (float)(n ? n : 1);
}

static void cut(const float *x, float deviations, size_t n, float *out)
{
    vf least = vf_set(deviations * sqrtf(centre(x, n, out))), zero = vf_set(0);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        vf_store(out + i, vf_max(vf_sub(vf_load(out + i), least), zero));
    if (i < n)
        vf_store_part(out + i, vf_max(vf_sub(vf_load_part(out + i, n - i), least), zero), n - i);
}

static void layernorm(const float *x, const float *weight, const float *bias, float eps, size_t n,
                      float *out)
{
    float factor = 1 / sqrtf(centre(x, n, out) + eps);
    scale(factor, out, n, out);
    if (weight) mul(out, weight, n, out);
    if (bias) add(out, bias, n, out);
}

static float top_of(const float *x, size_t n)
{
    vf top = vf_set(-INFINITY);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) top = vf_max(top, vf_load(x + i));
    if (i < n)
        top = vf_max(top, vf_within(vf_load_part(x + i, n - i), vf_set(-INFINITY), 0, n - i));
    return vf_top(top);
}

static void softmax(float *x, size_t n)
{
    float top = top_of(x, n);
    if (top == -INFINITY) {
        for (size_t i = 0; i < n; i++) x[i] = 0;
        return;
    }
    vf tops = vf_set(top), sum = vf_set(0);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vf e = vf_exp(vf_sub(vf_load(x + i), tops));
        vf_store(x + i, e);
        sum = vf_add(sum, e);
    }
    if (i < n) {
        vf e = vf_exp(vf_sub(vf_load_part(x + i, n - i), tops));
        vf_store_part(x + i, e, n - i);
        sum = vf_add(sum, vf_within(e, vf_set(0), 0, n - i));
    }
    scale(1 / vf_sum(sum), x, n, x);
}

WIDE void turn(vf *a, vf *b, vf cos, vf sin)
{
    vf x0 = *a, x1 = *b;
    *a = vf_sub(vf_mul(x0, cos), vf_mul(x1, sin));
    *b = vf_add(vf_mul(x0, sin), vf_mul(x1, cos));
}

static void rope(float *x, const float *cos, const float *sin, size_t half, bool adjacent)
{
    size_t i = 0;
    for (; i + LANES <= half; i += LANES) {
        vf c = vf_load(cos + i), s = vf_load(sin + i);
        if (adjacent) {
            vf a = vf_even(x + 2 * i), b = vf_odd(x + 2 * i);
            turn(&a, &b, c, s);
            vf_zip_store(x + 2 * i, a, b);
        } else {
            vf a = vf_load(x + i), b = vf_load(x + i + half);
            turn(&a, &b, c, s);
            vf_store(x + i, a);
            vf_store(x + i + half, b);
        }
    }
    for (; i < half; i++) {
        float *a = adjacent ? x + 2 * i : x + i, *b = adjacent ? a + 1 : a + half;
        float x0 = *a, x1 = *b;
        *a = x0 * cos[i] - x1 * sin[i];
        *b = x0 * sin[i] + x1 * cos[i];
    }
}

static void register_rows(Kernels *table)
{
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

#endif
