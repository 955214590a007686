/* Training's attention by tiles against the same one row at a time, which is used where there is no
 * work memory: lengths around the sizes of blocks, pieces and runs, windows, caps, sinks, several
 * documents, in float32 and in bf16; one thread and three give the same bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "backend/cpu/back.h"
#include "base/cpu.h"
#include "base/mem.h"

enum { MOST_ROWS = 700, MOST_FLOATS = MOST_ROWS * 600 };

static uint32_t seed = 1;

static float number(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / 8388608.0f - 1;
}

static Team *teams[2];
static Backend *backends[3]; /* one thread; three threads; one without work memory */

static int open_all(void **state)
{
    (void)state;
    CpuSizes sizes = {.most_k = 64, .most_head = 1, .most_group = 1, .n_batch = 1};
    for (int i = 0; i < 2; i++)
        if (!(teams[i] = team_open(i ? 3 : 1))) return -1;
    for (int i = 0; i < 3; i++)
        if (cpu_open(&sizes, teams[i & 1], cpu_choose(0), &backends[i], NULL)) return -1;
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        if (backends[i]) backends[i]->ops->close(backends[i]);
    for (int i = 0; i < 2; i++) team_close(teams[i]);
    return 0;
}

typedef struct Case {
    const char *name;
    int32_t heads, kv_heads, e, e_v;
    const int32_t *lengths; /* of the documents, up to a 0 */
    AttendOptions options;
    bool sinks;
} Case;

/* Everything that one run makes. */
typedef struct Made {
    float *out, *lse, *d_q, *d_k, *d_v, *d_sinks;
} Made;

static float *floats(size_t n)
{
    float *x = test_calloc(n, sizeof *x);
    assert_non_null(x);
    return x;
}

static Tensor tensor_of(float *data, int32_t rows, int32_t heads, int32_t width)
{
    Tensor t = {.data = data, .rows = rows, .heads = heads, .width = width};
    t.stride = (size_t)heads * (size_t)width;
    return t;
}

static Made run(Backend *b, const Case *c, const StepRow *rows, int32_t n, float *const *in,
                GemmPrecision precision, bool poor)
{
    size_t count = (size_t)n;
    Made m = {floats(count * (size_t)(c->heads * c->e_v)),
              floats(count * (size_t)c->heads),
              floats(count * (size_t)(c->heads * c->e)),
              floats(count * (size_t)(c->kv_heads * c->e)),
              floats(count * (size_t)(c->kv_heads * c->e_v)),
              floats((size_t)c->heads)};
    float *delta = floats(count * (size_t)c->heads);
    RowsAttention a = {.rows = rows,
                       .q = tensor_of(in[0], n, c->heads, c->e),
                       .k = tensor_of(in[1], n, c->kv_heads, c->e),
                       .v = tensor_of(in[2], n, c->kv_heads, c->e_v),
                       .options = c->options,
                       .precision = precision,
                       .out = tensor_of(m.out, n, c->heads, c->e_v),
                       .lse = tensor_of(m.lse, n, 1, c->heads)};
    if (c->sinks) a.options.sinks = in[4];
    if (poor) mem_fail_at(1);
    cpu_attend_rows(b, &a);
    if (poor) mem_fail_at(1);
    cpu_attend_back(b, &a, tensor_of(in[3], n, c->heads, c->e_v), tensor_of(delta, n, 1, c->heads),
                    tensor_of(m.d_q, n, c->heads, c->e), tensor_of(m.d_k, n, c->kv_heads, c->e),
                    tensor_of(m.d_v, n, c->kv_heads, c->e_v), c->sinks ? m.d_sinks : NULL);
    mem_fail_at(0);
    test_free(delta);
    return m;
}

static void near(const char *name, const char *what, const float *want, const float *got, size_t n,
                 double bound)
{
    double most = 1, apart = 0; /* of the inputs, at least */
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)want[i] - (double)got[i]);
        if (!(d <= apart)) apart = d; /* NaN too */
        most = fmax(most, fabs((double)want[i]));
    }
    if (!(apart <= bound * most)) fail_msg("%s: %s is off by %g of %g", name, what, apart, most);
}

