/* What constrained answers cost: bench-grammar VOCABULARY.gguf [SCHEMA.json TEXT.json].
 *
 * Walks a JSON text under a schema token by token, as the model's own tokenizer cuts it, with
 * nothing remembered (first visits, FRESH times, each with the grammar opened anew) and again
 * (known), and prints the time that masking the logits and moving on take per token: mean, median,
 * 99 of 100, most; of first visits also those of each token's middle one of the FRESH: what others
 * do on the machine hits one walk, not most. The tokens come at once, in time of this thread, or
 * each after a step such as a model's, which leaves the caches cold, in real time: then also with
 * the sets made ahead during the steps, as samplers have it. Then what a sampler's pick takes, and
 * what it takes more with the grammar than without, greedy and by default, over logits in which the
 * tokens of the text are likely and the one to come likeliest. Without a schema three are walked: a
 * person, words and days as the assistant copies them, and patterns of many kinds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/grammar.h"
#include "engine/model.h"
#include "support/files.h"

enum { MOST = 20000, MOST_PEAKS = 1 << 16, STEP = 16 << 20, FRESH = 9 };

static const char person[] =
    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"minLength\":1,"
    "\"maxLength\":80},"
    "\"email\":{\"type\":\"string\",\"format\":\"email\"},\"born\":{\"type\":\"string\",\"format\":"
    "\"date\"},"
    "\"bio\":{\"type\":\"string\"},\"score\":{\"type\":\"number\",\"minimum\":0,\"maximum\":100},"
    "\"tags\":{"
    "\"type\":\"array\",\"items\":{\"type\":\"string\",\"pattern\":\"^[a-z][a-z-]{0,30}$\"},"
    "\"maxItems\":8},"
    "\"address\":{\"type\":\"object\",\"properties\":{\"street\":{\"type\":\"string\"},\"city\":{"
    "\"type\":"
    "\"string\"},\"zip\":{\"type\":\"integer\"}},\"required\":[\"street\",\"city\"]},\"friends\":{"
    "\"type\":"
    "\"array\",\"items\":{\"$ref\":\"#\"}}},\"required\":[\"name\",\"email\",\"bio\",\"tags\"]}";
static const char text_of[] =
    "{\n  \"name\": \"Maria Gonz\xc3\xa1lez-Weber\",\n  \"email\": "
    "\"maria.gonzalez@example.org\",\n"
    "  \"born\": \"1987-06-23\",\n  \"bio\": \"Maria studied physics in Vienna, \\\"then\\\" moved "
    "to the "
    "coast to build boats. She writes about tides, wood and patience; her workshop is open on "
    "Saturdays \xe2\x80\x94 bring coffee. \xe4\xbd\xa0\xe5\xa5\xbd\",\n  \"score\": 87.25,\n  "
    "\"tags\": [\"boats\", "
    "\"physics\", \"open-workshop\"],\n  \"address\": {\n    \"street\": \"Harbour Road 12\",\n    "
    "\"city\": "
    "\"Port Blue\",\n    \"zip\": 90210\n  },\n  \"friends\": [\n    {\n      \"name\": \"Jo\",\n  "
    "    "
    "\"email\": \"jo@example.net\",\n      \"bio\": \"Old friend from school, now a baker who gets "
    "up "
    "at three.\",\n      \"tags\": []\n    }\n  ]\n}";

#define DAYS                                                                                       \
    "(today|tomorrow|((next|last) )?(monday|tuesday|wednesday|thursday|friday|saturday|sunday)|"   \
    "in [0-9]{1,4} (day|week|month|year)s?|[0-9]{1,2} (jan|feb|mar|apr|may|jun|jul|aug|sep|oct|"   \
    "nov|dec)( [0-9]{4})?|[0-9]{4}-[0-9]{2}-[0-9]{2})"
static const char copied[] =
    "{\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\",\"maxLength\":200,"
    "\"x-or\":[\"all\",\"alarm\"],\"x-copied\":[\"Hello, yesterday I talked to Dr. Quux about the "
    "boats; he said (twice!) that the harbour closes early this week.\",\"So please remind me to "
    "call Maria Gonzalez-Weber about the second-hand outboard motor, and to bring 25 l of fuel, "
    "the blue tarpaulin, four ropes and the keys for the shed next friday at 17:30, or better a "
    "little earlier because of the tide. Thanks a lot!\"]},"
    "\"day\":{\"type\":\"string\",\"pattern\":\"^" DAYS "$\"},"
    "\"time\":{\"type\":\"string\",\"pattern\":\"^([0-9]{1,2}(:[0-5][0-9])?(am|pm)?|noon|morning|"
    "evening)$\"}},\"required\":[\"text\"],\"additionalProperties\":false}";
static const char copied_text[] =
    "{\"text\": \"call Maria Gonzalez-Weber about the second-hand outboard motor, and to bring 25 "
    "l of fuel, the blue tarpaulin, four ropes\", \"day\": \"next friday\", \"time\": \"17:30\"}";
static const char patterns[] =
    "{\"type\":\"object\",\"properties\":{"
    "\"site\":{\"type\":\"string\",\"format\":\"uri\"},"
    "\"host\":{\"type\":\"string\",\"format\":\"hostname\"},"
    "\"slug\":{\"type\":\"string\",\"pattern\":\"^[a-z0-9]+(-[a-z0-9]+)*$\",\"maxLength\":60},"
    "\"words\":{\"type\":\"string\",\"pattern\":\"^[a-z]+( [a-z]+){0,9}$\"},"
    "\"key\":{\"type\":\"string\",\"pattern\":\"^[A-Z]{2,4}-[0-9]{3,6}$\"},"
    "\"line\":{\"type\":\"string\",\"pattern\":\"^[^\\\\n]{1,120}$\"},"
    "\"name\":{\"type\":\"string\",\"pattern\":\"^[A-Za-z_][A-Za-z0-9_]{0,63}$\"},"
    "\"id\":{\"type\":\"string\",\"format\":\"uuid\"},"
    "\"at\":{\"type\":\"string\",\"format\":\"date-time\"},"
    "\"phone\":{\"type\":\"string\",\"pattern\":\"^[+]?[0-9 ()-]{6,20}$\"},"
    "\"text\":{\"type\":\"string\",\"maxLength\":2000},"
    "\"tags\":{\"type\":\"array\",\"items\":{\"enum\":[\"red\",\"green\",\"blue\"]},"
    "\"minItems\":1,\"maxItems\":5}},\"required\":[\"site\",\"host\",\"slug\",\"words\",\"key\","
    "\"line\",\"name\",\"id\",\"at\",\"phone\",\"text\",\"tags\"],\"additionalProperties\":false}";
static const char patterns_text[] =
    "{\"site\": \"https://www.example.org:8080/docs/tides%20and%20wood?page=2&view=all#top\", "
    "\"host\": \"mail-server7.harbour.example.net\", \"slug\": \"open-workshop-on-saturdays-2\", "
    "\"words\": \"boats and patience by the sea\", \"key\": \"SHIP-20417\", \"line\": \"Tides, "
    "wood & patience: caf\xc3\xa9 at 3 (bring \\\"coffee\\\")\", \"name\": \"outboardMotor_v2\", "
    "\"id\": \"3f2504e0-4f89-41d3-9a0c-0305e82c3301\", \"at\": \"2024-02-29T17:30:00.25+01:00\", "
    "\"phone\": \"+43 (1) 555-0134\", \"text\": \"She writes about \\u00e9 and "
    "\xe4\xbd\xa0\xe5\xa5\xbd;\\n the workshop is open.\", \"tags\": [\"red\", \"blue\"]}";

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static double wall(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void report(const char *what, double *us, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += us[i];
    qsort(us, n, sizeof *us, by_size);
    printf("%-28s %6zu tokens: mean %7.1f us, median %6.1f, 99%% %7.1f, most %7.1f\n", what, n,
           sum / (double)n, us[n / 2], us[n * 99 / 100], us[n - 1]);
}

/* Token after token, or each after a step; with the sets made in between by another thread. */
typedef enum Walk { AT_ONCE, AFTER_STEPS, AHEAD } Walk;

