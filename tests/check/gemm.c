/* Rows of the products of training: right within float32 accumulation, whichever way the operands
 * lie; and the bits of an element depend neither on rows and columns beside it nor on where k is
 * cut. The packed forms are the kernels' own, so the four rows share one test. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "tensor/half.h"

typedef struct Product {
    GemmPrecision p;
    size_t m, n, k, c_stride;
    GemmMatrix a, x;
    bool add;
    float *c; /* what it held */
} Product;

static GemmMatrix draw_matrix(Check *c, size_t rows, size_t columns)
{
    GemmMatrix x = {.turned = check_below(c, 2)};
    size_t lines = x.turned ? columns : rows, line = x.turned ? rows : columns;
    x.stride = line + check_below(c, 3);
    /* the last line ends with its last element, not with its stride */
    x.data = check_floats(c, lines && line ? (lines - 1) * x.stride + line : 0, 1);
    return x;
}

static Product draw(Check *c)
{
    Product p = {.p = check_below(c, 2) ? GEMM_BF16 : GEMM_F32, .add = check_below(c, 2)};
    p.m = check_size(c, 100), p.n = check_size(c, 100);
    p.k = check_size(c, check_below(c, 4) ? 80 : 700);
    p.c_stride = p.n + check_below(c, 3);
    p.a = draw_matrix(c, p.m, p.k);
    p.x = draw_matrix(c, p.k, p.n);
    p.c = check_floats(c, p.m * p.c_stride, 1);
    return p;
}

/* k [from, from + k) of a part, by this table. The right operand is packed in two goes, with as
 * many k behind as there are. */
static void multiply(Check *c, const Kernels *t, const Product *p, size_t i, size_t m, size_t j,
                     size_t n, size_t from, size_t k, bool add, float *out, size_t stride)
{
    size_t groups = gemm_up(n, GEMM_COLUMNS) / GEMM_COLUMNS, all = p->k - from;
    size_t first = k / 2 / GEMM_STEP * GEMM_STEP;
    void *a = check_out(c, gemm_a_bytes(m, k), 64);
    void *x = check_out(c, groups * t->gemm_group(p->p, all), 64);
    if (m == 0 || n == 0) return;
    if (k) {
        t->gemm_pack_a(p->p, gemm_from(p->a, i, from), m, k, a);
        GemmMatrix right = gemm_from(p->x, from, j);
        t->gemm_pack_x(p->p, right, n, 0, first, all, x);
        t->gemm_pack_x(p->p, gemm_from(right, first, 0), n, first, all - first, all, x);
    }
    t->gemm(p->p, m, n, k, all, a, x, out, stride, add);
}

static float taken(const Product *p, float x)
{
    return p->p == GEMM_BF16 ? bf16_to_f32(f32_to_bf16(x)) : x;
}

static void compare(Check *c, const Product *p, const float *want, const float *got)
{
    float *size = check_in(c, p->n * 4, 4);
    for (size_t i = 0; i < p->m; i++) {
        for (size_t j = 0; j < p->n; j++) {
            double sum = p->add ? fabs((double)p->c[i * p->c_stride + j]) : 0;
            for (size_t l = 0; l < p->k; l++)
                sum +=
                    fabs((double)taken(p, *gemm_at(p->a, i, l)) * taken(p, *gemm_at(p->x, l, j)));
            size[j] = (float)sum + 0x1p-100f;
        }
        check_equal(c, want + i * p->c_stride, got + i * p->c_stride, p->n, size,
                    "%s m=%zu n=%zu k=%zu turned %d %d add %d row %zu",
                    p->p == GEMM_BF16 ? "bf16" : "f32", p->m, p->n, p->k, p->a.turned, p->x.turned,
                    p->add, i);
        if (memcmp(p->c + i * p->c_stride + p->n, got + i * p->c_stride + p->n,
                   (p->c_stride - p->n) * sizeof *got) != 0)
            check_fail(c, "wrote between rows");
    }
}

/* A part of it, with k in two parts, gives the same bits. */
static void compare_part(Check *c, const Product *p, const float *whole)
{
    if (!p->n || !p->m) return;
    size_t i0 = check_below(c, p->m), j0 = check_below(c, p->n);
    size_t m = 1 + check_below(c, p->m - i0), n = 1 + check_below(c, p->n - j0);
    size_t cut = c->fast == c->ref ? 0 : check_below(c, p->k / GEMM_STEP + 1) * GEMM_STEP;
    float *part = check_out(c, n * m * 4, 4);
    for (size_t i = 0; i < m && p->add; i++)
        memcpy(part + i * n, p->c + (i0 + i) * p->c_stride + j0, n * sizeof *part);
    multiply(c, c->fast, p, i0, m, j0, n, 0, cut, p->add, part, n);
    multiply(c, c->fast, p, i0, m, j0, n, cut, p->k - cut, true, part, n);
    for (size_t i = 0; i < m; i++)
        check_bytes(c, whole + (i0 + i) * p->c_stride + j0, part + i * n, n * 4,
                    "bits change: rows %zu+%zu of %zu, columns %zu+%zu of %zu, k %zu cut at %zu",
                    i0, m, p->m, j0, n, p->n, p->k, cut);
}

