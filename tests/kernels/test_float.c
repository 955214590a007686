/* Float kernels at the edges, and against the plain definition: what the checker in tests/check,
 * which only compares versions with each other, cannot see. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "kernels/kernels.h"
#include "tensor/dtype.h"

static const Kernels *k;

static float noise(void)
{
    return (float)rand() / (float)RAND_MAX * 2 - 1;
}

static void softmax_edges(void **state)
{
    (void)state;
    float x[37];
    for (int i = 0; i < 37; i++) x[i] = -INFINITY;
    k->softmax(x, 37);
    for (int i = 0; i < 37; i++) assert_true(x[i] == 0);
    x[5] = 3, x[36] = -INFINITY, x[7] = 3;
    for (int i = 0; i < 37; i++)
        if (i != 5 && i != 7) x[i] = -INFINITY;
    k->softmax(x, 37);
    for (int i = 0; i < 37; i++) assert_float_equal(x[i], i == 5 || i == 7 ? 0.5 : 0, 1e-7);
    float large[3] = {3e38f, -3e38f, 3e38f};
    k->softmax(large, 3);
    assert_float_equal(large[0], 0.5, 1e-7);
    assert_true(large[1] == 0);
    k->softmax(large, 0);
}

static void rmsnorm_edges(void **state)
{
    (void)state;
    float x[40] = {0}, w[40], out[40];
    for (int i = 0; i < 40; i++) w[i] = 1;
    k->rmsnorm(x, w, 1e-6f, 40, out);
    for (int i = 0; i < 40; i++) assert_true(out[i] == 0);
    for (int i = 0; i < 40; i++) x[i] = i & 1 ? 2 : -2;
    k->rmsnorm(x, w, 0, 40, out);
    for (int i = 0; i < 40; i++) assert_float_equal(out[i], x[i] / 2, 1e-6);
    for (int i = 0; i < 40; i++) x[i] = 1e19f; /* the sum of the squares is out of range */
    k->rmsnorm(x, w, 0, 40, out);
    for (int i = 0; i < 40; i++) assert_float_equal(out[i], 1, 1e-6);
    x[3] = 1e20f; /* a square is */
    k->rmsnorm(x, w, 0, 40, out);
    for (int i = 0; i < 40; i++) assert_true(out[i] == 0);
}

static void swiglu_edges(void **state)
{
    (void)state;
    float gate[20] = {0, 88, -88, 104, -104, 1e30f, -1e30f, 1, -1}, up[20], out[20];
    for (int i = 0; i < 20; i++) up[i] = 1;
    k->swiglu(gate, up, 20, out);
    assert_true(out[0] == 0);
    assert_true(out[1] == 88 && out[3] == 104 && out[5] == 1e30f);
    assert_true(fabsf(out[2]) < 1e-35f && fabsf(out[4]) < 1e-35f && fabsf(out[6]) < 1e-35f);
    assert_float_equal(out[7], 0.7310585786, 1e-7);
    assert_float_equal(out[8], -0.2689414214, 1e-7);
}

static void rope_turns(void **state)
{
    (void)state;
    float c[3] = {0, 1, 0.6f}, s[3] = {1, 0, 0.8f};
    float halves[6] = {1, 2, 3, 4, 5, 6}, pairs[6] = {1, 4, 2, 5, 3, 6};
    float want[6] = {-4, 2, 3 * 0.6f - 6 * 0.8f, 1, 5, 3 * 0.8f + 6 * 0.6f};
    k->rope(halves, c, s, 3, false);
    k->rope(pairs, c, s, 3, true);
    for (int i = 0; i < 3; i++) {
        assert_float_equal(halves[i], want[i], 1e-6);
        assert_float_equal(halves[i + 3], want[i + 3], 1e-6);
        assert_float_equal(pairs[2 * i], want[i], 1e-6);
        assert_float_equal(pairs[2 * i + 1], want[i + 3], 1e-6);
    }
}

static void q8_edges(void **state)
{
    (void)state;
    float x[64], back[64];
    uint8_t block[68];
    for (int i = 0; i < 64; i++) x[i] = i < 32 ? 0 : (float)(i - 32) * 4 - 62; /* top 62 */
    k->from_f32(DT_Q8_0, x, block, 64);
    k->to_f32(DT_Q8_0, block, back, 64);
    for (int i = 0; i < 32; i++) assert_true(back[i] == 0);
    for (int i = 32; i < 64; i++) assert_float_equal(back[i], x[i], 62.0 / 127 / 2 * 1.01);
    for (int i = 0; i < 64; i++) x[i] = i & 1 ? NAN : i & 2 ? INFINITY : -INFINITY;
    k->from_f32(DT_Q8_0, x, block, 64); /* any bytes, no crash */
}