typedef struct Bench {
    bt_model *model;
    const char *schema;
    bt_token ids[MOST];
    size_t n, n_vocab;
    float *logits;
} Bench;

/* What a model's step leaves of the caches: nothing, and half the logits in another core's. It
 * takes a millisecond or two. */
static void step(float *logits, size_t n_vocab)
{
    static volatile uint64_t weights[STEP / 8];
    uint64_t sum = 0;
    if (!weights[1]) /* memory of its own, not the one page of zeros */
        for (size_t i = 0; i < STEP / 8; i++) weights[i] = i;
    for (size_t i = 0; i < STEP / 8; i++) sum ^= weights[i];
    for (size_t k = 0; k < n_vocab; k++) logits[k] = 1 + (float)(sum & 1);
}

/* One way through the text; false: a token was refused. */
static bool pass(const Bench *b, bt_grammar *g, Walk walk, double *us)
{
    static float peak[MOST_PEAKS];
    GrammarHold hold = {0};
    double start;
    grammar_hold(&hold, g);
    if (walk == AHEAD) grammar_foresee(&hold, AHEAD_SET);
    for (size_t i = 0; i < b->n && !hold.lost; i++) {
        if (walk == AT_ONCE)
            for (size_t k = 0; k < b->n_vocab; k++) b->logits[k] = 1;
        else
            step(b->logits, b->n_vocab);
        start = walk == AT_ONCE ? now() : wall();
        grammar_restrict(&hold, b->logits, b->n_vocab, peak);
        grammar_advance(&hold, b->ids[i]);
        us[i] = (walk == AT_ONCE ? now() : wall()) - start;
    }
    bool good = !hold.lost && grammar_complete(&hold);
    grammar_release(&hold);
    return good;
}