static void test(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        Product p = draw(c);
        size_t count = p.m * p.c_stride;
        float *want = check_out(c, count * 4, 4), *got = check_out(c, count * 4, 4);
        memcpy(want, p.c, count * 4);
        memcpy(got, p.c, count * 4);
        multiply(c, c->ref, &p, 0, p.m, 0, p.n, 0, p.k, p.add, want, p.c_stride);
        multiply(c, c->fast, &p, 0, p.m, 0, p.n, 0, p.k, p.add, got, p.c_stride);
        compare(c, &p, want, got);
        compare_part(c, &p, got);
        check_done(c);
    }
}

/* ---- timing: rows of a step against a matrix of a small model ---- */
enum { M = 256, N = 512, K = 512 };

typedef struct Case {
    Product p;
    void *a, *x;
    float *c;
} Case;

static Case make(Check *c, GemmPrecision p, bool turned)
{
    size_t k = c->fast == c->ref ? 16 : K;
    Case s = {{.p = p, .m = M, .n = N, .k = k},
              check_memory(c, gemm_a_bytes(M, k)),
              check_memory(c, N / GEMM_COLUMNS * c->fast->gemm_group(p, k)),
              check_memory(c, (size_t)M * N * 4)};
    float *a = check_memory(c, M * k * 4), *x = check_memory(c, N * k * 4);
    for (size_t i = 0; i < M * k; i++) a[i] = (float)(i % 37) / 8 - 2;
    for (size_t i = 0; i < N * k; i++) x[i] = (float)(i % 19) / 8 - 1;
    s.p.a = (GemmMatrix){a, turned ? M : k, turned};
    s.p.x = (GemmMatrix){x, turned ? k : N, turned};
    c->fast->gemm_pack_a(p, s.p.a, M, k, s.a);
    c->fast->gemm_pack_x(p, s.p.x, N, 0, k, k, s.x);
    return s;
}

static void run_gemm(Check *c, void *arg)
{
    Case *s = arg;
    c->fast->gemm(s->p.p, M, N, s->p.k, s->p.k, s->a, s->x, s->c, N, false);
}

static void run_pack_a(Check *c, void *arg)
{
    Case *s = arg;
    c->fast->gemm_pack_a(s->p.p, s->p.a, M, s->p.k, s->a);
}

static void run_pack_x(Check *c, void *arg)
{
    Case *s = arg;
    c->fast->gemm_pack_x(s->p.p, s->p.x, N, 0, s->p.k, s->p.k, s->x);
}

static void bench_gemm(Check *c)
{
    for (int p = GEMM_F32; p <= GEMM_BF16; p++) {
        Case s = make(c, (GemmPrecision)p, false);
        double macs = (double)M * N * (double)s.p.k;
        check_time(c, p == GEMM_BF16 ? "bf16 256x512x512" : "f32 256x512x512", (double)M * N * 4,
                   macs, LIMIT_F32, run_gemm, &s);
        check_memory_free();
    }
}

static void bench_packing(Check *c, void (*run)(Check *c, void *arg), size_t lines)
{
    for (int i = 0; i < 4; i++) {
        static const char *const label[] = {"f32", "f32 turned", "bf16", "bf16 turned"};
        Case s = make(c, i & 2 ? GEMM_BF16 : GEMM_F32, i & 1);
        double bytes = (double)lines * (double)s.p.k * (i & 2 ? 6 : 8);
        check_time(c, label[i], bytes, 0, LIMIT_MEMORY, run, &s);
        check_memory_free();
    }
}

static void bench_pack_a(Check *c)
{
    bench_packing(c, run_pack_a, M);
}

static void bench_pack_x(Check *c)
{
    bench_packing(c, run_pack_x, N);
}

CHECK_ROW(gemm_group, CHECK_EPSILON, 4e-6, test, NULL);
CHECK_ROW(gemm_pack_a, CHECK_EPSILON, 4e-6, test, bench_pack_a);
CHECK_ROW(gemm_pack_x, CHECK_EPSILON, 4e-6, test, bench_pack_x);
CHECK_ROW(gemm, CHECK_EPSILON, 4e-6, test, bench_gemm);
