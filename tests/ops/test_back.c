/* Every op of ops.def: those with a way back are held against central differences in double of an
 * independent reference (see walk.h), on one thread and on three, to the same bits; those without
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
#include "ops/walk.h"
#include "support/make_blocks.h"

#define BOUND    5e-6 /* of the largest gradient of an argument */
#define MOST_OUT 4096

enum {
    OPS = 0
#define X(name, inputs, backward, check) +1
#include "ops/ops.def"
#undef X
};

#define WAYS 3

static Team *teams[WAYS];
static Backend *backends[WAYS]; /* one thread, three threads, plain C */
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
    for (int i = 0; i < WAYS; i++) {
        uint32_t features = i < 2 ? cpu_choose(0) : CPU_NONE;
        teams[i] = team_open(i == 1 ? 3 : 1);
        if (!teams[i] || cpu_open(&sizes, teams[i], features, &backends[i], NULL)) return -1;
    }
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    for (int i = 0; i < WAYS; i++) {
        if (backends[i]) backends[i]->ops->close(backends[i]);
        team_close(teams[i]);
    }
    return 0;
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

/* Central differences of argument a. */
static double *differences(const Back *b, const BackCase *x, double *const *arg, int a,
                           const float *c, size_t n)
{
    const double h = 1e-5;
    double *want = calloc(b->arg[a].n, sizeof *want);
    assert_non_null(want);
    for (size_t i = 0; i < b->arg[a].n; i++) {
        double at = arg[a][i];
        arg[a][i] = at + h;
        double up = loss(b, x, arg, c, n);
        arg[a][i] = at - h;
        want[i] = (up - loss(b, x, arg, c, n)) / (2 * h);
        arg[a][i] = at;
    }
    return want;
}

static void gradient_agrees(const BackCase *x, int a, const Arg *arg, const double *want)
{
    double most = 0;
    for (size_t i = 0; i < arg->n; i++) most = fmax(most, fabs(want[i]));
    for (size_t i = 0; i < arg->n; i++) {
        double got = (double)arg->grad[i] - (double)arg->before;
        double off = fabs(got - want[i]) / (most > 0 ? most : 1);
        if (!(off <= BOUND))
            fail_msg("%s, %s: gradient %zu of argument %d is %g, not %g", op_name(x->op), x->what,
                     i, a, got, want[i]);
        worst = fmax(worst, off);
    }
}

static void check(void **state)
{
    const BackCase *x = *(const BackCase **)*state;
    static float c[MOST_OUT], out[WAYS][MOST_OUT];
    static Back b[WAYS];
    double *arg[BACK_MOST_ARGS];
    size_t n = 0;
    uint64_t seed = 77;
    for (int i = 0; i < MOST_OUT; i++) c[i] = make_normal(&seed);
    for (int i = 0; i < WAYS; i++) {
        back_begin(&b[i], backends[i], (uint64_t)x->op * 100 + strlen(x->what));
        n = run(&b[i], x, c, out[i]);
    }
    for (int a = 0; a < b->n_args; a++) {
        arg[a] = calloc(b->arg[a].n, sizeof **arg);
        for (size_t i = 0; i < b->arg[a].n; i++) arg[a][i] = (double)b->arg[a].first[i];
    }
    results_agree(b, x, arg, out[0], n);
    results_agree(b, x, arg, out[2], n);
    assert_memory_equal(out[0], out[1], n * sizeof **out); /* whatever the number of threads */
    for (int a = 0; a < b->n_args; a++) {
        double *want = differences(b, x, arg, a, c, n);
        gradient_agrees(x, a, &b[0].arg[a], want);
        gradient_agrees(x, a, &b[2].arg[a], want);
        assert_memory_equal(b[0].arg[a].grad, b[1].arg[a].grad, b->arg[a].n * sizeof(float));
        free(want);
    }
    for (int a = 0; a < b->n_args; a++) free(arg[a]);
    for (int i = 0; i < WAYS; i++) back_end(&b[i]);
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
        back_begin(&b, backends[0], 1);
        back_rows(&b, 2, 1);
        call(&b.step, (Op)op);
        snprintf(name, sizeof name, "op %s cannot", op_name((Op)op));
        assert_int_equal(b.step.status, BT_E_UNSUPPORTED);
        assert_non_null(strstr(b.err.text, name));
        back_end(&b);
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
