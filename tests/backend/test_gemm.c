/* Products for training against sums in double: every way the two sides can lie, on one thread and
 * on several, which must give the same bits; through frozen weights of several types. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "backend/cpu/cpu.h"
#include "backend/cpu/gemm.h"
#include "backend/training.h"
#include "base/cpu.h"
#include "base/mem.h"
#include "support/make_blocks.h"
#include "tensor/dtype.h"

#define MOST 80

static uint32_t seed;

static float number(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / 8388608.0f - 1;
}

static Team *teams[2];
static Backend *backends[2]; /* one thread, three threads */

static int open_all(void **state)
{
    (void)state;
    CpuSizes sizes = {.most_k = 512, .most_head = 1, .most_group = 1, .n_batch = MOST};
    for (int i = 0; i < 2; i++) {
        teams[i] = team_open(i ? 3 : 1);
        if (!teams[i]) return -1;
        if (cpu_open(&sizes, teams[i], cpu_choose(0), &backends[i], NULL)) return -1;
    }
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        if (backends[i]) backends[i]->ops->close(backends[i]);
        team_close(teams[i]);
    }
    return 0;
}

static float a[MOST * MOST], x[MOST * MOST], c[2][MOST * MOST], before[MOST * MOST];

static void fill(float *to, size_t n)
{
    for (size_t i = 0; i < n; i++) to[i] = number();
}

static float at(GemmMatrix m, size_t i, size_t j)
{
    return m.turned ? m.data[j * m.stride + i] : m.data[i * m.stride + j];
}

/* bf16 keeps 8 bits, each number is off by 2^-8 of itself at most, a product of two by 2^-7. */
static void one(size_t m, size_t n, size_t k, bool turn_a, bool turn_x, bool add, GemmPrecision p)
{
    GemmMatrix ma = {a, (turn_a ? m : k) + 3, turn_a}, mx = {x, (turn_x ? k : n) + 5, turn_x};
    double bound = p == GEMM_BF16 ? 1.0 / 127 : 1e-6;
    fill(a, MOST * MOST), fill(x, MOST * MOST), fill(before, MOST * MOST);
    for (int i = 0; i < 2; i++) {
        memcpy(c[i], before, sizeof before);
        cpu_gemm(backends[i], m, n, k, ma, mx, c[i], n + 7, add, p);
    }
    assert_memory_equal(c[0], c[1], sizeof before);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n + 7; j++) {
            double sum = add && j < n ? before[i * (n + 7) + j] : 0, size = fabs(sum);
            for (size_t q = 0; q < k && j < n; q++) {
                double product = (double)at(ma, i, q) * (double)at(mx, q, j);
                sum += product;
                size += fabs(product);
            }
            if (j >= n) sum = before[i * (n + 7) + j]; /* nothing beside c is touched */
            if (fabs(c[0][i * (n + 7) + j] - sum) > bound * size)
                fail_msg(
                    "(%zu,%zu,%zu) turned %d %d add %d precision %d: row %zu column %zu is %g, "
                    "not %g",
                    m, n, k, turn_a, turn_x, add, p, i, j, (double)c[0][i * (n + 7) + j], sum);
        }
}

