/* The sampler's distribution before the draw against the definitions of docs/sampling.md written
 * out here plainly in double precision (full sorts, the C library's exp), for random options;
 * then draws, seeds, hostile logits, refusals, allocations. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engine/sampler.h"
#include "engine/sampler_math.h"
#include "support/draw.h"
#include "support/torture.h"

static double unit(void)
{
    return draw_bits() / 4294967296.0;
}

static double normal(void)
{
    return sqrt(-2 * log(unit() + 1e-12)) * cos(6.283185307179586 * unit());
}

/* Token id's text in these tests: one letter, so that ids of '\n' : " * are breakers. */
static int64_t one_char(void *user, bt_token id, char *out, size_t capacity)
{
    (void)user;
    if (id > 127) return 0;
    if (capacity) out[0] = (char)id;
    return 1;
}

static bt_sampler *open_sampler(bt_sampler_options o, int32_t n_vocab)
{
    SamplerSetup setup = {.n_vocab = n_vocab, .n_history = 4096, .text = one_char};
    bt_sampler *s;
    bt_error err;
    if (sampler_core_open(&o, &setup, &s, &err)) fail_msg("%s", err.text);
    return s;
}

/* ---- the definitions, slowly ---- */

typedef struct Ref {
    int id;
    double x, p, score;
} Ref;

static int by_logit(const void *pa, const void *pb)
{
    const Ref *a = pa, *b = pb;
    if (a->x != b->x) return a->x < b->x ? 1 : -1;
    return a->id - b->id;
}

static int by_score(const void *pa, const void *pb)
{
    const Ref *a = pa, *b = pb;
    if (a->score != b->score) return a->score > b->score ? 1 : -1;
    return a->id - b->id;
}

static void ref_softmax(Ref *r, size_t n, double temperature)
{
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++) max = fmax(max, r[i].x);
    for (size_t i = 0; i < n; i++) sum += r[i].p = exp((r[i].x - max) / temperature);
    for (size_t i = 0; i < n; i++) r[i].p /= sum;
}

static size_t ref_mass(const Ref *r, size_t n, double mass)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        if ((sum += r[i].p) >= mass) return i + 1;
    return n;
}

static size_t ref_distribution(const bt_sampler_options *o, const float *logits, size_t n, Ref *r)
{
    for (size_t i = 0; i < n; i++) r[i] = (Ref){.id = (int)i, .x = logits[i]};
    qsort(r, n, sizeof *r, by_logit);
    if (o->top_k > 0 && (size_t)o->top_k < n) n = (size_t)o->top_k;
    if (o->typical_p < 1) {
        double entropy = 0;
        ref_softmax(r, n, 1);
        for (size_t i = 0; i < n; i++) entropy -= r[i].p * log(r[i].p);
        for (size_t i = 0; i < n; i++) r[i].score = fabs(-log(r[i].p) - entropy);
        qsort(r, n, sizeof *r, by_score);
        n = ref_mass(r, n, o->typical_p);
        qsort(r, n, sizeof *r, by_logit);
    }
    if (o->top_p < 1) {
        ref_softmax(r, n, 1);
        n = ref_mass(r, n, o->top_p);
    }
    if (o->min_p > 0) {
        size_t kept = 1;
        ref_softmax(r, n, 1);
        while (kept < n && r[kept].p >= o->min_p * r[0].p) kept++;
        n = kept;
    }
    ref_softmax(r, n, o->temperature);
    return n;
}

static void same_distribution(const SamplerCandidate *c, size_t n, const Ref *r, size_t m,
                              double *slot, size_t n_vocab)
{
    double sum = 0;
    assert_int_equal(n, m);
    for (size_t i = 0; i < n_vocab; i++) slot[i] = -1;
    for (size_t i = 0; i < m; i++) slot[r[i].id] = r[i].p;
    for (size_t i = 0; i < n; i++) {
        assert_true(slot[c[i].id] >= 0); /* in the set, and only once */
        if (fabs(slot[c[i].id] - c[i].p) > 1e-12 + 1e-11 * c[i].p)
            fail_msg("id %d: %.17g, not %.17g", c[i].id, c[i].p, slot[c[i].id]);
        slot[c[i].id] = -1;
        sum += c[i].p;
    }
    assert_true(fabs(sum - 1) < 1e-9);
}

