/* Kernels of training for any vector width (see wide.h, kernels/train.h).
 * spills divergence: two exponentials and a logarithm at once; AVX2 has 16 registers
 * spills activate_back: the same of an exponential and two results */
#ifndef KERNELS_WIDE_TRAIN_H
#define KERNELS_WIDE_TRAIN_H

#include <math.h>

#include "kernels/parts.h"
#include "kernels/wide/wide.h"

/* The last vector of a row may be a part: lanes behind the end load as 0 and are not stored. */
WIDE vf load_some(const float *p, size_t left)
{
    return left >= LANES ? vf_load(p) : vf_load_part(p, left);
}

WIDE void store_some(float *p, vf v, size_t left)
{
    if (left >= LANES)
        vf_store(p, v);
    else
        vf_store_part(p, v, left);
}

/* Lanes behind the end become `other`. */
WIDE vf some_or(vf v, vf other, size_t left)
{
    return left >= LANES ? v : vf_within(v, other, 0, left);
}

/* ---- losses ---- */

WIDE float top_of_row(const float *x, vf inverse, size_t n)
{
    vf least = vf_set(-INFINITY), top = least;
    for (size_t i = 0; i < n; i += LANES)
        top = vf_max(top, some_or(vf_mul(load_some(x + i, n - i), inverse), least, n - i));
    return vf_top(top);
}

/* exp(x inverse - top) into out, where there is one; returns their sum. */
WIDE float powers(const float *x, vf inverse, float top, size_t n, float *out)
{
    vf sum = vf_set(0), tops = vf_set(-top);
    for (size_t i = 0; i < n; i += LANES) {
        vf e = vf_exp(vf_fma(load_some(x + i, n - i), inverse, tops));
        if (out) store_some(out + i, e, n - i);
        sum = vf_add(sum, some_or(e, vf_set(0), n - i));
    }
    return vf_sum(sum);
}

static float softmax_times(const float *x, float inverse, float factor, size_t n, float *out)
{
    vf by = vf_set(inverse);
    float top = top_of_row(x, by, n), sum = powers(x, by, top, n, out);
    by = vf_set(factor / sum);
    for (size_t i = 0; i < n && out; i += LANES)
        store_some(out + i, vf_mul(load_some(out + i, n - i), by), n - i);
    return top + logf(sum);
}

typedef struct Mixture {
    vf inverse, student, teacher; /* student, teacher: - log of the sum of exp */
    vf mix, rest, log_mix, log_rest;
} Mixture;

enum { FORWARD, REVERSE, MIXED };

/* Of LANES tokens: log probabilities of student and teacher, their probabilities, and what the
 * gradient goes by: d = ps (g - sum of ps g), for FORWARD ps - pt. Returns terms of the loss. */
WIDE vf diverge(int kind, const Mixture *x, const float *from, const float *teacher, size_t left,
                vf *ps, vf *pt, vf *g)
{
    vf least = vf_set(-100);
    vf s = vf_max(vf_fma(load_some(from, left), x->inverse, x->student), least);
    vf t = vf_max(vf_fma(load_some(teacher, left), x->inverse, x->teacher), least);
    *ps = some_or(vf_exp(s), vf_set(0), left);
    *pt = some_or(vf_exp(t), vf_set(0), left);
    *g = vf_sub(s, t);
    if (kind == FORWARD) return vf_mul(*pt, vf_sub(t, s));
    if (kind == REVERSE) return vf_mul(*ps, *g);
    /* the logarithm of the mixture: of the larger of two, and what the other adds */
    vf a = vf_add(s, x->log_rest), b = vf_add(t, x->log_mix);
    vf m = vf_add(a, vf_softplus(vf_sub(b, a)));
    *g = vf_mul(x->rest, vf_sub(s, m));
    return vf_fma(vf_mul(x->mix, *pt), vf_sub(t, m), vf_mul(*ps, *g));
}

WIDE float diverge_rows(int kind, const Mixture *mixture, const float *x, const float *teacher,
                        float factor, size_t n, float *d)
{
    vf loss = vf_set(0), along = loss, ps, pt, g, by = vf_set(factor);
    for (size_t i = 0; i < n; i += LANES) {
        vf term = diverge(kind, mixture, x + i, teacher + i, n - i, &ps, &pt, &g);
        loss = vf_add(loss, term);
        along = vf_fma(ps, g, along);
    }
    along = vf_set(vf_sum(along));
    for (size_t i = 0; i < n && d; i += LANES) {
        diverge(kind, mixture, x + i, teacher + i, n - i, &ps, &pt, &g);
        vf to = kind == FORWARD ? vf_sub(ps, pt) : vf_mul(ps, vf_sub(g, along));
        store_some(d + i, vf_mul(by, to), n - i);
    }
    return vf_sum(loss);
}

