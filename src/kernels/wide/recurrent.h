/* Recurrences for any vector width (see wide.h). Lanes run along channels: no sum goes
 * across them. Of a state a strip of some rows, 8 or 16 KB, stays in the first cache while all rows
 * of the call pass over it. Chunked forms of these recurrences, made of matrix products, were
 * weighed and left out: docs/performance.md. */
#ifndef KERNELS_WIDE_RECURRENT_H
#define KERNELS_WIDE_RECURRENT_H

#include <string.h>

#include "kernels/parts.h"
#include "kernels/wide/unroll.h"
#include "kernels/wide/wide.h"

WIDE vf load_some(const float *p, size_t some)
{
    return some == LANES ? vf_load(p) : vf_load_part(p, some);
}

/* Rows lie far apart, whole pages in wide models: no prefetcher of a CPU follows them. */
enum { ROWS_AHEAD = 2 };

WIDE void fetch(const float *row, size_t n)
{
    for (size_t i = 0; i < n; i += 16) __builtin_prefetch(row + i);
}

WIDE void store_some(float *p, vf v, size_t some)
{
    if (some == LANES)
        vf_store(p, v);
    else
        vf_store_part(p, v, some);
}

/* Channels [i, i + some) of a row; past: the rows that it sees, itself the last. */
WIDE void convolve(const float *const *past, const float *weight, const float *bias,
                   size_t w_stride, size_t taps, size_t i, size_t some, float *out)
{
    vf sum = bias ? load_some(bias + i, some) : vf_set(0);
    for (size_t t = 0; t < taps; t++)
        sum = vf_fma(load_some(weight + t * w_stride + i, some), load_some(past[t] + i, some), sum);
    store_some(out + i, sum, some);
}

/* The same with 4 taps, as most models have them: nothing is looked up. */
WIDE void convolve_4(const float *const *past, const float *weight, const float *bias,
                     size_t w_stride, size_t n, float *out)
{
    const float *p0 = past[0], *p1 = past[1], *p2 = past[2], *p3 = past[3];
    for (size_t i = 0; i + LANES <= n; i += LANES) {
        vf sum = bias ? vf_load(bias + i) : vf_set(0);
        sum = vf_fma(vf_load(weight + i), vf_load(p0 + i), sum);
        sum = vf_fma(vf_load(weight + w_stride + i), vf_load(p1 + i), sum);
        sum = vf_fma(vf_load(weight + 2 * w_stride + i), vf_load(p2 + i), sum);
        vf_store(out + i, vf_fma(vf_load(weight + 3 * w_stride + i), vf_load(p3 + i), sum));
    }
}

static void conv_rows(const float *x, size_t stride, const float *weight, const float *bias,
                      size_t w_stride, size_t taps, size_t rows, size_t n, float *tail, float *out,
                      size_t out_stride)
{
    size_t before = taps - 1, whole = n / LANES * LANES;
    for (size_t r = 0; r < rows; r++) {
        const float *past[CONV_MOST_TAPS];
        for (size_t t = 0; t < taps; t++)
            past[t] = r + t < before ? tail + (r + t) * w_stride : x + (r + t - before) * stride;
        if (r + ROWS_AHEAD < rows) fetch(x + (r + ROWS_AHEAD) * stride, n);
        size_t i = taps == 4 ? whole : 0;
        if (taps == 4) convolve_4(past, weight, bias, w_stride, n, out + r * out_stride);
        for (; i < whole; i += LANES)
            convolve(past, weight, bias, w_stride, taps, i, LANES, out + r * out_stride);
        if (i < n) convolve(past, weight, bias, w_stride, taps, i, n - i, out + r * out_stride);
    }
    for (size_t t = 0; t < before; t++) /* upwards: none is overwritten before it was moved */
        memmove(tail + t * w_stride,
                rows + t < before ? tail + (rows + t) * w_stride : x + (rows + t - before) * stride,
                n * sizeof *tail);
}

/* ---- states in panels: lanes run along the n rows of a state, `V` vectors (a strip) at a time;
 * `step` floats from h[.][i] to h[.][i + 1], `apart` from one vector of the strip to the next ----
 */

enum {
    PANEL_VECTORS = STATE_PANEL / LANES,
    /* of a strip: what is read for all lanes serves two vectors at least */
    STRIP = PANEL_VECTORS > 1 ? PANEL_VECTORS : 2,
    STRIP_ROWS = STRIP * LANES,
};

/* Four exponentials at once are too many for the registers of NEON: the third and fourth wait. */
#if defined(__aarch64__)
#define IN_TURN(a, b, c, d)                                                                        \
    do {                                                                                           \
        __asm__ volatile("" : "+w"(a), "+w"(b));                                                   \
        __asm__ volatile("" : "+w"(c), "+w"(d));                                                   \
    } while (0)