static void distributions_follow_definitions(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 3, 17, 100, 1000, 5000, 20000};
    static const double spreads[] = {0.01, 1, 3, 10, 100};
    for (int round = 0; round < 240; round++) {
        int n = sizes[draw_bits() % 8];
        double spread = spreads[draw_bits() % 5];
        bt_sampler_options o = {.seed = 1, .temperature = (float)(0.05 + 2 * unit())};
        o.top_k = draw_bits() % 2 ? -1 : 1 + (int)(draw_bits() % (draw_bits() % 2 ? 40 : 3000));
        o.top_p = draw_bits() % 2 ? 1 : (float)(0.05 + 0.95 * unit());
        o.min_p = draw_bits() % 2 ? -1 : (float)(0.001 + 0.3 * unit());
        o.typical_p = draw_bits() % 3 ? 1 : (float)(0.1 + 0.9 * unit());
        float *logits = malloc((size_t)n * sizeof *logits);
        Ref *ref = malloc((size_t)n * sizeof *ref);
        double *slot = malloc((size_t)n * sizeof *slot);
        for (int i = 0; i < n; i++) logits[i] = (float)(normal() * spread);
        bt_sampler *s = open_sampler(o, n);
        size_t m = ref_distribution(&o, logits, (size_t)n, ref);
        const SamplerCandidate *c;
        size_t kept = sampler_candidates(s, logits, &c);
        same_distribution(c, kept, ref, m, slot, (size_t)n);
        bt_sampler_close(&s);
        free(logits);
        free(ref);
        free(slot);
    }
}

/* Mirostat's cut after some picks: p > 2^-bound of the tempered softmax, made to sum to 1. */
static void mirostat_cuts_by_definition(void **state)
{
    (void)state;
    enum { N = 700 };
    for (int round = 0; round < 60; round++) {
        bt_sampler_options o = {.seed = 5, .mirostat = 2, .temperature = (float)(0.1 + 2 * unit())};
        o.mirostat_tau = (float)(0.5 + 5 * unit());
        float logits[N];
        Ref ref[N];
        double slot[N], sum = 0, spread = round % 2 ? 1 : 6;
        size_t m = 1;
        bt_sampler *s = open_sampler(o, N);
        for (int pick = 0; pick <= round; pick++) {
            for (int i = 0; i < N; i++) logits[i] = (float)(normal() * spread);
            if (pick < round) bt_sampler_pick(s, logits);
        }
        for (int i = 0; i < N; i++) ref[i] = (Ref){.id = i, .x = logits[i]};
        qsort(ref, N, sizeof *ref, by_logit);
        ref_softmax(ref, N, o.temperature);
        while (m < N && -log2(ref[m].p) <= sampler_surprise_bound(s)) m++;
        for (size_t i = 0; i < m; i++) sum += ref[i].p;
        for (size_t i = 0; i < m; i++) ref[i].p /= sum;
        const SamplerCandidate *c;
        size_t n = sampler_candidates(s, logits, &c);
        same_distribution(c, n, ref, m, slot, N);
        bt_sampler_close(&s);
    }
}

static void ties_keep_lower_ids(void **state)
{
    (void)state;
    float logits[300];
    const SamplerCandidate *c;
    for (int i = 0; i < 300; i++) logits[i] = 1.5f;
    bt_sampler *s =
        open_sampler((bt_sampler_options){.seed = 1, .top_k = 7, .top_p = 1, .min_p = -1}, 300);
    assert_int_equal(sampler_candidates(s, logits, &c), 7);
    for (int i = 0; i < 7; i++) assert_int_equal(c[i].id, i);
    bt_sampler_close(&s);
    s = open_sampler((bt_sampler_options){.seed = 1, .top_k = -1, .top_p = 0.4999f, .min_p = -1},
                     300);
    assert_int_equal(sampler_candidates(s, logits, &c), 150);
    for (int i = 0; i < 150; i++) assert_in_range(c[i].id, 0, 149);
    bt_sampler_close(&s);
    s = open_sampler((bt_sampler_options){.greedy = true}, 300);
    assert_int_equal(bt_sampler_pick(s, logits), 0);
    bt_sampler_close(&s);
}

/* ---- penalties ---- */