static void products_are_right(void **state)
{
    static const size_t sizes[][3] = {{1, 1, 1},    {3, 5, 2},    {8, 16, 32}, {17, 33, 9},
                                      {64, 48, 40}, {33, 64, 70}, {2, 70, 64}, {5, 4, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int ways = 0; ways < 16; ways++) {
            seed = (uint32_t)(i * 16 + (size_t)ways);
            one(sizes[i][0], sizes[i][1], sizes[i][2], ways & 1, ways & 2, ways & 4,
                ways & 8 ? GEMM_BF16 : GEMM_F32);
        }
}

/* Sizes that take several passes over k and over columns; and without work memory the same bits. */
static void passes_and_memory(void **state)
{
    enum { M = 3, N = 2100, K = 1100 };
    static float left[M * K], right[N * K], out[2][M * N], pinched[M * N];
    (void)state;
    seed = 77;
    fill(left, M * K), fill(right, N * K);
    for (int ways = 0; ways < 4; ways++) {
        GemmMatrix ma = {left, ways & 1 ? M : K, ways & 1},
                   mx = {right, ways & 1 ? K : N, ways & 1};
        GemmPrecision p = ways & 2 ? GEMM_BF16 : GEMM_F32;
        CpuSizes sizes = {.most_k = 8, .most_head = 1, .most_group = 1, .n_batch = 1};
        Backend *poor = NULL;
        fill(out[1], M * N);
        memcpy(out[0], out[1], sizeof out[0]);
        cpu_gemm(backends[0], M, N, K, ma, mx, out[0], N, true, p);
        memcpy(pinched, out[1], sizeof pinched);
        assert_int_equal(cpu_open(&sizes, teams[1], cpu_choose(0), &poor, NULL), 0);
        mem_fail_at(1);
        cpu_gemm(poor, M, N, K, ma, mx, pinched, N, true, p);
        mem_fail_at(0);
        poor->ops->close(poor);
        assert_memory_equal(pinched, out[0], sizeof pinched);
        double bound = p == GEMM_BF16 ? 1.0 / 127 : 2e-6;
        for (size_t i = 0; i < M; i++)
            for (size_t j = 0; j < N; j++) {
                double sum = out[1][i * N + j], size = fabs(sum);
                for (size_t q = 0; q < K; q++) {
                    double product = (double)at(ma, i, q) * (double)at(mx, q, j);
                    sum += product;
                    size += fabs(product);
                }
                if (fabs(out[0][i * N + j] - sum) > bound * size)
                    fail_msg("precision %d, turned %d: row %zu column %zu is %g, not %g", p,
                             ways & 1, i, j, (double)out[0][i * N + j], sum);
            }
    }
}

/* A weight of this type, with panels where the type has them. */
static void through(uint32_t type, size_t m, int64_t n, int64_t k, bool add)
{
    static float rows[MOST * 512], dy[MOST * MOST], out[2][MOST * 512], old[MOST * 512];
    const float factor[] = {1, 0.5f};
    uint64_t state = seed;
    size_t row_bytes = (size_t)dtype_row_bytes(type, (uint64_t)k), count = (size_t)(2 * n);
    unsigned char *blocks = calloc(count, row_bytes), *panels = NULL;
    assert_non_null(blocks);
    assert_true(make_blocks(type, count * (uint64_t)k, 0, 1, &state, blocks));
    Weight w = {.name = "w",
                .type = type,
                .k = k,
                .n = n,
                .n_mats = 2,
                .rows = blocks,
                .row_bytes = row_bytes,
                .mat_bytes = (size_t)n * row_bytes,
                .scale = factor};
    w.paneled = panel_layout(type, (size_t)k, &w.layout);
    if (w.paneled) {
        panels = aligned_alloc(64, weight_panel_bytes(&w));
        assert_non_null(panels);
        for (int64_t i = 0; i < 2 * weight_panels(&w); i++) {
            int64_t row = i % weight_panels(&w) * PANEL_ROWS, left = n - row;
            panel_pack(type, weight_rows(&w, i / weight_panels(&w), row), row_bytes,
                       (size_t)(left < PANEL_ROWS ? left : PANEL_ROWS), (size_t)k,
                       panels + (size_t)i * w.layout.bytes);
        }
        w.panels = panels;
    }
    for (int64_t r = 0; r < n; r++)
        assert_true(dequant_row(type, weight_rows(&w, 1, r), rows + r * k, (size_t)k));
    fill(dy, MOST * MOST), fill(old, MOST * 512);
    for (int i = 0; i < 2; i++) {
        memcpy(out[i], old, sizeof old);
        cpu_gemm_weight(backends[i], m, dy, (size_t)n + 1, &w, 1, out[i], (size_t)k, add, GEMM_F32);
    }
    assert_memory_equal(out[0], out[1], sizeof old);
    for (size_t i = 0; i < m * (size_t)k; i++) {
        double sum = add ? old[i] : 0, size = fabs(sum);
        for (int64_t r = 0; r < n; r++) {
            double product = 0.5 * (double)dy[i / (size_t)k * (size_t)(n + 1) + (size_t)r] *
                             (double)rows[r * k + (int64_t)(i % (size_t)k)];
            sum += product;
            size += fabs(product);
        }
        if (fabs(out[0][i] - sum) > 1e-6 * size)
            fail_msg("type %u, %zu rows: %g at %zu, not %g", type, m, (double)out[0][i], i, sum);
    }
    free(blocks), free(panels);
}

static void frozen_weights_too(void **state)
{
    static const uint32_t types[] = {DT_F32,  DT_F16,  DT_BF16,    DT_Q8_0,
                                     DT_Q4_0, DT_Q4_K, DT_IQ3_XXS, DT_Q6_K};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        seed = (uint32_t)i;
        through(types[i], 7, 37, 256, false);
        through(types[i], 40, 64, 512, true);
    }
}

