/* Losses of distillation against the definitions in double, and their gradients against central
 * differences of those. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "train/random.h"
#include "train/soft_loss.h"

enum { V = 37 };

static void softmax(const double *x, double temperature, double *p)
{
    double most = -INFINITY, sum = 0;
    for (int i = 0; i < V; i++) most = fmax(most, x[i] / temperature);
    for (int i = 0; i < V; i++) sum += p[i] = exp(x[i] / temperature - most);
    for (int i = 0; i < V; i++) p[i] /= sum;
}

static double kl(const double *a, const double *b)
{
    double sum = 0;
    for (int i = 0; i < V; i++)
        if (a[i] > 0) sum += a[i] * log(a[i] / b[i]);
    return sum;
}

static double definition(const SoftLoss *l, const double *x, const double *z, int target)
{
    double t[V], s[V], one[V], m[V], mix = (double)l->mix, soft = (double)l->soft, d;
    double temperature = (double)l->temperature;
    softmax(x, 1, one);
    softmax(x, temperature, s);
    softmax(z, temperature, t);
    for (int i = 0; i < V; i++) m[i] = mix * t[i] + (1 - mix) * s[i];
    d = mix <= 0 ? kl(t, s) : mix >= 1 ? kl(s, t) : mix * kl(t, m) + (1 - mix) * kl(s, m);
    return (target < 0 ? 0 : (1 - soft) * -log(one[target])) + soft * temperature * temperature * d;
}

static double definition_part(const SoftLoss *l, const double *x, const SoftPart *p, int target)
{
    double s[V], one[V], soft = (double)l->soft, temperature = (double)l->temperature, d = 0;
    double others = 1;
    softmax(x, 1, one);
    softmax(x, temperature, s);
    double a[V + 1], b[V + 1], mix = (double)l->mix;
    size_t n = p->n;
    for (size_t i = 0; i < n; i++) {
        a[i] = (double)p->p[i];
        others -= b[i] = s[p->id[i]];
    }
    a[n] = (double)p->rest, b[n] = others;
    for (size_t i = 0; i <= n; i++) {
        double m = mix * a[i] + (1 - mix) * b[i];
        if (mix <= 0)
            d -= a[i] > 0 ? a[i] * log(b[i]) : 0;
        else if (mix >= 1)
            d += b[i] * log(b[i] / a[i]);
        else
            d += mix * a[i] * log(a[i] / m) + (1 - mix) * b[i] * log(b[i] / m);
    }
    return (target < 0 ? 0 : (1 - soft) * -log(one[target])) + soft * temperature * temperature * d;
}

static float x[V], z[V], d[V], room[2 * V];
static double wide[V], wide_z[V];

static void make(uint64_t seed, float spread)
{
    random_normals(seed, spread, x, V);
    random_normals(seed + 1, spread, z, V);
    memset(d, 0, sizeof d);
    for (int i = 0; i < V; i++) {
        wide[i] = (double)x[i];
        wide_z[i] = (double)z[i];
    }
}

typedef double (*Definition)(const SoftLoss *l, const void *of, int target);
static double whole(const SoftLoss *l, const void *of, int target)
{
    (void)of;
    return definition(l, wide, wide_z, target);
}
static double in_part(const SoftLoss *l, const void *of, int target)
{
    return definition_part(l, wide, of, target);
}

static void check(const SoftLoss *l, Definition f, const void *of, int target, double weight,
                  double got)
{
    const double h = 1e-5;
    double want = f(l, of, target), largest = 1e-3;
    assert_true(fabs(got - weight * want) <= 1e-5 * (fabs(want) + 1) * weight);
    double g[V];
    for (int i = 0; i < V; i++) {
        double at = wide[i];
        wide[i] = at + h;
        double up = f(l, of, target);
        wide[i] = at - h;
        g[i] = weight * (up - f(l, of, target)) / (2 * h);
        wide[i] = at;
        largest = fmax(largest, fabs(g[i]));
    }
    for (int i = 0; i < V; i++)
        if (fabs((double)d[i] - g[i]) > 2e-5 * largest)
            fail_msg("soft %g T %g mix %g: gradient %d is %g, not %g", (double)l->soft,
                     (double)l->temperature, (double)l->mix, i, (double)d[i], g[i]);
}

static void divergences(void **state)
{
    (void)state;
    static const float softs[] = {0, 0.3f, 1}, temperatures[] = {1, 2, 0.7f};
    static const float mixes[] = {0, 0.1f, 0.5f, 0.9f, 1};
    const Kernels *k = kernels_select(0);
    uint64_t seed = 1;
    for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++)
            for (int c = 0; c < 5; c++, seed += 2) {
                const SoftLoss l = {softs[a], temperatures[b], mixes[c]};
                int target = seed % 4 ? (int)(seed % V) : -1;
                make(seed, 2);
                double got = soft_loss_row(&l, k, x, z, target, 0.5f, V, room, d);
                check(&l, whole, NULL, target, 0.5, got);
                /* Without a gradient the loss is the same. */
                assert_true(soft_loss_row(&l, k, x, z, target, 0.5f, V, room, NULL) == got);
            }
}