static void penalties_follow_definitions(void **state)
{
    (void)state;
    enum { N = 60 };
    for (int round = 0; round < 60; round++) {
        bt_sampler_options o = {.seed = 1, .top_k = -1, .top_p = 1, .min_p = -1, .temperature = 1};
        int last_n = draw_bits() % 4 ? 1 + (int)(draw_bits() % 40) : -1,
            length = (int)(draw_bits() % 200);
        int text[200];
        float logits[N], want[N];
        bt_logit_bias bias[] = {{3, 1.5f}, {9, -2}, {3, 0.25f}};
        o.penalty_last_n = last_n;
        o.repeat_penalty = draw_bits() % 2 ? 1.3f : 1;
        o.presence_penalty = draw_bits() % 2 ? 0.7f : 0;
        o.frequency_penalty = draw_bits() % 2 ? 0.2f : 0;
        o.bias = bias;
        o.n_bias = 3;
        bt_sampler *s = open_sampler(o, N);
        bt_sampler_accept(s, -1);
        bt_sampler_accept(s, N);
        for (int i = 0; i < length; i++) bt_sampler_accept(s, text[i] = (int)(draw_bits() % N));
        for (int i = 0; i < N; i++) logits[i] = want[i] = (float)normal() * 4;
        want[3] += 1.75f;
        want[9] -= 2;
        for (int id = 0; id < N; id++) {
            int count = 0;
            for (int i = last_n < 0 || last_n > length ? 0 : length - last_n; i < length; i++)
                count += text[i] == id;
            if (!count) continue;
            want[id] = want[id] > 0 ? want[id] / o.repeat_penalty : want[id] * o.repeat_penalty;
            want[id] -= (float)count * o.frequency_penalty + o.presence_penalty;
        }
        const SamplerCandidate *c;
        assert_int_equal(sampler_candidates(s, logits, &c), N);
        for (int i = 0; i < N; i++) assert_true(fabsf(logits[i] - want[i]) < 1e-5f);
        bt_sampler_close(&s);
    }
}

/* DRY by its definition, quadratic: for each token, the longest run at the end of the text that
 * also stands before an earlier occurrence of that token. */
static void ref_dry(const bt_sampler_options *o, const int *text, int n, double *minus, int n_vocab)
{
    for (int id = 0; id < n_vocab; id++) minus[id] = 0;
    if (o->dry_last_n >= 0 && n > o->dry_last_n) {
        text += n - o->dry_last_n;
        n = o->dry_last_n;
    }
    for (int at = 1; at < n; at++) { /* text[at] is the token that followed */
        int run = 0;
        while (run < at) {
            int a = text[at - 1 - run], b = text[n - 1 - run];
            if (a != b || b == '\n' || b == ':' || b == '"' || b == '*') break;
            run++;
        }
        if (run < o->dry_allowed_length) continue;
        double penalty = o->dry_multiplier * pow(o->dry_base, run - o->dry_allowed_length);
        if (penalty > minus[text[at]]) minus[text[at]] = penalty;
    }
}

static void dry_follows_definition(void **state)
{
    (void)state;
    enum { N = 128 };
    static const char letters[] = "ab:c\nde*f\"";
    int penalised = 0;
    for (int round = 0; round < 400; round++) {
        bt_sampler_options o = {.seed = 1, .top_k = -1, .top_p = 1, .min_p = -1, .temperature = 1};
        int length = (int)(draw_bits() % 300), alphabet = 2 + (int)(draw_bits() % 9), text[300];
        double minus[N];
        float logits[N];
        o.dry_multiplier = 0.8f;
        o.dry_base = draw_bits() % 3 ? 1.75f : 1;
        o.dry_allowed_length = 1 + (int)(draw_bits() % 4);
        o.dry_last_n = draw_bits() % 2 ? -1 : 1 + (int)(draw_bits() % 100);
        bt_sampler *s = open_sampler(o, N);
        /* copies of earlier runs make long repeats likely */
        for (int i = 0; i < length; i++) {
            text[i] = letters[draw_bits() % (unsigned)alphabet];
            if (i > 20 && draw_bits() % 8) text[i] = text[i - 7 - (round % 13)];
            bt_sampler_accept(s, text[i]);
        }
        ref_dry(&o, text, length, minus, N);
        memset(logits, 0, sizeof logits);
        const SamplerCandidate *c;
        sampler_candidates(s, logits, &c);
        for (int id = 0; id < N; id++) {
            double want = fmin(minus[id], 1e30);
            if (fabs(-logits[id] - want) > 1e-5 * want)
                fail_msg("round %d, token %d: %g, not %g", round, id, -logits[id], want);
            penalised += want > 0;
        }
        bt_sampler_close(&s);
    }
    assert_true(penalised > 200);
}