/* Matrices packed ahead give the bits of those that are packed each time: several passes over k and
 * columns, 16-bit weights as their floats. */
static void packed_ahead(void **state)
{
    enum { M = 9, N = 2070, K = 1090 };
    static float left[M * K], rows[N * K], out[M * N], want[M * N];
    static uint16_t halves[N * K];
    (void)state;
    seed = 5;
    fill(left, M * K), fill(rows, N * K);
    for (size_t i = 0; i < (size_t)N * K; i++) {
        uint32_t bits;
        memcpy(&bits, &rows[i], sizeof bits);
        halves[i] = (uint16_t)(bits >> 16);
        bits &= 0xffff0000u;
        memcpy(&rows[i], &bits, sizeof bits);
    }
    for (int ways = 0; ways < 8; ways++) {
        GemmPrecision p = ways & 1 ? GEMM_BF16 : GEMM_F32;
        CpuSizes sizes = {.most_k = K, .most_head = 1, .most_group = 1, .n_batch = M};
        uint32_t type = ways & 2 ? DT_BF16 : DT_F32;
        size_t bytes = (size_t)dtype_row_bytes(type, K);
        Weight w = {.name = "w", .type = type, .k = K, .n = N, .n_mats = 1, .row_bytes = bytes};
        Weight other = w, *both[] = {&w, &other};
        w.rows = type == DT_F32 ? (const void *)rows : halves;
        other.n_mats = 2;
        Backend *b = NULL;
        assert_int_equal(cpu_open(&sizes, teams[ways / 4], cpu_choose(0), &b, NULL), 0);
        const BackendTraining *t = b->ops->training;
        assert_false(t->packed(b, &w));
        mem_fail_at(1 + ways % 4);
        int failed = cpu_gemm_ahead(b, both, 2, p, NULL);
        mem_fail_at(0);
        assert_true(ways % 4 == 3 ? !failed : failed && !t->packed(b, &w));
        if (failed) assert_int_equal(cpu_gemm_ahead(b, both, 2, p, NULL), 0);
        assert_true(t->packed(b, &w) && !t->packed(b, &other));
        Tensor from = {.data = left, .rows = M, .heads = 1, .width = K};
        Tensor to = {.data = out, .rows = M, .heads = 1, .width = N};
        memset(out, 1, sizeof out);
        t->linear(b, from, &w, to, p);
        cpu_gemm(backends[0], M, N, K, (GemmMatrix){left, K, false}, (GemmMatrix){rows, K, true},
                 want, N, false, p);
        assert_memory_equal(out, want, sizeof out);
        b->ops->close(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_right),
        cmocka_unit_test(passes_and_memory),
        cmocka_unit_test(frozen_weights_too),
        cmocka_unit_test(packed_ahead),
    };
    return cmocka_run_group_tests_name("gemm", tests, open_all, close_all);
}
