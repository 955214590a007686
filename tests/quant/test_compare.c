/* bt_compare against the same numbers computed from the logits of whole windows, apart; and what it
 * refuses. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bantam/bantam.h"
#include "quant/divergence.h"
#include "support/make_model.h"
#include "support/run_model.h"
#include "support/scratch.h"

static bt_error err;
enum { CTX = 32, WINDOWS = 3, N = CTX * WINDOWS + 7 };

static const char *model(const char *name, DType type, int vocab)
{
    MakeModel o = {.tokenizer = MAKE_NO_VOCAB, .type = type, .vocab = vocab};
    const char *path = scratch_path(name);
    if (make_model(&o, path, &err)) fail_msg("%s", err.text);
    return path;
}

static bt_model *opened(const char *path)
{
    bt_model *m;
    bt_model_options o = {.no_cache = true, .n_threads = 2};
    if (bt_model_open(path, &o, &m, &err)) fail_msg("%s", err.text);
    return m;
}

static void close_to(double got, double want, double bound)
{
    if (!(fabs(got - want) <= bound * fabs(want) + 1e-9)) fail_msg("%.9g, not %.9g", got, want);
}

static void as_from_whole_logits(void **state)
{
    (void)state;
    const char *a = model("a.gguf", DT_F32, 0), *b = model("b.gguf", DT_Q4_0, 0);
    bt_token ids[N];
    double kl = 0, surprise[2] = {0}, most = 0;
    int scored = 0, same = 0, n_vocab;
    for (int i = 0; i < N; i++) ids[i] = (i * i * 7 + i * 31 + 3) % 128;
    for (int w = 0; w < WINDOWS; w++) {
        const bt_token *window = ids + w * CTX;
        float *p = run_model(a, window, CTX, FEED_AT_ONCE, BT_KV_F32, 0, &n_vocab);
        float *q = run_model(b, window, CTX, FEED_AT_ONCE, BT_KV_F32, 0, &n_vocab);
        assert_non_null(p);
        assert_non_null(q);
        for (int t = CTX / 2; t + 1 < CTX; t++) {
            const float *row[2] = {p + t * n_vocab, q + t * n_vocab};
            double all[2] = {0}, here = 0;
            int best[2] = {0};
            for (int m = 0; m < 2; m++)
                for (int i = 0; i < n_vocab; i++) {
                    all[m] += exp((double)row[m][i]);
                    if (row[m][i] > row[m][best[m]]) best[m] = i;
                }
            for (int i = 0; i < n_vocab; i++) {
                double x = exp((double)row[0][i]) / all[0], y = exp((double)row[1][i]) / all[1];
                here += x * log(x / y);
            }
            for (int m = 0; m < 2; m++)
                surprise[m] -= log(exp((double)row[m][window[t + 1]]) / all[m]);
            kl += here;
            if (here > most) most = here;
            same += best[0] == best[1];
            scored++;
        }
        free(p);
        free(q);
    }
    bt_model *x = opened(a), *y = opened(b);
    bt_compare_options o = {.n_ctx = CTX, .kv = BT_KV_F32};
    bt_comparison c;
    if (bt_compare(x, y, ids, N, &o, &c, &err)) fail_msg("%s", err.text);
    assert_int_equal(c.scored, scored);
    assert_int_equal(c.windows, WINDOWS);
    close_to(c.kl_mean, kl / scored, 1e-4);
    close_to(c.kl_most, most, 1e-4);
    close_to(c.a.perplexity, exp(surprise[0] / scored), 1e-5);
    close_to(c.b.perplexity, exp(surprise[1] / scored), 1e-5);
    close_to(c.same_top, (double)same / scored, 1e-12);
    assert_true(c.kl_median <= c.kl_99 && c.kl_99 <= c.kl_most);
    assert_true(c.a.read > 0 && c.b.write > 0);
    /* A model against itself. */
    if (bt_compare(x, x, ids, N, &o, &c, &err)) fail_msg("%s", err.text);
    assert_true(c.kl_mean < 1e-9);
    assert_true(c.same_top == 1);
    bt_model_close(&x);
    bt_model_close(&y);
}

static void quantiles(void **state)
{
    (void)state;
    Divergence d = {0};
    float p[3] = {0, 1, 2}, q[3] = {0, 1, 2};
    for (int i = 0; i < 5; i++) {
        assert_true(divergence_add(&d, p, q, 3, 1));
        d.kl[i] = (double)((i * 3) % 5); /* 0 3 1 4 2 */
    }
    close_to(divergence_quantile(&d, 0.5), 2, 1e-12);
    close_to(divergence_quantile(&d, 0.99), 3.96, 1e-12); /* as numpy.percentile(range(5), 99) */
    close_to(divergence_quantile(&d, 1), 4, 1e-12);
    close_to(divergence_mean(&d), 2, 1e-12);
    close_to(divergence_error(&d), sqrt(2.5 / 5), 1e-12);
    q[2] = NAN;
    assert_true(divergence_add(&d, p, q, 3, 1));
    assert_true(isinf(divergence_mean(&d)));
    divergence_close(&d);
}

static void what_is_refused(void **state)
{
    (void)state;
    bt_token ids[N] = {0};
    bt_model *a = opened(model("a.gguf", DT_F32, 0)), *b = opened(model("b.gguf", DT_F32, 256));
    bt_compare_options o = {.n_ctx = CTX};
    bt_comparison c;
    assert_int_equal(bt_compare(a, b, ids, N, &o, &c, &err), BT_E_ARGUMENT);
    assert_non_null(strstr(err.text, "128 and 256"));
    assert_int_equal(bt_compare(a, a, ids, CTX - 1, &o, &c, &err), BT_E_ARGUMENT);
    assert_non_null(strstr(err.text, "needs 32"));
    o.n_ctx = 3;
    assert_int_equal(bt_compare(a, a, ids, N, &o, &c, &err), BT_E_ARGUMENT);
    bt_model_close(&a);
    bt_model_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
        TEST(as_from_whole_logits),
        TEST(quantiles),
        TEST(what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