static float noise(uint32_t *state)
{
    float sum = 0;
    for (int i = 0; i < 4; i++) {
        *state = *state * 1664525u + 1013904223u;
        sum += (float)(*state >> 8) / 16777216.0f - 0.5f;
    }
    return sum * 1.7f;
}

/* The same by two samplers, of which one has the grammar: what that takes more, and the other. */
static bool picks(const Bench *b, bt_grammar *g, bool greedy, double *more, double *alone)
{
    const bt_sampler_options options = {.greedy = greedy, .seed = 7};
    float *base = malloc(b->n_vocab * sizeof *base);
    bt_sampler *s[2];
    uint32_t state = 1;
    bool good = base != NULL;
    for (int k = 0; k < 2; k++) bt_sampler_open(b->model, &options, &s[k], NULL);
    bt_sampler_set_grammar(s[1], g, NULL);
    for (size_t i = 0; good && i < b->n_vocab; i++) base[i] = noise(&state);
    for (size_t i = 0; good && i < b->n; i++) base[b->ids[i]] = 5 + noise(&state);
    for (size_t i = 0; i < b->n && good; i++) {
        double took[2];
        for (int k = 0; k < 2; k++) {
            step(b->logits, b->n_vocab);
            memcpy(b->logits, base, b->n_vocab * sizeof *base);
            b->logits[b->ids[i]] = 30;
            double start = wall();
            good = good && bt_sampler_pick(s[k], b->logits) == b->ids[i];
            took[k] = wall() - start;
        }
        more[i] = took[1] - took[0];
        alone[i] = took[0];
    }
    for (int k = 0; k < 2; k++) bt_sampler_close(&s[k]);
    free(base);
    return good;
}

static bt_grammar *open_grammar(const Bench *b)
{
    bt_error err;
    bt_grammar *g;
    if (bt_grammar_open(b->model, BT_GRAMMAR_SCHEMA, b->schema, strlen(b->schema), NULL, &g, &err))
        fprintf(stderr, "%s\n", err.text);
    return g;
}