/* A window far shorter than the text: what left it has no effect (the buffer wraps many times). */
static void history_forgets(void **state)
{
    (void)state;
    bt_sampler_options o = {.greedy = true,
                            .repeat_penalty = 2,
                            .penalty_last_n = 5,
                            .dry_multiplier = 1,
                            .dry_last_n = 3};
    bt_sampler *s = open_sampler(o, 128);
    for (int i = 0; i < 10000; i++) bt_sampler_accept(s, i % 97);
    float logits[128];
    for (int i = 0; i < 128; i++) logits[i] = 1;
    const SamplerCandidate *c;
    sampler_candidates(s, logits, &c);
    for (int id = 0; id < 128; id++) {
        bool recent = false;
        for (int i = 9995; i < 10000; i++) recent |= i % 97 == id;
        assert_true(logits[id] == (recent ? 0.5f : 1));
    }
    bt_sampler_close(&s);
}

/* ---- hostile logits ---- */

static void never_fails(void **state)
{
    (void)state;
    static const bt_sampler_options all[] = {
        {.greedy = true},
        {.seed = 1},
        {.seed = 1, .top_k = -1},
        {.seed = 1, .top_k = -1, .top_p = 1, .min_p = -1},
        {.seed = 1, .top_k = -1, .typical_p = 0.5f},
        {.seed = 1, .typical_p = 0.5f, .temperature = 1e-30f},
        {.seed = 1, .mirostat = 2, .mirostat_tau = 0.1f},
        {.seed = 1, .repeat_penalty = 1.5f, .dry_multiplier = 2},
    };
    static const float odd[] = {NAN, -NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, 0, 1e-40f};
    enum { N = 100 };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        bt_sampler *s = open_sampler(all[k], N);
        float logits[N];
        for (int i = 0; i < N; i++) logits[i] = -INFINITY;
        assert_int_equal(bt_sampler_pick(s, logits), 0);
        for (int i = 0; i < N; i++) logits[i] = NAN;
        assert_int_equal(bt_sampler_pick(s, logits), 0);
        logits[42] = -1e30f;
        assert_int_equal(bt_sampler_pick(s, logits), 42);
        for (int i = 0; i < N; i++) logits[i] = (float)i;
        logits[17] = INFINITY;
        assert_int_equal(bt_sampler_pick(s, logits), 17);
        for (int round = 0; round < 500; round++) {
            bool possible[N];
            for (int i = 0; i < N; i++) {
                logits[i] = draw_bits() % 3 ? odd[draw_bits() % 8] : (float)normal();
                possible[i] = logits[i] > -INFINITY;
            }
            bt_token id = bt_sampler_pick(s, logits);
            assert_in_range(id, 0, N - 1);
            assert_true(possible[id]);
        }
        bt_sampler_close(&s);
    }
    bt_logit_bias ban[] = {{5, -INFINITY}};
    bt_sampler *s = open_sampler((bt_sampler_options){.greedy = true, .bias = ban, .n_bias = 1}, 9);
    float logits[9] = {0, 0, 0, 0, 0, 9, 0, 3, 0};
    assert_int_equal(bt_sampler_pick(s, logits), 7);
    bt_sampler_close(&s);
}

/* ---- draws ---- */

static void draws_follow_shares(void **state)
{
    (void)state;
    enum { N = 12, DRAWS = 60000 };
    float source[N], logits[N];
    double want[N] = {0}, chi = 0;
    int seen[N] = {0}, cells = 0;
    for (int i = 0; i < N; i++) source[i] = (float)normal() * 1.2f;
    bt_sampler *s = open_sampler((bt_sampler_options){.seed = 7, .temperature = 1.3f}, N);
    memcpy(logits, source, sizeof logits);
    const SamplerCandidate *c;
    size_t n = sampler_candidates(s, logits, &c);
    for (size_t i = 0; i < n; i++) want[c[i].id] = c[i].p * DRAWS;
    for (int i = 0; i < DRAWS; i++) {
        memcpy(logits, source, sizeof logits);
        seen[bt_sampler_pick(s, logits)]++;
    }
    for (int i = 0; i < N; i++) {
        if (want[i] == 0) {
            assert_int_equal(seen[i], 0);
            continue;
        }
        chi += (seen[i] - want[i]) * (seen[i] - want[i]) / want[i];
        cells++;
    }
    assert_true(cells > 5);
    /* 99.9 % quantile of chi-square with at most 11 degrees of freedom */
    if (chi > 31.3) fail_msg("chi-square %g over %d cells", chi, cells);
    bt_sampler_close(&s);
}