static void compare(const Case *c, size_t n, const Made *a, const Made *b, double bound)
{
    size_t heads = (size_t)c->heads, kv = (size_t)c->kv_heads, e = (size_t)c->e;
    size_t e_v = (size_t)c->e_v;
    near(c->name, "the result", a->out, b->out, n * heads * e_v, bound);
    near(c->name, "the sum of scores", a->lse, b->lse, n * heads, bound);
    near(c->name, "d of q", a->d_q, b->d_q, n * heads * e, bound);
    near(c->name, "d of k", a->d_k, b->d_k, n * kv * e, bound);
    near(c->name, "d of v", a->d_v, b->d_v, n * kv * e_v, bound);
    near(c->name, "d of sinks", a->d_sinks, b->d_sinks, heads, bound);
}

static void drop(Made *m)
{
    test_free(m->out), test_free(m->lse), test_free(m->d_q);
    test_free(m->d_k), test_free(m->d_v), test_free(m->d_sinks);
}

static void check_case(const Case *c)
{
    static StepRow rows[MOST_ROWS];
    int32_t n = 0;
    float *in[5];
    for (int32_t d = 0; c->lengths[d]; d++)
        for (int32_t i = 0; i < c->lengths[d]; i++)
            rows[n++] = (StepRow){.sequence = d, .position = i};
    const int32_t sizes[] = {n * c->heads * c->e, n * c->kv_heads * c->e, n * c->kv_heads * c->e_v,
                             n * c->heads * c->e_v, c->heads};
    for (int i = 0; i < 5; i++) {
        in[i] = floats((size_t)sizes[i]);
        for (int32_t j = 0; j < sizes[i]; j++) in[i][j] = number();
    }
    Made want = run(backends[2], c, rows, n, in, GEMM_F32, true);
    for (int p = GEMM_F32; p <= GEMM_BF16; p++) {
        Made one = run(backends[0], c, rows, n, in, (GemmPrecision)p, false);
        Made three = run(backends[1], c, rows, n, in, (GemmPrecision)p, false);
        compare(c, (size_t)n, &one, &three, 0);
        compare(c, (size_t)n, &want, &one, p == GEMM_BF16 ? 0.03 : 5e-6);
        drop(&one), drop(&three);
    }
    drop(&want);
    for (int i = 0; i < 5; i++) test_free(in[i]);
}

static void tiles_are_rows(void **state)
{
    static const int32_t one[] = {1, 0}, short_ones[] = {1, 63, 64, 65, 2, 0},
                         long_one[] = {600, 0};
    static const int32_t mixed[] = {90, 520, 30, 0};
    const Case cases[] = {
        {"one row", 2, 1, 16, 16, one, {.scale = 0.25f}, false},
        {"short documents", 4, 2, 32, 32, short_ones, {.scale = 0.2f}, false},
        {"a long one", 2, 1, 64, 48, long_one, {.scale = 0.125f}, false},
        {"wide heads", 1, 1, 136, 200, mixed, {.scale = 0.1f}, false},
        {"many heads", 18, 1, 8, 8, mixed, {.scale = 0.3f}, true},
        {"a window", 2, 2, 24, 24, mixed, {.scale = 0.2f, .see = ATTEND_WINDOW, .span = 70}, true},
        {"chunks", 2, 1, 24, 24, mixed, {.scale = 0.2f, .see = ATTEND_CHUNK, .span = 100}, false},
        {"capped", 2, 1, 32, 32, mixed, {.scale = 0.5f, .soft_cap = 3}, false},
        {"both ways", 2, 1, 32, 32, mixed, {.scale = 0.2f, .see = ATTEND_BOTH}, false},
        {"around", 2, 1, 32, 32, mixed, {.scale = 0.2f, .see = ATTEND_AROUND, .span = 90}, false},
        {"too wide for tiles", 1, 1, 520, 8, short_ones, {.scale = 0.05f}, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_case(&cases[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tiles_are_rows)};
    return cmocka_run_group_tests_name("flash", tests, open_all, close_all);
}
