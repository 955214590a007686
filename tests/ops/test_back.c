/* Every op of ops.def: those with a way back are held against central differences in double of an
 * independent reference (see back.h), on one thread and on three, to the same bits; those without
 * refuse a tape by name. An op with neither is an error here. */
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
#include "ops/back.h"
#include "support/make_blocks.h"

#define ARENA_BYTES ((size_t)4 << 20)
#define BOUND       5e-6 /* of the largest gradient of an argument */
#define MOST_OUT    4096

enum {
    OPS = 0
#define X(name, inputs, backward, check) +1
#include "ops/ops.def"
#undef X
};

static Team *teams[2];
static Backend *backends[2]; /* one thread, three threads */
static double worst;

#define MOST_CASES 128
static const BackCase *cases[MOST_CASES];
static size_t n_cases;

static void list(const BackCase *some, size_t n)
{
    for (size_t i = 0; i < n && n_cases < MOST_CASES; i++) cases[n_cases++] = &some[i];
}

static int open_all(void **state)
{
    CpuSizes sizes = {.most_k = 128, .most_head = 32, .most_group = 4, .n_batch = 64};
    (void)state;
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

static void begin(Back *b, Backend *backend, uint64_t seed)
{
    *b = (Back){.seed = seed};
    assert_true(arena_open(&b->arena, ARENA_BYTES));
    b->tape.grad = aligned_alloc(64, ARENA_BYTES);
    assert_non_null(b->tape.grad);
    memset(b->tape.grad, 0xff, ARENA_BYTES); /* NaN where nobody cleared */
    b->step = (Step){.backend = backend,
                     .arena = &b->arena,
                     .tape = &b->tape,
                     .rows = b->rows,
                     .layers = &b->layer,
                     .n_ctx = 64,
                     .err = &b->err};
    tape_begin(&b->step);
}

static void end(Back *b)
{
    for (int i = 0; i < b->n_memory; i++) free(b->memory[i]);
    free(b->tape.grad);
    arena_close(&b->arena);
}

static size_t count_of(Tensor t)
{
    return t.data ? (size_t)t.rows * tensor_row(t) : 0;
}

/* Runs the op and walks it back from d = c; out gets its results one after the other. Returns how
 * many numbers these are. */
static size_t run(Back *b, const BackCase *x, const float *c, float *out)
{
    size_t n = 0;
    x->forth(b);
    for (int r = 0; r < 3; r++) {
        Tensor t = b->out[r], d = tape_grad(&b->step, t);
        for (int64_t i = 0; t.data && i < t.rows; i++) {
            memcpy(out + n, tensor_at(t, i), tensor_row(t) * sizeof *out);
            for (size_t j = 0; j < tensor_row(t); j++) tensor_at(d, i)[j] += c[n + j];
            n += tensor_row(t);
        }
        assert_true(n + count_of(t) <= MOST_OUT);
    }
    tape_back(&b->step);
    if (step_failed(&b->step)) fail_msg("%s, %s: %s", op_name(x->op), x->what, b->err.text);
    return n;
}

static double loss(const Back *b, const BackCase *x, double *const *arg, const float *c, size_t n)
{
    static double out[MOST_OUT];
    double sum = 0;
    x->reference(b, arg, out);
    for (size_t i = 0; i < n; i++) sum += (double)c[i] * out[i];
    return sum;
}

static void results_agree(const Back *b, const BackCase *x, double *const *arg, const float *got,
                          size_t n)
{
    static double out[MOST_OUT];
    double most = 0;
    x->reference(b, arg, out);
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs(out[i]));
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - out[i]) <= 1e-5 * most))
            fail_msg("%s, %s: result %zu is %g, not %g", op_name(x->op), x->what, i, (double)got[i],
                     out[i]);
}

static void gradients_agree(const Back *b, const BackCase *x, double *const *arg, const float *c,
                            size_t n)
{
    const double h = 1e-5;
    for (int a = 0; a < b->n_args; a++) {
        size_t m = b->arg[a].n;
        double *want = calloc(m, sizeof *want), most = 0;
        for (size_t i = 0; i < m; i++) {
            double at = arg[a][i];
            arg[a][i] = at + h;
            double up = loss(b, x, arg, c, n);
            arg[a][i] = at - h;
            want[i] = (up - loss(b, x, arg, c, n)) / (2 * h);
            arg[a][i] = at;
            most = fmax(most, fabs(want[i]));
        }
        for (size_t i = 0; i < m; i++) {
            double got = (double)b->arg[a].grad[i] - (double)b->arg[a].before;
            double off = fabs(got - want[i]) / (most > 0 ? most : 1);
            if (!(off <= BOUND))
                fail_msg("%s, %s: gradient %zu of argument %d is %g, not %g", op_name(x->op),
                         x->what, i, a, got, want[i]);
            worst = fmax(worst, off);
        }
        free(want);
    }
}