/* A whole vocabulary's row by this machine's kernels: the definition's gradient in double. */
static void a_real_vocabulary(void **state)
{
    enum { N = 4099 };
    static float a[N], b[N], got[N], more[N];
    static double s[N], t[N], one[N];
    static const float temperatures[] = {1, 2};
    const Kernels *k = kernels_select(cpu_choose(0));
    (void)state;
    random_normals(3, 3, a, N);
    random_normals(4, 3, b, N);
    for (int c = 0; c < 4; c++) {
        const SoftLoss l = {c & 2 ? 1 : 0.5f, temperatures[c & 1], 0};
        double T = (double)l.temperature, soft = (double)l.soft, sums[3] = {0}, want = 0;
        const int target = 77;
        for (int i = 0; i < N; i++) {
            sums[0] += s[i] = exp((double)a[i] / T);
            sums[1] += t[i] = exp((double)b[i] / T);
            sums[2] += one[i] = exp((double)a[i]);
        }
        for (int i = 0; i < N; i++) s[i] /= sums[0], t[i] /= sums[1], one[i] /= sums[2];
        for (int i = 0; i < N; i++) want += soft * T * T * t[i] * log(t[i] / s[i]);
        want -= (1 - soft) * log(one[target]);
        for (int i = 0; i < N; i++) got[i] = NAN; /* all of it is written */
        double loss = soft_loss_row(&l, k, a, b, target, 0.5f, N, more, got);
        assert_true(fabs(loss - 0.5 * want) < 2e-6 * want);
        for (int i = 0; i < N; i++) {
            double g = soft * T * (s[i] - t[i]) + (1 - soft) * (one[i] - (i == target));
            assert_true(fabs((double)got[i] - 0.5 * g) < 1e-8 + 5e-6 * fabs(g));
        }
    }
}

static void parts(void **state)
{
    (void)state;
    static const int32_t ids[] = {3, 36, 0, 17};
    static const float few[] = {0.5f, 0.25f, 0.125f, 0.125f}, some[] = {0.5f, 0.2f, 0.1f, 0.05f};
    const Kernels *k = kernels_select(0);
    static const float mixes[] = {0, 1, 0.5f, 0.1f};
    for (int c = 0; c < 20; c++) {
        const SoftLoss l = {c & 1 ? 1 : 0.4f, c & 2 ? 2 : 1, c < 8 ? 0 : mixes[c / 4 - 1]};
        const bool drawn = c < 4;
        const SoftPart p = {ids, drawn ? few : some, 4, drawn ? 0 : 0.15f};
        make(100 + (uint64_t)c, 1.5f);
        double got = soft_loss_part(&l, k, x, &p, 5, 2, V, room, d);
        check(&l, in_part, &p, 5, 2, got);
    }
}

