/* The table of kernels: one pointer each, chosen at start by CPU features. `ref/` is the meaning
 * in plain C; x86/ and arm/ are the same functions faster. Signatures only: raw pointers and
 * sizes. Arrays do not overlap unless a comment says they may. Any n >= 0 is legal unless said. */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/activation.h"
#include "kernels/attend.h"
#include "kernels/gemm.h"
#include "kernels/panel.h"
#include "kernels/train.h"

#define CONV_MOST_TAPS 16
#define STATE_PANEL    16 /* rows of a recurrent state side by side (ssd_rows, delta_rows) */

static inline size_t state_at(size_t n, size_t width, size_t j, size_t i)
{
    size_t first = j / STATE_PANEL * STATE_PANEL;
    size_t side = n - first < STATE_PANEL ? n - first : STATE_PANEL;
    return first * width + i * side + (j - first);
}

typedef struct Kernels {
    const char *name; /* "ref", "avx2", "avx2+vnni", "avx512", "avx512+vnni", "neon" ... */

    /* ---- quantised weights (quant) ---- */
    /* One row of K activations (multiple of 32) to int8: q[K], scale[K/32], sum32[K/32],
     * sum16[K/16], q_sum16[K/16]. NaN and infinity give unspecified finite codes, never a crash. */
    void (*quantize_act)(const float *x, size_t k, int8_t *q, float *scale, float *sum32,
                         float *sum16, int16_t *q_sum16);
    /* Decodes the scale stream of one panel into scale and min, each (groups, 32) float32, where
     * groups = K/32, or K/16 when the type has 16-wide groups. `type` is a GGUF type number. Of a
     * centred type min is not written. */
    void (*panel_scales)(uint32_t type, const void *scales, size_t k, float *scale, float *min);
    /* out[m][r] (row stride out_stride floats) = sum over k of (scale*code + min) * act for the 32
     * rows of a panel and m activations; min NULL, of a centred type, scale*(code - offset).
     * group: as the type's layout says, and code, table and offset too. K is a multiple of 32. All
     * 32 rows are written. A row of the result has the same bits whatever m is. */
    void (*panel_matmul)(PanelCode code, int group, const void *codes, const float *scale,
                         const float *min, int offset, const uint8_t *table, size_t k,
                         const PanelAct *act, size_t m, float *out, size_t out_stride);
    /* The same, to the bit, from n whole panels that follow each other in memory, to out (m, 32 n):
     * scales are decoded on the way, so that each panel is read once, as one stream of memory all
     * along; what follows the last is fetched too. Any m; the faster of the two for m <= PANEL_FEW.
     */
    void (*panel_few)(uint32_t type, const void *panels, size_t k, size_t n, const PanelAct *act,
                      size_t m, float *out, size_t out_stride);

    /* ---- float weights in row order, straight from the file (matmul_rows) ---- */
    /* out[m][n] = sum over k of w[n][k] * x[m][k]; w rows of `type` F32, F16 or BF16, w_stride
     * bytes apart; x row stride in floats; accumulates in float32 (ref: float64). */
    void (*matmul_rows)(uint32_t type, const void *w, size_t w_stride, size_t n, size_t k,
                        const float *x, size_t x_stride, size_t m, float *out, size_t out_stride);

    /* ---- element-wise and rows (vector) ---- */
    /* x / sqrt(mean(x^2) + eps) * weight; weight NULL: 1. out may be x. */
    void (*rmsnorm)(const float *x, const float *weight, float eps, size_t n, float *out);
    /* (x - mean) / sqrt(variance + eps) * weight + bias; NULL: 1, 0. out may be x. */
    void (*layernorm)(const float *x, const float *weight, const float *bias, float eps, size_t n,
                      float *out);
    /* out = max(x - (mean + deviations * deviation), 0), mean and deviation over the n. */
    void (*cut)(const float *x, float deviations, size_t n, float *out);
    void (*add)(const float *a, const float *b, size_t n, float *out); /* out may be a or b */
    void (*mul)(const float *a, const float *b, size_t n, float *out); /* out may be a or b */
    void (*axpy)(float alpha, const float *x, size_t n, float *y);     /* y += alpha x */
    void (*scale)(float alpha, const float *x, size_t n, float *out);  /* out may be x */
    /* silu(gate) * up; out may be gate. */
    void (*swiglu)(const float *gate, const float *up, size_t n, float *out);
    /* What gpt-oss does between its matrices: g = min(gate, 7), u = up within [-7, 7]:
     * g sigmoid(1.702 g) (u + 1). out may be gate. */
    void (*swiglu_clamped)(const float *gate, const float *up, size_t n, float *out);
    void (*activate)(Activation activation, const float *x, size_t n,
                     float *out);        /* out may be x */
    void (*softmax)(float *x, size_t n); /* in place; all -inf gives zeros */
    float (*dot)(const float *a, const float *b, size_t n);
    /* Rotates one head x[2*half] by angles with cos[half], sin[half]: `adjacent` pairs (2i, 2i+1),
     * else halves (i, i + half). In place. */
    void (*rope)(float *x, const float *cos, const float *sin, size_t half, bool adjacent);
    /* What a sampler looks at first: peak[i] is the largest of x[64 i] to x[64 i + 63] that have
     * their bit in bits[i] (NULL: all have), -inf: none has. Where one has, those without become
     * -inf, and so does NaN; what is more than the largest float becomes that. Where none has, x is
     * neither read nor written. */
    void (*peaks)(float *x, const uint64_t *bits, size_t n, float *peak);
    /* Conversions; dst is written whole. */
    void (*to_f32)(uint32_t type, const void *src, float *dst,
                   size_t n); /* F32 F16 BF16 Q8_0 Q4_0 */
    void (*from_f32)(uint32_t type, const float *src, void *dst,
                     size_t n); /* F32 F16 BF16 Q8_0 Q4_0 */

    /* ---- attention (attend) ---- */
    /* Flash form, one kv head, queries against one run of keys: for query i over the keys j that it
     * sees, with scores s_j = q_i . k_j, capped where asked: m[i] = max s_j (-inf: none that
     * counts), l[i] = sum of exp(s_j - m[i]), acc[i] = sum of exp(s_j - m[i]) v_j. The same bits
     * for a query whatever others run beside it. */
    void (*attend)(const AttendRun *run);

    /* ---- recurrences (recurrent): rows of one sequence, in order; its state is updated in place.
     * What a row gives does not depend on how rows are cut into calls ---- */
    /* Causal depthwise convolution of n channels, 1 <= taps <= CONV_MOST_TAPS: out[c] = bias[c] +
     * the sum over t < taps of weight[t][c] times x[c] of the row taps - 1 - t rows before. Rows
     * before the call's first are those of tail (taps - 1), which then holds the last rows. x and
     * out (rows, n), `stride` and `out_stride` floats from row to row; rows of weight (taps) and
     * tail lie `w_stride` apart; bias NULL: 0. */
    void (*conv_rows)(const float *x, size_t stride, const float *weight, const float *bias,
                      size_t w_stride, size_t taps, size_t rows, size_t n, float *tail, float *out,
                      size_t out_stride);
    /* Selective scan (Mamba, arXiv 2312.00752) of n channels with a state of width numbers each; b
     * and c serve all channels. For each row h[j][i] = exp(dt[j] a[j][i]) h[j][i] + dt[j] x[j]
     * b[i], then out[j] = d[j] x[j] + sum of h[j][i] c[i]. x, dt and out (rows, n), `stride` floats
     * from row to row; b and c (rows, width), `bc_stride`; d (n). dt a and dt x are rounded to
     * float32. h and a lie in panels of STATE_PANEL channels, the last with what is left: h[j][i]
     * at state_at(n, width, j, i). So lanes run along j, and no sum goes across them. */
    void (*scan_rows)(const float *x, const float *dt, size_t stride, const float *a,
                      const float *d, const float *b, const float *c, size_t bc_stride, size_t rows,
                      size_t n, size_t width, float *h, float *out);
    /* One head of Mamba 2 (arXiv 2405.21060) with a state h of n by width numbers; for each row
     * h[j][i] = decay h[j][i] + dt x[j] b[i], then out[j] = d x[j] + sum of h[j][i] c[i]. x and out
     * (rows, n), `stride` and `out_stride` floats from row to row; b and c (rows, width),
     * `bc_stride`; decay and dt (rows). dt x is rounded to float32. The state lies as that of
     * scan_rows. */
    void (*ssd_rows)(const float *x, size_t stride, const float *decay, const float *dt, float d,
                     const float *b, const float *c, size_t bc_stride, size_t rows, size_t n,
                     size_t width, float *h, float *out, size_t out_stride);
    /* One head of the gated delta rule (arXiv 2412.06464) with a state s that lies alike; for
     * each row s[j] = decay s[j], then s[j] += beta (v[j] - s[j] k) k, then out[j] = s[j] q. v and
     * out (rows, n), `stride` and `out_stride`; q and k (rows, width), `qk_stride`; decay and beta
     * (rows). */
    void (*delta_rows)(const float *q, const float *k, size_t qk_stride, const float *v,
                       size_t stride, const float *decay, const float *beta, size_t rows, size_t n,
                       size_t width, float *s, float *out, size_t out_stride);

    /* ---- products of two float32 matrices (gemm): see kernels/gemm.h ---- */
    /* Bytes of a group of GEMM_COLUMNS columns of the right operand, packed; a multiple of 64, at
     * most GEMM_COLUMNS floats a k. */
    size_t (*gemm_group)(GemmPrecision p, size_t k);
    /* Packs a (m, k) into gemm_a_bytes(m, k), 64-byte aligned. */
    void (*gemm_pack_a)(GemmPrecision p, GemmMatrix a, size_t m, size_t k, void *packed);
    /* Packs x (k, n), which is rows [from, from + k) of a right operand of `total` rows, into the
     * groups of its columns, 64-byte aligned. `from` is a multiple of GEMM_STEP. */
    void (*gemm_pack_x)(GemmPrecision p, GemmMatrix x, size_t n, size_t from, size_t k,
                        size_t total, void *packed);
    /* c (m, n) = a x, plus c where `add`, over the first k of the `total` rows that x was packed
     * with; k is a multiple of GEMM_STEP, or all of them. a was packed with k. */
    void (*gemm)(GemmPrecision p, size_t m, size_t n, size_t k, size_t total, const void *a,
                 const void *x, float *c, size_t c_stride, bool add);

    /* ---- training (train) ---- */
    /* out = factor softmax(inverse x); returns the logarithm of the sum of exp(inverse x). out may
     * be x, or NULL. n >= 1. */
    float (*softmax_times)(const float *x, float inverse, float factor, size_t n, float *out);
    /* Of T = softmax(inverse teacher) and S = softmax(inverse x), with M = mix T + (1 - mix) S:
     * returns mix KL(T || M) + (1 - mix) KL(S || M); for mix <= 0 it is KL(T || S), for mix >= 1
     * KL(S || T) (arXiv 2306.13649). d, unless NULL, = factor times its gradient by x. Logarithms
     * of probabilities count as -100 at least. n >= 1. */
    float (*divergence)(const float *x, const float *teacher, float inverse, float mix,
                        float factor, size_t n, float *d);
    void (*adamw)(const AdamStep *step, const float *g, size_t n, float *w, float *m, float *v);
    /* d_x += d y f'(x), d_y += d f(x) for an activation f; y NULL: 1. d_x, d_y NULL: not wanted. */
    void (*activate_back)(Activation activation, const float *x, const float *y, const float *d,
                          size_t n, float *d_x, float *d_y);
    /* Way back of rmsnorm, or where `centred` of layernorm: d_x += the gradient by x; of[2] = the
     * mean (0 unless centred) and 1 / deviation. weight NULL: 1. d_x NULL: only `of`. */
    void (*norm_back)(const float *x, const float *weight, float eps, bool centred, const float *d,
                      size_t n, float *of, float *d_x);
    /* Over rows i of d and x (rows, n): bias[j] += the sum of d[i][j]; weight[j] += the sum of
     * d[i][j] (x[i][j] - of[i][0]) of[i][1]. Rows of `of` lie of_stride apart; of NULL: 0, 1.
     * weight or bias NULL: not wanted; x may then be NULL. */
    void (*norm_columns)(const float *d, size_t d_stride, const float *x, size_t x_stride,
                         const float *of, size_t of_stride, size_t rows, size_t n, float *weight,
                         float *bias);
    void (*add_product)(const float *a, const float *b, size_t n, float *y); /* y += a b */
    /* Flash attention of one query, keys by runs: *top and *sum are the largest score and the sum
     * of exp(score - *top) so far (-inf, 0 at first). Scores s[n] become exp(score - new top), 0
     * where not seen; *top and *sum move on; returns exp(old top - new top), by which what was
     * summed before shrinks (0 at first). */
    float (*weigh)(const ScoreRow *row, float *s, float *top, float *sum);
    /* Scores s[n] become p = exp(score - lse), d[n], the gradient by p, that by the raw score:
     * p (d - delta) scale, through the cap; both 0 where not seen. */
    void (*weigh_back)(const ScoreRow *row, float *s, float *d, float lse, float delta);
} Kernels;