#else
#define IN_TURN(a, b, c, d) (void)0
#endif

/* Where the strip's i-th vectors lie. */
#define STATE_OF(h, i) ((h) + (i)*step)

WIDE void load_strip(int V, size_t some, const float *h, size_t apart, vf *s)
{
    UNROLL
    for (int r = 0; r < V; r++) s[r] = load_some(h + (size_t)r * apart, some);
}

/* Vectors of a strip lie multiples of 4 KB apart: a read behind a write of the other's would wait
 * for it. So all of a strip, and all numbers that are broadcast, are read before any is written. */
WIDE void store_strip(int V, size_t some, float *h, size_t apart, const vf *s)
{
    UNROLL
    for (int r = 0; r < V; r++) store_some(h + (size_t)r * apart, s[r], some);
}

WIDE void zero_strip(int V, vf *sum)
{
    UNROLL
    for (int r = 0; r < V; r++) sum[r] = vf_set(0);
}

/* sum += s x */
WIDE void read_strip(int V, const vf *s, vf x, vf *sum)
{
    UNROLL
    for (int r = 0; r < V; r++) sum[r] = vf_fma(s[r], x, sum[r]);
}

/* s = decay s + add x */
WIDE void move_strip(int V, vf decay, const vf *add, vf x, vf *s)
{
    UNROLL
    for (int r = 0; r < V; r++) s[r] = vf_fma(decay, s[r], vf_mul(add[r], x));
}

/* Runs STRIP_OF(V, some, j, h, step, apart) over the n rows of a state at `state`: whole panels,
 * as many vectors at a time as a strip has, then those of what is left. */
#define EACH_STRIP(n, width, state, STRIP_OF)                                                      \
    do {                                                                                           \
        const size_t panel = STATE_PANEL * (width), apart = LANES == STATE_PANEL ? panel : LANES;  \
        size_t j = 0;                                                                              \
        for (; j + STRIP_ROWS <= (n); j += STRIP_ROWS)                                             \
            STRIP_OF(STRIP, LANES, j, (state) + j * (width), STATE_PANEL, apart);                  \
        for (; STRIP_ROWS > STATE_PANEL && j + STATE_PANEL <= (n); j += STATE_PANEL)               \
            STRIP_OF(PANEL_VECTORS, LANES, j, (state) + j * (width), STATE_PANEL, apart);          \
        size_t first = j, side = (n)-first;                                                        \
        for (; j + LANES <= (n); j += LANES)                                                       \
            STRIP_OF(1, LANES, j, (state) + first * (width) + (j - first), side, 0);               \
        if (j < (n)) STRIP_OF(1, (n)-j, j, (state) + first * (width) + (j - first), side, 0);      \
    } while (0)

/* ---- Mamba: every channel decays by its own row of a, which lies as the state does ---- */

WIDE void scan_at(int V, size_t some, const vf *dt, const vf *add, float b, float c, const float *a,
                  float *h, size_t apart, vf *sum)
{
    vf decay[STRIP], s[STRIP], by = vf_set(b), read = vf_set(c);
    load_strip(V, some, a, apart, decay);
    load_strip(V, some, h, apart, s);
    UNROLL
    for (int r = 0; r < V; r++) {
        s[r] = vf_fma(vf_exp(vf_mul(dt[r], decay[r])), s[r], vf_mul(add[r], by));
        if (r == 1 && V == 4) IN_TURN(s[0], s[1], decay[2], decay[3]);
    }
    store_strip(V, some, h, apart, s);
    read_strip(V, s, read, sum);
}

WIDE void scan_strip(int V, size_t some, const float *x, const float *dt, size_t stride,
                     const float *a, const float *d, const float *b, const float *c,
                     size_t bc_stride, size_t rows, size_t width, float *h, size_t step,
                     size_t apart, float *out)
{
    for (size_t t = 0; t < rows; t++) {
        vf by[STRIP], add[STRIP], sum[STRIP];
        if (t + ROWS_AHEAD < rows) {
            fetch(x + ROWS_AHEAD * stride, (size_t)V * LANES);
            fetch(dt + ROWS_AHEAD * stride, (size_t)V * LANES);
        }
        load_strip(V, some, dt, LANES, by);
        load_strip(V, some, x, LANES, add);
        UNROLL
        for (int r = 0; r < V; r++) add[r] = vf_mul(by[r], add[r]);
        zero_strip(V, sum);
        for (size_t i = 0; i < width; i++)
            scan_at(V, some, by, add, b[i], c[i], STATE_OF(a, i), STATE_OF(h, i), apart, sum);
        UNROLL
        for (int r = 0; r < V; r++) {
            vf skip = vf_mul(load_some(d + r * LANES, some), load_some(x + r * LANES, some));
            store_some(out + r * LANES, vf_add(skip, sum[r]), some);
        }
        x += stride, dt += stride, out += stride, b += bc_stride, c += bc_stride;
    }
}

