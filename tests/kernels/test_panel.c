/* Panels: what is packed reads back to the bit, and the plain kernels over them compute the product
 * that the dequantised weights give in float64; the faster ones agree to the bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "kernels/kernels.h"
#include "support/make_blocks.h"
#include "tensor/dtype.h"
#include "tensor/half.h"

static const uint32_t types[] = {
    DT_Q4_0,    DT_Q4_1,  DT_Q5_0,    DT_Q5_1,   DT_Q8_0,  DT_IQ4_NL, DT_MXFP4, DT_NVFP4, DT_Q1_0,
    DT_Q2_0,    DT_TQ1_0, DT_TQ2_0,   DT_Q2_K,   DT_Q3_K,  DT_Q4_K,   DT_Q5_K,  DT_Q6_K,  DT_IQ4_XS,
    DT_IQ3_XXS, DT_IQ3_S, DT_IQ2_XXS, DT_IQ2_XS, DT_IQ2_S, DT_IQ1_S,  DT_IQ1_M};
enum { N_TYPES = sizeof types / sizeof types[0] };

static uint8_t *random_bytes(size_t n)
{
    uint8_t *p = malloc(n + 1);
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)(rand() >> 7);
    return p;
}

/* Any bytes are codes; scales are set to ordinary numbers. */
static uint8_t *random_rows(uint32_t type, size_t rows, size_t k)
{
    uint64_t state = (uint64_t)rand();
    uint8_t *p = malloc(rows * dtype_row_bytes(type, k));
    assert_true(make_blocks((DType)type, rows * k, 0, 1, &state, p));
    return p;
}

static void reads_back(void **state)
{
    (void)state;
    static const size_t rows[] = {32, 31, 17, 16, 1};
    for (int t = 0; t < N_TYPES; t++) {
        for (int i = 0; i < 10; i++) {
            size_t n = rows[i % 5], k = i < 5 ? 512 : (size_t)dtype_info(types[t])->block;
            size_t row_bytes = dtype_row_bytes(types[t], k);
            uint8_t *src = i % 2 ? random_rows(types[t], n, k) : random_bytes(n * row_bytes);
            PanelLayout layout;
            assert_true(panel_layout(types[t], k, &layout));
            assert_int_equal(layout.bytes % 64, 0);
            uint8_t *panel = malloc(layout.bytes + 64);
            memset(panel, 0xaa, layout.bytes + 64);
            panel_pack(types[t], src, row_bytes, n, k, panel);
            for (int g = 0; g < 64; g++) assert_int_equal(panel[layout.bytes + (size_t)g], 0xaa);
            float want[512], got[512];
            for (size_t r = 0; r < 32; r++) {
                panel_row(types[t], panel, k, r, got);
                if (r < n) {
                    assert_true(dequant_row(types[t], src + r * row_bytes, want, k));
                    if (memcmp(want, got, k * 4)) {
                        for (size_t j = 0; j < k; j++) /* a NaN may come out as another NaN */
                            if (!(isnan(want[j]) && isnan(got[j])) &&
                                f32_bits(want[j]) != f32_bits(got[j]))
                                fail_msg("%s row %zu of %zu, k %zu: %g is not %g",
                                         dtype_name(types[t]), r, n, j, (double)got[j],
                                         (double)want[j]);
                    }
                } else {
                    for (size_t j = 0; j < k; j++) assert_true(got[j] == 0);
                }
            }
            free(panel);
            free(src);
        }
    }
}

/* Codebooks are written out, and ternary digits as two bits. */
static double growth(uint32_t type)
{
    switch (type) {
    case DT_IQ3_S: return 1.22;
    case DT_TQ1_0: return 1.23;
    case DT_IQ2_S: return 1.30;
    case DT_IQ3_XXS: return 1.37;
    case DT_IQ1_S: return 1.41;
    case DT_IQ2_XS: return 1.44;
    case DT_IQ2_XXS: return 1.55;
    case DT_IQ1_M: return 1.90;
    default: return 1;
    }
}