static void check(void **state)
{
    const BackCase *x = *(const BackCase **)*state;
    static float c[MOST_OUT], out[2][MOST_OUT];
    Back b[2];
    double *arg[BACK_MOST_ARGS];
    size_t n = 0;
    uint64_t seed = 77;
    for (int i = 0; i < MOST_OUT; i++) c[i] = make_normal(&seed);
    for (int i = 0; i < 2; i++) {
        begin(&b[i], backends[i], (uint64_t)x->op * 100 + strlen(x->what));
        n = run(&b[i], x, c, out[i]);
    }
    assert_memory_equal(out[0], out[1], n * sizeof **out);
    for (int a = 0; a < b->n_args; a++) {
        const Arg *one = &b->arg[a];
        assert_memory_equal(one->grad, b[1].arg[a].grad, one->n * sizeof(float));
        arg[a] = calloc(one->n, sizeof **arg);
        for (size_t i = 0; i < one->n; i++) arg[a][i] = (double)one->first[i];
    }
    results_agree(b, x, arg, out[0], n);
    gradients_agree(b, x, arg, c, n);
    for (int a = 0; a < b->n_args; a++) free(arg[a]);
    end(&b[0]);
    end(&b[1]);
}

/* ---- ops without a way back ---- */

static void call(Step *s, Op op)
{
    Tensor x = step_tensor(s, 2, 2, 4, false), y = step_tensor(s, 2, 1, 4, false);
    switch (op) {
    case OP_linear_heads: op_linear_heads(s, x, &(Weight){.k = 4, .n = 4, .n_mats = 2}); break;
    case OP_recall: op_recall(s, 0); break;
    case OP_conv: op_conv(s, 0, x, NULL, NULL, ACT_NONE); break;
    case OP_scan: op_scan(s, 0, y, y, y, y, NULL, NULL); break;
    case OP_ssd: op_ssd(s, 0, x, y, x, x, NULL, NULL); break;
    case OP_delta: op_delta(s, 0, x, x, x, y, y, false); break;
    case OP_mix: op_mix(s, x, y); break;
    case OP_level: op_level(s, x, y); break;
    case OP_cut: op_cut(s, x, 1); break;
    case OP_spread: op_spread(s, x, y, (Tensor){0}, 1, 0); break;
    default: fail_msg("op %s is NO_GRAD and no call of it is known here", op_name(op));
    }
}

static void others_refuse_by_name(void **state)
{
    (void)state;
    for (int op = 0; op < OPS; op++) {
        if (op_has_grad((Op)op)) continue;
        Back b;
        char name[64];
        begin(&b, backends[0], 1);
        back_rows(&b, 2, 1);
        call(&b.step, (Op)op);
        snprintf(name, sizeof name, "op %s cannot", op_name((Op)op));
        assert_int_equal(b.step.status, BT_E_UNSUPPORTED);
        assert_non_null(strstr(b.err.text, name));
        end(&b);
    }
}

static void every_op_has_a_check(void **state)
{
    bool has[OPS] = {false};
    (void)state;
    for (size_t i = 0; i < n_cases; i++) has[cases[i]->op] = true;
    for (int op = 0; op < OPS; op++)
        if (op_has_grad((Op)op) != has[op])
            fail_msg("op %s %s", op_name((Op)op),
                     has[op] ? "has a check and is NO_GRAD" : "is GRAD and has no check");
}

static void say_the_worst(void **state)
{
    (void)state;
    print_message("# worst error of a gradient, of the largest of its argument: %.2g\n", worst);
}

int main(void)
{
    static struct CMUnitTest tests[MOST_CASES + 3];
    static char names[MOST_CASES][96];
    size_t n = 0;
    list(back_element_cases, n_back_element_cases);
    list(back_layer_cases, n_back_layer_cases);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(every_op_has_a_check);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(others_refuse_by_name);
    for (size_t i = 0; i < n_cases; i++) {
        snprintf(names[i], sizeof names[i], "%s, %s", op_name(cases[i]->op), cases[i]->what);
        tests[n++] = (struct CMUnitTest){names[i], check, NULL, NULL, &cases[i]};
    }
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(say_the_worst);
    return _cmocka_run_group_tests("back", tests, n, open_all, close_all);
}