static float divergence(const float *x, const float *teacher, float inverse, float mix,
                        float factor, size_t n, float *d)
{
    vf by = vf_set(inverse);
    float top_s = top_of_row(x, by, n), top_t = top_of_row(teacher, by, n);
    Mixture m = {.inverse = by,
                 .student = vf_set(-(top_s + logf(powers(x, by, top_s, n, NULL)))),
                 .teacher = vf_set(-(top_t + logf(powers(teacher, by, top_t, n, NULL)))),
                 .mix = vf_set(mix),
                 .rest = vf_set(1 - mix)};
    factor *= inverse;
    if (mix <= 0) return diverge_rows(FORWARD, &m, x, teacher, factor, n, d);
    if (mix >= 1) return diverge_rows(REVERSE, &m, x, teacher, factor, n, d);
    m.log_mix = vf_set(logf(mix));
    m.log_rest = vf_set(log1pf(-mix));
    return diverge_rows(MIXED, &m, x, teacher, factor, n, d);
}

/* ---- optimiser ---- */

static void adamw(const AdamStep *a, const float *g, size_t n, float *w, float *m, float *v)
{
    vf scale = vf_set(a->scale), b1 = vf_set(a->beta1), b2 = vf_set(a->beta2);
    vf c1 = vf_set(1 - a->beta1), c2 = vf_set(1 - a->beta2), eps = vf_set(a->eps);
    vf rate = vf_set(-a->rate), root = vf_set(a->root), keep = vf_set(a->keep);
    for (size_t i = 0; i < n; i += LANES) {
        vf x = vf_mul(load_some(g + i, n - i), scale);
        vf first = vf_fma(b1, load_some(m + i, n - i), vf_mul(c1, x));
        vf second = vf_fma(b2, load_some(v + i, n - i), vf_mul(c2, vf_mul(x, x)));
        vf by = vf_div(vf_mul(rate, first), vf_fma(vf_sqrt(second), root, eps));
        store_some(w + i, vf_fma(load_some(w + i, n - i), keep, by), n - i);
        store_some(m + i, first, n - i);
        store_some(v + i, second, n - i);
    }
}

/* ---- activations ---- */

WIDE vf sigmoid_of(vf x)
{
    vf one = vf_set(1);
    return vf_div(one, vf_add(one, vf_exp(vf_sub(vf_set(0), x))));
}

WIDE vf silu_slope(vf x, vf *value)
{
    vf one = vf_set(1), s = sigmoid_of(x);
    *value = vf_mul(x, s);
    return vf_mul(s, vf_fma(x, vf_sub(one, s), one));
}

/* x s, s = sigmoid(u), u = 2 sqrt(2 / pi) (x + 0.044715 x^3); beyond 30 the slope is s */
WIDE vf gelu_tanh_slope(vf x, vf *value)
{
    vf one = vf_set(1), a = vf_set(1.5957691216057308f), z, u, s, inner;
    z = vf_max(vf_set(-30), vf_min(vf_set(30), x));
    u = vf_mul(vf_mul(a, z), vf_fma(vf_mul(z, z), vf_set(0.044715f), one));
    s = sigmoid_of(u);
    inner = vf_mul(vf_mul(a, z), vf_fma(vf_mul(z, z), vf_set(3 * 0.044715f), one));
    *value = vf_mul(x, s);
    return vf_mul(s, vf_fma(inner, vf_sub(one, s), one));
}

/* y NULL: 1. d_x or d_y NULL: not wanted. */
#define BACK(name, slope_of)                                                                       \
    static void name(const float *x, const float *y, const float *d, size_t n, float *d_x,         \
                     float *d_y)                                                                   \
    {                                                                                              \
        for (size_t i = 0; i < n; i += LANES) {                                                    \
            vf value, slope = slope_of(load_some(x + i, n - i), &value);                           \
            vf by = load_some(d + i, n - i), to = by;                                              \
            if (y) to = vf_mul(by, load_some(y + i, n - i));                                       \
            if (d_x) store_some(d_x + i, vf_fma(to, slope, load_some(d_x + i, n - i)), n - i);     \
            if (d_y) store_some(d_y + i, vf_fma(by, value, load_some(d_y + i, n - i)), n - i);     \
        }                                                                                          \
    }
