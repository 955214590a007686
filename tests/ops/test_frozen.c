/* Training beside weights that stay: matrices of every kind of type, frozen as the file has them,
 * with small trained matrices at their side (LoRA, arXiv 2106.09685), against the formulas in
 * double over dequantised rows; and the fused forms that inference takes over such weights, which
 * under a tape fall apart into what can be walked back. */
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
#include "base/cpu.h"
#include "ops/walk.h"
#include "support/make_blocks.h"
#include "support/reference_ops.h"
#include "tensor/dtype.h"

#define T    20
#define K    256
#define N    96
#define RANK 8
#define S    0.5f

static const uint32_t types[] = {DT_F32,  DT_F16,    DT_BF16,    DT_Q8_0,
                                 DT_Q4_0, DT_IQ4_NL, DT_IQ3_XXS, DT_Q4_K};
#define TYPES (sizeof types / sizeof *types)

static Team *team;
static Backend *backend;

static int open_all(void **state)
{
    CpuSizes sizes = {.most_k = K, .most_head = 32, .most_group = 4, .n_batch = 64};
    (void)state;
    team = team_open(2);
    return !team || cpu_open(&sizes, team, cpu_choose(0), &backend, NULL) ? -1 : 0;
}

static int close_all(void **state)
{
    (void)state;
    if (backend) backend->ops->close(backend);
    team_close(team);
    return 0;
}

/* A weight of this type with panels where the type has them; its rows in double. */
typedef struct Frozen {
    Weight w;
    unsigned char *rows, *panels;
    double *is; /* (mats, n, k) */
} Frozen;

static Frozen freeze(uint32_t type, int64_t n, int64_t k, int64_t mats, uint64_t seed)
{
    Frozen f = {.w = {.name = "frozen", .type = type, .k = k, .n = n, .n_mats = mats}};
    size_t count = (size_t)(n * mats * k);
    float *row = calloc((size_t)k, sizeof *row);
    f.w.row_bytes = (size_t)dtype_row_bytes(type, (uint64_t)k);
    f.w.mat_bytes = (size_t)n * f.w.row_bytes;
    f.w.rows = f.rows = calloc((size_t)(n * mats), f.w.row_bytes);
    f.is = calloc(count, sizeof *f.is);
    assert_true(row && f.rows && f.is);
    assert_true(make_blocks(type, count, 0, 0.1f, &seed, f.rows));
    for (int64_t r = 0; r < n * mats; r++) {
        assert_true(dequant_row(type, weight_rows(&f.w, 0, r), row, (size_t)k));
        for (int64_t j = 0; j < k; j++) f.is[r * k + j] = (double)row[j];
    }
    free(row);
    f.w.paneled = panel_layout(type, (size_t)k, &f.w.layout);
    if (!f.w.paneled) return f;
    f.w.panels = f.panels = aligned_alloc(64, weight_panel_bytes(&f.w));
    assert_non_null(f.panels);
    for (int64_t p = 0; p < mats * weight_panels(&f.w); p++) {
        int64_t first = p % weight_panels(&f.w) * PANEL_ROWS, left = n - first;
        panel_pack(type, weight_rows(&f.w, p / weight_panels(&f.w), first), f.w.row_bytes,
                   (size_t)(left < PANEL_ROWS ? left : PANEL_ROWS), (size_t)k,
                   f.panels + (size_t)p * f.w.layout.bytes);
    }
    return f;
}

static void thaw(Frozen *f)
{
    free(f->rows);
    free(f->panels);
    free(f->is);
}

/* The share of `want`'s size that `got` is off by. */
static double off(const float *got, float before, const double *want, size_t n)
{
    double wrong = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        wrong += pow((double)got[i] - (double)before - want[i], 2);
        all += want[i] * want[i];
    }
    return sqrt(wrong / all);
}

static double *doubles(const float *x, size_t n)
{
    double *out = calloc(n, sizeof *out);
    assert_non_null(out);
    for (size_t i = 0; x && i < n; i++) out[i] = (double)x[i];
    return out;
}