static void mirostat_reaches_its_surprise(void **state)
{
    (void)state;
    enum { N = 5000, WARM = 500, DRAWS = 4000 };
    static float source[N], logits[N];
    double share[N], sum = 0;
    for (int i = 0; i < N; i++) sum += share[i] = 1 / pow(i + 1, 1.5); /* Zipf */
    for (int i = 0; i < N; i++) source[i] = (float)log(share[i]);
    for (int target = 2; target <= 4; target++) {
        bt_sampler_options o = {.seed = 3, .temperature = 1, .mirostat = 2};
        o.mirostat_tau = (float)target;
        bt_sampler *s = open_sampler(o, N);
        double surprise = 0;
        for (int i = 0; i < WARM + DRAWS; i++) {
            double bound = sampler_surprise_bound(s);
            memcpy(logits, source, sizeof logits);
            bt_token id = bt_sampler_pick(s, logits);
            double bits = -log2(share[id] / sum);
            assert_true(bits <= fmax(bound, -log2(share[0] / sum)) + 1e-4);
            assert_true(fabs(sampler_surprise_bound(s) - (bound - 0.1f * (bits - target))) < 1e-4);
            if (i >= WARM) surprise += bits;
        }
        surprise /= DRAWS;
        if (fabs(surprise - target) > 0.05) fail_msg("mean surprise %g for %d", surprise, target);
        bt_sampler_close(&s);
    }
}

static void run(uint64_t seed, bt_token *out, int n)
{
    bt_sampler *s = open_sampler((bt_sampler_options){.seed = seed, .repeat_penalty = 1.1f}, 500);
    assert_true(bt_sampler_seed(s) == seed);
    float logits[500];
    for (int k = 0; k < n; k++) {
        for (int i = 0; i < 500; i++) logits[i] = (float)((i * 7919 + k * 104729) % 1009) / 400;
        out[k] = bt_sampler_pick(s, logits);
    }
    bt_sampler_close(&s);
}

static void seeds_repeat(void **state)
{
    (void)state;
    bt_token a[100], b[100], c[100];
    run(12345, a, 100);
    run(12345, b, 100);
    run(12346, c, 100);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_not_equal(a, c, sizeof a);
    /* The same on every machine and compiler: what this run gave when it was first written. */
    uint64_t hash = 0;
    for (int i = 0; i < 100; i++) hash = hash * 31 + (uint64_t)a[i];
    if (hash != 0xff9b6f501e24c5du) fail_msg("%llx", (unsigned long long)hash);
}

/* Published first outputs: xoshiro256** from the state 1, 2, 3, 4; splitmix64 from 0. */
static void generator_is_the_published_one(void **state)
{
    (void)state;
    SamplerRandom r = {{1, 2, 3, 4}};
    assert_true(sampler_random_next(&r) == 11520);
    assert_true(sampler_random_next(&r) == 0);
    assert_true(sampler_random_next(&r) == 1509978240);
    assert_true(sampler_random_next(&r) == 1215971899390074240);
    sampler_random_seed(&r, 0);
    assert_true(r.state[0] == 0xe220a8397b1dcdafu);
    assert_true(r.state[1] == 0x6e789e6aa1b965f4u);
}

static void mathematics_is_right(void **state)
{
    (void)state;
    for (int i = 0; i < 200000; i++) {
        double x = -unit() * (i % 2 ? 700 : 2), want = exp(x), got = sampler_exp(x);
        assert_true(fabs(got - want) <= 2.0 * want * DBL_EPSILON);
        double y = exp(unit() * 40 - 20);
        assert_true(fabs(sampler_log(y) - log(y)) <= 4 * DBL_EPSILON * fmax(1, fabs(log(y))));
    }
    assert_true(sampler_exp(0) == 1);
    assert_true(sampler_exp(-INFINITY) < 1e-300 && sampler_exp(NAN) < 1e-300);
}

/* ---- refusals and memory ---- */