BACK(silu_back, silu_slope)
BACK(gelu_tanh_back, gelu_tanh_slope)
#undef BACK

/* The rest is rare: plain C. */
static void activate_back(Activation activation, const float *x, const float *y, const float *d,
                          size_t n, float *d_x, float *d_y)
{
    if (activation == ACT_SILU) {
        silu_back(x, y, d, n, d_x, d_y);
    } else if (activation == ACT_GELU_TANH) {
        gelu_tanh_back(x, y, d, n, d_x, d_y);
    } else {
        Kernels plain;
        kernels_ref_train(&plain);
        plain.activate_back(activation, x, y, d, n, d_x, d_y);
    }
}

static void add_product(const float *a, const float *b, size_t n, float *y)
{
    for (size_t i = 0; i < n; i += LANES) {
        vf x = load_some(a + i, n - i), z = load_some(b + i, n - i);
        store_some(y + i, vf_fma(x, z, load_some(y + i, n - i)), n - i);
    }
}

/* ---- norms ---- */

WIDE vf gain_of(const float *d, const float *weight, size_t left)
{
    vf g = load_some(d, left);
    return weight ? vf_mul(g, load_some(weight, left)) : g;
}

/* The mean is taken off first, so that the variance does not cancel. */
static void norm_back(const float *x, const float *weight, float eps, bool centred, const float *d,
                      size_t n, float *of, float *d_x)
{
    vf sum = vf_set(0), squares = sum, gs = sum, along = sum;
    for (size_t i = 0; centred && i < n; i += LANES) sum = vf_add(sum, load_some(x + i, n - i));
    float count = (float)(n ? n : 1), mean = centred ? vf_sum(sum) / count : 0;
    vf means = vf_set(mean);
    for (size_t i = 0; i < n; i += LANES) {
        vf z = some_or(vf_sub(load_some(x + i, n - i), means), vf_set(0), n - i);
        vf g = gain_of(d + i, weight ? weight + i : NULL, n - i);
        squares = vf_fma(z, z, squares);
        gs = vf_add(gs, g);
        along = vf_fma(g, z, along);
    }
    float inverse = 1 / sqrtf(vf_sum(squares) / count + eps);
    of[0] = mean, of[1] = inverse;
    if (!d_x) return;
    /* d_x += inverse g - inverse mean(g) - (x - mean) inverse^3 mean(g (x - mean)) */
    vf factor = vf_set(inverse), less = vf_set(centred ? -inverse * vf_sum(gs) / count : 0);
    vf by = vf_set(-inverse * inverse * inverse * (vf_sum(along) / count));
    for (size_t i = 0; i < n; i += LANES) {
        vf z = vf_sub(load_some(x + i, n - i), means);
        vf g = gain_of(d + i, weight ? weight + i : NULL, n - i);
        vf to = vf_fma(factor, g, vf_fma(by, z, less));
        store_some(d_x + i, vf_add(load_some(d_x + i, n - i), to), n - i);
    }
}

/* Sums of SUM_ROWS rows are added to each other, not to a long sum. */
enum { SUM_ROWS = 64 };

/* LANES columns */
WIDE void columns(const float *d, size_t d_stride, const float *x, size_t x_stride, const float *of,
                  size_t of_stride, size_t rows, size_t left, float *weight, float *bias)
{
    vf w = vf_set(0), b = w;
    for (size_t first = 0; first < rows; first += SUM_ROWS) {
        vf w_part = vf_set(0), b_part = w_part;
        size_t end = rows - first < SUM_ROWS ? rows : first + SUM_ROWS;
        for (size_t i = first; i < end; i++) {
            vf by = load_some(d + i * d_stride, left);
            b_part = vf_add(b_part, by);
            if (!weight) continue;
            vf at = load_some(x + i * x_stride, left);
            if (of)
                at = vf_mul(vf_sub(at, vf_set(of[i * of_stride])), vf_set(of[i * of_stride + 1]));
            w_part = vf_fma(by, at, w_part);
        }
        w = vf_add(w, w_part);
        b = vf_add(b, b_part);
    }
    if (weight) store_some(weight, vf_add(load_some(weight, left), w), left);
    if (bias) store_some(bias, vf_add(load_some(bias, left), b), left);
}