/* The best table for these CPU features (CPU_* bits of base/cpu.h; CPU_NONE: ref). */
const Kernels *kernels_select(uint32_t features);

/* A sample of each kind of kernel, held against plain C on made-up numbers. */
typedef struct KernelTrial {
    const char *name;
    float apart; /* largest difference as a share of the largest value */
    bool good;
} KernelTrial;
/* Fills at most `capacity`, returns how many there are. Milliseconds; 700 KB of stack. */
size_t kernels_try(const Kernels *chosen, KernelTrial *out, size_t capacity);

/* Plain C, exact to the last bit; n a multiple of the type's block. False: no reader for `type`. */
bool dequant_row(uint32_t type, const void *src, float *dst, size_t n);
bool dequant_supported(uint32_t type);

/* Panel geometry of a type; false for a type that is not kept in panels (floats, rare types). */
typedef struct PanelLayout {
    PanelCode code;
    int group;            /* k a scale: 32 or 16 */
    const uint8_t *table; /* 16 entries or NULL */
    bool centred;         /* weights are scale * (code - offset): no mins */
    int offset;
    size_t codes_bytes; /* of one panel for K columns */
    size_t scales_bytes;
    size_t bytes; /* of one panel, a multiple of 64 */
} PanelLayout;
bool panel_layout(uint32_t type, size_t k, PanelLayout *out);
/* Transcodes n_rows <= 32 rows of K (GGUF blocks, row_bytes apart) into one panel, losslessly;
 * missing rows are zero. */
void panel_pack(uint32_t type, const void *rows, size_t row_bytes, size_t n_rows, size_t k,
                void *panel);
/* Whether all block scales of these rows are finite; of F32, F16 and BF16 rows, all values. MXFP4
 * scales from 2^96 on count as infinite too: their products would be. True for types without a
 * reader. Fast enough to run over a whole file. */
bool panel_finite(uint32_t type, const void *rows, size_t row_bytes, size_t n_rows, size_t k);
/* Reads row r of a panel back: bit-equal to dequant_row of the source row. */
void panel_row(uint32_t type, const void *panel, size_t k, size_t r, float *dst);

#endif