static void refused(bt_sampler_options o, const char *name)
{
    SamplerSetup setup = {.n_vocab = 10, .n_history = 100};
    bt_sampler *s = (bt_sampler *)&setup;
    bt_error err = {0};
    assert_int_equal(sampler_core_open(&o, &setup, &s, &err), BT_E_ARGUMENT);
    assert_null(s);
    if (!strstr(err.text, name)) fail_msg("'%s' does not name %s", err.text, name);
}

static void refuses_what_is_out_of_range(void **state)
{
    (void)state;
    bt_logit_bias outside[] = {{10, 1}}, nan_bias[] = {{1, NAN}};
    refused((bt_sampler_options){.temperature = NAN}, "temperature");
    refused((bt_sampler_options){.top_k = -2}, "top_k");
    refused((bt_sampler_options){.top_p = 1.5f}, "top_p");
    refused((bt_sampler_options){.top_p = -1}, "top_p");
    refused((bt_sampler_options){.min_p = 2}, "min_p");
    refused((bt_sampler_options){.typical_p = NAN}, "typical_p");
    refused((bt_sampler_options){.repeat_penalty = -1}, "repeat_penalty");
    refused((bt_sampler_options){.penalty_last_n = INT32_MAX}, "penalty_last_n");
    refused((bt_sampler_options){.dry_base = 0.5f}, "dry_base");
    refused((bt_sampler_options){.dry_multiplier = -1}, "dry_multiplier");
    refused((bt_sampler_options){.mirostat = 1}, "mirostat");
    refused((bt_sampler_options){.mirostat_eta = -1}, "mirostat_eta");
    refused((bt_sampler_options){.bias = outside, .n_bias = 1}, "logit bias");
    refused((bt_sampler_options){.bias = nan_bias, .n_bias = 1}, "logit bias");
    refused((bt_sampler_options){.n_bias = 1}, "logit bias");
    refused((bt_sampler_options){.bias = outside, .n_bias = 11}, "logit bias");
}

static void picks_allocate_nothing(void **state)
{
    (void)state;
    bt_sampler_options all[] = {
        {.seed = 1, .repeat_penalty = 1.1f, .dry_multiplier = 0.8f, .presence_penalty = 1},
        {.seed = 1, .top_k = -1, .typical_p = 0.9f},
        {.seed = 1, .mirostat = 2},
        {.greedy = true},
    };
    int64_t live = mem_live();
    static float logits[3000];
    for (size_t k = 0; k < 4; k++) {
        bt_sampler *s = open_sampler(all[k], 3000);
        uint64_t count = mem_count();
        for (int i = 0; i < 50; i++) {
            for (int j = 0; j < 3000; j++) logits[j] = (float)normal();
            bt_sampler_pick(s, logits);
        }
        assert_true(mem_count() == count);
        bt_sampler_close(&s);
        bt_sampler_close(&s);
    }
    bt_sampler_close(NULL);
    assert_int_equal(mem_live(), live);
}

static bt_status life(void *user, bt_error *err)
{
    SamplerSetup setup = {.n_vocab = 200, .n_history = 100, .text = one_char};
    bt_sampler_options o = {.seed = 1, .repeat_penalty = 1.1f, .dry_multiplier = 0.8f};
    bt_sampler *s;
    (void)user;
    bt_status status = sampler_core_open(&o, &setup, &s, err);
    if (status) assert_null(s);
    bt_sampler_close(&s);
    return status;
}

static void survives_failed_allocations(void **state)
{
    (void)state;
    assert_int_equal(torture("a sampler", life, NULL), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distributions_follow_definitions),
        cmocka_unit_test(mirostat_cuts_by_definition),
        cmocka_unit_test(ties_keep_lower_ids),
        cmocka_unit_test(penalties_follow_definitions),
        cmocka_unit_test(dry_follows_definition),
        cmocka_unit_test(history_forgets),
        cmocka_unit_test(never_fails),
        cmocka_unit_test(draws_follow_shares),
        cmocka_unit_test(mirostat_reaches_its_surprise),
        cmocka_unit_test(seeds_repeat),
        cmocka_unit_test(generator_is_the_published_one),
        cmocka_unit_test(mathematics_is_right),
        cmocka_unit_test(refuses_what_is_out_of_range),
        cmocka_unit_test(picks_allocate_nothing),
        cmocka_unit_test(survives_failed_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