static void norm_columns(const float *d, size_t d_stride, const float *x, size_t x_stride,
                         const float *of, size_t of_stride, size_t rows, size_t n, float *weight,
                         float *bias)
{
    for (size_t j = 0; j < n; j += LANES)
        columns(d + j, d_stride, x ? x + j : NULL, x_stride, of, of_stride, rows, n - j,
                weight ? weight + j : NULL, bias ? bias + j : NULL);
}

/* ---- attention ---- */

typedef struct Scores {
    vf scale, cap, uncap; /* uncap: scale / cap */
    bool capped;
} Scores;

WIDE Scores scores_of(const ScoreRow *r)
{
    bool capped = r->cap != 0;
    return (Scores){vf_set(r->scale), vf_set(r->cap), vf_set(capped ? r->scale / r->cap : 0),
                    capped};
}

WIDE vf score_at(const Scores *c, vf s)
{
    return c->capped ? vf_mul(c->cap, vf_tanh(vf_mul(c->uncap, s))) : vf_mul(c->scale, s);
}

/* Lanes of the vector at i that are within [from, to), and those of `other`. */
WIDE vf seen_or(vf v, vf other, size_t i, const ScoreRow *r)
{
    if (i >= r->from && i + LANES <= r->to) return v;
    size_t from = r->from > i ? r->from - i : 0, to = r->to > i ? r->to - i : 0;
    if (from >= LANES || to <= from) return other;
    return vf_within(v, other, from, to < LANES ? to : LANES);
}

static void clear_row(float *s, size_t from, size_t to)
{
    size_t i = from;
    for (; i + LANES <= to; i += LANES) vf_store(s + i, vf_set(0));
    if (i < to) vf_store_part(s + i, vf_set(0), to - i);
}

static float weigh(const ScoreRow *r, float *s, float *top, float *sum)
{
    Scores c = scores_of(r);
    vf least = vf_set(-INFINITY), most = least, all = vf_set(0);
    size_t begin = r->from / LANES * LANES, end = r->from < r->to ? r->to : begin;
    for (size_t i = begin; i < end; i += LANES) {
        vf x = score_at(&c, load_some(s + i, r->n - i));
        if (c.capped) store_some(s + i, x, r->n - i);
        most = vf_max(most, seen_or(x, least, i, r));
    }
    float before = *top, now = vf_top(most);
    if (!(now > before)) now = before;
    *top = now;
    clear_row(s, 0, begin);
    vf less = vf_set(now > -INFINITY ? -now : 0), by = c.capped ? vf_set(1) : c.scale;
    size_t i = begin;
    for (; i < end; i += LANES) {
        vf p = vf_exp(vf_fma(load_some(s + i, r->n - i), by, less));
        p = seen_or(p, vf_set(0), i, r);
        all = vf_add(all, p);
        store_some(s + i, p, r->n - i);
    }
    if (i < r->n) clear_row(s, i, r->n);
    float fade = before > -INFINITY ? vf_first(vf_exp(vf_set(before - now))) : 0;
    *sum = *sum * fade + vf_sum(all);
    return fade;
}

static void weigh_back(const ScoreRow *r, float *s, float *d, float lse, float delta)
{
    Scores c = scores_of(r);
    vf less = vf_set(-lse), minus = vf_set(-delta), zero = vf_set(0), one = vf_set(1);
    size_t begin = r->from / LANES * LANES, end = r->from < r->to ? r->to : begin, i = begin;
    clear_row(s, 0, begin);
    clear_row(d, 0, begin);
    for (; i < end; i += LANES) {
        vf x = load_some(s + i, r->n - i), by = c.scale, p;
        if (c.capped) {
            vf t = vf_tanh(vf_mul(c.uncap, x));
            p = vf_exp(vf_fma(c.cap, t, less));
            by = vf_mul(by, vf_sub(one, vf_mul(t, t)));
        } else {
            p = vf_exp(vf_fma(c.scale, x, less));
        }
        vf to = vf_mul(vf_mul(p, by), vf_add(load_some(d + i, r->n - i), minus));
        store_some(s + i, seen_or(p, zero, i, r), r->n - i);
        store_some(d + i, seen_or(to, zero, i, r), r->n - i);
    }
    if (i < r->n) {
        clear_row(s, i, r->n);
        clear_row(d, i, r->n);
    }
}

static void register_train(Kernels *table)
{
    table->softmax_times = softmax_times;
    table->divergence = divergence;
    table->adamw = adamw;
    table->activate_back = activate_back;
    table->norm_back = norm_back;
    table->norm_columns = norm_columns;
    table->add_product = add_product;
    table->weigh = weigh;
    table->weigh_back = weigh_back;
}

#endif