static void scan_rows(const float *x, const float *dt, size_t stride, const float *a,
                      const float *d, const float *b, const float *c, size_t bc_stride, size_t rows,
                      size_t n, size_t width, float *h, float *out)
{
#define SCAN_STRIP(V, some, j, state, step, apart)                                                 \
    scan_strip(V, some, x + (j), dt + (j), stride, a + ((state)-h), d + (j), b, c, bc_stride,      \
               rows, width, state, step, apart, out + (j))
    EACH_STRIP(n, width, h, SCAN_STRIP);
#undef SCAN_STRIP
}

/* ---- Mamba 2 and the delta rule: a head decays as one ---- */

/* Rows that pass over a strip together: as many as registers hold sums and additions for. */
enum { PASS = LANES == 16 ? 4 : 2 };

WIDE void ssd_pass(int V, size_t some, int rows, const float *x, size_t stride, const float *decay,
                   const float *dt, float d, const float *b, const float *c, size_t bc_stride,
                   size_t width, float *h, size_t step, size_t apart, float *out, size_t out_stride)
{
    vf add[PASS][STRIP], sum[PASS][STRIP], by[PASS];
    UNROLL
    for (int t = 0; t < rows; t++) {
        vf rate = vf_set(dt[t]);
        by[t] = vf_set(decay[t]);
        load_strip(V, some, x + (size_t)t * stride, LANES, add[t]);
        UNROLL
        for (int r = 0; r < V; r++) add[t][r] = vf_mul(rate, add[t][r]);
        zero_strip(V, sum[t]);
    }
    for (size_t i = 0; i < width; i++) {
        vf s[STRIP];
        load_strip(V, some, STATE_OF(h, i), apart, s);
        UNROLL
        for (int t = 0; t < rows; t++) {
            move_strip(V, by[t], add[t], vf_set(b[(size_t)t * bc_stride + i]), s);
            read_strip(V, s, vf_set(c[(size_t)t * bc_stride + i]), sum[t]);
        }
        store_strip(V, some, STATE_OF(h, i), apart, s);
    }
    UNROLL
    for (int t = 0; t < rows; t++) {
        vf skip[STRIP];
        load_strip(V, some, x + (size_t)t * stride, LANES, skip);
        UNROLL
        for (int r = 0; r < V; r++) skip[r] = vf_add(vf_mul(vf_set(d), skip[r]), sum[t][r]);
        store_strip(V, some, out + (size_t)t * out_stride, LANES, skip);
    }
}

WIDE void ssd_strip(int V, size_t some, const float *x, size_t stride, const float *decay,
                    const float *dt, float d, const float *b, const float *c, size_t bc_stride,
                    size_t rows, size_t width, float *h, size_t step, size_t apart, float *out,
                    size_t out_stride)
{
    size_t t = 0;
    for (; t + PASS <= rows; t += PASS) {
        for (size_t ahead = t + PASS; ahead < t + 2 * PASS && ahead < rows; ahead++) {
            fetch(x + ahead * stride, (size_t)V * LANES);
            fetch(b + ahead * bc_stride, width);
            fetch(c + ahead * bc_stride, width);
        }
        ssd_pass(V, some, PASS, x + t * stride, stride, decay + t, dt + t, d, b + t * bc_stride,
                 c + t * bc_stride, bc_stride, width, h, step, apart, out + t * out_stride,
                 out_stride);
    }
    for (; t < rows; t++)
        ssd_pass(V, some, 1, x + t * stride, stride, decay + t, dt + t, d, b + t * bc_stride,
                 c + t * bc_stride, bc_stride, width, h, step, apart, out + t * out_stride,
                 out_stride);
}

static void ssd_rows(const float *x, size_t stride, const float *decay, const float *dt, float d,
                     const float *b, const float *c, size_t bc_stride, size_t rows, size_t n,
                     size_t width, float *h, float *out, size_t out_stride)
{
#define SSD_STRIP(V, some, j, state, step, apart)                                                  \
    ssd_strip(V, some, x + (j), stride, decay, dt, d, b, c, bc_stride, rows, width, state, step,   \
              apart, out + (j), out_stride)
    EACH_STRIP(n, width, h, SSD_STRIP);
#undef SSD_STRIP
}

/* Two sums of a vector are added to in turn where a strip has few vectors. */
enum { TWO = STRIP < 4 };