/* out (m,n) += scale a (m,k) b (k,n); of `turned` ones the transposes. */
static void product(const double *a, bool a_turned, const double *b, bool b_turned, size_t m,
                    size_t n, size_t k, double scale, double *out)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            for (size_t p = 0; p < k; p++)
                out[i * n + j] += scale * (a_turned ? a[p * m + i] : a[i * k + p]) *
                                  (b_turned ? b[j * k + p] : b[p * n + j]);
}

static void seed_gradient(Back *b, float *c, size_t n)
{
    Tensor d = tape_grad(&b->step, b->out[0]);
    for (size_t i = 0; i < n; i++) d.data[i] = c[i] = make_normal(&b->seed);
    tape_back(&b->step);
    if (step_failed(&b->step)) fail_msg("%s", b->err.text);
}

/* y = W x + S B A x. */
static void side_matrices_of_frozen_ones(void **state)
{
    static float c[T * N];
    (void)state;
    for (size_t i = 0; i < TYPES; i++) {
        Back b;
        Frozen w = freeze(types[i], N, K, 1, i);
        back_begin(&b, backend, i);
        back_rows(&b, T, 2);
        Tensor x = back_input(&b, T, 1, K);
        Weight *down = back_weight(&b, RANK, K, 1), *up = back_weight(&b, N, RANK, 1);
        Tensor side = op_linear(&b.step, op_linear(&b.step, x, down), up);
        b.out[0] = op_add(&b.step, op_linear(&b.step, x, &w.w), op_scale(&b.step, side, S));
        seed_gradient(&b, c, T * N);
        double *dy = doubles(c, T * N), *in = doubles(b.arg[0].first, T * K);
        double *da = doubles(NULL, RANK * K), *db = doubles(NULL, N * RANK);
        double *a = doubles(b.arg[1].first, RANK * K), *u = doubles(b.arg[2].first, N * RANK);
        double *dx = doubles(NULL, T * K), *dh = doubles(NULL, T * RANK),
               *h = doubles(NULL, T * RANK);
        product(in, false, a, true, T, RANK, K, 1, h);
        product(dy, false, u, false, T, RANK, N, (double)S, dh);
        product(dy, false, w.is, false, T, K, N, 1, dx);
        product(dh, false, a, false, T, K, RANK, 1, dx);
        product(dh, true, in, false, RANK, K, T, 1, da);
        product(dy, true, h, false, N, RANK, T, (double)S, db);
        const double apart[] = {off(b.arg[0].grad, 0, dx, T * K),
                                off(b.arg[1].grad, BACK_BEFORE, da, RANK * K),
                                off(b.arg[2].grad, BACK_BEFORE, db, N * RANK)};
        for (int g = 0; g < 3; g++)
            if (!(apart[g] < 2e-6))
                fail_msg("type %u: gradient %d off by %g", types[i], g, apart[g]);
        double *all[] = {dy, in, da, db, a, u, dx, dh, h};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++) free(all[k]);
        back_end(&b);
        thaw(&w);
    }
}

/* Loss of a feed-forward part over dequantised rows. */
static double loss_of(const Frozen *gate, const Frozen *up, const Frozen *down, const double *x,
                      const float *c)
{
    static double g[T * N], u[T * N], y[T * K];
    double sum = 0;
    ref_linear(x, gate->is, NULL, T, N, K, g);
    ref_linear(x, up->is, NULL, T, N, K, u);
    for (int i = 0; i < T * N; i++) u[i] *= ref_activate(REF_SILU, g[i]);
    ref_linear(u, down->is, NULL, T, K, N, y);
    for (int i = 0; i < T * K; i++) sum += (double)c[i] * y[i];
    return sum;
}

/* Of what hands int8 from matrix to matrix the gradient is that of its floats, to what int8 loses:
 * a hundredth for activations rounded to 127 steps. */
