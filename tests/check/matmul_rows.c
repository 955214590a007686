/* Row of matmul_rows: right within float32 accumulation, and the bits of an output do not depend
 * on how many rows and columns the call had. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "tensor/dtype.h"

static const uint32_t types[] = {DT_F32, DT_F16, DT_BF16};

typedef struct Product {
    uint32_t type;
    size_t n, k, m, w_stride, x_stride, out_stride;
    unsigned char *w;
    float *x;
} Product;

static Product draw(Check *c)
{
    Product p = {.type = types[check_below(c, 3)]};
    p.n = check_size(c, 40), p.k = check_size(c, 300), p.m = check_size(c, 30);
    size_t unit = (size_t)dtype_row_bytes(p.type, 1);
    p.w_stride = (p.k + check_below(c, 3)) * unit;
    p.x_stride = p.k + check_below(c, 3);
    p.out_stride = p.n + check_below(c, 3);
    /* the last row ends with its last element, not with its stride */
    size_t count = p.n ? (p.n - 1) * (p.w_stride / unit) + p.k : 0;
    float *plain = check_floats(c, count, 1);
    p.w = check_in(c, count * unit, unit);
    c->ref->from_f32(p.type, plain, p.w, count);
    p.x = check_floats(c, p.m ? (p.m - 1) * p.x_stride + p.k : 0, 1);
    return p;
}

/* sum of |w x|, what the rounding of a sum is in proportion to; activations as two bf16 are within
 * 2^-17 of what they were */
static void sizes(const Check *c, const Product *p, float *size)
{
    double more = p->type == DT_BF16 && check_rounds_to_bf16(c) ? 1 + 0x1p-17 / c->row->bound : 1;
    for (size_t j = 0; j < p->m; j++)
        for (size_t i = 0; i < p->n; i++) {
            double sum = 0;
            for (size_t l = 0; l < p->k; l++) {
                float w = 0;
                size_t unit = (size_t)dtype_row_bytes(p->type, 1);
                kernels_select(0)->to_f32(p->type, p->w + i * p->w_stride + l * unit, &w, 1);
                sum += fabs((double)w * p->x[j * p->x_stride + l]);
            }
            size[j * p->n + i] = (float)(sum * more) + 0x1p-100f; /* denormals round as they like */
        }
}

static void compare(Check *c, const Product *p, const float *want, const float *got)
{
    float *size = check_in(c, p->n * p->m * 4, 4);
    sizes(c, p, size);
    for (size_t j = 0; j < p->m; j++) {
        check_equal(c, want + j * p->out_stride, got + j * p->out_stride, p->n, size + j * p->n,
                    "%s n=%zu k=%zu m=%zu row %zu", dtype_name(p->type), p->n, p->k, p->m, j);
        for (size_t i = p->n; i < p->out_stride && j + 1 < p->m; i++)
            if (!isnan(got[j * p->out_stride + i])) check_fail(c, "wrote between rows");
    }
}

/* A part of the same product gives the same bits. */
static void compare_part(Check *c, const Product *p, const float *whole)
{
    if (!p->n || !p->m) return;
    size_t i0 = check_below(c, p->n), j0 = check_below(c, p->m);
    size_t n = 1 + check_below(c, p->n - i0), m = 1 + check_below(c, p->m - j0);
    float *part = check_out(c, n * m * 4, 4);
    c->fast->matmul_rows(p->type, p->w + i0 * p->w_stride, p->w_stride, n, p->k,
                         p->x + j0 * p->x_stride, p->x_stride, m, part, n);
    for (size_t j = 0; j < m; j++)
        check_bytes(c, whole + (j0 + j) * p->out_stride + i0, part + j * n, n * 4,
                    "%s k=%zu: bits change when %zux%zu of %zux%zu are asked for",
                    dtype_name(p->type), p->k, m, n, p->m, p->n);
}

static void test(Check *c)
{
    for (int round = 0; round < 2 * c->rounds; round++) {
        Product p = draw(c);
        size_t count = p.m ? (p.m - 1) * p.out_stride + p.n : 0;
        float *want = check_out(c, count * 4, 4), *got = check_out(c, count * 4, 4);
        c->ref->matmul_rows(p.type, p.w, p.w_stride, p.n, p.k, p.x, p.x_stride, p.m, want,
                            p.out_stride);
        c->fast->matmul_rows(p.type, p.w, p.w_stride, p.n, p.k, p.x, p.x_stride, p.m, got,
                             p.out_stride);
        compare(c, &p, want, got);
        compare_part(c, &p, got);
        check_done(c);
    }
}

typedef struct Case {
    Product p;
    float *out;
} Case;

static void run(Check *c, void *arg)
{
    const Product *p = &((Case *)arg)->p;
    c->fast->matmul_rows(p->type, p->w, p->w_stride, p->n, p->k, p->x, p->x_stride, p->m,
                         ((Case *)arg)->out, p->out_stride);
}

static void bench(Check *c)
{
    static const size_t counts[] = {1, 4, 16, 128};
    for (int t = 0; t < 3; t++)
        for (int i = 0; i < 4; i++) {
            size_t k = 4096, m = counts[i], n = m == 1 ? 16384 : 512;
            if (c->fast == c->ref) n = 16;
            size_t bytes = (size_t)dtype_row_bytes(types[t], k);
            Case s = {{types[t], n, k, m, bytes, k, n, check_memory(c, n * bytes),
                       check_memory(c, m * k * 4)},
                      check_memory(c, m * n * 4)};
            for (size_t j = 0; j < m * k; j++) s.p.x[j] = (float)(j % 37) / 8 - 2;
            char label[32];
            snprintf(label, sizeof label, "%s N=%zu M=%zu", dtype_name(types[t]), n, m);
            double macs = (double)n * (double)k * (double)m;
            check_time(c, label, (double)(n * bytes), macs, m < 8 ? LIMIT_MEMORY : LIMIT_F32, run,
                       &s);
            check_memory_free();
        }
}

CHECK_ROW(matmul_rows, CHECK_EPSILON, 1e-6, test, bench);
