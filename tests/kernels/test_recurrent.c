/* Recurrences against closed forms in float64: what tests/check, which compares versions of one
 * step with each other, cannot see. Convolution: the sum over the whole sequence at once. Scans:
 * each output as a sum over all earlier inputs. Delta rule: products of explicit matrices. */
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

/* rows, channels (a panel and a part of one), state of a channel, taps */
enum { T = 40, N = STATE_PANEL + 7, W = 21, TAPS = 4 };

static const Kernels *versions[2];

static float noise(void)
{
    return (float)rand() / (float)RAND_MAX * 2 - 1;
}

static void fill(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = noise();
}

static void close_to(double got, double want, double size)
{
    if (!(fabs(got - want) <= 1e-5 * (1 + size))) fail_msg("%g is not %g", got, want);
}

static void convolution_is_a_sum_over_the_past(void **state)
{
    (void)state;
    static float x[T][N], weight[TAPS][N], bias[N];
    fill(x[0], T * N), fill(weight[0], TAPS * N), fill(bias, N);
    for (int v = 0; v < 2; v++) {
        float tail[TAPS - 1][N] = {{0}}, out[N];
        for (int t = 0; t < T; t++) {
            versions[v]->conv_rows(x[t], N, weight[0], bias, N, TAPS, 1, N, tail[0], out, N);
            for (int c = 0; c < N; c++) {
                double sum = bias[c];
                for (int ago = 0; ago < TAPS && ago <= t; ago++)
                    sum += (double)weight[TAPS - 1 - ago][c] * x[t - ago][c];
                close_to(out[c], sum, 1);
            }
        }
    }
}

/* What Mamba's channel j answers at t: sum over s <= t of exp(sum of a dt over (s, t]) dt x (b c).
 */
static double scanned(int t, int j, const float a[N][W], float x[T][N], float dt[T][N],
                      float b[T][W], float c[T][W], const float *d)
{
    double sum = (double)d[j] * x[t][j];
    for (int i = 0; i < W; i++) {
        double passed = 0;
        for (int s = t; s >= 0; s--) {
            sum += exp(a[j][i] * passed) * dt[s][j] * x[s][j] * b[s][i] * c[t][i];
            passed += dt[s][j];
        }
    }
    return sum;
}

static void scans_are_sums_over_the_past(void **state)
{
    (void)state;
    static float x[T][N], dt[T][N], b[T][W], c[T][W], a[N][W], d[N], even[N][W], steps[T][N];
    fill(x[0], T * N), fill(b[0], T * W), fill(c[0], T * W), fill(d, N);
    for (int j = 0; j < N; j++)
        for (int i = 0; i < W; i++) a[j][i] = -fabsf(noise()) * 2, even[j][i] = -0.3f;
    for (int t = 0; t < T; t++)
        for (int j = 0; j < N; j++)
            dt[t][j] = fabsf(noise()), steps[t][j] = 0.1f + 0.01f * (float)t;
    for (int v = 0; v < 2; v++) {
        static float h[N * W], g[N * W], panels[N * W];
        float out[N];
        memset(h, 0, sizeof h), memset(g, 0, sizeof g);
        for (size_t j = 0; j < N; j++)
            for (size_t i = 0; i < W; i++) panels[state_at(N, W, j, i)] = a[j][i];
        for (int t = 0; t < T; t++) {
            versions[v]->scan_rows(x[t], dt[t], N, panels, d, b[t], c[t], W, 1, N, W, h, out);
            for (int j = 0; j < N; j++)
                close_to(out[j], scanned(t, j, a, x, dt, b, c, d), fabs((double)out[j]));
            float step = steps[t][0]; /* a head: one step, one decay, one d */
            float decay = expf(step * -0.3f);
            versions[v]->ssd_rows(x[t], N, &decay, &step, d[0], b[t], c[t], W, 1, N, W, g, out, N);
            float same[N];
            for (int j = 0; j < N; j++) same[j] = d[0];
            for (int j = 0; j < N; j++)
                close_to(out[j], scanned(t, j, even, x, steps, b, c, same), fabs((double)out[j]));
        }
    }
}

/* S = S (decay (I - beta k k')) + beta v k' */
static void delta_rule_is_a_product_of_matrices(void **state)
{
    (void)state;
    static float q[T][W], k[T][W], x[T][N];
    fill(q[0], T * W), fill(k[0], T * W), fill(x[0], T * N);
    for (int t = 0; t < T; t++) {
        double length = 0;
        for (int i = 0; i < W; i++) length += (double)k[t][i] * k[t][i];
        for (int i = 0; i < W; i++) k[t][i] = (float)(k[t][i] / sqrt(length));
    }
    for (int v = 0; v < 2; v++) {
        static double s[N][W], next[N][W];
        static float h[N * W];
        float out[N], decay = 0.95f, beta = 0.6f;
        memset(s, 0, sizeof s), memset(h, 0, sizeof h);
        for (int t = 0; t < T; t++) {
            for (int j = 0; j < N; j++)
                for (int i = 0; i < W; i++) {
                    next[j][i] = (double)beta * x[t][j] * k[t][i];
                    for (int r = 0; r < W; r++) {
                        double m = (r == i) - (double)beta * k[t][r] * k[t][i];
                        next[j][i] += s[j][r] * (double)decay * m;
                    }
                }
            memcpy(s, next, sizeof s);
            versions[v]->delta_rows(q[t], k[t], W, x[t], N, &decay, &beta, 1, N, W, h, out, N);
            for (int j = 0; j < N; j++) {
                double sum = 0;
                for (int i = 0; i < W; i++) sum += s[j][i] * q[t][i];
                close_to(out[j], sum, 1);
            }
        }
    }
}

static int setup(void **state)
{
    (void)state;
    versions[0] = kernels_select(CPU_NONE);
    versions[1] = kernels_select(cpu_features());
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolution_is_a_sum_over_the_past),
        cmocka_unit_test(scans_are_sums_over_the_past),
        cmocka_unit_test(delta_rule_is_a_product_of_matrices),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