static void gated_ones_take_their_parts(void **state)
{
    static const uint32_t some[] = {DT_F32, DT_Q8_0, DT_Q4_0};
    static float c[T * K];
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        Back b;
        Frozen gate = freeze(some[i], N, K, 1, 1), up = freeze(some[i], N, K, 1, 2);
        Frozen down = freeze(some[i], K, N, 1, 3);
        back_begin(&b, backend, i);
        back_rows(&b, T, 1);
        Tensor x = back_input(&b, T, 1, K);
        b.out[0] = op_gated(&b.step, x, &gate.w, &up.w, &down.w, ACT_SILU);
        seed_gradient(&b, c, T * K);
        double *in = doubles(b.arg[0].first, T * K), wrong = 0, all = 0;
        for (int j = 0; j < 64; j++) { /* some of them */
            int at = j * (T * K / 64) + j % 7;
            double was = in[at];
            in[at] = was + 1e-5;
            double high = loss_of(&gate, &up, &down, in, c);
            in[at] = was - 1e-5;
            double want = (high - loss_of(&gate, &up, &down, in, c)) / 2e-5;
            in[at] = was;
            wrong += pow((double)b.arg[0].grad[at] - want, 2);
            all += want * want;
        }
        double bound = some[i] == DT_F32 ? 1e-6 : 0.01;
        if (!(sqrt(wrong / all) < bound))
            fail_msg("type %u: off by %g", some[i], sqrt(wrong / all));
        free(in);
        back_end(&b);
        thaw(&gate), thaw(&up), thaw(&down);
    }
}

#define EXPERTS 4

/* Quantised experts under a trained router. */
static void frozen_experts_route(void **state)
{
    static const uint32_t some[] = {DT_F32, DT_Q8_0};
    static float c[T * K];
    static double y[T * K];
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        Back b;
        Frozen gate = freeze(some[i], N, K, EXPERTS, 1), up = freeze(some[i], N, K, EXPERTS, 2);
        Frozen down = freeze(some[i], K, N, EXPERTS, 3);
        back_begin(&b, backend, 9);
        back_rows(&b, T, 1);
        Tensor x = back_input(&b, T, 1, K);
        Weight *router = back_weight(&b, EXPERTS, K, 1);
        MoeOptions o = {.n_experts = EXPERTS, .n_used = 2, .renormalise = true};
        b.out[0] = op_moe(&b.step, x, x, router, &gate.w, &up.w, &down.w, &o);
        seed_gradient(&b, c, T * K);
        RefExperts ref = {
            .rows = T, .width = K, .hidden = N, .experts = EXPERTS, .used = 2, .renormalise = true};
        double *in = doubles(b.arg[0].first, T * K), *r = doubles(b.arg[1].first, EXPERTS * K);
        for (int arg = 0; arg < 2; arg++) {
            double *at = arg ? r : in, wrong = 0, all = 0;
            for (int j = 0; j < 24; j++) {
                double *one = at + j * ((arg ? EXPERTS : T) * K / 24), was = *one, sum[2] = {0};
                for (int way = 0; way < 2; way++) {
                    *one = was + (way ? -1e-5 : 1e-5);
                    ref_experts(&ref, in, r, gate.is, up.is, down.is, y);
                    for (int k = 0; k < T * K; k++) sum[way] += (double)c[k] * y[k];
                }
                *one = was;
                double want = (sum[0] - sum[1]) / 2e-5;
                wrong +=
                    pow((double)b.arg[arg].grad[one - at] - (double)b.arg[arg].before - want, 2);
                all += want * want;
            }
            double bound = some[i] == DT_F32 ? 2e-5 : 0.02;
            if (!(sqrt(wrong / all) < bound))
                fail_msg("type %u, argument %d: off by %g", some[i], arg, sqrt(wrong / all));
        }
        free(in), free(r);
        back_end(&b);
        thaw(&gate), thaw(&up), thaw(&down);
    }
}

/* What is named as trained and cannot change is refused by name. */
static void what_is_trained_must_be_floats(void **state)
{
    (void)state;
    Back b;
    back_begin(&b, backend, 1);
    back_rows(&b, 2, 1);
    Weight *w = back_weight(&b, 8, 32, 1);
    w->type = DT_Q8_0;
    op_linear(&b.step, back_input(&b, 2, 1, 32), w);
    assert_int_equal(b.step.status, BT_E_INTERNAL);
    assert_non_null(strstr(b.err.text, "is trained but is not rows of F32"));
    back_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(side_matrices_of_frozen_ones),
        cmocka_unit_test(gated_ones_take_their_parts),
        cmocka_unit_test(frozen_experts_route),
        cmocka_unit_test(what_is_trained_must_be_floats),
    };
    return cmocka_run_group_tests_name("frozen", tests, open_all, close_all);
}