static void report_middles(const char *what, const Bench *b, const double *all)
{
    static double middle[MOST];
    double of[FRESH];
    for (size_t i = 0; i < b->n; i++) {
        for (int k = 0; k < FRESH; k++) of[k] = all[(size_t)k * b->n + i];
        qsort(of, FRESH, sizeof *of, by_size);
        middle[i] = of[FRESH / 2];
    }
    report(what, middle, b->n);
}

static bool first_visits(const Bench *b)
{
    static const char *const what[][2] = {
        {"first visits", "  middle of each"},
        {"first visits, after steps", "  middle of each"},
        {"first visits, made ahead", "  middle of each"},
    };
    static double all[FRESH * MOST];
    double opened[FRESH];
    for (Walk walk = AT_ONCE; walk <= AHEAD; walk++) {
        for (int k = 0; k < FRESH; k++) {
            double start = now();
            bt_grammar *g = open_grammar(b);
            opened[k] = now() - start;
            if (!g || !pass(b, g, walk, all + (size_t)k * b->n))
                return fprintf(stderr, "refused\n"), false;
            bt_grammar_close(&g);
        }
        double first = opened[0];
        qsort(opened, FRESH, sizeof *opened, by_size);
        if (walk == AT_ONCE)
            printf("compiled and opened in %.0f us, the first time %.0f\n", opened[FRESH / 2],
                   first);
        report_middles(what[walk][1], b, all);
        report(what[walk][0], all, FRESH * b->n);
    }
    return true;
}

static bool measure(const Bench *b)
{
    static double us[MOST], alone[MOST];
    bt_grammar *g;
    if (!first_visits(b) || !(g = open_grammar(b))) return false;
    for (int i = 0; i < 3; i++) {
        if (!pass(b, g, i == 2 ? AFTER_STEPS : AT_ONCE, us)) return false;
        if (i) report(i == 2 ? "known, after steps" : "known", us, b->n);
    }
    for (int i = 0; i < 4; i++) {
        static const char *const what[] = {"picks, first visits", "picks, greedy, first visits",
                                           "picks, known", "picks, greedy, known"};
        if (i < 2) {
            bt_grammar_close(&g);
            if (!(g = open_grammar(b))) return false;
        }
        if (i == 2 && !picks(b, g, false, us, alone)) return false;
        if (!picks(b, g, i % 2, us, alone))
            return fprintf(stderr, "another token was picked\n"), false;
        report(what[i], us, b->n);
        if (i >= 2) report("  without the grammar", alone, b->n);
    }
    bt_grammar_close(&g);
    return true;
}

int main(int argc, char **argv)
{
    static Bench b;
    const bt_model_options vocab = {.vocab_only = true};
    const char *cases[][2] = {{person, text_of}, {copied, copied_text}, {patterns, patterns_text}};
    size_t n_cases = sizeof cases / sizeof cases[0], size;
    bt_error err = {0};
    if (argc != 2 && argc != 4)
        return fprintf(stderr, "bench-grammar VOCABULARY.gguf [SCHEMA TEXT]\n"), 2;
    if (argc == 4) {
        cases[0][0] = files_read(argv[2], &size);
        cases[0][1] = files_read(argv[3], &size);
        n_cases = 1;
    }
    if (!cases[0][0] || !cases[0][1] || bt_model_open(argv[1], &vocab, &b.model, &err) != BT_OK)
        return fprintf(stderr, "%s\n", err.text), 1;
    b.n_vocab = (size_t)bt_model_describe(b.model).n_vocab;
    b.logits = malloc(b.n_vocab * sizeof *b.logits);
    printf("%zu tokens in the vocabulary\n", b.n_vocab);
    for (size_t i = 0; i < n_cases; i++) {
        b.schema = cases[i][0];
        int64_t n = bt_model_tokenize(b.model, cases[i][1], strlen(cases[i][1]),
                                      BT_TOKENIZE_NO_SPECIAL, b.ids, MOST, &err);
        b.n = n < 0 ? 0 : (size_t)n;
        if (!b.n || !measure(&b)) return 1;
    }
    bt_model_close(&b.model);
    free(b.logits);
    return 0;
}