/* known = s k */
WIDE void ask(int V, size_t some, const float *k, size_t width, const float *s, size_t step,
              size_t apart, vf *known)
{
    vf odd[STRIP], at[STRIP];
    zero_strip(V, known);
    zero_strip(V, odd);
    size_t i = 0;
    for (; i + 2 <= width; i += 2) {
        load_strip(V, some, STATE_OF(s, i), apart, at);
        read_strip(V, at, vf_set(k[i]), known);
        load_strip(V, some, STATE_OF(s, i + 1), apart, at);
        read_strip(V, at, vf_set(k[i + 1]), TWO ? odd : known);
    }
    if (i < width) {
        load_strip(V, some, STATE_OF(s, i), apart, at);
        read_strip(V, at, vf_set(k[i]), known);
    }
    UNROLL
    for (int r = 0; r < V && TWO; r++) known[r] = vf_add(known[r], odd[r]);
}

/* `more`: of the next row's k too. */
WIDE void delta_at(int V, size_t some, bool more, vf decay, const vf *change, const float *q,
                   const float *k, const float *next, float *s, size_t apart, vf *sum, vf *known)
{
    vf at[STRIP], key = vf_set(*k), query = vf_set(*q), asked = vf_set(more ? *next : 0);
    load_strip(V, some, s, apart, at);
    move_strip(V, decay, change, key, at);
    store_strip(V, some, s, apart, at);
    read_strip(V, at, query, sum);
    if (more) read_strip(V, at, asked, known);
}

/* One row: s = decay s + change k, sum = s q, and if there are more, known = s next. */
WIDE void delta_pass(int V, size_t some, bool more, float decay, const vf *change, const float *q,
                     const float *k, const float *next, size_t width, float *s, size_t step,
                     size_t apart, vf *sum, vf *known)
{
    vf by = vf_set(decay), odd_sum[STRIP], odd_known[STRIP];
    zero_strip(V, sum);
    zero_strip(V, odd_sum);
    zero_strip(V, known);
    zero_strip(V, odd_known);
    size_t i = 0;
    for (; i + 2 <= width; i += 2) {
        delta_at(V, some, more, by, change, q + i, k + i, next + i, STATE_OF(s, i), apart, sum,
                 known);
        delta_at(V, some, more, by, change, q + i + 1, k + i + 1, next + i + 1, STATE_OF(s, i + 1),
                 apart, TWO ? odd_sum : sum, TWO ? odd_known : known);
    }
    if (i < width)
        delta_at(V, some, more, by, change, q + i, k + i, next + i, STATE_OF(s, i), apart, sum,
                 known);
    UNROLL
    for (int r = 0; r < V && TWO; r++) {
        sum[r] = vf_add(sum[r], odd_sum[r]);
        known[r] = vf_add(known[r], odd_known[r]);
    }
}

WIDE void delta_strip(int V, size_t some, const float *q, const float *k, size_t qk_stride,
                      const float *v, size_t stride, const float *decay, const float *beta,
                      size_t rows, size_t width, float *s, size_t step, size_t apart, float *out,
                      size_t out_stride)
{
    vf known[STRIP];
    if (rows == 0) return;
    ask(V, some, k, width, s, step, apart, known);
    for (size_t t = 0; t < rows; t++) {
        vf change[STRIP], sum[STRIP], by = vf_set(decay[t]), rate = vf_set(beta[t]);
        if (t + ROWS_AHEAD < rows) {
            fetch(v + ROWS_AHEAD * stride, (size_t)V * LANES);
            fetch(q + ROWS_AHEAD * qk_stride, width);
            fetch(k + ROWS_AHEAD * qk_stride, width);
        }
        load_strip(V, some, v, LANES, change);
        UNROLL
        for (int r = 0; r < V; r++)
            change[r] = vf_mul(rate, vf_sub(change[r], vf_mul(by, known[r])));
        if (t + 1 < rows)
            delta_pass(V, some, true, decay[t], change, q, k, k + qk_stride, width, s, step, apart,
                       sum, known);
        else
            delta_pass(V, some, false, decay[t], change, q, k, k, width, s, step, apart, sum,
                       known);
        store_strip(V, some, out, LANES, sum);
        q += qk_stride, k += qk_stride, v += stride, out += out_stride;
    }
}

static void delta_rows(const float *q, const float *k, size_t qk_stride, const float *v,
                       size_t stride, const float *decay, const float *beta, size_t rows, size_t n,
                       size_t width, float *s, float *out, size_t out_stride)
{
#define DELTA_STRIP(V, some, j, state, step, apart)                                                \
    delta_strip(V, some, q, k, qk_stride, v + (j), stride, decay, beta, rows, width, state, step,  \
                apart, out + (j), out_stride)
    EACH_STRIP(n, width, s, DELTA_STRIP);
#undef DELTA_STRIP
}

static void register_recurrent(Kernels *table)
{
    table->conv_rows = conv_rows;
    table->scan_rows = scan_rows;
    table->ssd_rows = ssd_rows;
    table->delta_rows = delta_rows;
}

#endif