/* ---- attention against softmax(qK)V written out ---- */
enum { NQ = 5, E = 40, EV = 24, N = 200, ROOM = 256 };
static float q[NQ * E], keys[ROOM * E], values[ROOM * EV];
static _Alignas(64) float work[1 << 17];

static void direct(int i, int first, int limit, float cap, double *out)
{
    double s[N], top = -INFINITY, sum = 0;
    for (int j = first; j < limit; j++) {
        s[j] = 0;
        for (int d = 0; d < E; d++) s[j] += (double)q[i * E + d] * keys[j * E + d];
        if (cap != 0) s[j] = cap * tanh(s[j] / cap);
        top = fmax(top, s[j]);
    }
    for (int d = 0; d < EV; d++) out[d] = 0;
    for (int j = first; j < limit; j++) sum += exp(s[j] - top);
    for (int j = first; j < limit; j++)
        for (int d = 0; d < EV; d++) out[d] += exp(s[j] - top) / sum * values[j * EV + d];
}

static void run(const int32_t *first, const int32_t *limit, float cap, float *m, float *l,
                float *acc)
{
    AttendRun r = {.k_type = DT_F32,
                   .v_type = DT_F32,
                   .e = E,
                   .e_v = EV,
                   .nq = NQ,
                   .q = q,
                   .k_stride = E * sizeof(float),
                   .v_stride = EV * sizeof(float),
                   .n = N,
                   .first = first,
                   .limit = limit,
                   .soft_cap = cap,
                   .m = m,
                   .l = l,
                   .acc = acc,
                   .work = work};
    assert_true(attend_work_floats(NQ, E, EV) <= sizeof work / sizeof *work);
    for (int b = 0; b * ATTEND_BLOCK < N; b++) {
        r.k[b] = (const unsigned char *)(keys + b * ATTEND_BLOCK * E);
        r.v[b] = (const unsigned char *)(values + b * ATTEND_BLOCK * EV);
    }
    k->attend(&r);
}

static void attend_matches(void **state)
{
    (void)state;
    for (int i = 0; i < NQ * E; i++) q[i] = noise();
    for (int i = 0; i < ROOM * E; i++) keys[i] = noise();
    for (int i = 0; i < ROOM * EV; i++) values[i] = noise();
    const int32_t first[NQ] = {0, 0, 100, 63, 190}, limit[NQ] = {200, 1, 165, 64, 200};
    for (int capped = 0; capped < 2; capped++) {
        float m[NQ], l[NQ], acc[NQ * EV], cap = capped ? 2.0f : 0;
        run(first, limit, cap, m, l, acc);
        for (int i = 0; i < NQ; i++) {
            double want[EV];
            direct(i, first[i], limit[i], cap, want);
            for (int d = 0; d < EV; d++) assert_float_equal(acc[i * EV + d] / l[i], want[d], 2e-6);
        }
    }
}

static void attend_sees_nothing(void **state)
{
    (void)state;
    const int32_t first[NQ] = {0, 7, 200, 64, 128}, limit[NQ] = {0, 7, 200, 64, 128};
    float m[NQ], l[NQ], acc[NQ * EV];
    for (int i = 0; i < ROOM * EV; i++) values[i] = NAN; /* what is masked is not touched */
    run(first, limit, 0, m, l, acc);
    for (int i = 0; i < NQ; i++) {
        assert_true(m[i] == -INFINITY);
        assert_true(l[i] == 0);
        for (int d = 0; d < EV; d++) assert_true(acc[i * EV + d] == 0);
    }
}

static int choose(void **state)
{
    k = *state;
    return 0;
}

#define EACH(test)                                                                                 \
    {                                                                                              \
#test, test, choose, NULL, NULL                                                            \
    }

int main(void)
{
    static const struct CMUnitTest rows[] = {
        EACH(softmax_edges), EACH(rmsnorm_edges),  EACH(swiglu_edges),        EACH(rope_turns),
        EACH(q8_edges),      EACH(attend_matches), EACH(attend_sees_nothing),
    };
    enum { ROWS = sizeof rows / sizeof rows[0], TABLES = 3 };
    static const uint32_t masks[TABLES] = {0, CPU_AVX2 | CPU_NEON, ~CPU_NONE};
    static char names[TABLES * ROWS][64];
    struct CMUnitTest tests[TABLES * ROWS];
    for (int i = 0; i < TABLES * ROWS; i++) {
        const Kernels *table = kernels_select(cpu_features() & masks[i / ROWS]);
        tests[i] = rows[i % ROWS];
        snprintf(names[i], sizeof names[i], "%s %s", tests[i].name, table->name);
        tests[i].name = names[i];
        tests[i].initial_state = (void *)(uintptr_t)table;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