/* Bits a weight stay near the file's. */
static void costs_little_memory(void **state)
{
    (void)state;
    for (int t = 0; t < N_TYPES; t++) {
        PanelLayout layout;
        assert_true(panel_layout(types[t], 2048, &layout));
        double file = (double)dtype_row_bytes(types[t], 2048) * 32;
        assert_true((double)layout.bytes <= file * growth(types[t]));
    }
    PanelLayout layout;
    assert_false(panel_layout(DT_F16, 256, &layout));
    assert_false(panel_layout(DT_Q4_K, 128, &layout));
    assert_false(panel_layout(DT_Q4_0, 48, &layout));
}

static double gauss(void)
{
    double u = (rand() + 1.0) / (RAND_MAX + 2.0), v = rand() / (double)RAND_MAX;
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

typedef struct Act {
    PanelAct act;
    int8_t *q;
    float *scale, *sum32, *sum16;
    int16_t *q_sum16;
} Act;

static Act quantized(const Kernels *kernels, const float *x, size_t m, size_t k)
{
    size_t groups = k / 32;
    Act a = {.q = aligned_alloc(64, m * k + 64 - m * k % 64),
             .scale = malloc(m * groups * 4),
             .sum32 = malloc(m * groups * 4),
             .sum16 = malloc(m * groups * 8),
             .q_sum16 = malloc(m * groups * 4)};
    for (size_t i = 0; i < m; i++)
        kernels->quantize_act(x + i * k, k, a.q + i * k, a.scale + i * groups, a.sum32 + i * groups,
                              a.sum16 + i * 2 * groups, a.q_sum16 + i * 2 * groups);
    a.act = (PanelAct){a.q, a.scale, a.sum32, a.sum16, a.q_sum16, k, groups};
    return a;
}

static void drop(Act *a)
{
    free(a->q);
    free(a->scale);
    free(a->sum32);
    free(a->sum16);
    free(a->q_sum16);
}

/* Against float64 over the dequantised weights and the quantised activations. */
static void product(const Kernels *kernels, uint32_t type, size_t m, size_t k)
{
    size_t row_bytes = dtype_row_bytes(type, k), groups;
    uint8_t *src = random_rows(type, 32, k);
    float *x = malloc(m * k * 4), *w = malloc(k * 4);
    for (size_t i = 0; i < m * k; i++) x[i] = (float)gauss();
    PanelLayout layout;
    assert_true(panel_layout(type, k, &layout));
    uint8_t *panel = aligned_alloc(64, layout.bytes);
    panel_pack(type, src, row_bytes, 32, k, panel);
    groups = k / (size_t)layout.group;
    float *scale = malloc(groups * 128), *min = malloc(groups * 128), *out = malloc(m * 32 * 4);
    kernels->panel_scales(type, panel + layout.codes_bytes, k, scale, min);
    Act a = quantized(kernels, x, m, k);
    kernels->panel_matmul(layout.code, layout.group, panel, scale, layout.centred ? NULL : min,
                          layout.offset, layout.table, k, &a.act, m, out, 32);
    for (size_t r = 0; r < 32; r++) {
        dequant_row(type, src + r * row_bytes, w, k);
        for (size_t i = 0; i < m; i++) {
            double want = 0, size = 0;
            for (size_t j = 0; j < k; j++) {
                double xq = (double)a.scale[i * (k / 32) + j / 32] * a.q[i * k + j];
                want += xq * (double)w[j];
                size += fabs(xq * (double)w[j]);
            }
            double bound = 2e-5 * size + 1e-30;
            if (!(fabs(out[i * 32 + r] - want) <= bound))
                fail_msg("%s %s m=%zu k=%zu row %zu, column %zu: %g is not %g", kernels->name,
                         dtype_name(type), m, k, r, i, (double)out[i * 32 + r], want);
        }
    }
    drop(&a);
    free(src), free(x), free(w), free(panel), free(scale), free(min), free(out);
}

static void multiplies(void **state)
{
    (void)state;
    for (int t = 0; t < N_TYPES; t++)
        for (size_t m = 1; m < 20; m += 6) product(kernels_select(CPU_NONE), types[t], m, 768);
}

/* Kernels for more and more of what this CPU has, the plain ones first. */
static int versions(const Kernels **out, int most)
{
    int n = 0;
    out[n++] = kernels_select(CPU_NONE);
    for (int bits = 1; bits < 31 && n < most; bits++) {
        const Kernels *k = kernels_select(cpu_features() & ((1u << bits) - 1));
        if (k->panel_matmul != out[n - 1]->panel_matmul) out[n++] = k;
    }
    return n;
}

/* Largest and smallest codes against largest activations of one sign: where sums of few bits would
 * wrap. Every faster version gives the same bits, near those of the plain one. */
static void agree_on(uint32_t type, const uint8_t *panel, const float *x, size_t m, size_t k)
{
    enum { MOST = 8 };
    const Kernels *list[MOST];
    int n = versions(list, MOST);
    PanelLayout layout;
    assert_true(panel_layout(type, k, &layout));
    size_t groups = k / (size_t)layout.group;
    float *scale = malloc(groups * 128), *min = malloc(groups * 128);
    float *plain = malloc(m * 128), *first = malloc(m * 128), *out = malloc(m * 128);
    list[0]->panel_scales(type, panel + layout.codes_bytes, k, scale, min);
    Act a = quantized(list[0], x, m, k);
    for (int i = 0; i < n; i++) {
        float *to = i == 0 ? plain : i == 1 ? first : out;
        list[i]->panel_matmul(layout.code, layout.group, panel, scale, layout.centred ? NULL : min,
                              layout.offset, layout.table, k, &a.act, m, to, 32);
        if (i > 1 && memcmp(first, out, m * 128) != 0)
            fail_msg("%s m=%zu: %s and %s differ", dtype_name(type), m, list[1]->name,
                     list[i]->name);
        for (size_t j = 0; i == 1 && j < m * 32; j++)
            if (!(fabsf(first[j] - plain[j]) <= 1e-3f + 1e-4f * fabsf(plain[j])))
                fail_msg("%s m=%zu at %zu: %s %g, plain %g", dtype_name(type), m, j, list[1]->name,
                         (double)first[j], (double)plain[j]);
    }
    drop(&a);
    free(scale), free(min), free(plain), free(first), free(out);
}

static void versions_agree(void **state)
{
    (void)state;
    enum { K = 768, M = 7 };
    float *x = malloc(M * K * sizeof *x);
    for (int t = 0; t < N_TYPES; t++)
        for (int codes = 0; codes < 3; codes++)
            for (int sign = -1; sign <= 1; sign++) {
                PanelLayout layout;
                assert_true(panel_layout(types[t], K, &layout));
                uint8_t *src = random_rows(types[t], 32, K);
                uint8_t *panel = aligned_alloc(64, layout.bytes);
                panel_pack(types[t], src, dtype_row_bytes(types[t], K), 32, K, panel);
                if (codes) memset(panel, codes == 1 ? 0 : 0xff, layout.codes_bytes);
                for (size_t i = 0; i < M * K; i++) x[i] = sign ? (float)sign : (float)gauss();
                for (size_t m = 1; m <= M; m++) agree_on(types[t], panel, x, m, K);
                free(src), free(panel);
            }
    free(x);
}

/* Activations: every code right, the scale no worse than the plain one. */
static void quantizes(void **state)
{
    (void)state;
    const Kernels *kernels = kernels_select(CPU_NONE);
    enum { K = 4096 };
    float x[K];
    double refined = 0, plain = 0;
    for (int i = 0; i < K; i++) x[i] = (float)gauss();
    for (int i = 64; i < 96; i++) x[i] = 0;
    Act a = quantized(kernels, x, 1, K);
    for (int g = 0; g < K / 32; g++) {
        float most = 0;
        int sum[2] = {0, 0};
        for (int i = 0; i < 32; i++) most = fmaxf(most, fabsf(x[g * 32 + i]));
        for (int i = g * 32; i < g * 32 + 32; i++) {
            double step = most / 127.0, code = step > 0 ? x[i] / step : 0;
            assert_true(fabs(a.q[i] - code) <= 0.5001);
            refined += pow(x[i] - (double)a.scale[g] * a.q[i], 2);
            plain += pow(x[i] - step * a.q[i], 2);
            sum[i / 16 % 2] += a.q[i];
        }
        assert_true(a.sum32[g] == a.scale[g] * (float)(sum[0] + sum[1]));
        assert_true(a.sum16[2 * g] == a.scale[g] * (float)sum[0]);
        assert_true(a.sum16[2 * g + 1] == a.scale[g] * (float)sum[1]);
        assert_true(a.q_sum16[2 * g] == sum[0] && a.q_sum16[2 * g + 1] == sum[1]);
    }
    assert_true(refined < 0.985 * plain);
    assert_true(a.scale[2] == 0 && a.q[64] == 0);
    drop(&a);
}

static void activations_may_be_anything(void **state)
{
    (void)state;
    float x[64];
    for (int round = 0; round < 6; round++) {
        static const float odd[] = {NAN, INFINITY, -INFINITY, 3.4e38f, 1e-40f, 1e-45f};
        for (int i = 0; i < 64; i++) x[i] = i % 3 ? (float)gauss() : odd[round];
        Act a = quantized(kernels_select(CPU_NONE), x, 1, 64);
        drop(&a);
    }
    for (int i = 0; i < 64; i++) x[i] = i & 1 ? 3.4e38f : -1e38f;
    Act a = quantized(kernels_select(CPU_NONE), x, 1, 64);
    assert_true(isfinite(a.scale[0]));
    assert_int_equal(a.q[1], 127);
    drop(&a);
}

/* Every place of a row that holds a scale, and no other, makes it not finite. */
static void sees_what_is_not_finite(void **state)
{
    (void)state;
    enum { K = 512 };
    for (uint32_t type = 0; type < DTYPE_LIMIT; type++) {
        if (!dequant_supported(type)) continue;
        size_t bytes = dtype_row_bytes(type, K);
        uint8_t *row = malloc(2 * bytes), fill = type == DT_MXFP4 ? 0x11 : 0;
        memset(row, fill, 2 * bytes); /* infinity times a code of zero would stay hidden */
        assert_true(panel_finite(type, row, bytes, 2, K));
        float dst[K];
        for (size_t at = 0; at + 1 < bytes; at++) {
            uint8_t *p = row + bytes + at;
            p[0] = 0xff, p[1] = 0xff; /* a NaN where a float16, bfloat16 or exponent lies */
            dequant_row(type, row + bytes, dst, K);
            bool finite = true;
            for (int i = 0; i < K; i++)
                finite &= isfinite(dst[i]) && (type != DT_MXFP4 || fabsf(dst[i]) < 1e28f);
            assert_int_equal(panel_finite(type, row, bytes, 2, K), finite);
            assert_true(panel_finite(type, row, bytes, 1, K));
            p[0] = p[1] = fill;
        }
        free(row);
    }
    assert_true(panel_finite(DT_I32, "", 0, 1, 0));
}

/* IQ1_M spreads its scale over four words. */
static void sees_a_scale_in_pieces(void **state)
{
    (void)state;
    uint8_t block[56];
    float dst[256];
    for (int d = 0; d < 0x10000; d += 0x100) {
        memset(block, 0, sizeof block);
        for (int i = 0; i < 4; i++) block[49 + 2 * i] = (uint8_t)((d >> 4 * i & 15) << 4);
        dequant_row(DT_IQ1_M, block, dst, 256);
        assert_int_equal(panel_finite(DT_IQ1_M, block, 56, 1, 256), isfinite(dst[0]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_back),
        cmocka_unit_test(costs_little_memory),
        cmocka_unit_test(multiplies),
        cmocka_unit_test(versions_agree),
        cmocka_unit_test(quantizes),
        cmocka_unit_test(activations_may_be_anything),
        cmocka_unit_test(sees_what_is_not_finite),
        cmocka_unit_test(sees_a_scale_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