static double by_size(const SoftLoss *l, const void *of, int target)
{
    const float *sorted = of;
    double s[V], top[V], temperature = (double)l->temperature, sum = 0;
    int n = 0;
    (void)target;
    softmax(wide, temperature, s);
    for (int i = 0; i < V; i++) {
        int at = n++;
        if (i % 3 == 0) { /* matched */
            n--;
            continue;
        }
        for (; at > 0 && top[at - 1] < s[i]; at--) top[at] = top[at - 1];
        top[at] = s[i];
    }
    for (int i = 0; i < 5; i++) sum += fabs(top[i] - (double)sorted[i]);
    return (double)l->soft * temperature * temperature * sum;
}

static void sizes(void **state)
{
    (void)state;
    static const float sorted[] = {0.2f, 0.04f, 0.01f, 0.001f, 0};
    const Kernels *k = kernels_select(0);
    unsigned char matched[V];
    for (int i = 0; i < V; i++) matched[i] = i % 3 == 0;
    for (int c = 0; c < 6; c++) {
        const SoftLoss l = {c & 1 ? 1 : 0.4f, c & 2 ? 2 : 1, 0};
        make(200 + (uint64_t)c, 1.5f);
        double got = soft_loss_sorted(&l, k, x, matched, sorted, 5, 0.7f, V, room, d);
        check(&l, by_size, sorted, 0, (double)0.7f, got);
    }
}

/* Samples of the teacher, many of them, pull as its whole distribution does. */
static void samples_are_unbiased(void **state)
{
    (void)state;
    enum { N = 12, TURNS = 20000 };
    const Kernels *k = kernels_select(0);
    const SoftLoss l = {1, 1, 0};
    float want[V] = {0};
    double t[V], mean[V] = {0};
    make(7, 1);
    soft_loss_row(&l, k, x, z, -1, 1, V, room, d);
    memcpy(want, d, sizeof want);
    softmax(wide_z, 1, t);
    for (uint64_t turn = 0; turn < TURNS; turn++) {
        int32_t ids[N];
        float p[N];
        for (int i = 0; i < N; i++) {
            double u = (double)(random_bits(9, turn * N + (uint64_t)i) >> 11) * 0x1p-53;
            ids[i] = 0;
            while (ids[i] < V - 1 && (u -= t[ids[i]]) >= 0) ids[i]++;
            p[i] = 1.0f / N;
        }
        const SoftPart part = {ids, p, N, 0};
        memset(d, 0, sizeof d);
        soft_loss_part(&l, k, x, &part, -1, 1, V, room, d);
        for (int i = 0; i < V; i++) mean[i] += (double)d[i] / TURNS;
    }
    for (int i = 0; i < V; i++) assert_true(fabs(mean[i] - (double)want[i]) < 3e-3);
}

/* A teacher that is sure, tokens that it does not have, students that are sure of something else:
 * numbers all the same. */
static void extremes(void **state)
{
    (void)state;
    static const float mixes[] = {0, 0.5f, 1};
    const Kernels *k = kernels_select(0);
    for (int c = 0; c < 3; c++)
        for (int kind = 0; kind < 3; kind++) {
            const SoftLoss l = {0.5f, 1, mixes[c]};
            make(50, 1);
            if (kind == 0) z[4] = 1e4f;
            if (kind == 1)
                for (int i = 20; i < V; i++) z[i] = -1e30f;
            if (kind == 2) x[9] = 1e4f;
            double loss = soft_loss_row(&l, k, x, z, 2, 1, V, room, d);
            assert_true(isfinite(loss) && loss >= 0);
            for (int i = 0; i < V; i++) assert_true(isfinite(d[i]));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_real_vocabulary),
        cmocka_unit_test(divergences),
        cmocka_unit_test(parts),
        cmocka_unit_test(sizes),
        cmocka_unit_test(samples_are_unbiased),
        cmocka_unit_test(extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
